package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"arcproxy/auth"
)

// tokenCommand signs an identity in and prints its token.
type tokenCommand struct {
	Identity string `arg:"" help:"The identity's name in the config."`
	Format   string `enum:"token,json,env" default:"token" help:"token, json or env."`
}

// Help shows an example.
func (tokenCommand) Help() string {
	return `The token is a real one of the Portal: whoever has it is that person until it
expires. It goes to standard output; the steps of the sign-in go to standard error.

Examples:
  $ TOKEN=$(arcproxy token alice)
  $ curl -H "X-Esri-Authorization: Bearer $TOKEN" https://gis.example.com/portal/sharing/rest/community/self?f=json
  $ arcproxy token alice --format json
  {"token":"…","username":"alice@example.com","expires":"2026-11-23T22:04:38Z","portal":"https://gis.example.com/portal"}
  $ arcproxy token alice --format env > .env     # ARCGIS_TOKEN=…, ARCGIS_PORTAL=…`
}

// Run signs in and prints. The environment, a pipe or a file takes the output.
func (c *tokenCommand) Run(ctx context.Context, p *program) error {
	cfg, err := loadConfig(ctx, p.configFile, p.env)
	if err != nil {
		return err
	}
	if _, ok := cfg.identity(c.Identity); !ok {
		return usageError(fmt.Sprintf("%s has no identity %q", p.configFile, c.Identity))
	}
	e, err := newEngine(ctx, cfg, toShare, newCommandLog(p.stderr, cfg.Log), p.audience())
	if err != nil {
		return err
	}
	defer e.close()
	grant, err := e.cache.Token(ctx, c.Identity)
	if err != nil {
		return err
	}
	return c.print(p, cfg, grant)
}

func (c *tokenCommand) print(p *program, cfg *config, g auth.Grant) error {
	token, portal := g.AccessToken.Reveal(), cfg.Portal.URL.String()
	expires := g.Expires.UTC().Format(time.RFC3339)
	var err error
	switch c.Format {
	case "json":
		err = json.NewEncoder(p.stdout).Encode(struct {
			Token    string `json:"token"`
			Username string `json:"username"`
			Expires  string `json:"expires"`
			Portal   string `json:"portal"`
		}{token, g.Username, expires, portal})
	case "env":
		_, err = fmt.Fprintf(p.stdout, "ARCGIS_TOKEN=%s\nARCGIS_TOKEN_EXPIRES=%s\nARCGIS_PORTAL=%s\n", token, expires, portal)
	default:
		_, err = fmt.Fprintln(p.stdout, token)
	}
	return err
}

// tellPerson shows a step of a sign-in to the person at the terminal.
func (p *program) tellPerson(e auth.Event) {
	fmt.Fprintf(p.stderr, "%s: %s\n", e.Identity, e.Text)
}
