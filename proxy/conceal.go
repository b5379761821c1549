package proxy

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A server may repeat a request in its answer: a redirect to the same address
// with its query, an error page that shows the URL, a page whose links and script
// carry the token on. The token that a request was signed with is not the
// caller's to see, so it is written over, byte for byte, wherever that can be:
//
//	headers              all of them
//	small plain bodies   of any kind, as far as they were held to look for a refusal
//	pages, XML, scripts  of any length, if they are not compressed
//	a refused WebSocket  any body: its token is in the URL
//
// What holds data (JSON beyond a few KiB, images, features) is not looked through:
// the token was in a header that nothing has a reason to put there.

const (
	// maxNeedle is how much of a token is looked for, in bytes.
	maxNeedle = 4 << 10
	// minNeedle is the shortest token that is looked for. ArcGIS's have a hundred
	// bytes and more; what has less than this may be part of what is no token.
	minNeedle = 16
)

// needles are the forms in which a token may be repeated.
type needles struct {
	plain, escaped string // escaped is "" where it is the same as plain
}

func newNeedles(token string) needles {
	if len(token) < minNeedle {
		return needles{}
	}
	token = token[:min(len(token), maxNeedle)]
	n := needles{plain: token}
	for i := range len(token) {
		if !unreserved[token[i]] {
			n.escaped = url.QueryEscape(token)
			n.escaped = n.escaped[:min(len(n.escaped), maxNeedle)]
			break
		}
	}
	return n
}

// unreserved are the bytes that are written as they are in a URL (RFC 3986 §2.3).
var unreserved = func() (all [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
		all[c] = true
	}
	return all
}()

// conceal writes the token over in the body of an answer.
func (x *exchange) conceal(res *http.Response) {
	if res.StatusCode == http.StatusSwitchingProtocols || x.hidden.plain == "" {
		return
	}
	encoding := first(res.Header, "Content-Encoding")
	encoded := encoding != "" && encoding != "identity"
	switch {
	case x.socket && encoded: // unasked for
		_ = res.Body.Close()
		res.Body, res.ContentLength = http.NoBody, 0
		delete(res.Header, "Content-Encoding")
		delete(res.Header, "Content-Length")
	case x.socket, !encoded && repeats(first(res.Header, "Content-Type")):
		res.Body = &concealer{src: res.Body, pool: x.proxy.buffers, hidden: x.hidden}
	case res.Body == &x.peeked:
		x.hidden.overwrite(x.peeked.buf[x.peeked.start:x.peeked.end])
	}
}

// repeats reports whether a kind of answer may be made with parts of the request.
func repeats(contentType string) bool {
	return strings.Contains(contentType, "html") || strings.Contains(contentType, "xml") || strings.Contains(contentType, "javascript") || strings.HasPrefix(contentType, "text/plain")
}

// header writes the token over in a header's values, in place.
func (n *needles) header(values []string) {
	for i, value := range values {
		if len(value) >= len(n.plain) && n.plain != "" && n.in(value) {
			b := []byte(value)
			n.overwrite(b)
			values[i] = string(b)
		}
	}
}

func (n *needles) in(text string) bool {
	return strings.Contains(text, n.plain) || n.escaped != "" && strings.Contains(text, n.escaped)
}

// overwrite writes every needle in b over.
func (n *needles) overwrite(b []byte) {
	overwrite(b, n.plain)
	overwrite(b, n.escaped)
}

func overwrite(b []byte, needle string) {
	if needle == "" {
		return
	}
	begin := []byte(needle[:min(len(needle), quick)])
	for {
		i := bytes.Index(b, begin)
		if i < 0 {
			return
		}
		b = b[i:]
		if len(b) < len(needle) || string(b[:len(needle)]) != needle {
			b = b[1:]
			continue
		}
		for j := range needle {
			b[j] = '*'
		}
		b = b[len(needle):]
	}
}

// quick is how much of a needle is looked for at first: what the standard library
// compares with the processor's wide registers.
const quick = 32

// unfinished returns how many bytes at the end of b may be the beginning of a needle.
func (n *needles) unfinished(b []byte) int {
	return max(unfinished(b, n.plain), unfinished(b, n.escaped))
}

func unfinished(b []byte, needle string) int {
	if needle == "" {
		return 0
	}
	for tail := b[max(0, len(b)-len(needle)+1):]; ; tail = tail[1:] {
		i := bytes.IndexByte(tail, needle[0])
		if i < 0 {
			return 0
		}
		if tail = tail[i:]; string(tail) == needle[:len(tail)] {
			return len(tail)
		}
	}
}

// concealer is a body on its way through in which the token is written over. It
// holds back no more than what may be the token's beginning.
type concealer struct {
	src    io.ReadCloser
	pool   *buffers
	hidden needles

	buf               []byte // from pool, while something is read; nil: closed, or not begun
	start, ready, end int    // in buf: what can be given out is before ready
	err               error  // of src
	closed            bool
}

// Read implements [io.Reader].
func (c *concealer) Read(p []byte) (int, error) {
	if c.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if c.buf == nil {
		c.buf = c.pool.Get()
	}
	for c.start == c.ready {
		if c.err != nil {
			return 0, c.err
		}
		c.end = copy(c.buf, c.buf[c.start:c.end])
		c.start = 0
		var n int
		n, c.err = c.src.Read(c.buf[c.end:])
		c.end += n
		c.hidden.overwrite(c.buf[:c.end])
		c.ready = c.end
		if c.err == nil {
			c.ready -= c.hidden.unfinished(c.buf[:c.end])
		}
	}
	n := copy(p, c.buf[c.start:c.ready])
	c.start += n
	return n, nil
}

// Close implements [io.Closer].
func (c *concealer) Close() error {
	if c.buf != nil {
		c.pool.Put(c.buf)
		c.buf = nil
	}
	c.closed = true
	return c.src.Close()
}
