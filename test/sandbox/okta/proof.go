package okta

import "strings"

// proof is what a client offers for a factor, by either engine's API.
type proof struct {
	code string // a passcode, or the answer to a question
	assertion
	challenge []byte // that the assertion has to sign
}

// attempt checks p against an account's factor, for either engine, and counts
// what that comes to. It returns "" for a good proof, else Okta's error code:
// E0000069 where this failure locked the account.
func (o *Org) attempt(c *call, a *account, f *factor, p proof) string {
	o.counts.Passcodes++
	if p.code != "" {
		o.secrets[p.code] = true
	}
	code := o.checkProof(c, a, f, p)
	if code != "" {
		return o.failed(a, code)
	}
	a.badFactor = 0
	return ""
}

// failed counts a failure and returns its code, or that the account is locked now.
func (o *Org) failed(a *account, code string) string {
	if a.fail(o) {
		return "E0000069"
	}
	return code
}

// checkProof returns "" for a good proof, else Okta's error code. Where the
// documentation names no code of a factor's own it is E0000068.
func (o *Org) checkProof(c *call, a *account, f *factor, p proof) string {
	good := false
	switch {
	case f.kind == "token:software:totp":
		return o.checkTOTP(c, a, p.code)
	case f.kind == "token:hotp", f.kind == "token", f.kind == "token:hardware":
		return o.checkToken(c, a, f, p.code)
	case messages[f.kind] != nil:
		good = o.checkMessage(c, f, p.code)
	case f.kind == "question": // neither case nor the spaces around it matter
		good = a.Answer != "" && strings.EqualFold(strings.TrimSpace(p.code), a.Answer)
	case f.kind == "webauthn":
		good = o.checkAssertion(a, f, p) == nil
	}
	if good {
		return ""
	}
	return "E0000068"
}
