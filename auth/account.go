package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// Account is an identity while it is signed in: its credentials, fetched from
// their sources when they are first needed, and what has to be remembered of one
// sign-in for the next. It must not be used concurrently.
type Account struct {
	identity Identity
	given    *Given   // what a person supplies to this sign-in; nil: nobody does
	password Secret   // of this sign-in, once fetched
	totp     Secret   // so too
	answer   Secret   // so too
	webauthn Secret   // so too
	typed    []Secret // what a person gave to this sign-in
	proof    string   // the credential that was sent last, or proved; "" where a person gave the proof
	lastStep int64    // the last TOTP time step that was used, in any sign-in
	counter  uint32   // of the last WebAuthn signature
	stepUsed func()   // hears that lastStep has changed; nil: nobody
	key      []byte   // of fingerprints
}

// The names of credentials in fingerprints.
const (
	passwordCredential = "password"
	totpCredential     = "totp"
	answerCredential   = "answer"
	webauthnCredential = "webauthn"
)

// NewAccount returns the account of identity.
func NewAccount(identity Identity) *Account { return &Account{identity: identity} }

// begin starts a sign-in of identity, which may have other credentials than the
// last time: they are fetched anew.
func (a *Account) begin(identity Identity, given *Given) {
	a.identity, a.given = identity, given
	a.password, a.totp, a.answer, a.webauthn = Secret{}, Secret{}, Secret{}, Secret{}
	a.typed, a.proof = nil, ""
}

// secrets are those of this sign-in.
func (a *Account) secrets() []Secret {
	return append([]Secret{a.password, a.totp, a.answer, a.webauthn}, a.typed...)
}

// Name is what the config calls the identity.
func (a *Account) Name() string { return a.identity.Name }

// Username is the Okta user name.
func (a *Account) Username() string { return a.identity.Username }

// Factors are the second factors that may be answered, in order of preference.
func (a *Account) Factors() []Factor {
	if len(a.identity.Factors) == 0 {
		return []Factor{FactorAuto}
	}
	return a.identity.Factors
}

// HasTOTP reports whether a TOTP secret is configured.
func (a *Account) HasTOTP() bool { return a.identity.TOTPSecret != nil }

// HasAnswer reports whether the answer to the security question is configured.
func (a *Account) HasAnswer() bool { return a.identity.Answer != nil }

// HasWebAuthn reports whether a software key is configured.
func (a *Account) HasWebAuthn() bool { return a.identity.WebAuthn != nil }

// Password returns the password that a person gave to this sign-in, or else
// fetches the configured one. An error is MissingCredential, or CredentialRefused
// for one that is known to be refused: it is not sent again.
func (a *Account) Password(ctx context.Context) (Secret, error) {
	a.proof = passwordCredential
	if a.given == nil || a.given.Password.IsZero() {
		return fetch(ctx, &a.password, a.identity.Password, passwordCredential)
	}
	if print := fingerprint(a.key, a.identity.Username, passwordCredential, a.given.Password); a.given.refused(print) {
		return Secret{}, &Error{Kind: CredentialRefused, Step: "credentials", Seen: "this password was refused before; it was not sent again", Credential: print}
	}
	a.password = a.given.Password
	return a.password, nil
}

// refused reports whether the credential of a fingerprint must not be sent.
func (g *Given) refused(print string) bool {
	return slices.ContainsFunc(g.Refused, func(one string) bool { return hmac.Equal([]byte(one), []byte(print)) })
}

// withhold takes configured proofs that are known to be refused out of this
// sign-in, in which a person takes part: they are not sent again, and the person is asked
// instead. One that cannot be fetched now fails where it is needed.
func (a *Account) withhold(ctx context.Context) {
	if a.given == nil || len(a.given.Refused) == 0 {
		return
	}
	for _, proof := range []struct {
		kind   string
		source *SecretSource
		into   *Secret
	}{
		{totpCredential, &a.identity.TOTPSecret, &a.totp},
		{answerCredential, &a.identity.Answer, &a.answer},
		{webauthnCredential, &a.identity.WebAuthn, &a.webauthn},
	} {
		if *proof.source == nil {
			continue
		}
		secret, err := fetch(ctx, proof.into, *proof.source, proof.kind)
		if err == nil && a.given.refused(fingerprint(a.key, a.identity.Username, proof.kind, secret)) {
			*proof.source, *proof.into = nil, Secret{}
		}
	}
}

// TOTPSecret fetches the base32 secret of the account's TOTP authenticator.
// An error is MissingCredential.
func (a *Account) TOTPSecret(ctx context.Context) (Secret, error) {
	a.proof = totpCredential
	return fetch(ctx, &a.totp, a.identity.TOTPSecret, "totp_secret")
}

// Answer fetches the answer to the security question. An error is MissingCredential.
func (a *Account) Answer(ctx context.Context) (Secret, error) {
	a.proof = answerCredential
	return fetch(ctx, &a.answer, a.identity.Answer, "answer")
}

// WebAuthn fetches the software key. An error is MissingCredential.
func (a *Account) WebAuthn(ctx context.Context) (Secret, error) {
	a.proof = webauthnCredential
	return fetch(ctx, &a.webauthn, a.identity.WebAuthn, "webauthn")
}

// UseTyped records that what is sent next comes from a person: if it is refused, no
// configured credential is.
func (a *Account) UseTyped(s Secret) { a.proof, a.typed = "", append(a.typed, s) }

// NextCounter returns the signature counter of a software key: the time, in
// seconds, which rises from one signature to the next without being kept.
func (a *Account) NextCounter(now time.Time) uint32 {
	a.counter = max(uint32(now.Unix()), a.counter+1)
	return a.counter
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

// UseStep records that step's code is about to be sent: whatever becomes of the
// program then, it is not sent again.
func (a *Account) UseStep(step int64) {
	a.lastStep = step
	if a.stepUsed != nil {
		a.stepUsed()
	}
}

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
// user name in lower case, kind and credential, each with its length before it, so
// that no two triples have one input.
func fingerprint(key []byte, username, kind string, credential Secret) string {
	mac := hmac.New(sha256.New, key)
	for _, part := range []string{strings.ToLower(username), kind, credential.Reveal()} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		mac.Write(length[:])
		mac.Write([]byte(part))
	}
	return hex.EncodeToString(mac.Sum(nil))
}
