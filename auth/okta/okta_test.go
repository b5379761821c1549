package okta

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"arcproxy/auth"
)

func address(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func secret(text string) auth.SecretSource {
	return func(context.Context) (auth.Secret, error) { return auth.NewSecret(text), nil }
}

// trip is a RoundTripper made of a function. The body of a redirect is where it leads.
type trip func(*http.Request) (status int, body string)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := f(r)
	header := http.Header{"Content-Type": {"text/html"}}
	if status == http.StatusFound {
		header.Set("Location", body)
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// signIn signs an account with a password in to an Okta that f plays.
func signIn(t *testing.T, identity auth.Identity, f trip) (auth.Handoff, error) {
	t.Helper()
	u := address(t, "https://example.okta.test")
	b := auth.NewBrowser(auth.BrowserConfig{Origins: []*url.URL{u}, Transport: trip(func(r *http.Request) (int, string) {
		if r.URL.Path == "/.well-known/okta-organization" {
			return 200, `{"pipeline":"v1"}`
		}
		return f(r)
	})})
	identity.Name, identity.Username = "alice", "alice@example.com"
	identity.Password = secret("a-password")
	request := auth.Handoff{URL: address(t, "https://example.okta.test/app/x/sso/saml?SAMLRequest=x")}
	return New(Config{URL: u}).SignIn(t.Context(), b, auth.NewAccount(identity), auth.Watch{Waited: func() bool { return true }}, request)
}

const signInHTML = `<script>var stateToken = ''; var fromUri = '\x2Fapp\x2Fx\x2Fsso\x2Fsaml\x3FSAMLRequest\x3Dx';</script>`

// TestErrorCodes: each code of Okta's, at the password, becomes its kind.
func TestErrorCodes(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		kind   auth.Kind
	}{
		{401, "E0000004", auth.CredentialRefused},
		{401, "E0000011", auth.SessionLost},
		{401, "E0000064", auth.PasswordExpired},
		{401, "E0000207", auth.CredentialRefused},
		{401, "E0009999", auth.CredentialRefused},
		{403, "E0000068", auth.PasscodeRefused},
		{403, "E0000069", auth.AccountLocked},
		{403, "E0000119", auth.AccountLocked},
		{403, "E0000073", auth.PushRejected},
		{403, "E0000079", auth.SessionLost},
		{403, "E0000082", auth.PasscodeRefused},
		{403, "E0000083", auth.PasscodeRefused},
		{403, "E0000058", auth.FactorUnavailable},
		{403, "E0000150", auth.RateLimited},
		{403, "E0000151", auth.RateLimited},
		{429, "E0000047", auth.RateLimited},
		{429, "E0000109", auth.RateLimited},
		{429, "E0000118", auth.RateLimited},
		{429, "E0000133", auth.RateLimited},
		{500, "E0000009", auth.Unanswered},
		{403, "E0000006", auth.Unanswered},
		{400, "E0000001", auth.Unanswered},
	} {
		posts := 0
		_, err := signIn(t, auth.Identity{}, func(r *http.Request) (int, string) {
			if r.Method == http.MethodGet {
				return 200, signInHTML
			}
			posts++
			return c.status, fmt.Sprintf(`{"errorCode":%q,"errorSummary":"A summary.","errorCauses":[{"errorSummary":"secret"}]}`, c.code)
		})
		e, ok := err.(*auth.Error)
		if !ok || e.Kind != c.kind || e.Code != c.code || e.Step != stepPassword {
			t.Errorf("%d %s: %v, want %q", c.status, c.code, err, c.kind)
			continue
		}
		if posts != 1 {
			t.Errorf("%s: %d posts", c.code, posts)
		}
		if c.kind == auth.RateLimited && (e.Until.Before(time.Now().Add(3*time.Second)) || e.Until.After(time.Now().Add(70*time.Second))) {
			t.Errorf("%s: until %s", c.code, time.Until(e.Until))
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
}

// TestEndings: each state that cannot be passed has its kind, under either name
// that Okta has for it.
func TestEndings(t *testing.T) {
	for status, kind := range map[string]auth.Kind{
		"LOCKED_OUT":          auth.AccountLocked,
		"PASSWORD_EXPIRED":    auth.PasswordExpired,
		"PASSWORD_WARN":       auth.PasswordExpired, // without a link to skip it
		"PASSWORD_RESET":      auth.PasswordReset,
		"RECOVERY":            auth.PasswordReset,
		"RECOVERY_CHALLENGE":  auth.PasswordReset,
		"MFA_ENROLL":          auth.EnrollmentNeeded,
		"MFA_ENROLL_ACTIVATE": auth.EnrollmentNeeded,
		"MFA_REQUIRED":        auth.FactorUnavailable, // without factors
		"FACTOR_REQUIRED":     auth.FactorUnavailable,
		"MFA_CHALLENGE":       auth.SessionLost, // not ours, and no way back
		"FACTOR_CHALLENGE":    auth.SessionLost,
		"CONSENT_REQUIRED":    auth.ConsentNeeded,
		"PROFILE_REQUIRED":    auth.ProfileIncomplete,
		"UNAUTHENTICATED":     auth.SessionLost,
		"SUCCESS":             auth.UnexpectedPage, // with nothing to go on with
		"NEW_STATE":           auth.UnexpectedPage,
	} {
		cancelled := 0
		_, err := signIn(t, auth.Identity{}, func(r *http.Request) (int, string) {
			switch {
			case r.Method == http.MethodGet:
				return 200, signInHTML
			case r.URL.Path == "/cancel":
				cancelled++
			}
			return 200, fmt.Sprintf(`{"status":%q,"stateToken":"00x","_links":{"cancel":{"href":"https://example.okta.test/cancel"}}}`, status)
		})
		if auth.KindOf(err) != kind {
			t.Errorf("%s: %v, want %q", status, err, kind)
		}
		if status != "SUCCESS" && cancelled != 1 {
			t.Errorf("%s: %d cancellations, want 1", status, cancelled)
		}
	}
}

// TestFactorResults: what a code's check may come to without an error code.
func TestFactorResults(t *testing.T) {
	for result, kind := range map[string]auth.Kind{
		"CANCELLED": auth.FactorFailed,
		"ERROR":     auth.FactorFailed,
		"REJECTED":  auth.PushRejected,
		"TIMEOUT":   auth.PushTimedOut,
	} {
		_, err := signIn(t, auth.Identity{TOTPSecret: secret("JBSWY3DPEHPK3PXP")}, func(r *http.Request) (int, string) {
			switch {
			case r.Method == http.MethodGet:
				return 200, signInHTML
			case r.URL.Path == "/verify":
				return 200, fmt.Sprintf(`{"status":"MFA_CHALLENGE","stateToken":"00x","factorResult":%q}`, result)
			}
			return 200, `{"status":"MFA_REQUIRED","stateToken":"00x","_embedded":{"factor":{"id":"f","factorType":"token:software:totp","provider":"OKTA","_links":{"verify":{"href":"/verify"}}}}}`
		})
		if auth.KindOf(err) != kind {
			t.Errorf("%s: %v, want %q", result, err, kind)
		}
	}
}

// TestRememberDevice: only where the policy allows it, only in the query, and not
// at the price of what the link already has there.
func TestRememberDevice(t *testing.T) {
	for _, allowed := range []bool{true, false} {
		var got string
		_, _ = signIn(t, auth.Identity{TOTPSecret: secret("JBSWY3DPEHPK3PXP")}, func(r *http.Request) (int, string) {
			switch {
			case r.Method == http.MethodGet:
				return 200, signInHTML
			case r.URL.Path == "/verify":
				text, _ := io.ReadAll(r.Body)
				if strings.Contains(string(text), "rememberDevice") {
					t.Error("in the body")
				}
				got = r.URL.RawQuery
				return 403, `{"errorCode":"E0000069"}`
			}
			return 200, fmt.Sprintf(`{"status":"MFA_REQUIRED","stateToken":"00x","_embedded":{"policy":{"allowRememberDevice":%v},"factors":[{"id":"f","factorType":"token:software:totp","provider":"OKTA","_links":{"verify":{"href":"/verify?a=b"}}}]}}`, allowed)
		})
		want := "a=b"
		if allowed {
			want += "&rememberDevice=true"
		}
		if got != want {
			t.Errorf("query %q, want %q", got, want)
		}
	}
}

// TestPipeline: what is no organization is asked about again, an engine is not.
func TestPipeline(t *testing.T) {
	for _, engine := range []string{Classic, IdentityEngine} {
		u := address(t, "https://example.okta.test")
		asked, answer, status := 0, "", 200
		b := auth.NewBrowser(auth.BrowserConfig{Origins: []*url.URL{u}, Transport: trip(func(r *http.Request) (int, string) {
			asked++
			return status, answer
		})})
		c := New(Config{URL: u})
		for _, answer = range []string{`{}`, `<html>`, `{"pipeline":7}`, ``} {
			if _, err := c.Pipeline(t.Context(), b); auth.KindOf(err) != auth.UnexpectedPage {
				t.Errorf("%s: %v", answer, err)
			}
		}
		answer = `{"pipeline":"v9"}`
		if _, err := c.Pipeline(t.Context(), b); auth.KindOf(err) != auth.NotSupported {
			t.Error(err)
		}
		status, answer = 404, `{"pipeline":"v1"}`
		if _, err := c.Pipeline(t.Context(), b); auth.KindOf(err) != auth.UnexpectedPage {
			t.Error(err)
		}
		asked, status, answer = 0, 200, fmt.Sprintf(`{"pipeline":%q}`, engine)
		for range 3 {
			if got, err := c.Pipeline(t.Context(), b); got != engine || err != nil {
				t.Fatal(got, err)
			}
		}
		if asked != 1 {
			t.Errorf("%s: asked %d times, want once", engine, asked)
		}
	}
}

func TestClassify(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   what
		text   string
	}{
		"assertion":               {200, `<form id=appForm method=post action="https&#x3a;//gis.test/x"><input name=SAMLResponse value=x><input name=RelayState></form>`, assertion, ""},
		"assertion with an error": {500, `<form action="https://gis.test/x"><input name=SAMLResponse value=x></form>`, unknown, ""},
		"sign-in":                 {200, signInHTML, signInPage, "/app/x/sso/saml?SAMLRequest=x"},
		"sign-in, oktaData":       {200, `<script>var oktaData={"signIn":{"stateToken":"","cancel":function(){window.location.href='\x2F';}},"fromUri":"\x2Fa"}</script>`, signInPage, "/a"},
		"sign-in, old page":       {200, `<form><input name=username><input name=password type=password></form>`, signInPage, ""},
		"step-up":                 {200, `<script>var stateToken = "00a\u002Db";</script>`, stepUpPage, "00a-b"},
		"step-up, oktaData":       {200, `<script>oktaData={"x":function(){return '}'},"stateToken":"00a\x2Db"}</script>`, stepUpPage, "00a-b"},
		"Identity Engine":         {200, `<script>var stateToken='eyJ\x2D'</script>`, identityEngine, "eyJ-"},
		"Identity Engine, 02.id":  {200, `<script>var stateToken='02.id.x'</script>`, identityEngine, "02.id.x"},
		"Identity Engine, older":  {200, `<script>oktaData={"x":function(){},"stateToken":"02x\u002Dy"}</script>`, identityEngine, "02x-y"},
		"script redirect":         {200, `<script>window.location.href='https\x3A\x2F\x2Fexample.okta.test\x2Flogin\x2Fstep\x2Dup\x2Fredirect\x3FstateToken\x3D00a'</script>`, redirection, "https://example.okta.test/login/step-up/redirect?stateToken=00a"},
		"repost":                  {200, `<form id="appForm" method="POST" action="/app/x"><input name="SAMLRequest" value="x"></form>`, repost, ""},
		"repost elsewhere":        {200, `<form id="appForm" method="POST" action="https://evil.test/app/x"><input name="SAMLRequest" value="x"></form>`, unknown, ""},
		"not assigned, 403":       {403, `<h2>Sorry, you can&#39;t access ArcGIS because you are not assigned this app in Okta.</h2>`, notAssigned, ""},
		"not assigned, 200":       {200, `<p>User is not assigned to this application.</p>`, notAssigned, ""},
		"maintenance":             {200, `<h1>We'll be back</h1>`, unknown, ""},
		"nothing":                 {200, ``, unknown, ""},
	} {
		page := &auth.Page{URL: address(t, "https://example.okta.test/app/x"), Status: c.status, Header: http.Header{}, Body: []byte(c.body)}
		if got := classify(page); got.what != c.want || got.text != c.text {
			t.Errorf("%s: %v %q, want %v %q", name, got.what, got.text, c.want, c.text)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"status":"MFA_REQUIRED","stateToken":"00x","expiresAt":"2024-01-01T00:00:00.000Z","_embedded":{"factors":[{"id":"f","factorType":"push","provider":"OKTA","profile":{"name":"x"},"_links":{"verify":{"href":"/v"}}}],"policy":{"allowRememberDevice":true}},"_links":{"cancel":{"href":"/c"},"resend":[{"name":"sms","href":"/r"}]}}`,
		`{"status":"MFA_CHALLENGE","factorResult":"WAITING","_embedded":{"factor":{"factorType":"push","_embedded":{"challenge":{"correctAnswer":0}}}},"_links":{"next":{"name":"poll","href":"/v"}}}`,
		`{"errorCode":"E0000004","errorSummary":"x"}`,
		`{"status":"MFA_CHALLENGE","_embedded":{"factor":{"factorType":"web","_embedded":{"verification":{"host":"h","signature":"TX:APP","_links":{"complete":{"href":"/c"}}}}}}}`,
		`{"status":"MFA_REQUIRED","_embedded":{"factors":[{"factorType":"sms","profile":{"phoneNumber":"1"}},{"factorType":"question","profile":{"questionText":"?"}},{"factorType":"webauthn","profile":{"credentialId":"AAAA"},"_embedded":{"challenge":{"challenge":"x","userVerification":"required"}}}]}}`,
		`{"status":"x","_links":[],"_embedded":{"factors":{},"factor":[1,null]},"expiresAt":5}`,
		`null`, `[]`, `"`, `{"status":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, ok := parseAnswer(text)
		if !ok {
			return
		}
		if !json.Valid(text) {
			t.Error("took what is no JSON")
		}
		for _, l := range a.Links {
			if l.Href == "" {
				t.Error("a link without an address")
			}
		}
		for _, factor := range a.Embedded.Factors {
			if n := factor.Embedded.Challenge.CorrectAnswer; len(n) > 4 {
				t.Errorf("number %q", n)
			}
		}
		options := (&Client{}).options(a.Embedded.Factors)
		person := auth.Watch{Waited: func() bool { return true }, Ask: func(context.Context, auth.Challenge) (auth.Secret, error) { return auth.Secret{}, nil }}
		p := &prover{account: auth.NewAccount(auth.Identity{}), watch: person}
		if kind, found, err := p.choose(options); err == nil && (len(found) == 0 || options[found[0]].factor != kind) {
			t.Errorf("chose %q %v of %v", kind, found, options)
		}
		_ = ending("step", a.status())
		_ = refusal("step", &auth.Page{Status: 403}, a)
	})
}

func FuzzClassify(f *testing.F) {
	f.Add([]byte(signInHTML))
	f.Add([]byte(`<form id=appForm method=post action="/x"><input name=SAMLResponse>`))
	f.Add([]byte(`<script>window.location.href='x'</script>`))
	f.Add([]byte(`<script>var oktaData={"x":function(){},"stateToken":"02.id.a\x2Db"}</script>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		page := &auth.Page{URL: address(t, "https://example.okta.test/app/x"), Status: 200, Header: http.Header{}, Body: body}
		found := classify(page)
		if found.what == assertion && (found.form.Action == nil || !found.form.Has("SAMLResponse")) {
			t.Error("an assertion that cannot be sent")
		}
		if found.what == repost && !auth.SameOrigin(found.form.Action, page.URL) {
			t.Error("a repost elsewhere")
		}
		if found.what == stepUpPage && !strings.HasPrefix(found.text, "00") {
			t.Error("a step-up without its token")
		}
		if found.what == identityEngine && !strings.HasPrefix(found.text, "eyJ") && !strings.HasPrefix(found.text, "02") {
			t.Error("Identity Engine without its token")
		}
	})
}
