package attack

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

	"go.uber.org/goleak"
)

// program is the built program's file name.
var program string

// TestMain builds the program once for all tests.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "arcproxy-attack-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "arcproxy")
	args := []string{"build", "-o", program}
	if underRace {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "arcproxy/cmd/arcproxy")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
		_ = os.RemoveAll(dir)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// process is the program while it runs.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and all of its output is in said

	mu    sync.Mutex // guards what follows
	said  bytes.Buffer
	news  chan struct{} // closed, and replaced, when said grows
	state error         // what Wait said
}

// run starts the program; the test ends it.
func run(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program, args...), done: make(chan struct{}), news: make(chan struct{})}
	// Nothing of the surroundings may lead its outbound requests elsewhere.
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		err := p.cmd.Wait()
		p.mu.Lock()
		p.state = err
		p.mu.Unlock()
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
		_ = p.cmd.Process.Kill()
		select {
		case <-p.done:
		case <-time.After(20 * time.Second):
			t.Error("the program did not end")
		}
		if strings.Contains(p.output(), "DATA RACE") || strings.Contains(p.output(), "panic") {
			t.Errorf("the program said:\n%s", p.output())
		}
	})
	return p
}

// output returns all that the program has said so far.
func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// says waits until the program has said something that matches pattern and
// returns the last group.
func (p *process) says(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(30 * time.Second)
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
			t.Fatalf("the program ended before it said %s:\n%s", pattern, p.output())
		case <-deadline:
			t.Fatalf("the program did not say %s:\n%s", pattern, p.output())
		}
	}
}

// ends waits for the program's end by itself and returns its exit code.
func (p *process) ends(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(30 * time.Second):
		t.Fatalf("the program did not end:\n%s", p.output())
		return -1
	}
}
