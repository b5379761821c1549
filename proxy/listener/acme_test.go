package listener

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// pebble is an ACME CA that finds every name on this machine's loopback.
type pebble struct {
	directory string         // its URL
	roots     *x509.CertPool // for the connection to it
	ca        *ca.CAImpl
	stop      func()
}

// issued are the roots of the certificates that it issues.
func (p *pebble) issued() *x509.CertPool { return pool(p.ca.GetRootCert(0).Cert) }

// startPebble runs Let's Encrypt's test CA. It checks TLS-ALPN-01 at tlsPort and
// HTTP-01 at httpPort, and refuses a part of all good nonces, as it is meant to.
func startPebble(t *testing.T, httpPort, tlsPort int) *pebble {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	authority := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: 90 * 24 * 3600}})
	validation := va.New(quiet, httpPort, tlsPort, true, loopbackDNS(t), store)
	frontEnd := wfe.New(quiet, store, validation, authority, []string{"pebble.test"}, true, false, 1, 1)
	srv := httptest.NewTLSServer(frontEnd.Handler())
	t.Cleanup(srv.Close)
	return &pebble{directory: srv.URL + wfe.DirectoryPath, roots: pool(srv.Certificate()), ca: authority, stop: srv.Close}
}

// loopbackDNS is a name server that has 127.0.0.1 for every name.
func loopbackDNS(t *testing.T) string {
	t.Helper()
	l := loopbackListener(t)
	srv := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		if q := r.Question[0]; q.Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{
				Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET},
				A:   net.IPv4(127, 0, 0, 1),
			}}
		}
		_ = w.WriteMsg(m)
	})}
	served := make(chan error, 1)
	go func() { served <- srv.ActivateAndServe() }()
	t.Cleanup(func() {
		_ = l.Close() // Shutdown is an error while the server is still starting
		if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("the name server: %v", err)
		}
	})
	return l.Addr().String()
}

// A certificate is really obtained, over the port that it is for: once the CA
// can reach only TLS-ALPN-01 there, once only HTTP-01.
func TestACME(t *testing.T) {
	const name = "gis.example.test"
	for _, challenge := range []string{"tls-alpn-01", "http-01"} {
		t.Run(challenge, func(t *testing.T) {
			inner := loopbackListener(t)
			open := inner.Addr().(*net.TCPAddr).Port
			closed := loopbackListener(t)
			shut := closed.Addr().(*net.TCPAddr).Port
			closed.Close()
			httpPort, tlsPort := shut, open
			if challenge == "http-01" {
				httpPort, tlsPort = open, shut
			}
			ca := startPebble(t, httpPort, tlsPort)
			logged := &lines{}
			storage := fileStorage(t)
			cfg := Config{Mode: ModeACME, Names: []string{name}, ACME: ACME{
				CA: ca.directory, Email: "alice@example.com", Agreed: true, RootCAs: ca.roots, Addr: inner.Addr(),
			}}
			c, err := Configure(t.Context(), cfg, storage, slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			serve(t, New(inner, c.Config(), Options{}), c.HTTPChallenge(tell))

			var client *http.Client
			eventually(t, "a certificate", func() bool {
				client = &http.Client{Transport: &http.Transport{
					DialTLSContext:    (&tls.Dialer{Config: &tls.Config{RootCAs: ca.issued(), ServerName: name, NextProtos: []string{"h2"}}}).DialContext,
					ForceAttemptHTTP2: true,
				}}
				res, err := client.Get("https://" + inner.Addr().String())
				if err != nil {
					return false
				}
				defer res.Body.Close()
				defer client.CloseIdleConnections()
				body, _ := io.ReadAll(res.Body)
				return strings.HasPrefix(string(body), "HTTP/2.0 tls=true")
			})
			if !logged.contain("served key authentication", "challenge="+challenge) {
				t.Errorf("the certificate was not obtained by %s:\n%s", challenge, logged)
			}
			// A restart finds it in storage and needs no CA.
			c.Close()
			ca.stop()
			again, err := Configure(t.Context(), cfg, storage, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			eventually(t, "the stored certificate", func() bool {
				_, err := handshake(t, again.Config(), &tls.Config{RootCAs: ca.issued(), ServerName: name})
				return err == nil
			})
		})
	}
}

func TestACMERefuses(t *testing.T) {
	addr := &net.TCPAddr{Port: 8443}
	for name, test := range map[string]struct {
		names []string
		acme  ACME
		want  string
	}{
		"no name":      {nil, ACME{Agreed: true, Addr: addr}, "public_url"},
		"not agreed":   {[]string{"gis.example.com"}, ACME{Addr: addr}, "terms"},
		"private name": {[]string{"localhost"}, ACME{Agreed: true, Addr: addr}, "local"},
		"no address":   {[]string{"gis.example.com"}, ACME{Agreed: true}, "address"},
	} {
		_, err := Configure(t.Context(), Config{Mode: ModeACME, Names: test.names, ACME: test.acme}, fileStorage(t), slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Configure(t.Context(), Config{Mode: "magic"}, nil, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an unknown mode was accepted")
	}
}

// lines is a log that many write and one reads.
type lines struct {
	mu  sync.Mutex // guards buf
	buf strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// contain reports whether one line has all of parts.
func (l *lines) contain(parts ...string) bool {
	return slices.ContainsFunc(strings.Split(l.String(), "\n"), func(line string) bool {
		return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) })
	})
}
