package cache

import (
	"context"
	"errors"
	"math"
	"time"

	"arcproxy/auth"
)

// SignIn signs identity in with what a person gives, even where there is a grant
// that works: `arcproxy login`. It is a flight like any other, which callers of
// Token join, and waits for one that is under way; but it ends with ctx, since the
// person has left then.
//
// Failures that are remembered do not forbid it, but a credential that was refused
// is not sent again, a pause of pushes holds, and so does a rate limit. Success
// clears what is remembered, unless a configured credential was refused: that would
// be refused again.
func (c *Cache) SignIn(ctx context.Context, identity string, with auth.Given) (auth.Grant, error) {
	id := c.find(identity)
	if id == nil {
		return auth.Grant{}, unknownError(identity)
	}
	for {
		id.mu.Lock()
		f := id.flight
		if f != nil {
			f.asked = true
			f.waiters++
			id.mu.Unlock()
			if _, err := c.await(ctx, id, f); err != nil && ctx.Err() != nil {
				return auth.Grant{}, err
			}
			continue
		}
		if f = c.begin(id, &with); f == nil {
			err := c.refusal(id)
			id.mu.Unlock()
			return auth.Grant{}, err
		}
		f.asked = true
		f.waiters++
		id.mu.Unlock()
		stop := context.AfterFunc(ctx, func() { f.end(ErrLeft) })
		defer stop()
		grant, err := c.await(ctx, id, f)
		if errors.Is(err, ErrLeft) { // the flight was faster to end than the waiting
			err = waitingError(ctx, auth.Event{Identity: identity})
		}
		return grant, err
	}
}

// signInGiven signs in with what a person gave.
func (c *Cache) signInGiven(id *identity, f *flight) (*held, *auth.Error) {
	ctx, cancel := context.WithTimeout(f.ctx, c.signInTime(f.given))
	defer cancel()
	given := *f.given
	if given.Password.IsZero() {
		if e := c.admit(ctx, id, f); e != nil {
			return nil, e
		}
	} else if e := c.load(ctx, id); e != nil {
		return nil, c.failed(ctx, id, f, e, false)
	}
	id.mu.Lock()
	hold := id.memory.hold
	given.Refused = id.memory.refused()
	id.mu.Unlock()
	if hold != nil && hold.over(time.Now()) {
		hold = nil
	}
	if hold != nil && ruleOf(hold.err.Kind).clears == reset {
		return nil, hold.told()
	}
	grant, err, paused := c.attempt(ctx, id, f, &given)
	if err == nil {
		c.proved(ctx, id)
		return keep(grant, ByLogin, time.Now()), nil
	}
	e := name(id.name, "sign-in", err)
	if e.Kind == auth.NobodyWaiting {
		return nil, e
	}
	told := c.failed(ctx, id, f, e, paused)
	id.mu.Lock()
	latest := id.memory.hold
	id.mu.Unlock()
	if until := c.end(ctx, id, latest); hold != nil && !until.After(c.end(ctx, id, hold)) {
		// What held before still does, whatever a person typed.
		id.mu.Lock()
		if until.IsZero() {
			id.memory.hold = nil
		}
		id.memory.put(hold)
		id.mu.Unlock()
		if rule := ruleOf(hold.err.Kind); c.ledger != nil && rule.keep {
			c.record(ctx, id, hold.refusal())
		}
	}
	return nil, told
}

// end returns when h ends: the zero time for one of a credential that the config does
// not have, and far off for one that only another credential ends.
func (c *Cache) end(ctx context.Context, id *identity, h *hold) time.Time {
	if h == nil {
		return time.Time{}
	}
	if h.err.Credential != "" {
		used, err := guard(c, id.name, func() (bool, error) { return c.source.Uses(ctx, id.name, h.err.Credential) })
		if !used && err == nil {
			return time.Time{}
		}
	}
	if h.until.IsZero() {
		return time.Unix(math.MaxInt32, 0)
	}
	return h.until
}

// proved forgets what a person's sign-in has disproved. A refused credential that
// the config still has is remembered: the next sign-in without a person would send
// it once more.
func (c *Cache) proved(ctx context.Context, id *identity) {
	for {
		id.mu.Lock()
		hold := id.memory.hold
		id.mu.Unlock()
		if hold != nil && hold.condemns() && !c.end(ctx, id, hold).IsZero() {
			return
		}
		if !c.goOn(ctx, id) {
			return
		}
	}
}
