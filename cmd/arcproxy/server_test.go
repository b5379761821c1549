package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"arcproxy/auth"
	"arcproxy/test/sandbox"
)

const testKey = "KEYKEYKEYKEYKEYKEYKEYKEYKE"

// rig is the whole program, in this process, before a sandbox.
type rig struct {
	*server
	sb   *sandbox.Sandbox
	logs *lockedBuffer
	base string // http://127.0.0.1:port
	http *http.Client
}

// newRig starts a sandbox and the server that the demo would run before it.
func newRig(t *testing.T, factor string) *rig {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Config{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sb.Close)
	d := &demoCommand{Factor: factor}
	return startRig(t, d.config(sb, testKey), sb)
}

// startRig starts the server of cfg on a free port.
func startRig(t *testing.T, cfg *config, sb *sandbox.Sandbox) *rig {
	t.Helper()
	logs := &lockedBuffer{}
	log := slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(t.Context(), cfg, inner, log, logSteps(log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx) }()
	tr := &http.Transport{MaxIdleConnsPerHost: 200}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		stop()
		if err := <-served; err != nil {
			t.Errorf("serve ended with %v", err)
		}
		s.close()
	})
	return &rig{server: s, sb: sb, logs: logs, base: "http://" + s.address(), http: &http.Client{Transport: tr, Timeout: time.Minute}}
}

// get returns the answer's body and fails the test if it is not a good one.
func (r *rig) get(t *testing.T, path string) string {
	t.Helper()
	body, err := r.try(path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func (r *rig) try(path string) (string, error) {
	req, err := http.NewRequest(http.MethodGet, r.base+path, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("X-Esri-Authorization", "Bearer "+testKey)
	res, err := r.http.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("HTTP %d: %s", res.StatusCode, body)
	}
	return string(body), nil
}

const selfPath = "/portal/sharing/rest/portals/self?f=json"

func TestPlainRequestComesBackSignedIn(t *testing.T) {
	for _, factor := range []string{"totp", "none"} {
		t.Run(factor, func(t *testing.T) {
			r := newRig(t, factor)
			who := map[string]string{"totp": "alice", "none": "carol"}[factor]
			if body := r.get(t, selfPath); !strings.Contains(body, r.sb.User(who).GISUsername) {
				t.Errorf("portals/self is not signed in as %s: %.300s", who, body)
			}
			if n := r.sb.Portal.Counts().SignIns; n != 1 {
				t.Errorf("%d sign-ins", n)
			}
		})
	}
}

func TestPushIsApprovedOnceForAll(t *testing.T) {
	r := newRig(t, "push")
	r.sb.Okta.Phone(r.sb.User("alice").Login).ApproveAfter(0)
	many(t, 1000, func() error { _, err := r.try(selfPath); return err })
	if n := r.sb.Portal.Counts().SignIns; n != 1 {
		t.Errorf("1,000 cold requests cost %d sign-ins", n)
	}
	if n := r.sb.Okta.Counts().Pushes; n != 1 {
		t.Errorf("1,000 cold requests sent %d pushes", n)
	}
}

func TestRevokedTokenIsRenewedOnceForAll(t *testing.T) {
	r := newRig(t, "totp")
	r.get(t, selfPath)
	before := r.sb.Portal.Counts()
	r.sb.Portal.RevokeAccessTokens()
	many(t, 50, func() error {
		body, err := r.try(selfPath)
		if err == nil && !strings.Contains(body, r.sb.User("alice").GISUsername) {
			err = fmt.Errorf("not signed in: %.200s", body)
		}
		return err
	})
	after := r.sb.Portal.Counts()
	if n := after.Refreshes - before.Refreshes + after.SignIns - before.SignIns; n != 1 {
		t.Errorf("50 requests with a revoked token cost %d renewals", n)
	}
}

// many calls f n times at once and reports what failed.
func many(t *testing.T, n int, f func() error) {
	t.Helper()
	start := make(chan struct{})
	errs := make(chan error, n)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { <-start; errs <- f() })
	}
	close(start)
	wg.Wait()
	close(errs)
	failed := 0
	for err := range errs {
		if err != nil {
			if failed++; failed <= 3 {
				t.Error(err)
			}
		}
	}
	if failed > 0 {
		t.Errorf("%d of %d requests failed", failed, n)
	}
}

func TestOnePortAnswersHTTPAndHTTPS(t *testing.T) {
	r := newRig(t, "totp")
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(r.tls.Authority().RootPEM())
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	u, _ := url.Parse(r.base)
	req, _ := http.NewRequest(http.MethodGet, "https://localhost:"+u.Port()+selfPath, nil)
	req.Header.Set("Authorization", "Bearer "+testKey)
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.ProtoMajor != 2 {
		t.Errorf("HTTPS answers %s by %s", res.Status, res.Proto)
	}
	r.get(t, selfPath)
}

// TestCanary looks for every secret of the sandbox in every log line and answer.
func TestCanary(t *testing.T) {
	var answers bytes.Buffer
	var secrets []string
	for _, factor := range []string{"totp", "push"} {
		r := newRig(t, factor)
		phone := r.sb.Okta.Phone(r.sb.User("alice").Login)
		phone.ApproveAfter(0)
		for _, path := range []string{selfPath, "/portal/sharing/rest/community/self?f=json", "/portal/sharing/rest/info?f=json", "/server/rest/services?f=json",
			"/server/rest/services/Trees/FeatureServer/0/query?where=1%3D1&f=json&resultRecordCount=3",
			"/portal/home/", "/portal/nowhere", "/nowhere", "/portal/../x", selfPath + "&token=wrong"} {
			for _, key := range []string{"", testKey, "wrong-key-wrong-key-wrong"} {
				req, _ := http.NewRequest(http.MethodGet, r.base+path, nil)
				if key != "" {
					req.Header.Set("Authorization", "Bearer "+key)
				}
				res, err := r.http.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Write(&answers)
				res.Body.Close()
			}
		}
		r.sb.Portal.RevokeAccessTokens()
		r.get(t, selfPath)
		secrets = append(secrets, r.sb.Secrets()...)
		answers.WriteString(r.logs.String())
	}
	secrets = append(secrets, testKey)
	if len(secrets) < 20 {
		t.Fatalf("the sandbox names only %d secrets", len(secrets))
	}
	text := answers.String()
	for _, s := range secrets {
		if len(s) < 8 { // a number challenge, which is meant to be shown, or six digits, which occur by chance
			continue
		}
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s)} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("a secret of %d characters came out: …%.60q", len(s), text[max(0, i-60):i])
				break
			}
		}
	}
}

// TestRefusedPasswordIsTriedOnce is about a locked account: callers, restarts and
// time must not lead to a second attempt with the same password.
func TestRefusedPasswordIsTriedOnce(t *testing.T) {
	sb, err := sandbox.Start(sandbox.Config{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sb.Close)
	cfg := (&demoCommand{Factor: "totp"}).config(sb, testKey)
	cfg.StateDir = t.TempDir()
	password := "not-the-password"
	cfg.Identities[0].Password = func(context.Context) (auth.Secret, error) { return auth.NewSecret(password), nil }
	ask := func() error {
		e, err := newEngine(t.Context(), cfg, toOwn, slog.New(slog.DiscardHandler), audience{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.close()
		_, first := e.cache.Token(t.Context(), "alice")
		if _, err := e.cache.Token(t.Context(), "alice"); (err == nil) != (first == nil) {
			t.Errorf("asked twice: %v, then %v", first, err)
		}
		return first
	}
	for range 3 { // each is a restart
		if err := ask(); auth.KindOf(err) != auth.CredentialRefused {
			t.Fatalf("a wrong password yields %v", err)
		}
	}
	if n := sb.Okta.Counts().BadPasswords; n != 1 {
		t.Errorf("the wrong password was sent %d times", n)
	}
	password = sb.User("alice").Password
	if err := ask(); err != nil {
		t.Errorf("after the password was corrected: %v", err)
	}
}

func TestDemoKeyIsHashed(t *testing.T) {
	sb := sandbox.New(sandbox.Config{Log: slog.New(slog.DiscardHandler)})
	defer sb.Close()
	cfg := (&demoCommand{Factor: "totp"}).config(sb, testKey)
	if *cfg.Callers[0].KeySHA256 != sha256.Sum256([]byte(testKey)) {
		t.Error("the demo's caller does not hold the key's SHA-256")
	}
}

// lockedBuffer is a log that a test reads while it is written.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
