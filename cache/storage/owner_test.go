//go:build unix

package storage

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestRootGives: what root stores or locks in the directory of a service's user can be
// read by that one. Anybody else stores in directories of their own.
func TestRootGives(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	want := os.Geteuid()
	if want == 0 {
		want = 65534
	}
	if err := os.Chown(dir, want, -1); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	f := NewFiles(dir)
	for _, key := range []string{"a/b/c", "elsewhere/d"} {
		if err := f.Store(t.Context(), key, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Lock(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
	if err := f.Unlock(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
	seen := 0
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		seen++
		if uid := info.Sys().(*syscall.Stat_t).Uid; int(uid) != want {
			t.Errorf("%s belongs to %d", name, uid)
		}
		return nil
	})
	if err != nil || seen < 7 { // the directory, a, b, c, locks, the lock, tmp
		t.Errorf("%d files, %v", seen, err)
	}
	info, err := os.Stat(outside)
	if err != nil {
		t.Fatal(err)
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; int(uid) != os.Geteuid() {
		t.Errorf("what a link leads to belongs to %d now", uid)
	}
}
