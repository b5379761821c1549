package proxy

import (
	"net/http"
	"strings"

	"arcproxy/proxy/form"
)

// isTokenCookie reports whether cookies of this name carry an ArcGIS token:
// esri_auth, which the Portal sets, and agstoken, which a server's own services
// directory does.
func isTokenCookie(name string) bool {
	name = strings.TrimSpace(name)
	const esri = "esri_auth"
	return len(name) >= len(esri) && strings.EqualFold(name[:len(esri)], esri) || strings.EqualFold(name, "agstoken")
}

// stripCookies takes token cookies out of a request's Cookie headers, in place.
func stripCookies(h http.Header) {
	lines := h["Cookie"]
	if len(lines) == 0 || !mentionsTokenCookie(lines) {
		return
	}
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		var parts []string
		for part := range strings.SplitSeq(line, ";") {
			// Some servers also part cookies at commas, as RFC 2109 did. Nothing
			// is parted there but what follows, for values may hold commas.
			name, _, _ := strings.Cut(part, "=")
			if isTokenCookie(name) {
				continue
			}
			if i := commaTokenCookie(part); i >= 0 {
				part = part[:i]
			}
			parts = append(parts, part)
		}
		if line = strings.TrimSpace(strings.Join(parts, ";")); line != "" {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		h.Del("Cookie")
		return
	}
	h["Cookie"] = kept
}

// commaTokenCookie returns where in part a comma is followed by a token cookie, or -1.
func commaTokenCookie(part string) int {
	for i := range len(part) {
		if part[i] == ',' {
			name, _, _ := strings.Cut(part[i+1:], "=")
			if isTokenCookie(name) {
				return i
			}
		}
	}
	return -1
}

// stripSetCookies takes token cookies out of an answer's headers, in place.
func stripSetCookies(h http.Header) {
	for _, name := range []string{"Set-Cookie", "Set-Cookie2"} {
		if lines := withoutTokens(h[name]); lines == nil {
			delete(h, name)
		} else {
			h[name] = lines
		}
	}
}

// withoutTokens leaves out every line of Set-Cookie that so much as mentions a
// token cookie: also one whose value holds another that was joined to it by a
// comma, which a browser would keep as part of the value. It returns nil if no
// line is left.
func withoutTokens(lines []string) []string {
	if !mentionsTokenCookie(lines) {
		return lines
	}
	var kept []string
	for _, line := range lines {
		if !mentionsTokenCookie([]string{line}) {
			kept = append(kept, line)
		}
	}
	return kept
}

func mentionsTokenCookie(lines []string) bool {
	for _, line := range lines {
		if containsFold(line, "esri_auth") || containsFold(line, "agstoken") {
			return true
		}
	}
	return false
}

// containsFold reports whether s contains sub, which is ASCII, in any case.
func containsFold(s, sub string) bool {
	for i := 0; i+len(sub) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(sub)], sub) {
			return true
		}
	}
	return false
}

// stripReferer takes the caller's token out of the query of the page that it
// comes from.
func stripReferer(h http.Header) {
	for i, referer := range h["Referer"] {
		before, query, found := strings.Cut(referer, "?")
		if !found {
			continue
		}
		query, fragment, hasFragment := strings.Cut(query, "#")
		query, tokens := form.CutTokens(query)
		if tokens == nil {
			continue
		}
		if query != "" {
			before += "?" + query
		}
		if hasFragment {
			before += "#" + fragment
		}
		h["Referer"][i] = before
	}
}
