package auth_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"arcproxy/auth"
	oktabox "arcproxy/test/sandbox/okta"
)

// sessions is a Sessions in memory, of alice only.
type sessions struct {
	mu    sync.Mutex // guards what follows
	kept  []byte
	saves int
	err   error
}

func (s *sessions) Load(_ context.Context, identity string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept, s.kept != nil && identity == "alice", s.err
}

func (s *sessions) Save(_ context.Context, _ string, session []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saves++
	if s.err == nil {
		s.kept = session
	}
	return s.err
}

func (s *sessions) Delete(context.Context, string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = nil
	return s.err
}

func (s *sessions) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.kept)
}

// TestSessions: what a sign-in leaves spares the next run a password and a factor.
func TestSessions(t *testing.T) {
	run(t, "a restart", setup{user: withPush, sessions: &sessions{}}, func(t *testing.T, w *world) {
		w.okta.Phone(login).Approve()
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		if !strings.Contains(w.sessions.text(), `"DT"`) || strings.Contains(w.sessions.text(), `"https://gis.example.test":`) {
			t.Error("what is kept is not Okta's cookies")
		}
		w.restart()
		g, err = w.signIn(t)
		wantGrant(t, g, err)
		if c := w.okta.Counts(); c.Primary != 1 || c.Pushes != 1 {
			t.Errorf("%d passwords and %d pushes for two sign-ins, want one each", c.Primary, c.Pushes)
		}
	})
	run(t, "another account", setup{sessions: &sessions{}}, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		w.identity.Username = "mallory@example.com"
		w.restart()
		_, err = w.signIn(t)
		wantKind(t, err, auth.CredentialRefused) // not: signed in by alice's session
	})
	run(t, "a code that was sent", setup{user: withTOTP, sessions: &sessions{}, settings: func(s *oktabox.Settings) { s.AllowRememberDevice = false }}, func(t *testing.T, w *world) {
		kept := ""
		w.carrier.answers(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.URL.Path, factorPath) {
				kept = w.sessions.text() // if the program were killed now
				return page(r, http.StatusForbidden, "a proxy's page"), nil
			}
			return nil, nil
		})
		if _, err := w.signIn(t); err == nil {
			t.Fatal("signed in")
		}
		if !strings.Contains(kept, `"totp_step":`) {
			t.Errorf("a code was on its way, and a restart would send it again")
		}
		w.carrier.answers(nil)
		w.restart()
		began := time.Now()
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		if time.Now().Unix()/30 == began.Unix()/30 {
			t.Error("the next code came in the same time step")
		}
	})
	run(t, "a failed sign-in", setup{user: withPush, sessions: &sessions{}}, func(t *testing.T, w *world) {
		w.okta.Phone(login).Reject()
		_, err := w.signIn(t)
		wantKind(t, err, auth.PushRejected)
		if !strings.Contains(w.sessions.text(), `"DT"`) {
			t.Error("the device is forgotten")
		}
		saves := w.sessions.saves
		_, err = w.signIn(t)
		wantKind(t, err, auth.PushRejected)
		if w.sessions.saves > saves+1 {
			t.Errorf("%d saves", w.sessions.saves)
		}
	})
	run(t, "full disk", setup{sessions: &sessions{err: errors.New("no space left")}}, func(t *testing.T, w *world) {
		for range 3 {
			g, err := w.signIn(t)
			wantGrant(t, g, err)
			w.okta.EndSessions()
		}
		if n := strings.Count(w.log.String(), "cannot be stored"); n != 1 {
			t.Errorf("complained %d times", n)
		}
	})
	for _, kept := range []string{"", "{", `{"v":2}`, `null`, `{"v":1,"account":"x","cookies":{"https://evil.example":[{"name":"a","value":"b"}]}}`} {
		run(t, "nonsense", setup{sessions: &sessions{kept: []byte(kept)}}, func(t *testing.T, w *world) {
			g, err := w.signIn(t)
			wantGrant(t, g, err)
		})
	}
}

// TestRevoke: nothing of a signed-out identity works or is kept.
func TestRevoke(t *testing.T) {
	run(t, "", setup{user: withTOTP, sessions: &sessions{}}, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		if !w.signer.Owns("alice", g) || w.signer.Owns("alice", auth.Grant{}) || w.signer.Owns("bob", g) {
			t.Error("it is not told whose a grant is")
		}
		if err := w.signer.Revoke(t.Context(), "alice", g); err != nil {
			t.Fatal(err)
		}
		if n := w.box.Portal.Counts().Revocations; n != 1 {
			t.Errorf("%d tokens revoked", n)
		}
		if n := w.carrier.requests("DELETE " + oktaHost + "/api/v1/sessions/me"); n != 1 {
			t.Errorf("Okta's session was ended %d times", n)
		}
		if kept := w.sessions.text(); strings.Contains(kept, "cookies") || !strings.Contains(kept, "totp_step") {
			t.Errorf("kept: %s", kept)
		}
		_, err = w.signer.Renew(t.Context(), "alice", g)
		wantKind(t, err, auth.GrantRefused)
		again, err := w.signIn(t)
		wantGrant(t, again, err)
		if n := w.okta.Counts().Primary; n != 2 {
			t.Errorf("%d passwords, want 2", n)
		}
		time.Sleep(time.Hour)
		if err := w.signer.Revoke(t.Context(), "alice", again); err != nil || w.sessions.text() != "" {
			t.Errorf("kept: %s, %v", w.sessions.text(), err)
		}
	})
	run(t, "a grant of another Portal", setup{}, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		g.Account = login + " https://example.okta.test https://other.example/portal"
		if err := w.signer.Revoke(t.Context(), "alice", g); err != nil {
			t.Fatal(err)
		}
		if n := w.carrier.requests("POST " + portalHost + "/portal/sharing/rest/oauth2/revokeToken"); n != 0 {
			t.Error("another Portal's token was shown to this one")
		}
	})
}

// TestSetIdentities: a reload keeps what it can, and nothing that it must not.
func TestSetIdentities(t *testing.T) {
	run(t, "", setup{}, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		changed := w.identity
		changed.Password = constant("another")
		if former := w.signer.SetIdentities([]auth.Identity{changed}); len(former) != 0 {
			t.Errorf("former: %v", former)
		}
		g, err = w.signIn(t) // by the session, which it kept
		wantGrant(t, g, err)
		w.okta.EndSessions()
		_, err = w.signIn(t)
		wantKind(t, err, auth.CredentialRefused) // the new password

		changed.Username = "mallory@example.com"
		if former := w.signer.SetIdentities([]auth.Identity{changed}); len(former) != 1 || w.signer.Owns("alice", g) {
			t.Errorf("former: %v", former)
		}
		if former := w.signer.SetIdentities(nil); len(former) != 1 {
			t.Errorf("former: %v", former)
		}
		_, err = w.signer.SignIn(t.Context(), "alice", w.watch())
		wantKind(t, err, auth.UnknownIdentity)
		if err := w.signer.Revoke(t.Context(), "alice", g); err != nil { // as the last thing
			t.Fatal(err)
		}
		if n := w.box.Portal.Counts().Revocations; n != 1 {
			t.Errorf("%d tokens revoked", n)
		}
		if err := w.signer.Revoke(t.Context(), "alice", auth.Grant{}); err != nil { // the other account
			t.Error(err)
		}
		if err := w.signer.Revoke(t.Context(), "alice", g); auth.KindOf(err) != auth.UnknownIdentity {
			t.Errorf("a second time: %v", err)
		}
	})
	run(t, "another account", setup{sessions: &sessions{}}, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		bob := w.box.User("bob")
		other := auth.Identity{Name: "alice", Username: bob.Login, Password: constant(bob.Password)}
		w.signer.SetIdentities([]auth.Identity{other})
		next, err := w.signIn(t)
		if err != nil || next.Username == g.Username {
			t.Fatalf("signed in as %q, %v", next.Username, err)
		}
		kept := w.sessions.text()
		if err := w.signer.Revoke(t.Context(), "alice", g); err != nil {
			t.Fatal(err)
		}
		if n := w.carrier.requests("DELETE " + oktaHost + "/api/v1/sessions/me"); n != 1 || w.box.Portal.Counts().Revocations != 1 {
			t.Errorf("Okta's session was ended %d times", n)
		}
		if w.sessions.text() != kept || !strings.Contains(kept, bob.Login) {
			t.Errorf("kept: %s", w.sessions.text())
		}
		next, err = w.signer.Renew(t.Context(), "alice", next)
		if err != nil {
			t.Errorf("who came after is signed out too: %v", err)
		}
	})
}

// TestAccountOf: whose grants are does not depend on a second factor's host, nor on how
// the user name is written.
func TestAccountOf(t *testing.T) {
	systems := []*url.URL{{Scheme: "https", Host: "example.okta.test"}, {Scheme: "https", Host: "gis.example.test", Path: "/portal"}}
	of := func(username string, others ...*url.URL) *auth.Signer {
		return auth.NewSigner(auth.SignerConfig{Origins: systems, Others: others, Key: []byte("key"), Identities: []auth.Identity{{Name: "alice", Username: username, Password: constant(password)}}})
	}
	run(t, "", setup{}, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		g.Account = "alice@example.com https://example.okta.test https://gis.example.test/portal"
		for name, s := range map[string]*auth.Signer{
			"":                 of("alice@example.com"),
			"in capitals":      of("Alice@Example.COM"),
			"with another one": of("alice@example.com", &url.URL{Scheme: "https", Host: "api-1.duo.test"}),
		} {
			if user, ours := s.Username(g); !s.Owns("alice", g) || !ours || user != "alice@example.com" {
				t.Errorf("%s: it is of %q, %v", name, user, ours)
			}
		}
		if _, ours := of("alice@example.com").Username(auth.Grant{Account: "alice@example.com https://another.okta.test https://gis.example.test/portal"}); ours {
			t.Error("another system's is ours")
		}
	})
	run(t, "refused", setup{identity: func(i *auth.Identity) { i.Password = constant("wrong") }}, func(t *testing.T, w *world) {
		_, err := w.signIn(t)
		print := wantKind(t, err, auth.CredentialRefused).Credential
		capitals := signerFor(w, auth.Identity{Name: "alice", Username: strings.ToUpper(login), Password: constant("wrong")})
		if used, err := capitals.Uses(t.Context(), "alice", print); err != nil || !used {
			t.Errorf("in capitals it would be sent again: %v %v", used, err)
		}
	})
}

// TestExchange follows refresh tokens to their end, which never comes.
func TestExchange(t *testing.T) {
	for _, told := range []bool{true, false} {
		run(t, "", setup{shape: refreshExpiry(told)}, func(t *testing.T, w *world) {
			first, err := w.signIn(t)
			wantGrant(t, first, err)
			g := first
			for range 60 * 4 {
				time.Sleep(6 * time.Hour)
				next, err := w.signer.Renew(t.Context(), "alice", g)
				wantGrant(t, next, err)
				left := time.Until(first.Obtained.Add(14 * 24 * time.Hour))
				if g.RefreshToken.Equal(first.RefreshToken) && left > 34*time.Hour && !next.RefreshToken.Equal(g.RefreshToken) {
					t.Errorf("exchanged %s before its end", left)
				}
				g = next
			}
			if c := w.box.Portal.Counts(); c.SignIns != 1 || c.Exchanges < 4 || c.Exchanges > 5 || c.RefreshRefused != 0 {
				t.Errorf("in two months: %+v", c)
			}
		})
	}
	run(t, "refused", setup{}, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		time.Sleep(13 * 24 * time.Hour)
		w.carrier.answers(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path != "/portal/sharing/rest/oauth2/token" {
				return nil, nil
			}
			w.carrier.answers(nil) // the first only
			return page(r, 200, `{"error":{"code":400,"error":"unsupported_grant_type","message":"Invalid grant_type"}}`), nil
		})
		next, err := w.signer.Renew(t.Context(), "alice", g)
		wantGrant(t, next, err)
		if !next.RefreshToken.Equal(g.RefreshToken) {
			t.Error("it was exchanged")
		}
	})
}

// TestGiven: a person supplies what no stored secret does.
func TestGiven(t *testing.T) {
	bare := func(i *auth.Identity) { i.Password, i.TOTPSecret = nil, nil }
	given := func(w *world, password string, codes ...func() string) (auth.Watch, *int) {
		asked := new(int)
		watch := w.watch()
		watch.Given = &auth.Given{Password: auth.NewSecret(password)}
		watch.Ask = func(_ context.Context, c auth.Challenge) (auth.Secret, error) {
			if *asked >= len(codes) {
				return auth.Secret{}, errors.New("nobody answers")
			}
			*asked++
			if again := *asked > 1; c.Again != again || c.Kind != auth.FactorTOTP || !c.Code || c.Deadline.IsZero() {
				t.Errorf("asked: %+v", c)
			}
			return auth.NewSecret(codes[*asked-1]()), nil
		}
		return watch, asked
	}
	right := func() string {
		code, err := totp.GenerateCode(totpSecret, time.Now())
		if err != nil {
			t.Error(err)
		}
		return code
	}
	wrong := func() string { return "000000" }
	run(t, "a refused secret is not used again", setup{user: withTOTP, identity: func(i *auth.Identity) { i.TOTPSecret = constant("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA") }}, func(t *testing.T, w *world) {
		_, err := w.signIn(t)
		refused := wantKind(t, err, auth.PasscodeRefused)
		watch, asked := given(w, password, right)
		watch.Given.Refused = []string{"another", refused.Credential}
		g, err := w.signer.SignIn(t.Context(), "alice", watch)
		wantGrant(t, g, err)
		if *asked != 1 {
			t.Errorf("asked %d times, want once", *asked)
		}
	})
	run(t, "password", setup{identity: bare}, func(t *testing.T, w *world) {
		watch, _ := given(w, password)
		g, err := w.signer.SignIn(t.Context(), "alice", watch)
		wantGrant(t, g, err)
		w.okta.EndSessions()
		_, err = w.signIn(t) // nothing of it was kept
		wantKind(t, err, auth.MissingCredential)
		w.checkNoSecret(t, err)
	})
	run(t, "code", setup{user: withTOTP, identity: bare}, func(t *testing.T, w *world) {
		watch, asked := given(w, password, right)
		g, err := w.signer.SignIn(t.Context(), "alice", watch)
		wantGrant(t, g, err)
		w.checkNoSecret(t, err)
		if *asked != 1 {
			t.Errorf("asked %d times", *asked)
		}
	})
	run(t, "mistyped", setup{user: withTOTP, identity: bare}, func(t *testing.T, w *world) {
		watch, _ := given(w, password, wrong, right)
		g, err := w.signer.SignIn(t.Context(), "alice", watch)
		wantGrant(t, g, err)
	})
	run(t, "the same again", setup{user: withTOTP, identity: bare}, func(t *testing.T, w *world) {
		watch, _ := given(w, password, wrong, wrong, wrong)
		_, err := w.signer.SignIn(t.Context(), "alice", watch)
		wantKind(t, err, auth.PasscodeRefused)
		if n := w.okta.Counts().Passcodes; n != 1 {
			t.Errorf("%d codes sent, want 1", n)
		}
	})
	run(t, "nobody answers", setup{user: withTOTP, identity: bare}, func(t *testing.T, w *world) {
		watch, _ := given(w, password)
		_, err := w.signer.SignIn(t.Context(), "alice", watch)
		wantKind(t, err, auth.MissingCredential)
		if n := w.okta.Counts().Passcodes; n != 0 {
			t.Errorf("%d codes sent", n)
		}
	})
	run(t, "a refused password", setup{identity: bare}, func(t *testing.T, w *world) {
		watch, _ := given(w, "wrong-password")
		_, err := w.signer.SignIn(t.Context(), "alice", watch)
		watch.Given.Refused = []string{wantKind(t, err, auth.CredentialRefused).Credential}
		_, err = w.signer.SignIn(t.Context(), "alice", watch)
		wantKind(t, err, auth.CredentialRefused)
		if n := w.okta.Counts().Primary; n != 1 {
			t.Errorf("%d passwords sent, want 1", n)
		}
	})
}

// TestNobodyWaitsForAPush: where it is certain that a push would be sent, not even
// the password is.
func TestNobodyWaitsForAPush(t *testing.T) {
	run(t, "", setup{user: withPush}, func(t *testing.T, w *world) {
		_, err := w.signer.SignIn(t.Context(), "alice", auth.Watch{})
		wantKind(t, err, auth.NobodyWaiting)
		if n := w.okta.Counts().Primary; n != 0 {
			t.Errorf("%d passwords sent", n)
		}
		w.okta.Phone(login).Approve()
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		g, err = w.signer.SignIn(t.Context(), "alice", auth.Watch{}) // by the session
		wantGrant(t, g, err)
	})
}

// TestPortalClock: a Portal whose clock is wrong is named, and tokens of it last as
// long as they say.
func TestPortalClock(t *testing.T) {
	for _, off := range []time.Duration{0, time.Hour, -time.Hour} {
		run(t, off.String(), setup{}, func(t *testing.T, w *world) {
			w.carrier.answers(func(r *http.Request) (*http.Response, error) {
				res, err := w.carrier.to.RoundTrip(r)
				if err == nil && r.URL.Host == portalHost {
					res.Header.Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
				}
				return res, err
			})
			g, err := w.signIn(t)
			wantGrant(t, g, err)
			if told := w.events.has("clock differs from the Portal's"); told != (off != 0) {
				t.Errorf("told: %v", told)
			}
		})
	}
}
