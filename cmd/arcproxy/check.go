package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"arcproxy/auth"
	"arcproxy/auth/okta"
	"arcproxy/auth/portal"
)

// checkTimeout bounds each single check.
const checkTimeout = 20 * time.Second

// checkCommand looks at the config file and at what it names.
type checkCommand struct {
	SignIn   bool   `help:"Try one real sign-in as well. It may send a push."`
	Identity string `help:"The identity to try; the first of the config by default." placeholder:"NAME"`
}

// Help shows an example.
func (checkCommand) Help() string {
	return `Prints every fault of the config file at once, each with its line and what to
write instead, and exits with 2. With a good file it asks Okta, the Portal and the
servers whether they are what the file says, and exits with 1 if one is not.

Examples:
  $ arcproxy check
  config     ok      config.toml
  okta       ok      https://example.okta.com: Classic engine
  portal     ok      https://gis.example.com/portal: version 11.3, signs in by SAML
  server     ok      https://gis.example.com/server
  $ arcproxy check --sign-in --identity alice`
}

// Run prints a line per check and fails if one failed.
func (c *checkCommand) Run(ctx context.Context, p *program) error {
	cfg, err := loadConfig(ctx, p.configFile, p.env)
	if err != nil {
		return err
	}
	name := cfg.Identities[0].Name
	if c.Identity != "" {
		if _, ok := cfg.identity(c.Identity); !ok {
			return usageError(fmt.Sprintf("%s has no identity %q", p.configFile, c.Identity))
		}
		name = c.Identity
	}
	var proxy *running
	var e *engine
	if c.SignIn {
		if proxy, e, err = p.inTurn(ctx, cfg); err != nil {
			return err
		}
	}
	if e == nil {
		if e, err = newEngine(ctx, cfg, toRead, newCommandLog(p.stderr, cfg.Log), audience{}); err != nil {
			return err
		}
	}
	defer e.close()

	r := report{ctx: ctx, out: p.stdout}
	r.line("config", p.configFile, nil)
	for _, note := range cfg.Notes {
		fmt.Fprintf(p.stdout, "%-10s note    %s\n", "config", note)
	}
	browser := auth.NewBrowser(auth.BrowserConfig{Transport: e.transport, Origins: e.origins, UserAgent: userAgent})
	r.check("okta", cfg.Okta.URL.String(), func(ctx context.Context) (string, error) {
		pipeline, err := e.okta.Pipeline(ctx, browser)
		if pipeline == okta.IdentityEngine {
			return "Identity Engine", err
		}
		return "Classic engine", err
	})
	r.check("portal", cfg.Portal.URL.String(), func(ctx context.Context) (string, error) {
		return describePortal(ctx, e.portal, browser)
	})
	for _, u := range cfg.Servers {
		r.check("server", u.String(), func(ctx context.Context) (string, error) {
			return probeServer(ctx, e.transport, u)
		})
	}
	if c.SignIn && !r.failed {
		r.check("sign-in", name, func(context.Context) (string, error) {
			// A sign-in has a deadline of its own, and may wait for a person.
			token, by := e.cache.Token, ""
			if proxy != nil {
				token = func(ctx context.Context, name string) (auth.Grant, error) { return proxy.token(ctx, p, name) }
				by = ", by the running proxy"
			}
			grant, err := token(ctx, name)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("signed in as %s until %s%s", grant.Username, clock(grant.Expires), by), nil
		})
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if r.failed {
		return errors.New("not everything is right; see above")
	}
	return nil
}

// describePortal says which Portal it is and how people sign in to it.
func describePortal(ctx context.Context, p *portal.Client, b *auth.Browser) (string, error) {
	info, err := p.Probe(ctx, b)
	if err != nil {
		return "", err
	}
	logins, err := p.Logins(ctx, b)
	if err != nil {
		return "", err
	}
	var says []string
	if info.Version != "" {
		says = append(says, strings.TrimSpace(info.Name+" version "+info.Version))
	} else if info.Name != "" {
		says = append(says, info.Name)
	}
	says = append(says, "signs in by "+logins[0].Name())
	for _, l := range logins[1:] {
		says = append(says, "offers "+l.Name()+", too")
	}
	return strings.Join(says, ", "), nil
}

// report prints checks as they end.
type report struct {
	ctx    context.Context
	out    io.Writer
	failed bool
}

func (r *report) check(what, which string, try func(context.Context) (string, error)) {
	ctx := r.ctx
	if what != "sign-in" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(r.ctx, checkTimeout)
		defer cancel()
	}
	found, err := try(ctx)
	if err == nil && found != "" {
		which += ": " + found
	}
	r.line(what, which, err)
}

func (r *report) line(what, text string, err error) {
	if brokenOff(r.ctx, err) {
		return
	}
	if err != nil {
		r.failed = true
		fmt.Fprintf(r.out, "%-10s FAILED  %s: %s\n", what, text, explain(err))
		return
	}
	fmt.Fprintf(r.out, "%-10s ok      %s\n", what, text)
}

// probeServer asks a server for rest/info, which needs no token. Some sites
// close the services directory to strangers: any answer that is not an error
// page of something in between will do.
func probeServer(ctx context.Context, rt http.RoundTripper, u *url.URL) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("rest", "info").String()+"?f=json", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", userAgent)
	res, err := rt.RoundTrip(req)
	if err != nil {
		if certErr, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			return "", fmt.Errorf("%w; put the certificate of its authority in network.ca_file", certErr)
		}
		return "", fmt.Errorf("no answer: %w; is its address right, and can this machine connect to it?", err)
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
	if res.StatusCode == http.StatusNotFound || res.StatusCode >= 500 {
		return "", fmt.Errorf("rest/info answers HTTP %d; is an ArcGIS Server at that address and context?", res.StatusCode)
	}
	return "", nil
}
