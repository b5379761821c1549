package okta

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"arcproxy/auth"
)

// names are Okta's names of factors in the Authentication API ("Factors"), with what
// the config calls them.
var names = map[string]auth.Factor{
	"push":                auth.FactorPush,
	"token:software:totp": auth.FactorTOTP,
	"token:hotp":          auth.FactorToken,
	"token":               auth.FactorToken,
	"token:hardware":      auth.FactorToken,
	"sms":                 auth.FactorSMS,
	"call":                auth.FactorCall,
	"email":               auth.FactorEmail,
	"question":            auth.FactorQuestion,
	"webauthn":            auth.FactorWebAuthn,
	"web":                 auth.FactorDuo,
}

// noDuo is what the config lacks for Duo.
const noDuo = "a passcode goes to Duo only where the config has okta.duo_host"

// options are the factors of an account as choose wants them.
func (c *Client) options(enrolled factors) []option {
	list := make([]option, len(enrolled))
	for i, one := range enrolled {
		list[i] = option{factor: names[one.Type], name: one.Type, provider: one.Provider}
		if one.Type == "push" && one.Provider != "OKTA" {
			list[i].factor = ""
		}
		if list[i].factor == auth.FactorDuo && c.duo == nil {
			list[i].missing = noDuo
		}
	}
	return list
}

// answerFactor chooses a factor and answers it.
func (w *walk) answerFactor(ctx context.Context, state *answer) (*answer, error) {
	kind, found, err := w.choose(w.client.options(state.Embedded.Factors))
	if err != nil {
		return nil, err
	}
	var list factors
	for _, i := range found {
		list = append(list, state.Embedded.Factors[i])
	}
	v := verification{walk: w, kind: kind, state: state, factor: list[0], remember: state.Embedded.Policy.AllowRememberDevice}
	switch {
	case kind == auth.FactorPush:
		return w.sendPush(ctx, state, v.factor)
	case kind == auth.FactorTOTP && w.stored(kind):
		return v.sendCodes(ctx, list)
	case sends(kind):
		return v.message(ctx)
	case kind == auth.FactorQuestion:
		return v.question(ctx)
	case kind == auth.FactorWebAuthn:
		return v.webauthn(ctx, list)
	case kind == auth.FactorDuo:
		return v.duo(ctx)
	}
	return v.typed(ctx, "a code is asked for", auth.Challenge{Kind: kind, Code: true, Device: deviceOf(v.factor)})
}

// verification is the answering of one factor.
type verification struct {
	*walk
	kind     auth.Factor
	state    *answer
	factor   factor
	remember bool
	link     link // to verify at, if the factor's own is not it
}

// at returns the address at which v's factor is verified.
func (v *verification) at(step string) (*url.URL, error) {
	l := v.link
	if l.Href == "" {
		var err error
		if l, err = verifyLink(step, v.factor); err != nil {
			return nil, err
		}
	}
	return v.verifyURL(step, l, v.remember)
}

// send sends one proof, which counts as an attempt whatever becomes of it. An error
// is PasscodeRefused where it was refused.
func (v *verification) send(ctx context.Context, to *url.URL, in body) (*answer, error) {
	if err := v.prove(stepTOTP); err != nil {
		return nil, err
	}
	in.StateToken = v.state.StateToken
	v.say("sending the " + v.what() + " to Okta")
	next, err := v.call(ctx, stepTOTP, to, in)
	if err == nil {
		kind, failed := results[next.FactorResult]
		if !failed || next.status() == statusSuccess {
			if next.good() {
				v.say(v.what() + " accepted")
			}
			return next, nil
		}
		err = &auth.Error{Kind: kind, Step: stepTOTP, Code: auth.Clean(next.FactorResult)}
	}
	if auth.KindOf(err) == auth.PasscodeRefused {
		v.say("Okta refused the " + v.what())
	}
	if v.stored(v.kind) {
		err = unanswered(err)
	}
	return nil, err
}

// what is sent, in a word.
func (v *verification) what() string {
	switch v.kind {
	case auth.FactorQuestion:
		return "answer"
	case auth.FactorWebAuthn:
		return "signature"
	}
	return "code"
}

// sendCodes answers with a code of the stored secret. A code that is refused is
// followed by that of the next time window, once in a transaction. No time window is
// used twice: Okta takes each code once, and the second time counts as a failure.
func (v *verification) sendCodes(ctx context.Context, authenticators []factor) (*answer, error) {
	secret, err := v.account.TOTPSecret(ctx)
	if err != nil {
		return nil, err
	}
	clock, err := v.clockOf(v.state.clock)
	if err != nil {
		return nil, err
	}
	var refused *auth.Error
	for refused == nil || v.codes < maxCodes {
		v.factor = authenticators[0]
		if refused != nil && len(authenticators) > 1 && refused.Code == "E0000068" {
			v.factor = authenticators[1] // the secret may be the other authenticator's
		}
		to, err := v.at(stepTOTP)
		if err != nil {
			return nil, err
		}
		if err := v.browser.Ready(ctx, stepTOTP, to); err != nil { // it may wait, and a code ages
			return nil, err
		}
		if v.codes >= maxCodes {
			return nil, v.prove(stepTOTP)
		}
		code, err := v.freshCode(ctx, secret, clock)
		if err != nil {
			return nil, err
		}
		next, err := v.send(ctx, to, body{PassCode: code.Reveal()})
		if err == nil {
			return next, nil
		}
		var named bool
		if refused, named = errors.AsType[*auth.Error](err); !named || refused.Kind != auth.PasscodeRefused {
			return nil, err
		}
	}
	if clock != 0 {
		refused.Seen += fmt.Sprintf("; this machine's clock differs from Okta's by %s", clock)
	}
	return nil, refused
}

// typed answers with what a person is asked for, at most twice in a transaction, and
// never with the same again.
func (v *verification) typed(ctx context.Context, text string, c auth.Challenge) (*answer, error) {
	to, err := v.at(stepTOTP)
	if err != nil {
		return nil, err
	}
	var refused *auth.Error
	for refused == nil || v.codes < maxCodes {
		if v.codes >= maxCodes {
			return nil, v.prove(stepTOTP)
		}
		given, err := v.ask(ctx, stepTOTP, text, c, refused)
		if err != nil {
			return nil, err
		}
		if err := v.browser.Ready(ctx, stepTOTP, to); err != nil {
			return nil, err
		}
		in := body{PassCode: given.Reveal()}
		switch c.Kind {
		case auth.FactorQuestion:
			in = body{Answer: given.Reveal()}
		case auth.FactorTOTP:
			v.account.UseStep(time.Now().Add(v.state.clock).Unix() / int64(period/time.Second))
		}
		next, err := v.send(ctx, to, in)
		if err == nil {
			return next, nil
		}
		var named bool
		if refused, named = errors.AsType[*auth.Error](err); !named || refused.Kind != auth.PasscodeRefused {
			return nil, err
		}
	}
	return nil, refused
}

// question answers the security question: with the stored answer, once, or with a
// person's.
func (v *verification) question(ctx context.Context) (*answer, error) {
	if !v.stored(v.kind) {
		text := auth.Clean(v.factor.Profile.QuestionText)
		return v.typed(ctx, "Okta asks: "+text, auth.Challenge{Kind: v.kind, Code: true, Question: text})
	}
	given, err := v.account.Answer(ctx)
	if err != nil {
		return nil, err
	}
	to, err := v.at(stepTOTP)
	if err != nil {
		return nil, err
	}
	if v.codes > 0 {
		return nil, &auth.Error{Kind: auth.FactorFailed, Step: stepTOTP, Seen: "Okta asks for one answer after another"}
	}
	return v.send(ctx, to, body{Answer: given.Reveal()})
}

// verifyURL returns the address of a link at which a factor is verified, with
// rememberDevice where the policy allows it: then Okta asks this device (the DT
// cookie) less often. It counts only as a query parameter, never in the body.
func (w *walk) verifyURL(step string, l link, remember bool) (*url.URL, error) {
	u, err := auth.Resolve(step, w.client.url, l.Href)
	if err != nil {
		return nil, err
	}
	if remember {
		q := u.Query()
		q.Set("rememberDevice", "true")
		u.RawQuery = q.Encode()
	}
	return u, nil
}

// verifyLink is the factor's own link to its verification.
func verifyLink(step string, f factor) (link, error) {
	l, ok := f.Links["verify"]
	if !ok {
		return link{}, &auth.Error{Kind: auth.UnexpectedPage, Step: step, Seen: "the factor " + auth.Clean(f.Type) + " has no link to verify it"}
	}
	return l, nil
}

// deviceOf is how a person knows what shows a code.
func deviceOf(f factor) string {
	return strings.TrimSpace(auth.Clean(f.Provider) + " " + auth.Clean(f.Profile.Name))
}
