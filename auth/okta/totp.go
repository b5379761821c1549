package okta

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"arcproxy/auth"
)

const (
	period = 30 * time.Second // of a code (RFC 6238 §4.1; what Okta and Google Authenticator use)
	// A difference of clocks below this is the Date header's whole seconds and the
	// network's delay, above it is a wrong clock.
	clockNoise = 3 * time.Second
	// A greater one is a broken Date header rather than a wrong clock: a code of
	// some far-off time is sent to nobody.
	clockMost = 24 * time.Hour
)

// clockOf decides by what clock codes are made, given how far Okta's is ahead.
func (p *prover) clockOf(offset time.Duration) (time.Duration, error) {
	switch {
	case offset.Abs() > clockMost:
		return 0, &auth.Error{Kind: auth.FactorFailed, Step: stepTOTP, Seen: fmt.Sprintf("no code was sent: this machine's clock differs from Okta's by %s", offset)}
	case offset.Abs() < clockNoise:
		return 0, nil
	}
	p.say(fmt.Sprintf("this machine's clock differs from Okta's by %s; codes are made by Okta's", offset))
	return offset, nil
}

// freshCode makes the code of the present time window by Okta's clock, or, if
// that one was used, waits for the next.
func (p *prover) freshCode(ctx context.Context, secret auth.Secret, clock time.Duration) (auth.Secret, error) {
	step := int64(period / time.Second)
	for {
		now := time.Now().Add(clock)
		window := now.Unix() / step
		if next := p.account.NextStep(window); next > window {
			p.say("waiting for the next code")
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
		p.account.UseStep(window)
		return auth.NewSecret(code), nil
	}
}
