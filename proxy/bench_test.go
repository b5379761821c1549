package proxy

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"testing"
	"time"

	"arcproxy/auth"
)

// canned is a transport that answers at once.
type canned struct{ body []byte }

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode:    200,
		Header:        http.Header{"Content-Type": {"application/json"}, "Content-Length": {strconv.Itoa(len(c.body))}, "Date": {"now"}},
		Body:          io.NopCloser(bytes.NewReader(c.body)),
		ContentLength: int64(len(c.body)),
		Request:       r,
	}, nil
}

// BenchmarkHandler measures the handler alone, without network, beside a bare
// ReverseProxy. What it costs whole is for test/bench.
func BenchmarkHandler(b *testing.B) {
	transport := canned{[]byte(`{"objectIdFieldName":"OBJECTID","features":[` + string(bytes.Repeat([]byte(" "), 1000)) + `]}`)}
	target := &url.URL{Scheme: "http", Host: "gis.example.com", Path: "/portal"}
	ours, err := New(Config{
		PublicURL: &url.URL{Scheme: "https", Host: "localhost:8443"},
		Upstreams: []Upstream{{URL: target}},
		Callers:   []Caller{{Name: "bench", Identity: "alice", KeySHA256: hashOf(callerKey)}},
		Transport: transport,
	}, oneToken{auth.Grant{AccessToken: auth.NewSecret("token1")}})
	if err != nil {
		b.Fatal(err)
	}
	for name, handler := range map[string]http.Handler{
		"ours": ours,
		"bare": &httputil.ReverseProxy{
			Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "gis.example.com"}) },
			Transport:  transport,
			BufferPool: newBuffers(),
		},
	} {
		b.Run(name, func(b *testing.B) {
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/portal/sharing/rest/search?q=a&f=json", nil)
			if err != nil {
				b.Fatal(err)
			}
			r.Host = "localhost:8443"
			r.RequestURI = "/portal/sharing/rest/search?q=a&f=json"
			r.RemoteAddr = "127.0.0.1:1234"
			r.Header = http.Header{"User-Agent": {"bench"}, "Accept": {"*/*"}, "Accept-Encoding": {"gzip"}, "X-Esri-Authorization": {"Bearer " + callerKey}}
			b.ReportAllocs()
			for b.Loop() {
				handler.ServeHTTP(&sink{header: http.Header{}}, r)
			}
		})
	}
}

// oneToken has always the same one.
type oneToken struct{ grant auth.Grant }

func (o oneToken) TokenFor(context.Context, string, time.Duration) (auth.Grant, error) {
	return o.grant, nil
}

func (o oneToken) Token(context.Context, string) (auth.Grant, error) { return o.grant, nil }
func (o oneToken) Drop(string, auth.Secret)                          {}

// sink is a ResponseWriter that keeps nothing.
type sink struct{ header http.Header }

func (r *sink) Header() http.Header         { return r.header }
func (r *sink) WriteHeader(int)             {}
func (r *sink) Write(p []byte) (int, error) { return len(p), nil }
