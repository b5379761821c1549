// Package program builds arcproxy and runs it, for tests that look at it from
// outside: they know it by its arguments, its output, its exit code and its port.
package program

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what the program is to say or do.
const patience = 2 * time.Minute

// Build builds the program with the go command's flags into a new directory, and
// returns its file name and what removes it.
func Build(flags ...string) (name string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "arcproxy-test-")
	if err != nil {
		return "", nil, fmt.Errorf("building the program: %w", err)
	}
	remove = func() { _ = os.RemoveAll(dir) }
	name = filepath.Join(dir, "arcproxy")
	args := append([]string{"build", "-o", name}, flags...)
	if out, err := exec.Command("go", append(args, "arcproxy/cmd/arcproxy")...).CombinedOutput(); err != nil {
		remove()
		return "", nil, fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return name, remove, nil
}

// Process is the program while it runs.
type Process struct {
	*os.Process
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and all of its output is in said

	mu   sync.Mutex // guards what follows
	said bytes.Buffer
	news chan struct{} // closed, and replaced, when said grows
}

// Start runs the program that Build named. The test ends it, and fails if it has
// panicked or met a data race.
func Start(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: exec.Command(name, args...), done: make(chan struct{}), news: make(chan struct{})}
	// Nothing of the surroundings may lead its outbound requests elsewhere.
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.Process = p.cmd.Process
	go func() {
		_ = p.cmd.Wait() // the exit code says it
		_ = w.Close()
	}()
	go func() {
		defer close(p.done)
		in := bufio.NewReader(r)
		for {
			line, err := in.ReadString('\n')
			p.mu.Lock()
			p.said.WriteString(line)
			close(p.news)
			p.news = make(chan struct{})
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = p.Kill()
		select {
		case <-p.done:
		case <-time.After(patience):
			t.Error("the program did not end")
		}
		switch out := p.Output(); {
		case strings.Contains(out, "DATA RACE"), strings.Contains(out, "panic"):
			t.Errorf("the program said:\n%s", out)
		case t.Failed():
			t.Logf("the program said at last:\n%s", out[max(0, len(out)-16<<10):])
		}
	})
	return p
}

// Output returns all that the program has said so far.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// Says waits until the program has said something that matches pattern and
// returns the last group.
func (p *Process) Says(t testing.TB, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		m, news := re.FindStringSubmatch(p.said.String()), p.news
		p.mu.Unlock()
		if m != nil {
			return m[len(m)-1]
		}
		select {
		case <-news:
		case <-p.done:
			t.Fatalf("the program ended before it said %s:\n%s", pattern, p.Output())
		case <-deadline:
			t.Fatalf("the program did not say %s:\n%s", pattern, p.Output())
		}
	}
}

// Ends waits for the program's end by itself and returns its exit code.
func (p *Process) Ends(t testing.TB) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience + 10*time.Second):
		t.Fatalf("the program did not end:\n%s", p.Output())
		return -1
	}
}
