package cache

import (
	"context"
	"errors"
	"sync"
	"time"

	"arcproxy/auth"
)

// Vault keeps grants over a restart. [arcproxy/cache/storage.Grants] is one. A grant
// is saved before anybody is given its token. One that cannot be read or written is
// complained about in the log, and the cache goes on from memory.
type Vault interface {
	// Load returns identity's grant, and whether there is one.
	Load(ctx context.Context, identity string) (auth.Grant, bool, error)
	// Save replaces identity's grant.
	Save(ctx context.Context, identity string, g auth.Grant) error
	// Delete forgets identity's grant. It is no error if there is none.
	Delete(ctx context.Context, identity string) error
}

// vaultTimeout bounds one use of the Vault, also after a flight's time is over.
const vaultTimeout = 10 * time.Second

// vault is a Vault, or none, and what is known of its state.
type vault struct {
	Vault

	mu         sync.Mutex // guards what follows
	unreadable bool
	unwritable bool
}

// changes sets one of v's flags and reports whether it was different.
func (v *vault) changes(flag *bool, to bool) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	changed := *flag != to
	*flag = to
	return changed
}

// restore puts id's stored grant where the others are, if it is not known yet what
// is stored. Whoever calls it has id's turn.
func (c *Cache) restore(ctx context.Context, id *identity) {
	id.mu.Lock()
	known := id.restored || id.held.Load() != nil
	id.mu.Unlock()
	if known || c.vault.Vault == nil {
		return
	}
	g, found, err := c.stored(ctx, id)
	if err != nil {
		return // the next flight looks again; this one does without
	}
	if found && !c.source.Owns(id.name, g) {
		c.log.Warn("the stored grant is of another account than the identity is now; it is not used", "identity", id.name, "user", g.Username)
		found = false
	}
	now := time.Now()
	if found && !now.Before(g.Expires) && !g.Renewable(now) {
		found = false
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	id.restored = true
	if found {
		h := keep(g, ByRestart, now)
		h.stored = true
		id.held.Store(h)
		c.log.Info("going on with the stored grant", "identity", id.name, "user", g.Username, "expires", g.Expires)
	}
}

// stored reads id's grant.
func (c *Cache) stored(ctx context.Context, id *identity) (auth.Grant, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, vaultTimeout)
	defer cancel()
	g, found, err := c.vault.Load(ctx, id.name)
	if errors.Is(err, context.Canceled) {
		return auth.Grant{}, false, err
	}
	if c.vault.changes(&c.vault.unreadable, err != nil) {
		if err != nil {
			c.log.Error("stored grants cannot be read: sign-ins begin afresh", "identity", id.name, "error", err)
		} else {
			c.log.Info("stored grants can be read again", "identity", id.name)
		}
	}
	return g, found, err
}

// save stores h, which nobody has been given yet, whatever has become of the flight.
func (c *Cache) save(id *identity, h *held) {
	if c.vault.Vault == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), vaultTimeout)
	defer cancel()
	err := c.vault.Save(ctx, id.name, h.grant)
	h.stored = err == nil
	if c.vault.changes(&c.vault.unwritable, err != nil) {
		if err != nil {
			c.log.Error("grants cannot be stored: they are kept in memory, and a restart will need new sign-ins", "identity", id.name, "error", err)
		} else {
			c.log.Info("grants are stored again", "identity", id.name)
		}
	}
}

// saveRest stores, before the program ends, what could not be stored before.
func (c *Cache) saveRest() {
	now := time.Now()
	for _, id := range c.everyone() {
		id.mu.Lock()
		if h := id.held.Load(); h != nil && !h.stored && (h.good(now) || h.renewable(now)) {
			again := *h
			c.save(id, &again)
			id.held.Store(&again)
		}
		id.mu.Unlock()
	}
}

// Restore reads the stored grants of identities, and what is remembered of refused
// credentials, so that [Cache.Status] tells them. Token does so by itself.
func (c *Cache) Restore(ctx context.Context, identities []string) {
	for _, name := range identities {
		id := c.find(name)
		if id == nil || id.take(ctx) != nil {
			continue
		}
		c.restore(ctx, id)
		_ = c.load(ctx, id) // a sign-in says it
		id.release()
	}
}
