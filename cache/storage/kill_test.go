//go:build !windows

package storage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	childDir   = "ARCPROXY_TEST_KILL_DIR"
	childFirst = "ARCPROXY_TEST_KILL_FIRST" // the numbers of the first changes
	killed     = 4                          // identities
	kills      = 200
)

// after says what a change of that number leaves: a token, or "" for nothing.
func after(change int) string {
	if change%5 == 4 {
		return ""
	}
	return fmt.Sprint("canary", change)
}

// child stores and deletes values until it is killed, and writes down, each time
// that it has been done, which change that was. Beside that it rotates the key.
func child(dir string) int {
	ctx := context.Background()
	s, err := OpenSealed(ctx, NewFiles(dir), nil, nil)
	if err == nil {
		_, err = s.Claim(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	first := strings.Fields(os.Getenv(childFirst))
	failed := make(chan error)
	rotate := make(chan struct{}, 1)
	for i := range killed {
		var n int
		if _, err := fmt.Sscan(first[i], &n); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		go func() {
			for ; ; n++ {
				if err := change(ctx, s, fmt.Sprint("identity", i), after(n)); err != nil {
					failed <- err
					return
				}
				fmt.Printf("%d %d\n", i, n) // one write, which a pipe takes whole
				if i == 0 && n%2 == 0 {
					select {
					case rotate <- struct{}{}:
					default:
					}
				}
			}
		}()
	}
	go func() {
		for range rotate {
			if err := s.Rotate(ctx, nil); err != nil {
				failed <- err
				return
			}
			fmt.Println("rotated")
		}
	}()
	fmt.Fprintln(os.Stderr, <-failed)
	return 1
}

// change makes identity's grant, session and issued token what token says.
func change(ctx context.Context, s *Sealed, identity, token string) error {
	if token == "" {
		return errors.Join(s.Grants().Delete(ctx, identity), s.Sessions().Delete(ctx, identity), s.Tokens().Delete(ctx, identity))
	}
	return errors.Join(
		s.Grants().Save(ctx, identity, someGrant(token)),
		s.Sessions().Save(ctx, identity, []byte(token)),
		s.Tokens().Put(ctx, identity, []byte(identity+" "+token)))
}

// found returns identity's grant, session and issued token, as change took them.
func found(t *testing.T, s *Sealed, identity string) (tokens [3]string) {
	t.Helper()
	g, _, err := s.Grants().Load(t.Context(), identity)
	if err != nil {
		t.Fatal(err)
	}
	session, _, err := s.Sessions().Load(t.Context(), identity)
	if err != nil {
		t.Fatal(err)
	}
	tokens[0], tokens[1] = g.AccessToken.Reveal(), string(session)
	for record := range records(t, s) {
		if token, ok := strings.CutPrefix(record, identity+" "); ok {
			tokens[2] = token
		}
	}
	return tokens
}

// TestKill kills a process at random moments while it stores; the directory opens
// at once every time, and everything is there of which the process had said so.
func TestKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	rounds := kills
	if testing.Short() {
		rounds = kills / 10
	}
	dir := t.TempDir()
	var (
		first [killed]int       // the first changes of the next child
		state [killed][3]string // what was found the last time
	)
	var changes, rotations, undone int
	for round := range rounds {
		said := kill(t, dir, first, round%2 == 1, time.Duration(random.Int64N(int64(80*time.Millisecond))))
		last := map[int]int{} // the last changes that were done
		for _, line := range said {
			var i, n int
			if line == "rotated" {
				rotations++
			} else if _, err := fmt.Sscanf(line, "%d %d", &i, &n); err != nil {
				t.Fatalf("%q: %v", line, err)
			} else {
				last[i] = n
				changes++
			}
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		log, heard := hearing()
		s, err := OpenSealed(ctx, NewFiles(dir), nil, log)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		release, err := s.Claim(ctx)
		if err != nil {
			t.Fatalf("round %d: the claim outlived its process: %v", round, err)
		}
		cancel()
		undone += strings.Count(heard.String(), "has been undone")
		if strings.Contains(heard.String(), "level=ERROR") {
			t.Fatalf("round %d: the log says %s", round, heard)
		}
		for i := range killed {
			// One change may have been under way, of which nobody said anything.
			now, next := state[i], after(first[i])
			if n, ok := last[i]; ok {
				first[i] = n + 1
				now, next = [3]string{after(n), after(n), after(n)}, after(n+1)
			}
			first[i]++
			state[i] = found(t, s, fmt.Sprint("identity", i))
			for part, token := range state[i] {
				if token != now[part] && token != next {
					t.Fatalf("round %d: part %d of identity %d is %q instead of %q or %q", round, part, i, token, now[part], next)
				}
			}
		}
		if err := release(); err != nil {
			t.Fatal(err)
		}
		if ids := folders(t, NewFiles(dir)); len(ids) > 1 {
			t.Fatalf("round %d: keys in use: %v", round, ids)
		}
	}
	left := 0
	for range NewFiles(dir).names(t.Context(), tempFolder) {
		left++
	}
	readable(t, dir, []string{"identity", "canary", "alice"})
	t.Logf("%d kills, %d changes acknowledged, %d rotations, %d undone, %d unfinished files left for the sweep", rounds, changes, rotations, undone, left)
	if changes+rotations < rounds/2 {
		t.Errorf("only %d changes in %d rounds", changes, rounds)
	}
}

// kill starts a child, kills it after a time, which begins with its first line if
// working is set and else at once, and returns the lines that it wrote.
func kill(t *testing.T, dir string, next [killed]int, working bool, after time.Duration) (lines []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	var first []string
	for _, n := range next {
		first = append(first, fmt.Sprint(n))
	}
	cmd.Env = append(os.Environ(), childDir+"="+dir, childFirst+"="+strings.Join(first, " "))
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	start := after
	if working {
		start = time.Minute
	}
	timer := time.AfterFunc(start, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	for r := bufio.NewReader(out); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			break // what is not a whole line was not said
		}
		if lines = append(lines, strings.TrimSpace(line)); working && len(lines) == 1 {
			timer.Reset(after)
		}
	}
	if err := cmd.Wait(); err == nil || complaint.Len() > 0 {
		t.Fatalf("the child ended by itself: %v, %s", err, complaint.String())
	}
	return lines
}
