package attack

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"arcproxy/test/program"
)

// TestFailsClosed is row 32: a config whose keys, addresses, authorities or
// certificates can't be read or mean nothing starts no proxy, a secret that
// can't be read later lets nothing through, and a wrong key is refused where the
// address alone would do.
func TestFailsClosed(t *testing.T) {
	sb := startSandbox(t)
	tr := newTrap(t)
	up := newRecorder(t, tr.address)
	good := settings{portal: sb.PortalURL.String(), okta: sb.OktaURL.String(), servers: []string{up.server.URL + "/" + mount}, callers: callers, log: "json"}

	for name, change := range map[string]func(s *settings){
		"a key file that is not there": func(s *settings) { s.callers = caller(`key = "file:missing"`) },
		"an empty key file":            func(s *settings) { s.callers = caller(`key = "file:empty"`) },
		"a key that is a directory":    func(s *settings) { s.callers = caller(`key = "file:."`) },
		"a key that is not set":        func(s *settings) { s.callers = caller(`key = "env:ARCPROXY_NOT_SET"`) },
		"an empty key":                 func(s *settings) { s.callers = caller(`key = ""`) },
		"a key's hash that is cut":     func(s *settings) { s.callers = caller(`key = "sha256:0d5f"`) },
		"a key as it is":               func(s *settings) { s.callers = caller(`key = "` + keyNightly + `"`) },
		"an address that is none":      func(s *settings) { s.callers = caller(`from = ["127.0.0.1/33"]`) },
		"no address":                   func(s *settings) { s.callers = caller(`from = []`) },
		"a key that is spelled wrong":  func(s *settings) { s.callers = caller("kye = \"file:nightly.key\"\nfrom = [\"127.0.0.1\"]") },
		"a key that is a number":       func(s *settings) { s.callers = caller("key = 12345678901234567890\nfrom = [\"127.0.0.1\"]") },
		"no callers":                   func(s *settings) { s.callers = "" },
		"an authority that is missing": func(s *settings) { s.more = "[network]\nca_file = \"missing\"" },
		"an authority that is none":    func(s *settings) { s.more = "[network]\nca_file = \"nightly.key\"" },
		"certificates that are missing": func(s *settings) {
			s.more = "[tls]\nmode = \"files\"\ncert_file = \"missing\"\nkey_file = \"missing\""
		},
		"certificates that are none": func(s *settings) {
			s.more = "[tls]\nmode = \"files\"\ncert_file = \"nightly.key\"\nkey_file = \"nightly.key\""
		},
		"an upstream in the clear": func(s *settings) { s.servers = []string{"http://gis.example.com/server"} },
	} {
		t.Run(name, func(t *testing.T) {
			s := good
			change(&s)
			config := s.write(t, sb)
			if err := os.WriteFile(filepath.Join(filepath.Dir(config), "empty"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			p := program.Start(t, arcproxy, "serve", "--config", config)
			code := p.Ends(t)
			if code == 0 || strings.Contains(p.Output(), `"msg":"listening"`) {
				t.Errorf("the program starts, or ends with %d: %s", code, p.Output())
			}
			if strings.Contains(p.Output(), keyNightly) {
				t.Errorf("the key is in the message: %s", p.Output())
			}
		})
	}

	t.Run("later", func(t *testing.T) {
		s := good
		s.callers = callers + anyone
		config := s.write(t, sb)
		dir := filepath.Dir(config)
		d, _ := serve(t, config)
		for _, name := range []string{"alice.password", "alice.totp", "carol.password", "nightly.key"} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		a := &attempt{T: t, at: &target{trap: tr, up: up, tokens: map[string]string{}, secrets: func() []string { return append(sb.Secrets(), keys...) }}}
		for name, head := range map[string]string{
			"a wrong key":            "X-Esri-Authorization: Bearer wrong\n",
			"a wrong key in Basic":   "Authorization: Basic " + basic("nightly", "wrong") + "\n",
			"an empty Basic":         "Authorization: Basic " + basic("nightly", "") + "\n",
			"Basic that is none":     "Authorization: Basic %%%\n",
			"a key from elsewhere":   "Authorization: Bearer " + keyElsewhere + "\n",
			"a right and a wrong":    "Authorization: Bearer wrong\n{key}\n",
			"a key of another shape": "X-Esri-Authorization: " + keyNightly + "\n",
		} {
			x, seen := a.sendTo(d, "anyone", "GET /gis/x HTTP/1.1\n{host}\n"+head+"Connection: close\n\n")
			if x.status() != http.StatusUnauthorized || len(seen) > 0 {
				t.Errorf("%s: %d, %d requests arrive", name, x.status(), len(seen))
			}
		}
		// Nobody can be signed in any more, so nothing goes out without a token.
		for name, head := range map[string]string{"a key": "{key}\n", "an address": ""} {
			x, seen := a.sendTo(d, "anyone", "GET /gis/x HTTP/1.1\n{host}\n"+head+"Connection: close\n\n")
			if x.status() < 500 || len(seen) > 0 {
				t.Errorf("%s, and no password: %d, %d requests arrive", name, x.status(), len(seen))
			}
		}
		for _, hole := range a.holes {
			t.Error(hole)
		}
	})
}

// caller is the table of one caller.
func caller(line string) string {
	return "[[callers]]\nname = \"nightly\"\nidentity = \"alice\"\n" + line
}
