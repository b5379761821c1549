package proxy

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"arcproxy/proxy/mapping"
)

// Mapping says which answers have upstream's addresses in their bodies changed to
// the proxy's, where that is not left to the table of [mapping.Rules].
type Mapping struct {
	ItemData bool           // the data of items, such as web maps, are mapped, too
	Rules    []mapping.Rule // the first that fits decides, before the table
}

// mirror makes the upstreams live at the proxy's address: what names them in an
// answer names the proxy when it leaves, and in a request the other way round.
type mirror struct {
	addresses *mapping.Map
	rules     *mapping.Rules
	readers   sync.Pool // of *mapping.Reader, for answers
	blocks    sync.Pool // of *mapBlock
	long      sync.Pool // of *[longBlock]byte
}

func newMirror(public *url.URL, upstreams []Upstream, config Mapping) (*mirror, error) {
	urls := make([]*url.URL, len(upstreams))
	for i, up := range upstreams {
		urls[i] = up.URL
	}
	addresses, err := mapping.New(public, urls)
	if err != nil {
		return nil, err
	}
	rules, err := mapping.NewRules(config.ItemData, config.Rules)
	if err != nil {
		return nil, err
	}
	return &mirror{
		addresses: addresses,
		rules:     rules,
		blocks:    sync.Pool{New: func() any { return new(mapBlock) }},
		long:      sync.Pool{New: func() any { return new([longBlock]byte) }},
	}, nil
}

// inbound returns what changes the proxy's addresses in this request to upstream's;
// nil if it is to be left alone.
func (x *exchange) inbound() *mapping.Scanner {
	if !x.proxy.mirror.rules.Request(x.path) {
		return nil
	}
	return x.proxy.mirror.addresses.Inbound()
}

// mapBody maps a request's body, if it is a form or JSON: what a caller writes in there
// is stored, and read by others. The parts of a multipart form are readBody's.
func (x *exchange) mapBody() {
	if x.in.ContentLength == 0 || !isForm(x.in.Header) && !isJSON(x.in.Header) {
		return
	}
	from := x.inbound()
	switch {
	case from == nil:
	case x.body.stream != nil:
		x.body.stream, x.body.length = from.NewReader(x.body.stream), -1
	default:
		x.body.kept, _ = from.Bytes(x.body.kept)
	}
}

// isJSON reports whether a body is JSON that can be read as it is.
func isJSON(h http.Header) bool {
	kind, _, _ := strings.Cut(first(h, "Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/json") && isPlain(h)
}

// mapAnswer maps an answer: its headers always, and its body if clients follow what
// stands there.
func (x *exchange) mapAnswer(res *http.Response) {
	m, h, method := x.proxy.mirror, res.Header, x.in.Method
	m.addresses.ResponseHeader(h)
	raw, head := x.path, method == http.MethodHead
	if res.StatusCode == http.StatusNotModified {
		// It has the headers of the answer that the caller has kept, but no type.
		if m.rules.May(method, raw, x.query, x.in.Header) {
			altered(res, -1)
		}
		return
	}
	if head {
		method = http.MethodGet // whose headers these are
	}
	if len(x.in.Header[mapping.Switch]) > 0 {
		h["Vary"] = append(h["Vary"], mapping.Switch)
	}
	switch {
	case !m.rules.Answer(method, raw, x.query, x.in.Header, res.StatusCode, h):
	case head:
		altered(res, -1)
	case x.mapHeld(res):
	case 0 <= res.ContentLength && res.ContentLength <= promptAbove:
		x.mapWhole(res)
	default:
		x.mapStream(res)
	}
}

// mapHeld maps a body that is in hand, all of it, from the look for a refusal, where
// it is; and reports whether it was one.
func (x *exchange) mapHeld(res *http.Response) bool {
	held := &x.peeked
	if res.Body != held || int64(held.end-held.start) != res.ContentLength || isGzip(res.Header) {
		return false
	}
	mapped, changed := x.proxy.mirror.addresses.Outbound().Bytes(held.buf[held.start:held.end])
	if !changed {
		return true
	}
	if len(mapped) > len(held.buf) {
		return false
	}
	held.start, held.end = 0, copy(held.buf, mapped)
	altered(res, int64(held.end))
	return true
}

// mapWhole maps a short body at once, so that its length can be said, and so that
// one in which nothing is to be changed can stay as it is, compressed or not.
func (x *exchange) mapWhole(res *http.Response) {
	blocks := &x.proxy.mirror.blocks
	whole := &wholeBody{src: res.Body, pool: blocks, in: blocks.Get().(*mapBlock)}
	body := whole.in[:res.ContentLength]
	n, err := io.ReadFull(res.Body, body)
	whole.rest, whole.err = body[:n], err
	res.Body = whole
	if err != nil { // cut off: so is what goes on
		x.mapStream(res)
		return
	}
	whole.err = io.EOF
	out := x.proxy.mirror.addresses.Outbound()
	var mapped []byte
	changed, all := false, true
	whole.out = blocks.Get().(*mapBlock)
	if isGzip(res.Header) {
		mapped, changed, all = out.Gzip(whole.out[:], body, maxUnzipped)
	} else {
		mapped, changed = out.BytesIn(whole.out[:], body)
	}
	if !all {
		x.mapStream(res)
		return
	}
	x.copied = blocks // so that it goes out at once
	if changed {
		whole.rest = mapped
		altered(res, int64(len(mapped)))
	}
}

// mapBlock has room for a short body, and for what becomes of most.
type mapBlock [2 * promptAbove]byte

// wholeBody is a body that is in hand. What it is in is given back as soon as it has
// been read: its caller may take long to receive it.
type wholeBody struct {
	rest    []byte
	err     error // behind rest
	src     io.Closer
	pool    *sync.Pool // of *mapBlock
	in, out *mapBlock  // nil: none, or given back
}

// Read implements [io.Reader].
func (b *wholeBody) Read(p []byte) (int, error) {
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	if len(b.rest) > 0 {
		return n, nil
	}
	b.giveBack()
	return n, b.err
}

// Close implements [io.Closer].
func (b *wholeBody) Close() error {
	b.rest, b.err = nil, http.ErrBodyReadAfterClose
	b.giveBack()
	return b.src.Close()
}

func (b *wholeBody) giveBack() {
	b.rest = nil
	for _, block := range []**mapBlock{&b.in, &b.out} {
		if *block != nil {
			b.pool.Put(*block)
			*block = nil
		}
	}
}

// maxUnzipped is how large a short body may become that is unpacked at once.
const maxUnzipped = 512 << 10

// mapStream maps a body as it passes.
func (x *exchange) mapStream(res *http.Response) {
	m := x.proxy.mirror
	if isGzip(res.Header) {
		res.Body = &zippedBody{m.addresses.Outbound().NewGzipReader(res.Body), res.Body}
	} else {
		r, _ := m.readers.Get().(*mapping.Reader)
		if r == nil {
			r = m.addresses.Outbound().NewReader(res.Body)
		} else {
			r.Reset(res.Body)
		}
		res.Body = &mappedBody{pool: &m.readers, Reader: r, src: res.Body}
	}
	if res.ContentLength < 0 || res.ContentLength > longBlock {
		x.copied = &m.long
	}
	altered(res, -1)
}

// longBlock is the size of the pieces in which long mapped bodies are sent: without a
// Content-Length each piece costs several writes to the connection, whatever its size.
const longBlock = 256 << 10

// Get implements [httputil.BufferPool]: what the answer's body is copied by. It is
// asked when the answer is there.
func (x *exchange) Get() []byte {
	if x.copied == nil {
		return x.proxy.buffers.Get()
	}
	switch block := x.copied.Get().(type) {
	case *mapBlock:
		return block[:]
	case *[longBlock]byte:
		return block[:]
	}
	return nil
}

// Put implements [httputil.BufferPool].
func (x *exchange) Put(b []byte) {
	m := x.proxy.mirror
	switch len(b) {
	case longBlock:
		m.long.Put((*[longBlock]byte)(b))
	case len(mapBlock{}):
		m.blocks.Put((*mapBlock)(b))
	default:
		x.proxy.buffers.Put(b)
	}
}

func isGzip(h http.Header) bool {
	coding := strings.TrimSpace(first(h, "Content-Encoding"))
	return strings.EqualFold(coding, "gzip")
}

// altered puts right what an answer's headers say of its body, which is another now,
// of this length; -1: it is not known.
func altered(res *http.Response, length int64) {
	h := res.Header
	res.ContentLength = length
	if length < 0 {
		delete(h, "Content-Length")
	} else {
		h["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
	// A strong validator would promise the very bytes (RFC 9110, section 8.8.1).
	// If-None-Match, in which it comes back, compares weakly.
	if tag := first(h, "Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		h["Etag"] = []string{"W/" + tag}
	}
	for _, name := range [...]string{"Accept-Ranges", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
		delete(h, name)
	}
	if !slices.Contains(h["Vary"], mapping.Switch) {
		h["Vary"] = append(h["Vary"], mapping.Switch)
	}
}

// zippedBody is a body in gzip that is mapped.
type zippedBody struct {
	*mapping.GzipReader
	src io.Closer
}

// Close implements [io.Closer].
func (b *zippedBody) Close() error { return errors.Join(b.GzipReader.Close(), b.src.Close()) }

// mappedBody is a body that is mapped by a reader from a pool.
type mappedBody struct {
	*mapping.Reader // nil: given back
	pool            *sync.Pool
	src             io.Closer
}

// Close implements [io.Closer]. ReverseProxy may call it twice.
func (b *mappedBody) Close() error {
	if b.Reader != nil {
		b.Reset(nil)
		b.pool.Put(b.Reader)
		b.Reader = nil
	}
	return b.src.Close()
}
