package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

// Memory is a certmagic.Storage that ends with the program. Its keys are paths
// as FileStorage has them; a directory is there as long as something is in it.
// The zero Memory is empty and ready. It may be used concurrently.
type Memory struct {
	mu    sync.Mutex // guards files and locks
	files map[string]file
	locks map[string]chan struct{} // those that are held; closed when released
}

// file is a value with the time when it was stored.
type file struct {
	value    []byte
	modified time.Time
}

var (
	_ certmagic.Storage   = (*Memory)(nil)
	_ certmagic.TryLocker = (*Memory)(nil)
)

// NewMemory returns an empty Memory.
func NewMemory() *Memory { return &Memory{} }

// String names the storage in CertMagic's log.
func (m *Memory) String() string { return "memory" }

// clean makes "a/b" of every way to write it. The root is "".
func clean(key string) string { return strings.TrimPrefix(path.Clean("/"+key), "/") }

// inside reports whether key is below dir.
func inside(key, dir string) bool {
	return dir == "" || strings.HasPrefix(key, dir) && len(key) > len(dir) && key[len(dir)] == '/'
}

func missing(op, key string) error { return &fs.PathError{Op: op, Path: key, Err: fs.ErrNotExist} }

// Store puts a copy of value at key. It is an error if key is a directory, or if
// something above it is a file.
func (m *Memory) Store(ctx context.Context, key string, value []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key = clean(key)
	m.mu.Lock()
	defer m.mu.Unlock()
	if key == "" || m.directory(key) {
		return &fs.PathError{Op: "store", Path: key, Err: errors.New("is a directory")}
	}
	for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
		if _, ok := m.files[dir]; ok {
			return &fs.PathError{Op: "store", Path: key, Err: fmt.Errorf("%s is not a directory", dir)}
		}
	}
	if m.files == nil {
		m.files = map[string]file{}
	}
	m.files[key] = file{value: append([]byte{}, value...), modified: time.Now()}
	return nil
}

// Load returns a copy of the value at key, or an error that is fs.ErrNotExist.
func (m *Memory) Load(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.files[clean(key)]
	if !ok {
		return nil, missing("load", key)
	}
	return append([]byte{}, f.value...), nil
}

// Delete deletes key and all below it. It is no error if there is nothing.
func (m *Memory) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key = clean(key)
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.files, func(name string, _ file) bool { return name == key || inside(name, key) })
	return nil
}

// Exists reports whether key is a file or a directory.
func (m *Memory) Exists(ctx context.Context, key string) bool {
	_, err := m.Stat(ctx, key)
	return err == nil
}

// List returns what is in the directory prefix, files and directories, sorted, as
// full keys; with recursive, also what is below them. A file has nothing in it.
// The error is fs.ErrNotExist where there is nothing by that name.
func (m *Memory) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir := clean(prefix)
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, isFile := m.files[dir]; !isFile && dir != "" && !m.directory(dir) {
		return nil, missing("list", prefix)
	}
	found := map[string]struct{}{}
	for name := range m.files {
		// The file, and each directory between it and dir.
		for ; inside(name, dir) && name != "."; name = path.Dir(name) {
			found[name] = struct{}{}
		}
	}
	if !recursive {
		maps.DeleteFunc(found, func(name string, _ struct{}) bool {
			parent := path.Dir(name)
			return parent != dir && (parent != "." || dir != "")
		})
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// Stat describes key, or returns an error that is fs.ErrNotExist. A directory has
// neither size nor time.
func (m *Memory) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	if err := ctx.Err(); err != nil {
		return certmagic.KeyInfo{}, err
	}
	name := clean(key)
	m.mu.Lock()
	defer m.mu.Unlock()
	if f, ok := m.files[name]; ok {
		return certmagic.KeyInfo{Key: key, Modified: f.modified, Size: int64(len(f.value)), IsTerminal: true}, nil
	}
	if name == "" || m.directory(name) {
		return certmagic.KeyInfo{Key: key}, nil
	}
	return certmagic.KeyInfo{}, missing("stat", key)
}

// directory reports whether something is below key. The caller holds mu.
func (m *Memory) directory(key string) bool {
	for name := range m.files {
		if inside(name, key) {
			return true
		}
	}
	return false
}

// Lock waits until nobody holds the lock called name, or ctx ends, and takes it.
func (m *Memory) Lock(ctx context.Context, name string) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		released := m.take(name)
		if released == nil {
			return nil
		}
		select {
		case <-released:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TryLock takes the lock called name if nobody holds it, and reports whether.
func (m *Memory) TryLock(ctx context.Context, name string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	return m.take(name) == nil, nil
}

// take takes the lock and returns nil, or returns what is closed when whoever
// holds it releases it.
func (m *Memory) take(name string) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if released, ok := m.locks[name]; ok {
		return released
	}
	if m.locks == nil {
		m.locks = map[string]chan struct{}{}
	}
	m.locks[name] = make(chan struct{})
	return nil
}

// Unlock releases the lock called name, also after ctx has ended. It is an error
// if nobody holds it.
func (m *Memory) Unlock(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	released, ok := m.locks[name]
	if !ok {
		return missing("unlock", name)
	}
	delete(m.locks, name)
	close(released)
	return nil
}
