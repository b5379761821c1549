package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"arcproxy/auth"
	"arcproxy/cache/storage"
	"arcproxy/test/sandbox"
)

// stateConfig is the demo's config before sb, with a state directory.
func stateConfig(t *testing.T, sb *sandbox.Sandbox) *config {
	t.Helper()
	cfg := (&demoCommand{Factor: "none"}).config(sb, testKey)
	cfg.StateDir = t.TempDir()
	return cfg
}

func startSandbox(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Config{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sb.Close)
	return sb
}

// signIns runs an engine once and returns how many sign-ins that cost.
func signIns(t *testing.T, cfg *config, sb *sandbox.Sandbox, how use) int {
	t.Helper()
	before := sb.Portal.Counts().SignIns
	e, err := newEngine(t.Context(), cfg, how, slog.New(slog.NewTextHandler(t.Output(), nil)), audience{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	if _, err := e.cache.Token(t.Context(), "carol"); err != nil {
		t.Fatal(err)
	}
	return sb.Portal.Counts().SignIns - before
}

func TestRestartSignsNobodyIn(t *testing.T) {
	sb := startSandbox(t)
	cfg := stateConfig(t, sb)
	if n := signIns(t, cfg, sb, toOwn); n != 1 {
		t.Errorf("the first start cost %d sign-ins", n)
	}
	if n := signIns(t, cfg, sb, toOwn); n != 0 {
		t.Errorf("a restart cost %d sign-ins", n)
	}
	cfg.Cache.Key = constant(storage.FormatSealKey(storage.NewSealKey()))
	for i, want := range []int{1, 0} {
		if n := signIns(t, cfg, sb, toOwn); n != want {
			t.Errorf("start %d with a configured key cost %d sign-ins", i+1, n)
		}
	}
}

func TestStoreInMemoryKeepsNoGrants(t *testing.T) {
	sb := startSandbox(t)
	cfg := stateConfig(t, sb)
	cfg.Cache.Memory = true
	for range 2 {
		if n := signIns(t, cfg, sb, toOwn); n != 1 {
			t.Errorf("a start cost %d sign-ins", n)
		}
	}
	if _, err := os.Stat(filepath.Join(cfg.StateDir, "sealed")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is sealed in the state directory: %v", err)
	}
	if _, err := os.Stat(filepath.Join(cfg.StateDir, "keys", "fingerprint.key")); err != nil {
		t.Error("refusals would not survive:", err)
	}
}

func TestOneProxyForEachDirectory(t *testing.T) {
	sb := startSandbox(t)
	cfg := stateConfig(t, sb)
	for _, memory := range []bool{false, true} {
		cfg.Cache.Memory = memory
		e, err := newEngine(t.Context(), cfg, toOwn, slog.New(slog.DiscardHandler), audience{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newEngine(t.Context(), cfg, toOwn, slog.New(slog.DiscardHandler), audience{}); !errors.Is(err, storage.ErrInUse) || !strings.Contains(err.Error(), itoa(os.Getpid())) {
			t.Errorf("a second one (memory: %t): %v", memory, err)
		}
		// Commands read the stored grant.
		if _, err := e.cache.Token(t.Context(), "carol"); err != nil {
			t.Fatal(err)
		}
		if !memory {
			if n := signIns(t, cfg, sb, toRead); n != 0 {
				t.Errorf("a command beside it cost %d sign-ins", n)
			}
		}
		e.close()
	}
}

// TestTurnsEnd: a program that does not answer is not waited for without end.
func TestTurnsEnd(t *testing.T) {
	sb := startSandbox(t)
	cfg := stateConfig(t, sb)
	release, err := claim(t.Context(), storage.NewFiles(cfg.StateDir))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = release() }()
	synctest.Test(t, func(t *testing.T) {
		began, told := time.Now(), 0
		proxy, e, err := engineInTurn(t.Context(), cfg, slog.New(slog.DiscardHandler), audience{}, func(*inUse) { told++ })
		if proxy != nil || e != nil || !errors.Is(err, storage.ErrInUse) || told != 1 || time.Since(began) < turnMost {
			t.Errorf("after %v it ends with %v; it was told %d times", time.Since(began), err, told)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, _, err := engineInTurn(ctx, cfg, slog.New(slog.DiscardHandler), audience{}, func(*inUse) {}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("whoever leaves is told %v", err)
		}
	})
}

// TestUnwritableState: it goes on from what is there, and says so once.
func TestUnwritableState(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes keep nobody from writing there")
	}
	if os.Geteuid() == 0 {
		asNobody(t)
		return
	}
	sb := startSandbox(t)
	cfg := stateConfig(t, sb)
	if n := signIns(t, cfg, sb, toOwn); n != 1 {
		t.Errorf("the first start cost %d sign-ins", n)
	}
	chmodAll(t, cfg.StateDir, 0o500)
	t.Cleanup(func() { chmodAll(t, cfg.StateDir, 0o700) })
	var logs bytes.Buffer
	s, err := openState(t.Context(), cfg, toOwn, slog.New(slog.NewTextHandler(&logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(logs.String(), "level=ERROR"); n != 1 || !strings.Contains(logs.String(), "cannot be written") {
		t.Errorf("it says: %s", logs.String())
	}
	if err := s.sealed.Grants().Save(t.Context(), "bob", auth.Grant{AccessToken: auth.NewSecret("x")}); err != nil {
		t.Error("the copy cannot be written:", err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if n := signIns(t, cfg, sb, toOwn); n != 0 {
		t.Errorf("a start on a directory that cannot be written cost %d sign-ins", n)
	}
}

func chmodAll(t *testing.T, dir string, mode os.FileMode) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && mode&0o200 != 0 {
			err = os.Chmod(name, mode)
		}
		return err
	})
	if err == nil && mode&0o200 == 0 {
		var dirs []string
		err = filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, name)
			}
			return err
		})
		for _, name := range slices.Backward(dirs) {
			err = errors.Join(err, os.Chmod(name, mode))
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// TestRemember: a copy in memory has what the directory has, and none of its locks.
func TestRemember(t *testing.T) {
	ctx := t.Context()
	files := storage.NewFiles(t.TempDir())
	for _, name := range []string{"certificates/a/a.key", "sealed/0/tokens/1", "locks/x.flock", "tmp/.1"} {
		if err := files.Store(ctx, name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	m, err := remember(ctx, files, "")
	if err != nil {
		t.Fatal(err)
	}
	names, err := m.List(ctx, "", true)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"certificates/a/a.key": true, "sealed/0/tokens/1": true, "locks/x.flock": false, "tmp/.1": false} {
		if slices.Contains(names, name) != want {
			t.Errorf("%s is in the copy: %t", name, !want)
		}
	}
	if value, err := m.Load(ctx, "certificates/a/a.key"); err != nil || string(value) != "certificates/a/a.key" {
		t.Errorf("%q, %v", value, err)
	}
	if _, err := remember(ctx, storage.NewFiles(filepath.Join(t.TempDir(), "nothing")), ""); err != nil {
		t.Error("a directory that is not there:", err)
	}
}

// TestIssuedTokenSurvivesRestart: a token of the proxy's own is good after a
// restart, unless its caller has got another key meanwhile.
func TestIssuedTokenSurvivesRestart(t *testing.T) {
	sb := startSandbox(t)
	cfg := stateConfig(t, sb)
	cfg.Callers = cfg.Callers[:1] // nobody is known by address
	run := func(do func(*rig)) {
		t.Run("run", func(t *testing.T) { do(startRig(t, cfg, sb)) })
	}
	var kept, ended string
	run(func(r *rig) {
		kept, ended = r.generateToken(t), r.generateToken(t)
		if !r.good(t, kept) {
			t.Fatal("a token is not good")
		}
		res, err := r.http.PostForm(r.base+"/portal/sharing/rest/oauth2/revokeToken", url.Values{"auth_token": {ended}})
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	})
	run(func(r *rig) {
		if !r.good(t, kept) {
			t.Error("after a restart, a token is not good")
		}
		if r.good(t, ended) {
			t.Error("after a restart, a revoked token is good again")
		}
	})
	sum := sha256.Sum256([]byte("another key of the same caller"))
	cfg.Callers[0].KeySHA256 = &sum
	run(func(r *rig) {
		if r.good(t, kept) {
			t.Error("a token that the former key got is good though the caller has another")
		}
	})
	if n := sb.Portal.Counts().SignIns; n != 1 {
		t.Errorf("three runs cost %d sign-ins", n)
	}
}

// generateToken gets a token of the proxy's own for the test's caller.
func (r *rig) generateToken(t *testing.T) string {
	t.Helper()
	res, err := r.http.PostForm(r.base+"/portal/sharing/rest/generateToken", url.Values{
		"username": {"script"}, "password": {testKey}, "f": {"json"}, "client": {"requestip"}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ Token string }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.Token == "" {
		t.Fatalf("no token: %v", err)
	}
	return answer.Token
}

// good reports whether a request with a token comes back signed in.
func (r *rig) good(t *testing.T, token string) bool {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.base+selfPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Esri-Authorization", "Bearer "+token)
	res, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(body), r.sb.User("carol").GISUsername)
}
