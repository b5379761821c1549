package pattern

import (
	"strings"
	"unicode/utf8"
)

// MaxSegments is how many segments a path or pattern may have.
const MaxSegments = 64

// Decode decodes every well-formed %XX once and leaves the rest alone. It tells
// whether there was any; if not, it returns s itself.
func Decode(s string) (string, bool) {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return s, false
	}
	changed := false
	out := append(make([]byte, 0, len(s)), s[:i]...)
	for ; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, ok := Unhex(s[i+1], s[i+2]); ok {
				out = append(out, c)
				i += 2
				changed = true
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out), changed
}

// Unhex returns the byte that two hexadecimal digits stand for, false if they are
// none.
func Unhex(high, low byte) (byte, bool) {
	h, ok1 := unhex(high)
	l, ok2 := unhex(low)
	return h<<4 | l, ok1 && ok2
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

// Sound reports whether a decoded path has only what all servers read alike,
// once [Ambiguous] names are looked at twice.
func Sound(path string) bool {
	for i := range len(path) {
		if c := path[i]; c < ' ' || c == 0x7f || c == '\\' {
			return false
		}
	}
	return utf8.ValidString(path)
}

// Ambiguous reports whether some server could read the names of a decoded path
// shorter than they are written: then the readings of [Split] differ.
func Ambiguous(path string) bool {
	return strings.ContainsAny(path, "; ?#") || strings.Contains(path, "./") || strings.HasSuffix(path, ".")
}

// Reading is how the names in a path are taken.
type Reading int

// The readings of a path.
const (
	Whole   Reading = iota // as they are written
	Trimmed                // without what some servers ignore
	CutOff                 // the same, and only up to what could begin a query
)

// Split cuts a path into its segments, leaving empty ones out, and appends them
// to into. It fails for dot segments, and for more than [MaxSegments].
func Split(path string, how Reading, into []string) ([]string, bool) {
	if how == CutOff {
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
		if how != Whole {
			seg, _, _ = strings.Cut(seg, ";")
			seg = strings.TrimLeft(strings.TrimRight(seg, ". "), " ")
		}
		if seg == "" {
			continue
		}
		if len(into) == MaxSegments {
			return nil, false
		}
		into = append(into, seg)
	}
	return into, true
}

// Fold makes texts that differ in case only the same. By way of the upper case,
// since some letters that are not ASCII have an ASCII one there: the long s
// (U+017F) is a way to write S.
func Fold(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return strings.ToLower(strings.ToUpper(s))
		}
	}
	return strings.ToLower(s)
}
