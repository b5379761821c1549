//go:build !windows

package storage

import (
	"os"
	"path/filepath"
	"syscall"
)

// give lets what root has made in a directory of another user's belong to that one,
// as the user that a service runs as: it could not read it otherwise. A link in the
// directory that leads out of it is not followed.
func (f *Files) give(name string) {
	if os.Geteuid() != 0 {
		return
	}
	info, err := os.Stat(f.Path)
	if err != nil {
		return
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return
	}
	within, err := filepath.Rel(f.Path, name)
	if err != nil {
		return
	}
	dir, err := os.OpenRoot(f.Path)
	if err != nil {
		return
	}
	defer dir.Close()
	_ = dir.Lchown(within, int(owner.Uid), int(owner.Gid)) // if it cannot be, it stays root's
}
