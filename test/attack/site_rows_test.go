package attack

import (
	"net/http"
	"strings"
)

// atOpen sends requests, whose lines after the Host are given, to the door where
// anyone is a caller; each must be refused.
func (a *attempt) atOpen(requests ...string) {
	a.Helper()
	for _, request := range requests {
		x, seen := a.sendOpen(request)
		a.refused(quote(request), x, seen)
		for name := range x.first().header {
			if strings.HasPrefix(name, "Access-Control-") {
				a.hole("%s: is allowed by %s", quote(request), name)
			}
		}
	}
}

var siteRows = []row{
	{14, "DNS rebinding",
		"A name that is not ours leads a browser to us, where anyone on this machine is a caller: a request for any such Host is refused.",
		falls, func(a *attempt) {
			for _, host := range []string{
				"attacker.example:8443", "attacker.example", "localhost.attacker.example", "127.0.0.1.attacker.example", "localhost@attacker.example", "localhost,attacker.example",
				"attacker.example#localhost", "localhost:80:attacker.example", "0.0.0.0", "0", "[::]", "192.0.2.1", "[::ffff:192.0.2.1]", "127.0.0.1x", "2130706433", "", "{evil}.attacker.example", "localhost%00.attacker.example", "[::1].attacker.example",
			} {
				a.atOpen("GET /gis/x HTTP/1.1\nHost: "+host+"\nConnection: close\n\n", "GET /gis/x HTTP/1.1\nHost: "+host+"\nSec-Fetch-Site: same-origin\nConnection: close\n\n")
			}
			x, seen := a.send2To(a.at.open, "anyone", nil, []field{{":authority", "attacker.example:8443"}})
			a.refused("attacker.example in HTTP/2", x, seen)
		}},

	{15, "CSRF without credentials",
		"A page of another site sends what a form can send, to where anyone on this machine is a caller: refused, and nothing is allowed by CORS; the same goes for a remembered Basic password.",
		falls, func(a *attempt) {
			for _, by := range []string{
				"Origin: https://evil.example\nSec-Fetch-Site: cross-site", "Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Referer: https://evil.example/page",
				"Origin: http://localhost:1", "Origin: https://localhost.evil.example", "Origin: http://{address}.evil.example", "Origin: http://{address}@evil.example", "Origin: http://{address}, https://evil.example", "Origin: http://{address}\nOrigin: https://evil.example",
			} {
				a.atOpen(
					"POST /gis/deleteFeatures HTTP/1.1\n{host}\n"+by+"\nContent-Type: text/plain\nContent-Length: 9\nConnection: close\n\nwhere=1=1",
					"POST /gis/deleteFeatures HTTP/1.1\n{host}\n"+by+"\nContent-Type: application/x-www-form-urlencoded\nContent-Length: 9\nConnection: close\n\nwhere=1=1",
					"POST /gis/deleteFeatures HTTP/1.1\n{host}\n"+by+"\nContent-Type: multipart/form-data; boundary=b\nContent-Length: 5\nConnection: close\n\n--b--",
					"POST /gis/deleteFeatures HTTP/1.1\n{host}\n"+by+"\nContent-Length: 0\nConnection: close\n\n",
					"GET /gis/deleteFeatures?where=1=1 HTTP/1.1\n{host}\n"+by+"\nConnection: close\n\n",
					"OPTIONS /gis/deleteFeatures HTTP/1.1\n{host}\n"+by+"\nAccess-Control-Request-Method: DELETE\nConnection: close\n\n",
				)
			}
			if a.at.naive {
				return
			}
			for _, by := range []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Referer: http://evil.example/"} {
				// nightly's key as the password that a browser repeats
				x, seen := a.send("POST /gis/deleteFeatures HTTP/1.1\n{host}\nAuthorization: Basic " + basic("nightly", keyNightly) + "\n" + by + "\nContent-Length: 0\nConnection: close\n\n")
				a.refused("a remembered password, "+by, x, seen)
			}
			for _, honest := range []string{"Origin: http://{address}\nSec-Fetch-Site: same-origin", "Sec-Fetch-Site: none", "User-Agent: curl/8"} {
				x, seen := a.sendOpen("POST /gis/query HTTP/1.1\n{host}\n" + honest + "\nContent-Length: 0\nConnection: close\n\n")
				a.passes("honest: "+honest, x, seen)
			}
		}},

	{16, "JSONP read",
		"A page of another site loads an answer as a script, with every header that a browser would or would not send: refused, and the refusal holds nothing that is personal.",
		falls, func(a *attempt) {
			for _, by := range []string{
				"Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: script\nReferer: https://evil.example/", "Sec-Fetch-Site: cross-site\nSec-Fetch-Dest: script", "Referer: https://evil.example/", "Accept: */*", "Sec-Fetch-Site: same-site",
			} {
				for _, query := range []string{"f=json&callback=x", "callback=x&f=pjson", "f=json&CallBack=x", "f=json&callback=alert(1)//"} {
					a.atOpen("GET /gis/self?" + query + " HTTP/1.1\n{host}\n" + by + "\nConnection: close\n\n")
				}
			}
			x, _ := a.sendOpen("GET /gis/self?f=json&callback=%3Cscript%3Ealert(1)%3C/script%3E HTTP/1.1\n{host}\nSec-Fetch-Site: cross-site\nConnection: close\n\n")
			if strings.Contains(string(x.raw), "<script>") {
				a.hole("a callback that is markup comes back: %s", x.raw)
			}
		}},

	{36, "WebSocket from a foreign origin",
		"A page of another site opens a WebSocket to where anyone on this machine is a caller: refused; one of our own origin is opened.",
		falls, func(a *attempt) {
			const socket = "Connection: Upgrade, close\nUpgrade: websocket\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13\n"
			for _, by := range []string{"Origin: https://evil.example", "Origin: null", "Origin: https://evil.example\nSec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: websocket", "Origin: http://localhost:1", "Origin: http://{address}.evil.example"} {
				a.atOpen("GET /gis/subscribe HTTP/1.1\n{host}\n" + socket + by + "\n\n")
			}
			x, seen := a.sendOpen("GET /gis/subscribe HTTP/1.1\n{host}\n" + socket + "Origin: http://{address}\nSec-Fetch-Site: same-origin\n\n")
			if x.status() != http.StatusSwitchingProtocols || len(seen) != 1 {
				a.hole("our own origin is answered by %d", x.status())
			}
		}},
}
