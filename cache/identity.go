package cache

import (
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

	mu       sync.Mutex // guards what follows, and the writing of held
	flight   *flight    // the one under way; nil: none
	memory   memory
	renewals renewals
	drops    drops
	loaded   bool // the Ledger was read
}

// evict drops the grant. What is remembered of failures stays, and so does a
// flight, which will bring a new grant.
func (id *identity) evict() {
	id.mu.Lock()
	defer id.mu.Unlock()
	id.held.Store(nil)
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
		if now.Before(id.renewals.next) {
			return id.renewals.told()
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
