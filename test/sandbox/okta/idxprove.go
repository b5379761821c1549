package okta

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// idxProve asks for one of the authenticators that are open: to choose one, to
// choose its method, or to answer its challenge.
func (o *Org) idxProve(c *call, x *idxFlow, p *idxPlan, open []*authenticator) {
	if x.current == nil || !slices.ContainsFunc(open, func(u *authenticator) bool { return u.key == x.current.key }) {
		x.withdraw()
		x.current, x.method, x.failed = nil, "", ""
		o.idxPropose(c, x, open)
	}
	u := x.current
	p.current = u
	switch {
	case u == nil:
	case x.method == "":
		o.idxMethodForm(x, p, u)
	case x.method == "push":
		o.idxPushForms(c, x, p, u)
	default:
		o.idxAnswerForm(c, x, p, u)
	}
	o.idxSelectForm(x, p, open)
}

// idxPropose challenges an authenticator without a choice, where that is the way
// of the organization: never one that reaches out to a person, unless it is set up
// to send pushes by itself.
func (o *Org) idxPropose(c *call, x *idxFlow, open []*authenticator) {
	first := open[0]
	if o.settings.IDX.AutoChallenge && x.password {
		for _, u := range open {
			if u.factors["push"] != nil {
				x.current, x.method = u, "push"
				x.push = o.startPush(c, x.account)
				return
			}
		}
	}
	if !x.style.direct {
		return
	}
	x.current = first
	if len(first.methods) == 1 && !sends(first.methods[0]) {
		x.method = first.methods[0]
	}
}

// idxSelectForm lets one choose among the open authenticators.
func (o *Org) idxSelectForm(x *idxFlow, p *idxPlan, open []*authenticator) {
	all := o.idxAll(x)
	choice := &idxField{name: "authenticator", kind: "object", required: true}
	for _, u := range open {
		i := slices.IndexFunc(all, func(v *authenticator) bool { return v.key == u.key })
		choice.options = append(choice.options, idxOption{label: u.name, form: u.pick(x, false), relates: fmt.Sprintf("$.%s.value[%d]", x.style.related, i)})
	}
	p.add(&idxForm{name: "select-authenticator-authenticate", path: "/idp/idx/challenge", fields: []*idxField{choice}, run: func(c *call, in hal) answer {
		return o.idxChallenge(c, x, open, in)
	}}, x)
}

// idxMethodForm asks how an authenticator shall challenge.
func (o *Org) idxMethodForm(x *idxFlow, p *idxPlan, u *authenticator) {
	f := &idxField{name: "authenticator", kind: "object", label: u.name, form: u.pick(x, true)}
	if u.factors["push"] != nil {
		f.form = append(f.form, &idxField{name: "autoChallenge", label: "Send push automatically", kind: "boolean", required: "false", value: false})
	}
	p.add(&idxForm{name: "authenticator-verification-data", path: "/idp/idx/challenge", relates: []string{"$." + x.where(u)}, fields: []*idxField{f}, run: func(c *call, in hal) answer {
		return o.idxChallenge(c, x, []*authenticator{u}, in)
	}}, x)
}

// idxChallenge challenges the authenticator that was chosen: it sends what is to
// be sent.
func (o *Org) idxChallenge(c *call, x *idxFlow, open []*authenticator, in hal) answer {
	id, method := text(in, "authenticator", "id"), text(in, "authenticator", "methodType")
	i := slices.IndexFunc(open, func(u *authenticator) bool { return u.id == id })
	u := open[max(i, 0)] // suits has seen to it that it is one of them
	if method == "" && len(u.methods) == 1 {
		method = u.methods[0]
	}
	x.withdraw()
	if sends(method) && method != "push" {
		if a := o.idxSend(c, x, u.factors[method]); a != nil {
			return *a
		}
	}
	x.current, x.method, x.failed, x.challenge = u, method, "", nil
	switch method {
	case "push":
		x.push = o.startPush(c, x.account)
	case "signed_nonce":
		x.probing = true
	}
	return o.idxShow(c, x, http.StatusOK)
}

// idxSend sends a code. A refusal comes back where a limit forbids it: for a while,
// with the forms as they were, or for longer, with none [W].
func (o *Org) idxSend(c *call, x *idxFlow, f *factor) *answer {
	code := o.sendMessage(c, x.account, f)
	if code == "" {
		return nil
	}
	m := idxMessage{key: "errors." + code, text: summaries[code]}
	a := o.idxAgain(c, x, http.StatusTooManyRequests, nil, m)
	if code == messages[f.kind].hourly {
		doc := x.head()
		doc["messages"] = messageList([]idxMessage{m})
		a = ion(http.StatusTooManyRequests, doc)
	}
	return &a
}

// idxAnswerForm asks for what the current method wants: a password, a code, an
// answer or a signature.
func (o *Org) idxAnswerForm(c *call, x *idxFlow, p *idxPlan, u *authenticator) {
	fields := []*idxField{{name: "passcode", label: "Enter code", required: true}}
	switch {
	case u.key == passwordKey:
		fields[0].label, fields[0].secret = "Password", true
		p.add(&idxForm{name: "recover", at: "recover", path: "/idp/idx/recover", run: o.idxNotHere(x)}, x)
	case u.key == "okta_verify":
		fields[0].name = "totp" // not passcode [W]
	case u.key == "yubikey_token":
		fields[0].label, fields[0].secret = "Insert then tap your YubiKey", true
	case u.key == "security_question":
		q := u.profile
		fields = []*idxField{
			{name: "questionKey", label: fmt.Sprint(q["question"]), required: true, value: q["questionKey"], hidden: true, fixed: true},
			{name: "answer", label: "Answer", required: true, secret: true},
		}
		p.context = hal{"enrolledQuestion": hal{"questionKey": q["questionKey"], "question": q["question"]}}
	case u.key == "webauthn":
		if x.challenge == nil {
			x.challenge = newChallenge()
		}
		p.context = hal{"challengeData": o.keyChallenge(x.challenge)}
		fields = []*idxField{
			{name: "clientData", label: "Client Data", required: true, hidden: true},
			{name: "authenticatorData", label: "Authenticator Data", required: true, hidden: true},
			{name: "signatureData", label: "Signature Data", required: true, hidden: true},
		}
		if x.style.nested { // both orders are in the mock data [W]
			slices.Reverse(fields)
		}
	case u.key == "duo":
		asked := o.duoRequest(c, x.account, "")
		p.context = hal{"integrationType": "IFRAME", "host": asked["host"], "signedToken": asked["signature"], "script": o.url("/js/sections/duo/Duo-Web-v2.6.js")}
		fields = []*idxField{{name: "signatureData", label: "Assertion From Duo", required: true, hidden: true}}
	case sends(x.method):
		p.add(&idxForm{name: "resend", at: "resend", path: "/idp/idx/challenge/resend", run: func(c *call, _ hal) answer {
			if a := o.idxSend(c, x, u.factors[x.method]); a != nil {
				return *a
			}
			return o.idxShow(c, x, http.StatusOK)
		}}, x)
		if x.method == "email" && x.style.magic { // a link in the letter, which nobody here follows
			p.add(&idxForm{name: "poll", at: "poll", path: "/idp/idx/challenge/poll", refresh: 4000, run: func(c *call, _ hal) answer { return o.idxSame(c, x) }}, x)
		} else if x.method == "email" {
			p.context = hal{"useEmailMagicLink": false}
		}
	}
	f := &idxForm{name: "challenge-authenticator", path: "/idp/idx/challenge/answer", relates: []string{"$." + x.where(u)}}
	f.fields = []*idxField{{name: "credentials", kind: "object", required: true, form: fields}}
	f.run = func(c *call, in hal) answer {
		in, _ = in["credentials"].(hal)
		last := fields[len(fields)-1]
		if u.key == passwordKey {
			o.secrets[text(in, last.name)] = true
			return o.idxAnswerPassword(c, x, text(in, last.name))
		}
		challenge := x.challenge
		x.challenge = nil // one signature, good or bad
		if !x.style.nested {
			last = nil
		}
		return o.idxAnswer(c, x, u, last, proof{
			code:      text(in, fields[len(fields)-1].name),
			assertion: assertion{text(in, "clientData"), text(in, "authenticatorData"), text(in, "signatureData")},
			challenge: challenge,
		})
	}
	p.add(f, x)
}

func (o *Org) idxAnswerPassword(c *call, x *idxFlow, password string) answer {
	if m := o.idxPassword(x.account, password); m != nil {
		return o.idxAgain(c, x, http.StatusUnauthorized, nil, *m)
	}
	x.password, x.current, x.method = true, nil, ""
	return o.idxPassed(c, x)
}

// suspended is what an account says whose second factor has failed too often.
var suspended = idxMessage{key: "authfactor.challenge.suspended_factor", text: "This factor is suspended for your account due to too many failed attempts"}

// invalid are the messages about a wrong proof, by authenticator. That of the
// question is unproven; those that are not here say PASSCODE_INVALID [W].
var invalid = map[string]idxMessage{
	"google_otp":        {key: "authfactor.challenge.soft_token.invalid_passcode", text: "Your code doesn't match our records. Please try again."},
	"symantec_vip":      {key: "authfactor.challenge.soft_token.invalid_passcode", text: "Your code doesn't match our records. Please try again."},
	"security_question": {key: "authfactor.challenge.question_factor.answer_invalid", text: "Your answer doesn't match our records. Please try again."},
	"webauthn":          {key: "authfactor.webauthn.error.assertion_validation_failure", text: "None of the WebAuthn authenticators could be verified."},
}

// idxAnswer checks a proof; field has the message where it is wrong, nil: it stands
// at the top. A locked account accepts none, and is told the same of all.
func (o *Org) idxAnswer(c *call, x *idxFlow, u *authenticator, field *idxField, p proof) answer {
	a := x.account
	if a.locked {
		return o.idxAgain(c, x, http.StatusUnauthorized, nil, suspended)
	}
	if u.key == "duo" { // whose own side counts the passcodes
		o.secrets[p.code] = true
		if o.duoGood(c, a, p.code) {
			return o.idxSecond(c, x)
		}
		m := idxMessage{key: "oie.authenticator.duo.method.duo.verification_failed", text: "Duo web signature verification failed."}
		if o.failed(a, "E0000068") == "E0000069" {
			m = suspended
		}
		return o.idxAgain(c, x, http.StatusUnauthorized, nil, m)
	}
	list := u.keys // it may be any of them
	if len(list) == 0 {
		list = []*factor{u.factors[x.method]}
	}
	last := len(list) - 1
	if slices.ContainsFunc(list[:last], func(f *factor) bool { return o.checkProof(c, a, f, p) == "" }) {
		o.counts.Passcodes++
		return o.idxSecond(c, x)
	}
	m, ok := invalid[u.key]
	if !ok {
		m = idxMessage{key: "api.authn.error.PASSCODE_INVALID", text: "Invalid code. Try again."}
	}
	switch bad := o.attempt(c, a, list[last], p); bad {
	case "":
		return o.idxSecond(c, x)
	case "E0000069":
		return o.idxAgain(c, x, http.StatusUnauthorized, nil, suspended)
	case "E0000082":
		m = idxMessage{key: "authfactor.challenge.soft_token.used_passcode", text: summaries[bad]}
	}
	if u.key == "webauthn" {
		return o.idxShow(c, x, http.StatusUnauthorized, m) // with another challenge
	}
	return o.idxAgain(c, x, http.StatusUnauthorized, field, m)
}

// idxSecond goes on after a second factor.
func (o *Org) idxSecond(c *call, x *idxFlow) answer {
	x.withdraw()
	x.account.badFactor = 0
	x.second, x.current, x.method, x.failed, x.challenge = true, nil, "", "", nil
	return o.idxShow(c, x, http.StatusOK)
}

// idxPushForms waits for a push, or offers another after one that has failed. Only
// posting to /challenge (or resend) sends one.
func (o *Org) idxPushForms(c *call, x *idxFlow, p *idxPlan, u *authenticator) {
	again := func(c *call, _ hal) answer {
		x.withdraw()
		x.failed, x.push = "", o.startPush(c, x.account)
		return o.idxShow(c, x, http.StatusOK)
	}
	if x.push == nil {
		p.add(&idxForm{name: "resend", path: "/idp/idx/challenge", relates: []string{"$." + x.where(u)}, run: again, fields: []*idxField{
			{name: "authenticator", kind: "object", label: u.name, wrapped: true, required: true, form: []*idxField{
				{name: "id", required: true, value: u.id, fixed: true},
				{name: "methodType", label: "PUSH", required: true, value: "push", fixed: true},
			}},
		}}, x)
		return
	}
	o.reveal(c, x.push)
	if x.push.number != nil && x.push.shown {
		p.context = hal{"correctAnswer": strconv.Itoa(*x.push.number)} // a string [W]
	}
	poll := &idxForm{name: "challenge-poll", path: x.style.poll, relates: []string{"$." + x.where(u)}, refresh: x.style.refresh, run: func(c *call, _ hal) answer {
		if c.now.Sub(x.shown) < time.Duration(x.style.refresh)*time.Millisecond {
			o.counts.IDX.Early++
		}
		return o.idxPoll(c, x)
	}}
	if o.settings.IDX.AutoChallenge {
		poll.fields = append(poll.fields, &idxField{name: "autoChallenge", label: "Send push automatically", kind: "boolean", required: "false", value: true})
	}
	p.add(poll, x)
	resend := &idxForm{name: "resend", at: "resend", path: "/idp/idx/challenge", run: again, fields: []*idxField{
		{name: "authenticator", required: true, value: hal{"methodType": "push", "id": u.id}, hidden: true, fixed: true},
	}}
	if x.style.resend {
		resend.path, resend.fields = "/idp/idx/challenge/resend", nil
	}
	p.add(resend, x)
}

// pushEnds are the messages about a push that has failed. REJECTED's is the mock
// data's [W]; the others' keys are unproven.
var pushEnds = map[string]idxMessage{
	"REJECTED":  {key: "api.authn.poll.error.push_rejected", text: "You have chosen to reject this login."},
	"TIMEOUT":   {key: "api.authn.poll.error.push_timeout", text: "Your push notification has expired."},
	"ERROR":     {key: "api.authn.poll.error.push_failed", text: "The push could not be delivered."},
	"CANCELLED": {key: "api.authn.poll.error.push_cancelled", text: "The push was cancelled."},
}

// idxPoll looks at the push that waits.
func (o *Org) idxPoll(c *call, x *idxFlow) answer {
	if x.account.locked {
		return o.idxAgain(c, x, http.StatusUnauthorized, nil, suspended)
	}
	switch result := o.pushResult(c, x.push); result {
	case "":
		return o.idxSame(c, x)
	case "APPROVED":
		return o.idxSecond(c, x)
	default:
		x.withdraw()
		x.failed = result
		if result == "REJECTED" && x.account.fail(o) {
			return o.idxAgain(c, x, http.StatusUnauthorized, nil, suspended)
		}
		return o.idxShow(c, x, http.StatusOK, pushEnds[result])
	}
}
