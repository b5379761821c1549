package pattern

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func parse(t testing.TB, text string) Pattern {
	t.Helper()
	p, err := Parse(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return p
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no string
	}{
		{"/server/rest/services/Trees/**",
			"/server/rest/services/Trees /server/rest/services/Trees/ /server/rest/services/Trees/FeatureServer/0/query /SERVER/rest/SERVICES/trees/x //server//rest/services/Trees /server/rest/services/%54rees/x",
			"/server/rest/services/TreesX /server/rest/services /server/rest/services/Tree /portal/server/rest/services/Trees /server/rest/services/X/Trees"},
		{"/server/rest/services/*/MapServer", "/server/rest/services/a/MapServer", "/server/rest/services/a/b/MapServer /server/rest/services/MapServer"},
		{"/server/rest/services/City_*", "/server/rest/services/City_ /server/rest/services/city_TREES", "/server/rest/services/City /server/rest/services/City_a/b"},
		{"/a/*b*c", "/a/bc /a/xbxc /a/bbcc", "/a/b /a/cb /a/bcx"},
		{"/**/export", "/export /a/export /a/b/c/export", "/a/export/b /exports"},
		{"/a/**/b/**/c", "/a/b/c /a/x/b/y/z/c /a/b/b/c/c", "/a/c /a/b /a/x/c"},
		{"/**", "/ /a /a/b", ""},
		{"/", "/ //", "/a"},
		{"/a b/ü", "/a%20b/%C3%BC /A%20B/%C3%9C", "/ab/u"},
		{"GET /a", "/a", ""},
		{"POST /a", "", "/a"},
	} {
		p := parse(t, c.pattern)
		if p.String() != c.pattern {
			t.Errorf("%q became %q", c.pattern, p.String())
		}
		for want, paths := range map[bool]string{true: c.yes, false: c.no} {
			for path := range strings.FieldsSeq(paths) {
				decoded, _ := Decode(path)
				segs, ok := Split(Fold(decoded), Whole, nil)
				if !ok || p.Match("GET", segs) != want {
					t.Errorf("%q, %s: not %v", c.pattern, path, want)
				}
			}
		}
	}
}

func TestParse(t *testing.T) {
	for _, text := range []string{
		"server/**", "https://gis.example.com/server", "/a?f=json", "/a%20b", "/a;b", `/a\b`, "/a/../b", "/a/./b", "/a\x01",
		"/a\xff", "post /a", "TRACE /a", "/a**", "/**/**", "/a ", "POST  /a", "", "/a.", "*",
		"/" + strings.Repeat("a*", 9), "/" + strings.Repeat("a", 2000), strings.Repeat("/a", 65),
	} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	for text, want := range map[string]struct {
		explicit bool
		fixed    string
	}{
		"/a/B/c":      {false, "a/b/c"},
		"POST /a/B/c": {true, "a/b/c"},
		"POST /a/*/c": {true, "a"},
		"POST /a/**":  {false, "a"},
		"POST /a/b*":  {false, "a"},
		"POST /":      {false, ""},
	} {
		p := parse(t, text)
		if p.Explicit() != want.explicit || strings.Join(p.Fixed(), "/") != want.fixed {
			t.Errorf("%q: explicit %v, fixed %q", text, p.Explicit(), p.Fixed())
		}
	}
}

func TestDecode(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "/a": "/a", "%2f": "/", "%2F%41": "/A", "%252f": "%2f", "%": "%", "a%2": "a%2", "%zz%41": "%zzA", "%%41": "%A", "%c3%a4": "ä", "%00": "\x00",
	} {
		if got, changed := Decode(in); got != want || changed != (in != want) {
			t.Errorf("%q: %q, %v", in, got, changed)
		}
	}
}

func TestReadings(t *testing.T) {
	for path, want := range map[string][3]string{
		"/a//b/":         {"a b", "a b", "a b"},
		"/a;x/b.;y/c ?d": {"a;x b.;y c ?d", "a b c ?d", "a b c"},
		"/ a/;x/b#c/d":   {" a ;x b#c d", "a b#c d", "a b"},
		"":               {"", "", ""},
	} {
		for how, want := range want {
			segs, ok := Split(path, Reading(how), nil)
			if got := strings.Join(segs, " "); !ok || got != want {
				t.Errorf("%q, reading %d: %q", path, how, got)
			}
		}
		if differ := want[Whole] != want[Trimmed]; Ambiguous(path) != differ {
			t.Errorf("%q: ambiguous is not %v", path, differ)
		}
	}
	for _, path := range []string{"/a/../b", "/./a", "..", strings.Repeat("/a", MaxSegments+1)} {
		if segs, ok := Split(path, Whole, nil); ok {
			t.Errorf("%.20q became %q", path, segs)
		}
	}
	if segs, _ := Split("/b/c", Whole, []string{"a"}); !slices.Equal(segs, []string{"a", "b", "c"}) {
		t.Errorf("appended: %q", segs)
	}
}

func TestSoundAndFold(t *testing.T) {
	for path, want := range map[string]bool{"/a b;ü": true, `/a\b`: false, "/a\x00": false, "/\xc0\xae": false, "/\x7f": false} {
		if Sound(path) != want {
			t.Errorf("%q is sound: not %v", path, want)
		}
	}
	for in, want := range map[string]string{"AbC-Ü": "abc-ü", "ſeK": "sek", "İ": "i"} {
		if got := Fold(in); got != want {
			t.Errorf("%q folds to %q", in, got)
		}
	}
}

// FuzzMatch compares the matcher with regular expressions.
func FuzzMatch(f *testing.F) {
	f.Add("/a/**/b*c/**", "/a/x/bxc")
	f.Add("/server/rest/services/*/MapServer/**", "/server/rest/services/Trees/MapServer/0")
	f.Add("/**/a/**/b/**/c", "/a/b/b/a/c")
	f.Add("/*a*a*a*b", "/aaaaaaaaaaaaaaaaaaaaaaaaaa")
	f.Fuzz(func(t *testing.T, text, path string) {
		p, err := Parse(text)
		if err != nil || !Sound(path) {
			return
		}
		segs, ok := Split(Fold(path), Whole, nil)
		if !ok {
			return
		}
		var expr strings.Builder
		for _, seg := range p.segs {
			if seg == "**" {
				expr.WriteString(`(?:/[^/]+)*`)
			} else {
				expr.WriteString("/" + strings.ReplaceAll(regexp.QuoteMeta(seg), `\*`, `[^/]*`))
			}
		}
		joined := ""
		for _, seg := range segs {
			joined += "/" + seg
		}
		want := regexp.MustCompile(`(?s)\A` + expr.String() + `\z`).MatchString(joined)
		if got := p.Match(p.method, segs); got != want {
			t.Errorf("%q, %q: %v, want %v", text, path, got, want)
		}
	})
}
