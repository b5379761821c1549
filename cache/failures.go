package cache

import (
	"math/rand/v2"
	"slices"
	"time"

	"arcproxy/auth"
)

// clearing says what ends a remembered failure.
type clearing int

const (
	// nothing: it is not remembered.
	nothing clearing = iota
	// change: only another credential ends it, however long that takes. Where the
	// failure names no credential, none was refused; then it is as timeOrChange.
	change
	// timeOrChange: its time passes, or the credential changes before that.
	timeOrChange
	// pushTime: its time passes. Until then sign-ins that would push are paused;
	// those that need no push go on.
	pushTime
	// reset: the time passes that the other side has named.
	reset
	// backOff: its time passes, which doubles with each failure in a row.
	backOff
)

// rule is how a kind of failure is remembered.
type rule struct {
	clears clearing
	pause  time.Duration // how long; of backOff: the first time; of reset: where none was named
	most   time.Duration // of backOff and reset: the longest
	keep   bool          // also in the Ledger, if the failure names a credential
}

const (
	accountPause = 15 * time.Minute // for what a person has to change at Okta or the Portal
	pushSpacing  = 30 * time.Second // between attempts while pushes are paused
	askSpacing   = time.Second      // between questions whether a credential has changed
	limitMost    = time.Hour        // what a rate limit's reset may ask for
)

// rules has every kind of failure that a Source can return.
//
// A kept failure is one where a credential was sent and counted against the
// account. The other states of an account harm nobody when they are met again
// after a restart, and a restart is what a person does who has just mended one.
var rules = map[auth.Kind]rule{
	// The credential or the account; a person has to change something.
	auth.CredentialRefused: {clears: change, pause: accountPause, keep: true},
	auth.PasscodeRefused:   {clears: change, pause: accountPause, keep: true},
	auth.PasscodeMistimed:  {clears: timeOrChange, pause: accountPause, keep: true},
	auth.AccountLocked:     {clears: timeOrChange, pause: accountPause, keep: true},
	auth.Unanswered:        {clears: timeOrChange, pause: accountPause, keep: true},
	auth.PasswordExpired:   {clears: timeOrChange, pause: accountPause},
	auth.PasswordReset:     {clears: timeOrChange, pause: accountPause},
	auth.EnrollmentNeeded:  {clears: timeOrChange, pause: accountPause},
	auth.ProfileIncomplete: {clears: timeOrChange, pause: accountPause},
	auth.ConsentNeeded:     {clears: timeOrChange, pause: accountPause},
	auth.NotAssigned:       {clears: timeOrChange, pause: accountPause},
	auth.PolicyDenied:      {clears: timeOrChange, pause: accountPause},
	auth.CaptchaAsked:      {clears: timeOrChange, pause: accountPause},
	auth.NotMember:         {clears: timeOrChange, pause: accountPause},
	auth.FactorUnavailable: {clears: timeOrChange, pause: accountPause},
	// Nothing was sent, so nothing is refused, and a source can come back: a
	// keyring is unlocked. But it may run a command, which is spared.
	auth.MissingCredential: {clears: backOff, pause: 10 * time.Second, most: 2 * time.Minute},

	// Pushes.
	auth.PushRejected:     {clears: pushTime, pause: 10 * time.Minute},
	auth.PushTimedOut:     {clears: pushTime, pause: 2 * time.Minute},
	auth.ChallengeExpired: {clears: pushTime, pause: 2 * time.Minute},
	auth.FactorFailed:     {clears: pushTime, pause: 2 * time.Minute},
	// The caller left before anything was sent to a phone: the next may have it.
	auth.NobodyWaiting: {clears: nothing},
	auth.Waiting:       {clears: nothing},

	// Limits and the network; time heals them.
	auth.RateLimited:    {clears: reset, pause: time.Minute, most: limitMost},
	auth.Unreachable:    {clears: backOff, pause: time.Second, most: 2 * time.Minute},
	auth.Deadline:       {clears: backOff, pause: time.Second, most: 2 * time.Minute},
	auth.SessionLost:    {clears: backOff, pause: time.Second, most: 2 * time.Minute},
	auth.UnexpectedPage: {clears: backOff, pause: time.Second, most: 2 * time.Minute},
	auth.GrantRefused:   {clears: backOff, pause: time.Second, most: 2 * time.Minute},

	// Misconfiguration: somebody has to edit something first.
	auth.AssertionRefused: {clears: backOff, pause: 30 * time.Second, most: 10 * time.Minute},
	auth.BadClient:        {clears: backOff, pause: 30 * time.Second, most: 10 * time.Minute},
	auth.BadLogin:         {clears: backOff, pause: 30 * time.Second, most: 10 * time.Minute},
	auth.ForeignOrigin:    {clears: backOff, pause: 30 * time.Second, most: 10 * time.Minute},
	auth.NotSupported:     {clears: backOff, pause: 30 * time.Second, most: 10 * time.Minute},
	auth.StateUnreadable:  {clears: backOff, pause: time.Second, most: 2 * time.Minute},
	// Known without asking anybody.
	auth.UnknownIdentity: {clears: nothing},
	// Made by this package's floor, which remembers it itself.
	auth.TokenRefused: {clears: nothing},
}

// ruleOf returns the rule of a kind. One that is not in the table is treated as
// a page that nobody knows.
func ruleOf(kind auth.Kind) rule {
	r, ok := rules[kind]
	if !ok {
		return rules[auth.UnexpectedPage]
	}
	return r
}

// hold is a failure that keeps an identity from being signed in.
type hold struct {
	err   auth.Error // what callers are told
	since time.Time
	// next is when a flight may look at it again: until then callers are answered
	// from memory.
	next time.Time
	// until is when it ends by itself; zero: it does not.
	until time.Time
}

// over reports whether the hold has ended by itself.
func (h *hold) over(now time.Time) bool { return !h.until.IsZero() && !now.Before(h.until) }

// refusal returns what the Ledger keeps of h.
func (h *hold) refusal() Refusal {
	return Refusal{Credential: h.err.Credential, Kind: h.err.Kind, Step: h.err.Step, Code: h.err.Code, Time: h.since}
}

// told returns what a caller is told: a copy, since callers own their errors.
func (h *hold) told() *auth.Error {
	e := h.err
	return &e
}

// memory is what is remembered of an identity's failed sign-ins.
type memory struct {
	hold     *hold       // nil: nothing keeps it from being signed in
	others   []*hold     // of more credentials that were refused; the next ones when hold is over
	push     *auth.Error // why pushes are paused, until its Until; nil: they are not
	streak   int         // failures in a row that back off
	recorded bool        // the Ledger has an entry
}

// pushPause returns why pushes are paused at now, nil if they are not.
func (m *memory) pushPause(now time.Time) *auth.Error {
	if m.push == nil || !now.Before(m.push.Until) {
		return nil
	}
	e := *m.push
	return &e
}

// fail remembers e, which ended a sign-in at now, and returns what callers are
// told, with the time when trying again makes sense, where that can be told.
// paused says that the sign-in was not allowed to push.
func (m *memory) fail(e auth.Error, now time.Time, paused bool) *auth.Error {
	r := ruleOf(e.Kind)
	if r.clears == change && e.Credential == "" {
		r.clears = timeOrChange
	}
	h := &hold{err: e, since: now}
	switch r.clears {
	case nothing:
		return h.told()
	case change:
		h.next = now.Add(askSpacing)
		h.err.Until = time.Time{} // no time ends it
	case timeOrChange:
		h.until = now.Add(r.pause)
		h.next = h.until
		if e.Credential != "" {
			h.next = now.Add(askSpacing)
		}
		h.err.Until = h.until
	case pushTime:
		// While pushes are paused none was sent, and the pause does not grow.
		if !paused || m.push == nil {
			e.Until = now.Add(r.pause)
			m.push = &e
		}
		h.err = *m.push
		h.until = now.Add(pushSpacing)
		if m.push.Until.After(now) && m.push.Until.Before(h.until) {
			h.until = m.push.Until
		}
		h.next = h.until
		if h.err.Until.Before(h.until) { // the pause ended meanwhile
			h.err.Until = h.until
		}
	case reset:
		pause := r.pause
		if !e.Until.IsZero() {
			pause = min(max(e.Until.Sub(now), time.Second), r.most)
		}
		h.until = now.Add(pause)
		h.next, h.err.Until = h.until, h.until
	case backOff:
		h.until = now.Add(pause(r, m.streak))
		h.next, h.err.Until = h.until, h.until
		m.streak++
	}
	m.put(h)
	return h.told()
}

// put makes h the hold. That of another refused credential is not forgotten.
func (m *memory) put(h *hold) {
	former := m.hold
	m.hold = h
	m.others = slices.DeleteFunc(m.others, func(o *hold) bool { return o.err.Credential == h.err.Credential })
	if former != nil && former.condemns() && former.err.Credential != h.err.Credential {
		m.others = append(m.others, former)
	}
}

// condemns reports whether h is of a credential that is not to be sent until it
// changes: what waits for a time may well be right.
func (h *hold) condemns() bool {
	return h.err.Credential != "" && ruleOf(h.err.Kind).clears == change
}

// next makes the next of others the hold, and reports whether there was one.
func (m *memory) next() bool {
	if len(m.others) == 0 {
		return false
	}
	m.hold, m.others = m.others[0], m.others[1:]
	return true
}

// refused returns the credentials that are not to be sent until they change.
func (m *memory) refused() (credentials []string) {
	for _, h := range slices.Concat([]*hold{m.hold}, m.others) {
		if h != nil && h.condemns() {
			credentials = append(credentials, h.err.Credential)
		}
	}
	return credentials
}

// recall makes of a Ledger's entry the hold that it stands for.
func (m *memory) recall(identity string, r Refusal, now time.Time) {
	h := &hold{
		err:  auth.Error{Kind: r.Kind, Identity: identity, Step: r.Step, Code: r.Code, Credential: r.Credential},
		next: now, since: r.Time,
	}
	// What waits for a change has no end, nor has what a later version knows.
	if rule, known := rules[r.Kind]; known && rule.clears != change {
		// A time that lies ahead was written by a clock that was wrong.
		since := min(max(now.Sub(r.Time), 0), accountPause)
		h.until = now.Add(accountPause - since)
		h.err.Until = h.until
	}
	m.hold, m.recorded = h, true
}

// succeed forgets what a sign-in that worked has disproved. A pause of pushes
// stays: that this sign-in needed none says nothing about the person who refused.
func (m *memory) succeed() { m.hold, m.others, m.streak = nil, nil, 0 }

// renewals is what is remembered of an identity's failed renewals. They have a
// memory of their own: a refused password is no obstacle to a renewal, and a
// Portal that is down is one.
type renewals struct {
	err    auth.Error // the last failure, with Until for callers whose token is over
	next   time.Time  // not before, while the token works
	streak int        // failures in a row
}

// renewTries is how often a renewal may fail in a way that time does not heal
// before the refresh token is given up for a sign-in.
const renewTries = 3

// renewSpacing is the longest pause between renewals that callers need: one is a
// single request, costs nobody a push, and the Portal may be back at any moment.
const renewSpacing = 5 * time.Second

// fail remembers e, which ended a renewal at now. It reports whether the refresh
// token is of no more use. Being unreachable is no reason for that: a sign-in
// would not fare better, and may cost a push.
func (r *renewals) fail(e auth.Error, now time.Time) (spent bool) {
	if e.Kind == auth.GrantRefused {
		*r = renewals{}
		return true
	}
	wait := pause(rules[auth.Unreachable], r.streak)
	if e.Kind == auth.RateLimited {
		limit := rules[auth.RateLimited]
		wait = limit.pause
		if !e.Until.IsZero() {
			wait = min(max(e.Until.Sub(now), time.Second), limit.most)
		}
	}
	r.err, r.next = e, now.Add(wait)
	r.err.Until = r.next
	r.streak++
	if soon := now.Add(renewSpacing); e.Kind != auth.RateLimited && soon.Before(r.next) {
		r.err.Until = soon
	}
	switch e.Kind {
	case auth.Unreachable, auth.Deadline, auth.RateLimited:
		return false
	}
	if r.streak < renewTries {
		return false
	}
	*r = renewals{}
	return true
}

// told returns what a caller is told, a copy.
func (r *renewals) told() *auth.Error {
	e := r.err
	return &e
}

// pause returns how long to back off after streak failures before this one. A
// fifth of jitter keeps identities that failed together from coming back together.
func pause(r rule, streak int) time.Duration {
	d := r.most
	if streak < 20 { // far beyond any most, and far from overflow
		d = min(r.pause<<streak, r.most)
	}
	return d - d/10 + rand.N(d/5+1)
}
