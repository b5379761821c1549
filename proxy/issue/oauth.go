package issue

import (
	"net/http"
	"net/url"
	"time"
)

// grant is the answer of oauth2/token.
type grant struct {
	AccessToken      string `json:"access_token"`
	ExpiresIn        int64  `json:"expires_in"` // seconds
	Username         string `json:"username,omitempty"`
	SSL              bool   `json:"ssl,omitempty"`
	RefreshToken     string `json:"refresh_token,omitempty"`
	RefreshExpiresIn int64  `json:"refresh_token_expires_in,omitempty"` // seconds
}

// token answers oauth2/token (RFC 6749, section 3.2, with what Esri adds).
func (c *call) token() {
	if c.onlyPost() {
		return
	}
	switch c.params["grant_type"] {
	case "client_credentials":
		c.clientCredentials()
	case "authorization_code":
		c.redeem()
	case "refresh_token":
		c.refresh()
	case "exchange_refresh_token":
		c.renew()
	case "suspend_session": // the ArcGIS API for Python, when it is done
		c.store.Revoke(c.params["refresh_token"])
		c.json(http.StatusOK, map[string]bool{"success": true})
	case "":
		c.oauthFail(http.StatusBadRequest, "invalid_request", "grant_type not specified")
	default:
		c.oauthFail(http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type")
	}
}

// clientCredentials takes a caller for an application: its name for the client_id
// and its key for the client_secret.
func (c *call) clientCredentials() {
	life, ok := c.lifetime(appLife)
	if !ok {
		c.oauthFail(http.StatusBadRequest, "invalid_request", "Invalid expiration")
		return
	}
	name, key := c.params["client_id"], c.params["client_secret"]
	caller := ""
	if ok = name != "" && key != ""; ok {
		caller, ok = c.callers.Verify(c.r.Context(), c.r, name, key)
	}
	if !ok {
		c.refused("wrong client_id or client_secret")
		c.oauthFail(http.StatusBadRequest, "invalid_client_id", "Invalid client_id or client_secret")
		return
	}
	text := c.issue(&record{kind: access, caller: caller}, life)
	c.json(http.StatusOK, grant{AccessToken: text, ExpiresIn: seconds(life)})
}

// redeem trades a code for an access token and a refresh token.
func (c *call) redeem() {
	rec, err := c.store.spend(c.params["code"], code) // whatever follows: a code has one try
	switch {
	case err != nil:
		c.unable(err)
		return
	case rec == nil:
		c.refused("no such code")
		c.oauthFail(http.StatusBadRequest, "invalid_request", "Invalid authorization code")
		return
	case rec.flow.client != c.params["client_id"]:
		c.oauthFail(http.StatusBadRequest, "invalid_client_id", "Invalid client_id")
		return
	case rec.flow.redirect != c.params["redirect_uri"]:
		c.oauthFail(http.StatusBadRequest, "invalid_request", "Invalid redirect_uri")
		return
	case !rec.flow.challenge.met(c.params["code_verifier"]):
		c.oauthFail(http.StatusBadRequest, "invalid_request", "Invalid code_verifier")
		return
	}
	c.session(rec, rec.flow.life)
}

// session answers with a new refresh token of the sign-in that began with a code,
// and an access token.
func (c *call) session(begun *record, life time.Duration) {
	r := &record{kind: refresh, caller: begun.caller, flow: begun.flow, parent: begun}
	a := &record{kind: access, caller: begun.caller, parent: r}
	long, short := c.issue(r, life), min(accessLife, life)
	c.json(http.StatusOK, grant{
		AccessToken:      c.issue(a, short),
		ExpiresIn:        seconds(short),
		Username:         c.username(begun.caller),
		SSL:              true,
		RefreshToken:     long,
		RefreshExpiresIn: seconds(life),
	})
}

// unable answers that a token can't be traded now. It stays good.
func (c *call) unable(err error) {
	c.refused(err.Error())
	c.fail(http.StatusServiceUnavailable, failure{
		Code: http.StatusServiceUnavailable, Error: "temporarily_unavailable",
		Message: "This cannot be traded now; try again later.",
		Details: []string{"The proxy cannot write down that it was used. Its log says why."},
	})
}

// refreshable returns the record of the refresh token that was presented, nil if
// it is not good, which has been answered.
func (c *call) refreshable() *record {
	rec, expired := c.store.look(c.params["refresh_token"], refresh)
	switch {
	case rec == nil:
		c.refused("no such refresh token")
		c.oauthFail(http.StatusBadRequest, "invalid_request", "Invalid refresh_token")
	case expired:
		c.oauthFail(498, "invalid_request", "refresh_token expired")
	case rec.flow.client != c.params["client_id"]:
		c.oauthFail(http.StatusBadRequest, "invalid_client_id", "Invalid client_id")
	default:
		return rec
	}
	return nil
}

// refresh trades a refresh token for an access token.
func (c *call) refresh() {
	rec := c.refreshable()
	if rec == nil {
		return
	}
	life := min(accessLife, rec.left())
	c.json(http.StatusOK, grant{
		AccessToken: c.issue(&record{kind: access, caller: rec.caller, parent: rec}, life),
		ExpiresIn:   seconds(life),
		Username:    c.username(rec.caller),
		SSL:         true,
	})
}

// renew trades a refresh token for another. Access tokens of the old one are good
// until they expire.
func (c *call) renew() {
	rec := c.refreshable()
	if rec == nil {
		return
	}
	if rec.flow.redirect != c.params["redirect_uri"] {
		c.oauthFail(http.StatusBadRequest, "invalid_request", "Invalid redirect_uri")
		return
	}
	spent, err := c.store.spend(c.params["refresh_token"], refresh)
	if err != nil {
		c.unable(err)
		return
	}
	if spent == nil {
		c.oauthFail(http.StatusBadRequest, "invalid_request", "Invalid refresh_token")
		return
	}
	c.session(rec.root(), rec.flow.life)
}

// exchangeToken trades an access token, or a caller key, for one of another
// application.
func (c *call) exchangeToken() {
	if c.onlyPost() {
		return
	}
	h, ok := holder{}, false
	if token := c.params["token"]; token != "" {
		h, ok = c.resolve(token)
	}
	if !ok {
		c.refused("no such token to exchange")
		c.fail(http.StatusOK, failure{Code: http.StatusBadRequest, Message: "Unable to exchange token.", Details: []string{"The token is not known here, or has ended; sign in again."}})
		return
	}
	text, _ := c.trade(h, binding{}, min(defaultLife, c.longest))
	c.json(http.StatusOK, map[string]string{"token": text})
}

// revokeToken ends the token that was presented. Whoever has it may: an
// application's client_id says nothing about who that is. It says success whatever
// was presented, as the Portal does and RFC 7009 (section 2.2) wants.
func (c *call) revokeToken() {
	if c.onlyPost() {
		return
	}
	c.store.Revoke(c.params["auth_token"])
	c.json(http.StatusOK, map[string]bool{"success": true})
}

// platformSelf gives an Esri application that runs beside the Portal a token of
// whoever is signed in: here, of the caller who is known without one. Its headers
// are such as no page of another site can send unasked.
func (c *call) platformSelf() {
	if c.onlyPost() {
		return
	}
	fail := func(text string) {
		c.fail(http.StatusOK, failure{Code: http.StatusBadRequest, Message: text})
	}
	client := c.r.Header.Get("X-Esri-Auth-Client-Id")
	u, ok := parseRedirect(c.r.Header.Get("X-Esri-Auth-Redirect-Uri"))
	switch {
	case client == "":
		fail("Invalid client_id")
		return
	case !ok || c.where(u, c.r) == foreign:
		fail("Invalid redirect_uri")
		return
	}
	caller, ok := c.callers.Known(c.r)
	if !ok {
		c.refused("platformSelf for nobody known")
		fail("Nobody is signed in: this proxy knows the caller by neither a key nor an address.")
		return
	}
	life := min(appLife, c.longest)
	c.json(http.StatusOK, struct {
		Username  string `json:"username,omitempty"`
		Token     string `json:"token"`
		ExpiresIn int64  `json:"expires_in"` // seconds
		PortalURL string `json:"portalUrl"`
	}{c.username(caller), c.issue(&record{kind: access, caller: caller}, life), seconds(life), c.base("/" + c.mount).String()})
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// base returns the address by which r reached the proxy, with a path.
func (c *call) base(path string) *url.URL {
	u := &url.URL{Scheme: "http", Host: c.r.Host, Path: path}
	if c.r.TLS != nil {
		u.Scheme = "https"
	}
	// TLS may end before this proxy.
	if public := c.public; authority(&url.URL{Scheme: public.Scheme, Host: c.r.Host}) == authority(public) {
		u.Scheme = public.Scheme
	}
	return u
}
