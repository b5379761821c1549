package proxy

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// uploads is an upstream that answers with the hash of what it was sent.
func uploads(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	fmt.Fprintf(w, "%x %d %v", h.Sum(nil), n, err)
}

func hashed(b []byte) string { return fmt.Sprintf("%x %d <nil>", sha256.Sum256(b), len(b)) }

// unsized hides how long a body is, so that it is sent in chunks.
type unsized struct{ io.Reader }

func (s *setup) spooled() int64 { return s.proxy.spooled.Load() }

// empty reports whether there is nothing in a directory.
func empty(t *testing.T, dir string) bool {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(list) == 0
}

// Whatever the form of a body, and whether the upstream has read it before it refuses
// the token: it is sent again, once, with one token for all who were refused.
func TestUploadsAreSentAgain(t *testing.T) {
	for _, eager := range []bool{false, true} {
		for _, size := range []int{1, spoolMemory, maxKept + 1, 1 << 20} {
			for name, sized := range map[string]bool{"sized": true, "chunked": false} {
				t.Run(fmt.Sprint(name, size, eager), func(t *testing.T) {
					dir := t.TempDir()
					g := &gate{good: "token2", next: uploads}
					s := start(t, func(w http.ResponseWriter, r *http.Request) {
						if !eager {
							body, _ := io.ReadAll(r.Body)
							r.Body = io.NopCloser(bytes.NewReader(body))
						}
						g.ServeHTTP(w, r)
					}, func(c *Config) { c.TempDir = dir })
					const callers = 50
					many := callers
					if size > maxKept+1 || eager { // some are slow to be cut off
						many = 5
					}
					var wg sync.WaitGroup
					for i := range many {
						wg.Go(func() {
							body := bytes.Repeat([]byte{byte(i), 'x'}, size)[:size]
							var from io.Reader = bytes.NewReader(body)
							if !sized {
								from = unsized{from}
							}
							res := s.do(http.MethodPost, "/portal/x", from, nil)
							if got := text(t, res); res.StatusCode != http.StatusOK || got != hashed(body) {
								t.Errorf("%s %.200s", res.Status, got)
							}
						})
					}
					wg.Wait()
					if drops, _ := s.tokens.state(); drops != 1 {
						t.Errorf("%d renewals", drops)
					}
					if s.spooled() != 0 || !empty(t, dir) {
						t.Errorf("%d bytes are left in files", s.spooled())
					}
				})
			}
		}
	}
}

// A body that has no room streams on all the same; refused, it is the caller's to repeat.
func TestBodiesThatAreNotKept(t *testing.T) {
	const limit = 512 << 10
	for name, c := range map[string]struct {
		size   int
		sized  bool
		change func(*Config)
		full   bool
		said   int // in the log
	}{
		"long":         {limit + 1, true, nil, false, 0},
		"long, chunks": {limit + 1, false, nil, false, 0},
		"off":          {maxKept + 1, true, func(c *Config) { c.Replay = -1 }, false, 0},
		"no directory": {maxKept + 1, true, func(c *Config) { c.TempDir = "/nowhere/at/all" }, false, 1},
		"no room":      {maxKept + 1, true, nil, true, 1},
	} {
		for _, good := range []string{"token1", "token2"} {
			t.Run(name+" "+good, func(t *testing.T) {
				g := &gate{good: good, next: uploads}
				s := start(t, func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					r.Body = io.NopCloser(bytes.NewReader(body))
					g.ServeHTTP(w, r)
				}, func(cfg *Config) {
					cfg.TempDir, cfg.Replay = t.TempDir(), limit
					if c.change != nil {
						c.change(cfg)
					}
				})
				var taken int64
				if c.full {
					taken = spoolInAll
					s.proxy.spooled.Store(taken)
				}
				for range 2 {
					body := bytes.Repeat([]byte("x"), c.size)
					var from io.Reader = bytes.NewReader(body)
					if !c.sized {
						from = unsized{from}
					}
					res := s.do(http.MethodPost, "/portal/x", from, nil)
					got := text(t, res)
					if drops, _ := s.tokens.state(); drops == 1 && g.count("token2") == 0 {
						if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
							t.Errorf("%s %.200s", res.Status, got)
						}
					} else if got != hashed(body) {
						t.Errorf("%s %.200s", res.Status, got)
					}
				}
				if n := s.spooled(); n != taken {
					t.Errorf("%d bytes in files", n-taken)
				}
				if n := strings.Count(s.log.String(), "cannot be kept"); n != c.said {
					t.Errorf("complained %d times", n)
				}
			})
		}
	}
}

// An upstream that answers while the caller still sends is sent the rest as it comes.
func TestARefusalInTheMiddleOfAnUpload(t *testing.T) {
	const half = 200 << 10
	refused := make(chan struct{})
	var once atomic.Bool
	dir := t.TempDir()
	var s *setup
	s = start(t, func(w http.ResponseWriter, r *http.Request) {
		if once.CompareAndSwap(false, true) {
			_, _ = io.CopyN(io.Discard, r.Body, half)
			if s.spooled() < half || !empty(t, dir) {
				t.Errorf("%d bytes in files, or one that has a name", s.spooled())
			}
			_, _ = io.WriteString(w, refusalBody)
			close(refused)
			return
		}
		uploads(w, r)
	}, func(c *Config) { c.TempDir = dir })
	r, w := io.Pipe()
	first, rest := bytes.Repeat([]byte("a"), half), bytes.Repeat([]byte("b"), half)
	go func() {
		_, _ = w.Write(first)
		<-refused
		_, _ = w.Write(rest)
		_ = w.Close()
	}()
	res := s.do(http.MethodPost, "/portal/x", r, nil)
	if got := text(t, res); got != hashed(append(first, rest...)) {
		t.Errorf("%s %.200s", res.Status, got)
	}
	if s.spooled() != 0 {
		t.Errorf("%d bytes in files", s.spooled())
	}
}

// Only what takes long asks for a token that lasts.
func TestUploadsBeginWithATokenThatLasts(t *testing.T) {
	s := start(t, uploads)
	for size, want := range map[int]int{0: 0, maxKept: 0, maxKept + 1: 1} {
		s.tokens.lasting = 0
		text(t, s.do(http.MethodPost, "/portal/x", bytes.NewReader(make([]byte, size)), nil))
		if s.tokens.lasting != want {
			t.Errorf("%d bytes: asked %d times", size, s.tokens.lasting)
		}
	}
}
