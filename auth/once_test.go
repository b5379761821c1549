package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"arcproxy/auth"
	oktabox "arcproxy/test/sandbox/okta"
)

// TestLeftDuringLimit: callers who leave while a used-up limit is waited for get
// no push.
func TestLeftDuringLimit(t *testing.T) {
	run(t, "", setup{user: withPush}, func(t *testing.T, w *world) {
		verify := ""
		began := time.Now()
		w.carrier.answers(func(r *http.Request) (*http.Response, error) {
			if !strings.HasPrefix(r.URL.Path, factorPath) || verify != "" {
				return nil, nil
			}
			verify = r.URL.Path
			return page(r, 200, `{"status":"MFA_CHALLENGE","factorResult":"REJECTED"}`,
				"Date", time.Now().UTC().Format(http.TimeFormat),
				"X-Rate-Limit-Limit", "10", "X-Rate-Limit-Remaining", "0",
				"X-Rate-Limit-Reset", strconv.FormatInt(began.Add(50*time.Second).Unix(), 10)), nil
		})
		_, err := w.signIn(t)
		wantKind(t, err, auth.PushRejected)
		_, err = w.signer.SignIn(t.Context(), "alice", auth.Watch{Waited: func() bool { return time.Since(began) < 20*time.Second }})
		wantKind(t, err, auth.NobodyWaiting)
		if n := w.okta.Counts().Pushes; n != 0 {
			t.Errorf("%d pushes, want none", n)
		}
	})
}

// TestBrokenDate: a Date far from ours sends no code, and no Date that was wrong
// once makes later sign-ins wait for their code for hours.
func TestBrokenDate(t *testing.T) {
	for _, off := range []time.Duration{-30 * 365 * 24 * time.Hour, -25 * time.Hour, 25 * time.Hour, 200 * 365 * 24 * time.Hour} {
		run(t, fmt.Sprint(off), setup{user: withTOTP}, func(t *testing.T, w *world) {
			w.okta.Configure(func(s *oktabox.Settings) { s.ClockSkew = off })
			_, err := w.signIn(t)
			wantKind(t, err, auth.FactorFailed)
			if n := w.okta.Counts().Passcodes; n != 0 {
				t.Errorf("%d codes sent", n)
			}
		})
	}
	run(t, "for a while", setup{user: withTOTP, settings: func(s *oktabox.Settings) { s.AllowRememberDevice = false }}, func(t *testing.T, w *world) {
		w.carrier.answers(func(r *http.Request) (*http.Response, error) {
			res, err := w.carrier.to.RoundTrip(r)
			if err == nil {
				res.Header.Set("Date", time.Now().Add(12*time.Hour).UTC().Format(http.TimeFormat))
			}
			return res, err
		})
		_, err := w.signIn(t)
		wantKind(t, err, auth.PasscodeRefused)
		w.carrier.answers(nil)
		ctx, done := context.WithTimeout(t.Context(), time.Minute)
		defer done()
		g, err := w.signer.SignIn(ctx, "alice", w.watch())
		wantGrant(t, g, err)
		if n := w.okta.Counts().Passcodes; n != 3 {
			t.Errorf("%d codes sent, want 2 wrong ones and a right one", n)
		}
	})
}

// TestSteps: no step's code is sent twice, and a later one only after it began.
func TestSteps(t *testing.T) {
	a := auth.NewAccount(auth.Identity{})
	for _, c := range []struct{ present, next int64 }{{100, 100}, {100, 101}, {100, 102}, {99, 103}, {500, 500}, {501, 501}, {200, 200}, {200, 201}} {
		next := a.NextStep(c.present)
		if next != c.next {
			t.Errorf("at %d the next is %d, want %d", c.present, next, c.next)
		}
		a.UseStep(next)
	}
}

// TestMistimedCode: a code that was right, but used or late, is refused without
// condemning its secret: a time ends it, over restarts, too.
func TestMistimedCode(t *testing.T) {
	for code, kind := range map[string]auth.Kind{"E0000068": auth.PasscodeRefused, "E0000082": auth.PasscodeMistimed, "E0000083": auth.PasscodeMistimed} {
		run(t, code, setup{user: withTOTP}, func(t *testing.T, w *world) {
			w.okta.Inject(oktabox.Fault{Kind: oktabox.OktaError, Path: factorPath, Status: 403, Code: code})
			_, err := w.signIn(t)
			e := wantKind(t, err, kind)
			if used, err := w.signer.Uses(t.Context(), "alice", e.Credential); err != nil || !used {
				t.Errorf("the secret is not named: %v %v", used, err)
			}
		})
	}
}

// TestUsesWithoutASource: a source that fails hides only its own credential.
func TestUsesWithoutASource(t *testing.T) {
	failing := func(context.Context) (auth.Secret, error) { return auth.Secret{}, errors.New("keyring is locked") }
	wrong := setup{user: withTOTP, identity: func(i *auth.Identity) { i.TOTPSecret = constant("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ") }}
	run(t, "", wrong, func(t *testing.T, w *world) {
		_, err := w.signIn(t)
		print := wantKind(t, err, auth.PasscodeRefused).Credential
		for name, c := range map[string]struct {
			totp auth.SecretSource
			used bool
			fail bool
		}{
			"still in use":     {constant("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), true, false},
			"changed":          {constant(totpSecret), false, true}, // or it is the password's
			"cannot be told":   {failing, false, true},
			"no longer needed": {nil, false, true},
		} {
			s := signerFor(w, auth.Identity{Name: "alice", Username: login, Password: failing, TOTPSecret: c.totp})
			used, err := s.Uses(t.Context(), "alice", print)
			if used != c.used || (err != nil) != c.fail {
				t.Errorf("%s: %v, %v", name, used, err)
			}
			if err != nil {
				wantKind(t, err, auth.MissingCredential)
			}
		}
	})
}

// TestNoEndSet: a caller who sets no end does not wait for ever.
func TestNoEndSet(t *testing.T) {
	run(t, "", setup{}, func(t *testing.T, w *world) {
		w.okta.Inject(oktabox.Fault{Kind: oktabox.Slow, Path: authnPath, Delay: 24 * time.Hour})
		began := time.Now()
		_, err := w.signer.SignIn(t.Context(), "alice", w.watch())
		wantKind(t, err, auth.Unanswered)
		if took := time.Since(began); took > time.Hour {
			t.Errorf("took %s", took)
		}
	})
}

// TestEchoElsewhere: what was sent comes back in a device's name, in a path, in an
// answer that cannot be read; none of it is told.
func TestEchoElsewhere(t *testing.T) {
	const token = "20111abcdefghijklmnopqrstuvwxyz0123456789ABCD"
	run(t, "device", setup{user: withPush}, func(t *testing.T, w *world) {
		w.carrier.answers(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == authnPath {
				return page(r, 200, `{"status":"MFA_REQUIRED","stateToken":"00x","_embedded":{"factors":[{"factorType":"push","provider":"OKTA","profile":{"name":"`+password+`"},"_links":{"verify":{"href":"/v"}}}]}}`), nil
			}
			if r.URL.Path == "/v" {
				return page(r, 200, `{"status":"MFA_CHALLENGE","factorResult":"WAITING","_links":{"next":{"name":"poll","href":"/v"}}}`), nil
			}
			return nil, nil
		})
		_, err := w.signIn(t)
		wantKind(t, err, auth.PushTimedOut)
		told := 0
		for _, e := range w.events.all() {
			if e.Challenge != nil {
				told++
				if strings.Contains(e.Challenge.Device, password) {
					t.Errorf("the device is called %q", e.Challenge.Device)
				}
			}
		}
		if told == 0 {
			t.Error("no challenge was told")
		}
	})
	run(t, "path", setup{}, func(t *testing.T, w *world) {
		w.carrier.answers(func(r *http.Request) (*http.Response, error) {
			switch {
			case r.URL.Path == sessionPath:
				return page(r, 302, "", "Location", "/login/"+token+"/next%0aline"), nil
			case strings.Contains(r.URL.Path, token):
				return nil, fmt.Errorf("malformed MIME header: missing colon: %q", "Set-Cookie sid="+token)
			}
			return nil, nil
		})
		_, err := w.signIn(t)
		wantKind(t, err, auth.Unreachable)
		if text := err.Error() + w.log.String(); strings.Contains(text, token) {
			t.Errorf("told: %s", text)
		}
	})
	run(t, "what may be said", setup{}, func(t *testing.T, w *world) {
		w.carrier.answers(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == sessionPath {
				return page(r, 302, "", "Location", "/login/x/"+token), nil
			}
			return nil, nil
		})
		_, _ = w.signIn(t)
		if text := w.log.String(); strings.Contains(text, token) || !strings.Contains(text, "/login/x/") || !strings.Contains(text, "path=/api/v1/authn ") {
			t.Errorf("logged: %s", text)
		}
	})
}
