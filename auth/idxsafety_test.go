package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"arcproxy/auth"
	oktabox "arcproxy/test/sandbox/okta"
)

// The rules that keep accounts from being locked and phones from buzzing, on Identity
// Engine.

// TestEngineWrongPassword: one attempt, and the credential is named.
func TestEngineWrongPassword(t *testing.T) {
	for seed := range uint64(3) {
		wrong := "wrong-password"
		s := setup{seed: seed, identity: func(i *auth.Identity) {
			i.Password = func(context.Context) (auth.Secret, error) { return auth.NewSecret(wrong), nil }
		}}
		run(t, fmt.Sprint(seed), engine(s, nil), func(t *testing.T, w *world) {
			_, err := w.signIn(t)
			e := wantKind(t, err, auth.CredentialRefused)
			if n := w.okta.Counts().Primary; n != 1 || e.Code == "" {
				t.Errorf("%d passwords sent, want 1; code %q", n, e.Code)
			}
			for _, want := range []bool{true, false} {
				if used, err := w.signer.Uses(t.Context(), "alice", e.Credential); err != nil || used != want {
					t.Errorf("Uses = %v, %v; want %v", used, err, want)
				}
				wrong = password
			}
			g, err := w.signIn(t)
			wantGrant(t, g, err)
		})
	}
}

// TestEngineMissingCredentials: nothing is sent for a credential that is not there.
func TestEngineMissingCredentials(t *testing.T) {
	failing := func(context.Context) (auth.Secret, error) { return auth.Secret{}, errors.New("keyring is locked") }
	for name, source := range map[string]auth.SecretSource{"none": nil, "empty": constant(""), "failing": failing} {
		run(t, "password/"+name, engine(setup{identity: func(i *auth.Identity) { i.Password = source }}, nil), func(t *testing.T, w *world) {
			_, err := w.signIn(t)
			wantKind(t, err, auth.MissingCredential)
			if n := w.okta.Counts().Primary; n != 0 {
				t.Errorf("%d passwords sent", n)
			}
		})
		s := setup{user: withBoth, identity: func(i *auth.Identity) { i.TOTPSecret, i.Factors = source, []auth.Factor{auth.FactorTOTP} }}
		run(t, "totp/"+name, engine(s, nil), func(t *testing.T, w *world) {
			_, err := w.signIn(t)
			wantKind(t, err, auth.MissingCredential)
			if c := w.okta.Counts(); c.Passcodes+c.Pushes != 0 {
				t.Errorf("a factor was answered: %+v", c)
			}
			if n := w.carrier.requests("POST " + oktaHost + idxPath + "cancel"); n != 1 {
				t.Errorf("%d cancellations, want 1", n)
			}
		})
	}
}

// TestEngineCodes: two at most, never the same, none of a time step that was used.
func TestEngineCodes(t *testing.T) {
	for seed := range uint64(4) {
		wrong := setup{seed: seed, user: withTOTP, identity: func(i *auth.Identity) { i.TOTPSecret = constant("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ") }}
		run(t, fmt.Sprintf("wrong secret/%d", seed), engine(wrong, nil), func(t *testing.T, w *world) {
			began := time.Now()
			_, err := w.signIn(t)
			if e := wantKind(t, err, auth.PasscodeRefused); e.Credential == "" {
				t.Error("the secret is not named")
			}
			if n := w.okta.Counts().Passcodes; n != 2 {
				t.Errorf("%d codes sent, want 2", n)
			}
			if took := time.Since(began); took < 10*time.Second || took > time.Minute {
				t.Errorf("took %s: the second code was not the next window's", took)
			}
		})
		run(t, fmt.Sprintf("one step, one code/%d", seed), engine(setup{seed: seed, user: withTOTP}, func(s *oktabox.Settings) { s.AllowRememberDevice = false }), func(t *testing.T, w *world) {
			for range 3 {
				g, err := w.signIn(t)
				wantGrant(t, g, err)
				w.okta.EndSessions()
			}
			if c := w.okta.Counts(); c.Passcodes != 3 || c.MFAFailures != 0 {
				t.Errorf("%d codes, %d refused; want 3, none", c.Passcodes, c.MFAFailures)
			}
		})
		same := &person{says: func(int, string) (string, error) { return "000000", nil }}
		typed := setup{seed: seed, user: withTOTP, identity: func(i *auth.Identity) { i.TOTPSecret = nil }}
		run(t, fmt.Sprintf("typed twice/%d", seed), engine(typed, nil), func(t *testing.T, w *world) {
			p := *same
			_, err := w.signer.SignIn(t.Context(), "alice", w.attended(&p))
			if e := wantKind(t, err, auth.PasscodeRefused); e.Credential != "" {
				t.Error("a person's code condemns a credential")
			}
			if n := w.okta.Counts().Passcodes; n != 1 || len(p.asked) != 2 || !p.asked[1].Again {
				t.Errorf("%d codes sent, asked %+v; want one, the second time as such", n, p.asked)
			}
		})
	}
}

// TestEnginePushes: once, only while somebody waits, never again after its end.
func TestEnginePushes(t *testing.T) {
	for name, c := range map[string]struct {
		habit func(*oktabox.Phone)
		kind  auth.Kind
	}{
		"rejected":  {(*oktabox.Phone).Reject, auth.PushRejected},
		"failed":    {(*oktabox.Phone).Fail, auth.FactorFailed},
		"cancelled": {(*oktabox.Phone).Cancel, auth.FactorFailed},
		"ignored":   {(*oktabox.Phone).Ignore, auth.PushTimedOut},
	} {
		for seed := range uint64(4) {
			run(t, fmt.Sprintf("%s/%d", name, seed), engine(setup{seed: seed, user: withPush}, nil), func(t *testing.T, w *world) {
				c.habit(w.okta.Phone(login))
				_, err := w.signIn(t)
				wantKind(t, err, c.kind)
				if n := w.okta.Counts().Pushes; n != 1 {
					t.Errorf("%d pushes, want 1", n)
				}
				if n := len(w.okta.Phone(login).Pending()); n != 0 {
					t.Errorf("%d pushes are left on the phone", n)
				}
			})
		}
	}
	for _, step := range []oktabox.PasswordStep{oktabox.PasswordInIdentify, oktabox.PasswordAlone} {
		run(t, fmt.Sprintf("nobody waits/%d", step), engine(setup{user: withPush}, func(s *oktabox.Settings) { s.IDX.Password = step }), func(t *testing.T, w *world) {
			_, err := w.signer.SignIn(t.Context(), "alice", auth.Watch{})
			wantKind(t, err, auth.NobodyWaiting)
			// Without a password, the user name may be all that a push needs.
			if c := w.okta.Counts(); c.Pushes != 0 || c.Primary != 0 || c.IDX.Identifies != 0 {
				t.Errorf("%d pushes, %d passwords, %d user names; want none", c.Pushes, c.Primary, c.IDX.Identifies)
			}
		})
	}
	run(t, "the caller leaves", engine(setup{user: withPush}, nil), func(t *testing.T, w *world) {
		watch, asked := w.watch(), 0
		watch.Waited = func() bool { asked++; return asked < 2 }
		_, err := w.signer.SignIn(t.Context(), "alice", watch)
		wantKind(t, err, auth.NobodyWaiting)
		if n := w.okta.Counts().Pushes; n != 0 || asked != 2 {
			t.Errorf("%d pushes after %d questions, want none after 2", n, asked)
		}
	})
	run(t, "time is up", engine(setup{user: withPush}, nil), func(t *testing.T, w *world) {
		w.okta.Phone(login).Ignore()
		ctx, done := context.WithTimeout(t.Context(), 30*time.Second)
		defer done()
		_, err := w.signer.SignIn(ctx, "alice", w.watch())
		wantKind(t, err, auth.PushTimedOut)
		if n := len(w.okta.Phone(login).Pending()); n != 0 {
			t.Errorf("%d pushes are left on the phone", n)
		}
	})
	paused := &auth.Error{Kind: auth.PushRejected, Step: "Okta: push", Until: time.Unix(4e9, 0)}
	run(t, "paused", engine(setup{user: withPush, identity: func(i *auth.Identity) { i.TOTPSecret = constant(totpSecret) }}, nil), func(t *testing.T, w *world) {
		watch := w.watch()
		watch.PushPaused = paused
		_, err := w.signer.SignIn(t.Context(), "alice", watch)
		wantKind(t, err, auth.PushRejected)
		if n := w.okta.Counts().Pushes; n != 0 {
			t.Errorf("%d pushes", n)
		}
	})
	for seed := range uint64(4) {
		auto := func(s *oktabox.Settings) { s.IDX.AutoChallenge = true }
		run(t, fmt.Sprintf("sent by itself/%d", seed), engine(setup{seed: seed, user: withPush}, auto), func(t *testing.T, w *world) {
			w.okta.Phone(login).ApproveAfter(20 * time.Second)
			g, err := w.signIn(t)
			wantGrant(t, g, err)
			if n := w.okta.Counts().Pushes; n != 1 {
				t.Errorf("%d pushes, want 1", n)
			}
		})
		run(t, fmt.Sprintf("sent by itself, for nobody/%d", seed), engine(setup{seed: seed, user: withPush}, auto), func(t *testing.T, w *world) {
			watch, asked := w.watch(), 0
			watch.Waited = func() bool { asked++; return asked < 2 }
			_, err := w.signer.SignIn(t.Context(), "alice", watch)
			wantKind(t, err, auth.NobodyWaiting)
			if n := len(w.okta.Phone(login).Pending()); n != 0 {
				t.Errorf("%d pushes are left on the phone", n)
			}
		})
	}
}

// TestEngineFaults puts each thing that can go wrong at each place: it has a name,
// and nothing that counts is sent twice.
func TestEngineFaults(t *testing.T) {
	for kind, want := range faults {
		for _, place := range []string{"introspect", "identify", "challenge", "challenge/answer"} {
			s := engine(setup{user: withTOTP}, func(s *oktabox.Settings) {
				s.IDX.Select, s.IDX.Password = oktabox.SelectAlways, oktabox.PasswordInIdentify
			})
			run(t, fmt.Sprintf("%d at %s", kind, place), s, func(t *testing.T, w *world) {
				fault := oktabox.Fault{Kind: kind, Path: idxPath + place}
				if kind == oktabox.RateLimit {
					fault.Delay = 20 * time.Second
				}
				w.okta.Inject(fault)
				began := time.Now()
				_, err := w.signIn(t)
				want := want
				if (place == "identify" || place == "challenge/answer") && (want == auth.Unreachable || want == auth.UnexpectedPage) {
					want = auth.Unanswered // perhaps it counted as an attempt
				}
				wantKind(t, err, want)
				if n := w.carrier.requests("POST " + oktaHost + idxPath + place); n > 2 && place != "challenge" || n > 3 {
					t.Errorf("%d posts to %s", n, place)
				}
				if c := w.okta.Counts(); c.Primary > 1 || c.Passcodes > 1 {
					t.Errorf("%d passwords, %d codes; want 1 at most", c.Primary, c.Passcodes)
				}
				w.okta.ClearFaults()
				_ = auth.Pause(t.Context(), "", time.Until(began.Add(time.Minute)))
				g, err := w.signIn(t)
				wantGrant(t, g, err)
			})
		}
	}
	for _, kind := range []oktabox.FaultKind{oktabox.ServerError, oktabox.Drop, oktabox.DropAfter, oktabox.RateLimit, oktabox.Concurrency} {
		for seed := range uint64(3) {
			s := engine(setup{seed: seed, user: withPush}, func(s *oktabox.Settings) { s.IDX.Poll = idxPath + "challenge/poll" })
			run(t, fmt.Sprintf("%d at a poll/%d", kind, seed), s, func(t *testing.T, w *world) {
				w.okta.Inject(oktabox.Fault{Kind: kind, Path: idxPath + "challenge/poll", Skip: 2, Times: 3, Delay: 2 * time.Second})
				w.okta.Phone(login).ApproveAfter(40 * time.Second)
				g, err := w.signIn(t)
				wantGrant(t, g, err)
				if n := w.okta.Counts().Pushes; n != 1 {
					t.Errorf("%d pushes, want 1", n)
				}
			})
		}
	}
	run(t, "the push's own answer is lost", engine(setup{user: withPush}, func(s *oktabox.Settings) {
		s.IDX.Select, s.IDX.Password = oktabox.SelectAlways, oktabox.PasswordInIdentify
	}), func(t *testing.T, w *world) {
		w.okta.Inject(oktabox.Fault{Kind: oktabox.DropAfter, Path: idxPath + "challenge"})
		_, err := w.signIn(t)
		wantKind(t, err, auth.FactorFailed)
		if n := w.okta.Counts().Pushes; n != 1 {
			t.Errorf("%d pushes, want 1", n)
		}
	})
}

// TestEngineSessionLost: a flow that ends midway begins anew only while nothing that
// counts was sent.
func TestEngineSessionLost(t *testing.T) {
	lost := func(r *http.Request) *http.Response {
		return page(r, 401, `{"version":"1.0.0","messages":{"type":"array","value":[{"message":"You have been logged out due to inactivity.","i18n":{"key":"idx.session.expired"},"class":"ERROR"}]}}`)
	}
	for place, c := range map[string]struct {
		passwords int
		ok        bool
	}{"introspect": {1, true}, "challenge/answer": {1, false}} {
		s := engine(setup{user: withTOTP}, func(s *oktabox.Settings) { s.IDX.Password = oktabox.PasswordInIdentify })
		run(t, place, s, func(t *testing.T, w *world) {
			ended := false
			w.carrier.answers(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == idxPath+place && !ended {
					ended = true
					return lost(r), nil
				}
				return nil, nil
			})
			g, err := w.signIn(t)
			if c.ok {
				wantGrant(t, g, err)
			} else {
				wantKind(t, err, auth.SessionLost)
			}
			if n := w.okta.Counts().Primary; n != c.passwords || !ended {
				t.Errorf("%d passwords, want %d", n, c.passwords)
			}
		})
	}
}

// TestEngineOneAtATime: two sign-ins of one identity take turns, and the second finds
// the session of the first.
func TestEngineOneAtATime(t *testing.T) {
	run(t, "", engine(setup{user: withTOTP}, nil), func(t *testing.T, w *world) {
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				g, err := w.signer.SignIn(t.Context(), "alice", w.watch())
				if err != nil || g.AccessToken.IsZero() {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if c := w.okta.Counts(); c.Primary != 1 || c.Passcodes != 1 {
			t.Errorf("%d passwords and %d codes for 8 sign-ins, want 1 and 1", c.Primary, c.Passcodes)
		}
	})
}

// TestEngineSessions: what a sign-in leaves spares the next run a password and a
// factor; one that failed keeps the device; one that was signed out keeps nothing.
func TestEngineSessions(t *testing.T) {
	run(t, "a restart", engine(setup{user: withPush, sessions: &sessions{}}, nil), func(t *testing.T, w *world) {
		w.okta.Phone(login).Approve()
		for range 2 {
			g, err := w.signIn(t)
			wantGrant(t, g, err)
			if kept := w.sessions.text(); !strings.Contains(kept, `"DT"`) || !strings.Contains(kept, `"idx"`) {
				t.Error("device or session are not kept")
			}
			w.restart()
		}
		if c := w.okta.Counts(); c.Primary != 1 || c.Pushes != 1 {
			t.Errorf("%d passwords and %d pushes for two sign-ins, want one each", c.Primary, c.Pushes)
		}
	})
	run(t, "a failed sign-in", engine(setup{user: withTOTP}, func(s *oktabox.Settings) { s.MFA = oktabox.MFANewDevice }), func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		w.okta.Inject(oktabox.Fault{Kind: oktabox.HTMLPage, Path: appPath, Times: 1})
		_, err = w.signIn(t)
		wantKind(t, err, auth.UnexpectedPage)
		g, err = w.signIn(t)
		wantGrant(t, g, err)
		if c := w.okta.Counts(); c.Primary != 2 || c.Passcodes != 1 {
			t.Errorf("%d passwords and %d codes, want 2 and 1", c.Primary, c.Passcodes)
		}
	})
	run(t, "another's refusal", engine(setup{user: withPush, sessions: &sessions{}}, func(s *oktabox.Settings) { s.MFA = oktabox.MFANever }), func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		w.okta.Configure(func(s *oktabox.Settings) { s.AppMFA = true })
		w.okta.Phone(login).Reject()
		_, err = w.signIn(t)
		wantKind(t, err, auth.PushRejected)
		if !strings.Contains(w.sessions.text(), `"idx"`) {
			t.Error("a rejected push ends a session that is good")
		}
	})
	run(t, "signed out", engine(setup{user: withTOTP, sessions: &sessions{}}, nil), func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		if err := w.signer.Revoke(t.Context(), "alice", g); err != nil {
			t.Fatal(err)
		}
		if n := w.carrier.requests("DELETE " + oktaHost + "/api/v1/sessions/me"); n != 1 || strings.Contains(w.sessions.text(), "cookies") {
			t.Errorf("Okta's session was ended %d times; kept: %s", n, w.sessions.text())
		}
		g, err = w.signIn(t)
		wantGrant(t, g, err)
		if n := w.okta.Counts().Primary; n != 2 {
			t.Errorf("%d passwords, want 2", n)
		}
	})
}

// TestEngineEcho: what was sent comes back in a message, and is not told.
func TestEngineEcho(t *testing.T) {
	for name, at := range map[string]string{"password": "identify", "code": "challenge/answer"} {
		s := engine(setup{user: withTOTP}, func(s *oktabox.Settings) { s.IDX.Password = oktabox.PasswordInIdentify })
		run(t, name, s, func(t *testing.T, w *world) {
			w.carrier.answers(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path != idxPath+at {
					return nil, nil
				}
				body, _ := io.ReadAll(r.Body)
				var in struct{ Credentials map[string]string }
				_ = json.Unmarshal(body, &in)
				said := ""
				for _, s := range in.Credentials {
					said = s
				}
				return page(r, 401, fmt.Sprintf(`{"messages":{"value":[{"message":%q,"i18n":{"key":%q},"class":"ERROR"}]}}`, "no: "+said, "not."+said)), nil
			})
			_, err := w.signIn(t) // which looks for secrets in all that is told
			if err == nil {
				t.Error("signed in")
			}
		})
	}
}
