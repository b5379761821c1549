package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"arcproxy/cache"
	"arcproxy/proxy/console"
)

// logoutCommand signs an identity out.
type logoutCommand struct {
	Identity string `arg:"" help:"The identity's name in the config."`
}

// Help shows an example.
func (logoutCommand) Help() string {
	return `Revokes the identity's tokens at the Portal, ends its session at Okta and forgets
both. With a configured password, the next request signs in anew.

Example:
  $ arcproxy logout alice`
}

// Run signs out in the running proxy, or else what is stored.
func (c *logoutCommand) Run(ctx context.Context, p *program) error {
	cfg, _, err := p.configured(ctx, c.Identity)
	if err != nil {
		return err
	}
	if proxy := findRunning(ctx, cfg); proxy != nil {
		err = proxy.signOut(ctx, c.Identity)
	} else {
		var e *engine
		if e, err = p.ownEngine(ctx, cfg); err != nil {
			return err
		}
		defer e.close()
		err = e.cache.Forget(ctx, c.Identity)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stderr, "%s: signed out\n", c.Identity)
	return nil
}

// statusCommand shows how identities stand.
type statusCommand struct {
	JSON bool `help:"Print JSON."`
}

// Help shows an example.
func (statusCommand) Help() string {
	return `Asks the running proxy, or else looks at what is stored.

Example:
  $ arcproxy status
  alice  signed in   as alice_gis until 2026-11-28T23:04:38Z (29m), by renewal, renewable until 2026-12-12T22:04:38Z
  bob    failed      signing bob in: Okta: password: credential refused (E0000004)
                     at 2026-11-28T22:31:07Z
                     cleared by another credential in the config, or a sign-in by hand (arcproxy login)`
}

// Run prints a line or more per identity.
func (c *statusCommand) Run(ctx context.Context, p *program) error {
	cfg, err := p.loadBeside(ctx)
	if err != nil {
		return err
	}
	var list []console.Identity
	proxy := findRunning(ctx, cfg)
	if proxy != nil {
		s, err := proxy.snapshot(ctx)
		if err != nil {
			return err
		}
		list = s.Identities
	} else {
		e, err := newEngine(ctx, cfg, toRead, newCommandLog(p.stderr, cfg.Log), audience{})
		if err != nil {
			return err
		}
		defer e.close()
		e.cache.Keep(cfg.names())
		e.cache.Restore(ctx, cfg.names())
		list = e.control().Identities()
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(struct {
			Running    bool               `json:"running"`
			Identities []console.Identity `json:"identities"`
		}{proxy != nil, list})
	}
	switch {
	case proxy != nil:
	case cfg.StateDir == "":
		fmt.Fprintf(p.stderr, "by %s all is in memory, and a running proxy cannot be asked; its page tells, %s\n", p.configFile, cfg.consoleURL())
	default:
		fmt.Fprintf(p.stderr, "no proxy runs on the state_dir %s; this is what is stored\n", cfg.StateDir)
	}
	byHand := map[string]bool{}
	for _, id := range cfg.Identities {
		byHand[id.Name] = id.Password == nil
	}
	return printIdentities(p.stdout, list, byHand, time.Now())
}

// printIdentities prints list as a table. Those of byHand only a person signs in.
func printIdentities(w io.Writer, list []console.Identity, byHand map[string]bool, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, id := range list {
		for i, line := range describe(id, byHand[id.Name], now) {
			name, state := id.Name, string(id.State)
			if i > 0 {
				name, state = "", ""
			}
			fmt.Fprintf(t, "%s\t%s\t%s\n", name, state, line)
		}
	}
	return t.Flush()
}

// describe says how an identity stands, in a line or more.
func describe(id console.Identity, byHand bool, now time.Time) []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if !id.Until.IsZero() {
		line := "as " + id.Username
		if now.Before(id.Until) {
			line += fmt.Sprintf(" until %s (%s)", clock(id.Until), left(id.Until.Sub(now)))
		} else {
			line += ", whose token has ended"
		}
		if id.By == cache.ByRestart {
			line += ", kept over a restart"
		} else {
			line += ", by " + id.By
		}
		switch {
		case !id.RenewableUntil.IsZero():
			line += ", renewable until " + clock(id.RenewableUntil)
		case id.Renewable:
			line += ", renewable"
		}
		say("%s", line)
	}
	if id.State == console.SigningIn || id.State == console.Asking {
		say("%s; %d waiting", id.Event, id.Waiting)
	}
	if q := id.Challenge; q != nil {
		switch {
		case q.Number != "":
			say("to be approved with the number %s on %s, until %s", q.Number, q.Device, clock(q.Deadline))
		case q.Code:
			say("to be answered with `arcproxy login %s`, until %s", id.Name, clock(q.Deadline))
		}
	}
	if f := id.Failure; f != nil {
		say("%s", f.Text)
		if !f.Time.IsZero() {
			say("at %s", clock(f.Time))
		}
		if f.Clears != "" {
			say("cleared by %s", f.Clears)
		}
		if f.Remedy != "" {
			say("what to do: %s", f.Remedy)
		}
	}
	if f := id.PushPause; f != nil && now.Before(f.Until) {
		say("no push is sent until %s: %s", clock(f.Until), f.Kind)
	}
	switch {
	case lines != nil:
	case byHand:
		say("a person signs in: arcproxy login %s", word(id.Name))
	default:
		say("the next request signs in")
	}
	return lines
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// left renders a duration for a person.
func left(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	case d >= time.Minute:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return d.Round(time.Second).String()
}
