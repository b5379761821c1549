package okta

import (
	"slices"
	"strings"

	"arcproxy/auth"
)

// choice is an authenticator that a document lets one use, in one of its ways.
type choice struct {
	option
	password bool
	key      string         // Okta's name of it: okta_verify
	device   string         // as a person knows it; "" if Okta does not say
	form     *idxForm       // chooses it; nil: it is challenged already
	pick     map[string]any // what chooses it
}

// same is what a choice is remembered by: a document and its enrolments give one
// authenticator several identifiers. Of two phones with one number each, only the
// first is used.
func (c *choice) same() string {
	if c.factor == auth.FactorToken || c.factor == "" {
		return c.key + " " + c.name
	}
	return string(c.factor) + " " + c.provider
}

// idxNames are methods, and authenticators that have one only, with what the config
// calls them. The others need a browser or a device.
var idxNames = map[string]struct {
	factor   auth.Factor
	provider string
}{
	"push":              {auth.FactorPush, ""}, // of Okta Verify, or of an app of the company's own
	"totp":              {auth.FactorTOTP, "OKTA"},
	"sms":               {auth.FactorSMS, ""},
	"voice":             {auth.FactorCall, ""},
	"email":             {auth.FactorEmail, ""},
	"okta_email":        {auth.FactorEmail, ""},
	"security_question": {auth.FactorQuestion, ""},
	"webauthn":          {auth.FactorWebAuthn, ""},
	"duo":               {auth.FactorDuo, ""},
	"google_otp":        {auth.FactorTOTP, "GOOGLE"},
	"custom_otp":        {auth.FactorToken, "CUSTOM"},
	"rsa_token":         {auth.FactorToken, "RSA"},
	"symantec_vip":      {auth.FactorToken, "SYMANTEC"},
	"yubikey_token":     {auth.FactorToken, "YUBICO"},
	"onprem_mfa":        {auth.FactorToken, ""},
	"del_oath":          {auth.FactorToken, ""},
	"tac":               {auth.FactorToken, ""}, // a temporary code that an administrator gives
}

// optionOf is what an authenticator in one of its ways is to a prover.
func (c *Client) optionOf(a *idxAuthenticator, method string) (o option, password bool) {
	key, title := "", ""
	if a != nil {
		key, title = a.key, a.name
	}
	o.name = strings.TrimSpace(title + " " + method)
	if title == "" || title == method {
		o.name = strings.TrimSpace(key + " " + method)
	}
	if method == "password" || key == "okta_password" || a != nil && a.kind == "password" {
		return o, true
	}
	found, ok := idxNames[method]
	if !ok {
		found = idxNames[key]
	}
	o.factor, o.provider = found.factor, found.provider
	if o.factor == auth.FactorDuo && c.duo == nil {
		o.missing = noDuo
	}
	return o, false
}

// choices are the authenticators that may be used now: the one that is challenged,
// and those that can be chosen. One with several methods is several.
func (f *flow) choices() []choice {
	d := f.doc
	var all []choice
	if d.current != nil && d.form("challenge-authenticator", "challenge-poll") != nil {
		c := choice{key: d.current.key, device: f.device(d.current)}
		c.option, c.password = f.walk.client.optionOf(d.current, d.currentMethod())
		all = append(all, c)
	}
	for _, form := range d.forms {
		if form.name != "select-authenticator-authenticate" && form.name != "authenticator-verification-data" {
			continue
		}
		field := form.field("authenticator")
		if field == nil {
			continue
		}
		options := field.options
		if len(field.form) > 0 {
			options = append(options, idxOption{form: field.form, relates: form.relates})
		}
		for _, o := range options {
			a := d.authenticator(d.at(o.relates))
			for _, method := range methodsOf(o.form, a) {
				c := choice{form: form, device: f.device(a), pick: map[string]any{"authenticator": pickOf(o.form, method)}}
				if a != nil {
					c.key = a.key
				}
				c.option, c.password = f.walk.client.optionOf(a, method)
				all = append(all, c)
			}
		}
	}
	return all[:min(len(all), maxIDXForms)]
}

// device is what a person knows an authenticator's device by: its own description
// says it, or that of the account's enrolment.
func (f *flow) device(a *idxAuthenticator) string {
	if a == nil || a.device != "" {
		if a != nil {
			return auth.Clean(a.device)
		}
		return ""
	}
	for _, one := range list(object(f.doc.tree, "authenticatorEnrollments")["value"], maxIDXForms) {
		if e := f.doc.authenticator(object(one)); e != nil && e.key == a.key && e.device != "" {
			return auth.Clean(e.device)
		}
	}
	return ""
}

// currentMethod is how the authenticator is used that is challenged. A document
// that lists all of its methods says it by its forms.
func (d *idxDoc) currentMethod() string {
	method := d.current.method()
	form := d.form("challenge-authenticator")
	switch {
	case method != "":
	case form.field("credentials", "totp") != nil:
		return "totp"
	case form == nil && slices.Contains(d.current.methods, "push"):
		return "push"
	case d.current.kind == "email":
		return "email"
	case d.current.kind == "phone":
		return "sms"
	}
	return method
}

// methodsOf are the methods among which a form lets one choose. One of "" is that
// of an authenticator that is not known.
func methodsOf(fields []idxField, a *idxAuthenticator) []string {
	for _, field := range fields {
		if field.name != "methodType" {
			continue
		}
		if s, ok := field.value.(string); ok {
			return []string{s}
		}
		var methods []string
		for _, o := range field.options {
			if s, ok := o.value.(string); ok {
				methods = append(methods, s)
			}
		}
		return methods
	}
	if a != nil && len(a.methods) > 0 {
		return a.methods
	}
	return []string{a.method()}
}

// pickOf is what chooses an option. A push is not to be sent by itself another
// time: it is asked for when somebody waits.
func pickOf(fields []idxField, method string) map[string]any {
	values := map[string]any{"autoChallenge": false}
	if method != "" {
		values["methodType"] = method
	}
	picked, _ := fillFields(fields, values)
	return picked
}
