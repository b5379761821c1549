package okta

// IDXSettings are what an organization on the Identity Engine does beside the
// policies of Settings, which hold for it, too. The zero value is a plain one with
// every variation left to the seed.
type IDXSettings struct {
	Password  PasswordStep
	Select    SelectStep
	FastPass  FastPass
	Redirect  Redirect
	Poll      string // the path of challenge-poll: "/idp/idx/challenge/poll", "/idp/idx/authenticators/poll", "" by seed
	HideUsers bool   // an unknown user is asked for a password like any other

	OnPrem        bool // RSA's tokens are an authenticator of the organization's own premises (onprem_mfa)
	AutoChallenge bool // a push is sent without being asked for
	Captcha       bool // on identify; none is ever solved
	KeepSignedIn  bool // ask "stay signed in?" before the end
	OfferEnroll   bool // offer to set up one more authenticator, which can be skipped
	Unsatisfiable bool // an account without a second factor is refused where one is needed

	DeniedWithSuccess  bool // the end is success together with an ERROR, and leads to a refusal [W]
	SuccessRemediation bool // the end is a remediation named success-redirect [W]

	UserPer5s  int // requests of one user in 5 seconds, 0: no limit
	StatePer5s int // of one stateToken in 5 seconds
}

// PasswordStep says where the password is asked for.
type PasswordStep int

// The places.
const (
	PasswordVaried     PasswordStep = iota // either, by seed
	PasswordInIdentify                     // together with the user name
	PasswordAlone                          // in a step of its own
)

// SelectStep says what is shown while more than one authenticator can be used, or
// only one.
type SelectStep int

// The ways.
const (
	SelectVaried SelectStep = iota // either, by seed
	SelectAlways                   // a choice, though it be of one
	SelectDirect                   // the first authenticator, others can be chosen instead
)

// FastPass says how Okta Verify on the client's own device comes into it. No client
// here has one: what waits for it waits until it is cancelled.
type FastPass int

// The ways.
const (
	FastPassNone    FastPass = iota
	FastPassOffered          // as a method of Okta Verify, and by launch-authenticator
	FastPassProbed           // looked for before anything else (device-challenge-poll)
)

// Redirect says whether another identity provider comes into it.
type Redirect int

// The ways.
const (
	RedirectNone Redirect = iota
	RedirectAlso          // beside the user name
	RedirectOnly          // and nothing else
)

// IDXCounts is what an organization on the Identity Engine has been asked to do.
// Passwords, pushes and codes are counted in Counts.
type IDXCounts struct {
	Flows       int // sign-ins begun: stateTokens on pages
	Introspects int
	Identifies  int
	Challenges  int // authenticators chosen
	Answers     int // codes, answers and passwords given to challenge/answer
	Polls       int
	Early       int // polls of a push that did not wait as long as they were told to
	Refused     int // requests that did not suit the form, or came with an old stateHandle
	Successes   int // ends that led on
}
