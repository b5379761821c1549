package form

import (
	"bytes"
	"net/url"
	"strings"

	"arcproxy/proxy/pattern"
)

// tokenParameter is the parameter that carries a token in a query or form.
var tokenParameter = []byte("token")

// longestTokenName bounds the spellings of that name: five characters, each as
// %XX, but the k as the Kelvin sign, whose lower case is k: three bytes, nine
// characters.
const longestTokenName = 4*3 + 9

// isCredential reports whether a raw parameter name means `token`, in any case and
// however much of it is percent-encoded.
func isCredential[T string | []byte](name T) bool {
	if len(name) < len(tokenParameter) || len(name) > longestTokenName {
		return false
	}
	var buf [longestTokenName]byte
	decoded := buf[:0]
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '%' && i+2 < len(name) {
			if d, ok := pattern.Unhex(name[i+1], name[i+2]); ok {
				c = d
				i += 2
			}
		}
		decoded = append(decoded, c)
	}
	return bytes.EqualFold(decoded, tokenParameter)
}

// nextParameter returns the ends of the name and of the parameter that begin at start.
func nextParameter[T string | []byte](raw T, start int) (name, end int) {
	name = -1
	for end = start; end < len(raw) && raw[end] != '&'; end++ {
		if raw[end] == '=' && name < 0 {
			name = end
		}
	}
	if name < 0 {
		name = end
	}
	return name, end
}

// CutTokens takes the `token` parameters out of a raw query or form. It returns
// the rest, in which every other byte is as it was, and the decoded values.
func CutTokens[T string | []byte](raw T) (T, []string) {
	var (
		values []string
		kept   []byte // the rest, once it differs from raw
		first  = true
	)
	for start := 0; start <= len(raw); {
		name, end := nextParameter(raw, start)
		if isCredential(raw[start:name]) {
			if values == nil {
				kept = append(make([]byte, 0, len(raw)), raw[:max(start-1, 0)]...)
				first = start == 0
			}
			values = append(values, decode(string(raw[min(name+1, end):end])))
		} else if values != nil {
			if !first {
				kept = append(kept, '&')
			}
			kept = append(kept, raw[start:end]...)
			first = false
		}
		start = end + 1
	}
	if values == nil {
		return raw, nil
	}
	return T(kept), values
}

// decode decodes a parameter's value; one that is malformed stays as it is.
func decode(raw string) string {
	if value, err := url.QueryUnescape(raw); err == nil {
		return value
	}
	return raw
}

// Parameter returns the first value of a parameter in a raw query, decoded.
// The name is matched without regard to case.
func Parameter[T string | []byte](raw T, want string) string {
	for start := 0; start < len(raw); {
		name, end := nextParameter(raw, start)
		if name-start == len(want) && strings.EqualFold(string(raw[start:name]), want) {
			return decode(string(raw[min(name+1, end):end]))
		}
		start = end + 1
	}
	return ""
}
