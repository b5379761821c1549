package main

import (
	"context"
	"log/slog"
	"net/url"
	"slices"

	"arcproxy/auth"
	"arcproxy/auth/okta"
	"arcproxy/auth/portal"
	"arcproxy/cache"
	"arcproxy/cache/storage"
	"arcproxy/proxy/console"
)

// userAgent is what Okta and the Portal see: stable and honest, as Okta asks of
// clients whose rate limits it counts.
const userAgent = "arcproxy/1.0"

// engine is the part of the program that obtains tokens, composed.
type engine struct {
	state     *state
	transport *outbound // to Okta, the Portal and the servers
	portal    *portal.Client
	okta      *okta.Client
	origins   []*url.URL
	signer    *auth.Signer
	cache     *cache.Cache
	changes   console.Changes // of how identities stand
	log       *slog.Logger
}

// control is what the console sees and does.
func (e *engine) control() console.Control { return &control{e.cache, &e.changes} }

// audience is who hears of sign-ins, and may be asked. The zero value is nobody.
type audience struct {
	tell    func(auth.Event)                                           // hears the steps
	ask     func(context.Context, cache.Question) (auth.Secret, error) // see cache.Config.Ask
	answers bool                                                       // there is a console
	observe cache.Observer
}

// newEngine composes c.
func newEngine(ctx context.Context, c *config, how use, log *slog.Logger, to audience) (*engine, error) {
	st, err := openState(ctx, c, how, log)
	if err != nil {
		return nil, err
	}
	e := &engine{
		state:     st,
		transport: newOutbound(c.RootCAs),
		portal:    portal.New(c.Portal),
		okta:      okta.New(c.Okta),
		log:       log,
	}
	systems := []*url.URL{c.Okta.URL, c.Portal.URL}
	var others []*url.URL
	if c.Okta.Duo != nil {
		others = append(others, c.Okta.Duo)
	}
	e.origins = slices.Concat(systems, others)
	e.signer = auth.NewSigner(auth.SignerConfig{
		Portal:     e.portal,
		IdP:        e.okta,
		Identities: c.Identities,
		Transport:  e.transport,
		Origins:    systems,
		Others:     others,
		UserAgent:  userAgent,
		Key:        st.key,
		Sessions:   st.sealed.Sessions(),
		Log:        log,
	})
	e.cache = cache.New(cache.Config{
		Source:  e.signer,
		Ledger:  storage.NewRefusals(st.storage),
		Vault:   st.sealed.Grants(),
		Log:     log,
		Tell:    to.tell,
		Ask:     to.ask,
		Answers: to.answers,
		Observe: to.observe,
		Changed: e.changes.Tell,
	})
	return e, nil
}

// close ends the flights and idle connections, and gives the state directory back.
func (e *engine) close() {
	e.cache.Close()
	e.transport.CloseIdleConnections()
	_ = e.state.close() // the end of the process does it, too
}
