package mapping

import (
	"bytes"
	"io"
)

// Gzip maps a whole body in gzip, of which no more than limit bytes may come when it is
// unpacked. If nothing in it is to be changed that is body itself, byte for byte. If it
// is larger, cut off, or not gzip, whole is false, and a [GzipReader] is to be used. What
// is mapped is in room, as long as there is enough of it.
func (s *Scanner) Gzip(room, body []byte, limit int) (mapped []byte, changed, whole bool) {
	w := s.pool.Get().(*recoder)
	defer func() {
		w.in.Reset(nil)
		s.pool.Put(w)
	}()
	w.in.Reset(bytes.NewReader(body))
	if w.unzip.Reset(w.in) != nil {
		return nil, false, false
	}
	// Most of it fits into what is there. The trailer is read, and with it is known
	// that the body is what its sender meant, only at io.EOF.
	plain := w.plain
	n := 0
	for {
		m, err := w.unzip.Read(plain[n:])
		n += m
		if err == io.EOF {
			break
		}
		if err != nil || n > limit {
			return nil, false, false
		}
		if n == len(plain) {
			plain = append(plain, make([]byte, len(plain))...)
		}
	}
	if n > limit {
		return nil, false, false
	}
	out, changed := s.BytesIn(w.mapped, plain[:n])
	if !changed {
		return body, false, true
	}
	if cap(out) <= 2*plainAtOnce {
		w.mapped = out[:0]
	}
	zipped := bytes.NewBuffer(room[:0])
	w.zip.Reset(zipped)
	defer w.zip.Reset(io.Discard)
	_, _ = w.zip.Write(out) // to memory
	_ = w.zip.Close()
	return zipped.Bytes(), true, true
}
