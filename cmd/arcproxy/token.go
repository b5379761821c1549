package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"arcproxy/auth"
	"arcproxy/cache/storage"
)

// tokenCommand signs an identity in and prints its token.
type tokenCommand struct {
	Identity string `arg:"" help:"The identity's name in the config."`
	Format   string `enum:"token,json,env" default:"token" help:"token, json or env."`
}

// Help shows an example.
func (tokenCommand) Help() string {
	return `The token is a real one of the Portal: whoever has it is that person until it
expires. Beside a running proxy it is that one's; where none runs, the identity is
signed in if need be. It goes to standard output; the steps go to standard error.

Examples:
  $ TOKEN=$(arcproxy token alice)
  $ curl -H "X-Esri-Authorization: Bearer $TOKEN" https://gis.example.com/portal/sharing/rest/community/self?f=json
  $ arcproxy token alice --format json
  {"token":"…","username":"alice@example.com","expires":"2026-11-23T22:04:38Z","portal":"https://gis.example.com/portal"}
  $ arcproxy token alice --format env > .env     # ARCGIS_TOKEN=…, ARCGIS_PORTAL=…`
}

// Run signs in and prints. The environment, a pipe or a file takes the output.
func (c *tokenCommand) Run(ctx context.Context, p *program) error {
	cfg, _, err := p.configured(ctx, c.Identity)
	if err != nil {
		return err
	}
	grant, err := p.token(ctx, cfg, c.Identity)
	if err != nil {
		return err
	}
	return c.print(p, cfg, grant)
}

// token obtains a token of an identity of cfg: from the running proxy, or else itself.
func (p *program) token(ctx context.Context, cfg *config, identity string) (auth.Grant, error) {
	proxy := findRunning(ctx, cfg)
	if proxy == nil {
		cfg, err := loadConfig(ctx, p.configFile, p.env) // with its secrets
		if err != nil {
			return auth.Grant{}, err
		}
		var e *engine
		if proxy, e, err = p.inTurn(ctx, cfg); err != nil {
			return auth.Grant{}, err
		}
		if e != nil {
			defer e.close()
			return e.cache.Token(ctx, identity)
		}
	}
	return proxy.token(ctx, p, identity)
}

// How long a command waits for another one that is at a sign-in, and how often it looks.
const (
	turnMost  = 6 * time.Minute // more than a sign-in takes with a person
	turnEvery = 200 * time.Millisecond
)

// inTurn composes cfg for a command that may sign in, when nobody else does by the same
// state directory; or it finds the proxy that runs there, which is to be asked then.
func (p *program) inTurn(ctx context.Context, cfg *config) (*running, *engine, error) {
	if proxy := findRunning(ctx, cfg); proxy != nil {
		return proxy, nil, nil
	}
	proxy, e, err := engineInTurn(ctx, cfg, newCommandLog(p.stderr, cfg.Log), p.audience(), func(by *inUse) {
		fmt.Fprintf(p.stderr, "waiting until another program is done with state_dir %s: %v\n", by.dir, by.err)
	})
	switch {
	case proxy != nil:
		return proxy, nil, nil
	case errors.Is(err, storage.ErrInUse):
		err = unanswered(cfg, err)
	}
	return nil, e, err
}

// engineInTurn composes c as the owner of its state directory. If a program has that, it
// tells so, once, and waits; but not for a proxy, which it returns.
func engineInTurn(ctx context.Context, c *config, log *slog.Logger, to audience, tell func(*inUse)) (*running, *engine, error) {
	end := time.NewTimer(turnMost)
	defer end.Stop()
	for told := false; ; told = true {
		e, err := newEngine(ctx, c, toOwn, log, to)
		by, taken := errors.AsType[*inUse](err)
		if !taken {
			return nil, e, err
		}
		if proxy := findRunning(ctx, c); proxy != nil {
			return proxy, nil, err
		}
		if !told {
			tell(by)
		}
		select {
		case <-time.After(turnEvery):
		case <-end.C:
			return nil, nil, err
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
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
