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

// prove gives one proof of who signs in: the password first, which needs nobody;
// then what the config prefers. What it leads to is the next document's to say.
func (f *flow) prove(ctx context.Context, all []choice) error {
	w := f.walk
	var open []choice
	var options []option
	for _, c := range all {
		switch {
		case c.password && w.passwordShown, c.form != nil && f.challenged[c.form.name+" "+c.same()]:
		case c.password && c.form != nil:
			return f.challenge(ctx, stepPassword, &c)
		case c.password:
			form, err := f.answerForm(stepPassword, "passcode")
			if err != nil {
				return err
			}
			return f.sendPassword(ctx, form, map[string]any{})
		default:
			open, options = append(open, c), append(options, c.option)
		}
	}
	kind, found, err := w.choose(options)
	switch {
	case err == nil:
	case f.refused != nil:
		return f.refused
	case f.doc.polling != nil: // a wait for FastPass
		return f.pass(ctx, stepFactor, f.doc.polling, nil)
	case len(options) == 0 && w.passwordShown:
		return f.askedAgain()
	default:
		return err
	}
	c := &open[found[0]]
	if f.refused != nil && f.refused.Code != usedCode && len(found) > 1 && kind == auth.FactorTOTP && w.stored(kind) {
		c = &open[found[1]] // the secret may be the other authenticator's
	}
	if f.proven[c.same()] {
		return &auth.Error{Kind: auth.FactorFailed, Step: stepFactor, Seen: "Okta accepts a proof and asks for it again"}
	}
	f.proving = c.same()
	switch {
	case kind == auth.FactorPush:
		return f.push(ctx, c)
	case sends(kind):
		return f.message(ctx, c)
	case c.form != nil:
		return f.challenge(ctx, stepFactor, c)
	case kind == auth.FactorTOTP && w.stored(kind):
		return f.code(ctx)
	case kind == auth.FactorQuestion:
		return f.question(ctx)
	case kind == auth.FactorWebAuthn:
		return f.webauthn(ctx)
	case kind == auth.FactorDuo:
		return f.duo(ctx)
	}
	return f.typed(ctx, "passcode", "a code is asked for", auth.Challenge{Kind: kind, Code: true, Device: strings.TrimSpace(c.provider + " " + c.device)})
}

// usedCode says that a code was right and was used before.
const usedCode = "authfactor.challenge.soft_token.used_passcode"

// challenge posts the form that chooses an authenticator, each form once.
func (f *flow) challenge(ctx context.Context, step string, c *choice) error {
	f.challenged[c.form.name+" "+c.same()] = true
	return f.post(ctx, step, c.form, c.pick)
}

// reach chooses an authenticator that reaches a person, if somebody waits and no
// other was reached in this flow. Okta may have chosen it by itself: that counts,
// too. One form may ask for the authenticator and another for its method.
func (f *flow) reach(ctx context.Context, step string, c *choice) error {
	w := f.walk
	if c.form != nil {
		to, err := f.address(step, c.form)
		if err != nil {
			return err
		}
		if err := w.browser.Ready(ctx, step, to); err != nil { // it may wait: the callers are asked afterwards
			return err
		}
	}
	if f.sent != c.same() {
		if err := w.bother(step); err != nil {
			return err
		}
		f.sent = c.same()
	}
	if c.form == nil {
		return nil
	}
	return unsure(f.challenge(ctx, step, c), auth.Unreachable, auth.Deadline, auth.UnexpectedPage)
}

// message lets Okta send a code and answers with what a person types.
func (f *flow) message(ctx context.Context, c *choice) error {
	if c.form != nil || f.sent != c.same() {
		if err := f.reach(ctx, stepMessage, c); err != nil {
			return err
		}
		f.until = f.deadline(ctx, codeLife)
		if c.form != nil {
			return nil // what it has led to is to be seen
		}
	}
	device := c.device
	if device == "" {
		device = "the account's own"
	}
	err := f.typed(ctx, "passcode", messages[c.factor]+device+": enter it", auth.Challenge{Kind: c.factor, Code: true, Device: device, Deadline: f.until})
	return ungiven(unsure(err, auth.Unreachable, auth.Deadline, auth.UnexpectedPage, auth.SessionLost))
}

// deadline is when what was just sent runs out, by our clock.
func (f *flow) deadline(ctx context.Context, life time.Duration) time.Time {
	sent := answer{ExpiresAt: timestamp{f.doc.expires}, clock: f.doc.clock}
	return sent.deadline(ctx, life)
}

// code answers with a code of the stored secret. If it is refused, what comes next
// is the document's to say: the same form, for the next code, or another
// authenticator, which the secret may belong to.
func (f *flow) code(ctx context.Context) error {
	w := f.walk
	secret, err := w.account.TOTPSecret(ctx)
	if err != nil {
		return err
	}
	form, name, to, err := f.codeForm("passcode")
	if err != nil {
		return err
	}
	clock, err := w.clockOf(f.doc.clock)
	if err != nil {
		return err
	}
	if err := w.browser.Ready(ctx, stepTOTP, to); err != nil { // it may wait, and a code ages
		return err
	}
	code, err := w.freshCode(ctx, secret, clock)
	if err != nil {
		return err
	}
	err = unanswered(f.answer(ctx, form, "code", map[string]any{name: code.Reveal()}))
	if e, ok := errors.AsType[*auth.Error](err); ok && e.Kind == auth.PasscodeRefused && clock != 0 {
		e.Seen += fmt.Sprintf("; this machine's clock differs from Okta's by %s", clock)
	}
	return err
}

// typed answers with what a person is asked for, never with the same again.
func (f *flow) typed(ctx context.Context, field, text string, c auth.Challenge) error {
	w := f.walk
	form, name, to, err := f.codeForm(field)
	if err != nil {
		return err
	}
	given, err := w.ask(ctx, stepTOTP, text, c, f.refused)
	if err != nil {
		return err
	}
	if err := w.browser.Ready(ctx, stepTOTP, to); err != nil {
		return err
	}
	what := "code"
	switch c.Kind {
	case auth.FactorQuestion:
		what = "answer"
	case auth.FactorTOTP:
		w.account.UseStep(time.Now().Add(f.doc.clock).Unix() / int64(period/time.Second))
	}
	return f.answer(ctx, form, what, map[string]any{name: given.Reveal()})
}

// question answers the security question: with the stored answer, once, or with a
// person's.
func (f *flow) question(ctx context.Context) error {
	w := f.walk
	if !w.stored(auth.FactorQuestion) {
		text := f.questionText()
		return f.typed(ctx, "answer", "Okta asks: "+text, auth.Challenge{Kind: auth.FactorQuestion, Code: true, Question: text})
	}
	if f.refused != nil {
		return f.refused
	}
	form, name, to, err := f.codeForm("answer")
	if err != nil {
		return err
	}
	given, err := w.account.Answer(ctx)
	if err != nil {
		return err
	}
	if err := w.browser.Ready(ctx, stepTOTP, to); err != nil {
		return err
	}
	return unanswered(f.answer(ctx, form, "answer", map[string]any{name: given.Reveal()}))
}

// questionText is the question of the authenticator that is challenged.
func (f *flow) questionText() string {
	for _, place := range []string{"currentAuthenticatorEnrollment", "currentAuthenticator"} {
		a := object(f.doc.tree, place, "value")
		for _, m := range []map[string]any{object(a, "contextualData", "enrolledQuestion"), object(a, "profile")} {
			if s := auth.Clean(text(m, "question")); s != "" {
				return s
			}
		}
	}
	return "its security question"
}

// webauthn answers with a signature of the account's software key, once in a flow:
// the same key makes no better one.
func (f *flow) webauthn(ctx context.Context) error {
	w := f.walk
	k, err := w.key(ctx)
	if err != nil {
		return err
	}
	listed, owned := false, false
	for _, one := range list(object(f.doc.tree, "authenticatorEnrollments")["value"], maxIDXForms) {
		if id := text(object(one), "credentialId"); id != "" && text(object(one), "key") == "webauthn" {
			listed, owned = true, owned || k.owns(id)
		}
	}
	if listed && !owned {
		return &auth.Error{Kind: auth.FactorUnavailable, Step: stepKey, Seen: "the webauthn key's credential is none of the account's"}
	}
	if w.codes > 0 {
		return &auth.Error{Kind: auth.FactorFailed, Step: stepKey, Seen: "Okta asks for one signature after another"}
	}
	form, err := f.answerForm(stepKey, "clientData", "authenticatorData", "signatureData")
	if err != nil {
		return err
	}
	asked := object(f.doc.current.context, "challengeData")
	s, err := w.signed(k, w.client.url, text(asked, "challenge"), text(asked, "userVerification"))
	if err != nil {
		return err
	}
	return unanswered(f.answer(ctx, form, "signature", map[string]any{
		"clientData": s.ClientData, "authenticatorData": s.AuthenticatorData, "signatureData": s.SignatureData,
	}))
}

// duo answers by Duo's frame.
func (f *flow) duo(ctx context.Context) error {
	w := f.walk
	form, err := f.answerForm(stepDuo, "signatureData")
	if err != nil {
		return err
	}
	asked := f.doc.current.context
	frame := frame{prover: &w.prover, browser: w.browser, duo: w.client.duo}
	response, err := frame.passcode(ctx, w.client.url, text(asked, "host"), text(asked, "signedToken"))
	if err != nil {
		return err
	}
	if err := f.post(ctx, stepDuo, form, map[string]any{"credentials": map[string]any{"signatureData": response}}); err != nil {
		return err
	}
	f.proven[f.proving] = true
	w.say("code accepted")
	return nil
}

// answerForm is the form that takes the answer to a challenge, with fields of those
// names for it.
func (f *flow) answerForm(step string, names ...string) (*idxForm, error) {
	form := f.doc.form("challenge-authenticator")
	for _, name := range names {
		if form.field("credentials", name) == nil {
			return nil, &auth.Error{Kind: auth.UnexpectedPage, Step: step, Seen: "no form that is known for it"}
		}
	}
	return form, form.sendable(step, f.doc.stateHandle, nil, names...)
}

// codeForm is the form that takes a proof, the name of its field, and its address.
func (f *flow) codeForm(name string) (form *idxForm, field string, to *url.URL, err error) {
	if f.walk.codes >= maxCodes {
		if f.refused != nil {
			return nil, "", nil, f.refused
		}
		return nil, "", nil, f.walk.prover.prove(stepTOTP)
	}
	if form := f.doc.form("challenge-authenticator"); name == "passcode" && form.field("credentials", "totp") != nil {
		name = "totp" // Okta Verify's
	}
	if form, err = f.answerForm(stepTOTP, name); err != nil {
		return nil, "", nil, err
	}
	to, err = f.address(stepTOTP, form)
	return form, name, to, err
}

// answer posts a proof. That it was refused is no end yet, if another can follow.
func (f *flow) answer(ctx context.Context, form *idxForm, what string, proof map[string]any) error {
	w := f.walk
	if err := w.prover.prove(stepTOTP); err != nil {
		return err
	}
	w.say("sending the " + what + " to Okta")
	err := f.post(ctx, stepTOTP, form, map[string]any{"credentials": proof})
	if err == nil {
		f.refused, f.proven[f.proving] = nil, true
		w.say(what + " accepted")
		return nil
	}
	if e, ok := errors.AsType[*auth.Error](err); ok && e.Kind == auth.PasscodeRefused {
		w.say("Okta refused the " + what)
		if f.doc.form("challenge-authenticator") != nil && w.codes < maxCodes {
			f.refused = e
			return nil
		}
	}
	return err
}

// address is a form's, pinned to the organization.
func (f *flow) address(step string, form *idxForm) (*url.URL, error) {
	return auth.Resolve(step, f.walk.client.url, form.href)
}
