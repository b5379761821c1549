// Package okta is Okta's half of a sign-in, for organizations on the Classic
// engine: from the SAML request that the Portal makes a browser send, to the
// form with the SAML assertion that Okta makes it send back.
//
// It begins where a browser begins, with the page that Okta answers the request
// with, because only that page says what is needed: nothing (a session lives),
// a password, or a second factor for this application. What follows is Okta's
// Authentication API, a state machine in which each answer carries the links to
// what may be done next (HAL): the code follows those links. It makes up only the
// addresses that no answer gives: the organization's description, the beginning
// and the state of a transaction, and the exchange of its token for a session. It
// refuses a link that leads elsewhere than to the configured organization.
//
// Rules that keep accounts from being locked and phones from buzzing are part of
// the machine, not options. A password is sent once in a sign-in. In a transaction,
// of which an application's policy may make a second one, a code is sent at most
// twice and never twice the same, and a push once and only while somebody waits
// for it. What is abandoned is cancelled.
package okta

import (
	"context"
	"net/url"
	"sync"
	"time"

	"arcproxy/auth"
)

// Config says which organization.
type Config struct {
	URL *url.URL // https://example.okta.com
}

// Client speaks with one organization. It may be used concurrently, with a
// [auth.Browser] for each identity. It implements [auth.IdentityProvider].
type Client struct {
	url *url.URL

	mu      sync.Mutex // guards classic
	classic bool       // the pipeline was read and is v1
}

var _ auth.IdentityProvider = (*Client)(nil)

// The engines, as okta-organization names them.
const (
	Classic        = "v1"
	IdentityEngine = "idx"
)

// The steps, as errors name them.
const (
	stepPipeline = "Okta: pipeline"
	stepPage     = "Okta: sign-in page"
	stepPassword = "Okta: password"
	stepStepUp   = "Okta: step-up"
	stepFactor   = "Okta: choice of factor"
	stepTOTP     = "Okta: code"
	stepPush     = "Okta: push"
	stepSkip     = "Okta: skip"
	stepSession  = "Okta: session"
	stepCancel   = "Okta: cancel"
)

// The cookies that are kept by name: the device, by which Okta counts clients
// and remembers that MFA was passed, and the session.
const (
	deviceCookie  = "DT"
	sessionCookie = "sid"
)

// The bounds of one sign-in, beside those of [auth.Browser].
const (
	maxPages   = 12 // pages looked at
	maxStates  = 16 // states of one transaction
	maxStepUps = 2  // second factors that applications may ask for
	cancelTime = 5 * time.Second
)

// New returns a Client.
func New(c Config) *Client { return &Client{url: c.URL} }

// at returns the address of a path of the organization.
func (c *Client) at(path string) *url.URL { return c.url.JoinPath(path) }

// Pipeline returns the organization's engine, "v1" (Classic) or "idx" (Identity
// Engine), from its public /.well-known/okta-organization. Only "v1" is
// remembered: an organization can be upgraded to Identity Engine, never back,
// and one that was is found out by its pages.
func (c *Client) Pipeline(ctx context.Context, b *auth.Browser) (string, error) {
	c.mu.Lock()
	classic := c.classic
	c.mu.Unlock()
	if classic {
		return Classic, nil
	}
	page, err := b.Do(ctx, auth.Request{Step: stepPipeline, URL: c.at("/.well-known/okta-organization"), Accept: "application/json"})
	if err != nil {
		return "", err
	}
	var organization struct {
		Pipeline string `json:"pipeline"`
	}
	if page.Status != 200 || page.JSON(&organization) != nil || organization.Pipeline == "" {
		return "", page.Unexpected(stepPipeline, "no Okta organization answers at "+auth.Origin(c.url))
	}
	if organization.Pipeline == Classic {
		c.mu.Lock()
		c.classic = true
		c.mu.Unlock()
	}
	return organization.Pipeline, nil
}

// Forget implements [auth.IdentityProvider].
func (c *Client) Forget(b *auth.Browser) {
	b.Forget(c.url, func(name string) bool { return name == deviceCookie })
}

// SignIn implements [auth.IdentityProvider].
func (c *Client) SignIn(ctx context.Context, b *auth.Browser, a *auth.Account, w auth.Watch, request auth.Handoff) (auth.Handoff, error) {
	if !auth.SameOrigin(request.URL, c.url) {
		return auth.Handoff{}, auth.Foreign(stepPage, request.URL)
	}
	pipeline, err := c.Pipeline(ctx, b)
	if err != nil {
		return auth.Handoff{}, err
	}
	if pipeline != Classic {
		return auth.Handoff{}, &auth.Error{Kind: auth.NotSupported, Step: stepPipeline, Seen: "the organization is on Okta Identity Engine (pipeline " + auth.Clean(pipeline) + ")"}
	}
	walk := &walk{client: c, browser: b, account: a, watch: w, request: request}
	answer, err := walk.run(ctx)
	if err != nil {
		walk.abandon(ctx)
		walk.tidy(err)
	}
	return answer, err
}
