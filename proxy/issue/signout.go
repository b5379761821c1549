package issue

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// maxCookie is the longest cookie that is looked into, in bytes.
const maxCookie = 4 << 10

// signout answers where Esri's applications send a person who signs out, at
// oauth2/signout and at the logout of a directory. The Portal would end the session
// that its own cookie names, or have Okta end its. Here is no such session: what
// ends is the token of the proxy's own that this browser or script has, and with
// it whatever was traded for it. Nobody else's, and never the real one, which is
// shared by everybody who acts as that person. Who is known by an address, a user
// or a certificate stays so.
func (c *call) signout() {
	for _, name := range []string{"X-Esri-Authorization", "Authorization"} {
		for _, value := range c.r.Header[name] {
			if kind, token, _ := strings.Cut(strings.TrimSpace(value), " "); strings.EqualFold(kind, "Bearer") {
				c.store.Revoke(strings.TrimSpace(token))
			}
		}
	}
	c.store.Revoke(c.params["token"])
	cookies := c.r.CookiesNamed(sessionCookie)
	// The browser sends it along with whatever any page makes it ask for.
	back, leads := c.leadsBack()
	if len(cookies) > 0 && c.fromElsewhere() {
		var targets []string
		if leads {
			targets = append(targets, origin(back))
		}
		c.page(http.StatusOK, notice{Title: "Sign Out", Message: "Another site has asked to sign you out here.", SignOut: true}, targets...)
		return
	}
	for _, cookie := range cookies {
		c.store.Revoke(tokenIn(cookie.Value))
	}
	h := c.headers()
	h.Add("Set-Cookie", sessionCookie+"=; Path=/; Max-Age=0; SameSite=Lax")
	if leads {
		c.redirect(back, "", "")
		return
	}
	if f := c.params["f"]; strings.EqualFold(f, "json") || strings.EqualFold(f, "pjson") {
		c.json(http.StatusOK, map[string]bool{"success": true})
		return
	}
	c.page(http.StatusOK, notice{
		Title:   "Signed Out",
		Message: "The token that this browser had of the proxy has ended. Whoever is known by an address, a user or a certificate needs none, and stays known.",
		Link:    "/" + c.mount + "/",
	})
}

// sessionCookie is where Esri's pages keep the token that they were given, as JSON.
const sessionCookie = "esri_auth"

// tokenIn returns the token in such a cookie, "" if there is none.
func tokenIn(cookie string) string {
	if len(cookie) > maxCookie {
		return ""
	}
	text, err := url.PathUnescape(cookie)
	if err != nil {
		return ""
	}
	var held struct {
		Token string `json:"token"`
	}
	if json.Unmarshal([]byte(text), &held) != nil {
		return ""
	}
	return held.Token
}

// fromElsewhere reports whether a page of another site, and not of a configured
// origin, has made the browser send the request.
func (c *call) fromElsewhere() bool {
	for _, name := range []string{"Origin", "Referer"} {
		if text := c.r.Header.Get(name); text != "" {
			u, ok := webURL(text)
			return !ok || c.where(u, c.r) != own && !c.origins[origin(u)]
		}
	}
	switch c.r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	return true
}

// leadsBack returns where to go on: to a page below a mount, to a program on the
// machine of the person, or to a page of a configured origin.
func (c *call) leadsBack() (*url.URL, bool) {
	text := c.params["redirect_uri"]
	if text == "" {
		text = c.params["redirect"] // of a server's directory
	}
	u, ok := parseRedirect(text)
	if !ok {
		return nil, false
	}
	switch c.where(u, c.r) {
	case loopback, page:
		return u, true
	case own:
		first, _ := next(u.EscapedPath())
		return u, c.mounts[first]
	}
	return nil, false
}
