package portal

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"arcproxy/auth"
)

const (
	ownCallback = "https://gis.example.test/portal/sharing/rest/oauth2/social/signin"
	askCode     = "https://example.okta.test/oauth2/v1/authorize?client_id=p&response_type=code&scope=openid&state=theirs&nonce=n&redirect_uri="
	goodAsk     = askCode + "https%3A%2F%2Fgis.example.test%2Fportal%2Fsharing%2Frest%2Foauth2%2Fsocial%2Fsignin"
	offersOIDC  = `<script>var oAuthInfo = {"oauth_state":"abc","openIdLogin":{"url":"/portal/sharing/rest/oauth2/social/authorize?socialLoginProviderName=okta"}}</script>`
	offersBoth  = `<script>var oAuthInfo = {"oauth_state":"abc","federationInfo":{"idpAuthorizeUrl":"https://gis.example.test/portal/sharing/rest/oauth2/saml/authorize"},"openIdLogin":{"url":"https:\/\/gis.example.test\/portal\/sharing\/rest\/oauth2\/social\/authorize?socialLoginProviderName=okta"}}</script>`
)

// codePortal answers as a Portal does that signs in by OpenID Connect.
func codePortal(change map[string]reply) *portal {
	p := good(map[string]reply{
		"oauth2/authorize":        {body: offersOIDC},
		"oauth2/social/authorize": {location: goodAsk},
		"oauth2/social/signin":    {body: goodCode},
	})
	for name, a := range change {
		p.answers[name] = a
	}
	return p
}

// walkCode goes to the Portal and, with a code of Okta's, back. answer is what
// comes from Okta.
func walkCode(t *testing.T, c Config, p *portal, answer auth.Handoff) (auth.Handoff, auth.Grant, error) {
	t.Helper()
	b := auth.NewBrowser(auth.BrowserConfig{Transport: p, Origins: []*url.URL{c.URL, address(t, "https://example.okta.test")}})
	request, redeem, err := New(c).Begin(t.Context(), b, auth.Watch{})
	if err != nil {
		return request, auth.Grant{}, err
	}
	g, err := redeem(t.Context(), answer)
	return request, g, err
}

func callback(t *testing.T, query string) auth.Handoff {
	return auth.Handoff{URL: address(t, ownCallback+query)}
}

// TestCodeLogin: the Portal's request goes out and its answer comes back untouched.
func TestCodeLogin(t *testing.T) {
	p := codePortal(nil)
	request, g, err := walkCode(t, config(t), p, callback(t, "?code=okta%2Bcode&state=theirs&session_state=z"))
	if err != nil || request.URL.String() != goodAsk || request.Form != nil || g.AccessToken.Reveal() != "at" {
		t.Fatalf("%+v %+v %v", request, g, err)
	}
	if q := p.sent["oauth2/social/authorize"]; q.Get("oauth_state") != "abc" || q.Get("socialLoginProviderName") != "okta" {
		t.Errorf("the login was asked %v", q)
	}
	if q := p.sent["oauth2/social/signin"]; q.Encode() != "code=okta%2Bcode&session_state=z&state=theirs" {
		t.Errorf("the callback was sent %v", q)
	}
	if p.sent["oauth2/token"].Get("code") != "the-code" {
		t.Errorf("redeemed %v", p.sent["oauth2/token"])
	}
	p = codePortal(nil)
	form := auth.Handoff{URL: address(t, ownCallback), Form: url.Values{"code": {"x"}, "state": {"theirs"}}}
	if _, _, err := walkCode(t, config(t), p, form); err != nil || p.sent["oauth2/social/signin"].Encode() != "code=x&state=theirs" {
		t.Errorf("a form: %v", err)
	}
	p = codePortal(map[string]reply{"oauth2/social/authorize": {location: "/portal/sharing/rest/oauth2/next"}, "oauth2/next": {location: goodAsk}, "oauth2/social/signin": {location: "/portal/sharing/rest/oauth2/done"}, "oauth2/done": {body: goodCode}})
	if _, _, err := walkCode(t, config(t), p, callback(t, "?code=x&state=theirs")); err != nil {
		t.Errorf("redirects within: %v", err)
	}
	p = codePortal(map[string]reply{"oauth2/authorize": {location: goodAsk}})
	if _, _, err := walkCode(t, config(t), p, callback(t, "?code=x&state=theirs")); err != nil || len(p.sent) != 3 {
		t.Errorf("the only login: %d requests, %v", len(p.sent), err)
	}
}

// TestLogins: which login is gone by, and that one that is not offered is named.
func TestLogins(t *testing.T) {
	only := func(location string) map[string]reply {
		return map[string]reply{"oauth2/authorize": {location: location}}
	}
	page := func(body string) map[string]reply {
		return map[string]reply{"oauth2/authorize": {body: body}}
	}
	for _, c := range []struct {
		name    string
		answers map[string]reply
		login   Login
		want    Login // "": NotSupported
		offered string
	}{
		{"both", page(offersBoth), LoginAuto, LoginSAML, "saml oidc"},
		{"both, asked for", page(offersBoth), LoginOIDC, LoginOIDC, "oidc saml"},
		{"both, SAML asked for", page(offersBoth), LoginSAML, LoginSAML, "saml oidc"},
		{"OIDC", page(offersOIDC), LoginAuto, LoginOIDC, "oidc"},
		{"OIDC, asked for", page(offersOIDC), LoginOIDC, LoginOIDC, "oidc"},
		{"OIDC, SAML asked for", page(offersOIDC), LoginSAML, "", ""},
		{"SAML", page(info), LoginAuto, LoginSAML, "saml"},
		{"SAML, OIDC asked for", page(info), LoginOIDC, "", ""},
		{"only OIDC", only(goodAsk), LoginAuto, LoginOIDC, "oidc"},
		{"only OIDC, SAML asked for", only(goodAsk), LoginSAML, "", ""},
		{"only SAML", only(goodSAML), LoginAuto, LoginSAML, "saml"},
		{"only SAML, OIDC asked for", only(goodSAML), LoginOIDC, "", ""},
		{"neither", page(`<script>oAuthInfo = {"oauth_state":"x"}</script>`), LoginAuto, "", ""},
		{"neither, with itself", page(`<script>oAuthInfo = {"oauth_state":"x","again":"https://gis.example.test/portal/sharing/rest/oauth2/authorize?x=y"}</script>`), LoginAuto, "", ""},
		{"an unknown one", page(offersBoth), "social", "", ""},
	} {
		conf, p := config(t), codePortal(c.answers)
		conf.Login = c.login
		b := auth.NewBrowser(auth.BrowserConfig{Transport: p, Origins: []*url.URL{conf.URL, address(t, "https://example.okta.test")}})
		request, _, err := New(conf).Begin(t.Context(), b, auth.Watch{})
		switch {
		case c.want == "" && auth.KindOf(err) != auth.NotSupported:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err != nil || loginOf(request) != c.want):
			t.Errorf("%s: %s %v", c.name, loginOf(request), err)
		}
		list, err := New(conf).Logins(t.Context(), b)
		var names []string
		for _, l := range list {
			names = append(names, string(l))
		}
		if got := strings.Join(names, " "); got != c.offered || (err != nil) != (c.want == "") {
			t.Errorf("%s: offered %q %v, want %q", c.name, got, err, c.offered)
		}
	}
	p := codePortal(page(offersBoth))
	conf := config(t)
	b := auth.NewBrowser(auth.BrowserConfig{Transport: p, Origins: []*url.URL{conf.URL}})
	if _, err := New(conf).Logins(t.Context(), b); err != nil || len(p.sent) != 1 {
		t.Errorf("asking takes %d requests: %v", len(p.sent), err)
	}
}

// TestOtherCompanies: of several logins the one is taken that leads to Okta.
func TestOtherCompanies(t *testing.T) {
	offers := func(names ...string) reply {
		list := make([]string, len(names))
		for i, name := range names {
			list[i] = fmt.Sprintf(`{"url":"/portal/sharing/rest/oauth2/%s/authorize"}`, name)
		}
		return reply{body: `<script>oAuthInfo = {"oauth_state":"abc","logins":[` + strings.Join(list, ",") + `]}</script>`}
	}
	google := reply{location: "https://accounts.social.test/o/auth?client_id=x&response_type=code&redirect_uri=https%3A%2F%2Fgis.example.test%2Fx"}
	p := codePortal(map[string]reply{"oauth2/authorize": offers("google", "gone", "social"), "oauth2/google/authorize": google})
	if _, _, err := walkCode(t, config(t), p, callback(t, "?code=x&state=theirs")); err != nil {
		t.Error(err)
	}
	p = codePortal(map[string]reply{"oauth2/authorize": offers("google"), "oauth2/google/authorize": google})
	if _, _, err := walkCode(t, config(t), p, auth.Handoff{}); auth.KindOf(err) != auth.ForeignOrigin || !strings.Contains(err.Error(), "accounts.social.test") {
		t.Errorf("%v", err)
	}
	p = codePortal(map[string]reply{"oauth2/authorize": offers("google", "down", "social"), "oauth2/google/authorize": google, "oauth2/down/authorize": {status: 503}})
	if _, _, err := walkCode(t, config(t), p, auth.Handoff{}); auth.KindOf(err) != auth.Unreachable || len(p.sent["oauth2/social/authorize"]) != 0 {
		t.Errorf("%v", err)
	}
}

// TestCodeRefusals: what a Portal may send to Okta, or say to what comes back, that
// is not right.
func TestCodeRefusals(t *testing.T) {
	back := "?code=x&state=theirs"
	login := func(r reply) map[string]reply { return map[string]reply{"oauth2/social/authorize": r} }
	end := func(r reply) map[string]reply { return map[string]reply{"oauth2/social/signin": r} }
	for _, c := range []struct {
		name    string
		answers map[string]reply
		back    string
		kind    auth.Kind
	}{
		{"a foreign callback", login(reply{location: askCode + "https%3A%2F%2Fevil.example%2Fcallback"}), back, auth.ForeignOrigin},
		{"a callback at Okta", login(reply{location: askCode + "https%3A%2F%2Fexample.okta.test%2Fcallback"}), back, auth.ForeignOrigin},
		{"no callback", login(reply{location: askCode}), back, auth.NotSupported},
		{"a token in the fragment", login(reply{location: strings.Replace(goodAsk, "response_type=code", "response_type=id_token", 1)}), back, auth.NotSupported},
		{"a code in the fragment", login(reply{location: goodAsk + "&response_mode=fragment"}), back, auth.NotSupported},
		{"no redirect", login(reply{body: "Error: Invalid socialLoginProviderName"}), back, auth.UnexpectedPage},
		{"redirects for ever", login(reply{location: base + "oauth2/social/authorize"}), back, auth.UnexpectedPage},
		{"a login elsewhere", map[string]reply{"oauth2/authorize": {body: strings.ReplaceAll(offersOIDC, "/portal/", "https://evil.example/portal/")}}, back, auth.ForeignOrigin},
		{"another company", login(reply{location: strings.Replace(goodAsk, "example.okta.test", "evil.example", 1)}), back, auth.ForeignOrigin},

		{"another's state", nil, "?code=x&state=other", auth.UnexpectedPage},
		{"no state", nil, "?code=x", auth.UnexpectedPage},
		{"no code", nil, "?state=theirs", auth.UnexpectedPage},
		{"an error", nil, "?error=access_denied&state=theirs", auth.UnexpectedPage},
		{"another path", nil, "/other?code=x&state=theirs", auth.ForeignOrigin},

		{"not believed", end(reply{body: "Error: Unable to validate the response of the OpenID Connect provider."}), back, auth.AssertionRefused},
		{"not believed, in JSON", end(reply{body: `<script>var oAuthInfo = {"messages":["Unable to validate id_token."]}</script>`}), back, auth.AssertionRefused},
		{"the Portal's own client", end(reply{body: "Error: invalid_client The client secret supplied is invalid."}), back, auth.BadLogin},
		{"stranger", end(reply{body: "Error: You do not have permission to access this organization."}), back, auth.NotMember},
		{"terms", end(reply{body: `<form action="/portal/sharing/rest/oauth2/acceptTermsAndConditions"></form>`}), back, auth.ConsentNeeded},
		{"once more", end(reply{location: goodAsk}), back, auth.AssertionRefused},
		{"elsewhere", end(reply{location: "https://evil.example/callback?code=x"}), back, auth.ForeignOrigin},
		{"down", end(reply{status: 502}), back, auth.Unreachable},
	} {
		p := codePortal(c.answers)
		_, _, err := walkCode(t, config(t), p, callback(t, c.back))
		if auth.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want %q", c.name, err, c.kind)
		}
		if len(p.sent["oauth2/token"]) != 0 {
			t.Errorf("%s: a code was redeemed", c.name)
		}
		if c.back != back && p.sent["oauth2/social/signin"] != nil {
			t.Errorf("%s: the callback was called", c.name)
		}
	}
	for name, answer := range map[string]auth.Handoff{
		"nothing":              {},
		"foreign":              {URL: address(t, "https://evil.example/callback"+back)},
		"an assertion":         {URL: address(t, ownCallback), Form: url.Values{"SAMLResponse": {"x"}}},
		"a form without state": {URL: address(t, ownCallback), Form: url.Values{"code": {"x"}}},
	} {
		p := codePortal(nil)
		if _, _, err := walkCode(t, config(t), p, answer); err == nil || p.sent["oauth2/social/signin"] != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := walkCode(t, config(t), good(nil), callback(t, back)); auth.KindOf(err) != auth.UnexpectedPage {
		t.Errorf("a code for a SAML login: %v", err)
	}
}

func TestOtherLogins(t *testing.T) {
	const at = "https://gis.example.test/portal/sharing/rest/oauth2/"
	for document, want := range map[string][]string{
		`{"a":"` + at + `social/authorize?x=y"}`:                                           {at + "social/authorize?x=y"},
		`{"a":"/portal/sharing/rest/oauth2/x/authorize"}`:                                  {"/portal/sharing/rest/oauth2/x/authorize"},
		`{"a":["` + at + `a/authorize",{"oidcInfo":{"u":"` + at + `b/authorize"}}]}`:       {at + "b/authorize", at + "a/authorize"},
		`{"a":"` + at + `a/authorize","b":"` + at + `openid/authorize"}`:                   {at + "openid/authorize", at + "a/authorize"},
		`{"a":"` + at + `saml/authorize","b":"` + at + `authorize","c":"` + at + `token"}`: nil,
		`{"` + at + `a/authorize":1}`:                                                      nil,
		`{"a":"` + at + `a/authorize","b":"` + at + `a/authorize"}`:                        {at + "a/authorize"},
		strings.Repeat(`{"a":`, 40) + `"` + at + `a/authorize"` + strings.Repeat("}", 40):  nil,
		`[`: nil, `null`: nil,
	} {
		if got := otherLogins([]byte(document)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", document, got, want)
		}
	}
	var many []string
	for i := range 50 {
		many = append(many, fmt.Sprintf(`"%s%d/authorize"`, at, i))
	}
	if got := otherLogins([]byte("[" + strings.Join(many, ",") + "]")); len(got) != maxLogins {
		t.Errorf("%d of many", len(got))
	}
}

func FuzzOtherLogins(f *testing.F) {
	f.Add([]byte(`{"oidcInfo":{"u":"/oauth2/x/authorize"},"b":["https://h/oauth2/y/authorize?z"]}`))
	f.Add([]byte(`[[[[["/oauth2/x/authorize"]]]]]`))
	f.Fuzz(func(t *testing.T, document []byte) {
		got := otherLogins(document)
		if len(got) > maxLogins {
			t.Errorf("%d logins", len(got))
		}
		for i, address := range got {
			if !startsLogin(address) || slices.Contains(got[:i], address) {
				t.Errorf("%q", got)
			}
		}
	})
}
