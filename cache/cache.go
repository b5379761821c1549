package cache

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"arcproxy/auth"
)

// ErrClosed is the cause of what Token returns once the cache is closed.
var ErrClosed = errors.New("the program is shutting down")

// Source obtains grants. *auth.Signer is one. Its errors are [*auth.Error]; each
// call ends soon after its context does.
type Source interface {
	// SignIn signs identity in, and may ask a person if somebody waits for it.
	SignIn(ctx context.Context, identity string, w auth.Watch) (auth.Grant, error)
	// Renew turns g's refresh token into a new grant, in one request.
	// auth.GrantRefused means that only a sign-in helps.
	Renew(ctx context.Context, identity string, g auth.Grant) (auth.Grant, error)
	// Uses reports whether a sign-in of identity would send the credential of
	// that fingerprint.
	Uses(ctx context.Context, identity, fingerprint string) (bool, error)
}

// Config is what a Cache is made of.
type Config struct {
	Source Source
	Ledger Ledger // nil: refusals last as long as the program runs
	// Size is how many grants are kept; the longest unused one goes. 0: 1024.
	Size int
	// SignInTimeout is how long a sign-in may take, with a person's answer. 0: 2 minutes.
	SignInTimeout time.Duration
	Log           *slog.Logger     // nil: nobody
	Tell          func(auth.Event) // hears the steps of sign-ins; must not block. nil: nobody
}

const (
	defaultSize          = 1024
	defaultSignInTimeout = 2 * time.Minute
	// renewTimeout bounds a renewal, which is one request, so that its failure
	// leaves a sign-in its time.
	renewTimeout = 30 * time.Second
)

// Cache keeps grants by identity. Its methods may be called concurrently.
type Cache struct {
	source  Source
	ledger  Ledger
	timeout time.Duration
	log     *slog.Logger
	tell    func(auth.Event)

	ctx    context.Context // of the flights; ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // the flights' goroutines

	mu     sync.RWMutex // guards closed and identities
	closed bool
	// identities has everyone who was ever asked for. It is bounded by the config,
	// which names them all, and so is what is remembered of their failures:
	// no eviction leads to a second attempt with a refused credential.
	identities map[string]*identity

	// order guards recent. It is taken before an identity's mu, never after.
	order  sync.Mutex
	recent *simplelru.LRU[string, *identity] // those who hold a grant
}

// New returns a Cache that holds nothing. It asks its Source for nothing until
// Token is called.
func New(c Config) *Cache {
	if c.Size <= 0 {
		c.Size = defaultSize
	}
	if c.SignInTimeout <= 0 {
		c.SignInTimeout = defaultSignInTimeout
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	recent, err := simplelru.NewLRU(c.Size, func(_ string, id *identity) { id.evict() })
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &Cache{
		source:     c.Source,
		ledger:     c.Ledger,
		timeout:    c.SignInTimeout,
		log:        c.Log,
		tell:       c.Tell,
		ctx:        ctx,
		cancel:     cancel,
		identities: map[string]*identity{},
		recent:     recent,
	}
}

// Token returns a grant whose access token works as far as anybody knows. It
// waits for one as long as ctx lasts; then its error is an [*auth.Error] of kind
// auth.Waiting, whose Event says what is waited for, and the flight goes on.
// Every other error is an [*auth.Error] too: a remembered failure, with Until set
// where a time will clear it. The error is the caller's own.
//
// identity is one that the config names.
func (c *Cache) Token(ctx context.Context, identity string) (auth.Grant, error) {
	id := c.find(identity)
	now := time.Now()
	if h := id.held.Load(); h.fresh(now) {
		c.touch(id, now)
		return h.grant, nil
	}
	return c.obtain(ctx, id, now)
}

// obtain is Token where the answer is not a fresh token.
func (c *Cache) obtain(ctx context.Context, id *identity, now time.Time) (auth.Grant, error) {
	id.mu.Lock()
	h := id.held.Load()
	if h.good(now) && now.Before(h.mandatory) {
		if !h.fresh(now) && id.flight == nil && h.renewable(now) && !now.Before(id.renewals.next) {
			c.begin(id)
		}
		id.mu.Unlock()
		c.touch(id, now)
		return h.grant, nil
	}
	f := id.flight
	if f == nil {
		err := id.blocked(now)
		if err == nil && ctx.Err() == nil {
			if f = c.begin(id); f == nil {
				err = closedError(id.name)
			}
		}
		if f == nil {
			id.mu.Unlock()
			switch {
			case h.good(now):
				return h.grant, nil
			case err != nil:
				return auth.Grant{}, err
			}
			// Nothing is begun for a caller who has left already.
			return auth.Grant{}, waitingError(ctx, auth.Event{Identity: id.name})
		}
	}
	f.asked = true
	f.waiters++
	id.mu.Unlock()
	return c.wait(ctx, id, f)
}

// wait waits for f to end, or ctx, for one caller whom f counts.
func (c *Cache) wait(ctx context.Context, id *identity, f *flight) (auth.Grant, error) {
	select {
	case <-f.done:
	case <-ctx.Done():
	}
	id.mu.Lock()
	f.waiters--
	event := f.event
	id.mu.Unlock()
	select {
	case <-f.done:
	default:
		return auth.Grant{}, waitingError(ctx, event)
	}
	if f.err == nil {
		return f.grant, nil
	}
	// What failed was to get a better one.
	if h := id.held.Load(); h.good(time.Now()) {
		return h.grant, nil
	}
	e := *f.err
	return auth.Grant{}, &e
}

// Drop says that a server has refused token. If it is identity's current access
// token it is given to nobody any more, and the next Token renews it; otherwise
// somebody else was faster, and nothing happens.
func (c *Cache) Drop(identity string, token auth.Secret) {
	c.mu.RLock()
	id := c.identities[identity]
	c.mu.RUnlock()
	if id == nil {
		return
	}
	now := time.Now()
	id.mu.Lock()
	h := id.held.Load()
	if h == nil || h.dropped || !h.grant.AccessToken.Equal(token) {
		id.mu.Unlock()
		return
	}
	without := *h
	without.dropped = true
	id.held.Store(&without)
	id.drops.add(now)
	until, low := id.drops.exhausted(now)
	id.mu.Unlock()
	if low {
		c.log.Warn("tokens are refused right after they are issued; no more are asked for until the pause is over",
			"identity", identity, "until", until, "remedy", (&auth.Error{Kind: auth.TokenRefused}).Remedy())
		return
	}
	c.log.Info("a server refused the token", "identity", identity, "age", now.Sub(h.grant.Obtained).Round(time.Second))
}

// Close ends the flights and waits for their goroutines. Those who wait for a
// flight get an error whose cause is [ErrClosed]. It may be called again.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
}

// find returns what there is about name, and makes it if need be.
func (c *Cache) find(name string) *identity {
	c.mu.RLock()
	id := c.identities[name]
	c.mu.RUnlock()
	if id != nil {
		return id
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if id = c.identities[name]; id == nil {
		id = &identity{name: name}
		c.identities[name] = id
	}
	return id
}

// remove removes id, which nobody has configured.
func (c *Cache) remove(id *identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.identities[id.name] == id {
		delete(c.identities, id.name)
	}
}

// touch says that id's grant is in use. Once a second is enough, and keeps the
// callers of fresh tokens off each other's lock.
func (c *Cache) touch(id *identity, now time.Time) {
	second, last := now.Unix(), id.touched.Load()
	if second == last || !id.touched.CompareAndSwap(last, second) {
		return
	}
	c.order.Lock()
	defer c.order.Unlock()
	c.recent.Get(id.name)
}

// waitingError is for a caller whose patience has ended.
func waitingError(ctx context.Context, event auth.Event) *auth.Error {
	return &auth.Error{
		Kind:     auth.Waiting,
		Identity: event.Identity,
		Step:     "sign-in",
		Seen:     event.Text,
		Event:    event,
		Err:      context.Cause(ctx),
	}
}

func closedError(identity string) *auth.Error {
	return &auth.Error{Kind: auth.SessionLost, Identity: identity, Step: "sign-in", Err: ErrClosed}
}
