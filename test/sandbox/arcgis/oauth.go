package arcgis

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// outOfBand is the redirect URI of programs that cannot be redirected to: the
// code is shown on a page instead.
const outOfBand = "urn:ietf:wg:oauth:2.0:oob"

// pending is a sign-in that has begun, known by its oauth_state and, once it has
// been handed to the identity provider, by its RelayState.
type pending struct {
	app       *App
	kind      string // response_type
	redirect  string
	state     string
	minutes   *int // the expiration parameter; nil: not given
	challenge string
	method    string
	requestID string       // of the AuthnRequest
	oidc      *oidcPending // nil: not handed over by OpenID Connect
	machine   string       // the value of the sticky cookie that must come back; "": none was set
	member    *Member
	expires   time.Time
}

// code is an authorization code.
type code struct {
	pending
	used bool
}

// authorize answers GET oauth2/authorize: the sign-in page, with what a browser's
// script needs to go on in oAuthInfo.
func (c *call) authorize() {
	q, ok := c.begin()
	if !ok {
		return
	}
	if q.member = c.remembered(); q.member != nil {
		c.finish(q)
		return
	}
	switch {
	case c.shape.OIDC == OIDCOnly:
		c.oidcHandOff(q)
		return
	case c.shape.SAMLOnly:
		c.handOff(q)
		return
	}
	c.p.mu.Lock()
	state := c.p.mint()
	c.p.pending[state] = q
	c.p.mu.Unlock()
	c.signInPage(state, nil)
}

// begin reads the parameters of an authorization request. It answers and reports
// false if they are not right.
func (c *call) begin() (*pending, bool) {
	i := slices.IndexFunc(c.p.cfg.Apps, func(a App) bool { return a.ID == c.get("client_id") })
	if i < 0 {
		c.authorizeError("Invalid client_id")
		return nil, false
	}
	q := &pending{
		app:       &c.p.cfg.Apps[i],
		kind:      c.get("response_type"),
		redirect:  c.get("redirect_uri"),
		state:     c.get("state"),
		challenge: c.get("code_challenge"),
		method:    c.get("code_challenge_method"),
		expires:   time.Now().Add(c.p.lifetimes().state),
	}
	if !slices.Contains(q.app.RedirectURIs, q.redirect) {
		c.authorizeError("Invalid redirect_uri")
		return nil, false
	}
	if q.kind != "code" && q.kind != "token" {
		c.authorizeError("Invalid response_type")
		return nil, false
	}
	if q.challenge != "" {
		if q.method == "" {
			q.method = "plain"
		}
		if q.method != "S256" && q.method != "plain" {
			c.authorizeError("Invalid code_challenge_method")
			return nil, false
		}
	}
	if e := c.get("expiration"); e != "" {
		minutes, err := strconv.Atoi(e)
		if err != nil || minutes < -1 {
			c.authorizeError("Invalid expiration")
			return nil, false
		}
		q.minutes = &minutes
	}
	return q, true
}

// authorizeError shows what is wrong with a request that cannot be answered to
// the application, because the application is not known.
func (c *call) authorizeError(text string) {
	status := http.StatusOK
	if c.p.choose.one(2, func(s *Shape) Choice { return s.RealStatus }) {
		status = http.StatusBadRequest
	}
	c.html(status, "ArcGIS Enterprise", "Error: "+html.EscapeString(text))
}

// signInPage sends the page of a sign-in that goes on under oauth_state.
func (c *call) signInPage(state string, messages []string) {
	p := c.p
	info := map[string]any{
		"oauth_state": state,
		"portal":      map[string]any{"name": "Sandbox", "id": p.orgID, "urlKey": nil, "portalHostname": p.cfg.Site.Host + "/portal"},
		"federationInfo": map[string]any{
			"idpName":         "Okta",
			"idpAuthorizeUrl": p.base + "/sharing/rest/oauth2/saml/authorize",
		},
		"locale":            "en",
		"persist":           false,
		"signInUrl":         p.base + "/sharing/rest/oauth2/signin",
		"appTitle":          "arcproxy {under} test; \"quoted\"", // what a regular expression would trip over
		"helpUrl":           p.base + "/portalhelp/en/",
		"termsAndCondition": nil,
	}
	if messages != nil {
		info["messages"] = messages
	}
	if c.shape.OIDC == OIDCAlone {
		delete(info, "federationInfo")
	}
	object, err := json.Marshal(info) // this one escapes <, > and &, so it can stand in a script
	if err == nil && c.shape.OIDC != OIDCOff {
		object, err = c.withOIDC(object, state)
	}
	if err != nil {
		c.page(http.StatusInternalServerError, "Error", "cannot encode oAuthInfo")
		return
	}
	end := ""
	if p.choose.one(2, func(s *Shape) Choice { return s.Semicolon }) {
		end = ";"
	}
	c.w.Header().Set("Cache-Control", "no-store")
	c.html(http.StatusOK, "Sign In", "<div id=\"loginBox\"></div>\n<script type=\"text/javascript\">\n  var oAuthInfo = "+string(object)+end+"\n  require([\"oauth/signin\"], function (s) { s.start({oAuthInfo: oAuthInfo}); })\n</script>")
}

// lookUp finds a sign-in that has begun and has not run out.
func (p *Portal) lookUp(state string) *pending {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.pending[state]
	if state == "" || q == nil {
		return nil
	}
	if !time.Now().Before(q.expires) {
		delete(p.pending, state)
		return nil
	}
	return q
}

func (p *Portal) lifetimes() lifetimes {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life
}

// finish ends a sign-in whose member is known: with an interstitial if one is
// due, else with a code or token for the application.
func (c *call) finish(q *pending) {
	p := c.p
	p.mu.Lock()
	settled := p.settled[q.member.Username]
	p.mu.Unlock()
	if !settled && (c.shape.Terms || c.shape.Profile) {
		p.mu.Lock()
		state := p.mint()
		p.pending[state] = q
		p.mu.Unlock()
		where := "acceptTermsAndConditions"
		if !c.shape.Terms {
			where = "updateUserProfile"
		}
		c.redirect(p.base + "/sharing/rest/oauth2/" + where + "?oauth_state=" + url.QueryEscape(state))
		return
	}
	if q.kind == "token" {
		c.finishImplicit(q)
		return
	}
	p.mu.Lock()
	text := p.mint()
	grant := &code{pending: *q}
	grant.expires = time.Now().Add(p.life.code)
	p.codes[text] = grant
	p.counts.Codes++
	p.mu.Unlock()
	if q.redirect == outOfBand {
		c.redirect(p.base + "/sharing/rest/oauth2/approval?code=" + url.QueryEscape(text))
		return
	}
	to, err := url.Parse(q.redirect)
	if err != nil {
		c.authorizeError("Invalid redirect_uri")
		return
	}
	params := to.Query()
	params.Set("code", text)
	if q.state != "" {
		params.Set("state", q.state)
	}
	to.RawQuery = params.Encode()
	c.redirect(to.String())
}

// finishImplicit hands out an access token in the fragment of the redirect.
func (c *call) finishImplicit(q *pending) {
	// Implicit tokens last two hours unless asked for otherwise, and two weeks at most.
	life := 2 * time.Hour
	if q.minutes != nil && *q.minutes > 0 {
		life = time.Duration(*q.minutes) * time.Minute
	}
	life = min(life, 14*24*time.Hour)
	c.p.mu.Lock()
	t := c.p.issue(token{member: q.member, app: q.app.ID, redirect: q.redirect}, life)
	c.p.counts.TokenGrants++
	c.p.mu.Unlock()
	fragment := url.Values{
		"access_token": {t.value},
		"expires_in":   {strconv.Itoa(int(life / time.Second))},
		"username":     {q.member.Username},
		"ssl":          {"true"},
		"persist":      {"false"},
	}
	if q.state != "" {
		fragment.Set("state", q.state)
	}
	c.redirect(q.redirect + "#" + fragment.Encode())
}

// approval shows the code to programs that cannot be redirected to.
func (c *call) approval() {
	text := c.get("code")
	c.p.mu.Lock()
	grant := c.p.codes[text]
	good := grant != nil && grant.redirect == outOfBand && !grant.used && time.Now().Before(grant.expires)
	c.p.mu.Unlock()
	if !good {
		c.authorizeError("Invalid code")
		return
	}
	c.w.Header().Set("Cache-Control", "no-store")
	c.html(http.StatusOK, "SUCCESS code="+text,
		`<p>Please copy this code, switch to your application and paste it there:</p><input id="code" readonly value="`+html.EscapeString(text)+`">`)
}

// interstitial answers acceptTermsAndConditions and updateUserProfile: a page on
// GET, and on with the sign-in on a POST that says what was asked.
func (c *call) interstitial(name string, done bool) {
	state := c.get("oauth_state")
	q := c.p.lookUp(state)
	if q == nil || q.member == nil {
		c.authorizeError("Invalid oauth_state")
		return
	}
	if c.r.Method != http.MethodPost || !done {
		c.html(http.StatusOK, "ArcGIS Enterprise", `<form method="post" action="`+html.EscapeString(c.p.base+"/sharing/rest/oauth2/"+name)+
			`"><input type="hidden" name="oauth_state" value="`+html.EscapeString(state)+`"><button>Continue</button></form>`)
		return
	}
	c.p.mu.Lock()
	delete(c.p.pending, state)
	c.p.settled[q.member.Username] = true
	c.p.mu.Unlock()
	c.finish(q)
}

// platformSelf answers oauth2/platformSelf, by which an application of the Portal's
// own host takes up the session of whoever is signed in.
func (c *call) platformSelf() {
	app := c.r.Header.Get("X-Esri-Auth-Client-Id")
	if !slices.ContainsFunc(c.p.cfg.Apps, func(a App) bool { return a.ID == app }) {
		c.oauthError(400, "invalid_client_id", "Invalid client_id")
		return
	}
	if !c.authenticate(true) {
		return
	}
	if c.member == nil {
		c.demandToken()
		return
	}
	c.p.mu.Lock()
	t := c.p.issue(token{member: c.member, app: app}, c.p.life.access)
	c.p.mu.Unlock()
	c.replyJSON(map[string]any{"username": c.member.Username, "token": t.value, "expires_in": int(time.Until(t.expires).Seconds()), "portalUrl": c.p.base})
}

// relay writes the page or redirect that carries an AuthnRequest to the identity provider.
func (c *call) relay(form []byte) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<noscript>Press the button to go on to your organization's sign-in.</noscript>\n%s", form)
	c.w.Header().Set("Cache-Control", "no-store")
	c.html(http.StatusOK, "SAML POST", b.String())
}
