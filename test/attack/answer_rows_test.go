package attack

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
)

var answerRows = []row{
	{33, "shared-cache poisoning",
		"The upstream says that a personal answer may be shared, in every header that caches between could go by, and in none: what the caller gets says private or no-store and nothing else, and so does every refusal.",
		falls, func(a *attempt) {
			for _, path := range []string{"/gis/shared", "/gis/x", "/gis/moved"} {
				x, _ := a.send(get(path))
				h := x.first().header
				said := strings.ToLower(strings.Join(h["Cache-Control"], ","))
				if !strings.Contains(said, "private") && !strings.Contains(said, "no-store") || strings.Contains(said, "public") || strings.Contains(said, "s-maxage") {
					a.hole("%s: Cache-Control: %s", path, said)
				}
				for _, name := range sharedCacheHeaders {
					if said := h.Get(name); said != "" {
						a.hole("%s: %s: %s", path, name, said)
					}
				}
			}
			for _, request := range []string{"GET /gis/../x HTTP/1.1\n{host}\nConnection: close\n\n", "GET /none HTTP/1.1\n{host}\nConnection: close\n\n", "GET /gis/x HTTP/1.1\nHost: evil.example\nConnection: close\n\n", "TRACE /gis/x HTTP/1.1\n{host}\nConnection: close\n\n", "GET /gis/x?token=wrong HTTP/1.1\n{host}\nConnection: close\n\n"} {
				x, _ := a.send(request)
				if said := x.first().header.Get("Cache-Control"); said != "no-store" && !a.at.naive {
					a.hole("%s: Cache-Control: %s", quote(request), said)
				}
			}
		}},

	{34, "esri_auth cookie",
		"The upstream sets cookies that hold a token, and a caller sends another's back, in every spelling: neither passes, and other cookies do.",
		falls, func(a *attempt) {
			x, _ := a.send(get("/gis/cookies"))
			if strings.Contains(string(x.raw), "OTHERS") {
				a.hole("the answer sets a token's cookie: %.600q", x.raw)
			}
			if set := x.first().header["Set-Cookie"]; len(set) == 0 || !strings.HasPrefix(set[0], "sticky=1") {
				a.hole("the answer does not set the other cookie: %q", set)
			}
			for _, cookie := range []string{
				"a=1; esri_auth=FORGED; b=2", "esri_auth=FORGED", "a=1;esri_auth=FORGED;b=2", "ESRI_AUTH=FORGED", "a=1; esri_auth =FORGED", "a=1\nCookie: esri_auth=FORGED", "a=1, esri_auth=FORGED", "esri_auth_x=FORGED", "agstoken=FORGED; b=2", "\tesri_auth=FORGED", "a=1;; ;esri_auth=FORGED",
			} {
				x, seen := a.send("GET /gis/x HTTP/1.1\n{host}\n{key}\nCookie: " + cookie + "\nConnection: close\n\n")
				a.harmless(cookie, x, seen)
				for _, r := range seen {
					if got := r.header.Get("Cookie"); strings.HasPrefix(cookie, "a=1") && !strings.HasPrefix(got, "a=1") || strings.HasSuffix(cookie, "b=2") && !strings.Contains(got, "b=2") {
						a.hole("%s: other cookies are lost: %q", cookie, got)
					}
				}
			}
			x, seen := a.send2(nil, field{"cookie", "a=1"}, field{"cookie", "esri_auth=FORGED"}, field{"cookie", "b=2"})
			a.harmless("crumbs in HTTP/2", x, seen)
		}},
}

var logRows = []row{
	{27, "log leak or injection",
		"Line ends, escape sequences and made-up log entries in paths, methods, headers and credentials, and secrets wherever they are sent: with the log at debug, each line is one entry of ours, and none holds a secret or a control character.",
		pointless, func(a *attempt) {
			const entry = `{"time":"2026-01-01T00:00:00Z","level":"ERROR","msg":"planted"}`
			var requests []string
			for _, planted := range []string{"%0d%0a" + entry, "%0A" + entry, "%1b[31mplanted", "%1b]0;planted%07", "%c2%9b31mplanted", "%e2%80%aeplanted", "\x1b[31mplanted", "\xc2\x9b31mplanted", "\xe2\x80\xaeplanted", "%22,%22planted%22:%22", "␊planted", "%00planted"} {
				planted = strings.ReplaceAll(strings.ReplaceAll(planted, `"`, "%22"), " ", "%20")
				requests = append(requests,
					"GET /gis/"+planted+" HTTP/1.1\n{host}\n{key}\nConnection: close\n\n", "GET /gis/../"+planted+" HTTP/1.1\n{host}\nConnection: close\n\n", "GET /none/"+planted+" HTTP/1.1\n{host}\nConnection: close\n\n",
					"GET /gis/x?"+planted+"=1 HTTP/1.1\n{host}\n{key}\nConnection: close\n\n", "GET /gis/x?token="+planted+" HTTP/1.1\n{host}\nConnection: close\n\n", "GET /dead/"+planted+" HTTP/1.1\n{host}\n{key}\nConnection: close\n\n",
				)
			}
			requests = append(requests,
				"PLANTED%0A /gis/x HTTP/1.1\n{host}\nConnection: close\n\n", "GET /gis/x HTTP/1.1\nHost: planted\x1b[31m\nConnection: close\n\n", "GET /gis/x HTTP/1.1\n{host}\nX-Esri-Authorization: Bearer \x1b[31mplanted\nConnection: close\n\n", "\x16\x03\x01planted\n\n",
				// Secrets where they do not belong.
				"GET /gis/x?token={nightly}&a=%zz HTTP/1.1\n{host}\nConnection: close\n\n", "GET /dead/x?token={nightly} HTTP/1.1\n{host}\nConnection: close\n\n", "TRACE /gis/x?token={nightly} HTTP/1.1\n{host}\n{key}\nConnection: close\n\n",
				"GET /none?token={nightly} HTTP/1.1\n{host}\n{key}\nConnection: close\n\n", "GET http://a:{nightly}@{address}/gis/x?token={nightly} HTTP/1.1\n{host}\n{key}\nConnection: close\n\n", "GET /gis/a#?token={nightly} HTTP/1.1\n{host}\nConnection: close\n\n",
				"GET /dead/ws?token={nightly} HTTP/1.1\n{host}\nConnection: Upgrade, close\nUpgrade: websocket\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13\n\n",
			)
			var wg sync.WaitGroup
			for _, d := range []door{a.at.keyed, a.at.open} {
				for _, request := range requests {
					wg.Go(func() { exchange1(d.address, a.fill(request, d)) })
				}
			}
			wg.Wait()
			a.at.up.take()
			for _, d := range []door{a.at.keyed, a.at.open} {
				for _, planted := range []string{"\x1b[31mplanted", "planted\n" + entry, "\xc2\x9b31mplanted"} {
					a.send2To(d, "", nil, []field{{":path", "/none/" + planted}})
				}
			}
			for _, p := range a.at.logs {
				a.holes = append(a.holes, logFaults(p.Output(), a.at.secrets())...)
			}
		}},
}

// logFaults says what is wrong with a log.
func logFaults(text string, secrets []string) (faults []string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		for _, c := range line {
			if c < ' ' && c != '\t' || c == 0x7f || c >= 0x80 && c < 0xa0 || c == 0x202e {
				faults = append(faults, fmt.Sprintf("the log holds a control character: %q", line))
				break
			}
		}
		var entry map[string]any
		if strings.HasPrefix(text, "{") && (json.Unmarshal([]byte(line), &entry) != nil || entry["msg"] == "" || entry["msg"] == "planted") {
			faults = append(faults, fmt.Sprintf("a line of the log is no entry of ours: %q", line))
		}
		if strings.HasPrefix(line, "planted") {
			faults = append(faults, fmt.Sprintf("a line of the log was planted: %q", line))
		}
		for _, secret := range secrets {
			if strings.Contains(line, secret) {
				faults = append(faults, fmt.Sprintf("the log holds the secret %q: %q", secret, line))
			}
		}
	}
	return faults
}

// searchLog fails the test for what is wrong with a log.
func searchLog(t *testing.T, text string, secrets []string) {
	t.Helper()
	for _, fault := range logFaults(text, secrets) {
		t.Error(fault)
	}
	if text == "" {
		t.Error("the log is empty")
	}
}
