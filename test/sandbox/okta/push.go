package okta

import (
	"crypto/rand"
	"math/big"
	"slices"
	"time"
)

// push is one push on its way.
type push struct {
	id      string
	account *account
	sent    time.Time
	number  *int  // of the number challenge, nil without one
	choices []int // what the phone shows: the number among two others
	polls   int
	shown   bool   // the client has been given the number
	result  string // what the person did: "", APPROVED, REJECTED, ERROR
}

// verifyPush sends a push or polls the one that waits. After REJECTED, TIMEOUT
// or ERROR the transaction is still in MFA_CHALLENGE, but the same POST sends
// another push [A]: that is the mistake this double counts.
func (o *Org) verifyPush(c *call, t *transaction, f *factor) answer {
	if t.status == mfaRequired || t.result != "WAITING" {
		t.status, t.factor = mfaChallenge, f
		o.sendPush(c, t)
		return o.show(c, t)
	}
	switch result := o.pushResult(c, t.push); result {
	case "":
	case "APPROVED":
		return o.pass(c, t)
	default:
		t.withdraw()
		t.result = result
		if result == "REJECTED" {
			t.account.fail(o) // if that locks the account, the next call says so
		}
	}
	return o.show(c, t)
}

// pushResult polls a push: "" while it waits, else APPROVED, REJECTED, TIMEOUT,
// ERROR or CANCELLED.
func (o *Org) pushResult(c *call, p *push) string {
	seen := p.shown // by an earlier answer: a number cannot be picked before it was shown
	p.polls++
	o.reveal(c, p)
	result := p.result
	if result == "" {
		result = p.account.phone.habit(p, c.now)
	}
	if p.number != nil && !seen && result == "APPROVED" {
		result = ""
	}
	if result == "" && c.now.Sub(p.sent) >= o.settings.PushTimeout {
		return "TIMEOUT"
	}
	return result
}

// sendPush sends a push for a transaction in MFA_CHALLENGE.
func (o *Org) sendPush(c *call, t *transaction) {
	t.withdraw()
	t.push, t.result = o.startPush(c, t.account), "WAITING"
}

// startPush sends a push to an account's phone.
func (o *Org) startPush(c *call, a *account) *push {
	o.counts.Pushes++
	p := &push{id: "ft" + rand.Text()[:18], account: a, sent: c.now}
	if o.settings.NumberChallenge {
		p.number = o.settings.Number
		if p.number == nil {
			p.number = new(random(100))
		}
		p.choices = []int{*p.number}
		for len(p.choices) < 3 {
			if n := random(100); !slices.Contains(p.choices, n) {
				p.choices = append(p.choices, n)
			}
		}
		slices.Sort(p.choices)
	}
	o.reveal(c, p)
	a.phone.ring(p)
	return p
}

// reveal shows the number to the client once the phone has had the time to.
func (o *Org) reveal(c *call, p *push) {
	if c.now.Sub(p.sent) >= o.settings.NumberAfter && p.polls >= o.settings.NumberAfterPolls {
		p.shown = true
	}
}

// withdraw takes a transaction's push off the phone.
func (t *transaction) withdraw() {
	if t.push != nil {
		t.account.phone.drop(t.push)
		t.push = nil
	}
}

// random returns a number from 0 to n-1.
func random(n int64) int {
	v, _ := rand.Int(rand.Reader, big.NewInt(n)) // never fails (crypto/rand)
	return int(v.Int64())
}
