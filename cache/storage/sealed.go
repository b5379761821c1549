package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"path"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/certmagic"
)

const (
	claimName   = "arcproxy-state"
	foreignSeen = 10_000 // entries of the folder of keys that a start looks at
	foreignMost = 8      // folders of other keys that it names
)

// Sealed keeps values that nobody can read, or exchange for one another, without
// its key. See the package comment for how they lie on a disk. It starts no
// goroutine, and may be used concurrently.
//
// What it cannot do: who can write in the state directory can delete a value, or
// put an older one of the same name back in its place.
type Sealed struct {
	storage certmagic.Storage
	given   *sealer // the configured key; nil: the one in the key file
	log     *slog.Logger

	// writing is held for reading by everything that writes, and by a rotation
	// altogether: nothing is written that the rotation does not see.
	writing sync.RWMutex
	// mu guards key and pending. It is held for reading while a value is read,
	// so that a rotation does not delete what is being read. Changing them needs
	// writing, too; so whoever holds that may read them.
	mu      sync.RWMutex
	key     *sealer
	pending bool // a rotation is done, and given is the former key
	// unsettled: a rotation failed, and so did undoing it. The next that writes
	// has to find out first which key rules.
	unsettled atomic.Bool

	claiming sync.Mutex // guards claimed
	claimed  bool
}

// OpenSealed opens what is sealed on st with key, or, if that is nil, with the
// key in keys/seal.key, which is made when there is none. Every key has a folder
// of its own, so a lost or wrong one destroys nothing: everybody signs in
// afresh, the log says where the former values lie, and with the right key they
// are there again. A rotation that was interrupted is finished or undone.
//
// An error is of reading or writing the storage (an [Unwritable] where keys/seal.key
// cannot be made: a [Memory] still serves then), or [ErrIncomplete].
func OpenSealed(ctx context.Context, st certmagic.Storage, key *[32]byte, log *slog.Logger) (*Sealed, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Sealed{storage: st, log: log}
	if key != nil {
		s.given = newSealer(key)
	}
	if !s.plain(ctx) {
		if err := s.locked(ctx, func() error { return s.settle(ctx) }); err != nil {
			return nil, err
		}
	}
	if s.given == nil {
		s.checkMode()
	}
	if f, ok := st.(*Files); ok {
		f.Sweep(ctx)
	}
	s.tellForeign(ctx)
	return s, nil
}

// plain opens without writing anything, locks included: that a directory cannot
// be written must not keep anybody from reading it. It reports false where there
// is more to do.
func (s *Sealed) plain(ctx context.Context) bool {
	k := s.given
	if k == nil {
		key, err := s.loadSealKey(ctx)
		if err != nil {
			return false
		}
		k = newSealer(key)
	}
	for _, kind := range []string{kindRotation, kindOrigin} {
		if _, err := s.storage.Load(ctx, k.path(kind, "")); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	s.use(k, false)
	return true
}

// settle finds out which key rules, finishes or undoes a rotation, and uses
// that key. sealLock is held.
func (s *Sealed) settle(ctx context.Context) error {
	k := s.given
	if k == nil {
		key, err := s.ensureSealKey(ctx)
		if err != nil {
			return err
		}
		k = newSealer(key)
	}
	k, pending, err := s.recover(ctx, k)
	if err != nil {
		return err
	}
	s.use(k, pending)
	s.unsettled.Store(false)
	return nil
}

// use makes k the key that rules.
func (s *Sealed) use(k *sealer, pending bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key, s.pending = k, pending
}

// tellForeign says what lies there that the key does not open.
func (s *Sealed) tellForeign(ctx context.Context) {
	former := ""
	if s.pending {
		former = s.given.id
	}
	var foreign []string
	seen := 0
	for name, err := range s.names(ctx, sealedFolder) {
		if seen++; err != nil || seen > foreignSeen || len(foreign) == foreignMost {
			break
		}
		if isHex(name, idLen) && name != s.key.id && name != former && s.holds(ctx, path.Join(sealedFolder, name)) {
			foreign = append(foreign, path.Join(sealedFolder, name))
		}
	}
	if len(foreign) == 0 {
		return
	}
	slices.Sort(foreign)
	where := sealKeyName
	if s.given != nil {
		where = "the key that the configuration names"
	}
	s.log.Error("sealed with another key: grants, sessions and tokens that cannot be read; they are left as they are, and everybody signs in afresh",
		"folders", foreign, "in_use", s.key.folder(),
		"remedy", "put back the former key as "+where+" and restart; or, if it is lost, delete these folders")
}

// holds reports whether there is a sealed value in a key's folder.
func (s *Sealed) holds(ctx context.Context, folder string) bool {
	for _, kind := range append(kinds[:], kindRotation, kindOrigin) {
		seen := 0
		for name, err := range s.names(ctx, path.Join(folder, kind)) {
			if seen++; err != nil || seen > foreignSeen {
				break
			}
			if isHex(name, hashLen) {
				return true
			}
		}
	}
	return false
}

// names yields what is in the folder dir, without its path.
func (s *Sealed) names(ctx context.Context, dir string) iter.Seq2[string, error] {
	if f, ok := s.storage.(*Files); ok {
		return f.names(ctx, dir)
	}
	return func(yield func(string, error) bool) {
		keys, err := s.storage.List(ctx, dir, false)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			yield("", err)
			return
		}
		for _, key := range keys {
			if !yield(path.Base(key), nil) {
				return
			}
		}
	}
}

// path returns where the key keeps a value.
func (k *sealer) path(kind, name string) string { return path.Join(k.folder(kind), k.hash(kind, name)) }

// read returns the value of a kind called name, and whether there is one.
func (s *Sealed) read(ctx context.Context, kind, name string) ([]byte, bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.readWith(ctx, s.key, kind, name)
}

func (s *Sealed) readWith(ctx context.Context, k *sealer, kind, name string) ([]byte, bool, error) {
	_, value, err := s.readHash(ctx, k, kind, k.hash(kind, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if d, ok := errors.AsType[*Damaged](err); ok {
		d.Name = name
	}
	return value, err == nil, err
}

// readHash returns the value whose name has the hash, and that name. The error is
// fs.ErrNotExist, a *Damaged, or one of reading.
func (s *Sealed) readHash(ctx context.Context, k *sealer, kind, hash string) (string, []byte, error) {
	at := path.Join(k.folder(kind), hash)
	sealed, err := s.storage.Load(ctx, at)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, err
	}
	if err != nil {
		return "", nil, fmt.Errorf("reading %s at %s: %w; make it readable to the user that runs this program, or delete it", kind, at, err)
	}
	name, value, err := k.open(kind, hash, sealed)
	if err != nil {
		return "", nil, &Damaged{Kind: kind, Path: at, Reason: err.Error()}
	}
	return name, value, nil
}

// write does what needs the ruling key and changes what is stored.
func (s *Sealed) write(ctx context.Context, do func(*sealer) error) error {
	if s.unsettled.Load() {
		if err := s.settleAgain(ctx); err != nil {
			return fmt.Errorf("a rotation of the sealing key is unfinished: %w", err)
		}
	}
	s.writing.RLock()
	defer s.writing.RUnlock()
	return do(s.key)
}

func (s *Sealed) settleAgain(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if !s.unsettled.Load() {
		return nil
	}
	return s.locked(ctx, func() error { return s.settle(ctx) })
}

// put stores value, of a kind and called name. When it returns nil, the value
// lasts a power failure.
func (s *Sealed) put(ctx context.Context, kind, name string, value []byte) error {
	return s.write(ctx, func(k *sealer) error { return s.putWith(ctx, k, kind, name, value) })
}

func (s *Sealed) putWith(ctx context.Context, k *sealer, kind, name string, value []byte) error {
	sealed := k.seal(kind, name, value)
	if len(sealed) > sealedMost {
		return fmt.Errorf("%s: a value of %d bytes is too large to be stored", kind, len(value))
	}
	at := k.path(kind, name)
	return unwritable(at, s.storage.Store(ctx, at, sealed))
}

// remove deletes the value of a kind called name, if there is one.
func (s *Sealed) remove(ctx context.Context, kind, name string) error {
	return s.write(ctx, func(k *sealer) error {
		at := k.path(kind, name)
		return unwritable(at, s.storage.Delete(ctx, at))
	})
}

// all yields the values of a kind with their names, unsorted. What does not open
// is an error, after which it goes on.
func (s *Sealed) all(ctx context.Context, kind string) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		s.mu.RLock()
		k := s.key
		s.mu.RUnlock()
		for e, err := range s.allWith(ctx, k, kind) {
			if !yield(e, err) {
				return
			}
		}
		s.mu.RLock()
		same := s.key == k
		s.mu.RUnlock()
		if !same {
			yield(entry{}, fmt.Errorf("%s: the sealing key was rotated while they were read; some may be missing", kind))
		}
	}
}

// entry is a value and whose it is.
type entry struct {
	name  string
	value []byte
}

func (s *Sealed) allWith(ctx context.Context, k *sealer, kind string) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		for hash, err := range s.names(ctx, k.folder(kind)) {
			if err != nil {
				yield(entry{}, fmt.Errorf("reading the folder %s: %w", k.folder(kind), err))
				return
			}
			if !isHex(hash, hashLen) {
				continue // not ours
			}
			name, value, err := s.readHash(ctx, k, kind, hash)
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted meanwhile
			}
			if !yield(entry{name, value}, err) {
				return
			}
		}
	}
}

// Claim takes the whole storage for this program, so that two do not renew the
// same grants, or send the same push, side by side. If another process has it,
// the error is [ErrInUse] and, where that is known, says which. The claim ends
// with release, or with the process, however that ends. Who only reads needs none.
// Where nothing can be written, the error is an [Unwritable].
func (s *Sealed) Claim(ctx context.Context) (release func() error, err error) {
	ok, err := s.tryLock(ctx, claimName)
	if err != nil {
		return nil, fmt.Errorf("claiming the state directory: %w", err)
	}
	if !ok {
		if f, isFiles := s.storage.(*Files); isFiles {
			if pid := f.holder(claimName); pid != "" {
				return nil, fmt.Errorf("%w: process %s", ErrInUse, pid)
			}
		}
		return nil, ErrInUse
	}
	s.setClaimed(true)
	release = sync.OnceValue(func() error {
		s.setClaimed(false)
		return s.storage.Unlock(context.WithoutCancel(ctx), claimName)
	})
	// Since it was opened, another process may have rotated the key.
	s.writing.Lock()
	defer s.writing.Unlock()
	if !s.plain(ctx) {
		if err := s.locked(ctx, func() error { return s.settle(ctx) }); err != nil {
			return nil, errors.Join(err, release())
		}
	}
	return release, nil
}

func (s *Sealed) setClaimed(to bool) {
	s.claiming.Lock()
	defer s.claiming.Unlock()
	s.claimed = to
}

func (s *Sealed) isClaimed() bool {
	s.claiming.Lock()
	defer s.claiming.Unlock()
	return s.claimed
}

// tryLock is the storage's TryLock; one that has none is waited for.
func (s *Sealed) tryLock(ctx context.Context, name string) (bool, error) {
	if st, ok := s.storage.(certmagic.TryLocker); ok {
		return st.TryLock(ctx, name)
	}
	err := s.storage.Lock(ctx, name)
	return err == nil, err
}
