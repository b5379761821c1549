package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"arcproxy/auth"
	"arcproxy/proxy"
	"arcproxy/proxy/audit"
	"arcproxy/proxy/console"
	"arcproxy/proxy/issue"
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
is told to stop (Ctrl-C, SIGTERM); then it finishes what it has begun. When the
config or a file that it names changes, or at SIGHUP, it goes on with what they say
then, without ending a connection; a config with faults changes nothing.

Example:
  $ arcproxy serve --config /etc/arcproxy/config.toml
  $ systemctl reload arcproxy     # or kill -HUP`
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, p *program) error {
	// From now on it ends nothing: until there is something to reload, it waits.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	load := func(ctx context.Context) (*config, error) { return loadConfig(ctx, p.configFile, p.env) }
	cfg, err := load(ctx)
	if err != nil {
		return err
	}
	level := &slog.LevelVar{}
	level.Set(cfg.Log.Level)
	log := newLevelLog(p.stderr, cfg.Log, level)
	// The port comes first: an ACME authority calls back on it.
	inner, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen = %q: %w; %s", cfg.Listen, err, listenRemedy(err))
	}
	s, err := newServer(ctx, cfg, inner, log, logSteps(log))
	if err != nil {
		return err
	}
	defer s.close()
	log.Info("listening", "address", s.address(), "public_url", cfg.PublicURL.String(), "tls", cfg.TLS.Mode)
	tellManager(log, daemon.SdNotifyReady)
	r := &reloader{server: s, load: load, level: level, log: log}
	ctx, stop := context.WithCancel(ctx)
	defer stop() // also if serve fails
	var reloading sync.WaitGroup
	defer reloading.Wait()
	reloading.Go(func() { r.run(ctx, hangups) })
	return s.serve(ctx)
}

// listenRemedy says what to do about a port that cannot be had.
func listenRemedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "write a port above 1023, or give the program the right to lower ones (on Linux CAP_NET_BIND_SERVICE)"
	case errors.Is(err, syscall.EADDRINUSE):
		return "stop what uses that port, or write another"
	}
	return "write an address of this machine, or 0.0.0.0 for all it has, and a port that is free"
}

// logSteps puts the steps of sign-ins in the log.
func logSteps(log *slog.Logger) func(auth.Event) {
	return func(e auth.Event) { log.Info("sign-in", "identity", e.Identity, "step", e.Text) }
}

// server is the whole running proxy: tokens, handler, listener.
type server struct {
	config   *config // in force
	engine   *engine
	handler  *proxy.Proxy
	issued   *issue.Store
	trail    *audit.Trail
	console  *console.Console
	notifier notifier
	figures  *figures
	drain    atomic.Int64   // a time.Duration: config.Drain, which a reload may be changing
	control  *controlSocket // nil: there is none
	tls      *listener.TLS
	listener *listener.Listener
	http     *http.Server
	log      *slog.Logger
}

// newServer composes c before the open port inner, which it owns from now on;
// nothing is answered yet.
func newServer(ctx context.Context, c *config, inner net.Listener, log *slog.Logger, tell func(auth.Event)) (_ *server, err error) {
	s := &server{config: c, log: log}
	defer func() {
		if err != nil {
			_ = inner.Close()
			s.close()
		}
	}()
	c.tookPort(inner.Addr())
	s.drain.Store(int64(c.Drain))
	s.notifier.set(c.Notify, c.consoleURL())
	journal := &console.Journal{}
	s.figures = newFigures(journal)
	// A command that signs in, as a timer's `arcproxy token`, must not keep it from starting.
	if _, s.engine, err = engineInTurn(ctx, c, log, audience{tell: tell, ask: s.notifier.ask, answers: true, observe: s.figures}, func(by *inUse) {
		log.Warn("waiting until another program is done with the state directory", "state_dir", by.dir, "error", by.err, "at most", turnMost)
	}); err != nil {
		return nil, err
	}
	s.issued = issue.OpenStore(ctx, s.engine.state.sealed.Tokens(), log)
	if s.trail, err = audit.New(c.Audit, log); err != nil {
		return nil, fmt.Errorf("%w; make its directory, give the program's user the right to write there, or write another audit.file", err)
	}
	s.engine.startIdentities(ctx, c.Identities)
	s.engine.cache.Restore(ctx, c.names())
	s.console = console.New(console.Config{Control: s.engine.control(), Journal: journal, Metrics: s.figures.handler(), Log: log})
	requests := c.requests()
	requests.Transport = s.engine.transport
	requests.TempDir = os.TempDir()
	requests.Issued = s.issued
	requests.Trail = s.trail
	requests.Console = s.console
	requests.Figures = s.figures
	requests.Log = log
	if s.handler, err = proxy.New(requests, s.engine.cache); err != nil {
		return nil, err
	}
	tokens := &handover{control: s.engine.control(), token: s.engine.cache.Token, trail: s.trail}
	s.control = listenControl(c, tokens.beside(s.handler.Control()), log)
	c.TLS.ACME.Addr = inner.Addr()
	if s.tls, err = listener.Configure(ctx, c.TLS, s.engine.state.storage, log); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	s.listener = listener.New(inner, s.tls.Config(), listener.Options{
		Connections: c.Limits.Connections,
		PerAddress:  c.Limits.PerAddress,
		Log:         log,
	})
	s.figures.watch(s.engine.cache.Status, s.listener.Open)
	s.http = listener.Server(s.tls.HTTPChallenge(s.handler), log)
	s.http.ConnContext = peer.ConnContext
	return s, nil
}

// tookPort puts the port in public_url that listen = "…:0" has taken.
func (c *config) tookPort(at net.Addr) {
	if c.PublicURL.Port() == "0" {
		_, port, _ := net.SplitHostPort(at.String())
		c.PublicURL.Host = net.JoinHostPort(c.PublicURL.Hostname(), port)
	}
}

// requests is what c says of them, which can change while the proxy runs.
func (c *config) requests() proxy.Config {
	return proxy.Config{
		PublicURL: c.PublicURL,
		Upstreams: c.upstreams(),
		Callers:   c.Callers,
		Front:     c.Front,
		ClientCAs: c.ClientCAs,
		Origins:   c.Origins,
		Mapping:   c.Mapping,
		Patience:  c.Patience,
		TokenLife: c.TokenLife,
		Replay:    c.Replay,
	}
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
	tellManager(s.log, daemon.SdNotifyStopping)
	s.console.Drain()
	if d := time.Duration(s.drain.Load()); d > 0 {
		s.log.Info("stopping: not ready any more", "connections are taken for", d)
		select {
		case <-time.After(d):
		case err := <-failed:
			return err
		}
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
	s.control.close()
	if s.console != nil {
		s.console.Close()
	}
	if s.issued != nil {
		s.issued.Close()
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
