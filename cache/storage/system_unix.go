//go:build !windows

package storage

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// replace gives the file from the name to, in place of what has it. Whoever reads
// sees the one or the other (POSIX rename).
func replace(from, to string) error { return os.Rename(from, to) }

// syncDir makes what was named, renamed or removed in dir last a power failure:
// syncing a file does not do that for its name (fsync(2)).
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil // some network file systems have no such operation
	}
	return err
}

// lockFile locks f for this process, false if another has it. The lock ends
// with the process, however that ends (flock(2)).
func lockFile(f *os.File) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		}
		return false, &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
}

// cannotLock reports whether err, lockFile's, says that the file system has no locks.
func cannotLock(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, unix.ENOLCK)
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func isReadOnly(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission)
}

// exposed reports whether others than the owner may read or write a file of info's mode.
func exposed(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

// otherDisk reports whether err, replace's, says that the names are on two disks.
func otherDisk(err error) bool { return errors.Is(err, unix.EXDEV) }
