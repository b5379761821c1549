package okta

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"html/template"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Message is a code as it reaches a person.
type Message struct {
	Login   string    `json:"login"`
	Channel string    `json:"channel"` // "sms", "call", "email"
	To      string    `json:"to"`      // as Okta shows it
	Code    string    `json:"code"`
	Sent    time.Time `json:"sent"`
}

// Inbox is where an account's codes arrive, by whatever way they come.
type Inbox struct {
	org      *Org
	login    string
	arrived  chan Message
	messages []Message // guarded by org.mu
}

// maxMessages is how many an Inbox keeps.
const maxMessages = 64

// phoneNumber is everybody's.
const phoneNumber = "+1 XXX-XXX-6688"

// masked is an address of e-mail as Okta shows it: a...e@example.com.
func masked(email string) string {
	name, host, _ := strings.Cut(email, "@")
	if name == "" {
		return "...@" + host
	}
	return name[:1] + "..." + name[len(name)-1:] + "@" + host
}

// Inbox returns the inbox of an account, nil if there is no such account.
func (o *Org) Inbox(login string) *Inbox {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a := o.users[strings.ToLower(login)]; a != nil {
		return a.inbox
	}
	return nil
}

// Wait returns the next message that arrives or has arrived since the last Wait.
// It fails with ctx's error. Of more than 64 unread messages the later are lost.
func (i *Inbox) Wait(ctx context.Context) (Message, error) {
	select {
	case m := <-i.arrived:
		return m, nil
	case <-ctx.Done():
		return Message{}, fmt.Errorf("waiting for a message to %s: %w", i.login, ctx.Err())
	}
}

// Messages returns the last messages, the newest last.
func (i *Inbox) Messages() []Message {
	i.org.mu.Lock()
	defer i.org.mu.Unlock()
	return slices.Clone(i.messages)
}

// Last returns the code that came last by a channel, "" if none has.
func (i *Inbox) Last(channel string) string {
	for _, m := range slices.Backward(i.Messages()) {
		if m.Channel == channel {
			return m.Code
		}
	}
	return ""
}

// deliver puts a message in. It runs under org.mu.
func (i *Inbox) deliver(m Message) {
	i.messages = append(i.messages, m)
	if n := len(i.messages); n > maxMessages {
		i.messages = slices.Delete(i.messages, 0, n-maxMessages)
	}
	select {
	case i.arrived <- m:
	default: // nobody has read the last 64
	}
}

// way is one way by which codes are sent.
type way struct {
	interval func(*Settings) time.Duration
	soon     string // Okta's code where the last message is too recent
	hourly   string // and where there were too many, "" if there is no such limit
	count    func(*Counts) *int
}

// messages are the factors that send a code [EC].
var messages = map[string]*way{
	"sms":   {func(s *Settings) time.Duration { return s.SMSInterval }, "E0000109", "E0000150", func(c *Counts) *int { return &c.SMS }},
	"call":  {func(s *Settings) time.Duration { return s.CallInterval }, "E0000133", "E0000151", func(c *Counts) *int { return &c.Calls }},
	"email": {func(s *Settings) time.Duration { return s.EmailInterval }, "E0000118", "", func(c *Counts) *int { return &c.Emails }},
}

// sendMessage sends a new code by one of messages, for either engine. It returns
// Okta's error code where a limit forbids it, else "". That a new code ends the
// one before is unproven.
func (o *Org) sendMessage(c *call, a *account, f *factor) string {
	w := messages[f.kind]
	f.sent = slices.DeleteFunc(f.sent, func(t time.Time) bool { return c.now.Sub(t) >= time.Hour })
	if n := len(f.sent); n > 0 && c.now.Sub(f.sent[n-1]) < w.interval(&o.settings) {
		return w.soon
	}
	if most := o.settings.MessagesPerHour; most > 0 && w.hourly != "" && len(f.sent) >= most {
		return w.hourly
	}
	n, _ := rand.Int(rand.Reader, big.NewInt(1_000_000)) // never fails (crypto/rand)
	f.code, f.sent = fmt.Sprintf("%06d", n), append(f.sent, c.now)
	o.secrets[f.code] = true
	*w.count(&o.counts)++
	to, _ := f.profile["phoneNumber"].(string)
	if f.kind == "email" {
		to, _ = f.profile["email"].(string)
	}
	a.inbox.deliver(Message{Login: a.Login, Channel: f.kind, To: to, Code: f.code, Sent: c.now})
	return ""
}

// checkMessage reports whether code is the one that was sent last. It is good once.
func (o *Org) checkMessage(c *call, f *factor, code string) bool {
	if f.code == "" || code != f.code || c.now.Sub(f.sent[len(f.sent)-1]) >= o.settings.CodeLife {
		return false
	}
	f.code = ""
	return true
}

//go:embed inbox.html
var inboxHTML string

// inboxTemplate is parsed once; it never changes.
var inboxTemplate = template.Must(template.New("inbox").Parse(inboxHTML))

// letter is one message on the page.
type letter struct {
	Message
	Name, Age string
}

// letters lists what has come to all inboxes, the newest first.
func (o *Org) letters(now time.Time, login string) []letter {
	list := []letter{}
	for _, a := range o.users {
		if login != "" && !strings.EqualFold(login, a.Login) {
			continue
		}
		for _, m := range a.inbox.messages {
			list = append(list, letter{m, a.FirstName + " " + a.LastName, now.Sub(m.Sent).Round(time.Second).String()})
		}
	}
	slices.SortStableFunc(list, func(a, b letter) int { return b.Sent.Compare(a.Sent) })
	return list
}

// inboxPage is the page on which a person reads codes. It needs no JavaScript.
func (o *Org) inboxPage(c *call) answer {
	var b bytes.Buffer
	err := inboxTemplate.Execute(&b, struct {
		Org     string
		Letters []letter
	}{o.base.Host, o.letters(c.now, "")})
	if err != nil {
		return answer{status: http.StatusInternalServerError, body: []byte("the page could not be made")}
	}
	return answer{status: http.StatusOK, header: http.Header{
		"Content-Type":            {"text/html; charset=utf-8"},
		"Cache-Control":           {"no-store"},
		"Content-Security-Policy": {"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"},
		"Referrer-Policy":         {"same-origin"},
	}, body: b.Bytes()}
}

// inboxList lists messages for a script, the newest first: all, or those of ?login=.
func (o *Org) inboxList(c *call) answer {
	list := []Message{}
	for _, l := range o.letters(c.now, c.r.URL.Query().Get("login")) {
		list = append(list, l.Message)
	}
	return reply(http.StatusOK, hal{"messages": list})
}
