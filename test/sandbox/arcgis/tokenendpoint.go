package arcgis

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"slices"
	"time"
)

// oauthError answers as oauth2/token does.
func (c *call) oauthError(code int, kind, description string) {
	status, format := http.StatusOK, c.format()
	if c.p.choose.one(2, func(s *Shape) Choice { return s.RealStatus }) {
		status = http.StatusBadRequest
	}
	if format == "html" {
		format = "json"
	}
	c.send(status, map[string]any{"error": map[string]any{
		"code": code, "error": kind, "error_description": description, "message": description, "details": []string{},
	}}, format)
}

// exposes reports whether a request has one of these parameters in its URL, where
// logs keep it, and refuses it then. What a real Portal does is unproven.
func (c *call) exposes(names ...string) bool {
	query := parsePairs(c.r.URL.RawQuery)
	if !slices.ContainsFunc(names, query.Has) {
		return false
	}
	c.p.mu.Lock()
	c.p.counts.Exposed++
	c.p.mu.Unlock()
	c.oauthError(400, "invalid_request", "Credentials are not taken from a URL")
	return true
}

// tokenEndpoint answers POST oauth2/token.
func (c *call) tokenEndpoint() {
	c.w.Header().Set("Cache-Control", "no-store")
	if c.r.Method != http.MethodPost {
		c.oauthError(405, "invalid_request", "Only POST is supported")
		return
	}
	if c.exposes("code", "code_verifier", "refresh_token") {
		return
	}
	i := slices.IndexFunc(c.p.cfg.Apps, func(a App) bool { return a.ID == c.get("client_id") })
	if i < 0 {
		c.oauthError(400, "invalid_client_id", "Invalid client_id")
		return
	}
	switch c.get("grant_type") {
	case "authorization_code":
		c.redeem()
	case "refresh_token":
		c.refresh(false)
	case "exchange_refresh_token":
		c.refresh(true)
	default:
		c.oauthError(400, "invalid_grant_type", "Invalid grant_type")
	}
}

// redeem exchanges a code for tokens.
func (c *call) redeem() {
	p := c.p
	p.mu.Lock()
	grant := p.codes[c.get("code")]
	good := grant != nil && !grant.used && time.Now().Before(grant.expires) && grant.app.ID == c.get("client_id")
	if good {
		grant.used = true // even if what follows fails: a code has one try
	}
	p.mu.Unlock()
	switch {
	case !good:
		c.oauthError(400, "invalid_request", "Invalid authorization code")
		return
	case grant.redirect != c.get("redirect_uri"):
		c.oauthError(400, "invalid_request", "Invalid redirect_uri")
		return
	case !proves(grant.method, grant.challenge, c.get("code_verifier")):
		c.oauthError(400, "invalid_request", "Invalid code_verifier")
		return
	}
	p.mu.Lock()
	life := p.life.refresh
	if grant.minutes != nil {
		life = time.Duration(*grant.minutes) * time.Minute
		if *grant.minutes <= 0 {
			life = p.life.maxRefresh
		}
	}
	life = min(life, p.life.maxRefresh)
	r := p.issue(token{refresh: true, member: grant.member, app: grant.app.ID, redirect: grant.redirect}, life)
	a := p.issue(token{member: grant.member, app: grant.app.ID, redirect: grant.redirect, parent: r}, p.life.access)
	p.counts.TokenGrants++
	p.mu.Unlock()
	c.grant(a, r)
}

// proves checks a PKCE verifier against the challenge of the authorization
// request (RFC 7636 §4.6). A verifier without a challenge is not accepted.
func proves(method, challenge, verifier string) bool {
	if challenge == "" {
		return verifier == ""
	}
	if method == "S256" {
		if len(verifier) < 43 || len(verifier) > 128 {
			return false
		}
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return subtle.ConstantTimeCompare([]byte(verifier), []byte(challenge)) == 1
}

// grant answers with an access token and, if r is not nil, a refresh token.
func (c *call) grant(a, r *token) {
	answer := map[string]any{
		"access_token": a.value,
		"expires_in":   int(time.Until(a.expires).Round(time.Second) / time.Second),
		"username":     a.member.Username,
		"ssl":          true,
	}
	if r != nil && !c.shape.NoRefresh {
		answer["refresh_token"] = r.value
		if c.p.choose.one(2, func(s *Shape) Choice { return s.RefreshExpiry }) {
			answer["refresh_token_expires_in"] = int(time.Until(r.expires).Round(time.Second) / time.Second)
		}
	}
	c.replyJSON(answer)
}

// refresh answers grant_type=refresh_token, which gives a new access token, and
// exchange_refresh_token, which gives a new refresh token too and ends the old one.
func (c *call) refresh(exchange bool) {
	p := c.p
	now := time.Now()
	p.mu.Lock()
	old := p.tokens[c.get("refresh_token")]
	problem, code := "", 400
	switch {
	case old == nil || !old.refresh || old.revoked:
		problem = "Invalid refresh_token"
	case !now.Before(old.expires):
		problem, code = "refresh_token expired", 498
	case old.app != c.get("client_id"):
		problem = "Invalid client_id"
	case exchange && old.redirect != c.get("redirect_uri"):
		problem = "Invalid redirect_uri"
	}
	if problem != "" {
		p.counts.RefreshRefused++
		p.mu.Unlock()
		c.oauthError(code, "invalid_request", problem)
		return
	}
	r := old
	var shown *token
	if exchange || c.shape.RefreshTokenDances {
		r = p.issue(token{refresh: true, member: old.member, app: old.app, redirect: old.redirect}, p.life.refresh)
		old.revoked = true
		shown = r
	}
	a := p.issue(token{member: r.member, app: r.app, redirect: r.redirect, parent: r}, p.life.access)
	if exchange {
		p.counts.Exchanges++
	} else {
		p.counts.Refreshes++
	}
	p.mu.Unlock()
	c.grant(a, shown)
}

// revoke answers POST oauth2/revokeToken. It says success whatever it was given.
func (c *call) revoke() {
	if c.r.Method != http.MethodPost {
		c.oauthError(405, "invalid_request", "Only POST is supported")
		return
	}
	if c.exposes("auth_token") {
		return
	}
	p := c.p
	p.mu.Lock()
	if t := p.tokens[c.get("auth_token")]; t != nil && !t.revoked && t.app == c.get("client_id") {
		t.revoked = true
		p.counts.Revocations++
	}
	p.mu.Unlock()
	c.replyJSON(map[string]any{"success": true})
}
