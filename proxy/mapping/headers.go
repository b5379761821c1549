package mapping

import (
	"net/http"
	"net/url"
	"strings"
)

// ResponseHeader maps the addresses in an answer's headers to the proxy's, in place.
// Those of bodies' bytes (Content-Length, ETag) are not its business.
func (m *Map) ResponseHeader(h http.Header) {
	for name, values := range h {
		m.ResponseValues(name, values)
	}
}

// ResponseValues does so for the values of one header, by its canonical name.
func (m *Map) ResponseValues(name string, values []string) {
	var become func(string) string
	switch name {
	case "Location", "Content-Location":
		become = m.location
	case "Refresh":
		become = m.refresh
	case "Set-Cookie":
		become = m.cookie
	case "Content-Security-Policy", "Content-Security-Policy-Report-Only", "X-Frame-Options", "Timing-Allow-Origin",
		"Permissions-Policy", "Feature-Policy":
		become = m.sources
	case "Link", "Reporting-Endpoints", "Report-To", "Sourcemap", "X-Sourcemap",
		"Www-Authenticate": // its realm may say where to ask for tokens
		become = m.outbound.String
	default:
		return
	}
	for i, value := range values {
		values[i] = become(value)
	}
}

// RequestHeader maps the addresses in a request's headers to upstreams', in place. The
// request is for the upstream at this URL: what comes from a page of the proxy comes,
// for that upstream, from a page of its own, or CORS and checks against forged requests
// would refuse it.
func (m *Map) RequestHeader(h http.Header, upstream *url.URL) {
	for i, origin := range h["Origin"] {
		if m.isPublic(origin) {
			h["Origin"][i] = originOf(upstream)
		}
	}
	for _, name := range referers {
		for i, referer := range h[name] {
			h[name][i] = m.referer(referer, upstream)
		}
	}
	for _, name := range inboundHeaders {
		for i, value := range h[name] {
			h[name][i] = m.inbound.String(value)
		}
	}
}

// referers name the page that a request comes from. One is right; the others are sent
// by scripts.
var referers = [...]string{"Referer", "Referrer", "X-Referer"}

// inboundHeaders hold addresses, besides: of WebDAV (RFC 4918, sections 10.3 and 10.4),
// of SOAP, and of a body. The OAuth parameters that Esri's platformSelf has in headers
// are left alone, as they are in bodies.
var inboundHeaders = [...]string{"Destination", "If", "Soapaction", "Content-Location", "Link"}

// location maps the target of a redirect. One that leads elsewhere stays as it is,
// whatever addresses are in its query: they are for somebody who may have to find what
// was signed, as a SAML provider does. In one that leads to us they are mapped as well,
// because they say where to go from there.
func (m *Map) location(target string) string {
	mapped := m.outbound.String(target)
	if mapped == target {
		return target
	}
	if authorityOf(target) == "" {
		return mapped
	}
	to := strings.ReplaceAll(authorityOf(mapped), `\`, "/")
	if strings.HasPrefix(to, "//") {
		to = m.public.scheme + ":" + to
	}
	if !m.isPublic(to) {
		return target
	}
	return mapped
}

// refresh maps the target of a Refresh: "5; url=https://…" (HTML, section 4.2.5.3).
func (m *Map) refresh(value string) string {
	for i := 0; i+len("url") < len(value); i++ {
		if !strings.EqualFold(value[i:i+len("url")], "url") {
			continue
		}
		rest := strings.TrimLeft(value[i+len("url"):], " \t")
		if !strings.HasPrefix(rest, "=") {
			continue
		}
		rest = strings.TrimLeft(rest[1:], " \t'\"")
		return value[:len(value)-len(rest)] + m.location(rest)
	}
	return value
}

// authorityOf returns what of a reference comes before its path, as https://host:port;
// "" if it is relative. The scheme alone, if there is no host: urn:.
func authorityOf(reference string) string {
	reference = strings.TrimLeft(reference, " \t")
	i := strings.IndexAny(reference, ":/\\?#")
	switch {
	case i < 0:
		return ""
	case reference[i] == ':':
		i++
	case i > 0:
		return ""
	}
	slashes := i
	// Browsers take a backslash for a slash.
	for slashes < len(reference) && (reference[slashes] == '/' || reference[slashes] == '\\') {
		slashes++
	}
	if slashes-i < 2 {
		return reference[:i] // "": a path
	}
	end := strings.IndexAny(reference[slashes:], `/\?#`)
	if end < 0 {
		return reference
	}
	return reference[:slashes+end]
}

// cookie takes the Domain out of a Set-Cookie if it is an upstream's host or a domain
// that one is in, so that the cookie is the proxy's. Its Path is right as it stands,
// since upstreams are at the same one here.
func (m *Map) cookie(line string) string {
	var kept strings.Builder
	from := 0
	for at := strings.IndexByte(line, ';'); at >= 0; {
		end := len(line)
		following := strings.IndexByte(line[at+1:], ';')
		if following >= 0 {
			following += at + 1
			end = following
		}
		name, domain, _ := strings.Cut(line[at+1:end], "=")
		if strings.EqualFold(strings.TrimSpace(name), "Domain") && m.covers(strings.Trim(domain, " \t\"")) {
			kept.WriteString(line[from:at])
			from = end
		}
		at = following
	}
	if from == 0 {
		return line
	}
	kept.WriteString(line[from:])
	return kept.String()
}

// covers reports whether an upstream's host is in a cookie's domain (RFC 6265, section
// 5.1.3).
func (m *Map) covers(domain string) bool {
	domain = strings.TrimPrefix(domain, ".")
	if domain == "" {
		return false
	}
	for i := range m.upstreams {
		if within(m.upstreams[i].host, domain) {
			return true
		}
	}
	return false
}

// within reports whether a host is a domain, or in it, in any case.
func within(host, domain string) bool {
	n := len(host) - len(domain)
	return n >= 0 && strings.EqualFold(host[n:], domain) && (n == 0 || host[n-1] == '.')
}

// sources maps lists of sources, such as Content-Security-Policy has them: besides
// addresses, these are the bare hosts of any upstream, and patterns of hosts. Nobody
// sends them back, so that it does not matter that several become the same.
func (m *Map) sources(value string) string {
	value = m.outbound.String(value)
	const separators = " \t;,\"()"
	var out strings.Builder
	for rest := value; rest != ""; {
		i := strings.IndexAny(rest, separators)
		if i == 0 {
			out.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		if i < 0 {
			i = len(rest)
		}
		out.WriteString(m.source(rest[:i]))
		rest = rest[i:]
	}
	return out.String()
}

// source maps one source (Content Security Policy 3, section 2.3.1). A pattern of hosts
// stays, and the proxy is added to it.
func (m *Map) source(source string) string {
	if m.public.scheme == "http" && strings.EqualFold(source, "upgrade-insecure-requests") {
		return "" // the proxy may have no https to upgrade to
	}
	scheme, rest, found := strings.Cut(source, "://")
	if !found {
		scheme, rest = "", source
	}
	host, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	if path != "" && path != "/" || host == "" {
		return source // as an address, it would have been mapped
	}
	port := ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host, port = host[:i], host[i+1:]
	}
	domain, pattern := strings.CutPrefix(host, "*.")
	for i := range m.upstreams {
		up := &m.upstreams[i]
		if up.same(m.public) || !up.listens(scheme, port) {
			continue
		}
		switch {
		case pattern && within(up.host, domain) && len(up.host) > len(domain):
			return source + " " + m.publicSource(scheme)
		case !pattern && strings.EqualFold(up.host, host):
			return m.publicSource(scheme) + path
		}
	}
	return source
}

// listens reports whether an upstream is where a source with this scheme and port is,
// as far as they say so.
func (o origin) listens(scheme, port string) bool {
	secure := strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "wss")
	if scheme != "" && !secure && !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "ws") {
		return false
	}
	switch port {
	case "*":
		return true
	case "":
		return o.standard()
	}
	return port == o.port
}

// publicSource is the proxy as a source, with a scheme of the same kind.
func (m *Map) publicSource(scheme string) string {
	a := m.public.address()
	host := a.host
	if a.port != "" {
		host += ":" + a.port
	}
	switch {
	case scheme == "":
		return host
	case strings.EqualFold(scheme, "ws"), strings.EqualFold(scheme, "wss"):
		return "ws" + a.scheme[len("http"):] + "://" + host
	}
	return a.scheme + "://" + host
}

// referer maps the address of the page that a request comes from. One of the proxy's
// that no upstream has becomes the upstream's origin.
func (m *Map) referer(page string, upstream *url.URL) string {
	mapped := m.inbound.String(page)
	if origin := authorityOf(mapped); origin != "" && m.isPublic(origin) && !m.taken() {
		return originOf(upstream) + "/"
	}
	return mapped
}

// isPublic reports whether an origin is the proxy's. Its one port answers http and
// https.
func (m *Map) isPublic(o string) bool {
	scheme, host, found := strings.Cut(o, "://")
	if !found || !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http") {
		return false
	}
	port := standardPort(strings.ToLower(scheme))
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host, port = host[:i], host[i+1:]
	}
	return strings.EqualFold(host, m.public.host) &&
		(port == m.public.port || m.public.standard() && port == standardPort(otherScheme(m.public.scheme)))
}

// taken reports whether the proxy has an upstream's name.
func (m *Map) taken() bool {
	for i := range m.upstreams {
		if m.upstreams[i].same(m.public) {
			return true
		}
	}
	return false
}

// originOf returns the origin of a URL, as browsers write it.
func originOf(u *url.URL) string {
	o, err := newOrigin(&url.URL{Scheme: u.Scheme, Host: u.Host})
	if err != nil {
		return u.Scheme + "://" + u.Host
	}
	a := o.address()
	if a.port == "" {
		return a.scheme + "://" + a.host
	}
	return a.scheme + "://" + a.host + ":" + a.port
}
