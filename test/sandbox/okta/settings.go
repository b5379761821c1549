package okta

import "time"

// MFAPolicy says when the organization's sign-on policy asks for a second factor.
type MFAPolicy int

// The policies. An account without factors is asked for none, unless its State
// says that it must enrol one.
const (
	MFAAlways    MFAPolicy = iota // at every sign-in, unless the device is remembered
	MFANewDevice                  // on a device (DT cookie) on which the account has not yet passed MFA
	MFANever                      // not by the organization; an application may still ask
)

// Settings are the organization's policies and what a test may bend.
// A zero duration or count means none, unless it says otherwise.
type Settings struct {
	Pipeline string // "v1" (Classic) or "idx" (Identity Engine), as okta-organization tells it
	IDX      IDXSettings

	MFA                 MFAPolicy
	AllowRememberDevice bool
	RememberDevice      time.Duration
	AppMFA              bool // the application's own policy asks for a second factor, once a session

	MaxBadPasswords int  // in a row, then the account is locked
	MaxMFAFailures  int  // in a row, then the account is locked
	ShowLockout     bool // say LOCKED_OUT; else a locked account looks like a bad password

	StateTokenLife   time.Duration // slides with every request
	SessionTokenLife time.Duration
	SessionIdle      time.Duration // slides when the session is used or refreshed
	SessionLife      time.Duration // does not slide

	FactorWords bool // say FACTOR_REQUIRED and FACTOR_CHALLENGE for MFA_REQUIRED and MFA_CHALLENGE

	PushTimeout      time.Duration
	NumberChallenge  bool
	Number           *int          // the number to show; nil is a random one from 0 to 99
	NumberAfter      time.Duration // correctAnswer appears this long after the push…
	NumberAfterPolls int           // …and after this many polls

	Mistimed        Mistimed      // how a code is refused that was used, or that is of another time
	TOTPSkew        uint          // time steps of 30 s to either side that are accepted
	HOTPAhead       int           // counts beyond the next that are accepted
	CodeLife        time.Duration // of a code that was sent
	SMSInterval     time.Duration // at least, from one message to the next
	CallInterval    time.Duration
	EmailInterval   time.Duration
	MessagesPerHour int // SMS, or calls, to one factor

	UserVerification string // what WebAuthn asks for: "preferred" (also ""), "required", "discouraged"

	UserPerSecond    int // primary authentications of one user name
	ClientPerMinute  int // requests of one client (IP address and DT cookie)
	ClientConcurrent int // of the same, at one time
	OrgPerMinute     int // of all clients together, to each group of addresses
	OrgConcurrent    int // of all clients together, at one time

	Shape       Shape         // of sign-in and step-up pages
	SessionPage SessionPage   // what an application shows a live session
	ClockSkew   time.Duration // added to the organization's clock: Date header, TOTP, assertions
}

// Mistimed says how the Authentication API refuses a code that is right, but was used
// or is of another time. What decides it for a real organization is unproven.
type Mistimed int

// The ways.
const (
	MistimedVaried Mistimed = iota // either, by seed
	MistimedError                  // E0000082, E0000083
	MistimedResult                 // MFA_CHALLENGE with factorResult PASSCODE_REPLAYED, TIME_WINDOW_EXCEEDED
)

// DefaultSettings are Okta's defaults as far as they are documented, with number
// challenge off and every page shape possible.
func DefaultSettings() Settings {
	return Settings{
		Pipeline:            "v1",
		AllowRememberDevice: true,
		RememberDevice:      15 * time.Minute,
		MaxBadPasswords:     10,
		MaxMFAFailures:      5,
		StateTokenLife:      5 * time.Minute,
		SessionTokenLife:    5 * time.Minute,
		SessionIdle:         2 * time.Hour,
		SessionLife:         24 * time.Hour,
		PushTimeout:         5 * time.Minute,
		TOTPSkew:            1,
		HOTPAhead:           10,
		CodeLife:            5 * time.Minute,
		SMSInterval:         30 * time.Second,
		CallInterval:        30 * time.Second,
		EmailInterval:       5 * time.Second,
		UserPerSecond:       4,
		ClientPerMinute:     60,
		ClientConcurrent:    5,
		OrgPerMinute:        600,
		OrgConcurrent:       75,
		IDX:                 IDXSettings{HideUsers: true, UserPer5s: 20, StatePer5s: 10},
	}
}
