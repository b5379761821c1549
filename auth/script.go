package auth

import (
	"encoding/json"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Okta and the Portal put what a client needs into JavaScript on their pages.
// These functions read the three shapes that occur without running any script.
// They are total: any text yields a value or "not found".

// maxAssignments bounds how many assignments to one name are looked at, so that a
// hostile page cannot make each of a million begin a long scan.
const maxAssignments = 32

// ScriptStrings finds the string literals assigned to name in script, as a
// variable (name = '…'), a property (name: '…') or a JSON member ("name":"…"),
// in either quote, with every escape of ECMAScript §12.9.4 decoded. An undecoded
// stateToken is refused by Okta, so a literal with a broken escape is left out.
func ScriptStrings(script, name string) []string {
	var found []string
	for rest := range assignments(script, name) {
		if text, _, ok := stringLiteral(rest); ok {
			found = append(found, text)
		}
	}
	return found
}

// ScriptTrue reports whether the literal true is assigned to name in script.
func ScriptTrue(script, name string) bool {
	for rest := range assignments(script, name) {
		if after, ok := strings.CutPrefix(rest, "true"); ok && (after == "" || !identifierByte(after[0])) {
			return true
		}
	}
	return false
}

// ScriptJSON decodes the JSON object assigned to name in script into v.
// The object ends where its brace closes: newer Portals put no ";" behind it.
func ScriptJSON(script, name string, v any) bool {
	for rest := range assignments(script, name) {
		if strings.HasPrefix(rest, "{") && json.NewDecoder(strings.NewReader(rest)).Decode(v) == nil {
			return true
		}
	}
	return false
}

// ScriptRedirect finds where a script sends the browser: window.location = '…',
// location.href = '…', location.replace('…') or location.assign('…').
func ScriptRedirect(script string) (string, bool) {
	for _, name := range []string{"href", "location"} {
		for rest := range assignments(script, name) {
			before := script[:len(script)-len(rest)]
			if name == "href" && !strings.HasSuffix(strings.TrimRight(before, " \t\r\n="), "location.href") {
				continue
			}
			if text, _, ok := stringLiteral(rest); ok && text != "" {
				return text, true
			}
		}
	}
	for _, call := range []string{"location.replace(", "location.assign("} {
		if _, rest, ok := strings.Cut(script, call); ok {
			if text, _, ok := stringLiteral(strings.TrimLeft(rest, " \t\r\n")); ok && text != "" {
				return text, true
			}
		}
	}
	return "", false
}

// assignments yields, for each place where something is assigned to name, the
// script from the assigned value on.
func assignments(script, name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for at, found := 0, 0; found < maxAssignments; {
			i := strings.Index(script[at:], name)
			if i < 0 || name == "" {
				return
			}
			start, end := at+i, at+i+len(name)
			at = end
			rest := script[end:]
			if start > 0 {
				before := script[start-1]
				if identifierByte(before) {
					continue
				}
				if before == '"' || before == '\'' { // a quoted member name
					if rest == "" || rest[0] != before {
						continue
					}
					rest = rest[1:]
				}
			}
			rest = strings.TrimLeft(rest, " \t\r\n")
			if rest == "" || rest[0] != '=' && rest[0] != ':' {
				continue
			}
			found++
			if !yield(strings.TrimLeft(rest[1:], " \t\r\n")) {
				return
			}
		}
	}
}

func identifierByte(b byte) bool {
	return b == '_' || b == '$' || b >= utf8.RuneSelf ||
		'0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}

// stringLiteral decodes the literal that script begins with and returns what
// follows it.
func stringLiteral(script string) (text, rest string, ok bool) {
	if script == "" || script[0] != '\'' && script[0] != '"' {
		return "", "", false
	}
	quote := script[0]
	var out strings.Builder
	var high rune // the first half of a surrogate pair, waiting for the second
	put := func(r rune) {
		if high != 0 {
			pair := utf16.DecodeRune(high, r)
			high = 0
			if pair != utf8.RuneError {
				out.WriteRune(pair)
				return
			}
			out.WriteRune(utf8.RuneError)
		}
		if utf16.IsSurrogate(r) && r < 0xDC00 {
			high = r
			return
		}
		out.WriteRune(r)
	}
	for i := 1; i < len(script); {
		switch b := script[i]; {
		case b == quote:
			if high != 0 {
				out.WriteRune(utf8.RuneError)
			}
			return out.String(), script[i+1:], true
		case b == '\n' || b == '\r':
			return "", "", false
		case b == '\\':
			r, n, kept := escape(script[i+1:])
			if n == 0 {
				return "", "", false
			}
			if kept {
				put(r)
			}
			i += 1 + n
		default:
			r, n := utf8.DecodeRuneInString(script[i:])
			put(r)
			i += n
		}
	}
	return "", "", false // unterminated
}

// escape decodes the escape sequence after a backslash: the rune, how many bytes
// it took (0: broken), and whether it stands for a rune at all.
func escape(s string) (r rune, n int, kept bool) {
	if s == "" {
		return 0, 0, false
	}
	switch s[0] {
	case 'n':
		return '\n', 1, true
	case 'r':
		return '\r', 1, true
	case 't':
		return '\t', 1, true
	case 'b':
		return '\b', 1, true
	case 'f':
		return '\f', 1, true
	case 'v':
		return '\v', 1, true
	case '\n':
		return 0, 1, false // a continued line
	case '\r':
		if strings.HasPrefix(s, "\r\n") {
			return 0, 2, false
		}
		return 0, 1, false
	case 'x':
		if r, ok := hexRune(s, 1, 3); ok {
			return r, 3, true
		}
		return 0, 0, false
	case 'u':
		if strings.HasPrefix(s, "u{") {
			end := strings.IndexByte(s[:min(len(s), 10)], '}')
			if r, ok := hexRune(s, 2, end); ok && r <= utf8.MaxRune {
				return r, end + 1, true
			}
			return 0, 0, false
		}
		if r, ok := hexRune(s, 1, 5); ok {
			return r, 5, true
		}
		return 0, 0, false
	}
	if '0' <= s[0] && s[0] <= '7' { // octal, as sloppy-mode scripts may have it
		for n < 3 && n < len(s) && '0' <= s[n] && s[n] <= '7' && r*8+rune(s[n]-'0') <= 0xFF {
			r = r*8 + rune(s[n]-'0')
			n++
		}
		return r, n, true
	}
	r, n = utf8.DecodeRuneInString(s)
	return r, n, true
}

// hexRune reads s[from:to] as hexadecimal digits.
func hexRune(s string, from, to int) (rune, bool) {
	if to <= from || to > len(s) {
		return 0, false
	}
	var r rune
	for _, b := range []byte(s[from:to]) {
		switch {
		case '0' <= b && b <= '9':
			r = r<<4 | rune(b-'0')
		case 'a' <= b && b <= 'f':
			r = r<<4 | rune(b-'a'+10)
		case 'A' <= b && b <= 'F':
			r = r<<4 | rune(b-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
