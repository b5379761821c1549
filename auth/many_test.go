package auth_test

import (
	"fmt"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"arcproxy/auth"
	"arcproxy/auth/okta"
	"arcproxy/auth/portal"
	"arcproxy/test/sandbox"
	oktabox "arcproxy/test/sandbox/okta"
)

// TestManyBeginAtOnce: to Okta, all that have no device yet are one client of few
// requests at a time. A proxy that has just been set up stays within that.
func TestManyBeginAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var users []sandbox.User
		var identities []auth.Identity
		for i := range 12 {
			name := fmt.Sprintf("user%d", i)
			login := name + "@example.com"
			users = append(users, sandbox.User{Name: name, GISUsername: name, User: oktabox.User{Login: login, Password: password}})
			identities = append(identities, auth.Identity{Name: name, Username: login, Password: constant(password)})
		}
		box := sandbox.New(sandbox.Config{Seed: 1, Users: users})
		t.Cleanup(box.Close)
		box.Okta.Inject(oktabox.Fault{Kind: oktabox.Slow, Path: "/app/", Delay: time.Second})
		signer := auth.NewSigner(auth.SignerConfig{
			Portal:     portal.New(portal.Config{URL: box.PortalURL, ClientID: "arcproxytest"}),
			IdP:        okta.New(okta.Config{URL: box.OktaURL}),
			Identities: identities,
			Transport:  box.Transport(),
			Origins:    []*url.URL{box.OktaURL, box.PortalURL},
			Key:        []byte("key"),
		})
		began := time.Now()
		var all sync.WaitGroup
		for _, identity := range identities {
			all.Go(func() {
				if _, err := signer.SignIn(t.Context(), identity.Name, auth.Watch{Waited: func() bool { return true }}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := box.Okta.Counts().Limited; n != 0 {
			t.Errorf("%d requests were too many", n)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("they took %v: not several at a time", took)
		}
	})
}
