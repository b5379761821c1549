package okta

import (
	"net/http"
	"strings"
)

// idxIdentifyForms asks who it is. Beside the form there are others that lead
// elsewhere, as there are in most organizations.
func (o *Org) idxIdentifyForms(x *idxFlow, p *idxPlan) {
	set := o.settings.IDX
	if set.Redirect != RedirectOnly {
		f := &idxForm{name: "identify", path: "/idp/idx/identify"}
		f.fields = []*idxField{{name: "identifier", label: "Username", required: true}}
		if x.style.inline {
			f.fields = append(f.fields, &idxField{name: "credentials", kind: "object", required: true, form: []*idxField{{name: "passcode", label: "Password", required: true, secret: true}}})
			p.current = o.passwordOf(nil)
			p.add(&idxForm{name: "recover", at: "recover", path: "/idp/idx/recover", run: o.idxNotHere(x)}, x)
		}
		f.fields = append(f.fields, &idxField{name: "rememberMe", label: "Keep me signed in", kind: "boolean"})
		if set.Captcha {
			captcha := o.autID("captcha")
			f.fields = append(f.fields, &idxField{name: "captchaVerify", required: true, relates: "$.captcha", form: []*idxField{
				{name: "captchaId", required: true, value: captcha, hidden: true, fixed: true},
				{name: "captchaToken", required: true, hidden: true, hint: "captcha"},
			}})
			p.doc["captcha"] = hal{"type": "object", "value": hal{"id": captcha, "name": "reCaptcha", "siteKey": "6LeIxAcTAAAAAJcZVRqyHh71UMIEGNQ_MXjiZKhI", "type": "RECAPTCHA_V2"}}
		}
		f.run = func(c *call, in hal) answer { return o.idxIdentify(c, x, f, in) }
		p.add(f, x)
	}
	if set.Redirect != RedirectNone {
		id := o.autID("idp")
		p.add(&idxForm{name: "redirect-idp", to: o.url("/sso/idps/" + id + "?stateToken=" + x.token),
			more: hal{"type": "SAML2", "idp": hal{"id": id, "name": "Another Directory"}}}, x)
	}
	if set.FastPass != FastPassNone {
		p.add(&idxForm{name: "launch-authenticator", path: "/idp/idx/authenticators/okta-verify/launch", run: func(c *call, _ hal) answer {
			x.probing = true
			return o.idxShow(c, x, http.StatusOK)
		}}, x)
	}
	p.add(&idxForm{name: "select-enroll-profile", path: "/idp/idx/enroll", run: o.idxNotHere(x)}, x)
	if o.settings.ShowLockout {
		p.add(&idxForm{name: "unlock-account", path: "/idp/idx/unlock-account", run: o.idxNotHere(x)}, x)
	}
}

// idxNotHere is what registration, recovery and unlocking come to.
func (o *Org) idxNotHere(x *idxFlow) func(*call, hal) answer {
	return func(c *call, _ hal) answer {
		return o.idxDeny(c, x, idxMessage{key: "security.access_denied", text: "You do not have permission to perform the requested action."})
	}
}

// idxDeny ends a flow without a way on [W].
func (o *Org) idxDeny(c *call, x *idxFlow, m idxMessage) answer {
	o.idxEnd(x)
	doc := x.head()
	doc["messages"] = messageList([]idxMessage{m})
	return ion(http.StatusForbidden, doc)
}

// idxAnew begins a flow anew and says why.
func (o *Org) idxAnew(c *call, x *idxFlow, status int, m idxMessage) answer {
	x.withdraw()
	x.account, x.identifier, x.password, x.second, x.session, x.current, x.method, x.failed = nil, "", false, false, nil, nil, "", ""
	return o.idxShow(c, x, status, m)
}

// noSuchUser is the answer to a wrong user name, or to a wrong password given with
// the name. That it is a 401 is unproven.
var noSuchUser = idxMessage{key: "errors.E0000004", text: "Authentication failed"}

// tooManyFailures is what a lockout that is shown says.
var tooManyFailures = idxMessage{key: "errors.E0000069", text: "Your account is locked because of too many authentication attempts."}

// idxIdentify takes the user name, and the password if it was asked for with it.
func (o *Org) idxIdentify(c *call, x *idxFlow, f *idxForm, in hal) answer {
	if o.settings.IDX.Captcha {
		// No captcha is ever solved here. The key is unproven.
		return o.idxAgain(c, x, http.StatusBadRequest, nil, idxMessage{key: "oie.captcha.verification.failed", text: "The captcha could not be verified."})
	}
	login := text(in, "identifier")
	a := o.users[strings.ToLower(login)]
	x.remember, _ = in["rememberMe"].(bool)
	if x.style.inline {
		o.secrets[text(in, "credentials", "passcode")] = true
		if m := o.idxPassword(a, text(in, "credentials", "passcode")); m != nil {
			if m.key == "incorrectPassword" {
				m = &noSuchUser
			}
			return o.idxAgain(c, x, http.StatusUnauthorized, nil, *m)
		}
		x.account, x.identifier, x.password = a, login, true
		return o.idxPassed(c, x)
	}
	if a == nil && !o.settings.IDX.HideUsers {
		return o.idxAgain(c, x, http.StatusUnauthorized, nil, noSuchUser)
	}
	x.account, x.identifier = a, login
	return o.idxShow(c, x, http.StatusOK)
}

// idxPassword checks a password and counts. It returns what there is to say
// against it, nil if it is right.
func (o *Org) idxPassword(a *account, password string) *idxMessage {
	wrong := &idxMessage{key: "incorrectPassword", text: "Password is incorrect"}
	switch o.checkPassword(a, password) {
	case passwordRight:
		return nil
	case passwordLocked:
		if o.settings.ShowLockout {
			return &tooManyFailures
		}
	}
	return wrong
}

// idxPassed goes on after a right password, unless the account may not.
func (o *Org) idxPassed(c *call, x *idxFlow) answer {
	a, app := x.account, x.errand.application()
	switch {
	case a.State == Denied, a.State == Recovery, a.State == RecoveryChallenge:
		return o.idxNotHere(x)(c, nil)
	case a.Unassigned:
		return o.idxAnew(c, x, http.StatusBadRequest, idxMessage{key: "idx.error.user.not.assigned.to.app", text: "User is not assigned to this application."})
	case o.settings.IDX.Unsatisfiable && len(o.secondsOf(a)) == 0 && (o.settings.AppMFA || o.settings.MFA != MFANever):
		return o.idxAnew(c, x, http.StatusBadRequest, idxMessage{key: "oie.assurance.unsatisfiable", params: []string{app.Label},
			text: `Unable to login to "` + app.Label + `" at this time. For assistance, please contact your administrator.`})
	}
	return o.idxShow(c, x, http.StatusOK)
}

// idxProbe looks for Okta Verify on the client's device, which never answers.
func (o *Org) idxProbe(x *idxFlow, p *idxPlan) {
	p.doc["authenticatorChallenge"] = hal{"type": "object", "value": hal{
		"challengeMethod": "LOOPBACK", "challengeRequest": "eyJraWQiOiJzYW5kYm94IiwiYWxnIjoiUlMyNTYifQ." + x.token[len(x.token)-10:] + ".c2ln",
		"domain": "http://localhost", "ports": []string{"2000", "6511", "6512", "6513"}, "probeTimeoutMillis": 100,
	}}
	// A link to the whole document's member, without "$." [W].
	p.add(&idxForm{name: "device-challenge-poll", path: "/idp/idx/authenticators/poll", relates: []string{"authenticatorChallenge"}, refresh: 2000, run: func(c *call, _ hal) answer {
		return o.idxSame(c, x)
	}}, x)
	p.add(&idxForm{name: "cancel-polling", at: "probe", path: "/idp/idx/authenticators/poll/cancel", run: func(c *call, _ hal) answer {
		x.probing, x.current, x.method = false, nil, ""
		return o.idxShow(c, x, http.StatusOK)
	}}, x)
}
