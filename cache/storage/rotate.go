package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// A rotation from a key to the next, as it lies in the storage:
//
//  1. rotation, sealed with the former key, names the next one.
//  2. origin, sealed with the next key, names the former one, and is not complete.
//  3. Every value is sealed anew in the next key's folder.
//  4. origin is complete. From this moment the next key rules, and not before.
//  5. The key file has the next key. (A configured key is changed by a person.)
//  6. The former key's folder is deleted, then origin.
//
// Whoever opens the storage with the former key finds rotation, and by it the
// next key and origin: with an origin that is complete it goes on with the next
// key, otherwise it undoes everything. Whoever opens it with the next key
// goes on from step 6. See [Sealed.recover].

// copiers is how many values a rotation seals at the same time: each waits for
// the disk, which serves several in little more time than one.
const copiers = 8

// origin is where a key's values came from.
type origin struct {
	From     string `json:"from"` // id of the former key
	Complete bool   `json:"complete"`
}

// Rotate seals everything anew with next, or, if that is nil, with a key that it
// makes, and forgets the former key. Should it be interrupted at any moment, by a
// crash or an error, nothing is lost: it did not happen, or is finished at the
// next start.
//
// With the key in keys/seal.key, that file is changed, too. A configured key has
// to be given, and changed in the configuration by the caller once Rotate has
// returned; until a start with the new key has deleted what the former one sealed,
// the former key opens the storage, too, and [ErrPending] refuses another rotation.
//
// While it goes on, values can be read and writing waits. A value that does not
// open ends it with a [Damaged]. It needs the claim, and takes it if this Sealed has
// none: [ErrInUse].
func (s *Sealed) Rotate(ctx context.Context, next *[32]byte) (err error) {
	if next == nil {
		if s.given != nil {
			return errors.New("rotating a configured key: the new key has to be given")
		}
		next = NewSealKey()
	}
	if !s.isClaimed() {
		release, err := s.Claim(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, release()) }()
	}
	if s.unsettled.Load() {
		if err := s.settleAgain(ctx); err != nil {
			return fmt.Errorf("an earlier rotation is unfinished: %w", err)
		}
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.locked(ctx, func() error { return s.rotate(ctx, newSealer(next)) })
}

func (s *Sealed) rotate(ctx context.Context, next *sealer) error {
	former := s.key
	switch {
	case s.pending:
		return ErrPending
	case former.id == next.id:
		return errors.New("the new sealing key is the one in use")
	}
	if used, err := s.any(ctx, next.folder()); err != nil {
		return fmt.Errorf("looking for values of the new key: %w", err)
	} else if used {
		return fmt.Errorf("%w: %s", ErrKeyUsed, next.folder())
	}
	s.finish(ctx, former) // what the last rotation could not delete
	err := s.copyAll(ctx, former, next)
	if err == nil {
		err = s.putOrigin(ctx, next, origin{From: former.id, Complete: true})
	}
	if err != nil {
		// The last step may have happened although it failed. So what is there
		// decides, not how far this came.
		s.unsettled.Store(true)
		if e := s.settle(context.WithoutCancel(ctx)); e != nil {
			return fmt.Errorf("%w; it could not be undone yet, and will be: %w", err, e)
		}
		if s.key.id != next.id {
			return err
		}
		return nil
	}
	if s.given != nil {
		s.use(next, true)
		return nil
	}
	if err := s.storeSealKey(ctx, &next.key); err != nil {
		s.unsettled.Store(true)
		return fmt.Errorf("%w; the rotation will be finished when that works", err)
	}
	s.use(next, false)
	s.finish(ctx, next)
	return nil
}

// any reports whether there is anything in a folder.
func (s *Sealed) any(ctx context.Context, folder string) (bool, error) {
	for _, err := range s.names(ctx, folder) {
		return err == nil, err
	}
	return false, nil
}

// copyAll seals all that is sealed with former with next.
func (s *Sealed) copyAll(ctx context.Context, former, next *sealer) error {
	if err := s.putWith(ctx, former, kindRotation, "", next.key[:]); err != nil {
		return err
	}
	if err := s.putOrigin(ctx, next, origin{From: former.id}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type job struct {
		kind string
		entry
	}
	jobs := make(chan job)
	var workers sync.WaitGroup
	for range copiers {
		workers.Go(func() {
			for j := range jobs {
				if err := s.putWith(ctx, next, j.kind, j.name, j.value); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, kind := range kinds {
		for e, err := range s.allWith(ctx, former, kind) {
			if err != nil {
				cancel(err)
			}
			if ctx.Err() != nil {
				break
			}
			jobs <- job{kind, e}
		}
	}
	close(jobs)
	workers.Wait()
	return context.Cause(ctx)
}

func (s *Sealed) putOrigin(ctx context.Context, k *sealer, o origin) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return s.putWith(ctx, k, kindOrigin, "", text)
}

// readOrigin returns where k's values came from; the zero origin if they are its own.
func (s *Sealed) readOrigin(ctx context.Context, k *sealer) (o origin, found bool, err error) {
	text, found, err := s.readWith(ctx, k, kindOrigin, "")
	if !found || err != nil {
		return origin{}, false, err
	}
	if err := json.Unmarshal(text, &o); err != nil || !isHex(o.From, idLen) || o.From == k.id {
		return origin{}, false, &Damaged{Kind: kindOrigin, Path: k.path(kindOrigin, ""), Reason: "what was sealed is not an origin of this version"}
	}
	return o, true, nil
}

// recover returns the key that rules if the storage is opened with k, after having
// finished or undone a rotation. pending: that is not k, and the key file is not
// ours to change. sealLock is held.
func (s *Sealed) recover(ctx context.Context, k *sealer) (_ *sealer, pending bool, err error) {
	text, found, err := s.readWith(ctx, k, kindRotation, "")
	if found && len(text) != len(k.key) {
		err = &Damaged{Kind: kindRotation, Path: k.path(kindRotation, ""), Reason: "what was sealed is not a key"}
	}
	if err != nil {
		return nil, false, err
	}
	if found {
		next := newSealer((*[32]byte)(text))
		o, found, err := s.readOrigin(ctx, next)
		switch {
		case err != nil:
			return nil, false, err
		case !found || !o.Complete || o.From != k.id:
			if err := s.undo(ctx, k, next); err != nil {
				return nil, false, err
			}
		case s.given != nil:
			s.log.Error("the sealing key was rotated, and the configuration still has the former one",
				"remedy", "put the new key where the configuration looks for it, and restart")
			return next, true, nil
		default:
			if err := s.storeSealKey(ctx, &next.key); err != nil {
				return nil, false, err
			}
			k = next
		}
	}
	o, found, err := s.readOrigin(ctx, k)
	switch {
	case err != nil:
		return nil, false, err
	case found && !o.Complete:
		return nil, false, ErrIncomplete
	case found:
		s.finish(ctx, k)
	}
	return k, false, nil
}

// undo ends a rotation from k to next that did not come to step 4. origin goes
// after the values: as long as it is there, nobody takes them for whole. rotation
// goes last: it tells of the folder.
func (s *Sealed) undo(ctx context.Context, k, next *sealer) error {
	var folders []string
	for _, kind := range kinds {
		folders = append(folders, next.folder(kind))
	}
	for _, at := range append(folders, next.folder(), k.folder(kindRotation)) {
		if err := s.storage.Delete(ctx, at); err != nil {
			return unwritable(at, err)
		}
	}
	s.log.Warn("a rotation of the sealing key did not come to its end and has been undone")
	return nil
}

// finish deletes what the key before k sealed. What remains is deleted at the
// next start.
func (s *Sealed) finish(ctx context.Context, k *sealer) {
	o, found, err := s.readOrigin(ctx, k)
	if err == nil && found && o.Complete {
		if err = s.storage.Delete(ctx, (&sealer{id: o.From}).folder()); err == nil {
			err = s.storage.Delete(ctx, k.folder(kindOrigin))
		}
	}
	if err != nil {
		s.log.Warn("what the former sealing key sealed could not be deleted; the next start will", "error", err)
	}
}
