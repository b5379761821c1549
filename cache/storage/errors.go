package storage

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrInUse: another process works on this storage; see [Sealed.Claim].
	ErrInUse = errors.New("another arcproxy works on this state directory")
	// ErrPending: a rotation is done, but the program was started with the former
	// key. Another rotation would lose the way from that key to the newest.
	ErrPending = errors.New("the last rotation is not finished: put the new key where the configuration looks for it, and restart")
	// ErrIncomplete: the storage was opened with the key of a rotation that did
	// not come to its end.
	ErrIncomplete = errors.New("the rotation to this key did not come to its end: start once with the former key, which undoes it")
	// ErrKeyUsed: something is sealed already with the key that a rotation is to
	// lead to.
	ErrKeyUsed = errors.New("something is sealed with this key already: choose another, or move that away")
)

// Damaged is a stored value that is there and does not open: it was changed, cut
// short, moved here from another place, or written by a later version. It is left
// where it is, and counts as absent.
type Damaged struct {
	Kind   string // grants, sessions, tokens, …
	Name   string // whose: the identity; "" where nobody knows, because the value would say so
	Path   string // in the storage
	Reason string
}

// Error names the value and says what to do.
func (e *Damaged) Error() string {
	whose := ""
	if e.Name != "" {
		whose = fmt.Sprintf(" of %q", e.Name)
	}
	return fmt.Sprintf("%s%s at %s: %s; it is left as it is and counts as absent: restore it from a copy, or delete it", e.Kind, whose, e.Path, e.Reason)
}

// Unwritable is a value that could not be stored or deleted: what was stored
// before is still there. Full and ReadOnly tell the usual causes apart.
type Unwritable struct {
	Path string // in the storage
	Err  error
}

// Full reports whether the disk, or the share of it that the program may use, is full.
func (e *Unwritable) Full() bool { return isFull(e.Err) }

// ReadOnly reports whether the storage may be read only.
func (e *Unwritable) ReadOnly() bool { return isReadOnly(e.Err) }

// Error names the value and says what to do.
func (e *Unwritable) Error() string {
	remedy := "see what is wrong with the state directory"
	switch {
	case e.Full():
		remedy = "make room on the disk of the state directory"
	case e.ReadOnly():
		remedy = "make the state directory writable to the user that runs this program"
	}
	return fmt.Sprintf("writing %s: %v; %s", e.Path, e.Err, remedy)
}

// Unwrap returns the cause.
func (e *Unwritable) Unwrap() error { return e.Err }

// unwritable wraps err once. That a context has ended says nothing of the storage.
func unwritable(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if _, ok := errors.AsType[*Unwritable](err); ok {
		return err
	}
	return &Unwritable{Path: path, Err: err}
}
