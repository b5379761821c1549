package okta

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"arcproxy/auth"
)

// walk is one sign-in.
type walk struct {
	client  *Client
	browser *auth.Browser
	account *auth.Account
	watch   auth.Watch
	request auth.Handoff // the Portal's

	fromURI      string  // where Okta's page wants to go on after the sign-in
	repost       bool    // and whether by a form
	passwordSent bool    // in this walk: never a second time
	restarted    bool    // the walk began anew because an old session was no good
	resent       bool    // the Portal's request was sent again with the new session
	stepUps      int     // second factors asked for by applications
	answered     bool    // a push or a code was sent in this walk
	pushed       bool    // a push was sent in this transaction: never a second one
	codes        int     // sent in this transaction
	state        *answer // the transaction as it was last seen; nil: none is open
}

// run goes from page to page until one holds the assertion.
func (w *walk) run(ctx context.Context) (auth.Handoff, error) {
	page, err := w.open(ctx)
	for range maxPages {
		if err != nil {
			if page, err = w.restart(ctx, err); err != nil {
				return auth.Handoff{}, err
			}
			continue
		}
		if !auth.SameOrigin(page.URL, w.client.url) {
			return auth.Handoff{}, page.Unexpected(stepPage, "Okta led away to "+auth.Origin(page.URL))
		}
		switch found := classify(page); found.what {
		case assertion:
			if !w.passwordSent && w.stepUps == 0 {
				w.say("Okta's session is still good: no password needed")
			}
			return auth.Handoff{URL: found.form.Action, Form: found.form.Fields}, nil
		case redirection:
			var to *url.URL
			if to, err = auth.Resolve(stepPage, page.URL, found.text); err == nil {
				page, err = w.get(ctx, stepPage, to)
			}
		case repost:
			page, err = w.browser.Do(ctx, auth.Request{Step: stepPage, URL: found.form.Action, Form: found.form.Fields})
		case stepUpPage:
			page, err = w.stepUp(ctx, found.text)
		case signInPage:
			switch {
			case !w.passwordSent:
				w.fromURI, w.repost = found.text, found.repost
				page, err = w.signIn(ctx)
			case !w.resent:
				w.resent = true
				page, err = w.open(ctx)
			default:
				err = page.Unexpected(stepSession, "Okta asks for the password again")
				return auth.Handoff{}, err
			}
		case notAssigned:
			return auth.Handoff{}, &auth.Error{Kind: auth.NotAssigned, Step: stepPage, Seen: page.Seen()}
		case identityEngine:
			return auth.Handoff{}, &auth.Error{Kind: auth.NotSupported, Step: stepPage, Seen: "a page of Okta Identity Engine"}
		default:
			if !w.passwordSent || w.resent || page.Status >= http.StatusBadRequest {
				return auth.Handoff{}, page.Unexpected(stepPage, "")
			}
			// Signed in, but landed elsewhere, as the dashboard.
			w.resent = true
			page, err = w.open(ctx)
		}
	}
	if err == nil {
		err = &auth.Error{Kind: auth.UnexpectedPage, Step: stepPage, Seen: "pages without end"}
	}
	return auth.Handoff{}, err
}

// open sends the Portal's request.
func (w *walk) open(ctx context.Context) (*auth.Page, error) {
	return w.browser.Do(ctx, auth.Request{Step: stepPage, URL: w.request.URL, Form: w.request.Form})
}

func (w *walk) get(ctx context.Context, step string, u *url.URL) (*auth.Page, error) {
	return w.browser.Do(ctx, auth.Request{Step: step, URL: u})
}

// restart begins anew, once, if an old session broke off before a password or a
// factor was sent: without the session there is still the full sign-in. After a
// factor it would ask somebody for another.
func (w *walk) restart(ctx context.Context, err error) (*auth.Page, error) {
	if auth.KindOf(err) != auth.SessionLost || w.passwordSent || w.answered || w.restarted {
		return nil, err
	}
	w.restarted = true
	w.state = nil
	w.client.Forget(w.browser)
	return w.open(ctx)
}

// stepUp begins a transaction for the second factor that an application asks of
// a session that has none yet, by the token on its page.
func (w *walk) stepUp(ctx context.Context, stateToken string) (*auth.Page, error) {
	if w.stepUps++; w.stepUps > maxStepUps {
		return nil, &auth.Error{Kind: auth.UnexpectedPage, Step: stepStepUp, Seen: "Okta asks for one factor after another"}
	}
	w.say("Okta asks for a second factor for the Portal")
	w.pushed, w.codes = false, 0
	state, err := w.call(ctx, stepStepUp, w.client.at("/api/v1/authn"), body{StateToken: stateToken})
	if err != nil {
		return nil, err
	}
	return w.drive(ctx, stepStepUp, state)
}

// signIn sends user name and password, the one time it is done, and goes on to
// where that leads.
func (w *walk) signIn(ctx context.Context) (*auth.Page, error) {
	// A session cookie that did not help is stale. Okta would look at it rather
	// than at the new session.
	w.browser.Forget(w.client.url, func(name string) bool { return name != sessionCookie })
	if err := w.willPush(); err != nil {
		return nil, err
	}
	password, err := w.account.Password(ctx)
	if err != nil {
		return nil, err
	}
	w.passwordSent = true
	w.pushed, w.codes = false, 0
	w.say("sending the password to Okta")
	state, err := w.call(ctx, stepPassword, w.client.at("/api/v1/authn"), body{
		Username: w.account.Username(),
		Password: password.Reveal(),
		Options:  &options{WarnBeforePasswordExpired: true},
	})
	if err != nil {
		return nil, unanswered(err)
	}
	if state.good() {
		w.say("password accepted")
	}
	return w.drive(ctx, stepPassword, state)
}

// unanswered makes a failure of the network that followed the password one of its
// own kind: repeated soon, as others are, it could use up the attempts that a
// wrong password has.
func unanswered(err error) error {
	e, ok := errors.AsType[*auth.Error](err)
	if !ok || !e.Sent || e.Kind != auth.Unreachable && e.Kind != auth.Deadline {
		return err
	}
	named := *e
	named.Kind = auth.Unanswered
	return &named
}

// land turns a finished transaction into a page: by the link of a step-up, or by
// a session made from the one-time token.
func (w *walk) land(ctx context.Context, state *answer) (*auth.Page, error) {
	w.state = nil
	if state.SessionToken == "" {
		next, ok := state.Links["next"]
		if !ok {
			return nil, &auth.Error{Kind: auth.UnexpectedPage, Step: stepSession, Seen: "success without a session token or a link"}
		}
		to, err := auth.Resolve(stepSession, w.client.url, next.Href)
		if err != nil {
			return nil, err
		}
		return w.get(ctx, stepSession, to)
	}
	return w.session(ctx, state.SessionToken)
}

// session exchanges a one-time token for a session cookie, at
// /login/sessionCookieRedirect, and goes on to the application. Where to is what
// Okta's own page said, or else the Portal's request; one that was a form is sent
// again, since no redirect can carry it.
//
// The token travels in a form, not in an address that somebody may log. Given
// this way it also replaces a session that is left over, which one put on the
// application's address does not.
func (w *walk) session(ctx context.Context, token string) (*auth.Page, error) {
	target, follow := w.request.URL, w.request.Form == nil
	if w.fromURI != "" {
		from, err := auth.Resolve(stepSession, w.client.url, w.fromURI)
		if err != nil {
			return nil, err
		}
		target, follow = from, true
	}
	form := url.Values{
		"token":                     {token},
		"redirectUrl":               {target.String()},
		"checkAccountSetupComplete": {"true"},
	}
	if w.repost {
		form.Set("repost", "true")
	}
	page, err := w.browser.Do(ctx, auth.Request{
		Step: stepSession,
		URL:  w.client.at("/login/sessionCookieRedirect"),
		Form: form,
		Stop: func(*url.URL) bool { return !follow },
	})
	if err != nil || page.Redirect == nil {
		return page, err
	}
	w.resent = true
	return w.open(ctx)
}

// abandon cancels the transaction that a failed walk leaves open, so that a push
// that is under way does not stay on the phone. It has a context of its own: it
// is for the case that the walk's has ended. It is a courtesy, and may fail.
func (w *walk) abandon(ctx context.Context) {
	if w.state == nil || w.state.StateToken == "" {
		return
	}
	link, ok := w.state.Links["cancel"]
	if !ok {
		return
	}
	to, err := auth.Resolve(stepCancel, w.client.url, link.Href)
	if err != nil {
		return
	}
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer done()
	_, _ = w.browser.Do(ctx, auth.Request{Step: stepCancel, URL: to, JSON: body{StateToken: w.state.StateToken}})
}

// tidy drops what a failed walk left among the cookies and the next must not
// find. The device stays; a session stays where nothing says that it is bad,
// because it may spare somebody a push.
func (w *walk) tidy(err error) {
	switch auth.KindOf(err) {
	case auth.SessionLost, auth.UnexpectedPage:
		w.client.Forget(w.browser)
	default:
		w.browser.Forget(w.client.url, func(name string) bool { return name == deviceCookie || name == sessionCookie })
	}
}

func (w *walk) say(text string) { w.watch.Say(auth.Event{Text: text}) }
