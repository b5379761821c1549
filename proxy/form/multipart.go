package form

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// Bounds of an upload.
const (
	maxHeader = 16 << 10 // of a part, with the delimiter before it
	maxParts  = 10_000
	// MaxToken is the length of a credential.
	MaxToken = 16 << 10
)

// Options are what happens to the parts of an upload. The zero value passes all on,
// without the credentials.
type Options struct {
	// Token is told of each credential, once and in order. An error ends the upload:
	// [Multipart.Read] returns it, and nothing that followed.
	Token func(value string) error
	// Mapping changes the text of fields.
	Mapping Mapping
	// Length is that of the body if it is known, else -1 or 0.
	Length int64
}

// Mapping changes text: a short one at once, a long one as it passes, to the same
// effect. Bytes returns its argument, or what it became. Reader has to read its source
// to the end. With neither of them, text stays as it is.
type Mapping struct {
	Bytes  func([]byte) []byte
	Reader func(io.Reader) io.Reader
}

// Multipart is a multipart body (RFC 2046, RFC 7578) on its way through. The parts that
// are called token, in any case, are taken out with the delimiters before them, and
// told to [Options]; the text of fields is mapped; every other byte stays as it was:
// preamble, padding, the headers of parts, files, epilogue. Of a file no more is held
// back than a delimiter could be.
//
// It takes part in no guessing. These are refused, with an [Error] from Read and
// before anything of the part at hand is passed on:
//
//   - a delimiter that does not follow a CR LF, or is not followed by one, as far as
//     some server could take it for one; a body without a last delimiter;
//   - the header of a part that is empty, or has other line ends, no end, control
//     characters, lines without a name, more than 16 KiB, two Content-Dispositions or
//     Content-Types, or a Content-Disposition that is not of the form kind; name=value;
//     name="value";
//   - a part whose name could be read as token by somebody who decodes it more often,
//     or looks less closely, than he should; a part called token that is encoded, or
//     longer than [MaxToken];
//   - a part that has parts of its own; more than 10,000 parts.
type Multipart struct {
	src    io.Reader
	srcErr error
	opts   Options
	needle []byte // CR LF, two dashes and the boundary
	dash   []byte // needle without the CR LF
	buf    []byte
	start  int    // of what has been read, and neither returned nor dropped
	end    int    // of it
	clear  int    // up to here, from start, no delimiter begins
	run    int    // so much, from start, belongs to the place at hand
	found  bool   // behind run comes a delimiter
	fresh  bool   // nothing of the place has been taken
	out    []byte // to be returned first; mostly part of buf
	err    error  // the end of it all, behind out

	state   state
	counted bool      // the part says how long it is
	dropped bool      // the last part was a credential
	parts   int       // that have begun
	token   []byte    // a credential, as far as it has come
	mapped  io.Reader // the text of a field
}

// state is where in the body start is.
type state uint8

const (
	inPreamble state = iota
	atDelimiter
	inFile   // in a part that stays as it is
	inText   // at the beginning of a field
	inMapped // in a field that is mapped as it passes
	inToken
	inEpilogue
)

// NewMultipart returns a Multipart of a body with the boundary that [TypeOf] found.
func NewMultipart(src io.Reader, boundary string, opts Options) *Multipart {
	needle := append([]byte("\r\n--"), boundary...)
	size := block
	if opts.Length > 0 { // the whole of a short one, and what a read for its end needs
		size = int(min(max(opts.Length+1, 512), block))
	}
	return &Multipart{src: src, opts: opts, needle: needle, dash: needle[2:], buf: make([]byte, size), fresh: true}
}

// Read implements [io.Reader]. Its errors are those of the source, of [Options], and
// [*Error].
func (m *Multipart) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if len(m.out) > 0 {
			n := copy(p, m.out)
			m.out = m.out[n:]
			return n, nil
		}
		if m.err != nil {
			return 0, m.err
		}
		n, err := m.step(p)
		m.err = err
		if n > 0 {
			return n, nil
		}
	}
}

// step goes on a little. What it does not put into p it leaves in out; while that is
// there, buf must stay as it is.
func (m *Multipart) step(p []byte) (n int, err error) {
	switch m.state {
	case atDelimiter:
		return 0, m.delimiter()
	case inText:
		return 0, m.text()
	case inToken:
		return 0, m.credential()
	case inMapped:
		n, err = m.mapped.Read(p)
	default:
		n, err = m.take(p)
	}
	if err == io.EOF && m.state != inEpilogue {
		m.state, m.mapped = atDelimiter, nil
		err = nil
	}
	return n, err
}

// partBody is what is left of the part at hand.
type partBody struct{ m *Multipart }

// Read implements [io.Reader].
func (b partBody) Read(p []byte) (int, error) { return b.m.take(p) }

// take reads from the place at hand, to its end.
func (m *Multipart) take(p []byte) (int, error) {
	for m.run == 0 {
		if m.found {
			return 0, io.EOF
		}
		if err := m.scan(); err != nil {
			return 0, err
		}
	}
	n := copy(p, m.buf[m.start:m.start+m.run])
	m.skip(n)
	return n, nil
}

// skip steps over n bytes, which have been taken or are in out.
func (m *Multipart) skip(n int) {
	m.start += n
	m.run = max(m.run-n, 0)
	m.clear = max(m.clear-n, 0)
	m.fresh = m.fresh && n == 0
}

// scan finds out how much of what has been read belongs to the place at hand, and
// reads until it is something, or the place has ended.
func (m *Multipart) scan() error {
	for {
		b := m.buf[m.start:m.end]
		for {
			i := bytes.Index(b[m.clear:], m.dash)
			if i < 0 {
				break
			}
			i += m.clear
			ends, err := m.judge(b, i)
			if err != nil {
				return err
			}
			if ends {
				m.found, m.run = true, max(i-2, 0)
				return nil
			}
			m.clear = i + len(m.dash)
		}
		m.clear = max(m.clear, len(b)-len(m.dash)+1)
		switch {
		case m.srcErr == io.EOF && m.state == inEpilogue:
			if m.run = len(b); m.run == 0 {
				return io.EOF
			}
			return nil
		case m.srcErr != nil:
			return m.broken()
		}
		// A delimiter may have begun, with the CR LF before it.
		if m.run = max(len(b)-len(m.dash)-1, 0); m.run > 0 {
			return nil
		}
		if err := m.fill(); err != nil {
			return err
		}
	}
}

// judge says whether what looks like a delimiter, at b[i], is one.
func (m *Multipart) judge(b []byte, i int) (bool, error) {
	switch {
	case m.state == inEpilogue:
		return false, bad("goes on behind its last boundary")
	case i == 0 && m.fresh:
		if m.state != inPreamble {
			return false, bad("has a part with neither a body nor an empty line before its boundary")
		}
		return true, nil
	case i >= 2 && b[i-2] == '\r' && b[i-1] == '\n':
		return true, nil
	case i >= 1 && (b[i-1] == '\r' || b[i-1] == '\n'):
		return false, bad("has a boundary at the beginning of a line that does not follow a CR LF; end lines in CR LF, or choose another boundary")
	case m.state == inPreamble || m.counted:
		// Some look for the first one anywhere, and some do where a length has led them.
		return false, bad("has a boundary in the middle of a line; choose another boundary")
	}
	return false, nil
}

// bad makes an error of what an upload does.
func bad(what string) error { return &Error{http.StatusBadRequest, "the upload " + what} }

// broken is the error of a source that has ended too early.
func (m *Multipart) broken() error {
	if m.srcErr == io.EOF {
		return bad("ends without its last boundary, which is --BOUNDARY--")
	}
	return m.srcErr
}

// fill reads once more. There has to be space.
func (m *Multipart) fill() error {
	if m.srcErr != nil {
		return m.broken()
	}
	if m.start > 0 {
		m.end = copy(m.buf, m.buf[m.start:m.end])
		m.start = 0
	}
	for range 100 {
		n, err := m.src.Read(m.buf[m.end:])
		m.end += n
		m.srcErr = err
		if n > 0 || err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// room reports whether fill can read anything.
func (m *Multipart) room() bool { return m.end-m.start < len(m.buf) }

// need reads until there are n bytes.
func (m *Multipart) need(n int) error {
	for m.end-m.start < n {
		if err := m.fill(); err != nil {
			return err
		}
	}
	return nil
}

// delimiter reads the delimiter at start, and the header of the part that it begins.
func (m *Multipart) delimiter() error {
	lead := 0 // the CR LF, which is the last part's
	if m.buf[m.start] == '\r' {
		lead = 2
	}
	head := lead + len(m.dash)
	if err := m.need(head + 2); err != nil {
		return err
	}
	if !bytes.HasPrefix(m.buf[m.start+lead:m.end], m.dash) { // a Mapping did not read to the end
		return fmt.Errorf("form: text was mapped in part only")
	}
	drop := 0
	if m.dropped {
		drop = lead
	}
	m.run, m.clear, m.found, m.fresh, m.dropped = 0, 0, false, true, false
	if string(m.buf[m.start+head:m.start+head+2]) == "--" {
		m.out = m.buf[m.start+drop : m.start+head+2]
		m.start += head + 2
		m.state = inEpilogue
		return nil
	}
	if m.parts++; m.parts > maxParts {
		return bad(fmt.Sprintf("has more than %d parts", maxParts))
	}
	body, err := m.header(head)
	if err != nil {
		return err
	}
	padding, header, _ := bytes.Cut(m.buf[m.start+head:m.start+body-2], m.needle[:2])
	if len(bytes.Trim(padding, " \t")) > 0 {
		return bad("has a boundary that is followed by something else on its line; choose another boundary")
	}
	if len(header) == 0 {
		// Some look for the end of the header further on, and take the body for it.
		return badPart("has no header; give it a Content-Disposition")
	}
	p, err := parsePart(string(header), string(m.dash))
	if err != nil {
		return err
	}
	m.counted = p.counted
	switch {
	case p.credential:
		m.state = inToken
		m.out = m.needle[:lead-drop]
		m.start += body
		return nil
	case p.text && m.opts.Mapping.Bytes != nil:
		m.state = inText
	default:
		m.state = inFile
	}
	m.out = m.buf[m.start+drop : m.start+body]
	m.start += body
	return nil
}

// header reads until the empty line that ends the header of a part, and returns where
// the part's body begins, counted from start. The header begins behind head bytes.
func (m *Multipart) header(head int) (int, error) {
	for seen := head; ; {
		b := m.buf[m.start:m.end]
		if i := bytes.Index(b[seen:], []byte("\r\n\r\n")); i >= 0 {
			if seen+i > maxHeader {
				break
			}
			return seen + i + 4, nil
		}
		seen = max(head, len(b)-3)
		if len(b) > maxHeader || !m.room() {
			break
		}
		if err := m.fill(); err != nil {
			return 0, err
		}
	}
	return 0, badPart("has a header of more than 16 KiB, or without an end")
}

// text maps a field: at once if it is short enough to be held.
func (m *Multipart) text() error {
	for {
		if err := m.scan(); err != nil {
			return err
		}
		if m.found {
			m.out = m.opts.Mapping.Bytes(m.buf[m.start : m.start+m.run])
			m.skip(m.run)
			m.state = atDelimiter
			return nil
		}
		if !m.room() {
			m.mapped = m.opts.Mapping.Reader(partBody{m})
			m.state = inMapped
			return nil
		}
		m.run = 0
		if err := m.fill(); err != nil {
			return err
		}
	}
}

// credential reads a part that is called token, and drops it.
func (m *Multipart) credential() error {
	var chunk [512]byte
	for {
		n, err := m.take(chunk[:])
		m.token = append(m.token, chunk[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if len(m.token) > MaxToken {
			return badPart("that is called token is longer than any key; send the key in the X-Esri-Authorization header")
		}
	}
	token := string(m.token)
	clear(m.token)
	m.token = m.token[:0]
	m.state, m.dropped = atDelimiter, true
	if m.opts.Token == nil {
		return nil
	}
	return m.opts.Token(token)
}
