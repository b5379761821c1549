package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"arcproxy/cache/storage"
)

// TestMain lets the scripts run this program as "arcproxy".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"arcproxy": func() {
			p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: environment{lookup: os.LookupEnv}}
			os.Exit(p.run(context.Background(), os.Args[1:]))
		},
	})
}

// TestScripts runs testdata/script/*.txtar, which read like a manual.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_STATE_HOME", e.WorkDir+"/state")
			e.Setenv("STATE_DIRECTORY", e.WorkDir+"/state")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// claim DIR: this process works on the state directory DIR, as a proxy does, to the
			// end of the script.
			"claim": func(ts *testscript.TestScript, _ bool, args []string) {
				dir := ts.MkAbs(args[0])
				release, err := claim(context.Background(), storage.NewFiles(dir))
				ts.Check(err)
				ts.Defer(func() { _ = release() })
				socket, err := net.Listen("unix", filepath.Join(dir, socketName))
				ts.Check(err)
				ts.Defer(func() { _ = socket.Close() })
			},
		},
	})
}
