package auth

import (
	"context"
	"errors"
	"time"
)

// Event is one step of a sign-in, told while it happens.
// Its Text is made for a person and never holds a secret.
type Event struct {
	Identity  string
	Text      string     // "password accepted", "push sent to alice's phone: approve 42 within 30 s"
	Challenge *Challenge // set while a person has something to do, nil otherwise
}

// Challenge is one pending question to a person.
type Challenge struct {
	Kind     Factor
	Number   string // the number to pick on the phone; "" where none is asked
	Code     bool   // an answer has to be given here (see Watch.Ask); else it is given on the device
	Question string // the security question's text; "" for other kinds
	Device   string // where to look, as Okta names it: a phone, a masked number; "" if it does not
	Deadline time.Time
	Again    bool // it was told before; now its number is known, or the last answer was refused
}

// Given is what a person supplies to a sign-in: `arcproxy login`. Nothing of it is
// kept longer than the sign-in takes.
type Given struct {
	Password Secret // zero: the configured one
	// Ask asks this person, beside whoever else can answer; nil: that is left to
	// them. See [Watch].
	Ask func(ctx context.Context, c Challenge) (Secret, error)
	// Tell hears every step, beside those who wait. It must not block. nil: nobody.
	Tell func(Event)
	// Refused has the fingerprints of credentials that must not be sent. Who keeps the
	// memory of failures sets it.
	Refused []string
}

// Watch is how a sign-in speaks with those who wait for it.
// The zero Watch has nobody listening and nobody waiting, so it never sends a push,
// nor has a code sent.
type Watch struct {
	// Waited reports whether anyone waits for this sign-in at this moment. It is
	// asked immediately before a push, an SMS, a call or an e-mail is sent: nobody's
	// phone buzzes for a caller who has left.
	Waited func() bool
	// Tell hears every step. It must not block.
	Tell func(Event)
	// PushPaused, when set, is the failure of an earlier push, or of a code that
	// was sent. A sign-in that would send another ends with it instead, before a
	// password is sent if that can be told by then; one that needs none goes on.
	PushPaused *Error
	// Ask asks whoever can be reached for an answer that no stored secret makes: a
	// code, or the answer to a question. It returns when somebody has answered, has
	// given up, or ctx has ended. nil: nobody can be asked.
	Ask func(ctx context.Context, c Challenge) (Secret, error)
	// Given is what a person supplies who takes part; nil: nobody does.
	Given *Given
}

// Say tells e to whoever listens.
func (w Watch) Say(e Event) {
	if w.Tell != nil {
		w.Tell(e)
	}
}

// CanAsk reports whether somebody can be asked.
func (w Watch) CanAsk() bool { return w.Ask != nil }

// SomebodyWaits reports whether a push or a code may be sent.
func (w Watch) SomebodyWaits() bool { return w.Waited != nil && w.Waited() }

// Answer asks a person, whose answer is not empty, and says so. An error is
// MissingCredential, or ChallengeExpired if ctx ends first.
func (w Watch) Answer(ctx context.Context, step string, e Event) (Secret, error) {
	if w.Ask == nil {
		return Secret{}, &Error{Kind: MissingCredential, Step: step, Seen: "nobody can be asked"}
	}
	w.Say(e)
	c := *e.Challenge
	answer, err := w.Ask(ctx, c)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return Secret{}, &Error{Kind: ChallengeExpired, Step: step, Seen: c.Device, Err: ctx.Err()}
	case ctx.Err() != nil:
		return Secret{}, over(ctx, step)
	case KindOf(err) == NobodyWaiting:
		return Secret{}, err
	case err != nil:
		return Secret{}, &Error{Kind: MissingCredential, Step: step, Seen: "nobody gave the code", Err: err}
	case answer.IsZero():
		return Secret{}, &Error{Kind: MissingCredential, Step: step, Seen: "the code was left empty"}
	}
	return answer, nil
}
