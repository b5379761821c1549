package form

import (
	"net/http"
	"strings"
	"unicode"

	"arcproxy/proxy/pattern"
)

// part is what the header of a part says.
type part struct {
	credential bool // it is called token
	text       bool // it is a field's text, as it is
	counted    bool // it says how long it is
}

func badPart(why string) error {
	return &Error{http.StatusBadRequest, "a part of the upload " + why}
}

// parsePart reads the header of a part: lines that each end in CR LF. dash is what a
// delimiter begins with. It refuses what different servers read differently, as far as
// it bears on what a part is called.
func parsePart(header, dash string) (part, error) {
	fields, err := unfold(header, dash)
	if err != nil {
		return part{}, err
	}
	var p part
	var name naming
	var kind string
	encoded, file := false, false
	disposed, typed := false, false
	for _, f := range fields {
		switch f.name {
		case "content-disposition":
			if disposed {
				return part{}, badPart("has two Content-Dispositions; send one")
			}
			disposed = true
			if name, err = nameOf(f); err != nil {
				return part{}, err
			}
			file = name.file
		case "content-type":
			if typed {
				return part{}, badPart("has two Content-Types; send one")
			}
			typed = true
			kind = strings.ToLower(f.value)
			if strings.Contains(kind, "multipart/") {
				return part{}, badPart("has parts of its own, which are not searched for a caller key; send each file as a part of the form")
			}
		case "content-transfer-encoding":
			switch strings.ToLower(f.value) {
			case "", "7bit", "8bit", "binary":
			default:
				encoded = true
			}
		case "content-encoding":
			encoded = encoded || f.value != "" && !strings.EqualFold(f.value, "identity")
		case "content-length":
			p.counted = true
		}
	}
	plain := plainCharset(kind)
	if name.token {
		if encoded || !plain {
			return part{}, badPart("that is called token is encoded; send it as it is, or send the key in the X-Esri-Authorization header")
		}
		p.credential = true
	}
	p.text = !file && !encoded && plain && isText(kind)
	return p, nil
}

// isText reports whether a field of this Content-Type, in small letters, is text.
func isText(kind string) bool {
	kind, _, _ = strings.Cut(kind, ";")
	kind = trim(kind)
	return kind == "" || strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml") ||
		kind == "application/json" || kind == "application/xml" || kind == "application/javascript" || kind == "application/x-www-form-urlencoded"
}

// field is a line of a header, with those that continue it.
type field struct {
	name   string // in small letters
	value  string // folds are spaces
	closed string // the value without the folds: in quotes they may be nothing
}

// unfold reads the lines of a header.
func unfold(header, dash string) ([]field, error) {
	var fields []field
	for header != "" {
		line, rest, _ := strings.Cut(header, "\r\n") // the last line has one, too
		header = rest
		for i := range len(line) {
			if c := line[i]; c < ' ' && c != '\t' || c == 0x7f {
				return nil, badPart("has a header with control characters, or with lines that do not end in CR LF")
			}
		}
		if line == "" {
			return nil, badPart("has an empty line in its header")
		}
		if line[0] == ' ' || line[0] == '\t' {
			if len(fields) == 0 {
				return nil, badPart("has a header that begins with a space")
			}
			last := &fields[len(fields)-1]
			last.value = trim(last.value + " " + trim(line))
			last.closed += trim(line)
			continue
		}
		if strings.HasPrefix(line, dash) {
			return nil, badPart("has a header that ends without an empty line")
		}
		name, value, found := strings.Cut(line, ":")
		name = strings.ToLower(trim(name))
		if !found || !isToken(name) {
			return nil, badPart("has a malformed header")
		}
		value = trim(value)
		fields = append(fields, field{name, value, value})
	}
	return fields, nil
}

// naming is what a Content-Disposition says.
type naming struct{ token, file bool }

// nameOf reads a Content-Disposition. A part is a credential if it is plainly called
// token; one that could be taken to be called so in any other way is refused.
func nameOf(f field) (naming, error) {
	kind, params, ok := parameters(f.value)
	malformed := badPart(`has a malformed Content-Disposition; write it as form-data; name="NAME"`)
	if !ok || !isToken(kind) {
		return naming{}, malformed
	}
	var n naming
	names, tokens := 0, 0
	for _, p := range params {
		switch name, extended := strings.CutSuffix(p.name, "*"); {
		case name == "name":
			value := p.value
			if !p.quoted && !extended && !isBare(value, ".") {
				return naming{}, malformed
			}
			if strings.Contains(value, "=?") {
				return naming{}, badPart("has a name that is encoded; write it as it is")
			}
			if extended { // RFC 8187: charset'language'percent-encoded
				charset, rest, _ := strings.Cut(value, "'")
				_, rest, found := strings.Cut(rest, "'")
				if !found || p.quoted || !isBare(rest, ".%") || !plainCharset("charset="+charset) {
					return naming{}, badPart("has a name that is encoded; write it as it is")
				}
				value, _ = pattern.Decode(rest)
			}
			names++
			if strings.EqualFold(blank(value), "token") {
				tokens++
			}
		case strings.HasPrefix(p.name, "name*"):
			return naming{}, badPart("has a name in several pieces; write it as one")
		case strings.HasPrefix(p.name, "filename"):
			n.file = true
		}
	}
	n.token = names > 0 && tokens == names
	if !n.token && (tokens > 0 || mentions(f.value) || mentions(f.closed)) {
		return naming{}, badPart(`has a name that can be read as token; write it as name="token", or send the key in the X-Esri-Authorization header`)
	}
	return n, nil
}

// isBare reports whether a name that is not in quotes, of letters, digits and some other
// characters, cannot be taken to end earlier than it does.
func isBare(s, others string) bool {
	for i := range len(s) {
		if !isNameByte(s[i]) && strings.IndexByte(others, s[i]) < 0 {
			return false
		}
	}
	return true
}

// blank cuts off what servers take for space around a name, control characters included.
func blank(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' || unicode.IsSpace(r) || unicode.IsControl(r) || r == '\ufeff' })
}

// mentions reports whether somebody could find "name=token" in a Content-Disposition
// who goes by less than its grammar: who looks for "name=" wherever it stands, in
// quotes, too, and takes what follows for as long, and decodes it as often, as he likes.
func mentions(disposition string) bool {
	rest := strings.ToLower(disposition)
	for {
		before, after, found := strings.Cut(rest, "name")
		if !found {
			return false
		}
		rest = after
		if before != "" && isTokenByte(before[len(before)-1]) && strings.Trim(before[len(before)-1:], "'`|") != "" {
			continue // "filename"
		}
		value, assigned := strings.CutPrefix(strings.TrimLeft(after, "*0123456789 \t"), "=")
		if !assigned {
			continue
		}
		value = strings.TrimLeft(value, " \t")
		if reads(value) || reads(unescape(value)) {
			return true
		}
	}
}

// reads reports whether text, as far as some separator, means token.
func reads(text string) bool {
	for range 3 {
		name := strings.TrimLeft(text, "\"'\\ \t")
		for _, separators := range []string{`"`, "'", ";", ",", " \t", "\\"} {
			if end := strings.IndexAny(name, separators); end >= 0 && isTokenName(name[:end]) {
				return true
			}
		}
		if isTokenName(name) {
			return true
		}
		if i := strings.LastIndexByte(text, '\''); i >= 0 { // RFC 8187 again
			if isTokenName(text[i+1:]) {
				return true
			}
		}
		decoded, changed := pattern.Decode(text)
		if !changed {
			break
		}
		text = decoded
	}
	return false
}

// isTokenName reports whether s is called token, but for what stands around it: what is
// a letter in one charset is space in another.
func isTokenName(s string) bool {
	begin, end := 0, len(s)
	for begin < end && !isNameByte(s[begin]) {
		begin++
	}
	for begin < end && !isNameByte(s[end-1]) {
		end--
	}
	return strings.EqualFold(s[begin:end], "token")
}

func isNameByte(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}
