package okta

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pquerna/otp/totp"

	"arcproxy/auth"
)

// The shapes that Okta's sign-in widget documents in its mock data, in its names and
// fields, and no more of them than matters here.

// form writes a form of Identity Engine that posts to /idp/idx/path.
func form(name, path string, fields ...string) string {
	return formAt(name, "POST", "https://example.okta.test/idp/idx/"+path, append(fields, fixed("stateHandle", `"02now"`))...)
}

func formAt(name, method, href string, fields ...string) string {
	return fmt.Sprintf(`{"rel":["create-form"],"name":%q,"href":%q,"method":%q,"accepts":"application/json; okta-version=1.0.0","value":[%s]}`, name, href, method, strings.Join(fields, ","))
}

func field(name string) string { return fmt.Sprintf(`{"name":%q}`, name) }
func needed(name string) string {
	return fmt.Sprintf(`{"name":%q,"required":true}`, name)
}
func secretField(name string) string {
	return fmt.Sprintf(`{"name":%q,"secret":true}`, name)
}
func fixed(name, value string) string {
	return fmt.Sprintf(`{"name":%q,"required":true,"value":%s,"visible":false,"mutable":false}`, name, value)
}
func boolean(name string) string { return fmt.Sprintf(`{"name":%q,"type":"boolean"}`, name) }
func nested(name string, fields ...string) string {
	return fmt.Sprintf(`{"name":%q,"type":"object","required":true,"form":{"value":[%s]}}`, name, strings.Join(fields, ","))
}
func oneOf(name string, values ...string) string {
	var options []string
	for _, v := range values {
		options = append(options, fmt.Sprintf(`{"label":%q,"value":%q}`, v, v))
	}
	return fmt.Sprintf(`{"name":%q,"type":"string","required":false,"options":[%s]}`, name, strings.Join(options, ","))
}

// optionForm is an option of a form that chooses an authenticator.
func optionForm(relates string, fields ...string) string {
	return fmt.Sprintf(`{"label":"x","value":{"form":{"value":[%s]}},"relatesTo":%q}`, strings.Join(fields, ","), relates)
}

func selection(options ...string) string {
	return form("select-authenticator-authenticate", "challenge", fmt.Sprintf(`{"name":"authenticator","type":"object","options":[%s]}`, strings.Join(options, ",")))
}

// doc writes a document: its forms, and its other members.
func doc(forms []string, members ...string) string {
	all := append([]string{`"version":"1.0.0","stateHandle":"02now","intent":"LOGIN"`}, members...)
	if len(forms) > 0 {
		all = append(all, fmt.Sprintf(`"remediation":{"type":"array","value":[%s]}`, strings.Join(forms, ",")))
	}
	return "{" + strings.Join(all, ",") + "}"
}

func forms(list ...string) []string { return list }

// current is what is challenged.
func current(place, key, kind, methods string, more ...string) string {
	var list []string
	for _, m := range strings.Fields(methods) {
		list = append(list, fmt.Sprintf(`{"type":%q}`, m))
	}
	members := append([]string{fmt.Sprintf(`"key":%q,"type":%q,"id":"aut1","displayName":"An authenticator","methods":[%s]`, key, kind, strings.Join(list, ","))}, more...)
	return fmt.Sprintf(`%q:{"type":"object","value":{%s}}`, place, strings.Join(members, ","))
}

const (
	orgs     = "currentAuthenticator"
	accounts = "currentAuthenticatorEnrollment"
	ended    = `{"success":{"name":"success-redirect","href":"https://example.okta.test/login/token/redirect?stateToken=02end"}}`
)

// account lists one authenticator of the account.
func account(key, kind, methods string) string {
	one := strings.TrimSuffix(strings.TrimPrefix(current("x", key, kind, methods), `"x":{"type":"object","value":`), "}")
	return `"authenticatorEnrollments":{"type":"array","value":[` + one + `]}`
}

func message(key, class string) string {
	return fmt.Sprintf(`{"message":"What is told to a person.","i18n":{"key":%q,"params":[]},"class":%q}`, key, class)
}

func messagesOf(list ...string) string {
	return `"messages":{"type":"array","value":[` + strings.Join(list, ",") + `]}`
}

// method is an option that names one way of an authenticator.
func method(name string) []string {
	return forms(selection(optionForm("$.authenticatorEnrollments.value[0]", fixed("id", `"aut1"`), fixed("methodType", `"`+name+`"`))))
}

type shape struct {
	name string
	doc  string
	want string // what is posted, then "in" or the error's kind
}

var cancelPolling = formAt("cancel-polling", "POST", "https://example.okta.test/idp/idx/authenticators/poll/cancel", fixed("stateHandle", `"02now"`))

// waits writes the wait for Okta Verify on this machine.
func waits(how string) string {
	return fmt.Sprintf(`"authenticatorChallenge":{"type":"object","value":{"challengeMethod":%q,"href":"okta-verify.html","domain":"http://localhost","ports":["2000"],"cancel":%s}}`, how, cancelPolling)
}

func shapes() []shape {
	passcode := form("challenge-authenticator", "challenge/answer", nested("credentials", field("passcode")))
	answered := "challenge/answer(credentials(passcode)) in"
	captcha := fmt.Sprintf(`{"name":"captchaVerify","form":{"value":[%s,%s]},"relatesTo":"$.captcha"}`, fixed("captchaId", `"cap1"`), needed("captchaToken"))
	identifyForm := form("identify", "identify", needed("identifier"), boolean("rememberMe"))
	idp := `{"name":"redirect-idp","type":"FACEBOOK","idp":{"id":"0oa1","name":"Other"},"href":"https://example.okta.test/sso/idps/0oa1?stateToken=02now","method":"GET"}`
	poll := form("challenge-poll", "authenticators/poll")
	skip := form("skip", "skip")
	identified := "identify(identifier rememberMe) in"

	list := []shape{
		// Who it is.
		{"identify", doc(forms(form("identify", "identify", field("identifier")))), "identify(identifier) in"},
		{"identify, required", doc(forms(form("identify", "identify", needed("identifier")))), "identify(identifier) in"},
		{"identify, rememberMe", doc(forms(identifyForm)), identified},
		{"identify, password", doc(forms(form("identify", "identify", needed("identifier"), nested("credentials", secretField("passcode")), boolean("rememberMe"))), current(orgs, "okta_password", "password", "password")), "identify(credentials(passcode) identifier rememberMe) in"},
		{"identify, hCaptcha or reCAPTCHA", doc(forms(form("identify", "identify", field("identifier"), captcha)), `"captcha":{"type":"object","value":{"id":"cap1","type":"HCAPTCHA"}}`), "captcha asked"},
		{"identify, password and captcha", doc(forms(form("identify", "identify", field("identifier"), nested("credentials", secretField("passcode")), captcha))), "captcha asked"},
		{"identify, what nobody knows", doc(forms(form("identify", "identify", field("identifier"), needed("employeeNumber")))), "unexpected page"},
		{"identify, elsewhere", doc(forms(formAt("identify", "POST", "https://evil.test/idp/idx/identify", field("identifier"), nested("credentials", secretField("passcode"))))), "foreign origin"},
		{"identify, by GET", doc(forms(formAt("identify", "GET", "https://example.okta.test/idp/idx/identify", field("identifier"), nested("credentials", secretField("passcode"))))), "unexpected page"},
		{"identify beside registration, unlocking, FastPass, passkeys, other directories", doc(forms(idp, form("launch-authenticator", "authenticators/okta-verify/launch"), form("launch-webauthn-authenticator", "authenticators/webauthn/launch"),
			form("launch-passkeys-authenticator", "challenge/answer/webauthn-autofillui", nested("credentials", needed("clientData"))),
			form("challenge-webauthn-autofillui-authenticator", "challenge/answer/webauthn-autofillui", nested("credentials", needed("clientData"))),
			form("launch-nfc-authenticator", "authenticators/nfc/launch"), form("unlock-account", "unlock-account"), form("select-enroll-profile", "enroll"), identifyForm)), identified},
		{"select-identify, with the name", doc(forms(form("enroll-profile", "enroll/new", nested("userProfile", needed("email"))), form("select-identify", "identify", field("identifier")))), "identify(identifier) in"},
		{"registration, with the way back", doc(forms(form("enroll-profile", "enroll/new", nested("userProfile", needed("email"), secretField("passcode"))), form("select-identify", "identify/select"))), "identify/select() in"},
		{"select-identify", doc(forms(idp, form("select-identify", "identify/select"))), "identify/select() in"},
		{"redirect-idp only", doc(forms(idp)), "not supported"},
		{"piv-idp only", doc(forms(`{"name":"piv-idp","type":"X509","href":"https://okta.mtls.okta.test/sso/idps/mtlsidp?stateToken=02now","method":"GET"}`)), "not supported"},
		{"identify-recovery", doc(forms(form("identify-recovery", "identify", needed("identifier")))), "password reset"},

		// Which authenticator.
		{"select, password", doc(method("password"), account("okta_password", "password", "password")), "challenge(authenticator(id methodType=password)) in"},
		{"select, e-mail", doc(method("email"), account("okta_email", "email", "email")), "challenge(authenticator(id methodType=email)) in"},
		{"select, phone", doc(forms(selection(optionForm("$.authenticatorEnrollments.value[0]", fixed("id", `"aut1"`), oneOf("methodType", "sms", "voice"), fixed("enrollmentId", `"sms1"`)))), account("phone_number", "phone", "sms voice")), "challenge(authenticator(enrollmentId id methodType=sms)) in"},
		{"select, voice", doc(method("voice"), account("phone_number", "phone", "voice")), "challenge(authenticator(id methodType=voice)) in"},
		{"select, question", doc(method("security_question"), account("security_question", "security_question", "security_question")), "challenge(authenticator(id methodType=security_question)) in"},
		{"select, Okta Verify", doc(forms(selection(optionForm("$.authenticatorEnrollments.value[0]", fixed("id", `"aut1"`), oneOf("methodType", "signed_nonce", "push", "totp")))), account("okta_verify", "app", "signed_nonce push totp")), "challenge(authenticator(id methodType=totp)) in"},
		{"select, Okta Verify, of the older documents", doc(forms(selection(optionForm("$.authenticators.value[0]", fixed("id", `"aut1"`), `{"name":"methodType","required":true,"mutable":false,"options":[{"label":"x","value":"signed_nonce"},{"label":"x","value":"totp"}]}`))), `"authenticators":{"type":"array","value":[{"catalogKey":"okta_verify","authenticatorId":"aut1","authenticatorName":"Okta Verify","methods":[{"methodType":"signed_nonce"},{"methodType":"totp"}]}]}`), "challenge(authenticator(id methodType=totp)) in"},
		{"select, FastPass only", doc(method("signed_nonce"), account("okta_verify", "app", "signed_nonce")), "no usable factor"},
		{"select, Google Authenticator", doc(method("otp"), account("google_otp", "app", "otp")), "challenge(authenticator(id methodType=otp)) in"},
		{"select, custom OTP", doc(method("otp"), account("custom_otp", "security_key", "otp")), "challenge(authenticator(id methodType=otp)) in"},
		{"select, RSA", doc(method("otp"), account("rsa_token", "security_key", "otp")), "challenge(authenticator(id methodType=otp)) in"},
		{"select, on-prem", doc(method("otp"), account("onprem_mfa", "security_key", "otp")), "challenge(authenticator(id methodType=otp)) in"},
		{"select, Symantec VIP", doc(method("otp"), account("symantec_vip", "app", "otp")), "challenge(authenticator(id methodType=otp)) in"},
		{"select, YubiKey", doc(method("otp"), account("yubikey_token", "security_key", "otp")), "challenge(authenticator(id methodType=otp)) in"},
		{"select, temporary code", doc(method("tac"), account("tac", "tac", "tac")), "challenge(authenticator(id methodType=tac)) in"},
		{"select, custom push", doc(method("push"), account("custom_app", "app", "push")), "challenge(authenticator(id methodType=push)) in"},
		{"select, WebAuthn without a key", doc(method("webauthn"), account("webauthn", "security_key", "webauthn")), "no usable factor"},
		{"select, Duo without its host", doc(method("duo"), account("duo", "app", "duo")), "no usable factor"},
		{"select, Duo as an identity provider", doc(method("idp"), account("duo", "app", "idp")), "no usable factor"},
		{"select, another identity provider", doc(method("idp"), account("external_idp", "federated", "idp")), "no usable factor"},
		{"select, smart card", doc(method("cert"), account("smart_card_idp", "federated", "cert")), "no usable factor"},
		{"select, NFC", doc(method("nfc_pin"), account("nfc_pin", "proximity", "nfc_pin")), "no usable factor"},
		{"select, option without its form in value", doc(forms(selection(`{"label":"x","form":{"value":[`+fixed("id", `"aut1"`)+`,`+fixed("methodType", `"password"`)+`]},"relatesTo":"$.authenticatorEnrollments.value[0]"}`)), account("okta_password", "password", "password")), "challenge(authenticator(id methodType=password)) in"},
		{"select, related to nothing", doc(forms(selection(optionForm("$.authenticators.value[7]", fixed("id", `"aut1"`), fixed("methodType", `"totp"`))))), "challenge(authenticator(id methodType=totp)) in"},
		{"select, methods told by the account's list", doc(forms(selection(optionForm("$.authenticatorEnrollments.value[0]", fixed("id", `"aut1"`)))), account("google_otp", "app", "otp")), "challenge(authenticator(id)) in"},
		{"select, for a recovery", strings.Replace(doc(method("email"), account("okta_email", "email", "email")), `"LOGIN"`, `"CREDENTIAL_RECOVERY"`, 1), "password reset"},
		{"verification data, phone", doc(forms(form("authenticator-verification-data", "challenge", nested("authenticator", fixed("id", `"aut1"`), oneOf("methodType", "sms", "voice")))), current(accounts, "phone_number", "phone", "sms voice")), "challenge(authenticator(id methodType=sms)) in"},
		{"verification data, voice only", doc(forms(form("authenticator-verification-data", "challenge", nested("authenticator", fixed("id", `"aut1"`), oneOf("methodType", "voice")))), current(accounts, "phone_number", "phone", "voice")), "challenge(authenticator(id methodType=voice)) in"},
		{"verification data, e-mail", doc(forms(form("authenticator-verification-data", "challenge", nested("authenticator", fixed("id", `"aut1"`), oneOf("methodType", "email")))), current(accounts, "okta_email", "email", "email")), "challenge(authenticator(id methodType=email)) in"},
		{"verification data, push, autoChallenge", doc(forms(form("authenticator-verification-data", "challenge", nested("authenticator", fixed("id", `"aut1"`), oneOf("methodType", "push"), `{"name":"autoChallenge","type":"boolean","required":"false","value":true}`))), current(orgs, "okta_verify", "app", "push")), "challenge(authenticator(autoChallenge id methodType=push)) in"},
		{"verification data, Okta Verify", doc(forms(form("authenticator-verification-data", "challenge", nested("authenticator", fixed("id", `"aut1"`), oneOf("methodType", "signed_nonce", "push", "totp")))), current(orgs, "okta_verify", "app", "push totp signed_nonce")), "challenge(authenticator(id methodType=totp)) in"},

		// Its challenge.
		{"challenge, password", doc(forms(form("challenge-authenticator", "challenge/answer", nested("credentials", secretField("passcode")))), current(accounts, "okta_password", "password", "")), answered},
		{"challenge, password, by GET", doc(forms(formAt("challenge-authenticator", "GET", "https://example.okta.test/idp/idx/challenge/answer", nested("credentials", secretField("passcode")))), current(accounts, "okta_password", "password", "")), "unexpected page"},
		{"challenge, password, elsewhere", doc(forms(formAt("challenge-authenticator", "POST", "https://example.okta.test.evil.test/answer", nested("credentials", secretField("passcode")))), current(accounts, "okta_password", "password", "")), "foreign origin"},
		{"challenge, password, in another field", doc(forms(form("challenge-authenticator", "challenge/answer", nested("credentials", needed("newPasscode")))), current(accounts, "okta_password", "password", "password")), "unexpected page"},
		{"challenge, nobody says what", doc(forms(passcode)), "unexpected page"},
		{"challenge, e-mail", doc(forms(passcode), current(accounts, "okta_email", "email", "email", `"poll":`+form("poll", "challenge/poll"), `"resend":`+form("resend", "challenge/resend"), `"contextualData":{"useEmailMagicLink":true}`)), answered},
		{"challenge, SMS", doc(forms(passcode), current(accounts, "phone_number", "phone", "sms", `"profile":{"phoneNumber":"+1 XXX-XXX-1234"}`, `"resend":`+form("resend", "challenge/resend"))), answered},
		{"challenge, voice", doc(forms(passcode), current(accounts, "phone_number", "phone", "voice")), answered},
		{"challenge, Okta Verify code", doc(forms(form("challenge-authenticator", "challenge/answer", `{"name":"credentials","form":{"value":[{"name":"totp","visible":true,"required":true}]}}`)), current(orgs, "okta_verify", "app", "totp")), "challenge/answer(credentials(totp)) in"},
		{"challenge, Google Authenticator", doc(forms(passcode), current(orgs, "google_otp", "app", "otp")), answered},
		{"challenge, custom OTP", doc(forms(form("challenge-authenticator", "challenge/answer", nested("credentials", needed("passcode")))), current(accounts, "custom_otp", "otp", "security_key")), answered},
		{"challenge, RSA", doc(forms(passcode), current(accounts, "rsa_token", "security_key", "otp")), answered},
		{"challenge, on-prem", doc(forms(passcode), current(accounts, "onprem_mfa", "security_key", "otp")), answered},
		{"challenge, Symantec VIP", doc(forms(passcode), current(orgs, "symantec_vip", "app", "otp")), answered},
		{"challenge, YubiKey", doc(forms(passcode), current(accounts, "yubikey_token", "security_key", "otp")), answered},
		{"challenge, temporary code", doc(forms(passcode), current(accounts, "tac", "tac", "tac")), answered},
		{"challenge, question", doc(forms(form("challenge-authenticator", "challenge/answer", nested("credentials", fixed("questionKey", `"favorite_food"`), needed("answer")))), current(accounts, "security_question", "security_question", "", `"contextualData":{"enrolledQuestion":{"question":"Which food?","questionKey":"favorite_food"}}`)), "challenge/answer(credentials(answer questionKey)) in"},
		{"challenge, question, by method", doc(forms(form("challenge-authenticator", "challenge/answer", nested("credentials", fixed("questionKey", `"custom"`), needed("answer")))), current(accounts, "security_question", "security_question", "security_question", `"profile":{"question":"Which food?"}`)), "challenge/answer(credentials(answer questionKey)) in"},
		{"challenge, WebAuthn", doc(forms(form("challenge-authenticator", "challenge/answer", nested("credentials", needed("clientData"), needed("authenticatorData"), needed("signatureData")))), current(orgs, "webauthn", "security_key", "webauthn", `"contextualData":{"challengeData":{"challenge":"qjUCU0xoVe5QZ3-etDCD","userVerification":"required"}}`)), "no usable factor"},
		{"challenge, Duo", doc(forms(form("challenge-authenticator", "challenge/answer", nested("credentials", needed("signatureData")))), current(accounts, "duo", "app", "duo", `"contextualData":{"host":"api-1.duosecurity.test","signedToken":"TX|x:APP|y","script":"x","integrationType":"IFRAME"}`)), "no usable factor"},
		{"challenge, NFC", doc(forms(passcode), current(orgs, "nfc_pin", "proximity", "nfc_pin")), "no usable factor"},
		{"challenge, another authenticator is better", doc(append(method("totp"), passcode), current(accounts, "okta_email", "email", "email"), account("okta_verify", "app", "totp")), "challenge(authenticator(id methodType=totp)) in"},

		// A push.
		{"push", doc(forms(form("challenge-poll", "challenge/poll")), current(orgs, "okta_verify", "app", "push")), "challenge/poll() in"},
		{"push, number", doc(forms(poll), current(orgs, "okta_verify", "app", "push", `"contextualData":{"correctAnswer":"0"}`, `"resend":`+form("resend", "challenge/resend"))), "authenticators/poll() in"},
		{"push, autoChallenge", doc(forms(form("challenge-poll", "authenticators/poll", `{"name":"autoChallenge","type":"boolean","required":"false","value":true}`)), current(orgs, "okta_verify", "app", "push", `"resend":`+form("resend", "challenge", fixed("authenticator", `{"methodType":"push","id":"aut1"}`)))), "authenticators/poll(autoChallenge) in"},
		{"push, custom app", doc(forms(poll), current(accounts, "custom_app", "app", "push")), "authenticators/poll() in"},
		{"push, rejected", doc(forms(form("resend", "challenge", `{"name":"authenticator","type":"object","value":{"form":{"value":[`+fixed("id", `"aut1"`)+`,`+fixed("methodType", `"push"`)+`]}}}`)), current(orgs, "okta_verify", "app", "push"), messagesOf(message("api.authn.poll.error.push_rejected", "ERROR"))), "push rejected"},
		{"push, over, nobody says why", doc(forms(form("resend", "challenge")), current(orgs, "okta_verify", "app", "push")), "factor failed"},

		// Okta Verify on this machine: cancelled, or another authenticator.
		{"FastPass beside a code", doc(append(method("totp"), poll), current(orgs, "okta_verify", "app", "signed_nonce", `"cancel":`+cancelPolling, `"contextualData":{"challenge":{"type":"object","value":{"challengeMethod":"LOOPBACK","ports":["2000"]}}}`), account("okta_verify", "app", "totp")), "challenge(authenticator(id methodType=totp)) in"},
		{"FastPass alone", doc(forms(poll), current(orgs, "okta_verify", "app", "signed_nonce", `"cancel":`+cancelPolling)), "authenticators/poll/cancel() in"},
		{"FastPass alone, without a cancel", doc(forms(poll), current(orgs, "okta_verify", "app", "signed_nonce")), "no usable factor"},
		{"NFC alone", doc(forms(poll), current(accounts, "nfc_pin", "proximity", "nfc_pin")), "no usable factor"},
		{"device-challenge-poll, without a cancel", doc(forms(form("device-challenge-poll", "authenticators/poll"))), "no usable factor"},
		{"SSO extension, cancelled", doc(forms(formAt("device-apple-sso-extension", "GET", "https://example.okta.test/idp/idx/authenticators/sso_extension/transactions/1/verify?challengeRequest=x"), form("cancel-transaction", "authenticators/sso_extension/transactions/1/verify/cancel"))), "authenticators/sso_extension/transactions/1/verify/cancel() in"},
		{"SSO extension", doc(forms(form("device-apple-sso-extension", "authenticators/sso_extension/transactions/1/verify"))), "no usable factor"},
		{"launch-authenticator only", doc(forms(form("launch-authenticator", "authenticators/okta-verify/launch"), form("select-enroll-profile", "enroll"), form("unlock-account", "unlock-account"))), "no usable factor"},

		// In between.
		{"keep-me-signed-in", doc(forms(form("keep-me-signed-in", "keep-me-signed-in", `{"name":"keepMeSignedIn","type":"boolean","required":true,"value":false,"mutable":true}`))), "keep-me-signed-in(keepMeSignedIn) in"},
		{"password expires soon", doc(forms(form("reenroll-authenticator-warning", "challenge/answer", nested("credentials", secretField("passcode"))), skip), current(accounts, "okta_password", "password", "password"), messagesOf(message("idx.password.expiring.message", "INFO"))), "skip() in"},
		{"custom password expires soon", doc(forms(form("reenroll-custom-password-expiry-warning", "challenge/answer", nested("credentials", secretField("passcode"))), skip)), "skip() in"},
		{"password expires soon, no way past", doc(forms(form("reenroll-authenticator-warning", "challenge/answer", nested("credentials", secretField("passcode")))), current(accounts, "okta_password", "password", "password")), "password expired"},
		{"password expired", doc(append(method("email"), form("reenroll-authenticator", "challenge/answer", nested("credentials", secretField("passcode")))), current(accounts, "okta_password", "password", "password")), "password expired"},
		{"custom password expired", doc(forms(form("reenroll-custom-password-expiry", "challenge/answer", nested("credentials", secretField("passcode"), boolean("revokeSessions"))))), "password expired"},
		{"password reset", doc(forms(form("reset-authenticator", "challenge/answer", nested("credentials", secretField("passcode"), boolean("revokeSessions")))), current(orgs, "okta_password", "password", "password")), "password reset"},
		{"Google Authenticator set up anew", doc(forms(form("reset-authenticator", "challenge/answer", nested("credentials", needed("passcode")))), current(orgs, "google_otp", "app", "otp")), "enrollment needed"},
		{"enrolment offered", doc(forms(form("select-authenticator-enroll", "credential/enroll", nested("authenticator", fixed("id", `"aut1"`))), skip)), "skip() in"},
		{"passkey offered", doc(forms(form("enroll-authenticator-promotion", "credential/enroll", nested("credentials", needed("clientData"))), skip)), "skip() in"},
		{"enrolment in a grace period", doc(forms(form("enroll-authenticator", "challenge/answer", nested("credentials", field("passcode"))), skip), current(orgs, "okta_email", "email", "email")), "skip() in"},
		{"device policy in a grace period", doc(forms(form("device-assurance-grace-period", "skip")), messagesOf(message("idx.device_assurance.grace_period.warning.title.due_by_date", "WARNING"), message("idx.error.code.access_denied.device_assurance.remediation.option_index", "ERROR"))), "skip() in"},

		// The end.
		{"success", ended, "in"},
		{"success, as a form", doc(forms(`{"name":"success-redirect","href":"https://example.okta.test/login/token/redirect?stateToken=02end","method":"GET"}`)), "in"},
		{"success, elsewhere", `{"success":{"name":"success-redirect","href":"https://evil.test/login/token/redirect?stateToken=02end"}}`, "foreign origin"},
		{"success, denied", strings.Replace(ended, `{"success"`, `{`+messagesOf(message("security.access_denied_custom_message", "ERROR"))+`,"success"`, 1), "refused by policy"},
		{"failure", `{"failure":{"name":"failure-redirect","href":"https://example.okta.test/error.html"}}`, "refused by policy"},
		{"failure, with its reason", `{` + messagesOf(message("idx.error.code.user_not_assigned", "ERROR")) + `,"failure":{"name":"failure-redirect","href":"https://example.okta.test/error.html"}}`, "application not assigned"},
		{"failure, as a form", doc(forms(`{"name":"failure-redirect","href":"https://example.okta.test/app/UserHome","method":"GET"}`)), "refused by policy"},
		{"interaction code", doc(nil, `"successWithInteractionCode":{"name":"issue","href":"https://example.okta.test/oauth2/x/v1/token","method":"POST","value":[{"name":"interaction_code","value":"secret"},{"name":"code_verifier","required":true}],"accepts":"application/x-www-form-urlencoded"}`), "not supported"},
		{"device enrolment", doc(nil, `"deviceEnrollment":{"type":"object","value":{"name":"mdm","platform":"IOS","vendor":"MobileIron"}}`), "refused by policy"},

		// What is no document.
		{"error of the other API", `{"errorCode":"E0000047","errorSummary":"API call exceeded rate limit due to too many requests.","errorCauses":[]}`, "rate limited"},
		{"error of OAuth", `{"error":"unauthorized_client","error_description":"The client is not authorized."}`, "unexpected page"},
		{"access denied by OAuth", `{"error":"access_denied","error_description":"The requested feature is not enabled in this environment."}`, "refused by policy"},
		{"a proxy's refusal", `{"error":"Forbidden","message":"Access denied by network policy"}`, "unexpected page"},
		{"nothing", ``, "unexpected page"},
		{"an empty object", `{}`, "unexpected page"},
		{"a form that nobody knows", doc(forms(form("send-everything", "send", nested("credentials", secretField("passcode"), needed("totp"))))), "unexpected page"},
		{"types that are not the usual ones", `{"stateHandle":7,"remediation":{"value":[{"name":"identify","href":[],"value":{}},null,7,{"name":"challenge-authenticator","href":"https://example.okta.test/x","value":[null,{"name":{}},{"name":"credentials","form":7,"options":{}}],"relatesTo":{},"refresh":"x"}]},"currentAuthenticator":{"value":{"methods":{},"contextualData":[]}},"messages":[],"cancel":7,"expiresAt":7}`, "no usable factor"},
		{"fields in fields without end", doc(forms(form("identify", "identify", strings.Repeat(`{"name":"x","form":{"value":[`, 200)+strings.Repeat(`]}}`, 200)))), "unexpected page"},
	}
	for _, how := range []string{"LOOPBACK", "CUSTOM_URI", "APP_LINK", "UNIVERSAL_LINK", "CHROME_DTC"} {
		list = append(list, shape{"device-challenge-poll, " + how, doc(forms(form("device-challenge-poll", "authenticators/poll")), waits(how)), "authenticators/poll/cancel() in"})
	}
	// Whatever they ask for, nothing is sent to them.
	asks := nested("credentials", secretField("passcode"), field("totp"), field("answer"))
	stops := map[string]auth.Kind{
		"authenticator-enrollment-data": auth.EnrollmentNeeded, "enroll-authenticator": auth.EnrollmentNeeded, "enroll-poll": auth.EnrollmentNeeded,
		"enrollment-channel-data": auth.EnrollmentNeeded, "select-enrollment-channel": auth.EnrollmentNeeded, "select-authenticator-enroll": auth.EnrollmentNeeded,
		"enroll-authenticator-promotion": auth.EnrollmentNeeded, "enroll-webauthn-residentkey": auth.EnrollmentNeeded, "request-activation-email": auth.EnrollmentNeeded,
		"enroll-profile": auth.ProfileIncomplete, "enroll-profile-update": auth.ProfileIncomplete, "profile-update": auth.ProfileIncomplete, "select-enroll-profile": auth.ProfileIncomplete,
		"consent": auth.ConsentNeeded, "admin-consent": auth.ConsentNeeded, "granular-consent": auth.ConsentNeeded, "email-challenge-consent": auth.ConsentNeeded,
		"select-authenticator-unlock-account": auth.AccountLocked, "unlock-account": auth.AccountLocked,
		"user-code": auth.NotSupported, "redirect-idverify": auth.NotSupported, "poll": auth.Unreachable, "resend": auth.FactorFailed,
		"launch-nfc-authenticator": auth.FactorUnavailable, "launch-passkeys-authenticator": auth.FactorUnavailable, "launch-webauthn-authenticator": auth.FactorUnavailable,
		"challenge-webauthn-autofillui-authenticator": auth.FactorUnavailable,
	}
	for _, name := range slices.Sorted(maps.Keys(stops)) {
		list = append(list, shape{name, doc(forms(form(name, "challenge/answer", asks))), string(stops[name])})
	}
	return append(list, told()...)
}

// told are the messages of the mock data, at the top of a document that offers to
// begin again, or on a field of a form.
func told() []shape {
	var list []shape
	top := map[auth.Kind]string{
		auth.CredentialRefused: "incorrectPassword errors.E0000004",
		auth.SessionLost:       "idx.session.expired idx.transferred.to.new.tab",
		auth.RateLimited:       "tooManyRequests errors.E0000150 errors.E0000151",
		auth.PolicyDenied: "security.access_denied security.access_denied_custom_message idx.error.code.access_denied.device_assurance.remediation.title " +
			"idx.error.code.access_denied.device_assurance.remediation.android.upgrade_os_version idx.error.code.access_denied.device_assurance.remediation.ios.use_lock_screen " +
			"idx.error.code.access_denied.device_assurance.remediation.macos.device_disk_encrypted idx.error.code.access_denied.device_assurance.remediation.windows.use_biometric_lock_screen " +
			"idx.error.code.access_denied.device_assurance.remediation.explanation_one_rule idx.error.code.access_denied.device_assurance.remediation.additional_help_default " +
			"device.assurance.custom.remediation.ANDROID.Okta:DeviceAssurance.Jailbreak",
		auth.FactorUnavailable: "oie.assurance.unsatisfiable",
		auth.NotAssigned:       "idx.error.user.not.assigned.to.app idx.error.code.user_not_assigned",
		auth.NotSupported:      "idx.identity.provider.auth.error idx.invalid.device.code",
		auth.Unreachable:       "E0000009 E0000010 idx.error.server.safe.mode.enrollment.unavailable",
		auth.CaptchaAsked:      "oie.captcha.verification.failed",
		auth.EnrollmentNeeded:  "idx.expired.activation.token idx.missing.activation.token enroll.hotp.restricted",
		auth.AccountLocked: "idx.activating.inactive.user authfactor.challenge.suspended_factor oie.selfservice.user.unlock.not.allowed oie.selfservice.unlock_user.failed.message " +
			"oie.selfservice.unlock_user.challenge.failed.permissions errors.E0000069",
		auth.PasswordReset: "idx.invalid.forgot.password.token idx.invalid.reset.password.token idx.reset.password.activating.user api.users.auth.error.POST_PASSWORD_UPDATE_AUTH_FAILURE " +
			"oie.selfservice.reset.password.not.allowed",
		auth.PasswordExpired:  "errors.E0000035",
		auth.ChallengeExpired: "core.system.transaction_resource_not_found oie.authenticator.duo.method.duo.verification_timeout",
		auth.PushRejected:     "api.authn.poll.error.push_rejected",
		auth.FactorFailed: "core.auth.factor.signedNonce.error.invalidDevice authfactor.webauthn.error.assertion_validation_failure api.factors.error.sms.invalid_phone " +
			"oie.authenticator.duo.method.duo.verification_failed oie.authenticator.app.method.push.enroll.enable.biometrics oie.authenticator.app.method.push.force.upgrade.number_challenge " +
			"oie.authenticator.app.method.push.verify.enable.biometrics oie.authenticator.app.non_fips_compliant_enrollment_app_update_required oie.authenticator.custom_app.method.push.verify.enable.biometrics " +
			"oie.authenticator.app.non_fips_compliant_enrollment_device_incompatible oie.authenticator.oktaverify.method.fastpass.verify.enable.biometrics.mobile " +
			"oie.authenticator.oktaverify.method.totp.verify.enable.biometrics oie.authenticator.enroll.error.fail oie.authenticator.verify.error.fail errors.E0000113 " +
			"idx.operation.cancelled.by.user idx.operation.cancelled.on.other.device idx.return.error",
		auth.ProfileIncomplete: "registration.error.generic registration.error.request.not.completed idx.error.registration.unavailable",
		auth.UnexpectedPage:    "E0000020 error.username.required error.password.required error.expired.session a.key.that.nobody.knows",
	}
	onField := map[auth.Kind]string{
		auth.PasscodeRefused:   "api.authn.error.PASSCODE_INVALID authfactor.challenge.soft_token.invalid_passcode authfactor.challenge.soft_token.used_passcode",
		auth.PasswordExpired:   "password.common password.passwordRequirementsNotMet",
		auth.PasswordReset:     "app.ldap.password.reset.failed",
		auth.ProfileIncomplete: "registration.error.doesNotMatchPattern registration.error.invalidLoginEmail registration.error.notUniqueWithinOrg",
		auth.FactorFailed:      "api.authenticator.error.nfc.pin_incorrect",
		auth.UnexpectedPage:    "securityQuestion.answer.tooShort.arg tagsNotAllowed",
	}
	again := form("identify", "identify", needed("identifier"), nested("credentials", secretField("passcode")))
	for _, kind := range slices.Sorted(maps.Keys(top)) {
		for _, key := range strings.Fields(top[kind]) {
			list = append(list, shape{"message " + key, doc(forms(again), messagesOf(message(key, "ERROR"))), string(kind)})
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(onField)) {
		for _, key := range strings.Fields(onField[kind]) {
			list = append(list, shape{"message on a field, " + key, doc(forms(form("challenge-authenticator", "challenge/answer", nested("credentials", `{"name":"passcode",`+messagesOf(message(key, "ERROR"))+`}`)))), string(kind)})
		}
	}
	// The last word to a person, with nothing to go on with.
	last := map[string]auth.Kind{
		"idx.email.verification.required": auth.EnrollmentNeeded, "idx.request.activation.email": auth.EnrollmentNeeded,
		"idx.recovery.completed": auth.PasswordReset, "oie.selfservice.unlock_user.success.message": auth.AccountLocked,
		"idx.return.to.original.tab": auth.FactorFailed, "idx.return.link.expired": auth.FactorFailed, "idx.enter.otp.in.original.tab": auth.FactorFailed,
		"idx.device.activated": auth.UnexpectedPage, "idx.device.not.activated.consent.denied": auth.UnexpectedPage, "idx.device.not.activated.internal.error": auth.UnexpectedPage,
	}
	for _, key := range slices.Sorted(maps.Keys(last)) {
		list = append(list, shape{"last word " + key, doc(nil, messagesOf(message(key, "INFO"))), string(last[key])})
	}
	// Said beside something to go on with, it is no more than said.
	for _, key := range []string{"oie.selfservice.unlock_user.landing.to.app.success.message", "api.authenticator.error.nfc.sign_in_to_use"} {
		list = append(list, shape{"beside a form, " + key, doc(forms(form("identify", "identify", needed("identifier"))), messagesOf(message(key, "WARNING"))), "identify(identifier) in"})
	}
	return list
}

// secretPlaces are where a secret may be posted: form and field.
var secretPlaces = map[string]bool{
	"identify credentials.passcode":         true,
	"challenge/answer credentials.passcode": true,
	"challenge/answer credentials.totp":     true,
	"challenge/answer credentials.answer":   true,
}

// TestIDXShapes: each shape is carried out or is stopped with a name. Nothing
// panics, nothing goes on for ever, and no secret goes to a form or field that is not
// known for it, or twice.
func TestIDXShapes(t *testing.T) {
	all := shapes()
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, requests := play(t, c.doc, ended)
				t.Logf("%s: %s", c.name, got)
				if got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				if requests > 40 {
					t.Errorf("%d requests", requests)
				}
			})
		})
	}
	t.Logf("%d shapes", len(all))
}

// play signs in at an Identity Engine that answers introspect with doc and whatever
// is posted with next.
func play(t *testing.T, doc, next string) (outcome string, requests int) {
	t.Helper()
	u := address(t, "https://example.okta.test")
	var posts []string
	sent := map[string]bool{}
	b := auth.NewBrowser(auth.BrowserConfig{Origins: []*url.URL{u}, Transport: trip(func(r *http.Request) (int, string) {
		requests++
		path := strings.TrimPrefix(r.URL.Path, "/idp/idx/")
		switch {
		case !auth.SameOrigin(r.URL, u):
			t.Errorf("a request to %s", r.URL.Host)
			return 404, ""
		case r.URL.Path == "/.well-known/okta-organization":
			return 200, `{"pipeline":"idx"}`
		case strings.HasPrefix(r.URL.Path, "/app/"):
			return 200, `<script>var stateToken='eyJ\x2Dx'</script>`
		case r.URL.Path == "/login/token/redirect" && r.Method == http.MethodGet && r.URL.RawQuery == "stateToken=02end":
			return 200, `<form id=appForm method=post action="https://gis.test/x"><input name=SAMLResponse value=x></form>`
		case r.Method == http.MethodGet:
			return 404, ""
		case path == "introspect":
			return 200, doc
		case path == "cancel":
			return 200, `{}`
		}
		var in map[string]any
		if json.NewDecoder(r.Body).Decode(&in) != nil || in["stateHandle"] != "02now" && next == ended {
			t.Errorf("%s: no stateHandle", path)
		}
		if next != ended && path != "identify" {
			path = "challenge/answer" // the addresses are a fuzzer's
		}
		lookForSecrets(t, path, "", in, sent)
		posts = append(posts, path+spelled(in))
		return 200, next
	})})
	identity := auth.Identity{Name: "alice", Username: "alice@example.com", Password: secret("a-password"), TOTPSecret: secret("JBSWY3DPEHPK3PXP")}
	watch := auth.Watch{Waited: func() bool { return true }, Ask: func(context.Context, auth.Challenge) (auth.Secret, error) { return auth.NewSecret("typed-secret"), nil }}
	ctx, done := context.WithTimeout(t.Context(), 10*time.Minute)
	defer done()
	_, err := New(Config{URL: u}).SignIn(ctx, b, auth.NewAccount(identity), watch, auth.Handoff{URL: address(t, "https://example.okta.test/app/x?SAMLRequest=x")})
	end := "in"
	if err != nil {
		e, ok := err.(*auth.Error)
		if !ok || e.Step == "" || e.Remedy() == "" {
			t.Errorf("an error without step or remedy: %v", err)
		}
		end = string(auth.KindOf(err))
	}
	return strings.Join(append(posts, end), " "), requests
}

// lookForSecrets fails for a secret in a place that is not known for it, or that was
// posted before.
func lookForSecrets(t *testing.T, path, at string, v any, sent map[string]bool) {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			lookForSecrets(t, path, strings.TrimPrefix(at+"."+name, "."), inner, sent)
		}
	case string:
		if v != "a-password" && v != "typed-secret" && !codeOfNow(t, v) {
			return
		}
		if !secretPlaces[path+" "+at] {
			t.Errorf("a secret in %s %s", path, at)
		}
		if sent[v] {
			t.Error("a secret was posted twice")
		}
		sent[v] = true
	}
}

// codeOfNow reports whether v is a code of the present time window.
func codeOfNow(t *testing.T, v string) bool {
	t.Helper()
	code, err := totp.GenerateCode("JBSWY3DPEHPK3PXP", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return v == code
}

// FuzzIDX: an Identity Engine that answers anything, and the same again and again,
// makes nobody panic or go on for ever, and learns no secret but where it belongs.
func FuzzIDX(f *testing.F) {
	for _, c := range shapes() {
		f.Add([]byte(c.doc))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if d, ok := parseIDX(text); ok {
			for _, form := range d.forms {
				body, _ := form.fill("02now", map[string]any{"identifier": "x"})
				if _, err := json.Marshal(body); err != nil {
					t.Error(err)
				}
			}
		}
		synctest.Test(t, func(t *testing.T) {
			if _, requests := play(t, string(text), string(text)); requests > 230 {
				t.Errorf("%d requests", requests)
			}
		})
	})
}

// spelled writes the names of a body, and the method that it chooses.
func spelled(v any) string {
	m, ok := v.(map[string]any)
	if !ok {
		return ""
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		switch {
		case name == "stateHandle":
		case name == "methodType":
			names = append(names, fmt.Sprintf("%s=%v", name, m[name]))
		default:
			names = append(names, name+spelled(m[name]))
		}
	}
	return "(" + strings.Join(names, " ") + ")"
}
