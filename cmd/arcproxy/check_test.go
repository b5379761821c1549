//go:build unix

package main

import (
	"strings"
	"testing"

	"arcproxy/test/sandbox"
	"arcproxy/test/sandbox/okta"
)

// TestCheckTellsTheEngine: `check --sign-in` says which engine the organization has,
// and signs in by either.
func TestCheckTellsTheEngine(t *testing.T) {
	for pipeline, name := range map[string]string{"v1": "Classic engine", "idx": "Identity Engine"} {
		t.Run(pipeline, func(t *testing.T) {
			settings := okta.DefaultSettings()
			settings.Pipeline, settings.MFA = pipeline, okta.MFANever
			sb, err := sandbox.Start(sandbox.Config{Okta: &settings})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(sb.Close)
			t.Setenv("ALICE_PASSWORD", sb.User("alice").Password)
			config, _ := writeConfig(t, sb, "")
			withPassword(t, config)
			p := at(t, config, "check", "--sign-in")
			p.exits(exitDone)
			if out := p.stdout.String(); !strings.Contains(out, ": "+name+"\n") || !strings.Contains(out, "sign-in    ok") {
				t.Errorf("it prints\n%.500s", out)
			}
		})
	}
}
