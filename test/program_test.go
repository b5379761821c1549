package test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"arcproxy/test/sandbox"
)

// program is the built program's file name.
var program string

// TestMain builds the program once for all tests.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "arcproxy-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "arcproxy")
		if out, err := exec.Command("go", "build", "-o", program, "arcproxy/cmd/arcproxy").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// key is the caller's key in every config of these tests.
const key = "QX7KJ2M4N6P3R5T7V2W4Y6A3C5"

// startSandbox starts an Okta org, a Portal and servers for one test.
func startSandbox(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Config{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sb.Close)
	return sb
}

// writeConfig writes a config file for sb into a new directory and returns its name.
func writeConfig(t *testing.T, sb *sandbox.Sandbox, more string) string {
	t.Helper()
	dir := t.TempDir()
	alice := sb.User("alice")
	for name, text := range map[string]string{"password": alice.Password, "totp": alice.TOTPSecret, "key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf(`
listen = "127.0.0.1:0"
state_dir = "state"
%s
[portal]
url = %q
client_id = "arcproxytest"
[[servers]]
url = %q
[okta]
url = %q
[[identities]]
name = "alice"
username = %q
password = "file:password"
totp_secret = "file:totp"
[[callers]]
name = "nightly"
identity = "alice"
key = "file:key"
[log]
format = "json"
`, more, sb.PortalURL, sb.ServerURL, sb.OktaURL, alice.Login)
	name := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// process is the program while it runs.
type process struct {
	cmd  *exec.Cmd
	out  chan string // lines of stdout and stderr
	done chan error  // what Wait said
	mu   sync.Mutex  // guards all
	all  bytes.Buffer
}

// start runs the program; the test ends it.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program, args...), out: make(chan string, 10_000), done: make(chan error, 1)}
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(r); s.Scan(); {
			p.mu.Lock()
			p.all.WriteString(s.Text() + "\n")
			p.mu.Unlock()
			select {
			case p.out <- s.Text():
			default:
			}
		}
	}()
	go func() {
		err := p.cmd.Wait()
		_ = w.Close()
		<-read
		p.done <- err
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		select {
		case <-p.done:
		case <-time.After(10 * time.Second):
			t.Error("the program did not end")
		}
		if t.Failed() {
			t.Logf("the program said:\n%s", p.output())
		}
	})
	return p
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all.String()
}

// line waits for a line of output that matches and returns the first group.
func (p *process) line(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(30 * time.Second)
	for {
		select {
		case l := <-p.out:
			if m := re.FindStringSubmatch(l); m != nil {
				return m[len(m)-1]
			}
		case err := <-p.done:
			p.done <- err
			t.Fatalf("the program ended (%v) before it said %s:\n%s", err, pattern, p.output())
		case <-deadline:
			t.Fatalf("the program did not say %s:\n%s", pattern, p.output())
		}
	}
}

// wait waits for the program's end and returns its exit code.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case err := <-p.done:
		p.done <- err
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(40 * time.Second):
		t.Fatalf("the program did not end:\n%s", p.output())
		return -1
	}
}

func get(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Esri-Authorization", "Bearer "+key)
	tr := &http.Transport{DisableKeepAlives: true}
	return tr.RoundTrip(req)
}

func TestDemo(t *testing.T) {
	for _, factor := range []string{"totp", "push", "none"} {
		t.Run(factor, func(t *testing.T) {
			p := start(t, "demo", "--port", "0", "--factor", factor)
			if factor == "push" {
				phone := p.line(t, `simulated phone is at (http\S+)`)
				number := p.line(t, `approve (\d+) within`)
				// What the page's button posts; a person presses it.
				res, err := http.PostForm(phone+"/approve", url.Values{"number": {number}})
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
			}
			p.line(t, `signed in as (\S+) .* counts 1 sign-in`)
			u := p.line(t, `curl '(http://localhost:\S+)'`)
			res, err := http.Get(u)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			want := map[string]string{"totp": "Alice", "push": "Alice", "none": "Carol"}[factor]
			if res.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
				t.Errorf("the printed curl line gets HTTP %d: %.300s", res.StatusCode, body)
			}
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code := p.wait(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func TestServeDrainsOnSIGTERM(t *testing.T) {
	sb := startSandbox(t)
	p := start(t, "serve", "--config", writeConfig(t, sb, ""))
	address := p.line(t, `"msg":"listening","address":"([^"]+)"`)
	// A body that the upstream sends half of, until it is let go on.
	gate := sb.Portal.Hold("/server/rest/info")
	type answer struct {
		body string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		res, err := get(t.Context(), "http://"+address+"/server/rest/info?f=json")
		if err != nil {
			got <- answer{err: err}
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		got <- answer{string(b), err}
	}()
	<-gate.Reached
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.line(t, "stopping")
	if _, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		// The port closes a moment after the message; what matters is that the
		// request in flight is answered.
		t.Log("the port still took a connection")
	}
	gate.Release()
	if a := <-got; a.err != nil || !strings.Contains(a.body, "currentVersion") {
		t.Errorf("the request in flight got %v, %.200s", a.err, a.body)
	}
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestCheckAndToken(t *testing.T) {
	sb := startSandbox(t)
	name := writeConfig(t, sb, "")
	out, err := exec.CommandContext(t.Context(), program, "check", "--sign-in", "--config", name).CombinedOutput()
	if err != nil {
		t.Fatalf("check: %v\n%s", err, out)
	}
	for _, want := range []string{"okta       ok", "portal     ok", "server     ok", "sign-in    ok", "signed in as " + sb.User("alice").GISUsername, "alice: "} {
		if !strings.Contains(string(out), want) {
			t.Errorf("check does not say %q:\n%s", want, out)
		}
	}
	cmd := exec.CommandContext(t.Context(), program, "token", "alice", "--config", name)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	token, err := cmd.Output()
	if err != nil {
		t.Fatalf("token: %v\n%s", err, stderr.String())
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, sb.PortalURL.String()+"/sharing/rest/community/self?f=json", nil)
	req.Header.Set("X-Esri-Authorization", "Bearer "+strings.TrimSpace(string(token)))
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); !strings.Contains(string(body), sb.User("alice").GISUsername) {
		t.Errorf("the printed token does not work: %.200s", body)
	}
	if strings.Contains(stderr.String(), strings.TrimSpace(string(token))) {
		t.Error("the token is in the messages, too")
	}
}

func TestStateDirIsPrivate(t *testing.T) {
	sb := startSandbox(t)
	name := writeConfig(t, sb, "")
	p := start(t, "serve", "--config", name)
	p.line(t, `"msg":"listening"`)
	err := filepath.Walk(filepath.Join(filepath.Dir(name), "state"), func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
