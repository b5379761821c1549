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
	prover
	request auth.Handoff // the Portal's

	fromURI      string  // where Okta's page wants to go on after the sign-in
	repost       bool    // and whether by a form
	passwordSent bool    // in this walk: never a second time to one engine
	signedIn     bool    // a password or another proof was accepted, or a session's was enough
	restarted    bool    // the walk began anew because an old session was no good
	resent       bool    // the Portal's request was sent again with the new session
	stepUps      int     // second factors asked for by applications
	state        *answer // the transaction as it was last seen; nil: none is open

	passwordShown bool  // to Identity Engine: never a second time
	flows         int   // sign-ins by Identity Engine
	flow          *flow // the one that is open; nil: none is
}

// run goes from page to page until one holds what the Portal asked for: an
// assertion, or a code.
func (w *walk) run(ctx context.Context) (auth.Handoff, error) {
	page, err := w.enter(ctx)
	for range maxPages {
		if err != nil {
			if page, err = w.restart(ctx, err); err != nil {
				return auth.Handoff{}, err
			}
			continue
		}
		answer, ok, refused := w.callback(page)
		if ok {
			return w.done(answer), nil
		}
		if refused != nil {
			if codeOf(refused) != loginRequired || w.passwordSent || w.signedIn {
				return auth.Handoff{}, refused
			}
			// The Portal does not want a page to be shown (prompt=none). The sign-in
			// needs none.
			page, err = w.signIn(ctx)
			continue
		}
		switch found := classify(page); found.what {
		case assertion:
			if _, code := w.request.CodeRequest(); code {
				return auth.Handoff{}, page.Unexpected(stepPage, "an assertion where a code belongs")
			}
			return w.done(auth.Handoff{URL: found.form.Action, Form: found.form.Fields}), nil
		case redirection:
			var to *url.URL
			if to, err = auth.Resolve(stepPage, page.URL, found.text); err == nil {
				page, err = w.get(ctx, stepPage, to)
			}
		case repost:
			page, err = w.browser.Do(ctx, auth.Request{Step: stepPage, URL: found.form.Action, Form: found.form.Fields, Stop: w.leaves})
		case stepUpPage:
			page, err = w.stepUp(ctx, found.text)
		case signInPage:
			switch {
			case !w.passwordSent && !w.signedIn:
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
			page, err = w.identityEngine(ctx, found.text)
		default:
			if !w.signedIn || w.resent || page.Status >= http.StatusBadRequest {
				return auth.Handoff{}, w.unexpected(page, "")
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

// done returns answer, after it has told that nothing was needed for it, if so.
func (w *walk) done(answer auth.Handoff) auth.Handoff {
	if !w.passwordSent && w.stepUps == 0 && !w.answered {
		w.say("Okta's session is still good: no password needed")
	}
	return answer
}

// codeOf returns the other side's code of a failure, "" if it has none.
func codeOf(err error) string {
	if e, ok := errors.AsType[*auth.Error](err); ok {
		return e.Code
	}
	return ""
}

// enter sends the Portal's request for the first time.
func (w *walk) enter(ctx context.Context) (*auth.Page, error) {
	if !w.browser.HasCookie(w.client.url, deviceCookie) {
		select {
		case w.client.strangers <- struct{}{}:
			defer func() { <-w.client.strangers }()
		case <-ctx.Done():
			return nil, auth.Pause(ctx, stepPage, 0)
		}
	}
	return w.open(ctx)
}

// open sends the Portal's request.
func (w *walk) open(ctx context.Context) (*auth.Page, error) {
	return w.browser.Do(ctx, auth.Request{Step: stepPage, URL: w.request.URL, Form: w.request.Form, Stop: w.leaves})
}

func (w *walk) get(ctx context.Context, step string, u *url.URL) (*auth.Page, error) {
	return w.browser.Do(ctx, auth.Request{Step: step, URL: u, Stop: w.leaves})
}

// restart begins anew, once, if an old session broke off before a password or a
// factor was sent: without the session there is still the full sign-in. After a
// factor it would ask somebody for another.
func (w *walk) restart(ctx context.Context, err error) (*auth.Page, error) {
	if auth.KindOf(err) != auth.SessionLost || w.passwordSent || w.answered || w.restarted {
		return nil, err
	}
	w.restarted = true
	w.state, w.flow = nil, nil
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
	w.begin()
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
	if err := w.willSend(); err != nil {
		return nil, err
	}
	password, err := w.account.Password(ctx)
	if err != nil {
		return nil, err
	}
	w.passwordSent = true
	w.begin()
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

// unanswered makes a failure of the network that followed the password or a stored
// proof, or an answer that tells nothing, one of its own kind: repeated soon, as others
// are, it could use up the attempts that a wrong one has.
func unanswered(err error) error {
	e, ok := errors.AsType[*auth.Error](err)
	if !ok || e.Kind != auth.UnexpectedPage && !(e.Sent && (e.Kind == auth.Unreachable || e.Kind == auth.Deadline)) {
		return err
	}
	named := *e
	named.Kind = auth.Unanswered
	return &named
}

// land turns a finished transaction into a page: by the link of a step-up, or by
// a session made from the one-time token.
func (w *walk) land(ctx context.Context, state *answer) (*auth.Page, error) {
	w.state, w.signedIn = nil, true
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
		Stop: func(u *url.URL) bool { return !follow || w.leaves(u) },
	})
	if err != nil || page.Redirect == nil || w.leaves(page.Redirect) {
		return page, err
	}
	w.resent = true
	return w.open(ctx)
}

// abandon cancels the transaction that a failed walk leaves open, so that a push
// that is under way does not stay on the phone. It has a context of its own: it
// is for the case that the walk's has ended. It is a courtesy, and may fail.
func (w *walk) abandon(ctx context.Context) {
	if w.flow != nil && w.flow.doc != nil && w.flow.doc.cancel != nil {
		ctx, done := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
		defer done()
		_ = w.flow.post(ctx, stepCancel, w.flow.doc.cancel, nil)
		return
	}
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
		w.browser.Forget(w.client.url, func(name string) bool {
			return name == deviceCookie || name == sessionCookie || name == engineCookie
		})
	}
}
