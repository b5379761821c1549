package okta

import (
	"net/http"

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
	switch {
	case f.kind == "push":
		return o.verifyPush(c, t, f)
	case f.kind == "webauthn":
		return o.verifyKey(c, t, f, in)
	case f.kind == "web":
		return o.verifyDuo(c, t, f)
	case messages[f.kind] != nil && in.PassCode == "":
		if code := o.sendMessage(c, t.account, f); code != "" {
			return limited(code)
		}
		t.status, t.factor, t.result = mfaChallenge, f, ""
		return o.show(c, t)
	case f.kind == "question" && in.Answer != "":
		return o.judge(c, t, o.attempt(c, t.account, f, proof{code: in.Answer}))
	case in.PassCode != "":
		code := o.attempt(c, t.account, f, proof{code: in.PassCode})
		if word := mistimed[code]; word != "" && o.tells() {
			t.status, t.factor, t.result = mfaChallenge, f, word
			return o.show(c, t)
		}
		return o.judge(c, t, code)
	case f.kind == "u2f" && t.status == mfaChallenge: // no key is at hand, so no signature is ever right
		return o.judge(c, t, o.attempt(c, t.account, f, proof{}))
	case f.kind == "u2f":
		t.status, t.factor, t.result = mfaChallenge, f, "CHALLENGE"
		return o.show(c, t)
	}
	t.status, t.factor, t.result = mfaChallenge, f, ""
	return o.show(c, t)
}

// mistimed are the factorResults that say of a code, in a 200, what errors of these
// codes say [A].
var mistimed = map[string]string{"E0000082": "PASSCODE_REPLAYED", "E0000083": "TIME_WINDOW_EXCEEDED"}

// tells reports whether a factorResult says it now.
func (o *Org) tells() bool {
	if o.settings.Mistimed != MistimedVaried {
		return o.settings.Mistimed == MistimedResult
	}
	return o.rng.IntN(3) == 0
}

// judge ends an attempt: with its error code, or, if that is "", well.
func (o *Org) judge(c *call, t *transaction, code string) answer {
	switch code {
	case "":
		return o.pass(c, t)
	case "E0000069":
		o.end(t)
		return o.userLocked()
	}
	return fail(http.StatusForbidden, code)
}

// pass records a passed second factor and goes on.
func (o *Org) pass(c *call, t *transaction) answer {
	a := t.account
	a.badFactor = 0
	t.withdraw()
	t.challenge = nil
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
	switch {
	case t.factor.kind == "push":
		o.sendPush(c, t)
		return o.show(c, t)
	case messages[t.factor.kind] != nil:
		if code := o.sendMessage(c, t.account, t.factor); code != "" {
			return limited(code)
		}
		return o.show(c, t)
	}
	return wrongState()
}

// limited refuses to send a message: for a while, or for good.
func limited(code string) answer {
	if code == "E0000150" || code == "E0000151" {
		return fail(http.StatusForbidden, code)
	}
	return fail(http.StatusTooManyRequests, code)
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
		return o.judge(c, t, o.failed(t.account, "E0000068"))
	}
	a := t.account
	a.TOTPSecret, a.TOTPProvider, a.State, a.lastStep = t.enrolSecret, t.factor.provider, "", step
	a.factors = append(a.factors, t.factor)
	return o.pass(c, t)
}
