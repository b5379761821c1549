package policy

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

const (
	maxPattern = 1024 // the text of a pattern, in bytes
	maxStars   = 8    // the * in a segment, which multiply the time a long path takes
)

// pattern is one compiled entry of allow or deny.
type pattern struct {
	text     string // as configured
	method   string // "": any; GET includes HEAD
	segs     []string
	explicit bool // it names a method and spells out its last segment
}

func compilePattern(text string) (pattern, error) {
	p := pattern{text: text}
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
	case len(text) > maxPattern:
		return p, fmt.Errorf("it is longer than %d bytes", maxPattern)
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
	case !sound(path):
		return p, errors.New("it holds a control character")
	case strings.HasSuffix(path, " ") || strings.HasPrefix(path[1:], " "):
		return p, errors.New("there is a space too many")
	}
	segs, ok := split(fold(path), whole, nil)
	if !ok {
		return p, fmt.Errorf("it has . or .. as a segment, which no path has that is let through, or more than %d segments", maxSegments)
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
	p.explicit = p.method != "" && len(segs) > 0 && !strings.Contains(segs[len(segs)-1], "*")
	return p, nil
}

// fixed returns the segments before the first with a wildcard.
func (p *pattern) fixed() []string {
	for i, seg := range p.segs {
		if strings.Contains(seg, "*") {
			return p.segs[:i]
		}
	}
	return p.segs
}

// find returns the first pattern that matches, nil if none does.
func find(patterns []pattern, method string, segs []string) *pattern {
	for i := range patterns {
		if patterns[i].matches(method, segs) {
			return &patterns[i]
		}
	}
	return nil
}

// matches reports whether the pattern covers a path, given by its folded
// segments. A mismatch behind a wildcard goes back to the last wildcard only,
// which is enough for patterns of this kind, so that the time is bounded by the
// product of the two lengths.
func (p *pattern) matches(method string, segs []string) bool {
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
