package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

const (
	tempFolder = "tmp"
	tempAge    = 10 * time.Minute // what is older was left by a process that was killed
	sweepMost  = 10_000           // entries of tempFolder that one sweep looks at
	valueMost  = 16 << 20         // bytes of a file that is read
	dirBatch   = 1024             // entries of a directory that are read at a time
)

// Files is CertMagic's FileStorage, with these differences:
//
//   - Store and Delete return when what they did lasts a power failure.
//     FileStorage syncs the file, and not the directory that names it.
//   - What a killed process leaves unfinished lies in the folder tmp, where Sweep
//     clears it away. FileStorage leaves it among the values, for ever.
//   - A lock ends with the process that holds it. FileStorage writes times in lock
//     files: after a kill, everybody waits for up to 10 seconds; if it was in the
//     middle of writing the time, or the clock goes back, until somebody deletes the
//     lock file. Its locks are used where the file system has none.
//   - What cannot be written is an [Unwritable].
//   - What root stores in another user's directory is that user's.
//
// It may be used concurrently, and by several processes on one directory.
type Files struct {
	certmagic.FileStorage

	mu   sync.Mutex          // guards held
	held map[string]*os.File // open lock files by the locks' names; nil: one of FileStorage's

	// For tests.
	lockFile func(*os.File) (bool, error)
	done     func(op, path string) // hears of each sync, and of replacements
}

var (
	_ certmagic.Storage   = (*Files)(nil)
	_ certmagic.TryLocker = (*Files)(nil)
)

// NewFiles returns the files below dir, which is made when something is stored.
func NewFiles(dir string) *Files {
	return &Files{FileStorage: certmagic.FileStorage{Path: dir}, held: map[string]*os.File{}, lockFile: lockFile, done: func(string, string) {}}
}

// Store puts value at key: all of it, or nothing and an error.
func (f *Files) Store(ctx context.Context, key string, value []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return unwritable(key, f.store(f.Filename(key), value))
}

func (f *Files) store(name string, value []byte) error {
	dir, temps := filepath.Dir(name), f.Filename(tempFolder)
	for _, dir := range []string{dir, temps} {
		if err := f.mkdir(dir); err != nil {
			return err
		}
	}
	temp, err := f.write(temps, value)
	if err != nil {
		return err
	}
	if err = replace(temp, name); err != nil && otherDisk(err) { // a folder may be a link
		_ = os.Remove(temp)
		if temp, err = f.write(dir, value); err != nil {
			return err
		}
		err = replace(temp, name)
	}
	if err != nil {
		_ = os.Remove(temp)
		return err
	}
	f.done("replaced", name)
	return f.sync(dir)
}

// write writes value to a new file in dir, which only the owner may read, and
// returns its name.
func (f *Files) write(dir string, value []byte) (_ string, err error) {
	temp, err := os.CreateTemp(dir, ".")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	f.give(temp.Name())
	_, err = temp.Write(value)
	if err == nil {
		err = f.syncFile(temp)
	}
	return temp.Name(), errors.Join(err, temp.Close())
}

// mkdir makes dir and what is missing above it.
func (f *Files) mkdir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent == dir {
		return os.Mkdir(dir, 0o700)
	}
	if err := f.mkdir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if info, e := os.Stat(dir); e == nil && info.IsDir() {
			return nil // somebody else made it
		}
		return err
	}
	f.give(dir)
	return f.sync(parent)
}

func (f *Files) syncFile(file *os.File) error {
	f.done("sync", file.Name())
	return file.Sync()
}

func (f *Files) sync(dir string) error {
	f.done("sync", dir)
	return syncDir(dir)
}

// Load returns the value at key. What is no plain file, or is of more than 16 MiB,
// is an error.
func (f *Files) Load(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name := f.Filename(key)
	info, err := os.Stat(name) // before it is opened: a pipe would not let go
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is not a plain file")}
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	value, err := io.ReadAll(io.LimitReader(file, valueMost+1))
	switch {
	case err != nil:
		return nil, err
	case len(value) > valueMost:
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("has more than %d bytes", valueMost)}
	}
	return value, nil
}

// Delete deletes key and all below it. It is no error if there is nothing.
func (f *Files) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name := f.Filename(key)
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.RemoveAll(name); err != nil {
		return unwritable(key, err)
	}
	return unwritable(key, f.sync(filepath.Dir(name)))
}

// names yields what is in the directory dir, unsorted and without its path,
// and holds few of them at a time. There is nothing in a directory that is missing.
func (f *Files) names(ctx context.Context, dir string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		d, err := os.Open(f.Filename(dir))
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield("", err)
			return
		}
		defer d.Close()
		for {
			entries, err := d.ReadDir(dirBatch)
			for _, e := range entries {
				if !yield(e.Name(), nil) {
					return
				}
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					yield("", err)
				}
				return
			}
		}
	}
}

// Sweep deletes what processes left unfinished that were killed more than ten
// minutes ago. It looks at ten thousand files at the most, and does what it can.
func (f *Files) Sweep(ctx context.Context) {
	seen := 0
	for name, err := range f.names(ctx, tempFolder) {
		if seen++; err != nil || seen > sweepMost {
			return
		}
		path := filepath.Join(f.Filename(tempFolder), name)
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > tempAge {
			_ = os.Remove(path)
		}
	}
}
