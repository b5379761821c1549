package proxy

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"arcproxy/proxy/form"
)

const (
	// maxKept is the largest body that is held so that it can be sent twice.
	maxKept = 256 << 10
	// maxForm is the largest urlencoded form that is held to look for a token.
	maxForm = 2 << 20
)

// body is what a request carries: nothing, something that was read first and
// can be sent more than once, or a stream that can be sent only once.
type body struct {
	kept   []byte
	read   bool      // kept has been decided on
	stream io.Reader // nil: kept is all of it
	length int64     // of stream; -1: unknown
	spool  *spool    // keeps stream as it passes; nil: it is too long for that
	// sender is asked about the keys in an upload as they come; nil: it is no upload.
	sender *inquiry
	// broken is set when the caller's side of a stream failed, which the
	// transport reports as if it were the upstream's failure. The transport may
	// read on while the handler looks, hence atomic.
	broken atomic.Bool
}

// replayable reports whether the body can be sent once more, and if so makes it ready.
func (b *body) replayable() bool {
	return b.stream == nil || b.spool != nil && b.spool.rewind()
}

// enter returns in as it goes into ReverseProxy. A kept body is left out there,
// for each attempt gets a reader of its own from attach; a stream goes through,
// because ReverseProxy knows how to end it with the handler.
func (b *body) enter(in *http.Request) *http.Request {
	if in.ContentLength == 0 {
		return in
	}
	r := in.WithContext(in.Context()) // a copy
	if b.stream == nil {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Body, r.ContentLength = watched{b}, b.length
	}
	return r
}

// attach puts a kept body on out, which goes to the upstream.
func (b *body) attach(out *http.Request) {
	if b.spool != nil {
		s := b.spool
		out.Body = s.begin()
		// The transport repeats by itself what it lost to a connection that the
		// upstream was just closing.
		out.GetBody = func() (io.ReadCloser, error) {
			if !s.rewind() {
				return nil, errLost
			}
			return s.begin(), nil
		}
	}
	if b.stream != nil {
		return
	}
	out.TransferEncoding, out.Trailer = nil, nil
	if len(b.kept) == 0 {
		return
	}
	// The transport may still be reading the last attempt's when its answer has
	// come, hence a new reader each time. With GetBody it can also repeat by
	// itself what it lost to a connection that the upstream was just closing.
	kept := b.kept // b may be another request's by then
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(kept)), nil }
	out.Body = io.NopCloser(bytes.NewReader(kept))
	out.ContentLength = int64(len(kept))
	// It has been read, so the caller has had its "100 Continue".
	delete(out.Header, "Expect")
}

// watched reads a stream and notes whether it is the caller's side that breaks.
type watched struct{ b *body }

// Read implements [io.Reader].
func (w watched) Read(p []byte) (int, error) {
	n, err := w.b.stream.Read(p)
	if err != nil && err != io.EOF {
		w.b.broken.Store(true)
	}
	return n, err
}

// Close does nothing: the server closes what it opened.
func (w watched) Close() error { return nil }

// isForm reports whether a body is an urlencoded form that can be read as it is.
func isForm(h http.Header) bool {
	kind, _, err := form.TypeOf(h)
	return kind == form.Urlencoded && err == nil
}

// isPlain reports whether a body is not compressed.
func isPlain(h http.Header) bool {
	encoding := first(h, "Content-Encoding")
	return encoding == "" || strings.EqualFold(encoding, "identity")
}

// readParameters reads a form of whatever kind, in search of tokens.
func (x *exchange) readParameters(who *inquiry) *failure {
	kind, boundary, err := form.TypeOf(x.in.Header)
	switch {
	case err != nil:
		return unreadable(err)
	case kind == form.Urlencoded:
		return x.readForm(who)
	case kind == form.Upload:
		return x.readUpload(who, boundary)
	}
	return nil
}

// readForm reads a form, presents the tokens in it to who, and keeps the rest.
// One that is too large to be held is filtered as it passes, if who calls is
// known without it.
func (x *exchange) readForm(who *inquiry) *failure {
	r := x.in
	if r.ContentLength > maxForm {
		return x.streamForm(who, r.Body)
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		// Not more on the caller's word than a little; the rest as it arrives.
		buf.Grow(int(min(r.ContentLength, 64<<10)) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(io.LimitReader(r.Body, maxForm+1)); err != nil {
		return brokenBody(err)
	}
	if buf.Len() > maxForm {
		return x.streamForm(who, io.MultiReader(&buf, r.Body))
	}
	rest, tokens := form.CutTokens(buf.Bytes())
	who.tokens(tokens)
	x.body.kept, x.body.read = rest, true
	return nil
}

func (x *exchange) streamForm(who *inquiry, src io.Reader) *failure {
	if who.found == nil {
		return formTooLarge
	}
	x.body.stream = form.NewTokenFilter(src)
	x.body.length = -1
	return nil
}

// readBody takes in a body that is small enough to be kept, and leaves any other
// to be streamed.
func (x *exchange) readBody() *failure {
	r := x.in
	if x.body.read || x.body.stream != nil || r.ContentLength == 0 {
		return nil
	}
	if r.ContentLength < 0 || r.ContentLength > maxKept {
		x.body.stream = r.Body
		x.body.length = r.ContentLength
		if r.ContentLength > 0 {
			// The transport reads once more when it has all, to see whether that is all.
			// The answer may be on its way by then, and with its first bytes the server
			// has closed the body: the error of reading on would cut the answer off.
			x.body.stream = io.LimitReader(r.Body, r.ContentLength)
		}
		return nil
	}
	kept := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, kept); err != nil {
		return brokenBody(err)
	}
	x.body.kept = kept
	return nil
}

// first returns the first value of a header, given by its canonical name, which
// Get would make of it anew each time.
func first(h http.Header, canonical string) string {
	if values := h[canonical]; len(values) > 0 {
		return values[0]
	}
	return ""
}
