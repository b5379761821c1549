package issue

import (
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// generateToken answers a Portal's and a server's generateToken, and what servers
// have at /tokens/. It has three forms:
//
//	username, password            a caller's name and key
//	token [, serverUrl]           an access token, or a key: for a federated server
//	[serverUrl]                   nothing, from a caller who is known without
//
// See Esri's "Generate token" for the Sharing API and for servers.
func (c *call) generateToken() {
	if c.r.Method != http.MethodPost {
		if c.r.Method == http.MethodGet && c.wantsPage() {
			c.tokenForm("")
			return
		}
		c.onlyPost()
		return
	}
	life, ok := c.lifetime(defaultLife)
	if !ok {
		c.noToken("'expiration' must be a number of minutes.")
		return
	}
	b, problem := c.binding()
	if problem != "" {
		c.noToken(problem)
		return
	}
	if server := c.params["serverurl"]; server != "" && !c.serves(server, c.r) {
		c.noToken("'serverUrl' is not a server of this proxy.")
		return
	}
	name, key, token := c.params["username"], c.params["password"], c.params["token"]
	var h holder
	switch {
	case name != "" && token != "":
		c.noToken("Send either 'username' and 'password', or 'token'.")
		return
	case name != "" && key != "":
		h.caller, ok = c.callers.Verify(c.r.Context(), c.r, name, key)
		problem = "Invalid username or password."
	case name != "":
		ok, problem = false, "'password' must be specified."
	case key != "":
		ok, problem = false, "'username' must be specified."
	case token != "":
		h, ok = c.resolve(token)
		problem = "The token is not known here, or has ended; sign in again."
	default:
		h.caller, ok = c.callers.Known(c.r)
		problem = "'username' must be specified."
	}
	if !ok {
		c.refused(problem)
		c.noToken(problem)
		return
	}
	text, life := c.trade(h, b, life)
	ends := time.Now().Add(life)
	if c.wantsPage() {
		c.page(http.StatusOK, notice{Title: "Token", Shown: text, Until: ends.UTC().Format(time.RFC1123)})
		return
	}
	c.json(http.StatusOK, struct {
		Token   string `json:"token"`
		Expires int64  `json:"expires"` // Unix milliseconds
		SSL     bool   `json:"ssl"`
	}{text, ends.UnixMilli(), true})
}

// binding returns what `client` asks the token to be bound to, or what is wrong
// with it.
func (c *call) binding() (b binding, problem string) {
	switch client := c.params["client"]; strings.ToLower(client) {
	case "":
	case "referer", "referrer":
		b.referer = c.params["referer"]
		if b.referer == "" {
			b.referer = c.params["referrer"] // servers before 10.1
		}
		if b.referer == "" || len(b.referer) > maxReferer {
			return b, "'referer' must be specified."
		}
	case "ip":
		addr, err := netip.ParseAddr(c.params["ip"])
		if err != nil || addr.Zone() != "" {
			return b, "'ip' must be specified."
		}
		b.addr = addr.Unmap()
	case "requestip":
		if b.addr = remote(c.r); !b.addr.IsValid() {
			return b, "The address of this request is not known."
		}
	default:
		return b, "'client' must be referer, ip or requestip."
	}
	return b, ""
}

// noToken answers that no token was issued.
func (c *call) noToken(why string) {
	if c.wantsPage() {
		c.failed(http.StatusBadRequest, why)
		c.tokenForm(why)
		return
	}
	c.fail(http.StatusOK, failure{Code: http.StatusBadRequest, Message: "Unable to generate token.", Details: []string{why}})
}

// tokenForm shows a form for a user name and password.
func (c *call) tokenForm(message string) {
	c.page(http.StatusOK, notice{Title: "Generate Token", Message: message, Action: "/" + c.mount + "/generateToken", Expiration: true})
}
