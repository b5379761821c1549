package okta

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/descope/virtualwebauthn"
)

// equip gives bob factors, and signs him in as far as the choice of one.
func equip(t *testing.T, bend func(*Settings), change func(*User)) (*Org, *browser, result) {
	t.Helper()
	o := org(t, bend)
	if err := o.Alter("bob@example.com", change); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t, o)
	return o, b, b.primary("bob@example.com", "battery staple").state(t, mfaRequired)
}

// Test13CodesAreSent: without a code verify sends one, at most one in an interval;
// with it, it verifies; each code is good once and for a while.
func Test13CodesAreSent(t *testing.T) {
	for _, tc := range []struct {
		kind, soon string
		interval   time.Duration
	}{{"sms", "E0000109", 30 * time.Second}, {"call", "E0000133", 30 * time.Second}, {"email", "E0000118", 5 * time.Second}} {
		t.Run(tc.kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, b, r := equip(t, nil, func(u *User) { u.Others = []string{tc.kind} })
				inbox := o.Inbox("BOB@example.com")
				verify, token := r.verifyURL(tc.kind), r.str("stateToken")
				with := func(code string) map[string]any { return map[string]any{"stateToken": token, "passCode": code} }
				ask := map[string]any{"stateToken": token}

				r = b.post(verify, ask).state(t, mfaChallenge)
				if r.str("_links", "next", "name") != "verify" || r.str("_links", "resend", 0, "name") != tc.kind {
					t.Errorf("links: %s", r.body)
				}
				resend := r.str("_links", "resend", 0, "href")
				first := inbox.Last(tc.kind)
				b.post(resend, ask).want(t, 429, tc.soon)
				b.post(verify, ask).want(t, 429, tc.soon)
				time.Sleep(tc.interval)
				b.post(resend, ask).state(t, mfaChallenge)
				second := inbox.Last(tc.kind)
				if first == second || len(inbox.Messages()) != 2 {
					t.Fatalf("messages: %v", inbox.Messages())
				}
				b.post(verify, with(first)).want(t, 403, "E0000068")
				b.post(verify, with(second)).state(t, success)

				r = b.primary("bob@example.com", "battery staple")
				token = r.str("stateToken")
				b.post(verify, with(second)).want(t, 403, "E0000068") // used
				time.Sleep(tc.interval)
				b.post(verify, map[string]any{"stateToken": token}).state(t, mfaChallenge)
				for range 2 { // the transaction lives on, the code does not
					time.Sleep(4 * time.Minute)
					b.post("/api/v1/authn", map[string]any{"stateToken": token}).state(t, mfaChallenge)
				}
				b.post(verify, with(inbox.Last(tc.kind))).want(t, 403, "E0000068")

				c := o.Counts()
				if sent := map[string]int{"sms": c.SMS, "call": c.Calls, "email": c.Emails}; sent[tc.kind] != 3 || c.SMS+c.Calls+c.Emails != 3 {
					t.Errorf("sent: %v", sent)
				}
			})
		})
	}
}

func Test13MessagesPerHour(t *testing.T) {
	for kind, code := range map[string]string{"sms": "E0000150", "call": "E0000151"} {
		synctest.Test(t, func(t *testing.T) {
			_, b, r := equip(t, func(s *Settings) { s.MessagesPerHour = 2 }, func(u *User) { u.Others = []string{kind} })
			in := map[string]any{"stateToken": r.str("stateToken")}
			for range 2 {
				b.post(r.verifyURL(kind), in).state(t, mfaChallenge)
				time.Sleep(time.Minute)
			}
			b.post(r.verifyURL(kind), in).want(t, 403, code)
		})
	}
}

// TestInboxPages: what came is on the page, and in the list.
func TestInboxPages(t *testing.T) {
	o, b, r := equip(t, nil, func(u *User) { u.Others = []string{"email"} })
	b.post(r.verifyURL("email"), map[string]any{"stateToken": r.str("stateToken")}).state(t, mfaChallenge)
	code := o.Inbox("bob@example.com").Last("email")
	if page := b.get("/sandbox/inbox"); page.status != 200 || !strings.Contains(page.body, code) || !strings.Contains(page.body, "b...b@example.com") {
		t.Errorf("page: %s", page.body)
	}
	if list := b.get("/sandbox/inbox/messages?login=bob@example.com"); list.str("messages", 0, "code") != code || list.str("messages", 0, "channel") != "email" {
		t.Errorf("list: %s", list.body)
	}
	if list := b.get("/sandbox/inbox/messages?login=alice@example.com"); list.at("messages", 0) != nil {
		t.Errorf("alice's: %s", list.body)
	}
	ctx := t.Context()
	if m, err := o.Inbox("bob@example.com").Wait(ctx); err != nil || m.Code != code {
		t.Errorf("%v %v", m, err)
	}
}

// Test14Tokens: the code of each device, once.
func Test14Tokens(t *testing.T) {
	everything := func(u *User) {
		u.HOTPSecret, u.RSASecret, u.SymantecSecret = secret, secret+secret, secret+"JBSWY3DP"
		u.YubiKey = &YubiKey{Public: [6]byte{1}, Private: [6]byte{2}, Key: [16]byte{3}}
	}
	for _, tc := range []struct {
		device, kind, provider, again string
	}{
		{"hotp", "token:hotp", "CUSTOM", "E0000068"}, {"rsa", "token", "RSA", "E0000082"},
		{"symantec", "token", "SYMANTEC", "E0000082"}, {"yubikey", "token:hardware", "YUBICO", "E0000082"},
	} {
		t.Run(tc.device, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, b, r := equip(t, nil, everything)
				verify := ""
				for _, f := range r.at("_embedded", "factors").([]any) {
					one := result{doc: f.(map[string]any)}
					if one.str("factorType") == tc.kind && one.str("provider") == tc.provider {
						verify = one.str("_links", "verify", "href")
					}
				}
				press := func() string {
					code := b.post("/sandbox/token", map[string]any{"login": "bob@example.com", "device": tc.device}).str("code")
					if code == "" {
						t.Fatal("the device shows nothing")
					}
					return code
				}
				lost, code := press(), press()
				b.post(verify, map[string]any{"stateToken": r.str("stateToken"), "passCode": code}).state(t, success)
				for _, old := range []string{lost, code} {
					r = b.primary("bob@example.com", "battery staple").state(t, mfaRequired)
					b.post(verify, map[string]any{"stateToken": r.str("stateToken"), "passCode": old}).want(t, 403, tc.again)
				}
				b.post(verify, map[string]any{"stateToken": r.str("stateToken"), "passCode": code[1:] + "c"}).want(t, 403, "E0000068")
				time.Sleep(2 * time.Minute)
				fresh, err := o.TokenCode("bob@example.com", tc.device)
				if err != nil {
					t.Fatal(err)
				}
				b.post(verify, map[string]any{"stateToken": r.str("stateToken"), "passCode": fresh}).state(t, success)
			})
		})
	}
}

// securityKey makes a key by a library that is not ours, and what Okta knows of it.
func securityKey(t *testing.T) (virtualwebauthn.Credential, SecurityKey) {
	t.Helper()
	credential := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	private, err := x509.ParsePKCS8PrivateKey(credential.Key.Data)
	if err != nil {
		t.Fatal(err)
	}
	return credential, SecurityKey{ID: credential.ID, Public: &private.(*ecdsa.PrivateKey).PublicKey, Name: "a key"}
}

// signature lets a key answer a challenge, in the fields of Okta's API.
func signature(t *testing.T, rp virtualwebauthn.RelyingParty, key virtualwebauthn.Credential, options virtualwebauthn.AuthenticatorOptions, challenge string) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(challenge)
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		Response struct{ AuthenticatorData, ClientDataJSON, Signature string }
	}
	text := virtualwebauthn.CreateAssertionResponse(rp, virtualwebauthn.NewAuthenticatorWithOptions(options), key, virtualwebauthn.AssertionOptions{Challenge: raw})
	if err := json.Unmarshal([]byte(text), &made); err != nil {
		t.Fatal(err)
	}
	std := func(url string) string {
		raw, err := base64.RawURLEncoding.DecodeString(url)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(raw)
	}
	return map[string]any{
		"clientData": std(made.Response.ClientDataJSON), "authenticatorData": std(made.Response.AuthenticatorData), "signatureData": std(made.Response.Signature),
	}
}

// Test15WebAuthn: the signature of an independent key is good; of anything that
// differs from what was asked for, it is not.
func Test15WebAuthn(t *testing.T) {
	good := virtualwebauthn.RelyingParty{ID: "example.okta.test", Name: "Okta", Origin: baseURL}
	for name, tc := range map[string]struct {
		rp      virtualwebauthn.RelyingParty
		options virtualwebauthn.AuthenticatorOptions
		counter uint32 // beside the 7 of the last time
		spoil   func(map[string]any)
		other   bool // key
		bad     bool
	}{
		"good":           {rp: good, counter: 8},
		"another origin": {rp: virtualwebauthn.RelyingParty{ID: good.ID, Origin: "https://evil.test"}, counter: 8, bad: true},
		"another party":  {rp: virtualwebauthn.RelyingParty{ID: "evil.test", Origin: baseURL}, counter: 8, bad: true},
		"nobody present": {rp: good, options: virtualwebauthn.AuthenticatorOptions{UserNotPresent: true}, counter: 8, bad: true},
		"counter stays":  {rp: good, counter: 7, bad: true},
		"another key":    {rp: good, counter: 8, other: true, bad: true},
		"alphabet":       {rp: good, counter: 8, bad: true, spoil: func(m map[string]any) { m["signatureData"] = "_-__" }},
		"short":          {rp: good, counter: 8, bad: true, spoil: func(m map[string]any) { m["authenticatorData"] = "AAAA" }},
	} {
		t.Run(name, func(t *testing.T) {
			credential, known := securityKey(t)
			o, b, r := equip(t, nil, func(u *User) { u.Keys = []SecurityKey{known} })
			sign := func(r result, rp virtualwebauthn.RelyingParty, options virtualwebauthn.AuthenticatorOptions, counter uint32, key virtualwebauthn.Credential, spoil func(map[string]any)) result {
				token := r.str("stateToken")
				verify := r.verifyURL("webauthn")
				r = b.post(verify, map[string]any{"stateToken": token}).state(t, mfaChallenge)
				if r.str("factorResult") != "CHALLENGE" || r.str("_embedded", "factor", "profile", "credentialId") != known.credentialID() {
					t.Fatalf("challenge: %s", r.body)
				}
				key.Counter = counter
				in := signature(t, rp, key, options, r.str("_embedded", "factor", "_embedded", "challenge", "challenge"))
				in["stateToken"] = token
				if spoil != nil {
					spoil(in)
				}
				r = b.post(verify, in)
				if spoil == nil && r.status == http.StatusOK {
					b.post(verify, in).want(t, 401, "E0000011") // it is over
				}
				return r
			}
			sign(r, good, virtualwebauthn.AuthenticatorOptions{}, 7, credential, nil).state(t, success)
			key := credential
			if tc.other {
				key, _ = securityKey(t)
			}
			r = sign(b.primary("bob@example.com", "battery staple").state(t, mfaRequired), tc.rp, tc.options, tc.counter, key, tc.spoil)
			if tc.bad {
				r.want(t, 403, "E0000068")
			} else {
				r.state(t, success)
			}
			if n := o.Counts().MFAFailures; (n == 1) != tc.bad {
				t.Errorf("%d failures", n)
			}
		})
	}
}

// Test15ChallengeOnce: a signature is checked against the last challenge, once.
func Test15ChallengeOnce(t *testing.T) {
	credential, known := securityKey(t)
	_, b, r := equip(t, nil, func(u *User) { u.Keys = []SecurityKey{known} })
	token, verify := map[string]any{"stateToken": r.str("stateToken")}, r.verifyURL("webauthn")
	rp := virtualwebauthn.RelyingParty{ID: "example.okta.test", Origin: baseURL}
	ask := func() string {
		return b.post(verify, token).state(t, mfaChallenge).str("_embedded", "factor", "_embedded", "challenge", "challenge")
	}
	answer := func(challenge string) result {
		in := signature(t, rp, credential, virtualwebauthn.AuthenticatorOptions{}, challenge)
		in["stateToken"] = token["stateToken"]
		return b.post(verify, in)
	}
	old := ask()
	fresh := ask()
	answer(old).want(t, 403, "E0000068")
	answer(fresh).want(t, 403, "E0000068") // the failure ended it
	answer(ask()).state(t, success)
}

// TestVerificationRequired: where the policy wants the user verified, a key that
// says that nobody was is refused.
func TestVerificationRequired(t *testing.T) {
	for _, verified := range []bool{true, false} {
		credential, known := securityKey(t)
		_, b, r := equip(t, func(s *Settings) { s.UserVerification = "required" }, func(u *User) { u.Keys = []SecurityKey{known} })
		token, verify := r.str("stateToken"), r.verifyURL("webauthn")
		r = b.post(verify, map[string]any{"stateToken": token})
		challenge := result{doc: r.at("_embedded", "factor", "_embedded", "challenge").(map[string]any)}
		if challenge.str("userVerification") != "required" {
			t.Errorf("challenge: %v", challenge.doc)
		}
		in := signature(t, virtualwebauthn.RelyingParty{ID: "example.okta.test", Origin: baseURL}, credential, virtualwebauthn.AuthenticatorOptions{UserNotVerified: !verified}, challenge.str("challenge"))
		in["stateToken"] = token
		if r = b.post(verify, in); verified {
			r.state(t, success)
		} else {
			r.want(t, 403, "E0000068")
		}
	}
}

// Test08EveryFactorLocks: five failures in a row, of whatever factor, lock.
func Test08EveryFactorLocks(t *testing.T) {
	_, known := securityKey(t)
	for _, kind := range []string{"sms", "call", "email", "question", "token:hotp", "webauthn"} {
		o, b, r := equip(t, nil, func(u *User) {
			u.Others, u.Answer, u.HOTPSecret, u.Keys = []string{"sms", "call", "email", "question"}, "liver", secret, []SecurityKey{known}
		})
		in := map[string]any{"stateToken": r.str("stateToken"), "passCode": "x", "answer": "x"}
		if kind == "webauthn" {
			in["clientData"] = "AAAA"
		}
		for n := range 5 {
			if got := b.post(r.verifyURL(kind), in); n < 4 {
				got.want(t, 403, "E0000068")
			} else {
				got.locked(t)
			}
		}
		if !o.Locked("bob@example.com") {
			t.Errorf("%s: not locked", kind)
		}
	}
}

// TestYubiKey: passwords of the real form, and what is none.
func TestYubiKey(t *testing.T) {
	y := &YubiKey{Public: [6]byte{0xab}, Private: [6]byte{9}, Key: [16]byte{1, 2}}
	otp := y.password(0x1234)
	if len(otp) != 44 || !strings.HasPrefix(otp, "lncccccccccc") {
		t.Errorf("password %q", otp)
	}
	if n, ok := y.open(otp); !ok || n != 0x1234 {
		t.Errorf("count %d %v", n, ok)
	}
	for i, bad := range []string{"", "x", otp[:42], otp + "cc", strings.ToUpper(otp), "cc" + otp[2:], otp[:42] + "cc"} {
		if _, ok := y.open(bad); ok {
			t.Errorf("%d was taken", i)
		}
	}
}
