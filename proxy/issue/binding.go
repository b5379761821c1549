package issue

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// maxReferer is the longest Referer that a token can be bound to.
const maxReferer = 1024

// binding is what a request has to have for a token to be good, as ArcGIS has it
// (the parameter `client` of generateToken). The zero value binds to nothing.
type binding struct {
	referer string
	addr    netip.Addr
}

// holds reports whether r has what the token is bound to. The address is that of
// the connection; headers are not believed.
func (b *binding) holds(r *http.Request) bool {
	if b.addr.IsValid() && (r == nil || remote(r) != b.addr) {
		return false
	}
	return b.referer == "" || r != nil && within(b.referer, r.Referer())
}

// remote returns the address that r came from, the zero one if it has none.
func remote(r *http.Request) netip.Addr {
	addrPort, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return addrPort.Addr().Unmap().WithZone("")
}

// within reports whether a Referer that was sent is the one that a token is bound
// to, or a page below it. What is no URL, such as the "http" of the ArcGIS API for
// Python, has to be the same.
func within(bound, sent string) bool {
	if strings.EqualFold(bound, sent) {
		return true
	}
	b, ok1 := webURL(bound)
	s, ok2 := webURL(sent)
	if !ok1 || !ok2 || origin(b) != origin(s) {
		return false
	}
	below := strings.TrimSuffix(b.EscapedPath(), "/")
	rest, ok := strings.CutPrefix(s.EscapedPath(), below)
	return ok && (rest == "" || rest[0] == '/')
}

// webURL parses a full http or https URL.
func webURL(text string) (*url.URL, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "" {
		return nil, false
	}
	return u, true
}

// origin returns u's origin in one spelling: small letters, no default port.
func origin(u *url.URL) string {
	return u.Scheme + "://" + authority(u)
}

// authority returns u's host and port in one spelling.
func authority(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return host
}

// and returns a binding to what b binds to, and more where it does not: a token
// that was derived is held to what the other was held to.
func (b binding) and(more binding) binding {
	if b.referer == "" {
		b.referer = more.referer
	}
	if !b.addr.IsValid() {
		b.addr = more.addr
	}
	return b
}
