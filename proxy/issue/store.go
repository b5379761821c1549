package issue

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// kind is what a token is good for.
type kind uint8

const (
	access kind = iota
	refresh
	code
	kinds
)

const (
	prefix  = "arcproxy_"
	letters = "arc" // by kind
	// textLen is how long every token is: the prefix, its kind's letter, an
	// underscore, and 160 bits in base 32.
	textLen = len(prefix) + 2 + 32

	// perCaller is how many tokens a caller can have. Beyond it, the one that has
	// not been used for the longest time ends: a script that signs in anew for every
	// request does not cost the notebook beside it its token, nor the proxy its memory.
	perCaller = 512
	// afterlife is how long a refresh token that has expired is remembered, so that
	// its client can be told so: it will sign in again rather than report a fault.
	afterlife = 24 * time.Hour
	// Tokens that are no longer good are swept out when one is issued, at most
	// this often.
	sweepEvery = time.Minute
	// A token's last use is kept this exactly.
	useGrain = time.Minute
)

// Store holds the tokens that have been issued, and the sign-ins that have begun. It is safe for concurrent use,
// bounded by the number of callers, and starts no goroutine. It outlives an
// [Issuer], so that a changed configuration does not end everybody's tokens, and,
// with an [Archive], the program.
type Store struct {
	mu      sync.RWMutex // guards what follows, and the marks of every record
	records map[[sha256.Size]byte]*record
	owned   map[string]map[*record]bool // by caller
	swept   int64                       // when, in Unix milliseconds
	known   map[string]string           // the callers there are, and their marks; nil: anybody
	unused  []*record                   // that may go from the archive

	keeper *keeper // of the archive; nil: there is none

	pending *pending
}

// record is what is known of a token. All but the marks and used is never changed.
type record struct {
	hash    [sha256.Size]byte
	kind    kind
	caller  string
	expires int64 // Unix milliseconds of the wall clock: a machine that slept has aged
	binding binding
	flow    *flow   // of codes and refresh tokens
	parent  *record // what it was derived from; nil: from a caller key
	// exchanged: it was traded for an access token, which is its parent.
	exchanged bool
	// mark is the caller's at the time, see [Config.Marks].
	mark string

	used atomic.Int64 // when last, in Unix milliseconds, to useGrain

	// The marks, guarded by Store.mu.
	dead  bool // revoked, with all that was derived from it
	spent bool // it has been used up; shown again, it was stolen
	// It is in records no more, and kept only for those that were derived from it.
	forgotten bool
	children  int // records with this parent that are needed

	stored stored // guarded by keeper.mu
}

// flow is what a code and its refresh tokens have to be presented with.
type flow struct {
	client    string
	redirect  string
	challenge challenge
	life      time.Duration // of the refresh token
}

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{records: map[[sha256.Size]byte]*record{}, owned: map[string]map[*record]bool{}, pending: newPending()}
}

// Ours reports whether text has the form of a token of this package, which no
// caller key has that was made by chance.
func Ours(text string) bool {
	_, ok := kindOf(text)
	return ok
}

// kindOf returns the kind that a token says it is of, false if it is no token.
func kindOf(text string) (kind, bool) {
	if len(text) != textLen || text[:len(prefix)] != prefix || text[len(prefix)+1] != '_' {
		return 0, false
	}
	i := strings.IndexByte(letters, text[len(prefix)])
	return kind(i), i >= 0
}

// hashOf returns what a token is known by. Comparing hashes gives nothing away by
// the time it takes: who could use that would have to find preimages.
func hashOf(text string) [sha256.Size]byte {
	var buf [textLen]byte // on the stack, where a conversion would not be
	return sha256.Sum256(buf[:copy(buf[:], text)])
}

func newText(k kind) string {
	var random [20]byte
	_, _ = rand.Read(random[:]) // never fails
	return prefix + letters[k:k+1] + "_" + base32.StdEncoding.EncodeToString(random[:])
}

// Caller returns whose access token text is, false if it is none, has ended or is
// bound to something that r does not have. It is what every request with a token
// asks, so it allocates nothing for tokens that are not bound.
func (s *Store) Caller(text string, r *http.Request) (string, bool) {
	rec := s.find(text, access)
	if rec == nil || !rec.binding.holds(r) {
		return "", false
	}
	return rec.caller, true
}

// find returns the record of a token of a kind that is good now, else nil.
func (s *Store) find(text string, k kind) *record {
	rec, expired := s.look(text, k)
	if expired {
		return nil
	}
	return rec
}

// look returns the record of a token that was issued and neither revoked nor
// spent, and whether it has expired.
func (s *Store) look(text string, k kind) (rec *record, expired bool) {
	if said, ok := kindOf(text); !ok || said != k {
		return nil, false
	}
	hash := hashOf(text)
	now := time.Now().UnixMilli()
	s.mu.RLock()
	rec = s.records[hash]
	gone := rec == nil || rec.spent || rec.revoked()
	s.mu.RUnlock()
	if gone {
		return nil, false
	}
	if now-rec.used.Load() > useGrain.Milliseconds() {
		rec.used.Store(now)
	}
	return rec, now >= rec.expires
}

// revoked reports whether rec or what it was derived from was revoked. The line
// has four members at most. Store.mu is held.
func (rec *record) revoked() bool {
	for ; rec != nil; rec = rec.parent {
		if rec.dead {
			return true
		}
	}
	return false
}

// root returns where rec's line begins.
func (rec *record) root() *record {
	for rec.parent != nil {
		rec = rec.parent
	}
	return rec
}

// left returns how long rec is still good.
func (rec *record) left() time.Duration {
	return time.Duration(rec.expires-time.Now().UnixMilli()) * time.Millisecond
}

// issue makes a token of what rec says, and returns its text. If rec has a parent
// that was revoked meanwhile, or its caller is no longer what it was, so is the token.
func (s *Store) issue(rec *record, life time.Duration) string {
	text := newText(rec.kind)
	now := time.Now().UnixMilli()
	rec.hash = hashOf(text)
	rec.expires = now + life.Milliseconds()
	rec.used.Store(now)
	s.mu.Lock()
	s.adopt(rec.parent)
	s.mu.Unlock()
	s.keep(rec) // before anybody knows it
	s.add(rec, now)
	s.clear()
	return text
}

// add puts a record where it is found.
func (s *Store) add(rec *record, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.strange(rec) {
		rec.dead = true
	}
	if now-s.swept >= sweepEvery.Milliseconds() {
		s.swept = now
		for _, owned := range s.owned {
			s.sweep(owned, now)
		}
	}
	if owned := s.owned[rec.caller]; len(owned) >= perCaller {
		s.sweep(owned, now)
		if len(owned) >= perCaller {
			s.forget(idlest(owned))
		}
	}
	s.records[rec.hash] = rec
	if s.owned[rec.caller] == nil {
		s.owned[rec.caller] = map[*record]bool{}
	}
	s.owned[rec.caller][rec] = true
}

// strange reports whether rec's caller is not, or no longer what it was. Store.mu
// is held.
func (s *Store) strange(rec *record) bool {
	mark, ok := s.known[rec.caller]
	return s.known != nil && (!ok || mark != rec.mark)
}

// Keep says which callers there are, each with a mark that changes with what it is
// known by. The tokens of all others, and of those with another mark, end.
func (s *Store) Keep(marks map[string]string) {
	s.end(func() (ended []*record) {
		s.known = maps.Clone(marks)
		for name := range s.owned {
			ended = append(ended, s.endOwned(name, s.strange)...)
		}
		return ended
	})
}

// end does what ends tokens and returns their records. Afterwards, a restart does
// not bring them back, unless the archive fails.
func (s *Store) end(do func() []*record) {
	s.mu.Lock()
	ended := do()
	s.mu.Unlock()
	for _, rec := range ended {
		s.keep(rec)
	}
	s.clear()
}

// idlest returns the record that has not been used for the longest time, and of
// several the one that ends first.
func idlest(owned map[*record]bool) *record {
	var idle *record
	for rec := range owned {
		if idle == nil || cmp.Or(cmp.Compare(rec.used.Load(), idle.used.Load()), cmp.Compare(rec.expires, idle.expires)) < 0 {
			idle = rec
		}
	}
	return idle
}

// spend uses a token of a kind up and returns its record. One that was spent
// before is in two hands, and nobody knows whose are the right ones: everything
// that came of it ends (RFC 6749, section 4.1.2; RFC 9700, section 4.14.2).
// It is nil if the token is not good. Where a restart would make it good again, it is
// not used up, and the error is errNotStored.
func (s *Store) spend(text string, k kind) (*record, error) {
	if said, ok := kindOf(text); !ok || said != k {
		return nil, nil
	}
	hash := hashOf(text)
	now := time.Now().UnixMilli()
	s.mu.Lock()
	rec := s.records[hash]
	if rec == nil || now >= rec.expires || rec.revoked() {
		s.mu.Unlock()
		return nil, nil
	}
	if rec.spent {
		root := rec.root()
		root.dead = true
		s.mu.Unlock()
		s.keep(root)
		return nil, nil
	}
	rec.spent = true
	s.mu.Unlock()
	if s.keepSpent(rec) {
		return rec, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rec.spent = false
	return nil, errNotStored
}

// errNotStored: a token could not be marked as used up.
var errNotStored = errors.New("the archive fails: a restart would make the token good again")

// Revoke ends a token: an access token with those that it was traded for, a
// refresh token or code with everything that came of the same sign-in. What is no
// token, or no longer one, is left at that.
func (s *Store) Revoke(text string) {
	if !Ours(text) {
		return
	}
	hash := hashOf(text)
	s.end(func() []*record {
		rec := s.records[hash]
		if rec == nil {
			return nil
		}
		top := rec
		if rec.kind != access {
			top = rec.root()
		}
		rec.dead, top.dead = true, true
		return []*record{top}
	})
}

// RevokeCaller ends all of a caller's tokens: for callers that are taken out of
// the configuration, or get another key.
func (s *Store) RevokeCaller(name string) {
	s.end(func() []*record { return s.endOwned(name, func(*record) bool { return true }) })
}

// endOwned ends those of a caller's tokens that are meant, and returns them with
// those that they were derived from, which end, too. Store.mu is held.
func (s *Store) endOwned(name string, meant func(*record) bool) (ended []*record) {
	for rec := range s.owned[name] {
		if meant(rec) {
			rec.dead, rec.root().dead = true, true
			ended = append(ended, rec.root(), rec)
			s.forget(rec)
		}
	}
	return ended
}

// sweep forgets those of a caller's records that nobody will ask for again.
// Store.mu is held.
func (s *Store) sweep(owned map[*record]bool, now int64) {
	for rec := range owned {
		until := rec.expires
		if rec.kind == refresh {
			until += afterlife.Milliseconds()
		}
		if now >= until || rec.revoked() {
			s.forget(rec)
		}
	}
}

// forget takes a record out. Store.mu is held.
func (s *Store) forget(rec *record) {
	delete(s.records, rec.hash)
	owned := s.owned[rec.caller]
	delete(owned, rec)
	if len(owned) == 0 {
		delete(s.owned, rec.caller)
	}
	if !rec.forgotten {
		rec.forgotten = true
		s.leave(rec)
	}
}

// needed reports whether rec, or one that was derived from it, may still be asked
// for. Store.mu is held.
func (rec *record) needed() bool { return !rec.forgotten || rec.children > 0 }

// adopt counts one more that was derived from rec. Store.mu is held.
func (s *Store) adopt(rec *record) {
	for ; rec != nil; rec = rec.parent {
		was := rec.needed()
		rec.children++
		if was {
			return
		}
	}
}

// leave lets go of rec and of those that were there for its sake only. Store.mu is
// held.
func (s *Store) leave(rec *record) {
	for rec != nil && !rec.needed() {
		if s.keeper != nil {
			s.unused = append(s.unused, rec)
		}
		if rec = rec.parent; rec != nil {
			rec.children--
		}
	}
}
