package okta

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	mrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzRequests sends anything to any address: every answer is whole, none is a
// server error, and nothing panics.
func FuzzRequests(f *testing.F) {
	base, _ := url.Parse(baseURL)
	o, err := New(Config{BaseURL: base, Seed: 1, Users: []User{{Login: "alice@example.com", Password: "correct horse", TOTPSecret: secret, Push: true, Others: []string{"sms"}}}})
	if err != nil {
		f.Fatal(err)
	}
	o.Configure(func(s *Settings) { s.UserPerSecond, s.ClientPerMinute, s.OrgPerMinute = 0, 0, 0 })
	app := o.Metadata().IDPSSODescriptors[0].SingleSignOnServices[0].Location
	for _, seed := range []struct{ method, path, query, kind, body string }{
		{"POST", "/api/v1/authn", "", "application/json", `{"username":"alice@example.com","password":"correct horse"}`},
		{"POST", "/api/v1/authn/factors/x/verify", "rememberDevice=true", "application/json", `{"stateToken":"00x","passCode":"123456"}`},
		{"POST", "/api/v1/authn", "", "application/json", `[[[[`},
		{"GET", app[len(baseURL):], "SAMLRequest=fZFNT4NAEIbv%2Fgqy96UsrdZugKaxMTZR09Dqwct%2Bgd2&RelayState=", "", ""},
		{"POST", app[len(baseURL):], "sessionToken=20111x", "application/x-www-form-urlencoded", "SAMLRequest=PHNhbWxwOkF1dGhuUmVxdWVzdC8%2B&RelayState=a%00b"},
		{"GET", "/login/sessionCookieRedirect", "token=x&redirectUrl=%2F%2Fevil.example&repost=true", "", ""},
		{"POST", "/api/v1/authn/factors/x/lifecycle/duoCallback", "", "application/x-www-form-urlencoded", "id=x&stateToken=00x&sig_response=AUTH%7Ca%7Cb%3AAPP"},
		{"POST", "/sandbox/token", "", "application/json", `{"login":"alice@example.com","device":"yubikey"}`},
		{"GET", "/sandbox/inbox/messages", "login=%00", "", ""},
		{"POST", "/sandbox/phone/approve", "", "application/x-www-form-urlencoded", "id=x&number=9999999999999999999"},
	} {
		f.Add(seed.method, seed.path, seed.query, seed.kind, seed.body)
	}
	f.Fuzz(func(t *testing.T, method, path, query, kind, body string) {
		u := &url.URL{Scheme: "https", Host: base.Host, Path: "/" + strings.TrimPrefix(path, "/"), RawQuery: query}
		r, err := http.NewRequest(method, u.String(), strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		r.Header.Set("Content-Type", kind)
		r.RemoteAddr = "192.0.2.1:1"
		w := httptest.NewRecorder()
		o.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %s: %d", method, u, w.Code)
		}
		if to, err := url.Parse(w.Header().Get("Location")); err == nil && w.Code == http.StatusFound && to.Host != base.Host {
			t.Errorf("redirected to %s", to)
		}
	})
}

// FuzzIDX sends anything to a sign-in by the Identity Engine, at any of its steps:
// every answer is whole, none is a server error or a session, and nothing panics.
func FuzzIDX(f *testing.F) {
	base, _ := url.Parse(baseURL)
	set := DefaultSettings()
	set.Pipeline, set.MaxBadPasswords, set.MaxMFAFailures = "idx", 0, 1<<30
	set.UserPerSecond, set.ClientPerMinute, set.OrgPerMinute = 0, 0, 0
	o, err := New(Config{BaseURL: base, Settings: &set, Users: []User{{Login: "alice@example.com", Password: "correct horse", TOTPSecret: secret, Push: true}}})
	if err != nil {
		f.Fatal(err)
	}
	sp := provider(f, o)
	for i, body := range []string{
		`{"identifier":"alice@example.com","credentials":{"passcode":"correct horse"}}`,
		`{"identifier":"alice@example.com","rememberMe":true}`,
		`{"authenticator":{"id":"aut","methodType":"push"}}`,
		`{"credentials":{"passcode":"123456"}}`, `{"credentials":{"totp":null}}`,
		`{"autoChallenge":true}`, `{"authenticator":{"id":{"id":[]}}}`, `[[[[`, `{"stateHandle":"x"}`,
	} {
		f.Add(uint64(i+1), i, idxPaths[i], ionJSON, body)
	}
	f.Fuzz(func(t *testing.T, seed uint64, steps int, path, kind, body string) {
		o.Configure(func(s *Settings) {
			s.IDX = IDXSettings{HideUsers: seed%2 == 0, KeepSignedIn: seed%3 == 0, FastPass: FastPass(seed % 3)}
		})
		o.rng = mrand.New(mrand.NewPCG(seed, 0))
		b := newBrowser(t, o)
		flow := b.visit(sp)
		if steps%3 > 0 && flow.forms()["identify"].doc != nil {
			flow.identify("alice@example.com", "correct horse")
		}
		if steps%3 > 1 && flow.forms()["select-authenticator-authenticate"].doc != nil {
			flow.choose("okta_verify", "push")
		}
		before := o.Counts()
		var in map[string]any
		if json.Unmarshal([]byte(body), &in) == nil && in != nil {
			in["stateHandle"] = flow.str("stateHandle")
			text, _ := json.Marshal(in)
			body = string(text)
		}
		r, err := http.NewRequest(http.MethodPost, baseURL+"/idp/idx/introspect", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path, r.RemoteAddr = "/idp/idx/"+path, "192.0.2.1:1"
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Accept", ionJSON)
		w := httptest.NewRecorder()
		o.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s: %d", r.URL.Path, w.Code)
		}
		if after := o.Counts(); after.Sessions != before.Sessions || after.Pushes > before.Pushes+1 || strings.Contains(w.Header().Get("Set-Cookie"), "idx=") {
			t.Errorf("%s: %+v", r.URL.Path, after)
		}
	})
}

// FuzzAssertion offers anything as the signature of a key: it is refused, whole.
func FuzzAssertion(f *testing.F) {
	base, _ := url.Parse(baseURL)
	private, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	key := SecurityKey{ID: []byte("x"), Public: &private.PublicKey}
	o, err := New(Config{BaseURL: base, Seed: 1, Users: []User{{Login: "alice@example.com", Password: "correct horse", Keys: []SecurityKey{key}}}})
	if err != nil {
		f.Fatal(err)
	}
	a := o.users["alice@example.com"]
	f.Add([]byte(`{"type":"webauthn.get","challenge":"eA","origin":"https://example.okta.test"}`), make([]byte, 37), []byte{0x30, 0})
	f.Add([]byte(`{`), []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, client, data, signature []byte) {
		encode := base64.StdEncoding.EncodeToString
		in := assertion{ClientData: encode(client), AuthenticatorData: encode(data), SignatureData: encode(signature)}
		if o.checkAssertion(a, a.factors[0], proof{assertion: in, challenge: []byte("x")}) == nil {
			t.Error("taken")
		}
	})
}
