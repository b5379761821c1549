package issue

import (
	"cmp"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// outOfBand is the redirect URI of programs that nothing can be redirected to: the
// code is shown on a page.
const outOfBand = "urn:ietf:wg:oauth:2.0:oob"

// maxRedirect is the longest redirect URI, in bytes.
const maxRedirect = 2048

// place is where a URL leads.
type place uint8

const (
	foreign  place = iota // to somebody else
	own                   // to this proxy
	loopback              // to the machine of whoever follows it
	page                  // to a configured web origin
)

// parseRedirect parses an absolute http or https URL in which no two parties could
// see two hosts, and without a fragment (RFC 6749, section 3.1.2).
func parseRedirect(text string) (*url.URL, bool) {
	if len(text) > maxRedirect {
		return nil, false
	}
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\\\"'<>^`{|}#", c) >= 0 {
			return nil, false
		}
	}
	u, ok := webURL(text)
	if !ok || u.User != nil {
		return nil, false
	}
	for i := range len(u.Host) {
		switch c := u.Host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == ':', c == '[', c == ']':
		default:
			return nil, false
		}
	}
	return u, true
}

// where returns where u leads, seen from r.
func (i *Issuer) where(u *url.URL, r *http.Request) place {
	if here := authority(u); here == authority(&url.URL{Scheme: u.Scheme, Host: r.Host}) || here == authority(i.public) {
		return own
	}
	if i.origins[origin(u)] {
		return page
	}
	if !isLoopback(u.Hostname()) {
		return foreign
	}
	// Another name of this machine is still this proxy, if the port is.
	if p := port(u); p == port(&url.URL{Scheme: u.Scheme, Host: r.Host}) || p == port(i.public) {
		return own
	}
	return loopback
}

// port returns the port that u is called at.
func port(u *url.URL) string {
	if p := u.Port(); p != "" || u.Scheme != "https" {
		return cmp.Or(p, "80")
	}
	return "443"
}

// isLoopback reports whether a host is the machine of whoever asks for it (RFC
// 8252, section 7.3, with the name that everybody uses).
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == "" && addr.IsLoopback()
}

// redirectable returns the parsed form of a redirect URI that a sign-in may end
// in, nil for [outOfBand]. Applications are not registered here, so it is the
// place that counts: a program on the machine of the person who signs in, a page
// of a configured web origin, or the bare address of this proxy or a mount, from
// which the ArcGIS API for Python reads the token without ever going there. Other
// pages of this proxy are other people's content.
func (i *Issuer) redirectable(text string, r *http.Request) (*url.URL, bool) {
	if text == outOfBand {
		return nil, true
	}
	u, ok := parseRedirect(text)
	if !ok {
		return nil, false
	}
	switch i.where(u, r) {
	case loopback, page:
		return u, true
	case own:
		path := strings.Trim(u.EscapedPath(), "/")
		return u, u.RawQuery == "" && (path == "" || i.mounts[path])
	}
	return nil, false
}

// serves reports whether a server URL is one that is called through this proxy:
// by its address here or its own, of the whole host or of a mount.
func (i *Issuer) serves(text string, r *http.Request) bool {
	u, ok := parseRedirect(text)
	if !ok {
		return false
	}
	first, _ := next(u.EscapedPath())
	if i.where(u, r) == own {
		return first == "" || i.mounts[first]
	}
	for _, up := range i.upstreams {
		if authority(up) == authority(u) && (first == "" || strings.EqualFold(first, strings.Trim(up.Path, "/"))) {
			return true
		}
	}
	return false
}
