//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTokenAsks: `token` and `check --sign-in` ask in the terminal, too.
func TestTokenAsks(t *testing.T) {
	for _, args := range [][]string{{"token", "alice"}, {"check", "--sign-in"}} {
		t.Run(args[0], func(t *testing.T) {
			sb := codesOnly(t)
			t.Setenv("ALICE_PASSWORD", sb.User("alice").Password)
			config, _ := writeConfig(t, sb, "")
			withPassword(t, config)
			p := at(t, config, args...)
			p.sees("alice: code from ")
			p.types(codeOf(t, sb))
			p.exits(exitDone)
			out := p.stdout.String()
			if args[0] == "token" && (len(out) < 20 || strings.Count(out, "\n") != 1) || args[0] == "check" && !strings.Contains(out, "sign-in    ok") {
				t.Errorf("it prints\n%.300s", out)
			}
		})
	}
}

// TestTokenOfTheProxy: beside a running proxy `token` and `check --sign-in` sign nobody
// in, they ask it; and they ask the person, where it does.
func TestTokenOfTheProxy(t *testing.T) {
	sb := codesOnly(t)
	t.Setenv("ALICE_PASSWORD", sb.User("alice").Password)
	config, _ := writeConfig(t, sb, "[audit]\nfile = \"audit.jsonl\"")
	withPassword(t, config)
	r, stop := serveFile(t, config)
	p := at(t, config, "token", "alice")
	p.sees("alice: code from ")
	p.types("000000")
	p.sees("(the last was refused): ")
	p.types(codeOf(t, sb))
	p.exits(exitDone)
	if screen := p.screen.String(); strings.Count(screen, "alice: a code is asked for") != 1 {
		t.Errorf("it tells a step twice:\n%s", screen)
	}
	token := strings.TrimSpace(p.stdout.String())
	if held, err := r.engine.cache.Token(t.Context(), "alice"); err != nil || token != held.AccessToken.Reveal() {
		t.Errorf("it prints %q; the proxy's is another, %v", token, err)
	}
	// The second costs nothing, and needs no secret of the config.
	if err := os.Unsetenv("ALICE_PASSWORD"); err != nil {
		t.Fatal(err)
	}
	before := sb.Okta.Counts()
	p = at(t, config, "token", "alice", "--format", "json")
	p.exits(exitDone)
	if out := p.stdout.String(); !strings.Contains(out, token) || !strings.Contains(out, sb.User("alice").GISUsername) || !strings.Contains(out, sb.PortalURL.String()) {
		t.Errorf("it prints %s", out)
	}
	t.Setenv("ALICE_PASSWORD", sb.User("alice").Password)
	p = at(t, config, "check", "--sign-in")
	p.exits(exitDone)
	if out := p.stdout.String(); !strings.Contains(out, "sign-in    ok      alice: signed in as "+sb.User("alice").GISUsername) || !strings.Contains(out, "by the running proxy") {
		t.Errorf("it prints\n%s", out)
	}
	if n := sb.Okta.Counts().Primary - before.Primary; n != 0 || sb.Portal.Counts().SignIns != 1 {
		t.Errorf("%d more passwords, %d sign-ins", n, sb.Portal.Counts().SignIns)
	}
	// Who is not the user that runs the proxy gets none.
	if status, body := r.own(t, "POST", "api/v1/identities/alice/token", "", ""); status < 400 || strings.Contains(body, token) {
		t.Errorf("by the network it answers HTTP %d", status)
	}
	p = at(t, config, "logout", "alice")
	p.exits(exitDone)
	t.Setenv("ALICE_PASSWORD", "mistyped")
	p = at(t, config, "token", "alice")
	p.sees("credential refused")
	p.sees("what to do: ")
	p.exits(exitFailed)
	stop()
	lines, err := os.ReadFile(filepath.Join(filepath.Dir(config), "audit.jsonl"))
	if n := bytes.Count(lines, []byte(`"path":"/_arcproxy/api/v1/identities/alice/token"`)); err != nil || n != 4 {
		t.Errorf("%d records, %v:\n%s", n, err, lines)
	}
	if strings.Contains(r.logs.String()+p.screen.String()+string(lines), token) {
		t.Error("a token came out")
	}
}

// TestServeInTurn: a proxy that starts while a command is at a sign-in waits for it; one
// that starts beside another proxy does not.
func TestServeInTurn(t *testing.T) {
	sb := codesOnly(t)
	t.Setenv("ALICE_PASSWORD", sb.User("alice").Password)
	config, _ := writeConfig(t, sb, "")
	withPassword(t, config)
	first := at(t, config, "token", "alice")
	first.sees("alice: code from ")
	second := at(t, config, "serve")
	second.sees("waiting until another program is done with the state directory")
	first.types(codeOf(t, sb))
	first.exits(exitDone)
	second.sees("listening")
	third := at(t, config, "serve")
	third.sees("another arcproxy works on this state directory")
	third.exits(exitFailed)
	second.cancel()
	second.exits(exitDone)
}

// TestTokensInTurn: without a proxy, of two commands at once one signs in.
func TestTokensInTurn(t *testing.T) {
	sb := codesOnly(t)
	t.Setenv("ALICE_PASSWORD", sb.User("alice").Password)
	config, _ := writeConfig(t, sb, "")
	withPassword(t, config)
	first := at(t, config, "token", "alice")
	first.sees("alice: code from ")
	second := at(t, config, "token", "alice")
	second.sees("waiting until another program is done with state_dir ")
	first.types(codeOf(t, sb))
	first.exits(exitDone)
	second.exits(exitDone)
	if one, other := first.stdout.String(), second.stdout.String(); one == "" || one != other {
		t.Error("they print different tokens")
	}
	if n := sb.Portal.Counts().SignIns; n != 1 {
		t.Errorf("%d sign-ins", n)
	}
}
