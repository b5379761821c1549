package cache

import (
	"slices"
	"strings"
	"time"

	"arcproxy/auth"
)

// Status is how an identity stands. It holds no secret.
type Status struct {
	Identity string
	// Of the grant; all zero where there is none.
	Username       string    // in ArcGIS
	By             string    // how it was obtained: "sign-in", "login", "renewal", "exchange", "restored"
	Obtained       time.Time // the access token
	Expires        time.Time // the access token
	Renewable      bool      // by a refresh token
	RefreshExpires time.Time // zero: there is none, or the Portal does not say
	Refused        bool      // a server has refused the access token; the next request gets another
	Stored         bool      // it lasts over a restart
	// Of the flight, if one is under way.
	Flying  bool
	Event   auth.Event // its last step: what it waits for, if it has a Challenge
	Waiting int        // callers that wait for it
	// Question is what a person is asked at this moment; nil: nothing. One for a
	// code can be answered by [Cache.Answer].
	Question *Question
	// Failure is what keeps the next token from being obtained, or the last failure
	// since one was; nil: nothing. Its Remedy says what to do, and Until, if it is
	// set, when it is tried again by itself.
	Failure *auth.Error
	Failed  time.Time // when
	Clears  string    // what ends Failure, for a person; "" without one
	// PushPaused is why no push is sent, until its Until; nil: one would be.
	PushPaused *auth.Error
}

// SignedIn reports whether a token is there or can be had without a sign-in.
func (s Status) SignedIn(now time.Time) bool {
	return !s.Refused && now.Before(s.Expires) || s.Renewable
}

// Status returns how each identity stands that is configured (see [Cache.Keep]) or
// was asked for, sorted by name. What is stored but was not needed yet is not in it:
// [Cache.Restore].
func (c *Cache) Status() []Status {
	now := time.Now()
	c.mu.RLock()
	all := make([]Status, 0, max(len(c.identities), len(c.configured)))
	for name := range c.configured {
		if c.identities[name] == nil {
			all = append(all, Status{Identity: name})
		}
	}
	c.mu.RUnlock()
	for _, id := range c.everyone() {
		all = append(all, id.status(now))
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Identity, b.Identity) })
	return all
}

func (id *identity) status(now time.Time) Status {
	id.mu.Lock()
	defer id.mu.Unlock()
	s := Status{Identity: id.name, PushPaused: id.memory.pushPause(now)}
	if h := id.held.Load(); h != nil {
		s.Username, s.By, s.Stored, s.Refused = h.grant.Username, h.by, h.stored, h.dropped
		s.Obtained, s.Expires = h.grant.Obtained, h.expires
		if s.Renewable = h.renewable(now); s.Renewable {
			s.RefreshExpires = h.grant.RefreshExpires
		}
	}
	if f := id.flight; f != nil {
		s.Flying, s.Event, s.Waiting = true, f.event, f.waiters
		if f.question != nil {
			q := f.question.Question
			s.Question = &q
		}
	}
	switch hold := id.memory.hold; {
	case hold != nil && !hold.over(now):
		s.Failure, s.Failed = hold.told(), hold.since
	case id.failure != nil:
		e := *id.failure
		s.Failure, s.Failed = &e, id.failed
	}
	if s.Failure != nil {
		s.Clears = clears(s.Failure, now)
	}
	return s
}

// clears says what ends e.
func clears(e *auth.Error, now time.Time) string {
	rule := ruleOf(e.Kind).clears
	if rule == change && e.Credential == "" {
		rule = timeOrChange
	}
	switch {
	case rule == change:
		return "another credential in the config, or a sign-in by hand (`arcproxy login`)"
	case !e.Until.After(now):
		return "the next request, which tries again"
	case rule == timeOrChange:
		return "another credential, a sign-in by hand (`arcproxy login`), or time: until " + e.Until.Format(time.RFC3339)
	}
	return "time: until " + e.Until.Format(time.RFC3339)
}
