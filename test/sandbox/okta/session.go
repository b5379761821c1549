package okta

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// session is what a sid cookie stands for, or an idx cookie.
type session struct {
	sid     string
	id      string // what the API shows; the cookie's value is a secret
	account *account
	created time.Time
	used    time.Time
	mfa     bool
	apps    map[*App]bool // whose own second factor has been given
}

// expires is the end of a session: idle since its last use, or its life's end.
func (o *Org) expires(s *session) time.Time {
	idle, end := s.used.Add(o.settings.SessionIdle), s.created.Add(o.settings.SessionLife)
	if idle.Before(end) {
		return idle
	}
	return end
}

// session returns the live session of a request, nil if there is none.
func (o *Org) session(c *call) *session {
	k, err := c.r.Cookie(o.sidName())
	if err != nil {
		return nil
	}
	s := o.sessions[k.Value]
	if s == nil {
		return nil
	}
	if !c.now.Before(o.expires(s)) || s.account.locked {
		delete(o.sessions, s.sid)
		return nil
	}
	return s
}

// open exchanges a session token for a session and sets its cookie [SC]. It
// returns nil where the token is unknown, used or expired.
func (o *Org) open(c *call, token string) *session {
	t := o.tokens[token]
	if t == nil {
		return nil
	}
	delete(o.tokens, token) // one use, good or bad
	if c.now.After(t.expires) || t.account.locked {
		return nil
	}
	return o.openFor(c, t.account, t.mfa, 0)
}

// openFor opens a session and sets its cookie, which lives as long (0: until the
// browser closes).
func (o *Org) openFor(c *call, a *account, mfa bool, life time.Duration) *session {
	if old := o.session(c); old != nil {
		delete(o.sessions, old.sid)
	}
	s := &session{sid: o.token("102", 22), id: o.id("trs"), account: a, created: c.now, used: c.now, mfa: mfa, apps: map[*App]bool{}}
	o.sessions[s.sid] = s
	o.counts.Sessions++
	c.new = append(c.new, o.cookie(o.sidName(), s.sid, life))
	return s
}

// sidName is the session's cookie: sid, or idx on the Identity Engine, which does
// not know sid [US].
func (o *Org) sidName() string {
	if o.idx() {
		return "idx"
	}
	return "sid"
}

// idx reports whether the organization runs the Identity Engine.
func (o *Org) idx() bool { return o.settings.Pipeline == "idx" }

// EndSessions closes every session, as an administrator can.
func (o *Org) EndSessions() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.sessions)
}

// showSession renders a session [SC].
func (o *Org) showSession(s *session) answer {
	amr := []string{"pwd"}
	doc := hal{
		"id": s.id, "userId": s.account.id, "login": s.account.Login,
		"createdAt": s.created.UTC().Format(stamp), "expiresAt": o.expires(s).UTC().Format(stamp),
		"status": "ACTIVE", "lastPasswordVerification": s.created.UTC().Format(stamp),
		"lastFactorVerification": nil, "mfaActive": len(s.account.factors) > 0,
		"idp": hal{"id": "00o1n8sbwArJ7OQRw406", "type": "OKTA"},
		"_links": hal{
			"self":    hal{"href": o.url("/api/v1/sessions/me"), "hints": hal{"allow": []string{"GET", "DELETE"}}},
			"refresh": o.link("/api/v1/sessions/me/lifecycle/refresh", http.MethodPost),
			"user":    hal{"name": s.account.FirstName + " " + s.account.LastName, "href": o.url("/api/v1/users/me"), "hints": hal{"allow": []string{"GET"}}},
		},
	}
	if o.idx() {
		delete(doc, "idp") // [UA]
	}
	if s.mfa {
		amr = append(amr, "mfa")
		doc["lastFactorVerification"] = s.created.UTC().Format(stamp)
	}
	doc["amr"] = amr
	return reply(http.StatusOK, doc)
}

func noSession() answer { return fail(http.StatusNotFound, "E0000007", "me (Session)") }

// sessionGet tells the session without prolonging it.
func (o *Org) sessionGet(c *call) answer {
	if s := o.session(c); s != nil {
		return o.showSession(s)
	}
	return noSession()
}

// sessionRefresh prolongs the session.
func (o *Org) sessionRefresh(c *call) answer {
	s := o.session(c)
	if s == nil {
		return noSession()
	}
	s.used = c.now
	return o.showSession(s)
}

// sessionClose ends the session.
func (o *Org) sessionClose(c *call) answer {
	s := o.session(c)
	if s == nil {
		return noSession()
	}
	delete(o.sessions, s.sid)
	c.new = append(c.new, o.cookie(o.sidName(), "", -time.Second))
	return answer{status: http.StatusNoContent}
}

// userMe is what the session's user link leads to.
func (o *Org) userMe(c *call) answer {
	s := o.session(c)
	if s == nil {
		return fail(http.StatusForbidden, "E0000005")
	}
	u := s.account.show()
	u["status"] = "ACTIVE"
	u["profile"].(hal)["email"] = s.account.Email
	return reply(http.StatusOK, u)
}

// cookieRedirect turns a session token into a session and goes on to
// redirectUrl, which must be of a trusted origin [SC]. With repost=true the
// parameters of redirectUrl are posted instead (a page does that).
func (o *Org) cookieRedirect(c *call) answer {
	q := c.r.URL.Query()
	if c.r.Method == http.MethodPost {
		q = c.r.PostForm
	}
	target, err := url.Parse(q.Get("redirectUrl"))
	if err != nil || q.Get("redirectUrl") == "" || !o.allowed(target) {
		return o.errorPage(http.StatusBadRequest, "Bad Request", "The redirectUrl parameter is not of a trusted origin.")
	}
	o.open(c, q.Get("token")) // without a session the target shows its sign-in page
	target = o.base.ResolveReference(target)
	if q.Get("repost") == "true" && target.RawQuery != "" && origin(target) == origin(o.base) {
		return o.repostPage(target)
	}
	return answer{status: http.StatusFound, header: http.Header{"Location": {target.String()}}}
}

// allowed reports whether a URL is of a trusted origin, or a path of our own.
func (o *Org) allowed(u *url.URL) bool {
	if u.Host == "" && u.Scheme == "" {
		return u.Opaque == "" && strings.HasPrefix(u.Path, "/") && !strings.Contains(u.Path, `\`)
	}
	return u.User == nil && o.trusted[origin(u)]
}
