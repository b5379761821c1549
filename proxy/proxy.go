package proxy

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"arcproxy/auth"
	"arcproxy/proxy/audit"
	"arcproxy/proxy/issue"
)

// DefaultPatience is how long a request waits for a sign-in when [Config] does not say.
const DefaultPatience = 60 * time.Second

// Tokens yields the tokens that requests are signed with.
type Tokens interface {
	// Token returns a usable grant for the identity, waiting for a sign-in as
	// long as ctx allows. Errors are [*auth.Error] where the reason is known.
	Token(ctx context.Context, identity string) (auth.Grant, error)
	// Drop forgets the identity's access token if it still is this one.
	Drop(identity string, token auth.Secret)
}

// Trail keeps the record of what was forwarded; [*audit.Trail] does.
type Trail interface {
	// Write takes the record of one request that has ended, and does not wait.
	Write(*audit.Record)
}

// Upstream is a Portal or server. https://gis.example.com/portal is mounted at
// /portal: the URL has exactly one path segment, and it is the same at the proxy.
type Upstream struct{ URL *url.URL }

// Config is all that a [Proxy] is made of.
type Config struct {
	PublicURL *url.URL // what callers call
	Upstreams []Upstream
	Callers   []Caller
	Front     Front             // the proxy before this one, if there is one
	Origins   []string          // of web pages that may use the proxy, as https://maps.example.com
	Patience  time.Duration     // how long a request waits for a sign-in; 0: DefaultPatience
	Transport http.RoundTripper // to the upstreams; nil: NewTransport of the zero TransportConfig
	TokenLife time.Duration     // the longest, of tokens that the proxy hands out; 0: issue.DefaultLongest
	Trail     Trail             // nil: no record is kept
	Log       *slog.Logger      // nil: nothing is logged
}

// Proxy is the handler. It is safe for concurrent use and starts no goroutines
// of its own.
type Proxy struct {
	guard     guard
	routes    map[string]*upstream // by mount, read-only
	callers   callers
	tokens    Tokens
	issuer    *issue.Issuer
	guesses   *guesses
	patience  time.Duration
	bodyTime  time.Duration
	transport http.RoundTripper
	buffers   *buffers
	inflaters inflaters
	misfits   misfits
	trail     Trail // nil: none
	log       *slog.Logger
	// complaints is log for ReverseProxy. It is told of broken bodies only, and
	// no URLs.
	complaints *log.Logger
}

// New checks config and makes a Proxy. Its error joins every fault it finds.
func New(config Config, tokens Tokens) (*Proxy, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if tokens == nil {
		fault("no source of tokens")
	}
	public := config.PublicURL
	if public == nil || public.Hostname() == "" || public.Scheme != "http" && public.Scheme != "https" {
		fault("public URL %v: write a full http or https URL", public)
		public = &url.URL{}
	}
	routes, err := newRoutes(config.Upstreams)
	if err != nil {
		faults = append(faults, err)
	}
	known, err := newCallers(config.Callers, config.Front)
	if err != nil {
		faults = append(faults, err)
	}
	web, err := newOrigins(config.Origins)
	if err != nil {
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}

	p := &Proxy{
		guard: guard{
			host:   strings.TrimSuffix(public.Hostname(), "."),
			origin: public.Scheme + "://" + public.Host,
			web:    web,
		},
		routes:    routes,
		callers:   known,
		tokens:    tokens,
		guesses:   newGuesses(),
		patience:  config.Patience,
		bodyTime:  bodyTime,
		transport: config.Transport,
		buffers:   newBuffers(),
		trail:     config.Trail,
		log:       config.Log,
	}
	if p.patience <= 0 {
		p.patience = DefaultPatience
	}
	if p.transport == nil {
		p.transport = NewTransport(TransportConfig{})
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.issuer, err = newIssuer(p, config); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p.complaints = slog.NewLogLogger(p.log.Handler(), slog.LevelWarn)
	return p, nil
}

// ServeHTTP answers one request. See the package comment for its path.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r, body := pace(w, r, p.bodyTime)
	defer body.finish()
	hangUp(w.Header(), r)
	if f := p.guard.check(r); f != nil {
		p.refuse(w, r, f)
		return
	}
	to := p.route(r)
	if to == nil {
		p.refuse(w, r, notMounted)
		return
	}
	if r.Method == http.MethodOptions {
		p.options(w, r)
		return
	}
	if p.issuer.Handles(rawPath(r)) {
		p.guard.web.permit(w.Header(), r)
		p.issuer.ServeHTTP(w, r)
		return
	}
	x := &exchange{proxy: p, in: r, to: to, socket: websocket(r)}
	if f := x.admit(); f != nil {
		p.refuse(w, r, f)
		return
	}
	leave, f := x.enter()
	defer leave()
	if f == nil {
		f = x.readBody()
	}
	if f != nil {
		p.refuse(w, r, f)
		return
	}
	x.forward(w)
}

// options answers an OPTIONS request, which needs no key and never reaches an
// upstream: it says no more than which methods pass the guard, and to pages of
// configured origins that they may send them.
func (p *Proxy) options(w http.ResponseWriter, r *http.Request) {
	if f := p.guard.foreign(r); f != nil {
		p.refuse(w, r, f)
		return
	}
	w.Header().Set("Allow", allowed)
	p.guard.web.preflight(w.Header(), r)
	w.WriteHeader(http.StatusNoContent)
}

// exchange is one request on its way through the proxy, from the moment that
// its route is known.
type exchange struct {
	proxy   *Proxy
	in      *http.Request // as the caller sent it; never changed
	to      *upstream
	caller  *Caller
	query   string // the raw query without the caller's token
	body    body
	renewed bool // the first token was refused, and a fresh one was taken
	socket  bool // it is a WebSocket handshake

	forwarder httputil.ReverseProxy
	answer    answer // where the answer goes, and what of it was seen
	peeked    peeked // the answer's body, if its beginning had to be looked at
}

// admit finds out who the caller is, for which a form has to be read, and
// whether it may do this.
func (x *exchange) admit() *failure {
	r := x.in
	who := inquiry{known: &x.proxy.callers, issuer: x.proxy.issuer, request: r}
	who.connection(r)
	who.headers(r.Header)
	x.query = who.query(r.URL.RawQuery)
	if isForm(r.Header) && r.ContentLength != 0 && who.wrong == nil {
		if f := x.readForm(&who); f != nil {
			return f
		}
	}
	caller, f := who.caller(r)
	if f != nil {
		x.proxy.guesses.pause(r.Context(), remote(r.RemoteAddr), who.guessed())
		return f
	}
	if who.ambient() {
		if f := x.proxy.guard.foreign(r); f != nil {
			return f
		}
	}
	x.caller = caller
	return x.permitted()
}
