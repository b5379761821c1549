package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"arcproxy/auth"
)

// TestExchangeIsUsedAgain says after which requests an exchange may be another's.
func TestExchangeIsUsedAgain(t *testing.T) {
	p := &settings{Proxy: &Proxy{buffers: newBuffers()}}
	for name, tt := range map[string]struct {
		change func(x *exchange)
		again  bool
	}{
		"nothing":         {func(*exchange) {}, true},
		"a kept body":     {func(x *exchange) { x.body.kept = []byte("a=1") }, true},
		"a streamed body": {func(x *exchange) { x.body.stream = strings.NewReader("") }, false},
		"a WebSocket":     {func(x *exchange) { x.socket = true }, false},
		"somebody waited": {func(x *exchange) {
			x.waiting.Context, x.waiting.limit = t.Context(), time.Hour
			_ = x.waiting.Done()
			x.waiting.end()
		}, false},
	} {
		p.exchanges = sync.Pool{}
		x := p.begin(&http.Request{RequestURI: "/gis", Header: http.Header{}}, &upstream{})
		x.caller, x.query, x.renewed, x.answer.written = &Caller{}, "q", true, 3
		tt.change(x)
		x.end()
		fresh := x.in == nil && x.caller == nil && x.query == "" && !x.renewed && x.answer.written == 0 && x.body.kept == nil && x.waiting.Context == nil
		if fresh != tt.again {
			t.Errorf("%s: it is emptied: %t", name, fresh)
		}
	}
}

// byCaller answers each identity with its own token.
type byCaller struct{}

func (b byCaller) TokenFor(ctx context.Context, identity string, _ time.Duration) (auth.Grant, error) {
	return b.Token(ctx, identity)
}

func (byCaller) Token(_ context.Context, identity string) (auth.Grant, error) {
	return auth.Grant{AccessToken: auth.NewSecret("token-of-" + identity)}, nil
}
func (byCaller) Drop(string, auth.Secret) {}

// TestExchangesAreNotMixed has two callers send requests of all kinds at once, some
// of which they leave in the middle: nobody gets anything of another's. The race
// detector looks on.
func TestExchangesAreNotMixed(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Half of the answers come before the body has been read.
		var sent []byte
		if !strings.Contains(r.URL.Path, "early") {
			sent, _ = io.ReadAll(r.Body)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"who":%q,"path":%q,"sent":%d`, r.Header.Get("X-Esri-Authorization"), r.URL.Path, len(sent))
		if strings.Contains(r.URL.Path, "long") {
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, strings.Repeat(" ", 200_000))
		}
		_, _ = io.WriteString(w, "}")
	}))
	defer up.Close()
	base, err := url.Parse(up.URL + "/gis")
	if err != nil {
		t.Fatal(err)
	}
	transport := NewTransport(TransportConfig{})
	defer transport.CloseIdleConnections()
	p, err := New(Config{
		PublicURL: &url.URL{Scheme: "http", Host: "localhost:8080"},
		Upstreams: []Upstream{{URL: base}},
		Callers:   []Caller{{Name: "a", Identity: "alice", KeySHA256: hashOf("key-of-alice")}, {Name: "b", Identity: "bob", KeySHA256: hashOf("key-of-bob")}},
		Transport: transport,
	}, byCaller{})
	if err != nil {
		t.Fatal(err)
	}
	ours := httptest.NewServer(p)
	defer ours.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	bodies := []string{"", "a=1", strings.Repeat("x", 5000), strings.Repeat("y", maxKept+5000)}
	paths := []string{"short", "early", "long", "early-long"}
	var wg sync.WaitGroup
	for worker := range 8 {
		identity := []string{"alice", "bob"}[worker%2]
		wg.Go(func() {
			for n := range 60 {
				path := fmt.Sprintf("/gis/%s/%d/%d", paths[n%len(paths)], worker, n)
				body := bodies[n/len(paths)%len(bodies)]
				leaves := n%5 == 4
				ctx, leave := context.WithCancel(t.Context())
				method := http.MethodPost
				if body == "" {
					method = http.MethodGet
				}
				r, err := http.NewRequestWithContext(ctx, method, ours.URL+path, strings.NewReader(body))
				if err != nil {
					t.Error(err)
				}
				r.Header.Set("X-Esri-Authorization", "Bearer key-of-"+identity)
				res, err := client.Do(r)
				if err == nil && !leaves {
					// An upstream that answers before it has read everything may cut
					// its own answer off.
					answer, cut := io.ReadAll(res.Body)
					if text := string(answer); res.StatusCode == http.StatusOK && (!strings.HasPrefix(text, fmt.Sprintf(`{"who":"Bearer token-of-%s","path":%q,`, identity, path)) || cut == nil && !strings.HasSuffix(text, "}")) {
						t.Errorf("%s for %s gets %.200s", path, identity, text)
					}
				}
				leave()
				if err == nil {
					_ = res.Body.Close()
				}
			}
		})
	}
	wg.Wait()
}
