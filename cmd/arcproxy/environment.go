package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// environment is what the program takes from its surroundings. Only this
// package reads them.
type environment struct {
	lookup func(string) (string, bool) // os.LookupEnv
	others bool                        // the secrets that a config names are in another process's surroundings
}

// stateDir is the default of state_dir: what the service manager gives, else
// the system's place for root, else the user's own.
func (e environment) stateDir() (string, error) {
	if dir, ok := e.lookup("STATE_DIRECTORY"); ok && dir != "" { // systemd.exec(5)
		dir, _, _ = strings.Cut(dir, ":")
		return dir, nil
	}
	if runtime.GOOS == "linux" {
		if os.Geteuid() == 0 {
			return "/var/lib/arcproxy", nil
		}
		if dir, ok := e.lookup("XDG_STATE_HOME"); ok && filepath.IsAbs(dir) {
			return filepath.Join(dir, "arcproxy"), nil
		}
		home, err := os.UserHomeDir()
		return filepath.Join(home, ".local", "state", "arcproxy"), err
	}
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "arcproxy"), err
}

// plain reports whether a terminal is not to be coloured: see no-color.org.
func (e environment) plain() bool {
	no, _ := e.lookup("NO_COLOR")
	kind, _ := e.lookup("TERM")
	return no != "" || kind == "dumb"
}

// logConfig says how the program logs.
type logConfig struct {
	Format string // auto, text or json
	Plain  bool   // without colour, also on a terminal
	Level  slog.Level
}
