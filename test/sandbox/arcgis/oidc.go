package arcgis

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// OIDCLogin says whether people sign in to the Portal by OpenID Connect.
type OIDCLogin uint8

// The ways. Esri documents what an administrator may choose, but none of the
// addresses and names that come of it: those vary by seed.
const (
	OIDCOff   OIDCLogin = iota
	OIDCOnly            // it is the only login: authorize redirects straight to the identity provider
	OIDCAlone           // the sign-in page offers it, and no SAML
	OIDCFirst           // the sign-in page offers it and then SAML
	OIDCLast            // the sign-in page offers SAML and then it
)

// OIDC is what the Portal's administrator has written down of the identity provider.
type OIDC struct {
	Issuer, ClientID, Secret        string
	AuthorizeURL, TokenURL, KeysURL string
	Client                          *http.Client // by which the Portal reaches it
}

// relying is the Portal as the application that relies on an identity provider.
type relying struct {
	config   oauth2.Config
	verifier *oidc.IDTokenVerifier
	client   *http.Client
}

// oidcStyle is what Esri leaves open, chosen once for an installation.
type oidcStyle struct {
	begin    string // where a sign-in begins, below oauth2/
	callback string // where it comes back to
	provider string // the name of the login
	offer    int    // how the sign-in page tells it
	stated   bool   // the offered address has oauth_state already
	hop      bool   // the Portal redirects within itself, too
	pkce     bool
	post     bool // the client's secret goes in the form
	narrow   bool // the cookie is for the Sharing API's paths alone
}

func newOIDCStyle(seed uint64) oidcStyle {
	rng := mrand.New(mrand.NewPCG(seed, 0x6f696463)) // its own: others keep their variations
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	coin := func() bool { return rng.IntN(2) == 0 }
	return oidcStyle{
		begin:    pick("social/authorize", "oidc/authorize", "openid/authorize"),
		callback: pick("social/signin", "oidc/signin", "openid/callback", "signin/oidc"),
		provider: fmt.Sprintf("okta_%04x", rng.IntN(1<<16)),
		offer:    rng.IntN(3),
		stated:   coin(), hop: coin(), pkce: coin(), post: coin(), narrow: coin(),
	}
}

// oidcPending is what the Portal keeps of a sign-in that it has handed over.
type oidcPending struct {
	nonce    string
	verifier string // of PKCE, "" without
	cookie   string // what the browser must bring back
}

// oidcCookie ties a sign-in by OpenID Connect to the browser that began it.
const oidcCookie = "esri_oidc"

// OIDCCallback is the login redirect URI that the administrator registers with the
// identity provider.
func (p *Portal) OIDCCallback() string {
	return p.base + "/sharing/rest/oauth2/" + p.oidcStyle.callback
}

// TrustOIDC makes the Portal send sign-ins by OpenID Connect to an identity provider.
func (p *Portal) TrustOIDC(c OIDC) {
	style := oauth2.AuthStyleInHeader
	if p.oidcStyle.post {
		style = oauth2.AuthStyleInParams
	}
	provider := (&oidc.ProviderConfig{IssuerURL: c.Issuer, AuthURL: c.AuthorizeURL, TokenURL: c.TokenURL, JWKSURL: c.KeysURL, Algorithms: []string{oidc.RS256}}).
		NewProvider(oidc.ClientContext(context.Background(), c.Client))
	endpoint := provider.Endpoint()
	endpoint.AuthStyle = style
	r := &relying{
		config:   oauth2.Config{ClientID: c.ClientID, ClientSecret: c.Secret, RedirectURL: p.OIDCCallback(), Endpoint: endpoint, Scopes: []string{oidc.ScopeOpenID, "profile", "email"}},
		verifier: provider.Verifier(&oidc.Config{ClientID: c.ClientID}),
		client:   c.Client,
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.relying = r
	p.issued = append(p.issued, c.Secret)
}

// oidcOffer is what oAuthInfo says about the login: a name and JSON.
func (c *call) oidcOffer(state string) (name string, value any) {
	q := url.Values{"socialLoginProviderName": {c.p.oidcStyle.provider}}
	if c.p.oidcStyle.stated {
		q.Set("oauth_state", state)
	}
	path := "/sharing/rest/oauth2/" + c.p.oidcStyle.begin + "?" + q.Encode()
	switch c.p.oidcStyle.offer {
	case 0:
		return "oidcInfo", map[string]any{"idpName": "Okta", "idpAuthorizeUrl": c.p.base + path}
	case 1:
		return "openIdLogins", []any{map[string]any{"type": "oidc", "label": "Okta", "url": "/portal" + path}}
	}
	return "logins", map[string]any{"enabled": true, "list": []any{
		map[string]any{"provider": c.p.oidcStyle.provider, "title": "Okta", "links": map[string]any{"help": c.p.base + "/portalhelp/en/", "authorize": c.p.base + path}},
	}}
}

// withOIDC puts the login, and where the Portal has them logins of strangers, into
// oAuthInfo, before all else or after it.
func (c *call) withOIDC(object []byte, state string) ([]byte, error) {
	name, value := c.oidcOffer(state)
	offer, err := json.Marshal(map[string]any{name: value})
	if err != nil {
		return nil, err
	}
	parts := [][]byte{offer, object}
	if c.shape.OIDC == OIDCLast {
		parts = [][]byte{object, offer}
	}
	if c.shape.Social {
		google, err := json.Marshal(map[string]any{"socialLogins": []string{c.p.base + "/sharing/rest/oauth2/" + c.p.oidcStyle.begin + "?socialLoginProviderName=google"}})
		if err != nil {
			return nil, err
		}
		parts = append([][]byte{google}, parts...)
	}
	for i, part := range parts {
		parts[i] = part[1 : len(part)-1] // without its braces
	}
	return append(append([]byte{'{'}, bytes.Join(parts, []byte{','})...), '}'), nil
}

// oidcRoute answers the addresses of the login. It reports false for any other.
func (c *call) oidcRoute(path string) bool {
	style := c.p.oidcStyle
	switch path {
	case "oauth2/" + style.begin:
		c.oidcAuthorize()
	case "oauth2/" + style.begin + "/next":
		c.oidcNext()
	case "oauth2/" + style.callback:
		c.oidcSignIn()
	case "oauth2/" + style.callback + "/done":
		c.oidcDone()
	default:
		return false
	}
	return true
}

// oidcAuthorize takes up the sign-in that authorize began, by its oauth_state, or
// begins one itself.
func (c *call) oidcAuthorize() {
	provider := c.get("socialLoginProviderName")
	if c.shape.Social && provider == "google" {
		c.redirect("https://accounts.social.test/o/oauth2/auth?client_id=x&response_type=code&state=y&redirect_uri=" + url.QueryEscape(c.p.OIDCCallback()))
		return
	}
	if c.shape.OIDC == OIDCOff || provider != c.p.oidcStyle.provider {
		c.authorizeError("Invalid socialLoginProviderName")
		return
	}
	state := c.get("oauth_state")
	if state == "" {
		if q, ok := c.begin(); ok {
			c.oidcHandOff(q)
		}
		return
	}
	q := c.p.take(state)
	if q == nil {
		c.authorizeError("Invalid oauth_state")
		return
	}
	c.oidcHandOff(q)
}

// take finds a sign-in that has begun and forgets its state.
func (p *Portal) take(state string) *pending {
	q := p.lookUp(state)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pending, state)
	return q
}

// oidcHandOff sends the browser to the identity provider.
func (c *call) oidcHandOff(q *pending) {
	p := c.p
	p.mu.Lock()
	r, state := p.relying, p.mint()
	q.oidc = &oidcPending{nonce: p.mint(), cookie: p.mint()}
	p.pending[state] = q
	p.mu.Unlock()
	if r == nil {
		c.page(http.StatusInternalServerError, "Error", "no identity provider is configured")
		return
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(q.oidc.nonce)}
	if p.oidcStyle.pkce {
		q.oidc.verifier = oauth2.GenerateVerifier()
		options = append(options, oauth2.S256ChallengeOption(q.oidc.verifier))
	}
	if p.choose.one(4, func(s *Shape) Choice { return s.FormPost }) {
		options = append(options, oauth2.SetAuthURLParam("response_mode", "form_post"))
	}
	path := "/"
	if p.oidcStyle.narrow {
		path = "/portal/sharing/rest/oauth2/" + p.oidcStyle.callback
	}
	c.w.Header().Add("Set-Cookie", oidcCookie+"="+q.oidc.cookie+"; Path="+path+"; HttpOnly")
	to := r.config.AuthCodeURL(state, options...)
	if p.oidcStyle.hop {
		p.mu.Lock()
		key := p.mint()
		p.hops[key] = to
		p.mu.Unlock()
		to = p.base + "/sharing/rest/oauth2/" + p.oidcStyle.begin + "/next?key=" + key
	}
	c.redirect(to)
}

// oidcNext is a redirect of the Portal's to itself on the way out.
func (c *call) oidcNext() {
	c.p.mu.Lock()
	to := c.p.hops[c.get("key")]
	delete(c.p.hops, c.get("key"))
	c.p.mu.Unlock()
	if to == "" {
		c.authorizeError("Invalid key")
		return
	}
	c.redirect(to)
}

// oidcSignIn is the callback. The state is used up by being presented, whatever
// comes of it; it counts only in the browser that began the sign-in.
func (c *call) oidcSignIn() {
	const ended = "Unable to sign in: the request was not started here or has ended."
	q := c.p.take(c.get("state"))
	if q == nil || q.oidc == nil {
		c.turnAway(ended)
		return
	}
	if k, err := c.r.Cookie(oidcCookie); err != nil || subtle.ConstantTimeCompare([]byte(k.Value), []byte(q.oidc.cookie)) != 1 {
		c.turnAway(ended)
		return
	}
	if name := c.get("error"); name != "" {
		c.turnAway("Unable to sign in: " + name + " " + c.get("error_description"))
		return
	}
	login, err := c.p.redeemOIDC(c.r.Context(), q.oidc, c.get("code"))
	if err != nil {
		c.p.mu.Lock()
		c.p.counts.OIDCBad++
		c.p.mu.Unlock()
		c.p.log.Info("code or id_token refused", "error", err)
		c.turnAway("Unable to validate the response of the OpenID Connect provider.")
		return
	}
	if !c.welcome(q, login) {
		return
	}
	q.oidc = nil
	if c.p.oidcStyle.hop {
		c.p.mu.Lock()
		key := c.p.mint()
		c.p.pending[key] = q
		c.p.mu.Unlock()
		c.redirect(c.p.OIDCCallback() + "/done?key=" + key)
		return
	}
	c.finish(q)
}

// oidcDone is a redirect of the Portal's to itself on the way back.
func (c *call) oidcDone() {
	q := c.p.take(c.get("key"))
	if q == nil || q.member == nil {
		c.authorizeError("Invalid key")
		return
	}
	c.finish(q)
}

// redeemOIDC exchanges a code with the identity provider and returns whom its
// id_token is about.
func (p *Portal) redeemOIDC(ctx context.Context, q *oidcPending, code string) (login string, err error) {
	p.mu.Lock()
	r := p.relying
	p.mu.Unlock()
	ctx, done := context.WithTimeout(oidc.ClientContext(ctx, r.client), 30*time.Second)
	defer done()
	var options []oauth2.AuthCodeOption
	if q.verifier != "" {
		options = append(options, oauth2.VerifierOption(q.verifier))
	}
	token, err := r.config.Exchange(ctx, code, options...)
	if err != nil {
		return "", err
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := r.verifier.Verify(ctx, raw) // signature, issuer, audience, expiry
	if err != nil {
		return "", err
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(q.nonce)) != 1 {
		return "", errors.New("the nonce differs")
	}
	if ahead := time.Until(id.IssuedAt); ahead > 5*time.Minute {
		return "", fmt.Errorf("issued %s ahead of time", ahead)
	}
	var claims struct {
		Username string `json:"preferred_username"`
	}
	if err := id.Claims(&claims); err != nil || claims.Username == "" {
		return "", errors.New("no preferred_username")
	}
	return claims.Username, nil
}

// welcome finds the member that an identity provider has spoken of. It answers and
// reports false if there is none.
func (c *call) welcome(q *pending, login string) bool {
	p := c.p
	member := p.members[strings.ToLower(login)]
	p.mu.Lock()
	if member == nil {
		p.counts.Strangers++
	} else {
		p.counts.SignIns++
	}
	p.mu.Unlock()
	if member == nil {
		c.turnAway("You do not have permission to access this organization. Please contact your administrator.")
		return false
	}
	p.log.Info("signed in", "member", member.Username)
	q.member = member
	c.remember(member)
	return true
}
