package console

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"arcproxy/auth"
)

// view is what page.html shows, in the words and the order in which it does.
type view struct {
	Title    string
	Ready    bool
	At       *moment
	Said     string // about what was just done
	SaidBad  bool   // it was not done
	Call     string // what waits for a person, for those who hear the page
	Reload   int    // seconds until a page without a script looks again; 0: it does not
	Asking   []ask
	Cards    []card
	Chart    chart
	Failures []answered
	Callers  []asked
}

// self is whose form it is.
type self struct {
	Key   string // by which console.js finds the same thing again
	ID    string // as it can stand in an id
	Name  string
	Stamp string
}

// ask is a question that waits for a person.
type ask struct {
	self
	Challenge string
	What      string
	Number    string
	Code      bool
	Input     input
	Again     bool
	AgainText string
	Left      *moment
	Waiting   string
}

// input is how a field behaves.
type input struct{ Type, Mode, Complete string }

// card is an identity.
type card struct {
	self
	State, Tone     string
	Step            string // of the sign-in under way
	Facts           []fact
	Failure, Pause  *note
	SignIn, SignOut bool
	Again           string // signing in with a password; "": not now
}

type fact struct {
	Name, Text string
	At         *moment
	More       string
	Since      *moment
}

// note is what went wrong.
type note struct {
	Key, Tone, Title string
	At               *moment
	Text             string
	Remedy, Clears   []span
	Until            *moment
}

// span is a piece of a text. In the texts of remedies, what is to be typed stands
// between backquotes.
type span struct {
	Text string
	Code bool
}

func spans(text string) []span {
	var list []span
	for i, piece := range strings.Split(text, "`") {
		if piece != "" {
			list = append(list, span{piece, i%2 == 1})
		}
	}
	return list
}

// answered is one request, or several that failed in the same way.
type answered struct {
	At           *moment
	Whose        string
	Status, Tone string
	Method, Path string
	Took         string
	Reason       string
	Times        int // 0: once
}

// asked is a caller with its requests.
type asked struct {
	Key, Name, Count string
	Failed           int
	Last             *moment
	Requests         []answered
}

// How much of the journal is shown.
const (
	shownFailures = 20
	shownCallers  = 50
	shownRequests = 15 // of a caller
)

// newView puts s into words. stamp is for its forms.
func newView(s Snapshot, stamp string) *view {
	v := &view{
		Ready:    s.Ready,
		At:       at(s.Time, formClock, s.Time),
		Chart:    newChart(s.Minutes),
		Failures: failures(s.Failures, s.Time),
		Callers:  callers(s.Requests, s.Time),
	}
	var calls []string
	for _, id := range s.Identities {
		me := self{Key: "identity " + id.Name, ID: url.QueryEscape(id.Name), Name: id.Name, Stamp: stamp}
		v.Cards = append(v.Cards, newCard(id, me, s.Time))
		if id.Challenge != nil {
			a := newAsk(id, me, s.Time)
			v.Asking = append(v.Asking, a)
			calls = append(calls, a.call())
		}
	}
	v.Call = strings.Join(calls, " ")
	v.Title = v.title()
	v.Reload = reload(s)
	return v
}

// title is short, since a tab shows little of it.
func (v *view) title() string {
	switch {
	case len(v.Asking) > 1:
		return fmt.Sprintf("(%d) waiting for you · arcproxy", len(v.Asking))
	case len(v.Asking) == 1 && v.Asking[0].Number != "":
		return v.Asking[0].Number + " for " + v.Asking[0].Name + " · arcproxy"
	case len(v.Asking) == 1:
		return v.Asking[0].Name + " waits for you · arcproxy"
	case !v.Ready:
		return "not ready · arcproxy"
	}
	return "arcproxy"
}

// reload returns after how many seconds a page without a script looks again: soon
// while a sign-in goes on, but not while a code is typed, which it would wipe out.
func reload(s Snapshot) int {
	const soon = 4
	when := 0
	for _, id := range s.Identities {
		c := id.Challenge
		if c != nil && c.Code {
			if c.Deadline.IsZero() {
				return 0
			}
			return max(soon, int(c.Deadline.Sub(s.Time)/time.Second)+1)
		}
		if c != nil || id.State == SigningIn || id.State == Asking {
			when = soon
		}
	}
	return when
}

// newAsk puts an identity's challenge into words.
func newAsk(id Identity, me self, now time.Time) ask {
	c := id.Challenge
	a := ask{
		self:      me,
		Challenge: c.ID,
		Number:    c.Number,
		Code:      c.Code,
		Again:     c.Again && c.Code,
		AgainText: "The last answer was refused.",
		Left:      at(c.Deadline, formLeft, now),
		Input:     input{Type: "text", Mode: "text", Complete: "one-time-code"},
	}
	if id.Waiting > 0 {
		a.Waiting = count(id.Waiting, "caller") + " waiting"
	}
	on := func(text, device string) string {
		if device == "" {
			return text
		}
		return text + " " + device
	}
	switch kind := auth.Factor(c.Kind); {
	case c.Number != "":
		a.What = "Choose this number " + on("on the phone", bracket(c.Device)) + ":"
	case kind == auth.FactorPush:
		a.What = "Approve the request " + on("on the phone", bracket(c.Device))
	case kind == auth.FactorSMS:
		a.What = on("Code from the text message", toward(c.Device))
		a.Input.Mode = "numeric"
	case kind == auth.FactorCall:
		a.What = on("Code from the voice call", toward(c.Device))
		a.Input.Mode = "numeric"
	case kind == auth.FactorEmail:
		a.What = on("Code from the e-mail", toward(c.Device))
		a.Input.Mode = "numeric"
	case kind == auth.FactorQuestion && c.Question != "":
		a.What = c.Question
		a.Input = input{Type: "password", Mode: "text", Complete: "off"}
	case kind == auth.FactorTOTP:
		a.What = on("Code from the authenticator", bracket(c.Device))
		a.Input.Mode = "numeric"
	case c.Code:
		a.What = on("Code", bracket(c.Device))
	default:
		a.What = on("Answer on the device", bracket(c.Device))
	}
	return a
}

// bracket and toward say where to look.
func bracket(device string) string {
	if device == "" {
		return ""
	}
	return "(" + device + ")"
}

func toward(device string) string {
	if device == "" {
		return ""
	}
	return "to " + device
}

// call says the whole question in a line.
func (a ask) call() string {
	if a.Number != "" {
		return a.Name + ": " + strings.TrimSuffix(a.What, ":") + ": " + a.Number + "."
	}
	return a.Name + ": " + a.What + "."
}

// newCard puts how an identity stands into words.
func newCard(id Identity, me self, now time.Time) card {
	c := card{self: me, Step: capital(id.Event), Failure: newNote("failure", id.Failure, now), Pause: newNote("pause", id.PushPause, now)}
	under := id.State == SigningIn || id.State == Asking || id.Challenge != nil
	c.State, c.Tone = words(id.State)
	if id.State == SignedIn && c.Failure != nil {
		c.Failure.Tone = "warn" // the token works; the next is not to be had
	}
	if id.Challenge != nil {
		c.Step = "Asked above" // where it says for how long
	}
	if c.Step != "" && id.Waiting > 0 {
		c.Step += " · " + count(id.Waiting, "caller") + " waiting"
	}
	switch {
	case id.State == SignedIn:
		c.Facts = facts(id, now)
		c.SignOut, c.Again = true, "Sign in again"
	case !under:
		c.SignIn, c.Again = true, "Sign in with a password"
		if c.Failure == nil {
			c.Step = "The next request signs in."
		}
	}
	if c.Pause != nil {
		c.Pause.Title, c.Pause.Text, c.Pause.Tone = "No push is sent: "+id.PushPause.Kind, "", "warn"
		if id.Failure != nil && id.Failure.Kind == id.PushPause.Kind {
			c.Pause = nil // the failure says it
		}
	}
	return c
}

func words(s State) (text, tone string) {
	switch s {
	case SignedIn:
		return "Signed in", "good"
	case SigningIn:
		return "Signing in", "busy"
	case Asking:
		return "Waiting for you", "busy"
	case Failed:
		return "Failed", "bad"
	}
	return "Signed out", "idle"
}

// facts tell of the token.
func facts(id Identity, now time.Time) []fact {
	var list []fact
	if id.Username != "" {
		list = append(list, fact{Name: "In ArcGIS", Text: id.Username})
	}
	if !id.Until.IsZero() {
		f := fact{Name: "Token", Text: "until ", At: at(id.Until, formAt, now)}
		if !now.Before(id.Until) {
			f.Text = "ended at "
		}
		if by := origin(id.By); by != "" && !id.Obtained.IsZero() {
			f.More, f.Since = by, at(id.Obtained, formAgo, now)
		}
		list = append(list, f)
	}
	switch {
	case id.Renewable && id.RenewableUntil.IsZero():
		list = append(list, fact{Name: "Renewal", Text: "by itself, as long as the Portal allows it"})
	case id.Renewable:
		list = append(list, fact{Name: "Renewal", Text: "by itself until ", At: at(id.RenewableUntil, formAt, now)})
	default:
		list = append(list, fact{Name: "Renewal", Text: "by another sign-in"})
	}
	if !id.Stored {
		list = append(list, fact{Name: "Restart", Text: "ends it: it is not stored"})
	}
	return list
}

// origin says how a token was obtained.
func origin(by string) string {
	switch by {
	case "sign-in":
		return "signed in"
	case "login":
		return "signed in by hand"
	case "renewal":
		return "renewed"
	case "exchange":
		return "renewed, with another refresh token,"
	case "restored":
		return "obtained before the restart,"
	}
	return ""
}

// newNote puts a failure into words.
func newNote(key string, f *Failure, now time.Time) *note {
	if f == nil {
		return nil
	}
	n := &note{
		Key:    key,
		Tone:   "bad",
		Title:  capital(f.Kind),
		At:     at(f.Time, formAgo, now),
		Text:   f.Text,
		Remedy: spans(capital(f.Remedy)),
	}
	if n.Title == "" {
		n.Title = "It failed"
	}
	clears := f.Clears
	if f.Until.After(now) {
		n.Until = at(f.Until, formAt, now)
		clears = strings.TrimSuffix(clears, ": until "+f.Until.Format(time.RFC3339))
		if clears == "time" {
			clears = "" // that is said by Until
		}
	}
	n.Clears = spans(clears)
	return n
}

// newAnswered puts a request into words.
func newAnswered(r Request, now time.Time) answered {
	a := answered{
		At:     at(r.Time, formAgo, now),
		Whose:  r.Caller,
		Status: fmt.Sprint(r.Status),
		Method: r.Method,
		Path:   r.Path,
		Took:   took(r.Took),
		Reason: r.Reason,
	}
	if a.Whose == "" {
		a.Whose = "unknown"
	}
	switch {
	case r.Status == 0:
		a.Status, a.Tone = "left", "soft"
	case r.Status >= 500:
		a.Tone = "bad"
	case r.Status >= 400:
		a.Tone = "warn"
	}
	return a
}

// failures lists requests that failed, the newest first; those that differ in time
// and path only are one.
func failures(all []Request, now time.Time) []answered {
	type alike struct {
		caller, identity, reason string
		status                   int
	}
	var list []answered
	places := map[alike]int{}
	for _, r := range all {
		what := alike{r.Caller, r.Identity, r.Reason, r.Status}
		if i, known := places[what]; known {
			list[i].Times = max(list[i].Times, 1) + 1
			continue
		}
		if len(list) == shownFailures {
			continue
		}
		places[what] = len(list)
		list = append(list, newAnswered(r, now))
	}
	return list
}

// callers lists who sent requests, whoever did so last first, with the newest.
func callers(all []Request, now time.Time) []asked {
	type who struct{ caller, identity string }
	var list []asked
	places, counts := map[who]int{}, map[who]int{}
	for _, r := range all {
		w := who{r.Caller, r.Identity}
		i, known := places[w]
		if !known {
			if len(list) == shownCallers {
				continue
			}
			i = len(list)
			places[w] = i
			name := r.Caller
			if name == "" {
				name = "unknown"
			}
			if r.Identity != "" {
				name += " as " + r.Identity
			}
			list = append(list, asked{Key: fmt.Sprintf("caller %q %q", r.Caller, r.Identity), Name: name, Last: at(r.Time, formAgo, now)})
		}
		counts[w]++
		list[i].Count = count(counts[w], "request")
		if r.Status >= 500 || r.Reason != "" {
			list[i].Failed++
		}
		if len(list[i].Requests) < shownRequests {
			list[i].Requests = append(list[i].Requests, newAnswered(r, now))
		}
	}
	return list
}
