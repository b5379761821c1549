package storage

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"

	"arcproxy/auth"
	"arcproxy/cache"
)

// Refusals is a [cache.Ledger] on a storage: one small JSON file for each
// identity, at refusals/HASH.json. It holds the keyed fingerprint of the refused
// credential, when, where and why it was refused, and neither a secret nor a name:
// the identity is a hash under the key of [Key]. It is not sealed, so that who
// loses the sealing key does not try refused credentials again.
// To forget a refusal by hand, stop the program and delete the file.
type Refusals struct{ storage certmagic.Storage }

var _ cache.Ledger = Refusals{}

// NewRefusals returns the refusals on st.
func NewRefusals(st certmagic.Storage) Refusals { return Refusals{st} }

const (
	refusalsFolder = "refusals"
	refusalMost    = 16 << 10 // bytes of a record
)

// record is a cache.Refusal as it is stored.
type record struct {
	Identity   string    `json:"identity"`   // its hash
	Credential string    `json:"credential"` // fingerprint
	Kind       auth.Kind `json:"kind"`
	Step       string    `json:"step,omitempty"`
	Code       string    `json:"code,omitempty"`
	Time       time.Time `json:"time"`
}

// Refused implements [cache.Ledger].
func (r Refusals) Refused(ctx context.Context, identity string) (cache.Refusal, bool, error) {
	hash, err := r.hash(ctx, identity)
	if err != nil {
		return cache.Refusal{}, false, err
	}
	refusal, found, err := r.load(ctx, refusalKey(hash), hash)
	if found || err != nil {
		return refusal, found, err
	}
	// As it was stored before names were hashed.
	former := formerKey(identity)
	refusal, found, err = r.load(ctx, former, identity)
	if found && r.Remember(ctx, identity, refusal) == nil {
		_ = r.storage.Delete(ctx, former) // else the next Remember will
	}
	return refusal, found, err
}

// load reads the refusal at key, which has to be about whom.
func (r Refusals) load(ctx context.Context, key, whom string) (cache.Refusal, bool, error) {
	text, err := r.storage.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return cache.Refusal{}, false, nil
	}
	if err != nil {
		return cache.Refusal{}, false, fmt.Errorf("reading %s: %w", key, err)
	}
	refusal, err := readRefusal(whom, text)
	if err != nil {
		return cache.Refusal{}, false, fmt.Errorf("reading %s: %w", key, err)
	}
	return refusal, true, nil
}

// readRefusal decodes what is stored about whom. Its errors quote none of it.
func readRefusal(whom string, text []byte) (cache.Refusal, error) {
	if len(text) > refusalMost {
		return cache.Refusal{}, fmt.Errorf("%d bytes are too many", len(text))
	}
	var stored record
	if err := json.Unmarshal(text, &stored); err != nil {
		return cache.Refusal{}, errors.New("it is not JSON that this program writes")
	}
	switch {
	case stored.Identity != whom:
		return cache.Refusal{}, errors.New("it is about another identity")
	case stored.Credential == "", stored.Kind == "", stored.Time.IsZero():
		return cache.Refusal{}, errors.New("it lacks credential, kind or time")
	}
	return cache.Refusal{
		Credential: stored.Credential,
		Kind:       stored.Kind,
		Step:       stored.Step,
		Code:       stored.Code,
		Time:       stored.Time,
	}, nil
}

// Remember implements [cache.Ledger].
func (r Refusals) Remember(ctx context.Context, identity string, refusal cache.Refusal) error {
	hash, err := r.hash(ctx, identity)
	if err != nil {
		return err
	}
	key := refusalKey(hash)
	text, err := json.MarshalIndent(record{
		Identity:   hash,
		Credential: refusal.Credential,
		Kind:       refusal.Kind,
		Step:       refusal.Step,
		Code:       refusal.Code,
		Time:       refusal.Time.UTC(),
	}, "", "  ")
	if err == nil {
		err = r.storage.Store(ctx, key, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	return r.delete(ctx, formerKey(identity))
}

// Forget implements [cache.Ledger].
func (r Refusals) Forget(ctx context.Context, identity string) error {
	hash, err := r.hash(ctx, identity)
	if err != nil {
		return err
	}
	return errors.Join(r.delete(ctx, refusalKey(hash)), r.delete(ctx, formerKey(identity)))
}

func (r Refusals) delete(ctx context.Context, key string) error {
	if err := r.storage.Delete(ctx, key); err != nil {
		return fmt.Errorf("deleting %s: %w", key, err)
	}
	return nil
}

// hash returns what identity is called here. Identities may have any name; file
// systems differ in what they allow and in whether Alice is alice.
func (r Refusals) hash(ctx context.Context, identity string) (string, error) {
	key, err := Key(ctx, r.storage)
	if err != nil {
		return "", err
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte("refusal\x00" + identity))
	return hex.EncodeToString(h.Sum(nil)[:hashLen/2]), nil
}

func refusalKey(hash string) string { return refusalsFolder + "/" + hash + ".json" }

// formerKey returns where identity's refusal was before names were hashed.
func formerKey(identity string) string {
	readable := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '_'
	}, identity)
	hash := sha256.Sum256([]byte(identity))
	return refusalsFolder + "/" + readable[:min(len(readable), 40)] + "-" + hex.EncodeToString(hash[:8]) + ".json"
}
