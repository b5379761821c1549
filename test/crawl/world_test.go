package crawl

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"arcproxy/auth"
	"arcproxy/cache/storage"
	"arcproxy/proxy"
	"arcproxy/proxy/listener"
	"arcproxy/test/sandbox"
	"arcproxy/test/sandbox/arcgis"
)

// world is a Portal behind a proxy. The Portal is reached through pipes, at
// addresses that no resolver knows: https://gis.example.test and so on.
type world struct {
	t      *testing.T
	sb     *sandbox.Sandbox
	public *url.URL // the proxy's
	key    string   // a caller's, which requests carry; "": the caller is known by address

	naive   bool   // the proxy is one that maps nothing, and lets everybody do everything
	address string // where public's host and port are reached
	roots   *x509.CertPool
	client  *http.Transport

	mu   sync.Mutex     // guards left
	left map[string]int // how often a connection was wanted to what is not the proxy, by host:port
}

// tokens gives every request alice's token, as if she had signed in.
type tokens struct{ portal *arcgis.Portal }

// TokenFor implements [proxy.Tokens].
func (s tokens) TokenFor(ctx context.Context, identity string, _ time.Duration) (auth.Grant, error) {
	return s.Token(ctx, identity)
}

// Token implements [proxy.Tokens].
func (s tokens) Token(context.Context, string) (auth.Grant, error) {
	return auth.Grant{AccessToken: auth.NewSecret(s.portal.Token("alice@example.com")), Expires: time.Now().Add(time.Hour)}, nil
}

// Drop implements [proxy.Tokens].
func (tokens) Drop(string, auth.Secret) {}

// callerKey is the key of the caller "script".
const callerKey = "QX7KJ2M4N6P3R5T7V2W4Y6A3C5"

// newWorld starts a sandbox and, in front of its Portal and federated servers, the
// real proxy behind the real listener. Callers are known by their address, or by
// [callerKey].
func newWorld(t *testing.T, seed uint64, scheme string, change func(*proxy.Config)) *world {
	t.Helper()
	w := newSandbox(t, seed)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.at(inner, scheme)
	sum := sha256.Sum256([]byte(callerKey))
	config := proxy.Config{
		PublicURL: w.public,
		Callers: []proxy.Caller{
			{Name: "here", Identity: "alice", From: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
			{Name: "script", Identity: "alice", KeySHA256: &sum},
		},
		Transport: w.sb.Transport(),
		Log:       log,
	}
	for _, u := range []*url.URL{w.sb.PortalURL, w.sb.ServerURL, w.sb.OtherServerURL} {
		config.Upstreams = append(config.Upstreams, proxy.Upstream{URL: u})
	}
	if change != nil {
		change(&config)
	}
	handler, err := proxy.New(config, tokens{w.sb.Portal})
	if err != nil {
		t.Fatal(err)
	}
	mode := listener.ModeLocal
	if scheme == "http" {
		mode = listener.ModeOff
	}
	secured, err := listener.Configure(t.Context(), listener.Config{Mode: mode, Names: []string{"localhost"}}, storage.NewMemory(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(secured.Close)
	if a := secured.Authority(); a != nil {
		w.roots.AddCert(a.Root())
	}
	w.serve(listener.New(inner, secured.Config(), listener.Options{}), listener.Server(handler, log))
	return w
}

// newNaive is a world with a reverse proxy as it is usually written: it adds the
// token, and maps nothing.
func newNaive(t *testing.T, seed uint64) *world {
	t.Helper()
	w := newSandbox(t, seed)
	w.naive = true
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.at(inner, "http")
	origins := map[string]*url.URL{}
	for _, u := range []*url.URL{w.sb.PortalURL, w.sb.ServerURL, w.sb.OtherServerURL} {
		origins[strings.Trim(u.Path, "/")] = &url.URL{Scheme: u.Scheme, Host: u.Host}
	}
	w.serve(inner, &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mount, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		to := origins[mount]
		if to == nil {
			http.NotFound(rw, r)
			return
		}
		(&httputil.ReverseProxy{Transport: w.sb.Transport(), Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Header.Set("X-Esri-Authorization", "Bearer "+w.sb.Portal.Token("alice@example.com"))
		}}).ServeHTTP(rw, r)
	})})
	return w
}

func newSandbox(t *testing.T, seed uint64) *world {
	w := &world{t: t, left: make(map[string]int), roots: x509.NewCertPool()}
	w.sb = sandbox.New(sandbox.Config{Seed: seed, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))})
	t.Cleanup(w.sb.Close)
	return w
}

// at says where the proxy is, and makes the client that reaches only that.
func (w *world) at(inner net.Listener, scheme string) {
	w.address = inner.Addr().String()
	_, port, _ := net.SplitHostPort(w.address)
	w.public = &url.URL{Scheme: scheme, Host: net.JoinHostPort("localhost", port)}
	w.client = &http.Transport{DialContext: w.dial, TLSClientConfig: &tls.Config{RootCAs: w.roots}, DisableCompression: true, ForceAttemptHTTP2: true}
	w.t.Cleanup(w.client.CloseIdleConnections)
}

func (w *world) serve(on net.Listener, server *http.Server) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(on) // ends when it is closed below
	}()
	w.t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

// dial connects to the proxy, and counts and refuses all else. It asks no resolver.
func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if !strings.EqualFold(address, w.public.Host) {
		w.mu.Lock()
		w.left[strings.ToLower(address)]++
		w.mu.Unlock()
		return nil, fmt.Errorf("%s is not the proxy", address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, w.address)
}

// answer is a response that was read to its end and decompressed.
type answer struct {
	url    *url.URL
	status int
	header http.Header
	body   []byte
}

// do sends a request and follows no redirect. Headers come as name, value, name, value.
func (w *world) do(method, address string, body io.Reader, headers ...string) (*answer, error) {
	req, err := http.NewRequestWithContext(w.t.Context(), method, address, body)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if w.key != "" {
		req.Header.Set("X-Esri-Authorization", "Bearer "+w.key)
	}
	res, err := w.client.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	in := io.Reader(res.Body)
	if res.Header.Get("Content-Encoding") == "gzip" && method != http.MethodHead && res.StatusCode != http.StatusNotModified {
		if in, err = gzip.NewReader(res.Body); err != nil {
			return nil, err
		}
	}
	a := &answer{url: req.URL, status: res.StatusCode, header: res.Header}
	a.body, err = io.ReadAll(in)
	return a, err
}

// get sends a GET, and fails the test if there is no answer.
func (w *world) get(address string, headers ...string) *answer {
	w.t.Helper()
	a, err := w.do(http.MethodGet, address, nil, headers...)
	if err != nil {
		w.t.Fatalf("%s: %v", address, err)
	}
	return a
}
