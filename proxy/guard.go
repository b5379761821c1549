package proxy

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"arcproxy/proxy/form"
)

// allowed is the list of methods that pass. CONNECT and TRACE are what it is
// for: the one would tunnel and the other would echo the token.
const allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

// maxPath is the longest path that is looked at, in bytes as sent.
const maxPath = 4 << 10

// guard refuses requests by their form alone, before anything is looked up.
type guard struct {
	host   string // public_url's host name, without port
	origin string // public_url's origin
	web    origins
}

// check returns why r may not be answered, nil if it may.
func (g guard) check(r *http.Request) *failure {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		return methodNotAllowed
	}
	// An absolute-form target ("GET http://other/ HTTP/1.1") is for forward
	// proxies, and net/http takes r.Host from it.
	if r.URL.Host != "" && r.RequestURI != "" || r.URL.Scheme != "" && r.RequestURI != "" || r.URL.Opaque != "" {
		return badRequest("the request target is a full URL; send only its path, as to a web server")
	}
	if !g.ours(r) {
		return wrongHost
	}
	raw := rawPath(r)
	if len(raw) > maxPath {
		return pathTooLong
	}
	if why := pathFault(raw); why != "" {
		return badRequest("the path " + why)
	}
	if strings.IndexByte(r.URL.RawQuery, '#') >= 0 {
		return badRequest("the query holds a fragment")
	}
	// Two content types are two opinions on whether this is a form.
	if len(r.Header["Content-Type"]) > 1 {
		return badRequest("there are several Content-Type headers")
	}
	return nil
}

// hangUp makes the server close the connection after the answer to a request that
// came in chunks. It may have had a Content-Length as well, which net/http drops
// without a word; a proxy in front that goes by that one would have taken for a
// body what follows here as a request (RFC 9112, section 6.1).
func hangUp(h http.Header, r *http.Request) {
	if len(r.TransferEncoding) > 0 {
		h["Connection"] = []string{"close"}
	}
}

// ours reports whether the Host header is a name of this proxy: public_url's,
// a loopback one, or the address the connection came in by. Any other name that
// leads here was pointed here by somebody else, which is how DNS rebinding
// makes a browser send requests that look same-origin.
func (g guard) ours(r *http.Request) bool {
	name, ok := hostname(r.Host)
	if !ok {
		return false
	}
	if strings.EqualFold(name, g.host) || strings.EqualFold(name, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	if addr.IsLoopback() {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && local.AddrPort().Addr().Unmap().WithZone("") == addr
}

// hostname returns the name or address in a Host header, without port, brackets
// and final dot; false if it is not a well-formed one.
func hostname(host string) (string, bool) {
	name, port := host, ""
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if name, port, ok = strings.Cut(inner, "]"); !ok {
			return "", false
		}
		if port != "" && port[0] != ':' {
			return "", false
		}
		port = strings.TrimPrefix(port, ":")
	} else {
		name, port, _ = strings.Cut(host, ":")
		name = strings.TrimSuffix(name, ".")
	}
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' {
			return "", false
		}
	}
	return name, name != ""
}

// foreign returns a failure if a browser sent r on behalf of another site. It
// is asked about requests that carry no secret of their own, which any page
// could make a browser send; a GET is no exception, since its answer may be
// readable as a script and ArcGIS has GETs that change things.
func (g guard) foreign(r *http.Request) *failure {
	if g.web.of(r) != "" {
		return nil
	}
	return g.strange(r)
}

// strange is foreign without an exception for configured origins.
func (g guard) strange(r *http.Request) *failure {
	site := ""
	for _, site = range r.Header["Sec-Fetch-Site"] {
		if site != "same-origin" && site != "none" {
			return crossSite
		}
	}
	for _, origin := range r.Header["Origin"] {
		if !g.sameOrigin(r, origin) {
			return crossSite
		}
	}
	if site != "" {
		return nil
	}
	// Browsers leave Sec-Fetch-Site out on plain http to other machines, and old
	// ones always. What is left to go by is the Referer, if it is a web page's,
	// and that only <script> needs a callback.
	for _, referer := range r.Header["Referer"] {
		u, err := url.Parse(referer)
		if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
			!g.sameOrigin(r, u.Scheme+"://"+u.Host) {
			return crossSite
		}
	}
	if form.Parameter(r.URL.RawQuery, "callback") != "" {
		return callbackNeedsKey
	}
	return nil
}

// sameOrigin reports whether origin is this proxy: by either scheme, since one
// port speaks both, at the Host that r was sent to (which the guard has
// checked), or public_url's.
func (g guard) sameOrigin(r *http.Request, origin string) bool {
	if strings.EqualFold(origin, g.origin) {
		return true
	}
	host, ok := strings.CutPrefix(origin, "https://")
	if !ok {
		host, ok = strings.CutPrefix(origin, "http://")
	}
	return ok && strings.EqualFold(host, r.Host)
}

// websocket reports whether r is a WebSocket handshake (RFC 6455, section 4.1),
// the only upgrade that is passed on. Others, h2c for one, are offers that a
// server may ignore (RFC 9110, section 7.8), so their headers are left out.
func websocket(r *http.Request) bool {
	upgrade := r.Header["Upgrade"]
	return len(upgrade) == 1 && r.Method == http.MethodGet && r.ProtoMajor == 1 &&
		strings.EqualFold(strings.TrimSpace(upgrade[0]), "websocket")
}
