package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"arcproxy/proxy/listener"
)

// trustCommand prints or installs the root certificate of the local authority.
type trustCommand struct {
	Install   bool `help:"Install the root in this system's trust store." xor:"do"`
	Uninstall bool `help:"Remove the root from this system's trust store." xor:"do"`
}

// Help shows an example.
func (trustCommand) Help() string {
	return `With tls.mode = "local" the proxy signs its own certificates. Clients accept
them when they trust its root, which this command prints as PEM.

Examples:
  $ arcproxy trust > arcproxy-root.pem
  $ curl --cacert arcproxy-root.pem https://localhost:8443/portal/sharing/rest/info?f=json
  >>> GIS("https://localhost:8443/portal", ca_bundles="arcproxy-root.pem")     # Python
  $ sudo arcproxy trust --install                        # everything on this machine

The root is that of the config's state_dir. Where the config names none, sudo would
look in root's, and another user's proxy has its own.`
}

// Run makes the authority if there is none yet, so that it can be trusted
// before the proxy has run for the first time.
func (c *trustCommand) Run(ctx context.Context, p *program) error {
	cfg, err := p.loadBeside(ctx)
	if err != nil {
		return err
	}
	if cfg.TLS.Mode != listener.ModeLocal {
		return usageError(fmt.Sprintf("tls.mode is %q, which needs no local authority", cfg.TLS.Mode))
	}
	if cfg.StateDir == "" {
		return usageError(`state_dir is "", so the proxy makes a new authority at every start and none can be trusted ahead; give it a directory`)
	}
	if who, _ := p.env.lookup("SUDO_USER"); c.Install && cfg.OwnState && who != "" && !hasAuthority(cfg.StateDir) {
		// It would be a new one, which signs nothing.
		return usageError(fmt.Sprintf("no proxy has an authority in %s, the state directory of the user that sudo changes to: write in %s the state_dir of the proxy whose root is to be installed", cfg.StateDir, p.configFile))
	}
	st, err := openFiles(cfg.StateDir)
	if err != nil {
		return fmt.Errorf("state_dir %s: %w; run this as the user that it belongs to, give the right to it, or name another directory", cfg.StateDir, err)
	}
	authority, err := listener.OpenAuthority(ctx, st, cfg.TLS.Names, newCommandLog(p.stderr, cfg.Log))
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stderr, "root certificate, SHA-256 %s\n", authority.Fingerprint())
	switch {
	case c.Install:
		fmt.Fprintf(p.stderr, "installing: %s\n", listener.InstallPlan())
		return p.trustStores("installed in", listener.Install(authority.Root()))
	case c.Uninstall:
		return p.trustStores("removed from", listener.Uninstall(authority.Root()))
	}
	_, err = p.stdout.Write(authority.RootPEM())
	return err
}

// hasAuthority reports whether an authority was made in a state directory.
func hasAuthority(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, listener.AuthorityFolder))
	return err == nil
}

// trustStores prints what became of the root in each store.
func (p *program) trustStores(done string, stores []listener.Trust) error {
	var failed []error
	for _, s := range stores {
		if s.Err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", s.Store, s.Err))
			continue
		}
		fmt.Fprintf(p.stderr, "%s: %s\n", done, s.Store)
	}
	return errors.Join(failed...)
}
