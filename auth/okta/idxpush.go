package okta

import (
	"context"
	"encoding/json"
	"time"

	"arcproxy/auth"
)

// The bounds of the pause between two polls, which the form suggests.
const (
	pollLeast = 2 * time.Second
	pollMost  = 20 * time.Second
)

// push sends a push, unless Okta has done so by itself, and waits for a person to
// answer it. The form that sends one again is never used.
func (f *flow) push(ctx context.Context, c *choice) error {
	p := push{walk: f.walk, device: c.device, end: time.Now().Add(pushLife + pollEvery)}
	if p.device == "" {
		p.device = "the phone"
	}
	if err := f.reach(ctx, stepPush, c); err != nil {
		return p.late(ctx, err)
	}
	if f.doc.form("challenge-poll") == nil {
		return nil // another form asks for the method first, or it was not needed
	}
	p.deadline = f.deadline(ctx, pushLife)
	if err := f.waitFor(ctx, &p); err != nil {
		return unsure(err, auth.Unreachable, auth.UnexpectedPage, auth.RateLimited, auth.SessionLost)
	}
	return nil
}

// waitFor polls until the push is answered: until the document has other forms.
func (f *flow) waitFor(ctx context.Context, p *push) error {
	for {
		form := f.doc.form("challenge-poll")
		switch {
		case form == nil && f.doc.form("resend") != nil:
			return p.ended("ERROR")
		case form == nil:
			f.proven[f.proving] = true
			p.walk.say("push approved")
			return nil
		case time.Now().After(p.end):
			return p.ended("TIMEOUT")
		}
		p.tell(f.doc.number())
		pause := pollEvery
		if form.refresh > 0 {
			pause = min(max(form.refresh, pollLeast), pollMost)
		}
		if err := auth.Pause(ctx, stepPush, pause); err != nil {
			return p.late(ctx, err)
		}
		if err := f.poll(ctx, p, form); err != nil {
			if auth.KindOf(err) == auth.ChallengeExpired {
				return p.ended("TIMEOUT")
			}
			return p.late(ctx, err)
		}
	}
}

// poll asks once how the push stands. After one that was not answered, the flow is
// looked at instead: the lost answer may have changed its stateHandle. (That the
// page's token shows a flow that has gone on is unproven against a live organization.)
func (f *flow) poll(ctx context.Context, p *push, form *idxForm) error {
	err := f.post(ctx, stepPush, form, map[string]any{"autoChallenge": false})
	if err == nil {
		p.failed = 0
		return nil
	}
	for p.failed < len(pollBackoff) {
		if kind := auth.KindOf(err); kind != auth.RateLimited && kind != auth.Unreachable {
			break
		}
		pause := pollBackoff[p.failed]
		p.failed++
		if err := auth.Pause(ctx, stepPush, pause); err != nil {
			return err
		}
		if err = f.introspect(ctx, stepPush); err == nil {
			return nil
		}
	}
	return err
}

// number is what the phone must be shown, "" where nothing is asked. It is text
// here, and may be "0"; one that were a number would be understood.
func (d *idxDoc) number() number {
	if d.current == nil {
		return ""
	}
	shown := text(d.current.context, "correctAnswer")
	if n, ok := d.current.context["correctAnswer"].(json.Number); ok {
		shown = n.String()
	}
	return number(shownNumber.FindString(shown))
}
