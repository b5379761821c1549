package attack

import (
	"strings"
	"testing"
)

// Forged marks everything that an attacker says and no upstream may hear:
// credentials, names, addresses.
const forged = "FORGED"

// methods may reach an upstream; no others.
const methods = "GET HEAD POST PUT PATCH DELETE"

// breaksOff is where requests are sent that net/http breaks off by itself: they may
// be on their way to the upstream still when their answer, and the next one's, is there.
const breaksOff = "/gis/breaks-off"

// judge says what is wrong about the requests that reached the upstream, and
// about the answer, whatever was sent; and returns the requests that are whole.
func (a *attempt) judge(sent, identity string, x *exchange) []record {
	a.Helper()
	var seen []record
	what := quote(sent)
	for _, r := range a.at.up.take() {
		if r.target == breaksOff && !strings.Contains(sent, breaksOff) {
			continue
		}
		// A stream is passed on until it breaks. Its beginning may be recorded
		// after its answer, and is no request.
		if !r.broken {
			seen = append(seen, r)
		}
		for _, why := range a.faults(&r, identity) {
			a.hole("%s: the upstream gets %s: %.400q", what, why, r.String())
		}
	}
	if n := a.at.trap.caught(a.T); n > 0 {
		a.hole("%s: a foreign host is connected to %d times", what, n)
	}
	if x.hung {
		a.hole("%s: no end after %v: %.200q", what, exchangeLimit, x.raw)
	}
	text := x.text()
	for _, secret := range a.at.secrets() {
		if strings.Contains(text, secret) {
			a.hole("%s: the answer holds a secret, %q: %.400q", what, secret, text)
		}
	}
	for _, answer := range x.answers {
		if to := answer.header.Get("Location"); strings.Contains(to, "evil.example") {
			a.hole("%s: the answer leads to %s", what, to)
		}
	}
	return seen
}

// faults says what is wrong with a request that reached the upstream.
func (a *attempt) faults(r *record, identity string) (faults []string) {
	fault := func(why string) { faults = append(faults, why) }
	if !strings.Contains(" "+methods+" ", " "+r.method+" ") {
		fault("the method " + r.method)
	}
	if r.host != a.at.up.server.Listener.Addr().String() {
		fault("another Host")
	}
	path, _, _ := strings.Cut(r.target, "?")
	if why := leaves(path); why != "" {
		fault("a path that " + why)
	}
	if strings.Contains(r.target, "smuggled") {
		fault("a request that was hidden in another")
	}
	// The token, once, where it belongs. A WebSocket has it in its query.
	token := a.at.tokens[identity]
	upgrade, got := r.header["Upgrade"], r.header["X-Esri-Authorization"]
	carried := len(got) == 1 && got[0] == "Bearer "+token
	if len(upgrade) > 0 {
		carried = len(got) == 0 && strings.Count(r.target, "token="+token) == 1
	}
	if !carried {
		fault("not exactly the token that it should")
	}
	rest := strings.Replace(r.String(), "X-Esri-Authorization: Bearer "+token, "", 1)
	if len(upgrade) > 0 {
		if len(upgrade) > 1 || !strings.EqualFold(upgrade[0], "websocket") || r.method != "GET" {
			fault("an upgrade to something other than a WebSocket")
		}
		rest = strings.Replace(rest, "token="+token, "", 1)
	}
	if strings.Contains(rest, forged) {
		fault("what the caller forged")
	}
	for _, secret := range a.at.secrets() {
		if strings.Contains(rest, secret) {
			fault("a secret that is none of its business: " + secret)
		}
	}
	return faults
}

// leaves says how a path would lead out of the upstream's mount for somebody who
// decodes it, drops path parameters, takes backslashes for slashes, and resolves
// dots, in any number of rounds; "" if it would not.
func leaves(path string) string {
	for round := 0; ; round++ {
		depth := 0
		for i, segment := range strings.Split(strings.ReplaceAll(path, `\`, "/"), "/") {
			name, _, _ := strings.Cut(segment, ";")
			switch {
			case i == 0 && name != "":
				return "does not begin with a slash"
			case name == "" || name == ".":
			case name == "..":
				if depth--; depth < 1 {
					return "leaves the mount"
				}
			default:
				if depth++; depth == 1 && name != mount {
					return "is outside of the mount"
				}
			}
		}
		decoded := decodeOnce(path)
		if decoded == path || round == 4 {
			return ""
		}
		path = decoded
	}
}

// decodeOnce decodes what is percent-encoded, and the overlong forms of dot and
// slash that lax decoders accept.
func decodeOnce(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			high, low := hexDigit(path[i+1]), hexDigit(path[i+2])
			if high >= 0 && low >= 0 {
				b.WriteByte(byte(high<<4 | low))
				i += 2
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return strings.NewReplacer("\xc0\xae", ".", "\xc0\xaf", "/").Replace(b.String())
}

func hexDigit(c byte) int {
	return strings.IndexByte("0123456789abcdef", c|0x20)
}

func TestLeaves(t *testing.T) {
	for path, want := range map[string]bool{
		"/gis/x": false, "/gis": false, "/gis//x": false, "/gis/a/../b": false, "/gis/a%20b;c=d": false, "/gis/..a": false,
		"/gis/../admin": true, "/admin": true, "//evil/x": true, "/gis/..%2fadmin": true, "/gis/%252e%252e/x": true, `/gis\..\x`: true,
		"/gis/..;a=b/x": true, "/gis/%c0%ae%c0%ae/x": true, "gis/x": true, "evil:443": true,
	} {
		if got := leaves(path) != ""; got != want {
			t.Errorf("leaves(%q) = %q", path, leaves(path))
		}
	}
}
