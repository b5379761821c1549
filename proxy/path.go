package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"arcproxy/proxy/pattern"
)

// rawPath returns the path of r as it was sent, not decoded.
func rawPath(r *http.Request) string {
	uri := r.RequestURI
	if uri == "" { // not from a server
		uri = r.URL.EscapedPath()
	}
	if i := strings.IndexByte(uri, '?'); i >= 0 {
		uri = uri[:i]
	}
	return uri
}

// pathFault says what is wrong with a raw path, "" if nothing is. It refuses
// every path that two parties could read in two ways: one that changes meaning
// when it is cleaned, decoded, or decoded again by somebody behind us. Such
// paths are refused and never corrected, because a redirect to the corrected
// form would be a judgement on what was meant.
//
// Double slashes pass: Esri's clients send "//info" and mean it.
func pathFault(raw string) string {
	if raw == "" || raw[0] != '/' {
		return "does not begin with a slash"
	}
	if plain(raw) {
		return ""
	}
	if strings.IndexByte(raw, '#') >= 0 {
		return "holds a fragment"
	}
	for level := 0; ; level++ {
		if why := levelFault(raw, level); why != "" {
			return why
		}
		decoded, changed := pattern.Decode(raw)
		if !changed {
			return ""
		}
		if level == 3 {
			return "is percent-encoded too many times"
		}
		if strings.Count(decoded, "/") != strings.Count(raw, "/") {
			return "holds an encoded slash"
		}
		raw = decoded
	}
}

// plain reports whether raw holds nothing that needs a closer look, which is
// so for nearly all paths.
func plain(raw string) bool {
	for i := range len(raw) {
		switch c := raw[i]; {
		case c <= ' ' || c >= 0x7f:
			return false
		case c == '%' || c == '\\' || c == ';' || c == '#':
			return false
		case c == '.' && raw[i-1] == '/': // raw[0] is a slash
			return false
		}
	}
	return true
}

// levelFault looks at a path that has been decoded level times.
func levelFault(path string, level int) string {
	for i := range len(path) {
		switch c := path[i]; {
		case c < ' ' || c == 0x7f:
			return "holds a control character"
		case c == '\\':
			return "holds a backslash"
		}
	}
	// An overlong UTF-8 sequence is a way to write a dot or slash for those who
	// decode without checking. Beyond the first level, bytes are a guess.
	if level <= 1 && !utf8.ValidString(path) {
		return "is not UTF-8"
	}
	for segment := range strings.SplitSeq(path, "/") {
		// Java servers drop ";parameters" before they resolve dots, and Windows
		// drops dots and spaces at the end of a name.
		name, _, _ := strings.Cut(segment, ";")
		if strings.IndexByte(name, '.') >= 0 && strings.Trim(name, ". ") == "" {
			return "holds a dot segment"
		}
	}
	return ""
}

// ascii returns raw for the log, with what is not printable ASCII as %XX: beyond
// it are characters that steer a terminal or turn the line around.
func ascii(raw string) string {
	odd := func(c byte) bool { return c < ' ' || c >= 0x7f }
	i := 0
	for i < len(raw) && !odd(raw[i]) {
		i++
	}
	if i == len(raw) {
		return raw
	}
	out := append(make([]byte, 0, len(raw)+8), raw[:i]...)
	for ; i < len(raw); i++ {
		if odd(raw[i]) {
			out = fmt.Appendf(out, "%%%02X", raw[i])
		} else {
			out = append(out, raw[i])
		}
	}
	return string(out)
}
