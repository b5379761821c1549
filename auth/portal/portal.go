// Package portal is the ArcGIS Enterprise Portal's half of a sign-in: OAuth 2
// with an authorization code and PKCE, whose login page hands over to a SAML or
// OpenID Connect identity provider, and the tokens that come of it.
//
//	GET  oauth2/authorize        a page with oAuthInfo, or, where there is but one
//	                             login, at once what its address answers
//	GET  oauth2/saml/authorize   a redirect or a form with a SAMLRequest
//	GET  oauth2/…/authorize      OpenID Connect: a redirect with the Portal's own
//	                             state, nonce and callback
//	…                            the identity provider (package okta)
//	POST oauth2/saml/signin      a redirect with the code, or a page that shows it
//	GET  the callback            the same: the Portal has redeemed Okta's code itself
//	POST oauth2/token            the grant; later, by its refresh token, the next
//	POST oauth2/revokeToken      its end
//
// The facts are Esri's: "Implementing named user login", "OAuth 2.0" and "Token"
// in the ArcGIS REST API, and what Portals answer in practice. Of OpenID Connect
// logins Esri documents no address: redirects are followed within the Portal until
// one leaves it, which must ask for a code that comes back to the Portal.
package portal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"

	"arcproxy/auth"
)

// OutOfBand is the redirect URI of programs that nothing can be redirected to:
// the Portal shows the code on a page.
const OutOfBand = "urn:ietf:wg:oauth:2.0:oob"

// Config says which Portal, and who we are to it.
type Config struct {
	URL         *url.URL      // https://gis.example.com/portal
	ClientID    string        // of the application registered in the Portal
	RedirectURI string        // registered with it; "" means OutOfBand
	Expiration  time.Duration // of the refresh token; 0: the Portal's default, negative: the most it allows
	Login       Login         // "" means LoginAuto
}

// Client speaks with one Portal. It keeps nothing from one sign-in to the next
// and may be used concurrently. It implements [auth.Portal].
type Client struct {
	config   Config
	redirect *url.URL // RedirectURI; nil where that is no URL
}

var _ auth.Portal = (*Client)(nil)

// The steps, as errors name them.
const (
	stepAuthorize = "Portal: oauth2/authorize"
	stepSAML      = "Portal: oauth2/saml/authorize"
	stepSignIn    = "Portal: oauth2/saml/signin"
	stepOIDC      = "Portal: OpenID Connect login"
	stepCallback  = "Portal: OpenID Connect callback"
	stepToken     = "Portal: oauth2/token"
	stepRevoke    = "Portal: oauth2/revokeToken"
	stepProbe     = "Portal: probe"
)

// New returns a Client.
func New(c Config) *Client {
	if c.RedirectURI == "" {
		c.RedirectURI = OutOfBand
	}
	if c.Login == "" {
		c.Login = LoginAuto
	}
	redirect, err := url.Parse(c.RedirectURI)
	if err != nil {
		redirect = nil
	}
	return &Client{config: c, redirect: redirect}
}

// at returns the address of a resource of the Portal's Sharing API.
func (c *Client) at(resource string) *url.URL {
	return c.config.URL.JoinPath("sharing", "rest", resource)
}

// proof is what ties an answer of the Portal to the request that began it.
type proof struct {
	state    string // comes back with the code, where it comes by redirect
	verifier string // PKCE (RFC 7636): shown only to oauth2/token
}

// Begin implements [auth.Portal]. The Portal's cookies of an earlier sign-in are
// dropped: a code that the Portal gave by a session of its own would say nothing
// about the Okta account.
func (c *Client) Begin(ctx context.Context, b *auth.Browser, w auth.Watch) (auth.Handoff, auth.Redeem, error) {
	w.Say(auth.Event{Text: "asking the Portal for a sign-in"})
	page, p, err := c.begin(ctx, b)
	if err != nil {
		return auth.Handoff{}, nil, err
	}
	request, err := c.handoff(ctx, b, page)
	if err != nil {
		return auth.Handoff{}, nil, err
	}
	w.Say(auth.Event{Text: "the Portal asks Okta"})
	redeem := func(ctx context.Context, answer auth.Handoff) (auth.Grant, error) {
		defer b.Forget(c.config.URL, nil) // the next sign-in begins without them anyway
		return c.redeem(ctx, b, w, p, request, answer)
	}
	return request, redeem, nil
}

// begin sends the first request of a sign-in.
func (c *Client) begin(ctx context.Context, b *auth.Browser) (*auth.Page, proof, error) {
	b.Forget(c.config.URL, nil)
	p := proof{state: rand.Text(), verifier: rand.Text() + rand.Text()}
	challenge := sha256.Sum256([]byte(p.verifier))
	q := url.Values{
		"client_id":             {c.config.ClientID},
		"response_type":         {"code"},
		"redirect_uri":          {c.config.RedirectURI},
		"state":                 {p.state},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
	}
	switch minutes := int(c.config.Expiration / time.Minute); {
	case c.config.Expiration < 0:
		q.Set("expiration", "-1")
	case c.config.Expiration > 0:
		q.Set("expiration", strconv.Itoa(max(minutes, 1)))
	}
	u := c.at("oauth2/authorize")
	u.RawQuery = q.Encode()
	page, err := b.Do(ctx, auth.Request{Step: stepAuthorize, URL: u, Stop: c.leaves})
	return page, p, err
}

// leaves reports whether u ends our walk at the Portal: it is the redirect URI,
// which is never fetched, or belongs to somebody else.
func (c *Client) leaves(u *url.URL) bool {
	return c.isRedirectURI(u) || !auth.SameOrigin(u, c.config.URL)
}

// isRedirectURI compares as OAuth does, by everything but query and fragment.
func (c *Client) isRedirectURI(u *url.URL) bool {
	r := c.redirect
	return r != nil && strings.EqualFold(u.Scheme, r.Scheme) && u.Opaque == r.Opaque &&
		strings.EqualFold(u.Host, r.Host) && u.Path == r.Path
}
