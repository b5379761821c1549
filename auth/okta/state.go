package okta

import (
	"context"

	"arcproxy/auth"
)

// The states that the machine goes on from. The others are in endings.
const (
	statusSuccess      = "SUCCESS"
	statusPasswordWarn = "PASSWORD_WARN"
	statusEnroll       = "MFA_ENROLL"
	statusRequired     = "MFA_REQUIRED"
	statusChallenge    = "MFA_CHALLENGE"
)

// status returns the state under one name: Okta's own sign-in widget knows two
// more for those of a second factor.
func (a *answer) status() string {
	switch a.Status {
	case "FACTOR_REQUIRED":
		return statusRequired
	case "FACTOR_CHALLENGE":
		return statusChallenge
	}
	return a.Status
}

// good reports whether the state is one that the machine goes on from.
func (a *answer) good() bool {
	switch a.status() {
	case statusSuccess, statusPasswordWarn, statusRequired, statusChallenge:
		return true
	}
	return false
}

// drive takes a transaction from state to state until it succeeds, and returns
// the page that it leads to. No order of states is assumed: each says by its
// links what may follow.
func (w *walk) drive(ctx context.Context, step string, state *answer) (*auth.Page, error) {
	var err error
	for range maxStates {
		switch status := state.status(); status {
		case statusSuccess:
			return w.land(ctx, state)
		case statusPasswordWarn, statusEnroll:
			skip, ok := state.Links["skip"]
			if !ok {
				return nil, ending(step, status)
			}
			if status == statusPasswordWarn {
				w.say("Okta warns that the password will expire soon")
			}
			step = stepSkip
			state, err = w.follow(ctx, step, skip, body{StateToken: state.StateToken})
		case statusRequired:
			step = stepFactor
			state, err = w.answerFactor(ctx, state)
		case statusChallenge:
			// A challenge that we did not begin: back to the choice of factors.
			prev, ok := state.Links["prev"]
			if !ok {
				return nil, &auth.Error{Kind: auth.SessionLost, Step: step, Seen: "a challenge of another sign-in is open"}
			}
			state, err = w.follow(ctx, stepFactor, prev, body{StateToken: state.StateToken})
		default:
			return nil, ending(step, status)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, &auth.Error{Kind: auth.UnexpectedPage, Step: step, Seen: "states without end"}
}

// ending names a state that the machine does not go on from.
func ending(step, status string) *auth.Error {
	if end, ok := endings[status]; ok {
		return &auth.Error{Kind: end.kind, Step: step, Code: status, Seen: end.seen}
	}
	if status == statusPasswordWarn {
		return &auth.Error{Kind: auth.PasswordExpired, Step: step, Code: status, Seen: "Okta does not let the warning be skipped"}
	}
	return &auth.Error{Kind: auth.UnexpectedPage, Step: step, Seen: "a state that is not known: " + auth.Clean(status)}
}
