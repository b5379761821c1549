package arcgis_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"arcproxy/test/sandbox/arcgis"
)

const issuer = "https://idp.example.test"

// provider is an identity provider for OpenID Connect that says what a test wants.
type provider struct {
	t      *testing.T
	key    *rsa.PrivateKey
	claims map[string]any // of the next id_token
	sign   func(p *provider) string
	status int
	asked  []url.Values // at the token endpoint
	secret string
}

// RoundTrip answers the Portal.
func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	switch r.URL.Path {
	case "/keys":
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &p.key.PublicKey, KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	case "/token":
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		p.asked = append(p.asked, form)
		p.secret = form.Get("client_secret")
		if _, secret, ok := r.BasicAuth(); ok {
			p.secret = secret
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(p.status)
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": p.sign(p), "error": map[bool]string{true: "", false: "invalid_grant"}[p.status == 200]})
	default:
		p.t.Errorf("the Portal asks %s", r.URL)
	}
	res := w.Result()
	res.Request = r
	return res, nil
}

// signed signs the claims with a key by an algorithm.
func signed(algorithm jose.SignatureAlgorithm, key any) func(*provider) string {
	return func(p *provider) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
		if err != nil {
			p.t.Fatal(err)
		}
		text, err := jwt.Signed(signer).Claims(p.claims).Serialize()
		if err != nil {
			p.t.Fatal(err)
		}
		return text
	}
}

// withOIDC lets a rig's Portal trust an identity provider.
func (r *rig) withOIDC() *provider {
	key, _ := idpKey()
	p := &provider{t: r.t, key: key, status: 200, sign: signed(jose.RS256, key)}
	r.p.TrustOIDC(arcgis.OIDC{Issuer: issuer, ClientID: "portal", Secret: "the-secret", AuthorizeURL: issuer + "/authorize", TokenURL: issuer + "/token", KeysURL: issuer + "/keys", Client: &http.Client{Transport: p}})
	return p
}

// offered finds the address of the login by OpenID Connect in oAuthInfo.
func offered(info map[string]any) string {
	found := ""
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, w := range v {
				walk(w)
			}
		case []any:
			for _, w := range v {
				walk(w)
			}
		case string:
			if strings.Contains(v, "socialLoginProviderName=okta_") {
				found = v
			}
		}
	}
	walk(info)
	return found
}

// within follows redirects within the Portal.
func (r *rig) within(a answer, headers ...string) answer {
	r.t.Helper()
	for range 4 {
		to := a.header.Get("Location")
		if !strings.HasPrefix(to, site) {
			break
		}
		a = r.get(to, headers...)
	}
	return a
}

// codeRequest goes to the identity provider: what it is asked, and the cookie that
// the Portal has set.
func (r *rig) codeRequest() (q url.Values, cookie string) {
	r.t.Helper()
	a := r.get(oauth + "authorize?" + authorization().Encode())
	if to := a.header.Get("Location"); to == "" {
		info := r.begin(authorization())
		to = offered(info)
		if to == "" {
			r.t.Fatalf("oAuthInfo is %v", info)
		}
		u, _ := url.Parse(site)
		u, _ = u.Parse(to)
		v := u.Query()
		v.Set("oauth_state", info["oauth_state"].(string))
		u.RawQuery = v.Encode()
		a = r.get(u.String())
	}
	cookie, _, _ = strings.Cut(a.header.Get("Set-Cookie"), ";")
	a = r.within(a)
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil || !strings.HasPrefix(to.String(), issuer+"/authorize?") {
		r.t.Fatalf("no way to the identity provider: %d %s %s", a.status, to, a.body)
	}
	return to.Query(), cookie
}

// back comes back from the identity provider about somebody; spoil, if it is not
// nil, changes what is said.
func (r *rig) back(p *provider, q url.Values, cookie, login string, spoil func(*provider)) answer {
	r.t.Helper()
	now := time.Now()
	p.claims = map[string]any{"iss": issuer, "aud": "portal", "sub": "x", "nonce": q.Get("nonce"), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "preferred_username": login}
	if spoil != nil {
		spoil(p)
	}
	v := url.Values{"code": {"the-code"}, "state": {q.Get("state")}}
	if q.Get("response_mode") == "form_post" {
		return r.within(r.post(q.Get("redirect_uri"), v, "Cookie", cookie))
	}
	return r.within(r.get(q.Get("redirect_uri")+"?"+v.Encode(), "Cookie", cookie))
}

// TestOIDCShapes: every way to offer the login leads to a code, and so does SAML
// where it is offered, too.
func TestOIDCShapes(t *testing.T) {
	for shape := arcgis.OIDCOnly; shape <= arcgis.OIDCLast; shape++ {
		for _, post := range []arcgis.Choice{arcgis.Always, arcgis.Never} {
			for range 6 { // newRig takes a new seed each time
				r := newRig(t, arcgis.Shape{OIDC: shape, FormPost: post, Social: shape == arcgis.OIDCLast, LowerHeaders: arcgis.Never})
				p := r.withOIDC()
				q, cookie := r.codeRequest()
				if q.Get("redirect_uri") != r.p.OIDCCallback() || q.Get("client_id") != "portal" || q.Get("response_type") != "code" || !strings.Contains(q.Get("scope"), "openid") || q.Get("state") == "" || q.Get("nonce") == "" {
					t.Fatalf("asked for %v", q)
				}
				code := r.back(p, q, cookie, "Alice@example.com", nil).code()
				if a := r.post(oauth+"token", redemption(code)); a.text("username") != "alice_gis" {
					t.Errorf("%s", a.body)
				}
				if len(p.asked) != 1 || p.asked[0].Get("code") != "the-code" || p.secret != "the-secret" || (q.Get("code_challenge") != "") != (p.asked[0].Get("code_verifier") != "") {
					t.Errorf("the Portal redeems with %v, %q", p.asked, p.secret)
				}
				if c := r.p.Counts(); c.SignIns != 1 || c.OIDCBad != 0 {
					t.Errorf("%d sign-ins, %d refused", c.SignIns, c.OIDCBad)
				}
				saml := r.get(oauth + "saml/authorize?" + authorization().Encode())
				if off := strings.Contains(saml.body, "SAML is not configured"); off != (shape == arcgis.OIDCOnly || shape == arcgis.OIDCAlone) {
					t.Errorf("shape %d: SAML is off: %v", shape, off)
				}
			}
		}
	}
	r := newRig(t, arcgis.Shape{})
	if to := offered(r.begin(authorization())); to != "" {
		t.Errorf("a Portal without the login offers %s", to)
	}
}

// TestOIDCIsVerified: what the Portal does not believe.
func TestOIDCIsVerified(t *testing.T) {
	other, _ := rsa.GenerateKey(rand.Reader, 2048)
	claim := func(name string, value any) func(*provider) {
		return func(p *provider) { p.claims[name] = value }
	}
	for name, spoil := range map[string]func(*provider){
		"another key":      func(p *provider) { p.sign = signed(jose.RS256, other) },
		"a shared secret":  func(p *provider) { p.sign = signed(jose.HS256, []byte(strings.Repeat("x", 32))) },
		"no id_token":      func(p *provider) { p.sign = func(*provider) string { return "" } },
		"no signature":     func(p *provider) { p.sign = func(*provider) string { return "eyJhbGciOiJub25lIn0.e30." } },
		"a refused code":   func(p *provider) { p.status = 400 },
		"another nonce":    claim("nonce", "x"),
		"no nonce":         func(p *provider) { delete(p.claims, "nonce") },
		"another audience": claim("aud", "other"),
		"another issuer":   claim("iss", "https://evil.example"),
		"expired":          claim("exp", time.Now().Add(-time.Minute).Unix()),
		"not yet issued":   claim("iat", time.Now().Add(time.Hour).Unix()),
		"nobody":           claim("preferred_username", ""),
	} {
		r := newRig(t, arcgis.Shape{OIDC: arcgis.OIDCOnly, LowerHeaders: arcgis.Never})
		p := r.withOIDC()
		q, cookie := r.codeRequest()
		a := r.back(p, q, cookie, "alice@example.com", spoil)
		if a.header.Get("Location") != "" || !strings.Contains(a.body, "Unable to validate") {
			t.Errorf("%s: %d %s %s", name, a.status, a.header.Get("Location"), a.body)
		}
		if c := r.p.Counts(); c.SignIns != 0 || c.OIDCBad != 1 || c.Codes != 0 {
			t.Errorf("%s: %d sign-ins, %d refused", name, c.SignIns, c.OIDCBad)
		}
	}
}

// TestOIDCState: a state is good once, in the browser that began with it.
func TestOIDCState(t *testing.T) {
	r := newRig(t, arcgis.Shape{OIDC: arcgis.OIDCOnly, LowerHeaders: arcgis.Never})
	p := r.withOIDC()
	refused := func(name string, a answer) {
		t.Helper()
		if a.header.Get("Location") != "" || !strings.Contains(a.body, "was not started here") {
			t.Errorf("%s: %d %s %s", name, a.status, a.header.Get("Location"), a.body)
		}
	}
	q, cookie := r.codeRequest()
	r.back(p, q, cookie, "alice@example.com", nil).code()
	refused("twice", r.back(p, q, cookie, "alice@example.com", nil))
	q, _ = r.codeRequest()
	refused("no cookie", r.back(p, q, "", "alice@example.com", nil))
	_, another := r.codeRequest()
	q, cookie = r.codeRequest()
	refused("another browser", r.back(p, q, another, "alice@example.com", nil))
	refused("and then its own", r.back(p, q, cookie, "alice@example.com", nil))
	made := maps.Clone(q)
	made.Set("state", "made-up")
	refused("made up", r.back(p, made, cookie, "alice@example.com", nil))
	r.p.Set(func(s *arcgis.Shape) { s.OIDC = arcgis.OIDCLast })
	made.Set("state", r.begin(authorization())["oauth_state"].(string))
	refused("an oauth_state", r.back(p, made, cookie, "alice@example.com", nil))
	if n := r.p.Counts().SignIns; n != 1 || len(p.asked) != 1 {
		t.Errorf("%d sign-ins, %d codes redeemed", n, len(p.asked))
	}
}

// TestOIDCEnds: the other ends of a sign-in.
func TestOIDCEnds(t *testing.T) {
	r := newRig(t, arcgis.Shape{OIDC: arcgis.OIDCOnly, LowerHeaders: arcgis.Never})
	p := r.withOIDC()
	q, cookie := r.codeRequest()
	if a := r.back(p, q, cookie, "stranger@example.com", nil); !strings.Contains(a.body, "permission to access this organization") || r.p.Counts().Strangers != 1 {
		t.Errorf("a stranger: %s", a.body)
	}
	q, cookie = r.codeRequest()
	a := r.get(q.Get("redirect_uri")+"?"+url.Values{"error": {"access_denied"}, "error_description": {"no"}, "state": {q.Get("state")}}.Encode(), "Cookie", cookie)
	if !strings.Contains(a.body, "access_denied no") || a.header.Get("Location") != "" {
		t.Errorf("an error: %s", a.body)
	}
	r.p.Set(func(s *arcgis.Shape) { s.Terms = true })
	q, cookie = r.codeRequest()
	if a := r.back(p, q, cookie, "bob@example.com", nil); !strings.Contains(a.body, "acceptTermsAndConditions") {
		t.Errorf("terms: %s", a.body)
	}
	for _, path := range []string{"social/authorize", "oidc/authorize", "openid/authorize"} {
		for _, query := range []string{"", "?socialLoginProviderName=google", "?socialLoginProviderName=okta_x&oauth_state=y"} {
			if a := r.get(oauth + path + query); strings.HasPrefix(a.header.Get("Location"), issuer) || strings.Contains(a.header.Get("Location"), "code=") {
				t.Errorf("%s%s: %s", path, query, fmt.Sprint(a.header))
			}
		}
	}
}
