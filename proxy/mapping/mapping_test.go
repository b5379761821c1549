package mapping

import (
	"net/url"
	"strings"
	"testing"
)

func parse(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func newMap(t testing.TB, public string, upstreams ...string) *Map {
	t.Helper()
	var us []*url.URL
	for _, u := range upstreams {
		us = append(us, parse(t, u))
	}
	m, err := New(parse(t, public), us)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const (
	public = "https://localhost:8443"
	portal = "https://gis.example.com/portal"
	server = "https://gis.example.com/server"
)

// TestForms has every way in which an address is written, in both directions.
func TestForms(t *testing.T) {
	m := newMap(t, public, portal, server, "https://maps.example.org:6443/arcgis")
	for _, c := range []struct{ upstream, ours string }{
		{`https://gis.example.com/portal`, `https://localhost:8443/portal`},
		{`"https://gis.example.com/portal/home/"`, `"https://localhost:8443/portal/home/"`},
		{`https://gis.example.com/server/rest/services?f=json`, `https://localhost:8443/server/rest/services?f=json`},
		{`https://maps.example.org:6443/arcgis/admin`, `https://localhost:8443/arcgis/admin`},
		{`"https:\/\/gis.example.com\/portal\/home"`, `"https:\/\/localhost:8443\/portal\/home"`},
		{`"{\"url\":\"https:\\/\\/gis.example.com\\/portal\"}"`, `"{\"url\":\"https:\\/\\/localhost:8443\\/portal\"}"`},
		{`\"https:\\\/\\\/gis.example.com\\\/portal\"`, `\"https:\\\/\\\/localhost:8443\\\/portal\"`},
		{`"https:\u002f\u002fgis.example.com\u002fportal"`, `"https:\u002f\u002flocalhost:8443\u002fportal"`},
		{`"https\u003A\u002F\u002Fgis.example.com\u002Fportal"`, `"https\u003A\u002F\u002Flocalhost\u003A8443\u002Fportal"`},
		{`'https:\x2f\x2fgis.example.com\x2fportal'`, `'https:\x2f\x2flocalhost:8443\x2fportal'`},
		{`url=https%3A%2F%2Fgis.example.com%2Fportal%2Fhome&f=json`, `url=https%3A%2F%2Flocalhost%3A8443%2Fportal%2Fhome&f=json`},
		{`url=https%3a%2f%2fgis.example.com%2fportal`, `url=https%3a%2f%2flocalhost%3a8443%2fportal`},
		{`url=https://gis.example.com/portal&f=json`, `url=https://localhost:8443/portal&f=json`},
		{`next=https%253A%252F%252Fgis.example.com%252Fportal%253Ff`, `next=https%253A%252F%252Flocalhost%253A8443%252Fportal%253Ff`},
		{`d=https%3A%26%23x2F%3B%26%2347%3Bgis.example.com%26sol%3Bportal`, `d=https%3A%26%23x2F%3B%26%2347%3Blocalhost%3A8443%26sol%3Bportal`},
		{`next=https%25253A%25252F%25252Fgis.example.com%25252Fportal`, `next=https%25253A%25252F%25252Flocalhost%25253A8443%25252Fportal`},
		{`text=%7B%22url%22%3A%22https%3A%5C%2F%5C%2Fgis.example.com%5C%2Fserver%22%7D`, `text=%7B%22url%22%3A%22https%3A%5C%2F%5C%2Flocalhost%3A8443%5C%2Fserver%22%7D`},
		{`text=%22https%3A%5Cu002f%5Cu002fgis.example.com%5Cu002fserver%22`, `text=%22https%3A%5Cu002f%5Cu002flocalhost%3A8443%5Cu002fserver%22`},
		{`href="https:&#x2F;&#x2F;gis.example.com&#x2F;portal"`, `href="https:&#x2F;&#x2F;localhost:8443&#x2F;portal"`},
		{`href="https&#58;&#47;&#47;gis.example.com&#47;portal"`, `href="https&#58;&#47;&#47;localhost&#58;8443&#47;portal"`},
		{`href="https&colon;&sol;&sol;gis.example.com&sol;portal"`, `href="https&colon;&sol;&sol;localhost&colon;8443&sol;portal"`},
		{`<a href='//gis.example.com/portal'>`, `<a href='//localhost:8443/portal'>`},
		{`"portalHostname":"gis.example.com/portal"`, `"portalHostname":"localhost:8443/portal"`},
		{`portalHostname%22%3A%22gis.example.com%2Fportal%22`, `portalHostname%22%3A%22localhost%3A8443%2Fportal%22`},
		{`h=gis.example.com%2Fportal`, `h=localhost%3A8443%2Fportal`},
		{`h%3Dgis.example.com%252Fportal`, `h%3Dlocalhost%253A8443%252Fportal`},
		{`"see\ngis.example.com/portal\nand https://gis.example.com/portal."`, `"see\nlocalhost:8443/portal\nand https://localhost:8443/portal."`},
		{`wss://gis.example.com/server/ws`, `wss://localhost:8443/server/ws`},
		{`ws://gis.example.com/server/ws`, `ws://localhost:8443/server/ws`},
		{`http://gis.example.com/server`, `http://localhost:8443/server`},
		{`["https://gis.example.com"]`, `["https://localhost:8443"]`},
		{`https://gis.example.com/`, `https://localhost:8443/`},
		{`https%3A%2F%2Fgis.example.com`, `https%3A%2F%2Flocalhost%3A8443`},
		{`//gis.example.com `, `//localhost:8443 `},
		{`"customBaseUrl":"gis.example.com","x":1`, `"customBaseUrl":"localhost:8443","x":1`},
		{`"preferredHost" : "gis.example.com"`, `"preferredHost" : "localhost:8443"`},
		{`customBaseUrl=gis.example.com&f=json`, `customBaseUrl=localhost:8443&f=json`},
		{`url(https://gis.example.com/portal)`, `url(https://localhost:8443/portal)`},
		{`where=url LIKE 'https://gis.example.com/portal%'`, `where=url LIKE 'https://localhost:8443/portal%'`},
		{`https://gis.example.com/portal, https://gis.example.com/server;`, `https://localhost:8443/portal, https://localhost:8443/server;`},
	} {
		if got := m.Outbound().String(c.upstream); got != c.ours {
			t.Errorf("outbound %s\n got %s\nwant %s", c.upstream, got, c.ours)
		}
		if got := m.Inbound().String(c.ours); got != c.upstream {
			t.Errorf("inbound %s\n got %s\nwant %s", c.ours, got, c.upstream)
		}
	}
}

// TestLookAlikes has what resembles an address and is none, in both directions.
// The last digit of an encoded slash may be taken for the first letter of a host.
func TestAHostThatAnotherEndsWith(t *testing.T) {
	out := newMap(t, public, "https://gis.example.com/portal", "https://fgis.example.com/server").Outbound()
	const text = `a=https%3A%2F%2Fgis.example.com%2Fportal&b=https%3A%2F%2Ffgis.example.com%2Fserver&c=https%3A%2F%2Ffgis.example.com%2Fportal`
	const want = `a=https%3A%2F%2Flocalhost%3A8443%2Fportal&b=https%3A%2F%2Flocalhost%3A8443%2Fserver&c=https%3A%2F%2Ffgis.example.com%2Fportal`
	if got := out.String(text); got != want {
		t.Errorf("got %s", got)
	}
}

func TestLookAlikes(t *testing.T) {
	out := newMap(t, public, portal, server, "https://maps.example.org:6443/arcgis").Outbound()
	in := newMap(t, "https://gis.example.com", "https://else.example.net/portal", "https://else.example.net/server").Inbound()
	for _, text := range []string{
		`https://gis.example.com.evil/portal`,
		`https://gis.example.com.evil`,
		`https://gis.example.com-evil/portal`,
		`https://notgis.example.com/portal`,
		`https://not-gis.example.com/portal`,
		`https://sub.gis.example.com/portal`,
		`https://sub_gis.example.com/portal`,
		`https://gis.example.com@evil.example/portal`,
		`https://gis.example.com%40evil.example/`,
		`https://gis.example.com:pass@evil.example/portal`,
		`https://gis.example.com:443@evil.example/portal`,
		`https://user@gis.example.com/portal`,
		`https://user:pass@gis.example.com/portal`,
		`https%3A%2F%2Fuser%40gis.example.com%2Fportal`,
		`https://gis.example.com:6443/portal`,
		`https://gis.example.com:4430/portal`,
		`https://gis.example.com:44/portal`,
		`https://gis.example.com:0443/portal`,
		`https://gis.example.com:000443/portal`,
		`https://gis.example.com:80/portal`,
		`https%3A%2F%2Fgis.example.com%3A6443%2Fportal`,
		`http://gis.example.com:6443/portal`,
		`http://gis.example.com:8443`,
		`https://gis.example.com/portal2`,
		`https://gis.example.com/portal_x`,
		`https://gis.example.com/portal-x`,
		`https://gis.example.com/portal~x`,
		`https://gis.example.com/portal.bak`,
		`https://gis.example.com/portal%2Ebak`,
		`https://gis.example.com/portal\u002ebak`,
		`https://gis.example.com/portal%41`,
		`https://gis.example.com/Portal`,
		`https://gis.example.com/porta`,
		`https://gis.example.com/other/portal`,
		`https://gis.example.com//portal`,
		`https://gis.example.com/arcgis`,
		`https://gis.example.com/{context}`,
		`https://gis.example.com${port}/x`,
		`https://gis.example.com:*`,
		`https://gis.example.com./portal`,
		`https://gis.example.com..`[:24] + `x`,
		`ftp://gis.example.com/portal`,
		`xhttps://gis.example.com/portal`,
		`aws://gis.example.com/portal`,
		`%41https%3A%2F%2Fgis.example.com%2Fportal`,
		`gis.example.com`,
		`"host":"gis.example.com"`,
		`"xcustomBaseUrl":"gis.example.com"`,
		`"customBaseUrl":"gis.example.com.evil"`,
		`"customBaseUrl" "gis.example.com"`,
		`"customBaseUrl":"my gis.example.com"`,
		`someone@gis.example.com/portal`,
		`gis%2Eexample%2Ecom/portal`,
		`gis.exampleXcom/portal`,
		`gis.example.com\portal`,
		`https://maps.example.org/arcgis`,
		`https://maps.example.org:6443`,
		`http://maps.example.org:6443/arcgis`,
	} {
		if got := out.String(text); got != text {
			t.Errorf("outbound %s became %s", text, got)
		}
		if got := in.String(text); got != text {
			t.Errorf("inbound %s became %s", text, got)
		}
	}
}

// TestOtherSpellings has what is mapped, and comes back as it is configured.
func TestOtherSpellings(t *testing.T) {
	m := newMap(t, public, portal)
	for _, c := range []struct{ said, ours, back string }{
		{`https://GIS.Example.COM/portal`, `https://localhost:8443/portal`, `https://gis.example.com/portal`},
		{`HTTPS://gis.example.com/portal`, `https://localhost:8443/portal`, `https://gis.example.com/portal`},
		{`https://gis.example.com:443/portal`, `https://localhost:8443/portal`, `https://gis.example.com/portal`},
		{`https%3A%2F%2Fgis.example.com%3A443%2Fportal`, `https%3A%2F%2Flocalhost%3A8443%2Fportal`, `https%3A%2F%2Fgis.example.com%2Fportal`},
		{`http://gis.example.com:80/portal`, `http://localhost:8443/portal`, `http://gis.example.com/portal`},
		{`gis.example.com:443/portal`, `localhost:8443/portal`, `gis.example.com/portal`},
	} {
		ours := m.Outbound().String(c.said)
		if back := m.Inbound().String(ours); ours != c.ours || back != c.back {
			t.Errorf("%s: %s, back %s", c.said, ours, back)
		}
	}
}

// TestOrigins has proxies and upstreams of every kind.
func TestOrigins(t *testing.T) {
	for _, c := range []struct {
		public    string
		upstreams string
		cases     []string // upstream's, ours, upstream's, …
	}{
		{"https://maps.example.com", "https://gis.example.com/portal", []string{
			`https://gis.example.com/portal`, `https://maps.example.com/portal`,
			`http://gis.example.com/portal`, `http://maps.example.com:443/portal`,
			`ws://gis.example.com/portal`, `ws://maps.example.com:443/portal`,
			`http%3a%2f%2fgis.example.com%2fportal`, `http%3a%2f%2fmaps.example.com%3a443%2fportal`,
		}},
		{"https://maps.example.com", "https://gis.example.com:7443/portal", []string{
			`https://gis.example.com:7443/portal`, `https://maps.example.com/portal`,
			`wss://gis.example.com:7443`, `wss://maps.example.com`,
			`gis.example.com%253A7443%252Fportal`, `maps.example.com%252Fportal`,
			`https\u003a\u002f\u002fgis.example.com\u003a7443\u002fportal`, `https\u003a\u002f\u002fmaps.example.com\u002fportal`,
		}},
		{"http://localhost:8080", "https://gis.example.com/portal", []string{
			`https://gis.example.com/portal`, `http://localhost:8080/portal`,
			`wss://gis.example.com/portal`, `ws://localhost:8080/portal`,
			`//gis.example.com/portal`, `//localhost:8080/portal`,
		}},
		{"http://localhost:8080", "http://127.0.0.1:7080/portal http://127.0.0.1:7081/server http://localhost:7082/koop", []string{
			`http://127.0.0.1:7080/portal`, `http://localhost:8080/portal`,
			`http://127.0.0.1:7081/server`, `http://localhost:8080/server`,
			`http://localhost:7082/koop`, `http://localhost:8080/koop`,
			`127.0.0.1:7081/server`, `localhost:8080/server`,
			`http://127.0.0.1:7080`, `http://localhost:8080`,
			`http://127.0.0.1:7081`, `http://127.0.0.1:7081`,
			`http://127.0.0.1:7080/server`, `http://127.0.0.1:7080/server`,
			`http://7.127.0.0.1:7080/portal`, `http://7.127.0.0.1:7080/portal`,
		}},
		{"https://localhost:8443", "http://localhost/portal", []string{
			`http://localhost/portal`, `https://localhost:8443/portal`,
			`https://localhost/portal`, `http://localhost:8443/portal`,
		}},
		{"https://[::1]:8443", "https://[2001:db8::1]/portal https://[2001:db8::2]:6443/server https://gis.example.com/koop", []string{
			`https://[2001:db8::1]/portal`, `https://[::1]:8443/portal`,
			`https://[2001:db8::2]:6443/server`, `https://[::1]:8443/server`,
			`https://gis.example.com/koop`, `https://[::1]:8443/koop`,
			`https%3A%2F%2F%5B2001%3Adb8%3A%3A1%5D%2Fportal`, `https%3A%2F%2F%5B%3A%3A1%5D%3A8443%2Fportal`,
			`https%3a%2f%2f%5b2001%3adb8%3a%3a2%5d%3a6443%2fserver`, `https%3a%2f%2f%5b%3a%3a1%5d%3a8443%2fserver`,
			`https%253A%252F%252Fgis.example.com%252Fkoop`, `https%253A%252F%252F%255B%253A%253A1%255D%253A8443%252Fkoop`,
			`"[2001:db8::1]/portal"`, `"[::1]:8443/portal"`,
			`https://[2001:db8::11]/portal`, `https://[2001:db8::11]/portal`,
		}},
		{"https://localhost:8443", "https://example.com/portal https://gis.example.com/server https://gis.example.com.au/koop https://is.example.com/hosted https://example.com/portal-x", []string{
			`https://example.com/portal`, `https://localhost:8443/portal`,
			`https://example.com/portal-x`, `https://localhost:8443/portal-x`,
			`https://gis.example.com/server`, `https://localhost:8443/server`,
			`https://gis.example.com.au/koop`, `https://localhost:8443/koop`,
			`https://is.example.com/hosted`, `https://localhost:8443/hosted`,
			`https://gis.example.com/portal`, `https://gis.example.com/portal`,
			`https://gis.example.com.au/server`, `https://gis.example.com.au/server`,
			`https://gis.example.com`, `https://gis.example.com`,
			`https://example.com`, `https://localhost:8443`,
			`https://example.com.au`, `https://example.com.au`,
		}},
		{"https://gis.example.com", "https://gis.example.com/portal https://maps.example.com/server", []string{
			`https://gis.example.com/portal`, `https://gis.example.com/portal`,
			`http://gis.example.com`, `http://gis.example.com`,
			`https://maps.example.com/server`, `https://gis.example.com/server`,
		}},
	} {
		m := newMap(t, c.public, strings.Fields(c.upstreams)...)
		for i := 0; i < len(c.cases); i += 2 {
			if got := m.Outbound().String(c.cases[i]); got != c.cases[i+1] {
				t.Errorf("%s at %s: outbound %s\n got %s\nwant %s", c.upstreams, c.public, c.cases[i], got, c.cases[i+1])
			}
			if got := m.Inbound().String(c.cases[i+1]); got != c.cases[i] {
				t.Errorf("%s at %s: inbound %s\n got %s\nwant %s", c.upstreams, c.public, c.cases[i+1], got, c.cases[i])
			}
		}
	}
}

// The proxy answers HTTP on its HTTPS port, and its standard ports may be left out.
func TestOtherSpellingsOfTheProxy(t *testing.T) {
	for _, c := range []struct{ public, upstream, said, want string }{
		{public, portal, `http://localhost:8443/portal`, `http://gis.example.com/portal`},
		{public, "https://gis.example.com:7443/portal", `http://localhost:8443/portal`, `https://gis.example.com:7443/portal`},
		{public, portal, `http://localhost/portal`, `http://localhost/portal`},
		{public, portal, `https://LOCALHOST:8443/portal`, `https://gis.example.com/portal`},
		{"https://maps.example.com", portal, `https://maps.example.com:443/portal`, `https://gis.example.com/portal`},
		{"https://maps.example.com", portal, `http://maps.example.com/portal`, `http://gis.example.com/portal`},
		{"https://maps.example.com", portal, `http://maps.example.com:80/portal`, `http://gis.example.com/portal`},
		{"http://maps.example.com", portal, `http://maps.example.com:80/portal`, `https://gis.example.com/portal`},
		{"http://maps.example.com", portal, `https://maps.example.com/portal`, `https://maps.example.com/portal`},
	} {
		if got := newMap(t, c.public, c.upstream).Inbound().String(c.said); got != c.want {
			t.Errorf("%s at %s: %s became %s, want %s", c.upstream, c.public, c.said, got, c.want)
		}
	}
	if got := newMap(t, "http://localhost:8080", portal).Outbound().String(`http://gis.example.com/portal`); got != `http://localhost:8080/portal` {
		t.Errorf("at a proxy without TLS: %s", got)
	}
}

func TestNothingChangedIsTheSameBody(t *testing.T) {
	m := newMap(t, public, portal)
	body := []byte(`{"url":"https://gis.example.com/other"}`)
	if got, changed := m.Outbound().Bytes(body); changed || &got[0] != &body[0] || len(got) != len(body) {
		t.Errorf("%v %s", changed, got)
	}
	body = []byte(`{"url":"https://gis.example.com/portal"}`)
	before := string(body)
	if got, changed := m.Outbound().Bytes(body); !changed || string(body) != before || string(got) != `{"url":"https://localhost:8443/portal"}` {
		t.Errorf("%v %s, and %s", changed, got, body)
	}
	if n := testing.AllocsPerRun(100, func() { m.Inbound().String("where=1%3D1&outFields=*&f=json") }); n != 0 {
		t.Errorf("a text without an address costs %v allocations", n)
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ public, upstreams, want string }{
		{public, ``, `no upstream`},
		{`ftp://localhost`, portal, `http or https`},
		{`https:///x`, portal, `http or https`},
		{`https://localhost/x`, portal, `path`},
		{`https://u@localhost`, portal, `user`},
		{public, `https://gis.example.com`, `segment`},
		{public, `https://gis.example.com/a/b`, `segment`},
		{public, portal + ` https://x.example.com/portal`, `another one at /portal`},
		{public, `https://` + strings.Repeat("x", 254) + `/portal`, `253`},
	} {
		var us []*url.URL
		for _, u := range strings.Fields(c.upstreams) {
			us = append(us, parse(t, u))
		}
		if _, err := New(parse(t, c.public), us); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %s: %v", c.public, c.upstreams, err)
		}
	}
	if _, err := New(nil, []*url.URL{nil}); err == nil {
		t.Error("no URLs at all")
	}
}
