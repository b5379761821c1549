package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/certmagic"
)

// fill stores something of every kind.
func fill(t *testing.T, s *Sealed) {
	t.Helper()
	for i := range 3 {
		save(t, s, fmt.Sprint("identity", i), fmt.Sprint("token", i))
		if err := s.Sessions().Save(t.Context(), fmt.Sprint("identity", i), []byte(fmt.Sprint("session", i))); err != nil {
			t.Fatal(err)
		}
		if err := s.Tokens().Put(t.Context(), fmt.Sprint("id", i), []byte(fmt.Sprint("record", i))); err != nil {
			t.Fatal(err)
		}
	}
}

// filled wants what fill stored.
func filled(t *testing.T, s *Sealed) {
	t.Helper()
	for i := range 3 {
		holdsGrant(t, s, fmt.Sprint("identity", i), fmt.Sprint("token", i))
		if v, found, err := s.Sessions().Load(t.Context(), fmt.Sprint("identity", i)); !found || err != nil || string(v) != fmt.Sprint("session", i) {
			t.Errorf("session %d: %q, %v, %v", i, v, found, err)
		}
	}
	if got := records(t, s); len(got) != 3 || !got["record0"] || !got["record1"] || !got["record2"] {
		t.Errorf("records: %v", got)
	}
}

// folders returns the ids of the keys with which something is sealed.
func folders(t *testing.T, st certmagic.Storage) map[string]bool {
	t.Helper()
	all, err := st.List(t.Context(), sealedFolder, true)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, key := range all {
		if info, err := st.Stat(t.Context(), key); err == nil && info.IsTerminal {
			ids[strings.Split(key, "/")[1]] = true
		}
	}
	return ids
}

func TestRotate(t *testing.T) {
	each(t, func(t *testing.T, st certmagic.Storage) {
		s := open(t, st, nil)
		fill(t, s)
		for range 3 {
			former := s.key.id
			if err := s.Rotate(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if s.key.id == former {
				t.Error("it is the same key")
			}
			filled(t, s)
			log, said := hearing()
			again, err := OpenSealed(t.Context(), st, nil, log)
			if err != nil || said.String() != "" {
				t.Fatalf("%v; the log says %q", err, said)
			}
			filled(t, again)
			if ids := folders(t, st); !maps.Equal(ids, map[string]bool{s.key.id: true}) {
				t.Errorf("keys in use: %v", ids)
			}
		}
		// To a key that is given, and is configured from then on.
		next := NewSealKey()
		if err := s.Rotate(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		filled(t, s)
		filled(t, open(t, st, nil))
		filled(t, open(t, st, next))
		if err := s.Rotate(t.Context(), next); err == nil || errors.Is(err, ErrKeyUsed) {
			t.Errorf("to the key itself: %v", err)
		}
	})
}

// TestRotateConfigured: the former key serves until the configuration is changed.
func TestRotateConfigured(t *testing.T) {
	each(t, func(t *testing.T, st certmagic.Storage) {
		first, second := NewSealKey(), NewSealKey()
		s := open(t, st, first)
		fill(t, s)
		if err := s.Rotate(t.Context(), nil); err == nil {
			t.Error("a key was made that nobody has")
		}
		if err := s.Rotate(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		filled(t, s)
		save(t, s, "later", "1")
		for range 2 {
			log, said := hearing()
			former, err := OpenSealed(t.Context(), st, first, log)
			if err != nil {
				t.Fatal(err)
			}
			if text := said.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "put the new key") {
				t.Errorf("the log says %q", text)
			}
			filled(t, former)
			holdsGrant(t, former, "later", "1")
			save(t, former, "latest", "2")
			if err := former.Rotate(t.Context(), NewSealKey()); !errors.Is(err, ErrPending) {
				t.Errorf("another rotation: %v", err)
			}
		}
		log, said := hearing()
		s, err := OpenSealed(t.Context(), st, second, log)
		if err != nil || said.String() != "" {
			t.Fatalf("%v; the log says %q", err, said)
		}
		filled(t, s)
		holdsGrant(t, s, "later", "1")
		holdsGrant(t, s, "latest", "2")
		if ids := folders(t, st); !maps.Equal(ids, map[string]bool{s.key.id: true}) {
			t.Errorf("keys in use: %v", ids)
		}
		if err := s.Rotate(t.Context(), NewSealKey()); err != nil {
			t.Errorf("another rotation: %v", err)
		}
		if st.Exists(t.Context(), sealKeyName) {
			t.Error("a configured key was stored")
		}
	})
}

// TestRotateRefuses: what would be lost or mixed up ends a rotation before it begins.
func TestRotateRefuses(t *testing.T) {
	each(t, func(t *testing.T, st certmagic.Storage) {
		used := NewSealKey()
		save(t, open(t, st, used), "alice", "other")
		s := open(t, st, nil)
		fill(t, s)
		if err := s.Rotate(t.Context(), used); !errors.Is(err, ErrKeyUsed) {
			t.Errorf("to a key that is used: %v", err)
		}
		holdsGrant(t, open(t, st, used), "alice", "other")
		at := s.key.path(kindGrants, "damaged")
		if err := st.Store(t.Context(), at, []byte("x")); err != nil {
			t.Fatal(err)
		}
		former := s.key.id
		err := s.Rotate(t.Context(), nil)
		if d, ok := errors.AsType[*Damaged](err); !ok || d.Path != at {
			t.Errorf("with a damaged value: %v", err)
		}
		if s.key.id != former || s.unsettled.Load() || len(folders(t, st)) != 2 {
			t.Errorf("it was not undone: %v", folders(t, st))
		}
		filled(t, s)
		filled(t, open(t, st, nil))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Rotate(ctx, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		filled(t, open(t, st, nil))
	})
}

// dying is a storage whose process dies at one of its operations: that and all
// after it fail. mode says what the fatal one still does.
type dying struct {
	certmagic.Storage
	mode string // before, after, half

	mu   sync.Mutex // guards left
	left int        // operations that succeed; negative: for ever
}

var errDead = errors.New("the process has died")

// step reports whether an operation is done, and the error that it returns.
func (d *dying) step() (do bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.left < 0:
		return true, nil
	case d.left > 1:
		d.left--
		return true, nil
	case d.left == 1:
		d.left = 0
		return d.mode == "after", errDead
	}
	return false, errDead
}

func (d *dying) set(left int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = left
}

func (d *dying) dead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left == 0
}

func (d *dying) Store(ctx context.Context, key string, value []byte) error {
	do, err := d.step()
	if do {
		err = errors.Join(err, d.Storage.Store(ctx, key, value))
	}
	return err
}

func (d *dying) Load(ctx context.Context, key string) ([]byte, error) {
	if _, err := d.step(); err != nil {
		return nil, err
	}
	return d.Storage.Load(ctx, key)
}

func (d *dying) List(ctx context.Context, dir string, recursive bool) ([]string, error) {
	if _, err := d.step(); err != nil {
		return nil, err
	}
	return d.Storage.List(ctx, dir, recursive)
}

// Delete of a folder can come half way.
func (d *dying) Delete(ctx context.Context, key string) error {
	fatal := !d.dead()
	do, err := d.step()
	if do {
		return errors.Join(err, d.Storage.Delete(ctx, key))
	}
	if err != nil && fatal && d.mode == "half" {
		below, _ := d.Storage.List(ctx, key, true)
		for i, key := range below {
			if info, e := d.Storage.Stat(ctx, key); e == nil && info.IsTerminal && i%2 == 0 {
				err = errors.Join(err, d.Storage.Delete(ctx, key))
			}
		}
	}
	return err
}

// Locks end with a process.
func (d *dying) Lock(context.Context, string) error {
	_, err := d.step()
	return err
}

func (d *dying) Unlock(context.Context, string) error {
	_, err := d.step()
	return err
}

// clone copies what is in m.
func clone(t *testing.T, m *Memory) *Memory {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Memory{files: maps.Clone(m.files)}
}

// ahead is a person who configures the new key before the rotation to it has
// ended: they get everything, or nothing and the way back.
func ahead(t *testing.T, st *Memory, former, next *[32]byte) {
	t.Helper()
	s, err := OpenSealed(t.Context(), st, next, nil)
	switch {
	case errors.Is(err, ErrIncomplete), err == nil && !folders(t, st)[s.key.id]:
		filled(t, open(t, st, former))
	case err != nil:
		t.Errorf("with the new key: %v", err)
	default:
		filled(t, s)
	}
}

// TestRotateDies ends a rotation at every operation, in every way, and then, at
// every operation, the start that follows; nothing is ever lost.
func TestRotateDies(t *testing.T) {
	for _, mode := range []string{"before", "after", "half"} {
		for _, configured := range []bool{false, true} {
			t.Run(fmt.Sprint(mode, " configured ", configured), func(t *testing.T) {
				first, second := NewSealKey(), NewSealKey()
				key, next := first, second
				if !configured {
					key, next = nil, nil
				}
				n := 1
				for done := false; !done; n++ {
					inner := NewMemory()
					st := &dying{Storage: inner, mode: mode, left: -1}
					s := open(t, st, key)
					fill(t, s)
					st.set(n)
					err := s.Rotate(t.Context(), next)
					done = !st.dead()
					if (err == nil) != done && !st.dead() {
						t.Fatalf("at %d: %v", n, err)
					}
					st.set(-1)

					// Whoever goes on in the same process loses nothing either.
					alive := &dying{Storage: clone(t, inner), mode: mode, left: -1}
					s.storage = alive
					filled(t, s)
					save(t, s, "later", "1")
					holdsGrant(t, s, "later", "1")
					again := open(t, alive, key)
					filled(t, again)
					holdsGrant(t, again, "later", "1")

					// The start that follows dies, too.
					for m, opened := 1, false; !opened; m++ {
						start := &dying{Storage: clone(t, inner), mode: mode, left: m}
						_, err := OpenSealed(t.Context(), start, key, nil)
						opened = !start.dead()
						if configured {
							ahead(t, clone(t, start.Storage.(*Memory)), first, second)
						}
						if opened && err != nil {
							t.Fatalf("at %d and %d: %v", n, m, err)
						}
						start.set(-1)
						again := open(t, start, key)
						filled(t, again)
						if ids := folders(t, start); len(ids) > 1 && !again.pending {
							t.Fatalf("at %d and %d: keys in use: %v", n, m, ids)
						}
						if err := again.Rotate(t.Context(), next); err != nil && !(again.pending && errors.Is(err, ErrPending)) {
							t.Fatalf("at %d and %d: again: %v", n, m, err)
						}
						filled(t, again)
					}

					if configured {
						ahead(t, clone(t, inner), first, second)
					}
				}
				if n < 30 {
					t.Errorf("a rotation has only %d operations", n)
				}
			})
		}
	}
}

// TestRotateAtWork: while keys are rotated, others save and read, and lose nothing.
func TestRotateAtWork(t *testing.T) {
	each(t, func(t *testing.T, st certmagic.Storage) {
		s := open(t, st, nil)
		release, err := s.Claim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		save(t, s, "steady", "token")
		var workers sync.WaitGroup
		for i := range 4 {
			workers.Go(func() {
				who := fmt.Sprint("identity", i)
				for n := range 30 {
					save(t, s, who, fmt.Sprint("token", n))
					holdsGrant(t, s, who, fmt.Sprint("token", n))
				}
			})
		}
		var readers sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for range 2 {
			readers.Go(func() {
				for ctx.Err() == nil {
					holdsGrant(t, s, "steady", "token")
				}
			})
		}
		for range 5 {
			if err := s.Rotate(t.Context(), nil); err != nil {
				t.Error(err)
			}
		}
		cancel()
		workers.Wait()
		readers.Wait()
		if err := release(); err != nil {
			t.Error(err)
		}
		again := open(t, st, nil)
		for i := range 4 {
			holdsGrant(t, again, fmt.Sprint("identity", i), "token29")
		}
	})
}

// TestRotateLeaves: what a rotation could not delete goes with the next.
func TestRotateLeaves(t *testing.T) {
	st := &undeletable{Memory: NewMemory(), err: errDead}
	s := open(t, st, nil)
	fill(t, s)
	if err := s.Rotate(t.Context(), nil); err != nil || len(folders(t, st)) != 2 {
		t.Fatalf("%v, %v", err, folders(t, st))
	}
	st.err = nil
	if err := s.Rotate(t.Context(), nil); err != nil || len(folders(t, st)) != 1 {
		t.Errorf("%v, %v", err, folders(t, st))
	}
	filled(t, s)
}

// undeletable deletes nothing as long as err is set.
type undeletable struct {
	*Memory
	err error
}

func (u *undeletable) Delete(ctx context.Context, key string) error {
	if u.err != nil {
		return u.err
	}
	return u.Memory.Delete(ctx, key)
}

// TestTamperedRotation: files of a rotation that were tampered with delete nothing.
func TestTamperedRotation(t *testing.T) {
	for _, kind := range []string{kindRotation, kindOrigin} {
		st := NewMemory()
		key := NewSealKey()
		s := open(t, st, key)
		fill(t, s)
		at := s.key.path(kind, "")
		for _, text := range [][]byte{[]byte("x"), s.key.seal(kind, "", []byte("x")), s.key.seal(kind, "", []byte(`{"from":"../../keys","complete":true}`))} {
			if err := st.Store(t.Context(), at, text); err != nil {
				t.Fatal(err)
			}
			_, err := OpenSealed(t.Context(), st, key, nil)
			if d, ok := errors.AsType[*Damaged](err); !ok || d.Path != at {
				t.Errorf("%s: %v", kind, err)
			}
		}
		if err := st.Delete(t.Context(), path.Dir(at)); err != nil {
			t.Fatal(err)
		}
		filled(t, open(t, st, key))
	}
}
