package okta

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"arcproxy/auth"
)

// leaves reports whether u is not the organization's. No page of a sign-in is
// fetched there: what leads away is Okta's answer, or a trap.
func (w *walk) leaves(u *url.URL) bool { return !auth.SameOrigin(u, w.client.url) }

// callback takes the answer to an OpenID Connect request off a page: the redirect
// to the callback that the request names, or the form that is posted to it
// (response_mode=form_post). Nothing is sent there; that is for the Portal's half
// to do. False means that the page is not about an answer.
func (w *walk) callback(page *auth.Page) (auth.Handoff, bool, error) {
	request, ok := w.request.CodeRequest()
	answer := auth.Handoff{URL: page.Redirect}
	var params url.Values
	switch {
	case page.Redirect != nil:
		if !ok || !request.Calls(page.Redirect) {
			return auth.Handoff{}, false, auth.Foreign(stepPage, page.Redirect)
		}
		params = page.Redirect.Query()
	case ok && page.Status == http.StatusOK:
		form, found := postedTo(page, request)
		if !found {
			return auth.Handoff{}, false, nil
		}
		params = form.Fields
		answer = auth.Handoff{URL: form.Action, Form: codeOnly(params)}
	default:
		return auth.Handoff{}, false, nil
	}
	if !request.Carries(params) {
		return auth.Handoff{}, false, &auth.Error{Kind: auth.UnexpectedPage, Step: stepCallback, Seen: "an answer to a request that is not the Portal's: its state differs, or it holds no code"}
	}
	if name := params.Get("error"); name != "" {
		return auth.Handoff{}, false, refusedCode(name, params.Get("error_description"))
	}
	return answer, true, nil
}

// postedTo returns the form of a page that brings an answer to request's callback.
func postedTo(page *auth.Page, request auth.CodeRequest) (auth.Form, bool) {
	for _, form := range page.Forms() {
		if form.Method == http.MethodPost && form.Action != nil && request.Calls(form.Action) && (form.Has("code") || form.Has("error")) {
			return form, true
		}
	}
	return auth.Form{}, false
}

// codeOnly returns the fields of an answer with a code (RFC 6749 §4.1.2, RFC 9207,
// Session Management 1.0) and nothing else that the form may hold.
func codeOnly(fields url.Values) url.Values {
	kept := url.Values{}
	for _, name := range []string{"code", "state", "iss", "session_state"} {
		if _, ok := fields[name]; ok {
			kept.Set(name, fields.Get(name))
		}
	}
	return kept
}

// codeErrors names the errors of OAuth (RFC 6749 §4.1.2.1) and of OpenID Connect
// (Core 1.0 §3.1.2.6). The others say that the request itself is wrong, which the
// Portal's administrator has written.
var codeErrors = map[string]auth.Kind{
	"access_denied":              auth.NotAssigned,
	"login_required":             auth.SessionLost,
	"account_selection_required": auth.SessionLost,
	"interaction_required":       auth.ConsentNeeded,
	"consent_required":           auth.ConsentNeeded,
	"temporarily_unavailable":    auth.Unreachable,
	"server_error":               auth.Unreachable,
}

var errorForm = regexp.MustCompile(`^[a-z][a-z_]{1,39}$`)

// loginRequired is the code of the error that says that nobody is signed in.
const loginRequired = "login_required"

func refusedCode(name, description string) *auth.Error {
	e := &auth.Error{Kind: auth.BadLogin, Step: stepCallback, Seen: auth.Clean(description)}
	if kind, ok := codeErrors[name]; ok {
		e.Kind = kind
	}
	if e.Kind == auth.NotAssigned && strings.Contains(strings.ToLower(description), "policy") {
		e.Kind = auth.PolicyDenied
	}
	if errorForm.MatchString(name) {
		e.Code = name
	}
	return e
}

// unexpected names a page that a sign-in cannot go on from. Okta shows an error
// page of its own where it does not know the client or its callback, since it then
// must not redirect.
func (w *walk) unexpected(page *auth.Page, what string) *auth.Error {
	e := page.Unexpected(stepPage, what)
	if _, ok := w.request.CodeRequest(); ok && page.Status >= 400 && page.Status < 500 {
		text := strings.ToLower(page.Text())
		for _, word := range []string{"invalid_client", "client_id", "redirect_uri"} {
			if strings.Contains(text, word) {
				e.Kind = auth.BadLogin
				e.Seen += ": " + auth.Clean(page.Text())
				break
			}
		}
	}
	return e
}
