package mapping

import (
	"bytes"
	"io"
)

// Gzip maps a whole body in gzip, of which no more than limit bytes may come when it is
// unpacked. If nothing in it is to be changed that is body itself, byte for byte. If it
// is larger, cut off, or not gzip, whole is false, and a [GzipReader] is to be used.
func (s *Scanner) Gzip(body []byte, limit int) (mapped []byte, changed, whole bool) {
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
	out, changed := s.Bytes(plain[:n])
	if !changed {
		return body, false, true
	}
	zipped := bytes.NewBuffer(make([]byte, 0, len(body)+len(body)/8+64))
	w.zip.Reset(zipped)
	defer w.zip.Reset(io.Discard)
	_, _ = w.zip.Write(out) // to memory
	_ = w.zip.Close()
	return zipped.Bytes(), true, true
}
