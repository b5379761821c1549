package portal

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"arcproxy/auth"
)

// A difference of clocks below this is not worth telling.
const clockNoise = 30 * time.Second

// redeem brings the identity provider's answer to the Portal, takes the code from
// whatever that answers, and exchanges it.
func (c *Client) redeem(ctx context.Context, b *auth.Browser, w auth.Watch, p proof, request, answer auth.Handoff) (auth.Grant, error) {
	step := stepSignIn
	if loginOf(request) == LoginOIDC {
		step = stepCallback
	}
	if err := c.answers(step, request, answer); err != nil {
		return auth.Grant{}, err
	}
	page, err := b.Do(ctx, auth.Request{Step: step, URL: answer.URL, Form: answer.Form, Stop: c.leaves})
	if err != nil {
		return auth.Grant{}, err
	}
	code, err := c.code(step, page, p)
	if err != nil {
		return auth.Grant{}, err
	}
	w.Say(auth.Event{Text: "the Portal accepted Okta's answer"})
	if skew, ok := page.ClockOffset(); ok && skew.Abs() > clockNoise {
		// Lifetimes are counted from our own request, by our clock, so that tokens
		// are judged rightly all the same. Assertions and certificates may not be.
		w.Say(auth.Event{Text: fmt.Sprintf("this machine's clock differs from the Portal's by %s", skew.Round(time.Second))})
	}
	return c.token(ctx, b, url.Values{
		"grant_type":    {"authorization_code"},
		"client_id":     {c.config.ClientID},
		"code":          {code.Reveal()},
		"redirect_uri":  {c.config.RedirectURI},
		"code_verifier": {p.verifier},
	}, auth.Grant{})
}

// answers checks that an answer is one to the request, and for the Portal.
func (c *Client) answers(step string, request, answer auth.Handoff) error {
	if answer.URL == nil || !auth.SameOrigin(answer.URL, c.config.URL) {
		return auth.Foreign(step, answer.URL)
	}
	code, ok := request.CodeRequest()
	switch {
	case !ok && answer.Form.Has("SAMLResponse"):
	case !ok:
		return &auth.Error{Kind: auth.UnexpectedPage, Step: step, Seen: "no SAMLResponse to bring back"}
	case !code.Calls(answer.URL):
		return auth.Foreign(step, answer.URL)
	case answer.Form == nil && code.Answers(answer.URL) && answer.URL.Query().Has("code"):
	case answer.Form != nil && code.Carries(answer.Form) && answer.Form.Has("code"):
	default:
		return &auth.Error{Kind: auth.UnexpectedPage, Step: step, Seen: "no code to bring back, or one for another sign-in"}
	}
	return nil
}

// code takes the authorization code from a redirect, whose state must be ours, or
// from the page for programs that cannot be redirected to. Everything else that
// the Portal may show at this point is named.
func (c *Client) code(step string, page *auth.Page, p proof) (auth.Secret, error) {
	if to := page.Redirect; to != nil {
		switch _, again := (auth.Handoff{URL: to}).CodeRequest(); {
		case c.isRedirectURI(to):
		case again:
			return auth.Secret{}, &auth.Error{Kind: auth.AssertionRefused, Step: step, Seen: "the Portal asks Okta once more"}
		default:
			return auth.Secret{}, auth.Foreign(step, to)
		}
		q := to.Query()
		switch {
		case q.Get("error") != "":
			return auth.Secret{}, told(step, q.Get("error")+" "+q.Get("error_description"), auth.GrantRefused)
		case subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(p.state)) != 1:
			return auth.Secret{}, &auth.Error{Kind: auth.UnexpectedPage, Step: step, Seen: "an answer to a sign-in that is not ours: its state differs"}
		case q.Get("code") == "":
			return auth.Secret{}, &auth.Error{Kind: auth.UnexpectedPage, Step: step, Seen: "a redirect without a code"}
		}
		return auth.NewSecret(q.Get("code")), nil
	}
	if code, ok := shownCode(page); ok {
		return code, nil
	}
	if kind, ok := interstitial(page); ok {
		return auth.Secret{}, &auth.Error{Kind: kind, Step: step, Seen: "the Portal asks for it before it goes on"}
	}
	var info oAuthInfo
	if auth.ScriptJSON(page.Scripts(), "oAuthInfo", &info) {
		if text := info.message(); text != "" {
			return auth.Secret{}, told(step, text, auth.AssertionRefused)
		}
		return auth.Secret{}, page.Unexpected(step, "the Portal asks to sign in again")
	}
	return auth.Secret{}, refusal(step, page, auth.AssertionRefused)
}

// shownCode reads the out-of-band page: <input id="code" value="…">, and
// "SUCCESS code=…" in the title.
func shownCode(page *auth.Page) (auth.Secret, bool) {
	if page.Status != http.StatusOK {
		return auth.Secret{}, false
	}
	if value, ok := page.Input("code"); ok && strings.TrimSpace(value) != "" {
		return auth.NewSecret(strings.TrimSpace(value)), true
	}
	if rest, ok := strings.CutPrefix(page.Title(), "SUCCESS code="); ok {
		code, _, _ := strings.Cut(rest, "&")
		if fields := strings.Fields(code); len(fields) > 0 {
			return auth.NewSecret(fields[0]), true
		}
	}
	return auth.Secret{}, false
}

// interstitial names the pages that a Portal puts before the code, by the address
// it is at or posts to.
func interstitial(page *auth.Page) (auth.Kind, bool) {
	places := []string{page.URL.Path}
	for _, form := range page.Forms() {
		if form.Action != nil {
			places = append(places, form.Action.Path)
		}
	}
	for _, place := range places {
		switch path.Base(place) {
		case "acceptTermsAndConditions":
			return auth.ConsentNeeded, true
		case "updateUserProfile":
			return auth.ProfileIncomplete, true
		case "mfa":
			return auth.FactorUnavailable, true
		}
	}
	return "", false
}
