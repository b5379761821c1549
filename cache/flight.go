package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"arcproxy/auth"
)

// flight obtains one grant for all who wait for it.
//
// It is not a singleflight.Group's: a flight knows how many wait for it, since
// that decides whether a push may be sent, and what it is doing, since that is
// what a caller is told who can't wait any longer. And under singleflight.DoChan
// a panic in a parser of Okta's pages would end the process.
type flight struct {
	done chan struct{} // closed when it has landed

	// Guarded by the identity's mu until done is closed.
	asked   bool // somebody has waited for it; else it is a renewal behind a token that still works
	waiters int  // who wait at this moment
	event   auth.Event

	// Written before done is closed, not read before.
	grant auth.Grant
	err   *auth.Error
}

// begin begins a flight for id, which has none. It returns nil if the cache is
// closed. The caller holds id.mu.
func (c *Cache) begin(id *identity) *flight {
	c.mu.RLock() // Close waits for the flights that were begun before it
	defer c.mu.RUnlock()
	if c.closed {
		return nil
	}
	f := &flight{
		done:  make(chan struct{}),
		event: auth.Event{Identity: id.name, Text: "the sign-in has begun"},
	}
	id.flight = f
	c.wg.Go(func() { c.fly(id, f) })
	return f
}

// fly runs f to its end.
func (c *Cache) fly(id *identity, f *flight) {
	// What is returned if the Source ends this goroutine.
	err := &auth.Error{Kind: auth.UnexpectedPage, Identity: id.name, Step: "sign-in", Seen: "it was given up"}
	var grant auth.Grant
	defer func() { c.land(id, f, grant, err) }()
	grant, err = c.get(id, f)
}

// land ends f with what it has come to.
func (c *Cache) land(id *identity, f *flight, grant auth.Grant, err *auth.Error) {
	f.grant, f.err = grant, err
	if err == nil {
		c.order.Lock()
		defer c.order.Unlock()
		c.recent.Add(id.name, id)
	} else if err.Kind == auth.UnknownIdentity {
		c.remove(id)
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	if err == nil {
		id.held.Store(keep(grant, time.Now()))
	}
	id.close(f)
	close(f.done)
}

// get obtains a grant: by the refresh token if there is one, else by a sign-in.
// Its errors are remembered already.
func (c *Cache) get(id *identity, f *flight) (auth.Grant, *auth.Error) {
	id.mu.Lock()
	h := id.held.Load()
	renew := h.renewable(time.Now())
	if renew {
		f.event.Text = "the token is being renewed"
	}
	id.mu.Unlock()
	if renew {
		grant, err, over := c.renew(id, f, h)
		if over {
			return grant, err
		}
	} else if !id.wanted(f) { // the refresh token has ended, or was evicted, just now
		return auth.Grant{}, &auth.Error{Kind: auth.NobodyWaiting, Identity: id.name, Step: "renewal"}
	}
	return c.signIn(id, f)
}

// renew obtains a grant by h's refresh token. It reports whether f is over by
// that; else only a sign-in helps, and somebody has asked for one.
func (c *Cache) renew(id *identity, f *flight, h *held) (_ auth.Grant, _ *auth.Error, over bool) {
	ctx, cancel := context.WithTimeout(c.ctx, renewTimeout)
	defer cancel()
	grant, err := guard(c, id.name, func() (auth.Grant, error) { return c.source.Renew(ctx, id.name, h.grant) })
	now := time.Now()
	if err == nil {
		err = check(grant, now)
	}
	if err == nil {
		id.mu.Lock()
		id.renewals = renewals{}
		id.mu.Unlock()
		c.log.Info("token renewed", "identity", id.name, "expires", grant.Expires)
		return grant, nil, true
	}
	e := name(id.name, "renewal", err)
	if c.ctx.Err() != nil {
		return auth.Grant{}, closedError(id.name), true
	}
	id.mu.Lock()
	spent := id.renewals.fail(*e, now)
	if !spent {
		told := id.renewals.told()
		id.mu.Unlock()
		c.warn("the token could not be renewed", told)
		return auth.Grant{}, told, true
	}
	if current := id.held.Load(); current != nil { // it may have been evicted
		without := *current
		without.spent = true
		id.held.Store(&without)
	}
	f.event.Text = "the sign-in has begun"
	id.mu.Unlock()
	c.warn("the token could not be renewed; the next is obtained by a sign-in", e)
	return auth.Grant{}, e, !id.wanted(f)
}

// wanted reports whether f may sign in: whether anybody has ever waited for it.
// If not, a sign-in is left to those who will need it: f is closed to newcomers,
// and the next of them begins a flight of their own.
func (id *identity) wanted(f *flight) bool {
	id.mu.Lock()
	defer id.mu.Unlock()
	if !f.asked {
		id.close(f)
	}
	return f.asked
}

// close keeps newcomers from joining f. The caller holds mu.
func (id *identity) close(f *flight) {
	if id.flight == f {
		id.flight = nil
	}
}

// signInTries bounds how often a sign-in is begun anew in one flight because
// those who wait now have come after the push was given up.
const signInTries = 3

// signIn obtains a grant by a sign-in, if nothing is remembered that forbids it.
func (c *Cache) signIn(id *identity, f *flight) (auth.Grant, *auth.Error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.timeout)
	defer cancel()
	if e := c.admit(ctx, id); e != nil {
		return auth.Grant{}, e
	}
	for try := 1; ; try++ {
		grant, err, paused := c.attempt(ctx, id, f)
		if err == nil {
			c.succeeded(ctx, id)
			return grant, nil
		}
		e := name(id.name, "sign-in", err)
		if e.Kind != auth.NobodyWaiting || c.ctx.Err() != nil {
			return auth.Grant{}, c.failed(ctx, id, e, paused)
		}
		if id.forsaken(f) || try == signInTries {
			return auth.Grant{}, e
		}
	}
}

// attempt signs id in. It reports whether pushes were paused.
func (c *Cache) attempt(ctx context.Context, id *identity, f *flight) (grant auth.Grant, err error, paused bool) {
	id.mu.Lock()
	pause := id.memory.pushPause(time.Now())
	id.mu.Unlock()
	grant, err = guard(c, id.name, func() (auth.Grant, error) {
		return c.source.SignIn(ctx, id.name, auth.Watch{
			Waited: func() bool {
				id.mu.Lock()
				defer id.mu.Unlock()
				return f.waiters > 0
			},
			Tell: func(e auth.Event) {
				if e.Identity == "" {
					e.Identity = id.name
				}
				id.mu.Lock()
				f.event = e
				id.mu.Unlock()
				if c.tell != nil {
					c.tell(e)
				}
			},
			PushPaused: pause,
		})
	})
	if err == nil {
		err = check(grant, time.Now())
	}
	return grant, err, pause != nil
}

// forsaken reports whether nobody waits for f. If so, who comes next does not
// join it but begins a flight of their own.
func (id *identity) forsaken(f *flight) bool {
	id.mu.Lock()
	defer id.mu.Unlock()
	if f.waiters > 0 {
		return false
	}
	id.close(f)
	return true
}

// failed remembers that e ended a sign-in, and returns what callers are told.
func (c *Cache) failed(ctx context.Context, id *identity, e *auth.Error, paused bool) *auth.Error {
	keep := c.ledger != nil && e.Credential != "" && ruleOf(e.Kind).keep
	if c.ctx.Err() != nil && !keep {
		return closedError(id.name) // it failed because it was ended
	}
	now := time.Now()
	id.mu.Lock()
	told := id.memory.fail(*e, now, paused)
	if keep {
		id.memory.recorded = true
	}
	id.mu.Unlock()
	c.warn("the sign-in failed", told)
	if keep {
		c.record(ctx, id, Refusal{Credential: e.Credential, Kind: e.Kind, Step: e.Step, Code: e.Code, Time: now})
	}
	return told
}

func (c *Cache) warn(message string, e *auth.Error) {
	args := []any{"identity", e.Identity, "error", e, "remedy", e.Remedy()}
	if !e.Until.IsZero() {
		args = append(args, "again", e.Until)
	}
	c.log.Warn(message, args...)
}

// check returns an error for a grant that nobody can use. One whose token has
// ended already would else be renewed for each request.
func check(g auth.Grant, now time.Time) error {
	switch {
	case g.AccessToken.IsZero():
		return &auth.Error{Kind: auth.UnexpectedPage, Step: "token", Seen: "a grant without a token"}
	case !now.Round(0).Before(g.Expires):
		return &auth.Error{Kind: auth.UnexpectedPage, Step: "token", Seen: "a token that had expired before it arrived"}
	}
	return nil
}

// name makes any error of a Source an [*auth.Error] with the identity.
func name(identity, step string, err error) *auth.Error {
	found, ok := errors.AsType[*auth.Error](err)
	if !ok {
		kind := auth.UnexpectedPage
		if errors.Is(err, context.DeadlineExceeded) {
			kind = auth.Deadline
		}
		return &auth.Error{Kind: kind, Identity: identity, Step: step, Err: err}
	}
	e := *found
	e.Identity = identity
	return &e
}

// guard calls call and turns its panic into an error. Pages from the network are
// parsed in there; one that a parser does not survive must not end the program.
// The panic's value may quote such a page, and is logged only if it is the
// runtime's.
func guard[T any](c *Cache, identity string, call func() (T, error)) (result T, err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		what := fmt.Sprintf("a %T", v)
		if fault, ok := v.(runtime.Error); ok {
			what = fault.Error()
		}
		c.log.Error("the program failed inside; please report this", "identity", identity, "panic", what, "stack", string(debug.Stack()))
		err = &auth.Error{Kind: auth.UnexpectedPage, Step: "sign-in", Seen: "the program failed inside; its log says where"}
	}()
	return call()
}
