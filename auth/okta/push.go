package okta

import (
	"context"
	"errors"
	"fmt"
	"time"

	"arcproxy/auth"
)

const (
	pollEvery = 4 * time.Second // as Okta's sign-in widget does
	pushLife  = 5 * time.Minute // how long Okta keeps a push, where it does not say
)

// pollBackoff are the waits after polls that failed by a limit or the network, as
// Okta's own auth-js has them; a poll that works begins them anew.
var pollBackoff = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}

// sendPush sends one push and waits for a person to answer it. The request that
// sends it is made once, whatever becomes of it, and only if somebody waits.
func (w *walk) sendPush(ctx context.Context, state *answer, phone factor) (*answer, error) {
	if w.watch.PushPaused != nil {
		return nil, w.watch.PushPaused
	}
	l, err := verifyLink(stepPush, phone)
	if err != nil {
		return nil, err
	}
	remember := state.Embedded.Policy.AllowRememberDevice
	to, err := w.verifyURL(stepPush, l, remember)
	if err != nil {
		return nil, err
	}
	if !w.watch.SomebodyWaits() {
		return nil, &auth.Error{Kind: auth.NobodyWaiting, Step: stepPush, Seen: "no push was sent"}
	}
	asked, err := w.call(ctx, stepPush, to, body{StateToken: state.StateToken})
	if err != nil {
		return nil, err
	}
	p := push{walk: w, device: device(phone), remember: remember, deadline: asked.pushDeadline(ctx)}
	return p.wait(ctx, asked)
}

// pushDeadline is when a push that was just sent runs out, by our clock.
func (a *answer) pushDeadline(ctx context.Context) time.Time {
	deadline := time.Now().Add(pushLife)
	if !a.ExpiresAt.IsZero() {
		if expires := a.ExpiresAt.Add(-a.clock); expires.Before(deadline) && expires.After(time.Now()) {
			deadline = expires
		}
	}
	if end, ok := ctx.Deadline(); ok && end.Before(deadline) {
		deadline = end
	}
	return deadline
}

// push is one push that was sent.
type push struct {
	walk     *walk
	device   string
	remember bool
	deadline time.Time
	told     bool   // its first event was told
	number   number // the last that was told
}

// wait polls until the push is answered. Okta's answer says by the name of its
// next link whether it still waits: "poll" asks about this push, anything else at
// the same address would send another.
func (p *push) wait(ctx context.Context, state *answer) (*answer, error) {
	for {
		if state.status() != statusChallenge {
			if state.good() {
				p.walk.say("push approved")
			}
			return state, nil
		}
		next, ok := state.Links["next"]
		if state.FactorResult != "WAITING" || !ok || next.Name != "poll" {
			return nil, p.ended(state.FactorResult)
		}
		p.tell(state)
		if err := auth.Pause(ctx, stepPush, pollEvery); err != nil {
			return nil, p.late(ctx, err)
		}
		var err error
		if state, err = p.poll(ctx, next, state.StateToken); err != nil {
			return nil, p.late(ctx, err)
		}
	}
}

// poll asks once how the push stands, and again after a failure that says nothing
// about the push.
func (p *push) poll(ctx context.Context, next link, stateToken string) (*answer, error) {
	to, err := p.walk.verifyURL(stepPush, next, p.remember)
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		state, err := p.walk.call(ctx, stepPush, to, body{StateToken: stateToken})
		if err == nil {
			return state, nil
		}
		kind := auth.KindOf(err)
		if kind != auth.RateLimited && kind != auth.Unreachable || try >= len(pollBackoff) {
			return nil, err
		}
		if err := auth.Pause(ctx, stepPush, pollBackoff[try]); err != nil {
			return nil, err
		}
		// Had the answer that was lost ended the push, this poll would send
		// another one: it needs somebody who waits for it, as the first did.
		if kind == auth.Unreachable && !p.walk.watch.SomebodyWaits() {
			return nil, &auth.Error{Kind: auth.NobodyWaiting, Step: stepPush, Seen: "the connection broke, and nobody waits any more"}
		}
	}
}

// tell says that the push was sent, and again when its number appears: Okta knows
// that only once the phone shows the question.
func (p *push) tell(state *answer) {
	var shown number
	if len(state.Embedded.Factor) > 0 {
		shown = state.Embedded.Factor[0].Embedded.Challenge.CorrectAnswer
	}
	if p.told && (shown == "" || shown == p.number) {
		return
	}
	what := "approve it"
	if shown != "" {
		what = "approve " + string(shown)
	}
	left := max(time.Until(p.deadline).Round(time.Second), time.Second)
	text := fmt.Sprintf("push sent to %s: %s within %s", p.device, what, spoken(left))
	if p.told {
		text = fmt.Sprintf("on %s: %s within %s", p.device, what, spoken(left))
	}
	p.told, p.number = true, shown
	p.walk.watch.Say(auth.Event{
		Text:      text,
		Challenge: &auth.Challenge{Kind: auth.FactorPush, Number: string(shown), Device: p.device, Deadline: p.deadline},
	})
}

// ended names what a push came to. Nothing is posted to its link again.
func (p *push) ended(result string) *auth.Error {
	kind, ok := results[result]
	if !ok {
		return &auth.Error{Kind: auth.UnexpectedPage, Step: stepPush, Seen: "a push that neither waits nor ends: " + auth.Clean(result)}
	}
	return &auth.Error{Kind: kind, Step: stepPush, Code: result, Seen: p.device}
}

// late names the end of the walk's time while a push waits: nobody approved it.
func (p *push) late(ctx context.Context, err error) error {
	if auth.KindOf(err) == auth.Deadline && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &auth.Error{Kind: auth.PushTimedOut, Step: stepPush, Seen: "nobody approved it on " + p.device, Err: context.DeadlineExceeded}
	}
	return err
}

// device is how a person calls the phone.
func device(f factor) string {
	if name := auth.Clean(f.Profile.Name); name != "" {
		return name
	}
	return "the phone"
}

// spoken is a duration as a person says it.
func spoken(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
}
