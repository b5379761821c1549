package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"arcproxy/test/sandbox"
)

// process is the program while it serves.
type process struct {
	cmd    *exec.Cmd
	dir    string
	url    string
	client *http.Client
}

// start runs the program before sb, with callers known by their address.
func start(ctx context.Context, program string, sb *sandbox.Sandbox) (_ *process, err error) {
	dir, err := os.MkdirTemp("", "soak-")
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir, client: &http.Client{
		Transport: &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections},
		Timeout:   30 * time.Second,
	}}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	user := sb.User("alice")
	config := fmt.Sprintf(`listen = "127.0.0.1:0"
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
password = "env:SOAK_PASSWORD"
factor = "totp"
totp_secret = "env:SOAK_TOTP"

[[callers]]
name = "this machine"
identity = "alice"
from = ["127.0.0.0/8"]
admin = true

[log]
format = "json"
`, filepath.Join(dir, "state"), sb.PortalURL, sb.ServerURL, sb.OktaURL, user.Login)
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	p.cmd = exec.CommandContext(ctx, program, "serve", "--config", file)
	p.cmd.Env = []string{"HOME=" + dir, "SOAK_PASSWORD=" + user.Password, "SOAK_TOTP=" + user.TOTPSecret}
	said, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		var line struct {
			Message string `json:"msg"`
			Address string `json:"address"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "listening" {
			_, port, err := net.SplitHostPort(line.Address)
			if err != nil {
				return nil, err
			}
			p.url = "http://localhost:" + port
			go func() { _, _ = io.Copy(io.Discard, said) }()
			return p, nil
		}
	}
	return nil, fmt.Errorf("the program ended before it listened: %v", p.cmd.Wait())
}

func (p *process) stop() {
	p.client.CloseIdleConnections()
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.cmd.Wait()
	}
	_ = os.RemoveAll(p.dir)
}

// figures is what must not grow.
type figures struct {
	goroutines int
	resident   int // resident memory, in bytes
}

// figures asks the program for its own.
func (p *process) figures(ctx context.Context) (figures, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/_arcproxy/metrics", nil)
	if err != nil {
		return figures{}, err
	}
	res, err := p.client.Do(req)
	if err != nil {
		return figures{}, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return figures{}, fmt.Errorf("metrics: HTTP %d", res.StatusCode)
	}
	var f figures
	lines := bufio.NewScanner(io.LimitReader(res.Body, 4<<20))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil:
		case name == "go_goroutines":
			f.goroutines = int(n)
		case name == "process_resident_memory_bytes":
			f.resident = int(n)
		}
	}
	if f.goroutines == 0 || f.resident == 0 {
		return figures{}, fmt.Errorf("metrics: no go_goroutines or process_resident_memory_bytes")
	}
	return f, lines.Err()
}
