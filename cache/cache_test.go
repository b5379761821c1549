package cache_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"arcproxy/auth"
	"arcproxy/cache"
)

func TestColdIsSignedInOnce(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := &source{}
		s.signIn = func(context.Context, string, auth.Watch) (auth.Grant, error) {
			time.Sleep(10 * time.Second)
			return s.grant("alice"), nil
		}
		c := newCache(t, s)
		many(t, c, 1000, func(g auth.Grant, err error) {
			if err != nil || g.AccessToken.Reveal() != "token 1 of alice" {
				t.Errorf("got %v, %v", g, err)
			}
		})
		want(t, s, counts{signIns: 1})
	})
}

// TestWindows follows tokens of seconds and of weeks through their lives.
func TestWindows(t *testing.T) {
	for _, life := range []time.Duration{5 * time.Second, time.Minute, 30 * time.Minute, 21 * 24 * time.Hour} {
		bubble(t, life.String(), func(t *testing.T) {
			s := &source{life: life}
			began := time.Now()
			at := func(share float64) { // of the first token's life
				time.Sleep(time.Until(began.Add(time.Duration(float64(life) * share))))
			}
			c := newCache(t, s)
			first := ask(t, c).AccessToken
			at(0.74)
			ask(t, c)
			want(t, s, counts{signIns: 1})

			release := make(chan struct{})
			s.renew = func(context.Context, string, auth.Grant) (auth.Grant, error) {
				<-release
				return s.grant("alice"), nil
			}
			at(0.86)
			before := time.Now()
			many(t, c, 50, func(g auth.Grant, err error) {
				if err != nil || !g.AccessToken.Equal(first) {
					t.Errorf("inside the advisory window: %v", err)
				}
			})
			if waited := time.Since(before); waited != 0 {
				t.Errorf("a token that still works was waited for, %s", waited)
			}
			want(t, s, counts{signIns: 1, renews: 1})
			last := min(5*time.Second, life/10)
			time.Sleep(time.Until(began.Add(life - last/2))) // in the mandatory window, with the renewal still under way
			go func() {
				time.Sleep(last / 4)
				close(release)
			}()
			if g := ask(t, c); g.AccessToken.Equal(first) {
				t.Error("in the mandatory window the old token was given")
			}
			want(t, s, counts{signIns: 1, renews: 1})
		})
	}
	bubble(t, "no refresh token", func(t *testing.T) {
		s := &source{plain: true}
		c := newCache(t, s)
		first := ask(t, c).AccessToken
		time.Sleep(30*time.Minute - 6*time.Second)
		if !ask(t, c).AccessToken.Equal(first) {
			t.Error("the token was replaced early")
		}
		want(t, s, counts{signIns: 2}) // behind a token that works
		if ask(t, c).AccessToken.Equal(first) {
			t.Error("the next token was not given")
		}
		want(t, s, counts{signIns: 2})
	})
	bubble(t, "no refresh token, and a push", func(t *testing.T) {
		s := &source{plain: true}
		c := newCache(t, s)
		first := ask(t, c).AccessToken
		asked := 0
		s.signIn = func(_ context.Context, _ string, w auth.Watch) (auth.Grant, error) {
			if asked++; !w.SomebodyWaits() {
				return auth.Grant{}, &auth.Error{Kind: auth.NobodyWaiting, Step: "Okta: push"}
			}
			return s.grant("alice"), nil
		}
		time.Sleep(30*time.Minute - 6*time.Second)
		for range 3 {
			if !ask(t, c).AccessToken.Equal(first) {
				t.Error("the token that works was not given")
			}
			synctest.Wait()
		}
		if asked != 1 {
			t.Errorf("%d sign-ins behind a token that works, want one that is left at the push", asked)
		}
		time.Sleep(2 * time.Second)
		if ask(t, c).AccessToken.Equal(first) {
			t.Error("the token was not replaced in its last seconds")
		}
		want(t, s, counts{signIns: 3})
	})
	bubble(t, "no time of issue", func(t *testing.T) {
		s := &source{}
		s.signIn = func(context.Context, string, auth.Watch) (auth.Grant, error) {
			g := s.grant("alice")
			g.Obtained = time.Time{}
			return g, nil
		}
		c := newCache(t, s)
		ask(t, c)
		time.Sleep(20 * time.Minute)
		ask(t, c)
		want(t, s, counts{signIns: 1})
		time.Sleep(5 * time.Minute)
		ask(t, c)
		want(t, s, counts{signIns: 1, renews: 1})
	})
	bubble(t, "refresh token ended", func(t *testing.T) {
		s := &source{}
		c := newCache(t, s)
		ask(t, c)
		time.Sleep(15 * 24 * time.Hour)
		ask(t, c)
		want(t, s, counts{signIns: 2})
	})
	for _, expired := range []bool{true, false} {
		bubble(t, fmt.Sprintf("useless grant %v", expired), func(t *testing.T) {
			s := &source{}
			s.signIn = func(context.Context, string, auth.Watch) (auth.Grant, error) {
				if expired {
					g := s.grant("alice")
					g.Expires = time.Now()
					return g, nil
				}
				return auth.Grant{Expires: time.Now().Add(time.Hour)}, nil
			}
			c := newCache(t, s)
			for range 10 {
				refused(t, c, auth.UnexpectedPage)
			}
			want(t, s, counts{signIns: 1})
		})
	}
}

func TestRefreshRefused(t *testing.T) {
	grantRefused := func(context.Context, string, auth.Grant) (auth.Grant, error) {
		return auth.Grant{}, &auth.Error{Kind: auth.GrantRefused, Step: "Portal: oauth2/token", Code: "498"}
	}
	bubble(t, "behind", func(t *testing.T) {
		s := &source{renew: grantRefused}
		c := newCache(t, s)
		first := ask(t, c).AccessToken
		time.Sleep(26 * time.Minute)
		for i := range 2 {
			if !ask(t, c).AccessToken.Equal(first) {
				t.Error("the token that works was not given")
			}
			want(t, s, counts{signIns: 1 + i, renews: 1}) // no second renewal, but a sign-in behind
		}
		time.Sleep(5 * time.Minute)
		ask(t, c)
		want(t, s, counts{signIns: 2, renews: 1})
	})
	bubble(t, "waited for", func(t *testing.T) {
		s := &source{renew: grantRefused}
		c := newCache(t, s)
		ask(t, c)
		time.Sleep(time.Hour)
		many(t, c, 20, func(_ auth.Grant, err error) {
			if err != nil {
				t.Error(err)
			}
		})
		want(t, s, counts{signIns: 2, renews: 1})
	})
	bubble(t, "behind, then waited for", func(t *testing.T) {
		s := &source{}
		s.renew = func(context.Context, string, auth.Grant) (auth.Grant, error) {
			time.Sleep(20 * time.Second)
			return grantRefused(nil, "", auth.Grant{})
		}
		c := newCache(t, s)
		ask(t, c)
		time.Sleep(29*time.Minute + 50*time.Second)
		ask(t, c) // begins the renewal
		time.Sleep(15 * time.Second)
		if g := ask(t, c); g.AccessToken.Reveal() != "token 2 of alice" {
			t.Error("who joined the renewal was not signed in")
		}
		want(t, s, counts{signIns: 2, renews: 1})
	})
}

// TestUnreachablePortal: a token that works is given as long as it does, and the
// Portal is not bothered more than the back-off allows.
func TestUnreachablePortal(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		down := true
		s := &source{}
		s.renew = func(context.Context, string, auth.Grant) (auth.Grant, error) {
			if down {
				return auth.Grant{}, &auth.Error{Kind: auth.Unreachable, Step: "Portal: oauth2/token"}
			}
			return s.grant("alice"), nil
		}
		c := newCache(t, s)
		first := ask(t, c).AccessToken
		time.Sleep(24*time.Minute + time.Second)
		for range 5*60 + 58 {
			if !ask(t, c).AccessToken.Equal(first) {
				t.Fatal("the token that works was not given")
			}
			time.Sleep(time.Second)
		}
		if n := s.seen().renews; n < 5 || n > 12 {
			t.Errorf("%d renewals in 6 minutes", n)
		}
		time.Sleep(3 * time.Second)
		e := refused(t, c, auth.Unreachable)
		if until := time.Until(e.Until); until <= 0 || until > 133*time.Second {
			t.Errorf("try again in %s", until)
		}
		down = false
		time.Sleep(time.Until(e.Until))
		ask(t, c)
		want(t, s, counts{signIns: 1, renews: s.seen().renews})
	})
	bubble(t, "and back", func(t *testing.T) {
		s := &source{}
		c := newCache(t, s)
		ask(t, c)
		s.renew = func(context.Context, string, auth.Grant) (auth.Grant, error) {
			return auth.Grant{}, &auth.Error{Kind: auth.Unreachable, Step: "Portal: oauth2/token"}
		}
		time.Sleep(time.Hour)
		for range 20 { // as long a pause as there is
			refused(t, c, auth.Unreachable)
		}
		s.renew = nil
		began := time.Now()
		ask(t, c) // waits for the end of the pause, rather than telling of it
		if waited := time.Since(began); waited > 5*time.Second {
			t.Errorf("a caller waited %s after the Portal was back", waited)
		}
		want(t, s, counts{signIns: 1, renews: s.seen().renews})
	})
	bubble(t, "in the last seconds", func(t *testing.T) {
		s := &source{plain: true}
		c := newCache(t, s)
		first := ask(t, c).AccessToken
		time.Sleep(30*time.Minute - 4*time.Second)
		s.signIn = func(context.Context, string, auth.Watch) (auth.Grant, error) {
			time.Sleep(time.Second)
			return auth.Grant{}, &auth.Error{Kind: auth.Unreachable, Step: "Portal: oauth2/authorize"}
		}
		for range 2 { // first a flight that fails, then its memory
			if !ask(t, c).AccessToken.Equal(first) {
				t.Error("the token that still works was not given")
			}
		}
		want(t, s, counts{signIns: 2})
		time.Sleep(3 * time.Second)
		refused(t, c, auth.Unreachable)
	})
	bubble(t, "a success begins the back-off anew", func(t *testing.T) {
		s := &source{}
		c := newCache(t, s)
		for range 3 {
			c.Drop("alice", ask(t, c).AccessToken)
			s.renew = func(context.Context, string, auth.Grant) (auth.Grant, error) {
				return auth.Grant{}, &auth.Error{Kind: auth.Unreachable, Step: "Portal: oauth2/token"}
			}
			for i := range 4 {
				e := refused(t, c, auth.Unreachable)
				if wait, most := time.Until(e.Until), time.Second<<i*11/10+1; wait > most {
					t.Errorf("pause %d is %s, want at most %s", i, wait, most)
				}
				time.Sleep(time.Until(e.Until))
			}
			s.renew = nil
		}
	})
	bubble(t, "rate limited", func(t *testing.T) {
		s := &source{}
		c := newCache(t, s)
		c.Drop("alice", ask(t, c).AccessToken)
		for _, named := range []bool{true, false} {
			until := time.Now().Add(time.Minute)
			e := auth.Error{Kind: auth.RateLimited, Step: "Portal: oauth2/token"}
			if named {
				until = time.Now().Add(40 * time.Second)
				e.Until = until
			}
			s.renew = func(context.Context, string, auth.Grant) (auth.Grant, error) { return auth.Grant{}, &e }
			if seen := refused(t, c, auth.RateLimited); !seen.Until.Equal(until) {
				t.Errorf("until %s, want %s", seen.Until, until)
			}
			time.Sleep(time.Until(until))
		}
		s.renew = nil
		ask(t, c)
		want(t, s, counts{signIns: 1, renews: 3})
	})
	bubble(t, "a refresh token that the Portal chokes on", func(t *testing.T) {
		s := &source{renew: func(context.Context, string, auth.Grant) (auth.Grant, error) {
			return auth.Grant{}, &auth.Error{Kind: auth.UnexpectedPage, Step: "Portal: oauth2/token"}
		}}
		c := newCache(t, s)
		ask(t, c)
		time.Sleep(time.Hour)
		for range 2 {
			e := refused(t, c, auth.UnexpectedPage)
			refused(t, c, auth.UnexpectedPage)
			time.Sleep(time.Until(e.Until))
		}
		ask(t, c)
		want(t, s, counts{signIns: 2, renews: 3})
	})
}

func TestDrop(t *testing.T) {
	bubble(t, "50 at once", func(t *testing.T) {
		s := &source{}
		s.renew = func(context.Context, string, auth.Grant) (auth.Grant, error) {
			time.Sleep(time.Second)
			return s.grant("alice"), nil
		}
		c := newCache(t, s)
		old := ask(t, c).AccessToken
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				c.Drop("alice", old)
				g, err := c.Token(t.Context(), "alice")
				if err != nil || g.AccessToken.Equal(old) {
					t.Errorf("after Drop: %v", err)
				}
			})
		}
		wg.Wait()
		c.Drop("alice", old) // a straggler's
		ask(t, c)
		want(t, s, counts{signIns: 1, renews: 1})
	})
	bubble(t, "without a refresh token", func(t *testing.T) {
		s := &source{plain: true}
		c := newCache(t, s)
		c.Drop("alice", ask(t, c).AccessToken)
		ask(t, c)
		want(t, s, counts{signIns: 2})
	})
	bubble(t, "during a renewal behind", func(t *testing.T) {
		s := &source{}
		s.renew = func(context.Context, string, auth.Grant) (auth.Grant, error) {
			time.Sleep(time.Second)
			return s.grant("alice"), nil
		}
		c := newCache(t, s)
		old := ask(t, c).AccessToken
		time.Sleep(25 * time.Minute)
		ask(t, c)
		c.Drop("alice", old)
		if ask(t, c).AccessToken.Equal(old) {
			t.Error("a dropped token was given")
		}
		want(t, s, counts{signIns: 1, renews: 1})
	})
	bubble(t, "a dropped token is not fallen back on", func(t *testing.T) {
		s := &source{renew: func(context.Context, string, auth.Grant) (auth.Grant, error) {
			return auth.Grant{}, &auth.Error{Kind: auth.Unreachable, Step: "Portal: oauth2/token"}
		}}
		c := newCache(t, s)
		c.Drop("alice", ask(t, c).AccessToken)
		refused(t, c, auth.Unreachable)
	})
	bubble(t, "strangers", func(t *testing.T) {
		s := &source{}
		c := newCache(t, s)
		c.Drop("alice", auth.NewSecret("x"))
		first := ask(t, c).AccessToken
		for _, other := range []auth.Secret{{}, auth.NewSecret("x")} {
			c.Drop("alice", other)
		}
		if !ask(t, c).AccessToken.Equal(first) {
			t.Error("another token dropped this one")
		}
	})
}

// TestDropLoop: a server that refuses every token costs three renewals a minute,
// not one for each request.
func TestDropLoop(t *testing.T) {
	for _, plain := range []bool{false, true} {
		bubble(t, fmt.Sprintf("plain=%v", plain), func(t *testing.T) {
			log, text := logged()
			s := &source{plain: plain}
			c := newCache(t, s, func(c *cache.Config) { c.Log = log })
			obtained := func() int { return s.seen().signIns + s.seen().renews }
			loop := func() *auth.Error {
				for range 100 {
					g, err := c.Token(t.Context(), "alice")
					if err != nil {
						return wantKind(t, g, err, auth.TokenRefused)
					}
					c.Drop("alice", g.AccessToken)
					time.Sleep(time.Second)
				}
				t.Fatal("no floor")
				return nil
			}
			e := loop()
			if n := obtained(); n != 4 {
				t.Errorf("%d tokens, want the first and 3 more", n)
			}
			if until := time.Until(e.Until); until <= 0 || until > time.Minute || !strings.Contains(e.Seen, "refused") {
				t.Errorf("%v, again in %s", e, until)
			}
			if !strings.Contains(text(), "right after they are issued") {
				t.Errorf("nobody was warned: %s", text())
			}
			time.Sleep(time.Until(e.Until) - time.Millisecond)
			refused(t, c, auth.TokenRefused)
			time.Sleep(time.Millisecond)
			ask(t, c)
			if n := obtained(); n != 5 {
				t.Errorf("%d tokens after the pause, want 5", n)
			}
		})
	}
}

// TestSpread: identities that were signed in together are not renewed together.
func TestSpread(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex
		var at []time.Duration
		s := &source{}
		s.renew = func(_ context.Context, identity string, _ auth.Grant) (auth.Grant, error) {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(began))
			return s.grant(identity), nil
		}
		c := newCache(t, s)
		for range 28 * 60 {
			for i := range 20 {
				if _, err := c.Token(t.Context(), fmt.Sprint(i)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
		}
		if len(at) != 20 {
			t.Fatalf("%d renewals, want 20", len(at))
		}
		first, last := slices.Min(at), slices.Max(at)
		if first < 30*time.Minute*75/100 || last > 30*time.Minute*85/100+time.Second || last-first < time.Minute {
			t.Errorf("renewals from %s to %s", first, last)
		}
	})
}
