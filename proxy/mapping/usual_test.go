package mapping

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestUsualIsWhatCareComesTo: what the short way takes for an address is what the long
// way would have taken, to the last field.
func TestUsualIsWhatCareComesTo(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	odd := func() string {
		if random.IntN(2) == 0 {
			return ""
		}
		return pick(`"`, "a", "2", "-", "_", ".", "..", ".a", ":", ":443", ":6443", ":7443", "/", `\`, `\/`, `\\/`, `\u002f`, "%", "%2F", "%2f", "%25", "%252F", "&", "&#x2F;", "?", "#", "@", " ", "é", "\x80")
	}
	s := newMap(t, public, portal, server, "https://gis.example.com/port", "https://fgis.example.com/maps", "https://igis.example.com:7443/old").Outbound()
	var taken, left int
	for range 100_000 {
		w := [...]*writing{&plainWriting, &jsonWriting, &percentWriting, &plainSchemeless, &jsonSchemeless}[random.IntN(5)]
		quoted := pick("", "", `"`)
		before, slash := w.before, w.slash
		if random.IntN(4) == 0 {
			before = pick("https", "http", "HTTPS", "wss", "") + pick("://", `:\/\/`, "%3A%2F%2F", "%3a%2f%2f", "//", "")
		}
		if random.IntN(4) == 0 {
			slash = odd() + pick("/", `\/`, "%2F", "%2f", "")
		}
		text := []byte(odd() + odd() + before + quoted + pick("gis.example.com", "gis.example.com", "GIS.example.com", "fgis.example.com", "igis.example.com") +
			slash + pick("portal", "port", "server", "maps", "old", "porta", "") + odd() + odd() + pick("", `",   `, "abc"))
		f := newFinder(s, text)
		for end := 0; ; {
			var h *host
			if h, end = f.find(0, end); h == nil {
				break
			}
			var usual match
			if !h.usual(text, end, &usual) {
				left++
				continue
			}
			taken++
			for _, final := range []bool{true, false} {
				var careful match
				if state := h.careful(text, nil, end, final, &careful); state != found {
					t.Fatalf("%q is an address only by the short way (final: %t)", text, final)
				}
				if one, other := fmt.Sprintf("%+v", careful), fmt.Sprintf("%+v", usual); one != other {
					t.Fatalf("%q (final: %t) comes to\n%s\nwith care, and else to\n%s", text, final, one, other)
				}
			}
		}
	}
	if taken < 1000 || left < 1000 {
		t.Errorf("%d taken, %d left", taken, left)
	}
}
