package proxy

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// san is a name in a certificate (RFC 5280, section 4.2.1.6), of one kind: a
// name of one kind that looks like another's is not that other's.
type san struct {
	kind sanKind
	name string // as comparison needs it
}

type sanKind uint8

const (
	dnsName sanKind = iota + 1
	uriName
	emailName
	ipName
)

// CheckSAN returns what is wrong with a [Caller.CertSAN], nil if nothing is.
func CheckSAN(name string) error {
	_, err := parseSAN(name)
	return err
}

// parseSAN reads a name as a config has it. The four kinds look different: only
// an IP address parses as one, only a URI holds a colon then, only an e-mail
// address an "@".
func parseSAN(text string) (san, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return san{ipName, addr.Unmap().String()}, nil
	}
	switch {
	case text == "" || strings.ContainsAny(text, " *\t\r\n"):
	case strings.Contains(text, ":"):
		if u, err := url.Parse(text); err == nil && u.Scheme != "" {
			return san{uriName, u.String()}, nil
		}
	case strings.Contains(text, "@"):
		return emailSAN(text), nil
	default:
		return san{dnsName, strings.ToLower(strings.TrimSuffix(text, "."))}, nil
	}
	return san{}, fmt.Errorf("%q is not a name that a certificate can have: write a DNS name without wildcards, a URI, an e-mail address or an IP address", text)
}

// emailSAN makes the domain, and only that, the same in any case.
func emailSAN(text string) san {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return san{emailName, text}
	}
	return san{emailName, text[:at] + strings.ToLower(text[at:])}
}

// in reports whether the certificate has this name.
func (s san) in(cert *x509.Certificate) bool {
	switch s.kind {
	case dnsName:
		for _, name := range cert.DNSNames {
			if strings.ToLower(strings.TrimSuffix(name, ".")) == s.name {
				return true
			}
		}
	case uriName:
		for _, u := range cert.URIs {
			if u.String() == s.name {
				return true
			}
		}
	case emailName:
		for _, address := range cert.EmailAddresses {
			if emailSAN(address) == s {
				return true
			}
		}
	case ipName:
		for _, ip := range cert.IPAddresses {
			if addr, ok := netip.AddrFromSlice(ip); ok && addr.Unmap().String() == s.name {
				return true
			}
		}
	}
	return false
}

// certified is a caller who is known by a certificate.
type certified struct {
	caller *Caller
	name   san // the zero value is in no certificate
}

// byCertificate returns the caller whose certificate this is, which TLS has verified
// in these ways; nil if it is nobody's, or more than one's.
func (c *callers) byCertificate(chains [][]*x509.Certificate) *Caller {
	if !c.trusts(chains) {
		return nil
	}
	cert := chains[0][0]
	sum := sha256.Sum256(cert.Raw)
	var found *Caller
	for _, bearer := range c.certified {
		want := bearer.caller.CertSHA256
		if !bearer.name.in(cert) && (want == nil || *want != sum) {
			continue
		}
		if found != nil {
			return nil
		}
		found = bearer.caller
	}
	return found
}

// trusts reports whether one of these chains ends at an authority of today: the
// connection may be older than what the config says now.
func (c *callers) trusts(chains [][]*x509.Certificate) bool {
	if c.authorities == nil {
		return true
	}
	for _, chain := range chains {
		if slices.ContainsFunc(c.authorities, chain[len(chain)-1].Equal) {
			return true
		}
	}
	return false
}
