package proxy

import (
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// promptAbove is the length from which a body of known length is flushed to the
// caller as it comes. Shorter ones fit the server's and the kernel's buffers at
// once, and are of little use to anybody before they are whole.
const promptAbove = 64 << 10

// tidy makes an upstream's answer fit to leave.
func (x *exchange) tidy(res *http.Response) error {
	h := res.Header
	h["Cache-Control"] = private(h["Cache-Control"])
	if res.StatusCode == http.StatusSwitchingProtocols {
		stripSetCookies(h)
		for _, values := range h {
			x.hidden.header(values)
		}
		x.answer.status = res.StatusCode
		return nil // CORS has no say in WebSockets
	}
	x.mapAnswer(res)
	if res.ContentLength > promptAbove || isStream(h) {
		// ReverseProxy flushes after every write if it does not know the length.
		// The Content-Length header is left, and goes out.
		res.ContentLength = -1
	}
	// The headers are handed over, since ReverseProxy would look for each that may
	// not pass, and then copy the others one by one.
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			delete(h, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	out := x.answer.Header()
	for name, values := range h {
		if stays(name) {
			continue
		}
		if name == "Set-Cookie" || name == "Set-Cookie2" {
			if values = withoutTokens(values); values == nil {
				continue
			}
		}
		x.hidden.header(values)
		out[name] = values
	}
	x.proxy.guard.web.permit(out, x.in)
	res.Header = nil
	return nil
}

// stays reports whether a header of an upstream's answer, given by its canonical
// name, goes no further.
func stays(name string) bool {
	switch name {
	// About the connection to the upstream (RFC 9110, section 7.6.1).
	case "Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authenticate", "Proxy-Authorization",
		// About the upstream's own host, which would be believed of ours.
		"Alt-Svc", "Strict-Transport-Security",
		// For caches that serve many callers, which go by these in place of
		// Cache-Control (RFC 9213, and before it each vendor's own).
		"Cdn-Cache-Control", "Surrogate-Control", "Cloudflare-Cdn-Cache-Control", "Fastly-Cdn-Cache-Control", "Edge-Control", "X-Accel-Expires":
		return true
	}
	return isCORS(name)
}

// isStream reports whether a body may begin, and go on, long after its headers.
func isStream(h http.Header) bool {
	kind := first(h, "Content-Type")
	return strings.HasPrefix(kind, "text/event-stream") || strings.HasPrefix(kind, "multipart/")
}

// onlyPrivate is shared by many answers: whoever adds to it makes a copy, because
// it has no room, and nobody writes to it.
var onlyPrivate = []string{"private"}

// private returns a Cache-Control under which nothing between us and the caller
// keeps the answer for somebody else, and which is at least as strict as upstream's.
func private(upstream []string) []string {
	if len(upstream) == 0 {
		return onlyPrivate
	}
	if len(upstream) == 1 {
		switch value := upstream[0]; {
		case !strings.ContainsAny(value, "pPsS"): // neither public, s-maxage, private nor no-store
			return []string{"private, " + value}
		case containsFold(value, "public"), containsFold(value, "s-maxage"), containsFold(value, "private"), containsFold(value, "no-store"):
		default: // most of them
			return []string{"private, " + value}
		}
	}
	kept := make([]string, 0, 4)
	strict := false
	for _, value := range upstream {
		for directive := range strings.SplitSeq(value, ",") {
			directive = strings.TrimSpace(directive)
			name, _, _ := strings.Cut(strings.ToLower(directive), "=")
			switch {
			case directive == "", name == "public", name == "s-maxage":
				continue
			case directive == "no-store", directive == "private":
				strict = true
			}
			kept = append(kept, directive)
		}
	}
	if strict && len(upstream) == 1 && !containsFold(upstream[0], "public") && !containsFold(upstream[0], "s-maxage") {
		return upstream
	}
	if !strict {
		kept = slices.Insert(kept, 0, "private")
	}
	return []string{strings.Join(kept, ", ")}
}

// answer is the caller's ResponseWriter, and notes what goes through it.
type answer struct {
	http.ResponseWriter
	status  int
	written int64
	last    int // how long the last piece of the body was
}

// WriteHeader implements [http.ResponseWriter]. Of an upstream's informational
// answers only "100 Continue" is passed on: their headers have not been tidied.
func (a *answer) WriteHeader(status int) {
	if status < 200 && status != http.StatusContinue {
		return
	}
	if status >= 200 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (a *answer) Write(p []byte) (int, error) {
	n, err := a.ResponseWriter.Write(p)
	a.written += int64(n)
	a.last = n
	return n, err
}

// passesThrough is from which length on net/http has sent a piece as soon as it is
// written, for want of room in its buffers (4 KB at most), but for the line end behind
// a chunk.
const passesThrough = 16 << 10

// FlushError lets [http.ResponseController] flush, unless all that could be sent is
// that line end. It would be a packet of its own, and goes along with the next piece.
func (a *answer) FlushError() error {
	if a.last >= passesThrough {
		return nil
	}
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Unwrap lets [http.ResponseController] hijack.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// peeked is a body whose beginning has been read already.
type peeked struct {
	pool       *buffers
	buf        []byte // from pool; nil: nothing is held any more
	start, end int    // of what is still to be read in buf
	err        error  // of rest, once buf is through
	rest       io.ReadCloser
}

// Read implements [io.Reader].
func (b *peeked) Read(p []byte) (int, error) {
	if b.start < b.end {
		n := copy(p, b.buf[b.start:b.end])
		b.start += n
		if b.start == b.end {
			return n, b.err
		}
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	return b.rest.Read(p)
}

// Close implements [io.Closer].
func (b *peeked) Close() error {
	if b.buf != nil {
		b.pool.Put(b.buf)
		b.buf, b.start, b.end = nil, 0, 0
	}
	return b.rest.Close()
}
