package main

import (
	"context"
	"crypto/sha256"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"arcproxy/auth"
	"arcproxy/auth/portal"
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

// TestLogins: each of the Portal's logins can be asked for.
func TestLogins(t *testing.T) {
	for text, want := range map[string]portal.Login{"": portal.LoginAuto, `login = "auto"`: portal.LoginAuto, `login = "saml"`: portal.LoginSAML, `login = "oidc"`: portal.LoginOIDC} {
		c, list := parseConfig(t.Context(), []byte(strings.Replace(base, `client_id = "abc"`, "client_id = \"abc\"\n"+text, 1)), ".", testEnv(map[string]string{"PW": "x"}))
		if len(list) > 0 || c.Portal.Login != want {
			t.Errorf("%s: %v %v", text, c.Portal.Login, list)
		}
	}
}

// TestFactors: a name, a list of names in order, and an account whose password and
// codes a person gives.
func TestFactors(t *testing.T) {
	for text, want := range map[string][]auth.Factor{
		`password = "env:PW"`:                     {auth.FactorAuto},
		"password = \"env:PW\"\nfactor = \"sms\"": {auth.FactorSMS},
		"password = \"env:PW\"\nfactor = [\"question\", \"totp\", \"push\"]\nanswer = \"env:PW\"": {auth.FactorQuestion, auth.FactorTOTP, auth.FactorPush},
		`factor = "totp"`: {auth.FactorTOTP},
	} {
		c, list := parseConfig(t.Context(), []byte(strings.Replace(base, `password = "env:PW"`, text, 1)), ".", testEnv(map[string]string{"PW": "x"}))
		if len(list) > 0 {
			t.Errorf("%s: %v", text, list)
			continue
		}
		id := c.Identities[0]
		if !slices.Equal(id.Factors, want) || (id.Password != nil) != strings.Contains(text, "password") || (id.Answer != nil) != strings.Contains(text, "answer") {
			t.Errorf("%s: %+v", text, id)
		}
	}
	without, _ := parseConfig(t.Context(), []byte(base), ".", testEnv(map[string]string{"PW": "x"}))
	c, list := parseConfig(t.Context(), []byte(strings.Replace(base, "[okta]", "[okta]\nduo_host = \"API-1.duosecurity.com\"", 1)), ".", testEnv(map[string]string{"PW": "x"}))
	if len(list) > 0 || c.Okta.Duo.String() != "https://api-1.duosecurity.com" {
		t.Errorf("%v %v", c, list)
	}
	if stays := c.keep(without); !slices.Equal(stays, []string{"okta.duo_host"}) || c.Okta.Duo != nil {
		t.Errorf("a reload changes more than it says: %v", stays)
	}
}

func TestConfigReplay(t *testing.T) {
	for text, want := range map[string]int64{"": 0, `replay = "0"`: -1, `replay = "512KB"`: 512 << 10, `replay = "20 MB"`: 20 << 20, `replay = "1GB"`: 1 << 30} {
		c, list := parseConfig(t.Context(), []byte(base+"[limits]\n"+text), ".", testEnv(map[string]string{"PW": "x"}))
		if len(list) > 0 || c.Replay != want {
			t.Errorf("%s: %v, %v", text, c.Replay, list)
		}
	}
}

func TestConfigFaults(t *testing.T) {
	const totp = "password = \"env:PW\"\ntotp_secret = \"env:TOTP\""
	for _, tt := range []struct {
		name, old, new string
		want           []string // "line key: part of the text"
	}{
		{"one account twice", `[[callers]]`, "[[identities]]\nname = \"twin\"\nusername = \"Alice@Example.com\"\n[[callers]]", []string{`14 identities[1].username: "Alice@Example.com" is that of the identity "alice"`}},
		{"identity named like a directory", `[[callers]]`, "[[identities]]\nname = \"..\"\nusername = \"bob@example.com\"\n[[callers]]", []string{`13 identities[1].name: ".." means a directory`}},
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
		{"missing file", `env:PW`, `file:nowhere`, []string{"11 identities[0].password: put it there, or write where it is"}},
		{"home directory", `env:PW`, `file:~/pw`, []string{"11 identities[0].password: ~ has no meaning here"}},
		{"empty password", `env:PW`, ``, []string{"11 identities[0].password: is empty; write where it is"}},
		{"keyring without user", `env:PW`, `keyring:x`, []string{"11 identities[0].password: keyring:SERVICE/USER"}},
		{"totp without secret", `password = "env:PW"`, "password = \"env:PW\"\nfactor = \"totp\"", []string{"8 identities[0].totp_secret: is missing"}},
		{"totp not base32", `password = "env:PW"`, totp, []string{"12 identities[0].totp_secret: not base32"}},
		{"unknown factor", `password = "env:PW"`, "password = \"env:PW\"\nfactor = \"fax\"", []string{"12 identities[0].factor: \"fax\" is not possible"}},
		{"unknown factor in a list", `password = "env:PW"`, "password = \"env:PW\"\nfactor = [\"push\", \"fax\"]", []string{"12 identities[0].factor: \"fax\" is not possible"}},
		{"factor twice", `password = "env:PW"`, "password = \"env:PW\"\nfactor = [\"sms\", \"sms\"]", []string{"12 identities[0].factor: \"sms\" is there twice"}},
		{"no factor", `password = "env:PW"`, "password = \"env:PW\"\nfactor = []", []string{"12 identities[0].factor: is an empty list"}},
		{"factor of another type", `password = "env:PW"`, "password = \"env:PW\"\nfactor = [5]", []string{"12 identities[0].factor: is neither a name nor a list"}},
		{"webauthn without key", `password = "env:PW"`, "password = \"env:PW\"\nfactor = [\"push\", \"webauthn\"]", []string{"8 identities[0].webauthn: is missing"}},
		{"webauthn without credential", `password = "env:PW"`, "password = \"env:PW\"\nwebauthn = \"env:TOTP\"", []string{"12 identities[0].webauthn: no private key"}},
		{"duo without host", `password = "env:PW"`, "password = \"env:PW\"\nfactor = \"duo\"", []string{"6 okta.duo_host: is missing"}},
		{"duo at an address", `[okta]`, "[okta]\nduo_host = \"https://duo.example.com/frame\"", []string{"7 okta.duo_host: is no host name"}},
		{"the name of nobody", `name = "nightly"`, `name = "(owner)"`, []string{"13 callers[0].name: begins with a parenthesis"}},
		{"unknown identity", `identity = "alice"`, `identity = "bob"`, []string{"14 callers[0].identity: \"bob\" is not an identity"}},
		{"neither key nor from", "key = \"sha256:5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5\"", "", []string{"12 callers[0]: neither key nor from"}},
		{"short hash", `sha256:5994`, `sha256:59`, []string{"15 callers[0].key: 64 hexadecimal digits"}},
		{"short key", `sha256:5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5`, `env:PW`, []string{"15 callers[0].key: shorter than 22"}},
		{"the key itself", `sha256:5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5`, `sw0rdfish-sw0rdfish-sw0rdfish`, []string{"15 callers[0].key: write the line that `arcproxy key` prints"}},
		{"name of two words", "name = \"nightly\"\nidentity = \"alice\"\nkey = \"sha256:5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5\"", "name = \"this machine\"\nidentity = \"alice\"", []string{"12 callers[0]: `arcproxy key 'this machine'`"}},
		{"only a wrong way to be known", "key = \"sha256:5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5\"", "from = \"10.0.0.1\"", []string{"15 callers.from: a list"}},
		{"a number for a name", `"alice@example.com"`, `5`, []string{"10 identities.username: a string, in quotes, belongs"}},
		{"one table in double brackets", `[okta]`, `[[okta]]`, []string{"6 okta: write one pair"}},
		{"no list", `identity = "alice"`, "identity = \"alice\"\nfrom = \"10.0.0.1\"", []string{"15 callers.from: a list, as [\"…\", \"…\"], belongs"}},
		{"no quotes", `"alice@example.com"`, `alice@example.com`, []string{"10 : straight quotes"}},
		{"quotes left open", `"alice@example.com"`, `"alice@example.com`, []string{"10 : close the quotes"}},
		{"colon for equals", `username =`, `username:`, []string{"10 : write name = \"alice\""}},
		{"one key twice", `[okta]`, "[[callers]]\nname = \"b\"\nidentity = \"alice\"\nkey = \"sha256:5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5\"\n[okta]", []string{"19 callers[1].key: is also the key of \"b\""}},
		{"bad prefix", `identity = "alice"`, "identity = \"alice\"\nfrom = [\"10.0.0.0/99\"]", []string{"15 callers[0].from: entry 1"}},
		{"no size", `[portal]`, "[limits]\nreplay = \"much\"\n[portal]", []string{"4 limits.replay: not a size"}},
		{"size without unit", `[portal]`, "[limits]\nreplay = \"1000\"\n[portal]", []string{"4 limits.replay: not a size"}},
		{"size too large", `[portal]`, "[limits]\nreplay = \"2GB\"\n[portal]", []string{"4 limits.replay: not a size"}},
		{"bad duration", `[portal]`, "patience = \"soon\"\n[portal]", []string{"3 patience: not a duration"}},
		{"bad listen", `[portal]`, "listen = \"gis.example.com:1\"\n[portal]", []string{"3 listen: not an address"}},
		{"files without files", `[portal]`, "[tls]\nmode = \"files\"\n[portal]", []string{"3 tls.cert_file: is missing", "3 tls.key_file: is missing"}},
		{"files that are no pair", `[portal]`, "[tls]\nmode = \"files\"\ncert_file = \"config.toml\"\nkey_file = \"config.toml\"\n[portal]", []string{"6 tls.key_file: is not the key of tls.cert_file"}},
		{"one file of two", `[portal]`, "[tls]\nmode = \"files\"\ncert_file = \"nowhere\"\nkey_file = \"config.toml\"\n[portal]", []string{"5 tls.cert_file: can't be read"}},
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
		{"store", `[portal]`, "[cache]\nstore = \"redis\"\n[portal]", []string{"4 cache.store: \"redis\" is not possible"}},
		{"store without directory", `[portal]`, "[cache]\nstore = \"file\"\n[portal]", []string{"4 cache.store: no effect with state_dir"}},
		{"key without store", `state_dir = ""`, "state_dir = \"state\"\n[cache]\nstore = \"memory\"\nkey = \"env:SEAL\"", []string{"5 cache.key: no effect"}},
		{"short sealing key", `state_dir = ""`, "state_dir = \"state\"\n[cache]\nkey = \"env:SEAL\"", []string{"4 cache.key: 64 hex digits"}},
		{"literal sealing key", `state_dir = ""`, "state_dir = \"state\"\n[cache]\nkey = \"sw0rdfish\"", []string{"4 cache.key: not a reference"}},
		{"empty sealing key", `state_dir = ""`, "state_dir = \"state\"\n[cache]\nkey = \"\"", []string{"4 cache.key: is empty"}},
		{"ca_file", `[portal]`, "[network]\nca_file = \"nowhere\"\n[portal]", []string{"4 network.ca_file: put it there, or write where it is"}},
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
			_, err := loadConfig(t.Context(), name, testEnv(map[string]string{"PW": "x", "TOTP": "n0t base32!", "SEAL": "5ea1"}))
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
			if strings.Contains(err.Error(), "sw0rdfish") || strings.Contains(err.Error(), "n0t base32") || strings.Contains(err.Error(), "5ea1") {
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

	for _, guess := range []string{"12345", "", "key", "secret", "password", "changeme", "nightly", "THE-CALLERS-KEY"} {
		if sum := c.Callers[0].KeySHA256; *sum == sha256.Sum256([]byte(guess)) {
			t.Errorf("whoever leaves the example's key in place lets in who presents %q", guess)
		}
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
	var shown []string
	section := ""
	key := regexp.MustCompile(`^(# )?([a-z0-9_]+) *=`)
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimPrefix(line, "["), "["); ok || strings.HasPrefix(line, "[") {
			section, _, _ = strings.Cut(name, "]")
			section += "."
		} else if m := key.FindStringSubmatch(line); m != nil {
			shown = append(shown, section+m[2])
		}
	}
	known := fileKeys()
	for _, key := range known {
		if !slices.Contains(shown, key) {
			t.Errorf("config.example.toml does not show %s", key)
		}
	}
	for _, key := range shown {
		if !slices.Contains(known, key) {
			t.Errorf("config.example.toml shows %s, which there is not", key)
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

// TestReachableByName: a proxy that other machines may connect to is told them by name.
func TestReachableByName(t *testing.T) {
	for more, want := range map[string]int{
		"":                            0,
		"listen = \"0.0.0.0:8443\"\n": 1,
		"listen = \":8443\"\n":        1,
		"listen = \"0.0.0.0:8443\"\npublic_url = \"https://gis.example.com\"\n": 0,
		"listen = \"[::1]:8443\"\n": 0,
	} {
		c, list := parseConfig(t.Context(), []byte(more+base), t.TempDir(), testEnv(map[string]string{"PW": "x"}))
		if len(list) > 0 {
			t.Fatal(list)
		}
		if len(c.Notes) != want {
			t.Errorf("%q: notes %q", more, c.Notes)
		}
	}
}

// TestListenRemedy: what is in the way of a port is not always another program.
func TestListenRemedy(t *testing.T) {
	for err, want := range map[error]string{syscall.EACCES: "above 1023", syscall.EADDRINUSE: "stop what uses", syscall.EADDRNOTAVAIL: "address of this machine"} {
		if got := listenRemedy(&net.OpError{Op: "listen", Err: os.NewSyscallError("bind", err)}); !strings.Contains(got, want) {
			t.Errorf("%v: %s", err, got)
		}
	}
}
