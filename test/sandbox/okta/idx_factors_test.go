package okta

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descope/virtualwebauthn"
)

// second signs bob in as far as the challenge of one authenticator.
func second(t *testing.T, o *Org, key, method string) *flow {
	t.Helper()
	return bob(t, o).want(200, "").choose(key, method).want(200, "")
}

// TestIDXFactors: every authenticator takes its own proof once, and no other; five
// failures in a row lock.
func TestIDXFactors(t *testing.T) {
	const nonsense = "api.authn.error.PASSCODE_INVALID"
	const soft, used = "authfactor.challenge.soft_token.invalid_passcode", "authfactor.challenge.soft_token.used_passcode"
	for _, tc := range []struct {
		key, method string
		has         func(*User)
		code        func(*Org) string
		wrong, once string // what a wrong code is told, and a right one the second time
		wait        time.Duration
	}{
		{"phone_number", "sms", func(u *User) { u.Others = []string{"sms", "call"} }, last("sms"), nonsense, nonsense, 30 * time.Second},
		{"phone_number", "voice", func(u *User) { u.Others = []string{"call", "sms"} }, last("call"), nonsense, nonsense, 30 * time.Second},
		{"phone_number", "sms", func(u *User) { u.Others = []string{"sms"} }, last("sms"), nonsense, nonsense, 30 * time.Second},
		{"okta_email", "email", func(u *User) { u.Others = []string{"email"} }, last("email"), nonsense, nonsense, 5 * time.Second},
		{"security_question", "security_question", func(u *User) { u.Others, u.Answer = []string{"question"}, "liver" }, func(*Org) string { return "Liver" }, "authfactor.challenge.question_factor.answer_invalid", "", 0},
		{"custom_otp", "otp", func(u *User) { u.HOTPSecret = secret }, device("hotp"), nonsense, nonsense, 0},
		{"rsa_token", "otp", func(u *User) { u.RSASecret = secret }, device("rsa"), nonsense, used, 0},
		{"onprem_mfa", "otp", func(u *User) { u.RSASecret = secret }, device("rsa"), nonsense, used, 0},
		{"symantec_vip", "otp", func(u *User) { u.SymantecSecret = secret }, device("symantec"), soft, used, 0},
		{"yubikey_token", "otp", func(u *User) { u.YubiKey = &YubiKey{Public: [6]byte{1}, Key: [16]byte{2}} }, device("yubikey"), nonsense, used, 0},
		{"google_otp", "otp", func(u *User) { u.TOTPSecret = secret }, device("totp"), soft, used, 0},
		{"okta_verify", "totp", func(u *User) { u.TOTPSecret, u.TOTPProvider = secret, "OKTA" }, device("totp"), nonsense, used, 0},
	} {
		t.Run(tc.key+" "+tc.method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := with(t, func(s *Settings) { s.IDX.OnPrem = tc.key == "onprem_mfa" }, tc.has)
				f := second(t, o, tc.key, tc.method).answer("nonsense").want(401, tc.wrong)
				right := tc.code(o)
				f.answer(right).want(200, "")
				signed(t, f.end())
				time.Sleep(tc.wait)
				f = second(t, o, tc.key, tc.method).answer(right)
				if tc.once == "" {
					f.want(200, "")
					f = second(t, o, tc.key, tc.method)
				} else {
					f.want(401, tc.once)
					f.answer("nonsense").want(401, tc.wrong)
				}
				for !o.Locked("bob@example.com") {
					f.answer("nonsense")
				}
				f.want(401, "authfactor.challenge.suspended_factor")
				if tc.wait == 0 {
					f.answer(tc.code(o)).want(401, "authfactor.challenge.suspended_factor")
				}
				if n := o.Counts().MFAFailures; n != 6 {
					t.Errorf("%d failures", n)
				}
			})
		})
	}
}

// last reads the code that was sent last; device lets one show a code.
func last(channel string) func(*Org) string {
	return func(o *Org) string { return o.Inbox("bob@example.com").Last(channel) }
}

func device(name string) func(*Org) string {
	return func(o *Org) string {
		code, err := o.TokenCode("bob@example.com", name)
		if err != nil {
			panic(err)
		}
		return code
	}
}

// TestIDXMessages: a code is sent when its method is chosen, and by resend, at most
// one in an interval, and so many in an hour.
func TestIDXMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct{ kind, key, method, soon, hourly string }{
			{"sms", "phone_number", "sms", "errors.E0000109", "errors.E0000150"},
			{"call", "phone_number", "voice", "errors.E0000133", "errors.E0000151"},
			{"email", "okta_email", "email", "errors.E0000118", ""},
		} {
			o := with(t, func(s *Settings) { s.MessagesPerHour = 3 }, func(u *User) { u.Others = []string{tc.kind} })
			inbox := o.Inbox("bob@example.com")
			f := bob(t, o).want(200, "")
			if len(inbox.Messages()) != 0 {
				t.Error("a code before it was asked for")
			}
			f.choose(tc.key, tc.method).want(200, "")
			resend := func() *flow {
				t.Helper()
				return f.submit(f.action(f.currentName(), "value", "resend"), nil)
			}
			resend().want(429, tc.soon).form("challenge-authenticator") // the old code can still be given
			first := inbox.Last(tc.kind)
			time.Sleep(30 * time.Second)
			resend().want(200, "")
			f.answer(first).want(401, "api.authn.error.PASSCODE_INVALID")
			time.Sleep(30 * time.Second)
			resend().want(200, "")
			time.Sleep(30 * time.Second)
			if resend(); tc.hourly == "" {
				f.want(200, "")
			} else if f.want(429, tc.hourly); f.names() != "" {
				t.Errorf("it offers %s", f.names())
			}
			if n, want := len(inbox.Messages()), map[bool]int{true: 3, false: 4}[tc.hourly != ""]; n != want {
				t.Errorf("%s: %d messages, want %d", tc.kind, n, want)
			}
			f.introspect(f.token).answer(inbox.Last(tc.kind)).want(200, "")
			signed(t, f.end())
		}
	})
}

// TestIDXPhone: one number has two methods; its enrolment is named, and another one
// is refused. Okta's own SDK names neither.
func TestIDXPhone(t *testing.T) {
	o := with(t, func(s *Settings) { s.IDX.Select = SelectAlways }, func(u *User) { u.Others = []string{"sms", "call"} })
	f := bob(t, o)
	option := f.option("phone_number")
	id, enrolment := option.str("value", "form", "value", 0, "value"), option.str("value", "form", "value", 2, "value")
	if option.str("value", "form", "value", 2, "name") != "enrollmentId" || enrolment == "" || option.str("value", "form", "value", 1, "options", 0, "value") == "" {
		t.Fatalf("%s", f.body)
	}
	choose := func(a map[string]any) *flow {
		t.Helper()
		return f.introspect(f.token).do("select-authenticator-authenticate", map[string]any{"authenticator": a})
	}
	choose(map[string]any{"id": id, "methodType": "sms", "enrollmentId": "other"}).want(400, "E0000020")
	choose(map[string]any{"id": id, "methodType": "email", "enrollmentId": enrolment}).want(400, "E0000020")
	if n := len(o.Inbox("bob@example.com").Messages()); n != 0 {
		t.Fatalf("%d messages", n)
	}
	choose(map[string]any{"id": id}).want(200, "").form("authenticator-verification-data")
	choose(map[string]any{"id": id, "methodType": "voice", "enrollmentId": enrolment}).want(200, "")
	if o.Counts().Calls != 1 || f.current().str("profile", "phoneNumber") == "" && f.currentName() != "currentAuthenticator" {
		t.Errorf("%s", f.body)
	}
}

func TestIDXQuestion(t *testing.T) {
	o := with(t, nil, func(u *User) { u.Others, u.Answer = []string{"question"}, "liver" })
	f := second(t, o, "security_question", "security_question")
	give := func(v map[string]any) *flow {
		t.Helper()
		return f.introspect(f.token).do("challenge-authenticator", map[string]any{"credentials": v})
	}
	give(map[string]any{"answer": "liver"}).want(400, "E0000020") // without its question
	give(map[string]any{"questionKey": "favorite_toy", "answer": "liver"}).want(400, "E0000020")
	give(map[string]any{"questionKey": "disliked_food"}).want(400, "model.validation.field.blank")
	if f.introspect(f.token).current().str("contextualData", "enrolledQuestion", "questionKey") != "disliked_food" || o.Counts().Passcodes != 0 {
		t.Errorf("%s", f.body)
	}
	give(map[string]any{"questionKey": "disliked_food", "answer": " LIVER "}).want(200, "")
}

// TestIDXWebAuthn: the signature of any enrolled key, by a library that is not
// ours, over the last challenge, once.
func TestIDXWebAuthn(t *testing.T) {
	one, known := securityKey(t)
	two, other := securityKey(t)
	stranger, _ := securityKey(t)
	rp := virtualwebauthn.RelyingParty{ID: "example.okta.test", Name: "Okta", Origin: baseURL}
	o := with(t, nil, func(u *User) { u.Keys = []SecurityKey{known, other} })
	sign := func(f *flow, key virtualwebauthn.Credential, rp virtualwebauthn.RelyingParty, challenge string) *flow {
		t.Helper()
		key.Counter = uint32(o.Counts().Passcodes) + 1
		return f.do("challenge-authenticator", map[string]any{"credentials": signature(t, rp, key, virtualwebauthn.AuthenticatorOptions{}, challenge)})
	}
	challenge := func(f *flow) string {
		t.Helper()
		return f.current().str("contextualData", "challengeData", "challenge")
	}
	for _, key := range []virtualwebauthn.Credential{one, two} {
		f := second(t, o, "webauthn", "webauthn")
		if n := strings.Count(f.body, `"credentialId"`); n < 2 {
			t.Errorf("%d credentials: %s", n, f.body)
		}
		old := challenge(f)
		const refused = "authfactor.webauthn.error.assertion_validation_failure"
		sign(f, stranger, rp, old).want(401, refused)
		if challenge(f) == old {
			t.Error("the challenge stays")
		}
		sign(f, key, rp, old).want(401, refused)
		sign(f, key, virtualwebauthn.RelyingParty{ID: rp.ID, Origin: "https://evil.test"}, challenge(f)).want(401, refused)
		sign(f, key, rp, challenge(f)).want(200, "")
		signed(t, f.end())
	}
	if c := o.Counts(); c.Passcodes != 8 || c.MFAFailures != 6 {
		t.Errorf("counts %+v", c)
	}
}

// TestIDXEmailPoll: a letter may have a link, so the answer may be polled for; that
// sends nothing and counts for nothing.
func TestIDXEmailPoll(t *testing.T) {
	polled := false
	for range 40 {
		o := with(t, nil, func(u *User) { u.Others = []string{"email"} })
		f := second(t, o, "okta_email", "email")
		m, ok := f.at(f.currentName(), "value", "poll").(map[string]any)
		if !ok {
			continue
		}
		polled = true
		f.submit(result{doc: m}, nil).want(http.StatusOK, "")
		if o.Counts().Emails != 1 {
			t.Errorf("%d e-mails", o.Counts().Emails)
		}
		f.answer(o.Inbox("bob@example.com").Last("email")).want(200, "")
		break
	}
	if !polled {
		t.Error("no seed has a link")
	}
}

// TestIDXDuo: what Duo's frame signs for this account is good, and nothing else.
func TestIDXDuo(t *testing.T) {
	at, _ := url.Parse("https://api-1.duo.test")
	settings := DefaultSettings()
	settings.Pipeline, settings.UserPerSecond, settings.ClientPerMinute = "idx", 0, 0
	settings.IDX = IDXSettings{}
	o, err := New(Config{BaseURL: must(baseURL), DuoURL: at, Settings: &settings, Users: []User{
		{Login: "bob@example.com", Password: "battery staple", DuoSecret: secret},
	}})
	if err != nil {
		t.Fatal(err)
	}
	frame := func(path string, v url.Values) string {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(v.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		o.Duo().ServeHTTP(w, r)
		return w.Body.String()
	}
	in := func(re, text string) string {
		t.Helper()
		m := regexp.MustCompile(re).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no %s in %s", re, text)
		}
		return m[1]
	}
	f := second(t, o, "duo", "duo")
	if got := f.current().str("contextualData", "host"); got != at.Host {
		t.Errorf("host %q", got)
	}
	tx, app, _ := strings.Cut(f.current().str("contextualData", "signedToken"), ":")
	sid := in(sidOf.String(), frame("/frame/web/v1/auth?tx="+url.QueryEscape(tx)+"&v=2.8&parent="+url.QueryEscape(baseURL), nil))
	passcode, err := o.TokenCode("bob@example.com", "duo")
	if err != nil {
		t.Fatal(err)
	}
	txid := in(`"txid":"([^"]*)"`, frame("/frame/prompt", url.Values{"sid": {sid}, "device": {"phone1"}, "factor": {"Passcode"}, "passcode": {passcode}}))
	cookie := in(`"cookie":"([^"]*)"`, frame("/frame/status/"+txid, url.Values{"sid": {sid}}))
	for _, bad := range []string{"x", tx + ":" + app, cookie} {
		f.do("challenge-authenticator", map[string]any{"credentials": map[string]any{"signatureData": bad}}).want(401, "oie.authenticator.duo.method.duo.verification_failed")
	}
	f.do("challenge-authenticator", map[string]any{"credentials": map[string]any{"signatureData": cookie + ":" + app}}).want(200, "")
	signed(t, f.end())
	if c := o.Counts(); c.Passcodes != 1 || c.MFAFailures != 3 {
		t.Errorf("counts %+v", c)
	}
}
