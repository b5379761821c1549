package okta

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	callback     = "https://gis.example.test/portal/callback?provider=okta"
	codeVerifier = "a-verifier-of-43-characters-at-least-0123456789"
)

// relying is an application that signs people in: x/oauth2 and go-oidc, which this
// project did not write.
type relying struct {
	t      *testing.T
	o      *Org
	client *OIDCClient
	config *oauth2.Config
	ctx    context.Context
}

// relyOn makes an organization and an application of its. The seed chooses the
// authorization server.
func relyOn(t *testing.T, seed uint64, bend func(*Settings)) *relying {
	t.Helper()
	s := DefaultSettings()
	s.UserPerSecond, s.ClientPerMinute, s.MFA = 0, 0, MFANever
	if bend != nil {
		bend(&s)
	}
	base, _ := url.Parse(baseURL)
	o, err := New(Config{BaseURL: base, Settings: &s, Seed: seed, Users: []User{
		{Login: "alice@example.com", Password: "correct horse", TOTPSecret: secret, FirstName: "Alice"},
		{Login: "bob@example.com", Password: "battery staple"},
		{Login: "mallory@example.com", Password: "not assigned", Unassigned: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	k := o.RegisterOIDC("ArcGIS Enterprise", callback)
	r := &relying{t: t, o: o, client: k, ctx: oidc.ClientContext(t.Context(), &http.Client{Transport: direct{o}})}
	r.config = &oauth2.Config{ClientID: k.ID, ClientSecret: k.Secret, RedirectURL: callback, Scopes: []string{"openid", "profile", "email"},
		Endpoint: oauth2.Endpoint{AuthURL: k.AuthorizeURL(), TokenURL: k.TokenURL(), AuthStyle: oauth2.AuthStyleInHeader}}
	return r
}

// request is a good authorization request, changed by name, value, name, value.
func (r *relying) request(changes ...string) string {
	u, _ := url.Parse(r.config.AuthCodeURL("the state", oidc.Nonce("the nonce"), oauth2.S256ChallengeOption(codeVerifier)))
	q := u.Query()
	for i := 0; i+1 < len(changes); i += 2 {
		q.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			q.Del(changes[i])
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// signIn signs somebody in on the page that a request leads to, and returns the
// answer to the application.
func (r *relying) signIn(b *browser, login, password, request string) result {
	r.t.Helper()
	page := b.get(request)
	if to := page.header.Get("Location"); to != "" {
		page = b.get(to)
	}
	uri, ok := field(uriOf, page.body)
	if !ok || !strings.HasPrefix(uri, authorizeRedirect+"?okta_key=") {
		r.t.Fatalf("no sign-in page: %d %s", page.status, page.body)
	}
	token := b.primary(login, password).state(r.t, success).str("sessionToken")
	to := b.postForm("/login/sessionCookieRedirect", url.Values{"token": {token}, "redirectUrl": {baseURL + uri}}).header.Get("Location")
	return b.get(to)
}

// answered returns the parameters of an answer to the application.
func (r *relying) answered(a result) url.Values {
	r.t.Helper()
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusFound || !strings.HasPrefix(to.String(), callback+"&") {
		r.t.Fatalf("no answer to the application: %d %s %s", a.status, to, a.body)
	}
	if state := to.Query().Get("state"); state != "the state" {
		r.t.Errorf("state %q", state)
	}
	return to.Query()
}

func (r *relying) redeem(code string) (*oauth2.Token, error) {
	return r.config.Exchange(r.ctx, code, oauth2.VerifierOption(codeVerifier))
}

// Test31Code: a code at either authorization server, by either sign-in page, whose
// id_token a library accepts.
func Test31Code(t *testing.T) {
	for seed := range uint64(6) {
		r := relyOn(t, seed+1, nil)
		if custom := strings.HasSuffix(r.client.Issuer, "/oauth2/default"); custom != ((seed+1)%2 == 0) {
			t.Errorf("seed %d: issuer %s", seed+1, r.client.Issuer)
		}
		b := newBrowser(t, r.o)
		code := r.answered(r.signIn(b, "alice@example.com", "correct horse", r.request())).Get("code")
		token, err := r.redeem(code)
		if err != nil {
			t.Fatal(err)
		}
		provider, err := oidc.NewProvider(r.ctx, r.client.Issuer)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := token.Extra("id_token").(string)
		id, err := provider.Verifier(&oidc.Config{ClientID: r.client.ID}).Verify(r.ctx, raw)
		if err != nil {
			t.Fatal(err)
		}
		var claims struct {
			Username string `json:"preferred_username"`
			Email    string
			Name     string
		}
		if err := id.Claims(&claims); err != nil || id.Nonce != "the nonce" || claims.Username != "alice@example.com" || claims.Email != "alice@example.com" || claims.Name != "Alice Example" {
			t.Errorf("%v %+v nonce %q", err, claims, id.Nonce)
		}
		if life := id.Expiry.Sub(id.IssuedAt); life != tokenLife {
			t.Errorf("good for %s", life)
		}
		// Who is signed in is not asked again.
		r.answered(b.get(r.request()))
		if c := r.o.Counts(); c.OIDCCodes != 2 || c.IDTokens != 1 || c.Primary != 1 {
			t.Errorf("counts %+v", c)
		}
		for _, s := range []string{code, raw, token.AccessToken, r.client.Secret} {
			if !contains(r.o.Secrets(), s) {
				t.Error("a secret is not among the secrets")
			}
		}
	}
}

func contains(list []string, text string) bool {
	for _, s := range list {
		if s == text {
			return true
		}
	}
	return false
}

// Test31SessionToken: a session token on the request itself makes a session, and is
// not looked at where one lives.
func Test31SessionToken(t *testing.T) {
	r := relyOn(t, 1, nil)
	b := newBrowser(t, r.o)
	with := func() string { return r.request("sessionToken", sessionToken(b)) }
	first := with()
	r.answered(b.get(first))
	if a := newBrowser(t, r.o).get(first); strings.Contains(a.header.Get("Location"), "code=") {
		t.Error("a session token worked twice")
	}
	spare := with()
	r.answered(b.get(spare))
	r.answered(newBrowser(t, r.o).get(spare)) // it was not used up
}

// Test31FormPost: the answer as a form.
func Test31FormPost(t *testing.T) {
	r := relyOn(t, 1, nil)
	a := r.signIn(newBrowser(t, r.o), "bob@example.com", "battery staple", r.request("response_mode", "form_post"))
	action, fields := form(a.body)
	if a.status != http.StatusOK || action != callback || fields.Get("state") != "the state" {
		t.Fatalf("%d %s %v", a.status, action, fields)
	}
	if _, err := r.redeem(fields.Get("code")); err != nil {
		t.Error(err)
	}
}

// Test31Prompt: none shows no page, login always does.
func Test31Prompt(t *testing.T) {
	r := relyOn(t, 1, nil)
	b := newBrowser(t, r.o)
	if q := r.answered(b.get(r.request("prompt", "none"))); q.Get("error") != "login_required" || q.Has("code") {
		t.Errorf("none: %v", q)
	}
	r.answered(r.signIn(b, "alice@example.com", "correct horse", r.request()))
	if q := r.answered(b.get(r.request("prompt", "none"))); !q.Has("code") {
		t.Errorf("none, signed in: %v", q)
	}
	r.answered(r.signIn(b, "alice@example.com", "correct horse", r.request("prompt", "login")))
	r.o.Configure(func(s *Settings) { s.AppMFA = true })
	if q := r.answered(b.get(r.request("prompt", "none"))); q.Get("error") != "interaction_required" {
		t.Errorf("none, with a policy: %v", q)
	}
}

// Test31StepUp: a policy of the application's that is unmet is a page, not an error.
func Test31StepUp(t *testing.T) {
	for seed := range uint64(4) {
		r := relyOn(t, seed+1, func(s *Settings) { s.AppMFA = true })
		b := newBrowser(t, r.o)
		page := r.signIn(b, "alice@example.com", "correct horse", r.request())
		token, ok := field(tokenOf, page.body)
		if page.status != http.StatusOK || !ok || !strings.HasPrefix(token, "00") {
			t.Fatalf("%d %q", page.status, token)
		}
		in := map[string]any{"stateToken": token}
		required := b.post("/api/v1/authn", in).state(t, mfaRequired)
		in["passCode"] = code(t, time.Now())
		next := b.post(required.verifyURL("token:software:totp"), in).state(t, success).str("_links", "next", "href")
		q := r.answered(b.get(b.get(next).header.Get("Location")))
		if _, err := r.redeem(q.Get("code")); err != nil {
			t.Error(err)
		}
	}
}

// Test31Errors: what is wrong about a request is told to the application; what is
// wrong about the application is told to nobody else than the person.
func Test31Errors(t *testing.T) {
	r := relyOn(t, 1, nil)
	b := newBrowser(t, r.o)
	for name, changes := range map[string][]string{
		"unknown client":      {"client_id", "0oanobody"},
		"no client":           {"client_id", ""},
		"no callback":         {"redirect_uri", ""},
		"another callback":    {"redirect_uri", "https://evil.example/callback"},
		"a callback's prefix": {"redirect_uri", "https://gis.example.test/portal/callback"},
		"a longer callback":   {"redirect_uri", callback + "&x=y"},
	} {
		if a := b.get(r.request(changes...)); a.status != http.StatusBadRequest || a.header.Get("Location") != "" || !strings.Contains(a.body, "client_id") && !strings.Contains(a.body, "redirect_uri") {
			t.Errorf("%s: %d %s %s", name, a.status, a.header.Get("Location"), a.body)
		}
	}
	elsewhere := strings.Replace(r.request(), "/oauth2/v1/", "/oauth2/default/v1/", 1)
	if a := b.get(elsewhere); a.status != http.StatusBadRequest {
		t.Errorf("another authorization server: %d", a.status)
	}
	for want, changes := range map[string][]string{
		"unsupported_response_type": {"response_type", "token"},
		"invalid_request":           {"response_mode", "fragment"},
		"invalid_scope":             {"scope", "profile"},
	} {
		if q := r.answered(b.get(r.request(changes...))); q.Get("error") != want || q.Has("code") {
			t.Errorf("%v: %v", changes, q)
		}
	}
	for _, changes := range [][]string{
		{"scope", "openid groups"},
		{"code_challenge_method", "plain"},
		{"code_challenge_method", ""},
		{"code_challenge", ""},
		{"prompt", "consent"},
	} {
		if q := r.answered(b.get(r.request(changes...))); q.Get("error") == "" || q.Has("code") {
			t.Errorf("%v: %v", changes, q)
		}
	}
	if a := b.get(r.request("state", "")); !strings.Contains(a.header.Get("Location"), "error=invalid_request") {
		t.Errorf("no state: %d %s", a.status, a.header.Get("Location"))
	}
	if q := r.answered(r.signIn(b, "mallory@example.com", "not assigned", r.request())); q.Get("error") != "access_denied" || q.Get("error_description") != "User is not assigned to the client application." {
		t.Errorf("not assigned: %v", q)
	}
	b.get(authorizeRedirect+"?okta_key=made-up").errorPage(t, 400)
	for _, from := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, "javascript:alert(1)"} {
		if uri, _ := field(uriOf, b.get("/login/login.htm?fromURI="+url.QueryEscape(from)).body); uri != "" {
			t.Errorf("%s: goes on to %s", from, uri)
		}
	}
}

// Test31Token: what the token endpoint refuses. A code has one try.
func Test31Token(t *testing.T) {
	r := relyOn(t, 1, nil)
	other := r.o.RegisterOIDC("Another", callback)
	b := newBrowser(t, r.o)
	r.signIn(b, "bob@example.com", "battery staple", r.request())
	for name, c := range map[string]struct {
		change func(v url.Values)
		want   string
		status int
	}{
		"good":             {func(url.Values) {}, "", 200},
		"no secret":        {func(v url.Values) { v.Del("client_secret") }, "invalid_client", 401},
		"wrong secret":     {func(v url.Values) { v.Set("client_secret", "x") }, "invalid_client", 401},
		"no client":        {func(v url.Values) { v.Del("client_id") }, "invalid_client", 401},
		"another client":   {func(v url.Values) { v.Set("client_id", other.ID); v.Set("client_secret", other.Secret) }, "invalid_grant", 400},
		"another callback": {func(v url.Values) { v.Set("redirect_uri", "https://gis.example.test/") }, "invalid_grant", 400},
		"no callback":      {func(v url.Values) { v.Del("redirect_uri") }, "invalid_grant", 400},
		"wrong verifier":   {func(v url.Values) { v.Set("code_verifier", strings.Repeat("x", 43)) }, "invalid_grant", 400},
		"no verifier":      {func(v url.Values) { v.Del("code_verifier") }, "invalid_grant", 400},
		"wrong code":       {func(v url.Values) { v.Set("code", "x") }, "invalid_grant", 400},
		"another grant":    {func(v url.Values) { v.Set("grant_type", "password") }, "unsupported_grant_type", 400},
	} {
		code := r.answered(b.get(r.request())).Get("code")
		v := url.Values{"grant_type": {"authorization_code"}, "client_id": {r.client.ID}, "client_secret": {r.client.Secret}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {codeVerifier}}
		c.change(v)
		a := b.postForm(r.client.TokenURL(), v)
		if a.status != c.status || a.str("error") != c.want || (c.want == "") != (a.str("id_token") != "") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		if _, err := r.redeem(code); (err == nil) != (c.want == "invalid_client" || c.want == "unsupported_grant_type" || name == "wrong code" || name == "another client") {
			t.Errorf("%s, then a good try: %v", name, err)
		}
	}
	code := r.answered(b.get(r.request("code_challenge", "", "code_challenge_method", ""))).Get("code")
	if _, err := r.redeem(code); err == nil {
		t.Error("a verifier without a challenge was taken")
	}
	if a := b.post(r.client.TokenURL(), map[string]any{"grant_type": "authorization_code"}); a.str("error") != "invalid_request" {
		t.Errorf("JSON: %s", a.body)
	}
	code = r.answered(b.get(r.request())).Get("code")
	if a := b.postForm(baseURL+"/oauth2/default/v1/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {r.client.ID}, "client_secret": {r.client.Secret}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {codeVerifier}}); a.str("error") != "invalid_client" {
		t.Errorf("another authorization server: %s", a.body)
	}
}

// Test31CodeEnds: a code is good for five minutes.
func Test31CodeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relyOn(t, 2, nil)
		b := newBrowser(t, r.o)
		code := r.answered(r.signIn(b, "bob@example.com", "battery staple", r.request())).Get("code")
		time.Sleep(codeLife + time.Second)
		if _, err := r.redeem(code); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
			t.Errorf("after its time: %v", err)
		}
		code = r.answered(b.get(r.request())).Get("code")
		time.Sleep(codeLife - time.Second)
		if _, err := r.redeem(code); err != nil {
			t.Error(err)
		}
	})
}

// Test31IdentityEngine: the same application on the other engine, by its widget's
// page, with the session that comes of it, and with a policy of its own.
func Test31IdentityEngine(t *testing.T) {
	for seed := range uint64(8) {
		r := relyOn(t, seed+1, func(s *Settings) { s.Pipeline = "idx" })
		b := newBrowser(t, r.o)
		// led follows Okta's own redirects and scripts.
		led := func(a result) result {
			for range 4 {
				to, script := field(jsOf, a.body)
				if !script {
					to = a.header.Get("Location")
				}
				if !strings.HasPrefix(to, baseURL) {
					break
				}
				a = b.get(to)
			}
			return a
		}
		end := func(f *flow) url.Values {
			href := f.want(200, "").str("success", "href")
			if href == "" {
				href = f.form("success-redirect").str("href")
			}
			return r.answered(led(b.get(href)))
		}
		if q := r.answered(b.get(r.request("prompt", "none"))); q.Get("error") != "login_required" {
			t.Errorf("none: %v", q)
		}
		f := b.hosted(b.get(r.request())).identify("alice@example.com", "correct horse")
		if protocol := f.str("authentication", "value", "protocol"); protocol != "OIDC" {
			t.Errorf("protocol %q", protocol)
		}
		if _, err := r.redeem(end(f).Get("code")); err != nil {
			t.Fatal(err)
		}
		// A live session: a code at once, or a page that has nothing to ask.
		if a := led(b.get(r.request())); a.status == http.StatusOK {
			end(b.hosted(a))
		} else {
			r.answered(a)
		}
		if q := r.answered(b.get(r.request("prompt", "none"))); !q.Has("code") {
			t.Errorf("none, signed in: %v", q)
		}
		r.o.Configure(func(s *Settings) { s.AppMFA = true })
		if q := r.answered(b.get(r.request("prompt", "none"))); q.Get("error") != "interaction_required" {
			t.Errorf("none, with a policy: %v", q)
		}
		f = b.hosted(led(b.get(r.request())))
		f.choose("google_otp", "otp").answer(code(t, time.Now()))
		if _, err := r.redeem(end(f).Get("code")); err != nil {
			t.Error(err)
		}
	}
}
