package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"arcproxy/proxy/peer"
	"arcproxy/test/sandbox"
)

// clientCertificate is one for name, by an authority of its own, whose
// certificate is written to file.
func clientCertificate(t *testing.T, name, file string) tls.Certificate {
	t.Helper()
	make := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			parent, signer = template, key
		}
		template.SerialNumber, template.NotAfter, template.BasicConstraintsValid = big.NewInt(1), time.Now().Add(time.Hour), true
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	authority, signer := make(&x509.Certificate{IsCA: true}, nil, nil)
	leaf, key := make(&x509.Certificate{DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, authority, signer)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
}

// TestEveryKindOfCaller runs the program by a config file with callers of each
// kind, and looks at the record of what they did.
func TestEveryKindOfCaller(t *testing.T) {
	if !peer.Supported {
		t.Skip("os_user is for Linux")
	}
	sb, err := sandbox.Start(sandbox.Config{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sb.Close)
	dir := t.TempDir()
	carol := sb.User("carol")
	cert := clientCertificate(t, "robot.example.com", filepath.Join(dir, "clients.pem"))
	text := fmt.Sprintf(`
listen = "127.0.0.1:0"
public_url = "https://localhost:0"
state_dir = ""
[portal]
url = %q
client_id = "arcproxytest"
[[servers]]
url = %q
[okta]
url = %q
[[identities]]
name = "carol"
username = %q
password = "env:PW"
[[callers]]
name = "nightly"
identity = "carol"
key = "env:KEY"
read_only = true
[[callers]]
name = "robot"
identity = "carol"
cert_san = "robot.example.com"
[[callers]]
name = "me"
identity = "carol"
os_user = "%d"
[tls]
client_ca_file = "clients.pem"
[web]
origins = ["https://app.example"]
[audit]
file = "audit.jsonl"
`, sb.PortalURL, sb.ServerURL, sb.OktaURL, carol.Login, os.Getuid())
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadConfig(t.Context(), file, testEnv(map[string]string{"PW": carol.Password, "KEY": testKey}))
	if err != nil {
		t.Fatal(err)
	}
	r := startRig(t, cfg, sb)
	roots := x509.NewCertPool()
	roots.AddCert(r.tls.Authority().Root())
	certified := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}}, ForceAttemptHTTP2: true}
	t.Cleanup(certified.CloseIdleConnections)
	_, port, _ := net.SplitHostPort(r.address())

	token := ""
	for _, c := range []struct {
		caller string // "": not forwarded
		method string
		target string
		header http.Header
		form   string
		by     http.RoundTripper
		status int
	}{
		{"", "POST", r.base + "/portal/sharing/rest/generateToken", nil, "f=json&client=requestip&username=nightly&password=" + testKey, r.http.Transport, 200},
		{"nightly", "GET", r.base + selfPath, http.Header{"X-Esri-Authorization": {"Bearer TOKEN"}}, "", r.http.Transport, 200},
		{"robot", "GET", "https://localhost:" + port + selfPath, nil, "", certified, 200},
		{"me", "GET", r.base + selfPath, nil, "", r.http.Transport, 200},
		{"me", "GET", r.base + selfPath, http.Header{"Origin": {"https://app.example"}}, "", r.http.Transport, 200},
		{"", "GET", r.base + selfPath, http.Header{"Origin": {"https://evil.example"}}, "", r.http.Transport, 403},
		{"", "GET", r.base + selfPath, http.Header{"X-Esri-Authorization": {"Bearer nobodys"}}, "", r.http.Transport, 401},
		{"", "POST", r.base + "/server/rest/services/Trees/FeatureServer/0/deleteFeatures", http.Header{"X-Esri-Authorization": {"Bearer " + testKey}}, "where=1=1", r.http.Transport, 403},
		{"", "GET", r.base + "/server/admin", nil, "", r.http.Transport, 403},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, c.target, strings.NewReader(c.form))
		if err != nil {
			t.Fatal(err)
		}
		if c.header != nil {
			req.Header = c.header
		}
		if c.form != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if req.Header.Get("X-Esri-Authorization") == "Bearer TOKEN" {
			req.Header.Set("X-Esri-Authorization", "Bearer "+token)
		}
		res, err := c.by.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != c.status {
			t.Errorf("%s %s %v: %s %s %v", c.method, c.target, c.header, res.Status, body, err)
		}
		if c.caller != "" && !strings.Contains(string(body), carol.GISUsername) {
			t.Errorf("%s is not signed in: %s", c.caller, body)
		}
		if token == "" {
			var answer struct{ Token string }
			if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
				t.Fatalf("no token: %s", body)
			}
			token = answer.Token
		}
	}
	if err := r.trail.Close(); err != nil {
		t.Error(err)
	}
	lines, err := os.ReadFile(filepath.Join(dir, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var callers []string
	for line := range strings.Lines(string(lines)) {
		var record struct{ Caller, Path string }
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Path != (&url.URL{Path: "/portal/sharing/rest/portals/self"}).Path {
			t.Errorf("the record has %s", line)
		}
		callers = append(callers, record.Caller)
	}
	if got := strings.Join(callers, " "); got != "nightly robot me me" {
		t.Errorf("the record has %q", got)
	}
	if all := string(lines) + r.logs.String(); strings.Contains(all, token) || strings.Contains(all, testKey) {
		t.Error("a secret is in the record or the log")
	}
}
