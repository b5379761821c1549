package test

import (
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
	"strings"
	"syscall"
	"testing"
	"time"

	"arcproxy/test/program"
	"arcproxy/test/sandbox"
)

// arcproxy is the built program's file name.
var arcproxy string

// TestMain builds the program once for all tests.
func TestMain(m *testing.M) {
	name, remove, err := program.Build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	arcproxy = name
	code := m.Run()
	remove()
	os.Exit(code)
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
			p := program.Start(t, arcproxy, "demo", "--port", "0", "--factor", factor)
			if factor == "push" {
				phone := p.Says(t, `simulated phone is at (http[^\s;]+)`)
				number := p.Says(t, `approve (\d+) within`)
				// What the page's button posts; a person presses it.
				res, err := http.PostForm(phone+"/approve", url.Values{"number": {number}})
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
			}
			p.Says(t, `signed in as (\S+) .* counts 1 sign-in`)
			u := p.Says(t, `curl '(http://localhost:\S+)'`)
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
			if err := p.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code := p.Ends(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func TestServeDrainsOnSIGTERM(t *testing.T) {
	sb := startSandbox(t)
	p := program.Start(t, arcproxy, "serve", "--config", writeConfig(t, sb, ""))
	address := p.Says(t, `"msg":"listening","address":"([^"]+)"`)
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
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.Says(t, "stopping")
	if _, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		// The port closes a moment after the message; what matters is that the
		// request in flight is answered.
		t.Log("the port still took a connection")
	}
	gate.Release()
	if a := <-got; a.err != nil || !strings.Contains(a.body, "currentVersion") {
		t.Errorf("the request in flight got %v, %.200s", a.err, a.body)
	}
	if code := p.Ends(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestCheckAndToken(t *testing.T) {
	sb := startSandbox(t)
	name := writeConfig(t, sb, "")
	out, err := exec.CommandContext(t.Context(), arcproxy, "check", "--sign-in", "--config", name).CombinedOutput()
	if err != nil {
		t.Fatalf("check: %v\n%s", err, out)
	}
	for _, want := range []string{"okta       ok", "portal     ok", "server     ok", "sign-in    ok", "signed in as " + sb.User("alice").GISUsername, "alice: "} {
		if !strings.Contains(string(out), want) {
			t.Errorf("check does not say %q:\n%s", want, out)
		}
	}
	cmd := exec.CommandContext(t.Context(), arcproxy, "token", "alice", "--config", name)
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
	p := program.Start(t, arcproxy, "serve", "--config", name)
	p.Says(t, `"msg":"listening"`)
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
