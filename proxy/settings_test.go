package proxy

import (
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"arcproxy/proxy/issue"
	"arcproxy/proxy/mapping"
	"arcproxy/proxy/policy"
)

// prepare puts another configuration in force.
func (s *setup) prepare(change func(*Config)) {
	s.Helper()
	config := s.config()
	change(&config)
	begin, err := s.proxy.Prepare(config)
	if err != nil {
		s.Fatal(err)
	}
	begin()
}

func withKey(key string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("X-Esri-Authorization", "Bearer "+key) }
}

// status is the status of a request with this key.
func (s *setup) status(key string) int {
	s.Helper()
	res := s.do(http.MethodGet, "/portal/sharing/rest/portals/self", nil, withKey(key))
	text(s.T, res)
	return res.StatusCode
}

func TestAnotherConfiguration(t *testing.T) {
	s := start(t, func(http.ResponseWriter, *http.Request) {})
	s.prepare(func(c *Config) {
		c.Callers = []Caller{{Name: "hourly", Identity: "alice", KeySHA256: hashOf(otherKey), Rules: policy.Rules{ReadOnly: true}}}
		c.Origins = []string{"https://maps.example.com"}
	})
	if got := s.status(callerKey); got != http.StatusUnauthorized {
		t.Errorf("a removed caller: %d", got)
	}
	if got := s.status(otherKey); got != http.StatusOK {
		t.Errorf("a new caller: %d", got)
	}
	res := s.do(http.MethodPost, "/portal/sharing/rest/content/users/a/addItem", strings.NewReader("f=json"), func(r *http.Request) {
		withKey(otherKey)(r)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://maps.example.com")
	})
	text(t, res)
	if res.StatusCode != http.StatusForbidden || res.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("rules and origins: %s, %v", res.Status, res.Header)
	}
}

func TestAConfigurationWithFaultsChangesNothing(t *testing.T) {
	s := start(t, func(http.ResponseWriter, *http.Request) {})
	for name, change := range map[string]func(*Config){
		"callers":   func(c *Config) { c.Callers[0].KeySHA256 = nil },
		"origins":   func(c *Config) { c.Origins = []string{"*"} },
		"upstreams": func(c *Config) { c.Upstreams = append(c.Upstreams, c.Upstreams[0]) },
		"mapping":   func(c *Config) { c.Mapping.Rules = []mapping.Rule{{Pattern: "x"}} },
	} {
		config := s.config()
		change(&config)
		if begin, err := s.proxy.Prepare(config); err == nil || begin != nil {
			t.Errorf("%s: no fault", name)
		}
	}
	if got := s.status(callerKey); got != http.StatusOK {
		t.Errorf("the caller: %d", got)
	}
}

// A request that is under way ends as it began, by the configuration that it began with.
func TestARequestKeepsItsConfiguration(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	var self string
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"url":"`+self+`/portal/y"}`)
	})
	self = s.upstream.URL
	type answer struct {
		res  *http.Response
		body string
	}
	got := make(chan answer)
	go func() {
		res := s.do(http.MethodGet, "/portal/sharing/rest/x", nil, nil)
		got <- answer{res, text(t, res)}
	}()
	<-arrived
	s.prepare(func(c *Config) {
		c.PublicURL = &url.URL{Scheme: "https", Host: "other.example.com"}
		c.Callers = []Caller{{Name: "other", Identity: "bob", KeySHA256: hashOf(otherKey)}}
	})
	close(release)
	a := <-got
	if a.res.StatusCode != http.StatusOK || !strings.Contains(a.body, "https://maps.example.com:8443/portal/y") {
		t.Errorf("%s %s", a.res.Status, a.body)
	}
}

func TestTokensEndWithTheirCaller(t *testing.T) {
	s := start(t, func(http.ResponseWriter, *http.Request) {})
	const generate = "/portal/sharing/rest/generateToken"
	token, _ := s.signIn(generate, "nightly", callerKey)
	s.prepare(func(c *Config) {
		c.Callers = append(c.Callers, Caller{Name: "other", Identity: "alice", KeySHA256: hashOf(otherKey)})
	})
	other, _ := s.signIn(generate, "other", otherKey)
	for _, key := range []string{token, other} {
		if !issue.Ours(key) || s.status(key) != http.StatusOK || s.asked(key) {
			t.Errorf("a token of a caller who stays: %q", key)
		}
	}
	s.prepare(func(c *Config) {
		c.Callers = []Caller{{Name: "other", Identity: "alice", KeySHA256: hashOf(otherKey)}}
	})
	if !s.asked(token) || s.asked(other) {
		t.Error("the removed caller's token, or not only that, had to end")
	}
	s.prepare(func(*Config) {}) // as at first
	if !s.asked(token) {
		t.Error("the token is good again with its caller")
	}
}

// asked reports whether the answer to a token is that it has ended.
func (s *setup) asked(token string) bool {
	s.Helper()
	return strings.Contains(text(s.T, s.do(http.MethodGet, "/portal/x?f=json", nil, withKey(token))), `"code":498`)
}

func TestLimitsGoOnWhereTheyWere(t *testing.T) {
	s := start(t, func(http.ResponseWriter, *http.Request) {})
	limited := func(rate float64) func(*Config) {
		return func(c *Config) { c.Callers[0].Limits = policy.Limits{Rate: rate, Burst: 1} }
	}
	s.prepare(limited(1e-6))
	if first, second := s.status(callerKey), s.status(callerKey); first != http.StatusOK || second != http.StatusTooManyRequests {
		t.Fatalf("got %d, %d", first, second)
	}
	s.prepare(func(c *Config) {
		limited(1e-6)(c)
		c.Callers[0].From = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	if got := s.status(callerKey); got != http.StatusTooManyRequests {
		t.Errorf("a configuration with the same limits gave new ones: %d", got)
	}
	s.prepare(limited(1e-5))
	if got := s.status(callerKey); got != http.StatusOK {
		t.Errorf("other limits: %d", got)
	}
}

// What was found out about an upstream may have been put right.
func TestAReloadForgetsMisfits(t *testing.T) {
	g := &gate{good: "nothing"}
	s := start(t, g.ServeHTTP)
	s.status(callerKey)
	s.tokens.stuck = true
	asked := func() int {
		_, before := s.tokens.state()
		s.status(callerKey)
		_, after := s.tokens.state()
		return after - before
	}
	if n := asked(); n != 1 {
		t.Fatalf("asked %d times for a token that is known to be refused", n)
	}
	s.prepare(func(*Config) {})
	if n := asked(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}
