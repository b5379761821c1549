package storage

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

const (
	sealKeyName = "keys/seal.key"
	sealLock    = "arcproxy-seal-key" // held while keys are made or rotated
	badKeysMost = 100                 // damaged key files that are set aside
)

// NewSealKey makes a key to seal with.
func NewSealKey() *[32]byte {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	return &key
}

// FormatSealKey returns key as text, as [ParseSealKey] reads it: 64 hex digits.
func FormatSealKey(key *[32]byte) string { return hex.EncodeToString(key[:]) }

// ParseSealKey reads a key: 64 hex digits, with space around them. Its errors
// quote nothing.
func ParseSealKey(text string) (*[32]byte, error) {
	text = strings.TrimSpace(text)
	var key [32]byte
	if len(text) != hex.EncodedLen(len(key)) {
		return nil, fmt.Errorf("a sealing key has %d hex digits, and this has %d characters: make one with `arcproxy key --seal`", hex.EncodedLen(len(key)), len(text))
	}
	if _, err := hex.Decode(key[:], []byte(text)); err != nil {
		return nil, errors.New("a sealing key has hex digits only: make one with `arcproxy key --seal`")
	}
	if key == [32]byte{} {
		return nil, errors.New("a sealing key of zeros only is none: make one with `arcproxy key --seal`")
	}
	return &key, nil
}

// errBadKey: there is a key file, and what is in it is no key.
var errBadKey = errors.New(sealKeyName + " is damaged")

// loadSealKey reads the key file. The error is fs.ErrNotExist, errBadKey, or one
// of reading.
func (s *Sealed) loadSealKey(ctx context.Context) (*[32]byte, error) {
	text, err := s.storage.Load(ctx, sealKeyName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w; make it readable to the user that runs this program, restore it from a copy, or move it away: then everybody signs in afresh", sealKeyName, err)
	}
	key, err := ParseSealKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBadKey, err)
	}
	return key, nil
}

// ensureSealKey returns the key of the key file, which is made if there is none.
// One that is damaged is set aside and another made, because waiting for a person
// would help nobody: without the key, what is sealed cannot be opened anyway. One
// that cannot be read may be in order, and is an error. sealLock is held.
func (s *Sealed) ensureSealKey(ctx context.Context) (*[32]byte, error) {
	key, err := s.loadSealKey(ctx)
	switch {
	case err == nil:
		return key, nil
	case errors.Is(err, errBadKey):
		aside, e := s.setAside(ctx)
		if e != nil {
			return nil, fmt.Errorf("%w; setting it aside: %w", err, e)
		}
		s.log.Error("the sealing key is damaged and has been replaced; everybody signs in afresh", "error", err, "kept_as", aside,
			"remedy", "restore "+sealKeyName+" from a copy and restart, if there is one")
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	key = NewSealKey()
	if err := s.storeSealKey(ctx, key); err != nil {
		return nil, err
	}
	return key, nil
}

func (s *Sealed) storeSealKey(ctx context.Context, key *[32]byte) error {
	return unwritable(sealKeyName, s.storage.Store(ctx, sealKeyName, []byte(FormatSealKey(key)+"\n")))
}

// setAside copies the damaged key file to a name that is free.
func (s *Sealed) setAside(ctx context.Context) (string, error) {
	text, err := s.storage.Load(ctx, sealKeyName)
	if err != nil {
		return "", err
	}
	for i := 1; i <= badKeysMost; i++ {
		name := fmt.Sprintf("%s.damaged-%d", sealKeyName, i)
		old, err := s.storage.Load(ctx, name)
		switch {
		case err == nil && string(old) == string(text):
			return name, nil // it is kept already
		case errors.Is(err, fs.ErrNotExist):
			return name, unwritable(name, s.storage.Store(ctx, name, text))
		}
	}
	return "", fmt.Errorf("there are %d of them already: delete some", badKeysMost)
}

// checkMode complains about a key file that others may read.
func (s *Sealed) checkMode() {
	files, ok := s.storage.(*Files)
	if !ok {
		return
	}
	if info, err := os.Stat(files.Filename(sealKeyName)); err == nil && exposed(info) {
		s.log.Warn("others than its owner may read the sealing key", "file", files.Filename(sealKeyName), "mode", info.Mode().Perm().String(),
			"remedy", "chmod 600 it; if somebody may have read it, `arcproxy key --seal --rotate`")
	}
}

// locked does what needs sealLock.
func (s *Sealed) locked(ctx context.Context, do func() error) (err error) {
	if err := s.storage.Lock(ctx, sealLock); err != nil {
		return fmt.Errorf("waiting for the lock of the sealing key: %w", err)
	}
	defer func() {
		if e := s.storage.Unlock(context.WithoutCancel(ctx), sealLock); e != nil && err == nil {
			err = fmt.Errorf("releasing the lock of the sealing key: %w", e)
		}
	}()
	return do()
}
