package audit

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The most bytes of a text that are written, before escaping.
const (
	maxName      = 128 // a caller, identity or address
	maxMethod    = 16
	maxPath      = 2048
	maxParameter = 40 // the name of a parameter; longer ones are no names
	maxBare      = 12 // … of one without a value, which may be a value itself
	maxQuery     = 32 // parameters
)

// ellipsis stands for what was cut off.
const ellipsis = "…"

// unnamed stands for a parameter whose name is not written.
const unnamed = "?"

// appendRecord appends the line of a record.
func appendRecord(b []byte, r *Record) []byte {
	at := r.Time
	if at.IsZero() {
		at = time.Now()
	}
	b = appendTime(b, at)
	b = appendText(b, `,"caller":`, r.Caller, maxName)
	b = appendText(b, `,"identity":`, r.Identity, maxName)
	b = appendText(b, `,"address":`, r.Address, maxName)
	b = appendText(b, `,"method":`, r.Method, maxMethod)
	b = appendText(b, `,"path":`, r.Path, maxPath)
	b = append(b, `,"query":[`...)
	comma := false
	eachName(r.RawQuery, func(name string) {
		if comma {
			b = append(b, ',')
		}
		comma = true
		b = append(b, '"')
		b = append(b, name...) // plain, or an ellipsis
		b = append(b, '"')
	})
	b = append(b, `],"status":`...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, r.Bytes, 10)
	b = append(b, `,"duration_ms":`...)
	b = strconv.AppendFloat(b, float64(r.Duration.Microseconds())/1000, 'f', 3, 64)
	b = append(b, `,"renewed":`...)
	b = strconv.AppendBool(b, r.Renewed)
	return append(b, '}', '\n')
}

// appendLost appends the line that stands for records that were lost.
func appendLost(b []byte, at time.Time, lost int) []byte {
	b = appendTime(b, at)
	b = append(b, `,"lost":`...)
	b = strconv.AppendInt(b, int64(lost), 10)
	return append(b, '}', '\n')
}

func appendTime(b []byte, at time.Time) []byte {
	b = append(b, `{"time":"`...)
	b = at.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	return append(b, '"')
}

// appendText appends a key, which comes with its punctuation, and a text as a
// JSON string (RFC 8259, section 7) in which everything prints.
func appendText(b []byte, key, text string, limit int) []byte {
	b = append(b, key...)
	b = append(b, '"')
	text, rest := text[:cutAt(text, limit)], len(text) > limit
	for len(text) > 0 {
		c := text[0]
		if c >= ' ' && c < 0x7f {
			if c == '"' || c == '\\' {
				b = append(b, '\\')
			}
			b = append(b, c)
			text = text[1:]
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size <= 1:
			b = append(b, `\ufffd`...)
		case unicode.IsPrint(r):
			b = append(b, text[:size]...)
		case r >= 0x10000:
			r -= 0x10000
			b = appendUnit(b, 0xd800+r>>10)
			b = appendUnit(b, 0xdc00+r&0x3ff)
		default:
			b = appendUnit(b, r)
		}
		text = text[size:]
	}
	if rest {
		b = append(b, ellipsis...)
	}
	return append(b, '"')
}

// appendUnit appends \u and four digits.
func appendUnit(b []byte, unit rune) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[unit>>12&15], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
}

// cut shortens a text to a limit.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return text[:cutAt(text, limit)] + ellipsis
}

// cutAt returns where to cut a text, so that no character is split.
func cutAt(text string, limit int) int {
	if len(text) <= limit {
		return len(text)
	}
	for at := limit; at > limit-utf8.UTFMax; at-- {
		if utf8.RuneStart(text[at]) {
			return at
		}
	}
	return limit
}

// queryNames returns the names in a raw query.
func queryNames(raw string) []string {
	names := []string{}
	eachName(raw, func(name string) { names = append(names, name) })
	return names
}

// eachName calls do with the name of each parameter in a raw query, [unnamed]
// for what does not look like a name, and an ellipsis if there are more. Without
// an equals sign, only a short word such as wsdl is taken for a name: Esri's
// proxies have URLs there, and people paste keys.
func eachName(raw string, do func(name string)) {
	count := 0
	for parameter := range strings.SplitSeq(raw, "&") {
		name, _, valued := strings.Cut(parameter, "=")
		if parameter == "" {
			continue
		}
		if count++; count > maxQuery {
			do(ellipsis)
			return
		}
		limit := maxParameter
		if !valued {
			limit = maxBare
		}
		if len(name) > limit || !isName(name) {
			name = unnamed
		}
		do(name)
	}
}

// isName reports whether s looks like the name of a parameter.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-' && c != ':' && c != '$' {
			return false
		}
	}
	return s != ""
}
