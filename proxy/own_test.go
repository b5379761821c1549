package proxy

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"arcproxy/auth"
	"arcproxy/proxy/console"
	"arcproxy/proxy/peer"
	"arcproxy/proxy/policy"
)

// standing is a console.Control of one identity, and notes what it was told to do.
type standing struct {
	identities []console.Identity
	did        []string
	changes    console.Changes
}

func (s *standing) Identities() []console.Identity { return s.identities }
func (s *standing) Answer(identity, challenge string, answer auth.Secret) error {
	s.did = append(s.did, "answer "+identity+" "+challenge)
	return nil
}
func (s *standing) SignIn(_ context.Context, identity string, _ auth.Secret, _ func(auth.Event)) error {
	s.did = append(s.did, "sign-in "+identity)
	return nil
}
func (s *standing) SignOut(_ context.Context, identity string) error {
	s.did = append(s.did, "sign-out "+identity)
	return nil
}
func (s *standing) Changed() <-chan struct{} { return s.changes.Next() }

const (
	adminKey  = "adminkey0123456789abcdefgh"
	readerKey = "readerkey0123456789abcdefg"
)

// door is a proxy with a console, on a server that knows its connections' users.
type door struct {
	*testing.T
	proxy   *Proxy
	url     string
	control *standing
}

func newDoor(t *testing.T, options ...option) *door {
	t.Helper()
	g := &door{T: t, control: &standing{identities: []console.Identity{{Name: "alice", State: console.SignedIn, Username: "alice_gis", Until: time.Now().Add(time.Hour)}}}}
	shown := console.New(console.Config{
		Control: g.control,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "figures") }),
	})
	t.Cleanup(shown.Close)
	config := Config{
		PublicURL: &url.URL{Scheme: "https", Host: "maps.example.com:8443"},
		Upstreams: []Upstream{{URL: &url.URL{Scheme: "http", Host: "127.0.0.1:1", Path: "/portal"}}},
		Callers: []Caller{
			{Name: "nightly", Identity: "alice", KeySHA256: hashOf(callerKey)},
			{Name: "boss", Identity: "alice", KeySHA256: hashOf(adminKey), Rules: policy.Rules{Admin: true}},
			{Name: "reader", Identity: "alice", KeySHA256: hashOf(readerKey), Rules: policy.Rules{Admin: true, ReadOnly: true}},
		},
		Origins: []string{"https://apps.example.com"},
		Console: shown,
	}
	for _, o := range options {
		o(&config)
	}
	var err error
	if g.proxy, err = New(config, &tokens{}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(g.proxy)
	server.Config.ConnContext = peer.ConnContext
	server.Start()
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

// send sends a request with these headers, as name: value, and returns what came.
func (g *door) send(method, path, body string, headers ...string) (*http.Response, string) {
	g.Helper()
	r, err := http.NewRequestWithContext(g.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(r)
	if err != nil {
		g.Fatal(err)
	}
	defer res.Body.Close()
	return res, text(g.T, res)
}

const (
	asAdmin  = "X-Esri-Authorization: Bearer " + adminKey
	asCaller = "X-Esri-Authorization: Bearer " + callerKey
	asReader = "X-Esri-Authorization: Bearer " + readerKey
	stateAt  = "/_arcproxy/api/v1/state"
	signOut  = "/_arcproxy/api/v1/identities/alice/sign-out"
)

// stranger makes the user who runs the proxy somebody else.
func (g *door) stranger() *door {
	g.proxy.self = 1 << 40
	return g
}

func TestStrangersHearOnlyTheStatus(t *testing.T) {
	g := newDoor(t).stranger()
	for _, headers := range [][]string{nil, {asCaller}, {"Authorization: Bearer wrong"}} {
		for path, want := range map[string]string{"healthz": `{"status":"ok"}`, "readyz": `{"status":"ready"}`} {
			res, body := g.send("GET", "/_arcproxy/"+path, "", headers...)
			if res.StatusCode != 200 || strings.TrimSpace(body) != want || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s with %q: %s %q", path, headers, res.Status, body)
			}
		}
		for _, path := range []string{"", "metrics", "api/v1/state", "api/v1/events", "nowhere"} {
			res, body := g.send("GET", "/_arcproxy/"+path, "", headers...)
			if res.StatusCode != 401 && res.StatusCode != 403 || strings.Contains(body, "alice") || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("/_arcproxy/%s with %q: %s %q", path, headers, res.Status, body)
			}
		}
	}
}

func TestOperatorsSeeAll(t *testing.T) {
	g := newDoor(t).stranger()
	for path, want := range map[string]string{"readyz": "alice_gis", "metrics": "figures", "api/v1/state": "alice_gis", "healthz": "ok"} {
		for _, header := range []string{asAdmin, asReader, "Authorization: Basic OmFkbWlua2V5MDEyMzQ1Njc4OWFiY2RlZmdo"} {
			res, body := g.send("GET", "/_arcproxy/"+path, "", header)
			if res.StatusCode != 200 || !strings.Contains(body, want) || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s with %q: %s %q", path, header, res.Status, body)
			}
		}
	}
	res, _ := g.send("POST", signOut, "", asAdmin)
	if res.StatusCode != http.StatusNoContent || len(g.control.did) != 1 {
		t.Errorf("sign-out answers %s; done: %q", res.Status, g.control.did)
	}
	for _, header := range []string{asReader, asCaller} {
		if res, _ := g.send("POST", signOut, "", header); res.StatusCode != http.StatusForbidden {
			t.Errorf("sign-out with %q answers %s", header, res.Status)
		}
	}
	if len(g.control.did) != 1 {
		t.Errorf("done: %q", g.control.did)
	}
}

func TestTheUserWhoRunsTheProxyIsAnOperator(t *testing.T) {
	if !peer.Supported {
		t.Log(peer.ErrUnsupported)
		return
	}
	g := newDoor(t)
	if res, body := g.send("GET", stateAt, ""); res.StatusCode != 200 || !strings.Contains(body, "alice_gis") {
		t.Errorf("%s %q", res.Status, body)
	}
	for _, header := range []string{"X-Forwarded-For: 203.0.113.7", "Forwarded: for=203.0.113.7", "Via: 1.1 front", "X-Real-IP: 203.0.113.7",
		"Authorization: Bearer wrong", asCaller} {
		if res, _ := g.send("GET", stateAt, "", header); res.StatusCode != 401 && res.StatusCode != 403 {
			t.Errorf("with %q: %s", header, res.Status)
		}
	}
	if res, _ := g.stranger().send("GET", stateAt, ""); res.StatusCode != 401 {
		t.Errorf("another user: %s", res.Status)
	}
	front := newDoor(t, func(c *Config) {
		c.Front = Front{From: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Header: "X-User"}
	})
	if res, _ := front.send("GET", stateAt, ""); res.StatusCode != 401 {
		t.Errorf("by the front proxy: %s", res.Status)
	}
}

func TestOtherSitesDoNotReachTheConsole(t *testing.T) {
	g := newDoor(t)
	for _, headers := range [][]string{
		{"Sec-Fetch-Site: cross-site"}, {"Sec-Fetch-Site: same-site"}, {"Origin: https://evil.example"}, {"Origin: null"},
		{"Origin: https://apps.example.com"}, // may use the proxy, and not this
		{"Referer: https://evil.example/page"},
		{asAdmin, "Origin: https://evil.example"}, {asAdmin, "Sec-Fetch-Site: cross-site"},
	} {
		for _, path := range []string{stateAt, "/_arcproxy/", "/_arcproxy/metrics"} {
			if strings.HasPrefix(headers[0], "Referer") {
				path += "?callback=x"
			}
			if res, body := g.send("GET", path, "", headers...); res.StatusCode != http.StatusForbidden || strings.Contains(body, "alice") {
				t.Errorf("GET %s with %q: %s %q", path, headers, res.Status, body)
			}
		}
		if res, _ := g.send("POST", signOut, "", headers...); res.StatusCode != http.StatusForbidden {
			t.Errorf("POST with %q: %s", headers, res.Status)
		}
	}
	if res, _ := g.send("GET", stateAt, "", asAdmin, "Host: evil.example"); res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a foreign Host: %s", res.Status)
	}
	if len(g.control.did) != 0 {
		t.Errorf("done: %q", g.control.did)
	}
	if res, _ := g.send("GET", stateAt, "", "Sec-Fetch-Site: same-origin", asAdmin); res.StatusCode != 200 {
		t.Errorf("its own page: %s", res.Status)
	}
}

func TestBrowsersAreAskedForAKeyOnlyHere(t *testing.T) {
	g := newDoor(t).stranger()
	res, _ := g.send("GET", "/_arcproxy/", "", "Accept: text/html")
	if kind := res.Header.Get("WWW-Authenticate"); res.StatusCode != 401 || !strings.HasPrefix(kind, "Basic ") {
		t.Errorf("the console asks a browser with %q: %s", kind, res.Status)
	}
	res, _ = g.send("GET", "/portal/home/", "", "Accept: text/html")
	if kind := res.Header.Get("WWW-Authenticate"); !strings.HasPrefix(kind, "Bearer ") {
		t.Errorf("elsewhere a browser is asked with %q", kind)
	}
}

func TestNothingIsMountedAtTheConsole(t *testing.T) {
	_, err := newRoutes([]Upstream{{URL: &url.URL{Scheme: "https", Host: "gis.example.com", Path: "/_arcproxy"}}})
	if err == nil {
		t.Error("an upstream may be mounted where the console is")
	}
}

func TestTheAPITakesJSONOnly(t *testing.T) {
	g := newDoor(t)
	answer := "/_arcproxy/api/v1/identities/alice/answer"
	for body, want := range map[string]int{`{"challenge":"1","answer":"123456"}`: 204, `{"answer":`: 400, strings.Repeat(" ", 20<<10): 413} {
		if res, text := g.send("POST", answer, body, asAdmin, "Content-Type: application/json"); res.StatusCode != want || strings.Contains(text, "123456") {
			t.Errorf("%.20q: %s %s", body, res.Status, text)
		}
	}
	if res, _ := g.send("POST", answer, "challenge=1&answer=2", asAdmin, "Content-Type: application/x-www-form-urlencoded"); res.StatusCode != 415 {
		t.Errorf("a form: %s", res.Status)
	}
	res, body := g.send("POST", "/_arcproxy/api/v1/identities/alice/sign-in", `{}`, asAdmin, "Content-Type: application/json")
	var last console.Line
	if err := json.Unmarshal([]byte(body), &last); err != nil || res.StatusCode != 200 || last.Done == nil || last.Done.Name != "alice" {
		t.Errorf("sign-in: %s %q", res.Status, body)
	}
}
