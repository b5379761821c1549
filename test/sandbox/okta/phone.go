package okta

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Push is what a phone shows of a push.
type Push struct {
	ID      string    `json:"id"`
	Login   string    `json:"login"`
	Sent    time.Time `json:"sent"`
	Number  *int      `json:"-"`                 // the right number, nil without number challenge
	Choices []int     `json:"choices,omitempty"` // the numbers on the phone, the right one among them
}

// Phone is an account's simulated phone. Its habits hold for the push that is
// waiting and for every later one, until another is set; Answer and the page
// at /sandbox/phone settle one push. A new phone ignores everything.
type Phone struct {
	org     *Org
	login   string
	arrived chan Push
	// The rest is guarded by org.mu.
	result  string        // the habit: "" ignores
	after   time.Duration // since the push was sent
	pending []*push
}

// Phone returns the phone of an account, nil if there is no such account.
func (o *Org) Phone(login string) *Phone {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a := o.users[strings.ToLower(login)]; a != nil {
		return a.phone
	}
	return nil
}

// Approve approves; with number challenge it picks the right number, once the
// client has been shown it.
func (p *Phone) Approve() { p.set("APPROVED", 0) }

// ApproveAfter approves a push when it is d old.
func (p *Phone) ApproveAfter(d time.Duration) { p.set("APPROVED", d) }

// Reject denies, as someone does who did not expect a push.
func (p *Phone) Reject() { p.set("REJECTED", 0) }

// RejectAfter denies a push when it is d old.
func (p *Phone) RejectAfter(d time.Duration) { p.set("REJECTED", d) }

// Fail lets pushes end in factorResult ERROR.
func (p *Phone) Fail() { p.set("ERROR", 0) }

// Cancel lets pushes end in factorResult CANCELLED.
func (p *Phone) Cancel() { p.set("CANCELLED", 0) }

// Ignore leaves pushes to a person, or to time out.
func (p *Phone) Ignore() { p.set("", 0) }

func (p *Phone) set(result string, after time.Duration) {
	p.org.mu.Lock()
	defer p.org.mu.Unlock()
	p.result, p.after = result, after
}

// Wait returns the next push that arrives or has arrived since the last Wait.
// It fails with ctx's error. Of more than 64 unread pushes the later are lost.
func (p *Phone) Wait(ctx context.Context) (Push, error) {
	select {
	case q := <-p.arrived:
		return q, nil
	case <-ctx.Done():
		return Push{}, fmt.Errorf("waiting for a push to %s: %w", p.login, ctx.Err())
	}
}

// Pending returns the pushes that wait for an answer.
func (p *Phone) Pending() []Push {
	p.org.mu.Lock()
	defer p.org.mu.Unlock()
	return p.waiting(time.Now().Add(p.org.settings.ClockSkew))
}

// Answer settles one push: approve says which button, number which number was
// picked (nil picks the right one). A wrong number rejects. It fails if no such
// push waits.
func (p *Phone) Answer(id string, approve bool, number *int) error {
	p.org.mu.Lock()
	defer p.org.mu.Unlock()
	return p.settle(id, approve, number, time.Now().Add(p.org.settings.ClockSkew))
}

// The methods below run under org.mu.

// ring shows a push.
func (p *Phone) ring(q *push) {
	p.pending = append(p.pending, q)
	select {
	case p.arrived <- q.show():
	default: // nobody has read the last 64
	}
}

// drop takes a push away.
func (p *Phone) drop(q *push) {
	p.pending = slices.DeleteFunc(p.pending, func(x *push) bool { return x == q })
}

// habit returns what the phone's habit makes of a push by now, "" if nothing yet.
func (p *Phone) habit(q *push, now time.Time) string {
	if now.Sub(q.sent) < p.after {
		return ""
	}
	return p.result
}

func (p *Phone) waiting(now time.Time) []Push {
	var list []Push
	for _, q := range p.pending {
		if q.result == "" && now.Sub(q.sent) < p.org.settings.PushTimeout {
			list = append(list, q.show())
		}
	}
	return list
}

func (p *Phone) settle(id string, approve bool, number *int, now time.Time) error {
	for _, q := range p.pending {
		if q.id != id || q.result != "" || now.Sub(q.sent) >= p.org.settings.PushTimeout {
			continue
		}
		q.result = "REJECTED"
		if approve && (number == nil || q.number == nil || *number == *q.number) {
			q.result = "APPROVED"
		}
		return nil
	}
	return errors.New("no such push is waiting")
}

func (q *push) show() Push {
	return Push{ID: q.id, Login: q.account.Login, Sent: q.sent, Number: q.number, Choices: slices.Clone(q.choices)}
}

//go:embed phone.html
var phoneHTML string

// phoneTemplate is parsed once; it never changes.
var phoneTemplate = template.Must(template.New("phone").Parse(phoneHTML))

// phoneCard is one push on the page.
type phoneCard struct {
	Push
	Name string
	Age  string
}

// pushes lists what waits on all phones, the newest first.
func (o *Org) pushes(now time.Time) []phoneCard {
	list := []phoneCard{}
	for _, a := range o.users {
		for _, q := range a.phone.waiting(now) {
			list = append(list, phoneCard{Push: q, Name: a.FirstName + " " + a.LastName, Age: now.Sub(q.Sent).Round(time.Second).String()})
		}
	}
	slices.SortFunc(list, func(a, b phoneCard) int {
		if c := b.Sent.Compare(a.Sent); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

// phonePage is the page on which a person approves. It needs no JavaScript.
func (o *Org) phonePage(c *call) answer {
	var b bytes.Buffer
	err := phoneTemplate.Execute(&b, struct {
		Org    string
		Pushes []phoneCard
		Said   string
	}{o.base.Host, o.pushes(c.now), map[string]string{
		"approved": "Approved. You can close this page.",
		"denied":   "Denied.",
		"gone":     "That push is no longer waiting.",
	}[c.r.URL.Query().Get("said")]})
	if err != nil {
		return answer{status: http.StatusInternalServerError, body: []byte("the page could not be made")}
	}
	return answer{status: http.StatusOK, header: http.Header{
		"Content-Type":            {"text/html; charset=utf-8"},
		"Cache-Control":           {"no-store"},
		"Content-Security-Policy": {"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"},
		"Referrer-Policy":         {"same-origin"},
	}, body: b.Bytes()}
}

// phoneList lists the waiting pushes for a script.
func (o *Org) phoneList(c *call) answer {
	list := []Push{}
	for _, p := range o.pushes(c.now) {
		list = append(list, p.Push)
	}
	return reply(http.StatusOK, hal{"pushes": list})
}

// phoneApprove and phoneDeny take a form or JSON: id or login names the push
// (neither is needed where only one waits), number the number that was picked
// (without it the right one is).
func (o *Org) phoneApprove(c *call) answer { return o.decide(c, true) }
func (o *Org) phoneDeny(c *call) answer    { return o.decide(c, false) }

func (o *Org) decide(c *call, approve bool) answer {
	var in struct {
		ID     string `json:"id"`
		Login  string `json:"login"`
		Number *int   `json:"number"`
	}
	form := formEncoded(c.r)
	if form {
		in.ID, in.Login = c.r.PostForm.Get("id"), c.r.PostForm.Get("login")
		if n := c.r.PostForm.Get("number"); n != "" {
			in.Number = new(int)
			if _, err := fmt.Sscanf(n, "%d", in.Number); err != nil {
				return reply(http.StatusBadRequest, hal{"error": "number is no number"})
			}
		}
	} else if len(c.body) > 0 {
		if err := json.Unmarshal(c.body, &in); err != nil {
			return reply(http.StatusBadRequest, hal{"error": "the body is neither a form nor JSON"})
		}
	}
	var found []phoneCard
	for _, p := range o.pushes(c.now) {
		if (in.ID == "" || p.ID == in.ID) && (in.Login == "" || strings.EqualFold(p.Login, in.Login)) {
			found = append(found, p)
		}
	}
	said, status := "gone", http.StatusNotFound
	if len(found) > 1 {
		return reply(http.StatusConflict, hal{"error": "more than one push is waiting: name one by id or login"})
	}
	if len(found) == 1 && o.users[strings.ToLower(found[0].Login)].phone.settle(found[0].ID, approve, in.Number, c.now) == nil {
		said, status = "denied", http.StatusOK
		if approve {
			said = "approved"
		}
	}
	if form && strings.Contains(c.r.Header.Get("Accept"), "text/html") {
		return answer{status: http.StatusSeeOther, header: http.Header{"Location": {"/sandbox/phone?said=" + said}}}
	}
	return reply(status, hal{"result": said})
}
