package okta

import (
	"context"
	"errors"
	"slices"
	"time"

	"arcproxy/auth"
)

// codeLife is how long Okta keeps a code that it sent, where it does not say.
const codeLife = 5 * time.Minute

// messages say how codes are sent, for people.
var messages = map[auth.Factor]string{
	auth.FactorSMS:   "a code was sent by text message to ",
	auth.FactorCall:  "a code is told by a call to ",
	auth.FactorEmail: "a code was sent by e-mail to ",
}

// message lets Okta send a code, once in a transaction and only if somebody waits,
// and answers with what a person types. No second one is sent by itself, and what is
// not known to have come is not asked for again: the factor's pause follows.
func (v *verification) message(ctx context.Context) (*answer, error) {
	to, err := v.at(stepMessage)
	if err != nil {
		return nil, err
	}
	if err := v.browser.Ready(ctx, stepMessage, to); err != nil { // it may wait: the callers are asked afterwards
		return nil, err
	}
	if err := v.bother(stepMessage); err != nil {
		return nil, err
	}
	sent, err := v.call(ctx, stepMessage, to, body{StateToken: v.state.StateToken})
	if err != nil {
		return nil, unsure(err, auth.Unreachable, auth.Deadline, auth.UnexpectedPage)
	}
	if sent.status() != statusChallenge {
		return sent, nil
	}
	device := v.factor.Profile.PhoneNumber
	if v.kind == auth.FactorEmail {
		device = v.factor.Profile.Email
	}
	if device = auth.Clean(device); device == "" {
		device = "the account's own"
	}
	if next, ok := sent.Links["next"]; ok && next.Name == "verify" {
		v.link = next
	}
	v.state = sent
	done, err := v.typed(ctx, messages[v.kind]+device+": enter it", auth.Challenge{
		Kind: v.kind, Code: true, Device: device, Deadline: sent.deadline(ctx, codeLife),
	})
	return done, ungiven(unsure(err, auth.Unreachable, auth.Deadline, auth.UnexpectedPage, auth.SessionLost))
}

// ungiven makes of an error of one who was asked for a code that had been sent one of
// the challenge's own: begun again at once, the sign-in would send another.
func ungiven(err error) error {
	e, ok := errors.AsType[*auth.Error](err)
	if !ok || e.Kind != auth.MissingCredential && e.Kind != auth.NobodyWaiting {
		return err
	}
	named := *e
	named.Kind = auth.ChallengeExpired
	return &named
}

// unsure makes of an error of one of the kinds given, after which a push or a code may
// be with a person, one of the factor's own: who signs in again at once after it, as
// after a broken connection, would send another.
func unsure(err error, kinds ...auth.Kind) error {
	e, ok := errors.AsType[*auth.Error](err)
	if !ok || !slices.Contains(kinds, e.Kind) {
		return err
	}
	return &auth.Error{Kind: auth.FactorFailed, Step: e.Step, Seen: "what became of it is not known", Err: err}
}
