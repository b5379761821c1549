//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"github.com/pquerna/otp/totp"
	"golang.org/x/term"

	"arcproxy/cache/storage"
	"arcproxy/test/sandbox"
)

// writeConfig writes a config file before sb in which alice has no password and no
// TOTP secret, and returns its name and its state directory.
func writeConfig(t *testing.T, sb *sandbox.Sandbox, more string) (name, state string) {
	t.Helper()
	dir := t.TempDir()
	state = filepath.Join(dir, "state")
	name = filepath.Join(dir, "config.toml")
	text := fmt.Sprintf(`
listen = "127.0.0.1:0"
state_dir = %q
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
[[callers]]
name = "script"
identity = "alice"
key = "sha256:%x"
admin = true
%s
`, state, sb.PortalURL, sb.ServerURL, sb.OktaURL, sb.User("alice").Login, sha256.Sum256([]byte(testKey)), more)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name, state
}

// codesOnly is a sandbox whose alice has no phone for pushes, only an authenticator.
func codesOnly(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	users := sandbox.DefaultUsers()
	users[0].Push = false
	sb, err := sandbox.Start(sandbox.Config{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Users: users})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sb.Close)
	return sb
}

// person is a command at a pseudo-terminal, and who types there.
type person struct {
	*testing.T
	keys   *os.File
	screen *lockedBuffer
	stdout lockedBuffer
	seen   int // how far the screen was read
	code   chan int
	cancel context.CancelFunc
	tty    *os.File
}

// at runs a command line at a pseudo-terminal.
func at(t *testing.T, config string, args ...string) *person {
	t.Helper()
	keys, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	p := &person{T: t, keys: keys, tty: tty, screen: &lockedBuffer{}, code: make(chan int, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	var reading sync.WaitGroup
	off := make(chan struct{})
	reading.Go(func() {
		defer close(off)
		_, _ = io.Copy(p.screen, keys)
	})
	go func() {
		cmd := &program{stdin: tty, stdout: &p.stdout, stderr: tty, env: environment{lookup: os.LookupEnv}}
		p.code <- cmd.run(ctx, append([]string{"--config", config}, args...))
	}()
	t.Cleanup(func() {
		cancel()
		_ = tty.Close()
		// A prompt that was broken off may have left a read of the terminal, which holds
		// it open, and with it the reading of the screen, until a line comes.
		for ended := false; !ended; {
			_, _ = keys.WriteString("\n")
			select {
			case <-off:
				ended = true
			case <-time.After(10 * time.Millisecond):
			}
		}
		_ = keys.Close()
		reading.Wait()
	})
	return p
}

// sees waits until text is on the screen, after what was seen before.
func (p *person) sees(text string) {
	p.Helper()
	for end := time.Now().Add(3 * time.Minute); ; {
		shown := p.screen.String()
		if i := strings.Index(shown[p.seen:], text); i >= 0 {
			p.seen += i + len(text)
			return
		}
		if time.Now().After(end) {
			p.Fatalf("the screen does not show %q:\n%s", text, shown)
		}
		pause()
	}
}

// pause lets others work. The program under test is not in a bubble: it talks to
// sockets.
func pause() { <-time.After(10 * time.Millisecond) }

func (p *person) types(line string) {
	p.Helper()
	if _, err := io.WriteString(p.keys, line+"\n"); err != nil {
		p.Fatal(err)
	}
}

// exits waits for the end of the command.
func (p *person) exits(code int) {
	p.Helper()
	select {
	case got := <-p.code:
		if got != code {
			p.Fatalf("exit code %d:\n%s", got, p.screen.String())
		}
	case <-time.After(3 * time.Minute):
		p.Fatalf("the command does not end:\n%s", p.screen.String())
	}
}

// codeOf makes the code that alice's authenticator shows.
func codeOf(t *testing.T, sb *sandbox.Sandbox) string {
	t.Helper()
	code, err := totp.GenerateCode(sb.User("alice").TOTPSecret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// serveFile runs the server of a config file until the end of the test, or stop.
func serveFile(t *testing.T, name string) (r *rig, stop func()) {
	t.Helper()
	cfg, err := loadConfig(t.Context(), name, environment{lookup: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	logs := &lockedBuffer{}
	log := slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := newServer(t.Context(), cfg, inner, log, logSteps(log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx) }()
	tr := &http.Transport{}
	stop = sync.OnceFunc(func() {
		tr.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve ended with %v", err)
		}
		s.close()
	})
	t.Cleanup(stop)
	return &rig{server: s, logs: logs, base: "http://" + s.address(), http: &http.Client{Transport: tr, Timeout: 3 * time.Minute}}, stop
}

// nowhere fails the test if a text is in a file below dir.
func nowhere(t *testing.T, dir, secret string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("%s holds a secret", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLoginThenServe(t *testing.T) {
	sb := codesOnly(t)
	config, state := writeConfig(t, sb, "")
	user := sb.User("alice")

	p := at(t, config, "login", "alice")
	p.sees("password of " + user.Login + ": ")
	p.types(user.Password)
	p.sees("alice: code from ")
	p.types("000000")
	p.sees("(the last was refused): ")
	p.types(codeOf(t, sb))
	p.sees("alice: signed in as " + user.GISUsername + " until ")
	p.exits(exitDone)
	if strings.Contains(p.screen.String(), user.Password) {
		t.Error("the password was shown")
	}
	nowhere(t, filepath.Dir(config), user.Password)

	r, stop := serveFile(t, config)
	before := sb.Okta.Counts()
	if body := r.get(t, selfPath); !strings.Contains(body, user.GISUsername) {
		t.Errorf("not signed in: %.200s", body)
	}
	if diff := cmp.Diff(before, sb.Okta.Counts()); diff != "" {
		t.Errorf("serve asked Okta again: %s", diff)
	}
	nowhere(t, state, user.Password)

	status := at(t, config, "status")
	status.exits(exitDone)
	if out := status.stdout.String(); !strings.Contains(out, "signed in   as "+user.GISUsername+" until ") && !strings.Contains(out, "signed in  as "+user.GISUsername+" until ") {
		t.Errorf("status beside the proxy:\n%s", out)
	}
	out := at(t, config, "logout", "alice")
	out.sees("alice: signed out")
	out.exits(exitDone)
	if body, err := r.try(selfPath); err == nil || !strings.Contains(err.Error(), "arcproxy login") {
		t.Errorf("after logout: %s, %v", body, err)
	}
	stop()
	status = at(t, config, "status")
	status.exits(exitDone)
	if out := status.stdout.String(); !strings.Contains(out, "signed out") {
		t.Errorf("status without a proxy:\n%s", out)
	}
	if text := r.logs.String() + status.screen.String() + out.screen.String(); strings.Contains(text, user.Password) {
		t.Error("the password came out")
	}
}

func TestLoginThroughTheProxy(t *testing.T) {
	sb := codesOnly(t)
	config, state := writeConfig(t, sb, "[audit]\nfile = \"audit.jsonl\"")
	user := sb.User("alice")
	r, stop := serveFile(t, config)
	if _, err := r.try(selfPath); err == nil {
		t.Fatal("signed in without a password")
	}

	p := at(t, config, "login", "alice")
	p.sees("password of ")
	p.types("wrong-password")
	p.sees("credential refused")
	p.exits(exitFailed)

	p = at(t, config, "login", "alice")
	p.sees("password of ")
	p.types(user.Password)
	p.sees("alice: code from ")
	status := at(t, config, "status", "--json")
	status.exits(exitDone)
	if out := status.stdout.String(); !strings.Contains(out, `"state":"asking"`) || !strings.Contains(out, `"running":true`) {
		t.Errorf("status while a code is asked for: %s", out)
	}
	code := codeOf(t, sb)
	p.types(code)
	p.sees("alice: signed in as " + user.GISUsername)
	p.exits(exitDone)
	if body := r.get(t, selfPath); !strings.Contains(body, user.GISUsername) { // at once
		t.Errorf("not signed in: %.200s", body)
	}
	out := at(t, config, "logout", "alice")
	out.exits(exitDone)
	nowhere(t, state, user.Password)

	// The record says who did what by the socket, and nothing of what was typed.
	stop()
	audited := filepath.Join(filepath.Dir(config), "audit.jsonl")
	nowhere(t, filepath.Dir(audited), code)
	nowhere(t, filepath.Dir(audited), "wrong-password")
	lines, err := os.ReadFile(audited)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(lines)) {
		var record struct {
			Caller, Identity, Address, Path string
			Status                          int
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		if record.Caller == "(owner)" && record.Identity == "alice" && record.Address == "control socket" {
			got = append(got, fmt.Sprintf("%s %d", path.Base(record.Path), record.Status))
		}
	}
	if want := []string{"sign-in 200", "answer 204", "sign-in 200", "sign-out 204"}; !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q, of\n%s", got, want, lines)
	}
	if text := r.logs.String() + p.screen.String(); strings.Contains(text, user.Password) || strings.Contains(text, "wrong-password") {
		t.Error("a password came out")
	}
}

// TestCodeForACallerWhoWaits: a request begins a sign-in with the configured
// password, its 503 says where to answer, and `login` does without the password.
func TestCodeForACallerWhoWaits(t *testing.T) {
	sb := codesOnly(t)
	config, _ := writeConfig(t, sb, "")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("ALICE_PASSWORD", sb.User("alice").Password)
	changed := strings.Replace(string(text), "[[callers]]", "password = \"env:ALICE_PASSWORD\"\n[[callers]]", 1)
	changed = "patience = \"1s\"\n" + changed
	if err := os.WriteFile(config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	r, _ := serveFile(t, config)
	_, err = r.try(selfPath)
	if err == nil || !strings.Contains(err.Error(), "HTTP 503") || !strings.Contains(err.Error(), "/_arcproxy/, or with `arcproxy login alice`") {
		t.Errorf("a caller who waits is told %v", err)
	}
	p := at(t, config, "login", "alice")
	p.sees("alice is being signed in already: ")
	p.sees("alice: code from ")
	p.types(codeOf(t, sb))
	p.sees("alice: signed in as ")
	p.exits(exitDone)
	r.get(t, selfPath)
}

// TestNotifyAnswers: a command of the operator's gives the code.
func TestNotifyAnswers(t *testing.T) {
	sb := codesOnly(t)
	dir := t.TempDir()
	heard, code := filepath.Join(dir, "heard"), filepath.Join(dir, "code")
	if err := os.WriteFile(code, []byte(codeOf(t, sb)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ALICE_PASSWORD", sb.User("alice").Password)
	config, _ := writeConfig(t, sb, fmt.Sprintf("[challenges]\nnotify = 'exec:cat > %s; cat %s'", heard, code))
	withPassword(t, config)
	r, _ := serveFile(t, config)
	r.get(t, selfPath)
	got, err := os.ReadFile(heard)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"identity":"alice"`, `"kind":"totp"`, `"code":true`, `"deadline":"20`, `/_arcproxy/"`} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("the command was told %s, without %s", got, want)
		}
	}
}

func TestDrainDelay(t *testing.T) {
	sb := codesOnly(t)
	config, _ := writeConfig(t, sb, "")
	text, _ := os.ReadFile(config)
	if err := os.WriteFile(config, append([]byte("drain_delay = \"5s\"\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	r, stop := serveFile(t, config)
	if status, _ := r.own(t, "GET", "readyz", "", ""); status != http.StatusOK {
		t.Errorf("at first readyz answers HTTP %d", status)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); stop() }()
	for status := 0; status != http.StatusServiceUnavailable; pause() {
		status, _ = r.own(t, "GET", "readyz", "", "") // fails the test when no connection is taken
	}
	if status, _ := r.own(t, "GET", "healthz", "", ""); status != http.StatusOK {
		t.Errorf("healthz answers HTTP %d", status)
	}
	<-ended
}

// withPassword lets the config take alice's password from the environment.
func withPassword(t *testing.T, config string) {
	t.Helper()
	text, err := os.ReadFile(config)
	if err == nil {
		err = os.WriteFile(config, bytes.Replace(text, []byte("[[callers]]"), []byte("password = \"env:ALICE_PASSWORD\"\n[[callers]]"), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestBrokenOffLogin: whoever gives up at the password has a terminal that shows what
// they type.
func TestBrokenOffLogin(t *testing.T) {
	sb := codesOnly(t)
	config, _ := writeConfig(t, sb, "")
	p := at(t, config, "login", "alice")
	before, err := term.GetState(int(p.tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	p.sees("password of ")
	hidden := func() bool {
		now, err := term.GetState(int(p.tty.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		return !reflect.DeepEqual(now, before)
	}
	for !hidden() {
		pause()
	}
	p.cancel()
	p.exits(exitFailed)
	p.sees("arcproxy: broken off")
	if hidden() {
		t.Error("the terminal is left without echo")
	}
	if n := sb.Okta.Counts().Primary; n != 0 {
		t.Errorf("%d passwords were sent", n)
	}
}

// TestBrokenOffCode: whoever gives up at a code is not told that the sign-in goes on.
func TestBrokenOffCode(t *testing.T) {
	for _, args := range [][]string{{"token", "alice"}, {"check", "--sign-in"}, {"login", "alice"}} {
		t.Run(args[0], func(t *testing.T) {
			sb := codesOnly(t)
			t.Setenv("ALICE_PASSWORD", sb.User("alice").Password)
			config, _ := writeConfig(t, sb, "")
			withPassword(t, config)
			p := at(t, config, args...)
			if args[0] == "login" {
				p.sees("password of ")
				p.types("")
			}
			p.sees("alice: code from ")
			p.cancel()
			p.exits(exitFailed)
			p.sees("arcproxy: broken off")
			if all := p.screen.String() + p.stdout.String(); strings.Contains(all, "goes on") || strings.Contains(all, "FAILED") {
				t.Errorf("it says\n%s", all)
			}
		})
	}
}

// TestFailureIsToldOnce: by the command, and not by its log as well.
func TestFailureIsToldOnce(t *testing.T) {
	for _, args := range [][]string{{"token", "alice"}, {"check", "--sign-in"}, {"login", "alice"}} {
		t.Run(args[0], func(t *testing.T) {
			sb := codesOnly(t)
			t.Setenv("ALICE_PASSWORD", "mistyped")
			config, _ := writeConfig(t, sb, "")
			withPassword(t, config)
			p := at(t, config, args...)
			if args[0] == "login" {
				p.sees("password of ")
				p.types("")
			}
			p.exits(exitFailed)
			if args[0] != "check" {
				p.sees("what to do: ")
			}
			if all := p.screen.String() + p.stdout.String(); strings.Count(all, "credential refused") != 1 {
				t.Errorf("it says\n%s", all)
			}
		})
	}
}

// TestSocketOfAKilledProxy: what it has left behind is in nobody's way.
func TestSocketOfAKilledProxy(t *testing.T) {
	sb := codesOnly(t)
	config, state := writeConfig(t, sb, "")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(state, socketName)})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	status := at(t, config, "status")
	status.exits(exitDone)
	status.sees("no proxy runs on the state_dir /")
	if _, err := remember(t.Context(), storage.NewFiles(state), ""); err != nil {
		t.Errorf("a copy of the state directory: %v", err)
	}
	_, stop := serveFile(t, config)
	info, err := os.Stat(filepath.Join(state, socketName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the new socket: %v, %v", info, err)
	}
	status = at(t, config, "status", "--json")
	status.exits(exitDone)
	if out := status.stdout.String(); !strings.Contains(out, `"running":true`) {
		t.Errorf("status: %s", out)
	}
	stop()
	if _, err := os.Stat(filepath.Join(state, socketName)); err == nil {
		t.Error("the socket is left behind")
	}
}
