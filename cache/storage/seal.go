package storage

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"path"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// What is stored sealed, by folder.
const (
	kindGrants   = "grants"
	kindSessions = "sessions"
	kindTokens   = "tokens"
	// Of rotations, one value each, in the key's own folder.
	kindRotation = "rotation" // the key that this one makes way for
	kindOrigin   = "origin"   // the key that made way for this one
)

var kinds = [...]string{kindGrants, kindSessions, kindTokens}

const (
	sealedFolder = "sealed"
	sealedMark   = "arcseal1" // what every sealed value begins with
	idLen        = 32         // hex digits of a key's id
	hashLen      = 40         // hex digits of a name's hash
	sealedMost   = 4 << 20    // bytes of a sealed value
)

// sealer seals and opens values with one key. Its parts are derived from the key
// (HKDF-SHA256, RFC 5869), so that none says anything of another, and the id,
// which is readable, nothing of the key.
type sealer struct {
	key   [32]byte
	id    string
	aead  cipher.AEAD // XChaCha20-Poly1305: its nonces are long enough to be random
	names []byte      // keys the hashes of names
}

func newSealer(key *[32]byte) *sealer {
	derive := func(use string, n int) []byte {
		// It fails only for lengths of more than 255 hashes.
		part, _ := hkdf.Key(sha256.New, key[:], nil, "arcproxy seal 1: "+use, n)
		return part
	}
	aead, _ := chacha20poly1305.NewX(derive("values", chacha20poly1305.KeySize)) // it fails for other sizes only
	return &sealer{
		key:   *key,
		id:    hex.EncodeToString(derive("id", idLen/2)),
		aead:  aead,
		names: derive("names", 32),
	}
}

// hash returns what name is called in the storage.
func (k *sealer) hash(kind, name string) string {
	h := hmac.New(sha256.New, k.names)
	h.Write([]byte(kind + "\x00" + name))
	return hex.EncodeToString(h.Sum(nil)[:hashLen/2])
}

// folder returns where the key's values are, or those of a kind.
func (k *sealer) folder(kind ...string) string {
	return path.Join(append([]string{sealedFolder, k.id}, kind...)...)
}

// seal returns value sealed for name. The name is sealed with it: a rotation has
// to know it. The associated data is the kind and the name's hash, as the file
// has it: a value that is moved does not open.
func (k *sealer) seal(kind, name string, value []byte) []byte {
	text := binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64+len(name)+len(value)), uint64(len(name)))
	text = append(append(text, name...), value...)
	sealed := make([]byte, len(sealedMark)+k.aead.NonceSize(), len(sealedMark)+k.aead.NonceSize()+len(text)+k.aead.Overhead())
	copy(sealed, sealedMark)
	nonce := sealed[len(sealedMark):]
	_, _ = rand.Read(nonce) // never fails
	return k.aead.Seal(sealed, nonce, text, []byte(kind+"\x00"+k.hash(kind, name)))
}

// open returns whose the sealed value is and what it says. Its errors are the
// reasons of a [Damaged].
func (k *sealer) open(kind, hash string, sealed []byte) (name string, value []byte, err error) {
	rest, marked := bytes.CutPrefix(sealed, []byte(sealedMark))
	switch {
	case len(sealed) > sealedMost:
		return "", nil, errors.New("it is larger than anything this program stores")
	case !marked:
		return "", nil, errors.New("it is not a sealed value of this version")
	case len(rest) < k.aead.NonceSize():
		return "", nil, errors.New("it is cut short")
	}
	nonce, text := rest[:k.aead.NonceSize()], rest[k.aead.NonceSize():]
	text, err = k.aead.Open(nil, nonce, text, []byte(kind+"\x00"+hash))
	if err != nil {
		return "", nil, errors.New("it was changed, cut short or moved since it was sealed")
	}
	n, size := binary.Uvarint(text)
	if size <= 0 || n > uint64(len(text)-size) {
		return "", nil, errors.New("what was sealed is not a value of this version")
	}
	name, value = string(text[size:size+int(n)]), text[size+int(n):]
	if k.hash(kind, name) != hash {
		return "", nil, errors.New("what was sealed is of another name")
	}
	return name, value, nil
}

// isHex reports whether name is n small hex digits, as keys' ids and names' hashes are.
func isHex(name string, n int) bool {
	return len(name) == n && strings.Trim(name, "0123456789abcdef") == ""
}
