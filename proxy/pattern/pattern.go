package pattern

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

const (
	maxText  = 1024 // of a pattern, in bytes
	maxStars = 8    // the * in a segment, which multiply the time a long path takes
)

// Pattern is a pattern that has been read. It is read-only; the zero value
// matches the empty path.
type Pattern struct {
	text   string // as configured
	method string // "": any; GET includes HEAD
	segs   []string
}

// Parse reads a pattern. The error says what is wrong with it and what to write
// instead, without repeating it.
func Parse(text string) (Pattern, error) {
	p := Pattern{text: text}
	path := text
	if method, rest, found := strings.Cut(text, " "); found && strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
		switch method {
		case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		default:
			return p, fmt.Errorf("%q is not a method that a pattern can name: GET (for HEAD, too), POST, PUT, PATCH or DELETE, in capitals", method)
		}
		p.method, path = method, rest
	}
	switch {
	case len(text) > maxText:
		return p, fmt.Errorf("it is longer than %d bytes", maxText)
	case path == "" || path[0] != '/':
		return p, errors.New("a pattern begins with a slash, as a path does: /server/rest/services/Trees/**")
	case strings.Contains(path, "://"):
		return p, errors.New("write the path only, without scheme and host")
	case strings.ContainsAny(path, "?#"):
		return p, errors.New("write the path only: a pattern has no query, and ? is no wildcard")
	case strings.Contains(path, "%"):
		return p, errors.New("write characters as they are, not percent-encoded: paths are decoded before they are compared")
	case strings.ContainsAny(path, `;\`):
		return p, errors.New("; and \\ match nothing, since such paths are read in more than one way")
	case !Sound(path):
		return p, errors.New("it holds a control character")
	case strings.HasSuffix(path, " ") || strings.HasPrefix(path[1:], " "):
		return p, errors.New("there is a space too many")
	}
	segs, ok := Split(Fold(path), Whole, nil)
	if !ok {
		return p, fmt.Errorf("it has . or .. as a segment, which no path has that is let through, or more than %d segments", MaxSegments)
	}
	for i, seg := range segs {
		if strings.Contains(seg, "**") && seg != "**" {
			return p, fmt.Errorf("%q: ** stands alone between slashes; within a segment write *", seg)
		}
		if strings.Count(seg, "*") > maxStars {
			return p, fmt.Errorf("%q: more than %d wildcards in one segment", seg, maxStars)
		}
		if strings.HasSuffix(seg, ".") {
			return p, fmt.Errorf("%q: a name that ends in a dot matches nothing", seg)
		}
		if seg == "**" && i > 0 && segs[i-1] == "**" {
			return p, errors.New("/**/** is the same as /**")
		}
	}
	p.segs = segs
	return p, nil
}

// String returns the pattern as it was written.
func (p *Pattern) String() string { return p.text }

// Explicit reports whether the pattern names a method and spells out its last
// segment, so that it cannot but mean one operation.
func (p *Pattern) Explicit() bool {
	return p.method != "" && len(p.segs) > 0 && !strings.Contains(p.segs[len(p.segs)-1], "*")
}

// Fixed returns the segments before the first with a wildcard, folded.
func (p *Pattern) Fixed() []string {
	for i, seg := range p.segs {
		if strings.Contains(seg, "*") {
			return p.segs[:i]
		}
	}
	return p.segs
}

// Match reports whether the pattern covers a request, given by its method, GET for
// HEAD, and the folded segments of its path.
//
// A mismatch behind a wildcard goes back to the last wildcard only, which is enough
// for patterns of this kind, so that the time is bounded by the product of the two
// lengths.
func (p *Pattern) Match(method string, segs []string) bool {
	if p.method != "" && p.method != method {
		return false
	}
	i, j := 0, 0         // in p.segs and segs
	star, retry := -1, 0 // the last **, and where in segs it may end
	for j < len(segs) {
		switch {
		case i < len(p.segs) && p.segs[i] == "**":
			star, retry = i, j
			i++
		case i < len(p.segs) && matchName(p.segs[i], segs[j]):
			i++
			j++
		case star >= 0:
			retry++
			i, j = star+1, retry
		default:
			return false
		}
	}
	for i < len(p.segs) && p.segs[i] == "**" {
		i++
	}
	return i == len(p.segs)
}

// matchName reports whether a pattern's segment, with * for any text, matches a name.
func matchName(pattern, name string) bool {
	i, j := 0, 0
	star, retry := -1, 0
	for j < len(name) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, retry = i, j
			i++
		case i < len(pattern) && pattern[i] == name[j]:
			i++
			j++
		case star >= 0:
			retry++
			i, j = star+1, retry
		default:
			return false
		}
	}
	for i < len(pattern) && pattern[i] == '*' {
		i++
	}
	return i == len(pattern)
}
