package policy

import (
	"strings"
	"unicode/utf8"
)

const (
	maxPath     = 16 << 10 // of a raw path, in bytes
	maxSegments = 64       // of a path or pattern
)

// percentDecode decodes every well-formed %XX once and leaves the rest alone,
// as the proxy's guard does. It tells whether there was any.
func percentDecode(s string) (string, bool) {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return s, false
	}
	changed := false
	out := append(make([]byte, 0, len(s)), s[:i]...)
	for ; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, ok1 := unhex(s[i+1])
			low, ok2 := unhex(s[i+2])
			if ok1 && ok2 {
				out = append(out, high<<4|low)
				i += 2
				changed = true
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out), changed
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// sound reports whether a decoded path has only what all servers read alike,
// once [ambiguous] names are looked at twice.
func sound(path string) bool {
	for i := range len(path) {
		if c := path[i]; c < ' ' || c == 0x7f || c == '\\' {
			return false
		}
	}
	return utf8.ValidString(path)
}

// ambiguous reports whether some server could read the names of a path shorter
// than they are written.
func ambiguous(path string) bool {
	return strings.ContainsAny(path, "; ?#") || strings.Contains(path, "./") || strings.HasSuffix(path, ".")
}

// reading is how the names in a path are taken.
type reading int

const (
	whole   reading = iota // as they are written
	trimmed                // without what some servers ignore
	cutOff                 // the same, and only up to what could begin a query
)

// split cuts a path into its segments, leaving empty ones out. It fails for dot
// segments and for too many.
func split(path string, how reading, into []string) ([]string, bool) {
	if how == cutOff {
		// Behind a gateway that decodes and does not encode again, the query
		// begins at the first question mark.
		if i := strings.IndexAny(path, "?#"); i >= 0 {
			path = path[:i]
		}
	}
	for len(path) > 0 {
		seg := path
		if i := strings.IndexByte(path, '/'); i >= 0 {
			seg, path = path[:i], path[i+1:]
		} else {
			path = ""
		}
		if seg == "." || seg == ".." {
			return nil, false
		}
		if how != whole {
			seg, _, _ = strings.Cut(seg, ";")
			seg = strings.TrimLeft(strings.TrimRight(seg, ". "), " ")
		}
		if seg == "" {
			continue
		}
		if len(into) == maxSegments {
			return nil, false
		}
		into = append(into, seg)
	}
	return into, true
}

// fold makes texts that differ in case only the same. By way of the upper case,
// since some letters that are not ASCII have an ASCII one there: the long s
// (U+017F) is a way to write S.
func fold(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return strings.ToLower(strings.ToUpper(s))
		}
	}
	return strings.ToLower(s)
}
