package attack

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// slowness is a way of keeping a connection busy with next to nothing.
type slowness struct {
	name  string
	limit time.Duration // the connection has to be over by then
	tls   bool          // what is sent goes through a TLS connection
	begin string        // sent at once
	drip  string        // and then a byte of this every half second, over and over
}

// The program gives ten seconds for what comes before a request, and thirty for
// each 8 KiB of a body; the machine may be slow besides.
const (
	headTime = 10*time.Second + 20*time.Second
	bodyTime = 30*time.Second + 30*time.Second
)

// slowForm begins a form that promises more than it brings.
const slowForm = "POST /gis/x HTTP/1.1\n{host}\nContent-Type: application/x-www-form-urlencoded\n"

var slownesses = []slowness{
	{name: "silence", limit: headTime},
	{name: "slowloris", limit: headTime, begin: "GET /gis/x HTTP/1.1\n{host}\n{key}\n", drip: "X-A: b\n"},
	{name: "half a request line", limit: headTime, begin: "GET /gi"},
	{name: "a byte of TLS", limit: headTime, begin: "\x16"},
	{name: "half a ClientHello", limit: headTime, begin: string(clientHello()[:100])},
	{name: "a ClientHello byte by byte", limit: headTime, begin: "\x16\x03\x01\x10\x00", drip: string(clientHello()[5:])},
	{name: "a handshake that stops", limit: headTime, begin: string(clientHello())},
	{name: "slowloris in TLS", limit: headTime, tls: true, begin: "GET /gis/x HTTP/1.1\n{host}\n", drip: "X-A: b\n"},
	{name: "silence in TLS", limit: headTime, tls: true},
	{name: "a stranger's form", limit: bodyTime, begin: slowForm + "Content-Length: 100000\n\n", drip: "a"},
	{name: "a caller's form", limit: bodyTime, begin: slowForm + "{key}\nContent-Length: 100000\n\na="},
	{name: "a caller's body", limit: bodyTime, begin: "POST /gis/x HTTP/1.1\n{host}\n{key}\nContent-Type: text/plain\nContent-Length: 100000\n\n", drip: "a"},
	{name: "a caller's upload", limit: bodyTime, begin: "POST /gis/x HTTP/1.1\n{host}\n{key}\nContent-Type: text/plain\nContent-Length: 100000000\n\n", drip: "a"},
	{name: "a caller's chunks", limit: bodyTime, begin: "POST /gis/x HTTP/1.1\n{host}\n{key}\nContent-Type: text/plain\nTransfer-Encoding: chunked\n\n", drip: "1\na\n"},
	{name: "a refused body", limit: bodyTime, begin: "POST /gis/../x HTTP/1.1\n{host}\n{key}\nContent-Length: 100000\n\n", drip: "a"},
}

// crowd is how many connections of each kind there are.
const crowd = 8

// stall is row 29: connections by the dozen stop at every stage, from before the
// first byte to the last of a body. Each has to end by itself within the
// program's limits, and an honest caller has to be answered all the while. The
// naive proxy, which has no limits, has to keep its slowloris.
//
// It returns what waits for the end of it all.
func stall(t *testing.T) (finish func()) {
	sb := startSandbox(t)
	tr := newTrap(t)
	up := newRecorder(t, tr.address)
	s := settings{portal: sb.PortalURL.String(), okta: sb.OktaURL.String(), servers: []string{up.server.URL + "/" + mount}, callers: callers, log: "json"}
	d, _ := serve(t, s.write(t, sb))
	a := &attempt{T: t, at: &target{trap: tr}}
	x := exchange1(d.address, a.fill(get("/gis/x"), d)) // signs in
	if x.status() != http.StatusOK {
		t.Fatalf("an honest request: %s", x.raw)
	}
	careless := naive(t, sb, newRecorder(t, tr.address), tr)

	var wg sync.WaitGroup
	var mu sync.Mutex // guards holes
	var holes []string
	hole := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		holes = append(holes, fmt.Sprintf(format, args...))
	}
	for _, s := range slownesses {
		for range crowd {
			wg.Go(func() {
				if took, err := s.last(a.fill(s.begin, d), a.fill(s.drip, d), d.address); err != nil {
					hole("%s: after %v: %v", s.name, took, err)
				}
			})
		}
	}
	wg.Go(func() {
		slowloris := slownesses[1]
		if took, err := slowloris.last(a.fill(slowloris.begin, careless.open), a.fill(slowloris.drip, careless.open), careless.open.address); err == nil {
			hole("the naive proxy ends a slowloris after %v", took)
		}
	})
	over := make(chan struct{})
	asked := make(chan int)
	go func() {
		n := 0
		defer func() { asked <- n }()
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for ; ; n++ {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			x := exchange1(d.address, a.fill(get("/gis/honest"), d))
			if x.status() != http.StatusOK || x.took > headTime {
				hole("an honest caller gets %d after %v", x.status(), x.took)
			}
		}
	}()
	return func() {
		wg.Wait()
		close(over)
		t.Logf("%d stalled connections, %d honest requests meanwhile", crowd*len(slownesses), <-asked)
		for _, hole := range holes {
			t.Error(hole)
		}
	}
}

// last keeps a connection busy until the other end has had enough, or the limit
// is over, which is an error.
func (s slowness) last(begin, drip, address string) (took time.Duration, err error) {
	began := time.Now()
	conn, err := connect(address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(began.Add(s.limit))
	if s.tls {
		secured := tls.Client(conn, insecure("http/1.1"))
		if err := secured.Handshake(); err != nil {
			return time.Since(began), err
		}
		conn = secured
	}
	if _, err := io.WriteString(conn, begin); err != nil {
		return time.Since(began), err
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, conn)
		ended <- err
	}()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case err := <-ended:
			if timedOut(err) {
				return time.Since(began), fmt.Errorf("the connection is still open: %w", err)
			}
			return time.Since(began), nil // closed or reset
		case <-tick.C:
			if drip != "" {
				_, _ = conn.Write([]byte{drip[i%len(drip)]}) // an error is seen by the reader, too
			}
		}
	}
}

// clientHello is the first flight of a TLS handshake.
var clientHello = sync.OnceValue(func() []byte {
	var sent bytes.Buffer
	c := tls.Client(&sink{to: &sent}, insecure("h2", "http/1.1"))
	_ = c.Handshake() // fails when it reads
	return sent.Bytes()
})

// sink is a connection to nobody.
type sink struct {
	net.Conn
	to io.Writer
}

func (s *sink) Write(p []byte) (int, error)      { return s.to.Write(p) }
func (s *sink) Read([]byte) (int, error)         { return 0, io.EOF }
func (s *sink) Close() error                     { return nil }
func (s *sink) SetDeadline(time.Time) error      { return nil }
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

func TestClientHello(t *testing.T) {
	if hello := string(clientHello()); len(hello) < 200 || !strings.HasPrefix(hello, "\x16\x03\x01") {
		t.Errorf("%q is none", hello)
	}
}
