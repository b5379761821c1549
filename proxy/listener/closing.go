package listener

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

// closing is a storage that CertMagic uses until it is closed. What CertMagic does in
// the background nobody can wait for, so that is done here: what changes the storage is
// refused then, but for whoever has a lock, as a renewal that has begun; and what goes
// on is waited for.
type closing struct {
	certmagic.Storage

	mu     sync.Mutex // guards what follows
	closed bool
	locks  int           // that are held, or waited for
	writes int           // that go on
	idle   chan struct{} // closed when it is closed and nothing goes on
}

var _ certmagic.TryLocker = (*closing)(nil)

func newClosing(st certmagic.Storage) *closing {
	return &closing{Storage: st, idle: make(chan struct{})}
}

// errStopping ends what is refused, for good.
var errStopping = certmagic.ErrNoRetry{Err: errors.New("the program is shutting down")}

// closeTimeout bounds how long a renewal is waited for: an authority elsewhere may take
// its time.
const closeTimeout = 10 * time.Second

// begin counts up one of locks and writes, unless that is refused.
func (c *closing) begin(count *int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed && (count == &c.locks || c.locks == 0) {
		return errStopping
	}
	*count++
	return nil
}

// end counts it down.
func (c *closing) end(count *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*count--
	c.settle()
}

// settle says that nothing goes on any more. The caller holds mu.
func (c *closing) settle() {
	if !c.closed || c.locks > 0 || c.writes > 0 {
		return
	}
	select {
	case <-c.idle:
	default:
		close(c.idle)
	}
}

// close returns when nothing goes on any more, or after closeTimeout.
func (c *closing) close() {
	c.mu.Lock()
	c.closed = true
	c.settle()
	c.mu.Unlock()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-c.idle:
	case <-timer.C:
	}
}

// Lock implements [certmagic.Locker].
func (c *closing) Lock(ctx context.Context, name string) error {
	if err := c.begin(&c.locks); err != nil {
		return err
	}
	err := c.Storage.Lock(ctx, name)
	if err != nil {
		c.end(&c.locks)
	}
	return err
}

// TryLock implements [certmagic.TryLocker]. A storage that has no such thing waits.
func (c *closing) TryLock(ctx context.Context, name string) (bool, error) {
	try, ok := c.Storage.(certmagic.TryLocker)
	if !ok {
		err := c.Lock(ctx, name)
		return err == nil, err
	}
	if err := c.begin(&c.locks); err != nil {
		return false, err
	}
	ok, err := try.TryLock(ctx, name)
	if !ok || err != nil {
		c.end(&c.locks)
	}
	return ok, err
}

// Unlock implements [certmagic.Locker].
func (c *closing) Unlock(ctx context.Context, name string) error {
	err := c.Storage.Unlock(ctx, name)
	if err == nil {
		c.end(&c.locks)
	}
	return err
}

// Store implements [certmagic.Storage].
func (c *closing) Store(ctx context.Context, key string, value []byte) error {
	if err := c.begin(&c.writes); err != nil {
		return err
	}
	defer c.end(&c.writes)
	return c.Storage.Store(ctx, key, value)
}

// Delete implements [certmagic.Storage].
func (c *closing) Delete(ctx context.Context, key string) error {
	if err := c.begin(&c.writes); err != nil {
		return err
	}
	defer c.end(&c.writes)
	return c.Storage.Delete(ctx, key)
}
