package auth

import "time"

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
	Device   string // as Okta names it, "" if it does not
	Deadline time.Time
}

// Watch is how a sign-in speaks with those who wait for it.
// The zero Watch has nobody listening and nobody waiting, so it never sends a push.
type Watch struct {
	// Waited reports whether anyone waits for this sign-in at this moment. It is
	// asked immediately before a push is sent: nobody's phone buzzes for a
	// caller who has left.
	Waited func() bool
	// Tell hears every step. It must not block.
	Tell func(Event)
	// PushPaused, when set, is the failure of an earlier push. A sign-in that
	// would push again ends with it instead, before a password is sent if that
	// can be told by then; one that needs no push goes on.
	PushPaused *Error
}

// Say tells e to whoever listens.
func (w Watch) Say(e Event) {
	if w.Tell != nil {
		w.Tell(e)
	}
}

// SomebodyWaits reports whether a push may be sent.
func (w Watch) SomebodyWaits() bool { return w.Waited != nil && w.Waited() }
