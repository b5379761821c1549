package proxy

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"arcproxy/proxy/console"
)

// tally is Figures that remembers all.
type tally struct {
	mu   sync.Mutex // guards what follows
	seen []string
}

type tallied struct {
	of   *tally
	name string
}

func (t *tally) Caller(name, identity string) Counter { return tallied{t, name + "/" + identity} }
func (c tallied) Request(status int, took time.Duration, renewed bool) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.of.seen = append(c.of.seen, fmt.Sprintf("%s %d %t %t", c.name, status, took > 0, renewed))
}

func TestRequestsAreCountedAndNoted(t *testing.T) {
	figures := &tally{}
	shown := console.New(console.Config{Control: &standing{}})
	defer shown.Close()
	refuse := true
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/expired") && refuse:
			refuse = false
			_, _ = io.WriteString(w, `{"error":{"code":498,"message":"Invalid token."}}`)
		case strings.HasSuffix(r.URL.Path, "/broken"):
			w.WriteHeader(http.StatusInternalServerError)
		default:
			_, _ = io.WriteString(w, "{}")
		}
	}, func(c *Config) { c.Figures, c.Console = figures, shown })
	s.get("/portal/a?secret=canary&f=json")
	s.get("/portal/expired?f=json")
	s.get("/portal/broken?f=json")
	s.get("/nowhere")
	s.do("GET", "/portal/x?f=json", nil, func(r *http.Request) { r.Header.Set("X-Esri-Authorization", "Bearer wrong") })
	figures.mu.Lock()
	defer figures.mu.Unlock()
	want := []string{"nightly/alice 200 true false", "nightly/alice 200 true true", "nightly/alice 500 true false", "/ 404 true false", "/ 401 true false"}
	if !slices.Equal(figures.seen, want) {
		t.Errorf("counted %q, want %q", figures.seen, want)
	}
	var noted []string
	for _, r := range shown.Journal().Requests() {
		noted = append(noted, fmt.Sprintf("%s %s %s %d", r.Caller, r.Method, r.Path, r.Status))
	}
	if want := []string{" GET /portal/x 401", "nightly GET /portal/broken 500", "nightly GET /portal/expired 200", "nightly GET /portal/a 200"}; !slices.Equal(noted, want) {
		t.Errorf("noted %q, want %q", noted, want)
	}
	failed := shown.Journal().Failures()
	if len(failed) != 2 || failed[0].Reason != wrongKey.message || failed[1].Status != 500 {
		t.Errorf("failures: %+v", failed)
	}
}
