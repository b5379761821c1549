package listener

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smallstep/truststore"
)

// onlyTools makes the named programs the only ones there are: no sudo, which
// would ask the person who runs the tests for a password.
func onlyTools(t *testing.T, names ...string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("needs %s: %v", name, err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

// systemStore points truststore at a store of the test's own.
func systemStore(t *testing.T, command ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	filename, update, profile := truststore.SystemTrustFilename, truststore.SystemTrustCommand, truststore.NSSProfile
	t.Cleanup(func() {
		truststore.SystemTrustFilename, truststore.SystemTrustCommand, truststore.NSSProfile = filename, update, profile
	})
	truststore.SystemTrustFilename = filepath.Join(dir, "%s.crt")
	truststore.SystemTrustCommand = command
	truststore.NSSProfile = filepath.Join(dir, "no-firefox", "*")
	return dir
}

func TestInstall(t *testing.T) {
	a := localTLS(t).Authority()
	onlyTools(t, "tee", "rm", "true")
	dir := systemStore(t, "true")
	if plan := InstallPlan(); !strings.Contains(plan, dir) || strings.Contains(plan, "sudo") {
		t.Errorf("plan: %s", plan)
	}
	for _, done := range Install(a.Root()) {
		if done.Err != nil {
			t.Errorf("%s: %v", done.Store, done.Err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.crt"))
	if err != nil || len(files) != 1 {
		t.Fatalf("installed %q, %v", files, err)
	}
	if got, err := os.ReadFile(files[0]); err != nil || !bytes.Equal(got, a.RootPEM()) {
		t.Errorf("installed %q, %v", got, err)
	}
	for _, done := range Uninstall(a.Root()) {
		if done.Err != nil {
			t.Errorf("%s: %v", done.Store, done.Err)
		}
	}
	if _, err := os.Stat(files[0]); !os.IsNotExist(err) {
		t.Errorf("still installed: %v", err)
	}
}

func TestInstallFails(t *testing.T) {
	a := localTLS(t).Authority()
	onlyTools(t, "tee", "rm", "ls")
	systemStore(t, "ls", "/no/such/directory")
	err := Install(a.Root())[0].Err
	if err == nil || !strings.Contains(err.Error(), "/no/such/directory") || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("got %v", err)
	}
	// Firefox is there, but the tool that could tell it is not.
	profile := filepath.Join(t.TempDir(), "profile")
	write(t, profile, nil)
	truststore.NSSProfile = profile
	done := Install(a.Root())
	if last := done[len(done)-1]; last.Store != nssStore || last.Err == nil || !strings.Contains(last.Err.Error(), "certutil") {
		t.Errorf("got %+v", last)
	}
}
