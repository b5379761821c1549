package main

import (
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// files are those that a config was read from, with the hash of what was in each.
type files map[string][sha256.Size]byte

// note adds a file that is about to be read: if it changes while it is, that is seen.
func (f files) note(name string) {
	if full, err := filepath.Abs(name); err == nil {
		name = full
	}
	if _, ok := f[name]; !ok {
		f[name] = contents(name)
	}
}

// changed reports whether one of the files holds something else by now. Contents are
// compared, not times: what a swapped link leads to may be older than what it led to.
func (f files) changed() bool {
	for name, sum := range f {
		if contents(name) != sum {
			return true
		}
	}
	return false
}

// contents hashes what is in a file, or why it can't be read. A pipe is left to those
// who read it once.
func contents(name string) [sha256.Size]byte {
	h := sha256.New()
	info, err := os.Stat(name)
	if err == nil && info.Mode().IsRegular() {
		var file *os.File
		if file, err = os.Open(name); err == nil {
			_, err = io.Copy(h, io.LimitReader(file, maxConfigSize+1))
			_ = file.Close()
		}
	}
	if err != nil {
		_, _ = io.WriteString(h, "\x00"+err.Error())
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// entries returns the directory entries that decide what is in a file: its own, and
// each symbolic link on the way to it. When one of them is replaced, so is the file:
// that is how editors save, and how Kubernetes swaps a whole directory (its ..data).
func entries(name string) (list []string) {
	todo := name
	at := filepath.VolumeName(todo) + string(filepath.Separator)
	todo = strings.TrimPrefix(todo, filepath.VolumeName(todo))
	for links := 0; ; {
		todo = strings.TrimLeft(todo, string(filepath.Separator))
		if todo == "" {
			return list
		}
		first, rest, more := strings.Cut(todo, string(filepath.Separator))
		entry := filepath.Join(at, first) // which also does ".."
		todo = rest
		target, err := os.Readlink(entry)
		switch {
		case err != nil:
			at = entry
			if !more {
				return append(list, entry)
			}
		case links == maxLinks:
			return list
		default:
			links++
			list = append(list, entry)
			todo = filepath.Join(target, rest)
			if filepath.IsAbs(target) {
				at = filepath.VolumeName(todo) + string(filepath.Separator)
				todo = strings.TrimPrefix(todo, filepath.VolumeName(todo))
			}
		}
	}
}

// maxLinks is how many symbolic links are followed, as in Linux.
const maxLinks = 40
