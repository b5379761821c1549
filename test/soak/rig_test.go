package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/goleak"

	"arcproxy/auth"
	"arcproxy/auth/okta"
	"arcproxy/auth/portal"
	"arcproxy/cache"
	"arcproxy/cache/storage"
	"arcproxy/test/sandbox"
	"arcproxy/test/sandbox/arcgis"
	oktabox "arcproxy/test/sandbox/okta"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	totpSecret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	patience   = time.Minute // of a caller
	refresh    = 14 * 24 * time.Hour
)

// people are those whom the tests sign in: with a stored TOTP secret, with a phone,
// and without a second factor.
func people() []sandbox.User {
	user := func(name string) sandbox.User {
		return sandbox.User{Name: name, GISUsername: name + "_gis",
			User: oktabox.User{Login: name + "@example.com", Password: "password of " + name, FirstName: name}}
	}
	alice, bob, carol, dave, erin := user("alice"), user("bob"), user("carol"), user("dave"), user("erin")
	alice.TOTPSecret, dave.TOTPSecret = totpSecret, totpSecret
	bob.Push, erin.Push = true, true
	return []sandbox.User{alice, bob, carol, dave, erin}
}

// world is a sandbox, what lasts over restarts of the program, and the program.
type world struct {
	t     testing.TB
	box   *sandbox.Sandbox
	state certmagic.Storage
	wire  *wire
	log   *slog.Logger
	watch cache.Observer

	running sync.RWMutex // held by requests for reading, by a restart for writing
	disk    *disk
	signer  *auth.Signer
	cache   *cache.Cache
}

func newWorld(t testing.TB, seed uint64, watch cache.Observer, change ...func(*sandbox.Config)) *world {
	t.Helper()
	config := sandbox.Config{
		Seed:  seed,
		Users: people(),
		Shape: arcgis.Shape{Gzip: arcgis.Never, Chunked: arcgis.Never, EsriAuth: arcgis.Never, TextPlain: arcgis.Never},
	}
	for _, c := range change {
		c(&config)
	}
	box := sandbox.New(config)
	t.Cleanup(box.Close)
	w := &world{t: t, box: box, state: storage.NewMemory(), wire: &wire{to: box.Transport()}, watch: watch}
	w.log = slog.New(slog.DiscardHandler)
	for _, user := range people() {
		if user.Push {
			box.Okta.Phone(user.Login).ApproveAfter(8 * time.Second)
		}
	}
	w.start()
	t.Cleanup(func() { w.cache.Close() })
	return w
}

func (w *world) identities() []auth.Identity {
	var all []auth.Identity
	for _, user := range w.box.Users() {
		identity := auth.Identity{Name: user.Name, Username: user.Login, Password: constant(user.Password)}
		if user.TOTPSecret != "" {
			identity.TOTPSecret = constant(user.TOTPSecret)
		}
		all = append(all, identity)
	}
	return all
}

func constant(text string) auth.SecretSource {
	return func(context.Context) (auth.Secret, error) { return auth.NewSecret(text), nil }
}

// start starts the program on what lasts, as cmd/arcproxy composes it.
func (w *world) start() {
	ctx := context.Background()
	w.disk = &disk{Storage: w.state}
	key, err := storage.Key(ctx, w.disk)
	if err != nil {
		w.t.Fatal(err)
	}
	sealed, err := storage.OpenSealed(ctx, w.disk, nil, w.log)
	if err != nil {
		w.t.Fatal(err)
	}
	w.signer = auth.NewSigner(auth.SignerConfig{
		Portal:     portal.New(portal.Config{URL: w.box.PortalURL, ClientID: "arcproxytest", Expiration: refresh}),
		IdP:        okta.New(okta.Config{URL: w.box.OktaURL}),
		Identities: w.identities(),
		Transport:  w.wire,
		Origins:    []*url.URL{w.box.OktaURL, w.box.PortalURL},
		Key:        key,
		Sessions:   sealed.Sessions(),
		Log:        w.log,
	})
	w.cache = cache.New(cache.Config{
		Source:  w.signer,
		Ledger:  storage.NewRefusals(w.disk),
		Vault:   sealed.Grants(),
		Log:     w.log,
		Observe: w.watch,
	})
}

// restart kills the program between requests, and starts it again.
func (w *world) restart() {
	w.running.Lock()
	defer w.running.Unlock()
	w.disk.dead.Store(true) // what it does as it ends is not done any more
	w.cache.Close()
	w.start()
}

// disk is a program's view of what lasts, until the program is killed.
type disk struct {
	certmagic.Storage
	dead atomic.Bool
}

func (d *disk) Store(ctx context.Context, key string, value []byte) error {
	if d.dead.Load() {
		return errors.New("killed")
	}
	return d.Storage.Store(ctx, key, value)
}

func (d *disk) Delete(ctx context.Context, key string) error {
	if d.dead.Load() {
		return errors.New("killed")
	}
	return d.Storage.Delete(ctx, key)
}

// token returns a token of identity, as a caller who stays for patience gets it.
func (w *world) token(t testing.TB, identity string) auth.Grant {
	t.Helper()
	ctx, done := context.WithTimeout(t.Context(), patience)
	defer done()
	g, err := w.cache.Token(ctx, identity)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// errRefused is a request that was answered by 498 or 499.
type errRefused struct{ code int }

func (e errRefused) Error() string { return fmt.Sprintf("the server answered %d", e.code) }

// self asks the Portal who the token is.
func (w *world) self(ctx context.Context, token auth.Secret) (string, error) {
	u := w.box.PortalURL.JoinPath("sharing", "rest", "portals", "self")
	u.RawQuery = "f=json"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("X-Esri-Authorization", "Bearer "+token.Reveal())
	res, err := w.box.Transport().RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	var answer struct {
		User  struct{ Username string }
		Error struct{ Code int }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return "", fmt.Errorf("status %d and no JSON", res.StatusCode)
	}
	if answer.Error.Code != 0 {
		return "", errRefused{answer.Error.Code}
	}
	return answer.User.Username, nil
}

// wire is the program's way to Okta and the Portal, and counts what goes over it.
type wire struct {
	to http.RoundTripper

	mu   sync.Mutex // guards sent
	sent []string   // those that follow a redirect begin with a space
	led  map[string]bool
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	line := r.Method + " " + r.URL.Host + r.URL.Path
	if w.led[r.URL.String()] {
		delete(w.led, r.URL.String())
		line = " " + line
	}
	w.sent = append(w.sent, line)
	w.mu.Unlock()
	res, err := w.to.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if to, err := res.Location(); err == nil {
		w.mu.Lock()
		if w.led == nil {
			w.led = map[string]bool{}
		}
		w.led[to.String()] = true
		w.mu.Unlock()
	}
	return res, nil
}

// calls counts the requests that no redirect led to.
func calls(sent []string) int {
	n := 0
	for _, line := range sent {
		if !strings.HasPrefix(line, " ") {
			n++
		}
	}
	return n
}

// take returns what was sent since the last take.
func (w *wire) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent := w.sent
	w.sent = nil
	return sent
}

// expect fails unless n requests were sent since the last take.
func (w *wire) expect(t testing.TB, what string, n int) {
	t.Helper()
	if sent := w.take(); len(sent) != n {
		t.Errorf("%s: %d requests, want %d:\n  %s", what, len(sent), n, strings.Join(sent, "\n  "))
	}
}
