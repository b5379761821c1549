package peer

import (
	"fmt"
	"os/user"
	"strconv"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	knownUsers = 1024             // how many are remembered
	knownFor   = 5 * time.Minute  // … and for how long
	missedFor  = 10 * time.Second // a failure, which a directory service has now and then
)

// Users turns users' names into numbers and back by the system's databases, and
// remembers a bounded number of answers for some minutes. A program built
// without cgo knows the users of /etc/passwd only; numbers always work.
// It is safe for concurrent use.
type Users struct {
	byName *lru.Cache[string, answer[uint32]]
	byUID  *lru.Cache[uint32, answer[string]]

	lookup   func(name string) (*user.User, error)
	lookupID func(uid string) (*user.User, error)
}

type answer[T any] struct {
	value T
	err   error
	until time.Time
}

// NewUsers makes an empty memory.
func NewUsers() *Users {
	// New fails for sizes below one only.
	byName, _ := lru.New[string, answer[uint32]](knownUsers)
	byUID, _ := lru.New[uint32, answer[string]](knownUsers)
	return &Users{byName: byName, byUID: byUID, lookup: user.Lookup, lookupID: user.LookupId}
}

// UID returns the number of a user who is given by name, or by that number. A
// text of digits is always a number, whatever users' names there are. The error
// says what to write instead, for the config's faults.
func (u *Users) UID(nameOrNumber string) (uint32, error) {
	if number, err := strconv.ParseUint(nameOrNumber, 10, 32); err == nil {
		return uint32(number), nil
	}
	return remembered(u.byName, nameOrNumber, func() (uint32, error) {
		found, err := u.lookup(nameOrNumber)
		if err != nil {
			return 0, fmt.Errorf("user %q is not known to this system: write a name that `id` knows, or the number: %w", nameOrNumber, err)
		}
		number, err := strconv.ParseUint(found.Uid, 10, 32)
		if err != nil {
			return 0, fmt.Errorf("user %q has no number: %w", nameOrNumber, err)
		}
		return uint32(number), nil
	})
}

// Is reports whether uid is that of a user who is given by name or number. A
// name that cannot be looked up is nobody's.
func (u *Users) Is(uid uint32, nameOrNumber string) bool {
	want, err := u.UID(nameOrNumber)
	return err == nil && want == uid
}

// Name returns a user's name for logs and messages; without one, "uid 1234".
func (u *Users) Name(uid uint32) string {
	name, err := remembered(u.byUID, uid, func() (string, error) {
		found, err := u.lookupID(strconv.FormatUint(uint64(uid), 10))
		if err != nil {
			return "", err
		}
		return found.Username, nil
	})
	if err != nil || name == "" {
		return fmt.Sprintf("uid %d", uid)
	}
	return name
}

// remembered returns a cached answer or finds a new one. Two who ask at the same
// time may both look it up; neither waits for the other.
func remembered[K comparable, V any](cache *lru.Cache[K, answer[V]], key K, find func() (V, error)) (V, error) {
	now := time.Now()
	if a, ok := cache.Get(key); ok && now.Before(a.until) {
		return a.value, a.err
	}
	value, err := find()
	valid := knownFor
	if err != nil {
		valid = missedFor
	}
	cache.Add(key, answer[V]{value, err, now.Add(valid)})
	return value, err
}
