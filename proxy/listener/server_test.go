package listener

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

func TestServerLimitsHeaders(t *testing.T) {
	l := New(loopbackListener(t), nil, Options{})
	serve(t, l, tell)
	client, _ := client(t, nil, false)
	for size, want := range map[int]int{maxHeaderBytes / 2: http.StatusOK, 2 * maxHeaderBytes: http.StatusRequestHeaderFieldsTooLarge} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Long", strings.Repeat("x", size))
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("a header of %d bytes: %s", size, res.Status)
		}
	}
}

// What net/http complains about is logged by how much it concerns an operator.
func TestServerComplaints(t *testing.T) {
	c := localTLS(t)
	logged := &lines{}
	l := New(loopbackListener(t), c.Config(), Options{})
	srv := Server(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a fault of ours") }), slog.New(slog.NewTextHandler(logged, nil)))
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(l)
	}()
	defer func() {
		_ = srv.Close()
		<-served
	}()
	if _, err := http.Get("http://" + l.Addr().String()); err == nil {
		t.Error("an answer from a handler that panics")
	}
	if conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: x509.NewCertPool()}); err == nil {
		conn.Close()
		t.Error("the authority is trusted unasked")
	}
	eventually(t, "both complaints", func() bool {
		return logged.contain("level=ERROR", "a fault of ours") && logged.contain("level=INFO", "TLS handshake error", "arcproxy trust")
	})
}
