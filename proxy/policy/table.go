package policy

import (
	"net/http"
	"strings"

	"arcproxy/proxy/pattern"
)

// table is operations.go, compiled: trees of path segments. It is read-only.
type table struct {
	site      *node            // below a mount
	services  map[string]*node // below rest/services/…/TYPE, by type
	protocols map[string]*node // below services/…/TYPE, by type
	requests  map[string]string
	ruled     map[string]string // the protocols that need a request
	writes    map[string]string // operations by their folded names
	verbs     []string
}

// node is a place in the table.
type node struct {
	get, any bool // it may be read by GET; by any method that can read
	text     map[string]*node
	number   *node // #
	id       *node // {id}
	dot      *node // {dot}
	name     *node // {name}
	key      *node // {key}
	free     *node // {any}
	rest     *node // **
	files    *node // {file}
}

func newTable() *table {
	t := &table{
		site:      &node{},
		services:  map[string]*node{},
		protocols: map[string]*node{},
		requests:  names(requestReads()),
		ruled:     names(transactional),
		writes:    names(writeNames()),
		verbs:     verbs(),
	}
	for _, r := range siteReads() {
		for _, place := range strings.Fields(r.under) {
			r.plant(t.site.grow(place))
		}
	}
	for _, part := range []struct {
		reads []reads
		into  map[string]*node
	}{{serviceReads(), t.services}, {protocolReads(), t.protocols}} {
		for _, r := range part.reads {
			for _, kind := range strings.Fields(pattern.Fold(r.under)) {
				if part.into[kind] == nil {
					part.into[kind] = &node{}
				}
				r.plant(part.into[kind])
			}
		}
	}
	return t
}

// names makes a set of words, from their folded to their written form.
func names(words string) map[string]string {
	set := map[string]string{}
	for _, word := range strings.Fields(words) {
		set[pattern.Fold(word)] = word
	}
	return set
}

// plant adds the paths of r below a place.
func (r reads) plant(place *node) {
	for _, path := range strings.Fields(r.any) {
		place.grow(path).any = true
	}
	for _, path := range strings.Fields(r.get) {
		place.grow(path).get = true
	}
}

// grow returns the node at a path below n, and makes what is missing of it.
func (n *node) grow(path string) *node {
	if path == "-" {
		return n
	}
	for seg := range strings.SplitSeq(pattern.Fold(path), "/") {
		n = n.child(seg)
	}
	return n
}

func (n *node) child(seg string) *node {
	at := map[string]**node{
		"#": &n.number, "{id}": &n.id, "{dot}": &n.dot, "{name}": &n.name, "{key}": &n.key, "{any}": &n.free, "**": &n.rest, "{file}": &n.files,
	}[seg]
	if at == nil {
		if n.text[seg] == nil {
			if n.text == nil {
				n.text = map[string]*node{}
			}
			n.text[seg] = &node{}
		}
		return n.text[seg]
	}
	if *at == nil {
		*at = &node{}
	}
	return *at
}

// reads reports whether a request is known to change nothing. segs is the whole
// path, folded, with the mount.
func (t *table) reads(method string, segs []string, params func(string) []string) bool {
	get := method == http.MethodGet
	if !get && method != http.MethodPost {
		return false
	}
	if len(segs) == 0 {
		return true // the proxy's own root: nothing is mounted there
	}
	below := segs[1:]
	if len(below) > 3 && below[0] == "sharing" && below[1] == "servers" {
		// Services that the Portal passes on: sharing/servers/ITEM/rest/services/…
		if _, written := t.writes[below[2]]; written || below[3] != "rest" {
			return false
		}
		below = below[3:]
	}
	if len(below) > 2 && below[0] == "rest" && below[1] == "services" {
		if kind, tail := service(t.services, below[2:]); kind != nil {
			return t.match(kind, tail, get)
		}
	}
	if len(below) > 1 && below[0] == "services" {
		kind, tail := service(t.protocols, below[1:])
		return kind != nil && t.match(kind, tail, get) && t.request(tail, params)
	}
	return t.match(t.site, below, get)
}

// service finds the type of a service in NAME/TYPE/… or FOLDER/NAME/TYPE/…, and
// what follows it.
func service(kinds map[string]*node, segs []string) (*node, []string) {
	for i := 1; i <= 2 && i < len(segs); i++ {
		if kind := kinds[segs[i]]; kind != nil {
			return kind, segs[i+1:]
		}
	}
	return nil, nil
}

// request reports whether a protocol that can write by a parameter is asked for
// what reads, and nothing besides.
func (t *table) request(tail []string, params func(string) []string) bool {
	if len(tail) == 0 || t.ruled[tail[0]] == "" {
		return true
	}
	if params == nil {
		return false
	}
	values := params("request")
	for _, value := range values {
		if t.requests[pattern.Fold(value)] == "" {
			return false
		}
	}
	return len(values) > 0
}

// match reports whether a path is in the tree below n.
func (t *table) match(n *node, segs []string, get bool) bool {
	if len(segs) == 0 {
		return n.any || n.get && get
	}
	seg, after := segs[0], segs[1:]
	if next := n.text[seg]; next != nil && t.match(next, after, get) {
		return true
	}
	if n.number != nil && isNumber(seg) && t.match(n.number, after, get) {
		return true
	}
	if n.id != nil && isID(seg) && t.match(n.id, after, get) {
		return true
	}
	if n.free != nil && t.match(n.free, after, get) {
		return true
	}
	if n.files != nil && (n.files.any || n.files.get && get) && allFiles(segs) {
		return true
	}
	if _, written := t.writes[seg]; written {
		return false
	}
	if n.dot != nil && strings.Contains(seg, ".") && t.match(n.dot, after, get) {
		return true
	}
	if n.key != nil && t.isKey(seg) && t.match(n.key, after, get) {
		return true
	}
	if n.name != nil && t.match(n.name, after, get) {
		return true
	}
	return n.rest != nil && (n.rest.any || n.rest.get && get) && t.noneWrites(after)
}

func (t *table) noneWrites(segs []string) bool {
	for _, seg := range segs {
		if _, written := t.writes[seg]; written {
			return false
		}
	}
	return true
}

// allFiles reports whether no segment is a program that sends a request
// elsewhere for whoever asks, as Esri's resource proxies do: what it sends is not
// known here.
func allFiles(segs []string) bool {
	for _, seg := range segs {
		if strings.HasPrefix(seg, "proxy") || strings.Contains(seg, ".ashx") || strings.Contains(seg, ".jsp") || strings.Contains(seg, ".php") {
			return false
		}
	}
	return true
}

func isNumber(seg string) bool {
	return len(seg) <= 20 && strings.Trim(seg, "0123456789") == ""
}

// isKey reports whether a folded segment that is no known operation is an
// identifier.
func (t *table) isKey(seg string) bool {
	digit := false
	for i := range len(seg) {
		switch c := seg[i]; {
		case '0' <= c && c <= '9':
			digit = true
		case (c < 'a' || c > 'z') && c != '_' && c != '-':
			return false
		}
	}
	if !digit {
		for _, verb := range t.verbs {
			if strings.HasPrefix(seg, verb) {
				return false
			}
		}
	}
	return true
}

// isID reports whether a folded segment is an identifier: 32 hexadecimal
// digits, or the same as a GUID, with dashes and perhaps braces.
func isID(seg string) bool {
	digits := 0
	for i := range len(seg) {
		c := seg[i]
		switch {
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'f':
			digits++
		case c != '-' && c != '{' && c != '}':
			return false
		}
	}
	return digits == 32
}
