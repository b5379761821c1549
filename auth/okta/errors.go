package okta

import (
	"fmt"
	"net/http"
	"regexp"
	"time"

	"arcproxy/auth"
)

// codes names Okta's error codes ("Okta error codes" in its documentation).
var codes = map[string]auth.Kind{
	"E0000004": auth.CredentialRefused, // also a policy's refusal and a hidden lock-out
	"E0000011": auth.SessionLost,       // the token is invalid or has expired
	"E0000047": auth.RateLimited,
	"E0000058": auth.FactorUnavailable, // the application needs MFA
	"E0000064": auth.PasswordExpired,
	"E0000068": auth.PasscodeRefused,
	"E0000069": auth.AccountLocked,
	"E0000073": auth.PushRejected,
	"E0000079": auth.SessionLost,     // not allowed in this state
	"E0000082": auth.PasscodeRefused, // the code was used already
	"E0000083": auth.PasscodeRefused, // outside its time window
	"E0000109": auth.RateLimited,     // SMS
	"E0000118": auth.RateLimited,     // email
	"E0000119": auth.AccountLocked,
	"E0000133": auth.RateLimited,       // call
	"E0000150": auth.RateLimited,       // SMS
	"E0000151": auth.RateLimited,       // call
	"E0000207": auth.CredentialRefused, // "Incorrect username or password"
}

// limitPause is how long to wait after a limit that is told by a code and not by
// status 429, which [auth.Browser] takes care of.
const limitPause = time.Minute

var codeForm = regexp.MustCompile(`^E\d{7}$`)

// refusal names an error of the API. It quotes Okta's own code and, cleaned, its
// summary; never the rest of the body.
func refusal(step string, page *auth.Page, a *answer) *auth.Error {
	e := &auth.Error{Kind: auth.UnexpectedPage, Step: step, Seen: fmt.Sprintf("status %d", page.Status)}
	if codeForm.MatchString(a.Code) {
		e.Code = a.Code
	}
	if summary := auth.Clean(a.Summary); summary != "" {
		e.Seen += ": " + summary
	}
	if kind, ok := codes[e.Code]; ok {
		e.Kind = kind
	} else if step == stepPassword && e.Code != "" && page.Status == http.StatusUnauthorized {
		// A refusal by a name we do not know. It is a refusal all the same, and
		// what counts as one is not sent again.
		e.Kind = auth.CredentialRefused
	} else if page.Status >= http.StatusInternalServerError {
		e.Kind, e.Sent = auth.Unreachable, true
	}
	if e.Kind == auth.RateLimited {
		e.Until = page.Received.Add(limitPause)
	}
	return e
}

// endings are the states that no sign-in without a person gets past.
var endings = map[string]struct {
	kind auth.Kind
	seen string
}{
	"LOCKED_OUT":          {auth.AccountLocked, "Okta says that the account is locked"},
	"PASSWORD_EXPIRED":    {auth.PasswordExpired, "Okta wants a new password"},
	"PASSWORD_RESET":      {auth.PasswordReset, "Okta wants the password to be reset"},
	"RECOVERY":            {auth.PasswordReset, "Okta asks a recovery question"},
	"RECOVERY_CHALLENGE":  {auth.PasswordReset, "Okta has sent a recovery code"},
	"MFA_ENROLL":          {auth.EnrollmentNeeded, "Okta wants a factor to be enrolled"},
	"MFA_ENROLL_ACTIVATE": {auth.EnrollmentNeeded, "Okta wants an enrolment to be finished"},
	"CONSENT_REQUIRED":    {auth.ConsentNeeded, "Okta asks for consent"},
	"PROFILE_REQUIRED":    {auth.ProfileIncomplete, "Okta asks for more about the account"},
	"UNAUTHENTICATED":     {auth.SessionLost, "Okta wants the sign-in to begin again"},
}

// results are what a challenge can come to, beside success and waiting.
var results = map[string]auth.Kind{
	"REJECTED":             auth.PushRejected,
	"TIMEOUT":              auth.PushTimedOut,
	"CANCELLED":            auth.FactorFailed,
	"ERROR":                auth.FactorFailed,
	"PASSCODE_REPLAYED":    auth.PasscodeRefused,
	"TIME_WINDOW_EXCEEDED": auth.PasscodeRefused,
}
