package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/caddyserver/certmagic"

	"arcproxy/auth"
	"arcproxy/auth/okta"
	"arcproxy/auth/portal"
	"arcproxy/cache"
	"arcproxy/cache/storage"
	"arcproxy/proxy"
)

// userAgent is what Okta and the Portal see: stable and honest, as Okta asks of
// clients whose rate limits it counts.
const userAgent = "arcproxy/1.0"

// engine is the part of the program that obtains tokens, composed.
type engine struct {
	storage   certmagic.Storage
	transport *http.Transport // to Okta, the Portal and the servers
	portal    *portal.Client
	okta      *okta.Client
	origins   []*url.URL
	cache     *cache.Cache
}

// newEngine composes c. tell hears the steps of sign-ins; nil: nobody does.
func newEngine(ctx context.Context, c *config, log *slog.Logger, tell func(auth.Event)) (*engine, error) {
	st, err := openState(c.StateDir)
	if err != nil {
		return nil, err
	}
	key, err := storage.Key(ctx, st)
	if err != nil {
		return nil, fmt.Errorf("the state directory: %w", err)
	}
	e := &engine{
		storage: st,
		transport: proxy.NewTransport(proxy.TransportConfig{
			RootCAs: c.RootCAs,
			Proxy:   systemProxy(),
		}),
		portal:  portal.New(c.Portal),
		okta:    okta.New(c.Okta),
		origins: []*url.URL{c.Okta.URL, c.Portal.URL},
	}
	signer := auth.NewSigner(auth.SignerConfig{
		Portal:     e.portal,
		IdP:        e.okta,
		Identities: c.Identities,
		Transport:  e.transport,
		Origins:    e.origins,
		UserAgent:  userAgent,
		Key:        key,
		Log:        log,
	})
	e.cache = cache.New(cache.Config{
		Source: signer,
		Ledger: storage.NewRefusals(st),
		Log:    log,
		Tell:   tell,
	})
	return e, nil
}

// close ends the flights and idle connections.
func (e *engine) close() {
	e.cache.Close()
	e.transport.CloseIdleConnections()
}

// openState opens the state directory, which only its owner may read, or
// memory if dir is "".
func openState(dir string) (certmagic.Storage, error) {
	if dir == "" {
		return storage.NewMemory(), nil
	}
	if err := makePrivate(dir); err != nil {
		return nil, fmt.Errorf("state_dir %s: %w; give the program's user the right to it, or name another directory", dir, err)
	}
	return &certmagic.FileStorage{Path: dir}, nil
}
