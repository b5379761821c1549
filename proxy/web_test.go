package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func byOrigin(c *Config) {
	byAddress(c)
	c.Origins = []string{"https://app.example/", "http://Dev.example:3000", "https://plain.example:443"}
}

func TestConfiguredOriginsAreLetIn(t *testing.T) {
	requests{
		{"listed", "POST /portal/x HTTP/1.1\nHOST\nOrigin: https://app.example\nSec-Fetch-Site: cross-site\nContent-Length: 0\n\n", 200, true},
		{"with a port", "GET /portal/x HTTP/1.1\nHOST\nOrigin: http://dev.example:3000\n\n", 200, true},
		{"with a default port", "GET /portal/x HTTP/1.1\nHOST\nOrigin: https://plain.example\n\n", 200, true},
		{"an image", "GET /portal/x HTTP/1.1\nHOST\nReferer: https://app.example/page?a=b\nSec-Fetch-Site: cross-site\n\n", 200, true},
		{"a script", "GET /portal/x?callback=a HTTP/1.1\nHOST\nReferer: https://app.example/\nSec-Fetch-Site: cross-site\n\n", 200, true},
		{"socket", "GET /portal/ws HTTP/1.1\nHOST\nOrigin: https://app.example\nSec-Fetch-Site: cross-site\n\n", 200, true},

		{"other scheme", "GET /portal/x HTTP/1.1\nHOST\nOrigin: http://app.example\n\n", 403, false},
		{"other port", "GET /portal/x HTTP/1.1\nHOST\nOrigin: https://app.example:8443\n\n", 403, false},
		{"below", "GET /portal/x HTTP/1.1\nHOST\nOrigin: https://evil.app.example\n\n", 403, false},
		{"beside", "GET /portal/x HTTP/1.1\nHOST\nOrigin: https://app.example.evil\n\n", 403, false},
		{"null", "GET /portal/x HTTP/1.1\nHOST\nOrigin: null\n\n", 403, false},
		{"two", "GET /portal/x HTTP/1.1\nHOST\nOrigin: https://app.example\nOrigin: https://evil.example\n\n", 403, false},
		{"origin before referer", "GET /portal/x HTTP/1.1\nHOST\nOrigin: https://evil.example\nReferer: https://app.example/\n\n", 403, false},
		{"form by referer", "POST /portal/x HTTP/1.1\nHOST\nReferer: https://app.example/\nSec-Fetch-Site: cross-site\nContent-Length: 0\n\n", 403, false},
		{"referer that is no page", "GET /portal/x HTTP/1.1\nHOST\nReferer: //app.example/\nSec-Fetch-Site: cross-site\n\n", 403, false},
	}.run(t, byOrigin)
}

func TestPreflight(t *testing.T) {
	s := start(t, new(seen).ServeHTTP, byOrigin)
	ask := func(origin string) *http.Response {
		res := s.raw("OPTIONS /portal/x HTTP/1.1\nHOST\nOrigin: " + origin + "\nSec-Fetch-Site: cross-site\nAccess-Control-Request-Method: POST\nAccess-Control-Request-Headers: x-esri-authorization, bad name,content-type\n\n")
		t.Cleanup(func() { _ = res.Body.Close() })
		return res
	}
	res := ask("https://app.example")
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "https://app.example", "Access-Control-Allow-Credentials": "true", "Access-Control-Allow-Methods": allowed,
		"Access-Control-Allow-Headers": "x-esri-authorization, content-type", "Access-Control-Allow-Private-Network": "",
	} {
		if got := strings.Join(res.Header[name], "|"); res.StatusCode != 204 || got != want {
			t.Errorf("%s: %s is %q", res.Status, name, got)
		}
	}
	if !strings.Contains(res.Header.Get("Vary"), "Origin") {
		t.Errorf("Vary is %q", res.Header["Vary"])
	}
	if res := ask("https://evil.example"); res.StatusCode != 403 || res.Header.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(text(t, res), "web.origins") {
		t.Errorf("a stranger got %s, %v", res.Status, res.Header)
	}
}

// What an upstream says of origins is replaced by what the config says, in
// answers and refusals alike, and caches are told.
func TestUpstreamsDoNotAllowOrigins(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		w.Header().Set("Access-Control-Anything", "1")
		w.Header().Set("Vary", "Accept-Encoding")
		_, _ = io.WriteString(w, "{}")
	}, byOrigin)
	for origin, want := range map[string]string{"": "", "https://app.example": "https://app.example", "https://evil.example": ""} {
		for _, key := range []string{callerKey, "nobodys"} {
			res := s.do(http.MethodGet, "/portal/x", nil, func(r *http.Request) {
				r.Header.Set("X-Esri-Authorization", "Bearer "+key)
				if origin != "" {
					r.Header.Set("Origin", origin)
				}
			})
			_ = text(t, res)
			h := res.Header
			if h.Get("Access-Control-Allow-Origin") != want || (h.Get("Access-Control-Allow-Credentials") == "true") != (want != "") || h.Get("Access-Control-Anything") != "" {
				t.Errorf("%q with %s: %s %v", origin, key, res.Status, h)
			}
			if vary := strings.Join(h["Vary"], ", "); !strings.Contains(vary, "Origin") || key == callerKey && !strings.Contains(vary, "Accept-Encoding") {
				t.Errorf("%q: Vary is %q", origin, vary)
			}
		}
	}
}

func TestFaultsOfOrigins(t *testing.T) {
	for _, bad := range []string{"*", "null", "app.example", "https://*.app.example", "https://app.example/path", "https://app.example?x", "ftp://app.example", "https://", "https://me@app.example", ""} {
		if _, err := newOrigins([]string{bad}); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}
