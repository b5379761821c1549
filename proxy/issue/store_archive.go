package issue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// This file keeps records over a restart. What is stored is hashes and never tokens.
//
// A record that has a parent counts only if that is stored, too. So what revokes a
// token takes its record out of the archive, and everything that was derived from
// it has ended with one deletion, whenever the program is killed; and a record stays
// there, though it has expired, for as long as others need it. Deciding what has to
// be stored, and storing it, are two steps: [Store.keep] looks at what a
// record is now, and can be repeated.

// Archive keeps records over a restart. [arcproxy/cache/storage.Tokens] is one. What
// cannot be stored is complained about in the log, and lasts as long as the program.
type Archive interface {
	// Put stores a record, replacing the one of the same id. When it returns nil, the
	// record lasts a power failure.
	Put(ctx context.Context, id string, record []byte) error
	// Delete deletes the record of an id. It is no error if there is none.
	Delete(ctx context.Context, id string) error
	// All yields every record, in no order. What cannot be read is an error, after
	// which it may go on.
	All(ctx context.Context) iter.Seq2[[]byte, error]
}

const (
	archiveTimeout = 10 * time.Second // one use of the archive
	recordsMost    = 1 << 17          // that are loaded
	owingMost      = 1 << 14          // records that are to be stored or deleted again
	clearMost      = 16               // unused records that go with one operation
	faultsTold     = 5                // of a load, one by one
	lineMost       = 8                // ancestors
)

// stored is what the archive has of a record, as far as is known.
type stored uint8

const (
	absent   stored = iota
	unlikely        // it could not be stored; only if that happened all the same, it is there
	asGood
	asSpent
	unsure // it could not be replaced or deleted
)

// keeper is how a Store uses its archive.
type keeper struct {
	archive Archive
	log     *slog.Logger

	// mu is held for one operation at a time, and guards what follows and the
	// stored of every record. Who has it may take Store.mu, and not the other way.
	mu      sync.Mutex
	failing bool
	owing   map[*record]bool // that are not as they should be
}

// OpenStore returns a store with the records that are in a, where it puts its own.
// Records that cannot be read are left where they are, and said in the log.
func OpenStore(ctx context.Context, a Archive, log *slog.Logger) *Store {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := NewStore()
	s.keeper = &keeper{archive: a, log: log, owing: map[*record]bool{}}
	s.load(ctx)
	return s
}

// load reads the archive. Nobody uses the store yet.
func (s *Store) load(ctx context.Context) {
	k := s.keeper
	all := map[[sha256.Size]byte]*record{}
	parents := map[*record][]byte{}
	faults := 0
	for text, err := range k.archive.All(ctx) {
		var rec *record
		var parent []byte
		if err == nil {
			rec, parent, err = decodeRecord(text)
		}
		if err == nil && len(all) >= recordsMost {
			err = errors.New("there are too many records")
		}
		if err != nil {
			if faults++; faults <= faultsTold {
				k.log.Error("a token that was handed out cannot be read, and has ended", "error", err)
			}
			if len(all) >= recordsMost {
				break
			}
			continue
		}
		all[rec.hash] = rec
		parents[rec] = parent
	}
	if faults > faultsTold {
		k.log.Error("more tokens that were handed out cannot be read, and have ended", "number", faults-faultsTold)
	}
	for rec, parent := range parents {
		if len(parent) > 0 {
			rec.parent = all[[sha256.Size]byte(parent)]
		}
	}
	now := time.Now().UnixMilli()
	whole := func(rec *record) bool {
		for range lineMost {
			switch {
			case len(parents[rec]) == 0:
				return true
			case rec.parent == nil || rec.parent.caller != rec.caller:
				return false
			}
			rec = rec.parent
		}
		return false
	}
	var lost []*record
	for _, rec := range all {
		if !whole(rec) {
			lost = append(lost, rec)
		}
	}
	for _, rec := range lost {
		// Its parent was revoked; or it was not read, and may come back.
		if faults == 0 {
			rec.dead = true
			s.unused = append(s.unused, rec)
		}
		delete(all, rec.hash)
	}
	for _, rec := range all {
		s.adopt(rec.parent)
	}
	for _, rec := range all {
		rec.used.Store(min(now, rec.expires))
		s.add(rec, now)
	}
	s.mu.Lock()
	for _, owned := range maps.Clone(s.owned) {
		s.sweep(owned, now)
	}
	n := len(s.records)
	s.mu.Unlock()
	s.clear()
	if n > 0 {
		k.log.Info("going on with the tokens that were handed out", "number", n)
	}
}

// wanted returns what the archive should have of rec, and that record's text.
func (s *Store) wanted(rec *record) (stored, []byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case rec.revoked() || !rec.needed():
		return absent, nil
	case rec.spent:
		return asSpent, encodeRecord(rec)
	}
	return asGood, encodeRecord(rec)
}

// keep brings what the archive has of rec to what it should have. Where that fails,
// it is tried again with later operations.
func (s *Store) keep(rec *record) {
	if k := s.keeper; k != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		s.told(rec, s.sync(rec), true)
	}
}

// keepSpent is keep for a token that is used up, and reports whether a restart finds
// it so. If the mark cannot be stored, as on a disk that is full, its record is
// deleted, and with it those that come of it end at a restart.
func (s *Store) keepSpent(rec *record) bool {
	k := s.keeper
	if k == nil {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	before := rec.stored
	err := s.sync(rec)
	s.told(rec, err, true)
	if err == nil || before <= unlikely {
		return true // there is no record that says it is good
	}
	ctx, cancel := context.WithTimeout(context.Background(), archiveTimeout)
	defer cancel()
	if k.archive.Delete(ctx, rec.id()) != nil {
		return false
	}
	rec.stored = absent
	return true
}

// clear deletes some of the records that nobody needs. What is left of them does
// no harm: a load deletes it.
func (s *Store) clear() {
	k := s.keeper
	if k == nil {
		return
	}
	s.mu.Lock()
	n := min(clearMost, len(s.unused))
	some := slices.Clone(s.unused[:n])
	s.unused = slices.Delete(s.unused, 0, n)
	s.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, rec := range some {
		s.told(rec, s.sync(rec), false)
	}
}

// sync does what rec needs, once. keeper.mu is held.
func (s *Store) sync(rec *record) error {
	k := s.keeper
	want, text := s.wanted(rec)
	if rec.stored == want {
		return nil
	}
	if want != absent && rec.parent != nil { // without it, rec would not count
		if err := s.sync(rec.parent); err != nil && rec.stored <= unlikely {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), archiveTimeout)
	defer cancel()
	var err error
	if want == absent {
		err = k.archive.Delete(ctx, rec.id())
	} else {
		err = k.archive.Put(ctx, rec.id(), text)
	}
	switch {
	case err == nil:
		rec.stored = want
	case rec.stored <= unlikely:
		rec.stored = unlikely
	default:
		rec.stored = unsure
	}
	return err
}

// told says when the archive begins or ceases to fail, and has what failed tried
// again: rec, if again says so. keeper.mu is held.
func (s *Store) told(rec *record, err error, again bool) {
	k := s.keeper
	delete(k.owing, rec)
	if err != nil {
		if again && len(k.owing) < owingMost {
			k.owing[rec] = true
		}
		if !k.failing {
			k.failing = true
			k.log.Error("tokens that are handed out cannot be stored, or deleted when they are revoked: a restart will end new ones, and bring revoked ones back", "error", err)
		}
		return
	}
	if !k.failing {
		return
	}
	tried := 0
	for rec := range k.owing {
		if tried++; tried > clearMost || s.sync(rec) != nil {
			return
		}
		delete(k.owing, rec)
	}
	k.failing = false
	k.log.Info("tokens that are handed out are stored again")
}

// Close stores and deletes what could not be before, as far as that is possible now.
func (s *Store) Close() {
	k := s.keeper
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for rec := range k.owing {
		if s.sync(rec) != nil {
			return
		}
		delete(k.owing, rec)
	}
}

// id is what the archive calls rec.
func (rec *record) id() string { return hex.EncodeToString(rec.hash[:]) }

// storedRecord is a record as it is stored.
type storedRecord struct {
	Version   int         `json:"v"`
	Hash      []byte      `json:"hash"`
	Kind      string      `json:"kind"`
	Caller    string      `json:"caller"`
	Mark      string      `json:"mark,omitempty"`
	Expires   int64       `json:"expires"` // Unix milliseconds
	Parent    []byte      `json:"parent,omitempty"`
	Exchanged bool        `json:"exchanged,omitempty"`
	Spent     bool        `json:"spent,omitempty"`
	Referer   string      `json:"referer,omitempty"`
	Addr      netip.Addr  `json:"addr,omitzero"`
	Flow      *storedFlow `json:"flow,omitempty"`
}

type storedFlow struct {
	Client    string `json:"client"`
	Redirect  string `json:"redirect"`
	Method    string `json:"method,omitempty"`
	Challenge string `json:"challenge,omitempty"`
	Life      int64  `json:"life"` // milliseconds
}

const recordVersion = 1

// encodeRecord returns what is stored of rec. Store.mu is held.
func encodeRecord(rec *record) []byte {
	out := storedRecord{
		Version: recordVersion, Hash: rec.hash[:], Kind: rec.kind.String(), Caller: rec.caller, Mark: rec.mark,
		Expires: rec.expires, Exchanged: rec.exchanged, Spent: rec.spent, Referer: rec.binding.referer, Addr: rec.binding.addr,
	}
	if rec.parent != nil {
		out.Parent = rec.parent.hash[:]
	}
	if f := rec.flow; f != nil {
		out.Flow = &storedFlow{f.client, f.redirect, f.challenge.method, f.challenge.text, f.life.Milliseconds()}
	}
	text, _ := json.Marshal(out) // strings and numbers
	return text
}

// decodeRecord reads what encodeRecord made, and returns the parent's hash with it.
// Its errors quote none of it.
func decodeRecord(text []byte) (rec *record, parent []byte, err error) {
	var in storedRecord
	switch err := json.Unmarshal(text, &in); {
	case err != nil:
		return nil, nil, errors.New("what is stored is not a token's record of this version")
	case in.Version != recordVersion:
		return nil, nil, errors.New("a later version of this program stored it")
	}
	k := slices.Index([]string{access.String(), refresh.String(), code.String()}, in.Kind)
	switch {
	case k < 0, in.Caller == "", in.Expires <= 0, len(in.Hash) != sha256.Size,
		len(in.Parent) != 0 && len(in.Parent) != sha256.Size,
		(kind(k) == access) != (in.Flow == nil):
		return nil, nil, errors.New("what is stored is not a whole record of a token")
	}
	rec = &record{
		hash: [sha256.Size]byte(in.Hash), kind: kind(k), caller: in.Caller, mark: in.Mark, expires: in.Expires,
		binding: binding{in.Referer, in.Addr}, exchanged: in.Exchanged, spent: in.Spent, stored: asGood,
	}
	if in.Spent {
		rec.stored = asSpent
	}
	if f := in.Flow; f != nil {
		rec.flow = &flow{f.Client, f.Redirect, challenge{f.Method, f.Challenge}, time.Duration(f.Life) * time.Millisecond}
	}
	return rec, in.Parent, nil
}
