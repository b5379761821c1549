package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Account is an identity while it is signed in: its credentials, fetched from
// their sources when they are first needed, and what has to be remembered of one
// sign-in for the next. It must not be used concurrently.
type Account struct {
	identity Identity
	password Secret // of this sign-in, once fetched
	totp     Secret // of this sign-in, once fetched
	lastStep int64  // the last TOTP time step that was used, in any sign-in
}

// The names of credentials in fingerprints.
const (
	passwordCredential = "password"
	totpCredential     = "totp"
)

// NewAccount returns the account of identity.
func NewAccount(identity Identity) *Account { return &Account{identity: identity} }

// begin starts a sign-in: credentials are fetched anew.
func (a *Account) begin() { a.password, a.totp = Secret{}, Secret{} }

// Name is what the config calls the identity.
func (a *Account) Name() string { return a.identity.Name }

// Username is the Okta user name.
func (a *Account) Username() string { return a.identity.Username }

// Factor is the second factor the config asks for, FactorAuto if it does not say.
func (a *Account) Factor() Factor {
	if a.identity.Factor == "" {
		return FactorAuto
	}
	return a.identity.Factor
}

// HasTOTP reports whether a TOTP secret is configured.
func (a *Account) HasTOTP() bool { return a.identity.TOTPSecret != nil }

// Password fetches the password. An error is MissingCredential.
func (a *Account) Password(ctx context.Context) (Secret, error) {
	return fetch(ctx, &a.password, a.identity.Password, "password")
}

// TOTPSecret fetches the base32 secret of the account's TOTP authenticator.
// An error is MissingCredential.
func (a *Account) TOTPSecret(ctx context.Context) (Secret, error) {
	return fetch(ctx, &a.totp, a.identity.TOTPSecret, "totp_secret")
}

// stepsAhead is how far the last used step may lie ahead of the present one. One
// that lies further ahead was counted by a clock that was wrong: to wait until it
// is over would be to wait for hours.
const stepsAhead = 10

// NextStep returns the first TOTP time step, present or later, whose code may be
// sent: a code must never be sent twice (RFC 6238 §5.2).
func (a *Account) NextStep(present int64) int64 {
	if a.lastStep < present || a.lastStep-present > stepsAhead {
		return present
	}
	return a.lastStep + 1
}

// UseStep records that step's code is sent now.
func (a *Account) UseStep(step int64) { a.lastStep = step }

func fetch(ctx context.Context, into *Secret, source SecretSource, name string) (Secret, error) {
	if !into.IsZero() {
		return *into, nil
	}
	if source == nil {
		return Secret{}, &Error{Kind: MissingCredential, Step: "credentials", Seen: "no " + name + " is configured"}
	}
	secret, err := source(ctx)
	switch {
	case ctx.Err() != nil:
		return Secret{}, over(ctx, "credentials")
	case err != nil:
		return Secret{}, &Error{Kind: MissingCredential, Step: "credentials", Seen: name, Err: err}
	case secret.IsZero():
		return Secret{}, &Error{Kind: MissingCredential, Step: "credentials", Seen: name + " is empty"}
	}
	*into = secret
	return secret, nil
}

// fingerprint names a credential without telling it: HMAC-SHA256 under key of
// user name, kind and credential, each with its length before it, so that no two
// triples have one input.
func fingerprint(key []byte, username, kind string, credential Secret) string {
	mac := hmac.New(sha256.New, key)
	for _, part := range []string{username, kind, credential.Reveal()} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		mac.Write(length[:])
		mac.Write([]byte(part))
	}
	return hex.EncodeToString(mac.Sum(nil))
}
