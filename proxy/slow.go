package proxy

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
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
	streams bool          // HTTP/2, where a deadline that passes ends the stream even if nobody reads

	// There is one reader at a time. The transport's may still be at it when the
	// handler has ended; the connection's deadlines are the server's then.
	mu      sync.Mutex    // guards what follows
	left    time.Duration // of limit
	owed    int           // of bodyStep
	ended   bool          // nothing more will be read
	stalled bool          // a read took too long
	over    bool          // the handler has ended
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
	b.mu.Lock()
	b.deadline(began.Add(b.left))
	b.mu.Unlock()
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.owed -= n; b.owed <= 0 {
		b.left, b.owed = b.limit, bodyStep
	} else {
		b.left -= time.Since(began)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.stalled = true
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

// hasStalled reports whether a read took too long.
func (b *pacedBody) hasStalled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stalled
}

// finish bounds what the server does with what is left of the body.
func (b *pacedBody) finish() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended && !b.streams {
		b.deadline(time.Now().Add(leftoverTime))
	}
	b.over = true
}

// deadline sets the connection's, as long as that is the handler's business. It
// fails where there is none, as in tests of a handler alone. b.mu is held.
func (b *pacedBody) deadline(at time.Time) {
	if !b.over {
		_ = b.control.SetReadDeadline(at)
	}
}
