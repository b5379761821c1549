package okta

// authenticator is a way to prove who one is, as the Identity Engine groups them:
// one phone number has two methods, and so has one Okta Verify.
type authenticator struct {
	key, kind, name string
	id              string // the organization's
	enrolment       string // the account's
	methods         []string
	factors         map[string]*factor // by method; none for the password
	keys            []*factor          // of webauthn: each is an enrolment
	profile         hal
}

// family is what one of the Authentication API's factors is to the Identity Engine [W].
type family struct{ key, kind, name, method string }

// families are by factor type and provider.
var families = map[[2]string]family{
	{"push", "OKTA"}:                  {"okta_verify", "app", "Okta Verify", "push"},
	{"token:software:totp", "OKTA"}:   {"okta_verify", "app", "Okta Verify", "totp"},
	{"token:software:totp", "GOOGLE"}: {"google_otp", "app", "Google Authenticator", "otp"},
	{"sms", "OKTA"}:                   {"phone_number", "phone", "Phone", "sms"},
	{"call", "OKTA"}:                  {"phone_number", "phone", "Phone", "voice"},
	{"email", "OKTA"}:                 {"okta_email", "email", "Email", "email"},
	{"question", "OKTA"}:              {"security_question", "security_question", "Security Question", "security_question"},
	{"webauthn", "FIDO"}:              {"webauthn", "security_key", "Security Key or Biometric", "webauthn"},
	{"token:hardware", "YUBICO"}:      {"yubikey_token", "security_key", "YubiKey Authenticator", "otp"},
	{"token:hotp", "CUSTOM"}:          {"custom_otp", "security_key", "Atko Custom OTP Authenticator", "otp"},
	{"token", "RSA"}:                  {"rsa_token", "security_key", "RSA SecurID", "otp"},
	{"token", "SYMANTEC"}:             {"symantec_vip", "app", "Symantec VIP", "otp"},
	{"web", "DUO"}:                    {"duo", "app", "Duo Security", "duo"},
}

// passwordKey is the password's.
const passwordKey = "okta_password"

// passwordOf is the password as an authenticator; a may be nil, for a user that is
// not there and shall not be told so.
func (o *Org) passwordOf(a *account) *authenticator {
	p := &authenticator{key: passwordKey, kind: "password", name: "Password", id: o.autID(passwordKey), methods: []string{"password"}}
	if a != nil {
		p.enrolment = "lae" + a.id[3:]
	}
	return p
}

// secondsOf are an account's authenticators but the password, in the order of its
// factors.
func (o *Org) secondsOf(a *account) []*authenticator {
	if a == nil {
		return nil
	}
	var list []*authenticator
	byKey := map[string]*authenticator{}
	for _, f := range a.factors {
		m, ok := families[[2]string{f.kind, f.provider}]
		if !ok {
			continue // the Identity Engine has none like it
		}
		if m.key == "rsa_token" && o.settings.IDX.OnPrem {
			m.key, m.name = "onprem_mfa", "Atko Custom On-prem"
		}
		u := byKey[m.key]
		if u == nil {
			u = &authenticator{key: m.key, kind: m.kind, name: m.name, id: o.autID(m.key), enrolment: f.id, factors: map[string]*factor{}}
			byKey[m.key] = u
			list = append(list, u)
		}
		if u.factors[m.method] == nil {
			u.methods = append(u.methods, m.method)
			u.factors[m.method] = f
		}
		switch m.method {
		case "push", "totp":
			u.profile = hal{"deviceName": a.FirstName + "'s phone"}
		case "sms", "voice", "email":
			u.profile = f.profile
		case "security_question":
			u.profile = hal{"questionKey": f.profile["question"], "question": f.profile["questionText"]}
		case "webauthn":
			u.keys = append(u.keys, f)
		}
	}
	if u := byKey["okta_verify"]; u != nil && o.settings.IDX.FastPass != FastPassNone {
		u.methods = append([]string{"signed_nonce"}, u.methods...)
	}
	return list
}

// where is the place in the document that describes the authenticator that is
// challenged. Most have one of their own, and Okta's widget knows them there only [W].
func (x *idxFlow) where(u *authenticator) string {
	switch u.key {
	case "okta_verify", "google_otp", "symantec_vip", "webauthn":
		return "currentAuthenticator"
	case passwordKey, "okta_email":
		return x.style.current
	}
	return "currentAuthenticatorEnrollment"
}

// autID is the organization's identifier of an authenticator.
func (o *Org) autID(key string) string {
	if o.autIDs[key] == "" {
		o.autIDs[key] = o.id("aut")
	}
	return o.autIDs[key]
}

// methodNames are the labels of methods where one is chosen [W].
var methodNames = map[string]string{
	"push": "Get a push notification", "totp": "Enter a code", "signed_nonce": "Use Okta FastPass",
	"sms": "SMS", "voice": "Voice call", "email": "Email",
}

// show renders an authenticator, either as the organization's or as the account's.
func (u *authenticator) show(enrolled bool) hal {
	methods := []hal{}
	for _, m := range u.methods {
		methods = append(methods, hal{"type": m})
	}
	d := hal{"type": u.kind, "key": u.key, "displayName": u.name, "id": u.id, "methods": methods}
	if enrolled {
		d["id"] = u.enrolment
		if u.profile != nil {
			d["profile"] = u.profile
		}
		if len(u.keys) > 0 {
			d["credentialId"] = u.keys[0].key.credentialID()
		}
	}
	return d
}

// more are the enrolments of an authenticator beyond its first.
func (u *authenticator) more() []hal {
	var list []hal
	for i := 1; i < len(u.keys); i++ {
		v := *u
		v.enrolment, v.keys = u.keys[i].id, u.keys[i:]
		list = append(list, v.show(true))
	}
	return list
}

// pick is the inner form that chooses an authenticator, and its method if it has
// more than one.
func (u *authenticator) pick(x *idxFlow, needed bool) []*idxField {
	list := []*idxField{{name: "id", required: true, value: u.id, fixed: true}}
	switch {
	case len(u.methods) > 1 || needed:
		m := &idxField{name: "methodType", kind: "string", required: needed}
		for _, one := range u.methods {
			m.options = append(m.options, idxOption{label: methodNames[one], value: one})
		}
		list = append(list, m)
	case !x.style.unlisted || u.key == passwordKey:
		list = append(list, &idxField{name: "methodType", value: u.methods[0], required: false, fixed: true})
	}
	switch u.key {
	case "phone_number", "rsa_token", "onprem_mfa":
		list = append(list, &idxField{name: "enrollmentId", required: true, lenient: true, value: u.enrolment, fixed: true})
	}
	return list
}

// sends reports whether challenging a method reaches out to a person.
func sends(method string) bool {
	switch method {
	case "push", "sms", "voice", "email":
		return true
	}
	return false
}
