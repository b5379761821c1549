package proxy

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestCutTokens(t *testing.T) {
	for _, c := range []struct {
		raw, rest string
		tokens    []string
	}{
		{"", "", nil},
		{"f=json", "f=json", nil},
		{"token=E", "", []string{"E"}},
		{"token", "", []string{""}},
		{"token=E&f=json", "f=json", []string{"E"}},
		{"f=json&token=E", "f=json", []string{"E"}},
		{"a=1&token=E&b=2", "a=1&b=2", []string{"E"}},
		{"token=E&Token=E2&TOKEN=E3", "", []string{"E", "E2", "E3"}},
		{"%74oken=E&%54%4F%4b%45%4e=E2", "", []string{"E", "E2"}},
		{"to%E2%84%AAen=kelvin", "", []string{"kelvin"}},
		{"token=a%20b+c%2", "", []string{"a%20b+c%2"}},
		{"token=a%20b+c", "", []string{"a b c"}},
		{"token=a=b", "", []string{"a=b"}},
		{"where=NAME LIKE 'A%'&f=json", "where=NAME LIKE 'A%'&f=json", nil},
		{"where=a;b&x=%zz&token=E&y=%", "where=a;b&x=%zz&y=%", []string{"E"}},
		{"&&token=E&&a", "&&&a", []string{"E"}},
		{"tokens=1&xtoken=2&tok en=3&token%00=4&+token=5&%2574oken=6", "tokens=1&xtoken=2&tok en=3&token%00=4&+token=5&%2574oken=6", nil},
		{"a=token&b=%26token=x", "a=token&b=%26token=x", nil},
		{strings.Repeat("a=1&", 20_000) + "token=E", strings.Repeat("a=1&", 19_999) + "a=1", []string{"E"}},
	} {
		rest, tokens := cutTokens(c.raw)
		if rest != c.rest || !slices.Equal(tokens, c.tokens) {
			t.Errorf("cutTokens(%.60q) = %.60q, %q; want %.60q, %q", c.raw, rest, tokens, c.rest, c.tokens)
		}
	}
}

// isTokenSlowly is what isToken should find, told by the library.
func isTokenSlowly(name string) bool {
	return strings.EqualFold(percentDecode(name), "token")
}

// FuzzCutTokens checks that nothing but token parameters disappears, and that
// the filter for large forms comes to the same, however its input is chopped up.
func FuzzCutTokens(f *testing.F) {
	for _, seed := range []string{
		"token=E", "f=json&token=E&x=%zz", "a&&token&b", "&", "&&", "=", "token&token", "%74oken=1&toke%6e=2",
		"where=1%3D1;token=2&a+b=c", "to%E2%84%AAen=kelvin", "a=token=b&token=token", "%", "token%", "%7&token=1",
		strings.Repeat("t", 40) + "&token=E&" + strings.Repeat("%74", 40),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		var want, values []string
		for part := range strings.SplitSeq(raw, "&") {
			name, value, _ := strings.Cut(part, "=")
			if isTokenSlowly(name) {
				if v, err := url.QueryUnescape(value); err == nil {
					value = v
				}
				values = append(values, value)
			} else {
				want = append(want, part)
			}
		}
		rest, tokens := cutTokens(raw)
		if rest != strings.Join(want, "&") || !slices.Equal(tokens, values) {
			t.Errorf("cutTokens(%q) = %q, %q; want %q, %q", raw, rest, tokens, strings.Join(want, "&"), values)
		}
		if again, more := cutTokens([]byte(rest)); string(again) != rest || more != nil {
			t.Errorf("cutTokens(%q) left %q in", raw, more)
		}
		for name, src := range map[string]io.Reader{
			"whole":        strings.NewReader(raw),
			"byte by byte": iotest.OneByteReader(strings.NewReader(raw)),
			"err at end":   iotest.DataErrReader(strings.NewReader(raw)),
		} {
			filtered, err := io.ReadAll(iotest.OneByteReader(newTokenFilter(src)))
			if err != nil || string(filtered) != rest {
				t.Errorf("the filter, %s, made %q of %q, not %q (%v)", name, filtered, raw, rest, err)
			}
		}
	})
}

func TestTheFilterPassesErrorsOn(t *testing.T) {
	src := io.MultiReader(strings.NewReader("a=1&token=E&b"), iotest.ErrReader(io.ErrUnexpectedEOF))
	got, err := io.ReadAll(newTokenFilter(src))
	if err != io.ErrUnexpectedEOF || string(got) != "a=1" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestStripCookies(t *testing.T) {
	for in, want := range map[string]string{
		"a=1; b=2":                            "a=1; b=2",
		"a=1; esri_auth=%7B%22token%22%7D; b": "a=1; b",
		"esri_auth=E":                         "",
		"ESRI_AUTH=E; a=1":                    "a=1",
		"esri_auth_v2=E;a=1":                  "a=1",
		" esri_auth =E; a=1":                  "a=1",
		"a=1,esri_auth=E; b=2":                "a=1; b=2",
		"a=1, Esri_Auth={\"x\",\"token\":1}":  "a=1",
		`esri_auth={"email":"x","token":"E"}`: "",
		"agstoken=E; JSESSIONID=1":            "JSESSIONID=1",
		"a=esri_auth":                         "a=esri_auth",
		"esri_auth":                           "",
	} {
		h := http.Header{"Cookie": {in}}
		stripCookies(h)
		if got := h.Get("Cookie"); got != want {
			t.Errorf("Cookie %q became %q, not %q", in, got, want)
		}
		if _, there := h["Cookie"]; there && want == "" {
			t.Errorf("Cookie %q left an empty header", in)
		}
	}
	h := http.Header{"Cookie": {"a=1", "esri_auth=E", "b=2"}}
	stripCookies(h)
	if !slices.Equal(h["Cookie"], []string{"a=1", "b=2"}) {
		t.Errorf("of several lines were left %q", h["Cookie"])
	}
}

func FuzzStripCookies(f *testing.F) {
	for _, seed := range []string{"a=1; esri_auth=E; b", "esri_auth", "a=1,esri_auth=E", ";;", "agstoken=1;x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		h := http.Header{"Cookie": {line}}
		stripCookies(h)
		for part := range strings.SplitSeq(h.Get("Cookie"), ";") {
			if name, _, _ := strings.Cut(part, "="); isTokenCookie(name) {
				t.Errorf("%q left %q", line, part)
			}
		}
		if !mentionsTokenCookie([]string{line}) && h.Get("Cookie") != line {
			t.Errorf("%q became %q", line, h.Get("Cookie"))
		}
	})
}

func TestStripSetCookies(t *testing.T) {
	h := http.Header{"Set-Cookie": {
		"JSESSIONID=1; Path=/portal",
		"esri_auth=%7B%22token%22%3A%22E%22%7D; Path=/",
		"ESRI_auth=E",
		" esri_auth=E",
		"esri_auth",
		"a=1, esri_auth=E; Path=/",
		"b=2; Comment=esri_auth=E",
		`agstoken="E"; Path=/server`,
		"c=3",
	}}
	stripSetCookies(h)
	if want := []string{"JSESSIONID=1; Path=/portal", "c=3"}; !slices.Equal(h["Set-Cookie"], want) {
		t.Errorf("left %q, want %q", h["Set-Cookie"], want)
	}
	h = http.Header{"Set-Cookie": {"esri_auth=E"}}
	stripSetCookies(h)
	if len(h) != 0 {
		t.Errorf("left %v", h)
	}
}

func TestStripReferer(t *testing.T) {
	for in, want := range map[string]string{
		"https://localhost:8443/portal/home?token=E":        "https://localhost:8443/portal/home",
		"https://localhost:8443/portal/?a=1&%74oken=E&b#c?": "https://localhost:8443/portal/?a=1&b#c?",
		"http":                         "http",
		"https://localhost/?where=%&;": "https://localhost/?where=%&;",
	} {
		h := http.Header{"Referer": {in}}
		stripReferer(h)
		if got := h.Get("Referer"); got != want {
			t.Errorf("Referer %q became %q, not %q", in, got, want)
		}
	}
}

func TestPrivate(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "private",
		"no-store":                        "no-store",
		"private, max-age=10":             "private, max-age=10",
		"no-cache":                        "private, no-cache",
		"public, max-age=10":              "private, max-age=10",
		"max-age=10, s-maxage=99":         "private, max-age=10",
		"Public":                          "private",
		"no-store, public":                "no-store",
		`private="Set-Cookie", max-age=1`: `private, private="Set-Cookie", max-age=1`,
	} {
		var upstream []string
		if in != "" {
			upstream = []string{in}
		}
		if got := private(upstream); len(got) != 1 || got[0] != want {
			t.Errorf("Cache-Control %q became %q, not %q", in, got, want)
		}
	}
}
