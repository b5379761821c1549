package okta

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crewjam/saml"
)

// again opens the application with the cookies that are there, and follows scripts
// that redirect. It returns the page.
func (b *browser) again(sp *saml.ServiceProvider) result {
	b.t.Helper()
	target, _ := request(b.t, sp, "relay")
	r := b.get(target)
	for range 5 {
		if to, ok := field(jsOf, r.body); ok {
			r = b.get(to)
		} else if r.status == http.StatusFound {
			r = b.get(r.header.Get("Location"))
		} else {
			break
		}
	}
	return r
}

// classic opens a session by the Authentication API, as far as it goes without a
// second factor.
func (b *browser) classic(login, password string) result {
	b.t.Helper()
	token := b.primary(login, password).state(b.t, success).str("sessionToken")
	return b.get("/login/sessionCookieRedirect?token=" + token + "&redirectUrl=%2F")
}

// Test30AppPolicy: /authn knows the organization's policy only. The application's
// asks for more, on a page of the Identity Engine whose token /authn refuses.
func Test30AppPolicy(t *testing.T) {
	for _, page := range []SessionPage{SessionForm, SessionRedirect, SessionWidget} {
		o := engine(t, func(s *Settings) { s.MFA, s.AppMFA, s.SessionPage = MFANever, true, page })
		sp := provider(t, o)
		b := newBrowser(t, o)
		b.classic("alice@example.com", "correct horse")
		names := ""
		for _, k := range b.Jar.Cookies(must(baseURL)) {
			names += k.Name + " "
		}
		if names != "DT idx " && names != "idx DT " {
			t.Errorf("cookies %s", names)
		}
		f := b.hosted(b.again(sp))
		b.post("/api/v1/authn", map[string]any{"stateToken": f.token}).want(t, 401, "E0000011")
		f.introspect(f.token).want(200, "")
		if f.forms()["identify"].doc != nil || f.current().str("key") == "okta_password" {
			t.Errorf("a session is asked who it is: %s", f.body)
		}
		f.choose("google_otp", "otp").answer(code(t, time.Now())).want(200, "")
		signed(t, f.end())
		if c := o.Counts(); c.Sessions != 1 || c.Primary != 1 || c.Passcodes != 1 {
			t.Errorf("counts %+v", c)
		}
		// From now on the session is enough.
		r := b.again(sp)
		if page == SessionWidget {
			f = b.hosted(r)
			r = f.want(200, "").end()
		} else if page == SessionRedirect && !strings.Contains(r.body, "SAMLResponse") { // by way of the widget's page
			r = b.hosted(r).want(200, "").end()
		}
		signed(t, r)
	}
}

// TestIDXSessionToken: the one-time token opens a session at the application, too.
func TestIDXSessionToken(t *testing.T) {
	o := engine(t, func(s *Settings) { s.MFA = MFANever })
	sp := provider(t, o)
	b := newBrowser(t, o)
	token := b.primary("bob@example.com", "battery staple").state(t, success).str("sessionToken")
	target, _ := request(t, sp, "relay")
	signed(t, b.get(target+"&sessionToken="+token))
	b.get("/api/v1/sessions/me").want200(t)
	if r := b.get("/api/v1/sessions/me"); r.at("idp") != nil || r.str("login") != "bob@example.com" {
		t.Errorf("session: %s", r.body)
	}
	// sid means nothing to the Identity Engine.
	other := newBrowser(t, o)
	other.Jar.SetCookies(must(baseURL), []*http.Cookie{{Name: "sid", Value: cookieOf(b, "idx")}})
	other.get("/api/v1/sessions/me").want(t, 404, "E0000007")
}

func (r result) want200(t *testing.T) {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
}

func cookieOf(b *browser, name string) string {
	for _, k := range b.Jar.Cookies(must(baseURL)) {
		if k.Name == name {
			return k.Value
		}
	}
	return ""
}

// TestIDXStepUpBelongsToItsSession: the step-up page is no way in for others.
func TestIDXStepUpBelongsToItsSession(t *testing.T) {
	o := engine(t, func(s *Settings) { s.MFA, s.AppMFA, s.SessionPage = MFANever, true, SessionRedirect })
	sp := provider(t, o)
	b := newBrowser(t, o)
	b.classic("alice@example.com", "correct horse")
	target, _ := request(t, sp, "relay")
	to, ok := field(jsOf, b.get(target).body)
	if !ok || !strings.HasPrefix(to, baseURL+"/login/step-up/redirect?stateToken=") {
		t.Fatalf("no script: %q", to)
	}
	if r := newBrowser(t, o).get(to); r.status != 403 {
		t.Errorf("a stranger: %d", r.status)
	}
	// Nor are the page's token, its forms and its end.
	o.Configure(func(s *Settings) { s.SessionPage = SessionWidget })
	f := b.hosted(b.again(sp)).want(200, "")
	stranger := *f
	stranger.browser = newBrowser(t, o)
	stranger.introspect(f.token).want(401, "idx.session.expired")
	stranger.result = f.result
	stranger.submit(f.action("cancel"), nil).want(401, "idx.session.expired")
	f.choose("google_otp", "otp").answer(code(t, time.Now())).want(200, "")
	stranger.result = f.result
	if r := stranger.end(); r.status != 403 || strings.Contains(r.body, "SAMLResponse") {
		t.Errorf("a stranger at the end: %d %.200s", r.status, r.body)
	}
	if n := o.Counts().Sessions; n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// TestIDXStepUpEndsWithItsSession: a session that ends meanwhile is not strengthened.
func TestIDXStepUpEndsWithItsSession(t *testing.T) {
	o := engine(t, func(s *Settings) { s.MFA, s.AppMFA, s.SessionPage = MFANever, true, SessionWidget })
	sp := provider(t, o)
	b := newBrowser(t, o)
	b.classic("alice@example.com", "correct horse")
	f := b.hosted(b.again(sp)).choose("google_otp", "otp")
	o.EndSessions()
	f.answer(code(t, time.Now())).want(401, "idx.session.expired")
	if n := o.Counts().Passcodes; n != 0 {
		t.Errorf("%d codes are looked at", n)
	}
}

// TestIDXDevices: a remembered device, by either question, spares the second factor
// once it has been given; a known one under its own policy; a new one never.
func TestIDXDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, ask := range []string{"rememberMe", "keepMeSignedIn", ""} {
			o := engine(t, func(s *Settings) { s.IDX.KeepSignedIn, s.IDX.Password = ask == "keepMeSignedIn", PasswordInIdentify })
			sp := provider(t, o)
			b := newBrowser(t, o)
			f := b.visit(sp).do("identify", map[string]any{"identifier": "alice@example.com", "rememberMe": ask == "rememberMe", "credentials": map[string]any{"passcode": "correct horse"}})
			time.Sleep(time.Minute)
			f.choose("google_otp", "otp").answer(code(t, time.Now())).want(200, "")
			if ask == "keepMeSignedIn" {
				f.do("keep-me-signed-in", nil).want(400, "model.validation.field.blank")
				f.do("keep-me-signed-in", map[string]any{"keepMeSignedIn": true}).want(200, "")
			}
			signed(t, f.end())
			o.EndSessions()
			again := func(b *browser) string {
				t.Helper()
				f := b.visit(sp).identify("alice@example.com", "correct horse").want(200, "")
				if ask == "keepMeSignedIn" && f.forms()["keep-me-signed-in"].doc != nil {
					f.do("keep-me-signed-in", map[string]any{"keepMeSignedIn": false})
				}
				return f.str("success", "name")
			}
			want := map[bool]string{true: "success-redirect"}[ask != ""]
			if got := again(b); got != want {
				t.Errorf("%q: the same device: %q", ask, got)
			}
			if got := again(newBrowser(t, o)); got != "" {
				t.Errorf("%q: another device: %q", ask, got)
			}
			time.Sleep(16 * time.Minute)
			if got := again(b); got != "" {
				t.Errorf("%q: too late: %q", ask, got)
			}
			o.Configure(func(s *Settings) { s.MFA = MFANewDevice })
			if got := again(b); got != "success-redirect" {
				t.Errorf("%q: a known device: %q", ask, got)
			}
		}
	})
}

func TestIDXRememberedCookieLasts(t *testing.T) {
	for _, remember := range []bool{true, false} {
		o := engine(t, func(s *Settings) { s.IDX.Password = PasswordInIdentify })
		f := newBrowser(t, o).visit(provider(t, o))
		f.do("identify", map[string]any{"identifier": "bob@example.com", "rememberMe": remember, "credentials": map[string]any{"passcode": "battery staple"}})
		r := f.get(f.str("success", "href"))
		set := strings.Join(r.header.Values("Set-Cookie"), "\n")
		if !strings.Contains(set, "idx=") || strings.Contains(set, "Max-Age") != remember {
			t.Errorf("remember %t: %s", remember, set)
		}
	}
}

func TestIDXFastPass(t *testing.T) {
	o := engine(t, func(s *Settings) { s.IDX.FastPass = FastPassProbed })
	sp := provider(t, o)
	f := newBrowser(t, o).visit(sp)
	for range 3 {
		f.do("device-challenge-poll", nil).want(200, "")
	}
	cancel := f.action("authenticatorChallenge", "value", "cancel")
	f.submit(cancel, nil).want(200, "")
	f.identify("alice@example.com", "correct horse").want(200, "").choose("okta_verify", "signed_nonce")
	f.form("device-challenge-poll")
	f.submit(f.action("authenticatorChallenge", "value", "cancel"), nil).want(200, "")
	f.choose("google_otp", "otp").answer(code(t, time.Now()))
	signed(t, f.end())

	o.Configure(func(s *Settings) { s.IDX.FastPass = FastPassOffered })
	f = newBrowser(t, o).visit(sp).do("launch-authenticator", nil).want(200, "")
	f.form("device-challenge-poll")
	f.submit(f.action("cancel"), nil).want(200, "").form("identify")
}

func TestIDXAutoChallenge(t *testing.T) {
	o := engine(t, func(s *Settings) { s.IDX.AutoChallenge = true })
	f := newBrowser(t, o).visit(provider(t, o)).identify("alice@example.com", "correct horse").want(200, "")
	poll := f.form("challenge-poll")
	if poll.str("value", 0, "name") != "autoChallenge" || poll.at("value", 0, "required") != "false" || poll.at("value", 0, "value") != true || o.Counts().Pushes != 1 {
		t.Errorf("%d pushes, %s", o.Counts().Pushes, f.body)
	}
	o.Phone("alice@example.com").Approve()
	f.do("challenge-poll", map[string]any{"autoChallenge": true}).want(200, "")
	signed(t, f.end())
}

// TestIDXNothingIsSentUnasked: no seed sends a push or a message by itself.
func TestIDXNothingIsSentUnasked(t *testing.T) {
	for range 20 {
		o := engine(t, nil)
		sp := provider(t, o)
		f := newBrowser(t, o).visit(sp).identify("alice@example.com", "correct horse").want(200, "")
		f.introspect(f.token)
		f.submit(f.action("cancel"), nil)
		if n := o.Counts().Pushes; n != 0 {
			t.Errorf("%d pushes", n)
		}
	}
}
