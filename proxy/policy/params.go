package policy

import (
	"strings"

	"arcproxy/proxy/pattern"
)

// Query makes the params of [Policy.Check] from a raw query. Names are compared
// in any case, decoded once; a plus sign is a space, as in forms. Nothing is
// dropped for being badly encoded.
func Query(raw string) func(name string) []string {
	return func(wanted string) []string {
		wanted = pattern.Fold(wanted)
		var values []string
		for parameter := range strings.SplitSeq(raw, "&") {
			name, value, _ := strings.Cut(parameter, "=")
			if pattern.Fold(unescape(name)) == wanted {
				values = append(values, unescape(value))
			}
		}
		return values
	}
}

func unescape(s string) string {
	decoded, _ := pattern.Decode(strings.ReplaceAll(s, "+", " "))
	return decoded
}
