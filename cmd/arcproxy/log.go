package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"runtime"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"arcproxy/auth"
	"arcproxy/cache"
)

// newLog makes the program's log on w: for people where w is a terminal, JSON
// elsewhere, unless c says which.
func newLog(w io.Writer, c logConfig) *slog.Logger { return newLevelLog(w, c, c.Level) }

// newLevelLog is newLog with a level that may change.
func newLevelLog(w io.Writer, c logConfig, level slog.Leveler) *slog.Logger {
	tty := isTerminal(w)
	if c.Format == "json" || c.Format == "auto" && !tty {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{
		Level:      level,
		TimeFormat: "15:04:05",
		// Older consoles of Windows show colour codes as text.
		NoColor: !tty || c.Plain || runtime.GOOS == "windows",
	}))
}

// newCommandLog is newLog for commands that tell a person their steps themselves:
// what the config calls info would only say it twice, and so would a failed sign-in.
func newCommandLog(w io.Writer, c logConfig) *slog.Logger {
	if c.Level == slog.LevelInfo {
		c.Level = slog.LevelWarn
	}
	log := newLog(w, c)
	if c.Level < slog.LevelInfo {
		return log
	}
	return slog.New(untold{log.Handler()})
}

// untold leaves out what the command itself ends with.
type untold struct{ slog.Handler }

func (u untold) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == cache.SignInFailed {
		return nil
	}
	return u.Handler.Handle(ctx, r)
}

func (u untold) WithAttrs(list []slog.Attr) slog.Handler { return untold{u.Handler.WithAttrs(list)} }

func (u untold) WithGroup(name string) slog.Handler { return untold{u.Handler.WithGroup(name)} }

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
