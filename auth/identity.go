package auth

// Factor names a kind of second proof, as the config file writes it.
type Factor string

// The factors a sign-in can answer.
const (
	FactorAuto Factor = "auto" // the strongest enrolled one that needs no person, else one that does
	FactorPush Factor = "push" // Okta Verify push: a person approves on a phone
	FactorTOTP Factor = "totp" // a time-based code made from a stored secret (RFC 6238)

	// Codes that a person reads and types, unless a stored secret answers.
	FactorSMS      Factor = "sms"
	FactorCall     Factor = "call"  // a voice call
	FactorEmail    Factor = "email" // a code by e-mail
	FactorQuestion Factor = "question"
	FactorToken    Factor = "token"    // a device that shows codes: HOTP, YubiKey OTP, RSA, Symantec
	FactorDuo      Factor = "duo"      // where Duo's code path needs no browser
	FactorWebAuthn Factor = "webauthn" // by a software key that the operator provides
)

// Identity is an Okta account that may be signed in.
type Identity struct {
	Name       string       // as the config file calls it; what callers are mapped to
	Username   string       // the Okta user name
	Password   SecretSource // nil: there is none
	Factors    []Factor     // in order of preference, none other is answered; empty means FactorAuto
	TOTPSecret SecretSource // base32; nil: there is none
	Answer     SecretSource // to the security question; nil: a person is asked
	WebAuthn   SecretSource // a software key: PKCS #8 in PEM, with its credential's id; nil: there is none
}
