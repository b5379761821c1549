//go:build unix

package main

import (
	"context"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// TestHiddenAfterALostPrompt: the read that a code's prompt has left under way takes
// no password, which would be seen on the screen.
func TestHiddenAfterALostPrompt(t *testing.T) {
	for _, before := range []bool{false, true} {
		keys, tty, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		open, err := term.GetState(int(tty.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		screen := &lockedBuffer{}
		p := &person{T: t, keys: keys, screen: screen}
		done := make(chan struct{})
		go func() {
			defer close(done)
			var b [256]byte
			for {
				n, err := keys.Read(b[:])
				_, _ = screen.Write(b[:n])
				if err != nil {
					return
				}
			}
		}()
		at := &terminal{in: tty, out: tty}
		ctx, cancel := context.WithCancel(t.Context())
		lost := make(chan error, 1)
		go func() {
			_, err := at.read(ctx, "first: ", before)
			lost <- err
		}()
		p.sees("first: ")
		cancel()
		if <-lost == nil {
			t.Fatal("the first prompt was answered")
		}
		got := make(chan string, 1)
		go func() {
			password, err := at.read(t.Context(), "password: ", true)
			if err != nil {
				got <- err.Error()
				return
			}
			got <- password.Reveal()
		}()
		p.sees("press Enter to go on: ")
		p.types("123456")
		p.sees("password: ")
		for shown, err := term.GetState(int(tty.Fd())); reflect.DeepEqual(shown, open); shown, err = term.GetState(int(tty.Fd())) {
			if err != nil {
				t.Fatal(err)
			}
			pause()
		}
		p.types("Open-sesame")
		if text := <-got; text != "Open-sesame" {
			t.Errorf("after a prompt that was hidden (%t): read %q", before, text)
		}
		if strings.Contains(screen.String(), "Open-sesame") {
			t.Errorf("after a prompt that was hidden (%t): the screen shows the password", before)
		}
		_ = tty.Close()
		_ = keys.Close()
		<-done
	}
}

// owned is a directory of a user's.
type owned struct {
	os.FileInfo
	uid uint32
}

func (o owned) Sys() any { return &syscall.Stat_t{Uid: o.uid} }

// TestWhoseSocket: a password goes to no socket in a directory of somebody else's.
func TestWhoseSocket(t *testing.T) {
	dir := t.TempDir()
	const me, root = 1000, 0
	for _, c := range []struct {
		owner, uid int
		mode       os.FileMode
		want       bool
	}{
		{me, me, 0o700, true},
		{me, root, 0o700, true},
		{me, me + 1, 0o755, false},
		{me, me, 0o770, false},
		{root, me, 0o755, true},
	} {
		if err := os.Chmod(dir, c.mode); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := ownersOnly(owned{info, uint32(c.owner)}, c.uid); got != c.want {
			t.Errorf("%v, of user %d, for user %d: %t", c.mode, c.owner, c.uid, got)
		}
	}
}
