package mapping

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestFinder: a finder finds what find does, in whatever text and whichever hosts.
func TestFinder(t *testing.T) {
	sets := [][]string{
		{portal, server},
		{portal, server, "https://maps.example.org/arcgis", "https://gis.example.com.au/koop"},
		{"https://fgis.example.com/portal", server, "https://example.com/x"},
		{"https://10.1.2.3/portal", "https://10.1.2.4/server"},
		{"https://gis/portal"},
		{"https://[2001:db8::1]:7443/portal"},
	}
	for _, urls := range sets {
		s := newMap(t, public, urls...).Outbound()
		pieces := []string{"x", "X", "-", "e", "\"", "/", strings.Repeat("x", 60), strings.Repeat("the trees of the city ", 40)}
		for _, h := range s.hosts {
			pieces = append(pieces, h.text, strings.ToUpper(h.text), h.text[1:], h.text[:len(h.text)-1])
		}
		rapid.Check(t, func(t *rapid.T) {
			text := []byte(strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 40).Draw(t, "pieces"), ""))
			f := newFinder(s, text)
			from, end := 0, 0
			for {
				h, at := f.find(from, end)
				want, wantAt := find(s, text, from, end)
				if h != want || at != wantAt {
					t.Fatalf("from %d, behind %d: %v at %d, and find says %v at %d", from, end, h, at, want, wantAt)
				}
				if h == nil {
					break
				}
				end = at
				if rapid.Bool().Draw(t, "take") {
					from = at
				}
			}
		})
	}
}

// TestRarest: the byte that is looked for is one of every host's.
func TestRarest(t *testing.T) {
	for _, test := range []struct {
		urls     []string
		c        byte
		distance int
	}{
		{[]string{portal}, 'x', len("xample.com")},
		{[]string{portal, "https://maps.example.org/arcgis"}, 'x', len("xample.org")},
		{[]string{"https://gis/portal", server}, 0, 0},
		{[]string{"https://GIS-1/portal"}, '-', len("-1")},
	} {
		s := newMap(t, public, test.urls...).Outbound()
		if s.rare != test.c || s.distance != test.distance {
			t.Errorf("%s: %q, %d before the end", test.urls, s.rare, s.distance)
		}
	}
}
