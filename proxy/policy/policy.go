package policy

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"arcproxy/proxy/pattern"
)

// maxPath is the longest raw path that is judged, in bytes.
const maxPath = 16 << 10

// Rules are what a config says of one caller. The zero value forbids
// administration and nothing else.
type Rules struct {
	ReadOnly bool     // only what is known to read
	Allow    []string // patterns of what may be reached; none: everything
	Deny     []string // patterns of what may not, whatever Allow says
	Admin    bool     // administration may be reached
}

// maxPatterns bounds a list of patterns, each of which costs every request some time.
const maxPatterns = 256

// Policy is compiled [Rules]. It is safe for concurrent use.
type Policy struct {
	allow, deny []pattern.Pattern
	admin       bool
	table       *table // nil: writing is allowed
	bare        bool   // none of the above but that administration may be off
}

// Compile checks rules and makes a Policy of them. The error joins every fault;
// each names the rule and what to write instead.
func Compile(rules Rules) (*Policy, error) {
	p := &Policy{admin: rules.Admin}
	var faults []error
	for _, list := range []struct {
		name     string
		patterns []string
		into     *[]pattern.Pattern
	}{{"allow", rules.Allow, &p.allow}, {"deny", rules.Deny, &p.deny}} {
		if len(list.patterns) > maxPatterns {
			faults = append(faults, fmt.Errorf("%s has %d patterns: %d are the most; join some with * or **", list.name, len(list.patterns), maxPatterns))
			continue
		}
		for _, text := range list.patterns {
			compiled, err := pattern.Parse(text)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s %q: %w", list.name, text, err))
				continue
			}
			*list.into = append(*list.into, compiled)
		}
	}
	if !rules.Admin {
		for _, allowed := range p.allow {
			if isAdmin(allowed.Fixed()) {
				faults = append(faults, fmt.Errorf("allow %q is about administration, which is off: set admin = true, or leave it out", allowed.String()))
			}
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if rules.ReadOnly {
		p.table = newTable()
	}
	p.bare = p.table == nil && len(p.allow) == 0 && len(p.deny) == 0
	return p, nil
}

// Rule names what refused a request.
type Rule string

// The rules, by their names in the config, and RulePath for a path that cannot
// be judged.
const (
	RulePath     Rule = "path"
	RuleAdmin    Rule = "admin"
	RuleDeny     Rule = "deny"
	RuleAllow    Rule = "allow"
	RuleReadOnly Rule = "read_only"
)

// Denial is why a request is refused. Its texts repeat nothing of the request but
// its method and a path of plain letters, digits, dots and dashes.
type Denial struct {
	Rule   Rule
	Reason string // what is wrong, a sentence without a full stop
	Remedy string // what to change in the config to let it pass, the same
}

// Error implements error: the reason and the remedy.
func (d *Denial) Error() string {
	if d.Remedy == "" {
		return d.Reason
	}
	return d.Reason + ": " + d.Remedy
}

// Check returns why a request may not be made, nil if it may.
//
// The path is the raw one of the request target, as it was sent, without its
// query. params returns every value of a parameter of the query, whose name is
// compared in any case; with nil, nothing passes whose meaning depends on one.
func (p *Policy) Check(method, path string, params func(name string) []string) *Denial {
	if p.bare && plainlyCommon(path) {
		return nil
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	q := query{policy: p, method: method, params: params}
	return q.path(path)
}

// query is one question to a Policy.
type query struct {
	policy *Policy
	method string // GET for HEAD
	params func(name string) []string
	segs   [pattern.MaxSegments]string
}

// path judges a raw path in each of its readings.
func (q *query) path(raw string) *Denial {
	if len(raw) > maxPath || raw == "" || raw[0] != '/' {
		return unreadable
	}
	const deepest = 4 // as many levels of encoding as the guard lets pass
	decoded, changed := pattern.Decode(raw)
	for range deepest {
		if !pattern.Sound(decoded) {
			return unreadable
		}
		if d := q.reading(decoded, pattern.Whole); d != nil {
			return d
		}
		if pattern.Ambiguous(decoded) {
			if d := q.reading(decoded, pattern.Trimmed); d != nil {
				return d
			}
			if d := q.reading(decoded, pattern.CutOff); d != nil {
				return d
			}
		}
		if !changed {
			return nil
		}
		if decoded, changed = pattern.Decode(decoded); !changed {
			return nil
		}
	}
	return unreadable
}

var unreadable = &Denial{Rule: RulePath, Reason: "the path can be read in more than one way"}

// reading judges one reading of the path.
func (q *query) reading(path string, how pattern.Reading) *Denial {
	segs, ok := pattern.Split(pattern.Fold(path), how, q.segs[:0])
	if !ok {
		return unreadable
	}
	p := q.policy
	if !p.admin && isAdmin(segs) {
		return &Denial{Rule: RuleAdmin,
			Reason: "this caller may not reach administration",
			Remedy: "set admin = true for the caller"}
	}
	if by := find(p.deny, q.method, segs); by != nil {
		return &Denial{Rule: RuleDeny,
			Reason: "this caller is denied this path",
			Remedy: fmt.Sprintf("take %q out of the caller's deny", by.String())}
	}
	if len(p.allow) > 0 && find(p.allow, q.method, segs) == nil {
		return &Denial{Rule: RuleAllow,
			Reason: "no pattern allows this caller this path",
			Remedy: "add " + quotePattern("", segs) + " to the caller's allow"}
	}
	if p.table == nil || p.table.reads(q.method, segs, q.params) || p.excepted(q.method, segs) {
		return nil
	}
	return p.writes(q.method, segs)
}

// find returns the first pattern that matches, nil if none does.
func find(patterns []pattern.Pattern, method string, segs []string) *pattern.Pattern {
	for i := range patterns {
		if patterns[i].Match(method, segs) {
			return &patterns[i]
		}
	}
	return nil
}

// excepted reports whether an allow pattern names this very operation.
func (p *Policy) excepted(method string, segs []string) bool {
	for i := range p.allow {
		if p.allow[i].Explicit() && p.allow[i].Match(method, segs) {
			return true
		}
	}
	return false
}

// writes is the refusal of a request that is not known to read.
func (p *Policy) writes(method string, segs []string) *Denial {
	reason := "this caller may only read, and this request is not known to be a read"
	for _, seg := range segs {
		if name, ok := p.table.writes[seg]; ok {
			reason = "this caller may only read, and " + name + " is not a read"
			break
		}
	}
	return &Denial{Rule: RuleReadOnly, Reason: reason,
		Remedy: "take read_only from the caller, or add " + quotePattern(method, segs) + " to its allow"}
}

// quotePattern makes the pattern that would match a request, as far as it can be
// repeated to whoever reads the answer. The method may be "".
func quotePattern(method string, segs []string) string {
	const longest = 200
	path := "/" + strings.Join(segs, "/")
	if len(method)+len(path) > longest || !plain(method) || !plain(path) {
		return "a pattern for it"
	}
	return `"` + strings.TrimLeft(method+" "+path, " ") + `"`
}

// plain reports whether a text can stand in a message: letters, digits, and
// what joins them in paths.
func plain(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '/' && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
