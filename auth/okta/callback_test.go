package okta

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"arcproxy/auth"
)

const (
	authorizeURL = "https://example.okta.test/oauth2/v1/authorize?client_id=c&response_type=code&scope=openid&state=s&nonce=n&redirect_uri=https%3A%2F%2Fgis.example.test%2Fcallback"
	goodCallback = "https://gis.example.test/callback?code=the-code&state=s&session_state=y"
	codePage     = `<script>var stateToken = ''; var fromUri = '\x2Foauth2\x2Fv1\x2Fauthorize\x2Fredirect\x3Fokta_key\x3Dk';</script>`
	signedIn     = `{"status":"SUCCESS","sessionToken":"one-time"}`
)

// at is an Okta that answers by path, with a body, or with a redirect if that begins
// with "→".
type at map[string]string

// org plays an organization and counts what it is sent.
type org struct {
	t       *testing.T
	answers at
	sent    []string
}

func (o *org) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "example.okta.test" {
		o.t.Errorf("a request to %s", r.URL.Host)
	}
	o.sent = append(o.sent, r.Method+" "+r.URL.Path)
	body, ok := o.answers[r.URL.Path]
	if !ok {
		body = "<title>Page not found</title>"
	}
	res := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/html"}}, Request: r}
	if to, redirect := strings.CutPrefix(body, "→"); redirect {
		res.StatusCode, body = 302, ""
		res.Header.Set("Location", to)
	}
	if text, bad := strings.CutPrefix(body, "400 "); bad {
		res.StatusCode, body = 400, text
	}
	res.Body = io.NopCloser(strings.NewReader(body))
	return res, nil
}

// signInFor signs an account in for a request of the Portal's.
func (o *org) signInFor(request string) (auth.Handoff, error) {
	o.sent = nil
	u := address(o.t, "https://example.okta.test")
	o.answers["/.well-known/okta-organization"] = `{"pipeline":"v1"}`
	b := auth.NewBrowser(auth.BrowserConfig{Transport: o, Origins: []*url.URL{u, address(o.t, "https://gis.example.test")}})
	identity := auth.Identity{Name: "alice", Username: "alice@example.com", Password: secret("a-password")}
	return New(Config{URL: u}).SignIn(o.t.Context(), b, auth.NewAccount(identity), auth.Watch{Waited: func() bool { return true }}, auth.Handoff{URL: address(o.t, request)})
}

func (o *org) passwords() int {
	n := 0
	for _, s := range o.sent {
		if s == "POST /api/v1/authn" {
			n++
		}
	}
	return n
}

// goodOrg signs in by each request that is needed and no other.
func goodOrg(t *testing.T, change at) *org {
	o := &org{t: t, answers: at{
		"/oauth2/v1/authorize":          codePage,
		"/api/v1/authn":                 signedIn,
		"/login/sessionCookieRedirect":  "→/oauth2/v1/authorize/redirect?okta_key=k",
		"/oauth2/v1/authorize/redirect": "→" + goodCallback,
	}}
	for path, body := range change {
		o.answers[path] = body
	}
	return o
}

// TestCode: a code comes back untouched, by way of the page's own address, in as
// many requests as it takes.
func TestCode(t *testing.T) {
	o := goodOrg(t, nil)
	answer, err := o.signInFor(authorizeURL)
	if err != nil || answer.URL.String() != goodCallback || answer.Form != nil {
		t.Fatalf("%v %v", answer, err)
	}
	want := "GET /.well-known/okta-organization, GET /oauth2/v1/authorize, POST /api/v1/authn, POST /login/sessionCookieRedirect, GET /oauth2/v1/authorize/redirect"
	if got := strings.Join(o.sent, ", "); got != want {
		t.Errorf("sent %s\nwant %s", got, want)
	}
	for name, c := range map[string]struct {
		change    at
		request   string
		passwords int
	}{
		"a live session":       {at{"/oauth2/v1/authorize": "→" + goodCallback}, authorizeURL, 0},
		"the old sign-in page": {at{"/oauth2/v1/authorize": "→/login/login.htm?fromURI=/oauth2/v1/authorize/redirect?okta_key=k", "/login/login.htm": "<form><input name=username><input name=password></form>"}, authorizeURL, 1},
		"no page wanted":       {at{"/oauth2/v1/authorize": "→https://gis.example.test/callback?error=login_required&state=s"}, authorizeURL + "&prompt=none", 1},
		"a form":               {at{"/oauth2/v1/authorize/redirect": `<form method=post action="https&#x3a;//gis.example.test/callback"><input name=code value=the-code><input name=state value=s><input name=other value=x></form>`}, authorizeURL + "&response_mode=form_post", 1},
	} {
		o := goodOrg(t, c.change)
		answer, err := o.signInFor(c.request)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if o.passwords() != c.passwords {
			t.Errorf("%s: %d passwords, want %d", name, o.passwords(), c.passwords)
		}
		if name == "a form" {
			if answer.URL.String() != "https://gis.example.test/callback" || answer.Form.Encode() != "code=the-code&state=s" {
				t.Errorf("%s: %v", name, answer)
			}
		} else if answer.URL.String() != goodCallback {
			t.Errorf("%s: %v", name, answer)
		}
	}
}

// TestCodeRefused: what comes instead of a code, and its name. Nothing is ever sent
// elsewhere than to Okta.
func TestCodeRefused(t *testing.T) {
	callback := func(q string) string { return "→https://gis.example.test/callback?" + q }
	for name, c := range map[string]struct {
		answer string // of authorize/redirect
		kind   auth.Kind
		code   string
	}{
		"not assigned":       {callback("state=s&error=access_denied&error_description=User+is+not+assigned+to+the+client+application."), auth.NotAssigned, "access_denied"},
		"policy":             {callback("state=s&error=access_denied&error_description=Policy+evaluation+failed+for+this+request"), auth.PolicyDenied, "access_denied"},
		"login required":     {callback("state=s&error=login_required"), auth.SessionLost, "login_required"},
		"consent":            {callback("state=s&error=consent_required"), auth.ConsentNeeded, "consent_required"},
		"interaction":        {callback("state=s&error=interaction_required"), auth.ConsentNeeded, "interaction_required"},
		"busy":               {callback("state=s&error=temporarily_unavailable"), auth.Unreachable, "temporarily_unavailable"},
		"scope":              {callback("state=s&error=invalid_scope&error_description=One+or+more+scopes+are+not+configured"), auth.BadLogin, "invalid_scope"},
		"an error's novel":   {callback("state=s&error=password+is+hunter2"), auth.BadLogin, ""},
		"client":             {`400 {"errorCode":"invalid_client","errorSummary":"Invalid value for 'client_id' parameter."}`, auth.BadLogin, ""},
		"callback":           {`400 <h1>400</h1><p>The 'redirect_uri' parameter must be a Login redirect URI in the client app settings.</p>`, auth.BadLogin, ""},
		"something else":     {`400 <h1>Bad request</h1>`, auth.UnexpectedPage, ""},
		"state mixed up":     {callback("code=x&state=other"), auth.UnexpectedPage, ""},
		"error mixed up":     {callback("error=access_denied&state=other"), auth.UnexpectedPage, ""},
		"no state":           {callback("code=x"), auth.UnexpectedPage, ""},
		"no code":            {callback("state=s"), auth.UnexpectedPage, ""},
		"both":               {callback("state=s&code=x&error=y"), auth.UnexpectedPage, ""},
		"foreign host":       {"→https://evil.example/callback?code=x&state=s", auth.ForeignOrigin, ""},
		"user info":          {"→https://gis.example.test@evil.example/callback?code=x&state=s", auth.ForeignOrigin, ""},
		"no encryption":      {"→http://gis.example.test/callback?code=x&state=s", auth.ForeignOrigin, ""},
		"another path":       {"→https://gis.example.test/other?code=x&state=s", auth.ForeignOrigin, ""},
		"a form elsewhere":   {`<form method=post action="https://evil.example/callback"><input name=code value=x><input name=state value=s></form>`, auth.UnexpectedPage, ""},
		"a form by GET":      {`<form action="https://gis.example.test/callback"><input name=code value=x><input name=state value=s></form>`, auth.UnexpectedPage, ""},
		"a form mixed up":    {`<form method=post action="https://gis.example.test/callback"><input name=code value=x><input name=state value=other></form>`, auth.UnexpectedPage, ""},
		"a form's error":     {`<form method=post action="https://gis.example.test/callback"><input name=error value=access_denied><input name=state value=s></form>`, auth.NotAssigned, "access_denied"},
		"the page again":     {codePage, auth.UnexpectedPage, ""},
		"an assertion":       {`<form method=post action="https://evil.example/acs"><input name=SAMLResponse value=x></form>`, auth.UnexpectedPage, ""},
		"redirects for ever": {"→/oauth2/v1/authorize/redirect", auth.UnexpectedPage, ""},
	} {
		o := goodOrg(t, at{"/oauth2/v1/authorize/redirect": c.answer})
		answer, err := o.signInFor(authorizeURL)
		e, ok := err.(*auth.Error)
		if !ok || e.Kind != c.kind || e.Code != c.code {
			t.Errorf("%s: %v %v, want %q (%s)", name, answer, err, c.kind, c.code)
			continue
		}
		if o.passwords() != 1 || len(o.sent) > 24 {
			t.Errorf("%s: %d passwords in %d requests", name, o.passwords(), len(o.sent))
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNobodyAfterAll: an organization that says that nobody is signed in, after
// somebody has signed in by Identity Engine, is not given the password for that.
func TestNobodyAfterAll(t *testing.T) {
	o := goodOrg(t, at{"/oauth2/v1/authorize": "→https://gis.example.test/callback?error=login_required&state=s"})
	u := address(t, "https://example.okta.test")
	w := &walk{client: New(Config{URL: u}), browser: auth.NewBrowser(auth.BrowserConfig{Transport: o, Origins: []*url.URL{u}}), request: auth.Handoff{URL: address(t, authorizeURL)}, signedIn: true}
	w.account = auth.NewAccount(auth.Identity{Name: "alice", Username: "alice@example.com", Password: secret("a-password")})
	w.watch = auth.Watch{Waited: func() bool { return true }}
	if _, err := w.run(t.Context()); auth.KindOf(err) != auth.SessionLost || o.passwords() != 0 {
		t.Errorf("%v after %d passwords", err, o.passwords())
	}
}

// TestCallbackOfSAML: a request that asks for no code gets none.
func TestCallbackOfSAML(t *testing.T) {
	o := goodOrg(t, at{"/app/x": "→" + goodCallback})
	if answer, err := o.signInFor("https://example.okta.test/app/x?SAMLRequest=x"); auth.KindOf(err) != auth.ForeignOrigin {
		t.Errorf("%v %v", answer, err)
	}
}

// FuzzCallback holds the answer of an OpenID Connect request against any page and
// any redirect.
func FuzzCallback(f *testing.F) {
	f.Add([]byte(`<form method=post action="https://gis.example.test/callback"><input name=code value=x><input name=state value=s></form>`), "")
	f.Add([]byte(codePage), goodCallback)
	f.Add([]byte(""), "https://gis.example.test/callback?error=a&error_description=b&state=s")
	f.Fuzz(func(t *testing.T, body []byte, to string) {
		w := &walk{client: New(Config{URL: address(t, "https://example.okta.test")}), request: auth.Handoff{URL: address(t, authorizeURL)}}
		page := &auth.Page{URL: address(t, "https://example.okta.test/x"), Status: 200, Header: http.Header{}, Body: body}
		if u, err := url.Parse(to); err == nil && to != "" {
			page.Redirect = u
		}
		answer, ok, err := w.callback(page)
		if ok && (err != nil || auth.Origin(answer.URL) != "https://gis.example.test" || answer.URL.Path != "/callback") {
			t.Errorf("%v %v", answer, err)
		}
		if err != nil && len(err.Error()) > 1024 {
			t.Errorf("%v", err)
		}
		_ = w.unexpected(page, "")
	})
}
