// Package portal is the ArcGIS Enterprise Portal's half of a sign-in: OAuth 2
// with an authorization code and PKCE, whose login page hands over to a SAML
// identity provider, and the tokens that come of it.
//
//	GET  oauth2/authorize        a page with oAuthInfo, or, where SAML is the only
//	                             login, at once what saml/authorize answers
//	GET  oauth2/saml/authorize   a redirect or a form with a SAMLRequest
//	…                            the identity provider (package okta)
//	POST oauth2/saml/signin      a redirect with the code, or a page that shows it
//	POST oauth2/token            the grant
//
// The facts are Esri's: "Implementing named user login", "OAuth 2.0" and "Token"
// in the ArcGIS REST API, and what Portals answer in practice.
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

// Login says by which of the Portal's logins to go.
type Login string

// The logins.
const (
	LoginAuto Login = "auto" // whatever the Portal offers that we can do: SAML
	LoginSAML Login = "saml"
	LoginOIDC Login = "oidc" // refused as auth.NotSupported
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
	stepToken     = "Portal: oauth2/token"
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
	if c.config.Login != LoginAuto && c.config.Login != LoginSAML {
		return auth.Handoff{}, nil, &auth.Error{Kind: auth.NotSupported, Step: stepAuthorize, Seen: "login = " + auth.Clean(string(c.config.Login))}
	}
	b.Forget(c.config.URL, nil)
	w.Say(auth.Event{Text: "asking the Portal for a sign-in"})

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
	if err != nil {
		return auth.Handoff{}, nil, err
	}
	request, err := c.handoff(ctx, b, page)
	if err != nil {
		return auth.Handoff{}, nil, err
	}
	w.Say(auth.Event{Text: "the Portal asks Okta"})
	redeem := func(ctx context.Context, answer auth.Handoff) (auth.Grant, error) {
		return c.redeem(ctx, b, w, p, answer)
	}
	return request, redeem, nil
}

// handoff finds out what the Portal wants the identity provider to be sent.
func (c *Client) handoff(ctx context.Context, b *auth.Browser, page *auth.Page) (auth.Handoff, error) {
	if request, ok, err := c.samlRequest(stepAuthorize, page); ok || err != nil {
		return request, err // SAML is the only login
	}
	var info oAuthInfo
	if !auth.ScriptJSON(page.Scripts(), "oAuthInfo", &info) {
		return auth.Handoff{}, refusal(stepAuthorize, page, auth.UnexpectedPage)
	}
	if text := info.message(); text != "" {
		return auth.Handoff{}, told(stepAuthorize, text, auth.UnexpectedPage)
	}
	if info.Federation.AuthorizeURL == "" {
		return auth.Handoff{}, &auth.Error{Kind: auth.NotSupported, Step: stepAuthorize, Seen: "the Portal's sign-in page offers no SAML login"}
	}
	u, err := auth.Resolve(stepSAML, c.config.URL, info.Federation.AuthorizeURL)
	if err != nil {
		return auth.Handoff{}, err
	}
	q := u.Query()
	q.Set("oauth_state", info.State)
	u.RawQuery = q.Encode()
	page, err = b.Do(ctx, auth.Request{Step: stepSAML, URL: u, Stop: c.leaves})
	if err != nil {
		return auth.Handoff{}, err
	}
	request, ok, err := c.samlRequest(stepSAML, page)
	if err == nil && !ok {
		err = refusal(stepSAML, page, auth.UnexpectedPage)
	}
	return request, err
}

// samlRequest reads a SAMLRequest in either binding off a page: a redirect that
// leaves the Portal, or a form that submits itself.
func (c *Client) samlRequest(step string, page *auth.Page) (auth.Handoff, bool, error) {
	if to := page.Redirect; to != nil {
		q := to.Query()
		switch {
		case c.isRedirectURI(to):
			return auth.Handoff{}, false, c.early(step, q)
		case !q.Has("SAMLRequest") && (q.Has("response_type") || strings.Contains(to.Path, "/oauth2/")):
			return auth.Handoff{}, false, &auth.Error{Kind: auth.NotSupported, Step: step, Seen: "the Portal signs in by OpenID Connect"}
		}
		return auth.Handoff{URL: to}, true, nil
	}
	form, ok := page.FormWith("SAMLRequest")
	if !ok {
		return auth.Handoff{}, false, nil
	}
	if form.Action == nil {
		return auth.Handoff{}, false, page.Unexpected(step, "a form that leads nowhere")
	}
	return auth.Handoff{URL: form.Action, Form: only(form.Fields, "SAMLRequest", "RelayState")}, true, nil
}

// early is the error of a redirect to redirect_uri before anybody signed in.
func (c *Client) early(step string, q url.Values) error {
	if q.Has("error") {
		return told(step, q.Get("error")+" "+q.Get("error_description"), auth.BadClient)
	}
	return &auth.Error{Kind: auth.UnexpectedPage, Step: step, Seen: "the Portal gave a code without asking Okta who signs in"}
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

// only returns the named fields, one value each, and nothing else of a form.
// An empty value stays: SAML requires RelayState to be echoed as it came.
func only(fields url.Values, names ...string) url.Values {
	kept := url.Values{}
	for _, name := range names {
		if _, ok := fields[name]; ok {
			kept.Set(name, fields.Get(name))
		}
	}
	return kept
}
