package main

import (
	"context"
	"os"
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
			// claim DIR: this process works on the state directory DIR to the end of the script.
			"claim": func(ts *testscript.TestScript, _ bool, args []string) {
				release, err := claim(context.Background(), storage.NewFiles(ts.MkAbs(args[0])))
				ts.Check(err)
				ts.Defer(func() { _ = release() })
			},
		},
	})
}
