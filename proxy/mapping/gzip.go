package mapping

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/klauspost/compress/gzip"
)

const (
	// level is the fastest. The answer is on its way to one caller and not kept.
	level = gzip.BestSpeed
	// compressedAtOnce is how much is asked of a source at once. What it then gives is
	// passed on before it is asked again, so it is the most that waits for more.
	compressedAtOnce = 32 << 10
	// compressedFirst is how much it is at first, and then twice as much each time:
	// the first byte does not wait until a thousand lines have been mapped.
	compressedFirst = 8 << 10
	// plainAtOnce is how much is decompressed and mapped at once.
	plainAtOnce = 64 << 10
)

var errClosed = errors.New("mapping: the reader is closed")

// A GzipReader decompresses a source, maps it, and compresses it again, as it comes. It
// has to be closed.
//
// Whatever can be made of what the source has given is handed out before the source is
// asked for more, so nobody waits for what is there. A source that asks to be waited for
// often, with little each time, is compressed less well.
//
// A source that is cut off, or is not what it says, ends with an error, after what comes
// before it: as an error of the source that is passed on, [io.ErrUnexpectedEOF] or one of
// gzip's. The output then has no end, either, and is no whole gzip stream. Several
// members become one. What comes behind the last and is no member is left out, as gzip
// does. A source that does not even begin as gzip is passed on as it is: a caller sees
// what upstream sent.
type GzipReader struct {
	scanner *Scanner
	work    *recoder // nil: not begun, or given back
	src     io.Reader
	resume  func() (struct{}, bool)
	stop    func()
	err     error // once everything has been handed out
	closed  bool

	pause func(struct{}) bool // gives the turn to the caller of Read; false: it is over
	out   []byte              // what the caller of Read wants filled
	n     int                 // how much of it is
	dirty bool                // the compressor may hold something
	asked int                 // how much the source was asked for
}

// A recoder is what is costly to make, and is kept for the next reader.
type recoder struct {
	in     *bufio.Reader // the decompressor is fastest on this
	unzip  gzip.Reader
	zip    *gzip.Writer
	mapper Reader
	plain  []byte
	mapped []byte // room for what plain becomes, where it is whole
}

func newRecoder() *recoder {
	zip, err := gzip.NewWriterLevel(io.Discard, level)
	if err != nil {
		panic(err) // there is no such level
	}
	return &recoder{in: bufio.NewReaderSize(nil, compressedAtOnce), zip: zip, plain: make([]byte, plainAtOnce)}
}

// NewGzipReader returns a GzipReader of src. It does not close src.
func (s *Scanner) NewGzipReader(src io.Reader) *GzipReader {
	return &GzipReader{scanner: s, src: src}
}

// Read implements [io.Reader].
func (g *GzipReader) Read(p []byte) (int, error) {
	switch {
	case g.closed:
		return 0, errClosed
	case g.err != nil:
		return 0, g.err
	case len(p) == 0:
		return 0, nil
	case g.work == nil:
		// The steps from the source to p call each other, and each of them, at any depth,
		// may find that it is time to hand out what there is. A coroutine is what can be
		// left, and gone back to, from there.
		g.work = g.scanner.pool.Get().(*recoder)
		g.resume, g.stop = iter.Pull(g.run)
	}
	g.out, g.n = p, 0
	_, more := g.resume()
	g.out = nil
	if !more && g.n == 0 {
		return 0, g.err
	}
	return g.n, nil
}

// Close gives back what the reader has taken. It may not be called during a Read.
func (g *GzipReader) Close() error {
	if g.closed {
		return nil
	}
	g.closed = true
	if g.work == nil {
		return nil
	}
	g.stop()
	w := g.work
	g.work = nil
	w.in.Reset(nil)
	w.zip.Reset(io.Discard)
	w.mapper.Reset(nil)
	g.scanner.pool.Put(w)
	return nil
}

// run is the coroutine.
func (g *GzipReader) run(yield func(struct{}) bool) {
	g.pause = yield
	g.err = g.recode()
}

// recode takes the source to its end, which is io.EOF if all is well.
func (g *GzipReader) recode() error {
	w := g.work
	w.in.Reset((*source)(g))
	if ok, err := isMember(w.in); err != nil {
		return err
	} else if !ok {
		// WriteTo reads through in's buffer and shows us each piece.
		if _, err := w.in.WriteTo((*output)(g)); err != nil {
			return err
		}
		return io.EOF
	}
	members := &members{recoder: w}
	if err := members.begin(); err != nil {
		return err
	}
	w.zip.Reset((*output)(g))
	w.mapper.scanner = g.scanner
	w.mapper.Reset(members)
	for {
		n, err := w.mapper.Read(w.plain)
		if n > 0 {
			g.dirty = true
			if _, err := w.zip.Write(w.plain[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			g.dirty = false
			if err := w.zip.Close(); err != nil {
				return err
			}
			return io.EOF
		}
		if err != nil {
			if err := g.flush(); err != nil {
				return err
			}
			return err
		}
	}
}

// flush brings what the compressor holds to the caller's buffer.
func (g *GzipReader) flush() error {
	if !g.dirty {
		return nil
	}
	g.dirty = false
	return g.work.zip.Flush()
}

// source is the source as the decompressor's buffer reads it: before it is asked for
// more, which may take any time, what it has given is handed out.
type source GzipReader

// Read implements [io.Reader].
func (s *source) Read(p []byte) (int, error) {
	g := (*GzipReader)(s)
	if err := g.flush(); err != nil {
		return 0, err
	}
	if g.n > 0 && !g.pause(struct{}{}) {
		return 0, errClosed
	}
	g.asked = min(max(compressedFirst, 2*g.asked), compressedAtOnce)
	return g.src.Read(p[:min(len(p), g.asked)])
}

// output is where the compressor writes: the caller's buffer.
type output GzipReader

// Write implements [io.Writer].
func (o *output) Write(p []byte) (int, error) {
	g := (*GzipReader)(o)
	written := 0
	for {
		n := copy(g.out[g.n:], p[written:])
		g.n += n
		if written += n; written == len(p) {
			return written, nil
		}
		if !g.pause(struct{}{}) {
			return written, errClosed
		}
	}
}

// members reads what is in the members of a gzip stream.
type members struct{ *recoder }

// begin reads the header of a member, which is known to be there.
func (m *members) begin() error {
	err := m.unzip.Reset(m.in)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // in the midst of it
	}
	if err != nil {
		return fmt.Errorf("decompress: %w", err)
	}
	m.unzip.Multistream(false)
	return nil
}

// Read implements [io.Reader].
func (m *members) Read(p []byte) (int, error) {
	n, err := m.unzip.Read(p)
	if err == nil {
		return n, nil
	}
	if err != io.EOF {
		return n, fmt.Errorf("decompress: %w", err)
	}
	more, err := isMember(m.in)
	if err == nil && !more {
		err = io.EOF
	}
	if err == nil {
		err = m.begin()
	}
	return n, err
}

// isMember reports whether in goes on as a member of a gzip stream does; its error is
// io.EOF if it does not go on.
func isMember(in *bufio.Reader) (bool, error) {
	const magic = "\x1f\x8b"
	for n := range len(magic) {
		b, err := in.Peek(n + 1)
		if len(b) <= n {
			if err == io.EOF && n > 0 {
				return false, nil
			}
			return false, err
		}
		if b[n] != magic[n] {
			return false, nil
		}
	}
	return true, nil
}
