package proxy

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// A caller may take as long as it likes for an upload, but not for nothing: it
// has to bring bodyStep bytes, or the rest, in each bodyTime that we wait for
// it. The time that an upstream takes to swallow them does not count.
const (
	bodyTime = 30 * time.Second
	bodyStep = 8 << 10
	// leftoverTime is how long the server may go on to read, once there is an
	// answer, what nobody wanted of a body. It does so to use the connection again.
	leftoverTime = 5 * time.Second
)

// pacedBody is a request's body under that rule. A read that takes too long
// fails with [os.ErrDeadlineExceeded].
type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	limit   time.Duration // bodyTime
	left    time.Duration // of limit
	owed    int           // of bodyStep
	streams bool          // HTTP/2, where a deadline that passes ends the stream even if nobody reads
	ended   bool          // nothing more will be read
	stalled atomic.Bool   // a read took too long; the transport may read while the handler looks
}

// pace puts r's body, if it has one, under the rule. The body has to be finished.
func pace(w http.ResponseWriter, r *http.Request, limit time.Duration) (*http.Request, *pacedBody) {
	if r.ContentLength == 0 || r.Body == nil {
		return r, nil
	}
	body := &pacedBody{ReadCloser: r.Body, control: http.NewResponseController(w), limit: limit, left: limit, owed: bodyStep, streams: r.ProtoMajor > 1}
	paced := r.WithContext(r.Context()) // a copy
	paced.Body = body
	return paced, body
}

// Read implements [io.Reader].
func (b *pacedBody) Read(p []byte) (int, error) {
	began := time.Now()
	b.deadline(began.Add(b.left))
	n, err := b.ReadCloser.Read(p)
	if b.owed -= n; b.owed <= 0 {
		b.left, b.owed = b.limit, bodyStep
	} else {
		b.left -= time.Since(began)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.stalled.Store(true)
		b.ended = true // and the deadline stays: the server may not wait for more either
	case err != nil:
		// From now on the server watches the connection for its end, by a read
		// that must not find a deadline.
		b.ended = true
		b.deadline(time.Time{})
	case b.streams:
		b.deadline(time.Time{})
	}
	return n, err
}

// finish bounds what the server does with what is left of the body.
func (b *pacedBody) finish() {
	if b != nil && !b.ended && !b.streams {
		b.deadline(time.Now().Add(leftoverTime))
	}
}

// deadline sets the connection's. It fails where there is none, as in tests of a
// handler alone.
func (b *pacedBody) deadline(at time.Time) { _ = b.control.SetReadDeadline(at) }
