package okta

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"arcproxy/auth"
)

// option is a second factor that an account has, as either engine lists it.
type option struct {
	factor   auth.Factor // what the config calls it; "" for one that cannot be answered
	name     string      // what Okta calls it, for errors
	provider string      // "GOOGLE"
	missing  string      // what the config lacks for it, in words; "" if nothing
}

// prover chooses second factors and makes what proves them, for the transactions of
// one sign-in and for either engine. The bounds of §7 of what keeps accounts safe are
// here: how often something is sent to a person, or a code to Okta.
type prover struct {
	account *auth.Account
	watch   auth.Watch

	typed    []auth.Secret // what a person gave to this sign-in
	answered bool          // something was sent to a person or, as a proof, to Okta in this sign-in
	pushed   bool          // a push or a code was sent to a person in this transaction: never a second one
	codes    int           // proofs sent to Okta in this transaction
}

// maxCodes is how many proofs are sent in a transaction: Okta locks the account
// after 5 in a row.
const maxCodes = 2

// begin begins a transaction.
func (p *prover) begin() { p.pushed, p.codes = false, 0 }

// The factors in the order in which auto takes them: those that need no person,
// a push, what a person can read off something without being sent anything, and
// what has to be sent.
var (
	alone  = []auth.Factor{auth.FactorTOTP, auth.FactorQuestion, auth.FactorWebAuthn}
	asking = []auth.Factor{auth.FactorToken, auth.FactorTOTP, auth.FactorDuo, auth.FactorQuestion, auth.FactorEmail, auth.FactorSMS, auth.FactorCall}
)

func (p *prover) say(text string) { p.watch.Say(auth.Event{Text: text}) }

// stored reports whether a factor is answered by what the config has.
func (p *prover) stored(f auth.Factor) bool {
	switch f {
	case auth.FactorTOTP:
		return p.account.HasTOTP()
	case auth.FactorQuestion:
		return p.account.HasAnswer()
	case auth.FactorWebAuthn:
		return p.account.HasWebAuthn()
	}
	return false
}

// sends reports whether answering a factor makes a person's phone buzz, or costs
// the organization money.
func sends(f auth.Factor) bool {
	switch f {
	case auth.FactorPush, auth.FactorSMS, auth.FactorCall, auth.FactorEmail:
		return true
	}
	return false
}

// wanted are the factors in the order in which they are tried.
func (p *prover) wanted() []auth.Factor {
	var list []auth.Factor
	for _, f := range p.account.Factors() {
		if f != auth.FactorAuto {
			list = append(list, f)
			continue
		}
		for _, f := range alone {
			if p.stored(f) {
				list = append(list, f)
			}
		}
		list = append(append(list, auth.FactorPush), asking...)
	}
	return list
}

// possible reports whether a factor can be answered now, if it does not have to
// wait for a pause.
func (p *prover) possible(f auth.Factor) bool {
	return f == auth.FactorPush || p.stored(f) || p.watch.CanAsk() && slices.Contains(asking, f)
}

// willSend returns why nothing may be sent to a person, if there is a reason and
// it is certain that this sign-in would: before a password is sent for nothing.
func (p *prover) willSend() error {
	for _, f := range p.wanted() {
		if p.possible(f) && !sends(f) {
			return nil
		}
	}
	if !slices.ContainsFunc(p.wanted(), sends) {
		return nil // what is lacking is told when it is known what is needed
	}
	err := p.maySend(stepFactor)
	if e, ok := err.(*auth.Error); ok && e.Kind == auth.NobodyWaiting {
		e.Seen = "neither a password nor a push was sent"
	}
	return err
}

// maySend returns why nothing may be sent to a person at this moment, nil if it may.
func (p *prover) maySend(step string) error {
	switch {
	case p.watch.PushPaused != nil:
		return p.watch.PushPaused
	case !p.watch.SomebodyWaits():
		return &auth.Error{Kind: auth.NobodyWaiting, Step: step, Seen: "nothing was sent"}
	}
	return nil
}

// bother is asked immediately before something is sent to a person, and says why it
// may not be. It allows it once in a transaction, whatever becomes of it.
func (p *prover) bother(step string) error {
	if p.watch.PushPaused != nil {
		return p.watch.PushPaused
	}
	if p.pushed {
		return &auth.Error{Kind: auth.FactorFailed, Step: step, Seen: "Okta asks for a second push or code in one sign-in"}
	}
	if err := p.maySend(step); err != nil {
		return err
	}
	p.pushed, p.answered = true, true
	return nil
}

// prove is asked immediately before a proof is sent to Okta, and counts it.
func (p *prover) prove(step string) error {
	if p.codes >= maxCodes {
		return &auth.Error{Kind: auth.FactorFailed, Step: step, Seen: "Okta asks for one code after another"}
	}
	p.codes++
	p.answered = true
	return nil
}

// choose picks, by the config, the factor to answer, and returns those of the
// options that are such: mostly one. What needs nothing sent while that is paused
// goes before what has to wait for the end of the pause.
func (p *prover) choose(options []option) (auth.Factor, []int, error) {
	var paused, lacking bool
	for _, f := range p.wanted() {
		found := pick(options, f)
		switch {
		case len(found) == 0:
		case !p.possible(f):
			lacking = true
		case sends(f) && p.watch.PushPaused != nil:
			paused = true
		default:
			return f, found, nil
		}
	}
	if paused {
		return "", nil, p.watch.PushPaused
	}
	kind := auth.FactorUnavailable
	if lacking && !slices.Contains(p.account.Factors(), auth.FactorAuto) {
		kind = auth.MissingCredential
	}
	return "", nil, &auth.Error{Kind: kind, Step: stepFactor, Seen: p.seen(options, lacking)}
}

// pick returns the options that are of factor f and lack nothing. With two
// authenticators of one kind the secret is rather Google Authenticator's: Okta
// Verify shows its own to nobody.
func pick(options []option, f auth.Factor) []int {
	var found []int
	for i, o := range options {
		if o.factor == f && o.missing == "" {
			found = append(found, i)
		}
	}
	slices.SortStableFunc(found, func(a, b int) int { return cmp.Compare(rank(options[a]), rank(options[b])) })
	return found
}

func rank(o option) int {
	if o.provider == "GOOGLE" {
		return 0
	}
	return 1
}

// seen says what the account has, and what of it the config does not answer.
func (p *prover) seen(options []option, lacking bool) string {
	var names, missing, preferred []string
	for _, o := range options {
		names = append(names, auth.Clean(o.name))
		if o.missing != "" {
			missing = append(missing, o.missing)
		}
	}
	seen := "the account has no second factor enrolled"
	if len(names) > 0 {
		seen = "the account has " + strings.Join(names[:min(len(names), 8)], ", ")
	}
	for _, f := range p.account.Factors() {
		if f != auth.FactorAuto {
			preferred = append(preferred, auth.Clean(string(f)))
		}
	}
	if len(preferred) > 0 {
		seen += "; the config asks for " + strings.Join(preferred, ", ")
	}
	if lacking {
		seen += "; no secret for it is configured, and nobody can be asked"
	}
	for _, m := range missing[:min(len(missing), 2)] {
		seen += "; " + m
	}
	return seen
}

// ask asks a person for a code or an answer until deadline (zero: as long as ctx
// lasts). One that was given before in this sign-in is not returned again: refused is
// returned, which is why Okta did not take it, or an error that says so.
func (p *prover) ask(ctx context.Context, step, text string, c auth.Challenge, refused *auth.Error) (auth.Secret, error) {
	if end, ok := ctx.Deadline(); ok && (c.Deadline.IsZero() || end.Before(c.Deadline)) {
		c.Deadline = end
	}
	if !c.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, c.Deadline)
		defer cancel()
		text += " within " + spoken(max(time.Until(c.Deadline).Round(time.Second), time.Second))
	}
	if c.Again = refused != nil; c.Again {
		text = "the last was refused; " + text
	}
	given, err := p.watch.Answer(ctx, step, auth.Event{Text: text, Challenge: &c})
	if err != nil {
		return auth.Secret{}, err
	}
	p.account.UseTyped(given)
	// The answer to a question may be needed again for the application.
	if slices.ContainsFunc(p.typed, given.Equal) && (c.Kind != auth.FactorQuestion || refused != nil) {
		if refused == nil {
			refused = &auth.Error{Kind: auth.PasscodeRefused, Step: step, Seen: "the same code was given before; it was not sent again"}
		}
		return auth.Secret{}, refused
	}
	p.typed = append(p.typed, given)
	return given, nil
}
