package proxy

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"arcproxy/proxy/policy"
)

// signIn asks for a token as clients do, and returns it, or what the answer says.
func (s *setup) signIn(path, user, password string) (token, body string) {
	s.Helper()
	form := url.Values{"username": {user}, "password": {password}, "f": {"json"}, "client": {"requestip"}}
	res := s.do(http.MethodPost, path, strings.NewReader(form.Encode()), func(r *http.Request) {
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	})
	body = text(s.T, res)
	var answer struct{ Token string }
	_ = json.Unmarshal([]byte(body), &answer)
	return answer.Token, body
}

func TestTokensOfOurOwnAreGoodWhereverAKeyIs(t *testing.T) {
	var up seen
	s := start(t, up.ServeHTTP)
	var token string
	for _, path := range []string{"/portal/sharing/rest/generateToken", "/portal/tokens/", "/portal/admin/generateToken", "/portal/sharing/rest/GENERATETOKEN/"} {
		var body string
		token, body = s.signIn(path, "nightly", callerKey)
		if token == "" || strings.Contains(body, "token1") || strings.Contains(body, callerKey) {
			t.Fatalf("%s: %s", path, body)
		}
		if calls(&up) != 0 {
			t.Fatalf("%s reached the upstream", path)
		}
	}
	for name, send := range map[string]func(*http.Request){
		"X-Esri-Authorization": func(r *http.Request) { r.Header = http.Header{"X-Esri-Authorization": {"Bearer " + token}} },
		"Authorization":        func(r *http.Request) { r.Header = http.Header{"Authorization": {"Bearer " + token}} },
		"query":                func(r *http.Request) { r.Header = http.Header{}; r.URL.RawQuery = "token=" + token },
	} {
		res := s.do(http.MethodGet, "/portal/x", nil, send)
		r, _, _ := up.get()
		if res.StatusCode != 200 || text(t, res) != `{"ok":true}` || r.Header.Get("X-Esri-Authorization") != "Bearer token1" || strings.Contains(r.RequestURI, "token=") {
			t.Errorf("%s: %s, the upstream was asked for %s %v", name, res.Status, r.RequestURI, r.Header)
		}
	}
	res := s.do(http.MethodPost, "/portal/x", strings.NewReader("a=b&token="+token), func(r *http.Request) {
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	})
	if _, sent, _ := up.get(); res.StatusCode != 200 || sent != "a=b" {
		t.Errorf("form: %s, the upstream was sent %q", res.Status, sent)
	}
	if log := s.log.String(); strings.Contains(log, callerKey) || strings.Contains(log, "arcproxy_a_") {
		t.Errorf("the log says\n%s", log)
	}
}

func TestWhoGetsNoToken(t *testing.T) {
	s := start(t, new(seen).ServeHTTP, func(c *Config) {
		c.Callers = append(c.Callers, Caller{Name: "far", Identity: "bob", KeySHA256: hashOf("farkey"), From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	})
	for name, c := range map[string][2]string{
		"wrong key":         {"nightly", "nobodys"},
		"another's name":    {"far", callerKey},
		"unknown name":      {"nobody", callerKey},
		"from elsewhere":    {"far", "farkey"},
		"the Okta password": {"alice@example.com", "sw0rdfish"},
	} {
		if token, body := s.signIn("/portal/sharing/rest/generateToken", c[0], c[1]); token != "" || !strings.Contains(body, "Unable to generate token.") {
			t.Errorf("%s: %s", name, body)
		}
	}
	if _, asked := s.tokens.state(); asked != 0 {
		t.Error("a token was taken")
	}
	// Pages that take passwords or would show a token are not the Portal's here.
	for _, path := range []string{"/portal/sharing/rest/oauth2/saml/authorize", "/portal/sharing/oauth2/token", "/portal/sharing/rest/oauth2/%74oken"} {
		if status, body := s.get(path); status == 200 && strings.Contains(body, `"ok"`) {
			t.Errorf("%s reached the upstream", path)
		}
	}
}

// A token acts as its caller, and may do no more.
func TestATokenIsItsCaller(t *testing.T) {
	var up seen
	s := start(t, up.ServeHTTP, func(c *Config) {
		c.Callers[0].Rules = policy.Rules{ReadOnly: true}
		c.Callers = append(c.Callers, Caller{Name: "other", Identity: "bob", KeySHA256: hashOf("other")})
	})
	token, body := s.signIn("/portal/sharing/rest/generateToken", "nightly", callerKey)
	if token == "" {
		t.Fatal(body)
	}
	bearing := func(values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header = http.Header{"X-Esri-Authorization": values} }
	}
	if res := s.do(http.MethodGet, "/portal/rest/services/T/FeatureServer/0/deleteFeatures", nil, bearing("Bearer "+token)); res.StatusCode != 403 {
		t.Errorf("read_only does not hold: %s", res.Status)
	}
	if res := s.do(http.MethodGet, "/portal/rest/services", nil, bearing("Bearer "+token, "Bearer other")); res.StatusCode == 200 {
		t.Errorf("two callers: %s", res.Status)
	}
	if res := s.do(http.MethodGet, "/portal/rest/services", nil, bearing("Bearer "+token, "Bearer "+callerKey)); res.StatusCode != 200 {
		t.Errorf("key and token of one caller: %s", res.Status)
	}
	// One that has ended is told so as the Portal would, so that clients sign in again.
	s.do(http.MethodPost, "/portal/sharing/rest/oauth2/revokeToken", strings.NewReader("f=json&client_id=x&auth_token="+token), func(r *http.Request) {
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	})
	_, _, before := up.get()
	res := s.do(http.MethodGet, "/portal/rest/services?f=json", nil, bearing("Bearer "+token))
	if body := text(t, res); calls(&up) != before || res.StatusCode != 200 || body != `{"error":{"code":498,"message":"Invalid token.","details":[]}}` {
		t.Errorf("a token that has ended: %s %s", res.Status, body)
	}
}

// calls is how many requests an upstream was sent.
func calls(up *seen) int {
	_, _, n := up.get()
	return n
}
