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
// Okta's own auth-js has them; a poll that is answered begins them anew.
var pollBackoff = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}

// sendPush sends one push and waits for a person to answer it. The request that
// sends it is made once in a transaction, whatever becomes of it, and only if
// somebody waits.
func (w *walk) sendPush(ctx context.Context, state *answer, phone factor) (*answer, error) {
	l, err := verifyLink(stepPush, phone)
	if err != nil {
		return nil, err
	}
	remember := state.Embedded.Policy.AllowRememberDevice
	to, err := w.verifyURL(stepPush, l, remember)
	if err != nil {
		return nil, err
	}
	if err := w.browser.Ready(ctx, stepPush, to); err != nil { // it may wait: the callers are asked afterwards
		return nil, err
	}
	if err := w.bother(stepPush); err != nil {
		return nil, err
	}
	p := push{walk: w, device: device(phone), remember: remember, end: time.Now().Add(pushLife + pollEvery)}
	asked, err := w.call(ctx, stepPush, to, body{StateToken: state.StateToken})
	if err != nil {
		return nil, unsure(p.late(ctx, err), auth.Unreachable, auth.UnexpectedPage)
	}
	p.deadline = asked.deadline(ctx, pushLife)
	done, err := p.wait(ctx, asked)
	if err != nil {
		return nil, unsure(err, auth.Unreachable, auth.UnexpectedPage, auth.RateLimited, auth.SessionLost)
	}
	return done, nil
}

// deadline is when what was just sent runs out, by our clock; after life at the latest.
func (a *answer) deadline(ctx context.Context, life time.Duration) time.Time {
	deadline := time.Now().Add(life)
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
	deadline time.Time // as people are told
	end      time.Time // when it is given up, whatever Okta says
	failed   int       // polls in a row without an answer
	told     bool      // its first event was told
	number   number    // the last that was told
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
		if time.Now().After(p.end) {
			return nil, p.ended("TIMEOUT")
		}
		p.tell(state.number())
		if err := auth.Pause(ctx, stepPush, pollEvery); err != nil {
			return nil, p.late(ctx, err)
		}
		var err error
		if state, err = p.poll(ctx, next, state.StateToken); err != nil {
			return nil, p.late(ctx, err)
		}
	}
}

// poll asks once how the push stands. A poll that was not answered is not made
// again blindly: had the lost answer ended the push, it would send another. What
// is asked instead is the transaction's state, which changes nothing, as often as
// need be ("Get transaction state" in Okta's Authentication API; that it tells how
// a push ended is unproven against a live organization). The polls go on only when
// that says that the push still waits.
func (p *push) poll(ctx context.Context, next link, stateToken string) (*answer, error) {
	to, err := p.walk.verifyURL(stepPush, next, p.remember)
	if err != nil {
		return nil, err
	}
	state, err := p.walk.call(ctx, stepPush, to, body{StateToken: stateToken})
	if err == nil {
		p.failed = 0
		return state, nil
	}
	for p.failed < len(pollBackoff) {
		if kind := auth.KindOf(err); kind != auth.RateLimited && kind != auth.Unreachable {
			break
		}
		pause := pollBackoff[p.failed]
		p.failed++
		if err := auth.Pause(ctx, stepPush, pause); err != nil {
			return nil, err
		}
		state, err = p.walk.call(ctx, stepPush, p.walk.client.at("/api/v1/authn"), body{StateToken: stateToken})
		if err == nil {
			return state, nil
		}
	}
	return nil, err
}

// number is that of the challenge which is open, "" where there is none.
func (a *answer) number() number {
	if len(a.Embedded.Factor) == 0 {
		return ""
	}
	return a.Embedded.Factor[0].Embedded.Challenge.CorrectAnswer
}

// tell says that the push was sent, and again when its number appears: Okta knows
// that only once the phone shows the question.
func (p *push) tell(shown number) {
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
	again := p.told
	p.told, p.number = true, shown
	p.walk.watch.Say(auth.Event{
		Text:      text,
		Challenge: &auth.Challenge{Kind: auth.FactorPush, Number: string(shown), Device: p.device, Deadline: p.deadline, Again: again},
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
