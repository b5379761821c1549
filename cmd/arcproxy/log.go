package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"runtime"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"arcproxy/auth"
)

// newLog makes the program's log on w: for people where w is a terminal, JSON
// elsewhere, unless c says which.
func newLog(w io.Writer, c logConfig) *slog.Logger {
	tty := isTerminal(w)
	if c.Format == "json" || c.Format == "auto" && !tty {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: c.Level}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{
		Level:      c.Level,
		TimeFormat: "15:04:05",
		// Older consoles of Windows show colour codes as text.
		NoColor: !tty || runtime.GOOS == "windows",
	}))
}

// newCommandLog is newLog for commands that tell a person their steps themselves:
// what the config calls info would only say it twice.
func newCommandLog(w io.Writer, c logConfig) *slog.Logger {
	if c.Level == slog.LevelInfo {
		c.Level = slog.LevelWarn
	}
	return newLog(w, c)
}

// isTerminal reports whether a person sees what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// explain renders an error for a person: what happened, and what to do.
func explain(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*auth.Error](err); ok && e.Remedy() != "" {
		text += "\n  what to do: " + e.Remedy()
	}
	return text
}
