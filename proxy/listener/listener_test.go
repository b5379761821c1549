package listener

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// CertMagic keeps one rate limiter for each CA and account, for good.
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"),
		// Its FileStorage notices that a lock was released within five seconds.
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"),
		// net/http lingers for half a second after an answer that ends a connection.
		goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"),
		// Pebble's validation authority has no end.
		goleak.IgnoreTopFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"),
	)
}

// pipes is a net.Listener without sockets, for tests inside a synctest bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8443} }
func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// serve serves h on l as the program does, until the test ends.
func serve(t *testing.T, l net.Listener, h http.Handler) {
	t.Helper()
	srv := Server(h, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("closing the server: %v", err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve ended with %v", err)
		}
	})
}

// tell answers with what the server knows about the request.
var tell = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s tls=%t from=%s", r.Proto, r.TLS != nil, r.RemoteAddr)
})

func loopbackListener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func localTLS(t *testing.T, names ...string) *TLS {
	t.Helper()
	c, err := Configure(t.Context(), Config{Mode: ModeLocal, Names: names}, fileStorage(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// client trusts root and notes the address that its connections come from.
func client(t *testing.T, root *x509.Certificate, http2 bool) (*http.Client, *string) {
	t.Helper()
	var from string
	pool := x509.NewCertPool()
	if root != nil {
		pool.AddCert(root)
	}
	tr := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool},
		ForceAttemptHTTP2: http2,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err == nil {
				from = c.LocalAddr().String()
			}
			return c, err
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}, &from
}

func get(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestOnePort(t *testing.T) {
	c := localTLS(t)
	l := New(loopbackListener(t), c.Config(), Options{})
	serve(t, l, tell)
	addr := l.Addr().String()

	for _, test := range []struct {
		name, url, want string
		http2           bool
	}{
		{"plain", "http://" + addr, "HTTP/1.1 tls=false", true},
		{"TLS", "https://" + addr, "HTTP/1.1 tls=true", false},
		{"TLS and HTTP/2", "https://" + addr, "HTTP/2.0 tls=true", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, from := client(t, c.Authority().Root(), test.http2)
			got := get(t, client, test.url)
			if want := test.want + " from=" + *from; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// TestCipherSuites: of TLS 1.2, only suites with authenticated encryption are spoken,
// with either kind of key.
func TestCipherSuites(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	byRSA := baseConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
	})
	for kind, server := range map[string]*tls.Config{"TLS_ECDHE_ECDSA_": localTLS(t).Config(), "TLS_ECDHE_RSA_": byRSA} {
		spoken := 0
		for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
			if !slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
				continue
			}
			_, err := handshake(t, server, &tls.Config{ServerName: "localhost", InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}})
			sound := strings.HasPrefix(suite.Name, kind) && (strings.Contains(suite.Name, "_GCM_") || strings.Contains(suite.Name, "_POLY1305"))
			if (err == nil) != sound {
				t.Errorf("%s…: %s: %v", kind, suite.Name, err)
			}
			if err == nil {
				spoken++
			}
		}
		if spoken != 3 {
			t.Errorf("%s…: %d suites are spoken", kind, spoken)
		}
	}
}

func TestPlainOnly(t *testing.T) {
	off, err := Configure(t.Context(), Config{Mode: ModeOff}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer off.Close()
	if off.Config() != nil || off.Authority() != nil {
		t.Fatal("mode off has a TLS configuration")
	}
	l := New(loopbackListener(t), off.Config(), Options{})
	serve(t, l, off.HTTPChallenge(tell))
	client, from := client(t, nil, true)
	if got, want := get(t, client, "http://"+l.Addr().String()), "HTTP/1.1 tls=false from="+*from; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// ended waits until the other side closes c and returns when that was.
func ended(t *testing.T, c net.Conn) time.Time {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v", err)
	}
	return time.Now()
}

// clientHello is the first record that a TLS client sends.
func clientHello(t *testing.T) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		_ = tls.Client(theirs, &tls.Config{ServerName: localHost}).Handshake()
	}()
	hello := make([]byte, 1<<14)
	n, err := ours.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	ours.Close()
	return hello[:n]
}

// A caller that stops speaking is cut off at the limit that is in force at that
// point, to the second: the bubble's clock moves only while everybody waits.
func TestStalled(t *testing.T) {
	c := localTLS(t)
	for _, test := range []struct {
		name   string
		send   func([]byte) []byte // of a ClientHello
		plain  string
		expect time.Duration
	}{
		{"nothing", nil, "", 10 * time.Second},
		{"first byte of TLS", func(h []byte) []byte { return h[:1] }, "", readHeaderTimeout},
		{"half a ClientHello", func(h []byte) []byte { return h[:len(h)/2] }, "", readHeaderTimeout},
		{"a ClientHello and no more", func(h []byte) []byte { return h }, "", readHeaderTimeout},
		{"first byte of HTTP", nil, "G", readHeaderTimeout},
		{"half a header", nil, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Half: ", readHeaderTimeout},
		{"idle after a request", nil, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", idleTimeout},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := newPipes()
				serve(t, New(inner, c.Config(), Options{}), tell)
				conn := inner.dial()
				defer conn.Close()
				start := time.Now()
				data := []byte(test.plain)
				if test.send != nil {
					data = test.send(clientHello(t))
				}
				if _, err := conn.Write(data); err != nil {
					t.Fatal(err)
				}
				if got := ended(t, conn).Sub(start).Round(time.Second); got != test.expect {
					t.Errorf("cut off after %v, want %v", got, test.expect)
				}
			})
		})
	}
}

// A first byte and a pause within the limits is a slow caller, not a bad one.
func TestFirstByteThenPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newPipes()
		serve(t, New(inner, &tls.Config{}, Options{}), tell)
		conn := inner.dial()
		defer conn.Close()
		pause := func(d time.Duration) { <-time.After(d) }
		pause(9 * time.Second)
		fmt.Fprint(conn, "G")
		pause(9 * time.Second)
		fmt.Fprint(conn, "ET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(res.Body); !strings.HasPrefix(string(body), "HTTP/1.1 tls=false") {
			t.Errorf("got %q", body)
		}
	})
}

// The crowd of the silent: it delays nobody, and Close ends it.
func TestIdleCrowd(t *testing.T) {
	const crowd = 1000
	c := localTLS(t)
	l := New(loopbackListener(t), c.Config(), Options{FirstByte: time.Hour})
	serve(t, l, tell)
	conns := make([]net.Conn, crowd)
	for i := range conns {
		var err error
		if conns[i], err = net.Dial("tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close()
	}
	client, _ := client(t, c.Authority().Root(), true)
	if got := get(t, client, "https://"+l.Addr().String()); !strings.HasPrefix(got, "HTTP/2.0 tls=true") {
		t.Errorf("among %d silent connections: %q", crowd, got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, conn := range conns {
		ended(t, conn)
	}
}

// More silent connections than may wait: the oldest goes.
func TestOldestGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newPipes()
		l := New(inner, &tls.Config{}, Options{Waiting: 2})
		defer l.Close()
		first, second, third := inner.dial(), inner.dial(), inner.dial()
		start := time.Now()
		for i, test := range []struct {
			conn net.Conn
			want time.Duration
		}{{first, 0}, {second, 10 * time.Second}, {third, 10 * time.Second}} {
			if got := ended(t, test.conn).Sub(start); got != test.want {
				t.Errorf("connection %d lasted %v, want %v", i+1, got, test.want)
			}
		}
	})
}

// flaky fails to accept a few times, as a system out of file descriptors does.
type flaky struct {
	net.Listener
	errs []error
}

func (f *flaky) Accept() (net.Conn, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, &net.OpError{Op: "accept", Err: err}
	}
	return f.Listener.Accept()
}

func TestTemporaryErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		inner := newPipes()
		l := New(&flaky{inner, []error{syscall.EMFILE, syscall.ECONNABORTED, syscall.EMFILE}}, &tls.Config{},
			Options{Log: slog.New(slog.NewTextHandler(&logged, nil))})
		serve(t, l, tell)
		conn := inner.dial()
		defer conn.Close()
		fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
		if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
			t.Errorf("no answer after the errors: %v", err)
		}
		if got := strings.Count(logged.String(), "can't accept"); got != 3 {
			t.Errorf("%d failures logged, want 3:\n%s", got, logged.String())
		}
	})
}

func TestLastingError(t *testing.T) {
	broken := errors.New("broken for good")
	l := New(&flaky{newPipes(), []error{broken}}, &tls.Config{}, Options{})
	if _, err := l.Accept(); !errors.Is(err, broken) {
		t.Errorf("Accept says %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// Close with connections in every state that the Listener itself holds.
func TestClose(t *testing.T) {
	inner := loopbackListener(t)
	l := New(inner, &tls.Config{}, Options{})
	silent, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	begun, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer begun.Close()
	if _, err := begun.Write([]byte("GET")); err != nil { // nobody accepts it
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ended(t, silent)
	ended(t, begun)
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close says %v", err)
	}
}

// Whatever a caller sends, and however it is cut, arrives as it was sent.
func FuzzFirstByte(f *testing.F) {
	for _, seed := range []string{"", "G", "GET / HTTP/1.1\r\n\r\n", "\x16", "\x16\x03\x01\x02\x00", "\x80\x2e\x01", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x00"} {
		f.Add([]byte(seed), uint8(1))
	}
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		inner := newPipes()
		l := New(inner, &tls.Config{}, Options{})
		defer l.Close()
		conn := inner.dial()
		go func() {
			at := min(int(cut), len(data))
			_, _ = conn.Write(data[:at])
			_, _ = conn.Write(data[at:])
			conn.Close()
		}()
		if len(data) == 0 {
			return // the connection is closed without a word, and never accepted
		}
		got, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		if secure, ok := got.(*tls.Conn); ok {
			if data[0] != handshakeRecord {
				t.Fatalf("%q was taken for TLS", data)
			}
			got = secure.NetConn()
		} else if data[0] == handshakeRecord {
			t.Fatalf("%q was taken for HTTP", data)
		}
		all, err := io.ReadAll(got)
		if err != nil || !bytes.Equal(all, data) {
			t.Errorf("sent %q, arrived %q, %v", data, all, err)
		}
	})
}
