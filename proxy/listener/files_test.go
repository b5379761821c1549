package listener

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// pair makes a self-signed certificate with this serial number, and its key.
func pair(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"gis.example.com"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFilesReload(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	var logged bytes.Buffer
	now := time.Now()
	f := &files{certFile: certFile, keyFile: keyFile, log: slog.New(slog.NewTextHandler(&logged, nil)), now: func() time.Time { return now }}
	cert1, key1 := pair(t, 1)
	cert2, key2 := pair(t, 2)
	write(t, certFile, cert1)
	write(t, keyFile, key1)
	if err := f.load(); err != nil {
		t.Fatal(err)
	}
	expect := func(when string, serial int64) {
		t.Helper()
		got, err := f.get(nil)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if s := got.Leaf.SerialNumber.Int64(); s != serial {
			t.Errorf("%s: certificate %d, want %d", when, s, serial)
		}
	}
	failures := func() int { return strings.Count(logged.String(), "level=ERROR") }

	expect("at first", 1)
	write(t, certFile, cert2)
	write(t, keyFile, key2)
	now = now.Add(filesInterval - 1)
	expect("within the second", 1)
	now = now.Add(1)
	expect("after a second", 2)

	// Half a renewal: the old pair stays, and that is said once.
	write(t, certFile, cert1)
	for range 3 {
		now = now.Add(filesInterval)
		expect("certificate and key of different pairs", 2)
	}
	if failures() != 1 {
		t.Errorf("%d failures logged, want 1:\n%s", failures(), logged.String())
	}
	write(t, keyFile, key1)
	now = now.Add(filesInterval)
	expect("the other half", 1)

	write(t, certFile, []byte("-----BEGIN CERTIFICATE-----\nnonsense"))
	now = now.Add(filesInterval)
	expect("nonsense", 1)
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	now = now.Add(filesInterval)
	expect("no file", 1)
	write(t, certFile, bytes.Repeat([]byte("x"), filesLimit+1))
	now = now.Add(filesInterval)
	expect("a huge file", 1)
	if failures() != 4 {
		t.Errorf("%d failures logged, want 4:\n%s", failures(), logged.String())
	}
	write(t, certFile, cert1)
	now = now.Add(filesInterval)
	expect("restored", 1)
	if strings.Contains(logged.String(), "PRIVATE") {
		t.Error("a key was logged")
	}
}

// Kubernetes and certbot swap a symbolic link.
func TestFilesSymlink(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("symbolic links need a privilege on Windows")
	}
	dir := t.TempDir()
	for i, version := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		cert, key := pair(t, int64(i+1))
		write(t, filepath.Join(dir, version, "tls.crt"), cert)
		write(t, filepath.Join(dir, version, "tls.key"), key)
	}
	link := func(version string) {
		t.Helper()
		if err := os.Symlink(version, filepath.Join(dir, "next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "current")); err != nil {
			t.Fatal(err)
		}
	}
	link("v1")
	now := time.Now()
	f := &files{certFile: filepath.Join(dir, "current", "tls.crt"), keyFile: filepath.Join(dir, "current", "tls.key"),
		log: slog.New(slog.DiscardHandler), now: func() time.Time { return now }}
	if err := f.load(); err != nil {
		t.Fatal(err)
	}
	link("v2")
	now = now.Add(filesInterval)
	if got, _ := f.get(nil); got.Leaf.SerialNumber.Int64() != 2 {
		t.Error("the swapped link was not seen")
	}
}

func TestFilesServe(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	cert, key := pair(t, 1)
	write(t, certFile, cert)
	write(t, keyFile, key)
	cfg := Config{Mode: ModeFiles, CertFile: certFile, KeyFile: keyFile}
	c, err := Configure(t.Context(), cfg, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(cert)
	if _, err := handshake(t, c.Config(), &tls.Config{ServerName: "gis.example.com", RootCAs: trusted}); err != nil {
		t.Error(err)
	}

	_, otherKey := pair(t, 2)
	write(t, keyFile, otherKey)
	if _, err := Configure(t.Context(), cfg, nil, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), certFile) {
		t.Errorf("a pair that does not match, at the start: %v", err)
	}
	cfg.KeyFile = filepath.Join(dir, "missing")
	if _, err := Configure(t.Context(), cfg, nil, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("no key file, at the start: %v", err)
	}
}

// TestPrepare: authorities of client certificates and the names of files change for
// connections that come later.
func TestPrepare(t *testing.T) {
	dir := t.TempDir()
	pool := x509.NewCertPool()
	cfg := make([]Config, 2)
	for i := range cfg {
		cert, key := pair(t, int64(i+1))
		cfg[i] = Config{Mode: ModeFiles, CertFile: filepath.Join(dir, string(rune('a'+i))), KeyFile: filepath.Join(dir, string(rune('c'+i)))}
		write(t, cfg[i].CertFile, cert)
		write(t, cfg[i].KeyFile, key)
		pool.AppendCertsFromPEM(cert)
	}
	c, err := Configure(t.Context(), cfg[0], nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	expect := func(when string, serial int64, asked bool) {
		t.Helper()
		wasAsked := false
		state, err := handshake(t, c.Config(), &tls.Config{ServerName: "gis.example.com", RootCAs: pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			wasAsked = true
			return &tls.Certificate{}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if got := state.PeerCertificates[0].SerialNumber.Int64(); got != serial || asked != wasAsked {
			t.Errorf("%s: certificate %d, a client's is asked for: %v", when, got, wasAsked)
		}
	}
	change := func(cfg Config) {
		t.Helper()
		begin, err := c.Prepare(cfg)
		if err != nil {
			t.Fatal(err)
		}
		begin()
	}
	expect("at first", 1, false)
	cfg[1].ClientCAs = pool
	change(cfg[1])
	expect("with other files and client certificates", 2, true)
	bad := cfg[0]
	bad.KeyFile = cfg[1].KeyFile
	if begin, err := c.Prepare(bad); err == nil || begin != nil {
		t.Error("a key of another certificate is taken")
	}
	expect("after a fault", 2, true)
	change(cfg[0])
	expect("as at first", 1, false)
}
