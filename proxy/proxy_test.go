package proxy

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"arcproxy/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const callerKey = "callerkey0123456789abcdef"

func hashOf(key string) *[32]byte {
	sum := sha256.Sum256([]byte(key))
	return &sum
}

// tokens is a source of tokens that numbers them: "token1" until it is dropped, then "token2".
type tokens struct {
	mu      sync.Mutex // guards all
	n       int
	drops   int // that took effect
	asked   int
	lasting int  // how often for a token with much of its life left
	stuck   bool // a drop changes nothing
	err     error
	blocked bool // Token waits until its context ends
}

func (s *tokens) Token(ctx context.Context, identity string) (auth.Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.blocked {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return auth.Grant{}, ctx.Err()
	}
	if s.err != nil {
		return auth.Grant{}, s.err
	}
	return auth.Grant{AccessToken: s.current()}, nil
}

func (s *tokens) TokenFor(ctx context.Context, identity string, life time.Duration) (auth.Grant, error) {
	s.mu.Lock()
	s.lasting++
	s.mu.Unlock()
	return s.Token(ctx, identity)
}

func (s *tokens) current() auth.Secret { return auth.NewSecret(fmt.Sprintf("token%d", s.n+1)) }

func (s *tokens) Drop(identity string, token auth.Secret) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token.Equal(s.current()) && !s.stuck {
		s.n++
		s.drops++
	}
}

func (s *tokens) state() (drops, asked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drops, s.asked
}

// setup is a proxy with one upstream behind it, both listening on loopback.
type setup struct {
	*testing.T
	proxy    *Proxy
	url      string // of the proxy
	upstream *httptest.Server
	tokens   *tokens
	log      *logBuffer
	client   *http.Client
}

type option func(*Config)

func byAddress(c *Config) {
	c.Callers = append(c.Callers, Caller{Name: "this machine", Identity: "alice", From: []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	}})
}

func start(t *testing.T, upstream http.HandlerFunc, options ...option) *setup {
	t.Helper()
	up := httptest.NewServer(upstream)
	s := &setup{T: t, upstream: up, tokens: &tokens{}, log: &logBuffer{}}
	config := s.config()
	for _, o := range options {
		o(&config)
	}
	p, err := New(config, s.tokens)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(p)
	s.proxy, s.url = p, front.URL
	transport := &http.Transport{DisableCompression: true}
	s.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		front.Close()
		if t, ok := p.transport.(*http.Transport); ok {
			t.CloseIdleConnections()
		}
		up.Close()
	})
	return s
}

func (s *setup) config() Config {
	target, err := url.Parse(s.upstream.URL + "/portal")
	if err != nil {
		s.Fatal(err)
	}
	return Config{
		PublicURL: &url.URL{Scheme: "https", Host: "maps.example.com:8443"},
		Upstreams: []Upstream{{URL: target}},
		Callers:   []Caller{{Name: "nightly", Identity: "alice", KeySHA256: hashOf(callerKey)}},
		Log:       slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// do sends a request with the caller's key in a header, unless change says otherwise.
func (s *setup) do(method, target string, body io.Reader, change func(*http.Request)) *http.Response {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, s.url+target, body)
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("X-Esri-Authorization", "Bearer "+callerKey)
	if change != nil {
		change(r)
	}
	res, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func (s *setup) get(target string) (int, string) {
	s.Helper()
	res := s.do(http.MethodGet, target, nil, nil)
	return res.StatusCode, text(s.T, res)
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// raw sends bytes as they are, and returns the answer. A "KEY" line stands for
// the caller's credential and "HOST" for a good Host.
func (s *setup) raw(request string) *http.Response {
	s.Helper()
	address := strings.TrimPrefix(s.url, "http://")
	request = strings.NewReplacer("\n", "\r\n", "HOST", "Host: "+address, "KEY", "X-Esri-Authorization: Bearer "+callerKey).Replace(request)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		s.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		s.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		s.Fatalf("%q: %v", request, err)
	}
	return res
}

// seen records what an upstream was sent.
type seen struct {
	mu   sync.Mutex // guards all
	last *http.Request
	body string
	n    int
}

func (s *seen) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.body = r, string(body)
	s.n++
	_, _ = io.WriteString(w, `{"ok":true}`)
}

func (s *seen) get() (*http.Request, string, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.body, s.n
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestAPlainRequestIsSignedIn(t *testing.T) {
	var up seen
	s := start(t, up.ServeHTTP)
	status, body := s.get("/portal/sharing/rest/portals/self?f=json")
	if status != 200 || body != `{"ok":true}` {
		t.Fatalf("got %d %s", status, body)
	}
	r, _, _ := up.get()
	if got := r.Header.Get("X-Esri-Authorization"); got != "Bearer token1" {
		t.Errorf("upstream was sent %q", got)
	}
	if r.RequestURI != "/portal/sharing/rest/portals/self?f=json" {
		t.Errorf("upstream was asked for %q", r.RequestURI)
	}
	if want := strings.TrimPrefix(s.upstream.URL, "http://"); r.Host != want {
		t.Errorf("Host is %q, not the upstream's own %q", r.Host, want)
	}
}
