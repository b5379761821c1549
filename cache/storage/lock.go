package storage

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
)

// How often a lock that another process holds is asked for: from first, doubling
// up to most.
const (
	lockPollFirst = 2 * time.Millisecond
	lockPollMost  = 200 * time.Millisecond
)

// lockPath returns where the lock called name is. Lock files stay: to delete one
// while another process opens it would give two processes the same lock.
func lockPath(name string) string {
	return path.Join("locks", certmagic.StorageKeys.Safe(name)+".flock")
}

// Lock waits until nobody holds the lock called name, or ctx ends, and takes it.
func (f *Files) Lock(ctx context.Context, name string) error {
	pause := lockPollFirst
	for {
		ok, err := f.TryLock(ctx, name)
		if ok || err != nil {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		pause = min(2*pause, lockPollMost)
	}
}

// TryLock takes the lock called name if nobody holds it, in this or another
// process, and reports whether.
func (f *Files) TryLock(ctx context.Context, name string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	key := lockPath(name)
	if err := f.mkdir(filepath.Dir(f.Filename(key))); err != nil {
		return false, unwritable(key, err)
	}
	file, err := os.OpenFile(f.Filename(key), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, unwritable(key, err)
	}
	ok, err := f.lockFile(file)
	if err != nil && cannotLock(err) {
		_ = file.Close()
		file = nil
		ok, err = f.FileStorage.TryLock(ctx, name)
	}
	if !ok || err != nil {
		if file != nil {
			_ = file.Close()
		}
		return false, err
	}
	if file != nil {
		// For people and for messages only.
		f.give(file.Name())
		_ = file.Truncate(0)
		_, _ = file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held[name] = file
	return true, nil
}

// Unlock releases the lock called name, also after ctx has ended. It is an error
// if this Files does not hold it.
func (f *Files) Unlock(ctx context.Context, name string) error {
	f.mu.Lock()
	file, ok := f.held[name]
	delete(f.held, name)
	f.mu.Unlock()
	switch {
	case !ok:
		return &fs.PathError{Op: "unlock", Path: name, Err: fs.ErrNotExist}
	case file == nil:
		return f.FileStorage.Unlock(ctx, name)
	}
	return file.Close() // which releases it
}

// holder says which process holds the lock called name, "" if that is not known.
func (f *Files) holder(name string) string {
	file, err := os.Open(f.Filename(lockPath(name)))
	if err != nil {
		return ""
	}
	defer file.Close()
	text, _ := io.ReadAll(io.LimitReader(file, 20))
	pid := strings.TrimSpace(string(text))
	if pid == "" || strings.Trim(pid, "0123456789") != "" {
		return ""
	}
	return pid
}
