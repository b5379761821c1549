// Package cache keeps the grants of identities, and sees to it that however many
// requests wait for one, it is obtained once.
//
//	fresh                          served at once
//	inside the advisory window     served at once; renewed behind, by refresh token only
//	ended, dropped, or none        all who ask wait for one flight
//
// A flight runs on a context of its own: whoever leaves changes nothing for the
// others. It renews by refresh token where it can and signs in where it must.
// A background flight never signs in, and one whose waiters have all left sends
// nothing to anybody's phone (see [auth.Watch]).
//
// Failures are remembered with what clears them, in failures.go: that memory, and
// not a limit on retries, is what keeps accounts from being locked.
package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"arcproxy/auth"
)

// Source obtains grants. [*auth.Signer] is one.
type Source interface {
	// SignIn does a whole sign-in.
	SignIn(ctx context.Context, identity string, w auth.Watch) (auth.Grant, error)
	// Renew uses g's refresh token; auth.GrantRefused means that only a sign-in helps.
	Renew(ctx context.Context, identity string, g auth.Grant) (auth.Grant, error)
	// Uses reports whether the credential of that fingerprint is still the one a
	// sign-in would use.
	Uses(ctx context.Context, identity, fingerprint string) (bool, error)
}

// Config says what a Cache is made of.
type Config struct {
	Source        Source
	Ledger        Ledger           // where refused credentials outlive the process; nil: nowhere
	Size          int              // grants kept; 0: 1024
	SignInTimeout time.Duration    // of one flight; 0: DefaultSignInTimeout
	Log           *slog.Logger     // nil: nothing is logged
	Tell          func(auth.Event) // hears the steps of every sign-in; must not block; nil: nobody does
}

// DefaultSignInTimeout is long enough for a person to find a phone.
const DefaultSignInTimeout = 2 * time.Minute

// Cache is safe for concurrent use. Make one with [New], end it with [Cache.Close].
type Cache struct {
	source  Source
	ledger  Ledger
	timeout time.Duration
	log     *slog.Logger
	tell    func(auth.Event)

	grants *lru.Cache[string, auth.Grant]

	ctx     context.Context // of all flights
	stop    context.CancelFunc
	flights sync.WaitGroup

	mu     sync.Mutex // guards slots and closed
	slots  map[string]*slot
	closed bool
}

// slot is what is known of one identity beside its grant. Slots are never
// evicted: forgetting a refusal would cost a second attempt. There are as many
// as the config has identities, since the Source knows no others.
type slot struct {
	identity string

	mu       sync.Mutex // guards what follows
	flight   *flight
	memory   memory
	renewals []time.Time // obtained after a Drop, in the last loopWindow
	dropped  bool        // the grant's access token was refused by an upstream
	resting  time.Time   // no renewal behind before this
}

// flight is one attempt to obtain a grant, and those who wait for it.
type flight struct {
	waiters atomic.Int32
	event   atomic.Pointer[auth.Event] // the latest step
	done    chan struct{}              // closed once grant and err are set
	grant   auth.Grant
	err     error
}

// New returns an empty Cache.
func New(c Config) *Cache {
	if c.Size <= 0 {
		c.Size = 1024
	}
	if c.SignInTimeout <= 0 {
		c.SignInTimeout = DefaultSignInTimeout
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	grants, err := lru.New[string, auth.Grant](c.Size)
	if err != nil {
		panic(err) // Size is more than 0
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Cache{source: c.Source, ledger: c.Ledger, timeout: c.SignInTimeout, log: c.Log, tell: c.Tell,
		grants: grants, ctx: ctx, stop: stop, slots: map[string]*slot{}}
}

// Token returns a grant of identity whose access token can be used now, and waits
// for one as long as ctx allows. Errors are [*auth.Error]: of kind auth.Waiting,
// with the flight's latest event, if ctx ended first; a remembered failure has
// Until set where time clears it.
func (c *Cache) Token(ctx context.Context, identity string) (auth.Grant, error) {
	now := time.Now()
	if g, ok := c.grants.Get(identity); ok {
		advisory, mandatory := windows(g)
		if now.Before(advisory) {
			return g, nil
		}
		if now.Before(mandatory) {
			c.renewBehind(identity, g, now)
			return g, nil
		}
	}
	return c.wait(ctx, identity)
}

// windows returns until when g is served as it is, and until when it is served
// while it is renewed: four fifths of the token's life, and all of it but a
// twentieth, 10 s at the most, which the request that carries it needs.
func windows(g auth.Grant) (advisory, mandatory time.Time) {
	if g.AccessToken.IsZero() {
		return time.Time{}, time.Time{}
	}
	life := g.Expires.Sub(g.Obtained)
	return g.Expires.Add(-life / 5), g.Expires.Add(-min(life/20, 10*time.Second))
}

// Drop forgets identity's access token if it still is token: an upstream refused
// it. The refresh token stays, for the renewal that the next Token asks for.
func (c *Cache) Drop(identity string, token auth.Secret) {
	s := c.slot(identity)
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := c.grants.Peek(identity)
	if !ok || g.AccessToken.IsZero() || !g.AccessToken.Equal(token) {
		return // somebody was faster
	}
	g.AccessToken = auth.Secret{}
	c.grants.Add(identity, g)
	s.dropped = true
	c.log.Info("an upstream refused the token", "identity", identity)
}

// Close ends all flights and waits until they have ended. Token fails afterwards.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	c.flights.Wait()
}

// slot returns identity's slot; nil once the cache is closed.
func (c *Cache) slot(identity string) *slot {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	s := c.slots[identity]
	if s == nil {
		s = &slot{identity: identity}
		c.slots[identity] = s
	}
	return s
}

// wait joins identity's flight, starting it if there is none.
func (c *Cache) wait(ctx context.Context, identity string) (auth.Grant, error) {
	f, g, err := c.board(ctx, identity)
	if f == nil {
		return g, err
	}
	defer f.waiters.Add(-1)
	select {
	case <-f.done:
		return f.grant, f.err
	case <-ctx.Done():
	}
	e := &auth.Error{Kind: auth.Waiting, Identity: identity, Step: "sign-in", Err: context.Cause(ctx)}
	if event := f.event.Load(); event != nil {
		e.Event = *event
	}
	return auth.Grant{}, e
}

// board counts the caller in on identity's flight. Without a flight there is a
// grant, obtained by one that has just ended, or a remembered failure.
func (c *Cache) board(ctx context.Context, identity string) (*flight, auth.Grant, error) {
	s := c.slot(identity)
	if s == nil {
		return nil, auth.Grant{}, errClosed(identity)
	}
	if err := c.recall(ctx, s); err != nil {
		return nil, auth.Grant{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	g, _ := c.grants.Peek(identity)
	if _, mandatory := windows(g); now.Before(mandatory) {
		return nil, g, nil
	}
	f := s.flight
	if f == nil {
		if err := s.memory.blocks(identity, now); err != nil {
			return nil, auth.Grant{}, err
		}
		if err := s.floor(now); err != nil {
			return nil, auth.Grant{}, err
		}
		if f = c.launch(s, g); f == nil {
			return nil, auth.Grant{}, errClosed(identity)
		}
	}
	f.waiters.Add(1)
	return f, auth.Grant{}, nil
}

// loopWindow and loopMost are the floor against loops of sign-ins: so many tokens
// in that time may replace ones that were refused.
const (
	loopWindow = time.Minute
	loopMost   = 3
)

// floor counts a replacement of a refused token, unless there were too many.
// The caller holds s.mu.
func (s *slot) floor(now time.Time) *auth.Error {
	if !s.dropped {
		return nil
	}
	for len(s.renewals) > 0 && now.Sub(s.renewals[0]) >= loopWindow {
		s.renewals = s.renewals[1:]
	}
	if len(s.renewals) >= loopMost {
		return &auth.Error{Kind: auth.TokenRefused, Identity: s.identity, Step: "renewal", Until: s.renewals[0].Add(loopWindow),
			Seen: fmt.Sprintf("%d tokens were refused within a minute", loopMost)}
	}
	s.dropped = false
	s.renewals = append(s.renewals, now)
	return nil
}

// renewBehind starts a flight that nobody waits for, if g can be renewed.
func (c *Cache) renewBehind(identity string, g auth.Grant, now time.Time) {
	s := c.slot(identity)
	if s == nil || !g.Renewable(now) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil || now.Before(s.resting) {
		return
	}
	if current, _ := c.grants.Peek(identity); !current.AccessToken.Equal(g.AccessToken) {
		return
	}
	c.launch(s, g)
}

// launch starts s's flight. The caller holds s.mu. nil: the cache is closed.
func (c *Cache) launch(s *slot, g auth.Grant) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	f := &flight{done: make(chan struct{})}
	s.flight = f
	c.flights.Go(func() { c.fly(s, f, g) })
	return f
}

// fly obtains a grant for s, and lands f with it or with why there is none.
func (c *Cache) fly(s *slot, f *flight, old auth.Grant) {
	ctx, cancel := context.WithTimeout(c.ctx, c.timeout)
	defer cancel()
	grant, err := c.obtain(ctx, s, f, old)

	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case err == nil:
		c.grants.Add(s.identity, grant)
		s.memory.clear()
	default:
		s.resting = now.Add(renewalRest)
		if current, _ := c.grants.Peek(s.identity); current.Fresh(now, 0) {
			break // a renewal behind failed; the token still serves
		}
		err = c.remember(s, err, now)
	}
	f.grant, f.err = grant, err
	s.flight = nil
	close(f.done)
}

// renewalRest is how long after a renewal behind that failed the next is tried.
const renewalRest = 10 * time.Second

// obtain renews old where that is possible, else signs in. It never panics: a
// panic would take the program and everybody's requests with it.
func (c *Cache) obtain(ctx context.Context, s *slot, f *flight, old auth.Grant) (grant auth.Grant, err error) {
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("a sign-in broke down", "identity", s.identity, "panic", fmt.Sprintf("%T", r))
			err = &auth.Error{Kind: auth.UnexpectedPage, Identity: s.identity, Step: "sign-in", Seen: "a defect of this program"}
		}
	}()
	began := time.Now()
	if old.Renewable(began) {
		grant, err = c.source.Renew(ctx, s.identity, old)
		if err == nil {
			c.log.Info("token renewed", "identity", s.identity, "took", time.Since(began).Round(time.Millisecond), "expires", grant.Expires)
			return grant, nil
		}
		if kind := auth.KindOf(err); kind != auth.GrantRefused && kind != auth.UnexpectedPage {
			return auth.Grant{}, err
		}
		c.log.Info("the refresh token is no longer good", "identity", s.identity, "error", err)
		c.forgetRefresh(s.identity, old)
		if f.waiters.Load() == 0 {
			return auth.Grant{}, err // nobody waits: a sign-in is left until somebody does
		}
	}
	s.mu.Lock()
	paused := s.memory.pushPaused(time.Now())
	s.mu.Unlock()
	return c.source.SignIn(ctx, s.identity, auth.Watch{
		Waited: func() bool { return f.waiters.Load() > 0 },
		Tell: func(e auth.Event) {
			f.event.Store(&e)
			if c.tell != nil {
				c.tell(e)
			}
		},
		PushPaused: paused,
	})
}

// forgetRefresh drops a refresh token that the Portal refused.
func (c *Cache) forgetRefresh(identity string, old auth.Grant) {
	if g, ok := c.grants.Peek(identity); ok && g.RefreshToken.Equal(old.RefreshToken) {
		g.RefreshToken = auth.Secret{}
		c.grants.Add(identity, g)
	}
}

func errClosed(identity string) error {
	return &auth.Error{Kind: auth.Deadline, Identity: identity, Step: "sign-in", Err: errors.New("the proxy is stopping")}
}
