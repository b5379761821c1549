package cache_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"arcproxy/auth"
	"arcproxy/cache"
)

func TestForget(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		v, s := &vault{}, &source{}
		c := newCache(t, s, stored(v))
		g := ask(t, c)
		if err := c.Forget(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		if v.has("alice") || !slices.Equal(s.revoked, []string{g.AccessToken.Reveal()}) {
			t.Errorf("stored: %v, revoked: %v", v.has("alice"), s.revoked)
		}
		if ask(t, c).AccessToken.Equal(g.AccessToken) {
			t.Error("the former token was given")
		}
		want(t, s, counts{signIns: 2, revokes: 1})
	})
	bubble(t, "what an earlier run left", func(t *testing.T) {
		v, s := &vault{}, &source{}
		c := newCache(t, s, stored(v))
		g := ask(t, c)
		c.Close()
		c = newCache(t, s, stored(v))
		if err := c.Forget(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		if v.has("alice") || !slices.Equal(s.revoked, []string{g.AccessToken.Reveal()}) {
			t.Errorf("stored: %v, revoked: %v", v.has("alice"), s.revoked)
		}
	})
	bubble(t, "a flight under way", func(t *testing.T) {
		v, s := &vault{}, &source{}
		s.signIn = func(context.Context, string, auth.Watch) (auth.Grant, error) {
			time.Sleep(10 * time.Second) // it does not notice that it is ended
			return s.grant("alice"), nil
		}
		c := newCache(t, s, stored(v))
		failed := make(chan error)
		go func() {
			_, err := c.Token(t.Context(), "alice")
			failed <- err
		}()
		synctest.Wait()
		if err := c.Forget(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; !errors.Is(err, cache.ErrSignedOut) {
			t.Errorf("who waited got %v", err)
		}
		if v.has("alice") || !slices.Equal(s.revoked, []string{"token 1 of alice", ""}) {
			t.Errorf("stored: %v, revoked: %q", v.has("alice"), s.revoked)
		}
		s.signIn = nil
		ask(t, c)
	})
	bubble(t, "a flight that has just brought a grant", func(t *testing.T) {
		for _, v := range []*vault{nil, {}} {
			s := &source{}
			c := newCache(t, s)
			if v != nil {
				c = newCache(t, s, stored(v))
			}
			first := ask(t, c)
			c.Drop("alice", first.AccessToken)
			landing := make(chan struct{})
			s.renew = func(context.Context, string, auth.Grant) (auth.Grant, error) {
				<-landing // it does not notice that it is ended
				return s.grant("alice"), nil
			}
			if v != nil {
				v.saving = landing
				s.renew = nil
			}
			failed := make(chan error)
			go func() {
				_, err := c.Token(t.Context(), "alice")
				failed <- err
			}()
			synctest.Wait()
			done := make(chan error)
			go func() { done <- c.Forget(t.Context(), "alice") }()
			synctest.Wait()
			close(landing)
			if err := <-failed; !errors.Is(err, cache.ErrSignedOut) {
				t.Errorf("who waited got %v", err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			slices.Sort(s.revoked)
			if v != nil && v.has("alice") || !slices.Equal(s.revoked, []string{"token 1 of alice", "token 2 of alice"}) {
				t.Errorf("revoked: %q", s.revoked)
			}
		}
	})
	bubble(t, "the Portal is away", func(t *testing.T) {
		v, s := &vault{}, &source{revoke: &auth.Error{Kind: auth.Unreachable, Step: "Portal: oauth2/revokeToken"}}
		c := newCache(t, s, stored(v))
		g := ask(t, c)
		if err := c.Forget(t.Context(), "alice"); auth.KindOf(err) != auth.Unreachable {
			t.Errorf("got %v", err)
		}
		if v.has("alice") || ask(t, c).AccessToken.Equal(g.AccessToken) {
			t.Error("it was not forgotten here")
		}
	})
}

func TestKeep(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		v, s := &vault{}, &source{}
		c := newCache(t, s, stored(v))
		c.Keep([]string{"alice", "bob", "carol"})
		for _, name := range []string{"alice", "bob", "carol"} {
			if _, err := c.Token(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		c = newCache(t, s, stored(v))
		c.Keep([]string{"alice", "bob", "carol"})
		ask(t, c)
		if _, err := c.Token(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
		if removed := c.Keep([]string{"alice", "dave"}); !slices.Equal(removed, []string{"bob", "carol"}) {
			t.Errorf("removed %v", removed)
		}
		for _, name := range []string{"bob", "carol"} {
			if _, err := c.Token(t.Context(), name); auth.KindOf(err) != auth.UnknownIdentity {
				t.Errorf("%s: %v", name, err)
			}
		}
		ask(t, c) // who stays notices nothing
		want(t, s, counts{signIns: 3, revokes: 2})
		if v.has("bob") || v.has("carol") || !v.has("alice") {
			t.Error("the wrong grants are stored")
		}
		if got := c.Status(); len(got) != 2 || got[0].Identity != "alice" || got[1].Identity != "dave" {
			t.Errorf("status %+v", got)
		}
		c.Keep([]string{"alice", "bob"}) // taken up again
		if _, err := c.Token(t.Context(), "bob"); err != nil {
			t.Error(err)
		}
	})
	bubble(t, "the Portal is away", func(t *testing.T) {
		v, s := &vault{}, &source{revoke: &auth.Error{Kind: auth.Unreachable, Step: "Portal: oauth2/revokeToken"}}
		c := newCache(t, s, stored(v))
		c.Keep([]string{"alice"})
		ask(t, c)
		c.Keep(nil)
		c.Close()
		if !v.has("alice") {
			t.Fatal("nobody can revoke it any more")
		}
		s.revoke = nil
		c = newCache(t, s, stored(v)) // a later run, which finds it
		c.Keep([]string{"alice"})
		c.Keep(nil)
		c.Close()
		if v.has("alice") {
			t.Error("it is still stored")
		}
		want(t, s, counts{signIns: 1, revokes: 2})
	})
	bubble(t, "taken up again while it is signed out", func(t *testing.T) {
		v, s := &vault{}, &source{revoking: 10 * time.Second}
		c := newCache(t, s, stored(v))
		c.Keep([]string{"alice"})
		former := ask(t, c)
		c.Keep(nil)
		synctest.Wait()
		c.Keep([]string{"alice"})
		began := time.Now()
		g := ask(t, c)
		if g.AccessToken.Equal(former.AccessToken) || time.Since(began) != s.revoking {
			t.Errorf("%v after %s", g.AccessToken.Equal(former.AccessToken), time.Since(began))
		}
		time.Sleep(time.Minute)
		if !v.has("alice") || !ask(t, c).AccessToken.Equal(g.AccessToken) {
			t.Error("the new grant went with the former one")
		}
		want(t, s, counts{signIns: 2, revokes: 1})
		c.Keep(nil) // and all of it works once more
		time.Sleep(time.Minute)
		want(t, s, counts{signIns: 2, revokes: 2})
		if v.has("alice") {
			t.Error("the new grant is still stored")
		}
	})
	bubble(t, "a flight under way", func(t *testing.T) {
		s := &source{signIn: func(ctx context.Context, _ string, _ auth.Watch) (auth.Grant, error) {
			<-ctx.Done()
			return auth.Grant{}, &auth.Error{Kind: auth.Deadline, Step: "Okta: push", Err: ctx.Err()}
		}}
		c := newCache(t, s)
		c.Keep([]string{"alice"})
		failed := make(chan error)
		go func() {
			_, err := c.Token(t.Context(), "alice")
			failed <- err
		}()
		synctest.Wait()
		c.Keep(nil)
		if err := <-failed; !errors.Is(err, cache.ErrSignedOut) {
			t.Errorf("got %v", err)
		}
	})
}

func TestSignInByHand(t *testing.T) {
	given := func(password string) auth.Given { return auth.Given{Password: auth.NewSecret(password)} }
	// A Source where the configured password is wrong.
	wrong := func(s *source) {
		s.signIn = func(_ context.Context, _ string, w auth.Watch) (auth.Grant, error) {
			password := "configured"
			if w.Given != nil {
				password = w.Given.Password.Reveal()
			}
			switch {
			case password == "right":
				return s.grant("alice"), nil
			case w.Given != nil && slices.Contains(w.Given.Refused, password):
				return auth.Grant{}, &auth.Error{Kind: auth.CredentialRefused, Step: "credentials", Credential: password, Seen: "not sent"}
			}
			return auth.Grant{}, &auth.Error{Kind: auth.CredentialRefused, Step: "Okta: password", Credential: password}
		}
		s.uses = func(_, print string) (bool, error) { return print == "configured", nil }
	}
	bubble(t, "it works where the config's does not", func(t *testing.T) {
		s, l, v := &source{}, &ledger{}, &vault{}
		wrong(s)
		c := newCache(t, s, with(l), stored(v))
		refused(t, c, auth.CredentialRefused)
		var steps []string
		with := given("right")
		with.Tell = func(e auth.Event) { steps = append(steps, e.Text) }
		if _, err := c.SignIn(t.Context(), "alice", with); err != nil {
			t.Fatal(err)
		}
		ask(t, c)
		if got := c.Status()[0]; got.By != cache.ByLogin || !got.Stored {
			t.Errorf("status %+v", got)
		}
		if !l.has() {
			t.Error("the configured password, which is still wrong, was forgotten")
		}
		want(t, s, counts{signIns: 2, uses: 1})
		// When only a sign-in helps, the wrong password is not sent again.
		time.Sleep(15 * 24 * time.Hour)
		refused(t, c, auth.CredentialRefused)
		if s.seen().signIns != 2 {
			t.Error("the refused password was sent again")
		}
	})
	bubble(t, "a wrong one clears nothing", func(t *testing.T) {
		s, l := &source{}, &ledger{}
		wrong(s)
		c := newCache(t, s, with(l))
		refused(t, c, auth.CredentialRefused)
		for _, password := range []string{"mistyped", "configured"} {
			g, err := c.SignIn(t.Context(), "alice", given(password))
			wantKind(t, g, err, auth.CredentialRefused)
			time.Sleep(time.Hour)
			refused(t, c, auth.CredentialRefused)
		}
		if s.seen().signIns != 3 || l.entry.Credential != "configured" {
			t.Errorf("%d sign-ins, %q remembered", s.seen().signIns, l.entry.Credential)
		}
	})
	bubble(t, "the config's next one is refused by hand", func(t *testing.T) {
		s, l := &source{}, &ledger{}
		wrong(s)
		c := newCache(t, s, with(l))
		refused(t, c, auth.CredentialRefused)
		s.uses = func(_, print string) (bool, error) { return print == "next", nil }
		g, err := c.SignIn(t.Context(), "alice", given("next"))
		wantKind(t, g, err, auth.CredentialRefused)
		time.Sleep(time.Hour)
		refused(t, c, auth.CredentialRefused)
		if s.seen().signIns != 2 || l.entry.Credential != "next" {
			t.Errorf("%d sign-ins, %q remembered", s.seen().signIns, l.entry.Credential)
		}
	})
	for _, kind := range []auth.Kind{auth.Unanswered, auth.AccountLocked, auth.PasscodeMistimed} {
		bubble(t, "what waits for a time may be given by hand/"+string(kind), func(t *testing.T) {
			s, l := &source{}, &ledger{}
			s.uses = func(_, print string) (bool, error) { return print == "right", nil }
			s.signIn = failing(auth.Error{Kind: kind, Step: "Okta: password", Credential: "right"})
			c := newCache(t, s, with(l))
			refused(t, c, kind)
			s.signIn = func(_ context.Context, _ string, w auth.Watch) (auth.Grant, error) {
				if w.Given != nil && len(w.Given.Refused) > 0 {
					return auth.Grant{}, &auth.Error{Kind: auth.CredentialRefused, Step: "credentials", Seen: "not sent", Credential: w.Given.Refused[0]}
				}
				return s.grant("alice"), nil
			}
			if _, err := c.SignIn(t.Context(), "alice", given("right")); err != nil {
				t.Error(err)
			}
		})
	}
	for _, kind := range []auth.Kind{auth.Unanswered, auth.PasscodeMistimed, auth.Unreachable, auth.NotAssigned} {
		bubble(t, "another failure clears nothing/"+string(kind), func(t *testing.T) {
			s, l := &source{}, &ledger{}
			s.uses = func(_, print string) (bool, error) { return print == "configured" || print == "secret", nil }
			s.signIn = failing(auth.Error{Kind: auth.CredentialRefused, Step: "Okta: password", Credential: "configured"})
			c := newCache(t, s, with(l))
			refused(t, c, auth.CredentialRefused)
			s.signIn = failing(auth.Error{Kind: kind, Step: "Okta: code", Credential: "secret"})
			if _, err := c.SignIn(t.Context(), "alice", given("right")); auth.KindOf(err) != kind {
				t.Error(err)
			}
			time.Sleep(time.Hour)
			refused(t, c, auth.CredentialRefused)
			if s.seen().signIns != 2 || l.entry.Credential != "configured" {
				t.Errorf("%d sign-ins, %q remembered", s.seen().signIns, l.entry.Credential)
			}
		})
	}
	bubble(t, "two are refused", func(t *testing.T) {
		s, l := &source{}, &ledger{}
		config := map[string]bool{"old password": true, "wrong secret": true}
		s.uses = func(_, print string) (bool, error) { return config[print], nil }
		var sent []string
		s.signIn = func(_ context.Context, _ string, w auth.Watch) (auth.Grant, error) {
			for _, credential := range []string{"old password", "wrong secret"} {
				switch by := w.Given; {
				case by != nil && (credential == "old password" || slices.Contains(by.Refused, credential)): // a person's
				case config[credential]:
					sent = append(sent, credential)
					return auth.Grant{}, &auth.Error{Kind: auth.CredentialRefused, Step: "Okta: code", Credential: credential}
				}
			}
			return auth.Grant{}, &auth.Error{Kind: auth.MissingCredential, Step: "Okta: code"}
		}
		c := newCache(t, s, with(l))
		refused(t, c, auth.CredentialRefused)
		for range 3 {
			_, err := c.SignIn(t.Context(), "alice", given("new password"))
			if err == nil {
				t.Error("signed in")
			}
			time.Sleep(time.Hour)
		}
		refused(t, c, auth.CredentialRefused)
		delete(config, "old password") // it is replaced in the config
		time.Sleep(time.Hour)
		refused(t, c, auth.CredentialRefused)
		if want := []string{"old password", "wrong secret"}; !slices.Equal(sent, want) {
			t.Errorf("sent %q, want %q", sent, want)
		}
		if l.entry.Credential != "wrong secret" {
			t.Errorf("%q is remembered over a restart", l.entry.Credential)
		}
		delete(config, "wrong secret")
		time.Sleep(time.Hour)
		refused(t, c, auth.MissingCredential)
	})
	bubble(t, "others join", func(t *testing.T) {
		s := &source{}
		s.signIn = func(context.Context, string, auth.Watch) (auth.Grant, error) {
			time.Sleep(time.Second)
			return s.grant("alice"), nil
		}
		c := newCache(t, s)
		ask(t, c)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if g, err := c.SignIn(t.Context(), "alice", given("x")); err != nil || g.AccessToken.Reveal() != "token 2 of alice" {
				t.Error(g, err)
			}
		}()
		synctest.Wait()
		c.Drop("alice", auth.NewSecret("token 1 of alice"))
		ask(t, c)
		<-done
		want(t, s, counts{signIns: 2})
	})
	bubble(t, "who leaves ends it", func(t *testing.T) {
		s := &source{signIn: func(ctx context.Context, _ string, _ auth.Watch) (auth.Grant, error) {
			<-ctx.Done()
			return auth.Grant{}, &auth.Error{Kind: auth.Deadline, Step: "Okta: push", Err: ctx.Err()}
		}}
		c := newCache(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		g, err := c.SignIn(ctx, "alice", given("x"))
		wantKind(t, g, err, auth.Waiting)
		synctest.Wait()
		if c.Status()[0].Flying {
			t.Error("it goes on without the person")
		}
		s.signIn = nil
		ask(t, c)
	})
	bubble(t, "a rate limit and a pause of pushes hold", func(t *testing.T) {
		s := &source{signIn: failing(auth.Error{Kind: auth.RateLimited, Step: "Okta: password"})}
		c := newCache(t, s)
		refused(t, c, auth.RateLimited)
		g, err := c.SignIn(t.Context(), "alice", given("x"))
		wantKind(t, g, err, auth.RateLimited)
		want(t, s, counts{signIns: 1})
		time.Sleep(time.Hour)
		s.signIn = failing(auth.Error{Kind: auth.PushRejected, Step: "Okta: push"})
		refused(t, c, auth.PushRejected)
		s.signIn = func(_ context.Context, _ string, w auth.Watch) (auth.Grant, error) {
			if w.PushPaused == nil {
				t.Error("pushes are not paused")
			}
			return s.grant("alice"), nil
		}
		if _, err := c.SignIn(t.Context(), "alice", given("x")); err != nil {
			t.Error(err)
		}
	})
}

func TestStatus(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := &source{signIn: failing(auth.Error{Kind: auth.AccountLocked, Step: "Okta: password", Credential: "print"})}
		c := newCache(t, s)
		refused(t, c, auth.AccountLocked)
		got := c.Status()[0]
		if got.Failure == nil || got.Failure.Remedy() == "" || got.Clears == "" || got.Failed.IsZero() || got.SignedIn(time.Now()) {
			t.Errorf("a failure: %+v", got)
		}
		time.Sleep(time.Hour)
		s.signIn = func(_ context.Context, _ string, w auth.Watch) (auth.Grant, error) {
			w.Tell(auth.Event{Text: "push sent", Challenge: &auth.Challenge{Kind: auth.FactorPush, Number: "42"}})
			time.Sleep(10 * time.Second)
			return s.grant("alice"), nil
		}
		done := make(chan struct{})
		go func() {
			ask(t, c)
			close(done)
		}()
		time.Sleep(time.Second)
		if got := c.Status()[0]; !got.Flying || got.Waiting != 1 || got.Event.Challenge == nil || got.Event.Challenge.Number != "42" {
			t.Errorf("a flight: %+v", got)
		}
		<-done
		got = c.Status()[0]
		if got.Flying || got.Failure != nil || got.Clears != "" || got.By != cache.BySignIn || !got.SignedIn(time.Now()) || !got.Renewable {
			t.Errorf("signed in: %+v", got)
		}
	})
}

// TestTogether: whatever is called at once, nobody waits for another for ever.
func TestTogether(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		v, s := &vault{}, &source{life: time.Minute}
		c := newCache(t, s, stored(v), func(c *cache.Config) { c.Size = 2 })
		names := []string{"alice", "bob", "carol"}
		var all sync.WaitGroup
		for i, do := range []func(n int, name string){
			func(_ int, name string) { _, _ = c.Token(t.Context(), name) },
			func(_ int, name string) {
				g, _ := c.Token(t.Context(), name)
				c.Drop(name, g.AccessToken)
			},
			func(_ int, name string) { _ = c.Forget(t.Context(), name) },
			func(n int, _ string) { c.Keep(names[:1+n%3]) },
			func(int, string) { c.Status() },
			func(_ int, name string) { _, _ = c.SignIn(t.Context(), name, auth.Given{}) },
			func(_ int, name string) { c.Restore(t.Context(), []string{name}) },
		} {
			all.Go(func() {
				for n := range 300 {
					do(n, names[(n+i)%3])
					time.Sleep(time.Duration(i+1) * 7 * time.Second)
				}
			})
		}
		all.Wait()
	})
}
