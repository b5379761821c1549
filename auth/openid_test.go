package auth_test

import (
	"net/url"
	"testing"

	"arcproxy/auth"
)

const codeRequest = "https://example.okta.test/oauth2/v1/authorize?client_id=c&response_type=code&scope=openid&state=s%26%3D1&nonce=n&redirect_uri="

func parsed(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestCodeRequest: what is an authorization request, and what is not.
func TestCodeRequest(t *testing.T) {
	callback := url.QueryEscape("https://gis.example.test/portal/callback")
	for request, want := range map[string]bool{
		codeRequest + callback:                              true,
		codeRequest + callback + "&response_mode=query":     true,
		codeRequest + callback + "&response_mode=form_post": true,
		codeRequest + callback + "&response_mode=fragment":  false,
		codeRequest: false,
		codeRequest + url.QueryEscape("/portal/callback"):                                             false,
		codeRequest + url.QueryEscape("urn:ietf:wg:oauth:2.0:oob"):                                    false,
		codeRequest + url.QueryEscape("https://x@gis.example.test/"):                                  false,
		codeRequest + url.QueryEscape(":"):                                                            false,
		"https://example.okta.test/app/x/sso/saml?SAMLRequest=x":                                      false,
		"https://example.okta.test/?response_type=token&client_id=c&redirect_uri=" + callback:         false,
		"https://example.okta.test/?response_type=code&redirect_uri=" + callback:                      false,
		"https://example.okta.test/?response_type=id_token code&client_id=c&redirect_uri=" + callback: false,
	} {
		got, ok := auth.Handoff{URL: parsed(t, request)}.CodeRequest()
		if ok != want || ok && (got.Callback.Path != "/portal/callback" || got.State != "s&=1") {
			t.Errorf("%s: %v %+v, want %v", request, ok, got, want)
		}
	}
	for _, h := range []auth.Handoff{{}, {URL: parsed(t, codeRequest+callback), Form: url.Values{}}} {
		if _, ok := h.CodeRequest(); ok {
			t.Errorf("%+v was taken", h)
		}
	}
}

// TestCodeAnswer: only the request's own callback, with its state and a code or an
// error, answers it.
func TestCodeAnswer(t *testing.T) {
	for _, callback := range []string{"https://gis.example.test/portal/call%2Fback", "https://gis.example.test/portal/call%2Fback?idp=okta"} {
		request, ok := auth.Handoff{URL: parsed(t, codeRequest+url.QueryEscape(callback))}.CodeRequest()
		if !ok {
			t.Fatal(callback)
		}
		own := "https://gis.example.test/portal/call%2Fback?"
		if request.Callback.RawQuery != "" {
			own += request.Callback.RawQuery + "&"
		}
		for answer, want := range map[string]bool{
			own + "code=x&state=s%26%3D1":                                                    true,
			own + "state=s%26%3D1&code=x&iss=y":                                              true,
			own + "error=access_denied&state=s%26%3D1":                                       true,
			own + "code=x&state=other":                                                       false,
			own + "code=x":                                                                   false,
			own + "state=s%26%3D1":                                                           false,
			own + "code=&state=s%26%3D1":                                                     false,
			own + "code=x&error=y&state=s%26%3D1":                                            false,
			"https://gis.example.test/portal/call/back?code=x&state=s%26%3D1":                false,
			"https://gis.example.test/portal/call%2Fback/?code=x&state=s%26%3D1":             false,
			"https://gis.example.test:8443/portal/call%2Fback?code=x&state=s%26%3D1":         false,
			"http://gis.example.test/portal/call%2Fback?code=x&state=s%26%3D1":               false,
			"https://evil.example/portal/call%2Fback?code=x&state=s%26%3D1":                  false,
			"https://gis.example.test@evil.example/portal/call%2Fback?code=x&state=s%26%3D1": false,
			"https://x@gis.example.test/portal/call%2Fback?code=x&state=s%26%3D1":            false,
			"/portal/call%2Fback?code=x&state=s%26%3D1":                                      false,
		} {
			if got := request.Answers(parsed(t, answer)); got != want {
				t.Errorf("%s: %s: %v, want %v", callback, answer, got, want)
			}
		}
	}
}

// FuzzCodeRequest: whatever the two addresses are, an answer goes to the callback's
// origin and path.
func FuzzCodeRequest(f *testing.F) {
	f.Add(codeRequest+"https://gis.example.test/callback", "https://gis.example.test/callback?code=x&state=s%26%3D1")
	f.Add(codeRequest+"https://gis.example.test/callback?a=b", "https://gis.example.test/callback?a=b&code=x&state=s%26%3D1")
	f.Add(codeRequest+"http://[::1]:80/%2f", "http://[::1]/%2f?error=x&state=s%26%3D1")
	f.Fuzz(func(t *testing.T, request, answer string) {
		u, err := url.Parse(request)
		if err != nil {
			return
		}
		r, ok := auth.Handoff{URL: u}.CodeRequest()
		if !ok {
			return
		}
		to, err := url.Parse(answer)
		if err != nil || !r.Answers(to) {
			return
		}
		if auth.Origin(to) != auth.Origin(r.Callback) || to.EscapedPath() != r.Callback.EscapedPath() || to.Query().Get("state") != r.State {
			t.Errorf("%s answers %s", answer, request)
		}
	})
}
