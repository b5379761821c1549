package issue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultLongest is the longest life of a token when [Config] does not say.
	DefaultLongest = 14 * 24 * time.Hour

	defaultLife  = time.Hour        // of a token from generateToken, as ArcGIS has it
	appLife      = 2 * time.Hour    // of a token for an application, or in a fragment
	accessLife   = 30 * time.Minute // of one that comes with a refresh token
	codeLife     = 10 * time.Minute
	usernamePace = 15 * time.Second // how long an answer waits for the ArcGIS user name
)

// Callers is what the issuer has to know about callers. It is told of attempts one
// by one and leaves delays, addresses and the comparison of keys to it.
type Callers interface {
	// Verify returns the caller whose key this is, if r may use it. A name that is
	// not "" has to be that caller's. A wrong key costs the delay that it costs
	// elsewhere, and takes as long whether or not the name is known.
	Verify(ctx context.Context, r *http.Request, name, key string) (caller string, ok bool)
	// Known returns the caller that r is from by its headers or its connection,
	// under the rules for requests that are forwarded: nobody, if a page of another
	// site may have sent it. It does not read the body.
	Known(r *http.Request) (caller string, ok bool)
	// Username returns the ArcGIS user name that the caller acts as. It may wait for
	// a sign-in, as long as ctx.
	Username(ctx context.Context, caller string) (string, error)
}

// Config is all that an [Issuer] is made of.
type Config struct {
	PublicURL *url.URL   // what callers call
	Upstreams []*url.URL // the Portal and its servers, each with one path segment, its mount
	Origins   []string   // of web pages that may be redirected to, as https://maps.example.com
	Callers   Callers
	Store     *Store // nil: a new one
	// Marks has a text for each caller there is, which changes with what the caller is
	// known by: the tokens of all others, and of those that have changed, end. nil: no
	// token ends for that. See [Issuer.Begin].
	Marks   map[string]string
	Longest time.Duration // life of a token; 0: DefaultLongest
	Log     *slog.Logger  // nil: nothing is logged
}

// Issuer answers requests for tokens. It is safe for concurrent use.
type Issuer struct {
	public    *url.URL
	upstreams []*url.URL
	mounts    map[string]bool
	origins   map[string]bool
	callers   Callers
	store     *Store
	marks     map[string]string
	longest   time.Duration
	log       *slog.Logger
}

// New checks config and makes an Issuer. Its error joins every fault.
func New(config Config) (*Issuer, error) {
	i := &Issuer{
		public:    config.PublicURL,
		upstreams: config.Upstreams,
		mounts:    map[string]bool{},
		origins:   map[string]bool{},
		callers:   config.Callers,
		store:     config.Store,
		marks:     config.Marks,
		longest:   config.Longest,
		log:       config.Log,
	}
	var faults []error
	if i.callers == nil {
		faults = append(faults, errors.New("nobody knows the callers"))
	}
	if i.public == nil || i.public.Hostname() == "" || i.public.Scheme != "http" && i.public.Scheme != "https" {
		faults = append(faults, fmt.Errorf("public URL %v: write a full http or https URL", i.public))
	}
	for _, up := range config.Upstreams {
		mount := strings.Trim(up.EscapedPath(), "/")
		if mount == "" || strings.ContainsAny(mount, "/%;") {
			faults = append(faults, fmt.Errorf("upstream %s: the path has to be one plain segment, such as /portal", up.Redacted()))
		}
		i.mounts[mount] = true
	}
	for _, text := range config.Origins {
		u, ok := parseRedirect(text)
		if !ok || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			faults = append(faults, fmt.Errorf("web origin %q: write a scheme and a host, as https://maps.example.com", text))
			continue
		}
		i.origins[origin(u)] = true
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("issue: %w", err)
	}
	if i.store == nil {
		i.store = NewStore()
	}
	if i.longest <= 0 {
		i.longest = DefaultLongest
	}
	if i.log == nil {
		i.log = slog.New(slog.DiscardHandler)
	}
	return i, nil
}

// Begin ends the tokens of callers that are not, or no longer what they were, by
// [Config.Marks]: from now on, no Issuer before this one on the same Store is asked.
func (i *Issuer) Begin() {
	if i.marks != nil {
		i.store.Keep(i.marks)
	}
}

// Handles reports whether a request with this path, as it was sent, is for the
// issuer and not for an upstream. The path begins with a mount.
func (i *Issuer) Handles(rawPath string) bool {
	_, e := find(rawPath)
	return e != elsewhere
}

// Caller returns whose token text is; see [Store.Caller].
func (i *Issuer) Caller(text string, r *http.Request) (string, bool) {
	return i.store.Caller(text, r)
}

// RevokeCaller ends all tokens of a caller; see [Store.RevokeCaller].
func (i *Issuer) RevokeCaller(name string) { i.store.RevokeCaller(name) }

// Outcome is what came of a request for a token. Nothing that was sent is in it.
type Outcome struct {
	Caller string // who got a token; "": nobody
	Status int    // of the answer; in ArcGIS's way of failing with 200, the code in it
	Reason string // why it was refused; "": it was not
}

// Answer answers a request that [Issuer.Handles]. The Host header has to have
// been found to be a name of the proxy: it is what own redirect URIs are known by.
// Headers that are set already, such as those for web origins, stay.
func (i *Issuer) Answer(w http.ResponseWriter, r *http.Request) Outcome {
	raw := r.RequestURI
	if raw == "" { // not from a server
		raw = r.URL.EscapedPath()
	}
	raw, _, _ = strings.Cut(raw, "?")
	mount, e := find(raw)
	c := &call{Issuer: i, w: w, r: r, mount: mount}
	c.answer(e)
	return c.came
}

// answer answers for an endpoint.
func (c *call) answer(e endpoint) {
	if !c.mounts[c.mount] || e == elsewhere {
		e = closed
	}
	if _, refused := refusals[e]; refused {
		c.refuse(e)
		return
	}
	switch c.r.Method {
	case http.MethodGet, http.MethodPost:
	default:
		c.onlyPost()
		return
	}
	var err error
	if c.params, err = read(c.w, c.r); err != nil {
		status := http.StatusBadRequest
		if f, ok := errors.AsType[*fault](err); ok {
			status = f.status
		}
		c.fail(status, failure{Code: status, Message: "Invalid request.", Details: []string{err.Error()}})
		return
	}
	switch e {
	case generate:
		c.generateToken()
	case tokenGrant:
		c.token()
	case exchange:
		c.exchangeToken()
	case revoke:
		c.revokeToken()
	case self:
		c.platformSelf()
	case authorize:
		c.authorize()
	case signin:
		c.signin()
	case approval:
		c.approval()
	case signout:
		c.signout()
	}
}

// lifetime returns the life that the parameter `expiration` asks for, in minutes;
// -1 is the longest there is (Esri's OAuth documentation).
func (c *call) lifetime(byDefault time.Duration) (time.Duration, bool) {
	text := c.params["expiration"]
	if text == "" {
		return min(byDefault, c.longest), true
	}
	minutes, err := strconv.Atoi(text)
	if err != nil || minutes == 0 || minutes < -1 {
		return 0, false
	}
	if minutes < 0 || minutes > int(c.longest/time.Minute) {
		return c.longest, true
	}
	return time.Duration(minutes) * time.Minute, true
}

// holder is who a token or key belongs to.
type holder struct {
	caller string
	from   *record // the access token; nil: it was a key
}

// resolve returns whose a token is: one of ours, or a caller key, which clients
// that take a token present as one.
func (c *call) resolve(token string) (holder, bool) {
	if !Ours(token) {
		caller, ok := c.callers.Verify(c.r.Context(), c.r, "", token)
		return holder{caller: caller}, ok
	}
	rec := c.store.find(token, access)
	if rec == nil || !rec.binding.holds(c.r) {
		return holder{}, false
	}
	return holder{caller: rec.caller, from: rec}, true
}

// trade issues an access token for another, or for a key. It is bound to what the
// other is bound to, if not to something of its own, and ends no later.
func (c *call) trade(h holder, b binding, life time.Duration) (text string, left time.Duration) {
	rec := &record{kind: access, caller: h.caller, binding: b}
	if from := h.from; from != nil {
		rec.parent, rec.exchanged = from, true
		if from.exchanged {
			rec.parent = from.parent
		}
		rec.binding = from.binding.and(b)
		life = min(life, from.left())
	}
	return c.issue(rec, life), life
}

// issue issues a token and says so in the log.
func (c *call) issue(rec *record, life time.Duration) string {
	rec.mark = c.marks[rec.caller]
	text := c.store.issue(rec, life)
	c.came.Caller = rec.caller
	c.log.LogAttrs(c.r.Context(), slog.LevelInfo, "token issued",
		slog.String("caller", rec.caller), slog.String("kind", rec.kind.String()), slog.Duration("life", life), slog.String("remote", c.r.RemoteAddr))
	return text
}

// refused says in the log that somebody could not sign in. What they sent is not
// in it: it may be a password, also in the place of the user name.
func (c *call) refused(what string) {
	c.log.LogAttrs(c.r.Context(), slog.LevelInfo, "no token issued",
		slog.String("reason", what), slog.String("remote", c.r.RemoteAddr))
}

// username returns the ArcGIS user name that a caller acts as, "" if it is not
// known soon. A client without it asks the Portal, and hears there what is wrong.
func (c *call) username(caller string) string {
	ctx, cancel := context.WithTimeout(c.r.Context(), usernamePace)
	defer cancel()
	name, err := c.callers.Username(ctx, caller)
	if err != nil {
		return ""
	}
	return name
}

// String returns what the log calls a kind.
func (k kind) String() string { return [...]string{"access", "refresh", "code"}[k] }
