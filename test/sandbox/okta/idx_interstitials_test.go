package okta

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// with makes an organization in which bob, who has no second factor, is as said.
func with(t *testing.T, bend func(*Settings), change func(*User)) *Org {
	t.Helper()
	o := engine(t, bend)
	if change != nil {
		if err := o.Alter("bob@example.com", change); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// bob signs bob in as far as it goes.
func bob(t *testing.T, o *Org) *flow {
	t.Helper()
	return newBrowser(t, o).visit(provider(t, o)).identify("bob@example.com", "battery staple")
}

func TestIDXRefusals(t *testing.T) {
	for _, tc := range []struct {
		name   string
		bend   func(*Settings)
		change func(*User)
		status int
		key    string
		next   string // forms that are offered, "": none
	}{
		{"denied", nil, func(u *User) { u.State = Denied }, 403, "security.access_denied", ""},
		{"not assigned", nil, func(u *User) { u.Unassigned = true }, 400, "idx.error.user.not.assigned.to.app", "identify select-enroll-profile"},
		{"unsatisfiable", func(s *Settings) { s.IDX.Unsatisfiable = true }, nil, 400, "oie.assurance.unsatisfiable", "identify select-enroll-profile"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := bob(t, with(t, tc.bend, tc.change)).want(tc.status, tc.key)
			if f.names() != tc.next {
				t.Errorf("offers %q", f.names())
			}
			if tc.next == "" {
				f.introspect(f.token).want(401, "idx.session.expired")
			}
		})
	}
	// A wrong password is a wrong password, whatever the account.
	f := newBrowser(t, with(t, nil, func(u *User) { u.State = Denied }))
	f.visit(provider(t, f.o)).identify("bob@example.com", "wrong")
	if n := f.o.Counts().BadPasswords; n != 1 {
		t.Errorf("%d bad passwords", n)
	}
}

func TestIDXDeniedWithSuccess(t *testing.T) {
	o := with(t, func(s *Settings) { s.IDX.DeniedWithSuccess = true }, nil)
	f := bob(t, o).want(200, "security.access_denied_custom_message")
	if r := f.end(); r.status != 403 || strings.Contains(r.body, "SAMLResponse") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if c := o.Counts(); c.Sessions+c.Assertions != 0 {
		t.Errorf("counts %+v", c)
	}
}

func TestIDXSuccessRemediation(t *testing.T) {
	f := bob(t, with(t, func(s *Settings) { s.IDX.SuccessRemediation = true }, nil)).want(200, "")
	if f.at("success") != nil || f.form("success-redirect").str("method") != "GET" {
		t.Errorf("%s", f.body)
	}
	signed(t, f.end())
}

func TestIDXPasswordWarning(t *testing.T) {
	o := with(t, nil, func(u *User) { u.State = PasswordWarn })
	f := bob(t, o).want(200, "idx.password.expiring.message")
	if f.names() != "reenroll-authenticator-warning skip" || f.at("messages", "value", 0, "class") != "INFO" {
		t.Errorf("%s", f.body)
	}
	f.do("skip", nil).want(200, "")
	signed(t, f.end())
	f = bob(t, o).do("reenroll-authenticator-warning", map[string]any{"credentials": map[string]any{"passcode": "a longer staple"}}).want(200, "")
	signed(t, f.end())
	newBrowser(t, o).visit(provider(t, o)).identify("bob@example.com", "a longer staple").want(200, "")
}

func TestIDXPasswordExpired(t *testing.T) {
	for state, name := range map[State]string{PasswordExpired: "reenroll-authenticator", PasswordReset: "reset-authenticator"} {
		f := bob(t, with(t, nil, func(u *User) { u.State = state })).want(200, "")
		if f.names() != name || f.current().str("key") != "okta_password" {
			t.Errorf("%s: offers %s", state, f.names())
		}
		for _, bad := range []string{"short", "battery staple"} {
			f.do(name, map[string]any{"credentials": map[string]any{"passcode": bad}}).want(400, "password.passwordRequirementsNotMet")
		}
		f.do(name, map[string]any{"credentials": map[string]any{"passcode": "a longer staple"}}).want(200, "")
		signed(t, f.end())
	}
}

func TestIDXEnrol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, must := range []bool{true, false} {
			o := with(t, func(s *Settings) { s.IDX.OfferEnroll = !must }, func(u *User) {
				if must {
					u.State = MFAEnroll
				}
			})
			f := bob(t, o).want(200, "")
			if (f.forms()["skip"].doc == nil) != must {
				t.Errorf("offers %s", f.names())
			}
			form := f.form("select-authenticator-enroll")
			option := result{doc: form.at("value", 0, "options", 0).(map[string]any)}
			if f.related(option.str("relatesTo")).str("key") != "google_otp" {
				t.Fatalf("%s", f.body)
			}
			f.submit(form, map[string]any{"authenticator": map[string]any{"id": option.str("value", "form", "value", 0, "value")}}).want(200, "")
			shared := f.current().str("contextualData", "sharedSecret")
			f.do("enroll-authenticator", map[string]any{"credentials": map[string]any{"passcode": "000000"}}).want(401, "api.authn.error.PASSCODE_INVALID")
			f.do("enroll-authenticator", map[string]any{"credentials": map[string]any{"passcode": codeOf(t, shared, time.Now())}}).want(200, "")
			signed(t, f.end())
			time.Sleep(time.Minute)
			bob(t, o).choose("google_otp", "otp").answer(codeOf(t, shared, time.Now())).want(200, "")
		}
		f := bob(t, with(t, func(s *Settings) { s.IDX.OfferEnroll = true }, nil)).do("skip", nil).want(200, "")
		signed(t, f.end())
	})
}

func TestIDXConsentAndProfile(t *testing.T) {
	f := bob(t, with(t, nil, func(u *User) { u.State = ConsentRequired })).want(200, "")
	f.do("consent", map[string]any{"consent": map[string]any{"granted": true}}).want(200, "")
	signed(t, f.end())
	f = bob(t, with(t, nil, func(u *User) { u.State = ConsentRequired }))
	f.do("consent", map[string]any{"consent": map[string]any{"granted": false}}).want(403, "security.access_denied")
	f = bob(t, with(t, nil, func(u *User) { u.State = ProfileRequired }))
	f.do("enroll-profile-update", map[string]any{"userProfile": map[string]any{"department": "x"}}).want(400, "registration.error.doesNotMatchPattern")
}

func TestIDXCaptcha(t *testing.T) {
	o := engine(t, func(s *Settings) { s.IDX.Captcha, s.IDX.Password = true, PasswordInIdentify })
	f := newBrowser(t, o).visit(provider(t, o))
	in := map[string]any{"identifier": "bob@example.com", "credentials": map[string]any{"passcode": "battery staple"}}
	f.do("identify", in).want(400, "model.validation.field.blank")
	in["captchaVerify"] = map[string]any{"captchaId": "another", "captchaToken": "x"}
	f.do("identify", in).want(400, "E0000020")
	in["captchaVerify"] = map[string]any{"captchaId": f.introspect(f.token).str("captcha", "value", "id"), "captchaToken": "x"}
	f.do("identify", in)
	if f.status != 400 || o.Counts().Primary != 0 {
		t.Errorf("%d %s", f.status, f.body)
	}
}

func TestIDXRedirect(t *testing.T) {
	for redirect, want := range map[Redirect]string{RedirectAlso: "identify redirect-idp select-enroll-profile", RedirectOnly: "redirect-idp select-enroll-profile"} {
		o := engine(t, func(s *Settings) { s.IDX.Redirect = redirect })
		f := newBrowser(t, o).visit(provider(t, o))
		form := f.form("redirect-idp")
		if f.names() != want || form.str("method") != http.MethodGet || !strings.HasPrefix(form.str("href"), baseURL+"/sso/idps/") || form.at("rel") != nil {
			t.Errorf("%s: %s", f.names(), f.body)
		}
	}
}

// TestIDXDecoys: registration, recovery and unlocking are offered, and end it.
func TestIDXDecoys(t *testing.T) {
	o := engine(t, func(s *Settings) { s.ShowLockout = true })
	sp := provider(t, o)
	for _, name := range []string{"select-enroll-profile", "unlock-account"} {
		f := newBrowser(t, o).visit(sp).do(name, nil).want(403, "security.access_denied")
		f.introspect(f.token).want(401, "idx.session.expired")
	}
}

// TestIDXSecretsAreListed: every token and code that went over the wire.
func TestIDXSecretsAreListed(t *testing.T) {
	o := engine(t, nil)
	b := newBrowser(t, o)
	f := b.visit(provider(t, o))
	want := []string{f.token, f.str("stateHandle")}
	f.identify("alice@example.com", "correct horse")
	want = append(want, f.str("stateHandle"))
	passCode := code(t, time.Now())
	f.choose("google_otp", "otp").answer(passCode).want(200, "")
	want = append(want, passCode, f.str("stateHandle"), strings.TrimPrefix(f.str("success", "href"), baseURL+"/login/token/redirect?stateToken="))
	f.end()
	want = append(want, cookieOf(b, "idx"), cookieOf(b, "DT"))
	known, _ := json.Marshal(o.Secrets())
	for _, s := range want {
		if len(s) < 6 || !strings.Contains(string(known), `"`+s+`"`) {
			t.Errorf("%.10q… is not listed", s)
		}
	}
}
