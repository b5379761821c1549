package mapping

// writing is one of the ways in which most addresses are written.
type writing struct {
	before, slash string
	colon         int // in how many bytes the colon is written
	style         style
}

var (
	plainWriting   = writing{before: "https://", slash: "/", colon: 1}
	jsonWriting    = writing{before: `https:\/\/`, slash: `\/`, colon: 1}
	percentWriting = writing{before: "https%3A%2F%2F", slash: "%2F", colon: 3, style: style{percent: 1}}
)

// usual reports whether h, which ends at b[:end], is in an address that is written as
// most are: with https, no port, and the mount of a site and what ends that behind it.
// It sets m to that then. What it does not take may be an address all the same, and
// needs more care; what it takes is what that care would come to.
func (h *host) usual(b []byte, end int, m *match) bool {
	const behind = 3 // bytes that have to be there behind a mount, so that no more need come
	if end == len(b) {
		return false
	}
	w := &plainWriting
	switch b[end] {
	case '/':
	case '\\':
		w = &jsonWriting
	case '%':
		w = &percentWriting
	default:
		return false
	}
	host, from := end-len(h.text), end+len(w.slash)
	start := host - len(w.before)
	if start <= 0 || from > len(b) || string(b[start:host]) != w.before || string(b[end:from]) != w.slash || isAlphanumeric(b[start-1]) {
		return false
	}
	rest := b[from:]
	for k := range h.sites {
		site := &h.sites[k]
		f := &site.forms[secureHTTP]
		n := len(site.mount)
		if len(rest) < n+behind {
			return false
		}
		if !f.portless || string(rest[:n]) != site.mount {
			continue
		}
		switch c := rest[n]; c {
		case '\\', '%':
			if string(rest[n:n+len(w.slash)]) != w.slash {
				return false
			}
		case '.', '&':
			return false
		default:
			if continuing(c)&segment != 0 {
				continue
			}
		}
		m.start, m.host, m.end = start, host, end
		m.scheme, m.form, m.style = secureHTTP, f, w.style
		m.colon = b[start+len("https"):][:w.colon]
		return true
	}
	return false
}
