package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func newTLSServer(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(new(seen))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshakes that are meant to fail
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// zeros yields n zero bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// peak watches the heap until its returned function is called, which returns by
// how much it rose at most.
func peak() func() uint64 {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	runtime.GC()
	idle := heap()
	var most atomic.Uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				most.Store(max(most.Load(), heap()))
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-done
		return max(most.Load(), idle) - idle
	}
}

const (
	large    = 256 << 20
	headroom = 24 << 20
)

func TestLargeBodiesPassInLittleMemory(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.Method == http.MethodPost {
			_, _ = fmt.Fprint(w, n)
			return
		}
		if r.URL.Query().Has("length") {
			w.Header().Set("Content-Length", strconv.Itoa(large))
		}
		_, _ = io.Copy(w, zeros(large))
	})
	for _, c := range []struct {
		name, method, target, kind string
		body                       io.Reader
		length                     int64
		want                       int64
	}{
		{"download", http.MethodGet, "/portal/x?length", "", nil, 0, large},
		{"download in chunks", http.MethodGet, "/portal/x", "", nil, 0, large},
		{"upload", http.MethodPost, "/portal/x", "application/octet-stream", zeros(large), large, large},
		{"upload in chunks", http.MethodPost, "/portal/x", "application/octet-stream", zeros(large), -1, large},
		{"multipart", http.MethodPost, "/portal/x", "multipart/form-data; boundary=b", io.MultiReader(strings.NewReader(fileHead), zeros(large), strings.NewReader("\r\n--b--")), int64(len(fileHead)) + large + 7, int64(len(fileHead)) + large + 7},
		{"multipart in chunks", http.MethodPost, "/portal/x", "multipart/form-data; boundary=b", io.MultiReader(strings.NewReader(upload("token=" + callerKey)[:len(upload("token="+callerKey))-5]+fileHead), zeros(large), strings.NewReader("\r\n--b--")), -1, int64(len(fileHead)) + large + 7},
		{"a field", http.MethodPost, "/portal/x", "multipart/form-data; boundary=b", io.MultiReader(strings.NewReader(fieldHead), zeros(large), strings.NewReader("\r\n--b--")), -1, int64(len(fieldHead)) + large + 7},
		{"form", http.MethodPost, "/portal/x", "application/x-www-form-urlencoded", io.MultiReader(strings.NewReader("token=E&a="), zeros(large)), large + 10, large + 2},
		{"form in chunks", http.MethodPost, "/portal/x", "application/x-www-form-urlencoded", io.MultiReader(zeros(large), strings.NewReader("&token=E")), -1, large},
	} {
		t.Run(c.name, func(t *testing.T) {
			rose := peak()
			res := s.do(c.method, c.target, c.body, func(r *http.Request) {
				r.ContentLength = c.length
				r.Header.Set("Content-Type", c.kind)
			})
			var got int64
			var err error
			if c.method == http.MethodGet {
				got, err = io.Copy(io.Discard, res.Body)
			} else {
				got, err = strconv.ParseInt(text(t, res), 10, 64)
			}
			if err != nil || got != c.want {
				t.Errorf("%s: %d bytes, not %d (%v)", res.Status, got, c.want, err)
			}
			if most := rose(); most > headroom {
				t.Errorf("the heap rose by %d MB", most>>20)
			}
		})
	}
}

func TestALargeFormNeedsAKnownCaller(t *testing.T) {
	var up seen
	s := start(t, up.ServeHTTP, byAddress)
	form := "token=" + callerKey + "&a=" + strings.Repeat("x", maxForm)
	for name, body := range map[string]io.Reader{"with a length": strings.NewReader(form), "in chunks": io.MultiReader(strings.NewReader(form))} {
		res := s.do(http.MethodPost, "/portal/x", body, func(r *http.Request) {
			r.Header.Del("X-Esri-Authorization")
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		})
		if res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: got %s", name, res.Status)
		}
	}
	if _, _, n := up.get(); n != 0 {
		t.Errorf("the upstream was asked %d times", n)
	}
}

// Each write of an upstream reaches the caller before the next is made, whether
// the length is known or not, and so does each write of a caller.
func TestStreamsAreFlushed(t *testing.T) {
	for _, length := range []int{0, promptAbove + 2} {
		t.Run(strconv.Itoa(length), func(t *testing.T) {
			next := make(chan struct{})
			s := start(t, func(w http.ResponseWriter, r *http.Request) {
				if length > 0 {
					w.Header().Set("Content-Length", strconv.Itoa(length))
				}
				w.Header().Set("Content-Type", "application/octet-stream")
				for range 2 {
					_, _ = io.WriteString(w, "\x01")
					w.(http.Flusher).Flush()
					select {
					case <-next:
					case <-r.Context().Done():
						return
					}
				}
				_, _ = io.Copy(w, zeros(int64(max(length-2, 0))))
			})
			res := s.do(http.MethodGet, "/portal/x", nil, nil)
			one := make([]byte, 1)
			for range 2 {
				if _, err := io.ReadFull(res.Body, one); err != nil {
					t.Fatal(err)
				}
				next <- struct{}{}
			}
			if rest := text(t, res); len(rest) != max(length-2, 0) {
				t.Errorf("%d bytes were left", len(rest))
			}
		})
	}
	t.Run("up", func(t *testing.T) {
		got := make(chan byte)
		s := start(t, func(w http.ResponseWriter, r *http.Request) {
			b := bufio.NewReader(r.Body)
			for {
				c, err := b.ReadByte()
				if err != nil {
					return
				}
				got <- c
			}
		})
		read, write := io.Pipe()
		go func() {
			for _, c := range []byte("abc") {
				_, _ = write.Write([]byte{c})
				if back := <-got; back != c {
					t.Errorf("%q arrived as %q", c, back)
				}
			}
			_ = write.Close()
		}()
		if res := s.do(http.MethodPost, "/portal/x", read, nil); res.StatusCode != 200 {
			t.Errorf("got %s", res.Status)
		}
	})
}

func TestACallerWhoLeavesEndsTheUpstreamRequest(t *testing.T) {
	arrived, left := make(chan struct{}), make(chan struct{})
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(left)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/portal/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Esri-Authorization", "Bearer "+callerKey)
	if res, err := s.client.Do(r); err == nil {
		_ = res.Body.Close()
		t.Error("there was an answer")
	}
	<-left
}

// A caller that leaves in the middle of an upload is not the upstream's fault.
func TestABrokenUploadIsTheCallers(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			t.Error("the upstream saw a whole body")
		}
	})
	for _, request := range []string{
		"POST /portal/x HTTP/1.1\nHOST\nKEY\nContent-Length: 10\n\nabc",
		"POST /portal/x HTTP/1.1\nHOST\nKEY\nContent-Type: application/x-www-form-urlencoded\nTransfer-Encoding: chunked\n\nzz\n",
		"POST /portal/x HTTP/1.1\nHOST\nKEY\nTransfer-Encoding: chunked\n\n3\nabc\nzz\n",
	} {
		address := strings.TrimPrefix(s.url, "http://")
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.WriteString(conn, strings.NewReplacer("\n", "\r\n", "HOST", "Host: "+address, "KEY", "Authorization: Bearer "+callerKey).Replace(request))
		if err == nil {
			err = conn.(*net.TCPConn).CloseWrite()
		}
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		_ = conn.Close()
		if len(answer) > 0 && !bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) || err != nil {
			t.Errorf("%.60q: %v %s", request, err, answer)
		}
	}
	if strings.Contains(s.log.String(), "level=WARN") {
		t.Errorf("the log blames somebody:\n%s", s.log)
	}
}

func TestAnswersAreTidied(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Link", "</style.css>")
		h.Add("Set-Cookie", "esri_auth=E")
		w.WriteHeader(http.StatusEarlyHints)
		h.Add("Set-Cookie", "JSESSIONID=1")
		h.Set("Cache-Control", "public, max-age=60")
		h.Set("Alt-Svc", `h3=":443"`)
		h.Set("Strict-Transport-Security", "max-age=31536000")
		h.Set("Location", "https://elsewhere.example/portal")
		h.Set("ETag", `"1"`)
		w.WriteHeader(http.StatusFound)
	})
	res := s.raw("GET /portal/x HTTP/1.1\nHOST\nKEY\n\n")
	defer res.Body.Close()
	if res.StatusCode != http.StatusFound {
		t.Fatalf("the first answer is %s: informational ones were not meant for us", res.Status)
	}
	want := http.Header{
		"Set-Cookie": {"JSESSIONID=1"}, "Cache-Control": {"private, max-age=60"}, "Location": {"https://elsewhere.example/portal"}, "Etag": {`"1"`}, "Link": {"</style.css>"},
	}
	for name, values := range res.Header {
		if name != "Date" && name != "Content-Length" && strings.Join(values, "|") != strings.Join(want[name], "|") {
			t.Errorf("%s: %q", name, values)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
}

func TestWebSocket(t *testing.T) {
	var target, header atomic.Value
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		target.Store(r.RequestURI)
		header.Store(r.Header.Get("X-Esri-Authorization"))
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSet-Cookie: esri_auth=E\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.Copy(conn, rw)
	})
	address := strings.TrimPrefix(s.url, "http://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET /portal/ws/subscribe?where=%%&token=%s HTTP/1.1\r\nHost: %s\r\nOrigin: https://app.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n", callerKey, address)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", res, err)
	}
	if res.Header.Get("Set-Cookie") != "" {
		t.Errorf("headers are %v", res.Header)
	}
	if target.Load() != "/portal/ws/subscribe?where=%&token=token1" || header.Load() != "" {
		t.Errorf("the upstream was asked for %v with %v", target.Load(), header.Load())
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(in, got); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	_ = conn.Close()
	if strings.Contains(s.log.String(), "token1") {
		t.Errorf("the log holds a token:\n%s", s.log)
	}
}

// A token goes to the upstream of the request only, also when that sends the
// caller elsewhere, and each mount gets its own.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var other seen
	elsewhere := httptest.NewServer(&other)
	defer elsewhere.Close()
	s := start(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) })
	res := s.do(http.MethodGet, "/portal/x", nil, nil)
	if _, _, n := other.get(); n != 0 || res.StatusCode != http.StatusFound || res.Header.Get("Location") != elsewhere.URL {
		t.Errorf("%s, %d requests went elsewhere", res.Status, n)
	}
}

func TestTheLogTellsNoParameters(t *testing.T) {
	s := start(t, new(seen).ServeHTTP)
	res := s.raw("GET /portal/a%1b?where=PRIVATE&f=json&token=" + callerKey + " HTTP/1.1\nHOST\nKEY\n\n")
	_ = res.Body.Close() // refused for its control character, and logged
	s.get("/portal/x?where=PRIVATE&f=json&token=" + callerKey)
	s.client.CloseIdleConnections()
	log := s.log.String()
	if !strings.Contains(log, "/portal/a%1b") || strings.Contains(log, "PRIVATE") || strings.Contains(log, callerKey) || strings.Contains(log, "token1") || strings.Contains(log, "\x1b") {
		t.Errorf("the log says\n%s", log)
	}
}

func TestManyCallersAtOnce(t *testing.T) {
	s := start(t, echo)
	var group sync.WaitGroup
	for i := range 32 {
		group.Go(func() {
			for j := range 8 {
				want := strings.Repeat(strconv.Itoa(i*8+j)+" ", 1+i*1000)
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/portal/x", strings.NewReader(want))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Authorization", "Bearer "+callerKey)
				res, err := s.client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || string(got) != want {
					t.Errorf("%v: %d bytes instead of %d, or another's", err, len(got), len(want))
				}
			}
		})
	}
	group.Wait()
}
