package auth_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"arcproxy/auth"
	"arcproxy/auth/portal"
	"arcproxy/test/sandbox/arcgis"
	oktabox "arcproxy/test/sandbox/okta"
)

func TestSignInWithoutMFA(t *testing.T) {
	run(t, "", setup{}, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		if n := w.okta.Counts().Passcodes + w.okta.Counts().Pushes; n != 0 {
			t.Errorf("%d second factors were answered, want none", n)
		}
		if g.RefreshExpires.Sub(g.Obtained).Hours() > 14*24 {
			t.Errorf("refresh token lasts until %s", g.RefreshExpires)
		}
		for _, words := range []string{"the Portal asks Okta", "password accepted", "signed in to the Portal"} {
			if !w.events.has(words) {
				t.Errorf("nobody was told %q", words)
			}
		}
		for _, e := range w.events.all() {
			if e.Identity != "alice" {
				t.Errorf("event without its identity: %+v", e)
			}
		}
	})
}

// TestShapes signs in with TOTP through every shape that the two systems have,
// with the variations of several seeds, and once more by the live session.
func TestShapes(t *testing.T) {
	for name, s := range map[string]setup{
		"redirect binding": {shape: arcgis.Shape{PostBinding: arcgis.Never}},
		"post binding":     {shape: arcgis.Shape{PostBinding: arcgis.Always}},
		"saml only":        {shape: arcgis.Shape{SAMLOnly: true, PostBinding: arcgis.Never}},
		"saml only, post":  {shape: arcgis.Shape{SAMLOnly: true, PostBinding: arcgis.Always}},
		"code by redirect": {redirect: "http://localhost/callback"},
		"login saml":       {login: portal.LoginSAML},
		"application MFA":  {settings: func(s *oktabox.Settings) { s.AppMFA = true }},
		"only application MFA": {settings: func(s *oktabox.Settings) {
			s.AppMFA, s.MFA = true, oktabox.MFANever
		}},
	} {
		for seed := range uint64(4) {
			s.seed, s.user = seed, withBoth
			run(t, fmt.Sprintf("%s/%d", name, seed), s, func(t *testing.T, w *world) {
				for range 2 {
					g, err := w.signIn(t)
					wantGrant(t, g, err)
				}
				c := w.okta.Counts()
				if c.Primary != 1 {
					t.Errorf("%d passwords sent for two sign-ins, want 1", c.Primary)
				}
				if c.Pushes != 0 {
					t.Errorf("%d pushes sent, want none", c.Pushes)
				}
				if c.MFAFailures != 0 {
					t.Errorf("%d codes refused: a time step was used twice", c.MFAFailures)
				}
			})
		}
	}
}

// TestPages goes through each of Okta's page shapes and both pages of a live session.
func TestPages(t *testing.T) {
	for shape := oktabox.ShapeSingle; shape <= oktabox.ShapeData; shape++ {
		for _, live := range []oktabox.SessionPage{oktabox.SessionForm, oktabox.SessionRedirect} {
			for seed := range uint64(2) {
				s := setup{seed: seed, user: withTOTP, settings: func(s *oktabox.Settings) { s.Shape, s.SessionPage, s.AppMFA = shape, live, true }}
				run(t, fmt.Sprintf("%d/%d/%d", shape, live, seed), s, func(t *testing.T, w *world) {
					for range 2 {
						g, err := w.signIn(t)
						wantGrant(t, g, err)
					}
					if n := w.okta.Counts().Primary; n != 1 {
						t.Errorf("%d passwords sent, want 1", n)
					}
				})
			}
		}
	}
}

// TestEndedSession: a session cookie that Okta no longer honours is no obstacle.
func TestEndedSession(t *testing.T) {
	for seed := range uint64(4) {
		run(t, fmt.Sprint(seed), setup{seed: seed, user: withTOTP}, func(t *testing.T, w *world) {
			g, err := w.signIn(t)
			wantGrant(t, g, err)
			w.okta.EndSessions()
			g, err = w.signIn(t)
			wantGrant(t, g, err)
			if n := w.okta.Counts().Primary; n != 2 {
				t.Errorf("%d passwords sent, want 2", n)
			}
		})
	}
}

// TestRememberedDevice: where the policy allows it the device is remembered, and
// the second sign-in needs a password but no code.
func TestRememberedDevice(t *testing.T) {
	for _, allowed := range []bool{true, false} {
		s := setup{user: withTOTP, settings: func(s *oktabox.Settings) { s.AllowRememberDevice = allowed }}
		run(t, fmt.Sprint(allowed), s, func(t *testing.T, w *world) {
			for range 2 {
				w.okta.EndSessions()
				g, err := w.signIn(t)
				wantGrant(t, g, err)
			}
			want := 2
			if allowed {
				want = 1
			}
			if n := w.okta.Counts().Passcodes; n != want {
				t.Errorf("%d codes sent, want %d", n, want)
			}
		})
	}
}

func TestRenew(t *testing.T) {
	run(t, "", setup{shape: arcgis.Shape{RefreshExpiry: arcgis.Always}}, func(t *testing.T, w *world) {
		old, err := w.signIn(t)
		wantGrant(t, old, err)
		before := len(w.carrier.sent)
		g, err := w.signer.Renew(t.Context(), "alice", old)
		wantGrant(t, g, err)
		if n := len(w.carrier.sent) - before; n != 1 {
			t.Errorf("a renewal took %d requests, want 1", n)
		}
		if g.AccessToken.Equal(old.AccessToken) || !g.RefreshToken.Equal(old.RefreshToken) || !g.RefreshExpires.Equal(old.RefreshExpires) {
			t.Errorf("wrong tokens: %+v then %+v", old, g)
		}
		w.box.Portal.RevokeRefresh()
		_, err = w.signer.Renew(t.Context(), "alice", g)
		wantKind(t, err, auth.GrantRefused)
		w.checkNoSecret(t, err)
		w.box.Portal.ExpireRefresh()
		_, err = w.signer.Renew(t.Context(), "alice", auth.Grant{})
		wantKind(t, err, auth.GrantRefused)
	})
	run(t, "exchanged refresh token", setup{shape: arcgis.Shape{RefreshTokenDances: true}}, func(t *testing.T, w *world) {
		old, err := w.signIn(t)
		wantGrant(t, old, err)
		g, err := w.signer.Renew(t.Context(), "alice", old)
		wantGrant(t, g, err)
		if g.RefreshToken.Equal(old.RefreshToken) {
			t.Error("the new refresh token was not taken")
		}
	})
	run(t, "expired", setup{}, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		w.box.Portal.ExpireRefresh()
		_, err = w.signer.Renew(t.Context(), "alice", g)
		if e := wantKind(t, err, auth.GrantRefused); e.Code != "498" {
			t.Errorf("code %q, want 498", e.Code)
		}
	})
}

// TestPortalRefusals names what the Portal may say instead of a grant.
func TestPortalRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		setup setup
		kind  auth.Kind
	}{
		"unknown client":       {setup{clientID: "nobody"}, auth.BadClient},
		"unknown redirect URI": {setup{redirect: "https://other.example/callback"}, auth.BadClient},
		"stranger":             {setup{stranger: true}, auth.NotMember},
		"stranger, in JSON":    {setup{stranger: true, shape: arcgis.Shape{RefusalInJSON: arcgis.Always}}, auth.NotMember},
		"stranger, in words":   {setup{stranger: true, shape: arcgis.Shape{RefusalInJSON: arcgis.Never}}, auth.NotMember},
		"terms":                {setup{shape: arcgis.Shape{Terms: true}}, auth.ConsentNeeded},
		"profile":              {setup{shape: arcgis.Shape{Profile: true}}, auth.ProfileIncomplete},
		"clocks apart":         {setup{settings: func(s *oktabox.Settings) { s.ClockSkew = 3600e9 }}, auth.AssertionRefused},
		"OpenID Connect":       {setup{login: portal.LoginOIDC}, auth.NotSupported},
	} {
		for seed := range uint64(2) {
			c.setup.seed = seed
			run(t, fmt.Sprintf("%s/%d", name, seed), c.setup, func(t *testing.T, w *world) {
				_, err := w.signIn(t)
				wantKind(t, err, c.kind)
			})
		}
	}
}

func TestUnknownIdentity(t *testing.T) {
	run(t, "", setup{}, func(t *testing.T, w *world) {
		_, err := w.signer.SignIn(t.Context(), "mallory", auth.Watch{})
		if auth.KindOf(err) != auth.UnknownIdentity {
			t.Errorf("got %v", err)
		}
		_, err = w.signer.Renew(t.Context(), "mallory", auth.Grant{})
		if auth.KindOf(err) != auth.UnknownIdentity {
			t.Errorf("got %v", err)
		}
		_, err = w.signer.Uses(t.Context(), "mallory", "")
		if auth.KindOf(err) != auth.UnknownIdentity {
			t.Errorf("got %v", err)
		}
	})
}

// TestRefusedSession: an assertion that the Portal refuses, of a session that was
// left from before, ends that session: the next sign-in makes a new one.
func TestRefusedSession(t *testing.T) {
	run(t, "", setup{}, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		w.okta.Configure(func(s *oktabox.Settings) { s.ClockSkew = time.Hour })
		_, err = w.signIn(t)
		wantKind(t, err, auth.AssertionRefused)
		w.okta.Configure(func(s *oktabox.Settings) { s.ClockSkew = 0 })
		g, err = w.signIn(t)
		wantGrant(t, g, err)
		if n := w.okta.Counts().Primary; n != 2 {
			t.Errorf("%d passwords sent, want 2", n)
		}
	})
}

// TestSessionEndsMidway: a session that ends between its page and its second
// factor is replaced by a full sign-in in the same walk.
func TestSessionEndsMidway(t *testing.T) {
	s := setup{user: withTOTP, settings: func(s *oktabox.Settings) { s.SessionPage, s.Shape = oktabox.SessionForm, oktabox.ShapeSingle }}
	run(t, "", s, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		w.okta.Configure(func(s *oktabox.Settings) { s.AppMFA = true })
		ended := false
		w.carrier.answers(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == authnPath && !ended {
				ended = true
				w.okta.EndSessions()
				return page(r, 401, `{"errorCode":"E0000011","errorSummary":"Invalid token provided"}`), nil
			}
			return nil, nil
		})
		g, err = w.signIn(t)
		wantGrant(t, g, err)
		if n := w.okta.Counts().Primary; n != 2 || !ended {
			t.Errorf("%d passwords sent, want 2", n)
		}
	})
}

// TestDeviceIsKept: a walk that failed drops what may be bad, but not the device:
// Okta knows it again and asks for no second code.
func TestDeviceIsKept(t *testing.T) {
	run(t, "", setup{user: withTOTP, settings: func(s *oktabox.Settings) { s.MFA = oktabox.MFANewDevice }}, func(t *testing.T, w *world) {
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
}
