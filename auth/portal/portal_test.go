package portal

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"arcproxy/auth"
)

const base = "https://gis.example.test/portal/sharing/rest/"

func address(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// reply is an answer of a Portal that a test plays.
type reply struct {
	status   int
	location string
	body     string
}

// portal plays the Portal: it answers by the last part of the path.
type portal struct {
	answers map[string]reply
	sent    map[string]url.Values // query, or form of a POST, by the last part of the path
}

func (p *portal) RoundTrip(r *http.Request) (*http.Response, error) {
	name := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/portal/sharing/rest"), "/")
	v := r.URL.Query()
	if r.Body != nil {
		text, _ := io.ReadAll(r.Body)
		v, _ = url.ParseQuery(string(text))
	}
	p.sent[name] = v
	a, ok := p.answers[name]
	if !ok {
		a = reply{status: 404, body: "<title>Not found</title>"}
	}
	if a.status == 0 {
		a.status = 200
	}
	a.location = strings.ReplaceAll(a.location, "STATE", p.sent["oauth2/authorize"].Get("state"))
	h := http.Header{"Content-Type": {"text/html"}}
	if a.location != "" {
		if a.status == 200 {
			a.status = 302
		}
		h.Set("Location", a.location)
	}
	return &http.Response{StatusCode: a.status, Header: h, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

const (
	info     = `<script>var oAuthInfo = {"oauth_state":"abc","federationInfo":{"idpAuthorizeUrl":"https://gis.example.test/portal/sharing/rest/oauth2/saml/authorize?x=y"}}</script>`
	goodSAML = "https://example.okta.test/sso?SAMLRequest=x&RelayState=y"
	goodCode = "<title>SUCCESS code=the-code</title><input id=code value=the-code>"
	goodJSON = `{"access_token":"at","expires_in":1800,"username":"alice","ssl":true,"refresh_token":"rt","refresh_token_expires_in":1209600}`
)

// good answers as a Portal in good order does.
func good(change map[string]reply) *portal {
	p := &portal{sent: map[string]url.Values{}, answers: map[string]reply{
		"oauth2/authorize":      {body: info},
		"oauth2/saml/authorize": {location: goodSAML},
		"oauth2/saml/signin":    {body: goodCode},
		"oauth2/token":          {body: goodJSON},
	}}
	for name, a := range change {
		p.answers[name] = a
	}
	return p
}

func config(t testing.TB) Config {
	return Config{URL: address(t, "https://gis.example.test/portal"), ClientID: "client", Expiration: 14 * 24 * time.Hour}
}

// walk goes to the Portal and, with an assertion, back.
func walk(t *testing.T, c Config, p *portal) (auth.Handoff, auth.Grant, error) {
	t.Helper()
	b := auth.NewBrowser(auth.BrowserConfig{Transport: p, Origins: []*url.URL{c.URL, address(t, "https://example.okta.test")}})
	request, redeem, err := New(c).Begin(t.Context(), b, auth.Watch{})
	if err != nil {
		return request, auth.Grant{}, err
	}
	g, err := redeem(t.Context(), auth.Handoff{URL: address(t, base+"oauth2/saml/signin"), Form: url.Values{"SAMLResponse": {"s"}, "RelayState": {""}}})
	return request, g, err
}

// TestParameters: what the Portal is asked, and that PKCE's two halves fit.
func TestParameters(t *testing.T) {
	p := good(nil)
	request, g, err := walk(t, config(t), p)
	if err != nil {
		t.Fatal(err)
	}
	if request.URL.String() != goodSAML || request.Form != nil {
		t.Errorf("request %+v", request)
	}
	asked, token := p.sent["oauth2/authorize"], p.sent["oauth2/token"]
	for name, want := range map[string]string{
		"client_id": "client", "response_type": "code", "redirect_uri": OutOfBand, "expiration": "20160", "code_challenge_method": "S256",
	} {
		if asked.Get(name) != want {
			t.Errorf("authorize: %s = %q, want %q", name, asked.Get(name), want)
		}
	}
	if len(asked.Get("state")) < 22 {
		t.Errorf("state %q is too short", asked.Get("state"))
	}
	verifier := token.Get("code_verifier")
	sum := sha256.Sum256([]byte(verifier))
	if len(verifier) < 43 || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
		t.Errorf("challenge %q does not fit verifier %q", asked.Get("code_challenge"), verifier)
	}
	for name, want := range map[string]string{"grant_type": "authorization_code", "client_id": "client", "code": "the-code", "redirect_uri": OutOfBand} {
		if token.Get(name) != want {
			t.Errorf("token: %s = %q, want %q", name, token.Get(name), want)
		}
	}
	if saml := p.sent["oauth2/saml/authorize"]; saml.Get("oauth_state") != "abc" || saml.Get("x") != "y" {
		t.Errorf("saml/authorize was asked %v", saml)
	}
	if v := p.sent["oauth2/saml/signin"]; v.Get("SAMLResponse") != "s" || !v.Has("RelayState") {
		t.Errorf("signin was sent %v", v)
	}
	if g.AccessToken.Reveal() != "at" || g.RefreshToken.Reveal() != "rt" || g.Username != "alice" ||
		g.Expires.Sub(g.Obtained) != 30*time.Minute || g.RefreshExpires.Sub(g.Obtained) != 14*24*time.Hour {
		t.Errorf("grant %+v", g)
	}
	before := asked.Get("state")
	if _, _, err := walk(t, config(t), p); err != nil || p.sent["oauth2/authorize"].Get("state") == before {
		t.Errorf("the state is not made anew: %v", err)
	}
	for d, want := range map[time.Duration]string{0: "", -1: "-1", time.Second: "1", time.Hour: "60"} {
		c, p := config(t), good(nil)
		c.Expiration = d
		if _, _, err := walk(t, c, p); err != nil || p.sent["oauth2/authorize"].Get("expiration") != want {
			t.Errorf("%s: expiration %q, %v", d, p.sent["oauth2/authorize"].Get("expiration"), err)
		}
	}
}

func TestHandoffs(t *testing.T) {
	form := `<form method=POST action="https&#x3a;//example.okta.test/sso"><input name=SAMLRequest value="a&#x2b;b"><input name=RelayState value=""><input name=other value=x></form>`
	for name, answers := range map[string]map[string]reply{
		"POST binding":            {"oauth2/saml/authorize": {body: form}},
		"SAML only, POST binding": {"oauth2/authorize": {body: form}},
	} {
		request, _, err := walk(t, config(t), good(answers))
		if err != nil || request.URL.String() != "https://example.okta.test/sso" || request.Form.Encode() != "RelayState=&SAMLRequest=a%2Bb" {
			t.Errorf("%s: %+v %v", name, request, err)
		}
	}
	request, _, err := walk(t, config(t), good(map[string]reply{"oauth2/authorize": {location: goodSAML}}))
	if err != nil || request.URL.String() != goodSAML {
		t.Errorf("%+v %v", request, err)
	}
}

// TestAnswers: all that a Portal may say, and its name.
func TestAnswers(t *testing.T) {
	callback := "https://app.example/callback"
	for _, c := range []struct {
		name, at string
		reply    reply
		redirect string
		kind     auth.Kind // "": a grant
	}{
		{"bad client in words", "oauth2/authorize", reply{body: "Error: Invalid client_id"}, "", auth.BadClient},
		{"bad client, 400", "oauth2/authorize", reply{status: 400, body: "Error: Invalid client_id"}, "", auth.BadClient},
		{"bad redirect URI", "oauth2/authorize", reply{body: "<p>Error: Invalid redirect_uri</p>"}, "", auth.BadClient},
		{"bad client in JSON", "oauth2/authorize", reply{body: `{"error":{"code":400,"error":"invalid_client_id","message":"Invalid client_id"}}`}, "", auth.BadClient},
		{"a redirect with an error", "oauth2/authorize", reply{location: callback + "?error=unauthorized_client"}, callback, auth.BadClient},
		{"a code without a sign-in", "oauth2/authorize", reply{location: callback + "?code=x&state=STATE"}, callback, auth.UnexpectedPage},
		{"no SAML login", "oauth2/authorize", reply{body: `<script>var oAuthInfo = {"oauth_state":"x"}</script>`}, "", auth.NotSupported},
		{"OpenID Connect", "oauth2/saml/authorize", reply{location: "https://example.okta.test/oauth2/v1/authorize?response_type=code&scope=openid"}, "", auth.NotSupported},
		{"a message", "oauth2/authorize", reply{body: `<script>var oAuthInfo = {"messages":["Something is wrong"]};</script>`}, "", auth.UnexpectedPage},
		{"web-tier authentication", "oauth2/authorize", reply{status: 401, body: "<title>Unauthorized</title>"}, "", auth.UnexpectedPage},
		{"broken", "oauth2/authorize", reply{status: 502, body: "<title>Bad gateway</title>"}, "", auth.Unreachable},
		{"not a Portal", "oauth2/authorize", reply{body: "<title>Welcome to nginx</title>"}, "", auth.UnexpectedPage},
		{"no hand-off", "oauth2/saml/authorize", reply{body: "Error: Invalid oauth_state"}, "", auth.UnexpectedPage},

		{"code by redirect", "oauth2/saml/signin", reply{location: callback + "?code=c&state=STATE"}, callback, ""},
		{"code in the title only", "oauth2/saml/signin", reply{body: "<title>SUCCESS code=c</title>"}, "", ""},
		{"another's state", "oauth2/saml/signin", reply{location: callback + "?code=c&state=other"}, callback, auth.UnexpectedPage},
		{"no state", "oauth2/saml/signin", reply{location: callback + "?code=c"}, callback, auth.UnexpectedPage},
		{"no code", "oauth2/saml/signin", reply{location: callback + "?state=STATE"}, callback, auth.UnexpectedPage},
		{"denied", "oauth2/saml/signin", reply{location: callback + "?error=access_denied&state=STATE"}, callback, auth.GrantRefused},
		{"another redirect URI", "oauth2/saml/signin", reply{location: "https://evil.example/callback?code=c&state=STATE"}, callback, auth.ForeignOrigin},
		{"another path", "oauth2/saml/signin", reply{location: "https://app.example/other?code=c&state=STATE"}, callback, auth.ForeignOrigin},
		{"terms", "oauth2/saml/signin", reply{body: `<form action="/portal/sharing/rest/oauth2/acceptTermsAndConditions"><input name=oauth_state></form>`}, "", auth.ConsentNeeded},
		{"terms by redirect", "oauth2/saml/signin", reply{location: base + "oauth2/acceptTermsAndConditions"}, "", auth.ConsentNeeded},
		{"profile", "oauth2/saml/signin", reply{body: `<form action="/portal/sharing/rest/oauth2/updateUserProfile"></form>`}, "", auth.ProfileIncomplete},
		{"the Portal's own MFA", "oauth2/saml/signin", reply{body: `<form action="/portal/sharing/rest/oauth2/mfa"></form>`}, "", auth.FactorUnavailable},
		{"stranger", "oauth2/saml/signin", reply{body: "Error: You do not have permission to access this organization."}, "", auth.NotMember},
		{"stranger in JSON", "oauth2/saml/signin", reply{body: `<script>var oAuthInfo = {"messages":["User alice is not a member of this organization"]}</script>`}, "", auth.NotMember},
		{"assertion refused", "oauth2/saml/signin", reply{body: "Error: Unable to validate SAML Response."}, "", auth.AssertionRefused},
		{"assertion refused in JSON", "oauth2/saml/signin", reply{body: `<script>var oAuthInfo = {"messages":["Unable to validate SAML Response."]}</script>`}, "", auth.AssertionRefused},
		{"once more", "oauth2/saml/signin", reply{body: info}, "", auth.UnexpectedPage},
		{"broken at signin", "oauth2/saml/signin", reply{status: 503}, "", auth.Unreachable},
		{"a code on an error page", "oauth2/saml/signin", reply{status: 400, body: goodCode}, "", auth.UnexpectedPage},

		{"code refused", "oauth2/token", reply{body: `{"error":{"code":400,"error":"invalid_request","error_description":"Invalid authorization code","message":"Invalid authorization code","details":[]}}`}, "", auth.GrantRefused},
		{"code refused, RFC 6749", "oauth2/token", reply{status: 400, body: `{"error":"invalid_grant","error_description":"no"}`}, "", auth.GrantRefused},
		{"client refused", "oauth2/token", reply{body: `{"error":{"code":400,"error":"invalid_client_id","message":"Invalid client_id"}}`}, "", auth.BadClient},
		{"broken token", "oauth2/token", reply{body: `{"error":{"code":500,"message":"Internal error"}}`}, "", auth.Unreachable},
		{"HTML instead of a token", "oauth2/token", reply{body: "<title>Login</title>"}, "", auth.UnexpectedPage},
		{"a redirect instead of a token", "oauth2/token", reply{location: base + "elsewhere"}, "", auth.UnexpectedPage},
		{"no access token", "oauth2/token", reply{body: `{"expires_in":5}`}, "", auth.UnexpectedPage},
		{"no lifetime", "oauth2/token", reply{body: `{"access_token":"x"}`}, "", auth.UnexpectedPage},
		{"HTML, 502", "oauth2/token", reply{status: 502, body: "<html>"}, "", auth.Unreachable},
	} {
		conf := config(t)
		conf.RedirectURI = c.redirect
		_, g, err := walk(t, conf, good(map[string]reply{c.at: c.reply}))
		if auth.KindOf(err) != c.kind || (c.kind == "") != (err == nil) {
			t.Errorf("%s: %v, want %q", c.name, err, c.kind)
			continue
		}
		if err == nil && g.AccessToken.Reveal() != "at" {
			t.Errorf("%s: %+v", c.name, g)
		}
		if e, ok := err.(*auth.Error); ok && !strings.HasPrefix(e.Step, "Portal: ") {
			t.Errorf("%s: step %q", c.name, e.Step)
		}
	}
}

// TestTokenIsNotRedirected: the code stays at oauth2/token.
func TestTokenIsNotRedirected(t *testing.T) {
	for _, status := range []int{302, 307, 308} {
		p := good(map[string]reply{"oauth2/token": {status: status, location: "/portal/sharing/rest/elsewhere"}})
		_, _, err := walk(t, config(t), p)
		if auth.KindOf(err) != auth.UnexpectedPage {
			t.Errorf("%d: %v", status, err)
		}
		if form, ok := p.sent["elsewhere"]; ok {
			t.Errorf("%d: %d fields were sent elsewhere", status, len(form))
		}
	}
}

// TestAssertionGoesHome: an assertion addressed elsewhere is not sent.
func TestAssertionGoesHome(t *testing.T) {
	p := good(nil)
	c := config(t)
	b := auth.NewBrowser(auth.BrowserConfig{Transport: p, Origins: []*url.URL{c.URL, address(t, "https://example.okta.test")}})
	_, redeem, err := New(c).Begin(t.Context(), b, auth.Watch{})
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []*url.URL{nil, address(t, "https://evil.example/"), address(t, "https://example.okta.test/"), address(t, "http://gis.example.test/portal")} {
		_, err := redeem(t.Context(), auth.Handoff{URL: to, Form: url.Values{"SAMLResponse": {"s"}}})
		if auth.KindOf(err) != auth.ForeignOrigin {
			t.Errorf("%v: %v", to, err)
		}
	}
	if _, err := redeem(t.Context(), auth.Handoff{URL: address(t, base+"oauth2/saml/signin")}); auth.KindOf(err) != auth.UnexpectedPage {
		t.Errorf("no assertion: %v", err)
	}
	if len(p.sent["oauth2/saml/signin"]) != 0 {
		t.Error("something was sent")
	}
}

func TestReadGrant(t *testing.T) {
	asked := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	old := auth.Grant{RefreshToken: auth.NewSecret("old"), RefreshExpires: asked.Add(time.Hour), Username: "alice"}
	for _, c := range []struct {
		body             string
		life, refresh    time.Duration // refresh 0: not told
		token, refresher string
	}{
		{`{"access_token":"a","expires_in":1800}`, 30 * time.Minute, time.Hour, "a", "old"},
		{`{"access_token":"a","expires_in":"1800","refresh_token":"new"}`, 30 * time.Minute, 0, "a", "new"},
		{`{"access_token":"a","expires_in":60,"refresh_token":"new","refresh_token_expires_in":120}`, time.Minute, 2 * time.Minute, "a", "new"},
		{`{"access_token":"a","expires_in":60,"refresh_token_expires_in":120}`, time.Minute, 2 * time.Minute, "a", "old"},
		{`{"access_token":"a","expires_in":1e300}`, 10 * 365 * 24 * time.Hour, time.Hour, "a", "old"},
	} {
		g, err := readGrant([]byte(c.body), asked, old)
		if err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		refresh := time.Duration(0)
		if !g.RefreshExpires.IsZero() {
			refresh = g.RefreshExpires.Sub(asked)
		}
		if g.Expires.Sub(asked) != c.life || refresh != c.refresh || g.AccessToken.Reveal() != c.token || g.RefreshToken.Reveal() != c.refresher || g.Username != "alice" {
			t.Errorf("%s: %+v, refresh %s", c.body, g, refresh)
		}
	}
	for _, body := range []string{``, `null`, `[]`, `{"access_token":"a"}`, `{"access_token":"a","expires_in":0}`, `{"access_token":"a","expires_in":-5}`, `{"access_token":"a","expires_in":"soon"}`, `{"access_token":5,"expires_in":5}`} {
		if _, err := readGrant([]byte(body), asked, old); err == nil {
			t.Errorf("%s: taken", body)
		}
	}
}

func TestProbe(t *testing.T) {
	closed := reply{body: `{"error":{"code":499,"message":"Token Required"}}`}
	for name, c := range map[string]struct {
		answers map[string]reply
		want    Info
		kind    auth.Kind
	}{
		"open":               {map[string]reply{"portals/self": {body: `{"id":"0123","name":"Example","portalHostname":"gis.example.test/portal","currentVersion":"2024.2"}`}}, Info{"2024.2", "Example"}, ""},
		"version a number":   {map[string]reply{"portals/self": {body: `{"id":"0123","currentVersion":10.91}`}}, Info{"10.91", ""}, ""},
		"closed":             {map[string]reply{"portals/self": closed, "info": {body: `{"owningSystemUrl":"https://gis.example.test/portal","authInfo":{}}`}, "": {body: `{"currentVersion":"11.3"}`}}, Info{"11.3", ""}, ""},
		"closed, no version": {map[string]reply{"portals/self": closed, "info": {body: `{"authInfo":{"isTokenBasedSecurity":true}}`}}, Info{}, ""},
		"nginx":              {map[string]reply{"portals/self": {body: "<title>Welcome</title>"}, "info": {body: "<title>Welcome</title>"}}, Info{}, auth.UnexpectedPage},
		"nothing":            {nil, Info{}, auth.UnexpectedPage},
		"down":               {map[string]reply{"portals/self": {status: 503}}, Info{}, auth.Unreachable},
	} {
		p := &portal{answers: c.answers, sent: map[string]url.Values{}}
		conf := config(t)
		b := auth.NewBrowser(auth.BrowserConfig{Transport: p, Origins: []*url.URL{conf.URL}})
		got, err := New(conf).Probe(t.Context(), b)
		if got != c.want || auth.KindOf(err) != c.kind {
			t.Errorf("%s: %+v %v, want %+v %q", name, got, err, c.want, c.kind)
		}
	}
}

// FuzzAnswers holds every parser of this package against any body.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{info, goodCode, goodJSON, `{"error":{"code":"498","message":"refresh_token expired"}}`, `{"error":"x"}`, "Error: Invalid client_id", `<script>oAuthInfo={"messages":{"a":1}}</script>`, `{"expires_in":"1e999","access_token":"x"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		now := time.Unix(1e9, 0)
		if g, err := readGrant(body, now, auth.Grant{}); err == nil && (!g.Expires.After(now) || g.AccessToken.IsZero() || g.Expires.After(now.AddDate(11, 0, 0))) {
			t.Errorf("%+v", g)
		}
		page := &auth.Page{URL: address(t, base+"oauth2/saml/signin"), Status: 200, Header: http.Header{}, Body: body}
		if e := refusal(stepSignIn, page, auth.AssertionRefused); len(fmt.Sprint(e)) > 4096 {
			t.Errorf("%v", e)
		}
		if code, err := New(config(t)).code(stepSignIn, page, proof{state: "s"}); err == nil && code.IsZero() {
			t.Error("no code and no error")
		}
		_, _, _ = New(config(t)).request(stepSAML, page)
	})
}
