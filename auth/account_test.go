package auth_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"arcproxy/auth"
	oktabox "arcproxy/test/sandbox/okta"
)

// TestAccountStates names every state in which an account cannot be signed in,
// and sends one password for it.
func TestAccountStates(t *testing.T) {
	for state, kind := range map[oktabox.State]auth.Kind{
		oktabox.PasswordExpired:   auth.PasswordExpired,
		oktabox.PasswordReset:     auth.PasswordReset,
		oktabox.Recovery:          auth.PasswordReset,
		oktabox.RecoveryChallenge: auth.PasswordReset,
		oktabox.MFAEnroll:         auth.EnrollmentNeeded,
		oktabox.Denied:            auth.CredentialRefused,
		oktabox.LockedOut:         auth.AccountLocked,
	} {
		s := setup{user: withTOTP, settings: func(s *oktabox.Settings) { s.ShowLockout = true }}
		s.user.State = state
		run(t, string(state), s, func(t *testing.T, w *world) {
			_, err := w.signIn(t)
			e := wantKind(t, err, kind)
			if n := w.okta.Counts().Primary; n != 1 {
				t.Errorf("%d passwords sent, want 1", n)
			}
			if e.Kind == auth.AccountLocked || e.Kind == auth.CredentialRefused {
				if used, err := w.signer.Uses(t.Context(), "alice", e.Credential); err != nil || !used {
					t.Errorf("the refused credential is not named: %v %v", used, err)
				}
			}
		})
	}
	run(t, "hidden lock-out", setup{user: oktabox.User{State: oktabox.LockedOut}}, func(t *testing.T, w *world) {
		_, err := w.signIn(t)
		wantKind(t, err, auth.CredentialRefused)
	})
	run(t, "PASSWORD_WARN", setup{user: oktabox.User{State: oktabox.PasswordWarn, TOTPSecret: totpSecret}}, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		if !w.events.has("will expire soon") {
			t.Error("the warning was not passed on")
		}
	})
	for seed := range uint64(4) {
		run(t, fmt.Sprintf("unassigned/%d", seed), setup{seed: seed, user: oktabox.User{Unassigned: true}}, func(t *testing.T, w *world) {
			_, err := w.signIn(t)
			wantKind(t, err, auth.NotAssigned)
		})
	}
	run(t, "an engine that nobody knows", setup{settings: func(s *oktabox.Settings) { s.Pipeline = "v9" }}, func(t *testing.T, w *world) {
		_, err := w.signIn(t)
		wantKind(t, err, auth.NotSupported)
		if n := w.carrier.requests("POST"); n != 0 {
			t.Errorf("%d things were posted to an organization we cannot sign in to", n)
		}
	})
}

// TestWrongPassword: one attempt, and the credential is named by a fingerprint
// that holds until it changes.
func TestWrongPassword(t *testing.T) {
	wrong := "wrong-password"
	s := setup{identity: func(i *auth.Identity) {
		i.Password = func(context.Context) (auth.Secret, error) { return auth.NewSecret(wrong), nil }
	}}
	run(t, "", s, func(t *testing.T, w *world) {
		_, err := w.signIn(t)
		e := wantKind(t, err, auth.CredentialRefused)
		if e.Code != "E0000004" {
			t.Errorf("code %q", e.Code)
		}
		if n := w.carrier.requests("POST " + oktaHost); n != 1 {
			t.Errorf("%d posts to Okta, want 1", n)
		}
		for _, want := range []bool{true, false} {
			used, err := w.signer.Uses(t.Context(), "alice", e.Credential)
			if err != nil || used != want {
				t.Errorf("Uses = %v, %v; want %v", used, err, want)
			}
			wrong = password
		}
		g, err := w.signIn(t)
		wantGrant(t, g, err)
	})
}

// TestMissingCredentials: nothing is sent for a credential that is not there.
func TestMissingCredentials(t *testing.T) {
	failing := func(context.Context) (auth.Secret, error) { return auth.Secret{}, errors.New("keyring is locked") }
	for name, source := range map[string]auth.SecretSource{"none": nil, "empty": constant(""), "failing": failing} {
		run(t, "password/"+name, setup{identity: func(i *auth.Identity) { i.Password = source }}, func(t *testing.T, w *world) {
			_, err := w.signIn(t)
			wantKind(t, err, auth.MissingCredential)
			if n := w.okta.Counts().Primary; n != 0 {
				t.Errorf("%d passwords sent", n)
			}
		})
	}
	for name, source := range map[string]auth.SecretSource{"none": nil, "empty": constant(""), "failing": failing, "not base32": constant("1189 !")} {
		s := setup{user: withBoth, identity: func(i *auth.Identity) { i.TOTPSecret, i.Factors = source, []auth.Factor{auth.FactorTOTP} }}
		run(t, "totp/"+name, s, func(t *testing.T, w *world) {
			_, err := w.signIn(t)
			wantKind(t, err, auth.MissingCredential)
			if c := w.okta.Counts(); c.Passcodes+c.Pushes != 0 {
				t.Errorf("a factor was answered: %+v", c)
			}
			if n := w.carrier.requests("POST " + oktaHost + "/api/v1/authn/cancel"); n != 1 {
				t.Errorf("%d cancellations, want 1", n)
			}
		})
	}
}

// TestOneAtATime: two sign-ins of one identity take turns, and the second finds
// the session of the first.
func TestOneAtATime(t *testing.T) {
	run(t, "", setup{user: withTOTP}, func(t *testing.T, w *world) {
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
	run(t, "a waiting one may leave", setup{user: withPush}, func(t *testing.T, w *world) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = w.signer.SignIn(t.Context(), "alice", w.watch())
		}()
		if _, err := w.okta.Phone(login).Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.signer.SignIn(ctx, "alice", w.watch())
		wantKind(t, err, auth.Deadline)
		w.okta.Phone(login).Approve()
		<-done
	})
}

// TestFingerprints: user name, kind and credential are kept apart.
func TestFingerprints(t *testing.T) {
	refused := func(username, secret, key string) string {
		var print string
		runNow(t, "", setup{identity: func(i *auth.Identity) {
			i.Username, i.Password = username, constant(secret)
		}}, func(t *testing.T, w *world) {
			_, err := w.signIn(t)
			print = wantKind(t, err, auth.CredentialRefused).Credential
		})
		return print
	}
	a, b := refused("alice@example.comx", "yz", ""), refused("alice@example.com", "xyz", "")
	if a == "" || a == b {
		t.Errorf("two credentials have the fingerprints %q and %q", a, b)
	}
	if len(a) != 64 {
		t.Errorf("%q is no SHA-256", a)
	}
}

// blamer is both halves of a sign-in that fetches credentials and fails.
type blamer struct {
	auth.Portal
	auth.IdentityProvider
	fetch func(*auth.Account)
	kind  auth.Kind
}

func (b blamer) Begin(context.Context, *auth.Browser, auth.Watch) (auth.Handoff, auth.Redeem, error) {
	return auth.Handoff{}, nil, nil
}

func (b blamer) SignIn(_ context.Context, _ *auth.Browser, a *auth.Account, _ auth.Watch, _ auth.Handoff) (auth.Handoff, error) {
	b.fetch(a)
	return auth.Handoff{}, &auth.Error{Kind: b.kind, Step: "Okta: code"}
}

// TestBlame: a failure names the credential that was sent last, and a refused passcode
// never the password.
func TestBlame(t *testing.T) {
	ctx := t.Context()
	password := func(a *auth.Account) { _, _ = a.Password(ctx) }
	code := func(a *auth.Account) { _, _ = a.TOTPSecret(ctx) }
	typed := func(a *auth.Account) { a.UseTyped(auth.NewSecret("123456")) }
	for _, c := range []struct {
		kind  auth.Kind
		fetch []func(*auth.Account)
		blame string // the credential
	}{
		{auth.CredentialRefused, []func(*auth.Account){password}, "p"},
		{auth.CredentialRefused, []func(*auth.Account){code, password}, "p"},
		{auth.PasscodeRefused, []func(*auth.Account){password, code}, "t"},
		{auth.PasscodeRefused, []func(*auth.Account){password, typed}, ""},
		{auth.PasscodeRefused, []func(*auth.Account){code, password}, ""},
		{auth.Unanswered, []func(*auth.Account){password}, "p"},
		{auth.Unanswered, []func(*auth.Account){password, code}, "t"},
		{auth.Unanswered, []func(*auth.Account){code, password}, "p"},
		{auth.Unanswered, []func(*auth.Account){password, typed}, ""},
		{auth.Unreachable, []func(*auth.Account){password, code}, ""},
	} {
		both := blamer{kind: c.kind, fetch: func(a *auth.Account) {
			for _, f := range c.fetch {
				f(a)
			}
		}}
		s := auth.NewSigner(auth.SignerConfig{Portal: both, IdP: both, Key: []byte("key"), Identities: []auth.Identity{
			{Name: "alice", Username: login, Password: constant("p"), TOTPSecret: constant("t")},
			{Name: "p", Username: login, Password: constant("p")},
			{Name: "t", Username: login, TOTPSecret: constant("t")},
		}})
		_, err := s.SignIn(ctx, "alice", auth.Watch{})
		e := wantKind(t, err, c.kind)
		blamed := ""
		for _, name := range []string{"p", "t"} {
			if used, _ := s.Uses(ctx, name, e.Credential); used {
				blamed = name
			}
		}
		if blamed != c.blame {
			t.Errorf("%s after %d: blames %q, want %q", c.kind, len(c.fetch), blamed, c.blame)
		}
	}
}
