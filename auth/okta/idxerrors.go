package okta

import (
	"fmt"
	"net/http"
	"strings"

	"arcproxy/auth"
)

// idxKinds names what Identity Engine's messages say, by their i18n keys. A key
// that ends in "." stands for all that begin with it; the longest counts. Besides,
// "errors.E0000004" and "E0000004" are the error codes of the other engine.
var idxKinds = map[string]auth.Kind{
	"incorrectPassword":                                     auth.CredentialRefused,
	"idx.session.expired":                                   auth.SessionLost,
	"tooManyRequests":                                       auth.RateLimited,
	"security.access_denied":                                auth.PolicyDenied,
	"security.access_denied_custom_message":                 auth.PolicyDenied,
	"oie.assurance.unsatisfiable":                           auth.FactorUnavailable,
	"idx.error.user.not.assigned.to.app":                    auth.NotAssigned,
	"idx.error.code.user_not_assigned":                      auth.NotAssigned,
	"idx.error.code.access_denied.":                         auth.PolicyDenied, // of the device
	"device.assurance.":                                     auth.PolicyDenied,
	"idx.identity.provider.auth.error":                      auth.NotSupported,
	"idx.error.server.safe.mode.":                           auth.Unreachable,
	"oie.captcha.":                                          auth.CaptchaAsked, // unproven
	"idx.email.verification.required":                       auth.EnrollmentNeeded,
	"idx.request.activation.email":                          auth.EnrollmentNeeded,
	"idx.expired.activation.token":                          auth.EnrollmentNeeded,
	"idx.missing.activation.token":                          auth.EnrollmentNeeded,
	"idx.activating.inactive.user":                          auth.AccountLocked,
	"idx.recovery.completed":                                auth.PasswordReset,
	"idx.invalid.device.code":                               auth.NotSupported,
	"idx.invalid.":                                          auth.PasswordReset,
	"idx.reset.password.":                                   auth.PasswordReset,
	"api.users.auth.error.":                                 auth.PasswordReset,
	"app.ldap.password.reset.failed":                        auth.PasswordReset,
	"password.":                                             auth.PasswordExpired,
	"oie.selfservice.reset.":                                auth.PasswordReset,
	"oie.selfservice.":                                      auth.AccountLocked,
	"api.authn.error.PASSCODE_INVALID":                      auth.PasscodeRefused,
	"authfactor.challenge.soft_token.invalid_passcode":      auth.PasscodeRefused,
	"authfactor.challenge.soft_token.used_passcode":         auth.PasscodeRefused,
	"authfactor.challenge.suspended_factor":                 auth.AccountLocked,
	"authfactor.":                                           auth.FactorFailed,
	"core.auth.factor.":                                     auth.FactorFailed,
	"core.system.transaction_resource_not_found":            auth.ChallengeExpired,
	"api.authn.poll.error.push_rejected":                    auth.PushRejected,
	"api.authn.poll.error.push_timeout":                     auth.PushTimedOut, // unproven
	"api.authn.poll.error.":                                 auth.FactorFailed,
	"api.factors.error.":                                    auth.FactorFailed,
	"oie.authenticator.duo.method.duo.verification_timeout": auth.ChallengeExpired,
	"oie.authenticator.":                                    auth.FactorFailed,
	"api.authenticator.error.":                              auth.FactorFailed,
	"enroll.":                                               auth.EnrollmentNeeded,
	"registration.":                                         auth.ProfileIncomplete,
	"idx.error.registration.unavailable":                    auth.ProfileIncomplete,
	"idx.operation.cancelled.":                              auth.FactorFailed,
	"idx.return.":                                           auth.FactorFailed, // of a link in an e-mail
	"idx.enter.otp.":                                        auth.FactorFailed,
	"idx.transferred.to.new.tab":                            auth.SessionLost,
	"E0000009":                                              auth.Unreachable,
	"E0000010":                                              auth.Unreachable,
	"E0000020":                                              auth.UnexpectedPage, // the request does not suit the form
	"E0000035":                                              auth.PasswordExpired,
	"E0000113":                                              auth.FactorFailed, // wait for the token's next code
}

// kindOfKey returns the kind of a message.
func kindOfKey(key string) (auth.Kind, bool) {
	key = strings.TrimPrefix(key, "errors.")
	if kind, ok := idxKinds[key]; ok {
		return kind, true
	}
	if kind, ok := codes[key]; ok {
		return kind, true
	}
	for end := strings.LastIndexByte(key, '.'); end >= 0; end = strings.LastIndexByte(key[:end], '.') {
		if kind, ok := idxKinds[key[:end+1]]; ok {
			return kind, true
		}
	}
	return "", false
}

// quotableKey is a key that is fit to be quoted: known, or its words have names' length.
func quotableKey(key string) string {
	bare := strings.TrimPrefix(key, "errors.")
	if _, known := idxKinds[bare]; known || codeForm.MatchString(bare) {
		return bare
	}
	words := strings.Split(key[:min(len(key), 120)], ".")
	for i, word := range words {
		words[i] = auth.Clean(word)
	}
	return strings.Join(words, ".")
}

// verdict is the error that a document tells of, nil if none: that of the first
// error whose key is known, or else of the first error.
func (d *idxDoc) verdict(step string, page *auth.Page) *auth.Error {
	var e *auth.Error
	for _, m := range d.messages {
		if m.class != "ERROR" {
			continue
		}
		kind, known := kindOfKey(m.key)
		if known {
			e = &auth.Error{Kind: kind, Step: step, Code: quotableKey(m.key), Seen: auth.Clean(m.text)}
			break
		}
		if e == nil {
			e = &auth.Error{Kind: auth.UnexpectedPage, Step: step, Code: quotableKey(m.key), Seen: auth.Clean(m.text)}
		}
	}
	if e == nil {
		return nil
	}
	switch e.Kind {
	case auth.RateLimited:
		e.Until = page.Received.Add(limitPause)
	case auth.Unreachable:
		e.Sent = true
	case auth.UnexpectedPage:
		if page.Status >= http.StatusInternalServerError {
			e.Kind, e.Sent = auth.Unreachable, true
		} else if step == stepPassword { // a refusal by a name we do not know
			e.Kind = auth.CredentialRefused
		} else if step == stepTOTP {
			e.Kind = auth.PasscodeRefused
		}
	}
	return e
}

// plainRefusal is the error of an answer that is no document of Identity Engine: an
// error of Okta's other API, of OAuth, or of something in between.
func plainRefusal(step string, page *auth.Page) *auth.Error {
	if a, ok := parseAnswer(page.Body); ok && a.Code != "" {
		return refusal(step, page, a)
	}
	var other struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Message     string `json:"message"`
	}
	e := page.Unexpected(step, "no answer of Identity Engine")
	if page.JSON(&other) == nil {
		if said := auth.Clean(strings.TrimSpace(other.Error + " " + other.Description + other.Message)); said != "" {
			e.Seen = fmt.Sprintf("status %d: %s", page.Status, said)
		}
		if other.Error == "access_denied" {
			e.Kind = auth.PolicyDenied
		}
	}
	e.Sent = e.Kind == auth.Unreachable
	return e
}

// idxStops are the forms that no sign-in without a person gets past, in the order
// in which they tell most. What a document offers beside them was looked at before.
var idxStops = []struct {
	name string
	kind auth.Kind
	seen string
}{
	{"failure-redirect", auth.PolicyDenied, "Okta ends the sign-in"},
	{"reenroll-authenticator", auth.PasswordExpired, "Okta wants a new password"},
	{"reenroll-authenticator-warning", auth.PasswordExpired, "Okta does not let the warning be skipped"},
	{"reenroll-custom-password-expiry", auth.PasswordExpired, "Okta wants a new password"},
	{"reenroll-custom-password-expiry-warning", auth.PasswordExpired, "Okta does not let the warning be skipped"},
	{"reset-authenticator", auth.PasswordReset, "Okta wants the password to be reset"},
	{"identify-recovery", auth.PasswordReset, "Okta is resetting a password"},
	{"select-authenticator-unlock-account", auth.AccountLocked, "Okta offers to unlock the account"},
	{"request-activation-email", auth.EnrollmentNeeded, "the account is not activated"},
	{"consent", auth.ConsentNeeded, "Okta asks for consent"},
	{"admin-consent", auth.ConsentNeeded, "Okta asks for an administrator's consent"},
	{"granular-consent", auth.ConsentNeeded, "Okta asks for consent"},
	{"email-challenge-consent", auth.ConsentNeeded, "Okta asks whether a sign-in is wanted"},
	{"enroll-profile", auth.ProfileIncomplete, "Okta asks for more about the account"},
	{"enroll-profile-update", auth.ProfileIncomplete, "Okta asks for more about the account"},
	{"profile-update", auth.ProfileIncomplete, "Okta asks for more about the account"},
	{"enroll-authenticator", auth.EnrollmentNeeded, "Okta wants an authenticator to be set up"},
	{"enroll-poll", auth.EnrollmentNeeded, "Okta wants an authenticator to be set up"},
	{"enrollment-channel-data", auth.EnrollmentNeeded, "Okta wants an authenticator to be set up"},
	{"select-enrollment-channel", auth.EnrollmentNeeded, "Okta wants an authenticator to be set up"},
	{"authenticator-enrollment-data", auth.EnrollmentNeeded, "Okta wants an authenticator to be set up"},
	{"select-authenticator-enroll", auth.EnrollmentNeeded, "Okta wants an authenticator to be set up"},
	{"enroll-authenticator-promotion", auth.EnrollmentNeeded, "Okta wants a passkey to be set up"},
	{"enroll-webauthn-residentkey", auth.EnrollmentNeeded, "Okta wants a passkey to be set up"},
	{"user-code", auth.NotSupported, "Okta asks for the code of another device"},
	{"redirect-idverify", auth.NotSupported, "Okta wants a person's identity to be verified elsewhere"},
	{"redirect-idp", auth.NotSupported, "Okta sends the account to another identity provider"},
	{"piv-idp", auth.NotSupported, "Okta asks for a smart card"},
	{"challenge-poll", auth.FactorUnavailable, "Okta waits for FastPass or a device"},
	{"device-challenge-poll", auth.FactorUnavailable, "Okta waits for FastPass on this machine"},
	{"device-apple-sso-extension", auth.FactorUnavailable, "Okta waits for FastPass on this machine"},
	{"launch-authenticator", auth.FactorUnavailable, "Okta wants FastPass on this machine"},
	{"launch-nfc-authenticator", auth.FactorUnavailable, "Okta wants a device"},
	{"launch-passkeys-authenticator", auth.FactorUnavailable, "Okta wants a passkey"},
	{"launch-webauthn-authenticator", auth.FactorUnavailable, "Okta wants a passkey"},
	{"challenge-webauthn-autofillui-authenticator", auth.FactorUnavailable, "Okta wants a passkey"},
	{"device-assurance-grace-period", auth.PolicyDenied, "Okta does not let the device's warning be skipped"},
	{"resend", auth.FactorFailed, "Okta offers to send a challenge again"},
	{"select-enroll-profile", auth.ProfileIncomplete, "Okta offers registration only"},
	{"unlock-account", auth.AccountLocked, "Okta offers to unlock the account only"},
	{"poll", auth.Unreachable, "Okta is in maintenance"},
}

// stop names why a document is the end of a sign-in: nothing on it can be carried
// out.
func (d *idxDoc) stop(step string) *auth.Error {
	for _, end := range idxStops {
		if d.form(end.name) == nil {
			continue
		}
		e := &auth.Error{Kind: end.kind, Step: step, Code: end.name, Seen: end.seen}
		password := d.current == nil || d.current.kind == "password"
		if (end.kind == auth.PasswordExpired || end.kind == auth.PasswordReset) && !password {
			e.Kind, e.Seen = auth.EnrollmentNeeded, "Okta wants an authenticator to be set up anew"
		}
		return e
	}
	if object(d.tree, "successWithInteractionCode") != nil {
		return &auth.Error{Kind: auth.NotSupported, Step: step, Seen: "Okta gives an interaction code: the application is one that embeds its sign-in"}
	}
	if object(d.tree, "deviceEnrollment") != nil {
		return &auth.Error{Kind: auth.PolicyDenied, Step: step, Seen: "Okta wants the device to be managed"}
	}
	if len(d.forms) == 0 && len(d.messages) > 0 { // a last word to a person
		m := d.messages[0]
		kind, known := kindOfKey(m.key)
		if !known {
			kind = auth.UnexpectedPage
		}
		return &auth.Error{Kind: kind, Step: step, Code: quotableKey(m.key), Seen: auth.Clean(m.text)}
	}
	var names []string
	for _, f := range d.forms[:min(len(d.forms), 8)] {
		names = append(names, auth.Clean(f.name))
	}
	return &auth.Error{Kind: auth.UnexpectedPage, Step: step, Seen: "forms that are not known: " + strings.Join(names, ", ")}
}
