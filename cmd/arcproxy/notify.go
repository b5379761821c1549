package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"arcproxy/auth"
	"arcproxy/cache"
)

// notifier tells questions to a command of the operator's, which may bring the
// answer: challenges.notify.
type notifier struct{ command atomic.Pointer[notice] }

// notice is a command, and where else a question can be answered.
type notice struct{ command, url string }

const (
	notifyMost   = 10 * time.Minute // that a command may run for a question without a deadline
	notifyAnswer = 4 << 10          // bytes that are read of what it prints
)

// set replaces the command; "": there is none.
func (n *notifier) set(command, url string) {
	if command == "" {
		n.command.Store(nil)
		return
	}
	n.command.Store(&notice{command, url})
}

// told is what a command reads from its standard input.
type told struct {
	Identity string    `json:"identity"`
	Kind     string    `json:"kind"`
	Number   string    `json:"number,omitempty"`   // to pick on the device
	Question string    `json:"question,omitempty"` // a security question's text
	Device   string    `json:"device,omitempty"`
	Deadline time.Time `json:"deadline,omitzero"`
	Code     bool      `json:"code"`  // its first line of output is the answer; else it is given on the device
	Again    bool      `json:"again"` // the last answer was refused, or the number is known now
	URL      string    `json:"url"`   // of the console
}

// ask runs the command for q until it ends or the question is over, and returns the
// first line that it prints.
func (n *notifier) ask(ctx context.Context, q cache.Question) (auth.Secret, error) {
	notice := n.command.Load()
	if notice == nil {
		return auth.Secret{}, nil
	}
	end := q.Deadline
	if limit := time.Now().Add(notifyMost); end.IsZero() || end.After(limit) {
		end = limit
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	input, err := json.Marshal(told{
		Identity: q.Identity,
		Kind:     string(q.Kind),
		Number:   q.Number,
		Question: q.Challenge.Question,
		Device:   q.Device,
		Deadline: q.Deadline,
		Code:     q.Code,
		Again:    q.Again,
		URL:      notice.url,
	})
	if err != nil {
		return auth.Secret{}, err
	}
	cmd := shell(ctx, notice.command)
	var out bytes.Buffer
	cmd.Stdin = bytes.NewReader(append(input, '\n'))
	cmd.Stdout = &limitedWriter{w: &out, left: notifyAnswer}
	if err := cmd.Run(); err != nil {
		return auth.Secret{}, fmt.Errorf("the command of challenges.notify failed: %w", err)
	}
	line, _ := bufio.NewReader(&out).ReadString('\n')
	return auth.NewSecret(strings.TrimSpace(line)), nil
}
