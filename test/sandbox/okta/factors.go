package okta

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"net/http"
	"strings"

	"github.com/pquerna/otp/totp"
)

// verify sends a challenge, polls it, or checks a code, according to the
// transaction's state and the factor [A].
func (o *Org) verify(c *call) answer {
	t, in, bad := o.resume(c, mfaRequired, mfaChallenge)
	if bad != nil {
		return *bad
	}
	f := t.account.find(c.r.PathValue("id"))
	if f == nil {
		return fail(http.StatusNotFound, "E0000007", c.r.PathValue("id")+" (UserFactor)")
	}
	if t.status == mfaChallenge && t.factor != f {
		return wrongState() // another factor is being challenged: previous first
	}
	// Only the query parameter counts; in the body it never worked (saml2aws#714).
	t.remember = c.r.URL.Query().Get("rememberDevice") == "true"
	switch f.kind {
	case "push":
		return o.verifyPush(c, t, f)
	case "token:software:totp":
		if in.PassCode == "" {
			t.status, t.factor, t.result = mfaChallenge, f, ""
			return o.show(c, t)
		}
		o.counts.Passcodes++
		o.secrets[in.PassCode] = true
		return o.judge(c, t, o.checkTOTP(c, t.account, in.PassCode))
	case "sms":
		if in.PassCode == "" {
			return o.sendSMS(c, t, f)
		}
		return o.checkCode(c, t, f.code != "" && in.PassCode == f.code)
	case "question":
		if in.Answer == "" {
			t.status, t.factor, t.result = mfaChallenge, f, ""
			return o.show(c, t)
		}
		return o.checkCode(c, t, t.account.Answer != "" && strings.EqualFold(in.Answer, t.account.Answer))
	default: // u2f: no key is at hand, so no signature is ever right
		if t.status == mfaRequired {
			t.status, t.factor, t.result = mfaChallenge, f, "CHALLENGE"
			return o.show(c, t)
		}
		return o.checkCode(c, t, false)
	}
}

// checkCode judges a code that is simply right or wrong.
func (o *Org) checkCode(c *call, t *transaction, right bool) answer {
	o.counts.Passcodes++
	if right {
		return o.judge(c, t, "")
	}
	return o.judge(c, t, "E0000068")
}

// judge ends a check of a code: with an error code, or, if that is "", well.
func (o *Org) judge(c *call, t *transaction, code string) answer {
	if code == "" {
		return o.pass(c, t)
	}
	if t.account.fail(o) {
		o.end(t)
		return userLocked()
	}
	return fail(http.StatusForbidden, code)
}

// pass records a passed second factor and goes on.
func (o *Org) pass(c *call, t *transaction) answer {
	a := t.account
	a.badFactor = 0
	t.withdraw()
	t.checkedMFA, t.factor, t.result = true, nil, ""
	if c.dt != "" {
		key := deviceKey{a.id, c.dt}
		o.known[key] = true
		if t.remember && o.settings.AllowRememberDevice && t.app == nil {
			o.remembered[key] = c.now.Add(o.settings.RememberDevice)
		}
	}
	return o.proceed(c, t)
}

// resend sends a push or a message anew.
func (o *Org) resend(c *call) answer {
	t, _, bad := o.resume(c, mfaChallenge)
	if bad != nil {
		return *bad
	}
	if t.factor.id != c.r.PathValue("id") {
		return wrongState()
	}
	switch t.factor.kind {
	case "push":
		o.sendPush(c, t)
		return o.show(c, t)
	case "sms":
		return o.sendSMS(c, t, t.factor)
	}
	return wrongState()
}

// sendSMS sends a code, at most one in SMSInterval.
func (o *Org) sendSMS(c *call, t *transaction, f *factor) answer {
	if !f.sent.IsZero() && c.now.Sub(f.sent) < o.settings.SMSInterval {
		return fail(http.StatusTooManyRequests, "E0000109")
	}
	n, _ := rand.Int(rand.Reader, big.NewInt(1_000_000)) // never fails (crypto/rand)
	f.code, f.sent = fmt.Sprintf("%06d", n), c.now
	o.secrets[f.code] = true
	t.status, t.factor, t.result = mfaChallenge, f, ""
	return o.show(c, t)
}

// offers are the factors that MFA_ENROLL lists.
func (o *Org) offers() []hal {
	list := []hal{}
	for _, f := range []struct{ kind, provider string }{{"token:software:totp", "GOOGLE"}, {"token:software:totp", "OKTA"}, {"push", "OKTA"}, {"sms", "OKTA"}} {
		list = append(list, hal{
			"factorType": f.kind, "provider": f.provider, "vendorName": f.provider,
			"status": "NOT_SETUP", "enrollment": "OPTIONAL",
			"_links": hal{"enroll": o.link("/api/v1/authn/factors", http.MethodPost)},
		})
	}
	return list
}

// enroll begins to enrol an authenticator app. The other factors that MFA_ENROLL
// offers need a device, and are refused.
func (o *Org) enroll(c *call) answer {
	t, in, bad := o.resume(c, MFAEnroll)
	if bad != nil {
		return *bad
	}
	if in.FactorType != "token:software:totp" || (in.Provider != "GOOGLE" && in.Provider != "OKTA") {
		return fail(http.StatusForbidden, "E0000006")
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: o.base.Host, AccountName: t.account.Login})
	if err != nil {
		return fail(http.StatusInternalServerError, "E0000009")
	}
	t.enrolSecret = key.Secret()
	o.secrets[t.enrolSecret] = true
	t.factor = &factor{id: o.id("uft"), kind: in.FactorType, provider: in.Provider, profile: hal{"credentialId": t.account.Login}}
	t.status = mfaEnrollActivate
	return o.show(c, t)
}

// activate ends the enrolment with the app's first code.
func (o *Org) activate(c *call) answer {
	t, in, bad := o.resume(c, mfaEnrollActivate)
	if bad != nil {
		return *bad
	}
	if t.factor.id != c.r.PathValue("id") {
		return wrongState()
	}
	o.counts.Passcodes++
	step, ok := matchTOTP(t.enrolSecret, in.PassCode, c.now, int64(o.settings.TOTPSkew))
	if !ok {
		return o.judge(c, t, "E0000068")
	}
	a := t.account
	a.TOTPSecret, a.TOTPProvider, a.State, a.lastStep = t.enrolSecret, t.factor.provider, "", step
	a.factors = append(a.factors, t.factor)
	return o.pass(c, t)
}
