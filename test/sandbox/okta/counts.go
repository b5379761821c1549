package okta

import (
	"maps"
	"slices"
)

// Counts is what the organization has been asked to do since it started.
type Counts struct {
	Primary       int            // passwords checked, right or wrong
	BadPasswords  int            // of these, refused
	Pushes        int            // pushes sent to phones; polling sends none
	SMS           int            // codes sent by text message
	Calls         int            // codes told by telephone
	Emails        int            // codes sent by e-mail
	Passcodes     int            // codes, answers and signatures checked
	MFAFailures   int            // bad codes and rejected pushes
	SessionTokens int            // issued
	Sessions      int            // sid cookies issued
	Assertions    int            // SAML responses issued
	OIDCCodes     int            // OpenID Connect: authorization codes issued
	IDTokens      int            // of these, redeemed
	Limited       int            // answers with status 429
	StateTokens   int            // transactions begun
	IDX           IDXCounts      // on the Identity Engine
	Requests      map[string]int // by method and path pattern: "POST /api/v1/authn"
}

// Counts returns a copy of the counters.
func (o *Org) Counts() Counts {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.counts
	c.Requests = maps.Clone(c.Requests)
	return c
}

// Secrets returns every secret the organization knows or has issued, sorted:
// passwords, TOTP secrets, answers, codes, state and session tokens, cookies,
// SAML responses. A test greps logs and errors for them.
func (o *Org) Secrets() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Sorted(maps.Keys(o.secrets))
}
