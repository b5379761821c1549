package okta

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/crewjam/saml"
)

// engine makes an organization on the Identity Engine.
func engine(t *testing.T, bend func(*Settings)) *Org {
	t.Helper()
	return org(t, func(s *Settings) {
		s.Pipeline = "idx"
		s.IDX.UserPer5s, s.IDX.StatePer5s = 0, 0
		if bend != nil {
			bend(s)
		}
	})
}

// flow is one sign-in by the Identity Engine, driven by the forms of the last answer.
type flow struct {
	*browser
	token string
	result
}

// visit opens an application's page and introspects its stateToken.
func (b *browser) visit(sp *saml.ServiceProvider) *flow {
	b.t.Helper()
	target, _ := request(b.t, sp, "relay")
	return b.hosted(b.get(target))
}

// hosted introspects the stateToken of a page.
func (b *browser) hosted(page result) *flow {
	b.t.Helper()
	token, ok := field(tokenOf, page.body)
	if page.status != http.StatusOK || !ok || !strings.HasPrefix(token, "eyJ") && !strings.HasPrefix(token, "02.id.") {
		b.t.Fatalf("no page of the Identity Engine: %d %.30q %s", page.status, token, page.body)
	}
	f := &flow{browser: b, token: token}
	f.introspect(token)
	return f
}

func (f *flow) introspect(token string) *flow {
	f.t.Helper()
	f.result = f.ion("/idp/idx/introspect", ionJSON, ionJSON, map[string]any{"stateToken": token})
	return f
}

// ion posts JSON as the Identity Engine wants it.
func (b *browser) ion(target, contentType, accept string, body any) result {
	b.t.Helper()
	text, _ := json.Marshal(body)
	if strings.HasPrefix(target, "/") {
		target = baseURL + target
	}
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, target, strings.NewReader(string(text)))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", accept)
	return b.send(req)
}

// forms are the remediations of the last answer by name.
func (f *flow) forms() map[string]result {
	list, _ := f.at("remediation", "value").([]any)
	m := map[string]result{}
	for _, one := range list {
		r := result{doc: one.(map[string]any)}
		m[r.str("name")] = r
	}
	return m
}

// names are those of the remediations.
func (f *flow) names() string {
	return strings.Join(sorted(maps.Keys(f.forms())), " ")
}

// form returns a remediation, which must be there.
func (f *flow) form(name string) result {
	f.t.Helper()
	r, ok := f.forms()[name]
	if !ok {
		f.t.Fatalf("no form %s among %s\n%d %s", name, f.names(), f.status, f.body)
	}
	return r
}

// do fills a remediation with values, posts it, and reads the answer.
func (f *flow) do(name string, values map[string]any) *flow {
	f.t.Helper()
	return f.submit(f.form(name), values)
}

// submit posts a form: its fixed values, and what is given.
func (f *flow) submit(form result, values map[string]any) *flow {
	f.t.Helper()
	f.result = f.ion(form.str("href"), "application/json", form.str("accepts"), filled(form, values))
	if ct := f.header.Get("Content-Type"); f.status != http.StatusTooManyRequests && ct != ionJSON {
		f.t.Fatalf("%s: %d, Content-Type %q", form.str("name"), f.status, ct)
	}
	return f
}

// filled is the body that a form wants.
func filled(form result, values map[string]any) map[string]any {
	body := map[string]any{}
	list, _ := form.at("value").([]any)
	for _, one := range list {
		r := result{doc: one.(map[string]any)}
		if v, ok := r.doc["value"]; ok && r.at("mutable") == false {
			body[r.str("name")] = v
		}
	}
	maps.Copy(body, values)
	return body
}

// action returns a form that is no remediation, by its path in the document.
func (f *flow) action(path ...any) result {
	f.t.Helper()
	m, ok := f.at(path...).(map[string]any)
	if !ok {
		f.t.Fatalf("no action at %v: %s", path, f.body)
	}
	return result{doc: m}
}

// current is the authenticator that is challenged.
func (f *flow) current() result {
	for _, name := range []string{"currentAuthenticator", "currentAuthenticatorEnrollment"} {
		if m, ok := f.at(name, "value").(map[string]any); ok {
			return result{doc: m}
		}
	}
	return result{}
}

// identify gives the user name, and the password where it is asked for, then or next.
func (f *flow) identify(login, password string) *flow {
	f.t.Helper()
	values := map[string]any{"identifier": login}
	if strings.Contains(f.body, `"passcode"`) {
		return f.do("identify", map[string]any{"identifier": login, "credentials": map[string]any{"passcode": password}})
	}
	f.do("identify", values)
	if f.status != http.StatusOK {
		return f
	}
	return f.choose("okta_password", "password").do("challenge-authenticator", map[string]any{"credentials": map[string]any{"passcode": password}})
}

// choose challenges an authenticator, if it is not challenged already.
func (f *flow) choose(key, method string) *flow {
	f.t.Helper()
	at := func() bool {
		c := f.current()
		return c.str("key") == key && c.str("methods", 0, "type") == method && f.forms()["authenticator-verification-data"].doc == nil && f.forms()["resend"].doc == nil
	}
	if at() {
		return f
	}
	if form, ok := f.forms()["authenticator-verification-data"]; ok && f.current().str("key") == key {
		id := result{doc: form.at("value", 0).(map[string]any)}.str("form", "value", 0, "value")
		return f.submit(form, map[string]any{"authenticator": map[string]any{"id": id, "methodType": method}})
	}
	f.do("select-authenticator-authenticate", map[string]any{"authenticator": map[string]any{"id": f.option(key).str("value", "form", "value", 0, "value")}})
	if !at() && f.status == http.StatusOK {
		return f.choose(key, method)
	}
	return f
}

// related follows "$.name.value[i]".
func (f *flow) related(path string) result {
	f.t.Helper()
	name, rest, ok := strings.Cut(strings.TrimPrefix(path, "$."), ".value[")
	i := int(rest[0] - '0')
	m, is := f.at(name, "value", i).(map[string]any)
	if !ok || !is {
		f.t.Fatalf("relatesTo %q leads nowhere", path)
	}
	return result{doc: m}
}

// answer gives a code to the authenticator that is challenged.
func (f *flow) answer(code string) *flow {
	f.t.Helper()
	inner, _ := f.form("challenge-authenticator").at("value", 0, "form", "value").([]any)
	values := map[string]any{}
	for _, one := range inner {
		r := result{doc: one.(map[string]any)}
		if values[r.str("name")] = code; r.at("mutable") == false {
			values[r.str("name")] = r.at("value")
		}
	}
	return f.do("challenge-authenticator", map[string]any{"credentials": values})
}

// option finds the choice of an authenticator.
func (f *flow) option(key string) result {
	f.t.Helper()
	options, _ := f.form("select-authenticator-authenticate").at("value", 0, "options").([]any)
	for _, o := range options {
		option := result{doc: o.(map[string]any)}
		if f.related(option.str("relatesTo")).str("key") == key {
			return option
		}
	}
	f.t.Fatalf("no %s to choose: %s", key, f.body)
	return result{}
}

// says returns the keys of all messages, wherever they are.
func (f *flow) says() string {
	var keys []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if m, ok := v["i18n"].(map[string]any); ok {
				keys = append(keys, m["key"].(string))
			}
			for _, name := range sorted(maps.Keys(v)) {
				walk(v[name])
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(f.doc)
	return strings.Join(keys, " ")
}

// want fails unless the last answer has a status and says a message ("": none).
func (f *flow) want(status int, key string) *flow {
	f.t.Helper()
	if f.status != status || f.says() != key {
		f.t.Fatalf("got %d %q, want %d %q\n%s", f.status, f.says(), status, key, f.body)
	}
	return f
}

// end follows success to the application's form.
func (f *flow) end() result {
	f.t.Helper()
	href := f.str("success", "href")
	if href == "" {
		href = f.forms()["success-redirect"].str("href")
	}
	if !strings.HasPrefix(href, baseURL+"/login/token/redirect?stateToken=") {
		f.t.Fatalf("no success: %d %s", f.status, f.body)
	}
	r := f.get(href)
	for range 3 {
		if r.status != http.StatusFound {
			break
		}
		r = f.get(r.header.Get("Location"))
	}
	return r
}

// signed fails unless a page is an assertion's form.
func signed(t *testing.T, page result) {
	t.Helper()
	if _, v := form(page.body); v.Get("SAMLResponse") == "" {
		t.Fatalf("no assertion: %d %s", page.status, page.body)
	}
}
