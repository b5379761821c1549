package cache

import (
	"hash/fnv"
	"time"

	"arcproxy/auth"
)

// The parts of a token's life.
const (
	advisoryLeast  = 150             // thousandths of its life that are left when the advisory window begins: at least
	advisorySpread = 101             // and up to a tenth of it more
	mandatoryMost  = 5 * time.Second // the mandatory window
	mandatoryShare = 10              // and at most a tenth of the life
)

// held is a grant in the cache. It is never changed; a change replaces it.
type held struct {
	grant auth.Grant
	// The ends of the fresh and advisory parts of the token's life, and of it all.
	advisory, mandatory, expires time.Time
	dropped                      bool // a server has refused the access token
	spent                        bool // the Portal has refused the refresh token
	left                         bool // the next sign-in is left until somebody waits for it
	by                           string
	stored                       bool // in the Vault
}

// How a grant was obtained, as [Status] tells it.
const (
	BySignIn   = "sign-in"
	ByLogin    = "login"    // a person's
	ByRenewal  = "renewal"  // refresh_token
	ByExchange = "exchange" // exchange_refresh_token
	ByRestart  = "restored" // it was stored by an earlier run
)

// keep returns g as it is kept from now on.
func keep(g auth.Grant, by string, now time.Time) *held {
	begin := g.Obtained
	if begin.IsZero() || begin.After(now) {
		begin = now
	}
	life := g.Expires.Sub(begin)
	// Round(0) strips the reading of the monotonic clock, which stands still while
	// a machine sleeps. Tokens expire by the wall clock.
	expires := g.Expires.Round(0)
	return &held{
		grant:     g,
		by:        by,
		advisory:  expires.Add(-life * time.Duration(advisoryLeast+jitter(g)) / 1000),
		mandatory: expires.Add(-min(mandatoryMost, life/mandatoryShare)),
		expires:   expires,
	}
}

// jitter spreads the beginnings of advisory windows, so that identities that were
// signed in together are not renewed together for ever. A grant always has the same.
func jitter(g auth.Grant) int64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(g.AccessToken.Reveal()))
	return int64(h.Sum32() % advisorySpread)
}

// fresh reports whether the token can be given without a thought.
func (h *held) fresh(now time.Time) bool { return h != nil && !h.dropped && now.Before(h.advisory) }

// good reports whether the token still works, as far as anybody knows.
func (h *held) good(now time.Time) bool { return h != nil && !h.dropped && now.Before(h.expires) }

// renewable reports whether there is a refresh token that may work.
func (h *held) renewable(now time.Time) bool {
	return h != nil && !h.spent && h.grant.Renewable(now.Round(0))
}
