package okta

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// idxShow answers with what a flow needs next.
func (o *Org) idxShow(c *call, x *idxFlow, status int, says ...idxMessage) answer {
	o.rotate(x)
	return o.idxNext(c, x).answer(o, c, x, status, says)
}

// idxSame answers as before, to a poll or an introspection that changed nothing.
func (o *Org) idxSame(c *call, x *idxFlow) answer {
	if x.style.rotates {
		o.rotate(x)
	}
	return o.idxNext(c, x).answer(o, c, x, http.StatusOK, nil)
}

// idxAgain offers the last forms once more and says why, on one of their fields or,
// if that is nil, for all.
func (o *Org) idxAgain(c *call, x *idxFlow, status int, on *idxField, m idxMessage) answer {
	if x.style.rotates {
		o.rotate(x)
	}
	if on == nil {
		return o.idxNext(c, x).answer(o, c, x, status, []idxMessage{m})
	}
	// The forms are kept, for it is one of their fields that has the message.
	forms := x.forms
	p := o.idxNext(c, x)
	p.forms = forms
	on.says = []idxMessage{m}
	defer func() { on.says = nil }()
	return p.answer(o, c, x, status, nil)
}

// idxPlan is what a flow's next answer holds beside its head.
type idxPlan struct {
	forms   []*idxForm
	current *authenticator
	context hal // contextualData of the current authenticator
	doc     hal // what else
	status  int // if not that of the caller
	says    []idxMessage
}

// idxNext finds out what a flow needs next. It may move the flow on by one step:
// to a challenge that nobody needs to ask for.
func (o *Org) idxNext(c *call, x *idxFlow) *idxPlan {
	p := &idxPlan{doc: hal{}}
	switch {
	case x.done != "":
		o.idxSuccess(c, x, p)
		return p
	case x.probing:
		o.idxProbe(x, p)
	case x.identifier == "":
		o.idxIdentifyForms(x, p)
	default:
		if open := o.idxOpen(c, x); len(open) > 0 {
			o.idxProve(c, x, p, open)
		} else if !o.idxInterstitial(c, x, p) {
			o.idxSuccess(c, x, p)
			return p
		}
	}
	p.add(&idxForm{name: "cancel", at: "cancel", path: "/idp/idx/cancel", run: func(c *call, _ hal) answer { return o.idxCancel(c, x) }}, x)
	return p
}

// add puts a form into the plan, with the stateHandle that every one ends with.
func (p *idxPlan) add(f *idxForm, x *idxFlow) {
	if f.path != "" {
		f.fields = append(f.fields, x.state)
	}
	p.forms = append(p.forms, f)
}

// answer renders a plan and remembers its forms.
func (p *idxPlan) answer(o *Org, c *call, x *idxFlow, status int, says []idxMessage) answer {
	x.forms, x.shown = p.forms, c.now
	doc := x.head()
	maps.Copy(doc, p.doc)
	remediation := []hal{}
	current := hal{}
	for _, f := range p.forms {
		d := f.render(o, x.style.accepts)
		switch f.at {
		case "":
			remediation = append(remediation, d)
		case "cancel", "context":
			doc[f.at] = d
		case "probe":
			doc["authenticatorChallenge"].(hal)["value"].(hal)["cancel"] = d
		default: // of the current authenticator
			current[f.at] = d
		}
	}
	if len(remediation) > 0 {
		doc["remediation"] = hal{"type": "array", "value": remediation}
	}
	if p.current != nil {
		where := x.where(p.current)
		one := p.current.show(where == "currentAuthenticatorEnrollment" && p.current.enrolment != "")
		if x.method != "" {
			one["methods"] = []hal{{"type": x.method}}
		}
		if p.context != nil {
			one["contextualData"] = p.context
		}
		maps.Copy(one, current)
		doc[where] = hal{"type": "object", "value": one}
	}
	if x.identifier != "" {
		user := hal{"identifier": x.identifier}
		if x.account != nil {
			user["id"] = x.account.id
			if x.password {
				user["profile"] = hal{"firstName": x.account.FirstName, "lastName": x.account.LastName, "timeZone": "America/Los_Angeles", "locale": "en_US"}
			}
		}
		doc["user"] = hal{"type": "object", "value": user}
		all := o.idxAll(x)
		orgs, own := []hal{}, []hal{}
		for _, u := range all {
			orgs, own = append(orgs, u.show(false)), append(own, u.show(true))
		}
		for _, u := range all { // last, so that relatesTo can count
			own = append(own, u.more()...)
		}
		if doc["authenticators"] == nil { // else those that can be set up
			doc["authenticators"] = hal{"type": "array", "value": orgs}
		}
		doc["authenticatorEnrollments"] = hal{"type": "array", "value": own}
	}
	app := x.errand.application()
	doc["app"] = hal{"type": "object", "value": hal{"name": app.Name, "label": app.Label, "id": app.ID}}
	doc["authentication"] = hal{"type": "object", "value": hal{"protocol": x.errand.protocol(), "request": hal{}}}
	says = slices.Concat(p.says, says)
	if len(says) > 0 {
		doc["messages"] = messageList(says)
	}
	if p.status != 0 && status == http.StatusOK {
		status = p.status
	}
	return ion(status, doc)
}

// idxAll are the authenticators that the document lists: relatesTo points at them.
func (o *Org) idxAll(x *idxFlow) []*authenticator {
	return append([]*authenticator{o.passwordOf(x.account)}, o.secondsOf(x.account)...)
}

// idxOpen are the authenticators with which something is still to be proven.
func (o *Org) idxOpen(c *call, x *idxFlow) []*authenticator {
	var list []*authenticator
	if !x.password {
		list = append(list, o.passwordOf(x.account))
	}
	if !x.second && o.idxNeedsSecond(c, x) {
		list = append(list, o.secondsOf(x.account)...)
	}
	return list
}

// idxNeedsSecond asks the organization's policy and the application's.
func (o *Org) idxNeedsSecond(c *call, x *idxFlow) bool {
	a := x.account
	if len(o.secondsOf(a)) == 0 {
		return false
	}
	if o.settings.AppMFA && (x.session == nil || !x.session.apps[x.errand.application()]) {
		return true
	}
	if x.session != nil {
		return false // the organization's policy was satisfied when it began
	}
	key := deviceKey{a.id, c.dt}
	switch {
	case o.settings.MFA == MFANever:
		return false
	case c.dt != "" && o.settings.AllowRememberDevice && c.now.Before(o.remembered[key]):
		return false
	case o.settings.MFA == MFANewDevice:
		return c.dt == "" || !o.known[key]
	}
	return true
}

// idxSuccess ends a flow: with where to go on, and one more stateToken for that.
func (o *Org) idxSuccess(c *call, x *idxFlow, p *idxPlan) {
	if x.interaction {
		o.idxCode(c, x, p)
		return
	}
	if x.done == "" {
		o.counts.IDX.Successes++
		x.done = o.token("02.id.", 43)
		o.redirects[x.done] = x
		if key := (deviceKey{x.account.id, c.dt}); c.dt != "" && x.second {
			o.known[key] = true
			if x.remember && o.settings.AllowRememberDevice {
				o.remembered[key] = c.now.Add(o.settings.RememberDevice)
			}
		}
	}
	href := o.url("/login/token/redirect?stateToken=" + x.done)
	if o.settings.IDX.SuccessRemediation {
		p.add(&idxForm{name: "success-redirect", to: href}, x)
	} else {
		p.doc["success"] = hal{"name": "success-redirect", "href": href}
	}
	if o.settings.IDX.DeniedWithSuccess {
		p.says = append(p.says, idxMessage{key: "security.access_denied_custom_message", text: "You do not have permission to perform the requested action."})
	}
}

// tokenRedirect is where a finished flow leads: it opens the session and goes on
// with what the application wanted. Only the stateToken of success is good for it,
// and only once.
func (o *Org) tokenRedirect(c *call) answer {
	token := c.r.URL.Query().Get("stateToken")
	x := o.redirects[token]
	delete(o.redirects, token)
	if x == nil || c.now.After(x.expires) || x.account.locked {
		// [field]: one made from a stateHandle gave invalid SAML. How is unproven.
		return o.errorPage(http.StatusForbidden, "Access Forbidden", "Your session has expired. Please try again.")
	}
	o.idxEnd(x)
	if o.settings.IDX.DeniedWithSuccess {
		return o.errorPage(http.StatusForbidden, "Access Forbidden", "You do not have permission to perform the requested action.")
	}
	s := x.session
	if s != nil && o.session(c) != s { // it strengthens a session, and opens none
		return o.errorPage(http.StatusForbidden, "Access Forbidden", "Your session has expired. Please try again.")
	}
	if s == nil {
		life := o.settings.SessionLife
		if !x.remember {
			life = 0 // until the browser closes
		}
		s = o.openFor(c, x.account, x.second, life)
	}
	s.used = c.now
	if x.second {
		s.apps[x.errand.application()], s.mfa = true, true
	}
	if x.style.forwarded {
		return answer{status: http.StatusFound, header: http.Header{"Location": {o.url(x.errand.back(o, c))}}}
	}
	return x.errand.finish(o, c, s)
}

// idxCancel begins a flow anew: nobody is identified.
func (o *Org) idxCancel(c *call, x *idxFlow) answer {
	x.withdraw()
	*x = idxFlow{token: x.token, base: x.base, handle: x.handle, errand: x.errand, expires: x.expires, state: x.state, style: x.style, interaction: x.interaction}
	return o.idxShow(c, x, http.StatusOK)
}

// idxEnter answers an application's request on the Identity Engine. s is the
// session, nil if there is none; fresh, one that this request has opened.
func (o *Org) idxEnter(c *call, e errand, s *session, fresh bool) answer {
	if s == nil {
		return o.idxPage(c, o.idxBegin(c, e, nil))
	}
	enough := len(o.idxOpen(c, &idxFlow{errand: e, session: s, account: s.account, password: true})) == 0
	page := o.sessionPage()
	if enough && (fresh || page == SessionForm || c.r.URL.Query().Get("okta_key") != "") {
		s.used = c.now
		return e.finish(o, c, s)
	}
	x := o.idxBegin(c, e, s)
	if page == SessionRedirect && !fresh {
		return o.jsRedirectPage(x.token)
	}
	return o.idxPage(c, x)
}

// idxPage hosts the widget for a flow.
func (o *Org) idxPage(c *call, x *idxFlow) answer {
	return o.widget(x.token, x.errand.back(o, c), false, x.errand.application().Label)
}

// idxStepUp is where jsRedirectPage leads on the Identity Engine.
func (o *Org) idxStepUp(c *call, x *idxFlow) answer {
	if s := o.session(c); s == nil || s != x.session {
		o.idxEnd(x)
		return o.errorPage(http.StatusForbidden, "Access Forbidden", "Your session has expired. Please try again.")
	}
	if len(o.idxOpen(c, x)) == 0 && o.rng.IntN(2) == 0 {
		o.idxEnd(x)
		return answer{status: http.StatusFound, header: http.Header{"Location": {o.url(x.errand.back(o, c))}}}
	}
	return o.idxPage(c, x)
}

// idxLimit counts a request of a flow [RL]: 20 of a user and 10 of a stateToken in
// 5 seconds are Okta's own numbers.
func (o *Org) idxLimit(c *call, x *idxFlow, who string) *answer {
	const window = 5 * time.Second
	for _, b := range []struct {
		key string
		n   int
	}{{"state " + x.token, o.settings.IDX.StatePer5s}, {"user " + x.who(who), o.settings.IDX.UserPer5s}} {
		if b.n <= 0 || b.key == "user " {
			continue
		}
		q, ok := take(o.idxUses, b.key, b.n, window, c.now)
		if c.quota == nil || q.remaining < c.quota.remaining {
			c.quota = &q
		}
		if ok {
			continue
		}
		c.quota = &q
		o.counts.Limited++
		a := fail(http.StatusTooManyRequests, "E0000047")
		if o.rng.IntN(2) == 0 { // both are in the mock data [W]
			a = ion(http.StatusTooManyRequests, hal{"version": "1.0.0", "messages": messageList([]idxMessage{{key: "tooManyRequests", text: "Too many requests"}})})
		}
		return &a
	}
	return nil
}

// who is the user whose limit a request counts against, "" while there is none.
func (x *idxFlow) who(named string) string {
	if x.identifier != "" {
		named = x.identifier
	}
	return fmt.Sprintf("%.200s", named)
}
