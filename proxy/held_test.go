package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"arcproxy/auth"
)

// TestHeldAnswersAreMapped: short answers, which have been looked into for a
// refusal, are mapped where they are; also one that grows.
func TestHeldAnswersAreMapped(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		body := `{"name":"x"` + strings.Repeat(`,"url":"http://`+r.Host+`/gis/a"`, n) + "}"
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Header().Set("ETag", `"1"`)
		_, _ = io.WriteString(w, body)
	}))
	defer up.Close()
	base, err := url.Parse(up.URL + "/gis")
	if err != nil {
		t.Fatal(err)
	}
	transport := NewTransport(TransportConfig{})
	defer transport.CloseIdleConnections()
	for _, public := range []string{"http://l:1", "https://" + strings.Repeat("a-long-name.", 18) + "example:8443"} {
		at, err := url.Parse(public)
		if err != nil {
			t.Fatal(err)
		}
		p, err := New(Config{
			PublicURL: at,
			Upstreams: []Upstream{{URL: base}},
			Callers:   []Caller{{Name: "a", Identity: "alice", KeySHA256: hashOf(callerKey)}},
			Transport: transport,
		}, oneToken{auth.Grant{AccessToken: auth.NewSecret("token1")}})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, 50, 150} {
			r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/gis/x?f=json&n=%d", n), nil)
			r.Host = "localhost"
			r.Header.Set("X-Esri-Authorization", "Bearer "+callerKey)
			w := httptest.NewRecorder()
			p.ServeHTTP(w, r)
			want := `{"name":"x"` + strings.Repeat(`,"url":"`+public+`/gis/a"`, n) + "}"
			if w.Body.String() != want {
				t.Errorf("%s, %d: %.300s", public, n, w.Body)
			}
			if length := w.Header().Get("Content-Length"); length != "" && length != strconv.Itoa(len(want)) || length == "" && len(want) < 1000 {
				t.Errorf("%s, %d: Content-Length %s of %d", public, n, length, len(want))
			}
			if tag := w.Header().Get("Etag"); (tag == `"1"`) != (n == 0) {
				t.Errorf("%s, %d: ETag %s", public, n, tag)
			}
		}
	}
}
