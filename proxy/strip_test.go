package proxy

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

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
