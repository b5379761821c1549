package proxy

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"arcproxy/proxy/audit"
)

// trail keeps records in memory.
type trail struct {
	mu   sync.Mutex // guards list
	list []audit.Record
}

func (l *trail) Write(r *audit.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, *r)
}

func (l *trail) records() []audit.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]audit.Record(nil), l.list...)
}

func TestEveryForwardedRequestIsRecorded(t *testing.T) {
	var kept trail
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Esri-Authorization") == "Bearer token1" {
			_, _ = io.WriteString(w, `{"error":{"code":498,"message":"Invalid token.","details":[]}}`)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "[12345]")
	}, func(c *Config) { c.Trail = &kept })
	s.get("/other")                                                                                        // not mounted
	s.do(http.MethodGet, "/portal/a", nil, func(r *http.Request) { r.Header.Del("X-Esri-Authorization") }) // unknown
	_ = text(t, s.do(http.MethodGet, "/portal/a%20b?f=json&token="+callerKey+"&where=secret", nil, nil))
	_ = text(t, s.do(http.MethodPost, "/portal/c", strings.NewReader("x"), nil))
	s.upstream.Close()
	s.get("/portal/down")
	s.client.CloseIdleConnections()
	list := kept.records()
	if len(list) != 3 {
		t.Fatalf("there are %d records: %+v", len(list), list)
	}
	for i, want := range []struct {
		method, path, query string
		status              int
		bytes               int64
		renewed             bool
	}{
		{"GET", "/portal/a%20b", "f=json&where=secret", 201, 7, true},
		{"POST", "/portal/c", "", 201, 7, false},
		{"GET", "/portal/down", "", 502, list[2].Bytes, false},
	} {
		r := list[i]
		if r.Caller != "nightly" || r.Identity != "alice" || !strings.HasPrefix(r.Address, "127.0.0.1:") || r.Duration <= 0 || r.Time.IsZero() ||
			r.Method != want.method || r.Path != want.path || r.RawQuery != want.query || r.Status != want.status || r.Bytes != want.bytes || r.Renewed != want.renewed {
			t.Errorf("record %d is %+v", i, r)
		}
	}
}
