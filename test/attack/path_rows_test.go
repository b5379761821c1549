package attack

import (
	"net/http"
	"strings"
)

// get is an honest request for a target.
func get(target string) string {
	return "GET " + target + " HTTP/1.1\n{host}\n{key}\nConnection: close\n\n"
}

// paths sends a request for every path, over HTTP/1.1 and HTTP/2, and notes
// those that are not refused.
func (a *attempt) paths(paths ...string) {
	a.Helper()
	for _, path := range paths {
		x, seen := a.send(get(path))
		a.refused(path, x, seen)
		x, seen = a.send2(nil, field{":path", path})
		a.refused(path+" in HTTP/2", x, seen)
	}
}

var pathRows = []row{
	{4, "dot segments",
		"Paths climb out of the mount, into it, or within it: each is refused, and not by a redirect.",
		falls, func(a *attempt) {
			a.paths("/gis/../admin/login", "/gis/./../admin", "/gis/..", "/gis/.", "/admin/../gis/x", "/../gis/x", "/./gis/x", "/gis/a/../b", "/gis/a/../../admin", "/gis//../admin", "/gis/.../../x", "/gis/.. /admin")
		}},

	{5, "encoded slash and dots",
		"The same with percent-encoding once and more often, with path parameters, overlong UTF-8 and IIS's %u: each is refused.",
		falls, func(a *attempt) {
			a.paths("/gis/sharing/..%2f..%2fadmin", "/gis/%2e%2e/admin", "/gis/.%2E/admin", "/gis/%2e/x", "/gis/..;/admin", "/gis/..;a=b/admin", "/gis/;/../admin", "/gis/..%3b/admin",
				"/gis/%252e%252e/admin", "/gis/%25252e%25252e%25252fadmin", "/gis/..%252f..%252fadmin", "/gis/a%2fb", "/gis/%c0%ae%c0%ae/admin", "/gis/%c0%af..%c0%afadmin",
				"/gis/%u002e%u002e/admin", "/gis/%2e%2e%00/admin", "/gis/x%00.json", "/gis/..%09/admin", "/gis/..%0d%0a/admin")
		}},

	{6, "fragment, backslash",
		"A path ends for some at a '#', and a backslash is a slash for others: each is refused.",
		unmeasured, func(a *attempt) {
			a.paths("/gis/a#/public", "/gis/#/../admin", `/gis/a\..\..\admin`, `/gis\..\admin`, `/gis/..\admin`, "/gis/a%5c..%5c..%5cadmin", "/gis/%255c..%255cadmin", "/gis/x?a#b", `\gis\x`)
		}},

	{7, "Path and RawPath disagree",
		"Paths that net/url would write in another way than they came, or whose mount is encoded: what arrives is what was sent, byte for byte, or nothing.",
		unmeasured, func(a *attempt) {
			for _, path := range []string{
				"/gis/%41/a%2Cb", "/gis/{x}", "/gis/%7Bx%7D", "/gis/\"q\"", "/gis/a|b^c`d", "/gis/%C3%A4", "/gis/\xc3\xa4", "/gis/a%20b", "/gis/a+b", "/gis/100%25", "/gis/a;b=c/d", "/gis/x%3Fy=z", "/gis/x%23y", "/gis/(a)'b'!*,c@d:e$f&g=h", "/gis//info", "/gis/a//b", "/gis/x%3a", "/gis/%25zz",
				"/%67is/x", "/gi%73", "/%2567is/x", "/gis%2Fx", "/gis%3Fx=1", "/gis;a=b/x", "/GIS/x", "/gisx/x", "/gis%20/x", "/gis%00/x",
			} {
				x, seen := a.send(get(path))
				if len(seen) == 0 {
					a.refused(path, x, seen)
				} else if seen[0].target != path {
					a.hole("%s: arrives as %s", path, seen[0].target)
				}
				if honest := strings.HasPrefix(path, "/gis/"); honest && len(seen) != 1 && !a.at.naive {
					a.hole("%s: is an honest path, and does not pass: %d", path, x.status())
				}
			}
		}},

	{8, "absolute-form request",
		"The request line names another host, or the Host header and the authority disagree: nobody is sent there, and nothing is passed on.",
		unmeasured, func(a *attempt) {
			a.refusedAll(
				"GET http://{evil}/gis/x HTTP/1.1\n{host}\n{key}\nConnection: close\n\n",
				"GET https://{evil}/gis/x HTTP/1.1\n{host}\n{key}\nConnection: close\n\n",
				"GET http://{evil}/gis/x HTTP/1.1\nHost: {evil}\n{key}\nConnection: close\n\n",
				"GET http://evil.example/gis/x HTTP/1.0\n{key}\n\n",
				"GET http://user:FORGED@{address}/gis/x HTTP/1.1\n{host}\n{key}\nConnection: close\n\n",
				"GET ftp://{evil}/gis/x HTTP/1.1\n{host}\n{key}\nConnection: close\n\n",
				"GET gis:/x HTTP/1.1\n{host}\n{key}\nConnection: close\n\n",
				"GET file:///etc/passwd HTTP/1.1\n{host}\n{key}\nConnection: close\n\n",
			)
			x, seen := a.send2(nil, field{":authority", "evil.example"})
			a.refused("a foreign :authority", x, seen)
			x, seen = a.send2(nil, field{"host", "evil.example"})
			if len(seen) > 0 && seen[0].host == "evil.example" {
				a.hole("a foreign host beside our :authority: arrives")
			}
			a.harmless("a foreign host beside our :authority", x, seen)
			x, seen = a.send2(nil, field{":authority", ""}, field{"host", "evil.example"})
			a.refused("a foreign host and no :authority", x, seen)
			x, seen = a.send2(nil, field{":path", "http://{evil}/gis/x"})
			a.refused("a full URL as :path", x, seen)
			_, seen = a.send2(nil, field{":scheme", "http://evil.example/gis/x?"})
			if len(seen) > 0 && seen[0].target != "/gis/x" {
				a.hole("a URL as :scheme: arrives as %s", seen[0].target)
			}
		}},

	{9, "//evil.example/x",
		"The path begins like an address without scheme: it is refused, and no answer leads there.",
		falls, func(a *attempt) {
			a.paths("//evil.example/x", "///evil.example/x", "//{evil}/gis/x", "//evil.example/..", `/\evil.example/x`, `\\evil.example\x`, "/%2fevil.example/x", "/%5cevil.example", "//evil.example", "/.//evil.example", "//gis/x", "/%09/evil.example")
			for _, path := range []string{"/gis//evil.example/x", "/gis//evil.example"} { // honest: Esri's clients send double slashes
				x, seen := a.send(get(path))
				if len(seen) == 1 && seen[0].target != path {
					a.hole("%s: arrives as %s", path, seen[0].target)
				}
				if to := x.first().header.Get("Location"); to != "" {
					a.hole("%s: the answer leads to %s", path, to)
				}
			}
		}},

	{10, "CONNECT",
		"A tunnel is asked for, to another host, to ourselves, and by HTTP/2: it is refused, nobody is dialled, and the upstream gets no CONNECT.",
		falls, func(a *attempt) {
			a.refusedAll(
				"CONNECT {evil} HTTP/1.1\nHost: {evil}\n{key}\nConnection: close\n\n",
				"CONNECT {evil} HTTP/1.1\n{host}\n{key}\nConnection: close\n\n",
				"CONNECT evil.example:443 HTTP/1.1\n{host}\n{key}\nConnection: close\n\n",
				"CONNECT {address} HTTP/1.1\n{host}\n{key}\nConnection: close\n\n",
				"CONNECT /gis/x HTTP/1.1\n{host}\n{key}\nConnection: close\n\n",
				"CONNECT http://{evil}/gis/x HTTP/1.1\n{host}\n{key}\nConnection: close\n\n",
			)
			x, seen := a.send2(nil, field{":method", "CONNECT"}, field{":authority", "{evil}"}, field{":path", ""}, field{":scheme", ""})
			a.refused("CONNECT in HTTP/2", x, seen)
			x, seen = a.send2(nil, field{":method", "CONNECT"}, field{":protocol", "websocket"})
			a.refused("extended CONNECT in HTTP/2", x, seen)
		}},

	{11, "TRACE echo",
		"TRACE, TRACK and methods that nobody knows are sent: they are refused, so that no upstream can echo the token.",
		falls, func(a *attempt) {
			for _, method := range []string{"TRACE", "TRACK", "DEBUG", "PROPFIND", "trace", "gEt", "GET\x0b", "PRI", "X"} {
				x, seen := a.send(method + " /gis/x HTTP/1.1\n{host}\n{key}\nMax-Forwards: 1\nConnection: close\n\n")
				a.refused(method, x, seen)
			}
			x, seen := a.send("GET /gis/x HTTP/1.1\n{host}\n{key}\nX-HTTP-Method-Override: TRACE\nX-Method-Override: TRACE\nConnection: close\n\n")
			a.harmless("an override", x, seen)
			for _, r := range seen {
				if strings.Contains(r.String(), "TRACE") {
					a.hole("an override arrives: %s", r.String())
				}
			}
			x, seen = a.send2(nil, field{":method", http.MethodTrace})
			a.refused("TRACE in HTTP/2", x, seen)
		}},
}
