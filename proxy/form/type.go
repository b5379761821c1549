package form

import (
	"net/http"
	"strings"
)

// Kind is how a body is searched.
type Kind uint8

// The kinds of bodies. Whatever is neither of the two forms is None, and holds no
// parameters.
const (
	None Kind = iota
	Urlencoded
	Upload // multipart
)

// maxBoundary is the length of a boundary (RFC 2046, section 5.1.1).
const maxBoundary = 70

// TypeOf says of what kind the body is that h describes, and what an upload's boundary
// is. The error is an [*Error]: a form that is compressed, or whose parameters an
// upstream could find elsewhere than they are looked for, is not searched in vain.
func TypeOf(h http.Header) (kind Kind, boundary string, err error) {
	values := h["Content-Type"]
	if len(values) == 0 {
		return None, "", nil
	}
	// Some servers go by the beginning of it, so that is enough to be a form.
	value := strings.TrimSpace(values[0])
	switch {
	case hasPrefixFold(value, "application/x-www-form-urlencoded"):
		kind = Urlencoded
	case hasPrefixFold(value, "multipart/"):
		kind = Upload
	default:
		return None, "", nil
	}
	if len(values) > 1 {
		return kind, "", &Error{http.StatusBadRequest, "there are several Content-Type headers"}
	}
	for _, encoding := range h["Content-Encoding"] {
		if encoding = strings.TrimSpace(encoding); encoding != "" && !strings.EqualFold(encoding, "identity") {
			return kind, "", &Error{http.StatusUnsupportedMediaType, "a form with a Content-Encoding cannot be searched for a caller key; send it uncompressed"}
		}
	}
	if !plainCharset(value) {
		return kind, "", &Error{http.StatusUnsupportedMediaType, "a form in this charset cannot be searched for a caller key; send it as UTF-8"}
	}
	if kind == Upload {
		boundary, err = boundaryOf(value)
	}
	return kind, boundary, err
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// plainCharset reports whether all charsets that a Content-Type names write ASCII as
// ASCII: in UTF-16, UTF-7 or EBCDIC a name can be written that looks like none. Every
// place that says charset counts, for some servers look no closer.
func plainCharset(contentType string) bool {
	for rest := strings.ToLower(contentType); ; {
		_, after, found := strings.Cut(rest, "charset")
		if !found {
			return true
		}
		rest = after
		value, assigned := strings.CutPrefix(strings.TrimLeft(after, "* \t"), "=")
		if !assigned {
			continue
		}
		if end := strings.IndexAny(value, ";,"); end >= 0 {
			value = value[:end]
		}
		value = strings.Trim(value, "\"' \t")
		switch {
		case value == "", value == "utf-8", value == "utf8", value == "us-ascii", value == "ascii", value == "latin1":
		case digits(value, "iso-8859-"), digits(value, "windows-125"), digits(value, "cp125"):
		default:
			return false
		}
	}
}

// digits reports whether s is prefix and one or two digits.
func digits(s, prefix string) bool {
	s, ok := strings.CutPrefix(s, prefix)
	return ok && (len(s) == 1 || len(s) == 2) && strings.Trim(s, "0123456789") == ""
}

// boundaryOf returns the boundary parameter of a multipart Content-Type. It takes only
// what cannot be read in two ways.
func boundaryOf(contentType string) (string, error) {
	bad := func(why string) (string, error) {
		return "", &Error{http.StatusBadRequest, "the Content-Type of the upload " + why + "; write it as multipart/form-data; boundary=BOUNDARY"}
	}
	kind, params, ok := parameters(contentType)
	if !ok || !isToken(strings.Replace(kind, "/", "", 1)) {
		return bad("is malformed")
	}
	boundary, found := "", false
	for _, p := range params {
		switch {
		case p.name == "boundary" && !found:
			boundary, found = p.value, true
			if p.raw != p.value || !p.quoted && strings.ContainsAny(p.value, " \t,()<>@[]") {
				return bad("has a boundary that can be read in several ways")
			}
		case strings.HasPrefix(p.name, "boundary"):
			return bad("has several boundaries")
		}
	}
	switch {
	case !found || boundary == "":
		return bad("has no boundary")
	case len(boundary) > maxBoundary:
		return bad("has a boundary that is longer than 70 characters")
	case strings.HasSuffix(boundary, " "):
		return bad("has a boundary that ends in a space")
	}
	for i := range len(boundary) {
		// Those of RFC 2046, and what some clients use besides ("$").
		if c := boundary[i]; !isTokenByte(c) && !strings.ContainsRune(" '(),/:=?", rune(c)) {
			return bad("has a boundary of unusual characters")
		}
	}
	return boundary, nil
}

// parameter is one of a Content-Type or Content-Disposition.
type parameter struct {
	name   string // in small letters
	value  string
	raw    string // as it was written between the quotes
	quoted bool
}

// parameters reads "kind; name=value; name="value"", and reports whether it is that
// and nothing else.
func parameters(text string) (kind string, params []parameter, ok bool) {
	kind, rest, more := strings.Cut(text, ";")
	kind = trim(kind)
	for more {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" {
			break
		}
		if rest[0] == ';' {
			rest = rest[1:]
			continue
		}
		var p parameter
		name, value, assigned := strings.Cut(rest, "=")
		p.name = strings.ToLower(trim(name))
		if !assigned || !isToken(p.name) {
			return "", nil, false
		}
		value = strings.TrimLeft(value, " \t")
		if p.quoted = strings.HasPrefix(value, `"`); p.quoted {
			end := closing(value)
			if end < 0 {
				return "", nil, false
			}
			p.raw = value[1:end]
			p.value = unescape(p.raw)
			rest = strings.TrimLeft(value[end+1:], " \t")
			if rest != "" && rest[0] != ';' {
				return "", nil, false
			}
			rest = strings.TrimPrefix(rest, ";")
		} else {
			value, rest, more = strings.Cut(value, ";")
			p.raw = trim(value)
			p.value = p.raw
			if strings.Contains(p.value, `"`) {
				return "", nil, false
			}
		}
		params = append(params, p)
	}
	return kind, params, true
}

// closing returns where the string in quotes ends that s begins with, or -1.
func closing(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// unescape takes the backslashes out of what stood in quotes (RFC 9110, section 5.6.4).
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

func trim(s string) string { return strings.Trim(s, " \t") }

// isToken reports whether s is a token of HTTP (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func isTokenByte(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
