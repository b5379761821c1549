package soak

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"arcproxy/auth"
	"arcproxy/test/sandbox"
	"arcproxy/test/sandbox/arcgis"
	oktabox "arcproxy/test/sandbox/okta"
)

// TestRestart: a restart between requests asks nobody for anything.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		first := map[string]auth.Grant{}
		for _, user := range w.box.Users() {
			first[user.Name] = w.token(t, user.Name)
		}
		w.wire.take()
		before := w.box.Okta.Counts()

		w.restart()
		for name, g := range first {
			if !w.token(t, name).AccessToken.Equal(g.AccessToken) {
				t.Errorf("%s: another token after a restart", name)
			}
		}
		w.wire.expect(t, "a restart while the tokens are fresh", 0)

		time.Sleep(time.Hour)
		w.restart()
		for name, g := range first {
			if next := w.token(t, name); next.AccessToken.Equal(g.AccessToken) || next.Username != g.Username {
				t.Errorf("%s: got the token of %s after its end", name, next.Username)
			}
		}
		w.wire.expect(t, "a restart after the tokens' end", len(first))

		// Without grants, what is left is Okta's session.
		w.box.Portal.RevokeAll()
		time.Sleep(30 * time.Minute)
		w.restart()
		for name := range first {
			w.token(t, name)
		}
		after := w.box.Okta.Counts()
		if after.Primary != before.Primary || after.Pushes != before.Pushes || after.Passcodes != before.Passcodes {
			t.Errorf("after restarts: %d passwords, %d pushes and %d codes were sent", after.Primary-before.Primary, after.Pushes-before.Pushes, after.Passcodes-before.Passcodes)
		}
	})
}

// TestRequests counts the requests of the walk beside those of the program that
// arcproxy follows, oktaesri (2020): 7 for every token, and one more for each poll of
// a push. As there, redirects count with the request that they answer. What is
// asked once and not for each sign-in, the organization's engine, is not counted;
// nor is the Portal's form where it does not redirect to Okta, which oktaesri does
// not know.
func TestRequests(t *testing.T) {
	const theirs = 7
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil, func(c *sandbox.Config) {
			c.Shape.PostBinding = arcgis.Never
			c.Okta = new(oktabox.Settings)
			*c.Okta = oktabox.DefaultSettings()
			c.Okta.SessionPage = oktabox.SessionForm
		})
		for i, user := range w.box.Users() {
			w.token(t, user.Name)
			sent := w.wire.take()
			most := theirs
			if user.Push {
				most += 2 // polls of a push that is approved after 8 s
			}
			if i == 0 {
				most++ // the organization's engine
			}
			t.Logf("%s: a cold sign-in in %d requests (oktaesri: %d), %d with redirects", user.Name, calls(sent), most, len(sent))
			if calls(sent) > most {
				t.Errorf("%s: %d requests for a cold sign-in, want at most %d:\n  %s", user.Name, calls(sent), most, strings.Join(sent, "\n  "))
			}
			w.token(t, user.Name)
			w.wire.expect(t, "a fresh token", 0)
			time.Sleep(27 * time.Minute)
			w.token(t, user.Name)
			synctest.Wait()
			w.wire.expect(t, "a renewal", 1)
			w.token(t, user.Name)
			w.wire.expect(t, "a renewed token", 0)
		}
	})
}

// TestSignOut: what was signed out can be used by nobody, and nothing of it is left.
func TestSignOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		g := w.token(t, "bob")
		if err := w.cache.Forget(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.self(t.Context(), g.AccessToken); err == nil {
			t.Error("the token still works")
		}
		if _, err := w.signer.Renew(t.Context(), "bob", g); auth.KindOf(err) != auth.GrantRefused {
			t.Errorf("renewal after the sign-out: %v", err)
		}
		before := w.box.Okta.Counts()
		w.restart()
		w.token(t, "bob")
		if after := w.box.Okta.Counts(); after.Primary != before.Primary+1 || after.Pushes != before.Pushes+1 {
			t.Errorf("after a sign-out: %d passwords and %d pushes, want one each", after.Primary-before.Primary, after.Pushes-before.Pushes)
		}

		// A reload without bob.
		g = w.token(t, "bob")
		all := w.identities()
		w.cache.Keep([]string{"alice", "bob"})
		w.signer.SetIdentities(all[:1])
		if removed := w.cache.Keep([]string{"alice"}); len(removed) != 1 || removed[0] != "bob" {
			t.Errorf("removed %v", removed)
		}
		if _, err := w.cache.Token(t.Context(), "bob"); auth.KindOf(err) != auth.UnknownIdentity {
			t.Errorf("a removed identity: %v", err)
		}
		synctest.Wait()
		if _, err := w.self(t.Context(), g.AccessToken); err == nil {
			t.Error("the removed identity's token still works")
		}
	})
}

// TestChangedAccount: an identity with another user name does not go on as the former.
func TestChangedAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		w.token(t, "alice")
		w.cache.Close()
		w.start()
		all := w.identities()
		all[0].Username, all[0].Password, all[0].TOTPSecret = all[2].Username, all[2].Password, nil
		w.signer.SetIdentities(all)
		if g := w.token(t, "alice"); g.Username != "carol_gis" {
			t.Errorf("signed in as %s", g.Username)
		}
	})
}
