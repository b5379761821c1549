package proxy

import (
	"context"
	"sync"
	"time"
)

// patience is the context of a request, which ends with the caller's patience
// too. Nearly always a token is at hand and nobody waits for the end of it, so
// the timer is made when somebody first asks for it, and the time runs from then.
type patience struct {
	context.Context // the request's
	limit           time.Duration

	mu     sync.Mutex // guards what follows
	timed  context.Context
	cancel context.CancelFunc
}

func (p *patience) begin() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timed == nil {
		p.timed, p.cancel = context.WithTimeout(p.Context, p.limit)
	}
	return p.timed
}

// current is the context with the timer if there is one, else the request's.
func (p *patience) current() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timed == nil {
		return p.Context
	}
	return p.timed
}

// watched reports whether somebody asked for the end of it.
func (p *patience) watched() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.timed != nil
}

// end releases the timer.
func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel != nil {
		p.cancel()
	}
}

// Done implements [context.Context].
func (p *patience) Done() <-chan struct{} { return p.begin().Done() }

// Deadline implements [context.Context].
func (p *patience) Deadline() (time.Time, bool) { return p.begin().Deadline() }

// Err implements [context.Context].
func (p *patience) Err() error { return p.current().Err() }

// Value implements [context.Context]. With the timer's own, contexts made from
// this one are joined to it without a goroutine.
func (p *patience) Value(key any) any { return p.current().Value(key) }
