package issue

import "strings"

// endpoint is what a path leads to.
type endpoint uint8

const (
	elsewhere  endpoint = iota // not here: the request is forwarded
	closed                     // here, and nothing: it would take passwords or hand out real tokens
	generate                   // generateToken
	tokenGrant                 // oauth2/token
	exchange                   // oauth2/exchangeToken
	revoke                     // oauth2/revokeToken
	self                       // oauth2/platformSelf
	authorize                  // oauth2/authorize
	signin                     // oauth2/signin
	approval                   // oauth2/approval
)

// oauth is what comes after oauth2/, in small letters. What is not in it, such as
// apps and validateAppAccess, is the Portal's.
var oauth = map[string]endpoint{
	"token":         tokenGrant,
	"exchangetoken": exchange,
	"revoketoken":   revoke,
	"platformself":  self,
	"authorize":     authorize,
	"signin":        signin,
	"approval":      approval,

	// The rest of the walk through a Portal's sign-in pages, with the other ways in.
	"acceptterms":              closed,
	"accepttermsandconditions": closed,
	"updateuserprofile":        closed,
	"resetpassword":            closed,
	"mfa":                      closed,
	"saml":                     closed,
	"openid":                   closed,
	"oidc":                     closed,
	"social":                   closed,
	"apitoken":                 closed,
}

// maxLevels is how often a path may have been percent-encoded. One that is so more
// often is ours, and closed.
const maxLevels = 8

// find returns what a raw path leads to, and its first segment. ArcGIS does not
// mind case, doubled slashes and one at the end, and the servers that it runs in
// have more ways to read a path as another: all are read here, because a request
// for a token that is not recognised is forwarded, with a real token on it.
func find(raw string) (mount string, e endpoint) {
	mount, rest, _ := strings.Cut(strings.TrimPrefix(raw, "/"), "/")
	if plain(rest) {
		return mount, match(rest)
	}
	for range maxLevels {
		if e := match(rest); e != elsewhere {
			return mount, e
		}
		decoded := percentDecode(rest)
		if decoded == rest {
			return mount, elsewhere
		}
		rest = decoded
	}
	return mount, closed
}

// plain reports whether a path can be read in one way only, but for case.
func plain(path string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case c <= ' ' || c >= 0x7f || c == '%' || c == ';' || c == '\\':
			return false
		case c == '.' && (i+1 == len(path) || path[i+1] == '/' || path[i+1] == '.'):
			return false
		}
	}
	return true
}

// match returns what a path below its mount leads to.
func match(path string) endpoint {
	first, rest := next(path)
	switch {
	case is(first, "tokens"):
		return generate
	case is(first, "sharing"):
		second, rest := next(rest)
		if is(second, "rest") {
			second, rest = next(rest)
		}
		if is(second, "oauth2") {
			name, rest := next(rest)
			e := oauth[strings.Map(fold, name)]
			if more, _ := next(rest); more != "" && e != elsewhere {
				return closed
			}
			if e != elsewhere {
				return e
			}
		}
	}
	// No service, folder or operation has this name, so wherever a path ends in
	// it, somebody wants a token.
	if is(last(path), "generatetoken") {
		return generate
	}
	return elsewhere
}

// is reports whether a segment is this word, which is in small letters.
func is(segment, word string) bool {
	i := 0
	for _, r := range segment {
		if i == len(word) || fold(r) != rune(word[i]) {
			return false
		}
		i++
	}
	return i == len(word)
}

// fold returns the small form of a letter, also of the four beyond ASCII that have
// an ASCII letter for their small or capital form.
func fold(r rune) rune {
	switch r {
	case '\u212a': // the Kelvin sign
		return 'k'
	case 'ſ':
		return 's'
	case 'ı', 'İ':
		return 'i'
	}
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// next returns the first segment of a path that is not empty, and what follows it.
func next(path string) (segment, rest string) {
	for path != "" {
		i := strings.IndexAny(path, `/\`)
		if i < 0 {
			return name(path), ""
		}
		segment, path = name(path[:i]), path[i+1:]
		if segment != "" {
			return segment, path
		}
	}
	return "", ""
}

// last returns the last segment of a path that is not empty.
func last(path string) string {
	for path != "" {
		i := strings.LastIndexAny(path, `/\`)
		if segment := name(path[i+1:]); segment != "" {
			return segment
		}
		path = path[:max(i, 0)]
	}
	return ""
}

// name returns what a server takes a segment for: without the ";parameters" that
// Java cuts off, and the dots and spaces around a name that Windows ignores.
func name(segment string) string {
	if i := strings.IndexByte(segment, ';'); i >= 0 {
		segment = segment[:i]
	}
	return strings.Trim(segment, ". \t\r\n\x00")
}

// percentDecode decodes every well-formed %XX once and leaves the rest alone, as
// the proxy's guard does.
func percentDecode(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, ok1 := unhex(s[i+1])
			low, ok2 := unhex(s[i+2])
			if ok1 && ok2 {
				out = append(out, high<<4|low)
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
