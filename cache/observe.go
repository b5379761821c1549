package cache

import "arcproxy/auth"

// Observer hears figures. Its methods must not block; they may be called
// concurrently. Identities are those of the config, and nothing else.
type Observer interface {
	// SignIn: a sign-in has ended. failure is nil for a grant; else its Kind and
	// Step say where it failed.
	SignIn(identity string, failure *auth.Error)
	// Push: a push was sent to somebody's phone.
	Push(identity string)
	// Sent: a code was sent to somebody, by what factor says: SMS, a call, e-mail.
	Sent(identity string, factor auth.Factor)
	// Renewal: a refresh token was used, or exchanged. failure is nil for a grant.
	Renewal(identity string, exchanged bool, failure *auth.Error)
	// Token: a token was asked for, and answered in one of the ways below.
	Token(identity, how string)
}

// How Token answers, as an Observer hears it.
const (
	Hit    = "hit"    // a fresh token
	Behind = "behind" // one in its advisory window, or beyond where the next cannot be had
	Waited = "waited" // the caller waited for a flight
	Failed = "failed" // no token
)

// nobody is an Observer.
type nobody struct{}

func (nobody) SignIn(string, *auth.Error)        {}
func (nobody) Push(string)                       {}
func (nobody) Sent(string, auth.Factor)          {}
func (nobody) Renewal(string, bool, *auth.Error) {}
func (nobody) Token(string, string)              {}
