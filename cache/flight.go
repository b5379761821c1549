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
	done  chan struct{} // closed when it has landed
	ctx   context.Context
	end   context.CancelCauseFunc
	given *auth.Given // what a person supplies; nil: nobody does

	// Guarded by the identity's mu until done is closed.
	asked   bool // somebody has waited for it; else it is a renewal behind a token that still works
	waiters int  // who wait at this moment
	event   auth.Event
	// question is what a person is asked at this moment; nil: nothing.
	question *question
	ended    bool // its grant is not wanted any more

	// Written before done is closed, not read before.
	grant auth.Grant
	err   *auth.Error
}

// begin begins a flight for id, which has none. It returns nil if the cache is
// closed or id signed out (see refusal). given is what a person supplies to it; nil:
// nobody does. The caller holds id.mu.
func (c *Cache) begin(id *identity, given *auth.Given) *flight {
	c.mu.RLock() // Close waits for the flights that were begun before it
	defer c.mu.RUnlock()
	if c.closed || id.gone || id.leaving > 0 {
		return nil
	}
	f := &flight{
		done:  make(chan struct{}),
		given: given,
		event: auth.Event{Identity: id.name, Text: "the sign-in has begun"},
	}
	f.ctx, f.end = context.WithCancelCause(c.ctx)
	id.flight = f
	c.wg.Go(func() { c.fly(id, f) })
	return f
}

// fly runs f to its end.
func (c *Cache) fly(id *identity, f *flight) {
	// What is returned if the Source ends this goroutine.
	err := &auth.Error{Kind: auth.UnexpectedPage, Identity: id.name, Step: "sign-in", Seen: "it was given up"}
	var h *held
	defer f.end(nil)
	if ended := id.take(f.ctx); ended != nil {
		c.land(id, f, nil, endedError(id.name, ended))
		return
	}
	defer id.release()
	defer func() {
		// A sign-out that comes before f has landed does not know of h, and one that
		// comes after finds it.
		if !c.land(id, f, h, err) && h != nil {
			_ = c.revoke(id, h.grant) // the log has what fails
		}
	}()
	h, err = c.get(id, f)
	if err == nil && !h.stored && !id.abandoned(f) {
		c.save(id, h)
	}
}

// abandoned reports whether f's grant is not wanted any more.
func (id *identity) abandoned(f *flight) bool {
	id.mu.Lock()
	defer id.mu.Unlock()
	return f.ended
}

// land ends f with what it has come to, and reports whether that is h, from now on
// the identity's.
func (c *Cache) land(id *identity, f *flight, h *held, err *auth.Error) bool {
	defer c.changed()
	if err == nil {
		c.order.Lock()
		defer c.order.Unlock()
		c.recent.Add(id.name, id)
	} else if err.Kind == auth.UnknownIdentity {
		c.remove(id)
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	if err == nil && f.ended {
		err = endedError(id.name, context.Cause(f.ctx))
	}
	if f.err = err; err == nil {
		f.grant = h.grant
		id.restored, id.failure = true, nil
		id.held.Store(h)
	} else if err.Kind != auth.NobodyWaiting {
		id.failure, id.failed = err, time.Now()
	}
	f.settle()
	id.close(f)
	close(f.done)
	return err == nil
}

// get obtains a grant: the stored one if there is one that works, else by the
// refresh token, else by a sign-in. Its errors are remembered already.
func (c *Cache) get(id *identity, f *flight) (*held, *auth.Error) {
	if f.given != nil {
		return c.signInGiven(id, f)
	}
	cold := id.held.Load() == nil
	if cold {
		c.restore(f.ctx, id)
	}
	id.mu.Lock()
	now := time.Now()
	h := id.held.Load()
	restored := cold && h.good(now) && now.Before(h.mandatory)
	renew := h.renewable(now)
	if renew {
		f.event.Text = "the token is being renewed"
	}
	id.mu.Unlock()
	if restored {
		return h, nil
	}
	if renew {
		next, err, over := c.renew(id, f, h)
		if over {
			return next, err
		}
	}
	return c.signIn(id, f)
}

// renew obtains a grant by h's refresh token. It reports whether f is over by
// that; else only a sign-in helps, and somebody has asked for one.
func (c *Cache) renew(id *identity, f *flight, h *held) (_ *held, _ *auth.Error, over bool) {
	ctx, cancel := context.WithTimeout(f.ctx, renewTimeout)
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
		by := ByRenewal
		if !grant.RefreshToken.Equal(h.grant.RefreshToken) {
			by = ByExchange
		}
		c.observe.Renewal(id.name, by == ByExchange, nil)
		c.log.Info("token renewed", "identity", id.name, "by", by, "expires", grant.Expires)
		return keep(grant, by, now), nil, true
	}
	e := name(id.name, "renewal", err)
	if ended := context.Cause(f.ctx); ended != nil {
		return nil, endedError(id.name, ended), true
	}
	c.observe.Renewal(id.name, false, e)
	id.mu.Lock()
	spent := id.renewals.fail(*e, now)
	if !spent {
		told := id.renewals.told()
		id.mu.Unlock()
		c.warn("the token could not be renewed", told)
		return nil, told, true
	}
	if current := id.held.Load(); current != nil { // it may have been evicted
		without := *current
		without.spent = true
		id.held.Store(&without)
	}
	f.event.Text = "the sign-in has begun"
	id.mu.Unlock()
	c.warn("the token could not be renewed; the next is obtained by a sign-in", e)
	return nil, e, !id.wanted(f)
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
func (c *Cache) signIn(id *identity, f *flight) (*held, *auth.Error) {
	ctx, cancel := context.WithTimeout(f.ctx, c.signInTime(nil))
	defer cancel()
	if e := c.admit(ctx, id, f); e != nil {
		return nil, e
	}
	for try := 1; ; try++ {
		grant, err, paused := c.attempt(ctx, id, f, nil)
		if err == nil {
			c.succeeded(ctx, id)
			return keep(grant, BySignIn, time.Now()), nil
		}
		e := name(id.name, "sign-in", err)
		if e.Kind != auth.NobodyWaiting || f.ctx.Err() != nil {
			return nil, c.failed(ctx, id, f, e, paused)
		}
		if id.forsaken(f) || try == signInTries {
			return nil, e
		}
	}
}

// attempt signs id in, with what a person gives if given is not nil. It reports
// whether pushes were paused.
func (c *Cache) attempt(ctx context.Context, id *identity, f *flight, given *auth.Given) (grant auth.Grant, err error, paused bool) {
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
				c.pose(id, f, e)
				id.mu.Unlock()
				c.count(id, e.Challenge)
				c.changed()
				if c.tell != nil {
					c.tell(e)
				}
				if given != nil && given.Tell != nil {
					given.Tell(e)
				}
			},
			PushPaused: pause,
			Ask:        c.asker(id, f, given, pause != nil),
			Given:      given,
		})
	})
	if err == nil {
		err = check(grant, time.Now())
	}
	if err == nil {
		c.observe.SignIn(id.name, nil)
	} else {
		c.observe.SignIn(id.name, name(id.name, "sign-in", err))
	}
	return grant, err, pause != nil
}

// count tells the Observer what was sent to somebody, when they hear of it first.
func (c *Cache) count(id *identity, asked *auth.Challenge) {
	if asked == nil || asked.Again {
		return
	}
	switch asked.Kind {
	case auth.FactorPush:
		c.observe.Push(id.name)
	case auth.FactorSMS, auth.FactorCall, auth.FactorEmail:
		c.observe.Sent(id.name, asked.Kind)
	}
}

// forsaken reports whether nobody waits for f. If so, who comes next does not
// join it but begins a flight of their own.
func (id *identity) forsaken(f *flight) bool {
	id.mu.Lock()
	defer id.mu.Unlock()
	if f.waiters > 0 {
		return false
	}
	if h := id.held.Load(); h != nil && !h.left {
		left := *h
		left.left = true
		id.held.Store(&left)
	}
	id.close(f)
	return true
}

// failed remembers that e ended a sign-in, and returns what callers are told.
func (c *Cache) failed(ctx context.Context, id *identity, f *flight, e *auth.Error, paused bool) *auth.Error {
	keep := c.ledger != nil && e.Credential != "" && ruleOf(e.Kind).keep
	if ended := context.Cause(f.ctx); ended != nil && !keep {
		return endedError(id.name, ended) // it failed because it was ended
	}
	now := time.Now()
	id.mu.Lock()
	told := id.memory.fail(*e, now, paused)
	if keep {
		id.memory.recorded = true
	}
	id.mu.Unlock()
	c.warn(SignInFailed, told)
	if keep {
		c.record(ctx, id, Refusal{Credential: e.Credential, Kind: e.Kind, Step: e.Step, Code: e.Code, Time: now})
	}
	return told
}

// SignInFailed is what the log says of a failure that those who wait are told as well.
const SignInFailed = "the sign-in failed"

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
