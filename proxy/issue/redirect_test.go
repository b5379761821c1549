package issue

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestRedirectURIs(t *testing.T) {
	g := newRig(t)
	tests := map[string]bool{
		"urn:ietf:wg:oauth:2.0:oob":         true,
		"http://localhost":                  true,
		"http://localhost:1410/":            true,
		"https://localhost:1410/cb?x=1":     true,
		"http://127.0.0.1:5000/callback":    true,
		"http://[::1]:5000/callback":        true,
		"https://app.corp.example/cb":       true,
		"https://app.corp.example:443/cb":   true,
		site:                                true,
		site + "/":                          true,
		site + "/portal":                    true,
		site + "/portal/":                   true,
		"https://MAPS.corp.example:8443":    true,
		"":                                  false,
		"https://www.arcgis.com":            false,
		"https://evil.example/":             false,
		"//evil.example/":                   false,
		"/portal/":                          false,
		`\\evil.example`:                    false,
		`https:\\evil.example`:              false,
		"https://localhost@evil.example/":   false,
		"https://me@localhost/":             false,
		"https://localhost:x@evil.example/": false,
		"http://localhost.evil.example/":    false,
		"http://localhost%2eevil.example/":  false,
		"http://evil.example#localhost":     false,
		"http://localhost/#x":               false,
		"http://localhost/#":                false,
		`http://evil.example\@localhost/`:   false,
		"http://evil.example?@localhost/":   false,
		"http://2130706433/":                false,
		"http://[::ffff:192.0.2.1]/":        false,
		"http://[fe80::1%25lo]/":            false,
		"javascript:alert(1)//localhost":    false,
		"data:text/html,x":                  false,
		"urn:ietf:wg:oauth:2.0:oob:auto":    false,
		"http:localhost":                    false,
		"http:///localhost":                 false,
		"ftp://localhost/":                  false,
		"http://app.corp.example/":          false,
		"https://app.corp.example.evil/":    false,
		"https://xapp.corp.example/":        false,
		// Pages of this proxy are what users of the Portal put there.
		site + "/portal/sharing/rest/content/items/0/data":     false,
		site + "/portal?x=https://evil.example":                false,
		site + "/portal/home/":                                 false,
		"https://localhost:8443/portal/sharing/rest/x":         false,
		"http://127.0.0.1:8443/portal/x":                       false,
		"http://maps.corp.example:8443/portal/sharing/x":       false,
		"http://localhost/" + strings.Repeat("a", maxRedirect): false,
		"http://localhost/\r\nX: y":                            false,
		"http://localhost /":                                   false,
	}
	for uri, want := range tests {
		w := g.send("GET /portal/sharing/rest/oauth2/authorize?client_id=a&response_type=code&redirect_uri=" + url.QueryEscape(uri))
		if got := w.Code == 200; got != want {
			t.Errorf("%q: %t", uri, got)
		}
		if w.Header().Get("Location") != "" {
			t.Errorf("%q is followed before anybody signed in", uri)
		}
		if !want && !strings.Contains(w.Body.String(), "Error: Invalid redirect_uri") {
			t.Errorf("%q: the page does not say so in the words that clients look for", uri)
		}
	}
}

// TestOwnByAnotherPort: behind a front proxy the two ports differ, and both are ours.
func TestOwnByAnotherPort(t *testing.T) {
	g := newRig(t)
	for _, port := range []string{"8443", "9000"} {
		w := g.send("GET /portal/sharing/rest/oauth2/authorize?client_id=a&response_type=code&redirect_uri=http://localhost:" + port + "/portal/sharing/x\nHost: maps.corp.example:9000")
		if w.Code != 400 {
			t.Errorf("port %s: %d", port, w.Code)
		}
	}
}

func TestWhereIsShown(t *testing.T) {
	g := newRig(t)
	w := g.send("GET /portal/sharing/rest/oauth2/authorize?client_id=a&response_type=code&redirect_uri=http%3A%2F%2Flocalhost%3A1410%2Fcb")
	if !strings.Contains(w.Body.String(), "<strong>localhost:1410</strong>") || !strings.Contains(w.Header().Get("Content-Security-Policy"), "form-action 'self' http://localhost:1410") {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	to := g.signIn(g.begin("client_id=a&response_type=code&state=s&redirect_uri=" + url.QueryEscape("https://app.corp.example/cb?page=1")))
	if to.Host != "app.corp.example" || to.Query().Get("page") != "1" || to.Query().Get("state") != "s" || to.Query().Get("code") == "" {
		t.Errorf("the sign-in leads to %v", to)
	}
}

func TestServerURL(t *testing.T) {
	g := newRig(t)
	r := request(t, "GET /")
	for text, want := range map[string]bool{
		site: true, site + "/server": true, site + "/server/rest/services/": true, site + "/portal": true,
		"https://gis.corp.example/server": true, "https://GIS.corp.example:443/Server": true, "https://gis.corp.example": true,
		site + "/other": false, "https://gis.corp.example/other": false, "https://gis.corp.example:6443/server": false, "http://gis.corp.example/server": true,
		"https://evil.example/server": false, "": false, "server": false, "https://gis.corp.example@evil.example/server": false, "https://app.corp.example/server": false,
	} {
		if got := g.serves(text, r); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

// FuzzRedirect: whatever is accepted leads where a plain reading of the text says.
func FuzzRedirect(f *testing.F) {
	for _, uri := range []string{
		outOfBand, "http://localhost:1410/cb", "http://127.0.0.1/", "http://[::1]:80/", site, site + "/portal", "https://app.corp.example/x?y=1",
		"https://localhost@evil.example/", `http://localhost\@evil.example`, "http://localhost:80:80/", "http://localhost%00.evil/", "HTTP://LOCALHOST", "http://127.1/", "http://localhost:443#@x",
	} {
		f.Add(uri)
	}
	g := &Issuer{public: parse(f, site), mounts: map[string]bool{"portal": true}, origins: map[string]bool{"https://app.corp.example": true}}
	r := request(f, "GET /")
	f.Fuzz(func(t *testing.T, uri string) {
		u, ok := g.redirectable(uri, r)
		if !ok || uri == outOfBand {
			return
		}
		_, after, found := strings.Cut(strings.ToLower(uri), "://")
		if !found {
			t.Fatalf("%q is accepted", uri)
		}
		authority, _, _ := strings.Cut(after, "/")
		authority, _, _ = strings.Cut(authority, "?")
		name := authority
		if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.HasSuffix(name, "]") {
			name = name[:i]
		}
		addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
		switch {
		case name == "localhost", name == "maps.corp.example", name == "app.corp.example":
		case err == nil && addr.IsLoopback():
		default:
			t.Fatalf("%q leads to %q", uri, name)
		}
		again, err := url.Parse(u.String() + "#x")
		if err != nil || !strings.EqualFold(again.Host, authority) {
			t.Fatalf("%q became %q", uri, u)
		}
	})
}

// FuzzParams: any query or form is read or refused, and no value is made up.
func FuzzParams(f *testing.F) {
	for _, raw := range []string{"", "f=json", "username=a&password=b", "a=1&A=1", "a=1&a=2", "%zz=1", "a=%", "&&&==&", "to%e2%84%aaen=x", "a;b=c", "a=b=c", strings.Repeat("a&", 300)} {
		f.Add(raw, "token=1&"+raw)
	}
	f.Fuzz(func(t *testing.T, query, body string) {
		p := params{}
		if p.add(query) != nil || p.add(body) != nil {
			return
		}
		for name, value := range p {
			if name != strings.Map(fold, name) {
				t.Errorf("the name %q is not folded", name)
			}
			if value != "" && !strings.Contains(query+"&"+body, "=") {
				t.Errorf("%q has the value %q", name, value)
			}
		}
		for pair := range strings.SplitSeq(query, "&") {
			if name, value, ok := strings.Cut(pair, "="); ok && name == "token" && !strings.ContainsAny(value, "%+") && p["token"] != value {
				t.Errorf("token is %q, not %q", p["token"], value)
			}
		}
	})
}
