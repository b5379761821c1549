package mapping

// reach is how many bytes before a host can have a say in whether it is an address.
const reach = 160

// A preface is what stands before a host.
type preface struct {
	length  int // from where the scheme begins to the host; 0 without a scheme
	scheme  int
	slashed bool // there are two slashes
	colon   int  // in how many bytes the scheme's colon is written
	style   style
}

// prefaceOf returns what stands before b[i:], and whether a host may begin there.
func prefaceOf(b, past []byte, i int) (preface, bool) {
	if i >= reach || len(past) == 0 {
		return readPreface(b[max(0, i-reach):i])
	}
	return readJoined(b, past, i)
}

// readJoined is prefaceOf close to the beginning of b.
func readJoined(b, past []byte, i int) (preface, bool) {
	var joined [2 * reach]byte
	return readPreface(join(&joined, past, b[:i]))
}

// isKeyed is isHostKey for the value that begins at b[i:].
func isKeyed(b, past []byte, i int) bool {
	if i >= reach || len(past) == 0 {
		return isHostKey(b[max(0, i-reach):i])
	}
	var joined [2 * reach]byte
	return isHostKey(join(&joined, past, b[:i]))
}

// join returns the last reach bytes of past and b, which is shorter, in buf.
func join(buf *[2 * reach]byte, past, b []byte) []byte {
	return append(append(buf[:0], past[max(0, len(past)+len(b)-reach):]...), b...)
}

// usual are what mostly stands between a scheme and a host.
var usual = [...]struct {
	text  string
	colon int // in how many bytes the colon is written
	style style
}{
	{"://", 1, style{}},
	{`:\/\/`, 1, style{}},
	{"%3A%2F%2F", 3, style{percent: 1}},
}

// readPreface reads backwards from a host at the end of context, and reports whether
// one may begin there.
func readPreface(context []byte) (preface, bool) {
	// The most frequent ways of writing it need less care.
	for k := range usual {
		u := &usual[k]
		n := len(context) - len(u.text)
		if n <= 0 || string(context[n:]) != u.text {
			continue
		}
		if k := schemeBefore(context[:n]); k != schemeless {
			if start := n - len(schemes[k]); start > 0 && !isAlphanumeric(context[start-1]) {
				return preface{length: len(context) - start, scheme: k, slashed: true, colon: u.colon, style: u.style}, true
			}
		}
		break
	}
	c, first := before(context, len(context))
	if c != '/' {
		return preface{}, !isAlphanumeric(c) && c != '-' && c != '_' && c != '.' && c != '@'
	}
	p := preface{style: styleOf(context[first:])}
	c, second := before(context, first)
	if c != '/' {
		return p, true
	}
	p.slashed = true
	c, colon := before(context, second)
	if c != ':' {
		return p, true
	}
	p.scheme = schemeBefore(context[:colon])
	if p.scheme == schemeless {
		c, _ = before(context, colon)
		return p, !isAlphanumeric(c) // else it is another scheme
	}
	start := colon - len(schemes[p.scheme])
	p.length = len(context) - start
	p.colon = second - colon
	if c, _ := before(context, start); isAlphanumeric(c) {
		return p, false
	}
	if p.length == len(schemes[p.scheme])+len("://") {
		return p, true
	}
	// Reading forwards has to see the same, as that is what decides whether a beginning
	// of an address is held back.
	end, whole := separators(context, colon)
	return p, whole && end == len(context)
}

// schemeBefore returns the longest scheme that b ends with.
func schemeBefore(b []byte) int {
	for k := secureHTTP; k > schemeless; k-- {
		name := schemes[k]
		if n := len(b) - len(name); n >= 0 && (string(b[n:]) == name || equalFold(b[n:], name)) {
			return k
		}
	}
	return schemeless
}

// separators reads "://" at b[i:], and returns where it ends. If whole is false, end is
// len(b) if b may go on with the rest of it, and 0 if it is something else.
func separators(b []byte, i int) (end int, whole bool) {
	for _, want := range [...]byte{':', '/', '/'} {
		c, n, more := after(b, i)
		if more {
			return len(b), false
		}
		if c != want {
			return 0, false
		}
		i += n
	}
	return i, true
}

// hostKeys are the fields that hold a host without a scheme or a path.
var hostKeys = [...]string{"custombaseurl", "preferredhost"}

// isHostKey reports whether what begins behind context is the value of such a field: in
// JSON, or in a query or form.
func isHostKey(context []byte) bool {
	i, assigned := len(context), false
	for range 8 {
		c, at := before(context, i)
		switch c {
		case ':', '=':
			assigned = true
		case '"', '\'', ' ', '\t', '\n', '\r', '\\':
		default:
			if !assigned {
				return false
			}
			for _, key := range hostKeys {
				if i >= len(key) && equalFold(context[i-len(key):i], key) {
					c, _ := before(context, i-len(key))
					return !isAlphanumeric(c) && c != '_'
				}
			}
			return false
		}
		i = at
	}
	return false
}

// beginning returns the first place, not before from, where an address may begin of
// which b holds no whole host yet.
func (s *Scanner) beginning(b, past []byte, from int) (int, bool) {
	start, ok := len(b), false
	// A host of which a part is there, with what stands before it.
	for k := range s.hosts {
		text := s.hosts[k].text
		for n := min(len(text)-1, len(b)-from); n > 0 && len(b)-n < start; n-- {
			i := len(b) - n
			if !equalFold(b[i:], text[:n]) {
				continue
			}
			if p, may := prefaceOf(b, past, i); may {
				start, ok = min(start, i-p.length), true
			}
		}
	}
	// A scheme, with some of what separates it from a host.
	for i := max(from, len(b)-maxPreface); i < start; i++ {
		if c := lower(b[i]); c != 'h' && c != 'w' || !schemeBegins(b[i:]) {
			continue
		}
		if !followsLetter(b, past, i) {
			return i, true
		}
	}
	return start, ok
}

const maxPreface = 5 + 3*maxWritten

// schemeBegins reports whether b is a scheme, and the separators behind it, or the
// beginning of that.
func schemeBegins(b []byte) bool {
	for _, name := range schemes[1:] {
		if len(b) < len(name) {
			if equalFold(b, name[:len(b)]) {
				return true
			}
			continue
		}
		if equalFold(b[:len(name)], name) {
			if end, _ := separators(b, len(name)); end == len(b) {
				return true
			}
		}
	}
	return false
}

// followsLetter reports whether a letter or digit stands before b[i:].
func followsLetter(b, past []byte, i int) bool {
	context := b[max(0, i-reach):i]
	if i < reach && len(past) > 0 {
		var joined [2 * reach]byte
		context = join(&joined, past, b[:i])
	}
	c, _ := before(context, len(context))
	return isAlphanumeric(c)
}
