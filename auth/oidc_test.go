package auth_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"arcproxy/auth"
	"arcproxy/auth/portal"
	"arcproxy/test/sandbox/arcgis"
	oktabox "arcproxy/test/sandbox/okta"
)

// direct is a Portal whose only login is OpenID Connect, without detours.
var direct = arcgis.Shape{OIDC: arcgis.OIDCOnly, FormPost: arcgis.Never}

// TestOIDC signs in to each kind of Portal that offers OpenID Connect, by both
// engines, without a second factor, with a code and with a push, and once more by
// the live session.
func TestOIDC(t *testing.T) {
	for name, s := range map[string]setup{
		"only":           {shape: arcgis.Shape{OIDC: arcgis.OIDCOnly}},
		"without SAML":   {shape: arcgis.Shape{OIDC: arcgis.OIDCAlone}},
		"before SAML":    {shape: arcgis.Shape{OIDC: arcgis.OIDCFirst}, login: portal.LoginOIDC},
		"after SAML":     {shape: arcgis.Shape{OIDC: arcgis.OIDCLast}, login: portal.LoginOIDC},
		"after others":   {shape: arcgis.Shape{OIDC: arcgis.OIDCAlone, Social: true}},
		"form_post":      {shape: arcgis.Shape{OIDC: arcgis.OIDCOnly, FormPost: arcgis.Always}},
		"by redirect":    {shape: arcgis.Shape{OIDC: arcgis.OIDCAlone}, redirect: "http://localhost/callback"},
		"application's":  {shape: arcgis.Shape{OIDC: arcgis.OIDCAlone}, settings: func(s *oktabox.Settings) { s.AppMFA, s.MFA = true, oktabox.MFANever }},
		"both policies'": {shape: arcgis.Shape{OIDC: arcgis.OIDCOnly}, settings: func(s *oktabox.Settings) { s.AppMFA = true }},
	} {
		for seed := range uint64(2) {
			for factor, user := range map[string]oktabox.User{"none": {}, "TOTP": withTOTP, "push": withPush} {
				if factor != "TOTP" && seed > 0 {
					continue
				}
				s.seed, s.user = seed, user
				for engineName, s := range map[string]setup{"Classic": s, "Identity Engine": engine(s, nil)} {
					run(t, fmt.Sprintf("%s/%s/%s/%d", name, engineName, factor, seed), s, func(t *testing.T, w *world) {
						w.okta.Phone(login).Approve()
						for range 2 {
							g, err := w.signIn(t)
							wantGrant(t, g, err)
						}
						c, factors := w.okta.Counts(), 0
						if factor != "none" {
							factors = 1
							if name == "both policies'" && engineName == "Classic" {
								factors = 2
							}
						}
						if c.Primary != 1 || c.Pushes+c.Passcodes != factors || c.MFAFailures != 0 || c.IDX.Refused != 0 {
							t.Errorf("%d passwords, %d pushes, %d codes for two sign-ins, %d forms refused", c.Primary, c.Pushes, c.Passcodes, c.IDX.Refused)
						}
						if c.Assertions != 0 || c.OIDCCodes != 2 || c.IDTokens != 2 {
							t.Errorf("%d assertions, %d codes, %d of them redeemed; want 0, 2, 2", c.Assertions, c.OIDCCodes, c.IDTokens)
						}
						if p := w.box.Portal.Counts(); p.SignIns != 2 || p.OIDCBad != 0 {
							t.Errorf("%d sign-ins, %d refused", p.SignIns, p.OIDCBad)
						}
						if !w.events.has("Okta's session is still good") {
							t.Error("nobody was told that the session was used")
						}
					})
				}
			}
		}
	}
	both := arcgis.Shape{OIDC: arcgis.OIDCFirst}
	run(t, "auto prefers SAML", setup{shape: both}, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		if c := w.okta.Counts(); c.Assertions != 1 || c.OIDCCodes != 0 {
			t.Errorf("%d assertions, %d codes", c.Assertions, c.OIDCCodes)
		}
	})
}

// TestOIDCRequests: one request to each place that only it can answer, and no more.
func TestOIDCRequests(t *testing.T) {
	for seed := range uint64(6) {
		run(t, fmt.Sprint(seed), setup{seed: seed, shape: direct}, func(t *testing.T, w *world) {
			for i, want := range []int{
				9, // authorize; Okta's pipeline, authorize, password, session, back to authorize; callback, approval, token
				5, // authorize; Okta's; callback, approval, token
			} {
				before := len(w.carrier.sent)
				g, err := w.signIn(t)
				wantGrant(t, g, err)
				sent := w.carrier.sent[before:]
				for _, s := range sent {
					// Where the Portal redirects within itself, and where Okta's sign-in
					// page has an address of its own.
					if strings.HasSuffix(s, "/next") || strings.HasSuffix(s, "/done") || strings.HasSuffix(s, "/login.htm") {
						want++
					}
				}
				if n := len(sent); n != want {
					t.Errorf("sign-in %d took %d requests, want %d: %q", i, n, want, sent)
				}
			}
		})
	}
}

// TestOIDCRefusals names what keeps a sign-in by OpenID Connect from succeeding.
func TestOIDCRefusals(t *testing.T) {
	with := func(s setup) setup {
		s.shape.OIDC = arcgis.OIDCOnly
		return s
	}
	misconfigured := func(change func(*arcgis.OIDC)) func(w *world) {
		return func(w *world) {
			k := w.okta.RegisterOIDC("ArcGIS Enterprise", w.box.Portal.OIDCCallback())
			c := arcgis.OIDC{Issuer: k.Issuer, ClientID: k.ID, Secret: k.Secret, AuthorizeURL: k.AuthorizeURL(), TokenURL: k.TokenURL(), KeysURL: k.KeysURL(), Client: &http.Client{Transport: w.box.Transport()}}
			change(&c)
			w.box.Portal.TrustOIDC(c)
		}
	}
	for name, c := range map[string]struct {
		setup  setup
		before func(*world)
		kind   auth.Kind
	}{
		"not assigned":                  {with(setup{user: oktabox.User{Unassigned: true}}), nil, auth.NotAssigned},
		"stranger":                      {with(setup{stranger: true}), nil, auth.NotMember},
		"terms":                         {with(setup{shape: arcgis.Shape{Terms: true}}), nil, auth.ConsentNeeded},
		"profile":                       {with(setup{shape: arcgis.Shape{Profile: true}}), nil, auth.ProfileIncomplete},
		"expired":                       {with(setup{settings: func(s *oktabox.Settings) { s.ClockSkew = -2 * time.Hour }}), nil, auth.AssertionRefused},
		"from the future":               {with(setup{settings: func(s *oktabox.Settings) { s.ClockSkew = time.Hour }}), nil, auth.AssertionRefused},
		"client":                        {with(setup{}), misconfigured(func(c *arcgis.OIDC) { c.ClientID = "0oanobody" }), auth.BadLogin},
		"secret":                        {with(setup{}), misconfigured(func(c *arcgis.OIDC) { c.Secret = "wrong" }), auth.AssertionRefused},
		"issuer":                        {with(setup{}), misconfigured(func(c *arcgis.OIDC) { c.Issuer = "https://example.okta.test/other" }), auth.AssertionRefused},
		"password":                      {with(setup{identity: func(i *auth.Identity) { i.Password = constant("wrong password") }}), nil, auth.CredentialRefused},
		"SAML asked for":                {with(setup{login: portal.LoginSAML}), nil, auth.NotSupported},
		"OIDC asked for":                {setup{login: portal.LoginOIDC}, nil, auth.NotSupported},
		"not assigned, Identity Engine": {engine(with(setup{user: oktabox.User{Unassigned: true}}), nil), nil, auth.NotAssigned},
		"stranger, Identity Engine":     {engine(with(setup{stranger: true}), nil), nil, auth.NotMember},
		"bad app":                       {with(setup{clientID: "nobody"}), nil, auth.BadClient},
	} {
		for seed := range uint64(2) {
			c.setup.seed = seed
			run(t, fmt.Sprintf("%s/%d", name, seed), c.setup, func(t *testing.T, w *world) {
				if c.before != nil {
					c.before(w)
				}
				_, err := w.signIn(t)
				wantKind(t, err, c.kind)
				if n := w.okta.Counts().Primary; n > 1 {
					t.Errorf("%d passwords", n)
				}
			})
		}
	}
}

// TestOIDCRefusedSession: a code that the Portal does not believe, of a session that
// was left from before, ends that session.
func TestOIDCRefusedSession(t *testing.T) {
	run(t, "", setup{shape: direct}, func(t *testing.T, w *world) {
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		w.okta.Configure(func(s *oktabox.Settings) { s.ClockSkew = -90 * time.Minute })
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

// TestOIDCHostile: whatever leads elsewhere on the way of a code, nothing is sent
// there, and nothing of Okta's to the Portal or the other way round.
func TestOIDCHostile(t *testing.T) {
	const authorize = "/v1/authorize"
	// okta answers Okta's requests below a path, portals the Portal's.
	below := func(host, path string, answer func(r *http.Request) *http.Response) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == host && strings.Contains(r.URL.Path, path) {
				return answer(r), nil
			}
			return nil, nil
		}
	}
	to := func(address string) func(r *http.Request) *http.Response {
		return func(r *http.Request) *http.Response {
			return page(r, 302, "", "Location", strings.ReplaceAll(address, "STATE", url.QueryEscape(r.URL.Query().Get("state"))))
		}
	}
	shows := func(body string) func(r *http.Request) *http.Response {
		return func(r *http.Request) *http.Response { return page(r, 200, body) }
	}
	for name, c := range map[string]struct {
		fn   func(*http.Request) (*http.Response, error)
		kind auth.Kind
	}{
		"the Portal asks another host": {below(portalHost, "/oauth2/authorize", to("https://evil.example/v1/authorize?client_id=x&response_type=code&state=y&redirect_uri=https%3A%2F%2Fgis.example.test%2Fportal")), auth.ForeignOrigin},
		"its callback is elsewhere":    {below(portalHost, "/oauth2/authorize", to("https://example.okta.test/oauth2/v1/authorize?client_id=x&response_type=code&state=y&redirect_uri=https%3A%2F%2Fevil.example%2F")), auth.ForeignOrigin},
		"its callback is Okta's":       {below(portalHost, "/oauth2/authorize", to("https://example.okta.test/oauth2/v1/authorize?client_id=x&response_type=code&state=y&redirect_uri=https%3A%2F%2Fexample.okta.test%2F")), auth.ForeignOrigin},
		"a code for another host":      {below(oktaHost, authorize, to("https://evil.example/callback?code=x&state=STATE")), auth.ForeignOrigin},
		"a code for another path":      {below(oktaHost, authorize, to("https://gis.example.test/portal/elsewhere?code=x&state=STATE")), auth.ForeignOrigin},
		"a sign-in page's fromUri":     {below(oktaHost, authorize, shows(`<script>var stateToken = ''; var fromUri = 'https\x3A\x2F\x2Fevil.example\x2F';</script>`)), auth.ForeignOrigin},
		"a script":                     {below(oktaHost, authorize, shows(`<script>window.location.href='https\x3A\x2F\x2Fevil.example\x2F';</script>`)), auth.ForeignOrigin},
		"a form for the password":      {below(oktaHost, authorize, shows(`<form method=post action="https://evil.example/login"><input name=username><input name=password type=password></form>`)), auth.UnexpectedPage},
		"a form for the code":          {below(oktaHost, authorize, shows(`<form method=post action="https://evil.example/callback"><input name=code value=x><input name=state value=y></form>`)), auth.UnexpectedPage},
		"redirects for ever":           {below(oktaHost, authorize, func(r *http.Request) *http.Response { return page(r, 302, "", "Location", r.URL.String()) }), auth.UnexpectedPage},
		"pages for ever":               {below(oktaHost, authorize, shows(`<script>window.location.href='/oauth2/v1/authorize';</script>`)), auth.UnexpectedPage},
		"an error":                     {below(oktaHost, authorize, shows(`{"error":"server_error"}`)), auth.UnexpectedPage},
		"Okta is down":                 {below(oktaHost, authorize, func(r *http.Request) *http.Response { return page(r, 503, "") }), auth.Unreachable},
	} {
		for seed := range uint64(2) {
			s := setup{seed: seed, shape: direct, user: withTOTP}
			run(t, fmt.Sprintf("%s/%d", name, seed), s, func(t *testing.T, w *world) {
				var posted []string
				w.carrier.answers(func(r *http.Request) (*http.Response, error) {
					if r.Method == http.MethodPost && r.URL.Host == portalHost && r.Body != nil {
						text, _ := io.ReadAll(r.Body)
						posted = append(posted, string(text))
					}
					return c.fn(r)
				})
				_, err := w.signIn(t)
				wantKind(t, err, c.kind)
				wantOnlyOurHosts(t, w)
				if len(posted) != 0 {
					t.Errorf("%d forms were posted to the Portal", len(posted))
				}
				if n := len(w.carrier.sent); n > 60 {
					t.Errorf("%d requests", n)
				}
			})
		}
	}
}

// TestOIDCMixUp: a code of another sign-in is not brought to the Portal, whoever
// swaps it.
func TestOIDCMixUp(t *testing.T) {
	run(t, "", setup{shape: direct}, func(t *testing.T, w *world) {
		var first string // the answer that another sign-in was given
		w.carrier.answers(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host != oktaHost || !strings.Contains(r.URL.Path, "/v1/authorize") {
				return nil, nil
			}
			res, err := w.carrier.to.RoundTrip(r)
			if err != nil || !strings.HasPrefix(res.Header.Get("Location"), "https://"+portalHost) {
				return res, err
			}
			if first == "" {
				first = res.Header.Get("Location")
				return res, nil
			}
			res.Header.Set("Location", first)
			return res, nil
		})
		g, err := w.signIn(t)
		wantGrant(t, g, err)
		before := w.box.Portal.Counts()
		_, err = w.signIn(t)
		wantKind(t, err, auth.UnexpectedPage)
		if after := w.box.Portal.Counts(); after.SignIns != before.SignIns || after.OIDCBad != before.OIDCBad {
			t.Error("the Portal was given it")
		}
	})
}

// TestOIDCFaults: what goes wrong where Okta is asked for a code, or where the
// Portal redeems it, has a name, and leaves nothing behind.
func TestOIDCFaults(t *testing.T) {
	for _, c := range []struct {
		kind oktabox.FaultKind
		path string
		want auth.Kind
	}{
		{oktabox.ServerError, "/oauth2/", auth.Unreachable},
		{oktabox.HTMLPage, "/oauth2/", auth.UnexpectedPage},
		{oktabox.ProxyRefusal, "/oauth2/", auth.UnexpectedPage},
		{oktabox.Drop, "/oauth2/", auth.Unreachable},
		{oktabox.EvilForm, "/oauth2/", auth.UnexpectedPage},
		{oktabox.RateLimit, "/oauth2/", auth.RateLimited},
	} {
		for seed := range uint64(2) {
			run(t, fmt.Sprintf("%d at %s/%d", c.kind, c.path, seed), setup{seed: seed, shape: direct}, func(t *testing.T, w *world) {
				w.okta.Inject(oktabox.Fault{Kind: c.kind, Path: c.path, Delay: 5 * time.Second})
				_, err := w.signIn(t)
				wantKind(t, err, c.want)
				wantOnlyOurHosts(t, w)
				w.okta.ClearFaults()
				_ = auth.Pause(t.Context(), "", time.Minute)
				g, err := w.signIn(t)
				wantGrant(t, g, err)
			})
		}
	}
	for seed := range uint64(2) { // either authorization server
		run(t, fmt.Sprintf("the Portal gets no token/%d", seed), setup{seed: seed, shape: direct}, func(t *testing.T, w *world) {
			for _, path := range []string{"/oauth2/v1/token", "/oauth2/default/v1/token"} {
				w.okta.Inject(oktabox.Fault{Kind: oktabox.ServerError, Path: path})
			}
			_, err := w.signIn(t)
			wantKind(t, err, auth.AssertionRefused)
			w.okta.ClearFaults()
			g, err := w.signIn(t)
			wantGrant(t, g, err)
			if n := w.okta.Counts().Primary; n != 1 {
				t.Errorf("%d passwords", n)
			}
		})
	}
}
