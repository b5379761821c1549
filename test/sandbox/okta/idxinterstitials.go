package okta

import (
	"fmt"
	"net/http"

	"github.com/pquerna/otp/totp"
)

// idxInterstitial puts what stands between the proofs and the end into the plan:
// one thing at a time. It reports whether there was one.
func (o *Org) idxInterstitial(c *call, x *idxFlow, p *idxPlan) bool {
	a := x.account
	switch {
	case a.State == PasswordExpired:
		o.idxNewPassword(x, p, "reenroll-authenticator")
	case a.State == PasswordReset:
		o.idxNewPassword(x, p, "reset-authenticator")
	case a.State == PasswordWarn && !x.skipped:
		o.idxNewPassword(x, p, "reenroll-authenticator-warning")
		p.says = append(p.says, idxMessage{key: "idx.password.expiring.message", class: "INFO", params: []string{"Example Corp"},
			text: "When your password expires, you will have to change your password before you can login to your Example Corp account."})
		o.idxSkipForm(x, p)
	case a.State == MFAEnroll, o.settings.IDX.OfferEnroll && !x.skipped:
		o.idxEnrolForms(c, x, p)
		if a.State != MFAEnroll {
			o.idxSkipForm(x, p)
		}
	case a.State == ConsentRequired:
		p.add(&idxForm{name: "consent", path: "/idp/idx/consent", run: func(c *call, in hal) answer {
			consent, _ := in["consent"].(hal)
			if granted, _ := consent["granted"].(bool); !granted {
				return o.idxNotHere(x)(c, in)
			}
			a.State = ""
			return o.idxShow(c, x, http.StatusOK)
		}, fields: []*idxField{{name: "consent", kind: "object", required: true, form: []*idxField{{name: "granted", kind: "boolean", required: true}}}}}, x)
	case a.State == ProfileRequired:
		// Which attributes it asks for is the organization's affair, and so is what they may be.
		f := &idxForm{name: "enroll-profile-update", path: "/idp/idx/enroll/update"}
		f.fields = []*idxField{{name: "userProfile", kind: "object", required: true, form: []*idxField{{name: "department", label: "Department", required: true}}}}
		f.run = func(c *call, _ hal) answer {
			return o.idxAgain(c, x, http.StatusBadRequest, f.fields[0].form[0], idxMessage{key: "registration.error.doesNotMatchPattern", text: "'Department' must be in a known form"})
		}
		p.add(f, x)
	case o.settings.IDX.KeepSignedIn && !x.asked:
		p.add(&idxForm{name: "keep-me-signed-in", path: "/idp/idx/keep-me-signed-in", run: func(c *call, in hal) answer {
			keep, _ := in["keepMeSignedIn"].(bool)
			x.asked, x.remember = true, x.remember || keep
			return o.idxShow(c, x, http.StatusOK)
		}, fields: []*idxField{{name: "keepMeSignedIn", label: "Stay signed in", kind: "boolean", required: true, value: false}}}, x)
	default:
		return false
	}
	return true
}

// idxSkipForm lets one go on without doing as was asked.
func (o *Org) idxSkipForm(x *idxFlow, p *idxPlan) {
	p.add(&idxForm{name: "skip", path: "/idp/idx/skip", run: func(c *call, _ hal) answer {
		x.skipped, x.enrol = true, ""
		return o.idxShow(c, x, http.StatusOK)
	}}, x)
}

// idxNewPassword asks for a new password.
func (o *Org) idxNewPassword(x *idxFlow, p *idxPlan, name string) {
	field := &idxField{name: "passcode", label: "New password", required: true, secret: true}
	p.current = o.passwordOf(x.account)
	f := &idxForm{name: name, path: "/idp/idx/challenge/answer", relates: []string{"$." + x.where(p.current)}}
	f.fields = []*idxField{{name: "credentials", kind: "object", required: true, form: []*idxField{field}}}
	f.run = func(c *call, in hal) answer {
		if !o.changed(c, x.account, text(in, "credentials", "passcode")) {
			return o.idxAgain(c, x, http.StatusBadRequest, field, idxMessage{key: "password.passwordRequirementsNotMet", text: "Password requirements were not met"})
		}
		return o.idxShow(c, x, http.StatusOK)
	}
	p.add(f, x)
}

// idxEnrolForms lets one set up an authenticator app: Google Authenticator only,
// though others are offered.
func (o *Org) idxEnrolForms(c *call, x *idxFlow, p *idxPlan) {
	google := o.autID("google_otp")
	if x.enrol != "" {
		p.current = &authenticator{key: "google_otp", kind: "app", name: "Google Authenticator", id: google, methods: []string{"otp"}}
		p.context = hal{"sharedSecret": x.enrol, "qrcode": hal{"method": "embedded", "href": "data:image/png;base64,iVBORw0KGgo=", "type": "image/png"}}
		field := &idxField{name: "passcode", label: "Enter code", required: true}
		f := &idxForm{name: "enroll-authenticator", path: "/idp/idx/challenge/answer", relates: []string{"$." + x.where(p.current)}}
		f.fields = []*idxField{{name: "credentials", kind: "object", required: true, form: []*idxField{field}}}
		f.run = func(c *call, in hal) answer { return o.idxEnrol(c, x, field, text(in, "credentials", "passcode")) }
		p.add(f, x)
	}
	choice := &idxField{name: "authenticator", kind: "object", required: true}
	for i, u := range []struct{ key, kind, name string }{{"google_otp", "app", "Google Authenticator"}, {"okta_verify", "app", "Okta Verify"}} {
		fields := []*idxField{{name: "id", required: true, value: o.autID(u.key), fixed: true}}
		if u.key == "okta_verify" {
			fields = append(fields, &idxField{name: "channel", kind: "string", options: []idxOption{{label: "QRCODE", value: "qrcode"}, {label: "SMS", value: "sms"}}})
		}
		choice.options = append(choice.options, idxOption{label: u.name, form: fields, relates: fmt.Sprintf("$.authenticators.value[%d]", i)})
	}
	p.doc["authenticators"] = hal{"type": "array", "value": []hal{
		{"type": "app", "key": "google_otp", "id": google, "displayName": "Google Authenticator", "methods": []hal{{"type": "otp"}}},
		{"type": "app", "key": "okta_verify", "id": o.autID("okta_verify"), "displayName": "Okta Verify", "methods": []hal{{"type": "push"}, {"type": "totp"}}},
	}}
	p.add(&idxForm{name: "select-authenticator-enroll", path: "/idp/idx/credential/enroll", fields: []*idxField{choice}, run: func(c *call, in hal) answer {
		if text(in, "authenticator", "id") != google {
			return o.idxNotHere(x)(c, in) // it needs a device
		}
		key, err := totp.Generate(totp.GenerateOpts{Issuer: o.base.Host, AccountName: x.account.Login})
		if err != nil {
			return fail(http.StatusInternalServerError, "E0000009")
		}
		x.enrol = key.Secret()
		o.secrets[x.enrol] = true
		return o.idxShow(c, x, http.StatusOK)
	}}, x)
}

// idxEnrol ends the set-up with the app's first code.
func (o *Org) idxEnrol(c *call, x *idxFlow, field *idxField, code string) answer {
	a := x.account
	o.counts.Passcodes++
	step, ok := matchTOTP(x.enrol, code, c.now, int64(o.settings.TOTPSkew))
	if !ok {
		return o.idxAgain(c, x, http.StatusUnauthorized, field, idxMessage{key: "api.authn.error.PASSCODE_INVALID", text: "Invalid code. Try again."})
	}
	a.TOTPSecret, a.TOTPProvider, a.lastStep = x.enrol, "GOOGLE", step
	if a.State == MFAEnroll {
		a.State = ""
	}
	a.factors = append(a.factors, &factor{id: o.id("uft"), kind: "token:software:totp", provider: "GOOGLE", profile: hal{"credentialId": a.Login}})
	x.enrol, x.skipped, x.second = "", true, true
	return o.idxShow(c, x, http.StatusOK)
}
