package attack

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

var credentialRows = []row{
	{23, "session fixation",
		"A caller brings cookies that look like sessions, ours, the Portal's and Okta's: they are no credential, none is set or kept by the proxy, and no answer sets one of the sign-in's.",
		pointless, func(a *attempt) {
			const cookies = "Cookie: arcproxy=fixed; session=fixed; _oauth2_proxy=fixed; sid=fixed; idx=fixed; DT=fixed; JSESSIONID=fixed\n"
			a.refusedAll("GET /gis/x HTTP/1.1\n{host}\n"+cookies+"Connection: close\n\n", "GET /_arcproxy/ HTTP/1.1\n{host}\n"+passedOn+cookies+"Connection: close\n\n")
			for _, request := range []string{"GET /gis/x HTTP/1.1\n{host}\n{key}\n" + cookies + "Connection: close\n\n", "GET /portal/sharing/rest/portals/self?f=json HTTP/1.1\n{host}\n{key}\n" + cookies + "Connection: close\n\n", "GET /_arcproxy/ HTTP/1.1\n{host}\n{key}\n" + cookies + "Connection: close\n\n"} {
				x, _ := a.send(request)
				for _, set := range x.first().header["Set-Cookie"] {
					if regexp.MustCompile(`(?i)^(arcproxy|session|_oauth2_proxy|sid|idx|DT|esri_auth)=|fixed`).MatchString(set) {
						a.hole("%s: sets %s", quote(request), set)
					}
				}
			}
		}},

	{26, "timing, enumeration",
		"Keys that are unknown, nearly right, right from the wrong address, malformed or missing: the answers are the same but for what the caller could know, and take the same time.",
		pointless, func(a *attempt) {
			const rounds = 5
			times := map[string][]time.Duration{}
			bodies := map[string][]byte{}
			var mu sync.Mutex // guards times and bodies
			var wg sync.WaitGroup
			for name, key := range map[string]string{
				"unknown": "AAAAAAAAAAAAAAAAAAAAAAAAAA", "nearly right": keyOne[:25] + "9", "from elsewhere": keyElsewhere, "short": "a", "long": strings.Repeat("a", 10_000), "of bytes": "\xff\xfe", "none": "",
			} {
				head := "X-Esri-Authorization: Bearer " + key + "\n"
				if key == "" {
					head = ""
				}
				wg.Go(func() {
					for range rounds {
						x := exchange1(a.at.keyed.address, a.fill("GET /gis/x HTTP/1.1\n{host}\n"+head+"Connection: close\n\n", a.at.keyed))
						mu.Lock()
						times[name] = append(times[name], x.took)
						bodies[name] = regexp.MustCompile(`(?m)^Date: .*\r\n`).ReplaceAll(x.raw, nil)
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			a.judge("unknown keys", "alice", &exchange{})
			var fastest []time.Duration
			for name, took := range times {
				fastest = append(fastest, slices.Min(took))
				if name != "none" && !bytes.Equal(bodies[name], bodies["unknown"]) {
					a.hole("a key that is %s is answered by\n%s\nand not by\n%s", name, bodies[name], bodies["unknown"])
				}
				if !bytes.HasPrefix(bodies[name], []byte("HTTP/1.1 401 ")) {
					a.hole("a key that is %s is answered by %.60q", name, bodies[name])
				}
			}
			// A lookup that gave something away would do so in microseconds; that the
			// delay is the same, and there, is what can be seen from outside.
			if low, high := slices.Min(fastest), slices.Max(fastest); low < 150*time.Millisecond || high-low > 100*time.Millisecond {
				a.hole("answers take from %v to %v: %v", low, high, times)
			}
		}},

	{31, "health bypass",
		"User agents and headers of health checks and load balancers come without a key: they are refused as any other, and nothing reaches the upstream.",
		pointless, func(a *attempt) {
			var requests []string
			for _, agent := range []string{"GoogleHC/1.0", "ELB-HealthChecker/2.0", "kube-probe/1.29", "AlwaysOn", "Consul Health Check", "HAProxy", "Edge Health Probe", "oauth2-proxy"} {
				requests = append(requests, "GET /gis/x HTTP/1.1\n{host}\nUser-Agent: "+agent+"\nConnection: close\n\n")
			}
			for _, path := range []string{"/gis/ping", "/gis/healthz", "/gis/rest/info/healthcheck", "/portal/portaladmin/healthCheck?f=json", "/ping", "/healthz", "/robots.txt", "/oauth2/auth"} {
				requests = append(requests, "GET "+path+" HTTP/1.1\n{host}\nUser-Agent: GoogleHC/1.0\nX-Health-Check: 1\nConnection: close\n\n")
			}
			a.refusedAll(requests...)
		}},
}

var outsideRows = []row{
	{20, "token follows a redirect to another host",
		"The upstream redirects to another host, by every status: the redirect is the caller's to follow, and nobody goes there with the token.",
		unmeasured, func(a *attempt) {
			for _, path := range []string{"/gis/moved", "/gis/moved307", "/gis/challenge"} {
				x, seen := a.send(get(path))
				if len(seen) != 1 || x.status() < 300 {
					a.hole("%s: is answered by %d", path, x.status())
				}
				x, _ = a.send(form(path, "f=json"))
				if x.status() < 300 {
					a.hole("%s: a form is answered by %d", path, x.status())
				}
			}
		}},

	{21, "a credential to the wrong backend",
		"Targets that would become another authority if they were joined to the upstream's, and an upstream that is down: nobody else is connected to, and the page that says so holds no secret.",
		unmeasured, func(a *attempt) {
			for _, target := range []string{"@{evil}/gis/x", ":80@{evil}/gis/x", ".evil.example/gis/x", "/gis@{evil}/x", "/@{evil}/gis/x", "/gis:80@{evil}/x", "?@{evil}/gis/x", "/gis/x?@{evil}", "/gis/@{evil}", "*", ""} {
				x, _ := a.send(get(target))
				if x.status() == 0 && len(x.raw) > 0 {
					a.hole("%s: is answered by %.100q", target, x.raw)
				}
			}
			if a.at.naive {
				return // it has one upstream
			}
			x, _ := a.send(get("/dead/x?f=json"))
			if x.status() != 502 {
				a.hole("an upstream that is down: is answered by %d", x.status())
			}
			x, _ = a.send("GET /dead/x HTTP/1.1\n{host}\n{key}\nAccept: text/html\nConnection: close\n\n")
			if x.status() != 502 {
				a.hole("an upstream that is down, by a browser: is answered by %d", x.status())
			}
			// Its own token goes to the sandbox's Portal, and nowhere else.
			x, seen := a.send(get("/portal/sharing/rest/community/self?f=json"))
			if x.status() != 200 || len(seen) != 0 {
				a.hole("the Portal: is answered by %d, %d requests arrive elsewhere", x.status(), len(seen))
			}
		}},

	{22, "open redirect after sign-in",
		"Pages of the proxy's own, those to sign in and out included, are asked to go on to another host, with a key and without: no answer leads there or shows the address as a link.",
		pointless, func(a *attempt) {
			for _, path := range []string{"/_arcproxy/", "/_arcproxy/login", "/_arcproxy/logout", "/_arcproxy/callback", "/_arcproxy/sign-in", "/oauth2/sign_in",
				"/portal/sharing/rest/oauth2/signout", "/gis/rest/logout", "/gis/rest/login", "/gis/sharing/oauth2/authorize"} {
				for _, next := range []string{"//evil.example", `\evil.example`, `/\evil.example`, "https://evil.example/", "https:evil.example", "/%09/evil.example", "javascript:alert(1)", "%0d%0aLocation:%20https://evil.example"} {
					for _, name := range []string{"next", "rd", "redirect_uri", "redirect", "returnUrl"} {
						x, seen := a.sendTo(a.at.keyed, "alice", "GET "+path+"?"+name+"="+next+" HTTP/1.1\n{host}\n{key}\nAccept: text/html\nConnection: close\n\n")
						if len(seen) > 0 {
							a.hole("%s reaches an upstream", path)
						}
						if text := string(x.raw); strings.Contains(text, "evil.example") || strings.Contains(text, "alert(1)") {
							a.hole("%s?%s=%s: the answer shows it: %.300q", path, name, next, text)
						}
					}
				}
			}
		}},

	{25, "reply mix-up",
		"Callers leave in the middle of answers, whose connections a shared pool would take for the next: nobody who comes after gets what was theirs.",
		unmeasured, func(a *attempt) {
			for i := range 20 {
				left := fmt.Sprintf("/gis/%d/half", i)
				leave, err := readSome(a.at.keyed.address, a.fill(get(left), a.at.keyed), 400)
				if err != nil {
					a.hole("%s: %v", left, err)
				}
				leave()
				mine := fmt.Sprintf("/gis/mine/%d", i)
				x := exchange1(a.at.keyed.address, a.fill(get(mine), a.at.keyed))
				if text := string(x.raw); !strings.Contains(text, mine) || strings.Contains(text, "half") {
					a.hole("%s: gets %.200q", mine, text)
				}
			}
			a.judge("callers that leave", "alice", &exchange{})
		}},

	{28, "a token in an information page",
		"Status, metrics, profiles and the like are asked for, at our own paths and at the root, and every place where an ArcGIS system takes passwords, hands out tokens and keys, ends sessions or sends requests on, with a key and without: no answer holds a secret, there are no profiles at all, and no upstream is asked for a token.",
		pointless, func(a *attempt) {
			for _, path := range []string{"/", "/_arcproxy/", "/_arcproxy/status", "/_arcproxy/metrics", "/_arcproxy/healthz", "/_arcproxy/readyz", "/_arcproxy/api/v1/status", "/_arcproxy/api/v1/state", "/_arcproxy/api/v1/events", "/_arcproxy/api/v1/identities", "/_arcproxy/debug/pprof/", "/_arcproxy/config", "/metrics", "/debug/pprof/", "/debug/pprof/heap?debug=1", "/debug/vars", "/server-status", "/.env", "/config.toml", "/state/seal.key"} {
				own := strings.HasPrefix(path, "/_arcproxy/") && !strings.HasSuffix(path, "z")
				for _, head := range []string{"{key}\n", passedOn, "{key}\nAccept: text/html\n", ""} {
					if head == "" && strings.HasSuffix(path, "/events") {
						continue // it does not end
					}
					x, seen := a.send("GET " + path + " HTTP/1.1\n{host}\n" + head + "Connection: close\n\n")
					if len(seen) > 0 {
						a.hole("%s: reaches an upstream", path)
					}
					if strings.Contains(path, "debug") && x.status() == 200 {
						a.hole("%s: is answered: %.100q", path, x.raw)
					}
					if text := strings.ToLower(x.text()); strings.Contains(text, "goroutine ") || strings.Contains(text, "password") && x.status() == 200 && head != "" {
						a.hole("%s: tells too much: %.200q", path, text)
					}
					if own && head != "" && x.status() != 401 && x.status() != 403 {
						a.hole("%s: is for operators, and is answered by %d", path, x.status())
					}
				}
			}
			for _, path := range credentialPlaces {
				for _, request := range []string{get("/gis" + path), form("/gis"+path, "username=alice&password=FORGED&f=json"), "GET /gis" + path + "?https://{evil}/x HTTP/1.1\n{host}\nAccept: text/html\nConnection: close\n\n"} {
					if x, seen := a.send(request); len(seen) > 0 || x.status() == 0 {
						a.hole("%s: reaches the upstream: %.200q", quote(request), x.raw)
					}
				}
			}
		}},
}

// passedOn makes of a request one that something on this machine passes on for a
// stranger. Without it, it is from the user who runs the proxy, who is an operator.
const passedOn = "Via: 1.1 elsewhere\n"

// credentialPlaces are where ArcGIS systems take passwords, hand out tokens and
// keys, end sessions, and send requests on, some in another spelling.
var credentialPlaces = []string{
	"/sharing/rest/generateToken", "/sharing/generateToken/", "/SHARING/REST/GENERATETOKEN", "/sharing/rest/%67enerateToken", "/sharing/rest/generateToken;x=1", "/rest/generateToken", "/admin/generateToken", "/tokens/", "/tokens/gettoken.html", "/portaladmin/generateToken",
	"/sharing/rest/oauth2/token", "/sharing/oauth2/exchangeToken", "/sharing/rest/oauth2/platformSelf", "/sharing/rest/oauth2/authorize", "/sharing/oauth2/signin", "/sharing/rest/oauth2/approval", "/sharing/rest/oauth2/revokeToken",
	"/sharing/rest/oauth2/saml/authorize", "/sharing/rest/oauth2/saml/signin", "/sharing/rest/oauth2/social/authorize", "/sharing/rest/oauth2/openid/authorize", "/sharing/oauth2/mfa", "/sharing/rest/oauth2/sessions",
	"/sharing/rest/oauth2/signout", "/rest/logout", "/admin/logout", "/portaladmin/logout", "/rest/login", "/rest/log%69n", "/admin/login", "/portaladmin/login", "/home/signin.html", "/admin/j_security_check",
	"/sharing/rest/oauth2/apps/x/resetApiKey", "/sharing/rest/community/users/alice/apiKeys", "/sharing/proxy", "/sharing/rest/proxy",
}
