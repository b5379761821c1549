//go:build !windows

package main

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// makePrivate makes dir if it is missing and closes it to everybody but the
// user this program runs as.
func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "open", Path: dir, Err: errors.New("not a directory")}
	}
	if info.Mode().Perm()&0o077 != 0 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// ownersOnly reports whether nobody else can have put something in a directory: nobody
// but the user uid, and root. Root believes whoever it belongs to, as the user that a
// service runs as.
func ownersOnly(info fs.FileInfo, uid int) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().Perm()&0o022 == 0 && (uid == 0 || stat.Uid == 0 || int64(stat.Uid) == int64(uid))
}
