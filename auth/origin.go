package auth

import (
	"net/url"
	"strings"
)

// Origin returns scheme, host and port of u in one comparable form (RFC 6454:
// lower case, the scheme's default port left out). It is "" for anything that is
// not an absolute http or https URL.
func Origin(u *url.URL) string {
	if u == nil || u.Opaque != "" || u.Hostname() == "" {
		return ""
	}
	scheme := strings.ToLower(u.Scheme)
	port := u.Port()
	switch {
	case scheme != "http" && scheme != "https":
		return ""
	case scheme == "http" && port == "80", scheme == "https" && port == "443":
		port = ""
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	return scheme + "://" + host
}

// SameOrigin reports whether a and b are both http(s) and have one origin.
func SameOrigin(a, b *url.URL) bool {
	origin := Origin(a)
	return origin != "" && origin == Origin(b)
}

// Foreign is the error of a page at step that wants us to go to u, where the
// config does not allow it. It names u's origin, never its path or query.
func Foreign(step string, u *url.URL) *Error {
	seen := "no http or https address"
	if origin := Origin(u); origin != "" {
		if len(origin) > cleanLength {
			origin = origin[:cleanLength] + "…"
		}
		seen = "it leads to " + origin
	}
	return &Error{Kind: ForeignOrigin, Step: step, Seen: seen}
}
