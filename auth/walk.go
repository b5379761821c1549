package auth

import (
	"context"
	"net/url"
)

// Handoff is what one system makes the browser send to the other: a GET of URL,
// or a POST of Form to it. On the way to the identity provider it carries the
// SAMLRequest, on the way back the SAMLResponse; or, of OpenID Connect, the
// authorization request and the code, which is as secret.
type Handoff struct {
	URL  *url.URL
	Form url.Values // nil: a GET
}

// Redeem brings the identity provider's answer back to the Portal and returns
// the grant.
type Redeem func(ctx context.Context, answer Handoff) (Grant, error)

// Portal is the Portal's half of a sign-in. [arcproxy/auth/portal.Client] is one.
type Portal interface {
	// Begin asks the Portal for a sign-in. It returns what the Portal makes the
	// browser send to the identity provider, and how to finish.
	Begin(ctx context.Context, b *Browser, w Watch) (Handoff, Redeem, error)
	// Renew turns g's refresh token into a new access token, in one request.
	// GrantRefused means that only a sign-in helps.
	Renew(ctx context.Context, b *Browser, g Grant) (Grant, error)
	// Revoke ends g's refresh token and with it all of its access tokens.
	Revoke(ctx context.Context, b *Browser, g Grant) error
}

// IdentityProvider is the other half. [arcproxy/auth/okta.Client] is one.
type IdentityProvider interface {
	// SignIn answers the Portal's request for account a. It sends the password
	// only where no live session in b does, and at most once.
	SignIn(ctx context.Context, b *Browser, a *Account, w Watch, request Handoff) (Handoff, error)
	// Forget drops the session that b holds, and what else a failed walk left,
	// but keeps the device known.
	Forget(b *Browser)
	// SignOut ends the session that b holds, if it holds one, and drops it.
	SignOut(ctx context.Context, b *Browser) error
}
