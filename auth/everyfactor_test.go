package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"arcproxy/auth"
	oktabox "arcproxy/test/sandbox/okta"
)

// person answers questions by what the sandbox sends or a device shows.
type person struct {
	w     *world
	asked []auth.Challenge
	after time.Duration                             // before each answer
	says  func(n int, right string) (string, error) // the nth answer, from 0; nil: the right one
}

// ask is an auth.Watch's Ask.
func (p *person) ask(ctx context.Context, c auth.Challenge) (auth.Secret, error) {
	n := len(p.asked)
	p.asked = append(p.asked, c)
	if p.after > 0 {
		select {
		case <-time.After(p.after):
		case <-ctx.Done():
			return auth.Secret{}, ctx.Err()
		}
	}
	right, err := p.right(c)
	if err == nil && p.says != nil {
		right, err = p.says(n, right)
	}
	return auth.NewSecret(right), err
}

func (p *person) right(c auth.Challenge) (string, error) {
	switch c.Kind {
	case auth.FactorSMS, auth.FactorCall, auth.FactorEmail:
		return p.w.okta.Inbox(login).Last(string(c.Kind)), nil
	case auth.FactorQuestion:
		return "boiled LIVER", nil
	case auth.FactorTOTP:
		return p.w.okta.TokenCode(login, "totp")
	case auth.FactorDuo:
		return p.w.okta.TokenCode(login, "duo")
	case auth.FactorToken:
		return p.w.okta.TokenCode(login, map[string]string{"CUSTOM": "hotp", "RSA": "rsa", "SYMANTEC": "symantec", "YUBICO": "yubikey"}[c.Device])
	}
	return "", fmt.Errorf("asked for %s", c.Kind)
}

// attended is a watch of somebody who waits and answers.
func (w *world) attended(p *person) auth.Watch {
	p.w = w
	watch := w.watch()
	watch.Ask = p.ask
	return watch
}

// software makes a key, as an operator has it and as Okta knows it.
func software(t *testing.T) (text string, known oktabox.SecurityKey) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	id := []byte("a credential of 32 bytes, or so.")
	text = "Credential-Id: " + base64.RawURLEncoding.EncodeToString(id) + "\n" + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return text, oktabox.SecurityKey{ID: id, Public: &private.PublicKey, Name: "a key"}
}

// tally is what a sign-in has cost.
type tally struct{ pushes, sms, calls, emails, proofs, asked int }

func (w *world) tally(p *person) tally {
	c := w.okta.Counts()
	if c.MFAFailures != 0 {
		p.asked = append(p.asked, auth.Challenge{}) // no row expects one
	}
	return tally{c.Pushes, c.SMS, c.Calls, c.Emails, c.Passcodes, len(p.asked)}
}

// every are the ways to prove a second factor, each with what one proof costs.
func every(t *testing.T) []struct {
	name     string
	user     oktabox.User
	identity func(*auth.Identity)
	cost     tally
	requests int // to Okta's factors, for one proof
} {
	text, known := software(t)
	only := func(f ...auth.Factor) func(*auth.Identity) {
		return func(i *auth.Identity) { i.Factors = f; i.TOTPSecret = nil }
	}
	yubi := &oktabox.YubiKey{Public: [6]byte{1}, Private: [6]byte{2}, Key: [16]byte{3}}
	type row = struct {
		name     string
		user     oktabox.User
		identity func(*auth.Identity)
		cost     tally
		requests int
	}
	return []row{
		{"push", oktabox.User{Push: true}, only(auth.FactorPush), tally{pushes: 1}, 2},
		{"totp", withTOTP, nil, tally{proofs: 1}, 1},
		{"totp, typed", withTOTP, only(auth.FactorTOTP), tally{proofs: 1, asked: 1}, 1},
		{"hotp", oktabox.User{HOTPSecret: totpSecret}, only(auth.FactorToken), tally{proofs: 1, asked: 1}, 1},
		{"rsa", oktabox.User{RSASecret: totpSecret}, only(auth.FactorToken), tally{proofs: 1, asked: 1}, 1},
		{"symantec", oktabox.User{SymantecSecret: totpSecret}, only(auth.FactorToken), tally{proofs: 1, asked: 1}, 1},
		{"yubikey", oktabox.User{YubiKey: yubi}, only(auth.FactorToken), tally{proofs: 1, asked: 1}, 1},
		{"sms", oktabox.User{Others: []string{"sms"}}, only(auth.FactorSMS), tally{sms: 1, proofs: 1, asked: 1}, 2},
		{"call", oktabox.User{Others: []string{"call"}}, only(auth.FactorCall), tally{calls: 1, proofs: 1, asked: 1}, 2},
		{"email", oktabox.User{Others: []string{"email"}}, only(auth.FactorEmail), tally{emails: 1, proofs: 1, asked: 1}, 2},
		{"question", oktabox.User{Others: []string{"question"}, Answer: "Boiled liver"}, func(i *auth.Identity) { i.Answer = constant("boiled liver") }, tally{proofs: 1}, 1},
		{"question, typed", oktabox.User{Others: []string{"question"}, Answer: "Boiled liver"}, only(auth.FactorQuestion), tally{proofs: 1, asked: 1}, 1},
		{"webauthn", oktabox.User{Keys: []oktabox.SecurityKey{known}}, func(i *auth.Identity) { i.WebAuthn = constant(text) }, tally{proofs: 1}, 2},
		{"duo", oktabox.User{DuoSecret: totpSecret}, only(auth.FactorDuo), tally{proofs: 1, asked: 1}, 3},
	}
}

func (a tally) times(n int) tally {
	return tally{a.pushes * n, a.sms * n, a.calls * n, a.emails * n, a.proofs * n, a.asked * n}
}

// TestEveryFactor: what each costs the first time, on a remembered device, and where
// the application asks once more than the organization.
func TestEveryFactor(t *testing.T) {
	for _, c := range every(t) {
		base := setup{user: c.user, identity: c.identity}
		run(t, c.name+"/first, then remembered", base, func(t *testing.T, w *world) {
			w.okta.Phone(login).Approve()
			p := &person{}
			for range 2 {
				g, err := w.signer.SignIn(t.Context(), "alice", w.attended(p))
				w.checkNoSecret(t, err)
				wantGrant(t, g, err)
				w.okta.EndSessions()
			}
			if got := w.tally(p); got != c.cost {
				t.Errorf("cost %+v, want %+v", got, c.cost)
			}
			if n := w.carrier.requests("POST " + oktaHost + "/api/v1/authn/factors"); n != c.requests {
				t.Errorf("%d requests to factors, want %d", n, c.requests)
			}
		})
		base.settings = func(s *oktabox.Settings) { s.AppMFA = true }
		run(t, c.name+"/step-up", base, func(t *testing.T, w *world) {
			w.okta.Phone(login).Approve()
			p := &person{after: time.Minute} // so that codes may be sent again, and others are shown
			g, err := w.signer.SignIn(t.Context(), "alice", w.attended(p))
			w.checkNoSecret(t, err)
			wantGrant(t, g, err)
			if got := w.tally(p); got != c.cost.times(2) {
				t.Errorf("cost %+v, want twice %+v", got, c.cost)
			}
		})
	}
}

// TestAuto: what needs no person, then a push, then what a person reads somewhere,
// then what has to be sent.
func TestAuto(t *testing.T) {
	text, known := software(t)
	user := oktabox.User{TOTPSecret: totpSecret, Push: true, HOTPSecret: totpSecret, Others: []string{"sms", "call", "email", "question"}, Answer: "Boiled liver", Keys: []oktabox.SecurityKey{known}}
	auto := func(i *auth.Identity) { i.TOTPSecret = nil }
	without := func(change func(*oktabox.User)) oktabox.User { u := user; change(&u); return u }
	for _, c := range []struct {
		name     string
		user     oktabox.User
		identity func(*auth.Identity)
		cost     tally
		kind     auth.Factor // asked for
	}{
		{"secret", user, func(i *auth.Identity) { i.Answer, i.WebAuthn = constant("Boiled liver"), constant(text) }, tally{proofs: 1}, ""},
		{"answer", user, func(i *auth.Identity) { i.TOTPSecret, i.Answer = nil, constant("Boiled liver") }, tally{proofs: 1}, ""},
		{"key", user, func(i *auth.Identity) { i.TOTPSecret, i.WebAuthn = nil, constant(text) }, tally{proofs: 1}, ""},
		{"push", user, auto, tally{pushes: 1}, ""},
		{"device", without(func(u *oktabox.User) { u.Push = false }), auto, tally{proofs: 1, asked: 1}, auth.FactorToken},
		{"authenticator", without(func(u *oktabox.User) { u.Push, u.HOTPSecret = false, "" }), auto, tally{proofs: 1, asked: 1}, auth.FactorTOTP},
		{"question", oktabox.User{Others: user.Others, Answer: user.Answer}, auto, tally{proofs: 1, asked: 1}, auth.FactorQuestion},
		{"email", oktabox.User{Others: []string{"sms", "call", "email"}}, auto, tally{emails: 1, proofs: 1, asked: 1}, auth.FactorEmail},
		{"sms", oktabox.User{Others: []string{"sms", "call"}}, auto, tally{sms: 1, proofs: 1, asked: 1}, auth.FactorSMS},
		{"list", user, func(i *auth.Identity) { i.Factors = []auth.Factor{auth.FactorDuo, auth.FactorCall, auth.FactorPush} }, tally{calls: 1, proofs: 1, asked: 1}, auth.FactorCall},
	} {
		run(t, c.name, setup{user: c.user, identity: c.identity}, func(t *testing.T, w *world) {
			w.okta.Phone(login).Approve()
			p := &person{}
			g, err := w.signer.SignIn(t.Context(), "alice", w.attended(p))
			wantGrant(t, g, err)
			if got := w.tally(p); got != c.cost {
				t.Errorf("cost %+v, want %+v", got, c.cost)
			}
			if c.kind != "" && p.asked[0].Kind != c.kind {
				t.Errorf("asked for %s, want %s", p.asked[0].Kind, c.kind)
			}
		})
	}
}

// TestMessageTold: who waits is told how a code comes and until when.
func TestMessageTold(t *testing.T) {
	for kind, where := range map[string]string{"sms": "by text message to +1 XXX-XXX-6688", "call": "by a call to +1 XXX-XXX-6688", "email": "by e-mail to a...e@example.com"} {
		run(t, kind, setup{user: oktabox.User{Others: []string{kind}}}, func(t *testing.T, w *world) {
			p := &person{}
			began := time.Now()
			g, err := w.signer.SignIn(t.Context(), "alice", w.attended(p))
			wantGrant(t, g, err)
			if !w.events.has(where + ": enter it within 5 min") {
				t.Errorf("told %v", w.events.all())
			}
			c := p.asked[0]
			if c.Kind != auth.Factor(kind) || !c.Code || c.Again || c.Device == "" || c.Deadline.Sub(began).Round(time.Second) != 5*time.Minute {
				t.Errorf("asked %+v", c)
			}
		})
	}
	run(t, "question", setup{user: oktabox.User{Others: []string{"question"}, Answer: "Boiled liver"}}, func(t *testing.T, w *world) {
		p := &person{}
		g, err := w.signer.SignIn(t.Context(), "alice", w.attended(p))
		wantGrant(t, g, err)
		if q := p.asked[0].Question; q != "What is the food you least liked as a child?" {
			t.Errorf("asked %q", q)
		}
	})
}

var paying = []string{"sms", "call", "email"}

// sent is how many codes were sent, by whatever way.
func sent(c oktabox.Counts) int { return c.SMS + c.Calls + c.Emails }

// TestNothingSent: no code for a caller who has left, none in a pause, and none where
// nobody can type it; before the password where that is certain.
func TestNothingSent(t *testing.T) {
	pause := &auth.Error{Kind: auth.ChallengeExpired, Step: "Okta: code", Until: time.Unix(4e9, 0)}
	for _, kind := range paying {
		for name, c := range map[string]struct {
			change    func(*auth.Watch)
			kind      auth.Kind
			passwords int
		}{
			"nobody waits": {func(w *auth.Watch) { w.Waited = nil }, auth.NobodyWaiting, 0},
			"pause":        {func(w *auth.Watch) { w.PushPaused = pause }, auth.ChallengeExpired, 0},
			"nobody types": {func(w *auth.Watch) { w.Ask = nil }, auth.MissingCredential, 1},
			"left meanwhile": {func(w *auth.Watch) {
				n := 0
				w.Waited = func() bool { n++; return n < 2 }
			}, auth.NobodyWaiting, 1},
		} {
			run(t, kind+"/"+name, setup{user: oktabox.User{Others: []string{kind}}, identity: func(i *auth.Identity) { i.Factors = []auth.Factor{auth.Factor(kind)} }}, func(t *testing.T, w *world) {
				watch := w.attended(&person{})
				c.change(&watch)
				_, err := w.signer.SignIn(t.Context(), "alice", watch)
				wantKind(t, err, c.kind)
				if counts := w.okta.Counts(); sent(counts) != 0 || counts.Primary != c.passwords {
					t.Errorf("%d codes sent, %d passwords; want none, %d", sent(counts), counts.Primary, c.passwords)
				}
			})
		}
	}
	run(t, "what needs no pause goes on", setup{user: oktabox.User{Others: []string{"sms"}, Push: true, HOTPSecret: totpSecret}}, func(t *testing.T, w *world) {
		p := &person{}
		watch := w.attended(p)
		watch.PushPaused = pause
		g, err := w.signer.SignIn(t.Context(), "alice", watch)
		wantGrant(t, g, err)
		if got := w.tally(p); got != (tally{proofs: 1, asked: 1}) {
			t.Errorf("cost %+v", got)
		}
	})
}

// TestNobodyAnswers: a code that nobody types in its time is named as such, and the
// transaction is cancelled. No second one is sent.
func TestNobodyAnswers(t *testing.T) {
	for _, kind := range paying {
		for name, says := range map[string]func(int, string) (string, error){
			"in time": nil, // after is longer
			"gave up": func(int, string) (string, error) { return "", errors.New("gave up") },
			"empty":   func(int, string) (string, error) { return "", nil },
			"left":    func(int, string) (string, error) { return "", &auth.Error{Kind: auth.NobodyWaiting, Step: "code"} },
		} {
			run(t, kind+"/"+name, setup{user: oktabox.User{Others: []string{kind}}}, func(t *testing.T, w *world) {
				p := &person{says: says}
				if says == nil {
					p.after = time.Hour
				}
				began := time.Now()
				_, err := w.signer.SignIn(t.Context(), "alice", w.attended(p))
				wantKind(t, err, auth.ChallengeExpired)
				if took := time.Since(began); took > 5*time.Minute+time.Second {
					t.Errorf("took %s", took)
				}
				if c := w.okta.Counts(); sent(c) != 1 || c.Passcodes != 0 {
					t.Errorf("%d sent, %d codes checked", sent(c), c.Passcodes)
				}
				if n := w.carrier.requests("POST " + oktaHost + "/api/v1/authn/cancel"); n != 1 {
					t.Errorf("%d cancellations, want 1", n)
				}
			})
		}
	}
}

// TestLateMessage: a sign-in whose time ends while a code is sent, or checked, does not
// know whether somebody has it. It is not begun again at once, which would send another.
func TestLateMessage(t *testing.T) {
	for _, kind := range paying {
		s := setup{user: oktabox.User{Others: []string{kind}}}
		for name, c := range map[string]struct {
			setup setup
			path  string
			skip  int
		}{
			"sending":          {s, factorPath, 0},
			"checking":         {s, factorPath, 1},
			"engine, sending":  {engine(s, func(s *oktabox.Settings) { s.IDX.Select = oktabox.SelectAlways }), idxPath + "challenge", 0},
			"engine, checking": {engine(s, nil), idxPath + "challenge/answer", 0},
		} {
			run(t, kind+"/"+name, c.setup, func(t *testing.T, w *world) {
				w.okta.Inject(oktabox.Fault{Kind: oktabox.Slow, Path: c.path, Skip: c.skip, Delay: 24 * time.Hour})
				ctx, done := context.WithTimeout(t.Context(), time.Minute)
				defer done()
				_, err := w.signer.SignIn(ctx, "alice", w.attended(&person{}))
				wantKind(t, err, auth.FactorFailed)
			})
		}
	}
}

// TestTypedTwice: what a person mistypes is sent at most twice, and never the same
// again; nothing is sent anew by itself, and no configured credential is blamed.
func TestTypedTwice(t *testing.T) {
	for _, c := range every(t) {
		if c.cost.asked == 0 {
			continue
		}
		for name, x := range map[string]struct {
			says   func(int, string) (string, error)
			proofs int
			asked  int
		}{
			"two wrong": {func(n int, _ string) (string, error) { return fmt.Sprintf("00000%d", n), nil }, 2, 2},
			"the same":  {func(int, string) (string, error) { return "000000", nil }, 1, 2},
		} {
			run(t, c.name+"/"+name, setup{user: c.user, identity: c.identity}, func(t *testing.T, w *world) {
				p := &person{says: x.says}
				_, err := w.signer.SignIn(t.Context(), "alice", w.attended(p))
				e := wantKind(t, err, auth.PasscodeRefused)
				if e.Credential != "" {
					t.Error("a configured credential is named for what a person typed")
				}
				if n := w.okta.Counts().Passcodes; n != x.proofs || len(p.asked) != x.asked {
					t.Errorf("%d sent to Okta, asked %d times; want %d, %d", n, len(p.asked), x.proofs, x.asked)
				}
				if got := sent(w.okta.Counts()); got != sent(oktabox.Counts{SMS: c.cost.sms, Calls: c.cost.calls, Emails: c.cost.emails}) {
					t.Errorf("%d codes sent to the person", got)
				}
				if !p.asked[1].Again || !w.events.has("the last was refused; ") {
					t.Error("the second question does not say that the first answer was refused")
				}
			})
		}
		run(t, c.name+"/second right", setup{user: c.user, identity: c.identity}, func(t *testing.T, w *world) {
			p := &person{says: func(n int, right string) (string, error) {
				if n == 0 {
					return "000000", nil
				}
				return right, nil
			}}
			g, err := w.signer.SignIn(t.Context(), "alice", w.attended(p))
			wantGrant(t, g, err)
		})
	}
}

// TestStoredRefused: an answer and a signature that Okta refuses are sent once, and
// named, so that they are not sent again.
func TestStoredRefused(t *testing.T) {
	_, known := software(t)
	other, _ := software(t)
	for name, s := range map[string]setup{
		"answer": {user: oktabox.User{Others: []string{"question"}, Answer: "Boiled liver"}, identity: func(i *auth.Identity) { i.Answer = constant("spinach") }},
		"key":    {user: oktabox.User{Keys: []oktabox.SecurityKey{known}}, identity: func(i *auth.Identity) { i.WebAuthn = constant(other) }},
	} {
		run(t, name, s, func(t *testing.T, w *world) {
			_, err := w.signer.SignIn(t.Context(), "alice", w.attended(&person{}))
			e := wantKind(t, err, auth.PasscodeRefused)
			if n := w.okta.Counts().Passcodes; n != 1 {
				t.Errorf("%d sent, want 1", n)
			}
			if used, err := w.signer.Uses(t.Context(), "alice", e.Credential); err != nil || !used {
				t.Errorf("the refused credential is not named: %v %v", used, err)
			}
			w.checkNoSecret(t, err)
		})
	}
}

// TestWrongKey: what the config has is no key, or none of the account's.
func TestWrongKey(t *testing.T) {
	text, known := software(t)
	for name, c := range map[string]struct {
		text string
		id   []byte
		kind auth.Kind
	}{
		"no key":             {"Credential-Id: AAAA\nnothing", known.ID, auth.MissingCredential},
		"another credential": {text, []byte("another"), auth.FactorUnavailable},
	} {
		key := known
		key.ID = c.id
		run(t, name, setup{user: oktabox.User{Keys: []oktabox.SecurityKey{key}}, identity: func(i *auth.Identity) { i.WebAuthn = constant(c.text) }}, func(t *testing.T, w *world) {
			_, err := w.signIn(t)
			wantKind(t, err, c.kind)
			if n := w.okta.Counts().Passcodes; n != 0 {
				t.Errorf("%d signatures sent", n)
			}
		})
	}
}

// TestVerificationRequired: a policy that wants the user verified is met.
func TestVerificationRequired(t *testing.T) {
	text, known := software(t)
	run(t, "", setup{user: oktabox.User{Keys: []oktabox.SecurityKey{known}}, settings: func(s *oktabox.Settings) { s.UserVerification = "required" },
		identity: func(i *auth.Identity) { i.WebAuthn = constant(text) }}, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
	})
}

// TestSendLimits: a code that Okta does not send yet is not asked for again.
func TestSendLimits(t *testing.T) {
	for _, kind := range paying {
		run(t, kind, setup{user: oktabox.User{Others: []string{kind}}, settings: func(s *oktabox.Settings) { s.AppMFA, s.EmailInterval = true, 30*time.Second }}, func(t *testing.T, w *world) {
			_, err := w.signer.SignIn(t.Context(), "alice", w.attended(&person{}))
			e := wantKind(t, err, auth.RateLimited)
			if wait := time.Until(e.Until); wait < 20*time.Second || wait > 2*time.Minute {
				t.Errorf("again in %s", wait)
			}
			if n := sent(w.okta.Counts()); n != 1 {
				t.Errorf("%d sent, want 1", n)
			}
		})
	}
}

// TestTypedNotQuoted: what a person typed is not told to anybody, though Okta quotes it.
func TestTypedNotQuoted(t *testing.T) {
	run(t, "", setup{user: oktabox.User{Others: []string{"question"}, Answer: "x"}}, func(t *testing.T, w *world) {
		w.carrier.answers(func(r *http.Request) (*http.Response, error) {
			if !strings.Contains(r.URL.Path, "/verify") {
				return nil, nil
			}
			return page(r, 403, `{"errorCode":"E0000068","errorSummary":"No: spinach and roses"}`, "Content-Type", "application/json"), nil
		})
		p := &person{says: func(n int, _ string) (string, error) { return []string{"spinach", "spinach and roses"}[n], nil }}
		_, err := w.signer.SignIn(t.Context(), "alice", w.attended(p))
		wantKind(t, err, auth.PasscodeRefused)
		told := w.log.String() + err.Error()
		for _, e := range w.events.all() {
			told += e.Text
		}
		if strings.Contains(told, "spinach") || strings.Contains(told, "roses") || !strings.Contains(err.Error(), "[secret]") {
			t.Errorf("%v", err)
		}
	})
}
