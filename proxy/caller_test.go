package proxy

import (
	"encoding/base64"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestCallersByKey(t *testing.T) {
	const (
		other = "anotherkey0123456789abcdef"
		bad   = "nobodyskey0123456789abcdef"
	)
	for _, c := range []struct {
		name   string
		header http.Header
		query  string
		form   string
		want   int
	}{
		{"X-Esri-Authorization", http.Header{"X-Esri-Authorization": {"Bearer " + callerKey}}, "", "", 200},
		{"trailing space, as QGIS sends it", http.Header{"X-Esri-Authorization": {"Bearer " + callerKey + " "}}, "", "", 200},
		{"small letters", http.Header{"X-Esri-Authorization": {"bearer  " + callerKey}}, "", "", 200},
		{"Authorization", http.Header{"Authorization": {"Bearer " + callerKey}}, "", "", 200},
		{"Basic", http.Header{"Authorization": {basic("whoever", callerKey)}}, "", "", 200},
		{"Basic without a user", http.Header{"Authorization": {basic("", callerKey)}}, "", "", 200},
		{"query", nil, "token=" + callerKey, "", 200},
		{"query, spelled oddly", nil, "f=json&%54OKEN=" + callerKey + "+", "", 200},
		{"form", nil, "", "f=json&token=" + callerKey, 200},
		{"everywhere", http.Header{"X-Esri-Authorization": {"Bearer " + callerKey}, "Authorization": {basic("a", callerKey)}}, "token=" + callerKey, "token=" + callerKey, 200},
		{"empty ones beside a good one", http.Header{"X-Esri-Authorization": {"Bearer " + callerKey}, "Authorization": {"Bearer "}}, "token=", "token=&a=b", 200},
		{"another scheme beside a good one", http.Header{"X-Esri-Authorization": {"Bearer " + callerKey}, "Authorization": {"Negotiate abc"}}, "", "", 200},

		{"nothing", nil, "", "", 401},
		{"empty", http.Header{"X-Esri-Authorization": {"Bearer "}}, "token=", "", 401},
		{"wrong", http.Header{"X-Esri-Authorization": {"Bearer " + bad}}, "", "", 401},
		{"wrong in Authorization", http.Header{"Authorization": {"Bearer " + bad}}, "", "", 401},
		{"wrong in Basic", http.Header{"Authorization": {basic(callerKey, bad)}}, "", "", 401},
		{"key as the user", http.Header{"Authorization": {basic(callerKey, "")}}, "", "", 401},
		{"broken Basic", http.Header{"Authorization": {"Basic !" + callerKey}}, "", "", 401},
		{"wrong in query", nil, "token=" + bad, "", 401},
		{"wrong in form", nil, "", "token=" + bad, 401},
		{"a good and a wrong one", http.Header{"X-Esri-Authorization": {"Bearer " + callerKey}}, "token=" + bad, "", 401},
		{"a good and a wrong one, in a form", http.Header{"X-Esri-Authorization": {"Bearer " + callerKey}}, "", "token=" + bad, 401},
		{"a good and another's", http.Header{"X-Esri-Authorization": {"Bearer " + callerKey}}, "token=" + other, "", 401},
		{"twice, one wrong", nil, "token=" + callerKey + "&Token=" + bad, "", 401},
		{"no scheme", http.Header{"X-Esri-Authorization": {callerKey}}, "", "", 401},
		{"the hash itself", nil, "token=" + url.QueryEscape(string(hashOf(callerKey)[:])), "", 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			var up seen
			s := start(t, up.ServeHTTP, func(config *Config) {
				config.Callers = append(config.Callers, Caller{Name: "other", Identity: "bob", KeySHA256: hashOf(other)})
			})
			method := http.MethodGet
			if c.form != "" {
				method = http.MethodPost
			}
			res := s.do(method, "/portal/x?"+c.query, strings.NewReader(c.form), func(r *http.Request) {
				r.Header = c.header.Clone()
				if r.Header == nil {
					r.Header = http.Header{}
				}
				if c.form != "" {
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
				}
			})
			body := text(t, res)
			if res.StatusCode != c.want {
				t.Fatalf("got %s: %s", res.Status, body)
			}
			if log := s.log.String(); strings.Contains(log, callerKey) || strings.Contains(log, bad) || strings.Contains(log, "token1") {
				t.Errorf("the log holds a secret:\n%s", log)
			}
			r, sent, _ := up.get()
			if c.want != 200 {
				if r != nil {
					t.Error("the upstream was asked")
				}
				if _, asked := s.tokens.state(); asked != 0 {
					t.Error("a token was taken")
				}
				return
			}
			if strings.Contains(r.RequestURI+sent, callerKey) || strings.Contains(strings.ToLower(r.RequestURI+sent), "token=") || r.Header.Get("Authorization") != "" {
				t.Errorf("the caller's credential reached the upstream: %s %v %s", r.RequestURI, r.Header, sent)
			}
			if got := r.Header["X-Esri-Authorization"]; len(got) != 1 || got[0] != "Bearer token1" {
				t.Errorf("the upstream was sent %q", got)
			}
		})
	}
}

// What is wrong is said as it is: a key may be good, and sent in another way than keys are.
func TestWhatIsWrongWithAKey(t *testing.T) {
	esri := func(values ...string) http.Header { return http.Header{"X-Esri-Authorization": values} }
	s := start(t, new(seen).ServeHTTP, withBob)
	for name, c := range map[string]struct {
		header http.Header
		says   string
	}{
		"nobody's":         {esri("Bearer nobodys"), "not one that the proxy knows"},
		"two callers'":     {esri("Bearer "+callerKey, "Bearer "+otherKey), "not all one caller's"},
		"one is nobody's":  {esri("Bearer "+callerKey, "Bearer nobodys"), "not one that the proxy knows"},
		"no scheme":        {esri(callerKey), "not how a caller key is sent"},
		"key as the user":  {http.Header{"Authorization": {basic(callerKey, "")}}, "not how a caller key is sent"},
		"broken Basic":     {http.Header{"Authorization": {"Basic !" + callerKey}}, "not how a caller key is sent"},
		"an empty user":    {http.Header{"Authorization": {basic("", "")}}, "not how a caller key is sent"},
		"wrong in a Basic": {http.Header{"Authorization": {basic("a", "nobodys")}}, "not one that the proxy knows"},
	} {
		res := s.do(http.MethodGet, "/portal/x", nil, func(r *http.Request) { r.Header = c.header })
		if body := text(t, res); res.StatusCode != 401 || !strings.Contains(body, c.says) {
			t.Errorf("%s: %s %s", name, res.Status, body)
		}
	}
}

func TestCallersByAddress(t *testing.T) {
	prefix := netip.MustParsePrefix
	list := []Caller{
		{Name: "lab", Identity: "alice", From: []netip.Prefix{prefix("10.1.0.0/16"), prefix("fd00::/8")}},
		{Name: "bench", Identity: "bob", From: []netip.Prefix{prefix("10.1.2.0/24")}},
		{Name: "keyed", Identity: "carol", KeySHA256: hashOf(callerKey), From: []netip.Prefix{prefix("10.9.0.0/16")}},
	}
	known, err := newCallers(list, Front{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		remote string
		key    string
		want   string
		fail   *failure
	}{
		{"10.1.1.1:5", "", "lab", nil},
		{"[::ffff:10.1.1.1]:5", "", "lab", nil},
		{"[fd00::1%eth0]:5", "", "lab", nil},
		{"10.1.2.3:5", "", "", ambiguousAddress},
		{"10.2.0.1:5", "", "", unknownCaller},
		{"10.9.0.1:5", "", "", unknownCaller}, // a caller with a key is not known without it
		{"10.9.0.1:5", callerKey, "keyed", nil},
		{"10.1.1.1:5", callerKey, "", wrongKey}, // nor anywhere else
		{"10.1.1.1:5", "nobodys", "", wrongKey}, // a wrong key is wrong where the address would do
		{"@", "", "", unknownCaller},
		{"", "", "", unknownCaller},
	} {
		q := inquiry{known: &known}
		q.present(c.key, false)
		caller, fail := q.caller(&http.Request{RemoteAddr: c.remote})
		if fail != c.fail || (caller == nil) != (c.want == "") || caller != nil && caller.Name != c.want {
			t.Errorf("%s with key %q: %v, %v", c.remote, c.key, caller, fail)
		}
	}
}

// Headers that claim an address are not believed.
func TestAClaimedAddressIsNotBelieved(t *testing.T) {
	requests{
		{"forwarded", "GET /portal/x HTTP/1.1\nHOST\nX-Forwarded-For: 10.1.1.1\nX-Real-Ip: 10.1.1.1\nForwarded: for=10.1.1.1\n\n", 401, false},
	}.run(t, func(c *Config) {
		c.Callers = append(c.Callers, Caller{Name: "lab", Identity: "alice", From: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}})
	})
}

// Every answer to an unknown caller takes the same time, and no upstream's or cache's.
func TestUnknownCallersWait(t *testing.T) {
	for name, header := range map[string]http.Header{
		"no credential": {},
		"wrong key":     {"Authorization": {"Bearer nobodys"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, err := New(Config{
					PublicURL: &url.URL{Scheme: "https", Host: "localhost:8443"},
					Upstreams: []Upstream{{URL: &url.URL{Scheme: "https", Host: "gis.example.com", Path: "/portal"}}},
					Callers:   []Caller{{Name: "nightly", Identity: "alice", KeySHA256: hashOf(callerKey)}},
				}, &tokens{})
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				w := &recorder{header: http.Header{}}
				p.ServeHTTP(w, &http.Request{Method: http.MethodGet, Host: "localhost:8443", URL: &url.URL{Path: "/portal/x"}, Header: header, RemoteAddr: "192.0.2.1:5"})
				if took := time.Since(began); took != unknownDelay || w.status != 401 {
					t.Errorf("%d after %v", w.status, took)
				}
			})
		})
	}
}

// recorder is a ResponseWriter without a network.
type recorder struct {
	header http.Header
	status int
	body   strings.Builder
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

func TestNewNamesEveryFault(t *testing.T) {
	parse := func(s string) *url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	_, err := New(Config{
		PublicURL: parse("localhost"),
		Upstreams: []Upstream{
			{URL: parse("https://gis.example.com/portal")}, {URL: parse("https://other.example.com/portal/")}, {URL: parse("https://gis.example.com/a/b")},
			{URL: parse("https://gis.example.com/")}, {URL: parse("ftp://gis.example.com/x")}, {URL: parse("https://u:secret@gis.example.com/y")}, {URL: parse("https://gis.example.com/z?token=1")}, {},
		},
		Callers: []Caller{
			{Name: "a", Identity: "alice", KeySHA256: hashOf("k")}, {Name: "b", Identity: "alice", KeySHA256: hashOf("k")},
			{Name: "c", Identity: "alice"}, {Name: "d"},
		},
	}, nil)
	if err == nil {
		t.Fatal("all of it passed")
	}
	for _, want := range []string{
		"no source of tokens", "public URL", "would both be mounted at /portal", "gis.example.com/a/b: the path", "https://gis.example.com/: the path", "ftp://", "may not have a user", "/z?token=1", "has no URL",
		`"a" and "b" have the same key`, `"c": it has neither`, `"d": it needs`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("a password is in:\n%v", err)
	}
}
