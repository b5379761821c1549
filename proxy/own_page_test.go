package proxy

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// TestThePagesFormsPassTheGate sends one as a browser does, and as another site
// would have a browser send it.
func TestThePagesFormsPassTheGate(t *testing.T) {
	g := newDoor(t).stranger()
	res, page := g.send("GET", "/_arcproxy/", "", asAdmin, "Accept: text/html")
	stamp := regexp.MustCompile(`name="stamp" value="([^"]+)"`).FindStringSubmatch(page)
	if res.StatusCode != 200 || stamp == nil {
		t.Fatalf("%s %q", res.Status, page)
	}
	fields := url.Values{"stamp": {stamp[1]}, "identity": {"alice"}}.Encode()
	form := "Content-Type: application/x-www-form-urlencoded"
	for _, headers := range [][]string{
		{}, // nobody
		{asCaller},
		{asReader},
		{asAdmin, "Origin: https://evil.example"},
		{asAdmin, "Origin: null"},
		{asAdmin, "Sec-Fetch-Site: same-site"},
		{asAdmin, "Referer: https://evil.example/", "Origin: null"},
	} {
		res, body := g.send("POST", "/_arcproxy/sign-out", fields, append(headers, form)...)
		if res.StatusCode != 401 && res.StatusCode != 403 || len(g.control.did) != 0 || strings.Contains(body, stamp[1]) {
			t.Errorf("with %q: %s, done %q", headers, res.Status, g.control.did)
		}
	}
	res, _ = g.send("POST", "/_arcproxy/sign-out", fields, asAdmin, form, "Origin: "+g.url, "Sec-Fetch-Site: same-origin")
	if res.StatusCode != http.StatusSeeOther || len(g.control.did) != 1 {
		t.Errorf("of the page itself: %s, done %q", res.Status, g.control.did)
	}
	if res, body := g.send("GET", res.Header.Get("Location"), "", asReader); res.StatusCode != 200 || !strings.Contains(body, "Signed out.") {
		t.Errorf("after it: %s", res.Status)
	}
}
