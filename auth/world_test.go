package auth_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"arcproxy/auth"
	"arcproxy/auth/okta"
	"arcproxy/auth/portal"
	"arcproxy/test/sandbox"
	"arcproxy/test/sandbox/arcgis"
	oktabox "arcproxy/test/sandbox/okta"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a sandbox served in process, so that a test's clock can be a synctest
// bubble's, with a Signer before it.
type world struct {
	box      *sandbox.Sandbox
	okta     *oktabox.Org
	signer   *auth.Signer
	config   portal.Config
	carrier  *carrier
	events   *events
	log      *lockedBuilder
	sessions *sessions     // nil: none
	identity auth.Identity // as it was set up
}

const (
	oktaHost   = "example.okta.test"
	portalHost = "gis.example.test"
	totpSecret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	password   = "correct horse battery staple"
	login      = "alice@example.com"
)

// setup is what a test varies. Its zero value is an account with a password only.
type setup struct {
	seed     uint64
	user     oktabox.User // Login and Password are filled in
	settings func(*oktabox.Settings)
	shape    arcgis.Shape
	identity func(*auth.Identity)
	redirect string
	login    portal.Login
	clientID string
	stranger bool // the Portal does not know the account
	sessions *sessions
}

// withTOTP, withPush and withBoth are accounts with a second factor.
var (
	withTOTP = oktabox.User{TOTPSecret: totpSecret}
	withPush = oktabox.User{Push: true}
	withBoth = oktabox.User{TOTPSecret: totpSecret, Push: true}
)

func newWorld(t *testing.T, s setup) *world {
	t.Helper()
	s.user.Login, s.user.Password, s.user.FirstName = login, password, "alice"
	settings := oktabox.DefaultSettings()
	if s.settings != nil {
		s.settings(&settings)
	}
	box := sandbox.New(sandbox.Config{
		Seed: s.seed + 1,
		Users: []sandbox.User{
			{Name: "alice", GISUsername: "alice_example", Stranger: s.stranger, User: s.user},
			{Name: "bob", GISUsername: "bob_example", User: oktabox.User{Login: "bob@example.com", Password: password, FirstName: "bob"}},
		},
		Shape: s.shape,
		Okta:  &settings,
	})
	t.Cleanup(box.Close)
	w := &world{box: box, okta: box.Okta, events: &events{}, log: &lockedBuilder{}, carrier: &carrier{to: box.Transport()}}
	identity := auth.Identity{Name: "alice", Username: login, Password: constant(password)}
	if s.user.TOTPSecret != "" {
		identity.TOTPSecret = constant(s.user.TOTPSecret)
	}
	if s.identity != nil {
		s.identity(&identity)
	}
	if s.clientID == "" {
		s.clientID = "arcproxytest"
	}
	w.config = portal.Config{URL: box.PortalURL, ClientID: s.clientID, RedirectURI: s.redirect, Expiration: 14 * 24 * time.Hour, Login: s.login}
	w.sessions, w.identity = s.sessions, identity
	w.restart()
	return w
}

// restart makes a Signer that knows what w.sessions does.
func (w *world) restart() { w.signer = signerFor(w, w.identity) }

func refreshExpiry(told bool) arcgis.Shape {
	if told {
		return arcgis.Shape{RefreshExpiry: arcgis.Always}
	}
	return arcgis.Shape{RefreshExpiry: arcgis.Never}
}

// signerFor returns a Signer for identity that knows nothing yet.
func signerFor(w *world, identity auth.Identity) *auth.Signer {
	var kept auth.Sessions
	if w.sessions != nil {
		kept = w.sessions
	}
	return auth.NewSigner(auth.SignerConfig{
		Sessions:   kept,
		Portal:     portal.New(w.config),
		IdP:        okta.New(okta.Config{URL: w.box.OktaURL, Duo: w.box.DuoURL}),
		Identities: []auth.Identity{identity},
		Transport:  w.carrier,
		Origins:    []*url.URL{w.box.OktaURL, w.box.PortalURL, w.box.DuoURL},
		Key:        []byte("key"),
		Log:        slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
}

// run runs a test in a bubble whose clock stands still until all wait.
func run(t *testing.T, name string, s setup, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel() // a bubble's time is its own
		inBubble(t, s, test)
	})
}

// runNow is run for those whose caller goes on with what test has found.
func runNow(t *testing.T, name string, s setup, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { inBubble(t, s, test) })
}

func inBubble(t *testing.T, s setup, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, s)
		test(t, w)
		if t.Failed() {
			t.Log(w.log.String())
		}
	})
}

func constant(text string) auth.SecretSource {
	return func(context.Context) (auth.Secret, error) { return auth.NewSecret(text), nil }
}

// watch is somebody who waits and listens.
func (w *world) watch() auth.Watch {
	return auth.Watch{Waited: func() bool { return true }, Tell: w.events.hear}
}

func (w *world) signIn(t *testing.T) (auth.Grant, error) {
	t.Helper()
	ctx, done := context.WithTimeout(t.Context(), 10*time.Minute)
	defer done()
	g, err := w.signer.SignIn(ctx, "alice", w.watch())
	w.checkNoSecret(t, err)
	return g, err
}

// checkNoSecret fails if anything that was said, logged or returned holds a
// secret that either system knows or has issued.
func (w *world) checkNoSecret(t *testing.T, err error) {
	t.Helper()
	told := w.log.String()
	for _, e := range w.events.all() {
		told += "\n" + e.Text
	}
	if err != nil {
		told += "\n" + err.Error()
	}
	for _, secret := range append(w.box.Secrets(), password, totpSecret) {
		if strings.Contains(told, secret) {
			t.Errorf("a secret of %d characters was told in: %s", len(secret), told)
		}
	}
}

func wantKind(t *testing.T, err error, kind auth.Kind) *auth.Error {
	t.Helper()
	e, ok := errors.AsType[*auth.Error](err)
	if !ok || e.Kind != kind {
		t.Fatalf("got error %v, want kind %q", err, kind)
	}
	if e.Identity != "alice" || e.Step == "" {
		t.Errorf("error lacks identity or step: %+v", e)
	}
	if e.Remedy() == "" {
		t.Errorf("no remedy for %q", e.Kind)
	}
	return e
}

func wantGrant(t *testing.T, g auth.Grant, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if g.AccessToken.IsZero() || g.RefreshToken.IsZero() || g.Username != "alice_example" {
		t.Fatalf("incomplete grant: %+v", g)
	}
	if life := g.Expires.Sub(g.Obtained); life < 29*time.Minute || life > 30*time.Minute {
		t.Errorf("access token lasts %s, want 30m", life)
	}
}

// events collects what a sign-in tells.
type events struct {
	mu   sync.Mutex // guards list
	list []auth.Event
}

func (e *events) hear(event auth.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, event)
}

func (e *events) all() []auth.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]auth.Event(nil), e.list...)
}

// has reports whether an event's text holds words.
func (e *events) has(words string) bool {
	for _, event := range e.all() {
		if strings.Contains(event.Text, words) {
			return true
		}
	}
	return false
}

// carrier is a RoundTripper that notes each request and may be told to answer
// some itself.
type carrier struct {
	to http.RoundTripper

	mu     sync.Mutex // guards the rest
	sent   []string
	answer func(*http.Request) (*http.Response, error) // nil, nil: the sandbox answers
}

func (c *carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.sent = append(c.sent, r.Method+" "+r.URL.Host+r.URL.Path)
	answer := c.answer
	c.mu.Unlock()
	if answer != nil {
		if res, err := answer(r); res != nil || err != nil {
			return res, err
		}
	}
	return c.to.RoundTrip(r)
}

// answers makes c ask fn first.
func (c *carrier) answers(fn func(*http.Request) (*http.Response, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = fn
}

// requests returns how many requests began with prefix: "POST example.okta.test/api/v1/authn".
func (c *carrier) requests(prefix string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, s := range c.sent {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

// page makes an answer with a body; headers are name, value, name, value….
func page(r *http.Request, status int, body string, headers ...string) *http.Response {
	h := http.Header{"Content-Type": {"text/html"}}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

// lockedBuilder is a strings.Builder for a logger.
type lockedBuilder struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (b *lockedBuilder) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuilder) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
