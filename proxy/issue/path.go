package issue

import (
	"strings"

	"arcproxy/proxy/pattern"
)

// maxLevels is how often a path may have been percent-encoded. One that is so more
// often is ours, and closed.
const maxLevels = 8

// find returns what a raw path leads to, and its first segment. ArcGIS does not
// mind case, doubled slashes and one at the end, and the servers that it runs in
// have more ways to read a path as another: all are read here, because a request
// for a token that is not recognised is forwarded, with a real token on it.
func find(raw string) (mount string, e endpoint) {
	mount, rest, _ := strings.Cut(strings.TrimPrefix(raw, "/"), "/")
	if plain(rest) {
		if common(rest) {
			return mount, elsewhere
		}
		return mount, match(rest)
	}
	for range maxLevels {
		if e := match(rest); e != elsewhere {
			return mount, e
		}
		// A gateway that decodes, and does not encode again, makes a query of this.
		if i := strings.IndexAny(rest, "?#"); i >= 0 {
			if e := match(rest[:i]); e != elsewhere {
				return mount, e
			}
		}
		decoded, changed := pattern.Decode(rest)
		if !changed {
			return mount, elsewhere
		}
		rest = decoded
	}
	return mount, closed
}

// plain reports whether a path can be read in one way only, but for case.
func plain(path string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case c <= ' ' || c >= 0x7f || c == '%' || c == ';' || c == '\\':
			return false
		case c == '.' && (i == 0 || path[i-1] == '/' || i+1 == len(path) || path[i+1] == '/' || path[i+1] == '.'):
			return false
		}
	}
	return true
}

// common reports whether a plain path is neither below tokens, sharing's oauth2 or
// proxy, nor ends in a name that could lead to something. It is a first look at what
// [match] looks at closely, and enough for nearly all requests.
func common(path string) bool {
	if path == "" {
		return true
	}
	last := path[strings.LastIndexByte(path, '/')+1:]
	if last == "" || mayEnd(last) {
		return false
	}
	rest, sharing := cutWord(path, "sharing/")
	if !sharing {
		return path[0] != '/' && path[0]|0x20 != 't'
	}
	rest, _ = cutWord(rest, "rest/")
	switch c := rest[0] | 0x20; c { // there is something, or last were empty
	case '/', 'o':
		return false
	case 'p':
		return len(rest) > 1 && rest[1]|0x20 != 'r'
	}
	return true
}

// cutWord cuts off the beginning of a plain path, given in small letters.
func cutWord(path, word string) (rest string, found bool) {
	if len(path) < len(word) || !strings.EqualFold(path[:len(word)], word) {
		return path, false
	}
	return path[len(word):], true
}

// is reports whether a segment is this word, which is in small letters.
func is(segment, word string) bool {
	i := 0
	for _, r := range segment {
		if i == len(word) || fold(r) != rune(word[i]) {
			return false
		}
		i++
	}
	return i == len(word)
}

// fold returns the small form of a letter, also of the four beyond ASCII that have
// an ASCII letter for their small or capital form.
func fold(r rune) rune {
	switch r {
	case '\u212a': // the Kelvin sign
		return 'k'
	case 'ſ':
		return 's'
	case 'ı', 'İ':
		return 'i'
	}
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// next returns the first segment of a path that is not empty, and what follows it.
func next(path string) (segment, rest string) {
	for path != "" {
		i := strings.IndexAny(path, `/\`)
		if i < 0 {
			return name(path), ""
		}
		segment, path = name(path[:i]), path[i+1:]
		if segment != "" {
			return segment, path
		}
	}
	return "", ""
}

// cutLast returns the last segment of a path that is not empty, and what precedes it.
func cutLast(path string) (before, segment string) {
	for path != "" {
		i := strings.LastIndexAny(path, `/\`)
		if segment := name(path[i+1:]); segment != "" {
			return path[:i+1], segment
		}
		path = path[:max(i, 0)]
	}
	return "", ""
}

// name returns what a server takes a segment for: without the ";parameters" that
// Java cuts off, and the dots and spaces around a name that Windows ignores.
func name(segment string) string {
	if i := strings.IndexByte(segment, ';'); i >= 0 {
		segment = segment[:i]
	}
	return strings.Trim(segment, ". \t\r\n\x00")
}
