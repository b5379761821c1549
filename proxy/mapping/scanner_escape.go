package mapping

// The characters of an address that are no letters, digits, dots or dashes are written
// in many ways, depending on what an address is inside of:
//
//	/  :                      plain
//	\/                        JSON; \\/ and \\\/ in JSON inside JSON
//	\u002f  \x2f              JSON and JavaScript
//	%2F  %3A                  a query, a form
//	%252F  %253A              a query inside a query
//	%25252F                   that inside a form
//	%5C%2F  %5Cu002f          JSON inside a form
//	&#x2F;  &#47;  &sol;      HTML
//	%26%23x2F%3B              that inside a form
//
// after and before read one character so written, forwards and backwards.

const (
	maxBackslashes = 3
	maxEntity      = 8 // of HTML's entities, &colon; is the longest of ours
	maxPercent     = 3
	maxWritten     = 28 // no character takes more bytes: %25255C%25255C%25255Cu002F
)

// beyondASCII stands for every character that is not ASCII.
const beyondASCII = 0x80

// after returns the character that is written at b[i:], and in how many bytes. With
// more, b ends too early to tell, and the answer is the one for a text that ends there;
// at the end of b it is 0 in no bytes.
func after(b []byte, i int) (c byte, n int, more bool) {
	if i < len(b) && b[i] != '\\' && b[i] != '%' && b[i] != '&' {
		return b[i], 1, false
	}
	return escaped(b, i)
}

// escaped is after for what does not stand for itself.
func escaped(b []byte, i int) (c byte, n int, more bool) {
	if c, n, more = unit(b, i); c != '\\' || more {
		return c, n, more
	}
	first := n
	for range maxBackslashes {
		d, dn, more := unit(b, i+n)
		if more {
			return '\\', first, true
		}
		at := i + n + dn
		switch d {
		case '\\':
			n += dn
			continue
		case 'u':
			v, ok, more := hex(b, at, 4)
			if ok {
				return ascii(v), at + 4 - i, false
			}
			return '\\', first, more
		case 'x':
			v, ok, more := hex(b, at, 2)
			if ok {
				return ascii(v), at + 2 - i, false
			}
			return '\\', first, more
		case '/', '"', '\'', ':':
			return d, at - i, false
		}
		break
	}
	return '\\', first, false
}

// unit is after without backslashes.
func unit(b []byte, i int) (c byte, n int, more bool) {
	if c, n, more = octet(b, i); c != '&' || more {
		return c, n, more
	}
	written := [maxEntity]byte{'&'}
	at := i + n
	for k := 1; k < maxEntity; k++ {
		d, dn, more := octet(b, at)
		if more {
			return '&', n, true
		}
		written[k] = d
		at += dn
		if d == ';' {
			if c := entity(written[:k+1]); c != 0 {
				return c, at - i, false
			}
			break
		}
		if d != '#' && !isAlphanumeric(d) {
			break
		}
	}
	return '&', n, false
}

// octet is unit without entities: what is percent-encoded, or not encoded.
func octet(b []byte, i int) (c byte, n int, more bool) {
	if i >= len(b) {
		return 0, 0, true
	}
	if b[i] != '%' {
		return b[i], 1, false
	}
	v, ok, more := hex(b, i+1, 2)
	if !ok {
		return '%', 1, more
	}
	n = 3
	for level := 1; v == '%' && level < maxPercent; level++ {
		v, ok, more = hex(b, i+n, 2)
		if !ok {
			return '%', n, more
		}
		n += 2
	}
	return ascii(v), n, false
}

// before returns the character that is written at the end of b[:i], and where that
// begins; at the beginning of b it is 0.
func before(b []byte, i int) (c byte, at int) {
	if c, at = unitBefore(b, i); c == 0 && at == i {
		return 0, i
	}
	switch {
	case c == '/' || c == ':' || c == '"' || c == '\'':
		for range maxBackslashes {
			d, start := unitBefore(b, at)
			if d != '\\' {
				break
			}
			at = start
			if c != '/' {
				break
			}
		}
		return c, at
	case i-at != 1:
		return c, at
	case c == 'b' || c == 'f' || c == 'n' || c == 'r' || c == 't' || c == 'v':
		if d, start := unitBefore(b, at); d == '\\' {
			return ' ', start
		}
	}
	for _, width := range [...]int{4, 2} {
		start := i - width - 1
		if start < 0 || b[start] != "xu"[width/4] {
			continue
		}
		v, ok, _ := hex(b[:i], start+1, width)
		if !ok {
			continue
		}
		d, begin := unitBefore(b, start)
		if d != '\\' {
			continue
		}
		for range maxBackslashes - 1 {
			d, next := unitBefore(b, begin)
			if d != '\\' {
				break
			}
			begin = next
		}
		return ascii(v), begin
	}
	return c, at
}

// unitBefore is before without backslashes.
func unitBefore(b []byte, i int) (c byte, at int) {
	if c, at = octetBefore(b, i); c != ';' || at == i {
		return c, at
	}
	written := [maxEntity]byte{maxEntity - 1: ';'}
	begin := at
	for k := maxEntity - 2; k >= 0; k-- {
		if written[k], begin = octetBefore(b, begin); written[k] == '&' {
			if e := entity(written[k:]); e != 0 {
				return e, begin
			}
			break
		}
		if written[k] != '#' && !isAlphanumeric(written[k]) {
			break
		}
	}
	return c, at
}

// octetBefore is unitBefore without entities.
func octetBefore(b []byte, i int) (c byte, at int) {
	if i == 0 {
		return 0, 0
	}
	if i >= 3 && isHex(b[i-1]) && isHex(b[i-2]) {
		v, _, _ := hex(b, i-2, 2)
		at := i - 2
		for level := 1; level < maxPercent && at >= 2 && b[at-1] == '5' && b[at-2] == '2'; level++ {
			at -= 2
		}
		if at < i-2 && at >= 1 && b[at-1] == '%' {
			return ascii(v), at - 1
		}
		if b[i-3] == '%' {
			return ascii(v), i - 3
		}
	}
	return b[i-1], i - 1
}

// entity returns the character of an HTML entity that may be a part of an address, 0
// for any other.
func entity(b []byte) byte {
	switch string(b) {
	case "&#x2F;", "&#x2f;", "&#X2F;", "&#X2f;", "&#47;", "&#047;", "&sol;":
		return '/'
	case "&#x3A;", "&#x3a;", "&#X3A;", "&#X3a;", "&#58;", "&#058;", "&colon;":
		return ':'
	}
	return 0
}

// hex reads a number of width digits at b[i:]. With more, b ends before it is told that
// there is none.
func hex(b []byte, i, width int) (v int, ok, more bool) {
	for j := i; j < i+width; j++ {
		if j >= len(b) {
			return 0, false, true
		}
		switch c := b[j]; {
		case '0' <= c && c <= '9':
			v = v<<4 | int(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			v = v<<4 | int(c|0x20-'a'+10)
		default:
			return 0, false, false
		}
	}
	return v, true, false
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func ascii(v int) byte {
	if v >= beyondASCII {
		return beyondASCII
	}
	return byte(v)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isAlphanumeric(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || isDigit(c)
}

// A style is the way in which the separators of an address are written, as far as it
// decides how something is to be written that has not been there.
type style struct {
	percent int  // how many times it is percent-encoded: 0 to maxPercent
	low     bool // with lower-case digits
}

// styleOf returns the style of a written slash or colon.
func styleOf(written []byte) style {
	if len(written) == 0 || written[0] != '%' {
		return style{}
	}
	last := written[len(written)-1]
	st := style{percent: 1, low: last == 'f' || last == 'a'}
	for rest := written[1:]; len(rest) >= 4 && rest[0] == '2' && rest[1] == '5'; rest = rest[2:] {
		st.percent++
	}
	return st
}

// append appends a colon or a bracket in this style.
func (st style) append(b []byte, c byte) []byte {
	if st.percent == 0 {
		return append(b, c)
	}
	b = append(b, '%')
	for range st.percent - 1 {
		b = append(b, "25"...)
	}
	digits := "0123456789ABCDEF"
	if st.low {
		digits = "0123456789abcdef"
	}
	return append(b, digits[c>>4], digits[c&15])
}

// appendHost appends a host, whose brackets and colons, if it is an IPv6 address, are
// written in this style.
func (st style) appendHost(b []byte, host string) []byte {
	if host[0] != '[' || st.percent == 0 {
		return append(b, host...)
	}
	for i := range len(host) {
		switch host[i] {
		case '[', ']', ':':
			b = st.append(b, host[i])
		default:
			b = append(b, host[i])
		}
	}
	return b
}
