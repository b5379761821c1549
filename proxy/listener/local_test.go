package listener

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

func fileStorage(t *testing.T) *certmagic.FileStorage {
	t.Helper()
	return &certmagic.FileStorage{Path: filepath.Join(t.TempDir(), "state")}
}

// handshake does one TLS handshake with what config serves, over loopback.
func handshake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	inner := loopbackListener(t)
	defer inner.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := inner.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_ = tls.Server(c, server).HandshakeContext(t.Context())
	}()
	defer func() { <-done }()
	c, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	secure := tls.Client(c, client)
	err = secure.HandshakeContext(t.Context())
	return secure.ConnectionState(), err
}

func pool(root *x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(root)
	return p
}

// eventually waits for what happens on goroutines that are not ours to watch: longer
// than the minute after which CertMagic tries again.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(3 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("timed out waiting: %s", what)
		}
	}
}

// One leaf is good for all names, by SNI or without.
func TestLocalNames(t *testing.T) {
	c := localTLS(t, "GIS.example.com", "[2001:db8::7]", "192.0.2.7", "bücher.example")
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "gis.example.com", "2001:db8::7", "192.0.2.7", "xn--bcher-kva.example"} {
		// An IP address as ServerName is verified and not sent (RFC 6066 §3).
		state, err := handshake(t, c.Config(), &tls.Config{ServerName: name, RootCAs: pool(c.Authority().Root()), NextProtos: []string{"h2"}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if state.NegotiatedProtocol != "h2" || state.Version != tls.VersionTLS13 {
			t.Errorf("%s: negotiated %q, %s", name, state.NegotiatedProtocol, tls.VersionName(state.Version))
		}
	}
	if _, err := handshake(t, c.Config(), &tls.Config{ServerName: "localhost", RootCAs: pool(c.Authority().Root()), MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	// A name we don't have still gets a certificate, so that the caller hears which names there are.
	_, err := handshake(t, c.Config(), &tls.Config{ServerName: "other.example", RootCAs: pool(c.Authority().Root())})
	if err == nil || !strings.Contains(err.Error(), "gis.example.com") {
		t.Errorf("an unknown name: %v", err)
	}
}

func TestNormalize(t *testing.T) {
	for _, bad := range []string{"", " ", "a b", "*.example.com", "https://example.com", "example.com:8443", "a..b", "[", "x/y", "-a"} {
		if got, err := normalize([]string{bad}); err == nil {
			t.Errorf("%q became %q", bad, got)
		}
	}
	got, err := normalize([]string{"A.example.", "a.example", "[::0001]", "::ffff:127.0.0.1", "fe80::1%eth0"})
	if want := []string{"a.example", "::1", "127.0.0.1", "fe80::1"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// leafPEM has the authority issue, past the checks of Issue, for any names.
func signAnything(t *testing.T, a *Authority, dns string, ip net.IP) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(time.Hour),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if dns != "" {
		template.DNSNames = []string{dns}
	}
	if ip != nil {
		template.IPAddresses = []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// Who steals the root's key can't speak for anyone else.
func TestRootIsConstrained(t *testing.T) {
	a := localTLS(t, "gis.example.com", "192.0.2.7").Authority()
	for _, test := range []struct {
		dns string
		ip  net.IP
		ok  bool
	}{
		{dns: "localhost", ok: true},
		{dns: "gis.example.com", ok: true},
		{ip: net.ParseIP("127.0.0.9"), ok: true},
		{ip: net.ParseIP("192.0.2.7"), ok: true},
		{dns: "example.com"},
		{dns: "login.example.com"},
		{dns: "agis.example.com"},
		{ip: net.ParseIP("192.0.2.8")},
		{ip: net.ParseIP("::2")},
	} {
		_, err := signAnything(t, a, test.dns, test.ip).Verify(x509.VerifyOptions{Roots: pool(a.Root())})
		if (err == nil) != test.ok {
			t.Errorf("%s%v: %v", test.dns, test.ip, err)
		}
	}
}

func TestIssueOnlyOwnNames(t *testing.T) {
	a := localTLS(t, "gis.example.com").Authority()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, names := range [][]string{nil, {"evil.example"}, {"localhost", "evil.example"}} {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "x"}, DNSNames: names}, key)
		if err != nil {
			t.Fatal(err)
		}
		csr, err := x509.ParseCertificateRequest(der)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Issue(t.Context(), csr); err == nil {
			t.Errorf("issued for %q", names)
		}
		csr.Signature[len(csr.Signature)-1] ^= 1
		csr.DNSNames = []string{localHost}
		if _, err := a.Issue(t.Context(), csr); err == nil {
			t.Error("issued for a request with a broken signature")
		}
	}
}

// The root outlives the process, also two that start at once; other names have another.
func TestAuthorityPersists(t *testing.T) {
	storage := fileStorage(t)
	log := slog.New(slog.DiscardHandler)
	open := func(names ...string) *Authority {
		a, err := OpenAuthority(context.Background(), storage, names, log)
		if err != nil {
			t.Error(err)
			return nil
		}
		return a
	}
	both := make(chan *Authority, 2)
	for range 2 {
		go func() { both <- open("gis.example.com", "b.example") }()
	}
	first, second := <-both, <-both
	if t.Failed() {
		return
	}
	if !first.Root().Equal(second.Root()) {
		t.Error("two at once made two roots")
	}
	c, err := Configure(t.Context(), Config{Mode: ModeLocal, Names: []string{"b.example", "GIS.example.com", "localhost"}}, storage, log)
	if err != nil {
		t.Fatal(err)
	}
	serial := servedSerial(t, c)
	c.Close()
	if !c.Authority().Root().Equal(first.Root()) {
		t.Error("the order of names made another root")
	}
	again, err := Configure(t.Context(), Config{Mode: ModeLocal, Names: []string{"gis.example.com", "b.example"}}, storage, log)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if servedSerial(t, again).Cmp(serial) != 0 {
		t.Error("a restart made another leaf")
	}
	if other := open("other.example"); other.Root().Equal(first.Root()) {
		t.Error("other names have the same root")
	}
	if !open("gis.example.com", "b.example").Root().Equal(first.Root()) {
		t.Error("going back to earlier names made another root")
	}
	if got := first.Fingerprint(); len(got) != 95 || strings.Trim(got, "0123456789ABCDEF:") != "" {
		t.Errorf("fingerprint %q", got)
	}
	if !bytes.HasPrefix(first.RootPEM(), []byte("-----BEGIN CERTIFICATE-----\n")) || bytes.Contains(first.RootPEM(), []byte("PRIVATE")) {
		t.Errorf("root:\n%s", first.RootPEM())
	}
}

func servedSerial(t *testing.T, c *TLS) *big.Int {
	t.Helper()
	state, err := handshake(t, c.Config(), &tls.Config{ServerName: localHost, RootCAs: pool(c.Authority().Root())})
	if err != nil {
		t.Fatal(err)
	}
	return state.PeerCertificates[0].SerialNumber
}

func TestDamagedAuthority(t *testing.T) {
	storage := fileStorage(t)
	log := slog.New(slog.DiscardHandler)
	a, err := OpenAuthority(t.Context(), storage, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenAuthority(t.Context(), storage, []string{"b.example"}, log)
	if err != nil {
		t.Fatal(err)
	}
	good, err := storage.Load(t.Context(), a.storageKey())
	if err != nil {
		t.Fatal(err)
	}
	other, err := storage.Load(t.Context(), b.storageKey())
	if err != nil {
		t.Fatal(err)
	}
	key := func(pem []byte) []byte { return pem[bytes.Index(pem, []byte("-----BEGIN PRIVATE")):] }
	for name, stored := range map[string][]byte{
		"empty":       nil,
		"no key":      a.RootPEM(),
		"foreign key": slices.Concat(a.RootPEM(), key(other)),
		"cut":         good[:len(good)-30],
		"no root":     key(good),
		"two roots":   slices.Concat(a.RootPEM(), a.RootPEM()),
	} {
		if err := storage.Store(t.Context(), a.storageKey(), stored); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenAuthority(t.Context(), storage, nil, log); err == nil || !strings.Contains(err.Error(), a.storageKey()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A root near its end is replaced, and its leaf with it.
func TestRootExpires(t *testing.T) {
	storage := fileStorage(t)
	log := slog.New(slog.DiscardHandler)
	old := &Authority{names: localNames(nil), life: localTerms.life, now: func() time.Time { return time.Now().Add(rootMargin/2 - rootLifetime) }}
	if err := old.create(); err != nil {
		t.Fatal(err)
	}
	encoded, err := old.encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := storage.Store(t.Context(), old.storageKey(), encoded); err != nil {
		t.Fatal(err)
	}
	c, err := Configure(t.Context(), Config{Mode: ModeLocal}, storage, log)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Authority().Root().Equal(old.root) || c.Authority().IssuerKey() == old.IssuerKey() {
		t.Error("the old root stayed")
	}
	servedSerial(t, c)
}

// A leaf in the last third of its life is replaced while the proxy serves.
func TestLeafIsRenewed(t *testing.T) {
	storage := fileStorage(t)
	// With the hour of backdating, half an hour is the last third already.
	c, err := configureLocal(t.Context(), nil, storage, slog.New(slog.DiscardHandler), terms{life: 25 * time.Minute, check: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	first := servedSerial(t, c)
	eventually(t, "another leaf", func() bool { return servedSerial(t, c).Cmp(first) != 0 })
}

// stalled is a storage that keeps whoever stores a certificate waiting, once it is armed.
type stalled struct {
	*certmagic.FileStorage
	armed, closed  atomic.Bool
	entered, leave chan struct{}
	late           atomic.Int32 // values that were stored when it was closed
}

func (s *stalled) Store(ctx context.Context, key string, value []byte) error {
	if strings.HasSuffix(key, ".key") && s.armed.CompareAndSwap(true, false) {
		close(s.entered)
		<-s.leave
	}
	err := s.FileStorage.Store(ctx, key, value)
	if s.closed.Load() {
		s.late.Add(1)
	}
	return err
}

// TestCloseWaitsForARenewal: a certificate and its key are stored together or not at all,
// and nothing is when Close has returned.
func TestCloseWaitsForARenewal(t *testing.T) {
	s := &stalled{FileStorage: fileStorage(t), entered: make(chan struct{}), leave: make(chan struct{})}
	c, err := configureLocal(t.Context(), nil, s, slog.New(slog.DiscardHandler), terms{life: 25 * time.Minute, check: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	s.armed.Store(true)
	<-s.entered
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Close()
		s.closed.Store(true)
	}()
	// Close waits for the maintenance first; a renewal under way would not keep it.
	select {
	case <-ended:
		t.Error("Close has not waited")
	case <-time.After(200 * time.Millisecond):
	}
	close(s.leave)
	<-ended
	again, err := configureLocal(t.Context(), nil, s.FileStorage, slog.New(slog.DiscardHandler), localTerms)
	if err != nil {
		t.Fatal("what was stored cannot be used:", err)
	}
	again.Close()
	if n := s.late.Load(); n > 0 {
		t.Errorf("%d values were stored after Close", n)
	}
}

func TestLeafLife(t *testing.T) {
	c := localTLS(t)
	state, err := handshake(t, c.Config(), &tls.Config{ServerName: localHost, RootCAs: pool(c.Authority().Root())})
	if err != nil {
		t.Fatal(err)
	}
	leaf := state.PeerCertificates[0]
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 90*24*time.Hour {
		t.Errorf("the leaf lives %v", life)
	}
	if leaf.IsCA || len(leaf.OCSPServer) > 0 || len(leaf.CRLDistributionPoints) > 0 {
		t.Errorf("the leaf is CA %t, has responders %q %q", leaf.IsCA, leaf.OCSPServer, leaf.CRLDistributionPoints)
	}
}
