package okta

import (
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func sorted(names iter.Seq[string]) []string { return slices.Sorted(names) }

// TestIDXSignIns signs in by code and by push under many seeds: the shapes vary,
// what is proven does not.
func TestIDXSignIns(t *testing.T) {
	for range 12 {
		o := engine(t, nil)
		sp := provider(t, o)
		b := newBrowser(t, o)
		f := b.visit(sp)
		before := o.Counts()
		f.identify("alice@example.com", "correct horse").choose("google_otp", "otp").answer(code(t, time.Now())).want(200, "")
		signed(t, f.end())
		c := o.Counts()
		if c.Primary-before.Primary != 1 || c.Passcodes != 1 || c.Pushes != 0 || c.Sessions != 1 || c.Assertions != 1 || c.IDX.Flows != 1 || c.IDX.Successes != 1 || c.IDX.Refused != 0 {
			t.Errorf("counts %+v", c)
		}
		if got := len(b.Jar.Cookies(must(baseURL))); got != 2 { // DT and idx
			t.Errorf("cookies %v", b.Jar.Cookies(must(baseURL)))
		}

		other := newBrowser(t, o)
		o.Phone("alice@example.com").ApproveAfter(0)
		f = other.visit(sp).identify("alice@example.com", "correct horse").choose("okta_verify", "push").want(200, "")
		f.do("challenge-poll", nil).want(200, "")
		signed(t, f.end())
		if n := o.Counts().Pushes; n != 1 {
			t.Errorf("%d pushes", n)
		}
	}
}

func must(s string) *url.URL { u, _ := url.Parse(s); return u }

func TestIDXWithoutSecondFactor(t *testing.T) {
	o := engine(t, nil)
	sp := provider(t, o)
	f := newBrowser(t, o).visit(sp).identify("bob@example.com", "battery staple").want(200, "")
	signed(t, f.end())
}

// TestIDXPages: all shapes carry the token, escaped.
func TestIDXPages(t *testing.T) {
	for shape := ShapeSingle; shape <= ShapeData; shape++ {
		o := engine(t, func(s *Settings) { s.Shape = shape })
		sp := provider(t, o)
		b := newBrowser(t, o)
		target, _ := request(t, sp, "relay")
		page := b.get(target)
		f := b.hosted(page)
		if strings.Contains(page.body, f.token) || f.form("identify").str("href") != baseURL+"/idp/idx/identify" {
			t.Errorf("shape %d: %s", shape, page.body)
		}
		m := tokenOf.FindStringSubmatch(page.body)
		f.introspect(m[1]+m[2]).want(401, "idx.session.expired") // as it is written in the page
	}
}

func TestIDXContentTypes(t *testing.T) {
	o := engine(t, nil)
	f := newBrowser(t, o).visit(provider(t, o))
	in := map[string]any{"stateToken": f.token}
	for _, bad := range [][2]string{
		{"application/json", ionJSON}, {"application/ion+json", ionJSON}, {"application/ion+json; okta-version=2.0.0", ionJSON}, {"", ionJSON}, {"text/plain", ionJSON},
	} {
		f.result = f.ion("/idp/idx/introspect", bad[0], bad[1], in)
		f.want(415, "errors.E0000021")
	}
	for _, bad := range []string{"application/json", "*/*", "text/html", "application/ion+json", "application/json; okta-version=1.0.0"} {
		f.result = f.ion("/idp/idx/introspect", ionJSON, bad, in)
		f.want(406, "errors.E0000021")
	}
	f.introspect(f.token).want(200, "")
	form, body := f.form("identify"), map[string]any{"identifier": "bob@example.com", "stateHandle": f.str("stateHandle")}
	f.result = f.ion(form.str("href"), "application/x-www-form-urlencoded", ionJSON, body)
	f.want(415, "errors.E0000021")
	f.result = f.ion(form.str("href"), "application/json", "application/json", body)
	f.want(406, "errors.E0000021")
	for _, text := range []string{"", "null", "[]", "{", `{"stateToken":1}`, `{}`, `{"stateToken":"x","more":1}`} {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", baseURL+"/idp/idx/introspect", strings.NewReader(text))
		req.Header.Set("Content-Type", ionJSON)
		req.Header.Set("Accept", ionJSON)
		if r := f.send(req); r.status != 400 {
			t.Errorf("%q: %d %s", text, r.status, r.body)
		}
	}
	if r := f.get("/idp/idx/identify"); r.status != 405 {
		t.Errorf("GET: %d", r.status)
	}
}

// TestIDXHandles: an old handle, the page's token and a made-up one are worth nothing.
func TestIDXHandles(t *testing.T) {
	o := engine(t, func(s *Settings) { s.IDX.Password = PasswordAlone })
	f := newBrowser(t, o).visit(provider(t, o))
	form, first := f.form("identify"), f.str("stateHandle")
	f.do("identify", map[string]any{"identifier": "alice@example.com"}).want(200, "")
	last := f.str("stateHandle")
	if last == first {
		t.Fatal("the stateHandle did not change")
	}
	for _, old := range []string{first, f.token, "02.id.nonesuch~c.x", ""} {
		f.submit(form, map[string]any{"identifier": "alice@example.com", "stateHandle": old}).want(401, "idx.session.expired")
		if f.str("stateHandle") != "" || f.names() != "" {
			t.Errorf("it offers a way on: %s", f.body)
		}
	}
	f.introspect(last).want(200, "").choose("okta_password", "password")
}

func TestIDXExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := engine(t, nil)
		f := newBrowser(t, o).visit(provider(t, o))
		for range 3 {
			time.Sleep(4 * time.Minute)
			f.introspect(f.token).want(200, "")
		}
		time.Sleep(5*time.Minute + time.Second)
		f.introspect(f.token).want(401, "idx.session.expired")
	})
}

// TestIDXForms: what does not suit the form is a 400, and does nothing.
func TestIDXForms(t *testing.T) {
	o := engine(t, func(s *Settings) { s.IDX.Password, s.IDX.Select = PasswordAlone, SelectAlways })
	if err := o.Alter("alice@example.com", func(u *User) { u.TOTPProvider = "OKTA" }); err != nil {
		t.Fatal(err)
	}
	sp := provider(t, o)
	f := newBrowser(t, o).visit(sp)
	identify := func(v map[string]any) *flow {
		t.Helper()
		f.introspect(f.token)
		return f.do("identify", v)
	}
	identify(map[string]any{"identifier": "alice@example.com", "password": "x"}).want(400, "E0000020")
	identify(map[string]any{"identifier": []any{"alice@example.com"}}).want(400, "E0000020")
	identify(map[string]any{"identifier": "alice@example.com", "rememberMe": "true"}).want(400, "E0000020")
	identify(map[string]any{"identifier": "alice@example.com", "credentials": map[string]any{"passcode": "x"}}).want(400, "E0000020")
	identify(map[string]any{"identifier": ""}).want(400, "model.validation.field.blank")
	if f.form("identify").str("value", 0, "messages", "value", 0, "i18n", "key") == "" {
		t.Errorf("the message is not on its field: %s", f.body)
	}
	identify(nil).want(400, "model.validation.field.blank")
	if n := o.Counts().IDX.Refused; n != 6 {
		t.Errorf("%d refused", n)
	}
	f.introspect(f.token)
	f.result = f.ion("/idp/idx/challenge/answer", "application/json", ionJSON, map[string]any{"stateHandle": f.str("stateHandle"), "credentials": map[string]any{"passcode": "correct horse"}})
	f.want(400, "E0000020") // no such form was offered
	f.introspect(f.token).do("identify", map[string]any{"identifier": "alice@example.com"}).choose("okta_password", "password")
	f.do("challenge-authenticator", map[string]any{"credentials": map[string]any{"passcode": "correct horse"}}).want(200, "")

	id := f.option("okta_verify").str("value", "form", "value", 0, "value")
	choose := func(a any) *flow {
		t.Helper()
		return f.introspect(f.str("stateHandle")).do("select-authenticator-authenticate", map[string]any{"authenticator": a})
	}
	for _, bad := range []any{
		id, map[string]any{"id": id + "x"}, map[string]any{"id": id, "methodType": "fax"},
		map[string]any{"id": id, "methodType": "push", "phone": "1"}, map[string]any{"methodType": "push"},
	} {
		choose(bad).want(400, "E0000020")
	}
	choose(map[string]any{"id": id, "methodType": "totp"}).want(200, "")
	if name := f.form("challenge-authenticator").str("value", 0, "form", "value", 0, "name"); name != "totp" {
		t.Errorf("Okta Verify's code is called %q", name)
	}
	f.do("challenge-authenticator", map[string]any{"credentials": map[string]any{"passcode": code(t, time.Now())}}).want(400, "E0000020")
	f.introspect(f.token).do("challenge-authenticator", map[string]any{"credentials": map[string]any{"totp": code(t, time.Now())}}).want(200, "")
	if c := o.Counts(); c.Pushes != 0 || c.Passcodes != 1 {
		t.Errorf("counts %+v", c)
	}
}

func TestIDXWrongPassword(t *testing.T) {
	for _, inline := range []PasswordStep{PasswordInIdentify, PasswordAlone} {
		o := engine(t, func(s *Settings) { s.IDX.Password = inline })
		f := newBrowser(t, o).visit(provider(t, o)).identify("alice@example.com", "wrong")
		want := map[PasswordStep]string{PasswordInIdentify: "errors.E0000004", PasswordAlone: "incorrectPassword"}[inline]
		f.want(401, want)
		if f.names() == "" || f.str("stateHandle") == "" {
			t.Errorf("a refusal that offers nothing: %s", f.body)
		}
		if c := o.Counts(); c.Primary != 1 || c.BadPasswords != 1 || c.Pushes != 0 {
			t.Errorf("counts %+v", c)
		}
	}
}

func TestIDXUnknownUser(t *testing.T) {
	for _, hide := range []bool{true, false} {
		o := engine(t, func(s *Settings) { s.IDX.Password, s.IDX.HideUsers = PasswordAlone, hide })
		f := newBrowser(t, o).visit(provider(t, o))
		if !hide {
			f.do("identify", map[string]any{"identifier": "nobody@example.com"}).want(401, "errors.E0000004").form("identify")
			continue
		}
		for range 12 { // like any other, but never locked
			f.introspect(f.token)
			if f.forms()["identify"].doc != nil {
				f.identify("nobody@example.com", "x").want(401, "incorrectPassword")
				continue
			}
			f.answer("x").want(401, "incorrectPassword")
		}
	}
}

func TestIDXPasswordLockout(t *testing.T) {
	for _, show := range []bool{true, false} {
		o := engine(t, func(s *Settings) { s.ShowLockout, s.IDX.Password = show, PasswordInIdentify })
		f := newBrowser(t, o).visit(provider(t, o))
		for range 9 {
			f.identify("alice@example.com", "wrong").want(401, "errors.E0000004")
		}
		last := "errors.E0000004"
		if show {
			last = "errors.E0000069"
		}
		f.identify("alice@example.com", "wrong").want(401, last)
		f.identify("alice@example.com", "correct horse").want(401, last)
		if !o.Locked("alice@example.com") {
			t.Error("not locked")
		}
	}
}

func TestIDXCodesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, provided := range []string{"GOOGLE", "OKTA"} {
			o := engine(t, nil)
			if err := o.Alter("alice@example.com", func(u *User) { u.TOTPProvider = provided }); err != nil {
				t.Fatal(err)
			}
			key, method, wrong := "google_otp", "otp", "authfactor.challenge.soft_token.invalid_passcode"
			if provided == "OKTA" {
				key, method, wrong = "okta_verify", "totp", "api.authn.error.PASSCODE_INVALID"
			}
			sp := provider(t, o)
			f := newBrowser(t, o).visit(sp).identify("alice@example.com", "correct horse").choose(key, method)
			f.answer(code(t, time.Now())).want(200, "")
			f = newBrowser(t, o).visit(sp).identify("alice@example.com", "correct horse").choose(key, method)
			f.answer(code(t, time.Now())).want(401, "authfactor.challenge.soft_token.used_passcode")
			for range 3 {
				f.answer("000000").want(401, wrong)
			}
			f.answer("000000").want(401, "authfactor.challenge.suspended_factor")
			time.Sleep(time.Minute)
			f.answer(code(t, time.Now())).want(401, "authfactor.challenge.suspended_factor")
			if c := o.Counts(); !o.Locked("alice@example.com") || c.MFAFailures != 5 || c.IDX.Answers < 7 {
				t.Errorf("counts %+v", c)
			}
		}
	})
}

// TestIDXRefresh: how long a poll shall wait differs, so that it has to be read.
func TestIDXRefresh(t *testing.T) {
	o := engine(t, nil)
	sp := provider(t, o)
	seen := map[any]bool{}
	for range 60 {
		f := newBrowser(t, o).visit(sp).identify("alice@example.com", "correct horse").choose("okta_verify", "push")
		seen[f.form("challenge-poll").at("refresh")] = true
	}
	if len(seen) != 3 || !seen[4000.0] {
		t.Errorf("refresh %v", seen)
	}
}

func TestIDXPushEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := engine(t, func(s *Settings) { s.MaxMFAFailures = 100 })
		sp := provider(t, o)
		phone := o.Phone("alice@example.com")
		begin := func() *flow {
			t.Helper()
			return newBrowser(t, o).visit(sp).identify("alice@example.com", "correct horse").choose("okta_verify", "push").want(200, "")
		}
		f := begin()
		for range 5 {
			f.do("challenge-poll", nil).want(200, "")
		}
		if n, polls := o.Counts().Pushes, o.Counts().IDX.Polls; n != 1 || polls != 5 {
			t.Errorf("%d pushes, %d polls", n, polls)
		}
		if n := o.Counts().IDX.Early; n != 5 {
			t.Errorf("%d polls are early", n)
		}
		time.Sleep(time.Duration(f.form("challenge-poll").at("refresh").(float64)) * time.Millisecond)
		f.do("challenge-poll", nil).want(200, "")
		if n := o.Counts().IDX.Early; n != 5 {
			t.Errorf("%d polls are early, the last one included", n)
		}
		phone.Reject()
		f.do("challenge-poll", nil).want(200, "api.authn.poll.error.push_rejected")
		if f.forms()["challenge-poll"].doc != nil {
			t.Error("a rejected push is still polled")
		}
		f.do("resend", map[string]any{"authenticator": map[string]any{"id": f.form("resend").str("value", 0, "value", "form", "value", 0, "value"), "methodType": "push"}}).want(200, "")
		if n := o.Counts().Pushes; n != 2 {
			t.Errorf("%d pushes after resend", n)
		}
		phone.Fail()
		f.do("challenge-poll", nil).want(200, "api.authn.poll.error.push_failed")
		phone.Cancel()
		f = begin()
		f.do("challenge-poll", nil).want(200, "api.authn.poll.error.push_cancelled")
		phone.Ignore()
		f = begin()
		time.Sleep(4 * time.Minute)
		f.do("challenge-poll", nil).want(200, "")
		time.Sleep(time.Minute)
		f.do("challenge-poll", nil).want(200, "api.authn.poll.error.push_timeout")
		if len(phone.Pending()) != 0 {
			t.Error("a push that timed out is still on the phone")
		}
		f = begin()
		n := o.Counts().Pushes
		f.submit(f.action(f.currentName(), "value", "resend"), nil).want(200, "").form("challenge-poll")
		if o.Counts().Pushes != n+1 || len(phone.Pending()) != 1 {
			t.Errorf("resend: %d pushes, %d on the phone", o.Counts().Pushes-n, len(phone.Pending()))
		}
		f.submit(f.action("cancel"), nil).want(200, "").form("identify")
		if len(phone.Pending()) != 0 {
			t.Error("a cancelled push is still on the phone")
		}
	})
}

func (f *flow) currentName() string {
	if f.at("currentAuthenticator") != nil {
		return "currentAuthenticator"
	}
	return "currentAuthenticatorEnrollment"
}

func TestIDXRejectionsLock(t *testing.T) {
	o := engine(t, nil)
	o.Phone("alice@example.com").Reject()
	f := newBrowser(t, o).visit(provider(t, o)).identify("alice@example.com", "correct horse")
	for range 4 {
		f.choose("okta_verify", "push").do("challenge-poll", nil).want(200, "api.authn.poll.error.push_rejected")
	}
	f.choose("okta_verify", "push").do("challenge-poll", nil).want(401, "authfactor.challenge.suspended_factor")
	if !o.Locked("alice@example.com") {
		t.Error("five rejections did not lock")
	}
}

func TestIDXNumberChallenge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := engine(t, func(s *Settings) {
			s.NumberChallenge, s.Number, s.NumberAfter, s.NumberAfterPolls = true, new(0), 3*time.Second, 2
		})
		o.Phone("alice@example.com").Approve()
		f := newBrowser(t, o).visit(provider(t, o)).identify("alice@example.com", "correct horse").choose("okta_verify", "push")
		number := func() any { return f.current().at("contextualData", "correctAnswer") }
		for range 2 {
			if number() != nil {
				t.Error("the number is there too early")
			}
			f.do("challenge-poll", nil).want(200, "")
		}
		if number() != nil {
			t.Error("the number is there before its time")
		}
		time.Sleep(3 * time.Second)
		f.do("challenge-poll", nil).want(200, "")
		if number() != "0" {
			t.Errorf("number %#v", number())
		}
		f.do("challenge-poll", nil)
		signed(t, f.end())
	})
}

func TestIDXSuccessIsVerbatim(t *testing.T) {
	o := engine(t, nil)
	sp := provider(t, o)
	b := newBrowser(t, o)
	f := b.visit(sp).identify("bob@example.com", "battery staple")
	for _, made := range []string{f.str("stateHandle"), f.token, "", "02.id.x"} {
		if r := b.get("/login/token/redirect?stateToken=" + url.QueryEscape(made)); r.status != 403 || r.header.Get("Location") != "" || strings.Contains(r.body, "SAMLResponse") {
			t.Errorf("%.10q: %d %s", made, r.status, r.body)
		}
	}
	if o.Counts().Sessions != 0 {
		t.Error("a session without success")
	}
	href := f.str("success", "href")
	signed(t, f.end())
	if r := b.get(href); r.status != 403 {
		t.Errorf("a second time: %d", r.status)
	}
}

func TestIDXSuccessExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := engine(t, nil)
		f := newBrowser(t, o).visit(provider(t, o)).identify("bob@example.com", "battery staple")
		time.Sleep(5*time.Minute + time.Second)
		if r := f.get(f.str("success", "href")); r.status != 403 || o.Counts().Sessions != 0 {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}

func TestIDXLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := engine(t, func(s *Settings) { s.IDX.StatePer5s, s.IDX.UserPer5s = 10, 0 })
		sp := provider(t, o)
		f := newBrowser(t, o).visit(sp) // one request
		for range 9 {
			f.introspect(f.token).want(200, "")
		}
		f.introspect(f.token)
		if f.status != 429 || f.header.Get("X-Rate-Limit-Limit") != "10" || f.header.Get("X-Rate-Limit-Remaining") != "0" || o.Counts().Limited != 1 {
			t.Errorf("%d %v", f.status, f.header)
		}
		newBrowser(t, o).visit(sp).want(200, "") // another state
		time.Sleep(5 * time.Second)
		f.introspect(f.token).want(200, "")

		o.Configure(func(s *Settings) {
			s.IDX.StatePer5s, s.IDX.UserPer5s, s.IDX.Password, s.MaxBadPasswords = 0, 20, PasswordInIdentify, 0
		})
		for i := range 21 {
			f = newBrowser(t, o).visit(sp).identify("BOB@example.com", "wrong")
			if (f.status == 429) != (i == 20) {
				t.Fatalf("request %d: %d", i, f.status)
			}
		}
		newBrowser(t, o).visit(sp).identify("alice@example.com", "wrong").want(401, "errors.E0000004")
	})
}
