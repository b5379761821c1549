package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"arcproxy/auth"
)

const refusalBody = `{"error":{"code":498,"message":"Invalid token.","details":[]}}`

// gate refuses every token below "tokenN", and hands what has a good one to next.
type gate struct {
	mu   sync.Mutex // guards all
	good string
	n    map[string]int // requests by token
	next http.HandlerFunc
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("X-Esri-Authorization"), "Bearer ")
	g.mu.Lock()
	if g.n == nil {
		g.n = map[string]int{}
	}
	g.n[token]++
	good := g.good
	g.mu.Unlock()
	if token != good {
		_, _ = io.WriteString(w, refusalBody)
		return
	}
	if g.next != nil {
		g.next(w, r)
		return
	}
	_, _ = io.WriteString(w, "good")
}

func (g *gate) count(token string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n[token]
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, _ = w.Write(body)
}

func TestFiftyRequestsAtOnceWithARevokedToken(t *testing.T) {
	const n = 50
	// All fifty are with the upstream before it refuses the first.
	var arrived sync.WaitGroup
	arrived.Add(n)
	g := &gate{good: "token2"}
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Esri-Authorization") == "Bearer token1" {
			arrived.Done()
			arrived.Wait()
		}
		g.ServeHTTP(w, r)
	})
	answers := make(chan string, n)
	for range n {
		go func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/portal/x", nil)
			if err != nil {
				answers <- err.Error()
				return
			}
			r.Header.Set("X-Esri-Authorization", "Bearer "+callerKey)
			res, err := s.client.Do(r)
			if err != nil {
				answers <- err.Error()
				return
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			answers <- fmt.Sprint(res.StatusCode, string(body), err)
		}()
	}
	for range n {
		if got := <-answers; got != "200good<nil>" {
			t.Error(got)
		}
	}
	if drops, _ := s.tokens.state(); drops != 1 {
		t.Errorf("%d renewals", drops)
	}
	if g.count("token1") != n || g.count("token2") != n {
		t.Errorf("the upstream saw %v", g.n)
	}
}

func TestBodiesAreReplayed(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", maxKept/16)
	for name, c := range map[string]struct {
		kind, body string
		chunked    bool
		want       string // of the body
		status     int    // if what is streamed is not kept
	}{
		"none":           {"", "", false, "", 200},
		"small":          {"application/json", `{"a":1}`, false, `{"a":1}`, 200},
		"limit":          {"application/octet-stream", big, false, big, 200},
		"beyond":         {"application/octet-stream", big + "x", false, big + "x", 503},
		"chunked":        {"application/octet-stream", "x", true, "x", 503},
		"form":           {"application/x-www-form-urlencoded", "a=%&token=" + callerKey + "&b=;", false, "a=%&b=;", 200},
		"chunked form":   {"application/x-www-form-urlencoded", "a=1&token=" + callerKey, true, "a=1", 200},
		"only a token":   {"application/x-www-form-urlencoded", "token=" + callerKey, false, "", 200},
		"large form":     {"application/x-www-form-urlencoded", "a=" + strings.Repeat(big, 4), false, "a=" + strings.Repeat(big, 4), 200},
		"too large form": {"application/x-www-form-urlencoded", "a=" + strings.Repeat(big, 8), false, "a=" + strings.Repeat(big, 8), 503},
		"upload":         {"multipart/form-data; boundary=b", upload("a=1", "token="+callerKey, "b=2"), false, upload("a=1", "b=2"), 200},
		"large upload":   {"multipart/form-data; boundary=b", upload("a=1", "token="+callerKey, "b="+big), false, upload("a=1", "b="+big), 503},
		"chunked upload": {"multipart/form-data; boundary=b", upload("a=1"), true, upload("a=1"), 503},
	} {
		t.Run(name+", kept", func(t *testing.T) {
			g := &gate{good: "token2", next: echo}
			s := start(t, g.ServeHTTP, func(c *Config) { c.TempDir = t.TempDir() })
			var body io.Reader = strings.NewReader(c.body)
			if c.chunked {
				body = io.MultiReader(body)
			}
			res := s.do(http.MethodPost, "/portal/x", body, func(r *http.Request) { r.Header.Set("Content-Type", c.kind) })
			if got := text(t, res); res.StatusCode != 200 || got != c.want {
				t.Errorf("got %s, %d bytes: %.200s", res.Status, len(got), got)
			}
			if drops, _ := s.tokens.state(); drops != 1 || s.spooled() != 0 {
				t.Errorf("%d renewals, %d bytes in files", drops, s.spooled())
			}
		})
		t.Run(name, func(t *testing.T) {
			g := &gate{good: "token2", next: echo}
			s := start(t, g.ServeHTTP, func(c *Config) { c.Replay = -1 })
			var body io.Reader = strings.NewReader(c.body)
			if c.chunked {
				body = io.MultiReader(body)
			}
			if c.body == "" {
				body = nil
			}
			res := s.do(http.MethodPost, "/portal/x", body, func(r *http.Request) {
				if c.kind != "" {
					r.Header.Set("Content-Type", c.kind)
				}
			})
			got := text(t, res)
			if res.StatusCode != c.status || c.status == 200 && got != c.want {
				t.Fatalf("got %s, %d bytes: %.200s", res.Status, len(got), got)
			}
			if c.status == 503 {
				if res.Header.Get("Retry-After") != "1" || !strings.Contains(got, "repeat the request") {
					t.Errorf("Retry-After is %q: %s", res.Header.Get("Retry-After"), got)
				}
				if drops, _ := s.tokens.state(); drops != 1 || g.count("token2") != 0 {
					t.Errorf("%d renewals; %v", drops, g.n)
				}
				// And it is true: the same request goes through now.
				again := s.do(http.MethodPost, "/portal/x", strings.NewReader(c.body), nil)
				if again.StatusCode != 200 || text(t, again) != c.body {
					t.Errorf("repeated: %s", again.Status)
				}
			}
		})
	}
}

func TestAFreshTokenThatIsRefusedIsNoLoop(t *testing.T) {
	g := &gate{good: "none"}
	s := start(t, g.ServeHTTP)
	for i := range 20 {
		status, body := s.get("/portal/x")
		if status != 502 || !strings.Contains(body, s.upstream.URL+"/portal") || !strings.Contains(body, "federated") {
			t.Fatalf("request %d got %d: %s", i, status, body)
		}
		if strings.Contains(strings.ToLower(body), "invalid token") || strings.Contains(strings.ToLower(body), "498") {
			t.Fatalf("the answer would end a client's sign-in: %s", body)
		}
	}
	if drops, _ := s.tokens.state(); drops != 1 {
		t.Errorf("%d renewals for 20 requests", drops)
	}
	// It has not become unusable: what it answers well is passed on.
	g.mu.Lock()
	g.good = "token2"
	g.mu.Unlock()
	if status, body := s.get("/portal/x"); status != 200 || body != "good" {
		t.Errorf("then got %d: %s", status, body)
	}
}

func TestADropThatChangesNothingIsNoLoop(t *testing.T) {
	g := &gate{good: "none"}
	s := start(t, g.ServeHTTP)
	s.tokens.stuck = true
	if status, body := s.get("/portal/x"); status != 502 {
		t.Errorf("got %d: %s", status, body)
	}
	if g.count("token1") != 1 {
		t.Errorf("the upstream saw %v", g.n)
	}
}

func TestMisfitsAreRememberedForAMinute(t *testing.T) {
	var m misfits
	now := time.Now()
	which := misfit{"https://gis.example.com/portal", "alice"}
	one, two := auth.NewSecret("one"), auth.NewSecret("two")
	m.remember(which, one, now)
	for name, c := range map[string]struct {
		which misfit
		token auth.Secret
		after time.Duration
		want  bool
	}{
		"same":           {which, one, 59 * time.Second, true},
		"over":           {which, one, time.Minute, false},
		"newer token":    {which, two, 0, false},
		"other identity": {misfit{"https://gis.example.com/portal", "bob"}, one, 0, false},
		"other upstream": {misfit{"https://gis.example.com/server", "alice"}, one, 0, false},
	} {
		if got := m.knows(c.which, c.token, now.Add(c.after)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What the upstream answers to the second attempt goes to the caller, whatever it is.
func TestTheSecondAnswerIsPassedOn(t *testing.T) {
	g := &gate{good: "token2", next: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-From", "upstream")
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write(bytes.Repeat([]byte("x"), 100_000))
	}}
	s := start(t, g.ServeHTTP)
	res := s.do(http.MethodGet, "/portal/x", nil, nil)
	if body := text(t, res); res.StatusCode != http.StatusTeapot || len(body) != 100_000 || res.Header.Get("X-From") != "upstream" {
		t.Errorf("got %s, %d bytes", res.Status, len(body))
	}
}
