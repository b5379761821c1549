package okta

import (
	"crypto/rand"
	"fmt"
	"net/http"
)

// summaries are the texts of Okta's error codes [EC]. The wording of E0000058, 64,
// 73, 118, 119, 133, 150, 151 and 207 is unproven; clients go by the code.
var summaries = map[string]string{
	"E0000001": "Api validation failed: %s",
	"E0000003": "The request body was not well-formed.",
	"E0000004": "Authentication failed",
	"E0000005": "Invalid session",
	"E0000006": "You do not have permission to perform the requested action",
	"E0000007": "Not found: Resource not found: %s",
	"E0000009": "Internal Server Error",
	"E0000011": "Invalid token provided",
	"E0000014": "Update of credentials failed",
	"E0000021": "Bad request.  Accept and/or Content-Type headers likely do not match supported values.",
	"E0000022": "The endpoint does not support the provided HTTP method",
	"E0000047": "API call exceeded rate limit due to too many requests.",
	"E0000058": "The application requires multifactor authentication.",
	"E0000064": "Password is expired and must be changed.",
	"E0000068": "Invalid Passcode/Answer",
	"E0000069": "User Locked",
	"E0000073": "The user rejected the challenge.",
	"E0000079": "This operation is not allowed in the current authentication state.",
	"E0000080": "The password does not meet the complexity requirements of the current password policy.",
	"E0000082": "Each code can only be used once. Please wait for a new code and try again.",
	"E0000083": "PassCode is valid but exceeded time window.",
	"E0000087": "The recovery question answer did not match our records.",
	"E0000109": "An SMS message was recently sent. Please wait 30 seconds before trying again.",
	"E0000118": "An email was recently sent. Please wait 5 seconds before trying again.",
	"E0000119": "Your account is locked. Please contact your administrator.",
	"E0000133": "A call was recently made. Please wait 30 seconds before trying again.",
	"E0000150": "SMS limit exceeded.",
	"E0000151": "Call limit exceeded.",
	"E0000207": "Incorrect username or password.",
}

// causes are what errorCauses says for the codes that have one [W].
var causes = map[string]string{
	"E0000068": "Your passcode doesn't match our records. Please try again.",
	"E0000079": "This operation is not allowed in the current authentication state.",
}

// fail makes Okta's error document. detail fills the summary's blank, if it has one.
func fail(status int, code string, detail ...any) answer {
	summary := summaries[code]
	if len(detail) > 0 {
		summary = fmt.Sprintf(summary, detail...)
	}
	list := []hal{}
	if c, ok := causes[code]; ok {
		list = append(list, hal{"errorSummary": c})
	}
	return reply(status, hal{
		"errorCode":    code,
		"errorSummary": summary,
		"errorLink":    code,
		"errorId":      "oae" + rand.Text()[:22],
		"errorCauses":  list,
	})
}

// The refusals that more than one place gives.
func badCredentials() answer { return fail(http.StatusUnauthorized, "E0000004") }
func badToken() answer       { return fail(http.StatusUnauthorized, "E0000011") }
func wrongState() answer     { return fail(http.StatusForbidden, "E0000079") }
func badPasscode() answer    { return fail(http.StatusForbidden, "E0000068") }

// userLocked is the answer in a sign-in whose account is locked. Both codes say so
// [EC]; which of them comes is unproven.
func (o *Org) userLocked() answer {
	return fail(http.StatusForbidden, []string{"E0000069", "E0000069", "E0000119"}[o.rng.IntN(3)])
}
