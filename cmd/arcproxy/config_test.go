package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testEnv(vars map[string]string) environment {
	return environment{lookup: func(name string) (string, bool) { v, ok := vars[name]; return v, ok }}
}

// base is a good config that the fault table breaks line by line.
const base = `
state_dir = ""
[portal]
url = "https://gis.example.com/portal"
client_id = "abc"
[okta]
url = "https://example.okta.com"
[[identities]]
name = "alice"
username = "alice@example.com"
password = "env:PW"
[[callers]]
name = "nightly"
identity = "alice"
key = "sha256:5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"
`

func TestConfigDefaults(t *testing.T) {
	c, list := parseConfig(t.Context(), []byte(base), ".", testEnv(map[string]string{"PW": "x"}))
	if len(list) > 0 {
		t.Fatal(list)
	}
	if c.Listen != "127.0.0.1:8443" || c.PublicURL.String() != "https://localhost:8443" || c.Patience != time.Minute ||
		c.Portal.Expiration != 14*24*time.Hour || c.Portal.RedirectURI != "urn:ietf:wg:oauth:2.0:oob" || c.TLS.Mode != "local" {
		t.Errorf("defaults are %+v", c)
	}
	pw, err := c.Identities[0].Password(t.Context())
	if err != nil || pw.Reveal() != "x" {
		t.Errorf("password from the environment: %q, %v", pw.Reveal(), err)
	}
}

func TestConfigFaults(t *testing.T) {
	const totp = "password = \"env:PW\"\ntotp_secret = \"env:TOTP\""
	for _, tt := range []struct {
		name, old, new string
		want           []string // "line key: part of the text"
	}{
		{"unknown key", `client_id = "abc"`, "client_id = \"abc\"\nclientid = \"abc\"", []string{"6 portal.clientid: no such key"}},
		{"two unknown keys and a fault", `client_id = "abc"`, "x = 1\ny = 2", []string{"3 portal.client_id: is missing", "5 portal.x: no such key", "6 portal.y: no such key"}},
		{"wrong type", `client_id = "abc"`, `client_id = 5`, []string{"5 portal.client_id: a TOML integer stands where a string"}},
		{"two wrong types", "client_id = \"abc\"\n[okta]\nurl = \"https://example.okta.com\"", "client_id = 5\n[okta]\nurl = false", []string{"5 portal.client_id: a TOML integer", "7 okta.url: a TOML boolean"}},
		{"not TOML", `[okta]`, `[okta`, []string{"6 : is not TOML"}},
		{"http upstream", `https://gis`, `http://gis`, []string{"4 portal.url: is not https"}},
		{"no context", `gis.example.com/portal`, `gis.example.com`, []string{"4 portal.url: exactly one path segment"}},
		{"two contexts", `example.com/portal`, `example.com/a/portal`, []string{"4 portal.url: exactly one path segment"}},
		{"our own mount", `example.com/portal`, `example.com/_arcproxy`, []string{"4 portal.url: exactly one path segment"}},
		{"user in URL", `https://gis`, `https://me:secret@gis`, []string{"4 portal.url: has a user"}},
		{"okta with path", `okta.com`, `okta.com/app`, []string{"7 okta.url: has a path"}},
		{"mounted twice", `[okta]`, "[[servers]]\nurl = \"https://other.example.com/portal\"\n[okta]", []string{"7 servers[0].url: is mounted at /portal"}},
		{"literal password", `env:PW`, `sw0rdfish:x`, []string{"11 identities[0].password: not a reference"}},
		{"unset variable", `env:PW`, `env:NO_SUCH`, []string{"11 identities[0].password: has no NO_SUCH"}},
		{"missing file", `env:PW`, `file:nowhere`, []string{"11 identities[0].password: can't be read"}},
		{"keyring without user", `env:PW`, `keyring:x`, []string{"11 identities[0].password: keyring:SERVICE/USER"}},
		{"totp without secret", `password = "env:PW"`, "password = \"env:PW\"\nfactor = \"totp\"", []string{"8 identities[0].totp_secret: is missing"}},
		{"totp not base32", `password = "env:PW"`, totp, []string{"12 identities[0].totp_secret: not base32"}},
		{"unknown factor", `password = "env:PW"`, "password = \"env:PW\"\nfactor = \"sms\"", []string{"12 identities[0].factor: \"sms\" is not possible"}},
		{"unknown identity", `identity = "alice"`, `identity = "bob"`, []string{"14 callers[0].identity: \"bob\" is not an identity"}},
		{"neither key nor from", "key = \"sha256:5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5\"", "", []string{"12 callers[0]: neither key nor from"}},
		{"short hash", `sha256:5994`, `sha256:59`, []string{"15 callers[0].key: 64 hexadecimal digits"}},
		{"short key", `sha256:5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5`, `env:PW`, []string{"15 callers[0].key: shorter than 22"}},
		{"one key twice", `[okta]`, "[[callers]]\nname = \"b\"\nidentity = \"alice\"\nkey = \"sha256:5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5\"\n[okta]", []string{"19 callers[1].key: is also the key of \"b\""}},
		{"bad prefix", `identity = "alice"`, "identity = \"alice\"\nfrom = [\"10.0.0.0/99\"]", []string{"15 callers[0].from: entry 1"}},
		{"bad duration", `[portal]`, "patience = \"soon\"\n[portal]", []string{"3 patience: not a duration"}},
		{"bad listen", `[portal]`, "listen = \"gis.example.com:1\"\n[portal]", []string{"3 listen: not an address"}},
		{"files without files", `[portal]`, "[tls]\nmode = \"files\"\n[portal]", []string{"3 tls.cert_file: is missing", "3 tls.key_file: is missing"}},
		{"key of another mode", `[portal]`, "[tls]\nemail = \"a@example.com\"\n[portal]", []string{"4 tls.email: has no effect"}},
		{"certificate without authority", `identity = "alice"`, "identity = \"alice\"\ncert_san = \"a.example.com\"", []string{"15 callers[0].cert_san: no effect without tls.client_ca_file"}},
		{"authority without certificate", `[portal]`, "[tls]\nclient_ca_file = \"nowhere\"\n[portal]", []string{"4 tls.client_ca_file: no effect without a caller"}},
		{"wildcard", `[okta]`, "[[callers]]\nname = \"b\"\nidentity = \"alice\"\ncert_san = \"*.example.com\"\n[tls]\nclient_ca_file = \"nowhere\"\n[okta]", []string{"9 callers[0].cert_san: without wildcards", "11 tls.client_ca_file: can't be read"}},
		{"short fingerprint", `[okta]`, "[[callers]]\nname = \"b\"\nidentity = \"alice\"\ncert_sha256 = \"AA:BB\"\n[tls]\nclient_ca_file = \"nowhere\"\n[okta]", []string{"9 callers[0].cert_sha256: 64 hexadecimal digits", "11 tls.client_ca_file: can't be read"}},
		{"no such user", `identity = "alice"`, "identity = \"alice\"\nos_user = \"no-such-user\"", []string{"15 callers[0].os_user: not known to this system"}},
		{"one user twice", `[okta]`, "[[callers]]\nname = \"b\"\nidentity = \"alice\"\nos_user = \"7\"\n[[callers]]\nname = \"c\"\nidentity = \"alice\"\nos_user = \"07\"\n[okta]", []string{"13 callers[1].os_user: is also that of \"b\""}},
		{"front user without front", `identity = "alice"`, "identity = \"alice\"\nfront_user = \"a\"", []string{"15 callers[0].front_user: no effect without front.from"}},
		{"front without addresses", `[portal]`, "[front]\nheader = \"X-User\"\n[portal]", []string{"4 front.header: no effect without front.from"}},
		{"front with a strange header", `[portal]`, "[front]\nfrom = [\"10.0.0.5\"]\nheader = \"Cookie\"\n[portal]", []string{"5 front.header: has another meaning"}},
		{"every origin", `[portal]`, "[web]\norigins = [\"https://a.example\", \"*\"]\n[portal]", []string{"4 web.origins: entry 2"}},
		{"policy", `identity = "alice"`, "identity = \"alice\"\nallow = [\"portal\"]\ndeny = [\"x\"]\nrate = -1\nconcurrent = -1", []string{"15 callers[0].allow: allow", "16 callers[0].deny: deny", "17 callers[0].rate: requests per second", "18 callers[0].concurrent: how many requests"}},
		{"no connections", `[portal]`, "[limits]\nconnections = 0\ntokens = \"1s\"\n[portal]", []string{"4 limits.connections: not more than zero", "5 limits.tokens: less than a minute"}},
		{"audit without file", `[portal]`, "[audit]\nkeep = 1\n[portal]", []string{"4 audit.keep: no effect without audit.file"}},
		{"audit sizes", `[portal]`, "[audit]\nfile = \"a\"\nmax_size_mb = 0\nkeep = -1\n[portal]", []string{"5 audit.max_size_mb: not a size", "6 audit.keep: not a number"}},
		{"ca_file", `[portal]`, "[network]\nca_file = \"nowhere\"\n[portal]", []string{"4 network.ca_file: can't be read"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(base, tt.old, tt.new, 1)
			if text == base {
				t.Fatal("the case changes nothing")
			}
			name := filepath.Join(t.TempDir(), "config.toml")
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := loadConfig(t.Context(), name, testEnv(map[string]string{"PW": "x", "TOTP": "n0t base32!"}))
			f, ok := err.(*faults)
			if !ok {
				t.Fatalf("error is %v", err)
			}
			var got []string
			for i, x := range f.List {
				got = append(got, strings.ReplaceAll(strings.Join([]string{itoa(x.Line), x.Key}, " "), "\x00", "")+": "+x.Text)
				if i < len(tt.want) {
					at, part, _ := strings.Cut(tt.want[i], ": ")
					if strings.HasPrefix(got[i], at+": ") && strings.Contains(got[i], part) {
						got[i] = tt.want[i]
					}
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if strings.Contains(err.Error(), "sw0rdfish") || strings.Contains(err.Error(), "n0t base32") {
				t.Errorf("a fault quotes a secret: %v", err)
			}
		})
	}
}

// TestExampleConfig decodes config.example.toml, as it is and with every
// commented-out key put in force one by one.
func TestExampleConfig(t *testing.T) {
	text, err := os.ReadFile("../../config.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	secret := filepath.Join(dir, "totp")
	if err := os.WriteFile(secret, []byte("JBSWY3DPEHPK3PXP\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := testEnv(map[string]string{"ALICE_PASSWORD": "x", "STATE_DIRECTORY": dir})
	example := strings.ReplaceAll(string(text), "/run/secrets/alice.totp", filepath.ToSlash(secret))
	c, list := parseConfig(context.Background(), []byte(example), dir, env)
	if len(list) > 0 {
		t.Fatalf("the example has faults: %v", list)
	}
	if len(c.Identities) != 1 || len(c.Callers) != 2 || len(c.Servers) != 1 {
		t.Errorf("the example decodes to %+v", c)
	}

	lines := strings.Split(example, "\n")
	defaults := 0
	for i, line := range lines {
		key, _, isKey := strings.Cut(strings.TrimPrefix(line, "# "), " =")
		if !strings.HasPrefix(line, "# ") || !isKey || strings.Contains(strings.TrimSpace(key), " ") {
			continue
		}
		defaults++
		one := slices.Clone(lines)
		one[i] = strings.TrimPrefix(line, "# ")
		_, list := parseConfig(context.Background(), []byte(strings.Join(one, "\n")), dir, env)
		for _, f := range list {
			// Keys of one tls mode, and files that are not on this machine, are
			// faults of the place and not of the key.
			if !strings.Contains(f.Text, "has no effect") && !strings.Contains(f.Text, "can't be read") {
				t.Errorf("with %q in force: %v", one[i], f)
			}
		}
	}
	if defaults < 10 {
		t.Errorf("found only %d commented-out keys in the example", defaults)
	}
}

// TestExampleIsComplete fails when a key is decoded that the example does not show.
func TestExampleIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../config.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range fileKeys() {
		found := false
		for line := range strings.Lines(string(text)) {
			name, _, ok := strings.Cut(strings.TrimPrefix(line, "# "), "=")
			found = found || ok && strings.TrimSpace(name) == key
		}
		if !found {
			t.Errorf("config.example.toml does not show %q", key)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(base))
	f.Add([]byte("[[a]]\nb.c = {d = [1, 2, {e = 3}]}\n"))
	f.Add([]byte("listen = 5\n[portal]\nurl = [1]\n"))
	env := testEnv(map[string]string{"PW": "x"})
	f.Fuzz(func(t *testing.T, text []byte) {
		if strings.Contains(string(text), "file") || strings.Contains(string(text), "exec") || strings.Contains(string(text), "keyring") {
			return // reads and runs what the text names
		}
		c, list := parseConfig(context.Background(), text, "/nonexistent", env)
		if c == nil && len(list) == 0 {
			t.Error("neither a config nor a fault")
		}
	})
}
