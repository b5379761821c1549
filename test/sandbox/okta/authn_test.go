package okta

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pquerna/otp/totp"
)

// code makes the code of a moment.
func code(t *testing.T, at time.Time) string {
	t.Helper()
	return codeOf(t, secret, at)
}

// codeOf makes the code of a moment by another secret.
func codeOf(t *testing.T, secret string, at time.Time) string {
	t.Helper()
	c, err := totp.GenerateCode(secret, at)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The tests are named by the points of "what a faithful double does".

func Test01PipelineIsTold(t *testing.T) {
	o := org(t, nil)
	b := newBrowser(t, o)
	if got := b.get("/.well-known/okta-organization").str("pipeline"); got != "v1" {
		t.Errorf("pipeline %q", got)
	}
	o.Configure(func(s *Settings) { s.Pipeline = "idx" })
	if got := b.get("/.well-known/okta-organization").str("pipeline"); got != "idx" {
		t.Errorf("pipeline %q", got)
	}
}

func Test02EveryState(t *testing.T) {
	for _, state := range []State{PasswordReset, Recovery, RecoveryChallenge, MFAEnroll} {
		t.Run(string(state), func(t *testing.T) {
			o := org(t, nil)
			if err := o.Alter("bob@example.com", func(u *User) { u.State = state }); err != nil {
				t.Fatal(err)
			}
			r := newBrowser(t, o).primary("bob@example.com", "battery staple").state(t, state)
			if r.str("stateToken") == "" || r.str("sessionToken") != "" {
				t.Errorf("tokens: %s", r.body)
			}
		})
	}
}

func Test02StatesAfterMFA(t *testing.T) {
	for _, state := range []State{ConsentRequired, ProfileRequired} {
		o := org(t, func(s *Settings) { s.FactorWords = true })
		if err := o.Alter("alice@example.com", func(u *User) { u.State = state }); err != nil {
			t.Fatal(err)
		}
		b := newBrowser(t, o)
		r := b.primary("alice@example.com", "correct horse").state(t, "FACTOR_REQUIRED")
		in := map[string]any{"stateToken": r.str("stateToken"), "passCode": code(t, time.Now())}
		r = b.post(r.verifyURL("token:software:totp"), in).state(t, state)
		if r = b.post(r.str("_links", "next", "href"), in); state == ConsentRequired {
			r.state(t, success)
		} else {
			r.want(t, 404, "E0000007")
		}
	}
}

func Test03LinksAndStatesAreKept(t *testing.T) {
	o := org(t, nil)
	b := newBrowser(t, o)
	r := b.primary("alice@example.com", "correct horse").state(t, mfaRequired)
	token := map[string]any{"stateToken": r.str("stateToken")}
	for _, path := range []string{"previous", "skip", "factors", "credentials/change_password", "credentials/reset_password", "recovery/answer"} {
		b.post("/api/v1/authn/"+path, token).want(t, 403, "E0000079")
	}
	push := r.verifyURL("push")
	r = b.post(push, token).state(t, mfaChallenge)
	// Another factor while one is challenged: previous comes first.
	other := b.post("/api/v1/authn", token)
	if other.str("status") != "MFA_CHALLENGE" {
		t.Fatalf("looking at a transaction changed it: %s", other.body)
	}
	for _, f := range o.users["alice@example.com"].factors {
		if f.kind != "push" {
			b.post("/api/v1/authn/factors/"+f.id+"/verify", token).want(t, 403, "E0000079")
		}
	}
	b.post(r.str("_links", "prev", "href"), token).state(t, mfaRequired)
	b.post("/api/v1/authn/factors/nonesuch/verify", token).want(t, 404, "E0000007")
	if r := b.post("/api/v1/authn/cancel", token); r.status != http.StatusOK {
		t.Fatalf("cancel: %s", r.body)
	}
	b.post(push, token).want(t, 401, "E0000011")
}

func Test03BrokenRequests(t *testing.T) {
	b := newBrowser(t, org(t, nil))
	b.do("POST", "/api/v1/authn", "application/json", "{").want(t, 400, "E0000003")
	b.do("POST", "/api/v1/authn", "text/plain", "{}").want(t, 415, "E0000021")
	b.post("/api/v1/authn", map[string]any{}).want(t, 400, "E0000001")
	b.get("/api/v1/authn").want(t, 405, "E0000022")
	b.get("/api/v1/nothing").want(t, 404, "E0000007")
}

func Test04StateTokenSlidesAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, nil)
		b := newBrowser(t, o)
		token := map[string]any{"stateToken": b.primary("alice@example.com", "correct horse").str("stateToken")}
		for range 3 { // 12 minutes in all
			time.Sleep(4 * time.Minute)
			b.post("/api/v1/authn", token).state(t, mfaRequired)
		}
		time.Sleep(5*time.Minute + time.Second)
		b.post("/api/v1/authn", token).want(t, 401, "E0000011")
	})
}

func Test05SessionTokenWorksOnceForFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, nil)
		b := newBrowser(t, o)
		use := func(token string) bool {
			n := o.Counts().Sessions
			b.get("/login/sessionCookieRedirect?redirectUrl=%2F&token=" + token)
			return o.Counts().Sessions > n
		}
		first := b.primary("bob@example.com", "battery staple").state(t, success).str("sessionToken")
		if !use(first) || use(first) {
			t.Error("a session token must work once and not twice")
		}
		late := b.primary("bob@example.com", "battery staple").str("sessionToken")
		time.Sleep(5*time.Minute + time.Second)
		if use(late) {
			t.Error("a session token worked after five minutes")
		}
	})
}

func Test06And07LockoutHiddenAndShown(t *testing.T) {
	for _, shown := range []bool{false, true} {
		o := org(t, func(s *Settings) { s.ShowLockout = shown })
		b := newBrowser(t, o)
		for range 9 {
			b.primary("bob@example.com", "wrong").want(t, 401, "E0000004")
		}
		b.primary("bob@example.com", "battery staple").state(t, success) // which clears the count
		for range 9 {
			b.primary("bob@example.com", "wrong").want(t, 401, "E0000004")
		}
		if o.Locked("bob@example.com") {
			t.Fatal("locked too early")
		}
		tenth := b.primary("bob@example.com", "wrong")
		good := b.primary("bob@example.com", "battery staple")
		if shown {
			tenth.state(t, LockedOut)
			if r := good.state(t, LockedOut); r.str("_links", "next", "name") != "unlock" || r.str("stateToken") != "" {
				t.Errorf("locked out: %s", r.body)
			}
		} else {
			tenth.want(t, 401, "E0000004")
			good.want(t, 401, "E0000004")
		}
		if c := o.Counts(); c.BadPasswords != 19 || c.Primary != 21 {
			t.Errorf("counts: %+v", c)
		}
	}
	b := newBrowser(t, org(t, nil))
	b.primary("nobody@example.com", "x").want(t, 401, "E0000004")
}

func Test08FiveBadCodesLock(t *testing.T) {
	o := org(t, nil)
	b := newBrowser(t, o)
	r := b.primary("alice@example.com", "correct horse")
	in := map[string]any{"stateToken": r.str("stateToken"), "passCode": "000000"}
	url := r.verifyURL("token:software:totp")
	wrong := map[string]bool{}
	for _, d := range []time.Duration{-30, 0, 30, 60} {
		wrong[code(t, time.Now().Add(d*time.Second))] = true
	}
	if wrong["000000"] {
		in["passCode"] = "000001"
	}
	for range 4 {
		b.post(url, in).want(t, 403, "E0000068")
	}
	b.post(url, in).locked(t)
	b.post(url, in).want(t, 401, "E0000011")
	b.primary("alice@example.com", "correct horse").want(t, 401, "E0000004")
	if got := o.Counts().MFAFailures; got != 5 {
		t.Errorf("%d failures", got)
	}
}

func Test12TOTPWindowAndReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, nil)
		b := newBrowser(t, o)
		try := func(passCode string) result {
			r := b.primary("alice@example.com", "correct horse").state(t, mfaRequired)
			return b.post(r.verifyURL("token:software:totp"), map[string]any{"stateToken": r.str("stateToken"), "passCode": passCode})
		}
		try(code(t, time.Now().Add(-30*time.Second))).state(t, success)
		try(code(t, time.Now().Add(-30*time.Second))).want(t, 403, "E0000082")
		try(code(t, time.Now())).state(t, success)
		try(code(t, time.Now())).want(t, 403, "E0000082")
		try(code(t, time.Now().Add(-30*time.Second))).want(t, 403, "E0000082") // older than the last
		try(code(t, time.Now().Add(5*time.Minute))).want(t, 403, "E0000083")
		try(code(t, time.Now().Add(30*time.Second))).state(t, success)
		time.Sleep(time.Minute)
		try("12345").want(t, 403, "E0000068")
		// Okta's clock is wrong: the right code of this machine is not Okta's.
		o.Configure(func(s *Settings) { s.ClockSkew = 3 * time.Minute })
		try(code(t, time.Now())).want(t, 403, "E0000083")
		try(code(t, time.Now().Add(3*time.Minute))).state(t, success)
	})
}

// Test12MistimedByResult: the other way in which a code is refused: the challenge
// stays open, and the next code is taken by it.
func Test12MistimedByResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, func(s *Settings) { s.Mistimed = MistimedResult })
		b := newBrowser(t, o)
		begin := func() (result, func(string) result) {
			r := b.primary("alice@example.com", "correct horse").state(t, mfaRequired)
			return r, func(passCode string) result {
				return b.post(r.verifyURL("token:software:totp"), map[string]any{"stateToken": r.str("stateToken"), "passCode": passCode})
			}
		}
		_, try := begin()
		try(code(t, time.Now())).state(t, success)
		r, try := begin()
		for at, want := range map[time.Duration]string{0: "PASSCODE_REPLAYED", 5 * time.Minute: "TIME_WINDOW_EXCEEDED"} {
			got := try(code(t, time.Now().Add(at))).state(t, mfaChallenge)
			if got.str("factorResult") != want || got.str("_links", "next", "name") != "verify" {
				t.Errorf("%s: %s", want, got.body)
			}
		}
		b.post(r.verifyURL("question"), map[string]any{"stateToken": r.str("stateToken"), "answer": "liver"}).want(t, 403, "E0000079")
		try(code(t, time.Now().Add(30*time.Second))).state(t, success)
		if n := o.Counts().MFAFailures; n != 2 {
			t.Errorf("%d failures", n)
		}
		o.Configure(func(s *Settings) { s.Mistimed = MistimedVaried })
		seen := map[int]bool{}
		for range 100 {
			_, try := begin()
			seen[try(code(t, time.Now())).status] = true
			_ = o.Alter("alice@example.com", func(*User) {}) // no lock-out
		}
		if !seen[200] || !seen[403] {
			t.Errorf("statuses %v", seen)
		}
	})
}

func Test17RememberDevice(t *testing.T) {
	for _, tc := range []struct {
		name    string
		query   string
		body    bool
		allow   bool
		noDT    bool
		skipped bool
	}{
		{"query, policy and DT", "?rememberDevice=true", false, true, false, true},
		{"in the body only", "", true, true, false, false},
		{"against the policy", "?rememberDevice=true", false, false, false, false},
		{"without DT", "?rememberDevice=true", false, true, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := org(t, func(s *Settings) { s.AllowRememberDevice = tc.allow })
				b := newBrowser(t, o)
				if tc.noDT {
					b.Jar = nil
				}
				r := b.primary("alice@example.com", "correct horse").state(t, mfaRequired)
				if r.at("_embedded", "policy", "allowRememberDevice") != tc.allow {
					t.Errorf("policy: %v", r.at("_embedded", "policy"))
				}
				in := map[string]any{"stateToken": r.str("stateToken"), "passCode": code(t, time.Now())}
				if tc.body {
					in["rememberDevice"] = true
				}
				b.post(r.verifyURL("token:software:totp")+tc.query, in).state(t, success)
				again := State(b.primary("alice@example.com", "correct horse").str("status"))
				if (again == success) != tc.skipped {
					t.Errorf("the next sign-in is %s", again)
				}
				time.Sleep(15*time.Minute + time.Second)
				b.primary("alice@example.com", "correct horse").state(t, mfaRequired)
			})
		})
	}
}

func Test18NewDeviceForcesMFA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, func(s *Settings) { s.MFA = MFANewDevice })
		b := newBrowser(t, o)
		r := b.primary("alice@example.com", "correct horse").state(t, mfaRequired)
		b.post(r.verifyURL("token:software:totp"), map[string]any{"stateToken": r.str("stateToken"), "passCode": code(t, time.Now())}).state(t, success)
		b.primary("alice@example.com", "correct horse").state(t, success)
		newBrowser(t, o).primary("alice@example.com", "correct horse").state(t, mfaRequired)
		// A DT cookie of one's own making is no device.
		r2 := newBrowser(t, o)
		req, _ := http.NewRequest("POST", baseURL+"/api/v1/authn", strings.NewReader(`{"username":"alice@example.com","password":"correct horse"}`))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Cookie", "DT=DI0forged")
		res, err := r2.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if !strings.Contains(strings.Join(res.Header.Values("Set-Cookie"), " "), "DT=DI0") {
			t.Error("a forged DT cookie was taken for one of ours")
		}
	})
}

func Test19PasswordWarnAndExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, nil)
		b := newBrowser(t, o)
		alter := func(login string, s State) {
			if err := o.Alter(login, func(u *User) { u.State = s }); err != nil {
				t.Fatal(err)
			}
		}
		alter("bob@example.com", PasswordWarn)
		b.primary("bob@example.com", "battery staple").state(t, success) // did not ask to be warned
		warn := func() result {
			return b.post("/api/v1/authn", map[string]any{"username": "bob@example.com", "password": "battery staple", "options": map[string]any{"warnBeforePasswordExpired": true}}).state(t, PasswordWarn)
		}
		r := warn()
		b.post(r.str("_links", "skip", "href"), map[string]any{"stateToken": r.str("stateToken")}).state(t, success)
		r = warn()
		change := map[string]any{"stateToken": r.str("stateToken"), "oldPassword": "nope", "newPassword": "tr0ub4dor"}
		b.post(r.str("_links", "next", "href"), change).want(t, 403, "E0000014")
		change["oldPassword"] = "battery staple"
		b.post(r.str("_links", "next", "href"), change).state(t, success)
		b.primary("bob@example.com", "battery staple").want(t, 401, "E0000004")

		alter("alice@example.com", PasswordExpired)
		r = b.primary("alice@example.com", "correct horse").state(t, mfaRequired) // MFA first
		r = b.post(r.verifyURL("token:software:totp"), map[string]any{"stateToken": r.str("stateToken"), "passCode": code(t, time.Now())}).state(t, PasswordExpired)
		b.post("/api/v1/authn/skip", map[string]any{"stateToken": r.str("stateToken")}).want(t, 403, "E0000079")
	})
}

func Test20Enroll(t *testing.T) {
	o := org(t, nil)
	if err := o.Alter("bob@example.com", func(u *User) { u.State = MFAEnroll }); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t, o)
	r := b.primary("bob@example.com", "battery staple").state(t, MFAEnroll)
	token := r.str("stateToken")
	b.post("/api/v1/authn/factors", map[string]any{"stateToken": token, "factorType": "sms", "provider": "OKTA"}).want(t, 403, "E0000006")
	r = b.post("/api/v1/authn/factors", map[string]any{"stateToken": token, "factorType": "token:software:totp", "provider": "GOOGLE"}).state(t, mfaEnrollActivate)
	shared := r.str("_embedded", "factor", "_embedded", "activation", "sharedSecret")
	passCode, err := totp.GenerateCode(shared, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b.post(r.str("_links", "next", "href"), map[string]any{"stateToken": token, "passCode": passCode}).state(t, success)
	if b.primary("bob@example.com", "battery staple").state(t, mfaRequired).verifyURL("token:software:totp") == "" {
		t.Error("the enrolled factor is not asked for")
	}
}

func TestOtherFactors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, nil)
		b := newBrowser(t, o)
		r := b.primary("alice@example.com", "correct horse")
		token := r.str("stateToken")
		if n := len(r.at("_embedded", "factors").([]any)); n != 5 {
			t.Fatalf("%d factors", n)
		}
		q := b.post(r.verifyURL("question"), map[string]any{"stateToken": token, "answer": "Liver"})
		q.state(t, success)

		r = b.primary("alice@example.com", "correct horse")
		token = r.str("stateToken")
		sms := map[string]any{"stateToken": token}
		s := b.post(r.verifyURL("sms"), sms).state(t, mfaChallenge)
		b.post(s.str("_links", "resend", 0, "href"), sms).want(t, 429, "E0000109")
		time.Sleep(31 * time.Second)
		b.post(s.str("_links", "resend", 0, "href"), sms).state(t, mfaChallenge)
		b.post(s.str("_links", "prev", "href"), sms).state(t, mfaRequired)

		u := b.post(r.verifyURL("u2f"), sms).state(t, mfaChallenge)
		if u.str("factorResult") != "CHALLENGE" {
			t.Errorf("u2f: %s", u.body)
		}
		b.post(r.verifyURL("u2f"), sms).want(t, 403, "E0000068")
	})
}

func TestOrderOfFactorsVaries(t *testing.T) {
	first := map[string]bool{}
	for range 30 {
		first[newBrowser(t, org(t, nil)).primary("alice@example.com", "correct horse").str("_embedded", "factors", 0, "factorType")] = true
	}
	if len(first) < 3 {
		t.Errorf("30 organizations had only %v as their first factor", first)
	}
}
