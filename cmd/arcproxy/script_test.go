package main

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts run this program as "arcproxy".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"arcproxy": func() {
			p := &program{stdout: os.Stdout, stderr: os.Stderr, env: environment{lookup: os.LookupEnv}}
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
	})
}
