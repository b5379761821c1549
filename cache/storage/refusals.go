package storage

import (
	"context"
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
// identity, at refusals/NAME-HASH.json. It holds the keyed fingerprint of the
// refused credential, when, where and why it was refused, and never a secret.
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
	Identity   string    `json:"identity"`
	Credential string    `json:"credential"` // fingerprint
	Kind       auth.Kind `json:"kind"`
	Step       string    `json:"step,omitempty"`
	Code       string    `json:"code,omitempty"`
	Time       time.Time `json:"time"`
}

// Refused implements [cache.Ledger].
func (r Refusals) Refused(ctx context.Context, identity string) (cache.Refusal, bool, error) {
	key := refusalKey(identity)
	text, err := r.storage.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return cache.Refusal{}, false, nil
	}
	if err != nil {
		return cache.Refusal{}, false, fmt.Errorf("reading %s: %w", key, err)
	}
	refusal, err := readRefusal(identity, text)
	if err != nil {
		return cache.Refusal{}, false, fmt.Errorf("reading %s: %w", key, err)
	}
	return refusal, true, nil
}

// readRefusal decodes what is stored of identity. Its errors quote none of it.
func readRefusal(identity string, text []byte) (cache.Refusal, error) {
	if len(text) > refusalMost {
		return cache.Refusal{}, fmt.Errorf("%d bytes are too many", len(text))
	}
	var stored record
	if err := json.Unmarshal(text, &stored); err != nil {
		return cache.Refusal{}, errors.New("it is not JSON that this program writes")
	}
	switch {
	case stored.Identity != identity:
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
	key := refusalKey(identity)
	text, err := json.MarshalIndent(record{
		Identity:   identity,
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
	return nil
}

// Forget implements [cache.Ledger].
func (r Refusals) Forget(ctx context.Context, identity string) error {
	key := refusalKey(identity)
	if err := r.storage.Delete(ctx, key); err != nil {
		return fmt.Errorf("deleting %s: %w", key, err)
	}
	return nil
}

// refusalKey returns where identity's refusal is. Identities may have any name;
// file systems differ in what they allow and in whether Alice is alice. So a
// readable part is followed by a hash that tells all names apart.
func refusalKey(identity string) string {
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
