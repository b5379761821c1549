package storage

import (
	"bytes"
	"context"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

// Memory is a [certmagic.Storage] that is gone with the process. It is safe for
// concurrent use.
type Memory struct {
	mu     sync.Mutex // guards values and locks
	values map[string]value
	locks  map[string]chan struct{} // closed by Unlock
}

type value struct {
	data     []byte
	modified time.Time
}

var _ certmagic.Storage = (*Memory)(nil)

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	return &Memory{values: map[string]value{}, locks: map[string]chan struct{}{}}
}

func clean(key string) string { return strings.Trim(path.Clean("/"+key), "/") }

func notExist(op, key string) error { return &fs.PathError{Op: op, Path: key, Err: fs.ErrNotExist} }

// Lock waits until nobody else holds name, or until ctx ends.
func (m *Memory) Lock(ctx context.Context, name string) error {
	for {
		m.mu.Lock()
		held, ok := m.locks[name]
		if !ok {
			m.locks[name] = make(chan struct{})
			m.mu.Unlock()
			return nil
		}
		m.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Unlock gives name back.
func (m *Memory) Unlock(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	held, ok := m.locks[name]
	if !ok {
		return notExist("unlock", name)
	}
	delete(m.locks, name)
	close(held)
	return nil
}

// Store puts data at key.
func (m *Memory) Store(_ context.Context, key string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[clean(key)] = value{bytes.Clone(data), time.Now()}
	return nil
}

// Load returns what is at key; fs.ErrNotExist if there is nothing.
func (m *Memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[clean(key)]
	if !ok {
		return nil, notExist("load", key)
	}
	return bytes.Clone(v.data), nil
}

// Delete removes key and all below it.
func (m *Memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	key = clean(key)
	maps.DeleteFunc(m.values, func(k string, _ value) bool { return k == key || below(k, key) })
	return nil
}

// Exists reports whether something is at key or below it.
func (m *Memory) Exists(ctx context.Context, key string) bool {
	_, err := m.Stat(ctx, key)
	return err == nil
}

// List returns what is in the folder dir, folders included; recursive, what is
// below them as well. fs.ErrNotExist: there is no such folder.
func (m *Memory) List(_ context.Context, dir string, recursive bool) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = clean(dir)
	found := map[string]bool{}
	for k := range m.values {
		if !below(k, dir) {
			continue
		}
		rest := strings.TrimPrefix(strings.TrimPrefix(k, dir), "/")
		parts := strings.Split(rest, "/")
		for i := range parts {
			found[path.Join(dir, path.Join(parts[:i+1]...))] = true
			if !recursive {
				break
			}
		}
	}
	if len(found) == 0 {
		return nil, notExist("list", dir)
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// Stat describes what is at key.
func (m *Memory) Stat(_ context.Context, key string) (certmagic.KeyInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key = clean(key)
	if v, ok := m.values[key]; ok {
		return certmagic.KeyInfo{Key: key, Modified: v.modified, Size: int64(len(v.data)), IsTerminal: true}, nil
	}
	for k := range m.values {
		if below(k, key) {
			return certmagic.KeyInfo{Key: key}, nil
		}
	}
	return certmagic.KeyInfo{}, notExist("stat", key)
}

// below reports whether key is inside the folder dir; "" is the root.
func below(key, dir string) bool {
	return dir == "" || strings.HasPrefix(key, dir+"/")
}
