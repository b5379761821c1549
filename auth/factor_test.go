package auth_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"arcproxy/auth"
	oktabox "arcproxy/test/sandbox/okta"
)

func TestTOTP(t *testing.T) {
	for _, provider := range []string{"GOOGLE", "OKTA"} {
		run(t, provider, setup{user: oktabox.User{TOTPSecret: totpSecret, TOTPProvider: provider}}, func(t *testing.T, w *world) {
			g, err := w.signIn(t)
			wantGrant(t, g, err)
		})
	}
	run(t, "chosen by config", setup{user: withBoth, identity: func(i *auth.Identity) { i.Factors = []auth.Factor{auth.FactorTOTP} }}, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
	})
	run(t, "secret as people write it", setup{user: withTOTP, identity: func(i *auth.Identity) {
		i.TOTPSecret = constant("jbsw y3dp-ehpk 3pxp jbsw y3dp ehpk 3pxp")
	}}, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
	})
	run(t, "wrong clock", setup{user: withTOTP}, func(t *testing.T, w *world) {
		w.okta.Configure(func(s *oktabox.Settings) { s.ClockSkew = 95 * time.Second })
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		if n := w.okta.Counts().MFAFailures; n != 0 {
			t.Errorf("%d codes refused, want none", n)
		}
		if !w.events.has("clock differs from Okta's by 1m35s") {
			t.Error("nobody was told of the wrong clock")
		}
	})
}

// TestWrongTOTPSecret: two codes, of two windows, and no more.
func TestWrongTOTPSecret(t *testing.T) {
	s := setup{user: withTOTP, identity: func(i *auth.Identity) { i.TOTPSecret = constant("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ") }}
	run(t, "", s, func(t *testing.T, w *world) {
		began := time.Now()
		_, err := w.signIn(t)
		e := wantKind(t, err, auth.PasscodeRefused)
		if e.Code != "E0000068" {
			t.Errorf("code %q", e.Code)
		}
		if n := w.okta.Counts().Passcodes; n != 2 {
			t.Errorf("%d codes sent, want 2", n)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("took %s", took)
		}
		if used, err := w.signer.Uses(t.Context(), "alice", e.Credential); err != nil || !used {
			t.Errorf("the refused secret is not named: %v %v", used, err)
		}
	})
}

// TestUsedCode: a code that Okta has seen already, as after a restart of ours, is
// followed by the next one, in whichever way Okta says so.
func TestUsedCode(t *testing.T) {
	for name, told := range map[string]oktabox.Mistimed{"by an error": oktabox.MistimedError, "by a result": oktabox.MistimedResult} {
		run(t, name, setup{user: withTOTP, settings: func(s *oktabox.Settings) { s.AllowRememberDevice, s.Mistimed = false, told }}, func(t *testing.T, w *world) {
			g, err := w.signIn(t)
			wantGrant(t, g, err)
			again := &world{box: w.box, okta: w.okta, events: &events{}, log: &lockedBuilder{}, carrier: w.carrier}
			again.signer = signerFor(w, auth.Identity{Name: "alice", Username: login, Password: constant(password), TOTPSecret: constant(totpSecret)})
			g, err = again.signIn(t)
			wantGrant(t, g, err)
			if n := w.okta.Counts(); n.MFAFailures != 1 || n.Passcodes != 3 {
				t.Errorf("%d codes refused of %d, want 1 of 3", n.MFAFailures, n.Passcodes)
			}
			if !again.events.has("Okta refused the code") {
				t.Errorf("told %v", again.events.all())
			}
		})
	}
}

// TestTOTPLockout: the state after too many codes is a locked account, not a wrong code.
func TestTOTPLockout(t *testing.T) {
	s := setup{user: withTOTP,
		settings: func(s *oktabox.Settings) { s.MaxMFAFailures = 2 },
		identity: func(i *auth.Identity) { i.TOTPSecret = constant("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ") }}
	run(t, "", s, func(t *testing.T, w *world) {
		_, err := w.signIn(t)
		wantKind(t, err, auth.AccountLocked)
	})
}

func TestPush(t *testing.T) {
	run(t, "approved", setup{user: withPush}, func(t *testing.T, w *world) {
		w.okta.Phone(login).ApproveAfter(21 * time.Second)
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		if n := w.okta.Counts().Pushes; n != 1 {
			t.Errorf("%d pushes, want 1", n)
		}
		if !w.events.has("push sent to alice's phone: approve it within") || !w.events.has("push approved") {
			t.Errorf("told %v", w.events.all())
		}
		if n := w.carrier.requests("POST " + oktaHost + "/api/v1/authn/factors"); n != 7 {
			t.Errorf("%d requests for 21 s, want 1 and a poll every 4 s", n)
		}
	})
	run(t, "approved, device remembered", setup{user: withPush}, func(t *testing.T, w *world) {
		w.okta.Phone(login).Approve()
		for range 2 {
			g, err := w.signIn(t)
			wantGrant(t, g, err)
			w.okta.EndSessions()
		}
		if n := w.okta.Counts().Pushes; n != 1 {
			t.Errorf("%d pushes, want 1", n)
		}
	})
	run(t, "chosen by config", setup{user: withBoth, identity: func(i *auth.Identity) { i.Factors = []auth.Factor{auth.FactorPush} }}, func(t *testing.T, w *world) {
		w.okta.Phone(login).Approve()
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		if c := w.okta.Counts(); c.Pushes != 1 || c.Passcodes != 0 {
			t.Errorf("%d pushes, %d codes", c.Pushes, c.Passcodes)
		}
	})
	for name, c := range map[string]struct {
		habit func(*oktabox.Phone)
		kind  auth.Kind
	}{
		"rejected": {(*oktabox.Phone).Reject, auth.PushRejected},
		"ignored":  {(*oktabox.Phone).Ignore, auth.PushTimedOut},
		"failed":   {(*oktabox.Phone).Fail, auth.FactorFailed},
	} {
		run(t, name, setup{user: withPush}, func(t *testing.T, w *world) {
			c.habit(w.okta.Phone(login))
			_, err := w.signIn(t)
			wantKind(t, err, c.kind)
			if n := w.okta.Counts().Pushes; n != 1 {
				t.Errorf("%d pushes, want 1", n)
			}
			if n := w.carrier.requests("POST " + oktaHost + "/api/v1/authn/cancel"); n != 1 {
				t.Errorf("%d cancellations, want 1", n)
			}
		})
	}
	run(t, "no time left", setup{user: withPush}, func(t *testing.T, w *world) {
		ctx, done := context.WithTimeout(t.Context(), 30*time.Second)
		defer done()
		_, err := w.signer.SignIn(ctx, "alice", w.watch())
		wantKind(t, err, auth.PushTimedOut)
		if n := len(w.okta.Phone(login).Pending()); n != 0 {
			t.Errorf("%d pushes are left on the phone", n)
		}
		if !w.events.has("within 30 s") {
			t.Errorf("told %v", w.events.all())
		}
	})
	run(t, "both policies ask", setup{user: withPush, settings: func(s *oktabox.Settings) { s.AppMFA = true }}, func(t *testing.T, w *world) {
		w.okta.Phone(login).Approve()
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		if n := w.okta.Counts().Pushes; n != 2 {
			t.Errorf("%d pushes, want 2: one for each policy", n)
		}
	})
}

// TestNumberChallenge: the number is told when it appears, 0 included.
func TestNumberChallenge(t *testing.T) {
	for _, number := range []int{0, 42, 7} {
		for _, polls := range []int{0, 2} {
			s := setup{user: withPush, settings: func(s *oktabox.Settings) {
				s.NumberChallenge, s.Number, s.NumberAfterPolls = true, &number, polls
			}}
			run(t, fmt.Sprintf("%d after %d polls", number, polls), s, func(t *testing.T, w *world) {
				w.okta.Phone(login).ApproveAfter(20 * time.Second)
				g, err := w.signIn(t)
				wantGrant(t, g, err)
				var found *auth.Challenge
				for _, e := range w.events.all() {
					if e.Challenge != nil && e.Challenge.Number != "" {
						if found != nil {
							t.Error("the number was told twice")
						}
						found = e.Challenge
						if !strings.Contains(e.Text, fmt.Sprintf("approve %d within", number)) {
							t.Errorf("told %q", e.Text)
						}
					}
				}
				if found == nil || found.Number != fmt.Sprint(number) || found.Kind != auth.FactorPush || found.Device != "alice's phone" || found.Deadline.IsZero() {
					t.Errorf("challenge %+v", found)
				}
			})
		}
	}
}

// TestNobodyWaits: no push for a caller who has left.
func TestNobodyWaits(t *testing.T) {
	run(t, "", setup{user: withPush}, func(t *testing.T, w *world) {
		_, err := w.signer.SignIn(t.Context(), "alice", auth.Watch{})
		wantKind(t, err, auth.NobodyWaiting)
		if n := w.okta.Counts().Pushes; n != 0 {
			t.Errorf("%d pushes, want none", n)
		}
	})
}

// TestPushPaused: a pause ends a sign-in that would push, before the password
// where that is certain; one that needs no push goes on.
func TestPushPaused(t *testing.T) {
	pause := &auth.Error{Kind: auth.PushRejected, Step: "Okta: push", Until: time.Unix(4e9, 0)}
	paused := func(t *testing.T, w *world) (auth.Grant, error) {
		watch := w.watch()
		watch.PushPaused = pause
		return w.signer.SignIn(t.Context(), "alice", watch)
	}
	for name, c := range map[string]struct {
		setup     setup
		passwords int
	}{
		"no secret":         {setup{user: withPush}, 0},
		"chosen by config":  {setup{user: withBoth, identity: func(i *auth.Identity) { i.Factors = []auth.Factor{auth.FactorPush} }}, 0},
		"only push in Okta": {setup{user: withPush, identity: func(i *auth.Identity) { i.TOTPSecret = constant(totpSecret) }}, 1},
	} {
		run(t, name, c.setup, func(t *testing.T, w *world) {
			_, err := paused(t, w)
			if e := wantKind(t, err, auth.PushRejected); !e.Until.Equal(pause.Until) {
				t.Errorf("until %s", e.Until)
			}
			if counts := w.okta.Counts(); counts.Pushes != 0 || counts.Primary != c.passwords {
				t.Errorf("%d pushes, %d passwords; want 0, %d", counts.Pushes, counts.Primary, c.passwords)
			}
		})
	}
	run(t, "TOTP goes on", setup{user: withBoth}, func(t *testing.T, w *world) {
		g, err := paused(t, w)
		wantGrant(t, g, err)
	})
	run(t, "a live session goes on", setup{user: withPush}, func(t *testing.T, w *world) {
		w.okta.Phone(login).Approve()
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		g, err = paused(t, w)
		wantGrant(t, g, err)
	})
}

func TestNoUsableFactor(t *testing.T) {
	run(t, "", setup{user: oktabox.User{Others: []string{"sms", "question", "u2f"}}}, func(t *testing.T, w *world) {
		_, err := w.signIn(t)
		e := wantKind(t, err, auth.FactorUnavailable)
		for _, kind := range []string{"sms", "question", "u2f"} {
			if !strings.Contains(e.Seen, kind) {
				t.Errorf("%q does not say that the account has %s", e.Seen, kind)
			}
		}
	})
	run(t, "config asks for push", setup{user: withTOTP, identity: func(i *auth.Identity) { i.Factors = []auth.Factor{auth.FactorPush} }}, func(t *testing.T, w *world) {
		_, err := w.signIn(t)
		wantKind(t, err, auth.FactorUnavailable)
	})
	run(t, "config asks for TOTP", setup{user: withPush, identity: func(i *auth.Identity) { i.Factors, i.TOTPSecret = []auth.Factor{auth.FactorTOTP}, constant(totpSecret) }}, func(t *testing.T, w *world) {
		_, err := w.signIn(t)
		wantKind(t, err, auth.FactorUnavailable)
		if n := w.okta.Counts().Pushes; n != 0 {
			t.Errorf("%d pushes", n)
		}
	})
}
