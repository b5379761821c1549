package main

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"

	"arcproxy/auth"
	"arcproxy/proxy"
	"arcproxy/proxy/console"
)

// callerKey is what the load presents. The bare proxy passes it on as it is.
const callerKey = "benchcallerkey0123456789abcdef01"

// serve is a child in a serving role, until its standard input ends.
func serve(s settings) error {
	handler, err := handlerFor(s)
	if err != nil {
		return err
	}
	if s.profile != "" {
		f, err := os.Create(s.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	var addresses []string
	for _, h := range []http.Handler{handler, http.HandlerFunc(tell)} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
		go func() { _ = server.Serve(listener) }() // ends with the server
		defer server.Close()
		addresses = append(addresses, listener.Addr().String())
	}
	fmt.Println(addresses[0], addresses[1])
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func handlerFor(s settings) (http.Handler, error) {
	if s.role == "upstream" {
		return newUpstream(), nil
	}
	// The upstream has a name and a scheme as in earnest, and so the addresses in
	// bodies do. Its TLS is left out, which would cost every contestant the same.
	transport := proxy.NewTransport(proxy.TransportConfig{})
	transport.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", s.upstream)
	}
	origin := &url.URL{Scheme: "https", Host: upstreamHost}
	switch s.role {
	case "bare", "codec":
		bare := &httputil.ReverseProxy{
			Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(origin) },
			Transport:  transport,
			BufferPool: &pool{},
		}
		if s.role == "codec" {
			bare.ModifyResponse = (&codecs{}).again
		}
		return bare, nil
	case "ours", "left":
		var upstreams []proxy.Upstream
		for _, mount := range mounts {
			upstreams = append(upstreams, proxy.Upstream{URL: origin.JoinPath(mount)})
		}
		key := sha256.Sum256([]byte(callerKey))
		return proxy.New(proxy.Config{
			PublicURL: &publicURL,
			Upstreams: upstreams,
			Callers:   []proxy.Caller{{Name: "bench", Identity: "alice", KeySHA256: &key}},
			Transport: transport,
			// As serve has it; nobody looks at it.
			Console: console.New(console.Config{Control: struct{ console.Control }{}}),
			Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
		}, tokens{auth.Grant{AccessToken: auth.NewSecret(token())}})
	}
	return nil, fmt.Errorf("there is no role %q", s.role)
}

// token looks as a Portal's: some hundred characters without any meaning.
func token() string {
	sum := sha512.Sum512([]byte("bench"))
	return base64.RawURLEncoding.EncodeToString(append(sum[:], sum[:16]...))
}

// tokens always has the same token.
type tokens struct{ grant auth.Grant }

func (t tokens) TokenFor(context.Context, string, time.Duration) (auth.Grant, error) {
	return t.grant, nil
}

func (t tokens) Token(context.Context, string) (auth.Grant, error) { return t.grant, nil }
func (t tokens) Drop(string, auth.Secret)                          {}

// pool is the bare proxy's buffer pool.
type pool struct{ blocks sync.Pool }

func (p *pool) Get() []byte {
	if b, ok := p.blocks.Get().(*[32 << 10]byte); ok {
		return b[:]
	}
	return make([]byte, 32<<10)
}

func (p *pool) Put(b []byte) { p.blocks.Put((*[32 << 10]byte)(b)) }

// tell tells what this process has used.
func tell(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := usage{Micros: float64(processorTime().Nanoseconds()) / 1e3, Allocations: float64(m.Mallocs)}
	u.Resident, u.Peak = resident(os.Getpid())
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(u) // an error means that who asked has left
}
