package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"arcproxy/auth"
)

// reloadTimeout bounds one reading of the config, with the commands in it.
const reloadTimeout = 2 * time.Minute

// reloader puts another config in force while the server runs.
type reloader struct {
	server *server
	load   func(context.Context) (*config, error)
	level  *slog.LevelVar // of log
	log    *slog.Logger
}

// run reloads whenever a file of the config has changed, and at each hangup, until ctx
// ends.
func (r *reloader) run(ctx context.Context, hangups <-chan os.Signal) {
	w := newWatcher(r.server.config.Files, r.log)
	defer w.close()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-w.events():
			w.heard(e)
			continue
		case <-w.errors():
			w.soon()
			continue
		case <-w.look.C:
			if !w.changed() {
				continue
			}
		case <-hangups:
		}
		w.watch(r.reload(ctx, w.files))
	}
}

// reload reads the config and puts it in force, or leaves the old one there and says
// why. It returns the files that were read; known are those that were so far.
func (r *reloader) reload(ctx context.Context, known files) files {
	tellManager(r.log, daemon.SdNotifyReloading)
	defer tellManager(r.log, daemon.SdNotifyReady)
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	next, err := r.load(ctx)
	if err == nil {
		if err = r.apply(ctx, next); err == nil {
			return next.Files
		}
		r.log.Error("the config cannot be put in force; the old one stays", "error", err)
		return next.Files
	}
	if ctx.Err() != nil {
		return known
	}
	f, ok := errors.AsType[*faults](err)
	if !ok {
		r.log.Error("the config cannot be read; the old one stays in force", "error", err)
		return known
	}
	for _, x := range f.List {
		r.log.Error("the config has a fault; the old one stays in force", "file", f.File, "line", x.Line, "key", x.Key, "fault", x.Text)
	}
	// Where the faults are of a kind that nothing else was looked at, the rest of the
	// files stay of interest.
	all := maps.Clone(known)
	maps.Copy(all, f.Files)
	return all
}

// apply puts next in force, but for what only a restart can change. If it returns an
// error, nothing has changed.
func (r *reloader) apply(ctx context.Context, next *config) error {
	s := r.server
	next.tookPort(s.listener.Addr())
	stays := next.keep(s.config)
	requests, err := s.handler.Prepare(next.requests())
	if err != nil {
		return err
	}
	connections, err := s.tls.Prepare(next.TLS)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	r.level.Set(next.Log.Level)
	s.listener.Limit(next.Limits.Connections, next.Limits.PerAddress)
	connections()
	if !next.RootCAs.Equal(s.config.RootCAs) {
		s.engine.transport.trust(next.RootCAs)
	}
	// Those who are new are there before their callers, those who go stay as long.
	s.engine.setIdentities(ctx, union(next.Identities, s.config.Identities))
	requests()
	removed := s.engine.setIdentities(ctx, next.Identities)
	s.drain.Store(int64(next.Drain))
	s.figures.keep(next)
	s.notifier.set(next.Notify, next.consoleURL())
	gone := goneCallers(s.config, next)
	s.config = next
	for _, name := range removed {
		r.log.Info("identity removed; its grant is being revoked", "identity", name)
	}
	for _, name := range gone {
		r.log.Info("caller removed", "caller", name)
	}
	if len(stays) > 0 {
		r.log.Warn("some keys of the config change with a restart only; they stay as they were", "keys", strings.Join(stays, ", "))
	}
	r.log.Info("config reloaded", "callers", len(next.Callers), "identities", len(next.Identities))
	return nil
}

// keep gives c what only a restart can change of the config in force, and returns the
// keys in which it differed.
func (c *config) keep(inForce *config) (stays []string) {
	key := func(name string, differs bool) {
		if differs {
			stays = append(stays, name)
		}
	}
	old := inForce
	key("listen", c.Listen != old.Listen)
	key("public_url", *c.PublicURL != *old.PublicURL)
	key("state_dir", c.StateDir != old.StateDir)
	key("portal.url", *c.Portal.URL != *old.Portal.URL)
	key("portal.client_id", c.Portal.ClientID != old.Portal.ClientID)
	key("portal.redirect_uri", c.Portal.RedirectURI != old.Portal.RedirectURI)
	key("portal.expiration", c.Portal.Expiration != old.Portal.Expiration)
	key("portal.login", c.Portal.Login != old.Portal.Login)
	key("okta.url", *c.Okta.URL != *old.Okta.URL)
	key("okta.duo_host", auth.Origin(c.Okta.Duo) != auth.Origin(old.Okta.Duo))
	key("tls.mode", c.TLS.Mode != old.TLS.Mode)
	key("tls.email", c.TLS.ACME.Email != old.TLS.ACME.Email)
	key("tls.ca", c.TLS.ACME.CA != old.TLS.ACME.CA)
	key("tls.ca_file", !c.TLS.ACME.RootCAs.Equal(old.TLS.ACME.RootCAs))
	key("cache.store", c.Cache.Memory != old.Cache.Memory)
	key("cache.key", c.Cache.Where != old.Cache.Where)
	key("audit", c.Audit != old.Audit)
	key("log.format", c.Log.Format != old.Log.Format)

	c.Listen, c.PublicURL, c.StateDir, c.Cache = old.Listen, old.PublicURL, old.StateDir, old.Cache
	c.Portal, c.Okta, c.Audit, c.Log.Format = old.Portal, old.Okta, old.Audit, old.Log.Format
	c.TLS.Names, c.TLS.ACME = old.TLS.Names, old.TLS.ACME
	if c.TLS.Mode != old.TLS.Mode {
		c.TLS.Mode, c.TLS.CertFile, c.TLS.KeyFile = old.TLS.Mode, old.TLS.CertFile, old.TLS.KeyFile
	}
	return stays
}

// goneCallers returns the names of those who are no longer in the config.
func goneCallers(was, is *config) (names []string) {
	here := map[string]bool{}
	for _, caller := range is.Callers {
		here[caller.Name] = true
	}
	for _, caller := range was.Callers {
		if !here[caller.Name] {
			names = append(names, caller.Name)
		}
	}
	return names
}

// union returns all of list, and those of more whose names are not in it.
func union(list, more []auth.Identity) []auth.Identity {
	all := slices.Clone(list)
	for _, id := range more {
		if !slices.ContainsFunc(list, func(x auth.Identity) bool { return x.Name == id.Name }) {
			all = append(all, id)
		}
	}
	return all
}
