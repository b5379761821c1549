// Package sandbox is a simulated world for the program to work in: an Okta
// organization (package okta), and an ArcGIS Enterprise with a Portal, two
// federated servers and one that is not (package arcgis), which trust each other
// as they would after an administrator had set them up.
//
// [Start] puts them on loopback sockets, for the program itself and for real
// clients. [New] needs no sockets: its [Sandbox.Transport] reaches the same
// servers through pipes in memory, which also works inside a testing/synctest
// bubble, where days pass at once.
//
// Nothing in here imports the program under test.
package sandbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"arcproxy/test/sandbox/arcgis"
	"arcproxy/test/sandbox/okta"
)

// User is a person: an account at Okta and a member of the Portal.
type User struct {
	Name        string // what tests call them
	GISUsername string // the ArcGIS user name
	Role        string // in the Portal: org_admin, org_publisher, org_user; "" is org_publisher
	Stranger    bool   // not a member of the Portal
	okta.User
}

// DefaultUsers are alice, who has a TOTP authenticator and Okta Verify, bob, who
// has only Okta Verify, carol, who has no second factor, and dora, who has every
// one but Duo and a WebAuthn key.
func DefaultUsers() []User {
	user := func(name, first, password string) User {
		login := name + "@example.com"
		return User{Name: name, GISUsername: login + "_sandbox",
			User: okta.User{Login: login, Password: password, FirstName: first, LastName: "Example", Email: login}}
	}
	alice := user("alice", "Alice", "correct horse battery staple +%&")
	alice.TOTPSecret, alice.Push = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", true
	bob := user("bob", "Bob", "Tr0ub4dor&3-bob-pässword")
	bob.Push = true
	bob.Role = "org_user"
	carol := user("carol", "Carol", "carol's \"own\" pass=word")
	dora := user("dora", "Dora", "dora's pass-phrase: 7 of 9")
	dora.TOTPSecret, dora.Push = "KRSXG5CTMVRXEZLUKRSXG5CTMVRXEZLU", true
	dora.Others, dora.Answer = []string{"sms", "call", "email", "question"}, "Boiled liver"
	dora.HOTPSecret, dora.RSASecret, dora.SymantecSecret = "MFRGGZDFMZTWQ2LKMFRGGZDFMZTWQ2LK", "NBSWY3DPNBSWY3DPNBSWY3DPNBSWY3DP", "ONUXQ5DFMVXGIYLZONUXQ5DFMVXGIYLZ"
	dora.YubiKey = &okta.YubiKey{Public: [6]byte{1, 2, 3, 4, 5, 6}, Private: [6]byte{6, 5, 4, 3, 2, 1}, Key: [16]byte{0: 7, 15: 9}}
	return []User{alice, bob, carol, dora}
}

// Config says what the sandbox is like. The zero Config is a good one.
type Config struct {
	Seed  uint64       // of all that varies; 0 takes a random one. It is logged.
	Log   *slog.Logger // nil: nothing is logged
	TLS   bool         // Start only: https, with an authority of the sandbox's own
	Users []User       // nil: DefaultUsers()
	Shape arcgis.Shape // what of the Portal's and servers' variations is not left to the seed
	Okta  *okta.Settings
	// Assets is a directory with npm's packages, node_modules, for the Portal's maps
	// that are drawn by leaflet and @arcgis/core. "": it has only its own.
	Assets string
	// Widget is another such, with @okta/okta-signin-widget for Okta's sign-in pages.
	// "": they show nothing to sign in with.
	Widget string
	Ports  [4]int // Start only: of Okta, the Portal, the other federated server, the open one; 0 takes a free one
}

// Sandbox is a running simulation.
type Sandbox struct {
	OktaURL        *url.URL // the organization's origin
	PortalURL      *url.URL // ends in /portal
	ServerURL      *url.URL // federated, on the Portal's host; ends in /server
	OtherServerURL *url.URL // federated, on another host; ends in /arcgis
	OpenServerURL  *url.URL // not federated; ends in /public
	DuoURL         *url.URL // Duo's origin, where its frame is
	Okta           *okta.Org
	Portal         *arcgis.Portal

	client    *okta.OIDCClient // the Portal, to Okta, where it signs in by OpenID Connect
	users     []User
	seed      uint64
	authority *authority
	servers   []*http.Server
	transport *http.Transport
	serving   sync.WaitGroup
}

// New makes a sandbox without sockets, at https://example.okta.test,
// https://gis.example.test, https://gis2.example.test, https://open.example.test and
// https://api-sandbox.duosecurity.test.
// It panics if cfg cannot be: two users with one login.
func New(cfg Config) *Sandbox {
	hosts := []string{"example.okta.test", "gis.example.test", "gis2.example.test", "open.example.test", "api-sandbox.duosecurity.test"}
	origins := make([]*url.URL, len(hosts))
	pipes := make(map[string]*pipeListener)
	listeners := make([]net.Listener, len(hosts))
	for i, host := range hosts {
		origins[i] = &url.URL{Scheme: "https", Host: host}
		l := newPipeListener(host)
		pipes[host], listeners[i] = l, l
	}
	s, err := compose(cfg, origins)
	if err != nil {
		panic(err)
	}
	dial := func(ctx context.Context, _, address string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(address)
		l := pipes[strings.ToLower(host)]
		if l == nil {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
		}
		return l.dial(ctx)
	}
	// The pipes stand for encrypted connections, so that cookies marked Secure travel.
	s.transport = &http.Transport{DialContext: dial, DialTLSContext: dial, DisableCompression: true}
	s.serve(listeners)
	return s
}

// Start makes a sandbox that listens on loopback: Okta on 127.0.0.1, the Portal
// and its server on localhost, so that cookies of one do not reach the other.
func Start(cfg Config) (*Sandbox, error) {
	names := []string{"127.0.0.1", "localhost", "localhost", "localhost", "127.0.0.1"}
	ports := append(cfg.Ports[:], 0)
	origins := make([]*url.URL, len(names))
	listeners := make([]net.Listener, 0, len(names))
	closeAll := func() {
		for _, l := range listeners {
			_ = l.Close()
		}
	}
	scheme := "http"
	if cfg.TLS {
		scheme = "https"
	}
	for i, name := range names {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", ports[i]))
		if err != nil {
			closeAll()
			return nil, fmt.Errorf("sandbox: %w", err)
		}
		listeners = append(listeners, l)
		_, port, _ := net.SplitHostPort(l.Addr().String())
		origins[i] = &url.URL{Scheme: scheme, Host: net.JoinHostPort(name, port)}
	}
	s, err := compose(cfg, origins)
	if err == nil && cfg.TLS {
		s.authority, err = newAuthority()
	}
	if err != nil {
		closeAll()
		return nil, err
	}
	s.transport = &http.Transport{DisableCompression: true}
	if cfg.TLS {
		s.transport.TLSClientConfig = &tls.Config{RootCAs: s.CertPool()}
	}
	s.serve(listeners)
	return s, nil
}

// compose makes the systems and lets them trust each other. Origins are those of
// Okta, the Portal, the other federated server, the open one, Duo.
func compose(cfg Config, origins []*url.URL) (*Sandbox, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	for cfg.Seed == 0 {
		cfg.Seed = rand.Uint64()
	}
	if cfg.Users == nil {
		cfg.Users = DefaultUsers()
	}
	cfg.Log.Info("sandbox", "seed", cfg.Seed)
	accounts := make([]okta.User, len(cfg.Users))
	var members []arcgis.Member
	for i, u := range cfg.Users {
		accounts[i] = u.User
		if !u.Stranger {
			members = append(members, arcgis.Member{Login: u.Login, Username: u.GISUsername, FirstName: u.FirstName, LastName: u.LastName, Email: u.Email, Role: u.Role})
		}
	}
	org, err := okta.New(okta.Config{BaseURL: origins[0], DuoURL: origins[4], Users: accounts, Settings: cfg.Okta, Assets: cfg.Widget, Seed: cfg.Seed, Log: cfg.Log.With("system", "okta")})
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	p, err := arcgis.New(arcgis.Config{Site: origins[1], Other: origins[2], Open: origins[3], Members: members, Assets: cfg.Assets, Seed: cfg.Seed, Shape: cfg.Shape, Log: cfg.Log.With("system", "arcgis")})
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	org.RegisterApp("ArcGIS Enterprise", p.ServiceProvider())
	p.TrustIdP(org.Metadata())
	return &Sandbox{
		client:  org.RegisterOIDC("ArcGIS Enterprise", p.OIDCCallback()),
		OktaURL: origins[0], PortalURL: p.URL(), ServerURL: p.ServerURL(), OtherServerURL: p.OtherURL(), OpenServerURL: p.OpenURL(), DuoURL: origins[4],
		Okta: org, Portal: p, users: cfg.Users, seed: cfg.Seed,
	}, nil
}

// serve starts one HTTP server for each listener, in the order of compose's origins.
func (s *Sandbox) serve(listeners []net.Listener) {
	// The Portal redeems codes itself, so it needs a way to Okta.
	s.Portal.TrustOIDC(arcgis.OIDC{
		Issuer: s.client.Issuer, ClientID: s.client.ID, Secret: s.client.Secret,
		AuthorizeURL: s.client.AuthorizeURL(), TokenURL: s.client.TokenURL(), KeysURL: s.client.KeysURL(),
		Client: &http.Client{Transport: s.transport},
	})
	handlers := []http.Handler{s.Okta, s.Portal, s.Portal.Other(), s.Portal.Open(), s.Okta.Duo()}
	for i, l := range listeners {
		server := &http.Server{Handler: handlers[i], ReadHeaderTimeout: 30 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
		s.servers = append(s.servers, server)
		run := server.Serve
		if s.authority != nil {
			server.TLSConfig = s.authority.server.Clone()
			run = func(l net.Listener) error { return server.ServeTLS(l, "", "") } // with HTTP/2, as IIS has it
		}
		s.serving.Go(func() {
			if err := run(l); !errors.Is(err, http.ErrServerClosed) {
				panic(fmt.Sprintf("sandbox: %v", err)) // the listener is ours; nothing else can end it
			}
		})
	}
}

// Transport reaches the sandbox: through pipes after [New], over loopback after
// [Start], trusting its authority. It does not undo compression by itself.
func (s *Sandbox) Transport() http.RoundTripper { return s.transport }

// Close ends all servers and connections and waits for them.
func (s *Sandbox) Close() {
	s.Portal.Close()
	s.transport.CloseIdleConnections()
	for _, server := range s.servers {
		_ = server.Close()
	}
	s.serving.Wait()
}

// Seed returns the seed of everything that varies, for repeating a failure.
func (s *Sandbox) Seed() uint64 { return s.seed }

// User returns a user by name. It panics if there is none, which is a mistake in a test.
func (s *Sandbox) User(name string) User {
	for _, u := range s.users {
		if u.Name == name {
			return u
		}
	}
	panic("sandbox: no user " + name)
}

// Users returns all users.
func (s *Sandbox) Users() []User { return s.users }

// Secrets returns every secret that any of the systems knows or has issued. A
// test searches logs and answers for them.
func (s *Sandbox) Secrets() []string { return append(s.Okta.Secrets(), s.Portal.Secrets()...) }

// CertPEM returns the authority that signed the servers' certificates, nil without TLS.
func (s *Sandbox) CertPEM() []byte {
	if s.authority == nil {
		return nil
	}
	return s.authority.pem
}

// CertPool returns a pool that holds the authority, empty without TLS.
func (s *Sandbox) CertPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.CertPEM())
	return pool
}
