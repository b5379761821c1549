package proxy

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"

	"arcproxy/proxy/form"
)

// An upload is a multipart form. Its parts come in any order, and a browser's library
// puts the one called token behind the file. So the caller may be known before it, and
// the upload be on its way to the upstream, when another's key appears in it: then it
// ends there and is never complete.

const (
	// maxAhead is how far into an upload a key is looked for. An item is added in parts
	// of 5 MB and more, each an upload of its own, and rest-js puts the key behind it.
	maxAhead = 16 << 20
	// aheadInAll bounds what is held by all of those that read further than maxForm:
	// nobody knows yet who sent them.
	aheadInAll = 64 << 20
)

// readUpload makes of a multipart body what goes on to the upstream, without the parts
// that are called token. As long as nothing else says who calls, it reads ahead in
// search of one; and to the end if the body is small enough to be kept.
func (x *exchange) readUpload(who *inquiry, boundary string) *failure {
	r := x.in
	late := *who // who would be on the heap for every request
	x.body.sender = &late
	options := form.Options{Token: late.part, Length: r.ContentLength}
	if from := x.inbound(); from != nil {
		options.Mapping = form.Mapping{
			Bytes:  func(text []byte) []byte { text, _ = from.Bytes(text); return text },
			Reader: func(text io.Reader) io.Reader { return from.NewReader(text) },
		}
	}
	upload := form.NewMultipart(r.Body, boundary, options)
	small := 0 < r.ContentLength && r.ContentLength <= maxKept
	ahead := lookahead{all: &x.proxy.ahead, length: r.ContentLength}
	defer ahead.end()
	head := &ahead.head
	buf := x.proxy.buffers.Get()
	defer x.proxy.buffers.Put(buf)
	for small || late.found == nil && ahead.more() {
		n, err := upload.Read(buf)
		head.Write(buf[:n])
		if err == nil {
			continue
		}
		*who = late
		switch {
		case err == io.EOF:
			x.body.kept, x.body.read = head.Bytes(), true
			return nil
		case who.wrong != nil:
			return nil // and the inquiry ends with that
		}
		return unreadable(err)
	}
	*who = late
	x.body.stream, x.body.length = upload, -1
	if head.Len() > 0 {
		x.body.stream = io.MultiReader(head, upload)
	}
	return nil
}

// lookahead is the beginning of an upload that is held while it is searched.
type lookahead struct {
	head   bytes.Buffer
	length int64         // of the body; -1: unknown
	all    *atomic.Int64 // what all hold
	held   int64         // of it
}

// more reports whether more may be held.
func (l *lookahead) more() bool {
	have := l.head.Len()
	if have <= maxForm || l.held > 0 {
		return have < maxAhead
	}
	l.held = maxAhead
	if l.length > 0 {
		l.held = min(l.length, maxAhead)
	}
	if l.all.Add(l.held) > aheadInAll {
		l.end()
		return false
	}
	l.head.Grow(int(l.held) - have + block) // and no more, where doubling it would
	return true
}

// end gives back the right to hold as much. What is known whose it is, is held like
// other bodies.
func (l *lookahead) end() {
	l.all.Add(-l.held)
	l.held = 0
}

// part takes the token of an upload's part. Its error ends the upload.
func (q *inquiry) part(token string) error {
	q.present(token, false)
	if q.wrong != nil {
		return &wrongPart{q.wrong, q.guessed()}
	}
	return nil
}

// wrongPart is a credential in an upload that is nobody's, or another's.
type wrongPart struct {
	failure *failure
	guess   bool
}

// Error implements error.
func (w *wrongPart) Error() string { return w.failure.message }

// Unwrap returns the failure.
func (w *wrongPart) Unwrap() error { return w.failure }

// unreadable says why a form could not be read.
func unreadable(err error) *failure {
	if e, ok := errors.AsType[*form.Error](err); ok {
		f := badRequest(e.Reason)
		f.status = e.Status
		return f
	}
	return brokenBody(err)
}
