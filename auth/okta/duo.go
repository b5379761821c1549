package okta

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"arcproxy/auth"
)

// Duo's frame is Duo's own page, in which a browser proves the second factor there
// (Duo's "Web SDK 2"). What is done here is what the page does when somebody types a
// passcode into it; its push, its calls and its newer "Universal Prompt" are not. The
// protocol of the page is not documented: it is what tools of the field have found,
// and unproven against a live Duo.

const (
	duoPolls = 5 // of a passcode that was checked: the first tells, or hardly any
	duoEvery = time.Second
)

// duoDocument is the envelope of the frame's answers.
type duoDocument struct {
	Stat     string `json:"stat"`
	Response struct {
		TxID      string `json:"txid"`
		Result    string `json:"result"`
		ResultURL string `json:"result_url"`
		Cookie    string `json:"cookie"`
	} `json:"response"`
}

// frame is Duo's frame for one transaction.
type frame struct {
	*prover
	browser *auth.Browser
	duo     *url.URL // the configured one
	sid     string
}

// passcode takes what Okta has signed to Duo's frame, asks a person for a passcode,
// and returns what Okta wants back. org is the organization's address.
func (f *frame) passcode(ctx context.Context, org *url.URL, host, signed string) (string, error) {
	if !strings.EqualFold(host, f.duo.Host) {
		return "", auth.Foreign(stepDuo, &url.URL{Scheme: "https", Host: host})
	}
	tx, app, ok := strings.Cut(signed, ":")
	if !ok || tx == "" || app == "" {
		return "", &auth.Error{Kind: auth.UnexpectedPage, Step: stepDuo, Seen: "Okta's request for Duo is not one of the frame's"}
	}
	at := f.duo.JoinPath("/frame/web/v1/auth")
	parent := org.JoinPath("/signin/verify/duo/web").String()
	at.RawQuery = url.Values{"tx": {tx}, "parent": {parent}, "v": {"2.8"}}.Encode()
	page, err := f.browser.Do(ctx, auth.Request{Step: stepDuo, URL: at, Form: url.Values{"parent": {parent}},
		Stop: func(u *url.URL) bool { return !auth.SameOrigin(u, f.duo) }})
	if err != nil {
		return "", err
	}
	if page.Redirect != nil {
		return "", auth.Foreign(stepDuo, page.Redirect)
	}
	form, ok := page.FormWith("sid")
	if f.sid = form.Fields.Get("sid"); !ok || f.sid == "" || page.Status != http.StatusOK || !auth.SameOrigin(page.URL, f.duo) {
		return "", page.Unexpected(stepDuo, "no frame of Duo's for a passcode")
	}
	var refused *auth.Error
	for refused == nil || f.codes < maxCodes {
		if f.codes >= maxCodes {
			return "", f.prove(stepDuo)
		}
		given, err := f.ask(ctx, stepDuo, "a Duo passcode is asked for", auth.Challenge{Kind: auth.FactorDuo, Code: true, Device: "Duo"}, refused)
		if err != nil {
			return "", err
		}
		cookie, err := f.try(ctx, given)
		if err == nil {
			return cookie + ":" + app, nil
		}
		var named bool
		if refused, named = errors.AsType[*auth.Error](err); !named || refused.Kind != auth.PasscodeRefused {
			return "", err
		}
		f.say("Duo refused the code")
	}
	return "", refused
}

// try offers one passcode and returns Duo's signature.
func (f *frame) try(ctx context.Context, given auth.Secret) (string, error) {
	if err := f.prove(stepDuo); err != nil {
		return "", err
	}
	f.say("sending the code to Duo")
	asked, err := f.post(ctx, f.duo.JoinPath("/frame/prompt"), url.Values{
		"device": {"phone1"}, "factor": {"Passcode"}, "passcode": {given.Reveal()}, "out_of_date": {""},
	})
	if err != nil {
		return "", err
	}
	for range duoPolls {
		told, err := f.post(ctx, f.duo.JoinPath("/frame/status"), url.Values{"txid": {asked.Response.TxID}})
		if err != nil {
			return "", err
		}
		switch told.Response.Result {
		case "SUCCESS":
			cookie := told.Response.Cookie
			if told.Response.ResultURL != "" {
				to, err := auth.Resolve(stepDuo, f.duo, told.Response.ResultURL)
				if err != nil {
					return "", err
				}
				if !auth.SameOrigin(to, f.duo) {
					return "", auth.Foreign(stepDuo, to)
				}
				if told, err = f.post(ctx, to, url.Values{}); err != nil {
					return "", err
				}
				cookie = told.Response.Cookie
			}
			if !strings.HasPrefix(cookie, "AUTH|") {
				return "", &auth.Error{Kind: auth.UnexpectedPage, Step: stepDuo, Seen: "success without Duo's signature"}
			}
			return cookie, nil
		case "FAILURE":
			return "", &auth.Error{Kind: auth.PasscodeRefused, Step: stepDuo, Seen: "Duo refused the passcode"}
		}
		if err := auth.Pause(ctx, stepDuo, duoEvery); err != nil {
			return "", err
		}
	}
	return "", &auth.Error{Kind: auth.FactorFailed, Step: stepDuo, Seen: "Duo does not say what became of the passcode"}
}

// post sends a form of the frame's.
func (f *frame) post(ctx context.Context, to *url.URL, form url.Values) (*duoDocument, error) {
	form.Set("sid", f.sid)
	page, err := f.browser.Do(ctx, auth.Request{Step: stepDuo, URL: to, Form: form, Accept: "application/json", Stop: func(*url.URL) bool { return true }})
	if err != nil {
		return nil, err
	}
	var d duoDocument
	if page.Status != http.StatusOK || page.JSON(&d) != nil || d.Stat != "OK" {
		return nil, page.Unexpected(stepDuo, "no answer of Duo's frame")
	}
	return &d, nil
}

// duo answers by Duo's frame, and polls Okta for what that has come to.
func (v *verification) duo(ctx context.Context) (*answer, error) {
	to, err := v.at(stepDuo)
	if err != nil {
		return nil, err
	}
	state, err := v.call(ctx, stepDuo, to, body{StateToken: v.state.StateToken})
	if err != nil {
		return nil, err
	}
	var asked factor
	if len(state.Embedded.Factor) > 0 {
		asked = state.Embedded.Factor[0]
	}
	verification := asked.Embedded.Verification
	complete, ok := verification.Links["complete"]
	if state.status() != statusChallenge || !ok {
		return nil, &auth.Error{Kind: auth.UnexpectedPage, Step: stepDuo, Seen: "Okta does not say where Duo is, and where to come back"}
	}
	back, err := auth.Resolve(stepDuo, v.client.url, complete.Href)
	if err != nil {
		return nil, err
	}
	if !auth.SameOrigin(back, v.client.url) {
		return nil, auth.Foreign(stepDuo, back)
	}
	f := frame{prover: &v.walk.prover, browser: v.browser, duo: v.client.duo}
	response, err := f.passcode(ctx, v.client.url, verification.Host, verification.Signature)
	if err != nil {
		return nil, err
	}
	page, err := v.browser.Do(ctx, auth.Request{Step: stepDuo, URL: back, Accept: "application/json",
		Form: url.Values{"id": {v.factor.ID}, "stateToken": {state.StateToken}, "sig_response": {response}},
		Stop: func(*url.URL) bool { return true }})
	if err != nil {
		return nil, err
	}
	if page.Status >= http.StatusBadRequest {
		if a, ok := parseAnswer(page.Body); ok {
			return nil, refusal(stepDuo, page, a)
		}
		return nil, page.Unexpected(stepDuo, "Okta did not take Duo's answer")
	}
	for range duoPolls {
		next, ok := state.Links["next"]
		if !ok || next.Name != "poll" {
			break
		}
		if to, err = v.verifyURL(stepDuo, next, v.remember); err != nil {
			return nil, err
		}
		if state, err = v.call(ctx, stepDuo, to, body{StateToken: state.StateToken}); err != nil {
			return nil, err
		}
		if state.status() != statusChallenge {
			v.say("code accepted")
			return state, nil
		}
		if err := auth.Pause(ctx, stepDuo, duoEvery); err != nil {
			return nil, err
		}
	}
	return nil, &auth.Error{Kind: auth.FactorFailed, Step: stepDuo, Seen: "Okta does not take note of Duo's answer"}
}
