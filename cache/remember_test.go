package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"arcproxy/auth"
	"arcproxy/cache"
)

var wrongPassword = auth.Error{Kind: auth.CredentialRefused, Step: "Okta: password", Code: "E0000004", Credential: "f1"}

// TestRefusedCredential: one attempt, ever, until it changes, over restarts and
// with or without time; and its source is asked once a second at most.
func TestRefusedCredential(t *testing.T) {
	for _, kind := range []auth.Kind{auth.CredentialRefused, auth.PasscodeRefused} {
		bubble(t, string(kind), func(t *testing.T) {
			l := &ledger{}
			e := wrongPassword
			e.Kind = kind
			s := &source{signIn: failing(e)}
			c := newCache(t, s, with(l))
			seen := refused(t, c, kind)
			if !seen.Until.IsZero() || seen.Code != "E0000004" {
				t.Errorf("told %+v; no time ends it", seen)
			}
			if l.entry == nil || l.entry.Credential != "f1" || l.entry.Kind != kind || l.entry.Code != "E0000004" || !l.entry.Time.Equal(time.Now()) {
				t.Errorf("written down: %+v", l.entry)
			}
			for range 1000 {
				refused(t, c, kind)
				time.Sleep(10 * time.Millisecond)
			}
			if n := s.seen().uses; n < 9 || n > 10 {
				t.Errorf("the source was asked %d times in 10 s", n)
			}
			for range 24 {
				time.Sleep(time.Hour)
				refused(t, c, kind)
			}
			for range 3 {
				c.Close()
				c = newCache(t, s, with(l))
				refused(t, c, kind)
			}
			if n := s.seen().signIns; n != 1 {
				t.Fatalf("it was sent %d times", n)
			}

			s.uses = func(_, fingerprint string) (bool, error) { return fingerprint != "f1", nil }
			s.signIn = nil
			time.Sleep(time.Second)
			ask(t, c)
			if l.has() {
				t.Error("it was not forgotten")
			}
			c.Close()
			c = newCache(t, s, with(l))
			ask(t, c)
		})
	}
	bubble(t, "changed to another wrong one", func(t *testing.T) {
		l := &ledger{}
		s := &source{signIn: failing(wrongPassword)}
		c := newCache(t, s, with(l))
		refused(t, c, auth.CredentialRefused)
		s.uses = func(_, fingerprint string) (bool, error) { return fingerprint == "f2", nil }
		second := wrongPassword
		second.Credential = "f2"
		s.signIn = failing(second)
		for range 10 {
			time.Sleep(time.Second)
			refused(t, c, auth.CredentialRefused)
		}
		if n := s.seen().signIns; n != 2 {
			t.Errorf("%d sign-ins, want one for each credential", n)
		}
		if l.entry == nil || l.entry.Credential != "f2" {
			t.Errorf("written down: %+v", l.entry)
		}
	})
	bubble(t, "changed, and then something else fails", func(t *testing.T) {
		l := &ledger{}
		s := &source{signIn: failing(wrongPassword)}
		c := newCache(t, s, with(l))
		refused(t, c, auth.CredentialRefused)
		s.signIn = failing(auth.Error{Kind: auth.Unreachable, Step: "Portal: oauth2/authorize"})
		s.uses = func(string, string) (bool, error) { return false, nil }
		time.Sleep(time.Second)
		refused(t, c, auth.Unreachable)
		if l.has() {
			t.Error("a credential that is not in use any more was not forgotten")
		}
		want(t, s, counts{signIns: 2, uses: 1})
	})
	bubble(t, "a source that fails", func(t *testing.T) {
		s := &source{signIn: failing(wrongPassword), uses: func(string, string) (bool, error) { return false, errors.New("keyring is locked") }}
		c := newCache(t, s)
		for range 10 {
			refused(t, c, auth.CredentialRefused)
			time.Sleep(time.Second)
		}
		if n := s.seen().signIns; n != 1 {
			t.Errorf("%d sign-ins", n)
		}
	})
	bubble(t, "a refusal without a credential", func(t *testing.T) {
		l := &ledger{}
		e := wrongPassword
		e.Credential = ""
		s := &source{signIn: failing(e)}
		c := newCache(t, s, with(l))
		seen := refused(t, c, auth.CredentialRefused)
		if time.Until(seen.Until) != 15*time.Minute || l.has() {
			t.Errorf("no credential was refused: until %s, written down %v", time.Until(seen.Until), l.has())
		}
		time.Sleep(15*time.Minute - time.Millisecond)
		refused(t, c, auth.CredentialRefused)
		want(t, s, counts{signIns: 1})
		time.Sleep(time.Millisecond)
		refused(t, c, auth.CredentialRefused)
		want(t, s, counts{signIns: 2})
	})
	bubble(t, "a renewal needs none", func(t *testing.T) {
		s := &source{}
		c := newCache(t, s)
		g := ask(t, c)
		s.renew = func(context.Context, string, auth.Grant) (auth.Grant, error) {
			return auth.Grant{}, &auth.Error{Kind: auth.Unreachable, Step: "Portal: oauth2/token"}
		}
		s.signIn = failing(wrongPassword)
		c.Drop("alice", g.AccessToken)
		refused(t, c, auth.Unreachable)
		s.renew = nil
		time.Sleep(2 * time.Second)
		ask(t, c)
		want(t, s, counts{signIns: 1, renews: 2})
	})
}

// TestAccountStates: what a person has to change is left in peace for a while.
func TestAccountStates(t *testing.T) {
	for _, kind := range []auth.Kind{auth.AccountLocked, auth.PasswordExpired, auth.PasswordReset, auth.EnrollmentNeeded,
		auth.ProfileIncomplete, auth.ConsentNeeded, auth.NotAssigned, auth.NotMember, auth.FactorUnavailable} {
		bubble(t, string(kind), func(t *testing.T) {
			s := &source{signIn: failing(auth.Error{Kind: kind, Step: "Okta: password"})}
			c := newCache(t, s)
			for range 59 {
				refused(t, c, kind)
				time.Sleep(time.Minute)
			}
			want(t, s, counts{signIns: 4})
		})
	}
	bubble(t, "locked, over a restart", func(t *testing.T) {
		l := &ledger{}
		locked := wrongPassword
		locked.Kind = auth.AccountLocked
		s := &source{signIn: failing(locked)}
		c := newCache(t, s, with(l))
		first := refused(t, c, auth.AccountLocked)
		time.Sleep(5 * time.Minute)
		c.Close()
		c = newCache(t, s, with(l))
		if e := refused(t, c, auth.AccountLocked); !e.Until.Equal(first.Until) || e.Code != first.Code {
			t.Errorf("after a restart %v until %s", e, e.Until)
		}
		if n := s.seen().signIns; n != 1 {
			t.Errorf("%d sign-ins", n)
		}
		time.Sleep(10 * time.Minute)
		s.signIn = nil
		ask(t, c)
		if l.has() {
			t.Error("not forgotten")
		}
	})
	bubble(t, "locked, and another password given", func(t *testing.T) {
		locked := wrongPassword
		locked.Kind = auth.AccountLocked
		s := &source{signIn: failing(locked)}
		c := newCache(t, s)
		refused(t, c, auth.AccountLocked)
		s.signIn, s.uses = nil, func(string, string) (bool, error) { return false, nil }
		time.Sleep(time.Second)
		ask(t, c)
	})
}

// TestPushPause: sign-ins that would push are paused, and no other.
func TestPushPause(t *testing.T) {
	for kind, pause := range map[auth.Kind]time.Duration{
		auth.PushRejected: 10 * time.Minute,
		auth.PushTimedOut: 2 * time.Minute,
		auth.FactorFailed: 2 * time.Minute,
	} {
		bubble(t, string(kind), func(t *testing.T) {
			pushes, attempts := 0, 0
			s := &source{}
			s.signIn = func(_ context.Context, _ string, w auth.Watch) (auth.Grant, error) {
				attempts++
				if w.PushPaused != nil {
					return auth.Grant{}, w.PushPaused
				}
				pushes++
				return auth.Grant{}, &auth.Error{Kind: kind, Step: "Okta: push"}
			}
			c := newCache(t, s)
			began := time.Now()
			for range int(pause / time.Second) {
				e := refused(t, c, kind)
				if !e.Until.Equal(began.Add(pause)) {
					t.Fatalf("paused for %s, want %s", e.Until.Sub(began), pause)
				}
				time.Sleep(time.Second)
			}
			if pushes != 1 || attempts < int(pause/(31*time.Second)) || attempts > int(pause/(30*time.Second)) {
				t.Errorf("%d pushes in %d attempts during the pause", pushes, attempts)
			}
			refused(t, c, kind)
			if pushes != 2 {
				t.Errorf("%d pushes after the pause, want 2", pushes)
			}
		})
	}
	bubble(t, "the pause ends during an attempt", func(t *testing.T) {
		s := &source{}
		s.signIn = func(_ context.Context, _ string, w auth.Watch) (auth.Grant, error) {
			if w.PushPaused != nil {
				time.Sleep(time.Minute)
				return auth.Grant{}, w.PushPaused
			}
			return auth.Grant{}, &auth.Error{Kind: auth.PushTimedOut, Step: "Okta: push"}
		}
		c := newCache(t, s)
		refused(t, c, auth.PushTimedOut)
		time.Sleep(90 * time.Second)
		if e := refused(t, c, auth.PushTimedOut); time.Until(e.Until) != 30*time.Second {
			t.Errorf("told to come back in %s", time.Until(e.Until))
		}
	})
	bubble(t, "without a push", func(t *testing.T) {
		s := &source{plain: true, signIn: failing(auth.Error{Kind: auth.PushRejected, Step: "Okta: push"})}
		c := newCache(t, s)
		refused(t, c, auth.PushRejected)
		paused := 0
		s.signIn = func(_ context.Context, _ string, w auth.Watch) (auth.Grant, error) {
			if w.PushPaused != nil && w.PushPaused.Kind == auth.PushRejected {
				paused++
			}
			return s.grant("alice"), nil
		}
		time.Sleep(30 * time.Second)
		c.Drop("alice", ask(t, c).AccessToken)
		ask(t, c)
		if paused != 2 {
			t.Errorf("%d of 2 sign-ins were forbidden to push: a success by other means forgot who refused", paused)
		}
	})
}

func TestRateLimit(t *testing.T) {
	for name, c := range map[string]struct{ until, wait time.Duration }{
		"named": {40 * time.Second, 40 * time.Second},
		"not":   {0, time.Minute},
		"past":  {-time.Hour, time.Second},
		"years": {1 << 60, time.Hour},
	} {
		bubble(t, name, func(t *testing.T) {
			e := auth.Error{Kind: auth.RateLimited, Step: "Okta: password"}
			if c.until != 0 {
				e.Until = time.Now().Add(c.until)
			}
			s := &source{signIn: failing(e)}
			k := newCache(t, s)
			refused(t, k, auth.RateLimited)
			time.Sleep(c.wait - time.Millisecond)
			if seen := refused(t, k, auth.RateLimited); time.Until(seen.Until) != time.Millisecond {
				t.Errorf("until %s", time.Until(seen.Until))
			}
			s.signIn = nil
			time.Sleep(time.Millisecond)
			ask(t, k)
			want(t, s, counts{signIns: 2})
		})
	}
}

// TestBackOff: pauses double up to their most, and a success begins them anew.
func TestBackOff(t *testing.T) {
	for kind, c := range map[auth.Kind]struct{ first, most time.Duration }{
		auth.Unreachable:       {time.Second, 2 * time.Minute},
		auth.Deadline:          {time.Second, 2 * time.Minute},
		auth.SessionLost:       {time.Second, 2 * time.Minute},
		auth.UnexpectedPage:    {time.Second, 2 * time.Minute},
		auth.MissingCredential: {10 * time.Second, 2 * time.Minute},
		auth.BadClient:         {30 * time.Second, 10 * time.Minute},
		auth.NotSupported:      {30 * time.Second, 10 * time.Minute},
		auth.Kind("new"):       {time.Second, 2 * time.Minute},
	} {
		bubble(t, string(kind), func(t *testing.T) {
			s := &source{plain: true}
			k := newCache(t, s)
			for range 2 {
				s.signIn = failing(auth.Error{Kind: kind, Step: "Portal: oauth2/authorize"})
				before := s.seen().signIns
				for i := range 40 {
					e := refused(t, k, kind)
					refused(t, k, kind)
					expected := c.most
					if i < 20 {
						expected = min(c.first<<i, c.most)
					}
					if got := time.Until(e.Until); got < expected*9/10 || got > expected*11/10+1 {
						t.Errorf("pause %d is %s, want about %s", i, got, expected)
					}
					time.Sleep(time.Until(e.Until))
				}
				if n := s.seen().signIns - before; n != 40 {
					t.Errorf("%d attempts, want 40", n)
				}
				s.signIn = nil
				k.Drop("alice", ask(t, k).AccessToken)
				time.Sleep(time.Minute)
			}
		})
	}
}

func TestLedgerFails(t *testing.T) {
	bubble(t, "unreadable", func(t *testing.T) {
		l := &ledger{readErr: errors.New("refusals/alice.json: permission denied")}
		s := &source{}
		c := newCache(t, s, with(l))
		var e *auth.Error
		for range 10 {
			e = refused(t, c, auth.StateUnreadable)
		}
		if !strings.Contains(e.Error(), "permission denied") || e.Remedy() == "" {
			t.Errorf("%v; %s", e, e.Remedy())
		}
		if l.reads != 1 {
			t.Errorf("read %d times", l.reads)
		}
		want(t, s, counts{})
		l.readErr = nil
		time.Sleep(2 * time.Second)
		ask(t, c)
	})
	bubble(t, "unwritable", func(t *testing.T) {
		log, text := logged()
		l := &ledger{writErr: errors.New("disk full")}
		s := &source{signIn: failing(wrongPassword)}
		c := newCache(t, s, with(l), func(c *cache.Config) { c.Log = log })
		for range 10 {
			refused(t, c, auth.CredentialRefused)
			time.Sleep(time.Minute)
		}
		if n := s.seen().signIns; n != 1 {
			t.Errorf("%d sign-ins", n)
		}
		if !strings.Contains(text(), "level=ERROR") || !strings.Contains(text(), "disk full") {
			t.Errorf("the log does not complain: %s", text())
		}
	})
	bubble(t, "a clock that was ahead", func(t *testing.T) {
		l := &ledger{entry: &cache.Refusal{Credential: "f", Kind: auth.AccountLocked, Time: time.Now().Add(365 * 24 * time.Hour), Step: "Okta: password"}}
		s := &source{}
		c := newCache(t, s, with(l))
		if e := refused(t, c, auth.AccountLocked); time.Until(e.Until) != 15*time.Minute {
			t.Errorf("locked for %s", time.Until(e.Until))
		}
	})
	bubble(t, "a refusal of a later version", func(t *testing.T) {
		l := &ledger{entry: &cache.Refusal{Credential: "f", Kind: "bad eyes", Time: time.Now(), Step: "Okta: retina"}}
		s := &source{}
		c := newCache(t, s, with(l))
		for range 3 {
			refused(t, c, "bad eyes")
			time.Sleep(time.Hour)
		}
		if n := s.seen().signIns; n != 0 {
			t.Errorf("%d sign-ins", n)
		}
	})
}

func TestUnknownIdentity(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := &source{}
		s.signIn = failing(auth.Error{Kind: auth.UnknownIdentity, Step: "sign-in"})
		c := newCache(t, s)
		for i := range 100 {
			_, err := c.Token(t.Context(), fmt.Sprint("stranger ", i))
			if auth.KindOf(err) != auth.UnknownIdentity {
				t.Fatal(err)
			}
		}
		if n := cache.Identities(c); n != 0 {
			t.Errorf("%d strangers are remembered", n)
		}
	})
}
