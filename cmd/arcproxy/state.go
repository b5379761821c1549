package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/caddyserver/certmagic"

	"arcproxy/cache/storage"
)

// state is what the program keeps: in the state directory, or in memory.
type state struct {
	storage certmagic.Storage // certificates, refusals
	key     []byte            // of fingerprints
	sealed  *storage.Sealed   // grants, Okta sessions, issued tokens
	release func() error      // gives the directory to the next; nil: it was not claimed
}

// use says what is to be done with a state directory.
type use int

const (
	toOwn  use = iota // change it: nobody else may work on it meanwhile
	toRead            // look at it, and sign nobody in: whoever owns it goes on
)

// openState opens the state directory of c. If it cannot be written, that is said
// in the log, and the state is a copy in memory.
func openState(ctx context.Context, c *config, how use, log *slog.Logger) (_ *state, err error) {
	s := &state{}
	defer func() {
		if err != nil {
			_ = s.close()
		}
	}()
	if c.StateDir == "" {
		s.storage = storage.NewMemory()
	} else if err = s.open(ctx, c.StateDir, how, log); err != nil {
		return nil, err
	}
	err = s.fill(ctx, c, log)
	if u, ok := errors.AsType[*storage.Unwritable](err); ok && c.StateDir != "" {
		if err = s.toMemory(ctx, c.StateDir, u, log); err == nil {
			err = s.fill(ctx, c, log)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the state directory: %w", err)
	}
	return s, nil
}

// fill opens what is on s.storage.
func (s *state) fill(ctx context.Context, c *config, log *slog.Logger) (err error) {
	if s.key, err = storage.Key(ctx, s.storage); err != nil {
		return err
	}
	on := s.storage
	if _, ok := on.(*storage.Files); c.Cache.Memory {
		on = storage.NewMemory()
	} else if ok && s.release == nil { // it is somebody else's
		if on, err = remember(ctx, on, "keys", "sealed"); err != nil {
			return err
		}
	}
	var key *[32]byte
	if c.Cache.Key != nil {
		if key, err = sealKey(ctx, c); err != nil {
			return err
		}
	}
	s.sealed, err = storage.OpenSealed(ctx, on, key, log)
	return err
}

// open claims and tries the directory dir.
func (s *state) open(ctx context.Context, dir string, how use, log *slog.Logger) error {
	files, err := openFiles(dir)
	if err == nil {
		s.storage = files
		if how == toRead {
			return nil
		}
		s.release, err = claim(ctx, files)
	}
	if err == nil {
		err = probe(ctx, files)
	}
	if err == nil {
		return nil
	}
	u, ok := errors.AsType[*storage.Unwritable](err)
	if errors.Is(err, storage.ErrInUse) {
		return &inUse{dir, err}
	}
	if !ok {
		return fmt.Errorf("state_dir %s: %w; run this as the user that it belongs to, give the right to it, or name another directory", dir, err)
	}
	return s.toMemory(ctx, dir, u, log)
}

// inUse is a state directory that another program works on.
type inUse struct {
	dir string
	err error // storage.ErrInUse, and whose it is
}

func (e *inUse) Error() string {
	return fmt.Sprintf("state_dir %s: %v; stop it, or give this one a state_dir of its own", e.dir, e.err)
}

func (e *inUse) Unwrap() error { return e.err }

// toMemory goes on from a copy of dir, which cannot be written.
func (s *state) toMemory(ctx context.Context, dir string, why *storage.Unwritable, log *slog.Logger) (err error) {
	if s.storage, err = remember(ctx, storage.NewFiles(dir), ""); err != nil {
		return fmt.Errorf("state_dir %s: %w; run this as the user that it belongs to, give the right to it, or name another directory", dir, err)
	}
	log.Error("the state directory cannot be written: this run goes on from a copy of it in memory, and what changes ends with it", "state_dir", dir, "error", why,
		"remedy", "make room there, or give the user that runs this program the right to write, and restart")
	return nil
}

// close lets the next program have the directory.
func (s *state) close() error {
	if s.release == nil {
		return nil
	}
	return s.release()
}

// openFiles opens the directory dir, which only its owner may read, and makes it
// if there is none.
func openFiles(dir string) (*storage.Files, error) {
	if err := makePrivate(dir); err != nil {
		u := &storage.Unwritable{Path: dir, Err: err}
		if info, missing := os.Stat(dir); missing == nil && info.IsDir() && (u.ReadOnly() || u.Full()) {
			return nil, u
		}
		return nil, err
	}
	return storage.NewFiles(dir), nil
}

// claim takes the directory for this program. What is sealed in it does not matter
// for that, so any key will do.
func claim(ctx context.Context, files *storage.Files) (release func() error, err error) {
	door, err := storage.OpenSealed(ctx, files, storage.NewSealKey(), nil)
	if err != nil {
		return nil, err
	}
	return door.Claim(ctx)
}

// probe finds out whether something can be stored: a disk that is full has locks
// and old values all the same.
func probe(ctx context.Context, files *storage.Files) error {
	const name = "probe"
	err := files.Store(ctx, name, make([]byte, 64<<10))
	if failed := files.Delete(ctx, name); err == nil {
		err = failed
	}
	return err
}

const rememberMost = 100_000 // values that are copied to memory

// remember copies what is below some folders of st ("": all) to memory. What is
// private to the program that writes there is left out.
func remember(ctx context.Context, st certmagic.Storage, folders ...string) (*storage.Memory, error) {
	m := storage.NewMemory()
	n := 0
	for _, folder := range folders {
		names, err := st.List(ctx, folder, true)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, name := range names {
			if strings.HasPrefix(name, "locks/") || strings.HasPrefix(name, "tmp/") || name == socketName {
				continue
			}
			info, err := st.Stat(ctx, name)
			if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsTerminal {
				continue // deleted meanwhile, or a folder
			}
			value, err := st.Load(ctx, name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = m.Store(ctx, name, value)
			}
			if n++; err == nil && n > rememberMost {
				err = errors.New("holds too much to be copied to memory")
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

// sealKey reads the configured sealing key.
func sealKey(ctx context.Context, c *config) (*[32]byte, error) {
	text, err := c.Cache.Key(ctx)
	if err != nil {
		return nil, fmt.Errorf("cache.key: %w", err)
	}
	key, err := storage.ParseSealKey(text.Reveal())
	if err != nil {
		return nil, fmt.Errorf("cache.key: %w", err)
	}
	return key, nil
}
