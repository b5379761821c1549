package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
)

// contestant is something that serves on loopback, and is measured.
type contestant interface {
	at() string // the address where it serves
	usage(context.Context) (usage, error)
	stop() // ends it and waits for it
}

// usage is what a contestant has used since it began.
type usage struct {
	Micros      float64 // of processor time
	Allocations float64
	Resident    int64 // bytes; -1: not known on this system
	Peak        int64 // of Resident
}

// child is this program in another role, in a process of its own. It listens on
// loopback and ends when its standard input does, thus also when we end.
type child struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	address string // where it serves
	control string // where it tells what it has used
}

// start starts a child and waits until it listens.
func start(ctx context.Context, s settings, role, upstream string) (*child, error) {
	args := []string{"-role", role, "-upstream", upstream}
	if suffix, ok := map[string]string{"ours": "", "left": ".left", "bare": ".bare"}[role]; ok && s.profile != "" {
		args = append(args, "-profile", s.profile+suffix)
	}
	measured := role != "upstream"
	cmd, err := command(ctx, measured, args...)
	if err != nil {
		return nil, err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := held(measured, cmd.Start); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err == nil {
		_, err = fmt.Sscan(line, &c.address, &c.control)
	}
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("the %s did not start: %w", role, err)
	}
	return c, nil
}

// command is this program with other arguments.
func command(ctx context.Context, measured bool, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = os.Stderr
	if measured {
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1") // as if on one core: steadier
	}
	return cmd, nil
}

// say runs this program in a role that prints something and ends.
func say(ctx context.Context, measured bool, args ...string) (string, error) {
	cmd, err := command(ctx, measured, args...)
	if err != nil {
		return "", err
	}
	var out []byte
	if err := held(measured, func() (err error) { out, err = cmd.Output(); return err }); err != nil {
		return "", fmt.Errorf("%s: %w", args, err)
	}
	return string(out), nil
}

func (c *child) stop() {
	_ = c.stdin.Close()
	_ = c.cmd.Wait() // it has been told to end; how it does is of no interest
}

func (c *child) at() string { return c.address }

func (c *child) usage(ctx context.Context) (u usage, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.control, nil)
	if err != nil {
		return u, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return u, err
	}
	defer res.Body.Close()
	return u, json.NewDecoder(res.Body).Decode(&u)
}
