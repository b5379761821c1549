package cache

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
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
	// Owns reports whether g, which was stored, is of the account that identity is now.
	Owns(identity string, g auth.Grant) bool
	// Revoke ends g, which may be empty, and the sessions of identity.
	Revoke(ctx context.Context, identity string, g auth.Grant) error
}

// Config is what a Cache is made of.
type Config struct {
	Source Source
	Ledger Ledger // nil: refusals last as long as the program runs
	Vault  Vault  // nil: grants last as long as the program runs
	// Size is how many grants are kept; the longest unused one goes. 0: 1024.
	Size int
	// SignInTimeout is how long a sign-in may take, with a person's answer. 0: 2 minutes.
	// Where a person may be asked (see Ask, Answers), it is at least 5.
	SignInTimeout time.Duration
	// Ask is told every question that a sign-in asks a person, and may answer those
	// for a code; a zero Secret is no answer. Its context ends when the question is
	// over. Without Answers, its error means that nobody will answer. nil: nobody.
	Ask func(context.Context, Question) (auth.Secret, error)
	// Answers says that somebody looks at Status for questions and calls Answer.
	Answers bool
	Log     *slog.Logger     // nil: nobody
	Tell    func(auth.Event) // hears the steps of sign-ins; must not block. nil: nobody
	Observe Observer         // nil: nobody
	Changed func()           // hears that Status has changed; must not block. nil: nobody
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
	vault   vault
	timeout time.Duration
	log     *slog.Logger
	tell    func(auth.Event)
	observe Observer
	changed func()
	ask     func(context.Context, Question) (auth.Secret, error)
	answers bool

	ctx    context.Context // of the flights; ends with Close
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // the flights' goroutines

	mu     sync.RWMutex // guards what follows; taken after an identity's mu, never before
	closed bool
	// configured has the names that Keep was given last; nil: any name may be asked for.
	configured map[string]bool
	// identities has everyone who was ever asked for. It is bounded by the config,
	// which names them all, and so is what is remembered of their failures:
	// no eviction leads to a second attempt with a refused credential.
	identities map[string]*identity
	// leavers has those who are no longer configured and not signed out yet; each is
	// closed when that is done.
	leavers map[string]chan struct{}

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
	if c.Observe == nil {
		c.Observe = nobody{}
	}
	if c.Changed == nil {
		c.Changed = func() {}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	recent, err := simplelru.NewLRU(c.Size, func(_ string, id *identity) { id.evict() })
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &Cache{
		source:     c.Source,
		ledger:     c.Ledger,
		vault:      vault{Vault: c.Vault},
		timeout:    c.SignInTimeout,
		log:        c.Log,
		tell:       c.Tell,
		observe:    c.Observe,
		changed:    c.Changed,
		ask:        c.Ask,
		answers:    c.Answers,
		ctx:        ctx,
		cancel:     cancel,
		identities: map[string]*identity{},
		leavers:    map[string]chan struct{}{},
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
	if id == nil {
		c.observe.Token(identity, Failed)
		return auth.Grant{}, unknownError(identity)
	}
	now := time.Now()
	if h := id.held.Load(); h.fresh(now) {
		c.touch(id, now)
		c.observe.Token(identity, Hit)
		return h.grant, nil
	}
	grant, how, err := c.obtain(ctx, id, now, false)
	if err != nil {
		how = Failed
	}
	c.observe.Token(identity, how)
	return grant, err
}

// obtain is Token where the answer is not a fresh token. again says that the caller
// has waited for the end of a pause already.
func (c *Cache) obtain(ctx context.Context, id *identity, now time.Time, again bool) (auth.Grant, string, error) {
	id.mu.Lock()
	h := id.held.Load()
	if h.good(now) && now.Before(h.mandatory) {
		if !h.fresh(now) && id.flight == nil && id.ahead(h, now) {
			c.begin(id, nil)
		}
		id.mu.Unlock()
		c.touch(id, now)
		return h.grant, Behind, nil
	}
	f := id.flight
	if f == nil {
		err := id.blocked(now)
		if err == nil && ctx.Err() == nil {
			if f = c.begin(id, nil); f == nil {
				err = c.refusal(id)
			}
		}
		if f == nil {
			id.mu.Unlock()
			switch {
			case h.good(now):
				return h.grant, Behind, nil
			case err != nil && !again && h.renewable(now) && c.pauseOut(ctx, err, now):
				return c.obtain(ctx, id, time.Now(), true)
			case err != nil:
				return auth.Grant{}, Failed, err
			}
			// Nothing is begun for a caller who has left already.
			return auth.Grant{}, Failed, waitingError(ctx, auth.Event{Identity: id.name})
		}
	}
	f.asked = true
	f.waiters++
	id.mu.Unlock()
	c.changed()
	grant, err := c.wait(ctx, id, f)
	return grant, Waited, err
}

// pauseOut waits until the pause between renewals is over that e tells of, if it is
// a short one and the caller stays that long: the Portal may have come back, and
// then nobody need be told that it was away. It reports whether the pause is over.
func (c *Cache) pauseOut(ctx context.Context, e *auth.Error, now time.Time) bool {
	if e.Kind != auth.Unreachable && e.Kind != auth.Deadline || e.Until.Sub(now) > renewSpacing {
		return false
	}
	if end, ok := ctx.Deadline(); ok && end.Before(e.Until) {
		return false
	}
	timer := time.NewTimer(e.Until.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-c.ctx.Done():
	}
	return false
}

// wait waits for f to end, or ctx, for one caller whom f counts and who takes a token
// that still works if f has brought no other.
func (c *Cache) wait(ctx context.Context, id *identity, f *flight) (auth.Grant, error) {
	grant, err := c.await(ctx, id, f)
	if err != nil && auth.KindOf(err) != auth.Waiting {
		if h := id.held.Load(); h.good(time.Now()) {
			return h.grant, nil
		}
	}
	return grant, err
}

// await waits for f to end, or ctx, for one caller whom f counts.
func (c *Cache) await(ctx context.Context, id *identity, f *flight) (auth.Grant, error) {
	select {
	case <-f.done:
	case <-ctx.Done():
	}
	id.mu.Lock()
	f.waiters--
	event := f.event
	id.mu.Unlock()
	c.changed()
	select {
	case <-f.done:
	default:
		return auth.Grant{}, waitingError(ctx, event)
	}
	if f.err == nil {
		return f.grant, nil
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
	c.changed()
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
	c.cancel(ErrClosed)
	c.wg.Wait()
	c.saveRest()
}

// find returns what there is about name, and makes it if need be. It is nil for a
// name that is not configured.
func (c *Cache) find(name string) *identity {
	c.mu.RLock()
	id := c.identities[name]
	c.mu.RUnlock()
	if id != nil {
		return id
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.configured != nil && !c.configured[name] {
		return nil
	}
	if id = c.identities[name]; id == nil {
		id = newIdentity(name, c.leavers[name])
		c.identities[name] = id
	}
	return id
}

// everyone returns those who are known. An identity's mu may be held while mu is
// taken, and so never the other way round.
func (c *Cache) everyone() []*identity {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Collect(maps.Values(c.identities))
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

// endedError is for those who wait for a flight that was ended.
func endedError(identity string, cause error) *auth.Error {
	return &auth.Error{Kind: auth.SessionLost, Identity: identity, Step: "sign-in", Err: cause}
}

func unknownError(identity string) *auth.Error {
	return &auth.Error{Kind: auth.UnknownIdentity, Identity: identity, Step: "sign-in"}
}

// refusal is why no flight was begun for id. The caller holds id.mu.
func (c *Cache) refusal(id *identity) *auth.Error {
	switch {
	case id.gone:
		return unknownError(id.name)
	case id.leaving > 0:
		return endedError(id.name, ErrSignedOut)
	}
	return endedError(id.name, ErrClosed)
}
