package mapping

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// headerMap is that of a proxy at https://localhost:8443 before a Portal and a server on
// one host, and a server on another with a port of its own.
func headerMap(t testing.TB, public string) *Map {
	t.Helper()
	var upstreams []*url.URL
	for _, u := range []string{"https://gis.example.com/portal", "https://gis.example.com/server", "https://services.example.org:6443/imagery"} {
		upstreams = append(upstreams, parse(t, u))
	}
	m, err := New(parse(t, public), upstreams)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestResponseHeader(t *testing.T) {
	m := headerMap(t, "https://localhost:8443")
	for _, c := range []struct{ name, value, want string }{
		{"Location", "https://gis.example.com/portal/home/", "https://localhost:8443/portal/home/"},
		{"Location", "http://gis.example.com/server/rest", "http://localhost:8443/server/rest"},
		{"Location", "https://GIS.example.com:443/portal", "https://localhost:8443/portal"},
		{"Location", "//gis.example.com/portal/home", "//localhost:8443/portal/home"},
		{"Location", "https://services.example.org:6443/imagery/rest", "https://localhost:8443/imagery/rest"},
		{"Location", "https://gis.example.com", "https://localhost:8443"},
		{"Location", "/portal/home/", "/portal/home/"},
		{"Location", "home/index.html", "home/index.html"},
		{"Location", "?f=json", "?f=json"},
		{"Location", "", ""},
		// Of ours, the addresses in its query as well: they say where to go from there.
		{"Location", "https://gis.example.com/portal/home/signin.html?returnUrl=https%3A%2F%2Fgis.example.com%2Fportal%2Fhome%2F", "https://localhost:8443/portal/home/signin.html?returnUrl=https%3A%2F%2Flocalhost%3A8443%2Fportal%2Fhome%2F"},
		{"Location", "/portal/signin?to=https://gis.example.com/portal", "/portal/signin?to=https://localhost:8443/portal"},
		// Elsewhere stays, with all that is in it.
		{"Location", "https://example.okta.com/sso/saml?SAMLRequest=x&RelayState=https%3A%2F%2Fgis.example.com%2Fportal", "https://example.okta.com/sso/saml?SAMLRequest=x&RelayState=https%3A%2F%2Fgis.example.com%2Fportal"},
		{"Location", "//example.okta.com/?RelayState=https://gis.example.com/portal", "//example.okta.com/?RelayState=https://gis.example.com/portal"},
		{"Location", `/\example.okta.com/?to=https://gis.example.com/portal`, `/\example.okta.com/?to=https://gis.example.com/portal`},
		{"Location", "urn:x:https://gis.example.com/portal", "urn:x:https://gis.example.com/portal"},
		{"Location", "https://gis.example.com:6443/portal", "https://gis.example.com:6443/portal"},
		{"Location", "https://gis.example.com/portal2", "https://gis.example.com/portal2"},
		{"Location", "https://gis.example.com/other?to=https://gis.example.com/portal", "https://gis.example.com/other?to=https://gis.example.com/portal"},
		{"Location", "https://gis.example.com.evil/portal", "https://gis.example.com.evil/portal"},
		{"Location", "https://gis.example.com@evil/portal", "https://gis.example.com@evil/portal"},
		{"Content-Location", "https://gis.example.com/server/x.json", "https://localhost:8443/server/x.json"},

		{"Refresh", "5; url=https://gis.example.com/portal/home", "5; url=https://localhost:8443/portal/home"},
		{"Refresh", "0;URL = 'https://gis.example.com/portal'", "0;URL = 'https://localhost:8443/portal'"},
		{"Refresh", "0; url=https://example.okta.com/?RelayState=https://gis.example.com/portal", "0; url=https://example.okta.com/?RelayState=https://gis.example.com/portal"},
		{"Refresh", "5", "5"},
		{"Refresh", "url", "url"},

		{"Link", `<https://gis.example.com/server/rest?start=2>; rel="next", <https://gis.example.com/server/rest>; rel="first", <https://example.org/>; rel="help"`,
			`<https://localhost:8443/server/rest?start=2>; rel="next", <https://localhost:8443/server/rest>; rel="first", <https://example.org/>; rel="help"`},
		{"Reporting-Endpoints", `default="https://gis.example.com/portal/reports"`, `default="https://localhost:8443/portal/reports"`},
		{"Report-To", `{"group":"a","endpoints":[{"url":"https:\/\/gis.example.com\/portal\/r"}]}`, `{"group":"a","endpoints":[{"url":"https:\/\/localhost:8443\/portal\/r"}]}`},
		{"Sourcemap", "https://gis.example.com/portal/home/a.js.map", "https://localhost:8443/portal/home/a.js.map"},
		{"Www-Authenticate", `Bearer realm="https://gis.example.com/portal/sharing/rest/generateToken"`, `Bearer realm="https://localhost:8443/portal/sharing/rest/generateToken"`},

		{"Set-Cookie", "a=b; Domain=gis.example.com; Path=/portal; Secure; HttpOnly", "a=b; Path=/portal; Secure; HttpOnly"},
		{"Set-Cookie", "a=b; path=/; domain=.Example.com", "a=b; path=/"},
		{"Set-Cookie", "a=b;DOMAIN = services.example.org ;Domain=example.com; SameSite=None; Secure", "a=b; SameSite=None; Secure"},
		{"Set-Cookie", "a=b; Domain=other.example.com; Path=/", "a=b; Domain=other.example.com; Path=/"},
		{"Set-Cookie", "a=b; Domain=ample.com", "a=b; Domain=ample.com"},
		{"Set-Cookie", "a=b; Domain=; Domain", "a=b; Domain=; Domain"},
		{"Set-Cookie", "a=https://gis.example.com/portal; Path=/", "a=https://gis.example.com/portal; Path=/"},
		{"Set-Cookie", "Domain=gis.example.com; Path=/", "Domain=gis.example.com; Path=/"},

		{"Content-Security-Policy", "default-src 'self' https://gis.example.com; img-src https://gis.example.com/portal/ data:; report-uri /r", "default-src 'self' https://localhost:8443; img-src https://localhost:8443/portal/ data:; report-uri /r"},
		{"Content-Security-Policy", "connect-src gis.example.com services.example.org:6443 https://services.example.org:6443 wss://services.example.org:6443", "connect-src localhost:8443 localhost:8443 https://localhost:8443 wss://localhost:8443"},
		{"Content-Security-Policy", "frame-src *.example.com https://*.example.org:*", "frame-src *.example.com localhost:8443 https://*.example.org:* https://localhost:8443"},
		{"Content-Security-Policy", "img-src * https: *.other.org https://services.example.org gis.example.com:81 https://gis.example.com/other/ xgis.example.com *.gis.example.com", "img-src * https: *.other.org https://services.example.org gis.example.com:81 https://gis.example.com/other/ xgis.example.com *.gis.example.com"},
		{"Content-Security-Policy", "upgrade-insecure-requests", "upgrade-insecure-requests"},
		{"Content-Security-Policy-Report-Only", "script-src https://gis.example.com", "script-src https://localhost:8443"},
		{"Permissions-Policy", `geolocation=(self "https://gis.example.com" "https://services.example.org:6443")`, `geolocation=(self "https://localhost:8443" "https://localhost:8443")`},
		{"X-Frame-Options", "ALLOW-FROM https://gis.example.com/", "ALLOW-FROM https://localhost:8443/"},
		{"X-Frame-Options", "SAMEORIGIN", "SAMEORIGIN"},
		{"Timing-Allow-Origin", "https://services.example.org:6443, *", "https://localhost:8443, *"},

		{"Etag", `"https://gis.example.com/portal"`, `"https://gis.example.com/portal"`},
		{"X-Other", "https://gis.example.com/portal", "https://gis.example.com/portal"},
	} {
		h := http.Header{c.name: {c.value, "second"}}
		m.ResponseHeader(h)
		if h[c.name][0] != c.want || h[c.name][1] != "second" || len(h) != 1 {
			t.Errorf("%s: %s\nbecame %q\n  want %q", c.name, c.value, h[c.name], c.want)
		}
	}
}

func TestResponseHeaderOfPlainProxy(t *testing.T) {
	m := headerMap(t, "http://localhost:8080")
	for _, c := range []struct{ name, value, want string }{
		{"Location", "https://gis.example.com/portal", "http://localhost:8080/portal"},
		{"Set-Cookie", "a=b; Secure; Domain=gis.example.com", "a=b; Secure"},
		{"Content-Security-Policy", "upgrade-insecure-requests; connect-src wss://gis.example.com https://*.example.org:6443", "; connect-src ws://localhost:8080 https://*.example.org:6443 http://localhost:8080"},
	} {
		h := http.Header{c.name: {c.value}}
		if m.ResponseHeader(h); h[c.name][0] != c.want {
			t.Errorf("%s: %s\nbecame %q\n  want %q", c.name, c.value, h[c.name], c.want)
		}
	}
}

func TestRequestHeader(t *testing.T) {
	m := headerMap(t, "https://localhost:8443")
	portal, imagery := parse(t, "https://gis.example.com/portal"), parse(t, "https://services.example.org:6443/imagery")
	for _, c := range []struct {
		upstream          *url.URL
		name, value, want string
	}{
		{portal, "Origin", "https://localhost:8443", "https://gis.example.com"},
		{portal, "Origin", "http://LOCALHOST:8443", "https://gis.example.com"},
		{imagery, "Origin", "https://localhost:8443", "https://services.example.org:6443"},
		{imagery, "Origin", "https://maps.example.com", "https://maps.example.com"},
		{portal, "Origin", "https://localhost:9443", "https://localhost:9443"},
		{portal, "Origin", "https://localhost", "https://localhost"},
		{portal, "Origin", "null", "null"},
		{portal, "Referer", "https://localhost:8443/portal/home/item.html?id=1", "https://gis.example.com/portal/home/item.html?id=1"},
		{imagery, "Referer", "https://localhost:8443/portal/home/", "https://gis.example.com/portal/home/"},
		{portal, "Referer", "https://localhost:8443/imagery/rest", "https://services.example.org:6443/imagery/rest"},
		{imagery, "Referer", "https://localhost:8443/_arcproxy/", "https://services.example.org:6443/"},
		{portal, "Referer", "https://localhost:8443/", "https://gis.example.com/"},
		{portal, "Referer", "https://maps.example.com/?portal=https%3A%2F%2Flocalhost%3A8443%2Fportal", "https://maps.example.com/?portal=https%3A%2F%2Fgis.example.com%2Fportal"},
		{portal, "Referer", "@esri/arcgis-rest-js", "@esri/arcgis-rest-js"},
		{portal, "Referer", "http", "http"},
		{portal, "Referrer", "https://localhost:8443/portal", "https://gis.example.com/portal"},
		{portal, "Destination", "https://localhost:8443/portal/a", "https://gis.example.com/portal/a"},
		{portal, "Soapaction", `"https://localhost:8443/server/services/Trees/MapServer"`, `"https://gis.example.com/server/services/Trees/MapServer"`},
		{portal, "Link", "<https://localhost:8443/imagery/x>", "<https://services.example.org:6443/imagery/x>"},
		{portal, "X-Esri-Auth-Redirect-Uri", "https://localhost:8443/portal/home/", "https://localhost:8443/portal/home/"},
		{portal, "Cookie", "to=https://localhost:8443/portal", "to=https://localhost:8443/portal"},
	} {
		h := http.Header{c.name: {c.value, "second"}}
		m.RequestHeader(h, c.upstream)
		if h[c.name][0] != c.want || h[c.name][1] != "second" || len(h) != 1 {
			t.Errorf("%s: %s\nbecame %q\n  want %q", c.name, c.value, h[c.name], c.want)
		}
	}
}

// TestHeadersOfTakenName: the proxy is where clients look for the Portal, and nothing
// of the Portal's is translated.
func TestHeadersOfTakenName(t *testing.T) {
	m := headerMap(t, "https://gis.example.com")
	imagery := parse(t, "https://services.example.org:6443/imagery")
	response := http.Header{"Location": {"https://gis.example.com/portal"}, "Link": {"<https://services.example.org:6443/imagery/x>"}, "Content-Security-Policy": {"img-src gis.example.com *.example.com *.example.org:6443"}}
	m.ResponseHeader(response)
	if response["Location"][0] != "https://gis.example.com/portal" || response["Link"][0] != "<https://gis.example.com/imagery/x>" ||
		response["Content-Security-Policy"][0] != "img-src gis.example.com *.example.com *.example.org:6443 gis.example.com" {
		t.Errorf("%v", response)
	}
	request := http.Header{"Origin": {"https://gis.example.com"}, "Referer": {"https://gis.example.com/portal/home"}}
	m.RequestHeader(request, imagery)
	if request["Origin"][0] != "https://services.example.org:6443" || request["Referer"][0] != "https://gis.example.com/portal/home" {
		t.Errorf("%v", request)
	}
}

func TestHeadersCostLittle(t *testing.T) {
	m := headerMap(t, "https://localhost:8443")
	upstream := parse(t, "https://gis.example.com/portal")
	response := of("Content-Type: application/json", "Date: now", "Server: x", "Vary: Origin", "Set-Cookie: a=b; Path=/; Secure", "Content-Length: 12", "Cache-Control: no-store", "Location: /portal/x")
	request := of("Accept: */*", "User-Agent: x", "Referer: https://maps.example.com/", "Origin: https://maps.example.com")
	if n := testing.AllocsPerRun(100, func() { m.ResponseHeader(response); m.RequestHeader(request, upstream) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzHeaders: nothing panics, nothing is added or lost, and what has no address in it
// stays as it is.
func FuzzHeaders(f *testing.F) {
	for _, value := range []string{
		"https://gis.example.com/portal?to=https%3A%2F%2Fgis.example.com%2Fserver", "//gis.example.com/portal", `/\gis.example.com/portal`, "0; url='https://gis.example.com/portal'",
		"a=b; Domain=.example.com; Path=/", "a=b;;Domain=gis.example.com;", "default-src *.example.com gis.example.com:* [::1]:8 https://*.example.org/", `("https://gis.example.com")`,
		"https://localhost:8443/portal", "http://localhost:8443/other", "https://LOCALHOST:8443", "urn:x", "://", "https:///portal", ";Domain=example.org", "url=", "x; url",
	} {
		f.Add(value)
	}
	m, plain := headerMap(f, "https://localhost:8443"), headerMap(f, "http://localhost:8080")
	upstream := parse(f, "https://gis.example.com/portal")
	names := []string{"Location", "Content-Location", "Refresh", "Set-Cookie", "Content-Security-Policy", "Permissions-Policy", "Link", "Report-To", "X-Other",
		"Origin", "Referer", "Destination", "If"}
	f.Fuzz(func(t *testing.T, value string) {
		lower := strings.ToLower(value)
		foreign := !strings.Contains(lower, "gis.example.com") && !strings.Contains(lower, "services.example.org") && !strings.Contains(value, "*.")
		for i, m := range []*Map{m, plain} {
			h := http.Header{}
			for _, name := range names {
				h[name] = []string{value}
			}
			if m.ResponseHeader(h); len(h) != len(names) {
				t.Fatalf("%d headers", len(h))
			}
			for _, name := range names {
				got := h[name][0]
				cookie := name == "Set-Cookie" && strings.Contains(lower, "domain")
				upgrade := i == 1 && strings.Contains(lower, "upgrade-insecure-requests")
				if foreign && !cookie && !upgrade && got != value {
					t.Errorf("%s: %q became %q", name, value, got)
				}
				// What leads to another host still does, whatever is in its query.
				if name == "Location" && got != value && absolute.MatchString(value) && !m.isPublic(authorityOf(value)) && !m.leadsHere(got) {
					t.Errorf("%q became %q, which leads neither here nor where it led", value, got)
				}
				if again := (http.Header{name: {got}}); name == "Set-Cookie" {
					if m.ResponseHeader(again); again[name][0] != got {
						t.Errorf("%q became %q, and then %q", value, got, again[name][0])
					}
				}
			}
			h = http.Header{}
			for _, name := range names {
				h[name] = []string{value}
			}
			m.RequestHeader(h, upstream)
			for _, name := range names {
				if got := h[name][0]; got != value && !strings.Contains(lower, "localhost") {
					t.Errorf("%s: %q became %q", name, value, got)
				}
				if name == "Origin" && h[name][0] != value && !m.isPublic(value) {
					t.Errorf("the origin %q became %q", value, h[name][0])
				}
			}
		}
	})
}

// absolute matches references to a web server, as browsers read them.
var absolute = regexp.MustCompile(`^(?i:https?:)?[/\\]{2}[a-zA-Z0-9.:-]*($|[/\\?#])`)

// leadsHere reports whether a reference's host is the proxy's.
func (m *Map) leadsHere(reference string) bool {
	_, host, _ := strings.Cut(strings.ReplaceAll(authorityOf(reference), `\`, "/"), "//")
	host = strings.TrimSuffix(host, ".") // which ends a sentence
	return slices.ContainsFunc([]string{m.public.host, m.public.host + ":" + m.public.port}, func(h string) bool { return strings.EqualFold(h, host) })
}
