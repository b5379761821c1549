package form

import (
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"arcproxy/proxy/pattern"
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
		rest, tokens := CutTokens(c.raw)
		if rest != c.rest || !slices.Equal(tokens, c.tokens) {
			t.Errorf("CutTokens(%.60q) = %.60q, %q; want %.60q, %q", c.raw, rest, tokens, c.rest, c.tokens)
		}
	}
}

// isTokenSlowly is what isCredential should find, told by the library.
func isTokenSlowly(name string) bool {
	decoded, _ := pattern.Decode(name)
	return strings.EqualFold(decoded, "token")
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
		rest, tokens := CutTokens(raw)
		if rest != strings.Join(want, "&") || !slices.Equal(tokens, values) {
			t.Errorf("CutTokens(%q) = %q, %q; want %q, %q", raw, rest, tokens, strings.Join(want, "&"), values)
		}
		if again, more := CutTokens([]byte(rest)); string(again) != rest || more != nil {
			t.Errorf("CutTokens(%q) left %q in", raw, more)
		}
		for name, src := range map[string]io.Reader{
			"whole":        strings.NewReader(raw),
			"byte by byte": iotest.OneByteReader(strings.NewReader(raw)),
			"err at end":   iotest.DataErrReader(strings.NewReader(raw)),
		} {
			filtered, err := io.ReadAll(iotest.OneByteReader(NewTokenFilter(src)))
			if err != nil || string(filtered) != rest {
				t.Errorf("the filter, %s, made %q of %q, not %q (%v)", name, filtered, raw, rest, err)
			}
		}
	})
}

func TestTheFilterPassesErrorsOn(t *testing.T) {
	src := io.MultiReader(strings.NewReader("a=1&token=E&b"), iotest.ErrReader(io.ErrUnexpectedEOF))
	got, err := io.ReadAll(NewTokenFilter(src))
	if err != io.ErrUnexpectedEOF || string(got) != "a=1" {
		t.Errorf("got %q, %v", got, err)
	}
}
