package auth

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what went wrong in a sign-in, in a word that code can compare.
// Each has one text and one remedy, in the table below.
type Kind string

// The kinds. "Refused" means that trying the same again is useless or harmful.
const (
	// The credential or the account; a person has to change something.
	CredentialRefused Kind = "credential refused"       // E0000004, E0000207: wrong password, or a policy or hidden lock-out that says the same
	MissingCredential Kind = "missing credential"       // no password or TOTP secret configured, or its source failed
	Unanswered        Kind = "unanswered"               // a password or a stored proof was sent, and no answer came: perhaps it counted as an attempt
	AccountLocked     Kind = "account locked"           // LOCKED_OUT, E0000069, E0000119
	PasswordExpired   Kind = "password expired"         // PASSWORD_EXPIRED, E0000064
	PasswordReset     Kind = "password reset"           // PASSWORD_RESET, RECOVERY, RECOVERY_CHALLENGE
	EnrollmentNeeded  Kind = "enrollment needed"        // MFA_ENROLL, MFA_ENROLL_ACTIVATE
	ProfileIncomplete Kind = "profile incomplete"       // PROFILE_REQUIRED, the Portal's updateUserProfile
	ConsentNeeded     Kind = "consent needed"           // CONSENT_REQUIRED, the Portal's acceptTermsAndConditions
	NotAssigned       Kind = "application not assigned" // Okta does not let this account into the Portal's application
	PolicyDenied      Kind = "refused by policy"        // a policy of Okta's refuses this account, network or device
	CaptchaAsked      Kind = "captcha asked"            // Okta wants to see a person
	NotMember         Kind = "not a Portal member"      // the Portal does not know the signed-in account

	// The second factor.
	FactorUnavailable Kind = "no usable factor"  // the account has no factor that the config allows us to answer
	PasscodeRefused   Kind = "passcode refused"  // E0000068
	PasscodeMistimed  Kind = "passcode mistimed" // E0000082, E0000083, PASSCODE_REPLAYED, TIME_WINDOW_EXCEEDED: right, but used or at the wrong time
	PushRejected      Kind = "push rejected"     // REJECTED, E0000073
	PushTimedOut      Kind = "push timed out"    // TIMEOUT, or nobody approved in time
	NobodyWaiting     Kind = "nobody waiting"    // a push was needed but no caller waits for it any more
	ChallengeExpired  Kind = "challenge expired" // a code or an answer was asked for, and nobody gave it in time
	FactorFailed      Kind = "factor failed"     // CANCELLED, ERROR, or a push whose end nobody could tell

	// Limits and the network; time heals them.
	RateLimited Kind = "rate limited" // 429, E0000047, E0000109, E0000118, E0000133, E0000150, E0000151
	Unreachable Kind = "unreachable"  // no connection, a broken one, or a 5xx
	Deadline    Kind = "deadline"     // the whole walk took too long
	Waiting     Kind = "waiting"      // a caller's patience ended while the sign-in went on

	// Misconfiguration, or a system that behaves in a way we do not know.
	UnexpectedPage   Kind = "unexpected page"     // not what Okta or the Portal sends at this step
	ForeignOrigin    Kind = "foreign origin"      // something asked us to go where the config does not allow
	BadClient        Kind = "bad client"          // the Portal does not know client_id or redirect_uri
	BadLogin         Kind = "bad login"           // Okta does not accept the Portal's OpenID Connect request
	AssertionRefused Kind = "assertion refused"   // the Portal did not accept Okta's SAML assertion or OpenID Connect code
	GrantRefused     Kind = "grant refused"       // the Portal refused the code or the refresh token
	TokenRefused     Kind = "fresh token refused" // a token was refused right after it was issued, again and again
	SessionLost      Kind = "session lost"        // E0000011, E0000079: the sign-in's state ended midway
	NotSupported     Kind = "not supported"       // a way in that only a browser can go
	StateUnreadable  Kind = "state unreadable"    // what was refused earlier can't be known, so nothing is tried
	UnknownIdentity  Kind = "unknown identity"    // nothing by that name is configured
)

// remedies says what to do about each kind. A kind without one does not exist:
// a test compares this table with the constants above.
var remedies = map[Kind]string{
	CredentialRefused: "check the user name and password by signing in to Okta in a browser, then correct them in the config; they are not tried again until they change",
	MissingCredential: "give the identity the missing password, totp_secret, answer or webauthn in the config, as env:NAME, file:PATH, keyring:SERVICE/USER or exec:COMMAND; or sign in by hand with `arcproxy login`",
	Unanswered:        "find out why Okta's answers do not arrive, or are none that are known (`arcproxy check`); what was sent is sent again after the pause only, since each time may count as an attempt",
	AccountLocked:     "unlock the account in Okta (an administrator, or the account's own self-service); then sign in once in a browser",
	PasswordExpired:   "set a new password in Okta in a browser, then put it in the config",
	PasswordReset:     "finish the password reset in Okta in a browser, then put the new password in the config",
	EnrollmentNeeded:  "sign in to Okta in a browser once and enrol the factor it asks for",
	ProfileIncomplete: "sign in to the Portal in a browser once and complete the profile it asks for",
	ConsentNeeded:     "sign in to the Portal in a browser once and accept the terms it shows",
	NotAssigned:       "ask an Okta administrator to assign the Portal's application to this account",
	PolicyDenied:      "ask an Okta administrator which sign-on policy refuses this account from this machine, and to let it in",
	CaptchaAsked:      "ask an Okta administrator to let this machine's network sign in without a captcha",
	NotMember:         "ask a Portal administrator to add this account as a member, or to allow accounts to join by themselves",
	FactorUnavailable: "set the identity's factor to one that the account has, with what it needs in the config; or enrol another for the account, as Okta Verify or a TOTP authenticator",
	PasscodeRefused:   "check that totp_secret (or answer, or webauthn) is the account's current one; it is not tried again until it changes. A code that a person typed can be given again after the pause",
	PasscodeMistimed:  "check that this machine's clock is right, and that nothing else uses the same totp_secret at the same time; then repeat the request after the pause",
	PushRejected:      "if that was a mistake, wait until the pause is over and approve the next push; if you did not expect the push, tell your administrators",
	ChallengeExpired:  "have at hand what makes or receives the code, repeat the request after the pause, and give the code where the message says",
	PushTimedOut:      "have the phone at hand and repeat the request after the pause",
	NobodyWaiting:     "repeat the request and stay connected until the push is approved",
	FactorFailed:      "repeat the request; if it goes on, look at the account's factors in Okta",
	RateLimited:       "wait until the time given; lower the rate of sign-ins if it comes again",
	Unreachable:       "check the address in the config, DNS, and the outbound proxy (HTTPS_PROXY, NO_PROXY); if a certificate is not trusted, put that of its authority in network.ca_file",
	Deadline:          "repeat the request; if it goes on, check Okta's and the Portal's response times",
	Waiting:           "repeat the request; the sign-in goes on",
	UnexpectedPage:    "open the same address in a browser: if that is not the right page, correct the URL in the config; if it is, report what was seen here",
	ForeignOrigin:     "if that host belongs to your organization's sign-in, configure it as okta.url, portal.url or okta.duo_host",
	BadClient:         "register an application in the Portal and put its client_id and redirect_uri in the config",
	BadLogin:          "compare the Portal's OpenID Connect login with its application in Okta: client ID, login redirect URI, scopes",
	AssertionRefused:  "check the clocks of Okta and the Portal, and the Portal's SAML login (entity ID, certificate) or OpenID Connect login (issuer, client secret, keys)",
	GrantRefused:      "sign in again; if it goes on, check client_id and redirect_uri",
	TokenRefused:      "check that the server is federated with this Portal and that both clocks are right",
	SessionLost:       "repeat the request",
	NotSupported:      "ask an Okta or Portal administrator for a way in with a password and a code or push, over SAML or OpenID Connect; or set portal.login to a login that the Portal offers",
	StateUnreadable:   "let the program's user read state_dir, or mend the file that is named; nothing is sent to Okta meanwhile",
	UnknownIdentity:   "add the identity to the config",
}

// Error is a sign-in that failed: where, why, and what to do.
// Its message holds no secret; who builds one puts only scrubbed text in Seen.
type Error struct {
	Kind     Kind
	Identity string // name of the identity, where it is known
	Step     string // the step of the walk: "Okta: password", "Portal: oauth2/token"
	Code     string // the other side's own code: "E0000004", "498"
	Seen     string // what was seen there: a status, a title, a field's name; never a value that could be secret
	// Credential is the fingerprint of the credential that was refused
	// (see Signer.Uses); "" where the failure is not a credential's.
	Credential string
	// Until is when trying again makes sense, where that is known.
	Until time.Time
	// Sent says that the request had left when it failed (Unreachable, Deadline):
	// what became of it is not known.
	Sent bool
	// Event is what a Waiting caller is waiting for.
	Event Event
	Err   error // the cause, if there is one
}

// Error says step, kind, code, what was seen, and the cause.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Identity != "" {
		fmt.Fprintf(&b, "signing %s in: ", e.Identity)
	}
	if e.Step != "" {
		b.WriteString(e.Step + ": ")
	}
	b.WriteString(string(e.Kind))
	if e.Code != "" {
		b.WriteString(" (" + e.Code + ")")
	}
	if e.Seen != "" {
		b.WriteString(": " + e.Seen)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// mistimed reports whether a passcode was refused that would have been right at
// another time: nothing is wrong with the secret that it was made of.
func (e *Error) mistimed() bool {
	switch e.Code {
	case "E0000082", "E0000083", "PASSCODE_REPLAYED", "TIME_WINDOW_EXCEEDED", "authfactor.challenge.soft_token.used_passcode":
		return true
	}
	return false
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Remedy says what to do about it.
func (e *Error) Remedy() string { return remedies[e.Kind] }

// KindOf returns the kind of the first [*Error] in err's chain, "" if there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return ""
}
