package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"

	"github.com/caddyserver/certmagic"
)

const (
	keyName = "keys/fingerprint.key"
	keyLock = "arcproxy-fingerprint-key"
	keySize = 32 // bytes, as HMAC-SHA256 makes full use of (RFC 2104 §3)
)

// Key returns the key under which credentials are fingerprinted. The first call
// on a storage makes it. One that is there but cannot be read, or is not a key,
// is an error: under a new one no refused credential would be known again, and
// each would be tried once more.
func Key(ctx context.Context, st certmagic.Storage) (_ []byte, err error) {
	key, err := loadKey(ctx, st)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	// Two programs may be started at the same time on one directory.
	if err := st.Lock(ctx, keyLock); err != nil {
		return nil, fmt.Errorf("making %s: waiting for its lock: %w", keyName, err)
	}
	defer func() {
		if failed := st.Unlock(context.WithoutCancel(ctx), keyLock); failed != nil && err == nil {
			err = fmt.Errorf("making %s: releasing its lock: %w", keyName, failed)
		}
	}()
	key, err = loadKey(ctx, st)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	key = make([]byte, keySize)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	if err := st.Store(ctx, keyName, key); err != nil {
		return nil, fmt.Errorf("storing %s: %w; make the state directory writable to the user that runs this program", keyName, err)
	}
	return key, nil
}

func loadKey(ctx context.Context, st certmagic.Storage) ([]byte, error) {
	key, err := st.Load(ctx, keyName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	const remedy = "restore it, or delete it together with the refusals beside it: then refused credentials are forgotten, and each may be tried once more"
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w; make it readable to the user that runs this program, or %s", keyName, err, remedy)
	}
	if len(key) != keySize {
		return nil, fmt.Errorf("reading %s: it has %d bytes instead of %d; %s", keyName, len(key), keySize, remedy)
	}
	return key, nil
}
