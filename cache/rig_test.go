package cache_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"arcproxy/auth"
	"arcproxy/cache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs test where time stands still until everybody waits.
func bubble(t *testing.T, name string, test func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// source is a scripted Source. Its zero value gives grants that last half an hour
// and can be renewed for two weeks.
type source struct {
	t     testing.TB
	life  time.Duration // of access tokens
	plain bool          // no refresh tokens

	// What SignIn, Renew and Uses do, beside being counted; nil: a grant, a grant,
	// and yes. They are set while nothing runs.
	signIn func(ctx context.Context, identity string, w auth.Watch) (auth.Grant, error)
	renew  func(ctx context.Context, identity string, g auth.Grant) (auth.Grant, error)
	uses   func(identity, fingerprint string) (bool, error)
	revoke error
	// revoking is how long Revoke takes.
	revoking time.Duration

	mu      sync.Mutex // guards what follows
	counts  counts
	active  map[string]int // identity → calls of SignIn and Renew under way
	made    int            // tokens
	revoked []string
}

type counts struct{ signIns, renews, uses, revokes int }

func (s *source) count(what *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*what++
}

func (s *source) seen() counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// enter says that a call for identity begins, and returns what says that it ends.
func (s *source) enter(identity string) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active == nil {
		s.active = map[string]int{}
	}
	if s.active[identity]++; s.active[identity] > 1 {
		s.t.Errorf("%d calls for %s at once", s.active[identity], identity)
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.active[identity]--
	}
}

// grant makes a new one.
func (s *source) grant(identity string) auth.Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	life := s.life
	if life == 0 {
		life = 30 * time.Minute
	}
	now := time.Now()
	g := auth.Grant{
		AccessToken: auth.NewSecret(fmt.Sprintf("token %d of %s", s.made, identity)),
		Expires:     now.Add(life),
		Obtained:    now,
		Username:    identity,
	}
	if !s.plain {
		g.RefreshToken, g.RefreshExpires = auth.NewSecret("refresh "+identity), now.Add(max(14*24*time.Hour, 2*life))
	}
	return g
}

func (s *source) SignIn(ctx context.Context, identity string, w auth.Watch) (auth.Grant, error) {
	defer s.enter(identity)()
	s.count(&s.counts.signIns)
	if _, ok := ctx.Deadline(); !ok {
		s.t.Error("a sign-in without a deadline")
	}
	if s.signIn != nil {
		return s.signIn(ctx, identity, w)
	}
	return s.grant(identity), nil
}

func (s *source) Renew(ctx context.Context, identity string, g auth.Grant) (auth.Grant, error) {
	defer s.enter(identity)()
	s.count(&s.counts.renews)
	if _, ok := ctx.Deadline(); !ok {
		s.t.Error("a renewal without a deadline")
	}
	if g.RefreshToken.Reveal() != "refresh "+identity {
		s.t.Errorf("a renewal of %s without its refresh token", identity)
	}
	if s.renew != nil {
		return s.renew(ctx, identity, g)
	}
	return s.grant(identity), nil
}

func (s *source) Uses(_ context.Context, identity, fingerprint string) (bool, error) {
	s.count(&s.counts.uses)
	if s.uses != nil {
		return s.uses(identity, fingerprint)
	}
	return true, nil
}

// Owns says yes unless the grant is another account's.
func (s *source) Owns(_ string, g auth.Grant) bool { return g.Account == "" }

func (s *source) Revoke(_ context.Context, identity string, g auth.Grant) error {
	defer s.enter(identity)()
	s.count(&s.counts.revokes)
	if s.revoking > 0 {
		time.Sleep(s.revoking) // in a bubble
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = append(s.revoked, g.AccessToken.Reveal())
	return s.revoke
}

// failing is what a SignIn does that ends in kind.
func failing(e auth.Error) func(context.Context, string, auth.Watch) (auth.Grant, error) {
	return func(context.Context, string, auth.Watch) (auth.Grant, error) {
		copied := e
		return auth.Grant{}, &copied
	}
}

func newCache(t *testing.T, s *source, change ...func(*cache.Config)) *cache.Cache {
	t.Helper()
	s.t = t
	config := cache.Config{Source: s}
	for _, c := range change {
		c(&config)
	}
	c := cache.New(config)
	t.Cleanup(c.Close)
	return c
}

// ask asks for a token of alice, and fails the test if there is none.
func ask(t *testing.T, c *cache.Cache) auth.Grant {
	t.Helper()
	g, err := c.Token(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// refused asks for a token of alice, and fails the test unless there is an error
// of that kind.
func refused(t *testing.T, c *cache.Cache, kind auth.Kind) *auth.Error {
	t.Helper()
	g, err := c.Token(t.Context(), "alice")
	return wantKind(t, g, err, kind)
}

func wantKind(t *testing.T, g auth.Grant, err error, kind auth.Kind) *auth.Error {
	t.Helper()
	e, ok := errors.AsType[*auth.Error](err)
	if !ok || e.Kind != kind {
		t.Fatalf("got error %v, want %q", err, kind)
	}
	if e.Identity != "alice" || e.Step == "" {
		t.Errorf("an error without its identity or step: %+v", e)
	}
	if !g.AccessToken.IsZero() {
		t.Error("a token beside an error")
	}
	return e
}

func want(t *testing.T, s *source, c counts) {
	t.Helper()
	synctest.Wait()
	if got := s.seen(); got != c {
		t.Errorf("got %+v, want %+v", got, c)
	}
}

// many calls Token n times at once and returns when all have answered.
func many(t *testing.T, c *cache.Cache, n int, each func(auth.Grant, error)) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { each(c.Token(t.Context(), "alice")) })
	}
	wg.Wait()
}

// ledger is a Ledger in memory, of alice only.
type ledger struct {
	mu      sync.Mutex // guards what follows
	entry   *cache.Refusal
	readErr error
	writErr error
	reads   int
}

func (l *ledger) Refused(_ context.Context, identity string) (cache.Refusal, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	if l.readErr != nil {
		return cache.Refusal{}, false, l.readErr
	}
	if l.entry == nil || identity != "alice" {
		return cache.Refusal{}, false, nil
	}
	return *l.entry, true, nil
}

func (l *ledger) Remember(_ context.Context, _ string, r cache.Refusal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writErr != nil {
		return l.writErr
	}
	l.entry = &r
	return nil
}

func (l *ledger) Forget(context.Context, string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entry = nil
	return nil
}

func (l *ledger) has() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entry != nil
}

func with(l *ledger) func(*cache.Config) { return func(c *cache.Config) { c.Ledger = l } }

// logged returns a logger and what reads it.
func logged() (*slog.Logger, func() string) {
	var b lockedBuilder
	return slog.New(slog.NewTextHandler(&b, nil)), b.String
}

type lockedBuilder struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (b *lockedBuilder) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuilder) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
