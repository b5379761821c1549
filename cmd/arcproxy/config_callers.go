package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"arcproxy/proxy"
	"arcproxy/proxy/peer"
	"arcproxy/proxy/policy"
)

// fileCaller is a caller as the file has it.
type fileCaller struct {
	Name     string   `toml:"name"`
	Identity string   `toml:"identity"`
	Key      string   `toml:"key"`
	From     []string `toml:"from"`

	CertSAN    string `toml:"cert_san"`
	CertSHA256 string `toml:"cert_sha256"`
	OSUser     string `toml:"os_user"`
	FrontUser  string `toml:"front_user"`

	ReadOnly   bool     `toml:"read_only"`
	Allow      []string `toml:"allow"`
	Deny       []string `toml:"deny"`
	Admin      bool     `toml:"admin"`
	Rate       float64  `toml:"rate"`
	Concurrent int      `toml:"concurrent"`
}

// known reports whether there is any way to be this caller.
func (x *fileCaller) known() bool {
	return x.Key != "" || len(x.From) > 0 || x.CertSAN != "" || x.CertSHA256 != "" || x.OSUser != "" || x.FrontUser != ""
}

func (p *parser) callers(c *config, f *file) {
	if len(f.Callers) == 0 {
		p.fault("callers", "is missing; write at least one [[callers]], who may use which identity")
	}
	names, keys := map[string]bool{}, map[[32]byte]string{}
	certificates, users, fronted := map[string]string{}, map[string]string{}, map[string]string{}
	for i, x := range f.Callers {
		key := func(name string) string { return fmt.Sprintf("callers[%d].%s", i, name) }
		caller := proxy.Caller{Name: x.Name, Identity: x.Identity}
		if x.Name == "" {
			p.fault(key("name"), "is missing; write a name, it is what logs call this caller")
		} else if names[x.Name] {
			p.fault(key("name"), "%q is there twice; give each caller its own name", x.Name)
		}
		if strings.HasPrefix(x.Name, "(") {
			p.fault(key("name"), "%q begins with a parenthesis, by which records and figures tell who is no caller; write another name", x.Name)
		}
		names[x.Name] = true
		if _, ok := c.identity(x.Identity); !ok {
			known := make([]string, len(c.Identities))
			for i, id := range c.Identities {
				known[i] = strconv.Quote(id.Name)
			}
			p.fault(key("identity"), "%q is not an identity of this file; write one of: %s", x.Identity, strings.Join(known, ", "))
		}
		unread := func(way string) bool { return p.at.has(key(way)) && p.without[p.at.line(key(way))] }
		if !x.known() && !slices.ContainsFunc([]string{"key", "from", "cert_san", "cert_sha256", "os_user", "front_user"}, unread) {
			p.fault(fmt.Sprintf("callers[%d]", i), "has neither key nor from nor another way to be known, so nobody could be it; make a key with `arcproxy key %s`, or write from = [\"127.0.0.0/8\", \"::1/128\"]", word(cmp.Or(x.Name, "NAME")))
		}
		if x.Key != "" {
			caller.KeySHA256 = p.callerKey(key("key"), x.Key)
			if caller.KeySHA256 != nil {
				if other, twice := keys[*caller.KeySHA256]; twice {
					p.fault(key("key"), "is also the key of %q; make each caller its own with `arcproxy key`", other)
				}
				keys[*caller.KeySHA256] = x.Name
			}
		}
		caller.From = p.prefixes(key("from"), x.From)
		p.certificate(key, x, &caller, certificates)
		p.user(key, x, &caller, users)
		if caller.FrontUser = x.FrontUser; x.FrontUser != "" {
			p.once(key("front_user"), x.FrontUser, x.Name, fronted)
			if len(c.Front.From) == 0 {
				p.fault(key("front_user"), "has no effect without front.from; write the addresses of the front proxy there")
			}
		}
		p.policy(key, x, &caller)
		c.Callers = append(c.Callers, caller)
	}
}

// word is name as a shell takes it for one.
func word(name string) string {
	if strings.ContainsAny(name, " \t'\"`$\\&|;<>()*?[]#~!") {
		return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	}
	return name
}

// callerKey reads "sha256:HEX" or a reference to the key itself.
func (p *parser) callerKey(key, value string) *[32]byte {
	if text, ok := strings.CutPrefix(value, "sha256:"); ok {
		sum, err := hex.DecodeString(text)
		if err != nil || len(sum) != sha256.Size {
			p.fault(key, "is not the 64 hexadecimal digits of a SHA-256; make a key with `arcproxy key`, it prints the line to write")
			return nil
		}
		return (*[32]byte)(sum)
	}
	if kind, _, ok := strings.Cut(value, ":"); !ok || kind == "" {
		p.fault(key, "is neither the hash of a key nor a reference to one; write the line that `arcproxy key` prints, key = \"sha256:…\" (a key itself never stands in the config)")
		return nil
	}
	source := p.secret(key, value, nil)
	if source == nil || p.env.others {
		return nil
	}
	secret, err := source(p.ctx)
	if err != nil {
		p.fault(key, "%v", err)
		return nil
	}
	// A key is a bearer credential that can be guessed offline by nobody and
	// online by everybody, so it has to be long.
	if len(secret.Reveal()) < 22 {
		p.fault(key, "is shorter than 22 characters, too short for 128 random bits; make one with `arcproxy key`")
		return nil
	}
	sum := sha256.Sum256([]byte(secret.Reveal()))
	return &sum
}

// once refuses a second caller who is known in the same way.
func (p *parser) once(key, way, caller string, taken map[string]string) {
	if other, twice := taken[way]; twice {
		p.fault(key, "is also that of %q; nobody could tell the two apart", other)
	}
	taken[way] = caller
}

// certificate reads cert_san and cert_sha256.
func (p *parser) certificate(key func(string) string, x fileCaller, caller *proxy.Caller, taken map[string]string) {
	if x.CertSAN != "" {
		if err := proxy.CheckSAN(x.CertSAN); err != nil {
			p.fault(key("cert_san"), "%v", err)
		}
		p.once(key("cert_san"), strings.ToLower(x.CertSAN), x.Name, taken)
		caller.CertSAN = x.CertSAN
	}
	if x.CertSHA256 == "" {
		return
	}
	// As openssl x509 -fingerprint -sha256 prints it, or without colons.
	sum, err := hex.DecodeString(strings.ReplaceAll(strings.TrimPrefix(x.CertSHA256, "sha256:"), ":", ""))
	if err != nil || len(sum) != sha256.Size {
		p.fault(key("cert_sha256"), "is not the 64 hexadecimal digits of a SHA-256; write what `openssl x509 -noout -fingerprint -sha256 -in FILE` prints")
		return
	}
	p.once(key("cert_sha256"), string(sum), x.Name, taken)
	caller.CertSHA256 = (*[32]byte)(sum)
}

// user reads os_user, which has to be a user of this system.
func (p *parser) user(key func(string) string, x fileCaller, caller *proxy.Caller, taken map[string]string) {
	if x.OSUser == "" {
		return
	}
	if !peer.Supported {
		p.fault(key("os_user"), "has no effect on this system: %v; make a key with `arcproxy key`", peer.ErrUnsupported)
		return
	}
	uid, err := peer.NewUsers().UID(x.OSUser)
	if err != nil {
		p.fault(key("os_user"), "%v", err)
		return
	}
	p.once(key("os_user"), strconv.FormatUint(uint64(uid), 10), x.Name, taken)
	caller.OSUser = x.OSUser
}

// policy reads what the caller may do, and how much.
func (p *parser) policy(key func(string) string, x fileCaller, caller *proxy.Caller) {
	caller.Rules = policy.Rules{ReadOnly: x.ReadOnly, Allow: x.Allow, Deny: x.Deny, Admin: x.Admin}
	caller.Limits = policy.Limits{Rate: x.Rate, Concurrent: x.Concurrent}
	_, rules := policy.Compile(caller.Rules)
	_, limits := policy.NewLimiter(caller.Limits)
	for _, err := range append(each(rules), each(limits)...) {
		name, _, _ := strings.Cut(err.Error(), " ") // the key that it is about
		p.fault(key(name), "%v", err)
	}
}

// each returns the errors that were joined.
func each(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return nil
}

// prefixes reads addresses and networks.
func (p *parser) prefixes(key string, list []string) []netip.Prefix {
	var prefixes []netip.Prefix
	for i, text := range list {
		prefix, err := parsePrefix(text)
		if err != nil {
			p.fault(key, "entry %d, %q, is not an address or a prefix; write one like 10.1.2.3 or 10.0.0.0/8", i+1, text)
			continue
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes
}

func parsePrefix(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		prefix, err := netip.ParsePrefix(text)
		return prefix.Masked(), err
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return addr.Prefix(addr.BitLen())
}
