package auth_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"arcproxy/auth"
	"arcproxy/test/sandbox/arcgis"
	oktabox "arcproxy/test/sandbox/okta"
)

const idxPath = "/idp/idx/"

// engine makes s one of an organization on Identity Engine, which change bends.
func engine(s setup, change func(*oktabox.Settings)) setup {
	earlier := s.settings
	s.settings = func(o *oktabox.Settings) {
		o.Pipeline = "idx"
		if earlier != nil {
			earlier(o)
		}
		if change != nil {
			change(o)
		}
	}
	return s
}

// spent is what one sign-in has cost.
type spent struct {
	tally
	passwords, requests int // requests to Okta
}

func (w *world) spent(p *person) spent {
	return spent{w.tally(p), w.okta.Counts().Primary, w.carrier.requests("GET "+oktaHost) + w.carrier.requests("POST "+oktaHost)}
}

func (s spent) since(earlier spent) spent {
	a, b := s.tally, earlier.tally
	return spent{tally{a.pushes - b.pushes, a.sms - b.sms, a.calls - b.calls, a.emails - b.emails, a.proofs - b.proofs, a.asked - b.asked}, s.passwords - earlier.passwords, s.requests - earlier.requests}
}

// TestMatrix signs in by both engines, with every factor, for a Portal with SAML and
// for one with OpenID Connect: for the first time, by the live session, on a
// remembered device, and with a second factor that only the application asks for.
func TestMatrix(t *testing.T) {
	var table strings.Builder
	fmt.Fprintf(&table, "%-4s %-4s %-16s %-18s %9s %6s %5s %6s %8s\n", "", "", "factor", "", "passwords", "pushes", "codes", "proofs", "requests")
	seed := uint64(0)
	for _, pipeline := range []string{"v1", "idx"} {
		for _, login := range []string{"saml", "oidc"} {
			for _, c := range every(t) {
				seed++
				s := setup{seed: seed, user: c.user, identity: c.identity, settings: func(s *oktabox.Settings) { s.Pipeline = pipeline }}
				if login == "oidc" {
					s.shape.OIDC = arcgis.OIDCOnly
				}
				runNow(t, strings.Join([]string{pipeline, login, c.name}, "/"), s, func(t *testing.T, w *world) {
					w.okta.Phone("alice@example.com").Approve()
					p := &person{after: time.Minute} // so that codes may be sent again, and others are shown
					earlier := spent{}
					signIn := func(what string, cost tally, passwords int) {
						t.Helper()
						g, err := w.signer.SignIn(t.Context(), "alice", w.attended(p))
						w.checkNoSecret(t, err)
						wantGrant(t, g, err)
						now := w.spent(p)
						this := now.since(earlier)
						earlier = now
						if this.tally != cost || this.passwords != passwords || this.requests > 25 {
							t.Errorf("%s: %+v, want %+v and %d passwords", what, this, cost, passwords)
						}
						fmt.Fprintf(&table, "%-4s %-4s %-16s %-18s %9d %6d %5d %6d %8d\n", pipeline, login, c.name, what, this.passwords, this.pushes, this.sms+this.calls+this.emails, this.proofs, this.requests)
					}
					signIn("first", c.cost, 1)
					signIn("live session", tally{}, 0)
					w.okta.EndSessions()
					signIn("remembered device", tally{}, 1)
					w.okta.Configure(func(s *oktabox.Settings) { s.AppMFA = true })
					signIn("step-up", c.cost, 0)
					if n := w.okta.Counts().IDX; n.Refused != 0 || (n.Flows > 0) != (pipeline == "idx") {
						t.Errorf("Identity Engine: %+v", n)
					}
				})
			}
		}
	}
	t.Log("\n" + table.String())
}

// TestEngineShapes goes through what differs from one organization to another.
func TestEngineShapes(t *testing.T) {
	for name, change := range map[string]func(*oktabox.Settings){
		"password with the name":   func(s *oktabox.Settings) { s.IDX.Password = oktabox.PasswordInIdentify },
		"password by itself":       func(s *oktabox.Settings) { s.IDX.Password = oktabox.PasswordAlone },
		"a choice always":          func(s *oktabox.Settings) { s.IDX.Select = oktabox.SelectAlways },
		"challenged at once":       func(s *oktabox.Settings) { s.IDX.Select = oktabox.SelectDirect },
		"FastPass offered":         func(s *oktabox.Settings) { s.IDX.FastPass = oktabox.FastPassOffered },
		"FastPass looked for":      func(s *oktabox.Settings) { s.IDX.FastPass = oktabox.FastPassProbed },
		"another directory beside": func(s *oktabox.Settings) { s.IDX.Redirect = oktabox.RedirectAlso },
		"stay signed in?":          func(s *oktabox.Settings) { s.IDX.KeepSignedIn = true },
		"one more authenticator?":  func(s *oktabox.Settings) { s.IDX.OfferEnroll = true },
		"success as a form":        func(s *oktabox.Settings) { s.IDX.SuccessRemediation = true },
		"application MFA":          func(s *oktabox.Settings) { s.AppMFA = true },
		"widget for the session":   func(s *oktabox.Settings) { s.SessionPage = oktabox.SessionWidget },
		"script for the session":   func(s *oktabox.Settings) { s.SessionPage = oktabox.SessionRedirect },
		"page, single quotes":      func(s *oktabox.Settings) { s.Shape = oktabox.ShapeSingle },
		"page, oktaData":           func(s *oktabox.Settings) { s.Shape = oktabox.ShapeData },
	} {
		for seed := range uint64(4) {
			run(t, fmt.Sprintf("%s/%d", name, seed), engine(setup{seed: seed, user: withBoth}, change), func(t *testing.T, w *world) {
				for range 2 {
					g, err := w.signIn(t)
					wantGrant(t, g, err)
				}
				if c := w.okta.Counts(); c.Primary != 1 || c.Passcodes != 1 || c.Pushes != 0 || c.MFAFailures != 0 || c.IDX.Refused != 0 {
					t.Errorf("%d passwords, %d codes, %d pushes, %d forms refused; want 1, 1, none, none", c.Primary, c.Passcodes, c.Pushes, c.IDX.Refused)
				}
			})
		}
	}
}

// TestEngineStops: what nobody gets past has a name, and costs nothing more than it
// must.
func TestEngineStops(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(*oktabox.Settings)
		user      oktabox.User
		kind      auth.Kind
		passwords int
	}{
		"captcha":                  {func(s *oktabox.Settings) { s.IDX.Captcha = true }, withTOTP, auth.CaptchaAsked, 0},
		"another directory":        {func(s *oktabox.Settings) { s.IDX.Redirect = oktabox.RedirectOnly }, withTOTP, auth.NotSupported, 0},
		"no authenticator":         {func(s *oktabox.Settings) { s.IDX.Unsatisfiable = true }, oktabox.User{}, auth.FactorUnavailable, 1},
		"denied with success":      {func(s *oktabox.Settings) { s.IDX.DeniedWithSuccess = true }, oktabox.User{}, auth.PolicyDenied, 1},
		"password expired":         {nil, oktabox.User{State: oktabox.PasswordExpired}, auth.PasswordExpired, 1},
		"password reset":           {nil, oktabox.User{State: oktabox.PasswordReset}, auth.PasswordReset, 1},
		"enrolment":                {nil, oktabox.User{State: oktabox.MFAEnroll}, auth.EnrollmentNeeded, 1},
		"consent":                  {nil, oktabox.User{State: oktabox.ConsentRequired}, auth.ConsentNeeded, 1},
		"profile":                  {nil, oktabox.User{State: oktabox.ProfileRequired}, auth.ProfileIncomplete, 1},
		"denied":                   {nil, oktabox.User{State: oktabox.Denied}, auth.PolicyDenied, 1},
		"locked":                   {func(s *oktabox.Settings) { s.ShowLockout = true }, oktabox.User{State: oktabox.LockedOut}, auth.AccountLocked, 1},
		"locked, which is hidden":  {nil, oktabox.User{State: oktabox.LockedOut}, auth.CredentialRefused, 1},
		"not assigned":             {nil, oktabox.User{Unassigned: true}, auth.NotAssigned, 1},
		"a factor that can't be":   {nil, withPush, auth.FactorUnavailable, 1},
		"nobody knows the account": {nil, oktabox.User{}, auth.CredentialRefused, 1},
	} {
		for seed := range uint64(4) {
			s := setup{seed: seed, user: c.user}
			switch name {
			case "a factor that can't be":
				s.identity = func(i *auth.Identity) { i.Factors, i.TOTPSecret = []auth.Factor{auth.FactorTOTP}, constant(totpSecret) }
			case "nobody knows the account":
				s.identity = func(i *auth.Identity) { i.Username = "mallory@example.com" }
			}
			run(t, fmt.Sprintf("%s/%d", name, seed), engine(s, c.change), func(t *testing.T, w *world) {
				_, err := w.signIn(t)
				wantKind(t, err, c.kind)
				if n := w.okta.Counts(); n.Primary != c.passwords || n.Pushes != 0 || n.IDX.Refused != 0 {
					t.Errorf("%d passwords, %d pushes, %d forms refused; want %d, none, none", n.Primary, n.Pushes, n.IDX.Refused, c.passwords)
				}
			})
		}
	}
	run(t, "warning", engine(setup{user: oktabox.User{State: oktabox.PasswordWarn, TOTPSecret: totpSecret}}, nil), func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		if !w.events.has("will expire soon") {
			t.Error("the warning was not passed on")
		}
	})
}

// TestEngineNumber: the number is told when it appears, 0 included.
func TestEngineNumber(t *testing.T) {
	for _, number := range []int{0, 42} {
		for _, polls := range []int{0, 2} {
			s := setup{user: withPush, settings: func(s *oktabox.Settings) {
				s.NumberChallenge, s.Number, s.NumberAfterPolls = true, &number, polls
			}}
			run(t, fmt.Sprintf("%d after %d", number, polls), engine(s, nil), func(t *testing.T, w *world) {
				w.okta.Phone(login).ApproveAfter(20 * time.Second)
				g, err := w.signIn(t)
				wantGrant(t, g, err)
				told := 0
				for _, e := range w.events.all() {
					if e.Challenge != nil && e.Challenge.Number == fmt.Sprint(number) && e.Challenge.Device == "alice's phone" && strings.Contains(e.Text, fmt.Sprintf("approve %d within", number)) {
						told++
					}
				}
				if told != 1 {
					t.Errorf("told %d times: %v", told, w.events.all())
				}
			})
		}
	}
}

// TestEnginePace: a push is asked about as often as its form says, and no more often.
func TestEnginePace(t *testing.T) {
	for seed := range uint64(8) {
		run(t, fmt.Sprint(seed), engine(setup{seed: seed, user: withPush}, nil), func(t *testing.T, w *world) {
			w.okta.Phone(login).ApproveAfter(time.Minute)
			g, err := w.signIn(t)
			wantGrant(t, g, err)
			if n := w.okta.Counts().IDX; n.Early != 0 || n.Polls < 8 || n.Polls > 25 {
				t.Errorf("%d polls in a minute, %d of them early", n.Polls, n.Early)
			}
		})
	}
}

// TestClassicThenEngine: an organization takes the password the Classic way, and what
// the application wants besides, Identity Engine asks for. A password that it wants,
// too, is sent to it once; one that was refused is not.
func TestClassicThenEngine(t *testing.T) {
	for seed := range uint64(4) {
		s := engine(setup{seed: seed, user: withBoth}, func(s *oktabox.Settings) { s.MFA, s.AppMFA = oktabox.MFANever, true })
		run(t, fmt.Sprint(seed), s, func(t *testing.T, w *world) {
			// Before anybody is signed in the page is one without a token.
			w.carrier.answers(func(r *http.Request) (*http.Response, error) {
				if _, err := r.Cookie("idx"); err != nil && strings.HasPrefix(r.URL.Path, appPath) {
					return page(r, 200, `<script>var stateToken = ''; var fromUri = '';</script>`), nil
				}
				return nil, nil
			})
			g, err := w.signIn(t)
			wantGrant(t, g, err)
			c := w.okta.Counts()
			if n := w.carrier.requests("POST " + oktaHost + authnPath); n != 1 || c.Primary != 1 || c.Passcodes != 1 || c.IDX.Refused != 0 {
				t.Errorf("%d posts to authn, %d passwords, %d codes; want 1, 1, 1", n, c.Primary, c.Passcodes)
			}
		})
	}
	again := func(wrong bool) {
		s := engine(setup{user: withTOTP}, func(s *oktabox.Settings) { s.MFA = oktabox.MFANever })
		run(t, fmt.Sprintf("asks for the password, wrong: %v", wrong), s, func(t *testing.T, w *world) {
			pages := 0
			w.carrier.answers(func(r *http.Request) (*http.Response, error) {
				if strings.HasPrefix(r.URL.Path, appPath) {
					if pages++; pages == 1 {
						return page(r, 200, `<script>var stateToken = ''; var fromUri = '';</script>`), nil
					}
					if pages == 2 {
						r.Header.Del("Cookie") // as if the session did not count there
					}
				}
				return nil, nil
			})
			if wrong {
				w.okta.Inject(oktabox.Fault{Kind: oktabox.OktaError, Path: authnPath, Status: 401, Code: "E0000004"})
				_, err := w.signIn(t)
				wantKind(t, err, auth.CredentialRefused)
				if n := w.okta.Counts(); n.Primary != 0 || n.IDX.Introspects != 0 {
					t.Errorf("%d passwords to Identity Engine after one that was refused", n.Primary)
				}
				return
			}
			g, err := w.signIn(t)
			wantGrant(t, g, err)
			if n := w.okta.Counts().Primary; n != 2 {
				t.Errorf("%d passwords, want one for each engine", n)
			}
		})
	}
	again(false)
	again(true)
}
