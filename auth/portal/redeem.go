package portal

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/url"
	"path"
	"strings"

	"arcproxy/auth"
)

// redeem posts the assertion, takes the code from whatever the Portal answers,
// and exchanges it.
func (c *Client) redeem(ctx context.Context, b *auth.Browser, w auth.Watch, p proof, answer auth.Handoff) (auth.Grant, error) {
	if answer.URL == nil || !auth.SameOrigin(answer.URL, c.config.URL) {
		return auth.Grant{}, auth.Foreign(stepSignIn, answer.URL)
	}
	if !answer.Form.Has("SAMLResponse") {
		return auth.Grant{}, &auth.Error{Kind: auth.UnexpectedPage, Step: stepSignIn, Seen: "no SAMLResponse to bring back"}
	}
	page, err := b.Do(ctx, auth.Request{Step: stepSignIn, URL: answer.URL, Form: answer.Form, Stop: c.leaves})
	if err != nil {
		return auth.Grant{}, err
	}
	code, err := c.code(page, p)
	if err != nil {
		return auth.Grant{}, err
	}
	w.Say(auth.Event{Text: "the Portal accepted Okta's answer"})
	return c.token(ctx, b, url.Values{
		"grant_type":    {"authorization_code"},
		"client_id":     {c.config.ClientID},
		"code":          {code.Reveal()},
		"redirect_uri":  {c.config.RedirectURI},
		"code_verifier": {p.verifier},
	}, auth.Grant{})
}

// code takes the authorization code from a redirect, whose state must be ours, or
// from the page for programs that cannot be redirected to. Everything else that
// the Portal may show at this point is named.
func (c *Client) code(page *auth.Page, p proof) (auth.Secret, error) {
	if to := page.Redirect; to != nil {
		if !c.isRedirectURI(to) {
			return auth.Secret{}, auth.Foreign(stepSignIn, to)
		}
		q := to.Query()
		switch {
		case q.Get("error") != "":
			return auth.Secret{}, told(stepSignIn, q.Get("error")+" "+q.Get("error_description"), auth.GrantRefused)
		case subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(p.state)) != 1:
			return auth.Secret{}, &auth.Error{Kind: auth.UnexpectedPage, Step: stepSignIn, Seen: "an answer to a sign-in that is not ours: its state differs"}
		case q.Get("code") == "":
			return auth.Secret{}, &auth.Error{Kind: auth.UnexpectedPage, Step: stepSignIn, Seen: "a redirect without a code"}
		}
		return auth.NewSecret(q.Get("code")), nil
	}
	if code, ok := shownCode(page); ok {
		return code, nil
	}
	if kind, ok := interstitial(page); ok {
		return auth.Secret{}, &auth.Error{Kind: kind, Step: stepSignIn, Seen: "the Portal asks for it before it goes on"}
	}
	var info oAuthInfo
	if auth.ScriptJSON(page.Scripts(), "oAuthInfo", &info) {
		if text := info.message(); text != "" {
			return auth.Secret{}, told(stepSignIn, text, auth.AssertionRefused)
		}
		return auth.Secret{}, page.Unexpected(stepSignIn, "the Portal asks to sign in again")
	}
	return auth.Secret{}, refusal(stepSignIn, page, auth.AssertionRefused)
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
