package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestQueryNames(t *testing.T) {
	for query, want := range map[string]string{
		"":                             "",
		"f=json&where=1%3D1":           "f where",
		"wsdl":                         "wsdl",
		"&&a=&=b&a":                    "a ? a",
		"https://gis/x?token=T":        "?",
		"dGhpcyBpcyBhIHNlY3JldCBrZXk":  "?", // somebody's key, pasted
		"a%3Db=1&\x1b[31m=1&q\"=1&ü=1": "? ? ? ?",
		strings.Repeat("x", 41) + "=1&" + "layer.1=2": "? layer.1",
	} {
		if got := strings.Join(queryNames(query), " "); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
	if got := queryNames(strings.Repeat("a=1&", 100_000)); len(got) != maxQuery+1 || got[maxQuery] != ellipsis {
		t.Errorf("%d names", len(got))
	}
}

func TestEscapes(t *testing.T) {
	for text, want := range map[string]string{
		"a\r\n{\"x\":1}":      `a\u000d\u000a{\"x\":1}`,
		"\x1b[2J\x7f\u009b":   `\u001b[2J\u007f\u009b`,
		"\u202etxt.exe\u2028": `\u202etxt.exe\u2028`,
		"a\xffb":              `a\ufffdb`,
		"\U000e0041":          `\udb40\udc41`,
		`back\slash`:          `back\\slash`,
		"straße 東京":           "straße 東京",
	} {
		if got := string(appendText(nil, "", text, 100)); got != `"`+want+`"` {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if got := string(appendText(nil, "", strings.Repeat("é", 100), 9)); got != `"éééé…"` {
		t.Errorf("cut: %s", got)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("nightly", "/server/rest/info", "f=json&where=1%3D1")
	f.Add("a\nb", "/\x1b[31m\u202e\xff\U000e0041", "=&&;\"\\=1")
	f.Add(strings.Repeat("é", 200), strings.Repeat("/東", 2000), strings.Repeat("a=b&", 100))
	f.Fuzz(func(t *testing.T, caller, path, query string) {
		line := appendRecord(nil, &Record{Caller: caller, Path: path, RawQuery: query, Method: "GET"})
		var got struct {
			Caller, Path string
			Query        []string
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		text := string(line[:len(line)-1])
		if len(text) > 1<<15 || !utf8.ValidString(text) || line[len(line)-1] != '\n' {
			t.Errorf("%d bytes: %q", len(text), text)
		}
		for _, r := range text {
			if !unicode.IsPrint(r) {
				t.Errorf("%U in %q", r, text)
			}
		}
		if utf8.ValidString(path) && len(path) <= maxPath && got.Path != path {
			t.Errorf("%q became %q", path, got.Path)
		}
		for _, name := range got.Query {
			if name != unnamed && name != ellipsis && !isName(name) {
				t.Errorf("%q in the query", name)
			}
		}
	})
}
