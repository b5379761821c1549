package proxy

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"strings"
	"sync"

	"arcproxy/auth"
)

// ArcGIS says that a token is not good by code 498, and that it saw none by 499.
// Mostly that is a small JSON body under HTTP 200, in several shapes:
//
//	{"error":{"code":498,"message":"Invalid token.","details":[]}}   sharing, servers
//	{"status":"error","messages":["Token Required"],"code":499}      administration
//	callback({"error":…});                                           JSONP
//	<title>Error: Invalid Token</title>…Code: 498                    f=html
//
// indented or not, whatever Content-Type it carries (image and pbf requests get
// it too), compressed or not, with a length or in chunks. Now and then it is a
// real HTTP status. A body that only mentions all this, as data may, is none.

// maxRefusal is the length up to which a body can be a refusal, plain or compressed.
const maxRefusal = 8 << 10

// refused reports whether res refuses the token it was asked with. If it does,
// its body is closed; if not, its body is whole, whatever had to be read of it.
func (x *exchange) refused(res *http.Response) bool {
	if res.StatusCode == 498 || res.StatusCode == 499 {
		_, _ = io.CopyN(io.Discard, res.Body, maxRefusal) // so that the connection can be used again
		_ = res.Body.Close()
		return true
	}
	if !suspect(res, x.in.Method) {
		return false
	}
	b := &x.peeked
	*b = peeked{pool: x.proxy.buffers, buf: x.proxy.buffers.Get(), rest: res.Body}
	res.Body = b
	look := lens{
		html:    strings.Contains(first(res.Header, "Content-Type"), "html"),
		zipped:  first(res.Header, "Content-Encoding") == "gzip",
		inflate: &x.proxy.inflaters,
	}
	for {
		// Never more than one read ahead of a verdict: what has come and is no
		// refusal goes on to the caller at once.
		n, err := b.rest.Read(b.buf[b.end:])
		b.end += n
		b.err = err
		whole := err == io.EOF || int64(b.end) == res.ContentLength
		switch look.judge(b.buf[:b.end], whole) {
		case refusing:
			_ = b.Close()
			return true
		case innocent:
			return false
		}
		if err != nil || b.end > maxRefusal {
			return false
		}
	}
}

// suspect reports whether an answer has a body that could be a refusal.
func suspect(res *http.Response, method string) bool {
	switch {
	case method == http.MethodHead, res.ContentLength == 0, res.ContentLength > maxRefusal:
		return false
	}
	switch res.StatusCode {
	case http.StatusSwitchingProtocols, http.StatusNoContent, http.StatusPartialContent, http.StatusNotModified:
		return false
	}
	switch first(res.Header, "Content-Encoding") {
	case "", "identity", "gzip":
	default:
		return false // not asked for, see rewrite
	}
	return !isStream(res.Header)
}

// verdict is what the beginning of a body says.
type verdict uint8

const (
	unsure verdict = iota // more of it has to be seen
	innocent
	refusing
)

// lens looks at bodies.
type lens struct {
	html    bool // the body is said to be HTML
	zipped  bool // the body is gzip
	inflate *inflaters
}

// judge looks at the beginning of a body, or at all of it if whole. It never
// answers unsure about a whole one.
func (l *lens) judge(body []byte, whole bool) verdict {
	if !l.zipped {
		return judge(body, whole, l.html)
	}
	// A little of it is nearly always enough.
	for n := 512; ; n *= 4 {
		last := n >= len(body)
		if !last && n > maxRefusal {
			return innocent
		}
		plain, ended, ok := l.inflate.prefix(body[:min(n, len(body))])
		if !ok {
			return innocent
		}
		v := judge(plain.Bytes(), ended && last && whole, l.html)
		l.inflate.done(plain)
		if v != unsure {
			return v
		}
		if last {
			if whole {
				return innocent
			}
			return unsure
		}
	}
}

func judge(body []byte, whole, isHTML bool) verdict {
	if len(body) > maxRefusal {
		return innocent
	}
	v := judgeText(body, whole, isHTML)
	if v == unsure && whole {
		return innocent
	}
	return v
}

func judgeText(body []byte, whole, isHTML bool) verdict {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) == 0 {
		return unsure
	}
	switch c := body[0]; {
	case c == '{':
		return judgeJSON(body, whole)
	case c == '<' && isHTML:
		return judgeHTML(body, whole)
	case c == '/' || c == '_' || c == '$' || 'a' <= c|0x20 && c|0x20 <= 'z':
		return judgeJSONP(body, whole)
	case c == 0xef && len(body) < 3:
		return unsure // perhaps a byte order mark
	}
	return innocent
}

// openings are how a refusal in JSON begins, space left out: its first key and
// the beginning of that key's value. Encoders order keys as they like, so each
// of them may be first.
var openings = [...]string{
	`"error":{`,
	`"status":"error"`,
	`"messages":[`,
	`"code":498`, `"code":499`, `"code":"498"`, `"code":"499"`,
}

// judgeJSON judges what begins with a brace.
func judgeJSON(body []byte, whole bool) verdict {
	if len(body) > 2 && body[1] == '"' && strings.IndexByte("esmc", body[2]) < 0 {
		return innocent // nearly always
	}
	var seen [20]byte // the beginning without space; longer than any opening
	beginning := seen[:0]
	for _, c := range body[1:] {
		if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			continue
		}
		if beginning = append(beginning, c); len(beginning) == cap(beginning) {
			break
		}
	}
	possible := false
	for _, opening := range openings {
		n := min(len(opening), len(beginning))
		possible = possible || string(beginning[:n]) == opening[:n]
	}
	switch {
	case !possible:
		return innocent
	case !whole:
		return unsure
	}
	var answer struct {
		Error *struct {
			Code  json.RawMessage `json:"code"`
			OAuth any             `json:"error"`
		} `json:"error"`
		Status string          `json:"status"`
		Code   json.RawMessage `json:"code"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return innocent
	}
	switch {
	case answer.Error != nil:
		// OAuth's errors use 498 for a refresh token of the caller's own.
		if isRefusal(answer.Error.Code) && answer.Error.OAuth == nil {
			return refusing
		}
	case answer.Status == "error" && isRefusal(answer.Code):
		return refusing
	}
	return innocent
}

func isRefusal(code json.RawMessage) bool {
	switch string(code) {
	case `498`, `499`, `"498"`, `"499"`:
		return true
	}
	return false
}

// judgeJSONP judges what may be a call: a name, a parenthesis, and JSON.
func judgeJSONP(body []byte, whole bool) verdict {
	if body[0] == '/' { // "/**/" before a call keeps it from being taken for something else
		const guard = "/**/"
		n := min(len(guard), len(body))
		if string(body[:n]) != guard[:n] {
			return innocent
		}
		body = bytes.TrimLeft(body[n:], " \t\r\n")
	}
	open := -1
	for i, c := range body {
		if c == '(' {
			open = i
			break
		}
		word := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if i > 128 || !word && !bytes.ContainsRune([]byte("_$.[]\"'"), rune(c)) {
			return innocent
		}
	}
	if open < 0 {
		return unsure
	}
	inner := bytes.TrimLeft(body[open+1:], " \t\r\n")
	if len(inner) == 0 {
		return unsure
	}
	if inner[0] != '{' {
		return innocent
	}
	if !whole {
		return judgeJSON(inner, false)
	}
	inner = bytes.TrimRight(inner, " \t\r\n;")
	inner, closed := bytes.CutSuffix(inner, []byte(")"))
	if !closed {
		return innocent
	}
	return judgeJSON(inner, true)
}

// judgeHTML judges a page of the services or administration directory. It is
// a refusal if it says so in its title and in its text, or if all it shows is
// the JSON of one.
func judgeHTML(body []byte, whole bool) verdict {
	page := string(body)
	lower := strings.ToLower(page) // may differ in length from page: only lower is cut up
	_, rest, found := strings.Cut(lower, "<title")
	if !found {
		return unsure
	}
	title, rest, found := strings.Cut(rest, "</title")
	if !found {
		return unsure
	}
	accused := strings.Contains(title, "error") || saysToken(title)
	if !accused {
		_, shown, found := strings.Cut(rest, "<body")
		if !found {
			return unsure
		}
		_, shown, found = strings.Cut(shown, ">")
		shown = strings.TrimLeft(shown, " \t\r\n")
		const pre = "<pre>"
		n := min(len(pre), len(shown))
		if found && shown[:n] != pre[:n] {
			return innocent
		}
	}
	if !whole {
		return unsure
	}
	if !accused {
		_, shown, _ := strings.Cut(lower, "<pre>")
		shown, _, found = strings.Cut(shown, "</pre>")
		shown = strings.TrimSpace(html.UnescapeString(shown))
		if found && strings.HasPrefix(shown, "{") {
			return judgeJSON([]byte(shown), true)
		}
		return innocent
	}
	if text := visible(rest); saysToken(text) && saysCode(text) {
		return refusing
	}
	return innocent
}

// visible returns the text of lower-case HTML, its tags replaced by spaces.
func visible(page string) string {
	var b strings.Builder
	for page != "" {
		text, rest, tag := strings.Cut(page, "<")
		b.WriteString(text)
		if !tag {
			break
		}
		b.WriteByte(' ')
		_, page, _ = strings.Cut(rest, ">")
	}
	return html.UnescapeString(b.String())
}

// saysToken reports whether lower-case text complains about a token.
func saysToken(text string) bool {
	return strings.Contains(text, "invalid token") || strings.Contains(text, "token required")
}

// saysCode reports whether lower-case text gives code 498 or 499.
func saysCode(text string) bool {
	for {
		_, after, found := strings.Cut(text, "code")
		if !found {
			return false
		}
		number := strings.TrimLeft(after, ": \t\r\n")
		if strings.HasPrefix(number, "498") || strings.HasPrefix(number, "499") {
			return len(number) == 3 || number[3] < '0' || number[3] > '9'
		}
		text = after
	}
}

// inflaters is a pool of gzip readers. The zero value is ready.
type inflaters struct{ pool sync.Pool }

// inflater is a gzip reader and what it has read.
type inflater struct {
	src   bytes.Reader
	gz    gzip.Reader
	plain bytes.Buffer
}

// Bytes returns what has been read.
func (i *inflater) Bytes() []byte { return i.plain.Bytes() }

// prefix decompresses the beginning of a gzip stream, as far as it goes and not
// beyond what a refusal can be long. ended says that the stream ends in it; ok
// is false if it is no gzip stream. The caller gives the inflater back to done.
func (p *inflaters) prefix(zipped []byte) (_ *inflater, ended, ok bool) {
	i, _ := p.pool.Get().(*inflater)
	if i == nil {
		i = new(inflater)
	}
	i.plain.Reset()
	i.src.Reset(zipped)
	err := i.gz.Reset(&i.src)
	if err == nil {
		_, err = i.plain.ReadFrom(io.LimitReader(&i.gz, maxRefusal+1))
	}
	switch err {
	case nil:
		return i, true, true // or beyond the limit, which judge sees
	case io.EOF, io.ErrUnexpectedEOF: // cut off
		return i, false, true
	}
	p.done(i)
	return nil, false, false
}

func (p *inflaters) done(i *inflater) { p.pool.Put(i) }

// errFreshRefused says that an upstream refused a token that had just been issued.
var errFreshRefused = &auth.Error{Kind: auth.TokenRefused}
