package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"arcproxy/auth"
	"arcproxy/auth/okta"
	"arcproxy/auth/portal"
	"arcproxy/proxy"
	"arcproxy/proxy/console"
	"arcproxy/proxy/listener"
	"arcproxy/proxy/peer"
	"arcproxy/proxy/policy"
	"arcproxy/test/sandbox"
	simulated "arcproxy/test/sandbox/okta"
)

// demoPatience is how long a request of the demo waits for a person who has to
// find the page of the simulated phone first.
const demoPatience = 5 * time.Minute

// demoPort is taken unless something else has it.
const demoPort = 8443

// demoCommand runs the real proxy before a simulated Okta and Portal.
type demoCommand struct {
	Factor string `enum:"totp,push,sms,call,email,question,none" default:"totp" help:"How the demo's account signs in: totp, push (you approve on a page), sms, call, email (you read a code on one page and type it on another), question or none."`
	Engine string `enum:"classic,idx" default:"classic" help:"Okta's engine: classic, or idx (Identity Engine)."`
	Port   int    `default:"8443" help:"The port on 127.0.0.1; 0 takes a free one."`
	Seed   uint64 `help:"Repeat the simulation's variations of an earlier run."`
}

// Help shows an example.
func (demoCommand) Help() string {
	return `Everything runs on loopback and in memory; no config file is read, nothing real
is signed in to. Stop it with Ctrl-C.

Examples:
  $ arcproxy demo
  $ arcproxy demo --factor push     # approve the push, with the number that the console shows
  $ arcproxy demo --factor sms      # read the code on one page, type it on the other
  $ arcproxy demo --engine idx      # an organization on Okta Identity Engine`
}

// Run starts everything, makes one signed-in request, says what to paste, and
// stays until ctx ends.
func (c *demoCommand) Run(ctx context.Context, p *program) error {
	log := newLog(p.stderr, logConfig{Format: "auto", Plain: p.env.plain(), Level: slog.LevelWarn})
	org := simulated.DefaultSettings()
	org.NumberChallenge, org.NumberAfterPolls = true, 1
	if c.Engine == okta.IdentityEngine {
		org.Pipeline = okta.IdentityEngine
	}
	sb, err := sandbox.Start(sandbox.Config{
		Seed: c.Seed,
		Log:  newLog(p.stderr, logConfig{Format: "auto", Plain: p.env.plain(), Level: slog.LevelInfo}),
		Okta: &org,
	})
	if err != nil {
		return fmt.Errorf("starting the simulated Okta and Portal: %w", err)
	}
	defer sb.Close()
	fmt.Fprintf(p.stdout, "simulated Okta    %s\nsimulated Portal  %s\n", sb.OktaURL, sb.PortalURL)

	key, operator := rand.Text(), rand.Text()
	cfg := c.config(sb, key)
	sum := sha256.Sum256([]byte(operator))
	cfg.Callers = append(cfg.Callers, proxy.Caller{Name: "operator", Identity: cfg.Identities[0].Name, KeySHA256: &sum, Rules: policy.Rules{Admin: true}})
	inner, err := net.Listen("tcp", cfg.Listen)
	if errors.Is(err, syscall.EADDRINUSE) && c.Port == demoPort {
		inner, err = net.Listen("tcp", "127.0.0.1:0") // it was only a default
		cfg.PublicURL.Host = "localhost:0"
	}
	if err != nil {
		return fmt.Errorf("port %d: %w; give another with --port", c.Port, err)
	}
	s, err := newServer(ctx, cfg, inner, log, p.tellPerson)
	if err != nil {
		return err
	}
	defer s.close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx) }()

	address := s.address()
	_, port, _ := net.SplitHostPort(address)
	c.guide(p.stdout, sb, consoleEntry("http", port, operator)) // a browser has no question about that
	self, err := whoAmI(ctx, address)
	if err != nil {
		over := ctx.Err() != nil // Ctrl-C is how it ends
		stop()
		if over {
			return <-served
		}
		return errors.Join(err, <-served)
	}
	dir, err := os.MkdirTemp("", "arcproxy-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root := filepath.Join(dir, "root.pem")
	if err := os.WriteFile(root, s.tls.Authority().RootPEM(), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "\nGET /portal/sharing/rest/portals/self is signed in as %s (%s); the Portal counts %d sign-in.\n",
		self.User.Username, self.User.FullName, sb.Portal.Counts().SignIns)
	fmt.Fprintf(p.stdout, readyLines, port, key, root, consoleEntry("https", port, operator))
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		return <-served
	}
}

// guide says where a person finds what proves the second factor, and what the console,
// at entry, has to do with it.
func (c *demoCommand) guide(w io.Writer, sb *sandbox.Sandbox, entry string) {
	switch c.Factor {
	case "push":
		fmt.Fprintf(w, "\nThe simulated phone is at %s\nThe number to choose on it is shown at %s\n", sb.OktaURL.JoinPath("/sandbox/phone"), entry)
	case "sms", "call", "email":
		fmt.Fprintf(w, "\nThe code comes to %s\nType it at %s\n", sb.OktaURL.JoinPath("/sandbox/inbox"), entry)
	case "question":
		fmt.Fprintf(w, "\nThe answer is %q\nType it at %s\n", sb.User("dora").Answer, entry)
	}
}

// consoleEntry says where the console is and, where connections do not say whose they
// are, what to give when the browser asks.
func consoleEntry(scheme, port, key string) string {
	address := scheme + "://localhost:" + port + console.Path
	if peer.Supported {
		return address
	}
	return address + " (user name operator, password " + key + ")"
}

// readyLines can be pasted into another terminal. 1: port, 2: key, 3: root
// certificate, 4: the console.
const readyLines = `
Ready to paste:

  curl 'http://localhost:%[1]s/portal/sharing/rest/portals/self?f=json'

  curl --cacert %[3]s -H 'X-Esri-Authorization: Bearer %[2]s' 'https://localhost:%[1]s/portal/sharing/rest/community/self?f=json'

  ogrinfo -ro -so -al 'http://localhost:%[1]s/server/rest/services/Trees/FeatureServer/0/query?where=1%%3D1&outFields=*&f=json'

python3 - <<'END'
from arcgis.gis import GIS
from arcgis.features import FeatureLayer
gis = GIS("https://localhost:%[1]s/portal", token="%[2]s", ca_bundles="%[3]s")
print(gis.users.me)
print(len(FeatureLayer("https://localhost:%[1]s/server/rest/services/Trees/FeatureServer/0", gis).query().features), "trees")
END

In a browser, which will ask about the certificate: the Portal's home page, with a map,
and the console, where people see the state and answer what sign-ins ask

  https://localhost:%[1]s/portal/home/
  %[4]s

Callers from this machine need no key; others would send it. Stop with Ctrl-C.
`

// config is what a config file for the simulation would say.
func (c *demoCommand) config(sb *sandbox.Sandbox, key string) *config {
	user := sb.User("alice")
	id := auth.Identity{Name: "alice", Username: user.Login, Password: constant(user.Password)}
	switch c.Factor {
	case "totp":
		id.Factors, id.TOTPSecret = []auth.Factor{auth.FactorTOTP}, constant(user.TOTPSecret)
	case "push":
		id.Factors = []auth.Factor{auth.FactorPush}
	case "sms", "call", "email", "question":
		user = sb.User("dora")
		id = auth.Identity{Name: "dora", Username: user.Login, Password: constant(user.Password), Factors: []auth.Factor{auth.Factor(c.Factor)}}
	case "none":
		user = sb.User("carol") // who has no second factor
		id = auth.Identity{Name: "carol", Username: user.Login, Password: constant(user.Password)}
	}
	sum := sha256.Sum256([]byte(key))
	return &config{
		Listen:    net.JoinHostPort("127.0.0.1", fmt.Sprint(c.Port)),
		PublicURL: &url.URL{Scheme: "https", Host: net.JoinHostPort("localhost", fmt.Sprint(c.Port))},
		Patience:  demoPatience,
		Portal: portal.Config{
			URL:         sb.PortalURL,
			ClientID:    "arcproxytest",
			RedirectURI: "urn:ietf:wg:oauth:2.0:oob",
			Expiration:  14 * 24 * time.Hour,
			Login:       portal.LoginAuto,
		},
		Okta:       okta.Config{URL: sb.OktaURL},
		Servers:    []*url.URL{sb.ServerURL},
		Identities: []auth.Identity{id},
		Callers: []proxy.Caller{
			{Name: "script", Identity: id.Name, KeySHA256: &sum},
			{Name: "this machine", Identity: id.Name, From: []netip.Prefix{
				netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}},
		},
		TLS: listener.Config{Mode: listener.ModeLocal, Names: []string{"localhost"}},
	}
}

func constant(text string) auth.SecretSource {
	return func(context.Context) (auth.Secret, error) { return auth.NewSecret(text), nil }
}

// portalSelf is what the demo wants to know of portals/self.
type portalSelf struct {
	User struct {
		Username string `json:"username"`
		FullName string `json:"fullName"`
	} `json:"user"`
}

// whoAmI asks the Portal, through the proxy at address and without any
// credential, whom it takes the caller for.
func whoAmI(ctx context.Context, address string) (*portalSelf, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/portal/sharing/rest/portals/self?f=json", nil)
	if err != nil {
		return nil, err
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	res, err := tr.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("asking the proxy: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("asking the proxy: %w", err)
	}
	var self portalSelf
	if err := json.Unmarshal(body, &self); err != nil || self.User.Username == "" {
		return nil, fmt.Errorf("the proxy answers HTTP %d and not who is signed in: %.300s", res.StatusCode, body)
	}
	return &self, nil
}
