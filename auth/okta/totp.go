package okta

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"arcproxy/auth"
)

const (
	period   = 30 * time.Second // of a code (RFC 6238 §4.1; what Okta and Google Authenticator use)
	maxCodes = 2                // Okta locks the account after 5 in a row
	// A difference of clocks below this is the Date header's whole seconds and the
	// network's delay, above it is a wrong clock.
	clockNoise = 3 * time.Second
	// A greater one is a broken Date header rather than a wrong clock: a code of
	// some far-off time is sent to nobody.
	clockMost = 24 * time.Hour
)

// sendCode answers with a code of the stored secret. A code that is refused is
// followed by that of the next time window, once in a transaction. No time window is used twice:
// Okta takes each code once, and the second time counts as a failure.
func (w *walk) sendCode(ctx context.Context, state *answer, authenticators []factor) (*answer, error) {
	secret, err := w.account.TOTPSecret(ctx)
	if err != nil {
		return nil, err
	}
	clock := state.clock
	switch {
	case clock.Abs() > clockMost:
		return nil, &auth.Error{Kind: auth.FactorFailed, Step: stepTOTP, Seen: fmt.Sprintf("no code was sent: this machine's clock differs from Okta's by %s", clock)}
	case clock.Abs() < clockNoise:
		clock = 0
	default:
		w.say(fmt.Sprintf("this machine's clock differs from Okta's by %s; codes are made by Okta's", clock))
	}
	var refused *auth.Error
	for w.codes < maxCodes {
		f := authenticators[0]
		if refused != nil && len(authenticators) > 1 && refused.Code == "E0000068" {
			f = authenticators[1] // the secret may be the other authenticator's
		}
		l, err := verifyLink(stepTOTP, f)
		if err != nil {
			return nil, err
		}
		to, err := w.verifyURL(stepTOTP, l, state.Embedded.Policy.AllowRememberDevice)
		if err != nil {
			return nil, err
		}
		if err := w.browser.Ready(ctx, stepTOTP, to); err != nil { // it may wait, and a code ages
			return nil, err
		}
		code, err := w.freshCode(ctx, secret, clock)
		if err != nil {
			return nil, err
		}
		w.codes++
		w.answered = true
		w.say("sending a code to Okta")
		next, err := w.call(ctx, stepTOTP, to, body{StateToken: state.StateToken, PassCode: code.Reveal()})
		if err == nil {
			kind, failed := results[next.FactorResult]
			if !failed || next.status() == statusSuccess {
				if next.good() {
					w.say("code accepted")
				}
				return next, nil
			}
			err = &auth.Error{Kind: kind, Step: stepTOTP, Code: auth.Clean(next.FactorResult)}
		}
		var named bool
		if refused, named = errors.AsType[*auth.Error](err); !named || refused.Kind != auth.PasscodeRefused {
			return nil, err
		}
		w.say("Okta refused the code")
	}
	if refused == nil {
		return nil, &auth.Error{Kind: auth.FactorFailed, Step: stepTOTP, Seen: "Okta asks for one code after another"}
	}
	if clock != 0 {
		refused.Seen += fmt.Sprintf("; this machine's clock differs from Okta's by %s", clock)
	}
	return nil, refused
}

// freshCode makes the code of the present time window by Okta's clock, or, if
// that one was used, waits for the next.
func (w *walk) freshCode(ctx context.Context, secret auth.Secret, clock time.Duration) (auth.Secret, error) {
	step := int64(period / time.Second)
	for {
		now := time.Now().Add(clock)
		window := now.Unix() / step
		if next := w.account.NextStep(window); next > window {
			w.say("waiting for the next code")
			if err := auth.Pause(ctx, stepTOTP, time.Unix(next*step, 0).Sub(now)); err != nil {
				return auth.Secret{}, err
			}
			continue
		}
		text := strings.ToUpper(strings.Join(strings.Fields(strings.ReplaceAll(secret.Reveal(), "-", " ")), ""))
		code, err := totp.GenerateCodeCustom(text, now, totp.ValidateOpts{
			Period:    uint(step),
			Digits:    otp.DigitsSix,
			Algorithm: otp.AlgorithmSHA1,
		})
		if err != nil { // which is about the secret: it is not quoted
			return auth.Secret{}, &auth.Error{Kind: auth.MissingCredential, Step: stepTOTP, Seen: "totp_secret is not base32"}
		}
		w.account.UseStep(window)
		return auth.NewSecret(code), nil
	}
}
