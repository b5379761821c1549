package auth

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// cleanLength bounds what is quoted from another system in an error, in bytes.
const cleanLength = 160

var (
	// Anything assigned, whatever its length: code=…, stateToken:…, password: …
	assigned = regexp.MustCompile(`(?i)([a-z_]{2,40}=|[a-z_]{2,40}:\b|(?:password|passcode|code|token|secret|answer): ?)[^\s"',;&<>]+`)
	// Long runs without a space are tokens, cookies, assertions or their pieces;
	// long numbers are passcodes.
	tokenlike = regexp.MustCompile(`[A-Za-z0-9_+/=%~.\-]{20,}|[0-9]{5,}`)
)

// Clean makes text from another system fit to be quoted in an error or an event:
// one line, bounded, without control characters, and without anything that looks
// like a token, a passcode or an assigned value. What Okta and the Portal say to
// people passes; what a hostile page puts there to be logged does not.
func Clean(text string) string {
	if len(text) > 8*cleanLength { // bounds the work; the rest would be cut anyway
		text = text[:8*cleanLength]
	}
	text = strings.ToValidUTF8(text, "")
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	text = assigned.ReplaceAllString(text, "$1[…]")
	text = tokenlike.ReplaceAllString(text, "[…]")
	if len(text) > cleanLength {
		text = strings.ToValidUTF8(text[:cleanLength], "") + "…"
	}
	return text
}

// cleanPath makes a URL's path fit to be logged: some systems put tokens there.
func cleanPath(path string) string {
	segments := strings.Split(path[:min(len(path), 4*cleanLength)], "/")
	for i, segment := range segments {
		segments[i] = Clean(segment)
	}
	return strings.Join(segments, "/")
}

// scrub replaces the given secrets wherever they occur in text. It is the last
// line of defence: a hostile answer may quote the password it was sent.
func scrub(text string, secrets ...Secret) string {
	// The longest first, since one may begin with another.
	slices.SortFunc(secrets, func(a, b Secret) int { return len(b.Reveal()) - len(a.Reveal()) })
	for _, s := range secrets {
		if plain := s.Reveal(); len(plain) > 2 {
			text = strings.ReplaceAll(text, plain, redacted)
		}
	}
	return text
}
