package cache_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"arcproxy/auth"
	"arcproxy/cache"
)

// TestModel does anything in any order, and asks after each step whether
//
//   - one identity has more than one call of the Source at once,
//   - a credential was sent again that had been refused,
//   - a push was sent that nobody waits for, or during a pause,
//   - somebody got a token that had expired, or had been dropped before,
//   - somebody waits for a flight that is over.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		// A bubble each: rapid's own clock is outside. Its panics are carried there.
		var thrown any
		synctest.Test(t, func(*testing.T) {
			w := newWorld()
			defer w.end()
			defer func() { thrown = recover() }()
			w.live(rt)
		})
		// rapid tells failures apart by where they were thrown. A case that it cut
		// too short is none, and must not be taken for the one that it shrinks.
		if fmt.Sprintf("%T", thrown) == "rapid.invalidData" {
			panic(thrown)
		}
		if thrown != nil {
			panic(thrown)
		}
	})
}

// live does anything in any order.
func (w *world) live(rt *rapid.T) {
	rt.Repeat(map[string]func(*rapid.T){
		"":       w.check,
		"ask":    w.ask, // twice each, so that more happens
		"ask 2":  w.ask,
		"answer": w.answer,
		"and 2":  w.answer,
		"drop":   w.drop,
		"change": func(rt *rapid.T) {
			name := w.anyone(rt)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.credential[name]++
		},
		"sleep": func(rt *rapid.T) {
			time.Sleep(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour}).Draw(rt, "d"))
		},
		"forget": w.forget,
		"restart": func(*rapid.T) {
			w.cache.Close()
			synctest.Wait()
			w.begin()
		},
	})
	// Whatever happened, nobody waits forever, not even for the end of a pause.
	for range 20 {
		time.Sleep(6 * time.Second) // longer than callers are kept waiting by a pause
		for _, name := range names {
			w.reply(name, func(*call) (auth.Grant, *auth.Error) {
				return auth.Grant{}, &auth.Error{Kind: auth.Unreachable, Step: "end"}
			})
		}
	}
	time.Sleep(6 * time.Second)
	synctest.Wait()
	for _, name := range names {
		if n := w.waiting(name); n != 0 {
			rt.Fatalf("%d still wait for %s", n, name)
		}
	}
	w.check(rt)
}

var names = []string{"alice", "bob", "carol"}

// world is a cache, its Source, and those who ask.
type world struct {
	cache *cache.Cache
	made  int

	mu         sync.Mutex // guards what follows
	credential map[string]int
	refused    map[string]map[int]bool // by identity and credential
	written    map[string]cache.Refusal
	pause      map[string]time.Time // until when no push may be sent
	pending    map[string]*call
	asking     map[string]int
	known      map[string][]auth.Secret // tokens that were given out
	dropped    map[string]time.Time     // by token
	wrong      []string
	stop       context.CancelFunc
	ctx        context.Context
}

// call is a SignIn or Renew that waits for its answer.
type call struct {
	identity   string
	renew      bool
	credential int
	watch      auth.Watch
	reply      chan func() (auth.Grant, error)
}

func newWorld() *world {
	w := &world{
		credential: map[string]int{},
		refused:    map[string]map[int]bool{},
		written:    map[string]cache.Refusal{},
		pause:      map[string]time.Time{},
		pending:    map[string]*call{},
		asking:     map[string]int{},
		known:      map[string][]auth.Secret{},
		dropped:    map[string]time.Time{},
	}
	w.ctx, w.stop = context.WithCancel(context.Background())
	for _, name := range names {
		w.refused[name] = map[int]bool{}
	}
	w.begin()
	return w
}

func (w *world) begin() {
	clear(w.pause) // pauses of pushes end with the program
	w.cache = cache.New(cache.Config{Source: w, Ledger: w, Size: 2})
}

func (w *world) end() {
	w.stop()
	w.cache.Close()
	synctest.Wait()
}

func (w *world) violated(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

func (w *world) check(rt *rapid.T) {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.wrong) > 0 {
		rt.Fatal(w.wrong)
	}
}

func (w *world) anyone(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"alice", "alice", "alice", "bob", "carol"}).Draw(rt, "who")
}

func (w *world) waiting(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asking[name]
}

func (w *world) ask(rt *rapid.T) {
	name := w.anyone(rt)
	patience := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour}).Draw(rt, "patience")
	for range rapid.SampledFrom([]int{1, 1, 20}).Draw(rt, "how many") {
		w.mu.Lock()
		w.asking[name]++
		w.mu.Unlock()
		go func() {
			ctx, cancel := context.WithTimeout(w.ctx, patience)
			defer cancel()
			began := time.Now()
			g, err := w.cache.Token(ctx, name)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.asking[name]--
			if err != nil {
				if auth.KindOf(err) == "" {
					w.wrong = append(w.wrong, fmt.Sprintf("an error without a kind: %v", err))
				}
				return
			}
			token := g.AccessToken.Reveal()
			if at, ok := w.dropped[token]; ok && at.Before(began) {
				w.wrong = append(w.wrong, token+" was dropped, and then given")
			}
			if !time.Now().Before(g.Expires) {
				w.wrong = append(w.wrong, token+" has expired")
			}
			w.known[name] = append(w.known[name], g.AccessToken)
		}()
	}
	synctest.Wait()
}

func (w *world) drop(rt *rapid.T) {
	name := w.anyone(rt)
	w.mu.Lock()
	known := slices.Clone(w.known[name])
	w.mu.Unlock()
	if len(known) == 0 {
		return
	}
	token := known[len(known)-1]
	if rapid.Bool().Draw(rt, "an old one") {
		token = rapid.SampledFrom(known).Draw(rt, "which")
	}
	w.cache.Drop(name, token)
	w.mu.Lock()
	w.dropped[token.Reveal()] = time.Now()
	w.mu.Unlock()
	time.Sleep(time.Millisecond) // who asks now asks later
}

// forget signs somebody out: no token of before is given any more.
func (w *world) forget(rt *rapid.T) {
	name := w.anyone(rt)
	before := time.Now()
	if err := w.cache.Forget(w.ctx, name); err != nil {
		w.violated("forget: %v", err)
	}
	if time.Since(before) > time.Second {
		w.violated("a sign-out took %s", time.Since(before))
	}
	w.mu.Lock()
	for _, token := range w.known[name] {
		w.dropped[token.Reveal()] = time.Now()
	}
	w.mu.Unlock()
	time.Sleep(time.Millisecond)
}

// reply answers the pending call for name, if there is one.
func (w *world) reply(name string, answer func(*call) (auth.Grant, *auth.Error)) {
	w.mu.Lock()
	c := w.pending[name]
	w.mu.Unlock()
	if c == nil {
		return
	}
	select {
	case c.reply <- func() (auth.Grant, error) {
		if g, err := answer(c); err != nil {
			return g, err
		} else {
			return g, nil
		}
	}:
	default:
	}
	synctest.Wait()
}

func (w *world) answer(rt *rapid.T) {
	name := w.anyone(rt)
	what := rapid.SampledFrom([]auth.Kind{"", "", "push", "push", auth.CredentialRefused, auth.PasscodeRefused, auth.AccountLocked,
		auth.PushRejected, auth.Unreachable, auth.RateLimited, auth.GrantRefused, auth.UnexpectedPage}).Draw(rt, "answer")
	life := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 30 * time.Minute, 30 * 24 * time.Hour}).Draw(rt, "life")
	refreshable := rapid.Bool().Draw(rt, "refreshable")
	w.reply(name, func(c *call) (auth.Grant, *auth.Error) {
		e := &auth.Error{Kind: what, Step: "model"}
		if c.renew {
			switch what {
			case auth.Unreachable, auth.RateLimited, auth.GrantRefused, auth.UnexpectedPage:
				return auth.Grant{}, e
			}
			return w.grant(name, life, refreshable), nil
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		switch what {
		case auth.CredentialRefused, auth.PasscodeRefused:
			w.refused[name][c.credential] = true
			e.Credential = print(c.credential)
		case auth.AccountLocked:
			e.Credential = print(c.credential)
		case "push", auth.PushRejected:
			if c.watch.PushPaused != nil {
				return auth.Grant{}, c.watch.PushPaused
			}
			w.mu.Unlock()
			waited := c.watch.SomebodyWaits()
			w.mu.Lock()
			if waited != (w.asking[name] > 0) {
				w.wrong = append(w.wrong, fmt.Sprintf("somebody waits: %v, but %d do", waited, w.asking[name]))
			}
			if !waited {
				e.Kind = auth.NobodyWaiting
				return auth.Grant{}, e
			}
			if time.Now().Before(w.pause[name]) {
				w.wrong = append(w.wrong, "a push during the pause")
			}
			if what == auth.PushRejected {
				w.pause[name] = time.Now().Add(10 * time.Minute)
				return auth.Grant{}, e
			}
			return w.grantLocked(name, life, refreshable), nil
		case "":
			return w.grantLocked(name, life, refreshable), nil
		}
		return auth.Grant{}, e
	})
}

func (w *world) grant(name string, life time.Duration, refreshable bool) auth.Grant {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.grantLocked(name, life, refreshable)
}

func (w *world) grantLocked(name string, life time.Duration, refreshable bool) auth.Grant {
	w.made++
	now := time.Now()
	g := auth.Grant{AccessToken: auth.NewSecret(fmt.Sprintf("%s %d", name, w.made)), Obtained: now, Expires: now.Add(life)}
	if refreshable {
		g.RefreshToken = auth.NewSecret("refresh " + name)
	}
	return g
}

func print(credential int) string { return fmt.Sprintf("print %d", credential) }

// serve waits for the answer to a call.
func (w *world) serve(ctx context.Context, c *call) (auth.Grant, error) {
	c.reply = make(chan func() (auth.Grant, error), 1)
	w.mu.Lock()
	if w.pending[c.identity] != nil {
		w.wrong = append(w.wrong, "two calls at once for "+c.identity)
	}
	c.credential = w.credential[c.identity]
	if !c.renew && w.refused[c.identity][c.credential] {
		w.wrong = append(w.wrong, fmt.Sprintf("credential %d of %s was refused, and then sent", c.credential, c.identity))
	}
	w.pending[c.identity] = c
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.pending, c.identity)
	}()
	select {
	case answer := <-c.reply:
		return answer()
	case <-ctx.Done():
		return auth.Grant{}, &auth.Error{Kind: auth.Deadline, Step: "model", Err: ctx.Err()}
	}
}

func (w *world) SignIn(ctx context.Context, identity string, watch auth.Watch) (auth.Grant, error) {
	return w.serve(ctx, &call{identity: identity, watch: watch})
}

func (w *world) Renew(ctx context.Context, identity string, g auth.Grant) (auth.Grant, error) {
	if g.RefreshToken.IsZero() {
		w.violated("a renewal without a refresh token")
	}
	return w.serve(ctx, &call{identity: identity, renew: true})
}

func (w *world) Uses(_ context.Context, identity, fingerprint string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fingerprint == print(w.credential[identity]), nil
}

func (w *world) Owns(string, auth.Grant) bool                     { return true }
func (w *world) Revoke(context.Context, string, auth.Grant) error { return nil }

func (w *world) Refused(_ context.Context, identity string) (cache.Refusal, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.written[identity]
	return r, ok, nil
}

func (w *world) Remember(_ context.Context, identity string, r cache.Refusal) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written = maps.Clone(w.written)
	w.written[identity] = r
	return nil
}

func (w *world) Forget(_ context.Context, identity string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.written, identity)
	return nil
}
