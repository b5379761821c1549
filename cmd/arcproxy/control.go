package main

import (
	"context"
	"errors"
	"time"

	"arcproxy/auth"
	"arcproxy/cache"
	"arcproxy/proxy/console"
)

// control is what the console sees of the cache. It implements [console.Control].
type control struct {
	cache   *cache.Cache
	changes *console.Changes
}

// Identities implements [console.Control].
func (c *control) Identities() []console.Identity {
	return standings(c.cache.Status(), time.Now())
}

// standings puts how identities stand into the console's words.
func standings(all []cache.Status, now time.Time) []console.Identity {
	list := make([]console.Identity, len(all))
	for i, s := range all {
		list[i] = identityOf(s, now)
	}
	return list
}

// SignIn implements [console.Control].
func (c *control) SignIn(ctx context.Context, identity string, password auth.Secret, tell func(auth.Event)) error {
	_, err := c.cache.SignIn(ctx, identity, auth.Given{Password: password, Tell: tell})
	return err
}

// SignOut implements [console.Control].
func (c *control) SignOut(ctx context.Context, identity string) error {
	return c.cache.Forget(ctx, identity)
}

// Answer implements [console.Control].
func (c *control) Answer(identity, challenge string, answer auth.Secret) error {
	err := c.cache.Answer(identity, challenge, answer)
	for theirs, ours := range answerErrors {
		if errors.Is(err, theirs) {
			return ours
		}
	}
	return err
}

// answerErrors has the console's words for why an answer was not taken.
var answerErrors = map[error]error{
	cache.ErrNoQuestion: console.ErrNoChallenge,
	cache.ErrOver:       console.ErrOver,
	cache.ErrAnswered:   console.ErrAnswered,
	cache.ErrOnDevice:   console.ErrOnDevice,
	cache.ErrEmpty:      console.ErrEmpty,
}

// Changed implements [console.Control].
func (c *control) Changed() <-chan struct{} { return c.changes.Next() }

// identityOf puts how an identity stands into the console's words.
func identityOf(s cache.Status, now time.Time) console.Identity {
	id := console.Identity{
		Name:           s.Identity,
		State:          console.SignedOut,
		Username:       s.Username,
		By:             s.By,
		Obtained:       s.Obtained,
		Until:          s.Expires,
		Renewable:      s.Renewable,
		RenewableUntil: s.RefreshExpires,
		Stored:         s.Stored,
		Waiting:        s.Waiting,
		PushPause:      failureOf(s.PushPaused, time.Time{}, ""),
	}
	switch {
	case s.SignedIn(now):
		id.State = console.SignedIn
	case s.Failure != nil:
		id.State = console.Failed
	}
	id.Failure = failureOf(s.Failure, s.Failed, s.Clears)
	if s.Flying {
		id.Event = s.Event.Text
		if id.State != console.SignedIn { // else it is being renewed
			id.State = console.SigningIn
		}
	}
	if q := s.Question; q != nil {
		if id.State == console.SigningIn {
			id.State = console.Asking
		}
		id.Challenge = &console.Challenge{
			ID:       q.ID,
			Kind:     string(q.Kind),
			Number:   q.Number,
			Question: q.Challenge.Question,
			Device:   q.Device,
			Deadline: q.Deadline,
			Code:     q.Code,
			Again:    q.Again,
		}
	}
	return id
}

func failureOf(e *auth.Error, at time.Time, clears string) *console.Failure {
	if e == nil {
		return nil
	}
	f := console.NewFailure(e, at)
	f.Clears = clears
	return f
}
