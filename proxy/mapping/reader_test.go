package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// maps are pairs of proxies and upstreams of which each is difficult in its own way.
func maps(t testing.TB) []*Map {
	return []*Map{
		newMap(t, public, portal, server, "https://maps.example.org:6443/arcgis"),
		newMap(t, "https://maps.example.net", portal, "https://maps.example.org/arcgis"),
		newMap(t, "http://localhost:8080", "http://127.0.0.1:7080/portal", "http://127.0.0.1:7081/server"),
		newMap(t, "https://[::1]:8443", "https://[2001:db8::1]/portal", "https://gis.example.com/server"),
		newMap(t, public, "https://example.com/portal", "https://gis.example.com/server", "https://gis.example.com.au/portal-x"),
		newMap(t, "https://gis", "https://a/portal", "https://ws/ws"),
		newMap(t, "https://a-name-that-is-longer-than-any-other.example.com:12345", "https://gis/p"),
	}
}

// fragments are what addresses of maps, and what resembles them, are made of.
var fragments = []string{
	"https://", "http://", "wss://", "ws://", "//", "https:", "http", "h", "w", ":", "/", "/", "x", ".", "-", " ", "\"", "'", ",", "@", "1", "\n", "é", "\xff", "\x00",
	"gis.example.com", "gis.example.com", "example.com", "gis", "maps.example.org", "gis.example.com.au", "127.0.0.1", "[2001:db8::1]", "a", "ws", "GIS.Example.com", "gis.exa",
	"localhost", "[::1]", "maps.example.net", "%5B2001%3Adb8%3A%3A1%5D", "%255B2001%253Adb8%253A%253A1%255D",
	":443", ":8443", ":6443", ":7080", ":7081", ":80", "%3A443", "%3A7080", "%253a6443",
	"/portal", "/server", "/arcgis", "/portal2", "/portal.", "/p", "/ws", "portal", "/portal-x",
	"%", "%2", "%2F", "%2f", "%3A", "%25", "%252F", "%253A", "%5C", "%22", "%41", "2F", "25",
	"\\", "\\/", "\\\\/", "\\\\\\/", "\\\\\\\\/", "\\u002f", "\\u002", "\\u", "\\x2f", "\\x", "\\n", "\\u003a", "\\:",
	"&", "&#", "&#x2F;", "&#x2", "&#47;", "&sol;", "&colon;", "&#58;", "&amp;", ";",
	"\"customBaseUrl\":\"", "preferredHost=", "customBaseUrl%22%3A%22", "customBaseUrl",
}

func drawText(t *rapid.T, of []string) string {
	var b strings.Builder
	for _, piece := range rapid.SliceOfN(rapid.SampledFrom(of), 0, 24).Draw(t, "pieces") {
		b.WriteString(piece)
	}
	return b.String()
}

// pieces reads a text in pieces of the given sizes, over and over.
type pieces struct {
	text  string
	sizes []int
	next  int
	err   error // at the end, together with the last piece
}

func (p *pieces) Read(b []byte) (int, error) {
	size := 1
	if len(p.sizes) > 0 {
		size = p.sizes[p.next%len(p.sizes)]
		p.next++
	}
	n := copy(b[:min(len(b), size)], p.text)
	p.text = p.text[n:]
	if p.text == "" {
		return n, p.err
	}
	return n, nil
}

// inPieces maps by streaming, with a source and a caller that read in pieces.
func inPieces(s *Scanner, text string, sizes []int, asked int) (string, error) {
	r := s.NewReader(&pieces{text: text, sizes: sizes, err: io.EOF})
	return readAsked(r, asked)
}

func readAsked(r io.Reader, asked int) (string, error) {
	var out []byte
	p := make([]byte, asked)
	for idle := 0; ; {
		n, err := r.Read(p)
		if n < 0 || n > len(p) {
			return "", fmt.Errorf("%d bytes of %d", n, len(p))
		}
		out = append(out, p[:n]...)
		if err == io.EOF {
			return string(out), nil
		}
		if err != nil {
			return string(out), err
		}
		if n > 0 {
			idle = 0
		} else if idle++; idle > 1000 {
			return string(out), errors.New("nothing comes")
		}
	}
}

// Whatever pieces a body comes in, and is asked for in, the result is that of the whole.
func TestStreamingIsLikeTheWhole(t *testing.T) {
	all := maps(t)
	rapid.Check(t, func(t *rapid.T) {
		text := drawText(t, fragments)
		m := all[rapid.IntRange(0, len(all)-1).Draw(t, "map")]
		sizes := rapid.SliceOfN(rapid.IntRange(0, 40), 0, 6).Draw(t, "sizes")
		if len(sizes) > 0 {
			sizes = append(sizes, 1)
		}
		asked := rapid.SampledFrom([]int{1, 7, 900, 2000, 70000}).Draw(t, "asked")
		for _, s := range []*Scanner{m.Outbound(), m.Inbound()} {
			want := s.String(text)
			got, err := inPieces(s, text, sizes, asked)
			if err != nil || got != want {
				t.Fatalf("%q in pieces of %v, asked for by %d: %v\n got %q\nwant %q", text, sizes, asked, err, got, want)
			}
		}
	})
}

// What has gone out and comes in again is what upstream said, if that was in the
// spelling of the configuration and did not name the proxy.
func TestThereAndBack(t *testing.T) {
	all := maps(t)
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(0, len(all)-1).Draw(t, "map")
		m := all[k]
		text := drawText(t, fragments)
		if strings.Contains(fold(text), fold(m.public.host)) || strings.Contains(text, "%5") {
			t.Skip("the proxy is named, or an address is written in two ways at once")
		}
		out := m.Outbound().String(text)
		back := m.Inbound().String(out)
		// A text that has been there and back is in the spelling of the configuration.
		again := m.Outbound().String(back)
		if again != out {
			t.Fatalf("%q there is\n%q, back\n%q, there again\n%q", text, out, back, again)
		}
		if twice := m.Inbound().String(again); twice != back {
			t.Fatalf("%q is back as\n%q, and twice as\n%q", text, back, twice)
		}
	})
}

// addresses in one style each, in the spelling of the configuration.
func drawAddress(t *rapid.T, m *Map) string {
	up := m.upstreams[rapid.IntRange(0, len(m.upstreams)-1).Draw(t, "upstream")]
	a := up.address()
	slash := rapid.SampledFrom([]string{"/", `\/`, `\\/`, `\\\/`, `\u002f`, `\u002F`, `\x2f`, "%2F", "%2f", "%252F", "%252f", "&#x2F;", "&#47;", "&sol;", "%5C%2F"}).Draw(t, "slash")
	st := styleOf([]byte(slash))
	colon := string(st.append(nil, ':'))
	scheme := rapid.SampledFrom([]string{a.scheme, "ws" + a.scheme[len("http"):], "//", ""}).Draw(t, "scheme")
	if up.standard() && m.public.scheme == "https" && rapid.Bool().Draw(t, "other") {
		scheme = otherScheme(a.scheme)
	}
	text := ""
	switch scheme {
	case "":
	case "//":
		text = slash + slash
	default:
		text = scheme + colon + slash + slash
	}
	text += string(st.appendHost(nil, a.host))
	if a.port != "" {
		text += colon + a.port
	}
	return text + slash + up.mount
}

func TestEveryFormThereAndBack(t *testing.T) {
	all := maps(t)
	around := []string{"\"", "'", " ", "\n", "(", ")", "<", ">", ",", "é", "x=", "&", "?", "#", "\\n", "%22", "%2522", "\\u0022", "&quot;", "{\"url\":\"", "\"}", "http", "some text."}
	rapid.Check(t, func(t *rapid.T) {
		m := all[rapid.IntRange(0, len(all)-3).Draw(t, "map")]
		var text, want strings.Builder
		for range rapid.IntRange(1, 5).Draw(t, "addresses") {
			for _, s := range rapid.SliceOfN(rapid.SampledFrom(around), 0, 5).Draw(t, "around") {
				text.WriteString(s)
				want.WriteString(s)
			}
			// These end what is before and behind.
			a := "\"" + drawAddress(t, m) + "\""
			text.WriteString(a)
			ours := m.Outbound().String(a)
			if ours == a {
				t.Fatalf("%s is not found", a)
			}
			want.WriteString(ours)
		}
		x := text.String()
		out, err := inPieces(m.Outbound(), x, []int{1}, 4096)
		if err != nil || out != want.String() {
			t.Fatalf("%q: %v\n got %q\nwant %q", x, err, out, want.String())
		}
		if back := m.Inbound().String(out); back != x {
			t.Fatalf("%q\nbecame %q\nand was back as %q", x, out, back)
		}
	})
}

func fold(s string) string { return strings.ToLower(s) }

// untouched checks that out is text but for addresses, and differs in nothing else.
func untouched(s *Scanner, text, out string) error {
	b, from := []byte(text), 0
	var m match
	f := newFinder(s, b)
	for s.next(&f, b, nil, from, true, &m) == found {
		if !strings.HasPrefix(out, text[from:m.start]) {
			return fmt.Errorf("before %q something has changed", text[m.start:m.end])
		}
		out = out[m.start-from:]
		ours := string(m.appendScheme(nil)) + text[m.start+len(schemes[m.scheme]):m.host] + string(m.appendHost(nil))
		if !strings.HasPrefix(out, ours) {
			return fmt.Errorf("%q has not become %q", text[m.start:m.end], ours)
		}
		if host := fold(text[m.host:m.end]); !strings.Contains(host, ".") && !strings.Contains(host, "gis") && host[0] != 'a' && host[0] != '[' && host[0] != '%' && !strings.HasPrefix(host, "localhost") && !strings.HasPrefix(host, "ws") {
			return fmt.Errorf("%q is not a host of ours", text[m.host:m.end])
		}
		out = out[len(ours):]
		from = m.end
	}
	if out != text[from:] {
		return errors.New("the end has changed")
	}
	return nil
}

func FuzzMapping(f *testing.F) {
	for _, seed := range []string{
		`{"owningSystemUrl":"https://gis.example.com/portal","x":"https:\/\/gis.example.com\/server\/rest"}`,
		`https%3A%2F%2Fgis.example.com%2Fportal https%253A%252F%252Fgis.example.com%252Fserver`,
		`"customBaseUrl":"gis.example.com" //gis.example.com https://gis.example.com/`,
		`&#x2F;&#x2F;gis.example.com&#47;portal wss://gis.example.com/server \u002f\u002f127.0.0.1:7080\u002fportal`,
		`https://https://https://gis.example.com/portal.gis.example.com/portal2`,
		`https://[2001:db8::1]/portal %5B2001%3Adb8%3A%3A1%5D%2Fportal`,
	} {
		f.Add([]byte(seed), []byte{1}, 1)
		f.Add([]byte(seed), []byte{3, 0, 17}, 5000)
	}
	all := maps(f)
	f.Fuzz(func(t *testing.T, body, pieceSizes []byte, asked int) {
		if asked < 1 || asked > 1<<17 || len(body) > 1<<16 {
			t.Skip()
		}
		sizes := []int{1}
		for _, size := range pieceSizes {
			sizes = append(sizes, int(size))
		}
		text := string(body)
		for _, m := range all {
			for _, s := range []*Scanner{m.Outbound(), m.Inbound()} {
				whole, changed := s.Bytes(body)
				if changed == (string(whole) == text) && !changed {
					t.Fatal("an unchanged body has changed")
				}
				if string(body) != text {
					t.Fatal("the body was written to")
				}
				if err := untouched(s, text, string(whole)); err != nil {
					t.Fatal(err)
				}
				got, err := inPieces(s, text, sizes, asked)
				if err != nil || got != string(whole) {
					t.Fatalf("%v\n got %q\nwant %q", err, got, whole)
				}
			}
			if !strings.Contains(fold(text), fold(m.public.host)) && !strings.Contains(text, "%5") {
				out := m.Outbound().String(text)
				if again := m.Outbound().String(m.Inbound().String(out)); again != out {
					t.Fatalf("there\n%q\nthere again\n%q", out, again)
				}
			}
		}
	})
}

// blocked is a source that gives what it has, and then tells that it is asked for more.
type blocked struct{ give [][]byte }

var errAsked = errors.New("there is nothing more at once")

func (b *blocked) Read(p []byte) (int, error) {
	if len(b.give) == 0 {
		return 0, errAsked
	}
	n := copy(p, b.give[0])
	if b.give[0] = b.give[0][n:]; len(b.give[0]) == 0 {
		b.give = b.give[1:]
	}
	return n, nil
}

// What is known comes out before the source is asked for more.
func TestTheFirstByteDoesNotWait(t *testing.T) {
	s := newMap(t, public, portal).Outbound()
	for _, c := range []struct{ comes, known string }{
		{`{`, `{`},
		{`{"url":"`, `{"url":"`},
		{`{"url":"https`, `{"url":"`},
		{`{"url":"https://gis.example.co`, `{"url":"`},
		{`{"url":"https://gis.example.com/porta`, `{"url":"`},
		{`{"url":"https://gis.example.com/portal"`, `{"url":"https://localhost:8443/portal"`},
		{`{"url":"https://gis.example.com/portal/x`, `{"url":"https://localhost:8443/portal/x`},
		{`{"url":"https://gis.example.net`, `{"url":"https://gis.example.net`},
		{`{"url":"ftp://gis.exa`, `{"url":"ftp://gis.exa`},
		{`{"url":"\/`, `{"url":"\/`},
		{`this is a wish`, `this is a wish`}, // h after a letter begins no scheme
		{`this is a w`, `this is a `},
	} {
		r := s.NewReader(&blocked{give: [][]byte{[]byte(c.comes)}})
		p := make([]byte, 4096)
		n, err := r.Read(p)
		if n == 0 || err != nil || string(p[:n]) != c.known {
			t.Errorf("of %s comes %q, %v", c.comes, p[:n], err)
		}
	}
}

// An error of the source comes after what came before it, and nothing is half replaced.
func TestACutOffBody(t *testing.T) {
	s := newMap(t, public, portal).Outbound()
	broken := errors.New("broken")
	const text = `{"url":"https://gis.example.com/portal","x":"https://gis.exa`
	for _, src := range []io.Reader{
		&pieces{text: text, sizes: []int{1}, err: broken},
		&pieces{text: text, sizes: []int{1 << 10}, err: broken},
		io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)),
	} {
		got, err := readAsked(s.NewReader(src), 4096)
		if !errors.Is(err, broken) || got != `{"url":"https://localhost:8443/portal","x":"https://gis.exa` {
			t.Errorf("%v: %s", err, got)
		}
	}
}

func TestASourceWithoutAnything(t *testing.T) {
	for _, m := range []*Map{newMap(t, public, portal), newMap(t, portal[:len(portal)-7], portal)} {
		r := m.Outbound().NewReader(&pieces{text: "x", sizes: []int{0}})
		if _, err := readAsked(r, 4096); err != io.ErrNoProgress {
			t.Error(err)
		}
		r.Reset(strings.NewReader("https://gis.example.com/other"))
		if got, err := io.ReadAll(r); err != nil || string(got) != "https://gis.example.com/other" {
			t.Errorf("after Reset: %s, %v", got, err)
		}
	}
}

// endless is a body that does not end soon.
type endless struct {
	text string
	left int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) {
		n += copy(p[n:], e.text)
	}
	e.left -= n
	return n, nil
}

// allocated returns how many bytes a function allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A body of 100 MB takes no more memory, over all the time that it takes, than a few
// buffers.
func TestMemoryDoesNotGrow(t *testing.T) {
	for _, m := range []*Map{newMap(t, public, portal), newMap(t, "https://a-longer-name.example.com:8443", portal)} {
		for i, text := range []string{`{"attributes":{"OBJECTID":1,"NAME":"Linden"}},`, `{"url":"https://gis.example.com/portal/x"},`, `https://`, `gis.example.com/`} {
			size := 10 << 20
			if i == 0 {
				size *= 10
			}
			got := allocated(func() {
				n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, m.Outbound().NewReader(&endless{text, size}), make([]byte, 32<<10))
				if err != nil || n < int64(size)*9/10 {
					t.Errorf("%d, %v", n, err)
				}
			})
			if got > 1<<20 {
				t.Errorf("%d bytes for %s", got, text)
			}
		}
	}
}

// A large body, and buffers of many sizes.
func TestLargeBodies(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, m := range maps(t) {
		var b bytes.Buffer
		for b.Len() < 300<<10 {
			b.WriteString(fragments[rnd.IntN(len(fragments))])
		}
		text := b.String()
		for _, s := range []*Scanner{m.Outbound(), m.Inbound()} {
			want := s.String(text)
			for _, asked := range []int{100, 1 << 10, 1500, 4 << 10, 32 << 10, 1 << 20} {
				for _, sizes := range [][]int{{1 << 20}, {4096}, {32 << 10, 1, 100}} {
					if got, err := inPieces(s, text, sizes, asked); err != nil || got != want {
						t.Fatalf("asked for by %d, in pieces of %v: %v", asked, sizes, err)
					}
				}
			}
		}
	}
}
