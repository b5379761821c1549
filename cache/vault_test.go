package cache_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"arcproxy/auth"
	"arcproxy/cache"
)

// vault is a Vault in memory.
type vault struct {
	mu      sync.Mutex // guards what follows
	grants  map[string]auth.Grant
	loads   int
	saves   int
	readErr error
	writErr error
	saving  chan struct{} // a Save waits for a value; nil: it does not
}

func (v *vault) Load(_ context.Context, identity string) (auth.Grant, bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.loads++
	if v.readErr != nil {
		return auth.Grant{}, false, v.readErr
	}
	g, ok := v.grants[identity]
	g.Obtained, g.Expires = g.Obtained.Round(0), g.Expires.Round(0)
	return g, ok, nil
}

func (v *vault) Save(_ context.Context, identity string, g auth.Grant) error {
	if v.saving != nil {
		<-v.saving
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.saves++
	if v.writErr != nil {
		return v.writErr
	}
	if v.grants == nil {
		v.grants = map[string]auth.Grant{}
	}
	v.grants[identity] = g
	return nil
}

func (v *vault) Delete(_ context.Context, identity string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.grants, identity)
	return v.writErr
}

func (v *vault) fail(read, write error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.readErr, v.writErr = read, write
}

func (v *vault) has(identity string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.grants[identity]
	return ok
}

func stored(v *vault) func(*cache.Config) { return func(c *cache.Config) { c.Vault = v } }

func TestVault(t *testing.T) {
	bubble(t, "a restart", func(t *testing.T) {
		v, s := &vault{}, &source{}
		c := newCache(t, s, stored(v))
		first := ask(t, c).AccessToken
		c.Close()
		c = newCache(t, s, stored(v))
		if !ask(t, c).AccessToken.Equal(first) {
			t.Error("another token after a restart")
		}
		want(t, s, counts{signIns: 1})
		if got := c.Status()[0]; got.By != cache.ByRestart || !got.Stored || got.Username != "alice" {
			t.Errorf("status %+v", got)
		}
		time.Sleep(26 * time.Minute) // restored tokens have an advisory window, too
		ask(t, c)
		want(t, s, counts{signIns: 1, renews: 1})
		c.Close()
		time.Sleep(time.Hour)
		c = newCache(t, s, stored(v))
		ask(t, c)
		want(t, s, counts{signIns: 1, renews: 2})
		time.Sleep(15 * 24 * time.Hour) // nothing of it is of use any more
		c.Close()
		c = newCache(t, s, stored(v))
		ask(t, c)
		want(t, s, counts{signIns: 2, renews: 2})
	})
	bubble(t, "it is saved before it is given", func(t *testing.T) {
		v := &vault{saving: make(chan struct{})}
		c := newCache(t, &source{}, stored(v))
		given := make(chan struct{})
		go func() {
			ask(t, c)
			close(given)
		}()
		synctest.Wait()
		select {
		case <-given:
			t.Error("a grant was given before it was saved")
		default:
		}
		v.saving <- struct{}{}
		<-given
		if !v.has("alice") {
			t.Error("it was not saved")
		}
	})
	bubble(t, "another account's", func(t *testing.T) {
		v, s := &vault{grants: map[string]auth.Grant{}}, &source{}
		g := s.grant("alice")
		g.Account = "somebody else"
		v.grants["alice"] = g
		c := newCache(t, s, stored(v))
		if ask(t, c).AccessToken.Equal(g.AccessToken) {
			t.Error("it was used")
		}
		want(t, s, counts{signIns: 1})
	})
	bubble(t, "evicted", func(t *testing.T) {
		v, s := &vault{}, &source{}
		c := newCache(t, s, stored(v), func(c *cache.Config) { c.Size = 1 })
		first := ask(t, c).AccessToken
		if _, err := c.Token(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
		if !ask(t, c).AccessToken.Equal(first) {
			t.Error("an evicted grant was not read again")
		}
		want(t, s, counts{signIns: 2})
	})
	bubble(t, "full, and room again", func(t *testing.T) {
		v, s := &vault{writErr: errors.New("no space left")}, &source{}
		log, text := logged()
		c := newCache(t, s, stored(v), func(c *cache.Config) { c.Log = log })
		for range 3 {
			g := ask(t, c)
			if c.Status()[0].Stored {
				t.Error("it says that it is stored")
			}
			c.Drop("alice", g.AccessToken)
			time.Sleep(time.Hour)
		}
		if n := strings.Count(text(), "no space left"); n != 1 {
			t.Errorf("complained %d times:\n%s", n, text())
		}
		ask(t, c)
		v.fail(nil, nil)
		c.Close() // what could not be saved is saved now
		if !v.has("alice") {
			t.Error("nothing was saved at the end")
		}
		if !strings.Contains(text(), "stored again") {
			t.Errorf("it does not say that the trouble is over:\n%s", text())
		}
	})
	bubble(t, "unreadable", func(t *testing.T) {
		v, s := &vault{readErr: errors.New("permission denied")}, &source{}
		log, text := logged()
		c := newCache(t, s, stored(v), func(c *cache.Config) { c.Log = log })
		for _, name := range []string{"alice", "bob"} {
			if _, err := c.Token(t.Context(), name); err != nil {
				t.Errorf("%s is not served: %v", name, err)
			}
		}
		if n := strings.Count(text(), "permission denied"); n != 1 {
			t.Errorf("complained %d times:\n%s", n, text())
		}
	})
}

func TestRestore(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		v, s := &vault{}, &source{}
		c := newCache(t, s, stored(v))
		ask(t, c)
		c.Close()
		c = newCache(t, s, stored(v))
		c.Restore(t.Context(), []string{"alice", "bob"})
		got := c.Status()
		if len(got) != 2 || got[0].Username != "alice" || !got[0].SignedIn(time.Now()) || got[1].SignedIn(time.Now()) {
			t.Errorf("got %+v", got)
		}
		want(t, s, counts{signIns: 1})
	})
}

// figures counts what an Observer hears.
type figures struct {
	mu  sync.Mutex // guards all
	all map[string]int
}

func (f *figures) count(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[string]int{}
	}
	f.all[what]++
}

func (f *figures) SignIn(_ string, e *auth.Error) {
	if e != nil {
		f.count("failed at " + e.Step)
		return
	}
	f.count("sign-in")
}
func (f *figures) Push(string)                    { f.count("push") }
func (f *figures) Sent(_ string, way auth.Factor) { f.count("sent by " + string(way)) }
func (f *figures) Renewal(_ string, exchanged bool, e *auth.Error) {
	switch {
	case e != nil:
		f.count("renewal failed")
	case exchanged:
		f.count("exchange")
	default:
		f.count("renewal")
	}
}
func (f *figures) Token(_, how string) { f.count(how) }

func TestObserve(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f, s := &figures{}, &source{}
		s.signIn = func(_ context.Context, _ string, w auth.Watch) (auth.Grant, error) {
			for _, again := range []bool{false, true} { // a push, and its number
				w.Tell(auth.Event{Text: "push sent", Challenge: &auth.Challenge{Kind: auth.FactorPush, Again: again}})
				w.Tell(auth.Event{Text: "code sent", Challenge: &auth.Challenge{Kind: auth.FactorSMS, Code: true, Again: again}})
				w.Tell(auth.Event{Text: "code asked for", Challenge: &auth.Challenge{Kind: auth.FactorTOTP, Code: true, Again: again}})
			}
			return s.grant("alice"), nil
		}
		c := newCache(t, s, func(c *cache.Config) { c.Observe = f })
		ask(t, c)
		ask(t, c)
		time.Sleep(26 * time.Minute)
		ask(t, c)
		synctest.Wait()
		s.renew = func(context.Context, string, auth.Grant) (auth.Grant, error) {
			g := s.grant("alice")
			g.RefreshToken = auth.NewSecret("another")
			return g, nil
		}
		time.Sleep(26 * time.Minute)
		ask(t, c)
		synctest.Wait()
		f.mu.Lock()
		defer f.mu.Unlock()
		for what, n := range map[string]int{"sign-in": 1, "push": 1, "sent by sms": 1, "sent by totp": 0, "renewal": 1, "exchange": 1, cache.Waited: 1, cache.Hit: 1, cache.Behind: 2} {
			if f.all[what] != n {
				t.Errorf("%s: heard %d times, want %d", what, f.all[what], n)
			}
		}
	})
}
