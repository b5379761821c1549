// Package okta is Okta's half of a sign-in, on either of its engines: from the
// request that the Portal makes a browser send, to the answer that Okta makes it
// send back. For SAML that is a form with an assertion, for OpenID Connect a
// redirect to the Portal's callback with a code. What leads away from Okta in any
// other way is refused, and nothing is sent there.
//
// It begins where a browser begins, with the page that Okta answers the request
// with, because only that page says what is needed (nothing, if a session lives; a
// password; a second factor for this application), and by which engine. A page
// without a token, or with one of the Classic engine, leads to the Authentication
// API (state.go), a state machine in which each answer carries the links to what
// may be done next (HAL). A page with a token of Identity Engine leads to its loop
// (idx.go), in which each answer carries the forms of what may be sent next (ION).
// One sign-in can meet both: an organization may take passwords the Classic way and
// leave it to Identity Engine what an application wants besides.
//
// The code follows those links and forms. It makes up only the addresses that no
// answer gives: the organization's description, the beginning and the state of a
// transaction, and the exchange of its token for a session. It refuses a link that
// leads elsewhere than to the configured organization. A secret goes only into a
// field that is known for it, of a form that is known for it.
//
// Rules that keep accounts from being locked and phones from buzzing are part of
// the machine, not options. A password is sent once in a sign-in, or once to each
// engine where the second asks for what the first has accepted. In a transaction,
// of which an application's policy may make a second one, a code is sent at most
// twice and never twice the same, and a push, or an SMS, call or e-mail with a code,
// once and only while somebody waits for it. What is abandoned is cancelled. These
// rules, the choice of a factor and the making of what proves it are in prover
// (factor.go), which knows nothing of the Authentication API.
package okta

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"arcproxy/auth"
)

// Config says which organization.
type Config struct {
	URL *url.URL // https://example.okta.com
	Duo *url.URL // Duo's frame: https://api-….duosecurity.com; nil: no passcode goes to Duo
}

// Client speaks with one organization. It may be used concurrently, with a
// [auth.Browser] for each identity. It implements [auth.IdentityProvider].
type Client struct {
	url *url.URL
	duo *url.URL // nil: none

	// strangers holds one token for each walk that asks for its first page without a
	// device cookie; see maxStrangers.
	strangers chan struct{}

	mu       sync.Mutex // guards pipeline
	pipeline string     // "" until it was read
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
	stepEngine   = "Okta: introspect"
	stepIdentify = "Okta: identify"
	stepFactor   = "Okta: choice of factor"
	stepTOTP     = "Okta: code"
	stepPush     = "Okta: push"
	stepMessage  = "Okta: sending a code"
	stepKey      = "Okta: WebAuthn"
	stepDuo      = "Duo"
	stepSkip     = "Okta: skip"
	stepSession  = "Okta: session"
	stepCallback = "Okta: way back to the Portal"
	stepCancel   = "Okta: cancel"
	stepSignOut  = "Okta: sign-out"
)

// The cookies that are kept by name: the device, by which Okta counts clients
// and remembers that MFA was passed, and the session.
const (
	deviceCookie  = "DT"
	sessionCookie = "sid"
	engineCookie  = "idx" // the session of organizations on Identity Engine
)

// The bounds of one sign-in, beside those of [auth.Browser].
const (
	maxPages   = 12 // pages looked at
	maxStates  = 16 // states of one transaction
	maxStepUps = 2  // second factors that applications may ask for
	maxFlows   = 3  // sign-ins by Identity Engine, step-ups among them
	cancelTime = 5 * time.Second
)

// maxStrangers is how many walks whose browsers have no device cookie yet ask for
// their first page at one time. All of an address that have none are one client to
// Okta, of which it takes 5 requests at a time ("Client-based rate limiting" in its
// developer documentation); that page brings the cookie.
const maxStrangers = 4

// New returns a Client.
func New(c Config) *Client {
	return &Client{url: c.URL, duo: c.Duo, strangers: make(chan struct{}, maxStrangers)}
}

// at returns the address of a path of the organization.
func (c *Client) at(path string) *url.URL { return c.url.JoinPath(path) }

// Pipeline returns the organization's engine, "v1" (Classic) or "idx" (Identity
// Engine), from its public /.well-known/okta-organization. It is read once: an
// organization that moves to Identity Engine is found out by its pages, which
// decide, and none moves back.
func (c *Client) Pipeline(ctx context.Context, b *auth.Browser) (string, error) {
	c.mu.Lock()
	known := c.pipeline
	c.mu.Unlock()
	if known != "" {
		return known, nil
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
	if organization.Pipeline != Classic && organization.Pipeline != IdentityEngine {
		return "", &auth.Error{Kind: auth.NotSupported, Step: stepPipeline, Seen: "an engine that is not known: " + auth.Clean(organization.Pipeline)}
	}
	c.mu.Lock()
	c.pipeline = organization.Pipeline
	c.mu.Unlock()
	return organization.Pipeline, nil
}

// Forget implements [auth.IdentityProvider].
func (c *Client) Forget(b *auth.Browser) {
	b.Forget(c.url, func(name string) bool { return name == deviceCookie })
}

// SignOut implements [auth.IdentityProvider], by DELETE /api/v1/sessions/me ("Close
// the current Session" in Okta's Sessions API).
func (c *Client) SignOut(ctx context.Context, b *auth.Browser) error {
	at := c.at("/api/v1/sessions/me")
	if !b.HasCookie(at, sessionCookie) && !b.HasCookie(at, engineCookie) {
		b.Forget(c.url, nil)
		return nil
	}
	page, err := b.Do(ctx, auth.Request{Step: stepSignOut, URL: at, Delete: true, Accept: "application/json"})
	b.Forget(c.url, nil)
	if err != nil {
		return err
	}
	// 404: there was no session any more.
	if page.Status >= 300 && page.Status != http.StatusNotFound {
		return page.Unexpected(stepSignOut, "Okta did not end its session")
	}
	return nil
}

// SignIn implements [auth.IdentityProvider].
func (c *Client) SignIn(ctx context.Context, b *auth.Browser, a *auth.Account, w auth.Watch, request auth.Handoff) (auth.Handoff, error) {
	if !auth.SameOrigin(request.URL, c.url) {
		return auth.Handoff{}, auth.Foreign(stepPage, request.URL)
	}
	// Which engine it is, each page tells; this tells whether it is Okta at all.
	if _, err := c.Pipeline(ctx, b); err != nil {
		return auth.Handoff{}, err
	}
	walk := &walk{client: c, browser: b, prover: prover{account: a, watch: w}, request: request}
	answer, err := walk.run(ctx)
	if err != nil {
		walk.abandon(ctx)
		walk.tidy(err)
	}
	return answer, err
}
