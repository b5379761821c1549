package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A Portal that is restarted has closed the connections that were kept for it. Who reads
// does not notice, and nothing arrives twice.
func TestAnUpstreamIsRestarted(t *testing.T) {
	var mu sync.Mutex
	arrived := map[string]int{}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		arrived[r.Method+r.URL.Path]++
		mu.Unlock()
	})
	at := "127.0.0.1:0"
	var server *http.Server
	begin := func() {
		t.Helper()
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		at = l.Addr().String()
		server = &http.Server{Handler: handler}
		go server.Serve(l)
	}
	begin()
	defer func() { _ = server.Close() }()
	s := start(t, nil, func(c *Config) {
		c.Upstreams = []Upstream{{URL: &url.URL{Scheme: "http", Host: at, Path: "/portal"}}}
		c.TempDir = t.TempDir()
	})
	const workers = 8
	n := 0
	for range 10 {
		var all sync.WaitGroup
		for range workers {
			n++
			path := fmt.Sprintf("/portal/rest/services/Trees/FeatureServer/%d", n)
			all.Go(func() {
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					res := s.do(method, path+"/query", strings.NewReader("where=1%3D1&f=json"), urlencoded)
					if got := text(t, res); res.StatusCode != http.StatusOK {
						t.Errorf("%s: %s %s", method, res.Status, got)
					}
				}
			})
		}
		all.Wait()
		_ = server.Close()
		begin()
	}
	if len(arrived) != 2*n {
		t.Errorf("%d of %d arrived", len(arrived), 2*n)
	}
	for path, times := range arrived {
		if times != 1 {
			t.Errorf("%s arrived %d times", path, times)
		}
	}
}

// A connection that breaks when a request is on it already is another matter: what
// changes nothing is sent once more, what may have been done is not.
func TestAConnectionBreaks(t *testing.T) {
	var arrived, sent atomic.Int32
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		sent.Add(int32(len(r.Header["Idempotency-Key"])))
		if strings.HasSuffix(r.URL.Path, "/warm") {
			return
		}
		if arrived.Add(1) == 1 {
			panic(http.ErrAbortHandler) // closes the connection
		}
	}, func(c *Config) { c.TempDir = t.TempDir() })
	for _, c := range []struct {
		method, path string
		body         int
		status, want int
	}{
		{http.MethodGet, "/portal/x", 0, 200, 2},
		{http.MethodPost, "/portal/rest/services/Trees/FeatureServer/0/query", 100, 200, 2},
		{http.MethodPost, "/portal/rest/services/Trees/FeatureServer/0/addFeatures", 100, 502, 1},
		{http.MethodPost, "/portal/x", maxKept + 1, 502, 1},
	} {
		text(t, s.do(http.MethodGet, "/portal/warm", nil, nil)) // so that there is one
		arrived.Store(0)
		var from io.Reader
		if c.body > 0 {
			from = bytes.NewReader(bytes.Repeat([]byte("a"), c.body))
		}
		res := s.do(c.method, c.path, from, urlencoded)
		if keys := sent.Load(); keys != 0 {
			t.Errorf("%d headers that the caller did not send", keys)
		}
		if got := text(t, res); res.StatusCode != c.status || int(arrived.Load()) != c.want {
			t.Errorf("%s %s of %d: %s, arrived %d times: %s", c.method, c.path, c.body, res.Status, arrived.Load(), got)
		}
	}
}

func urlencoded(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }
