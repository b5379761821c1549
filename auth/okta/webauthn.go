package okta

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"arcproxy/auth"
)

// key is a software key: a WebAuthn credential whose private half the config has.
type key struct {
	id      []byte
	private *ecdsa.PrivateKey
}

// The flags of authenticator data (Web Authentication §6.1).
const (
	userPresent  = 1 << 0
	userVerified = 1 << 2
)

// maxKey bounds the text of a software key, in bytes.
const maxKey = 16 << 10

// ParseKey reads a software key as the config's webauthn names it: a line with the
// credential's id, then its private key, of P-256, in PEM (PKCS #8):
//
//	Credential-Id: 3q2-7w…
//	-----BEGIN PRIVATE KEY-----
//	…
//
// The id is in base64, of either alphabet. Chrome's developer tools show and export
// both parts of a virtual authenticator. An error quotes nothing of the text.
func ParseKey(text auth.Secret) error {
	_, err := parseKey(text)
	return err
}

func parseKey(text auth.Secret) (*key, error) {
	plain := text.Reveal()
	if len(plain) > maxKey {
		return nil, errors.New("it is too long for a key")
	}
	head, rest, found := strings.Cut(plain, "-----BEGIN ")
	if !found {
		return nil, errors.New("it has no private key in PEM; write -----BEGIN PRIVATE KEY-----")
	}
	k := &key{}
	for line := range strings.Lines(head) {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !strings.EqualFold(strings.TrimSpace(name), "Credential-Id") {
			continue
		}
		if k.id, ok = credentialID(strings.TrimSpace(value)); !ok {
			return nil, errors.New("its Credential-Id is not base64")
		}
	}
	if len(k.id) == 0 {
		return nil, errors.New("it has no line Credential-Id: before the private key")
	}
	block, _ := pem.Decode([]byte("-----BEGIN " + rest))
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("its private key is not PKCS #8 in PEM (-----BEGIN PRIVATE KEY-----)")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil { // which is about the key: it is not quoted
		return nil, errors.New("its private key is not PKCS #8")
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, errors.New("its private key is not of P-256 (ES256)")
	}
	k.private = private
	return k, nil
}

// credentialID decodes an id, in base64 of either alphabet.
func credentialID(text string) ([]byte, bool) {
	text = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(text, "="))
	id, err := base64.RawURLEncoding.DecodeString(text)
	return id, err == nil && len(id) > 0 && len(id) <= 1023 // Web Authentication §4
}

// owns reports whether id, as Okta writes it, is the key's credential.
func (k *key) owns(id string) bool {
	decoded, ok := credentialID(id)
	return ok && slices.Equal(decoded, k.id)
}

// signature is a key's answer, in the fields of both engines' APIs, in base64 with
// padding, as Okta's own sign-in widget writes them.
type signature struct {
	ClientData        string `json:"clientData,omitempty"`
	AuthenticatorData string `json:"authenticatorData,omitempty"`
	SignatureData     string `json:"signatureData,omitempty"`
}

// challengeForm is what a server may ask a key to sign: base64 for URLs, of which
// Okta's own has 27 characters.
var challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{8,512}={0,2}$`)

// sign answers a challenge for the page of an organization, and no other (Web
// Authentication §5.8.1, §6.3.3). Somebody is said to be present, which the operator
// has decided by giving the key, and to be verified only where Okta insists on it.
func (k *key) sign(org *url.URL, challenge string, verified bool, counter uint32) (signature, error) {
	client, err := json.Marshal(struct {
		Type        string `json:"type"`
		Challenge   string `json:"challenge"`
		Origin      string `json:"origin"`
		CrossOrigin bool   `json:"crossOrigin"`
	}{"webauthn.get", strings.TrimRight(challenge, "="), auth.Origin(org), false})
	if err != nil {
		return signature{}, err
	}
	party := sha256.Sum256([]byte(strings.ToLower(org.Hostname())))
	flags := byte(userPresent)
	if verified {
		flags |= userVerified
	}
	data := binary.BigEndian.AppendUint32(append(party[:], flags), counter)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(slices.Clone(data), hash[:]...))
	signed, err := ecdsa.SignASN1(rand.Reader, k.private, digest[:])
	if err != nil {
		return signature{}, err
	}
	encode := base64.StdEncoding.EncodeToString
	return signature{ClientData: encode(client), AuthenticatorData: encode(data), SignatureData: encode(signed)}, nil
}

// key fetches the account's software key.
func (p *prover) key(ctx context.Context) (*key, error) {
	text, err := p.account.WebAuthn(ctx)
	if err != nil {
		return nil, err
	}
	k, err := parseKey(text)
	if err != nil {
		return nil, &auth.Error{Kind: auth.MissingCredential, Step: stepKey, Seen: "webauthn: " + err.Error()}
	}
	return k, nil
}

// signed makes the answer to a challenge of the organization at org.
func (p *prover) signed(k *key, org *url.URL, challenge, verification string) (signature, error) {
	if !challengeForm.MatchString(challenge) {
		return signature{}, &auth.Error{Kind: auth.UnexpectedPage, Step: stepKey, Seen: "a challenge that no key can sign"}
	}
	s, err := k.sign(org, challenge, verification == "required", p.account.NextCounter(time.Now()))
	if err != nil {
		return signature{}, &auth.Error{Kind: auth.FactorFailed, Step: stepKey, Seen: "the key does not sign"}
	}
	return s, nil
}

// webauthn answers with a signature of the account's software key, once in a
// transaction: the same key makes no better one.
func (v *verification) webauthn(ctx context.Context, enrolled []factor) (*answer, error) {
	k, err := v.walk.key(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(enrolled, func(f factor) bool { return k.owns(f.Profile.CredentialID) })
	if i < 0 {
		return nil, &auth.Error{Kind: auth.FactorUnavailable, Step: stepKey, Seen: "the webauthn key's credential is none of the account's"}
	}
	v.factor = enrolled[i]
	if v.codes > 0 {
		return nil, &auth.Error{Kind: auth.FactorFailed, Step: stepKey, Seen: "Okta asks for one signature after another"}
	}
	to, err := v.at(stepKey)
	if err != nil {
		return nil, err
	}
	asked, err := v.call(ctx, stepKey, to, body{StateToken: v.state.StateToken})
	if err != nil {
		return nil, err
	}
	if asked.status() != statusChallenge || len(asked.Embedded.Factor) == 0 {
		return nil, &auth.Error{Kind: auth.UnexpectedPage, Step: stepKey, Seen: "no challenge to sign"}
	}
	challenge := asked.Embedded.Factor[0].Embedded.Challenge
	s, err := v.signed(k, v.client.url, challenge.Challenge, challenge.UserVerification)
	if err != nil {
		return nil, err
	}
	if next, ok := asked.Links["next"]; ok && next.Name == "verify" {
		v.link = next
	}
	if to, err = v.at(stepKey); err != nil {
		return nil, err
	}
	v.state = asked
	return v.send(ctx, to, body{signature: s})
}
