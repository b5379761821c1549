package peer

import (
	"errors"
	"os/user"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		down := false
		u := NewUsers()
		u.lookup = func(name string) (*user.User, error) {
			asked++
			switch {
			case down:
				return nil, errors.New("directory is down")
			case name == "alice":
				return &user.User{Uid: "1001", Username: "alice"}, nil
			case name == "windows":
				return &user.User{Uid: "S-1-5-21"}, nil
			}
			return nil, user.UnknownUserError(name)
		}
		u.lookupID = func(uid string) (*user.User, error) {
			if uid == "1001" {
				return &user.User{Uid: "1001", Username: "alice"}, nil
			}
			return nil, user.UnknownUserIdError(7)
		}
		for range 3 {
			if !u.Is(1001, "alice") || u.Is(1002, "alice") || u.Is(0, "nosuch") || u.Is(0, "") || u.Is(0, "windows") {
				t.Error("names are compared wrongly")
			}
		}
		if asked != 4 {
			t.Errorf("asked %d times, want once for each name", asked)
		}
		if !u.Is(54321, "54321") || u.Is(54321, "54320") || u.Is(0, "4294967296") || u.Is(1, "-1") {
			t.Error("numbers are compared wrongly")
		}
		if u.Name(1001) != "alice" || u.Name(7) != "uid 7" {
			t.Errorf("%q, %q", u.Name(1001), u.Name(7))
		}
		if _, err := u.UID("nosuch"); err == nil || !strings.Contains(err.Error(), "nosuch") {
			t.Errorf("a fault without the name: %v", err)
		}

		// An answer lasts for minutes, a failure for seconds.
		down = true
		time.Sleep(knownFor - time.Second)
		if !u.Is(1001, "alice") {
			t.Error("forgotten too early")
		}
		time.Sleep(2 * time.Second)
		if u.Is(1001, "alice") {
			t.Error("a failed lookup matched")
		}
		down = false
		time.Sleep(missedFor)
		if !u.Is(1001, "alice") {
			t.Error("a failure was remembered too long")
		}
	})
}

func TestUsersOfThisSystem(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	u := NewUsers()
	uid, err := u.UID(me.Username)
	if err != nil || !u.Is(uid, me.Uid) || u.Name(uid) == "" {
		t.Errorf("%s: %d, %v, %q", me.Username, uid, err, u.Name(uid))
	}
}
