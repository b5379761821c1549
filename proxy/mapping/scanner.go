package mapping

import (
	"slices"
	"strings"
	"sync"
)

// A Scanner finds addresses in text, and puts others in their place. It does not change
// once it is made, and may be used by many at the same time.
type Scanner struct {
	hosts []host
	least int // the length of the shortest host; 0: there is none
	// How far the end of a host is away at least, by the two bytes where the shortest
	// would end, the second of them in the high half of the index.
	shift *[1 << 16]uint8
	// A byte that all hosts have at this distance from their ends, if there is a rare
	// one; 0: there is none. See finder.
	rare     byte
	distance int
	grows    bool       // an address may become longer
	pool     *sync.Pool // of *recoder, for both directions
}

// A host is a name or address by which sites are found, in one way of writing it.
type host struct {
	text  string // lower-case
	sites []site
	inner *host // the longest other that this one ends with: %2Fgis.example.com has fgis.example.com in it
}

// add enters a site under its host.
func (s *Scanner) add(o origin, at site) {
	for k := range at.forms {
		f := &at.forms[k]
		f.plain = f.to.host
		if f.to.port != "" {
			f.plain += ":" + f.to.port
		}
		written := len(f.to.scheme) + len(f.to.host) + len(f.to.port)
		if written > len(o.host)+len("ws") {
			s.grows = true
		}
	}
	texts := []string{strings.ToLower(o.host)}
	if strings.Contains(o.host, ":") {
		for percent := 1; percent <= maxPercent; percent++ {
			texts = append(texts, strings.ToLower(string(style{percent: percent}.appendHost(nil, o.host))))
		}
	}
	for _, text := range texts {
		i := slices.IndexFunc(s.hosts, func(h host) bool { return h.text == text })
		if i < 0 {
			i = len(s.hosts)
			s.hosts = append(s.hosts, host{text: text})
		}
		s.hosts[i].sites = append(s.hosts[i].sites, at)
	}
}

// compile makes the table of the search, which is Wu and Manber's with blocks of two:
// the two bytes where the shortest host would end tell how far ahead the next end of any
// can be. Mostly that is nearly the length of a host.
func (s *Scanner) compile() {
	if len(s.hosts) == 0 {
		return
	}
	// Of two that end alike the longer is tried first.
	slices.SortStableFunc(s.hosts, func(a, b host) int { return len(b.text) - len(a.text) })
	for k := range s.hosts {
		for j := range s.hosts[k+1:] {
			if shorter := &s.hosts[k+1+j]; strings.HasSuffix(s.hosts[k].text, shorter.text) {
				s.hosts[k].inner = shorter
				break
			}
		}
	}
	s.least = len(s.hosts[len(s.hosts)-1].text)
	s.rare, s.distance = s.rarest()
	s.shift = new([1 << 16]uint8)
	for pair := range s.shift {
		s.shift[pair] = uint8(s.least)
	}
	for _, h := range s.hosts {
		for n := range s.least {
			at := len(h.text) - 1 - n
			for _, second := range bothCases(h.text[at]) {
				row := s.shift[int(second)<<8:][:256]
				if n == s.least-1 {
					for first := range row { // whatever is before the shortest
						row[first] = min(row[first], uint8(n))
					}
					continue
				}
				for _, first := range bothCases(h.text[at-1]) {
					row[first] = min(row[first], uint8(n))
				}
			}
		}
	}
}

func bothCases(c byte) [2]byte {
	if 'a' <= c && c <= 'z' {
		return [2]byte{c, c &^ 0x20}
	}
	return [2]byte{c, c}
}

// find returns the first host that begins at or after from and ends behind end, and the
// index of the byte behind it; nil if there is none.
func find[T string | []byte](s *Scanner, text T, from, end int) (*host, int) {
	if s.least == 0 {
		return nil, 0
	}
	shift := s.shift
	i := max(from+s.least-1, end)
	if i == 0 && len(text) > 0 { // a host of one letter, and nothing before it
		for k := range s.hosts {
			if h := &s.hosts[k]; len(h.text) == 1 && equalFold(text[:1], h.text) {
				return h, 1
			}
		}
		i++
	}
	for ; uint(i) < uint(len(text)); i++ {
		n := shift[uint16(text[i-1])|uint16(text[i])<<8]
		for n != 0 {
			if i += int(n); uint(i) >= uint(len(text)) {
				return nil, 0
			}
			n = shift[uint16(text[i-1])|uint16(text[i])<<8]
		}
		for k := range s.hosts {
			h := &s.hosts[k]
			start := i + 1 - len(h.text)
			if start >= from && (string(text[start:i+1]) == h.text || equalFold(text[start:i+1], h.text)) {
				return h, i + 1
			}
		}
	}
	return nil, 0
}

// equalFold compares text to as many lower-case bytes, from the end, without regard to
// the case of ASCII.
func equalFold[T string | []byte](text T, lowered string) bool {
	for i := len(lowered) - 1; i >= 0; i-- {
		if lower(text[i]) != lowered[i] {
			return false
		}
	}
	return true
}

// Bytes returns the mapped body, and whether anything has changed. If nothing has, that
// is body itself; if something has, it is a copy, and body is as it was.
func (s *Scanner) Bytes(body []byte) ([]byte, bool) { return s.BytesIn(nil, body) }

// BytesIn is Bytes with its copy in room, as long as there is enough of it.
func (s *Scanner) BytesIn(room, body []byte) ([]byte, bool) {
	out := room[:0]
	var m match
	f := newFinder(s, body)
	done, changed := 0, false
	for s.next(&f, body, nil, done, true, &m) == found {
		if !changed && cap(out) < len(body) {
			out = make([]byte, 0, len(body)+len(body)/16+64)
		}
		changed = true
		out = append(out, body[done:m.start]...)
		out = m.appendScheme(out)
		out = append(out, body[m.start+len(schemes[m.scheme]):m.host]...)
		out = m.appendHost(out)
		done = m.end
	}
	if !changed {
		return body, false
	}
	return append(out, body[done:]...), true
}

// String returns the mapped text.
func (s *Scanner) String(text string) string {
	if h, _ := find(s, text, 0, 0); h == nil {
		return text
	}
	if b, changed := s.Bytes([]byte(text)); changed {
		return string(b)
	}
	return text
}

// A match is an address that has been found. Its scheme, if it has one, begins at
// start; its host begins at host, which is start if it has none; its port ends at end.
type match struct {
	start, host, end int
	scheme           int
	form             *form
	colon            []byte // a colon as it is written here, if there is one
	style            style
}

// appendScheme appends what the match's scheme becomes.
func (m *match) appendScheme(b []byte) []byte {
	if m.scheme == schemeless {
		return b
	}
	return append(b, m.form.to.scheme...)
}

// appendHost appends what the match's host and port become.
func (m *match) appendHost(b []byte) []byte {
	if m.style.percent == 0 && (len(m.colon) == 0 || m.colon[0] == ':') {
		return append(b, m.form.plain...)
	}
	b = m.style.appendHost(b, m.form.to.host)
	if m.form.to.port == "" {
		return b
	}
	if len(m.colon) > 0 {
		b = append(b, m.colon...)
	} else {
		b = m.style.append(b, ':')
	}
	return append(b, m.form.to.port...)
}

// What a search ended with.
type state int

const (
	none      state = iota
	found           // an address
	undecided       // what may be the beginning of one, at the end of the text
)

// next finds the first address whose host begins at or after from. Before b comes
// past, of which the last reach bytes count; unless final, more may come after it: then
// undecided says that nothing from match.start on can be told yet.
func (s *Scanner) next(f *finder, b, past []byte, from int, final bool, m *match) state {
	for last := 0; ; {
		h, end := f.find(from, last)
		if h == nil {
			break
		}
		if h.usual(b, end, m) {
			return found
		}
		if state := h.careful(b, past, end, final, m); state != none {
			return state
		}
		last = end // another may begin where this does: gis.example.com, gis.example.com.au
	}
	if !final {
		if start, ok := s.beginning(b, past, from); ok {
			m.start = start
			return undecided
		}
	}
	return none
}

// careful finds out whether h, which ends at b[:end], or one that it ends with, is in an
// address.
func (h *host) careful(b, past []byte, end int, final bool, m *match) state {
	for ; h != nil; h = h.inner {
		m.host = end - len(h.text)
		p, ok := prefaceOf(b, past, m.host)
		if !ok {
			continue
		}
		m.end, m.scheme, m.colon, m.style = end, p.scheme, nil, p.style
		state := h.complete(b, past, p.slashed, final, m)
		if state == none {
			continue
		}
		m.start = m.host - p.length
		if p.scheme != schemeless && len(m.colon) == 0 {
			colon := m.start + len(schemes[p.scheme])
			m.colon = b[colon : colon+p.colon]
		}
		return state
	}
	return none
}

// complete reads what follows the host of m, which is b[m.host:m.end], and sets in m what
// that tells.
func (h *host) complete(b, past []byte, slashed, final bool, m *match) state {
	c, n, more := after(b, m.end)
	if more && !final {
		return undecided
	}
	var port []byte
	if c == ':' {
		digits := m.end + n
		stop := digits
		for stop < len(b) && stop < digits+6 && isDigit(b[stop]) {
			stop++
		}
		if stop == len(b) && stop < digits+6 && !final {
			return undecided
		}
		if stop == digits || stop == digits+6 {
			return none
		}
		m.colon, port = b[m.end:digits], b[digits:stop]
		m.end = stop
		if c, n, more = after(b, stop); more && !final {
			return undecided
		}
	}
	from, kind := m.end, authority
	if c == '/' {
		from, kind = m.end+n, path
		m.style = styleOf(b[m.end:from])
		rest := b[from:]
		for k := range h.sites {
			site := &h.sites[k]
			f := &site.forms[m.scheme]
			if !f.takes(port) {
				continue
			}
			if len(rest) < len(site.mount) {
				if !final && string(rest) == site.mount[:len(rest)] {
					return undecided
				}
				continue
			}
			if string(rest[:len(site.mount)]) != site.mount {
				continue
			}
			switch goes, more := continues(b, from+len(site.mount), segment); {
			case more && !final:
				return undecided
			case !goes:
				m.form = f
				return found
			}
		}
	}
	if !slashed && !isKeyed(b, past, m.host) {
		return none
	}
	for k := range h.sites {
		site := &h.sites[k]
		if !site.whole || !site.forms[m.scheme].takes(port) {
			continue
		}
		switch goes, more := continues(b, from, kind); {
		case more && !final:
			return undecided
		case !goes:
			m.form = &site.forms[m.scheme]
			return found
		}
	}
	return none
}

// kinds says what a byte continues.
type kinds uint8

const (
	authority kinds = 1 << iota // a host and its port
	path                        // the path "/"
	segment                     // a segment of a path
)

// continues reports whether what is written at b[i:] goes on with what is before it.
// With more, b ends too early to tell. A dot at the end of a sentence does not.
func continues(b []byte, i int, kind kinds) (goes, more bool) {
	c, n, more := after(b, i)
	if c != '.' {
		return continuing(c)&kind != 0, more
	}
	c, _, more = after(b, i+n)
	return c == '/' || continuing(c)&kind != 0, more
}

func continuing(c byte) kinds {
	switch {
	case isAlphanumeric(c), c == '-', c == '_', c == '~', c == '@':
		return authority | path | segment
	case c == '$', c == '{':
		return authority | path
	case c == ':':
		return authority
	case c == '/', c == '[': // which begins an IPv6 address
		return path
	}
	return 0
}
