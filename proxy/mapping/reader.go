package mapping

import (
	"io"
)

const (
	// roomy is the size from which a caller's buffer is read into and mapped in place.
	roomy = 1 << 10
	// readAhead is the size of the buffer that is used in place of a smaller one.
	readAhead = 4 << 10
	// atOnce bounds how much is read, and mapped, at once.
	atOnce = 256 << 10
	// idleReads is after how many reads of nothing a source is given up.
	idleReads = 100
)

// A Reader maps what it reads from a source, as it comes. It keeps back only what may
// yet turn out to be an address, a few hundred bytes at most, and needs memory for no
// more than it is asked for.
//
// Its output is what [Scanner.Bytes] makes of the whole, whatever pieces the source and
// the caller read in. A source that ends with another error than [io.EOF] is mapped as
// if it had ended; then the error is returned.
type Reader struct {
	scanner *Scanner
	src     io.Reader
	err     error  // of src
	past    []byte // the last reach bytes of the source before held
	held    []byte // what may be the beginning of an address
	edits   []edit // of one call; kept for its memory
	text    []byte // of edits
	copied  []byte // of the caller's buffer where it has to be
	small   []byte // read into in place of a small buffer
	over    []byte // what did not fit into the caller's buffer
	out     []byte // mapped, and not yet handed out; a part of small or over
}

// An edit puts a text in the place of the bytes from at to end: what the texts of all
// edits hold up to upto, from where that of the edit before ends.
type edit struct{ at, end, upto int }

// NewReader returns a Reader of src.
func (s *Scanner) NewReader(src io.Reader) *Reader {
	return &Reader{scanner: s, src: src}
}

// Reset makes the Reader read from src, as if it were new. Its memory is kept.
func (r *Reader) Reset(src io.Reader) {
	r.src, r.err = src, nil
	r.past, r.held, r.out = r.past[:0], r.held[:0], nil
}

// Read implements [io.Reader]. It returns as soon as anything is known. All of p may be
// used as scratch space.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for idle := 0; ; {
		if len(r.out) > 0 {
			n := copy(p, r.out)
			r.out = r.out[n:]
			return n, nil
		}
		if r.err != nil && len(r.held) == 0 {
			return 0, r.err
		}
		if r.scanner.least == 0 && r.err == nil {
			n, err := r.src.Read(p)
			r.err = err
			if n > 0 || err != nil {
				return n, err
			}
			if idle++; idle == idleReads {
				return 0, io.ErrNoProgress
			}
			continue
		}
		into := p
		if len(p) < roomy+2*len(r.held) {
			if need := readAhead + 2*len(r.held); len(r.small) < need {
				r.small = make([]byte, need)
			}
			into = r.small
		}
		into = into[:min(len(into), atOnce)]
		held := copy(into, r.held)
		room := 0
		if r.scanner.grows {
			room = len(into) / 8
		}
		n, err := r.src.Read(into[held : len(into)-room])
		if n == 0 && err == nil {
			if idle++; idle == idleReads {
				return 0, io.ErrNoProgress
			}
			continue
		}
		idle = 0
		r.err = err
		n = r.rewrite(into, held+n)
		if &into[0] == &p[0] {
			r.out = r.over
			if n > 0 {
				return n, nil
			}
			continue
		}
		if len(r.over) == 0 {
			r.out = into[:n]
			continue
		}
		r.small = append(into[:n], r.over...)
		r.out = r.small
	}
}

// rewrite maps into[:n] in place, as far as it is known, and returns how long the
// result is. What does not fit is in r.over afterwards.
func (r *Reader) rewrite(into []byte, n int) int {
	b, final := into[:n], r.err != nil
	r.edits, r.text, r.over = r.edits[:0], r.text[:0], r.over[:0]
	done, grown, most := 0, 0, 0
	end := len(b)
	var m match
	f := newFinder(r.scanner, b)
	for {
		state := r.scanner.next(&f, b, r.past, done, final, &m)
		if state == none {
			break
		}
		if state == undecided {
			end = m.start
			break
		}
		// Mostly the scheme stays as it is.
		if end := m.start + len(schemes[m.scheme]); m.scheme != schemeless && string(b[m.start:end]) != m.form.to.scheme {
			r.text = m.appendScheme(r.text)
			r.edits = append(r.edits, edit{m.start, end, len(r.text)})
		}
		r.text = m.appendHost(r.text)
		r.edits = append(r.edits, edit{m.host, m.end, len(r.text)})
		done = m.end
	}
	r.held = append(r.held[:0], b[end:]...)
	if keep := end; keep >= reach {
		r.past = append(r.past[:0], b[keep-reach:keep]...)
	} else if keep > 0 {
		old := r.past[max(0, len(r.past)+keep-reach):]
		r.past = append(r.past[:copy(r.past, old)], b[:keep]...)
	}
	if len(r.edits) == 0 {
		return end
	}
	from := 0
	for _, e := range r.edits {
		grown += e.upto - from - (e.end - e.at)
		from = e.upto
		most = max(most, grown)
	}
	source := b
	if most > 0 {
		// What is written would overtake what is read.
		r.copied = append(r.copied[:0], b[:end]...)
		source = r.copied
	}
	w := 0
	put := func(text []byte) {
		n := copy(into[w:], text)
		if w += n; n < len(text) {
			r.over = append(r.over, text[n:]...)
		}
	}
	from, done = 0, 0
	for _, e := range r.edits {
		put(source[done:e.at])
		put(r.text[from:e.upto])
		from, done = e.upto, e.end
	}
	put(source[done:end])
	return w
}
