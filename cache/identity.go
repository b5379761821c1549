package cache

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"arcproxy/auth"
)

// identity is all that is known about one.
type identity struct {
	name    string
	held    atomic.Pointer[held] // its grant; nil: none. Written under mu, read without.
	touched atomic.Int64         // the second, since 1970, when recency was last noted

	mu       sync.Mutex  // guards what follows, and the writing of held
	flight   *flight     // the one under way; nil: none
	gone     bool        // it is no longer configured
	leaving  int         // sign-outs under way: no flight begins
	failure  *auth.Error // the last one since a grant was obtained
	failed   time.Time   // when
	memory   memory
	renewals renewals
	drops    drops
	loaded   bool // the Ledger was read
	restored bool // the Vault was read, or need not be

	// after is closed when the one of this name who was configured before has been
	// signed out; nil: there was none.
	after <-chan struct{}
	// signedOut is closed when this one has been, who is no longer configured; nil: it is.
	signedOut chan struct{}
	// turn holds one token. Whoever has it may obtain a grant, or end one: it keeps
	// a sign-out and the flight after it apart.
	turn chan struct{}
}

func newIdentity(name string, after <-chan struct{}) *identity {
	id := &identity{name: name, after: after, turn: make(chan struct{}, 1)}
	id.release()
	return id
}

// take waits for the turn.
func (id *identity) take(ctx context.Context) error {
	if id.after != nil {
		select {
		case <-id.after:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	select {
	case <-id.turn:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (id *identity) release() { id.turn <- struct{}{} }

// ahead reports whether a flight may be begun for the next token while h still
// works: a renewal, or where there is no refresh token a sign-in, which ends before
// it would ask a person. The caller holds mu.
func (id *identity) ahead(h *held, now time.Time) bool {
	if h.renewable(now) {
		return !now.Before(id.renewals.next)
	}
	return !h.left && id.blocked(now) == nil
}

// evict drops the grant. What is remembered of failures stays, and so does a
// flight, which will bring a new grant.
func (id *identity) evict() {
	id.mu.Lock()
	defer id.mu.Unlock()
	id.held.Store(nil)
	id.restored = false
}

// blocked returns the remembered failure that keeps a flight from being begun at
// now, nil if there is none. The caller holds mu.
func (id *identity) blocked(now time.Time) *auth.Error {
	if until, low := id.drops.exhausted(now); low {
		return &auth.Error{
			Kind:     auth.TokenRefused,
			Identity: id.name,
			Step:     "token",
			Seen:     fmt.Sprintf("%d tokens were refused within a minute of each other; no more are asked for until the pause is over", dropsMost+1),
			Until:    until,
		}
	}
	switch {
	case id.held.Load().renewable(now):
		if e := id.renewals.told(); now.Before(e.Until) {
			return e
		}
	case id.memory.hold != nil && now.Before(id.memory.hold.next):
		return id.memory.hold.told()
	}
	return nil
}

// dropsMost is how many refused tokens are replaced within dropsPer. A token that
// is refused as soon as it is issued (a server that is not federated with the
// Portal, clocks apart) would else be renewed, or signed in for, without end.
const (
	dropsMost = 3
	dropsPer  = time.Minute
)

// drops has the times of the last tokens that were refused, the oldest first.
type drops [dropsMost + 1]time.Time

func (d *drops) add(now time.Time) {
	copy(d[:], d[1:])
	d[len(d)-1] = now
}

// exhausted reports whether too many tokens were refused lately for another to
// be asked for, and until when.
func (d *drops) exhausted(now time.Time) (time.Time, bool) {
	until := d[0].Add(dropsPer)
	return until, !d[0].IsZero() && now.Before(until)
}
