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

// Test10ApprovalEnds: the page shows a code that can be used, and no other.
func Test10ApprovalEnds(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	const outOfBand = "urn:ietf:wg:oauth:2.0:oob"
	shows := func(code string) bool {
		return strings.Contains(r.get(oauth+"approval?code="+url.QueryEscape(code)).body, `id="code"`)
	}
	code := func() string {
		to, err := url.Parse(r.signIn("alice@example.com", "redirect_uri", outOfBand).header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		return to.Query().Get("code")
	}
	good := code()
	if !shows(good) {
		t.Fatal("no page")
	}
	r.post(oauth+"token", redemption(good, "redirect_uri", outOfBand)).text("access_token")
	if shows(good) {
		t.Error("it shows a code that was used")
	}
	r.p.SetCodeLifetime(0)
	if shows(code()) {
		t.Error("it shows a code that has run out")
	}
	r.p.SetCodeLifetime(time.Minute)
	if shows(r.signIn("alice@example.com").code()) {
		t.Error("it shows a code that went elsewhere")
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
