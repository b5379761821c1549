package cache

import (
	"context"
	"time"

	"arcproxy/auth"
)

// ledgerTimeout bounds one use of the Ledger, also after a flight's time is over.
const ledgerTimeout = 10 * time.Second

// admit returns the remembered failure that forbids a sign-in of id now, nil if
// there is none. It reads the Ledger the first time, and asks the Source, at most
// once a second, whether a refused credential is still the one it has.
//
// What cannot be found out forbids the sign-in too: an account that waits can be
// mended, one that is locked needs an administrator.
func (c *Cache) admit(ctx context.Context, id *identity, f *flight) *auth.Error {
	if e := c.load(ctx, id); e != nil {
		return c.failed(ctx, id, f, e, false)
	}
	for {
		now := time.Now()
		id.mu.Lock()
		h, more := id.memory.hold, len(id.memory.others) > 0
		id.mu.Unlock()
		switch {
		case h == nil || h.over(now) && !more:
			return nil
		case h.over(now):
			c.goOn(ctx, id)
			continue
		case now.Before(h.next):
			return h.told()
		}
		used, err := guard(c, id.name, func() (bool, error) { return c.source.Uses(ctx, id.name, h.err.Credential) })
		if used || err != nil {
			later := *h
			later.next = time.Now().Add(askSpacing)
			id.mu.Lock()
			id.memory.hold = &later
			id.mu.Unlock()
			if err != nil && c.ctx.Err() == nil {
				c.log.Warn("cannot tell whether a refused credential has changed; it counts as unchanged", "identity", id.name, "error", err)
			}
			return h.told()
		}
		c.log.Info("a refused credential has changed; trying the new one", "identity", id.name)
		c.goOn(ctx, id)
	}
}

// goOn forgets what holds id, for the next credential that was refused. It reports
// whether there is one; else nothing keeps id from being signed in.
func (c *Cache) goOn(ctx context.Context, id *identity) bool {
	id.mu.Lock()
	more := id.memory.next()
	h := id.memory.hold
	id.mu.Unlock()
	if !more {
		c.succeeded(ctx, id)
		return false
	}
	if c.ledger != nil && ruleOf(h.err.Kind).keep {
		c.record(ctx, id, h.refusal())
	}
	return true
}

// load reads the Ledger, the first time.
func (c *Cache) load(ctx context.Context, id *identity) *auth.Error {
	id.mu.Lock()
	loaded := id.loaded
	id.mu.Unlock()
	if c.ledger == nil || loaded {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	r, found, err := c.ledger.Refused(ctx, id.name)
	if err != nil {
		return &auth.Error{Kind: auth.StateUnreadable, Identity: id.name, Step: "credentials", Seen: "nothing was sent", Err: err}
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	id.loaded = true
	if found {
		id.memory.recall(id.name, r, time.Now())
	}
	return nil
}

// succeeded forgets what kept id from being signed in.
func (c *Cache) succeeded(ctx context.Context, id *identity) {
	id.mu.Lock()
	recorded := id.memory.recorded
	id.memory.succeed()
	id.memory.recorded = false
	id.mu.Unlock()
	if !recorded || c.ledger == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ledgerTimeout)
	defer cancel()
	if err := c.ledger.Forget(ctx, id.name); err != nil {
		c.log.Error("cannot forget a refused credential; it will be looked at again after a restart", "identity", id.name, "error", err)
	}
}

// record writes r to the Ledger, whatever has become of the flight.
func (c *Cache) record(ctx context.Context, id *identity, r Refusal) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ledgerTimeout)
	defer cancel()
	if err := c.ledger.Remember(ctx, id.name, r); err != nil {
		c.log.Error("cannot write down that a credential was refused: after a restart it will be sent once more, and may lock the account; make state_dir writable",
			"identity", id.name, "error", err)
	}
}
