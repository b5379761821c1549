package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"arcproxy/proxy/console"
	"arcproxy/proxy/listener"
)

// Commands reach a running proxy by a socket in its state directory. Who can open it
// is who may read that directory, which is nobody but the user that runs the proxy;
// and nobody else can have put it there, so that a password which is typed into
// `arcproxy login` goes to that proxy and to no other program. There is such a socket
// on every system, Windows included.

// socketName is the socket's, in the state directory.
const socketName = "control.sock"

// controlSocket is the proxy's end.
type controlSocket struct {
	server *http.Server
	done   chan struct{} // closed when it serves no more
}

// listenControl serves h to commands. It returns nil, and says so in the log, if it
// cannot: a proxy works without.
func listenControl(c *config, h http.Handler, log *slog.Logger) *controlSocket {
	if c.StateDir == "" {
		return nil
	}
	name := filepath.Join(c.StateDir, socketName)
	_ = os.Remove(name) // of a program that was killed: the directory is claimed, so nobody listens
	l, err := net.Listen("unix", name)
	if err == nil {
		err = os.Chmod(name, 0o600)
	}
	if err != nil {
		log.Warn("the commands login, logout, status and token cannot reach this proxy; use its page instead", "socket", name, "page", c.consoleURL(), "error", err)
		return nil
	}
	s := &controlSocket{server: listener.Server(h, log), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(l) // it ends with close
	}()
	return s
}

// close ends it and waits for that.
func (s *controlSocket) close() {
	if s == nil {
		return
	}
	_ = s.server.Close()
	<-s.done
}

// running is a proxy that runs on the state directory.
type running struct{ client *http.Client }

// findRunning returns the proxy that runs on c's state directory, nil if none does.
func findRunning(ctx context.Context, c *config) *running {
	if c.StateDir == "" {
		return nil
	}
	info, err := os.Stat(c.StateDir)
	if err != nil || !ownersOnly(info, os.Geteuid()) { // others could have put one there
		return nil
	}
	name := filepath.Join(c.StateDir, socketName)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", name)
	}
	conn, err := dial(ctx, "", "")
	if err != nil {
		return nil
	}
	_ = conn.Close()
	return &running{&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

const answerMost = 4 << 20 // bytes of the proxy's that are read

// send asks the proxy. A status that is no success is an error with its text. The
// caller closes the body.
func (r *running) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://arcproxy"+console.Path+"api/v1/"+path, in)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the running proxy does not answer: %w", errors.Unwrap(err)) // without the made-up address
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	var failed struct {
		Error string `json:"error"`
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, answerMost))
	if err != nil || json.Unmarshal(text, &failed) != nil || failed.Error == "" {
		return nil, fmt.Errorf("the running proxy answers HTTP %d", res.StatusCode)
	}
	return nil, &refusedError{res.StatusCode, failed.Error}
}

// refusedError is what a running proxy answers to what it does not do.
type refusedError struct {
	status int
	text   string
}

func (e *refusedError) Error() string { return e.text }

// snapshot asks how everything stands.
func (r *running) snapshot(ctx context.Context) (*console.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	res, err := r.send(ctx, http.MethodGet, "state", nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var s console.Snapshot
	if err := json.NewDecoder(io.LimitReader(res.Body, answerMost)).Decode(&s); err != nil {
		return nil, fmt.Errorf("the running proxy's answer: %w", err)
	}
	return &s, nil
}

// identity asks how one identity stands.
func (r *running) identity(ctx context.Context, name string) (console.Identity, error) {
	s, err := r.snapshot(ctx)
	if err != nil {
		return console.Identity{}, err
	}
	for _, id := range s.Identities {
		if id.Name == name {
			return id, nil
		}
	}
	return console.Identity{}, fmt.Errorf("the running proxy has no identity %q yet; it takes up a changed config by itself, or with a restart", name)
}

// answer answers a question. One that is over, or was answered by somebody else, is
// no error.
func (r *running) answer(ctx context.Context, name, challenge, text string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	res, err := r.send(ctx, http.MethodPost, "identities/"+url.PathEscape(name)+"/answer", struct {
		Challenge string `json:"challenge"`
		Answer    string `json:"answer"`
	}{challenge, text})
	if refused, ok := errors.AsType[*refusedError](err); ok && refused.status == http.StatusConflict {
		return nil
	}
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// signOut signs an identity out.
func (r *running) signOut(ctx context.Context, name string) error {
	res, err := r.send(ctx, http.MethodPost, "identities/"+url.PathEscape(name)+"/sign-out", nil)
	if err != nil {
		return err
	}
	return res.Body.Close()
}
