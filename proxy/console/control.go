package console

import (
	"context"
	"errors"
	"time"

	"arcproxy/auth"
)

// Control is what identities there are and what can be done about them. Its methods
// may be called concurrently.
type Control interface {
	// Identities returns how each configured identity stands, sorted by name.
	Identities() []Identity
	// Answer gives the answer to the pending challenge of that ID. An error is one
	// of those below; the sign-in says later whether the answer was right.
	Answer(identity, challenge string, answer auth.Secret) error
	// SignIn signs identity in, also where it is signed in, with the password that a
	// person typed; zero: with the configured one. It returns when that has come to
	// an end, and gives up when ctx ends. tell hears the steps; it must not block,
	// and may be nil.
	SignIn(ctx context.Context, identity string, password auth.Secret, tell func(auth.Event)) error
	// SignOut revokes the identity's grant at the Portal and forgets it.
	SignOut(ctx context.Context, identity string) error
	// Changed returns a channel that is closed when Identities may have changed
	// after the call.
	Changed() <-chan struct{}
}

// Why an answer was not taken.
var (
	ErrUnknown     = errors.New("there is no such identity")
	ErrNoChallenge = errors.New("nothing is asked about this identity now: the sign-in has ended, or has not come to it yet")
	ErrOver        = errors.New("that question is over: another one is pending now")
	ErrAnswered    = errors.New("somebody has answered that question already")
	ErrOnDevice    = errors.New("this is answered on the device, and not here")
	ErrEmpty       = errors.New("the answer is empty")
)

// State says in a word how an identity stands.
type State string

// The states.
const (
	SignedIn  State = "signed in"  // there is a token, or it can be had without a sign-in
	SigningIn State = "signing in" // a sign-in is under way
	Asking    State = "asking"     // the same, and it waits for a person: see Challenge
	Failed    State = "failed"     // there is no token, and the last attempt failed: see Failure
	SignedOut State = "signed out" // there is no token; the next request signs in
)

// Identity is how one identity stands. It holds no secret.
type Identity struct {
	Name  string `json:"name"`
	State State  `json:"state"`

	// Of the token; zero where there is none.
	Username       string    `json:"username,omitempty"`       // in ArcGIS
	By             string    `json:"by,omitempty"`             // sign-in, login, renewal, exchange, restored
	Obtained       time.Time `json:"obtained,omitzero"`        //
	Until          time.Time `json:"until,omitzero"`           // the token
	Renewable      bool      `json:"renewable"`                // without a sign-in
	RenewableUntil time.Time `json:"renewable_until,omitzero"` // zero: not, or the Portal does not say
	Stored         bool      `json:"stored"`                   // it lasts over a restart

	// Of the sign-in or renewal under way.
	Event     string     `json:"event,omitempty"` // its last step
	Waiting   int        `json:"waiting"`         // callers that wait for it
	Challenge *Challenge `json:"challenge,omitempty"`

	Failure   *Failure `json:"failure,omitempty"`    // the last since a token was obtained
	PushPause *Failure `json:"push_pause,omitempty"` // why no push is sent, until its Until
}

// Challenge is a question that waits for a person.
type Challenge struct {
	ID       string    `json:"id"` // another one for each question
	Kind     string    `json:"kind"`
	Number   string    `json:"number,omitempty"`   // to pick on the device
	Question string    `json:"question,omitempty"` // a security question's text
	Device   string    `json:"device,omitempty"`   // where to look
	Deadline time.Time `json:"deadline,omitzero"`
	Code     bool      `json:"code"`  // it is answered by a text, given here
	Again    bool      `json:"again"` // the last answer was refused
}

// Failure is what went wrong, and what to do.
type Failure struct {
	Time   time.Time `json:"time,omitzero"`
	Kind   string    `json:"kind"`
	Step   string    `json:"step,omitempty"`
	Text   string    `json:"text"`
	Remedy string    `json:"remedy,omitempty"`
	Until  time.Time `json:"until,omitzero"`   // when it is tried again by itself
	Clears string    `json:"clears,omitempty"` // what ends it
}
