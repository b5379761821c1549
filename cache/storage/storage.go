// Package storage is what arcproxy keeps beyond a single request, on CertMagic's
// Storage interface: certificates and what the cache must remember live in one
// place, under one lock discipline. [Memory] is a Storage that ends with the
// process; files are CertMagic's own FileStorage.
package storage

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/caddyserver/certmagic"

	"arcproxy/cache"
)

// The keys in the storage.
const (
	fingerprintKey = "credentials/fingerprint.key"
	refusals       = "credentials/refused"
)

// keySize is that of an HMAC-SHA256 key, in bytes.
const keySize = 32

// Key returns the key that fingerprints of credentials are made with, and makes
// it if there is none. One that is there but can't be read or is damaged is an
// error: with another key no refused credential would be recognized.
func Key(ctx context.Context, s certmagic.Storage) (key []byte, err error) {
	if err := s.Lock(ctx, fingerprintKey); err != nil {
		return nil, fmt.Errorf("locking %s: %w", fingerprintKey, err)
	}
	defer func() {
		if e := s.Unlock(context.WithoutCancel(ctx), fingerprintKey); err == nil && e != nil {
			key, err = nil, fmt.Errorf("unlocking %s: %w", fingerprintKey, e)
		}
	}()
	text, err := s.Load(ctx, fingerprintKey)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("loading %s: %w", fingerprintKey, err)
	default:
		key, err := hex.DecodeString(string(text))
		if err != nil || len(key) != keySize {
			return nil, fmt.Errorf("%s is damaged; restore it, or delete the folder it is in once no refused password is configured any more", fingerprintKey)
		}
		return key, nil
	}
	key = make([]byte, keySize)
	_, _ = rand.Read(key) // it never fails
	if err := s.Store(ctx, fingerprintKey, []byte(hex.EncodeToString(key))); err != nil {
		return nil, fmt.Errorf("storing %s: %w", fingerprintKey, err)
	}
	return key, nil
}

// Refusals is a [cache.Ledger]: for each identity the credential that Okta
// refused, as a fingerprint that says nothing without [Key].
type Refusals struct{ storage certmagic.Storage }

var _ cache.Ledger = (*Refusals)(nil)

// NewRefusals returns the ledger kept in s.
func NewRefusals(s certmagic.Storage) *Refusals { return &Refusals{s} }

// name is identity's place. Identities are named by operators, who may use any
// character; a file name may not.
func (r *Refusals) name(identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return path.Join(refusals, hex.EncodeToString(sum[:16])+".json")
}

// record is a refusal as it is stored.
type record struct {
	Identity string `json:"identity"`
	cache.Refusal
}

// Load implements [cache.Ledger].
func (r *Refusals) Load(ctx context.Context, identity string) (cache.Refusal, bool, error) {
	text, err := r.storage.Load(ctx, r.name(identity))
	if errors.Is(err, fs.ErrNotExist) {
		return cache.Refusal{}, false, nil
	} else if err != nil {
		return cache.Refusal{}, false, err
	}
	var stored record
	if err := json.Unmarshal(text, &stored); err != nil || stored.Identity != identity || stored.Credential == "" {
		return cache.Refusal{}, false, fmt.Errorf("%s is damaged; delete it once the password of %s has been checked", r.name(identity), identity)
	}
	return stored.Refusal, true, nil
}

// Save implements [cache.Ledger].
func (r *Refusals) Save(ctx context.Context, identity string, refusal cache.Refusal) error {
	text, err := json.Marshal(record{identity, refusal})
	if err != nil {
		return err
	}
	return r.storage.Store(ctx, r.name(identity), text)
}

// Delete implements [cache.Ledger].
func (r *Refusals) Delete(ctx context.Context, identity string) error {
	return r.storage.Delete(ctx, r.name(identity))
}
