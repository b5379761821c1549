package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"time"
)

// lookAfter is how often it is looked whether the file still has its name.
const lookAfter = time.Second

// file is what is used of an [os.File].
type file interface {
	io.WriteCloser
	Stat() (fs.FileInfo, error)
	Sync() error
}

// opener opens a file to be appended to. whole says whether it ends with a whole
// line, or is empty.
type opener func(name string) (f file, whole bool, err error)

// rotating is a file that is put aside when it is full. It is used by one
// goroutine at a time. The libraries that do this leave a goroutine behind, and
// keep half a line to themselves when a disk is full.
type rotating struct {
	name string
	max  int64
	keep int
	open opener
	log  *slog.Logger

	file   file // nil: to be opened
	size   int64
	inside bool // what was written last is not a whole line
	looked time.Time
}

// ready opens the file if it is not open.
func (r *rotating) ready() error {
	if r.file != nil {
		return nil
	}
	f, whole, err := r.open(r.name)
	if err != nil {
		return err
	}
	stat, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return err
	}
	if !whole {
		// Somebody died here. The next line begins on its own.
		if _, err := f.Write([]byte("\n")); err != nil {
			_ = f.Close()
			return err
		}
	}
	r.file, r.size, r.inside, r.looked = f, stat.Size(), false, time.Now()
	return nil
}

// write appends lines and puts the file aside as often as it is full. It returns
// how many bytes were written; with less than all there is an error.
func (r *rotating) write(lines []byte) (written int, err error) {
	r.look()
	for len(lines) > 0 {
		if err := r.ready(); err != nil {
			return written, err
		}
		part := r.fitting(lines)
		if part == 0 {
			r.rotate()
			continue
		}
		n, err := r.file.Write(lines[:part])
		n = max(n, 0)
		written += n
		r.size += int64(n)
		if n > 0 {
			r.inside = lines[n-1] != '\n'
		}
		lines = lines[n:]
		if err == nil && n < part {
			err = io.ErrShortWrite
		}
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// fitting returns how many of the bytes go into this file: the rest of a line
// that has begun, and whole lines up to the limit. An empty file takes at least one.
func (r *rotating) fitting(lines []byte) int {
	room := r.max - r.size
	if int64(len(lines)) <= room {
		return len(lines)
	}
	if r.inside || r.size == 0 && bytes.LastIndexByte(lines[:room], '\n') < 0 {
		return bytes.IndexByte(lines, '\n') + 1
	}
	return bytes.LastIndexByte(lines[:max(room, 0)], '\n') + 1
}

// rotate puts the full file aside. If that fails, it goes on to be used, and the
// next attempt is when it has grown by as much again.
func (r *rotating) rotate() {
	err := r.file.Close()
	r.file = nil
	if err == nil {
		err = r.shift()
	}
	if err != nil {
		r.log.Error("cannot put the full audit file aside; it goes on to grow", slog.String("file", r.name), slog.Any("error", err))
		if r.ready() == nil {
			r.size = 0
		}
	}
}

// shift renames the files, from the oldest on.
func (r *rotating) shift() error {
	for i := r.keep - 1; i >= 0; i-- {
		from, to := fmt.Sprintf("%s.%d", r.name, i), fmt.Sprintf("%s.%d", r.name, i+1)
		if i == 0 {
			from = r.name
		}
		if err := os.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// look closes the file if it has lost its name to something else that renames
// or removes it.
func (r *rotating) look() {
	if r.file == nil || r.inside || time.Since(r.looked) < lookAfter {
		return
	}
	r.looked = time.Now()
	mine, err := r.file.Stat()
	if err != nil {
		return
	}
	named, err := os.Stat(r.name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, named) {
		_ = r.file.Close()
		r.file = nil
	}
}

func (r *rotating) close() error {
	if r.file == nil {
		return nil
	}
	return errors.Join(r.file.Sync(), r.file.Close())
}

// openFile opens or makes a file that only this user can read.
func openFile(name string) (file, bool, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, err
	}
	whole, err := prepare(f)
	if err != nil {
		_ = f.Close()
		return nil, false, fmt.Errorf("%s: %w", name, err)
	}
	return f, whole, nil
}

func prepare(f *os.File) (whole bool, err error) {
	stat, err := f.Stat()
	if err != nil {
		return false, err
	}
	if !stat.Mode().IsRegular() {
		return false, errors.New("it is not a regular file; to have records in the log, leave the file out")
	}
	if stat.Mode().Perm()&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			return false, fmt.Errorf("others may read it, and that can't be changed: %w", err)
		}
	}
	if stat.Size() == 0 {
		return true, nil
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], stat.Size()-1); err != nil {
		return false, err
	}
	return last[0] == '\n', nil
}
