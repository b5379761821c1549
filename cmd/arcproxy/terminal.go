package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"arcproxy/auth"
	"arcproxy/cache"
)

// terminal is a person at the program's standard input.
type terminal struct {
	in  *os.File
	out io.Writer // where prompts go

	mu      sync.Mutex // guards pending
	pending chan typed // of the read that is under way; nil: none is
}

type typed struct {
	text string
	err  error
}

// terminal returns the person at standard input, nil if there is none.
func (p *program) terminal() *terminal {
	if p.stdin == nil || !term.IsTerminal(int(p.stdin.Fd())) {
		return nil
	}
	return &terminal{in: p.stdin, out: p.stderr}
}

// audience is the person who runs a command: they hear the steps of a sign-in, and
// are asked if they are at a terminal.
func (p *program) audience() audience {
	to := audience{tell: p.tellPerson}
	if t := p.terminal(); t != nil {
		to.ask = func(ctx context.Context, q cache.Question) (auth.Secret, error) {
			if !q.Code { // the step has said what to do
				return auth.Secret{}, nil
			}
			return t.ask(ctx, q.Identity, q.Challenge)
		}
	}
	return to
}

// ask asks for the answer to a question.
func (t *terminal) ask(ctx context.Context, identity string, c auth.Challenge) (auth.Secret, error) {
	prompt := identity + ": code"
	if c.Device != "" {
		prompt += " from " + c.Device
	}
	if c.Question != "" {
		prompt = identity + ": " + c.Question
	}
	if c.Again {
		prompt += " (the last was refused)"
	}
	return t.read(ctx, prompt+": ", c.Question != "")
}

// read reads a line, without showing it if it is hidden. When ctx ends nobody reads
// it; what is typed then answers the next prompt, unless that one is hidden.
func (t *terminal) read(ctx context.Context, prompt string, hidden bool) (auth.Secret, error) {
	fd := int(t.in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return auth.Secret{}, fmt.Errorf("the terminal: %w", err)
	}
	if hidden {
		if err := t.finish(ctx); err != nil {
			return auth.Secret{}, err
		}
	}
	fmt.Fprint(t.out, prompt)
	t.mu.Lock()
	if t.pending == nil {
		pending := make(chan typed, 1)
		t.pending = pending
		go func() { // ends with the line, or the program
			text, err := t.line(fd, hidden)
			pending <- typed{text, err}
		}()
	}
	pending := t.pending
	t.mu.Unlock()
	select {
	case got := <-pending:
		t.mu.Lock()
		t.pending = nil
		t.mu.Unlock()
		if hidden {
			fmt.Fprintln(t.out)
		}
		if got.err != nil {
			return auth.Secret{}, fmt.Errorf("nothing was typed: %w", got.err)
		}
		return auth.NewSecret(got.text), nil
	case <-ctx.Done():
		_ = term.Restore(fd, before) // what is typed is shown again, whatever becomes of the program
		fmt.Fprintln(t.out)
		return auth.Secret{}, ctx.Err()
	}
}

// finish ends the read that a prompt before has left under way, if there is one. The
// terminal shows what is typed for that one, and it may be a code, which is no password.
func (t *terminal) finish(ctx context.Context) error {
	t.mu.Lock()
	left := t.pending
	t.mu.Unlock()
	if left == nil {
		return nil
	}
	fmt.Fprint(t.out, "press Enter to go on: ")
	select {
	case <-left:
	case <-ctx.Done():
		fmt.Fprintln(t.out)
		return ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pending == left {
		t.pending = nil
	}
	return nil
}

const lineMost = 4 << 10 // bytes; what a terminal itself gives at most

// line reads a line. It takes one byte at a time, since what follows may be for the
// next prompt.
func (t *terminal) line(fd int, hidden bool) (string, error) {
	if hidden {
		text, err := term.ReadPassword(fd)
		return string(text), err
	}
	var b strings.Builder
	var one [1]byte
	for b.Len() < lineMost {
		n, err := t.in.Read(one[:])
		if n == 1 && one[0] == '\n' {
			return strings.TrimSpace(b.String()), nil
		}
		if n == 1 {
			b.WriteByte(one[0])
		}
		if errors.Is(err, io.EOF) && b.Len() > 0 {
			return strings.TrimSpace(b.String()), nil
		} else if err != nil {
			return "", err
		}
	}
	return "", errors.New("the line is too long")
}
