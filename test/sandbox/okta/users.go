package okta

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// State makes an account end a sign-in elsewhere than in SUCCESS. The words are Okta's [A].
type State string

// The states. The zero State is an account in good order.
const (
	PasswordWarn      State = "PASSWORD_WARN"      // only told to clients that ask to be warned; can be skipped
	PasswordExpired   State = "PASSWORD_EXPIRED"   // told after MFA
	PasswordReset     State = "PASSWORD_RESET"     // a new password must be set
	Recovery          State = "RECOVERY"           // a recovery question must be answered
	RecoveryChallenge State = "RECOVERY_CHALLENGE" // a recovery code was sent
	LockedOut         State = "LOCKED_OUT"
	MFAEnroll         State = "MFA_ENROLL"       // a factor must be enrolled first
	ConsentRequired   State = "CONSENT_REQUIRED" // told after MFA; terms must be accepted
	ProfileRequired   State = "PROFILE_REQUIRED" // told after MFA; attributes are missing
	Denied            State = "DENIED"           // the sign-on policy refuses: looks like a bad password
)

// User is one account as a test writes it.
type User struct {
	Login, Password            string
	FirstName, LastName, Email string
	TOTPSecret                 string   // base32; "": no authenticator enrolled
	TOTPProvider               string   // "GOOGLE" (default) or "OKTA"
	Push                       bool     // Okta Verify push is enrolled
	Others                     []string // further factors: "sms", "call", "email", "question", "u2f"
	Answer                     string   // to the security question
	HOTPSecret                 string   // base32; "": no token that counts
	RSASecret, SymantecSecret  string   // base32; "": no token that shows a code every 60 s, 30 s
	YubiKey                    *YubiKey // nil: none
	DuoSecret                  string   // base32; "": no Duo. Of the passcodes that Duo's app shows
	Keys                       []SecurityKey
	State                      State
	Unassigned                 bool // no application is assigned to the account
}

// account is a User and what has happened to it.
type account struct {
	User
	id          string
	changed     time.Time // the password
	factors     []*factor
	badPassword int // in a row
	badFactor   int // in a row
	locked      bool
	lastStep    int64 // the TOTP time step that was used last; 0: none
	phone       *Phone
	inbox       *Inbox
	devices     devices
}

// factor is one enrolled second factor.
type factor struct {
	id, kind, provider string
	profile            hal
	code               string      // of the last message, "" once it was used
	sent               []time.Time // messages of the last hour
	key                SecurityKey // of webauthn
}

func (o *Org) addUser(u User) error {
	if u.Login == "" || u.Password == "" {
		return errors.New("okta: a user needs a login and a password")
	}
	key := strings.ToLower(u.Login)
	if _, ok := o.users[key]; ok {
		return fmt.Errorf("okta: two users with the login %q", u.Login)
	}
	a := &account{User: u, id: o.id("00u"), changed: time.Now().Add(-40 * 24 * time.Hour)}
	a.phone = &Phone{org: o, login: u.Login, arrived: make(chan Push, 64)}
	a.inbox = &Inbox{org: o, login: u.Login, arrived: make(chan Message, 64)}
	a.devices.signed = map[string]uint32{}
	o.users[key] = a
	return o.outfit(a)
}

// outfit derives names, factors and secrets from the account's User.
func (o *Org) outfit(a *account) error {
	if a.FirstName == "" {
		a.FirstName, _, _ = strings.Cut(a.Login, "@")
	}
	if a.LastName == "" {
		a.LastName = "Example"
	}
	if a.Email == "" {
		a.Email = a.Login
	}
	a.locked = a.locked || a.State == LockedOut
	var list []*factor
	if a.Push {
		list = append(list, &factor{id: o.id("opf"), kind: "push", provider: "OKTA", profile: hal{
			"credentialId": a.Login, "deviceType": "SmartPhone_IPhone", "name": a.FirstName + "'s phone",
			"platform": "IOS", "version": "17.4",
			"keys": []hal{{"kty": "EC", "use": "sig", "kid": "default", "crv": "P-256"}},
		}})
	}
	if a.TOTPSecret != "" {
		if err := checkTOTPSecret(a.TOTPSecret); err != nil {
			return fmt.Errorf("okta: user %s: %w", a.Login, err)
		}
		f := &factor{id: o.id("uft"), kind: "token:software:totp", provider: "GOOGLE", profile: hal{"credentialId": a.Login}}
		if a.TOTPProvider == "OKTA" {
			f.id, f.provider = o.id("ost"), "OKTA"
		}
		list = append(list, f)
	}
	for _, kind := range a.Others {
		f := &factor{kind: kind, provider: "OKTA"}
		switch kind {
		case "sms":
			f.id, f.profile = o.id("sms"), hal{"phoneNumber": phoneNumber}
		case "call":
			f.id, f.profile = o.id("clf"), hal{"phoneNumber": phoneNumber}
		case "email":
			f.id, f.profile = o.id("emf"), hal{"email": masked(a.Email)}
		case "question":
			f.id = o.id("ufs")
			f.profile = hal{"question": "disliked_food", "questionText": "What is the food you least liked as a child?"}
		case "u2f":
			f.id, f.provider, f.profile = o.id("fuf"), "FIDO", hal{"credentialId": o.id("cred"), "version": "U2F_V2"}
		default:
			return fmt.Errorf("okta: user %s: no factor is called %q", a.Login, kind)
		}
		list = append(list, f)
	}
	tokens, err := o.tokensOf(a)
	if err != nil {
		return fmt.Errorf("okta: user %s: %w", a.Login, err)
	}
	list = append(list, tokens...)
	for _, k := range a.Keys {
		list = append(list, &factor{id: o.id("fwf"), kind: "webauthn", provider: "FIDO", key: k, profile: hal{
			"credentialId": k.credentialID(), "appId": nil, "version": nil, "authenticatorName": k.Name,
		}})
	}
	o.rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	a.factors = list
	for _, s := range []string{a.Password, a.TOTPSecret, a.Answer, a.HOTPSecret, a.RSASecret, a.SymantecSecret, a.DuoSecret} {
		if s != "" {
			o.secrets[s] = true
		}
	}
	return nil
}

// Alter changes an account while the organization runs: a new password, a lost
// phone, an expiry. Its factors are enrolled anew, with new identifiers; a
// lock-out is lifted unless State says LOCKED_OUT.
func (o *Org) Alter(login string, change func(*User)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := o.users[strings.ToLower(login)]
	if a == nil {
		return fmt.Errorf("okta: no user %q", login)
	}
	change(&a.User)
	a.Login = login
	a.locked, a.badPassword, a.badFactor = false, 0, 0
	return o.outfit(a)
}

// Locked reports whether an account is locked out.
func (o *Org) Locked(login string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := o.users[strings.ToLower(login)]
	return a != nil && a.locked
}

// id makes an identifier of Okta's form: a prefix of three and 17 letters and
// digits. It is no secret, so it comes from the seed.
func (o *Org) id(prefix string) string {
	const set = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := []byte(prefix)
	for range 17 {
		b = append(b, set[o.rng.IntN(len(set))])
	}
	return string(b)
}

// fail counts a failed second factor and reports whether that locked the account.
func (a *account) fail(o *Org) bool {
	o.counts.MFAFailures++
	a.badFactor++
	if a.badFactor >= o.settings.MaxMFAFailures {
		a.locked = true
	}
	return a.locked
}

// find returns the factor with an id, nil if there is none.
func (a *account) find(id string) *factor {
	for _, f := range a.factors {
		if f.id == id {
			return f
		}
	}
	return nil
}
