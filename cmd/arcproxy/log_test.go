//go:build unix

package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// TestColour: a terminal is coloured, unless it cannot be or its user does not want it.
func TestColour(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{"TERM": "xterm"}, true},
		{map[string]string{"TERM": "xterm", "NO_COLOR": ""}, true},
		{map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false},
		{map[string]string{"TERM": "dumb"}, false},
	} {
		keys, tty, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		newLog(tty, logConfig{Format: "auto", Plain: testEnv(c.env).plain(), Level: slog.LevelInfo}).Info("listening", "port", 1)
		line := make([]byte, 256)
		n, err := keys.Read(line)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(line[:n]), "\x1b["); got != c.want || !strings.Contains(string(line[:n]), "listening") {
			t.Errorf("%v: %q", c.env, line[:n])
		}
		_ = tty.Close()
		_ = keys.Close()
	}
}
