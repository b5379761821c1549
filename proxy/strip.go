package proxy

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// tokenParameter is the parameter that carries a token in a query or form.
var tokenParameter = []byte("token")

// longestTokenName bounds the spellings of that name: five characters, each as
// %XX, but the k as the Kelvin sign, whose lower case is k: three bytes, nine
// characters.
const longestTokenName = 4*3 + 9

// isToken reports whether a raw parameter name means `token`, in any case and
// however much of it is percent-encoded.
func isToken[T string | []byte](name T) bool {
	if len(name) < len(tokenParameter) || len(name) > longestTokenName {
		return false
	}
	var buf [longestTokenName]byte
	decoded := buf[:0]
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '%' && i+2 < len(name) {
			if d, ok := unhex2(name[i+1], name[i+2]); ok {
				c = d
				i += 2
			}
		}
		decoded = append(decoded, c)
	}
	return bytes.EqualFold(decoded, tokenParameter)
}

// nextParameter returns the ends of the name and of the parameter that begin at start.
func nextParameter[T string | []byte](raw T, start int) (name, end int) {
	name = -1
	for end = start; end < len(raw) && raw[end] != '&'; end++ {
		if raw[end] == '=' && name < 0 {
			name = end
		}
	}
	if name < 0 {
		name = end
	}
	return name, end
}

// cutTokens takes the `token` parameters out of a raw query or form. It returns
// the rest, in which every other byte is as it was, and the decoded values.
func cutTokens[T string | []byte](raw T) (T, []string) {
	var (
		values []string
		kept   []byte // the rest, once it differs from raw
		first  = true
	)
	for start := 0; start <= len(raw); {
		name, end := nextParameter(raw, start)
		if isToken(raw[start:name]) {
			if values == nil {
				kept = append(make([]byte, 0, len(raw)), raw[:max(start-1, 0)]...)
				first = start == 0
			}
			values = append(values, decode(string(raw[min(name+1, end):end])))
		} else if values != nil {
			if !first {
				kept = append(kept, '&')
			}
			kept = append(kept, raw[start:end]...)
			first = false
		}
		start = end + 1
	}
	if values == nil {
		return raw, nil
	}
	return T(kept), values
}

// decode decodes a parameter's value; one that is malformed stays as it is.
func decode(raw string) string {
	if value, err := url.QueryUnescape(raw); err == nil {
		return value
	}
	return raw
}

// parameter returns the first value of a parameter in a raw query, decoded.
// The name is matched without regard to case.
func parameter[T string | []byte](raw T, want string) string {
	for start := 0; start < len(raw); {
		name, end := nextParameter(raw, start)
		if name-start == len(want) && strings.EqualFold(string(raw[start:name]), want) {
			return decode(string(raw[min(name+1, end):end]))
		}
		start = end + 1
	}
	return ""
}

// tokenFilter is a form on its way through that loses its `token` parameters:
// what cutTokens does, for forms too large to be held.
type tokenFilter struct {
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

func newTokenFilter(src io.Reader) *tokenFilter {
	return &tokenFilter{src: src, in: make([]byte, block)}
}

// Read implements [io.Reader].
func (f *tokenFilter) Read(p []byte) (int, error) {
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

func (f *tokenFilter) judge(chunk []byte) {
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
func (f *tokenFilter) decide() {
	if isToken(f.name) {
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

// isTokenCookie reports whether cookies of this name carry an ArcGIS token:
// esri_auth, which the Portal sets, and agstoken, which a server's own services
// directory does.
func isTokenCookie(name string) bool {
	name = strings.TrimSpace(name)
	const esri = "esri_auth"
	return len(name) >= len(esri) && strings.EqualFold(name[:len(esri)], esri) || strings.EqualFold(name, "agstoken")
}

// stripCookies takes token cookies out of a request's Cookie headers, in place.
func stripCookies(h http.Header) {
	lines := h["Cookie"]
	if len(lines) == 0 || !mentionsTokenCookie(lines) {
		return
	}
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		var parts []string
		for part := range strings.SplitSeq(line, ";") {
			// Some servers also part cookies at commas, as RFC 2109 did. Nothing
			// is parted there but what follows, for values may hold commas.
			name, _, _ := strings.Cut(part, "=")
			if isTokenCookie(name) {
				continue
			}
			if i := commaTokenCookie(part); i >= 0 {
				part = part[:i]
			}
			parts = append(parts, part)
		}
		if line = strings.TrimSpace(strings.Join(parts, ";")); line != "" {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		h.Del("Cookie")
		return
	}
	h["Cookie"] = kept
}

// commaTokenCookie returns where in part a comma is followed by a token cookie, or -1.
func commaTokenCookie(part string) int {
	for i := range len(part) {
		if part[i] == ',' {
			name, _, _ := strings.Cut(part[i+1:], "=")
			if isTokenCookie(name) {
				return i
			}
		}
	}
	return -1
}

// stripSetCookies takes out every Set-Cookie of an answer that so much as
// mentions a token cookie: also one whose value holds another that was joined
// to it by a comma, which a browser would keep as part of the value.
func stripSetCookies(h http.Header) {
	for _, name := range []string{"Set-Cookie", "Set-Cookie2"} {
		lines := h[name]
		if len(lines) == 0 || !mentionsTokenCookie(lines) {
			continue
		}
		kept := make([]string, 0, len(lines))
		for _, line := range lines {
			if !mentionsTokenCookie([]string{line}) {
				kept = append(kept, line)
			}
		}
		if len(kept) == 0 {
			h.Del(name)
		} else {
			h[name] = kept
		}
	}
}

func mentionsTokenCookie(lines []string) bool {
	for _, line := range lines {
		if containsFold(line, "esri_auth") || containsFold(line, "agstoken") {
			return true
		}
	}
	return false
}

// containsFold reports whether s contains sub, which is ASCII, in any case.
func containsFold(s, sub string) bool {
	for i := 0; i+len(sub) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(sub)], sub) {
			return true
		}
	}
	return false
}

// stripReferer takes the caller's token out of the query of the page that it
// comes from.
func stripReferer(h http.Header) {
	for i, referer := range h["Referer"] {
		before, query, found := strings.Cut(referer, "?")
		if !found {
			continue
		}
		query, fragment, hasFragment := strings.Cut(query, "#")
		query, tokens := cutTokens(query)
		if tokens == nil {
			continue
		}
		if query != "" {
			before += "?" + query
		}
		if hasFragment {
			before += "#" + fragment
		}
		h["Referer"][i] = before
	}
}
