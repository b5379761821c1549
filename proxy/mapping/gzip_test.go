package mapping

import (
	"bytes"
	stdgzip "compress/gzip"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
)

// unzip reads a whole gzip stream with the standard library.
func unzip(r io.Reader) (string, error) {
	z, err := stdgzip.NewReader(r)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(z)
	return string(b), err
}

func TestGzip(t *testing.T) {
	s := newMap(t, public, portal, server).Outbound()
	for _, text := range []string{"", "x", `{"url":"https://gis.example.com/portal"}`, string(items(300 << 10)), string(features(300 << 10)), strings.Repeat("https://", 100<<10)} {
		for _, level := range []int{gzip.NoCompression, gzip.BestSpeed, gzip.DefaultCompression, gzip.HuffmanOnly} {
			in := zipped(t, []byte(text), level)
			for _, at := range []int{1, 100, 4096, 1 << 20} {
				for _, asked := range []int{1, 100, 32 << 10} {
					if len(in) > 1<<16 && (at == 1 || asked == 1) {
						continue
					}
					r := s.NewGzipReader(&short{bytes.NewReader(in), at})
					out, err := readAsked(r, asked)
					if err != nil {
						t.Fatal(err)
					}
					got, err := unzip(strings.NewReader(out))
					if err != nil || got != s.String(text) {
						t.Errorf("%.40q of level %d by %d and %d: %v", text, level, at, asked, err)
					}
					if err := r.Close(); err != nil {
						t.Error(err)
					}
				}
			}
		}
	}
}

// Members become one; what comes behind them and is none is left out.
func TestGzipMembers(t *testing.T) {
	s := newMap(t, public, portal).Outbound()
	one := string(zipped(t, []byte(`"https://gis.example`), 6))
	two := string(zipped(t, []byte(`.com/portal"`), 6))
	empty := string(zipped(t, nil, 6))
	const want = `"https://localhost:8443/portal"`
	for name, in := range map[string]string{
		"two":              one + two,
		"empty ones":       empty + one + empty + two + empty,
		"zeros behind":     one + two + strings.Repeat("\x00", 512),
		"text behind":      one + two + "garbage",
		"a byte behind":    one + two + "\x1f",
		"nearly a member":  one + two + "\x1f\x8c",
		"endless garbage":  one + two,
		"in pieces of one": one + two,
	} {
		var src io.Reader = strings.NewReader(in)
		switch name {
		case "endless garbage":
			src = io.MultiReader(src, &endless{"x", 1 << 62})
		case "in pieces of one":
			src = iotest.OneByteReader(src)
		}
		r := s.NewGzipReader(src)
		got, err := unzip(r)
		if err != nil || got != want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
		_ = r.Close()
	}
}

// What is not gzip, whatever it was said to be, is what upstream sent.
func TestNotGzip(t *testing.T) {
	s := newMap(t, public, portal).Outbound()
	for _, text := range []string{"", "x", "\x1f", `"https://gis.example.com/portal"`, "\x1fx" + strings.Repeat("https://gis.example.com/portal ", 10000)} {
		for _, src := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
			r := s.NewGzipReader(src)
			got, err := readAsked(r, 4096)
			if err != nil || got != text {
				t.Errorf("%.40q: %.40q, %v", text, got, err)
			}
			_ = r.Close()
		}
	}
}

// A stream that is cut off, or lies, ends with an error, and what comes out of it is no
// whole stream, either; what is known comes out before, and nothing is half replaced.
func TestBrokenGzip(t *testing.T) {
	s := newMap(t, public, portal, server).Outbound()
	text := items(100 << 10)
	want := s.String(string(text))
	in := zipped(t, text, 6)
	broken := errors.New("broken")
	for _, cut := range []int{2, 3, 9, 10, 11, 100, len(in) / 2, len(in) - 9, len(in) - 8, len(in) - 1} {
		for _, end := range []error{io.EOF, broken} {
			wanted := end
			if end == io.EOF {
				wanted = io.ErrUnexpectedEOF
			}
			r := s.NewGzipReader(&pieces{text: string(in[:cut]), sizes: []int{1000}, err: end})
			out, err := readAsked(r, 4096)
			_ = r.Close()
			if !errors.Is(err, wanted) {
				t.Errorf("cut at %d: %v, want %v", cut, err, wanted)
			}
			got, err := unzip(strings.NewReader(out))
			if err == nil || !strings.HasPrefix(want, strings.TrimSuffix(got, partial(got))) {
				t.Errorf("cut at %d with %v: %v, %d bytes", cut, end, err, len(got))
			}
			if cut == len(in)-1 && len(got) != len(want) {
				t.Errorf("only %d of %d bytes came out before the end was missed", len(got), len(want))
			}
		}
	}
	// In the name of a file, which a header may have.
	r := s.NewGzipReader(strings.NewReader("\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03trees.js"))
	if out, err := readAsked(r, 4096); !errors.Is(err, io.ErrUnexpectedEOF) || out != "" {
		t.Errorf("cut in the header: %q, %v", out, err)
	}
	_ = r.Close()
	for at, wanted := range map[int]error{2: gzip.ErrHeader, 3: gzip.ErrHeader, len(in) - 1: gzip.ErrChecksum, len(in) - 8: gzip.ErrChecksum} {
		lie := bytes.Clone(in)
		lie[at] ^= 0xf0
		r := s.NewGzipReader(bytes.NewReader(lie))
		out, err := readAsked(r, 4096)
		_ = r.Close()
		if !errors.Is(err, wanted) {
			t.Errorf("a lie at %d: %v", at, err)
		}
		if _, err := unzip(strings.NewReader(out)); err == nil {
			t.Errorf("a lie at %d looks whole", at)
		}
	}
}

// partial returns what text ends with and could be the beginning of an address, which
// is passed on as it is at the end of a cut-off stream.
func partial(text string) string {
	if i := strings.LastIndexByte(text, '"'); i >= 0 {
		return text[i+1:]
	}
	return text
}

// What is known of a stream that upstream has flushed comes out, flushed, before the
// source is asked for more.
func TestTheFirstByteOfGzipDoesNotWait(t *testing.T) {
	s := newMap(t, public, portal).Outbound()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	src := &flushed{t: t, out: &b}
	for _, event := range []struct{ said, known string }{
		{`{`, `{`},
		{`"https://gis.example.com/portal", "https`, `"https://localhost:8443/portal", "`},
		{`://gis.example.com/portal/x`, `https://localhost:8443/portal/x`},
		{strings.Repeat("trees, ", 1000), strings.Repeat("trees, ", 1000)},
	} {
		b.Reset()
		_, _ = io.WriteString(w, event.said)
		_ = w.Flush()
		// In two pieces, of which the first tells nothing, or little.
		half := b.Len() / 2
		src.give = append(src.give, bytes.Clone(b.Bytes()[:half]), bytes.Clone(b.Bytes()[half:]))
		known := event.known
		if n := len(src.known); n > 0 {
			known = src.known[n-1] + known
		}
		src.known = append(src.known, "", known)
	}
	b.Reset()
	r := s.NewGzipReader(src)
	defer r.Close()
	p := make([]byte, 64<<10)
	for {
		n, err := r.Read(p)
		b.Write(p[:n])
		if err != nil {
			if err != errAsked && !errors.Is(err, errAsked) {
				t.Error(err)
			}
			return
		}
	}
}

// flushed is a source that, when it is asked for more, looks at what has come out.
type flushed struct {
	t     *testing.T
	out   *bytes.Buffer
	give  [][]byte
	known []string // what has to have come out after each; empty: nobody can tell
	given int
}

func (f *flushed) Read(p []byte) (int, error) {
	if f.given > 0 && f.known[f.given-1] != "" {
		text, _ := unzip(bytes.NewReader(f.out.Bytes())) // it has no end yet
		if text != f.known[f.given-1] {
			f.t.Errorf("after %d pieces %.80q, want %.80q", f.given, text, f.known[f.given-1])
		}
	}
	if f.given == len(f.give) {
		return 0, errAsked
	}
	n := copy(p, f.give[f.given])
	f.given++
	return n, nil
}

// Memory does not depend on the size of a body, packed or not, and is used again.
func TestGzipMemory(t *testing.T) {
	m := newMap(t, public, portal)
	s := m.Outbound()
	var bomb bytes.Buffer
	w, _ := gzip.NewWriterLevel(&bomb, gzip.BestSpeed)
	if _, err := io.Copy(w, &endless{`{"a":1},"https://gis.example.com/portal",`, 200 << 20}); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	run := func() {
		r := s.NewGzipReader(bytes.NewReader(bomb.Bytes()))
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, 32<<10)); err != nil {
			t.Error(err)
		}
		_ = r.Close()
	}
	if got := allocated(run); got > 4<<20 {
		t.Errorf("%d bytes for %d that unpack to 200 MiB", got, bomb.Len())
	}
}

// A reader that is left in the midst of a stream leaves nothing behind, and one that has
// been closed gives nothing.
func TestGzipIsClosed(t *testing.T) {
	s := newMap(t, public, portal).Outbound()
	in := zipped(t, items(1<<20), 6)
	before := runtime.NumGoroutine()
	p := make([]byte, 100)
	for range 50 {
		r := s.NewGzipReader(bytes.NewReader(in))
		if n, err := r.Read(p); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		for range 2 {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := r.Read(p); err != errClosed {
			t.Error(err)
		}
	}
	if err := s.NewGzipReader(nil).Close(); err != nil {
		t.Error("a reader that has not begun", err)
	}
	if after := runtime.NumGoroutine(); after > before+1 {
		t.Errorf("%d goroutines have become %d", before, after)
	}
}

// FuzzGzip has streams that are whole, cut off, changed, or no streams at all.
func FuzzGzip(f *testing.F) {
	text := []byte(`{"url":"https://gis.example.com/portal","x":"https:\/\/gis.example.com\/server"}`)
	for _, level := range []int{gzip.NoCompression, gzip.BestSpeed, gzip.BestCompression, gzip.HuffmanOnly} {
		in := zipped(f, text, level)
		f.Add(in, 3, 100)
		f.Add(append(bytes.Clone(in), in...), 1000, 1)
		f.Add(in[:len(in)-5], 1, 4096)
		f.Add(append(bytes.Clone(in), "garbage"...), 1, 4096)
	}
	f.Add([]byte("no gzip"), 1, 1)
	reserved := zipped(f, text, 6)
	reserved[3] = 0x40
	f.Add(reserved, 1000, 13)
	m := newMap(f, public, portal, server)
	s := m.Outbound()
	f.Fuzz(func(t *testing.T, in []byte, at, asked int) {
		if at < 1 || asked < 1 || asked > 1<<17 || len(in) > 1<<16 {
			t.Skip()
		}
		r := s.NewGzipReader(&short{bytes.NewReader(in), at})
		defer r.Close()
		out, err := readAsked(r, asked)
		if len(in) < 2 || in[0] != 0x1f || in[1] != 0x8b {
			if err != nil || out != string(in) {
				t.Fatalf("what is no gzip became %q, %v", out, err)
			}
			return
		}
		// The standard library is another opinion; it takes the garbage behind the last
		// member for an error.
		plain, wrong := unzip(bytes.NewReader(in))
		got, unfinished := unzip(strings.NewReader(out))
		if err == nil {
			if unfinished != nil {
				t.Fatalf("there was no error, and the result has no end: %v", unfinished)
			}
			if want := s.String(plain); got != want || wrong != nil && !errors.Is(wrong, stdgzip.ErrHeader) && !errors.Is(wrong, io.ErrUnexpectedEOF) {
				t.Fatalf("%q, want %q; %v", got, want, wrong)
			}
			return
		}
		if wrong == nil && !errors.Is(err, gzip.ErrHeader) { // it lets reserved bits pass (RFC 1952 §2.3.1.2 does not)
			t.Fatalf("a good stream: %v", err)
		}
		if unfinished == nil {
			t.Fatalf("%v, and the result has an end", err)
		}
	})
}
