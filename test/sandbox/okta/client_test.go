package okta

import (
	"bytes"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/crewjam/saml"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secret  = "JBSWY3DPEHPK3PXP"
	baseURL = "https://example.okta.test"
)

// direct calls a handler in process; a dropped connection is an error.
type direct struct{ h http.Handler }

func (d direct) RoundTrip(r *http.Request) (res *http.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				panic(p)
			}
			res, err = nil, errors.New("connection dropped")
		}
	}()
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if in.RemoteAddr == "" {
		in.RemoteAddr = "192.0.2.1:4711"
	}
	w := httptest.NewRecorder()
	d.h.ServeHTTP(w, in)
	res = w.Result()
	res.Request = r
	return res, nil
}

// org makes an organization with the users of the tests; limits are out of the way.
func org(t *testing.T, bend func(*Settings)) *Org {
	t.Helper()
	base, _ := url.Parse(baseURL)
	s := DefaultSettings()
	s.UserPerSecond, s.ClientPerMinute, s.Mistimed = 0, 0, MistimedError
	if bend != nil {
		bend(&s)
	}
	o, err := New(Config{BaseURL: base, Settings: &s, Users: []User{
		{Login: "alice@example.com", Password: "correct horse", TOTPSecret: secret, Push: true, Others: []string{"sms", "question", "u2f"}, Answer: "liver"},
		{Login: "bob@example.com", Password: "battery staple"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d", o.Seed())
	return o
}

// browser is one client with cookies of its own.
type browser struct {
	t *testing.T
	o *Org
	http.Client
}

func newBrowser(t *testing.T, o *Org) *browser {
	jar, _ := cookiejar.New(nil)
	return &browser{t, o, http.Client{Transport: direct{o}, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// result is an answer that was read.
type result struct {
	status int
	header http.Header
	body   string
	doc    map[string]any
}

func (b *browser) do(method, target, contentType string, body string) result {
	b.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = baseURL + target
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return b.send(req)
}

// send sends a request and reads the answer.
func (b *browser) send(req *http.Request) result {
	b.t.Helper()
	res, err := b.Do(req)
	if err != nil {
		return result{body: err.Error()}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	r := result{status: res.StatusCode, header: res.Header, body: string(text)}
	_ = json.Unmarshal(text, &r.doc) // pages are no JSON
	return r
}

func (b *browser) get(target string) result {
	b.t.Helper()
	return b.do(http.MethodGet, target, "", "")
}

// post sends JSON.
func (b *browser) post(target string, body map[string]any) result {
	b.t.Helper()
	text, _ := json.Marshal(body)
	return b.do(http.MethodPost, target, "application/json", string(text))
}

// primary signs in with a user name and a password.
func (b *browser) primary(login, password string) result {
	b.t.Helper()
	return b.post("/api/v1/authn", map[string]any{"username": login, "password": password})
}

// at digs a value out of an answer: names and indices.
func (r result) at(path ...any) any {
	var v any = r.doc
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func (r result) str(path ...any) string { s, _ := r.at(path...).(string); return s }

// verifyURL finds the verify link of a factor in MFA_REQUIRED.
func (r result) verifyURL(kind string) string {
	list, _ := r.at("_embedded", "factors").([]any)
	for _, f := range list {
		one := result{doc: f.(map[string]any)}
		if one.str("factorType") == kind {
			return one.str("_links", "verify", "href")
		}
	}
	return ""
}

// want fails unless r is Okta's error document with a status and a code.
func (r result) want(t *testing.T, status int, code string) {
	t.Helper()
	if r.status != status || r.str("errorCode") != code {
		t.Fatalf("got %d %s, want %d %s\n%s", r.status, r.str("errorCode"), status, code, r.body)
	}
	if r.str("errorSummary") == "" || strings.Contains(r.str("errorSummary"), "%") || r.str("errorLink") != code || r.str("errorId") == "" || r.at("errorCauses") == nil {
		t.Fatalf("not Okta's error document: %s", r.body)
	}
}

// locked fails unless an answer says that the account is locked.
func (r result) locked(t *testing.T) {
	t.Helper()
	if code := r.str("errorCode"); r.status != 403 || code != "E0000069" && code != "E0000119" {
		t.Fatalf("got %d %s, not locked: %s", r.status, code, r.body)
	}
}

// state fails unless r is a transaction in a state.
func (r result) state(t *testing.T, status State) result {
	t.Helper()
	if r.status != http.StatusOK || r.str("status") != string(status) {
		t.Fatalf("got %d %s, want %s\n%s", r.status, r.str("status"), status, r.body)
	}
	return r
}

// provider is a crewjam service provider that knows the organization's first application.
func provider(t testing.TB, o *Org) *saml.ServiceProvider {
	t.Helper()
	at := func(s string) url.URL { u, _ := url.Parse(s); return *u }
	sp := &saml.ServiceProvider{
		EntityID:    "gis.example.test.portal",
		AcsURL:      at("https://gis.example.test/portal/sharing/rest/oauth2/saml/signin"),
		MetadataURL: at("https://gis.example.test/portal/sharing/rest/portals/self/sp/metadata"),
	}
	o.RegisterApp("ArcGIS Enterprise", sp.Metadata())
	sp.IDPMetadata = o.Metadata()
	return sp
}

// request makes an AuthnRequest for the redirect binding: its URL and its ID.
func request(t *testing.T, sp *saml.ServiceProvider, relay string) (string, string) {
	t.Helper()
	r, err := sp.MakeAuthenticationRequest(sp.GetSSOBindingLocation(saml.HTTPRedirectBinding), saml.HTTPRedirectBinding, saml.HTTPPostBinding)
	if err != nil {
		t.Fatal(err)
	}
	u, err := r.Redirect("", sp)
	if err != nil {
		t.Fatal(err)
	}
	// The library would not escape it.
	return u.String() + "&RelayState=" + url.QueryEscape(relay), r.ID
}

// pageURI, pageToken and jsTarget read what a page carries, as a browser would after running it.
var (
	uriOf    = regexp.MustCompile(`(?m)^  var fromUri = ['"]([^'"]*)['"];|"fromUri":"([^"]*)"`)
	tokenOf  = regexp.MustCompile(`(?m)^  var stateToken = ['"]([^'"]*)['"];|"stateToken":"([^"]*)"`)
	repostOf = regexp.MustCompile(`(?m)^  var repost = (true|false);|"repost":(true|false)`)
	jsOf     = regexp.MustCompile(`(?m)^window\.location\.href=['"]([^'"]*)['"];`)
	escapeOf = regexp.MustCompile(`\\x[0-9A-F]{2}|\\u[0-9A-F]{4}`)
	actionOf = regexp.MustCompile(`(?m)^<form id="appForm" action="([^"]*)"`)
	inputOf  = regexp.MustCompile(`(?m)^    <input name="([^"]*)" type="hidden" value="([^"]*)"/>`)
)

// field returns the unescaped value of a JavaScript string, and whether the page has it.
func field(re *regexp.Regexp, page string) (string, bool) {
	m := re.FindStringSubmatch(page)
	if m == nil {
		return "", false
	}
	s := m[1]
	if s == "" && len(m) > 2 {
		s = m[2]
	}
	return escapeOf.ReplaceAllStringFunc(s, func(e string) string {
		var v string
		_ = json.Unmarshal([]byte(`"\u`+strings.Repeat("0", 6-len(e))+e[2:]+`"`), &v)
		return v
	}), true
}

// form returns the action and the fields of a page's appForm.
func form(page string) (string, url.Values) {
	m := actionOf.FindStringSubmatch(page)
	if m == nil {
		return "", nil
	}
	v := url.Values{}
	for _, in := range inputOf.FindAllStringSubmatch(page, -1) {
		v.Set(html.UnescapeString(in[1]), html.UnescapeString(in[2]))
	}
	return html.UnescapeString(m[1]), v
}

// postForm sends an urlencoded form.
func (b *browser) postForm(target string, v url.Values) result {
	b.t.Helper()
	return b.do(http.MethodPost, target, "application/x-www-form-urlencoded", v.Encode())
}

// accept verifies a SAML response with crewjam's service provider.
func accept(sp *saml.ServiceProvider, v url.Values, id string) (*saml.Assertion, error) {
	r, _ := http.NewRequest(http.MethodPost, sp.AcsURL.String(), bytes.NewBufferString(v.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	a, err := sp.ParseResponse(r, []string{id})
	if bad, ok := errors.AsType[*saml.InvalidResponseError](err); ok {
		return nil, bad.PrivateErr
	}
	return a, err
}
