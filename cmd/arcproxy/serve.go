package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"arcproxy/auth"
	"arcproxy/proxy"
	"arcproxy/proxy/audit"
	"arcproxy/proxy/listener"
	"arcproxy/proxy/peer"
)

// drainTimeout is how long requests in flight may still take after SIGTERM.
const drainTimeout = 30 * time.Second

// serveCommand runs the proxy.
type serveCommand struct{}

// Help shows an example.
func (serveCommand) Help() string {
	return `Answers HTTP and HTTPS on the one address that the config calls listen, until it
is told to stop (Ctrl-C, SIGTERM); then it finishes what it has begun.

Example:
  $ arcproxy serve --config /etc/arcproxy/config.toml`
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, p *program) error {
	cfg, err := loadConfig(ctx, p.configFile, p.env)
	if err != nil {
		return err
	}
	log := newLog(p.stderr, cfg.Log)
	// The port comes first: an ACME authority calls back on it.
	inner, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen = %q: %w; stop what uses that port, or write another", cfg.Listen, err)
	}
	s, err := newServer(ctx, cfg, inner, log, logSteps(log))
	if err != nil {
		return err
	}
	defer s.close()
	log.Info("listening", "address", s.address(), "public_url", cfg.PublicURL.String(), "tls", cfg.TLS.Mode)
	return s.serve(ctx)
}

// logSteps puts the steps of sign-ins in the log.
func logSteps(log *slog.Logger) func(auth.Event) {
	return func(e auth.Event) { log.Info("sign-in", "identity", e.Identity, "step", e.Text) }
}

// server is the whole running proxy: tokens, handler, listener.
type server struct {
	engine   *engine
	trail    *audit.Trail
	tls      *listener.TLS
	listener *listener.Listener
	http     *http.Server
	log      *slog.Logger
}

// newServer composes c before the open port inner, which it owns from now on;
// nothing is answered yet.
func newServer(ctx context.Context, c *config, inner net.Listener, log *slog.Logger, tell func(auth.Event)) (_ *server, err error) {
	s := &server{log: log}
	defer func() {
		if err != nil {
			_ = inner.Close()
			s.close()
		}
	}()
	if c.PublicURL.Port() == "0" { // listen = "…:0" took a free port
		_, port, _ := net.SplitHostPort(inner.Addr().String())
		c.PublicURL.Host = net.JoinHostPort(c.PublicURL.Hostname(), port)
	}
	if s.engine, err = newEngine(ctx, c, log, tell); err != nil {
		return nil, err
	}
	if s.trail, err = audit.New(c.Audit, log); err != nil {
		return nil, err
	}
	handler, err := proxy.New(proxy.Config{
		PublicURL: c.PublicURL,
		Upstreams: c.upstreams(),
		Callers:   c.Callers,
		Front:     c.Front,
		Origins:   c.Origins,
		Patience:  c.Patience,
		Transport: s.engine.transport,
		TokenLife: c.TokenLife,
		Trail:     s.trail,
		Log:       log,
	}, s.engine.cache)
	if err != nil {
		return nil, err
	}
	c.TLS.ACME.Addr = inner.Addr()
	if s.tls, err = listener.Configure(ctx, c.TLS, s.engine.storage, log); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	s.listener = listener.New(inner, s.tls.Config(), listener.Options{
		Connections: c.Limits.Connections,
		PerAddress:  c.Limits.PerAddress,
		Log:         log,
	})
	s.http = listener.Server(s.tls.HTTPChallenge(handler), log)
	s.http.ConnContext = peer.ConnContext
	return s, nil
}

// address is where the server listens.
func (s *server) address() string { return s.listener.Addr().String() }

// serve answers until ctx ends, then lets requests in flight finish.
func (s *server) serve(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.log.Info("stopping: finishing requests in flight", "at most", drainTimeout)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := s.http.Shutdown(drain)
	if err != nil {
		_ = s.http.Close()
		err = fmt.Errorf("requests were still in flight after %v and have been cut off", drainTimeout)
	}
	if e := <-failed; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// close frees what newServer made. serve has ended, or never began.
func (s *server) close() {
	if s.listener != nil {
		_ = s.listener.Close()
	}
	if s.tls != nil {
		s.tls.Close()
	}
	if s.engine != nil {
		s.engine.close()
	}
	if s.trail != nil {
		if err := s.trail.Close(); err != nil {
			s.log.Error("the last audit records were not written", "error", err)
		}
	}
}
