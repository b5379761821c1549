//go:build unix

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"arcproxy/auth"
	"arcproxy/cache"
)

func TestNotify(t *testing.T) {
	code := cache.Question{ID: "1", Identity: "alice", Challenge: auth.Challenge{Kind: auth.FactorSMS, Code: true, Deadline: time.Now().Add(time.Minute)}}
	for command, want := range map[string]string{
		"echo ' 123456 '; echo more": "123456",
		"true":                       "",
		"head -c 100000 /dev/zero | tr '\\0' x; echo":    strings.Repeat("x", notifyAnswer),
		"cat >/dev/null; printf 654321":                  "654321",
		"grep -q '\"identity\":\"alice\"' && echo found": "found",
	} {
		var n notifier
		n.set(command, "https://localhost/_arcproxy/")
		answer, err := n.ask(t.Context(), code)
		if err != nil || answer.Reveal() != want {
			t.Errorf("%q answers %.20q, %v", command, answer.Reveal(), err)
		}
	}
	var n notifier
	n.set("echo hunter2 >&2; exit 3", "")
	if _, err := n.ask(t.Context(), code); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a command that fails: %v", err)
	}
	n.set("", "")
	if answer, err := n.ask(t.Context(), code); err != nil || !answer.IsZero() {
		t.Errorf("no command: %v", err)
	}
}

// TestNotifyEndsWithTheQuestion: also what the command has begun.
func TestNotifyEndsWithTheQuestion(t *testing.T) {
	alive := filepath.Join(t.TempDir(), "alive")
	var n notifier
	n.set("(while :; do date > "+alive+"; sleep 0.05; done) & wait", "")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := n.ask(ctx, cache.Question{Challenge: auth.Challenge{Code: true}})
		done <- err
	}()
	for {
		if _, err := os.Stat(alive); err == nil {
			break
		}
		pause()
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("a command that was ended answers")
	}
	if err := os.Remove(alive); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		pause()
	}
	if _, err := os.Stat(alive); err == nil {
		t.Error("what the command has begun goes on")
	}
}
