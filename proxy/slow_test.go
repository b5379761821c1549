package proxy

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// impatient starts a proxy that waits for bodies no longer than limit.
func impatient(t *testing.T, limit time.Duration, upstream http.HandlerFunc) (*setup, *httptest.Server) {
	t.Helper()
	s := start(t, upstream)
	p, err := New(s.config(), s.tokens)
	if err != nil {
		t.Fatal(err)
	}
	p.bodyTime = limit
	front := httptest.NewUnstartedServer(p)
	front.EnableHTTP2 = true
	front.StartTLS()
	t.Cleanup(front.Close)
	t.Cleanup(p.transport.(*http.Transport).CloseIdleConnections)
	return s, front
}

// A body that does not come, or comes drop by drop, is given up, at whatever
// step it is read, and the connection is not kept for it.
func TestAStalledBodyIsGivenUp(t *testing.T) {
	_, front := impatient(t, 100*time.Millisecond, new(seen).ServeHTTP)
	for name, head := range map[string]string{
		"kept":         "Content-Length: 100",
		"form":         "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100",
		"upload":       "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100",
		"large upload": fmt.Sprintf("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d", 2*maxKept),
		"streamed":     fmt.Sprintf("Content-Length: %d", 2*maxKept),
		"chunked":      "Transfer-Encoding: chunked",
	} {
		for _, drops := range []bool{false, true} {
			t.Run(fmt.Sprint(name, drops), func(t *testing.T) {
				conn, err := tls.Dial("tcp", front.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(conn, "POST /portal/x HTTP/1.1\r\nHost: localhost\r\nX-Esri-Authorization: Bearer %s\r\n%s\r\n\r\n", callerKey, head)
				if name == "chunked" {
					fmt.Fprint(conn, "1000\r\n")
				}
				stop := make(chan struct{})
				done := make(chan struct{})
				go func() {
					defer close(done)
					tick := time.NewTicker(20 * time.Millisecond)
					defer tick.Stop()
					for drops {
						select {
						case <-tick.C:
							if _, err := conn.Write([]byte("a")); err != nil {
								return
							}
						case <-stop:
							return
						}
					}
				}()
				answer, err := io.ReadAll(conn) // until the server closes
				close(stop)
				<-done
				if e, ok := err.(net.Error); ok && e.Timeout() || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
					t.Errorf("got %q, %v", answer, err)
				}
			})
		}
	}
}

// Nobody waits for the body of a request that is refused for another reason.
func TestTheBodyOfARefusedRequestIsNotWaitedFor(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the server waits for leftovers")
	}
	s := start(t, new(seen).ServeHTTP)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(4 * leftoverTime)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "POST /portal/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n")
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 401 ") {
		t.Errorf("got %q, %v", answer, err)
	}
}

// slowly yields n blocks, each a little after the last.
type slowly struct {
	n    int
	tick *time.Ticker
}

func (s *slowly) Read(p []byte) (int, error) {
	if s.n == 0 {
		return 0, io.EOF
	}
	s.n--
	<-s.tick.C
	return copy(p, bytes.Repeat([]byte("x"), bodyStep)), nil
}

// An upload that goes on may take many times as long as one stall may, over
// either protocol, and so may an upstream that swallows it slowly.
func TestASteadyUploadMayTakeLong(t *testing.T) {
	const limit = 500 * time.Millisecond
	var up seen
	s, front := impatient(t, limit, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("slow") { // the caller has sent all long before
			tick := time.NewTicker(2 * limit)
			defer tick.Stop()
			<-tick.C
		}
		up.ServeHTTP(w, r)
	})
	for _, h2 := range []bool{false, true} {
		tr := front.Client().Transport.(*http.Transport).Clone()
		tr.ForceAttemptHTTP2 = h2
		if !h2 {
			tr.TLSClientConfig.NextProtos = []string{"http/1.1"}
		}
		s.client, s.url = &http.Client{Transport: tr}, front.URL
		tick := time.NewTicker(limit / 4)
		res := s.do(http.MethodPost, "/portal/x", &slowly{16, tick}, nil)
		body := text(t, res)
		_, sent, _ := up.get()
		if res.StatusCode != 200 || len(sent) != 16*bodyStep || (res.ProtoMajor == 2) != h2 {
			t.Errorf("%s %s: %s; %d bytes came through", res.Proto, res.Status, body, len(sent))
		}
		for _, size := range []int{100, 4 << 20} {
			res = s.do(http.MethodPost, "/portal/x?slow=1", bytes.NewReader(make([]byte, size)), nil)
			body = text(t, res)
			if _, sent, _ := up.get(); res.StatusCode != 200 || len(sent) != size {
				t.Errorf("%s %s: %s; %d of %d bytes came through", res.Proto, res.Status, body, len(sent), size)
			}
		}
		tick.Stop()
		tr.CloseIdleConnections()
	}
}

func TestLongPathsAreRefused(t *testing.T) {
	requests{
		{"long", "GET /portal/" + strings.Repeat("a", maxPath-len("/portal/")) + " HTTP/1.1\nHOST\nKEY\n\n", 200, true},
		{"too long", "GET /portal/" + strings.Repeat("a", maxPath) + " HTTP/1.1\nHOST\nKEY\n\n", 414, false},
		{"long query", "GET /portal/?where=" + strings.Repeat("a", 2*maxPath) + " HTTP/1.1\nHOST\nKEY\n\n", 200, true},
	}.run(t)
}
