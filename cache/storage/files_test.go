package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestStoreLasts: the file is synced before it gets its name, and the folder
// afterwards; of new folders, the one above, too.
func TestStoreLasts(t *testing.T) {
	f := NewFiles(filepath.Join(t.TempDir(), "state"))
	var done []string
	f.done = func(op, name string) {
		rel, err := filepath.Rel(f.Path, name)
		if err != nil {
			t.Error(err)
		}
		if strings.HasPrefix(rel, tempFolder+string(filepath.Separator)) {
			rel = "temp"
		}
		done = append(done, op+" "+filepath.ToSlash(rel))
	}
	if err := f.Store(t.Context(), "a/b/c", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"sync ..", "sync .", "sync a", "sync .", "sync temp", "replaced a/b/c", "sync a/b"}; !slices.Equal(done, want) {
		t.Errorf("the first time: %q, want %q", done, want)
	}
	done = nil
	if err := f.Store(t.Context(), "a/b/c", []byte("2")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"sync temp", "replaced a/b/c", "sync a/b"}; !slices.Equal(done, want) {
		t.Errorf("the second time: %q, want %q", done, want)
	}
	done = nil
	for range 2 {
		if err := f.Delete(t.Context(), "a/b/c"); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"sync a/b"}; !slices.Equal(done, want) {
		t.Errorf("deleted: %q, want %q", done, want)
	}
}

// TestStoreIsWhole: who reads while others write sees one of the values.
func TestStoreIsWhole(t *testing.T) {
	f := NewFiles(t.TempDir())
	if err := f.Store(t.Context(), "k", []byte("0")); err != nil {
		t.Fatal(err)
	}
	var writers, readers sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 4 {
		writers.Go(func() {
			for n := range 20 {
				if err := f.Store(t.Context(), "k", []byte(strings.Repeat(fmt.Sprint(i), 1+n*10_000))); err != nil {
					t.Error(err)
				}
			}
		})
		readers.Go(func() {
			for ctx.Err() == nil {
				v, err := f.Load(t.Context(), "k")
				if err != nil || len(v)%10_000 != 1 || strings.Trim(string(v), string(v[:1])) != "" {
					t.Errorf("%d bytes, %v", len(v), err)
					return
				}
			}
		})
	}
	writers.Wait()
	cancel()
	readers.Wait()
	for name, err := range f.names(t.Context(), tempFolder) {
		t.Errorf("left: %s, %v", name, err)
	}
}

// TestUnwritable: what cannot be stored is a typed error, and what was there stays.
func TestUnwritable(t *testing.T) {
	dir := t.TempDir()
	f := NewFiles(dir)
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"file/below", "folder"} {
		err := f.Store(t.Context(), key, []byte("y"))
		u, ok := errors.AsType[*Unwritable](err)
		if !ok || u.Path != key || u.Full() || u.ReadOnly() {
			t.Errorf("%s: %v", key, err)
		}
	}
	for name, err := range f.names(t.Context(), tempFolder) {
		t.Errorf("left: %s, %v", name, err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, c := range []struct {
		err            error
		full, readOnly bool
		says           string
	}{
		{syscall.ENOSPC, true, false, "make room"},
		{syscall.EROFS, false, true, "writable to the user"},
		{syscall.EACCES, false, true, "writable to the user"},
		{syscall.EIO, false, false, "state directory"},
	} {
		u := &Unwritable{Path: "a", Err: &fs.PathError{Op: "write", Path: "a", Err: c.err}}
		if u.Full() != c.full || u.ReadOnly() != c.readOnly || !strings.Contains(u.Error(), c.says) || !errors.Is(u, c.err) {
			t.Errorf("%v: %v, %v, %q", c.err, u.Full(), u.ReadOnly(), u)
		}
	}
}

// TestLoadIsBounded: what is no plain file, or a huge one, is not read.
func TestLoadIsBounded(t *testing.T) {
	dir := t.TempDir()
	f := NewFiles(dir)
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	huge, err := os.Create(filepath.Join(dir, "huge"))
	if err == nil {
		err = errors.Join(huge.Truncate(1<<40), huge.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	bad := []string{"folder", "huge"}
	if runtime.GOOS != "windows" {
		if err := os.Symlink("/dev/zero", filepath.Join(dir, "zero")); err != nil {
			t.Fatal(err)
		}
		bad = append(bad, "zero")
	}
	for _, key := range bad {
		if v, err := f.Load(t.Context(), key); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %d bytes, %v", key, len(v), err)
		}
	}
}

func TestFilesHeedContexts(t *testing.T) {
	f := NewFiles(t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, load := f.Load(ctx, "a")
	_, try := f.TryLock(ctx, "a")
	for name, err := range map[string]error{"load": load, "try": try, "store": f.Store(ctx, "a", nil), "delete": f.Delete(ctx, "a"), "lock": f.Lock(ctx, "a")} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEndedContext: that a caller has left is not the storage's fault.
func TestEndedContext(t *testing.T) {
	s := open(t, NewFiles(t.TempDir()), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Grants().Save(ctx, "alice", someGrant("a"))
	if _, ok := errors.AsType[*Unwritable](err); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestSweep: what a killed process left goes, what one is about to write stays.
func TestSweep(t *testing.T) {
	f := NewFiles(t.TempDir())
	temp := f.Filename(tempFolder)
	if err := os.MkdirAll(filepath.Join(temp, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"old": 2 * time.Hour, "new": time.Minute} {
		path, when := filepath.Join(temp, name), time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, when, when)); err != nil {
			t.Fatal(err)
		}
	}
	f.Sweep(t.Context())
	var left []string
	for name, err := range f.names(t.Context(), tempFolder) {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, name)
	}
	slices.Sort(left)
	if !slices.Equal(left, []string{"folder", "new"}) {
		t.Errorf("left: %q", left)
	}
}

// TestFileLocks: of many, in one process and with several Files, one has a lock.
func TestFileLocks(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	inside, turns := 0, 0
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			f := NewFiles(dir)
			if err := f.Lock(t.Context(), "one lock"); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			inside++
			if turns++; inside != 1 {
				t.Errorf("%d have the lock", inside)
			}
			mu.Unlock()
			runtime.Gosched()
			mu.Lock()
			inside--
			mu.Unlock()
			if err := f.Unlock(t.Context(), "one lock"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if turns != 20 {
		t.Errorf("%d turns", turns)
	}
	a, b := NewFiles(dir), NewFiles(dir)
	if err := a.Lock(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if ok, err := b.TryLock(t.Context(), "x"); ok || err != nil {
		t.Errorf("a lock that is held: %v, %v", ok, err)
	}
	if got := b.holder("x"); got != fmt.Sprint(os.Getpid()) {
		t.Errorf("held by %q", got)
	}
	if err := b.Unlock(t.Context(), "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("unlocking another's lock: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := b.Lock(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for it: %v", err)
	}
	if err := a.Unlock(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	if ok, err := b.TryLock(t.Context(), "x"); !ok || err != nil {
		t.Errorf("a lock that is free: %v, %v", ok, err)
	}
	if err := b.Unlock(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}

// TestNoFileLocks: where the file system has no locks, CertMagic's serve.
func TestNoFileLocks(t *testing.T) {
	f := NewFiles(t.TempDir())
	f.lockFile = func(*os.File) (bool, error) { return false, fmt.Errorf("flock: %w", errors.ErrUnsupported) }
	for _, want := range []bool{true, false} {
		if ok, err := f.TryLock(t.Context(), "x"); ok != want || err != nil {
			t.Errorf("%v, %v, want %v", ok, err, want)
		}
	}
	if err := f.Unlock(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	if err := f.Lock(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	if err := f.Unlock(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	f.lockFile = func(*os.File) (bool, error) { return false, syscall.EIO }
	if ok, err := f.TryLock(t.Context(), "x"); ok || !errors.Is(err, syscall.EIO) {
		t.Errorf("%v, %v", ok, err)
	}
}
