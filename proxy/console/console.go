package console

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"arcproxy/auth"
)

// Path is where the console is.
const Path = "/_arcproxy/"

// Config is what a Console is made of.
type Config struct {
	Control Control
	Journal *Journal     // nil: one that nobody writes
	Metrics http.Handler // answers metrics; nil: 404
	Log     *slog.Logger // nil: nobody
}

// Console answers what is below [Path], for somebody who may see it all. Make one
// with [New], end it with [Console.Close].
type Console struct {
	control Control
	journal *Journal
	log     *slog.Logger
	mux     *http.ServeMux
	drained chan struct{} // closed by Drain
	drain   sync.Once
	streams chan struct{} // full: nobody else may listen to events
	stamp   string        // of the page's forms
	since   time.Time     // that the page's files are what they are, as far as a browser can know

	ctx    context.Context // of what was begun here; ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // the sign-ins' goroutines

	mu    sync.Mutex      // guards begun
	begun map[string]bool // identities that Begin is signing in; nil: closed
}

// New makes a Console.
func New(c Config) *Console {
	if c.Journal == nil {
		c.Journal = &Journal{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Console{
		control: c.Control,
		journal: c.Journal,
		log:     c.Log,
		mux:     http.NewServeMux(),
		drained: make(chan struct{}),
		streams: make(chan struct{}, streamsMost),
		stamp:   rand.Text(),
		since:   time.Now(),
		ctx:     ctx,
		cancel:  cancel,
		begun:   map[string]bool{},
	}
	s.routes()
	s.pages()
	if c.Metrics != nil {
		s.mux.Handle("GET "+Path+"metrics", c.Metrics)
	}
	return s
}

// ServeHTTP answers one request of somebody who may see and do everything.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // with none, browsers say of a form that its origin is null
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", policy)
	c.mux.ServeHTTP(w, r)
}

// Acted says of a request that ServeHTTP has answered whether it was to change
// something, and about which identity; "": about none that there is. Nothing else of
// what was sent comes out here: it may be a password, in whatever field.
func (c *Console) Acted(r *http.Request) (identity string, acted bool) {
	if !strings.HasPrefix(r.Pattern, http.MethodPost+" ") {
		return "", false
	}
	id, _ := c.identity(cmp.Or(r.PathValue("identity"), r.PostForm.Get("identity")))
	return id.Name, true
}

// policy is what a page of the console may load: what comes from here, in files of
// its own.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Journal is where requests are noted.
func (c *Console) Journal() *Journal { return c.journal }

// Drain says that the program is ending: it is not ready any more, and streams of
// events end. All else is answered as before.
func (c *Console) Drain() { c.drain.Do(func() { close(c.drained) }) }

// draining reports whether it does.
func (c *Console) draining() bool {
	select {
	case <-c.drained:
		return true
	default:
		return false
	}
}

// Close ends what was begun here and waits for it.
func (c *Console) Close() {
	c.mu.Lock()
	c.begun = nil
	c.mu.Unlock()
	c.Drain()
	c.cancel()
	c.wg.Wait()
}

// errBegun is for a second sign-in of an identity beside the first.
var errBegun = errors.New("this identity is being signed in already")

// signInMost bounds a sign-in that was begun here, longer than a person may take.
const signInMost = 10 * time.Minute

// Begin begins to sign identity in, and does not wait for the end of it: how it
// goes on is told by the identity's State. password is as for [Control].SignIn.
func (c *Console) Begin(identity string, password auth.Secret) error {
	if _, ok := c.identity(identity); !ok {
		return ErrUnknown
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun == nil || c.begun[identity] {
		return errBegun
	}
	c.begun[identity] = true
	c.wg.Go(func() {
		defer c.ended(identity)
		ctx, cancel := context.WithTimeout(c.ctx, signInMost)
		defer cancel()
		_ = c.control.SignIn(ctx, identity, password, nil) // the identity's State and the log have what fails
	})
	return nil
}

func (c *Console) ended(identity string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.begun, identity)
}

// identity returns how the identity of that name stands, and whether there is one.
func (c *Console) identity(name string) (Identity, bool) {
	for _, id := range c.control.Identities() {
		if id.Name == name {
			return id, true
		}
	}
	return Identity{}, false
}
