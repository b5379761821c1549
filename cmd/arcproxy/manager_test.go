package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The service manager hears when the program is ready, reloads and stops (sd_notify(3)).
func TestTheServiceManagerIsTold(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // which has no such thing
	}
	dir, err := os.MkdirTemp("", "arcproxy") // the name of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	at := filepath.Join(dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", at)
	hears := func(want string) {
		t.Helper()
		buf := make([]byte, 1024)
		_ = manager.SetReadDeadline(time.Now().Add(30 * time.Second))
		n, err := manager.Read(buf)
		if err != nil || !regexp.MustCompile("^"+want+"$").Match(buf[:n]) {
			t.Fatalf("it was told %q, %v; want %s", buf[:n], err, want)
		}
	}
	reloading := `RELOADING=1\nMONOTONIC_USEC=\d+\n`
	if runtime.GOOS != "linux" {
		reloading = "RELOADING=1"
	}
	name := filepath.Join(dir, "config.toml")
	text := "listen = \"127.0.0.1:0\"\n" + base
	put(t, name, text)
	env := testEnv(map[string]string{"PW": "pw"})
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int)
	out := &lockedBuffer{}
	p := &program{stdout: out, stderr: out, env: env}
	go func() { code <- p.run(ctx, []string{"serve", "--config", name}) }()
	hears("READY=1")
	put(t, name, text+"\n") // nothing new, but another text
	hears(reloading)
	hears("READY=1")
	put(t, name, "nonsense")
	hears(reloading)
	hears("READY=1")
	stop()
	hears("STOPPING=1")
	if got := <-code; got != exitDone || !strings.Contains(out.String(), "has a fault") {
		t.Errorf("exit code %d:\n%s", got, out.String())
	}
}
