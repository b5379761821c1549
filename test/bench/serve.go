package main

import (
	"bytes"
	"context"
	"crypto/sha256"
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
	"strconv"
	"sync"
	"time"

	"arcproxy/auth"
	"arcproxy/proxy"
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
	target, err := url.Parse("http://" + s.upstream + "/portal")
	if err != nil {
		return nil, err
	}
	transport := proxy.NewTransport(proxy.TransportConfig{})
	switch s.role {
	case "bare":
		origin := &url.URL{Scheme: target.Scheme, Host: target.Host}
		return &httputil.ReverseProxy{
			Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(origin) },
			Transport:  transport,
			BufferPool: &pool{},
		}, nil
	case "ours":
		key := sha256.Sum256([]byte(callerKey))
		return proxy.New(proxy.Config{
			PublicURL: &url.URL{Scheme: "https", Host: "localhost:8443"},
			Upstreams: []proxy.Upstream{{URL: target}},
			Callers:   []proxy.Caller{{Name: "bench", Identity: "alice", KeySHA256: &key}},
			Transport: transport,
			Log:       slog.New(slog.NewTextHandler(io.Discard, nil)),
		}, tokens{auth.Grant{AccessToken: auth.NewSecret("a-token-as-long-as-those-that-a-portal-gives-out-which-is-some-hundred-characters-and-often-more-than-that")}})
	}
	return nil, fmt.Errorf("there is no role %q", s.role)
}

// tokens always has the same token.
type tokens struct{ grant auth.Grant }

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
	u := usage{Micros: processorTime().Microseconds(), Allocations: m.Mallocs}
	u.Resident, u.Peak = resident()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(u) // an error means that who asked has left
}

// newUpstream returns a handler that does as little as it can.
func newUpstream() http.Handler {
	mux := http.NewServeMux()
	bodies := sync.Map{}
	body := func(r *http.Request, beginning string) []byte {
		key := r.URL.String()
		if b, ok := bodies.Load(key); ok {
			return b.([]byte)
		}
		size, _ := strconv.Atoi(r.URL.Query().Get("size")) // 0 for what is no number
		b := bytes.Repeat([]byte(beginning), size/len(beginning)+1)[:size]
		bodies.Store(key, b)
		return b
	}
	const features = `{"objectIdFieldName":"OBJECTID","features":[{"attributes":{"OBJECTID":1,"SPECIES":"Quercus robur"}}]},`
	mux.HandleFunc("/portal/json", func(w http.ResponseWriter, r *http.Request) {
		b := body(r, features)
		w.Header().Set("Content-Type", "application/json;charset=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		_, _ = w.Write(b)
	})
	mux.HandleFunc("/portal/tile", func(w http.ResponseWriter, r *http.Request) {
		b := body(r, "\x89PNG\r\n")
		w.Header().Set("Content-Type", "image/png")
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		_, _ = w.Write(b)
	})
	mux.HandleFunc("/portal/chunked", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json;charset=utf-8")
		_, _ = w.Write(body(r, features))
	})
	mux.HandleFunc("/portal/large", func(w http.ResponseWriter, r *http.Request) {
		size, _ := strconv.ParseInt(r.URL.Query().Get("size"), 10, 64)
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		_, _ = io.Copy(w, io.LimitReader(zeros{}, size))
	})
	mux.HandleFunc("/portal/upload", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body) // the number says how far it came
		_, _ = fmt.Fprint(w, n)
	})
	return mux
}
