package main

import (
	"strings"
	"testing"
	"time"

	"arcproxy/auth"
	"arcproxy/cache"
)

func TestStatusIsForAPerson(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	refused := &auth.Error{Kind: auth.CredentialRefused, Identity: "bob", Step: "Okta: password", Code: "E0000004", Credential: "x"}
	paused := &auth.Error{Kind: auth.PushRejected, Until: now.Add(10 * time.Minute)}
	var out strings.Builder
	list := []cache.Status{
		{Identity: "alice", Username: "alice_gis", By: cache.ByRenewal, Expires: now.Add(29 * time.Minute), Renewable: true, RefreshExpires: now.Add(72 * time.Hour)},
		{Identity: "bob", Failure: refused, Failed: now.Add(-time.Hour), Clears: "another credential"},
		{Identity: "carol", Username: "carol_gis", By: cache.ByRestart, Expires: now.Add(-time.Minute), PushPaused: paused},
		{Identity: "dora", Flying: true, Waiting: 3, Event: auth.Event{Text: "a code is asked for"},
			Question: &cache.Question{ID: "1", Challenge: auth.Challenge{Kind: auth.FactorSMS, Code: true, Deadline: now.Add(time.Minute)}}},
		{Identity: "erik"},
		{Identity: "gus"},
		{Identity: "fay", Flying: true, Event: auth.Event{Text: "push sent"},
			Question: &cache.Question{Challenge: auth.Challenge{Kind: auth.FactorPush, Number: "42", Device: "her phone", Deadline: now.Add(time.Minute)}}},
	}
	if err := printIdentities(&out, standings(list, now), map[string]bool{"gus": true}, now); err != nil {
		t.Fatal(err)
	}
	const want = `alice  signed in   as alice_gis until 2026-03-01T12:29:00Z (29m), by renewal, renewable until 2026-03-04T12:00:00Z
bob    failed      signing bob in: Okta: password: credential refused (E0000004)
                   at 2026-03-01T11:00:00Z
                   cleared by another credential
                   what to do: check the user name and password by signing in to Okta in a browser, then correct them in the config; they are not tried again until they change
carol  signed out  as carol_gis, whose token has ended, kept over a restart
                   no push is sent until 2026-03-01T12:10:00Z: push rejected
dora   asking      a code is asked for; 3 waiting
                   to be answered with ` + "`arcproxy login dora`" + `, until 2026-03-01T12:01:00Z
erik   signed out  the next request signs in
gus    signed out  a person signs in: arcproxy login gus
fay    asking      push sent; 0 waiting
                   to be approved with the number 42 on her phone, until 2026-03-01T12:01:00Z
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
