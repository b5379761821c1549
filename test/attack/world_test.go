package attack

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"arcproxy/test/program"
	"arcproxy/test/sandbox"
)

// The keys of the configured callers. The names and keys of "co" and "coll" are
// the same when they are written one after the other; those of "one" and "two"
// differ in their last character only; "elsewhere" has its key for an address
// that no test calls from.
const (
	keyNightly   = "QX7KJ2M4N6P3R5T7V2W4Y6A3C5"
	keyCo        = "llIDE2M4N6P3R5T7V2W4Y6A3C5XY"
	keyColl      = "IDE2M4N6P3R5T7V2W4Y6A3C5XY"
	keyOne       = "ZB5RT8WQ2LK9MJ4HG7FD3SA6P1"
	keyTwo       = "ZB5RT8WQ2LK9MJ4HG7FD3SA6P2"
	keyElsewhere = "HU3VN8EC5YT2XB7DW4KQ9RM6ZL"
)

var keys = []string{keyNightly, keyCo, keyColl, keyOne, keyTwo, keyElsewhere}

// identityOf says whose token the requests of a caller's key carry.
var identityOf = map[string]string{keyNightly: "alice", keyCo: "alice", keyColl: "carol", keyOne: "alice", keyTwo: "carol"}

const callers = `
[[callers]]
name = "nightly"
identity = "alice"
key = "file:nightly.key"
[[callers]]
name = "co"
identity = "alice"
key = "file:co.key"
[[callers]]
name = "coll"
identity = "carol"
key = "file:coll.key"
[[callers]]
name = "one"
identity = "alice"
key = "file:one.key"
[[callers]]
name = "two"
identity = "carol"
key = "file:two.key"
[[callers]]
name = "elsewhere"
identity = "carol"
key = "file:elsewhere.key"
from = ["192.0.2.0/24"]
`

// anyone is a caller who needs no key on this machine.
const anyone = `
[[callers]]
name = "here"
identity = "carol"
from = ["127.0.0.0/8", "::1/128"]
`

// door is where something answers; the program does so on one port.
type door struct {
	address string // plain
	secure  string // with TLS
}

// target is what is attacked.
type target struct {
	name  string
	naive bool
	keyed door      // callers need a key
	open  door      // anyone on this machine is a caller
	up    *recorder // what both doors lead to
	trap  *trap     // where nothing may lead
	// tokens are those that may reach up, by identity; "anyone" has no key.
	tokens map[string]string
	// secrets returns what no answer and no log may hold.
	secrets func() []string
	// logs are those of the program; none for the naive proxy.
	logs []*program.Process
}

// startSandbox starts an Okta org, a Portal and servers for one test.
func startSandbox(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Config{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sb.Close)
	return sb
}

// settings is a config file in the making.
type settings struct {
	portal, okta string
	servers      []string
	top          string // keys before the first table
	callers      string
	log          string // format
	level        string // of the log; "" is debug
	more         string // tables
}

// write writes s and the files it names into a new directory, and returns the
// config file's name.
func (s settings) write(t *testing.T, sb interface{ User(string) sandbox.User }) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"nightly.key": keyNightly, "co.key": keyCo, "coll.key": keyColl, "one.key": keyOne, "two.key": keyTwo, "elsewhere.key": keyElsewhere,
	}
	var text strings.Builder
	fmt.Fprintf(&text, "listen = \"127.0.0.1:0\"\nstate_dir = \"state\"\n%s\n[portal]\nurl = %q\nclient_id = \"arcproxytest\"\n[okta]\nurl = %q\n", s.top, s.portal, s.okta)
	for _, server := range s.servers {
		fmt.Fprintf(&text, "[[servers]]\nurl = %q\n", server)
	}
	for _, name := range []string{"alice", "carol"} {
		u := sb.User(name)
		fmt.Fprintf(&text, "[[identities]]\nname = %q\nusername = %q\npassword = \"file:%s.password\"\n", name, u.Login, name)
		files[name+".password"] = u.Password
		if u.TOTPSecret != "" {
			fmt.Fprintf(&text, "totp_secret = \"file:%s.totp\"\n", name)
			files[name+".totp"] = u.TOTPSecret
		}
	}
	fmt.Fprintf(&text, "%s\n[log]\nformat = %q\nlevel = %q\n%s\n", s.callers, s.log, cmp.Or(s.level, "debug"), s.more)
	files["config.toml"] = text.String()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "config.toml")
}

// serve starts the program and returns where it listens.
func serve(t *testing.T, config string) (door, *program.Process) {
	t.Helper()
	p := program.Start(t, arcproxy, "serve", "--config", config)
	address := p.Says(t, `listening"?,? ?"?address"?[:=]"?([0-9.:]+)`)
	return door{address, address}, p
}

// ours starts the program twice before up and the sandbox: where callers need
// keys, and where the address is enough.
func ours(t *testing.T, sb *sandbox.Sandbox, up *recorder, tr *trap) *target {
	t.Helper()
	s := settings{
		portal: sb.PortalURL.String(), okta: sb.OktaURL.String(),
		servers: []string{up.server.URL + "/" + mount, "http://" + deadAddress(t) + "/dead"},
		callers: callers, log: "json",
	}
	at := &target{name: "arcproxy", up: up, trap: tr, tokens: map[string]string{}}
	var keyed, open *program.Process
	at.keyed, keyed = serve(t, s.write(t, sb))
	s.callers, s.log = anyone, "text"
	at.open, open = serve(t, s.write(t, sb))
	at.logs = []*program.Process{keyed, open}
	at.secrets = func() []string { return append(sb.Secrets(), keys...) }
	return at
}

// naive starts a reverse proxy before up as such are written, with alice's token.
func naive(t *testing.T, sb *sandbox.Sandbox, up *recorder, tr *trap) *target {
	t.Helper()
	base, err := url.Parse(up.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	token := sb.Portal.Token(sb.User("alice").Login)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	h := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(base)
			r.Out.Header.Set("X-Esri-Authorization", "Bearer "+token)
		},
		Transport: transport,
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	plain, secure := httptest.NewUnstartedServer(h), httptest.NewUnstartedServer(h)
	secure.EnableHTTP2 = true
	for _, s := range []*httptest.Server{plain, secure} {
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
	}
	plain.Start()
	secure.StartTLS()
	t.Cleanup(func() {
		plain.CloseClientConnections()
		secure.CloseClientConnections()
		plain.Close()
		secure.Close()
	})
	d := door{plain.Listener.Addr().String(), secure.Listener.Addr().String()}
	return &target{
		name: "naive", naive: true, keyed: d, open: d, up: up, trap: tr,
		tokens:  map[string]string{"alice": token, "carol": token, "anyone": token},
		secrets: func() []string { return append(sb.Secrets(), keys...) },
	}
}

// deadAddress is one where nobody listens.
func deadAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// sandboxUser asks the sandbox whose token it is.
func sandboxUser(ctx context.Context, sb *sandbox.Sandbox, token string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, sb.PortalURL.String()+"/sharing/rest/community/self?f=json", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("X-Esri-Authorization", "Bearer "+token)
	res, err := sb.Transport().RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var self struct{ Username string }
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&self); err != nil {
		return "", err
	}
	i := slices.IndexFunc(sb.Users(), func(u sandbox.User) bool { return u.GISUsername == self.Username })
	if i < 0 {
		return "", fmt.Errorf("the Portal knows the token as %q's", self.Username)
	}
	return sb.Users()[i].Name, nil
}

// insecure is for talking to authorities that were made a moment ago.
func insecure(protocols ...string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}
}
