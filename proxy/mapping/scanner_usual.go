package mapping

// writing is one of the ways in which most addresses are written.
type writing struct {
	scheme        int
	before, slash string
	colon         int // in how many bytes the scheme's colon is written
	style         style
}

var (
	plainWriting    = writing{scheme: secureHTTP, before: "https://", slash: "/", colon: 1}
	jsonWriting     = writing{scheme: secureHTTP, before: `https:\/\/`, slash: `\/`, colon: 1}
	percentWriting  = writing{scheme: secureHTTP, before: "https%3A%2F%2F", slash: "%2F", colon: 3, style: style{percent: 1}}
	plainSchemeless = writing{scheme: schemeless, slash: "/"}
	jsonSchemeless  = writing{scheme: schemeless, slash: `\/`}
)

// usual reports whether h, which ends at b[:end], is in an address that is written as
// most are: with https or as all that is in quotation marks, without a port, and with
// the mount of a site and what ends that behind it. It sets m to that then. What it does
// not take may be an address all the same, and needs more care; what it takes is what
// that care would come to.
func (h *host) usual(b []byte, end int, m *match) bool {
	const behind = 3 // bytes that have to be there behind a mount, so that no more need come
	host := end - len(h.text)
	if host == 0 || end == len(b) {
		return false
	}
	var w *writing
	bare := b[host-1] == '"'
	switch c := b[end]; {
	case c == '/' && bare:
		w = &plainSchemeless
	case c == '/':
		w = &plainWriting
	case c == '\\' && bare:
		w = &jsonSchemeless
	case c == '\\':
		w = &jsonWriting
	case c == '%':
		w = &percentWriting
	default:
		return false
	}
	start, from := host-len(w.before), end+len(w.slash)
	if start <= 0 || from > len(b) || string(b[start:host]) != w.before || string(b[end:from]) != w.slash || isAlphanumeric(b[start-1]) {
		return false
	}
	rest := b[from:]
	for k := range h.sites {
		site := &h.sites[k]
		f := &site.forms[w.scheme]
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
		m.scheme, m.form, m.style = w.scheme, f, w.style
		m.colon = b[start+len(schemes[w.scheme]):][:w.colon]
		return true
	}
	return false
}
