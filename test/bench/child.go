package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

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
	if s.profile != "" && role == "ours" {
		args = append(args, "-profile", s.profile)
	}
	if s.profile != "" && role == "bare" {
		args = append(args, "-profile", s.profile+".bare")
	}
	cmd, err := command(ctx, args...)
	if err != nil {
		return nil, err
	}
	if role != "upstream" {
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1") // as if on one core: steadier
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
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
func command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// stop ends the child and waits for it.
func (c *child) stop() {
	_ = c.stdin.Close()
	_ = c.cmd.Wait() // it has been told to end; how it does is of no interest
}

// usage is what a process has used since it began.
type usage struct {
	Micros      int64 // of processor time
	Allocations uint64
	Resident    int64 // bytes; -1: not known on this system
	Peak        int64 // of Resident
}

// errNoResident says that this system does not tell how much memory is resident.
var errNoResident = errors.New("not measured: this needs /proc")

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

// cost is what one request cost.
type cost struct{ micros, allocations float64 }

// bear puts the load on a proxy and returns what a request cost it.
func (c *child) bear(ctx context.Context, s settings, path string) (cost, error) {
	before, err := c.usage(ctx)
	if err != nil {
		return cost{}, err
	}
	cmd, err := command(ctx, "-role", "load", "-target", c.address, "-path", path, "-time", s.time.String(), "-conns", fmt.Sprint(s.conns))
	if err != nil {
		return cost{}, err
	}
	out, err := cmd.Output()
	if err != nil {
		return cost{}, fmt.Errorf("load: %w", err)
	}
	var requests float64
	if _, err := fmt.Sscan(string(out), &requests); err != nil || requests == 0 {
		return cost{}, fmt.Errorf("the load said %q", out)
	}
	after, err := c.usage(ctx)
	if err != nil {
		return cost{}, err
	}
	return cost{
		micros:      float64(after.Micros-before.Micros) / requests,
		allocations: float64(after.Allocations-before.Allocations) / requests,
	}, nil
}

// transfer sends one large body through the proxy.
func (c *child) transfer(ctx context.Context, s settings, way string) (idle, peak int64, took time.Duration, err error) {
	u, err := c.usage(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	if u.Resident < 0 {
		return 0, 0, 0, errNoResident
	}
	idle = u.Resident
	method, target, body := http.MethodGet, fmt.Sprintf("http://%s/portal/large?size=%d", c.address, s.bytes), io.Reader(nil)
	want := s.bytes
	if way == "upload" {
		method, target, body = http.MethodPost, "http://"+c.address+"/portal/upload", io.LimitReader(zeros{}, s.bytes)
	}
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return 0, 0, 0, err
	}
	if body != nil {
		r.ContentLength = s.bytes
	}
	r.Header.Set("X-Esri-Authorization", "Bearer "+callerKey)
	began := time.Now()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, 0, 0, err
	}
	defer res.Body.Close()
	var got int64
	if way == "upload" {
		_, err = fmt.Fscan(res.Body, &got)
	} else {
		got, err = io.Copy(io.Discard, res.Body)
	}
	if err != nil || got != want {
		return 0, 0, 0, fmt.Errorf("%s: %d of %d bytes: %w", way, got, want, errors.Join(err, statusError(res)))
	}
	took = time.Since(began)
	if u, err = c.usage(ctx); err != nil {
		return 0, 0, 0, err
	}
	return idle, u.Peak, took, nil
}

func statusError(res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	return errors.New(strings.ToLower(res.Status))
}

// zeros yields zero bytes without end.
type zeros struct{}

// Read implements [io.Reader].
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
