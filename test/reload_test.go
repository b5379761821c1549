package test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"arcproxy/test/program"
	"arcproxy/test/sandbox"
)

const hourlyKey, weeklyKey = "HOURLYHOURLYHOURLYHOURLY22", "WEEKLYWEEKLYWEEKLYWEEKLY22"

// hourly is two callers more, of whom one has an identity of its own.
func hourly(sb *sandbox.Sandbox) string {
	carol := sb.User("carol")
	return fmt.Sprintf(`
[[identities]]
name = "carol"
username = %q
password = "file:carol"
[[callers]]
name = "hourly"
identity = "carol"
key = "file:hourly"
[[callers]]
name = "weekly"
identity = "alice"
key = "sha256:%x"
`, carol.Login, sha256.Sum256([]byte(weeklyKey)))
}

// replace saves a file as editors do.
func replace(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// counted waits until the program has said something n times.
func counted(t *testing.T, p *program.Process, n int, what string) {
	t.Helper()
	p.Says(t, strings.Repeat(`(?s:`+what+`.*?)`, n))
}

// client sends requests with a key on connections of its own, which it counts.
type client struct {
	http.Client
	base, key string
	dialed    atomic.Int64
}

func newClient(t *testing.T, base, key string) *client {
	c := &client{base: base, key: key}
	tr := &http.Transport{MaxIdleConnsPerHost: 100, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c.dialed.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	c.Client = http.Client{Transport: tr, Timeout: time.Minute}
	t.Cleanup(tr.CloseIdleConnections)
	return c
}

// get returns the status and body of an answer; 0 for none.
func (c *client) get(path string) (int, string) {
	req, err := http.NewRequest(http.MethodGet, c.base+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("X-Esri-Authorization", "Bearer "+c.key)
	res, err := c.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(body)
}

// token asks for a token of the proxy's own.
func (c *client) token(t *testing.T, user string) string {
	t.Helper()
	res, err := c.PostForm(c.base+"/portal/sharing/rest/generateToken", url.Values{"username": {user}, "password": {c.key}, "client": {"requestip"}, "f": {"json"}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ Token string }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.Token == "" {
		t.Fatalf("no token: %v", err)
	}
	return answer.Token
}

// TestReloadUnderLoad: those who stay notice nothing, those who go are refused at once.
func TestReloadUnderLoad(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // which has no SIGHUP
	}
	sb := startSandbox(t)
	name := writeConfig(t, sb, "[audit]\nfile = \"audit.jsonl\"") // beside the config
	dir := filepath.Dir(name)
	replace(t, filepath.Join(dir, "carol"), sb.User("carol").Password)
	replace(t, filepath.Join(dir, "hourly"), hourlyKey)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	alone, both := string(text), string(text)+hourly(sb)
	replace(t, name, both)
	p := program.Start(t, arcproxy, "serve", "--config", name)
	base := "http://" + p.Says(t, `"msg":"listening","address":"([^"]+)"`)
	hangUp := func() {
		t.Helper()
		if err := p.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}

	const self, info = "/portal/sharing/rest/portals/self?f=json", "/server/rest/info?f=json"
	const workers = 8
	stays, goes, slow := newClient(t, base, key), newClient(t, base, hourlyKey), newClient(t, base, weeklyKey)
	for _, c := range []*client{stays, goes} {
		if status, body := c.get(self); status != http.StatusOK {
			t.Fatalf("at first: %d %s", status, body)
		}
	}
	mine, others := stays.token(t, "nightly"), goes.token(t, "hourly")
	var wg sync.WaitGroup
	var requests, failures atomic.Int64
	done := make(chan struct{})
	for range workers {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if status, body := stays.get(self); status != http.StatusOK || !strings.Contains(body, sb.User("alice").GISUsername) {
					if failures.Add(1) == 1 {
						t.Errorf("a request of a caller who stays: %d %.300s", status, body)
					}
				}
				requests.Add(1)
			}
		})
	}
	gate := sb.Portal.Hold("/server/rest/info")
	held := make(chan string, 1)
	go func() { _, body := slow.get(info); held <- body }()
	<-gate.Reached

	replace(t, name, alone)
	hangUp()
	counted(t, p, 1, "config reloaded")
	if status, body := goes.get(self); status != http.StatusUnauthorized {
		t.Errorf("the removed caller: %d %.300s", status, body)
	}
	if _, body := newClient(t, base, others).get(self); !strings.Contains(body, `"code":498`) {
		t.Errorf("the removed caller's token: %.300s", body)
	}
	if status, body := newClient(t, base, mine).get(self); status != http.StatusOK {
		t.Errorf("the token of a caller who stays: %d %.300s", status, body)
	}
	gate.Release()
	if body := <-held; !strings.Contains(body, "currentVersion") {
		t.Errorf("a removed caller's request that was under way: %.300s", body)
	}
	if status, _ := slow.get(info); status != http.StatusUnauthorized {
		t.Errorf("its next one: %d", status)
	}
	p.Says(t, `"msg":"signed out","identity":"carol"`)
	if n := sb.Portal.Counts().Revocations; n != 1 {
		t.Errorf("%d grants revoked at the Portal", n)
	}

	for i, bad := range []string{alone + "\nfro = 1\n", strings.Replace(both, "file:hourly", "file:nowhere", 1), "x = "} {
		replace(t, name, bad)
		hangUp()
		counted(t, p, i+1, "config has a fault")
	}
	for _, want := range []string{`"line":\d+,"key":"log.fro"`, `"key":"callers\[1\].key","fault":"[^"]*nowhere`, `"line":1,`} {
		if !regexp.MustCompile(want).MatchString(p.Output()) {
			t.Errorf("the log does not have %s", want)
		}
	}

	// Nobody tells the program this time.
	replace(t, name, strings.Replace(both, `listen = "127.0.0.1:0"`, `listen = "127.0.0.1:1"`, 1))
	counted(t, p, 2, "config reloaded")
	if status, body := goes.get(self); status != http.StatusOK || !strings.Contains(body, sb.User("carol").GISUsername) {
		t.Errorf("the caller who has come back: %d %.300s", status, body)
	}
	p.Says(t, `change with a restart only[^\n]*"keys":"listen`)

	// A file that the config names: another key for the caller.
	replace(t, filepath.Join(dir, "hourly"), "ANOTHER"+hourlyKey)
	counted(t, p, 3, "config reloaded")
	if status, _ := goes.get(self); status != http.StatusUnauthorized {
		t.Errorf("the key of before: %d", status)
	}
	goes.key = "ANOTHER" + hourlyKey
	if status, body := goes.get(self); status != http.StatusOK {
		t.Errorf("the new key: %d %.300s", status, body)
	}

	close(done)
	wg.Wait()
	t.Logf("%d requests on %d connections", requests.Load(), stays.dialed.Load())
	if n := failures.Load(); n > 0 {
		t.Errorf("%d of %d requests failed", n, requests.Load())
	}
	// A client may dial once too often while another's connection becomes free; each
	// reload that dropped them would cost one for every worker.
	if n := stays.dialed.Load(); n > 2*workers {
		t.Errorf("%d connections for %d workers: some were dropped", n, workers)
	}
	if c := sb.Portal.Counts(); c.SignIns != 3 { // alice once, carol twice
		t.Errorf("%d sign-ins", c.SignIns)
	}
}

// TestAnotherAccountAndLevel: an identity that becomes another account is signed out as
// the one and in as the other; the log changes its level.
func TestAnotherAccountAndLevel(t *testing.T) {
	sb := startSandbox(t)
	name := writeConfig(t, sb, "")
	dir := filepath.Dir(name)
	p := program.Start(t, arcproxy, "serve", "--config", name)
	c := newClient(t, "http://"+p.Says(t, `"msg":"listening","address":"([^"]+)"`), key)
	const self = "/portal/sharing/rest/portals/self?f=json"
	if status, body := c.get(self); status != http.StatusOK || !strings.Contains(body, sb.User("alice").GISUsername) {
		t.Fatalf("%d %.300s", status, body)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	carol := sb.User("carol")
	replace(t, filepath.Join(dir, "carol"), carol.Password)
	other := strings.NewReplacer(sb.User("alice").Login, carol.Login, "file:password", "file:carol", `totp_secret = "file:totp"`, "", `format = "json"`, "format = \"json\"\nlevel = \"debug\"")
	replace(t, name, other.Replace(string(text)))
	counted(t, p, 1, "config reloaded")
	if status, body := c.get(self); status != http.StatusOK || !strings.Contains(body, carol.GISUsername) {
		t.Errorf("%d %.300s", status, body)
	}
	if n := sb.Portal.Counts().Revocations; n != 1 {
		t.Errorf("%d grants revoked at the Portal", n)
	}
	p.Says(t, `"level":"DEBUG"`)
}

// TestChangedWhileStopped: identities that were removed, or became another account,
// while the program did not run are signed out as they would have been.
func TestChangedWhileStopped(t *testing.T) {
	sb := startSandbox(t)
	name := writeConfig(t, sb, "")
	dir := filepath.Dir(name)
	carol := sb.User("carol")
	replace(t, filepath.Join(dir, "carol"), carol.Password)
	replace(t, filepath.Join(dir, "hourly"), hourlyKey)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	alone := string(text)
	asCarol := strings.NewReplacer(sb.User("alice").Login, carol.Login, "file:password", "file:carol", `totp_secret = "file:totp"`, "").Replace(alone)
	const self = "/portal/sharing/rest/portals/self?f=json"
	run := func(config, key, user string) {
		t.Helper()
		replace(t, name, config)
		p := program.Start(t, arcproxy, "serve", "--config", name)
		base := "http://" + p.Says(t, `"msg":"listening","address":"([^"]+)"`)
		if status, body := newClient(t, base, key).get(self); status != http.StatusOK || !strings.Contains(body, sb.User(user).GISUsername) {
			t.Errorf("%s: %d %.300s", user, status, body)
		}
		if err := p.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if code := p.Ends(t); code != 0 {
			t.Errorf("ended with %d", code)
		}
	}
	run(alone+hourly(sb), hourlyKey, "carol")
	run(alone, key, "alice") // without carol
	if c := sb.Portal.Counts(); c.Revocations != 1 || c.SignIns != 2 {
		t.Errorf("without carol: %d grants revoked, %d sign-ins", c.Revocations, c.SignIns)
	}
	run(asCarol, key, "carol") // alice is her now
	if c := sb.Portal.Counts(); c.Revocations != 2 || c.SignIns != 3 {
		t.Errorf("another account: %d grants revoked, %d sign-ins", c.Revocations, c.SignIns)
	}
	run(asCarol, key, "carol") // nothing has changed
	if c := sb.Portal.Counts(); c.Revocations != 2 || c.SignIns != 3 {
		t.Errorf("the same again: %d grants revoked, %d sign-ins", c.Revocations, c.SignIns)
	}
}

// TestCertificatesReload: who connects after the files are replaced gets the new
// certificate, who is connected stays.
func TestCertificatesReload(t *testing.T) {
	sb := startSandbox(t)
	name := writeConfig(t, sb, "")
	dir := filepath.Dir(name)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	pools := make([]*x509.CertPool, 3)
	files := make([][2]string, 3)
	for i := range pools {
		pools[i] = x509.NewCertPool()
		files[i][0], files[i][1] = selfSigned(t, "localhost")
		pools[i].AppendCertsFromPEM([]byte(files[i][0]))
	}
	put := func(i int, cert, key string) {
		t.Helper()
		replace(t, filepath.Join(dir, cert), files[i][0])
		replace(t, filepath.Join(dir, key), files[i][1])
	}
	put(0, "cert.pem", "key.pem")
	put(2, "other-cert.pem", "other-key.pem")
	config := func(cert, key string) string {
		return string(text) + fmt.Sprintf("[tls]\nmode = \"files\"\ncert_file = %q\nkey_file = %q\n", cert, key)
	}
	replace(t, name, config("cert.pem", "key.pem"))
	p := program.Start(t, arcproxy, "serve", "--config", name)
	_, port, _ := net.SplitHostPort(p.Says(t, `"msg":"listening","address":"([^"]+)"`))
	connect := func(trusted int) *client {
		c := newClient(t, "https://localhost:"+port, key)
		c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pools[trusted]}
		return c
	}
	const info = "/server/rest/info?f=json"
	old := connect(0)
	check := func(c *client, when string) {
		t.Helper()
		if status, body := c.get(info); status != http.StatusOK {
			t.Errorf("%s: %d %.300s", when, status, body)
		}
	}
	check(old, "at first")
	put(1, "cert.pem", "key.pem")
	counted(t, p, 1, "config reloaded")
	check(connect(1), "with another certificate")
	replace(t, name, config("other-cert.pem", "other-key.pem"))
	counted(t, p, 2, "config reloaded")
	check(connect(2), "with other files")
	replace(t, name, config("cert.pem", "other-key.pem"))
	p.Says(t, "is not the key of tls.cert_file")
	check(connect(2), "with a key of another certificate")
	check(old, "who was connected")
	if n := old.dialed.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// selfSigned makes a certificate for a host, and its key, in PEM.
func selfSigned(t *testing.T, host string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{host},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}
