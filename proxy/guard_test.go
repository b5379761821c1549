package proxy

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"arcproxy/proxy/pattern"
)

func TestPathFault(t *testing.T) {
	for _, good := range []string{
		"/", "/portal", "/portal/sharing/rest", "/portal//info", "/portal/a%20b", "/portal/%C3%A4", "/portal/ä",
		"/portal/.well-known", "/portal/a.b..c/x", "/portal/{a}|b", "/portal/a;jsessionid=1", "/portal/100%25", "/portal/%25zz",
		"/portal/..a", "/portal/a..", "/portal/C%23", "/portal/a%3Fb", "/portal/a:b@c", "/portal/%20/x", "/portal/%25%32%30",
	} {
		if why := pathFault(good); why != "" {
			t.Errorf("%q is refused: %s", good, why)
		}
	}
	for _, bad := range []string{
		"", "portal", "*", "/portal/../admin", "/portal/..", "/portal/.", "/./portal", "/portal/%2e%2e/admin", "/portal/.%2E/x", "/portal/%2e",
		"/portal/..%2f..%2fadmin", "/portal/a%2Fb", "/portal/..;/admin", "/portal/..;x=y/admin", "/portal/..%3b/admin", "/portal/.;/x",
		`/portal/a\..\b`, "/portal/a%5c..%5Cb", "/a#/public", "/portal/%00", "/portal/a%0d%0aX:y", "/portal/%7f", "/portal/a%1Bb",
		"/portal/%252e%252e/admin", "/portal/%252fadmin", "/portal/%255cadmin", "/portal/%25252e%25252e/x", "/portal/%2525252525252e",
		"/portal/%c0%ae%c0%ae/admin", "/portal/%c0%af", "/portal/\xff", "/portal/.../x", "/portal/..%20/x", "/portal/.. /x", "/portal/%2e%20",
	} {
		if pathFault(bad) == "" {
			t.Errorf("%q passes", bad)
		}
	}
}

// FuzzPathFault checks that a path that passes cannot be made into another by
// decoding, dropping of path parameters, and cleaning, in any number of rounds.
func FuzzPathFault(f *testing.F) {
	for _, seed := range []string{
		"/portal/sharing/rest", "/portal//info", "/portal/%2e%2e/x", "/portal/..;/x", "/%252e%252e/", `/a\..\b`, "/a%20b", "/ä", "/.;a/..%2f", "/%c0%ae", "/a;b=%2f",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if pathFault(raw) != "" {
			return
		}
		if raw == "" || raw[0] != '/' {
			t.Fatalf("%q passes", raw)
		}
		for p := raw; ; {
			var segments []string
			for segment := range strings.SplitSeq(p, "/") {
				name, _, _ := strings.Cut(segment, ";")
				if name != "" { // an empty segment is a double slash, which is allowed and which Clean drops
					segments = append(segments, name)
				}
			}
			bare := "/" + strings.Join(segments, "/")
			if path.Clean(bare) != bare {
				t.Fatalf("%q passes, but %q cleans to %q", raw, bare, path.Clean(bare))
			}
			if strings.ContainsAny(p, "\\\x00\r\n") {
				t.Fatalf("%q passes, but decodes to %q", raw, p)
			}
			next, changed := pattern.Decode(p)
			if !changed {
				return
			}
			if strings.Count(next, "/") != strings.Count(p, "/") {
				t.Fatalf("%q passes, but %q holds another slash", raw, next)
			}
			p = next
		}
	})
}

func TestHostname(t *testing.T) {
	for in, want := range map[string]string{
		"localhost": "localhost", "localhost:8443": "localhost", "Maps.Example.com.": "Maps.Example.com", "[::1]:8443": "::1", "[::1]": "::1", "127.0.0.1:": "127.0.0.1",
		"": "", ":8443": "", "::1": "", "[::1": "", "[::1]x": "", "localhost:84a": "", "localhost:8443:1": "", "[]:1": "",
	} {
		if got, ok := hostname(in); ok != (want != "") || ok && got != want {
			t.Errorf("hostname(%q) = %q, %v", in, got, ok)
		}
	}
}

func FuzzHostname(f *testing.F) {
	for _, seed := range []string{"localhost:1", "[::1]:2", "a:b", "[", "]", "x.", "[::1%25lo]:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		name, ok := hostname(host)
		if ok && (name == "" || !strings.Contains(host, name)) {
			t.Errorf("hostname(%q) = %q", host, name)
		}
	})
}

// requests is a table of raw requests, with what becomes of each.
type requests []struct {
	name    string
	request string
	status  int
	seen    bool // reaches the upstream
}

func (table requests) run(t *testing.T, options ...option) {
	for _, c := range table {
		t.Run(c.name, func(t *testing.T) {
			var up seen
			s := start(t, up.ServeHTTP, options...)
			res := s.raw(c.request)
			defer res.Body.Close()
			if res.StatusCode != c.status {
				t.Errorf("got %s: %s", res.Status, text(t, res))
			}
			_, _, n := up.get()
			if (n > 0) != c.seen {
				t.Errorf("the upstream was asked %d times", n)
			}
			if _, asked := s.tokens.state(); asked > 0 && !c.seen {
				t.Errorf("a token was taken for a request that was refused")
			}
		})
	}
}

func TestRequestsThatTheGuardRefuses(t *testing.T) {
	requests{
		{"good", "GET /portal/x HTTP/1.1\nHOST\nKEY\n\n", 200, true},
		{"double slash", "GET /portal//info HTTP/1.1\nHOST\nKEY\n\n", 200, true},
		{"public host", "GET /portal/x HTTP/1.1\nHost: maps.example.com:8443\nKEY\n\n", 200, true},
		{"public host, other port", "GET /portal/x HTTP/1.1\nHost: MAPS.example.com\nKEY\n\n", 200, true},
		{"loopback name", "GET /portal/x HTTP/1.1\nHost: localhost:1\nKEY\n\n", 200, true},
		{"loopback address", "GET /portal/x HTTP/1.1\nHost: [::1]:1\nKEY\n\n", 200, true},

		{"CONNECT", "CONNECT evil.example:443 HTTP/1.1\nHOST\nKEY\n\n", 405, false},
		{"CONNECT path", "CONNECT /portal/x HTTP/1.1\nHOST\nKEY\n\n", 405, false},
		{"TRACE", "TRACE /portal/x HTTP/1.1\nHOST\nKEY\n\n", 405, false},
		{"unknown method", "PROPFIND /portal/x HTTP/1.1\nHOST\nKEY\n\n", 405, false},
		{"small letters", "get /portal/x HTTP/1.1\nHOST\nKEY\n\n", 405, false},
		{"dots", "GET /portal/../admin HTTP/1.1\nHOST\nKEY\n\n", 400, false},
		{"encoded dots", "GET /portal/%2e%2e/admin HTTP/1.1\nHOST\nKEY\n\n", 400, false},
		{"encoded slash", "GET /portal/sharing/..%2f..%2fadmin HTTP/1.1\nHOST\nKEY\n\n", 400, false},
		{"dots and semicolon", "GET /portal/..;/admin HTTP/1.1\nHOST\nKEY\n\n", 400, false},
		{"backslash", "GET /portal/a\\..\\b HTTP/1.1\nHOST\nKEY\n\n", 400, false},
		{"fragment", "GET /portal/a#/public HTTP/1.1\nHOST\nKEY\n\n", 400, false},
		{"fragment in query", "GET /portal/a?b#c HTTP/1.1\nHOST\nKEY\n\n", 400, false},
		{"NUL", "GET /portal/a%00 HTTP/1.1\nHOST\nKEY\n\n", 400, false},
		{"absolute form", "GET http://evil.example/portal/x HTTP/1.1\nHOST\nKEY\n\n", 400, false},
		{"absolute form of ours", "GET http://localhost/portal/x HTTP/1.1\nHOST\nKEY\n\n", 400, false},
		{"foreign host", "GET /portal/x HTTP/1.1\nHost: attacker.example:8443\nKEY\n\n", 421, false},
		{"host that begins like ours", "GET /portal/x HTTP/1.1\nHost: localhost.attacker.example\nKEY\n\n", 421, false},
		{"foreign address", "GET /portal/x HTTP/1.1\nHost: 192.0.2.1\nKEY\n\n", 421, false},
		{"any address", "GET /portal/x HTTP/1.1\nHost: 0.0.0.0\nKEY\n\n", 421, false},
		{"no host", "GET /portal/x HTTP/1.0\nKEY\n\n", 421, false},
		{"two content types", "POST /portal/x HTTP/1.1\nHOST\nKEY\nContent-Type: text/plain\nContent-Type: application/x-www-form-urlencoded\nContent-Length: 0\n\n", 400, false},

		{"root", "GET / HTTP/1.1\nHOST\nKEY\n\n", 404, false},
		{"not mounted", "GET /server/x HTTP/1.1\nHOST\nKEY\n\n", 404, false},
		{"other case", "GET /Portal/x HTTP/1.1\nHOST\nKEY\n\n", 404, false},
		{"encoded mount", "GET /%70ortal/x HTTP/1.1\nHOST\nKEY\n\n", 404, false},
		{"mount with parameters", "GET /portal;a=b/x HTTP/1.1\nHOST\nKEY\n\n", 404, false},
		{"longer name", "GET /portals/x HTTP/1.1\nHOST\nKEY\n\n", 404, false},
		{"another host as a path", "GET //evil.example/portal HTTP/1.1\nHOST\nKEY\n\n", 404, false},
	}.run(t)
}

func TestOptionsAreAnsweredHere(t *testing.T) {
	requests{
		{"no origin", "OPTIONS /portal/x HTTP/1.1\nHOST\n\n", 204, false},
		{"own origin", "OPTIONS /portal/x HTTP/1.1\nHost: localhost:8443\nOrigin: https://localhost:8443\nSec-Fetch-Site: same-origin\n\n", 204, false},
		{"public origin", "OPTIONS /portal/x HTTP/1.1\nHOST\nOrigin: https://maps.example.com:8443\n\n", 204, false},
		{"foreign origin", "OPTIONS /portal/x HTTP/1.1\nHOST\nOrigin: https://evil.example\nAccess-Control-Request-Method: GET\n\n", 403, false},
		{"not mounted", "OPTIONS /x HTTP/1.1\nHOST\n\n", 404, false},
	}.run(t)
	s := start(t, new(seen).ServeHTTP)
	res := s.raw("OPTIONS /portal/x HTTP/1.1\nHOST\n\n")
	defer res.Body.Close()
	if res.Header.Get("Allow") != allowed || res.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("headers are %v", res.Header)
	}
}

func TestWhoIsKnownByAddressIsProtectedFromOtherSites(t *testing.T) {
	requests{
		{"script", "GET /portal/x HTTP/1.1\nHOST\n\n", 200, true},
		{"own page", "GET /portal/x HTTP/1.1\nHost: localhost:8443\nOrigin: https://localhost:8443\nSec-Fetch-Site: same-origin\nReferer: https://localhost:8443/portal/\n\n", 200, true},
		{"own page over http", "POST /portal/x HTTP/1.1\nHost: localhost:8443\nOrigin: http://localhost:8443\nContent-Length: 0\n\n", 200, true},
		{"typed address", "GET /portal/x HTTP/1.1\nHOST\nSec-Fetch-Site: none\n\n", 200, true},
		{"referer that is no address", "GET /portal/x HTTP/1.1\nHOST\nReferer: http\n\n", 200, true},
		{"callback of own page", "GET /portal/x?callback=a HTTP/1.1\nHOST\nSec-Fetch-Site: same-origin\n\n", 200, true},

		{"other site", "GET /portal/x HTTP/1.1\nHOST\nSec-Fetch-Site: cross-site\n\n", 403, false},
		{"other port", "GET /portal/x HTTP/1.1\nHOST\nSec-Fetch-Site: same-site\n\n", 403, false},
		{"two opinions", "GET /portal/x HTTP/1.1\nHOST\nSec-Fetch-Site: same-origin\nSec-Fetch-Site: cross-site\n\n", 403, false},
		{"foreign origin", "POST /portal/x HTTP/1.1\nHOST\nOrigin: https://evil.example\nContent-Type: text/plain\nContent-Length: 2\n\nhi", 403, false},
		{"null origin", "POST /portal/x HTTP/1.1\nHOST\nOrigin: null\nContent-Length: 0\n\n", 403, false},
		{"origin of another port", "GET /portal/x HTTP/1.1\nHost: localhost:8443\nOrigin: http://localhost:3000\n\n", 403, false},
		{"foreign referer", "GET /portal/x HTTP/1.1\nHOST\nReferer: https://evil.example/page\n\n", 403, false},
		{"JSONP", "GET /portal/x?f=json&callback=steal HTTP/1.1\nHOST\n\n", 403, false},
		{"upgrade", "GET /portal/ws HTTP/1.1\nHOST\nConnection: Upgrade\nUpgrade: websocket\nOrigin: https://evil.example\n\n", 403, false},
		{"remembered password", "GET /portal/x HTTP/1.1\nHOST\nAuthorization: Basic YTpjYWxsZXJrZXkwMTIzNDU2Nzg5YWJjZGVm\nSec-Fetch-Site: cross-site\n\n", 403, false},
		{"remembered password and an empty token", "GET /portal/x?token= HTTP/1.1\nHOST\nAuthorization: Basic YTpjYWxsZXJrZXkwMTIzNDU2Nzg5YWJjZGVm\nSec-Fetch-Site: cross-site\n\n", 403, false},
		{"password of a script", "GET /portal/x HTTP/1.1\nHOST\nAuthorization: Basic YTpjYWxsZXJrZXkwMTIzNDU2Nzg5YWJjZGVm\n\n", 200, true},
		{"key from another site", "GET /portal/x HTTP/1.1\nHOST\nKEY\nOrigin: https://app.example\nSec-Fetch-Site: cross-site\n\n", 200, true},
	}.run(t, byAddress)
}

func TestUpstreamIsNotToldWhatACallerClaims(t *testing.T) {
	var up seen
	s := start(t, up.ServeHTTP)
	res := s.raw(`GET /portal/x HTTP/1.1
HOST
KEY
Connection: close, X-Esri-Authorization
X_Esri_Authorization: Bearer E
x_forwarded_host: evil.example
X.Esri!Authorization: Bearer E
Client-Ip: 10.0.0.1
X-Webauth-User: admin
Authorization: Bearer callerkey0123456789abcdef
Proxy-Authorization: Basic E
X-Forwarded-For: 10.0.0.1
X-Forwarded-Prefix: /evil
X-Forwarded-Host: evil.example
Forwarded: for=10.0.0.1
X-Real-Ip: 10.0.0.1
X-Original-Url: /admin
X-Rewrite-Url: /admin
X-Http-Method-Override: DELETE
Via: 1.1 evil
Remote-User: admin
Proxy: http://evil.example
Upgrade: h2c
Cookie: a=1; esri_auth=E
Accept-Encoding: br, gzip;q=0.5
X-Kept: yes

`)
	defer res.Body.Close()
	r, _, _ := up.get()
	if r == nil {
		t.Fatalf("got %s: %s", res.Status, text(t, res))
	}
	want := http.Header{
		"X-Esri-Authorization": {"Bearer token1"},
		"Cookie":               {"a=1"},
		"Accept-Encoding":      {"gzip"},
		"X-Kept":               {"yes"},
	}
	for name, values := range r.Header {
		if strings.Join(want[name], "|") != strings.Join(values, "|") {
			t.Errorf("%s: %q reached the upstream", name, values)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s did not reach the upstream", name)
	}
}

func TestTakesGzip(t *testing.T) {
	for in, want := range map[string]bool{
		"gzip": true, "gzip, br": true, "br": false, "": false, "*": true, "deflate, gzip;q=1.0": true, "gzip;q=0": false, "gzip; q=0.000": false, "identity": false, "X-GZIP": true, "gzip;q=0.1": true,
	} {
		if got := takesGzip([]string{in}); got != want {
			t.Errorf("takesGzip(%q) = %v", in, got)
		}
	}
}

// The target reaches the upstream as it was sent, whatever net/http makes of it.
func TestTheTargetIsKeptByteForByte(t *testing.T) {
	var up seen
	s := start(t, up.ServeHTTP)
	for sent, want := range map[string]string{
		"/portal/x?where=NAME%20LIKE%20'A%'&f=json":    "/portal/x?where=NAME%20LIKE%20'A%'&f=json",
		"/portal/x?a=1;b=2&c":                          "/portal/x?a=1;b=2&c",
		"/portal/x?a+b=%2B+%20&&=&%zz":                 "/portal/x?a+b=%2B+%20&&=&%zz",
		"/portal/x?":                                   "/portal/x?",
		"/portal/x?a=%7B\"b\":[1,2]}|<>`^\xc3\xa4\xff": "/portal/x?a=%7B\"b\":[1,2]}|<>`^\xc3\xa4\xff",
		"/portal/a%2Cb,c(d)!/%41":                      "/portal/a%2Cb,c(d)!/%41",
		"/portal/{a}|\"b\"/%2C,\xc3\xa4":               "/portal/{a}|\"b\"/%2C,\xc3\xa4",
		"/portal//info//":                              "/portal//info//",
		"/portal":                                      "/portal",
		"/portal/x?token=callerkey0123456789abcdef&f=json&%54oken=callerkey0123456789abcdef%20&a=%": "/portal/x?f=json&a=%",
		"/portal/x?" + strings.Repeat("a=1&", 10_001) + "b=%":                                       "/portal/x?" + strings.Repeat("a=1&", 10_001) + "b=%",
	} {
		res := s.raw("GET " + sent + " HTTP/1.1\nHOST\nKEY\n\n")
		_ = res.Body.Close()
		if r, _, _ := up.get(); res.StatusCode != 200 || r.RequestURI != want {
			t.Errorf("%.90q: %s, the upstream was asked for %.90q", sent, res.Status, r.RequestURI)
		}
	}
}

// The local address counts as a name of the proxy, over TLS and HTTP/2 as well.
func TestHTTP2(t *testing.T) {
	var up seen
	s := start(t, up.ServeHTTP)
	p, err := New(s.config(), s.tokens)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(p)
	front.EnableHTTP2 = true
	front.StartTLS()
	defer front.Close()
	defer p.transport.(*http.Transport).CloseIdleConnections()
	client := front.Client()
	defer client.CloseIdleConnections()
	client.Transport.(*http.Transport).TLSClientConfig.MinVersion = tls.VersionTLS13
	target, _ := url.Parse(front.URL)
	for path, want := range map[string]int{"/portal/x?a=%": 200, "/portal/..;/x": 400, "/other": 404} {
		r := &http.Request{Method: http.MethodGet, URL: target.ResolveReference(&url.URL{}), Header: http.Header{"Authorization": {"Bearer " + callerKey}}}
		r.URL.Opaque = path
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.ProtoMajor != 2 || res.StatusCode != want {
			t.Errorf("%s: %s %s", path, res.Proto, res.Status)
		}
	}
	if r, _, _ := up.get(); r == nil || r.RequestURI != "/portal/x?a=%" {
		t.Errorf("the upstream was asked for %v", r)
	}
}

// Whoever sent a length beside the chunks may have hidden a request behind them.
func TestTheConnectionEndsAfterChunks(t *testing.T) {
	var up seen
	s := start(t, up.ServeHTTP)
	for path, status := range map[string]int{"/portal/x": 200, "/portal/../x": 400} {
		res := s.raw("POST " + path + " HTTP/1.1\nHOST\nKEY\nContent-Length: 6\nTransfer-Encoding: chunked\n\n0\n\nGET /portal/hidden HTTP/1.1\nHOST\nKEY\n\n")
		defer res.Body.Close()
		if res.StatusCode != status || !res.Close {
			t.Errorf("%s: %s, and the connection stays open: %v", path, res.Status, !res.Close)
		}
	}
	if r, _, n := up.get(); n != 1 {
		t.Errorf("the upstream was asked %d times, last for %s", n, r.RequestURI)
	}
}
