package arcgis_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crewjam/saml"

	"arcproxy/test/sandbox/arcgis"
)

// The names of the tests begin with the point of "What a faithful test double of
// a Portal and its servers does" that they prove.

func Test01AuthorizePageWithAndWithoutSemicolon(t *testing.T) {
	for choice, want := range map[arcgis.Choice]string{arcgis.Always: "};\n", arcgis.Never: "}\n"} {
		r := newRig(t, arcgis.Shape{Semicolon: choice})
		a := r.get(oauth + "authorize?" + authorization().Encode())
		_, object, _ := strings.Cut(a.body, "var oAuthInfo = ")
		line, _, _ := strings.Cut(object, "\n")
		if !strings.HasSuffix(line+"\n", want) {
			t.Errorf("with %v the object's line ends in %q", choice, line[len(line)-3:])
		}
		info := r.begin(authorization())
		federation, _ := info["federationInfo"].(map[string]any)
		if info["oauth_state"] == "" || federation["idpAuthorizeUrl"] != oauth+"saml/authorize" {
			t.Errorf("oAuthInfo is %v", info)
		}
	}
}

func Test02InvalidClient(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	for _, path := range []string{"authorize", "saml/authorize"} {
		if a := r.get(oauth + path + "?" + authorization("client_id", "nobody").Encode()); !strings.Contains(a.body, "Error: Invalid client_id") {
			t.Errorf("%s: %s", path, a.body)
		}
	}
}

func Test03RedirectMismatch(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	for _, uri := range []string{"http://localhost/callback/", "http://evil.example/callback", ""} {
		if a := r.get(oauth + "authorize?" + authorization("redirect_uri", uri).Encode()); !strings.Contains(a.body, "Error: Invalid redirect_uri") || a.header.Get("Location") != "" {
			t.Errorf("%q: %s", uri, a.body)
		}
	}
}

func Test04SAMLOnlyRedirects(t *testing.T) {
	r := newRig(t, arcgis.Shape{SAMLOnly: true, PostBinding: arcgis.Never})
	a := r.get(oauth + "authorize?" + authorization().Encode())
	if a.status != http.StatusFound || !strings.HasPrefix(a.header.Get("Location"), "https://idp.example.test/sso?SAMLRequest=") {
		t.Errorf("%d %s", a.status, a.header.Get("Location"))
	}
	r.post(oauth+"saml/signin", r.assert(r.handOff(a), "alice@example.com", nil)).code()
}

func Test05And06HandOffs(t *testing.T) {
	for _, binding := range []arcgis.Choice{arcgis.Always, arcgis.Never} {
		r := newRig(t, arcgis.Shape{PostBinding: binding})
		r.signIn("alice@example.com").code() // by oauth_state
		for _, a := range []answer{          // direct
			r.get(oauth + "saml/authorize?" + authorization().Encode()),
			r.post(oauth+"saml/authorize", authorization()),
		} {
			if posts := a.header.Get("Location") == ""; posts != (binding == arcgis.Always) {
				t.Errorf("binding %v posts: %v", binding, posts)
			}
			r.post(oauth+"saml/signin", r.assert(r.handOff(a), "alice@example.com", nil)).code()
		}
		if a := r.get(oauth + "saml/authorize?oauth_state=made-up"); !strings.Contains(a.body, "Invalid oauth_state") {
			t.Errorf("an oauth_state that was never issued: %s", a.body)
		}
	}
}

func Test07RelayStateIsOpaqueAndUsedOnce(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	form := r.assert(r.handOff(r.get(oauth+"saml/authorize?"+authorization().Encode())), "alice@example.com", nil)
	if relay := form.Get("RelayState"); relay == "" || strings.Contains(relay, "localhost") {
		t.Errorf("RelayState %q", relay)
	}
	r.post(oauth+"saml/signin", form).code()
	if a := r.post(oauth+"saml/signin", form); a.header.Get("Location") != "" {
		t.Errorf("a RelayState was taken twice: %s", a.header.Get("Location"))
	}
	if n := r.p.Counts().SignIns; n != 1 {
		t.Errorf("%d sign-ins", n)
	}
	form.Set("RelayState", "made-up")
	if a := r.post(oauth+"saml/signin", form); a.header.Get("Location") != "" {
		t.Error("a RelayState that was never issued was taken")
	}
}

func Test07StickyCookie(t *testing.T) {
	r := newRig(t, arcgis.Shape{StickyCookie: arcgis.Always, LowerHeaders: arcgis.Never})
	begin := func() (form url.Values, cookie string) {
		a := r.get(oauth + "saml/authorize?" + authorization().Encode())
		cookie, _, _ = strings.Cut(a.header.Get("Set-Cookie"), ";")
		return r.assert(r.handOff(a), "alice@example.com", nil), cookie
	}
	form, cookie := begin()
	r.post(oauth+"saml/signin", form, "Cookie", cookie).code()
	form, _ = begin()
	for _, headers := range [][]string{nil, {"Cookie", cookie}} { // none, another sign-in's
		if a := r.post(oauth+"saml/signin", form, headers...); a.header.Get("Location") != "" {
			t.Errorf("%v: signed in on the wrong machine", headers)
		}
	}
}

func Test08AssertionIsVerified(t *testing.T) {
	for name, spoil := range map[string]func(*rig, *saml.IdpAuthnRequest){
		"audience": func(_ *rig, q *saml.IdpAuthnRequest) {
			q.Assertion.Conditions.AudienceRestrictions[0].Audience.Value = "other"
		},
		"InResponseTo": func(_ *rig, q *saml.IdpAuthnRequest) {
			q.Assertion.Subject.SubjectConfirmations[0].SubjectConfirmationData.InResponseTo = "id-other"
		},
		"expiry": func(_ *rig, q *saml.IdpAuthnRequest) {
			q.Assertion.Conditions.NotOnOrAfter = time.Now().Add(-time.Hour)
		},
		"issuer": func(_ *rig, q *saml.IdpAuthnRequest) { q.Assertion.Issuer.Value = "https://evil.example" },
		"recipient": func(_ *rig, q *saml.IdpAuthnRequest) {
			q.Assertion.Subject.SubjectConfirmations[0].SubjectConfirmationData.Recipient = "https://evil.example/acs"
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, arcgis.Shape{})
			form := r.assert(r.handOff(r.get(oauth+"saml/authorize?"+authorization().Encode())), "alice@example.com", func(q *saml.IdpAuthnRequest) { spoil(r, q) })
			r.refused(form)
		})
	}
	t.Run("signature", func(t *testing.T) {
		r := newRig(t, arcgis.Shape{})
		form := r.assert(r.handOff(r.get(oauth+"saml/authorize?"+authorization().Encode())), "alice@example.com", nil)
		form.Set("SAMLResponse", reencode(t, form.Get("SAMLResponse"), func(xml string) string {
			return strings.ReplaceAll(xml, "alice@example.com", "ada@example.com")
		}))
		r.refused(form)
	})
	t.Run("another request's", func(t *testing.T) {
		r := newRig(t, arcgis.Shape{})
		first := r.assert(r.handOff(r.get(oauth+"saml/authorize?"+authorization().Encode())), "alice@example.com", nil)
		second := r.assert(r.handOff(r.get(oauth+"saml/authorize?"+authorization().Encode())), "alice@example.com", nil)
		first.Set("RelayState", second.Get("RelayState"))
		r.refused(first)
	})
	t.Run("too late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, arcgis.Shape{})
			form := r.assert(r.handOff(r.get(oauth+"saml/authorize?"+authorization().Encode())), "alice@example.com", nil)
			time.Sleep(9 * time.Minute)
			r.refused(form)
		})
	})
	t.Run("no XML", func(t *testing.T) {
		r := newRig(t, arcgis.Shape{})
		form := r.assert(r.handOff(r.get(oauth+"saml/authorize?"+authorization().Encode())), "alice@example.com", nil)
		form.Set("SAMLResponse", "not base64!")
		r.refused(form)
	})
}

// refused checks that an assertion signs nobody in.
func (r *rig) refused(form url.Values) {
	r.t.Helper()
	a := r.post(oauth+"saml/signin", form)
	if a.header.Get("Location") != "" || !strings.Contains(a.body, "Unable to validate SAML Response") {
		r.t.Errorf("%d %s %.200s", a.status, a.header.Get("Location"), a.body)
	}
	if c := r.p.Counts(); c.SignIns != 0 || c.AssertionsBad != 1 {
		r.t.Errorf("counted %d sign-ins and %d bad assertions", c.SignIns, c.AssertionsBad)
	}
}

func Test09CodeByRedirect(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	a := r.signIn("alice@example.com")
	to, _ := url.Parse(a.header.Get("Location"))
	if to.Host != "localhost" || to.Path != "/callback" || to.Query().Get("state") != "s=1&2" || a.code() == "" {
		t.Errorf("redirected to %s", to)
	}
}

func Test10CodeByPage(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	a := r.signIn("alice@example.com", "redirect_uri", "urn:ietf:wg:oauth:2.0:oob")
	to := a.header.Get("Location")
	if !strings.HasPrefix(to, oauth+"approval?code=") {
		t.Fatalf("redirected to %s", to)
	}
	a = r.get(to)
	_, title, _ := strings.Cut(a.body, "<title>SUCCESS code=")
	code, _, _ := strings.Cut(title, "</title>")
	if code == "" || !strings.Contains(a.body, `<input id="code" readonly value="`+code+`"`) {
		t.Errorf("the page is %s", a.body)
	}
	if a := r.post(oauth+"token", redemption(code, "redirect_uri", "urn:ietf:wg:oauth:2.0:oob")); a.text("access_token") == "" {
		t.Errorf("the page's code is worth nothing: %s", a.body)
	}
	if a := r.get(oauth + "approval?code=made-up"); strings.Contains(a.body, "SUCCESS") {
		t.Error("a code that was never issued is shown")
	}
}

func Test11ImplicitFragment(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	_, fragment, _ := strings.Cut(r.signIn("alice@example.com", "response_type", "token", "expiration", "999999").header.Get("Location"), "#")
	f, _ := url.ParseQuery(fragment)
	if !r.works(f.Get("access_token")) || f.Get("username") != "alice_gis" || f.Get("state") != "s=1&2" || f.Get("ssl") != "true" || f.Get("persist") != "false" {
		t.Errorf("fragment %v", f)
	}
	if f.Get("expires_in") != "1209600" { // two weeks, whatever was asked for
		t.Errorf("expires in %s s", f.Get("expires_in"))
	}
}

func Test12Interstitials(t *testing.T) {
	for name, shape := range map[string]arcgis.Shape{"acceptTermsAndConditions": {Terms: true}, "updateUserProfile": {Profile: true}} {
		r := newRig(t, shape)
		a := r.signIn("alice@example.com")
		to, _ := url.Parse(a.header.Get("Location"))
		if !strings.HasSuffix(to.Path, "/oauth2/"+name) {
			t.Fatalf("redirected to %s", to)
		}
		if a := r.get(to.String()); a.header.Get("Location") != "" {
			t.Error("looking at the page was taken for accepting")
		}
		form := to.Query()
		form.Set("acceptTermsAndConditions", "true")
		to.RawQuery = ""
		r.post(to.String(), form).code()
		r.signIn("alice@example.com").code() // not asked again
	}
}

func Test13StrangerIsRefused(t *testing.T) {
	for _, choice := range []arcgis.Choice{arcgis.Always, arcgis.Never} {
		r := newRig(t, arcgis.Shape{RefusalInJSON: choice})
		a := r.signIn("mallory@example.com")
		if a.header.Get("Location") != "" || strings.Contains(a.body, `"messages"`) != (choice == arcgis.Always) || !strings.Contains(a.body, "permission to access this organization") {
			t.Errorf("%d %s", a.status, a.body)
		}
		if c := r.p.Counts(); c.Strangers != 1 || c.SignIns != 0 || c.Codes != 0 {
			t.Errorf("counted %+v", c)
		}
	}
}

func Test14CodeIsSingleUseAndShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, arcgis.Shape{})
		code := r.signIn("alice@example.com").code()
		if a := r.post(oauth+"token", redemption(code)); a.text("access_token") == "" {
			t.Fatal(a.body)
		}
		if a := r.post(oauth+"token", redemption(code)); a.errorCode() != 400 || !strings.Contains(a.body, "Invalid authorization code") {
			t.Errorf("a code was taken twice: %s", a.body)
		}
		code = r.signIn("alice@example.com").code()
		time.Sleep(2*time.Minute + time.Second)
		if a := r.post(oauth+"token", redemption(code)); a.errorCode() != 400 {
			t.Errorf("a code outlived its time: %s", a.body)
		}
		for _, changes := range [][]string{{"redirect_uri", "urn:ietf:wg:oauth:2.0:oob"}, {"client_id", "nobody"}, {"grant_type", "password"}, {"code", "made-up"}} {
			if a := r.post(oauth+"token", redemption(r.signIn("alice@example.com").code(), changes...)); a.errorCode() != 400 {
				t.Errorf("%v: %s", changes, a.body)
			}
		}
		if a := r.get(oauth + "token?" + redemption(r.signIn("alice@example.com").code()).Encode()); a.errorCode() != 405 {
			t.Errorf("GET: %s", a.body)
		}
	})
}

func Test15PKCE(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	for _, c := range []struct {
		name, challenge, method, verifier string
		good                              bool
	}{
		{"S256", authorization().Get("code_challenge"), "S256", verifier, true},
		{"S256, wrong", authorization().Get("code_challenge"), "S256", verifier + "x", false},
		{"S256, none", authorization().Get("code_challenge"), "S256", "", false},
		{"S256, the challenge itself", authorization().Get("code_challenge"), "S256", authorization().Get("code_challenge"), false},
		{"plain", verifier, "plain", verifier, true},
		{"plain by default", verifier, "", verifier, true},
		{"plain, wrong", verifier, "plain", verifier + "x", false},
		{"none", "", "", "", true},
		{"none, but a verifier", "", "", verifier, false},
	} {
		code := r.signIn("alice@example.com", "code_challenge", c.challenge, "code_challenge_method", c.method).code()
		a := r.post(oauth+"token", redemption(code, "code_verifier", c.verifier))
		if (a.errorCode() == 0) != c.good {
			t.Errorf("%s: %s", c.name, a.body)
		}
	}
	if a := r.get(oauth + "authorize?" + authorization("code_challenge_method", "S512").Encode()); !strings.Contains(a.body, "Invalid code_challenge_method") {
		t.Error(a.body)
	}
}

func Test16TokenWithAndWithoutRefreshExpiry(t *testing.T) {
	for _, choice := range []arcgis.Choice{arcgis.Always, arcgis.Never} {
		r := newRig(t, arcgis.Shape{RefreshExpiry: choice})
		v := r.grant("alice@example.com").json()
		if _, has := v["refresh_token_expires_in"]; has != (choice == arcgis.Always) {
			t.Errorf("%v: %v", choice, v)
		}
		if v["expires_in"] != 1800.0 || v["username"] != "alice_gis" || v["ssl"] != true || v["refresh_token"] == "" {
			t.Errorf("%v", v)
		}
	}
	r := newRig(t, arcgis.Shape{NoRefresh: true})
	if _, has := r.grant("alice@example.com").json()["refresh_token"]; has {
		t.Error("a refresh token came although the shape has none")
	}
}

func refreshing(token string, changes ...string) url.Values {
	return change(url.Values{"grant_type": {"refresh_token"}, "client_id": {"arcproxytest"}, "refresh_token": {token}}, changes...)
}

func Test17Refresh(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	g := r.grant("alice@example.com")
	r.p.RevokeAccessTokens()
	if r.works(g.text("access_token")) {
		t.Error("a revoked token works")
	}
	a := r.post(oauth+"token", refreshing(g.text("refresh_token")))
	if !r.works(a.text("access_token")) || a.text("refresh_token") != "" {
		t.Errorf("refresh: %s", a.body)
	}
	for _, changes := range [][]string{{"client_id", "nobody"}, {"refresh_token", "made-up"}, {"refresh_token", g.text("access_token")}} {
		if a := r.post(oauth+"token", refreshing(g.text("refresh_token"), changes...)); a.errorCode() != 400 {
			t.Errorf("%v: %s", changes, a.body)
		}
	}
	if r.works(g.text("refresh_token")) {
		t.Error("a refresh token was taken for an access token")
	}
	if c := r.p.Counts(); c.Refreshes != 1 || c.SignIns != 1 || c.RefreshRefused != 2 {
		t.Errorf("counted %+v", c)
	}
}

func Test18ExchangeEndsTheOldToken(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	old := r.grant("alice@example.com").text("refresh_token")
	exchange := refreshing(old, "grant_type", "exchange_refresh_token", "redirect_uri", "http://localhost/callback")
	if a := r.post(oauth+"token", refreshing(old, "grant_type", "exchange_refresh_token")); a.errorCode() != 400 {
		t.Errorf("without redirect_uri: %s", a.body)
	}
	fresh := r.post(oauth+"token", exchange)
	if fresh.text("refresh_token") == old || !r.works(fresh.text("access_token")) {
		t.Errorf("exchange: %s", fresh.body)
	}
	if a := r.post(oauth+"token", refreshing(old)); a.errorCode() != 400 {
		t.Errorf("the old refresh token lives: %s", a.body)
	}
	if a := r.post(oauth+"token", refreshing(fresh.text("refresh_token"))); a.errorCode() != 0 {
		t.Errorf("the new refresh token is dead: %s", a.body)
	}
}

func Test19ExpiredRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, arcgis.Shape{})
		g := r.grant("alice@example.com", "expiration", "60")
		time.Sleep(time.Hour)
		a := r.post(oauth+"token", refreshing(g.text("refresh_token")))
		if a.errorCode() != 498 || !strings.Contains(a.body, "refresh_token expired") {
			t.Error(a.body)
		}
	})
}

func Test20RevokeCascades(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	g := r.grant("alice@example.com")
	kept := r.grant("alice@example.com")
	second := r.post(oauth+"token", refreshing(g.text("refresh_token"))).text("access_token")
	revoke := func(token string) {
		t.Helper()
		if a := r.post(oauth+"revokeToken", url.Values{"client_id": {"arcproxytest"}, "auth_token": {token}, "f": {"json"}}); a.json()["success"] != true {
			t.Error(a.body)
		}
	}
	revoke("made-up")
	if n := r.p.Counts().Revocations; n != 0 {
		t.Errorf("%d revocations of nothing", n)
	}
	revoke(second)
	if r.works(second) || !r.works(g.text("access_token")) {
		t.Error("revoking an access token ended another, or not itself")
	}
	revoke(g.text("refresh_token"))
	if r.works(g.text("access_token")) {
		t.Error("an access token outlived its refresh token's revocation")
	}
	if a := r.post(oauth+"token", refreshing(g.text("refresh_token"))); a.errorCode() == 0 {
		t.Error("a revoked refresh token works")
	}
	if !r.works(kept.text("access_token")) {
		t.Error("another sign-in's token was ended, too")
	}
}

func Test21ExpirationIsClamped(t *testing.T) {
	r := newRig(t, arcgis.Shape{RefreshExpiry: arcgis.Always})
	const day = 24 * 60 * 60
	for minutes, want := range map[string]float64{"": 14 * day, "60": 3600, "-1": 90 * day, "999999999": 90 * day} {
		if got := r.grant("alice@example.com", "expiration", minutes).json()["refresh_token_expires_in"]; got != want {
			t.Errorf("expiration %q yields %v s, want %v", minutes, got, want)
		}
	}
	if a := r.get(oauth + "authorize?" + authorization("expiration", "soon").Encode()); !strings.Contains(a.body, "Invalid expiration") {
		t.Error(a.body)
	}
}

func TestLifetimesAndRevocationsForTests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, arcgis.Shape{})
		r.p.SetTokenLifetime(5 * time.Second)
		g := r.grant("alice@example.com")
		if time.Sleep(4 * time.Second); !r.works(g.text("access_token")) {
			t.Error("ended too early")
		}
		if time.Sleep(time.Second); r.works(g.text("access_token")) {
			t.Error("did not end")
		}
		r.p.SetTokenLifetime(time.Hour)
		r.p.SetRefreshLifetime(10*time.Second, time.Minute)
		r.p.SetCodeLifetime(time.Second)
		long := r.grant("alice@example.com", "expiration", "-1").text("refresh_token")
		short := r.grant("alice@example.com").text("refresh_token")
		code := r.signIn("alice@example.com").code()
		time.Sleep(30 * time.Second)
		if r.post(oauth+"token", refreshing(long)).errorCode() != 0 || r.post(oauth+"token", refreshing(short)).errorCode() != 498 {
			t.Error("SetRefreshLifetime did nothing, or too much")
		}
		if r.post(oauth+"token", redemption(code)).errorCode() != 400 {
			t.Error("SetCodeLifetime did nothing")
		}
		r.p.ExpireRefresh()
		if r.post(oauth+"token", refreshing(long)).errorCode() != 498 {
			t.Error("ExpireRefresh did nothing")
		}
		g = r.grant("alice@example.com")
		r.p.ExpireTokens()
		if r.works(g.text("access_token")) {
			t.Error("ExpireTokens did nothing")
		}
		bob := r.grant("bob@example.com")
		g = r.grant("alice@example.com")
		r.p.Revoke("bob_gis")
		if r.works(bob.text("access_token")) || !r.works(g.text("access_token")) {
			t.Error("Revoke hit the wrong member")
		}
		r.p.RevokeAfter(2)
		for i, want := range []bool{true, true, false, false} {
			if got := r.works(g.text("access_token")); got != want {
				t.Errorf("request %d after RevokeAfter(2): %v", i+1, got)
			}
		}
		r.p.RevokeAll()
		if a := r.post(oauth+"token", refreshing(g.text("refresh_token"))); a.errorCode() == 0 {
			t.Error("RevokeAll left a refresh token")
		}
		if token := r.p.Token("alice_gis"); !r.works(token) {
			t.Error("Token does not work")
		}
	})
}

func TestSecretsAreAllNamed(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	info := r.begin(authorization())
	g := r.grant("alice@example.com")
	issued, _ := json.Marshal(r.p.Secrets())
	for _, s := range []string{info["oauth_state"].(string), g.text("access_token"), g.text("refresh_token")} {
		if !strings.Contains(string(issued), s) {
			t.Errorf("Secrets lacks %q", s)
		}
	}
}
