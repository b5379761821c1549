package okta

import (
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
	o.Configure(func(s *Settings) { s.UserPerSecond, s.ClientPerMinute = 0, 0 })
	app := o.Metadata().IDPSSODescriptors[0].SingleSignOnServices[0].Location
	for _, seed := range []struct{ method, path, query, kind, body string }{
		{"POST", "/api/v1/authn", "", "application/json", `{"username":"alice@example.com","password":"correct horse"}`},
		{"POST", "/api/v1/authn/factors/x/verify", "rememberDevice=true", "application/json", `{"stateToken":"00x","passCode":"123456"}`},
		{"POST", "/api/v1/authn", "", "application/json", `[[[[`},
		{"GET", app[len(baseURL):], "SAMLRequest=fZFNT4NAEIbv%2Fgqy96UsrdZugKaxMTZR09Dqwct%2Bgd2&RelayState=", "", ""},
		{"POST", app[len(baseURL):], "sessionToken=20111x", "application/x-www-form-urlencoded", "SAMLRequest=PHNhbWxwOkF1dGhuUmVxdWVzdC8%2B&RelayState=a%00b"},
		{"GET", "/login/sessionCookieRedirect", "token=x&redirectUrl=%2F%2Fevil.example&repost=true", "", ""},
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
