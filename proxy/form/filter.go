package form

import (
	"bytes"
	"io"
)

// block is how much is read at once.
const block = 32 << 10

// TokenFilter is a form on its way through that loses its `token` parameters:
// what CutTokens does, for forms too large to be held.
type TokenFilter struct {
	src   io.Reader
	err   error // of src
	in    []byte
	ready []byte // space for out
	out   []byte // judged, and not yet read
	state filterState
	name  []byte // of the parameter at hand, as far as it has come
	// passed is set once a parameter has been passed on: the next needs an "&".
	passed bool
}

type filterState uint8

const (
	atName  filterState = iota // in a name that is not known yet
	passing                    // in a parameter that is passed on
	cutting                    // in a token
)

// NewTokenFilter returns a TokenFilter of a form.
func NewTokenFilter(src io.Reader) *TokenFilter {
	return &TokenFilter{src: src, in: make([]byte, block)}
}

// Read implements [io.Reader].
func (f *TokenFilter) Read(p []byte) (int, error) {
	for len(f.out) == 0 {
		if f.err != nil {
			return 0, f.err
		}
		var n int
		n, f.err = f.src.Read(f.in)
		f.out = f.ready[:0]
		f.judge(f.in[:n])
		if f.err == io.EOF && f.state == atName {
			f.decide()
		}
		f.ready = f.out
	}
	n := copy(p, f.out)
	f.out = f.out[n:]
	return n, nil
}

func (f *TokenFilter) judge(chunk []byte) {
	for len(chunk) > 0 {
		if f.state == atName {
			if c := chunk[0]; c == '=' || c == '&' || len(f.name) > longestTokenName {
				f.decide() // and go on with the same byte
			} else {
				f.name = append(f.name, c)
				chunk = chunk[1:]
			}
			continue
		}
		run, rest, ended := bytes.Cut(chunk, []byte("&"))
		if f.state == passing {
			f.out = append(f.out, run...)
		}
		if ended {
			f.state = atName
		}
		chunk = rest
	}
}

// decide says what becomes of the parameter whose name has been read.
func (f *TokenFilter) decide() {
	if isCredential(f.name) {
		f.state = cutting
	} else {
		if f.passed {
			f.out = append(f.out, '&')
		}
		f.out = append(f.out, f.name...)
		f.passed = true
		f.state = passing
	}
	f.name = f.name[:0]
}
