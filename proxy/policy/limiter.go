package policy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Limits are how much one caller may do. A zero field means no such limit,
// except where it says otherwise.
type Limits struct {
	Rate       float64       // requests per second, on average
	Burst      int           // how many of them may come at once; 0: two seconds' worth
	Concurrent int           // requests at a time
	Queue      int           // how many more may wait for their turn; 0: as many as Concurrent
	Wait       time.Duration // how long one waits at most; 0: 5 s
}

// Defaults and bounds of [Limits].
const (
	defaultWait = 5 * time.Second
	maxRate     = 1e6
	maxCount    = 1 << 20
	maxWait     = 10 * time.Minute
)

var (
	// ErrRate says that a caller sends requests faster than it may.
	ErrRate = errors.New("this caller sends more requests than its rate allows")
	// ErrBusy says that a caller has as many requests under way as it may, and
	// that waiting for one of them to end was no use.
	ErrBusy = errors.New("this caller has as many requests under way as it may have at a time")
)

// Limiter holds one caller to its [Limits]. It is safe for concurrent use, starts
// no goroutines, and need not be closed.
type Limiter struct {
	rate  *rate.Limiter // nil: any
	slots chan struct{} // holds one for each request under way; nil: any number
	queue int64
	wait  time.Duration
	leave func()

	waiting atomic.Int64 // how many wait for a slot
}

// NewLimiter checks limits and makes a Limiter. The error joins every fault.
func NewLimiter(limits Limits) (*Limiter, error) {
	var faults []error
	check := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(math.IsNaN(limits.Rate) || limits.Rate < 0 || limits.Rate > maxRate,
		"rate %v: write requests per second, from 0 (any) to %.0f; 0.5 is one every two seconds", limits.Rate, float64(maxRate))
	check(limits.Burst < 0 || limits.Burst > maxCount, "burst %d: write how many requests may come at once, at most %d", limits.Burst, maxCount)
	check(limits.Burst > 0 && limits.Rate == 0, "burst %d: it means nothing without a rate", limits.Burst)
	check(limits.Concurrent < 0 || limits.Concurrent > maxCount, "concurrent %d: write how many requests there may be at a time, at most %d", limits.Concurrent, maxCount)
	check(limits.Queue < 0 || limits.Queue > maxCount, "queue %d: write how many requests may wait, at most %d", limits.Queue, maxCount)
	check(limits.Wait < 0 || limits.Wait > maxWait, "wait %v: write how long a request may wait, at most %v", limits.Wait, maxWait)
	check((limits.Queue > 0 || limits.Wait > 0) && limits.Concurrent == 0, "a queue means nothing without a ceiling of concurrent requests")
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	l := &Limiter{queue: int64(limits.Queue), wait: limits.Wait, leave: func() {}}
	if limits.Rate > 0 {
		burst := limits.Burst
		if burst == 0 {
			burst = max(1, int(math.Ceil(2*limits.Rate)))
		}
		l.rate = rate.NewLimiter(rate.Limit(limits.Rate), burst)
	}
	if limits.Concurrent > 0 {
		l.slots = make(chan struct{}, limits.Concurrent)
		l.leave = func() { <-l.slots }
		if limits.Queue == 0 {
			l.queue = int64(limits.Concurrent)
		}
		if limits.Wait == 0 {
			l.wait = defaultWait
		}
	}
	return l, nil
}

// Enter lets one request in, at once or after a wait in the order of arrival.
// Then err is nil, and leave has to be called exactly once when the request has
// ended, a WebSocket's connection included.
//
// Otherwise err is [ErrRate] or [ErrBusy], with the time after which a new
// attempt makes sense (at least a second, for Retry-After), or ctx's, if it
// ended first.
func (l *Limiter) Enter(ctx context.Context) (leave func(), retryAfter time.Duration, err error) {
	if l.rate != nil && !l.rate.Allow() {
		missing := 1 - l.rate.Tokens()
		next := time.Duration(missing / float64(l.rate.Limit()) * float64(time.Second))
		return nil, max(next, time.Second), ErrRate
	}
	if l.slots == nil {
		return l.leave, 0, nil
	}
	select {
	case l.slots <- struct{}{}:
		return l.leave, 0, nil
	default:
	}
	if l.waiting.Add(1) > l.queue {
		l.waiting.Add(-1)
		return nil, max(l.wait, time.Second), ErrBusy
	}
	defer l.waiting.Add(-1)
	timer := time.NewTimer(l.wait)
	defer timer.Stop()
	// A channel serves those who wait to send in their order, before any newcomer.
	select {
	case l.slots <- struct{}{}:
		return l.leave, 0, nil
	case <-timer.C:
		return nil, max(l.wait, time.Second), ErrBusy
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}
