package cache_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"arcproxy/auth"
	"arcproxy/cache"
)

func TestPatienceEnds(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := &source{}
		var told []auth.Event
		number := &auth.Challenge{Kind: auth.FactorPush, Number: "42"}
		s.signIn = func(ctx context.Context, _ string, w auth.Watch) (auth.Grant, error) {
			w.Say(auth.Event{Text: "password accepted"})
			w.Say(auth.Event{Text: "approve 42", Challenge: number})
			time.Sleep(10 * time.Second)
			if ctx.Err() != nil {
				t.Error("the caller's context ended the flight")
			}
			if w.SomebodyWaits() {
				t.Error("nobody waits, but the sign-in is told that somebody does")
			}
			return s.grant("alice"), nil
		}
		c := newCache(t, s, func(c *cache.Config) { c.Tell = func(e auth.Event) { told = append(told, e) } })
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			g, err := c.Token(ctx, "alice")
			cancel()
			e := wantKind(t, g, err, auth.Waiting)
			if e.Event.Text != "approve 42" || e.Event.Challenge != number || e.Event.Identity != "alice" {
				t.Errorf("waiting for %+v", e.Event)
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v does not wrap its cause", err)
			}
		}
		time.Sleep(time.Minute)
		ask(t, c) // what the flight has brought
		want(t, s, counts{signIns: 1})
		if len(told) != 2 || told[0].Identity != "alice" {
			t.Errorf("told %+v", told)
		}
	})
	bubble(t, "before it begins", func(t *testing.T) {
		s := &source{}
		c := newCache(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		g, err := c.Token(ctx, "alice")
		wantKind(t, g, err, auth.Waiting)
		want(t, s, counts{})
	})
}

// TestPushNeedsSomebody: who leaves before the push takes it with them, and who
// comes at that moment gets one.
func TestPushNeedsSomebody(t *testing.T) {
	needsPerson := func(s *source) func(context.Context, string, auth.Watch) (auth.Grant, error) {
		return func(_ context.Context, _ string, w auth.Watch) (auth.Grant, error) {
			time.Sleep(5 * time.Second)
			if !w.SomebodyWaits() {
				time.Sleep(5 * time.Second) // canceling what was begun
				return auth.Grant{}, &auth.Error{Kind: auth.NobodyWaiting, Step: "Okta: push"}
			}
			return s.grant("alice"), nil
		}
	}
	impatient := func(t *testing.T, c *cache.Cache) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		g, err := c.Token(ctx, "alice")
		wantKind(t, g, err, auth.Waiting)
	}
	bubble(t, "left", func(t *testing.T) {
		s := &source{}
		s.signIn = needsPerson(s)
		c := newCache(t, s)
		impatient(t, c)
		time.Sleep(time.Minute)
		want(t, s, counts{signIns: 1})
		ask(t, c) // it is not held against the next
		want(t, s, counts{signIns: 2})
	})
	bubble(t, "another came", func(t *testing.T) {
		s := &source{}
		s.signIn = needsPerson(s)
		c := newCache(t, s)
		impatient(t, c)
		time.Sleep(6 * time.Second) // the push has just been given up
		ask(t, c)
		want(t, s, counts{signIns: 2})
	})
	bubble(t, "never anybody", func(t *testing.T) {
		s := &source{signIn: failing(auth.Error{Kind: auth.NobodyWaiting, Step: "Okta: push"})}
		c := newCache(t, s)
		refused(t, c, auth.NobodyWaiting)
		want(t, s, counts{signIns: 3}) // bounded, for a Source that does not see who waits
	})
}

func TestIdentitiesAreApart(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := &source{}
		s.signIn = func(ctx context.Context, identity string, _ auth.Watch) (auth.Grant, error) {
			if identity == "bob" {
				<-ctx.Done()
				return auth.Grant{}, &auth.Error{Kind: auth.Deadline, Step: "sign-in"}
			}
			return s.grant(identity), nil
		}
		c := newCache(t, s)
		var bob error
		go func() { _, bob = c.Token(t.Context(), "bob") }()
		synctest.Wait()
		before := time.Now()
		ask(t, c)
		if time.Since(before) != 0 {
			t.Error("one identity waited for another")
		}
		time.Sleep(121 * time.Second)
		synctest.Wait()
		if auth.KindOf(bob) != auth.Deadline {
			t.Errorf("a sign-in had no deadline: %v", bob)
		}
	})
}

func TestClose(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := &source{}
		s.signIn = func(ctx context.Context, _ string, _ auth.Watch) (auth.Grant, error) {
			<-ctx.Done()
			time.Sleep(time.Second) // canceling what was begun
			return auth.Grant{}, &auth.Error{Kind: auth.Deadline, Step: "sign-in", Err: ctx.Err()}
		}
		c := newCache(t, s)
		var ended atomic.Int32
		for range 10 {
			go func() {
				g, err := c.Token(t.Context(), "alice")
				wantKind(t, g, err, auth.SessionLost)
				if !errors.Is(err, cache.ErrClosed) {
					t.Errorf("got %v", err)
				}
				ended.Add(1)
			}()
		}
		synctest.Wait()
		before := time.Now()
		c.Close()
		if time.Since(before) != time.Second {
			t.Error("Close did not wait for the flight")
		}
		synctest.Wait()
		if n := ended.Load(); n != 10 {
			t.Errorf("%d of 10 callers were told", n)
		}
		if e := refused(t, c, auth.SessionLost); !errors.Is(e, cache.ErrClosed) {
			t.Errorf("after Close: %v", e)
		}
		c.Close()
		want(t, s, counts{signIns: 1})
	})
	bubble(t, "a refusal at the last moment is written down", func(t *testing.T) {
		l := &ledger{}
		s := &source{}
		s.signIn = func(ctx context.Context, _ string, _ auth.Watch) (auth.Grant, error) {
			<-ctx.Done()
			return auth.Grant{}, &auth.Error{Kind: auth.CredentialRefused, Step: "Okta: password", Credential: "f"}
		}
		c := newCache(t, s, with(l))
		go func() { _, _ = c.Token(t.Context(), "alice") }()
		synctest.Wait()
		c.Close()
		if !l.has() {
			t.Error("it was not")
		}
	})
}

func TestEviction(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := &source{}
		s.signIn = func(_ context.Context, identity string, _ auth.Watch) (auth.Grant, error) {
			switch identity {
			case "alice":
				return auth.Grant{}, &auth.Error{Kind: auth.CredentialRefused, Step: "Okta: password", Credential: "f"}
			case "slow":
				time.Sleep(time.Minute)
			}
			return s.grant(identity), nil
		}
		c := newCache(t, s, func(c *cache.Config) { c.Size = 2 })
		get := func(identity string) {
			t.Helper()
			if _, err := c.Token(t.Context(), identity); err != nil {
				t.Errorf("%s: %v", identity, err)
			}
		}
		refused(t, c, auth.CredentialRefused)
		go get("slow")
		synctest.Wait()
		for i := range 10 {
			get(fmt.Sprint(i))
		}
		refused(t, c, auth.CredentialRefused)
		get("slow") // still the one flight
		want(t, s, counts{signIns: 12})
		get("9")
		get("slow")
		want(t, s, counts{signIns: 12})
		get("8") // evicted
		want(t, s, counts{signIns: 13})
		time.Sleep(time.Second)
		get("slow") // used later than 8
		time.Sleep(time.Second)
		get("7")
		get("slow")
		want(t, s, counts{signIns: 14})
	})
}

// TestBrokenSource: a parser that panics, or ends its goroutine, ends neither the
// program nor the wait of those who wait.
func TestBrokenSource(t *testing.T) {
	for name, breaks := range map[string]func(){
		"an index":    func() { _ = "page"[len(os.Args)+9:] },
		"a page":      func() { panic("the page says sesame") },
		"its own end": runtime.Goexit,
	} {
		bubble(t, name, func(t *testing.T) {
			log, text := logged()
			s := &source{}
			broken := true
			s.signIn = func(context.Context, string, auth.Watch) (auth.Grant, error) {
				if broken {
					breaks()
				}
				return s.grant("alice"), nil
			}
			c := newCache(t, s, func(c *cache.Config) { c.Log = log })
			refused(t, c, auth.UnexpectedPage)
			if strings.Contains(text(), "sesame") {
				t.Error("the panic's value was logged")
			}
			if name == "an index" && !strings.Contains(text(), "out of range") {
				t.Errorf("the log does not say what happened: %s", text())
			}
			broken = false
			time.Sleep(2 * time.Second)
			ask(t, c)
		})
	}
}

func TestForeignErrors(t *testing.T) {
	for kind, cause := range map[auth.Kind]error{
		auth.UnexpectedPage: errors.New("odd"),
		auth.Deadline:       fmt.Errorf("odd: %w", context.DeadlineExceeded),
	} {
		bubble(t, string(kind), func(t *testing.T) {
			s := &source{signIn: func(context.Context, string, auth.Watch) (auth.Grant, error) { return auth.Grant{}, cause }}
			if e := refused(t, newCache(t, s), kind); !errors.Is(e, cause) {
				t.Errorf("%v does not wrap its cause", e)
			}
		})
	}
}

// TestErrorsAreCopies: what one caller does to its error, no other sees.
func TestErrorsAreCopies(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := &source{signIn: failing(auth.Error{Kind: auth.AccountLocked, Step: "Okta: password"})}
		c := newCache(t, s)
		for range 3 {
			e := refused(t, c, auth.AccountLocked)
			e.Identity, e.Kind, e.Step = "mallory", auth.Waiting, ""
		}
	})
}

func BenchmarkTokenFresh(b *testing.B) {
	for _, identities := range []int{1, 512} {
		b.Run(fmt.Sprint(identities), func(b *testing.B) {
			s := &source{t: b, life: 24 * time.Hour}
			c := cache.New(cache.Config{Source: s})
			b.Cleanup(c.Close)
			names := make([]string, identities)
			for i := range names {
				names[i] = fmt.Sprintf("identity-%d", i)
				if _, err := c.Token(b.Context(), names[i]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, err := c.Token(b.Context(), names[i%len(names)]); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
