package okta

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/crewjam/saml"
)

// maxBody bounds a request's body, in bytes. Okta's own bound is not documented.
const maxBody = 1 << 20

// Config says how an organization starts.
type Config struct {
	// BaseURL is where the organization is reached: scheme, host and port.
	BaseURL *url.URL
	Users   []User
	// Settings are the organization's policies; nil means DefaultSettings().
	Settings *Settings
	// TrustedOrigins may be the target of sessionCookieRedirect, beside BaseURL's own.
	TrustedOrigins []string
	// DuoURL is where Duo's frame is reached; nil: nobody can have Duo.
	DuoURL *url.URL
	// Seed chooses page shapes and the order of factors. 0 takes a random one.
	// It is logged either way.
	Seed uint64
	// Assets is a directory with npm's packages, a node_modules. If it is given, the
	// sign-in pages show the Okta Sign-In Widget in it (@okta/okta-signin-widget).
	Assets string
	// Log hears the seed and every request's method, path pattern and status;
	// never a secret. nil discards.
	Log *slog.Logger
}

// Org is a simulated organization. Its methods may be called concurrently.
type Org struct {
	base *url.URL
	log  *slog.Logger
	mux  *http.ServeMux
	seed uint64
	// assets has npm's packages, nil: the pages show nothing.
	assets fs.FS

	limits limits // guards itself

	mu       sync.Mutex // guards everything below
	settings Settings
	trusted  map[string]bool // origins
	rng      *mrand.Rand     // shapes only; secrets come from crypto/rand

	users        map[string]*account     // by lower-case login
	transactions map[string]*transaction // by stateToken
	tokens       map[string]*oneTime     // by sessionToken
	sessions     map[string]*session     // by sid
	devices      map[string]bool         // DT cookies that were issued
	remembered   map[deviceKey]time.Time // "remember this device" until
	known        map[deviceKey]bool      // devices that have passed MFA once
	apps         []*App
	keys         map[string]*samlRequest // by okta_key
	flows        map[string]*idxFlow     // by stateToken, and by stateHandle
	redirects    map[string]*idxFlow     // by the stateToken of success
	autIDs       map[string]string       // of authenticators, by key
	idxUses      map[string][]time.Time  // requests of the last seconds, by stateToken and user
	oidc         oidcState
	idp          identity
	faults       []*Fault
	counts       Counts
	secrets      map[string]bool
	duo          *duo // nil: none
}

// deviceKey is one account on one device (a DT cookie).
type deviceKey struct{ user, dt string }

// New makes an organization with one application, which waits for RegisterApp.
// It fails on a base URL that is no origin and on two users with one login.
func New(c Config) (*Org, error) {
	if c.BaseURL == nil || c.BaseURL.Host == "" || (c.BaseURL.Scheme != "https" && c.BaseURL.Scheme != "http") {
		return nil, errors.New("okta: BaseURL is no http or https origin")
	}
	o := &Org{
		base:         &url.URL{Scheme: c.BaseURL.Scheme, Host: c.BaseURL.Host},
		log:          c.Log,
		seed:         c.Seed,
		settings:     DefaultSettings(),
		users:        map[string]*account{},
		transactions: map[string]*transaction{},
		tokens:       map[string]*oneTime{},
		sessions:     map[string]*session{},
		devices:      map[string]bool{},
		remembered:   map[deviceKey]time.Time{},
		known:        map[deviceKey]bool{},
		keys:         map[string]*samlRequest{},
		flows:        map[string]*idxFlow{},
		redirects:    map[string]*idxFlow{},
		autIDs:       map[string]string{},
		idxUses:      map[string][]time.Time{},
		oidc:         oidcState{map[string]*OIDCClient{}, map[string]*oidcRequest{}, map[string]*oidcCode{}},
		secrets:      map[string]bool{},
	}
	if c.Assets != "" {
		o.assets = os.DirFS(c.Assets)
	}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	for o.seed == 0 {
		o.seed = mrand.Uint64()
	}
	o.rng = mrand.New(mrand.NewPCG(o.seed, 0x6f6b7461))
	o.log.Info("simulated Okta organization", "url", o.base.String(), "seed", o.seed)
	if c.Settings != nil {
		o.settings = *c.Settings
	}
	o.trusted = map[string]bool{origin(o.base): true}
	for _, t := range c.TrustedOrigins {
		u, err := url.Parse(t)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("okta: trusted origin %q is no origin", t)
		}
		o.trusted[origin(u)] = true
	}
	if c.DuoURL != nil {
		o.duo = newDuo(c.DuoURL)
	}
	for _, u := range c.Users {
		if err := o.addUser(u); err != nil {
			return nil, err
		}
	}
	if err := o.idp.generate(); err != nil {
		return nil, fmt.Errorf("okta: signing key: %w", err)
	}
	o.apps = []*App{o.newApp("ArcGIS Enterprise")}
	o.counts.Requests = map[string]int{}
	o.limits.start()
	o.mux = http.NewServeMux()
	o.routes()
	return o, nil
}

// Seed returns the seed of the shapes, for repeating a failure.
func (o *Org) Seed() uint64 { return o.seed }

// Configure changes the settings while the organization runs.
func (o *Org) Configure(change func(*Settings)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(&o.settings)
}

// routes mounts every address.
func (o *Org) routes() {
	for pattern, fn := range map[string]handler{
		"GET /.well-known/okta-organization":                   o.organization,
		"GET /.well-known/openid-configuration":                o.discovery,
		"GET /oauth2/default/.well-known/openid-configuration": o.discovery,

		"POST /api/v1/authn":                                    o.authn,
		"POST /api/v1/authn/introspect":                         o.introspect,
		"POST /api/v1/authn/cancel":                             o.cancel,
		"POST /api/v1/authn/previous":                           o.previous,
		"POST /api/v1/authn/skip":                               o.skip,
		"POST /api/v1/authn/consent":                            o.consent,
		"POST /api/v1/authn/credentials/change_password":        o.changePassword,
		"POST /api/v1/authn/credentials/reset_password":         o.resetPassword,
		"POST /api/v1/authn/recovery/answer":                    o.recoveryAnswer,
		"POST /api/v1/authn/recovery/unlock":                    o.recoveryUnlock,
		"POST /api/v1/authn/recovery/factors/sms/verify":        o.recoveryVerify,
		"POST /api/v1/authn/factors":                            o.enroll,
		"POST /api/v1/authn/factors/{id}/lifecycle/activate":    o.activate,
		"POST /api/v1/authn/factors/{id}/verify":                o.verify,
		"POST /api/v1/authn/factors/{id}/lifecycle/duoCallback": o.duoCallback,
		"POST /api/v1/authn/factors/{id}/verify/resend":         o.resend,

		"GET /api/v1/sessions/me":                    o.sessionGet,
		"DELETE /api/v1/sessions/me":                 o.sessionClose,
		"POST /api/v1/sessions/me/lifecycle/refresh": o.sessionRefresh,
		"GET /api/v1/users/me":                       o.userMe,

		"GET /login/sessionCookieRedirect":  o.cookieRedirect,
		"POST /login/sessionCookieRedirect": o.cookieRedirect,
		"GET /login/step-up/redirect":       o.stepUpRedirect,
		"GET /login/token/redirect":         o.tokenRedirect,
		"POST /idp/idx/introspect":          o.idxIntrospect,
		"GET /login/login.htm":              o.loginPage,
		"GET " + authorizeRedirect:          o.authorizeAgain,
		"GET /app/{name}/{id}/sso/saml":     o.sso,
		"POST /app/{name}/{id}/sso/saml":    o.sso,

		"GET /sandbox/phone":          o.phonePage,
		"GET /sandbox/phone/pushes":   o.phoneList,
		"POST /sandbox/phone/approve": o.phoneApprove,
		"POST /sandbox/phone/deny":    o.phoneDeny,
		"GET /sandbox/inbox":          o.inboxPage,
		"GET /sandbox/inbox/messages": o.inboxList,
		"POST /sandbox/token":         o.tokenPress,

		"GET /sandbox/widget/{file...}": o.widgetFile,

		"/": o.elsewhere,
	} {
		o.mux.HandleFunc(pattern, o.serve(fn))
	}
	for _, path := range idxPaths {
		o.mux.HandleFunc("POST /idp/idx/"+path, o.serve(o.idxPost))
	}
	for _, server := range []string{"/oauth2", "/oauth2/default"} { // the organization's own, and the one it comes with
		o.mux.HandleFunc("GET "+server+"/v1/authorize", o.serve(o.authorize))
		o.mux.HandleFunc("POST "+server+"/v1/authorize", o.serve(o.authorize))
		o.mux.HandleFunc("POST "+server+"/v1/token", o.serve(o.oidcToken))
		o.mux.HandleFunc("POST "+server+"/v1/interact", o.serve(o.interact))
		o.mux.HandleFunc("GET "+server+"/v1/keys", o.serve(o.oidcKeys))
	}
}

// ServeHTTP answers one request. It panics with http.ErrAbortHandler where a
// fault says that the connection breaks: net/http's server then drops it, and a
// test that calls the handler in process recovers it.
func (o *Org) ServeHTTP(w http.ResponseWriter, r *http.Request) { o.mux.ServeHTTP(w, r) }

// call is one request, read whole before the organization's lock is taken.
type call struct {
	r     *http.Request
	body  []byte
	now   time.Time // the organization's clock: time.Now, shifted by Settings.ClockSkew
	dt    string    // the DT cookie, if this organization issued it
	quota *quota    // what the rate-limit headers say, nil: none
	new   []*http.Cookie
}

// answer is one response, written after the lock is released.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// handler answers a call under the organization's lock.
type handler func(*call) answer

// serve turns a handler into an http.HandlerFunc: faults, limits, the lock, the
// device cookie, and the headers that every answer of Okta's carries.
func (o *Org) serve(fn handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
		if err != nil || len(body) > maxBody {
			http.Error(w, "request entity too large or broken", http.StatusRequestEntityTooLarge)
			return
		}
		if r.Method == http.MethodPost && formEncoded(r) {
			r.Body = io.NopCloser(bytes.NewReader(body))
			if err := r.ParseForm(); err != nil {
				http.Error(w, "bad form", http.StatusBadRequest)
				return
			}
		}
		c := &call{r: r, body: body}
		fault := o.admit(c)
		leave, refused := o.enter(c)
		defer leave()
		if d := fault.waits(); d > 0 && !sleep(r.Context(), d) {
			panic(http.ErrAbortHandler)
		}
		if fault != nil && fault.Kind != Slow {
			fault.play(w, c, func() *answer { return o.run(fn, c) })
			return
		}
		a := refused
		if a == nil {
			a = o.run(fn, c)
		}
		o.log.Debug("simulated Okta", "request", r.Pattern, "status", a.status)
		a.write(w)
	}
}

// admit counts the request, finds the device, and picks the fault that is due.
func (o *Org) admit(c *call) *Fault {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.now = time.Now().Add(o.settings.ClockSkew)
	o.counts.Requests[c.r.Pattern]++
	if k, err := c.r.Cookie("DT"); err == nil && o.devices[k.Value] {
		c.dt = k.Value
	}
	return o.fault(c.r)
}

// run calls fn under the lock and adds cookies and headers.
func (o *Org) run(fn handler, c *call) *answer {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.now = time.Now().Add(o.settings.ClockSkew)
	a := fn(c)
	if a.header == nil {
		a.header = http.Header{}
	}
	if !strings.HasPrefix(c.r.URL.Path, "/sandbox/") {
		if c.dt == "" && forBrowsers(c.r.URL.Path) { // [A]: the device is what the DT cookie says, nothing else
			dt := o.token("DI0", 22)
			o.devices[dt] = true
			c.new = append(c.new, o.cookie("DT", dt, 2*365*24*time.Hour))
		}
		a.header.Set("X-Okta-Request-Id", rand.Text()[:20])
		if a.header.Get("Cache-Control") == "" {
			a.header.Set("Cache-Control", "no-cache, no-store")
		}
		a.header.Set("Pragma", "no-cache")
		o.limits.describe(c, a.header)
	}
	for _, k := range c.new {
		a.header.Add("Set-Cookie", k.String())
	}
	a.header.Set("Date", c.now.UTC().Format(http.TimeFormat))
	return &a
}

// forBrowsers reports whether an address is one that makes a device of who asks. That
// the documents and endpoints for machines make none is unproven.
func forBrowsers(path string) bool {
	return !strings.Contains(path, "/.well-known/") && !strings.HasSuffix(path, "/v1/token") && !strings.HasSuffix(path, "/v1/keys")
}

func (a *answer) write(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a client that left is its own affair
}

// cookie makes one of Okta's cookies; life 0 makes it a session cookie, a
// negative one deletes it.
func (o *Org) cookie(name, value string, life time.Duration) *http.Cookie {
	k := &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, Secure: o.base.Scheme == "https"}
	if k.Secure {
		k.SameSite = http.SameSiteNoneMode
	}
	if life != 0 {
		k.MaxAge = int(life.Seconds())
	}
	return k
}

// token makes a secret with the given prefix and n characters, and remembers
// that it is one. A dash is always among them: sign-in pages must escape it.
func (o *Org) token(prefix string, n int) string {
	buf := make([]byte, n)
	_, _ = rand.Read(buf) // never fails (crypto/rand)
	s := base64.RawURLEncoding.EncodeToString(buf)[:n]
	t := prefix + s[:n/2] + "-" + s[n/2+1:]
	o.secrets[t] = true
	return t
}

// url returns the absolute address of a path.
func (o *Org) url(path string) string { return o.base.String() + path }

// organization tells the engine: "v1" is Classic, "idx" the Identity Engine [A].
func (o *Org) organization(*call) answer {
	return reply(http.StatusOK, hal{
		"id":       "00o1n8sbwArJ7OQRw406",
		"pipeline": o.settings.Pipeline,
		"settings": hal{"analyticsCollectionEnabled": false, "bugReportingEnabled": false, "omEnabled": false},
		"_links": hal{
			"organization": hal{"href": o.base.String()},
			"alternate":    hal{"href": o.base.String()},
		},
	})
}

// elsewhere answers every address that is not Okta's or not simulated.
func (o *Org) elsewhere(c *call) answer {
	switch path := c.r.URL.Path; {
	case strings.HasPrefix(path, "/idp/idx/"), strings.HasPrefix(path, "/api/v1/authn"), strings.HasPrefix(path, "/api/v1/sessions/me"):
		return fail(http.StatusMethodNotAllowed, "E0000022")
	case strings.HasPrefix(path, "/api/"):
		return fail(http.StatusNotFound, "E0000007", path+" (Resource)")
	}
	return o.errorPage(http.StatusNotFound, "Page not found", "Sorry, the page you requested isn't there.")
}

// Metadata returns the SAML metadata of the first application.
func (o *Org) Metadata() *saml.EntityDescriptor {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.apps[0].provider(o).Metadata()
}

// hal is a JSON object.
type hal = map[string]any

// reply makes a JSON answer.
func reply(status int, v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		panic("okta: " + err.Error()) // only maps, strings and numbers get here
	}
	return answer{status: status, header: http.Header{"Content-Type": {"application/json"}}, body: body}
}

// formEncoded reports whether a request carries an urlencoded form.
func formEncoded(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
}

// origin is scheme, host and port of a URL.
func origin(u *url.URL) string { return strings.ToLower(u.Scheme + "://" + u.Host) }

// address is the client's IP address without its port.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// sleep waits for d and reports whether ctx lasted that long.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
