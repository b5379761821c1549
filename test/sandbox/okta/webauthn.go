package okta

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
)

// SecurityKey is an enrolled WebAuthn credential (ES256).
type SecurityKey struct {
	ID     []byte
	Public *ecdsa.PublicKey
	Name   string
}

func (k SecurityKey) credentialID() string { return base64.RawURLEncoding.EncodeToString(k.ID) }

// assertion is a key's signature as Okta's APIs take it: each in base64, with
// padding. That the alphabet for URLs is refused is unproven.
type assertion struct {
	ClientData        string `json:"clientData"`
	AuthenticatorData string `json:"authenticatorData"`
	SignatureData     string `json:"signatureData"`
}

// verifyKey asks for a signature, or checks it.
func (o *Org) verifyKey(c *call, t *transaction, f *factor, in input) answer {
	if in.ClientData == "" && in.AuthenticatorData == "" && in.SignatureData == "" {
		t.status, t.factor, t.result, t.challenge = mfaChallenge, f, "CHALLENGE", newChallenge()
		return o.show(c, t)
	}
	challenge := t.challenge
	t.challenge = nil // one signature, good or bad
	return o.judge(c, t, o.attempt(c, t.account, f, proof{assertion: in.assertion, challenge: challenge}))
}

// newChallenge makes what a key has to sign.
func newChallenge() []byte {
	b := make([]byte, 20)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b
}

// keyChallenge is what a client is told to let the key sign.
func (o *Org) keyChallenge(challenge []byte) hal {
	verification := o.settings.UserVerification
	if verification == "" {
		verification = "preferred"
	}
	return hal{
		"challenge":        base64.RawURLEncoding.EncodeToString(challenge),
		"userVerification": verification,
		"extensions":       hal{"appid": o.base.String()},
	}
}

// The flags of authenticator data (Web Authentication §6.1).
const (
	userPresent  = 1
	userVerified = 4
)

// checkAssertion checks a signature (Web Authentication §7.2).
func (o *Org) checkAssertion(a *account, f *factor, p proof) error {
	client, err1 := base64.StdEncoding.DecodeString(p.ClientData)
	data, err2 := base64.StdEncoding.DecodeString(p.AuthenticatorData)
	signature, err3 := base64.StdEncoding.DecodeString(p.SignatureData)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	var said struct {
		Type        string `json:"type"`
		Challenge   string `json:"challenge"`
		Origin      string `json:"origin"`
		CrossOrigin bool   `json:"crossOrigin"`
	}
	if err := json.Unmarshal(client, &said); err != nil {
		return err
	}
	if len(data) < 37 {
		return errors.New("the authenticator data is too short")
	}
	rp := sha256.Sum256([]byte(o.base.Hostname()))
	flags, count := data[32], binary.BigEndian.Uint32(data[33:37])
	last := a.devices.signed[f.key.credentialID()]
	clientHash := sha256.Sum256(client)
	signed := sha256.Sum256(append(append([]byte(nil), data...), clientHash[:]...))
	switch {
	case len(p.challenge) == 0:
		return errors.New("no challenge is open")
	case said.Type != "webauthn.get" || said.CrossOrigin:
		return errors.New("not an assertion for this page")
	case said.Challenge != base64.RawURLEncoding.EncodeToString(p.challenge):
		return errors.New("another challenge was signed")
	case said.Origin != o.base.String():
		return errors.New("signed for another origin")
	case string(data[:32]) != string(rp[:]):
		return errors.New("signed for another relying party")
	case flags&userPresent == 0:
		return errors.New("nobody was present")
	case o.settings.UserVerification == "required" && flags&userVerified == 0:
		return errors.New("nobody was verified")
	case (count != 0 || last != 0) && count <= last:
		return errors.New("the counter did not rise")
	case !ecdsa.VerifyASN1(f.key.Public, signed[:], signature):
		return errors.New("the signature is not the key's")
	}
	a.devices.signed[f.key.credentialID()] = count
	return nil
}
