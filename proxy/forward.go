package proxy

import (
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"

	"arcproxy/proxy/mapping"
)

// forward sends x to its upstream and its answer to w.
func (x *exchange) forward(w http.ResponseWriter) {
	x.answer.ResponseWriter = w
	x.forwarder.ServeHTTP(&x.answer, x.body.enter(x.in))
}

// rewrite makes the upstream's request of the caller's: everything that could
// be taken for a statement of the proxy, or for a credential, goes.
func (x *exchange) rewrite(pr *httputil.ProxyRequest) {
	out := pr.Out
	out.URL.Scheme = x.to.scheme
	out.URL.Host = x.to.host
	out.Host = "" // the upstream's own
	if from := x.inbound(); from != nil {
		x.query = from.String(x.query)
	}
	// ReverseProxy drops parameters that it cannot parse; ArcGIS's where clauses
	// hold such as a bare "%".
	out.URL.RawQuery = x.query
	// net/url writes some bytes in a way of its own ("{" as "%7B"). An opaque
	// target goes out as it is.
	if raw := x.path; out.URL.EscapedPath() != raw {
		out.URL.Opaque = raw
	}
	h := out.Header
	for name := range h {
		if unwanted(name) {
			delete(h, name)
		}
	}
	if header := x.proxy.callers.front.Header; header != "" {
		delete(h, header)
	}
	stripCookies(h)
	stripReferer(h)
	x.proxy.mirror.addresses.RequestHeader(h, x.to.url)
	if x.socket {
		delete(h, "Accept-Encoding") // see conceal
	} else {
		delete(h, "Upgrade")
		delete(h, "Connection")
	}
	// Only what can be looked into. Without the header, upstream sends it plain.
	if offered := h["Accept-Encoding"]; len(offered) != 1 || offered[0] != "gzip" {
		if takesGzip(offered) {
			h["Accept-Encoding"] = []string{"gzip"}
		} else {
			delete(h, "Accept-Encoding")
		}
	}
}

// unwanted reports whether a request header, given by its canonical name, may
// not reach an upstream from a caller.
func unwanted(name string) bool {
	switch name {
	case "X-Esri-Authorization", "Authorization", "Proxy-Authorization", "Forwarded", "Via",
		"X-Real-Ip", "X-Client-Ip", "Client-Ip", "X-Cluster-Client-Ip", "X-Originating-Ip", "X-Remote-Ip", "X-Remote-Addr", "X-Proxyuser-Ip",
		"True-Client-Ip", "Cf-Connecting-Ip", "Fastly-Client-Ip",
		"X-Original-Url", "X-Original-Uri", "X-Original-Host", "X-Original-Method", "X-Rewrite-Url", "X-Host", mapping.Switch,
		"X-Scheme", "X-Url-Scheme", "Front-End-Https", "X-Arr-Ssl", "X-Arr-Clientcert", "X-Ssl-Client-Cert", "Ssl-Client-Cert",
		"X-Http-Method", "X-Http-Method-Override", "X-Method-Override",
		"Remote-User", "X-Remote-User", "X-Webauth-User", "X-Authenticated-User", "X-Auth-Request-User", "X-Auth-Request-Email", "Iv-User", "Sm-User",
		"Proxy", "Http2-Settings":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded") || !unmistakable(name)
}

// unmistakable reports whether a header's name is made of letters, digits and
// hyphens. Gateways that put headers into variables (RFC 3875, section 4.1.18)
// make "_" of the hyphen, and some of every other character, so each of those is
// a second way to write a name that may not pass.
func unmistakable(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '-' && (c|0x20 < 'a' || 'z' < c|0x20) && (c < '0' || '9' < c) {
			return false
		}
	}
	return true
}

// takesGzip reports whether an Accept-Encoding allows gzip (RFC 9110, section 12.5.3).
func takesGzip(values []string) bool {
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			coding, weight, _ := strings.Cut(item, ";")
			coding = strings.TrimSpace(coding)
			if !strings.EqualFold(coding, "gzip") && !strings.EqualFold(coding, "x-gzip") && coding != "*" {
				continue
			}
			weight = strings.ToLower(strings.ReplaceAll(weight, " ", ""))
			if q, ok := strings.CutPrefix(weight, "q="); !ok || strings.Trim(q, "0.") != "" {
				return true
			}
		}
	}
	return false
}

// block is the size of the buffers that bodies pass through.
const block = 32 << 10

// buffers is a pool of blocks. It implements [httputil.BufferPool].
type buffers struct{ pool sync.Pool }

func newBuffers() *buffers {
	return &buffers{pool: sync.Pool{New: func() any { return new([block]byte) }}}
}

// Get returns a block.
func (b *buffers) Get() []byte { return b.pool.Get().(*[block]byte)[:] }

// Put takes a block back. Converting to the array keeps the slice's header from
// being allocated for every Put.
func (b *buffers) Put(buf []byte) { b.pool.Put((*[block]byte)(buf)) }
