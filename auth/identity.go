package auth

// Factor names a kind of second proof, as the config file writes it.
type Factor string

// The factors a sign-in can answer.
const (
	FactorAuto Factor = "auto" // the strongest enrolled one that needs no person, else one that does
	FactorPush Factor = "push" // Okta Verify push: a person approves on a phone
	FactorTOTP Factor = "totp" // a time-based code made from a stored secret (RFC 6238)
)

// Identity is an Okta account that may be signed in.
type Identity struct {
	Name       string       // as the config file calls it; what callers are mapped to
	Username   string       // the Okta user name
	Password   SecretSource // nil: there is none
	Factor     Factor       // empty means FactorAuto
	TOTPSecret SecretSource // base32; nil: there is none
}
