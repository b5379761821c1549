package attack

import (
	"net/http"
	"strings"
)

var headerRows = []row{
	{1, "hop-by-hop strip",
		"Connection names the token's header, or one that matters to the body, as hop-by-hop: the upstream gets the token nevertheless, and the body whole.",
		unmeasured, func(a *attempt) {
			for _, named := range []string{"close, X-Esri-Authorization", "X-Esri-Authorization, close", "close, Host", "close, Content-Length", "close, Transfer-Encoding, x-esri-authorization", "close\nProxy-Connection: X-Esri-Authorization"} {
				x, seen := a.send("POST /gis/x HTTP/1.1\n{host}\n{key}\nContent-Length: 4\nContent-Type: text/plain\nConnection: " + named + "\n\nbody")
				if r := a.passes(named, x, seen); r.body != "body" {
					a.hole("Connection: %s: the body arrives as %q", named, r.body)
				}
			}
			x, seen := a.send2(nil, field{"connection", "x-esri-authorization"})
			a.refused("connection in HTTP/2", x, seen)
		}},

	{2, "underscore twin",
		"A second X-Esri-Authorization, Authorization or X-Forwarded-Host is spelled as gateways spell headers that become variables: no such header arrives.",
		falls, func(a *attempt) {
			for _, name := range []string{"X_Esri_Authorization", "X-Esri_Authorization", "x_esri-authorization", "HTTP_X_ESRI_AUTHORIZATION", "Authorization_", "X_Forwarded_Host", "Remote_User", "X.Esri.Authorization", "X!Esri!Authorization", "X~Esri~Authorization"} {
				x, seen := a.send("GET /gis/x HTTP/1.1\n{host}\n{key}\n" + name + ": Bearer FORGED\nConnection: close\n\n")
				a.harmless(name, x, seen)
				x, seen = a.send2(nil, field{strings.ToLower(name), "Bearer FORGED"})
				a.harmless(name+" in HTTP/2", x, seen)
			}
			// As a trailer, which some servers add to the headers.
			for _, name := range []string{"X-Esri-Authorization", "Authorization", "X_Esri_Authorization", "X-Forwarded-Host"} {
				x, seen := a.send("POST /gis/x HTTP/1.1\n{host}\n{key}\nTransfer-Encoding: chunked\nContent-Type: text/plain\nTrailer: " + name + "\nConnection: close\n\n4\nbody\n0\n" + name + ": Bearer FORGED\n\n")
				a.harmless(name+" as a trailer", x, seen)
			}
		}},

	{3, "forged forwarding headers",
		"Every header by which a proxy in front would speak of the caller, the address or the URL is forged: none arrives.",
		falls, func(a *attempt) {
			for _, name := range forwarding {
				x, seen := a.send("GET /gis/x HTTP/1.1\n{host}\n{key}\n" + name + ": FORGED\nConnection: close\n\n")
				a.harmless(name, x, seen)
			}
			var all []field
			for _, name := range forwarding {
				all = append(all, field{strings.ToLower(name), "FORGED"})
			}
			x, seen := a.send2(nil, all...)
			a.harmless("all of them in HTTP/2", x, seen)
		}},

	{12, "odd Upgrade",
		"An upgrade to anything but a WebSocket is offered, also beside one, without Connection, or by another method: the upstream sees no such offer, and no connection is switched.",
		falls, func(a *attempt) {
			for _, offer := range []string{
				"Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
				"Connection: Upgrade\nUpgrade: h2c, websocket", "Connection: Upgrade\nUpgrade: websocket\nUpgrade: h2c",
				"Connection: Upgrade\nUpgrade: TLS/1.0", "Upgrade: h2c", "Connection: Upgrade\nUpgrade: websocket/2", "Connection: upgrade\nUpgrade: WebSocket h2c",
			} {
				for _, method := range []string{"GET", "POST"} {
					x, seen := a.send(method + " /gis/x HTTP/1.1\n{host}\n{key}\nConnection: close\n" + offer + "\nContent-Length: 0\n\n")
					a.notSwitched(method+" "+offer, x, seen)
				}
			}
			x, seen := a.send("POST /gis/x HTTP/1.1\n{host}\n{key}\nConnection: Upgrade, close\nUpgrade: websocket\nContent-Length: 0\n\n")
			a.notSwitched("WebSocket by POST", x, seen)
			// HTTP/2 without TLS and without asking, on the plain side of the port.
			x, seen = a.send("PRI * HTTP/2.0\n\nSM\n\n")
			a.notSwitched("prior knowledge", x, seen)
		}},
}

// forwarding are headers that servers believe when they think that a proxy of
// their own set them.
var forwarding = []string{
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Forwarded-Uri",
	"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Access-Token", "X-Forwarded-Request-Context", "X-Forwarded", "X-Forwarded-Scheme", "X-Forwarded-Ssl",
	"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Cluster-Client-Ip", "X-Remote-Addr", "X-ProxyUser-Ip",
	"X-Original-Url", "X-Original-Uri", "X-Original-Host", "X-Rewrite-Url", "X-Host", "X-Scheme", "X-Url-Scheme", "Front-End-Https",
	"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Original-Method",
	"Remote-User", "X-Remote-User", "X-Webauth-User", "X-Auth-Request-User", "X-Authenticated-User", "X-Arr-Ssl", "X-Arr-Clientcert", "X-Ssl-Client-Cert", "Ssl-Client-Cert",
	"Proxy-Authorization", "Proxy",
}

// harmless notes a hole if what was sent had another effect than an honest
// request would have, or none and no refusal. What must not arrive is judged
// for every request.
func (a *attempt) harmless(what string, x *exchange, seen []record) {
	switch {
	case len(seen) > 1:
		a.hole("%s: reaches the upstream %d times", what, len(seen))
	case len(seen) == 1 && x.status() != http.StatusOK:
		a.hole("%s: is answered by %d: %.200q", what, x.status(), x.raw)
	case len(seen) == 0 && x.status() != 0 && x.status() < 400:
		a.hole("%s: is answered by %d, and nothing arrives", what, x.status())
	}
}

// notSwitched notes a hole if a connection was switched to another protocol.
func (a *attempt) notSwitched(what string, x *exchange, seen []record) {
	if x.status() == http.StatusSwitchingProtocols || strings.Contains(string(x.raw), "switched") {
		a.hole("%s: the connection is switched", what)
	}
	for _, r := range seen {
		for _, name := range []string{"Upgrade", "Http2-Settings"} {
			if r.header[name] != nil {
				a.hole("%s: the upstream gets %s: %q", what, name, r.header[name])
			}
		}
	}
}
