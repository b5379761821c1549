package cache

import (
	"context"
	"errors"
	"slices"
	"time"

	"arcproxy/auth"
)

var (
	// ErrSignedOut is the cause of what Token returns while an identity is signed out.
	ErrSignedOut = errors.New("the identity is being signed out")
	// ErrLeft is the cause where a person broke off a sign-in by hand.
	ErrLeft = errors.New("the person who signed in has left")
)

// revokeTimeout bounds a sign-out at the Portal and at Okta.
const revokeTimeout = 15 * time.Second

// Forget signs identity out: a flight under way is ended, the grant is deleted, and
// revoked at the Portal, and Okta's session is ended. The next Token signs in anew.
// An error says what of this failed; the rest is done all the same, and nothing of
// it is kept here.
func (c *Cache) Forget(ctx context.Context, identity string) error {
	id := c.find(identity)
	if id == nil {
		return unknownError(identity)
	}
	return c.forget(ctx, id)
}

func (c *Cache) forget(ctx context.Context, id *identity) error {
	h := id.leave()
	defer c.changed()
	defer id.left()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), vaultTimeout+revokeTimeout)
	defer cancel()
	if err := id.take(ctx); err != nil { // the flight that was ended does not end
		return endedError(id.name, err)
	}
	defer id.release()
	c.order.Lock()
	if known, ok := c.recent.Peek(id.name); ok && known == id {
		c.recent.Remove(id.name)
	}
	c.order.Unlock()
	var grant auth.Grant
	var revoked, deleted error
	if h != nil {
		grant = h.grant
	} else if c.vault.Vault != nil {
		grant, _, _ = c.stored(ctx, id)
	}
	id.mu.Lock()
	id.restored = true
	gone := id.gone
	id.mu.Unlock()
	if gone {
		revoked = c.revoke(id, grant)
	}
	// What a later run can revoke is left to it, where nobody can use it meanwhile.
	if later := gone && unheard(revoked); c.vault.Vault != nil && !later {
		deleted = c.vault.Delete(ctx, id.name)
	}
	if !gone {
		revoked = c.revoke(id, grant)
	}
	if revoked == nil && deleted == nil {
		c.log.Info("signed out", "identity", id.name)
		return nil
	}
	return errors.Join(revoked, deleted)
}

// unheard reports whether err says that the other side may not have heard.
func unheard(err error) bool {
	kind := auth.KindOf(err)
	return kind == auth.Unreachable || kind == auth.Deadline
}

// revoke ends g and the sessions of id, for up to revokeTimeout.
func (c *Cache) revoke(id *identity, g auth.Grant) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), revokeTimeout)
	defer cancel()
	_, err := guard(c, id.name, func() (struct{}, error) { return struct{}{}, c.source.Revoke(ctx, id.name, g) })
	if err != nil {
		c.log.Warn("the sign-out is not complete; the grant may work until it ends", "identity", id.name, "error", err)
	}
	return err
}

// leave ends the flight under way, lets none begin until left is called, and
// returns the grant, which is held no longer.
func (id *identity) leave() *held {
	id.mu.Lock()
	defer id.mu.Unlock()
	if f := id.flight; f != nil {
		f.ended = true
		f.end(ErrSignedOut)
		id.close(f)
	}
	id.leaving++
	h := id.held.Load()
	id.held.Store(nil)
	id.renewals, id.failure = renewals{}, nil
	return h
}

func (id *identity) left() {
	id.mu.Lock()
	defer id.mu.Unlock()
	id.leaving--
}

// Keep says which identities are configured, as a reload does, and returns, sorted,
// those of before that are not. They are refused from now on; behind that they are
// signed out, as by [Cache.Forget]; but the grant stays stored if the Portal cannot be
// reached, for a later run to end. What is remembered of their refused credentials
// stays: taken up again, the same password is not sent again; and who is taken up
// while the former sign-out goes on waits for its end.
func (c *Cache) Keep(identities []string) (removed []string) {
	for _, id := range c.reconfigure(identities) {
		removed = append(removed, id.name)
		id.mu.Lock()
		id.gone = true
		id.mu.Unlock()
		go func() {
			defer c.wg.Done()
			_ = c.forget(c.ctx, id) // the log has what fails
			c.signedOut(id)
		}()
	}
	slices.Sort(removed)
	return removed
}

// reconfigure replaces the names that may be asked for and returns those who may be
// no longer, each of whom counts in wg from now on.
func (c *Cache) reconfigure(identities []string) (removed []*identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	former := c.configured
	c.configured = make(map[string]bool, len(identities))
	for _, name := range identities {
		c.configured[name] = true
	}
	for name := range former {
		if !c.configured[name] && c.identities[name] == nil {
			c.identities[name] = newIdentity(name, c.leavers[name]) // what is stored of it is to be ended, too
		}
	}
	for name, id := range c.identities {
		if c.configured[name] {
			continue
		}
		removed = append(removed, id)
		delete(c.identities, name)
		id.signedOut = make(chan struct{})
		c.leavers[name] = id.signedOut
		c.wg.Add(1)
	}
	return removed
}

// signedOut says that id, who is no longer configured, has been signed out.
func (c *Cache) signedOut(id *identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leavers[id.name] == id.signedOut {
		delete(c.leavers, id.name)
	}
	close(id.signedOut)
}
