package main

import (
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"arcproxy/auth"
	"arcproxy/auth/okta"
)

// fileIdentity is an Okta account as the file has it.
type fileIdentity struct {
	Name       string `toml:"name"`
	Username   string `toml:"username"`
	Password   string `toml:"password"`
	Factor     any    `toml:"factor"` // a name, or several
	TOTPSecret string `toml:"totp_secret"`
	Answer     string `toml:"answer"`
	WebAuthn   string `toml:"webauthn"`
}

// factors are those that the file may name.
var factors = []auth.Factor{
	auth.FactorAuto, auth.FactorPush, auth.FactorTOTP, auth.FactorSMS, auth.FactorCall,
	auth.FactorEmail, auth.FactorQuestion, auth.FactorToken, auth.FactorDuo, auth.FactorWebAuthn,
}

func (p *parser) identities(c *config, f *file) {
	if len(f.Identities) == 0 {
		p.fault("identities", "is missing; write at least one [[identities]], an Okta account to sign in")
	}
	for i, x := range f.Identities {
		key := func(name string) string { return fmt.Sprintf("identities[%d].%s", i, name) }
		id := auth.Identity{Name: x.Name, Username: x.Username}
		if x.Name == "" {
			p.fault(key("name"), "is missing; write a name for callers to refer to")
		} else if x.Name == "." || x.Name == ".." {
			// As a segment of a path, which it is to the console and the commands, it is none.
			p.fault(key("name"), "%q means a directory; write a name of letters, as alice", x.Name)
		} else if _, twice := c.identity(x.Name); twice {
			p.fault(key("name"), "%q is there twice; give each identity its own name", x.Name)
		}
		if x.Username == "" {
			p.fault(key("username"), "is missing; write the Okta user name")
		}
		for _, other := range c.Identities {
			// What was refused, and which codes were used, is remembered for each identity.
			if x.Username != "" && strings.EqualFold(other.Username, x.Username) {
				p.fault(key("username"), "%q is that of the identity %q; map its callers to that one", x.Username, other.Name)
			}
		}
		for _, secret := range []struct {
			name, ref string
			into      *auth.SecretSource
			check     func(auth.Secret) error
		}{
			{"password", x.Password, &id.Password, nil}, // absent: a person signs in
			{"totp_secret", x.TOTPSecret, &id.TOTPSecret, isBase32},
			{"answer", x.Answer, &id.Answer, nil},
			{"webauthn", x.WebAuthn, &id.WebAuthn, okta.ParseKey},
		} {
			if secret.ref != "" {
				*secret.into = p.secret(key(secret.name), secret.ref, secret.check)
			} else if p.at.has(key(secret.name)) { // what was to fill it in was not there
				p.fault(key(secret.name), "is empty; write where it is, as env:NAME or file:PATH, or leave it out")
			}
		}
		id.Factors = p.factors(key("factor"), x.Factor)
		switch {
		case slices.Contains(id.Factors, auth.FactorWebAuthn) && x.WebAuthn == "":
			p.fault(key("webauthn"), `is missing, and factor names "webauthn"; write where the software key is, as file:PATH`)
		case slices.Contains(id.Factors, auth.FactorDuo) && f.Okta.DuoHost == "":
			p.fault("okta.duo_host", `is missing, and factor of %q names "duo"; write Duo's host as Okta's Duo settings show it, "api-….duosecurity.com"`, x.Name)
		case len(id.Factors) == 1 && id.Factors[0] == auth.FactorTOTP && x.TOTPSecret == "" && x.Password != "":
			p.fault(key("totp_secret"), `is missing, and factor is "totp"; write where the base32 secret is, as file:PATH`)
		}
		c.Identities = append(c.Identities, id)
	}
}

// factors reads a name, or a list of names in order of preference.
func (p *parser) factors(key string, value any) []auth.Factor {
	var names []any
	switch value := value.(type) {
	case nil:
		return []auth.Factor{auth.FactorAuto}
	case []any:
		names = value
	default:
		names = []any{value}
	}
	if len(names) == 0 {
		p.fault(key, `is an empty list; write "auto", or the factors that may be used`)
	}
	list := make([]auth.Factor, 0, len(names))
	for _, name := range names {
		text, ok := name.(string)
		switch f := auth.Factor(text); {
		case !ok:
			p.fault(key, `is neither a name nor a list of names; write "auto" or ["totp", "push"]`)
		case !slices.Contains(factors, f):
			p.fault(key, "%q is not possible; write one of %s", text, quoted(factors))
		case slices.Contains(list, f):
			p.fault(key, "%q is there twice", text)
		default:
			list = append(list, f)
		}
	}
	return list
}

// quoted lists what may be written.
func quoted[T ~string](allowed []T) string {
	list := make([]string, len(allowed))
	for i, a := range allowed {
		list[i] = strconv.Quote(string(a))
	}
	return strings.Join(list, ", ")
}

// duoHost is the address of Duo's frame, nil where the file names none.
func (p *parser) duoHost(key, host string) *url.URL {
	if host == "" {
		return nil
	}
	u, err := url.Parse("https://" + host)
	if err != nil || u.Host != host || u.Hostname() == "" || !strings.Contains(host, ".") {
		p.fault(key, `is no host name; write Duo's host as Okta's Duo settings show it, "api-….duosecurity.com"`)
		return nil
	}
	return &url.URL{Scheme: "https", Host: strings.ToLower(host)}
}

// isBase32 reports what is wrong with a TOTP secret, as authenticators show it.
func isBase32(s auth.Secret) error {
	text := strings.ToUpper(strings.TrimRight(strings.ReplaceAll(s.Reveal(), " ", ""), "="))
	if _, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text); err != nil || text == "" {
		return errors.New("it is not base32 (letters A-Z and digits 2-7); copy the set-up key that Okta shows beside the QR code")
	}
	return nil
}
