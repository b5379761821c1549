package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"arcproxy/proxy/pattern"
)

// Switch is the request header by which a caller turns the mapping of bodies off: its
// value is "off". It is for the proxy alone, and not to be passed on.
const Switch = "X-Arcproxy-Mapping"

// A Rule is an operator's exception from the table of rules_table.go. It applies to
// the paths that its pattern covers (see package pattern), mount included, and to
// content types, all if there are none: "text/csv", or with one asterisk "text/*".
type Rule struct {
	Pattern string
	Types   []string
	// Map says that such bodies are mapped: without Types, those of the types that
	// are by the table; with them, just those, and as downloads, too.
	Map bool
}

// Bounds of a list of [Rule].
const (
	maxRules = 256
	maxTypes = 64 // of a rule
)

// Rules say which bodies are mapped. They do not change once they are made, and may be
// used by many at the same time.
type Rules struct {
	overrides []override
	media     mediaTable
	services  map[string]*place // by the type of service, in small letters
	places    *place
	signed    *place
}

// override is a Rule that has been read.
type override struct {
	pattern pattern.Pattern
	media   mediaTable
	any     bool // it has no types
	mapped  bool
}

// NewRules makes Rules of the table, with the data of items mapped or not, and of
// exceptions, of which the first that fits decides. The error joins every fault.
func NewRules(itemData bool, overrides []Rule) (*Rules, error) {
	r := &Rules{services: map[string]*place{}, places: &place{}, signed: &place{}}
	for _, row := range types() {
		r.media.add(row.types, row.mapped)
	}
	for _, row := range services() {
		for name := range strings.FieldsSeq(pattern.Fold(row.under)) {
			if r.services[name] == nil {
				r.services[name] = &place{}
			}
			r.services[name].plant(row)
		}
	}
	for _, row := range places(itemData) {
		for under := range strings.FieldsSeq(row.under) {
			r.places.grow(under).plant(row)
		}
	}
	r.signed.plant(route{paths: signed})

	var faults []error
	if len(overrides) > maxRules {
		faults = append(faults, fmt.Errorf("there are %d rules: %d are the most; join some with * or **", len(overrides), maxRules))
		overrides = nil
	}
	for _, rule := range overrides {
		o := override{any: len(rule.Types) == 0, mapped: rule.Map}
		var err error
		if o.pattern, err = pattern.Parse(rule.Pattern); err != nil {
			faults = append(faults, fmt.Errorf("rule %q: %w", rule.Pattern, err))
		}
		if len(rule.Types) > maxTypes {
			faults = append(faults, fmt.Errorf("rule %q: %d types, at most %d", rule.Pattern, len(rule.Types), maxTypes))
			continue
		}
		for _, name := range rule.Types {
			if !isMedia(name) {
				faults = append(faults, fmt.Errorf("rule %q: type %q: write one as application/json, or with one asterisk as text/*, without parameters", rule.Pattern, name))
				continue
			}
			o.media.add(name, true)
		}
		r.overrides = append(r.overrides, o)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return r, nil
}

// Answer reports whether the bytes of an answer's body are mapped. The path and query
// are those of the request as it was sent; answer is what upstream sent. A body in gzip
// has to be unpacked and packed again; other codings are never mapped. Nor is a part of
// a body: neither its beginning nor the places in it are known. A Range that upstream
// does not honour changes nothing.
func (r *Rules) Answer(method, rawPath, rawQuery string, request http.Header, status int, answer http.Header) bool {
	if status < 200 || status == http.StatusNoContent || status == http.StatusResetContent ||
		status == http.StatusPartialContent || status == http.StatusNotModified {
		return false
	}
	if !asked(method, request) || !legible(answer["Content-Encoding"]) {
		return false
	}
	var buf [64]byte
	kind := mediaType(buf[:0], answer["Content-Type"])
	download := isDownload(answer["Content-Disposition"])
	listed := r.media.mapped(kind)
	if len(r.overrides) == 0 && (!listed || download) {
		return false // most images and tiles
	}
	var space [256]byte
	path, ok := readable(space[:0], rawPath)
	if !ok {
		return false
	}
	for i := range r.overrides {
		o := &r.overrides[i]
		if (o.any || o.media.mapped(kind)) && o.covers(method, path) {
			return o.mapped && (!o.any || listed && !download)
		}
	}
	return listed && !download && r.route(method, path, rawQuery)
}

// May reports whether the body of an answer to a request could be mapped, as far as
// the request tells: then it should not be asked for in codings other than gzip. For
// HEAD it says the same as for GET, whose headers the answer shows.
func (r *Rules) May(method, rawPath, rawQuery string, request http.Header) bool {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if !asked(method, request) {
		return false
	}
	var space [256]byte
	path, ok := readable(space[:0], rawPath)
	if !ok {
		return false
	}
	for i := range r.overrides {
		o := &r.overrides[i]
		if (o.any || o.mapped) && o.covers(method, path) {
			return o.mapped // for some types at least
		}
	}
	return r.route(method, path, rawQuery)
}

// Request reports whether a request's query and body are mapped: all are, but for those
// of OAuth and SAML.
func (r *Rules) Request(rawPath string) bool {
	var space [256]byte
	path, ok := readable(space[:0], rawPath)
	if !ok {
		return true // what a path cannot say is no reason to let the proxy's address through
	}
	_, below := next(path)
	return r.signed.match(below) == nil
}

// asked reports whether a request leaves it to the proxy what becomes of the answer.
func asked(method string, request http.Header) bool {
	if method == http.MethodHead {
		return false // there is no body
	}
	for _, value := range request[Switch] {
		if strings.EqualFold(strings.TrimSpace(value), "off") {
			return false
		}
	}
	return true
}

// legible reports whether a body with these Content-Encodings can be looked into.
func legible(codings []string) bool {
	if len(codings) > 1 {
		return false
	}
	for _, coding := range codings {
		if coding != "gzip" {
			coding = strings.TrimSpace(coding)
			if coding != "" && !strings.EqualFold(coding, "gzip") && !strings.EqualFold(coding, "identity") {
				return false
			}
		}
	}
	return true
}

// isDownload reports whether an answer is to be saved as a file. All but "inline" is
// (RFC 6266, section 4.2); a header that names no disposition is broken, and is not.
func isDownload(dispositions []string) bool {
	for _, value := range dispositions {
		kind, _, _ := strings.Cut(value, ";")
		kind = strings.TrimSpace(kind)
		if kind != "" && !strings.EqualFold(kind, "inline") && !strings.Contains(kind, "=") {
			return true
		}
	}
	return false
}

// covers reports whether a rule is about a path, which is given by its folded form.
func (o *override) covers(method string, path []byte) bool {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	segs, ok := pattern.Split(string(path), pattern.Whole, nil)
	return ok && o.pattern.Match(method, segs)
}

// route says what the table's routes do about a folded path.
func (r *Rules) route(method string, path []byte, rawQuery string) bool {
	_, below := next(path) // without the mount
	var v *verdict
	if kind, tail := r.service(below); kind != nil {
		v = kind.match(tail)
	} else {
		v = r.places.match(below)
	}
	return v == nil || v.decide(method, rawQuery)
}

// service finds the first segment that is a type of service, and what follows it.
func (r *Rules) service(path []byte) (*place, []byte) {
	for {
		seg, rest := next(path)
		if len(seg) == 0 {
			return nil, nil
		}
		if bytes.HasSuffix(seg, []byte("server")) {
			if kind := r.services[string(seg)]; kind != nil {
				return kind, rest
			}
		}
		path = rest
	}
}

// readable returns a raw path as it is compared with the table: decoded once, and in
// small letters. It is appended to into. It fails for paths of the kind that the guard
// refuses.
func readable(into []byte, raw string) ([]byte, bool) {
	for i := range len(raw) {
		c := raw[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == '%', c == ';', c == ' ', c >= 0x80,
			c == '.' && (i+1 == len(raw) || raw[i+1] == '/' || raw[max(i-1, 0)] == '/'):
			return readableSlowly(into, raw)
		}
		into = append(into, c)
	}
	return into, true
}

// readableSlowly is readable for paths that can't be folded byte by byte. A name that
// Java servers and Windows would cut is taken as they do.
func readableSlowly(into []byte, raw string) ([]byte, bool) {
	decoded, _ := pattern.Decode(raw)
	segs, ok := pattern.Split(pattern.Fold(decoded), pattern.Trimmed, nil)
	if !ok {
		return nil, false
	}
	into = into[:0]
	for _, seg := range segs {
		into = append(into, '/')
		into = append(into, seg...)
	}
	return into, true
}

// next cuts the first segment that is not empty off a path; it returns an empty one at
// the end.
func next(path []byte) (seg, rest []byte) {
	for len(path) > 0 && path[0] == '/' {
		path = path[1:]
	}
	if i := bytes.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return path, nil
}

// verdict is what a row says.
type verdict struct {
	mapped   bool
	requests map[string]bool // nil: it does not matter
}

// inBody stands for what a POST says in its body, in the requests of a verdict.
const inBody = "(body)"

// decide reports whether a body is mapped.
func (v *verdict) decide(method, rawQuery string) bool {
	if v.requests == nil {
		return v.mapped
	}
	found := false
	for parameter := range strings.SplitSeq(rawQuery, "&") {
		name, value, _ := strings.Cut(parameter, "=")
		name, _ = pattern.Decode(name)
		if !strings.EqualFold(name, "request") {
			continue
		}
		found = true
		value, _ = pattern.Decode(value)
		if v.requests[pattern.Fold(strings.Trim(value, " +"))] {
			return v.mapped
		}
	}
	if !found && method == http.MethodPost && v.requests[inBody] {
		return v.mapped
	}
	return !v.mapped
}

// place is a node of the table's paths.
type place struct {
	text   map[string]*place
	number *place              // #
	any    *place              // *
	here   *verdict            // of the place itself
	below  *verdict            // of it and all below: **
	ends   map[string]*verdict // of what ends in a name below it
}

// plant adds a row's paths below a place.
func (p *place) plant(row route) {
	v := &verdict{mapped: row.mapped}
	if row.request != "" {
		v.requests = map[string]bool{}
		for name := range strings.FieldsSeq(pattern.Fold(row.request)) {
			v.requests[name] = true
		}
	}
	for path := range strings.FieldsSeq(row.paths) {
		if name, ok := strings.CutPrefix(path, "**/"); ok {
			if p.ends == nil {
				p.ends = map[string]*verdict{}
			}
			p.ends[pattern.Fold(name)] = v
		} else if path, ok := strings.CutSuffix(path, "/**"); ok {
			p.grow(path).below = v
		} else {
			p.grow(path).here = v
		}
	}
}

// grow returns the place at a path below p, and makes what is missing of it.
func (p *place) grow(path string) *place {
	if path == "-" {
		return p
	}
	for seg := range strings.SplitSeq(pattern.Fold(path), "/") {
		at := &p.any
		switch seg {
		case "*":
		case "#":
			at = &p.number
		default:
			if p.text == nil {
				p.text = map[string]*place{}
			}
			if p.text[seg] == nil {
				p.text[seg] = &place{}
			}
			p = p.text[seg]
			continue
		}
		if *at == nil {
			*at = &place{}
		}
		p = *at
	}
	return p
}

// match returns the verdict of a path below p, nil if no row is about it.
func (p *place) match(path []byte) *verdict {
	var below *verdict // the nearest on the way
	var last []byte
	ends := p.ends
	for {
		seg, rest := next(path)
		if p != nil {
			if p.below != nil {
				below = p.below
			}
			if len(seg) == 0 && p.here != nil {
				return p.here
			}
		}
		if len(seg) == 0 {
			break
		}
		if p != nil {
			p = p.child(seg)
		}
		if p == nil && ends == nil {
			break // nothing further on matters
		}
		last, path = seg, rest
	}
	if len(last) > 0 {
		if v := ends[string(last)]; v != nil {
			return v
		}
	}
	return below
}

func (p *place) child(seg []byte) *place {
	if p.text != nil {
		if at := p.text[string(seg)]; at != nil {
			return at
		}
	}
	if p.number != nil && isNumber(seg) {
		return p.number
	}
	return p.any
}

func isNumber(seg []byte) bool {
	for _, c := range seg {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(seg) > 0 && len(seg) <= 20
}

// mediaTable is a list of content types.
type mediaTable struct {
	exact map[string]bool
	globs []mediaGlob
}

// mediaGlob is a content type with an asterisk in it.
type mediaGlob struct {
	prefix, suffix string
	mapped         bool
}

func (t *mediaTable) add(names string, mapped bool) {
	for name := range strings.FieldsSeq(strings.ToLower(names)) {
		if prefix, suffix, found := strings.Cut(name, "*"); found {
			t.globs = append(t.globs, mediaGlob{prefix, suffix, mapped})
			continue
		}
		if t.exact == nil {
			t.exact = map[string]bool{}
		}
		t.exact[name] = mapped
	}
}

// mapped reports whether the table says so of a content type.
func (t *mediaTable) mapped(kind []byte) bool {
	if mapped, known := t.exact[string(kind)]; known {
		return mapped
	}
	for _, g := range t.globs {
		if len(kind) >= len(g.prefix)+len(g.suffix) && bytes.HasPrefix(kind, []byte(g.prefix)) && bytes.HasSuffix(kind, []byte(g.suffix)) {
			return g.mapped
		}
	}
	return false
}

// mediaType appends to into the type that a Content-Type names, in small letters and
// without its parameters; nothing if there is none.
func mediaType(into []byte, values []string) []byte {
	if len(values) == 0 {
		return into
	}
	kind, _, _ := strings.Cut(values[0], ";")
	kind = strings.TrimSpace(kind)
	for i := range len(kind) {
		c := kind[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		into = append(into, c)
	}
	return into
}

// isMedia reports whether an operator's type is one, with at most one asterisk.
func isMedia(name string) bool {
	kind, sub, found := strings.Cut(name, "/")
	if !found || kind == "" || sub == "" || strings.Count(name, "*") > 1 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`;,"()<>@:\?=[]`, c) >= 0 {
			return false
		}
	}
	return !strings.Contains(sub, "/")
}
