package okta

import (
	"errors"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// step is the time step of a code, in seconds (RFC 6238).
const step = 30

// farSteps is how far from the window a code is still recognized as a right one
// at a wrong time, which has an error of its own.
const farSteps = 20

// checkTOTPSecret refuses a secret from which no code can be made.
func checkTOTPSecret(secret string) error {
	if _, err := hotp.GenerateCode(secret, 1); err != nil {
		return errors.New("the TOTP secret is not base32")
	}
	return nil
}

// matchTOTP returns the time step within skew of now that a code belongs to.
func matchTOTP(secret, code string, now time.Time, skew int64) (int64, bool) {
	return matchStep(secret, code, now.Unix()/step, skew)
}

// matchStep returns the step within skew of at that a code belongs to.
func matchStep(secret, code string, at, skew int64) (int64, bool) {
	for d := int64(0); d <= skew; d++ {
		for _, s := range []int64{at - d, at + d} {
			ok, err := hotp.ValidateCustom(code, uint64(s), secret, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
			if err == nil && ok {
				return s, true
			}
		}
	}
	return 0, false
}

// checkTOTP returns the error code for a code, "" for a good one: E0000082 where
// its time step (or a later one) was used before, E0000083 where it is right but
// outside the window, E0000068 where it is wrong [EC].
func (o *Org) checkTOTP(c *call, a *account, code string) string {
	s, ok := matchTOTP(a.TOTPSecret, code, c.now, int64(o.settings.TOTPSkew))
	switch {
	case ok && s <= a.lastStep:
		return "E0000082"
	case ok:
		a.lastStep = s
		return ""
	}
	if _, far := matchTOTP(a.TOTPSecret, code, c.now, farSteps); far {
		return "E0000083"
	}
	return "E0000068"
}
