package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"arcproxy/auth"
	"arcproxy/proxy/audit"
	"arcproxy/proxy/console"
	"arcproxy/proxy/issue"
)

// DefaultPatience is how long a request waits for a sign-in when [Config] does not say.
const DefaultPatience = 60 * time.Second

// Tokens yields the tokens that requests are signed with.
type Tokens interface {
	// Token returns a usable grant for the identity, waiting for a sign-in as
	// long as ctx allows. Errors are [*auth.Error] where the reason is known.
	Token(ctx context.Context, identity string) (auth.Grant, error)
	// TokenFor is Token with so much left of its life, as far as that can be had.
	TokenFor(ctx context.Context, identity string, life time.Duration) (auth.Grant, error)
	// Drop forgets the identity's access token if it still is this one.
	Drop(identity string, token auth.Secret)
}

// Trail keeps the record of what was forwarded, and of what operators did; [*audit.Trail]
// does.
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
	Front     Front               // the proxy before this one, if there is one
	ClientCAs []*x509.Certificate // of client certificates; nil: whoever the listener trusts
	Origins   []string            // of web pages that may use the proxy, as https://maps.example.com
	Mapping   Mapping             // exceptions from what is mapped
	Patience  time.Duration       // how long a request waits for a sign-in; 0: DefaultPatience
	Replay    int64               // the largest body, in bytes, that is kept to be sent again; 0: DefaultReplay; negative: 256 KB
	TempDir   string              // where longer ones are kept; "": os.TempDir
	Transport http.RoundTripper   // to the upstreams; nil: NewTransport of the zero TransportConfig
	TokenLife time.Duration       // the longest, of tokens that the proxy hands out; 0: issue.DefaultLongest
	Issued    *issue.Store        // those tokens; nil: they are in memory, and end with this Proxy
	Trail     Trail               // nil: no record is kept
	Console   *console.Console    // what is below /_arcproxy/; nil: nothing is
	Figures   Figures             // nil: nothing is counted
	Log       *slog.Logger        // nil: nothing is logged
}

// Proxy is the handler. It is safe for concurrent use and starts no goroutines
// of its own.
type Proxy struct {
	current    atomic.Pointer[settings]
	tokens     Tokens
	issued     *issue.Store
	guesses    *guesses
	bodyTime   time.Duration
	transport  http.RoundTripper
	buffers    *buffers
	exchanges  sync.Pool    // of those that have ended
	ahead      atomic.Int64 // bytes of uploads whose callers are not known yet
	inflaters  inflaters
	tempDir    string
	spooled    atomic.Int64 // bytes of bodies in files
	complained atomic.Int64 // when it was last said that bodies can't be kept
	misfits    misfits
	trail      Trail                       // nil: none
	console    *console.Console            // nil: there is none
	journal    *console.Journal            // the console's; nil: there is none
	cross      *http.CrossOriginProtection // of the console
	figures    Figures
	self       int64 // the user that runs this process
	log        *slog.Logger
	// complaints is log for ReverseProxy. It is told of broken bodies only, and
	// no URLs.
	complaints *log.Logger
}

// New checks config and makes a Proxy. Its error joins every fault it finds.
func New(config Config, tokens Tokens) (*Proxy, error) {
	p := &Proxy{
		tokens:    tokens,
		issued:    config.Issued,
		guesses:   newGuesses(),
		bodyTime:  bodyTime,
		transport: config.Transport,
		tempDir:   config.TempDir,
		buffers:   newBuffers(),
		trail:     config.Trail,
		console:   config.Console,
		figures:   config.Figures,
		cross:     http.NewCrossOriginProtection(),
		self:      self(),
		log:       config.Log,
	}
	if p.console != nil {
		p.journal = p.console.Journal()
	}
	if p.figures == nil {
		p.figures = uncounted{}
	}
	if p.issued == nil {
		p.issued = issue.NewStore()
	}
	if p.transport == nil {
		p.transport = NewTransport(TransportConfig{})
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.complaints = slog.NewLogLogger(p.log.Handler(), slog.LevelWarn)
	begin, err := p.Prepare(config)
	if tokens == nil {
		err = errors.Join(errors.New("proxy: no source of tokens"), err)
	}
	if err != nil {
		return nil, err
	}
	begin()
	return p, nil
}

// ServeHTTP answers one request. See the package comment for its path.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.current.Load().serve(w, r)
}

// serve answers one request by one configuration, from its beginning to its end.
func (p *settings) serve(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	r, body := pace(w, r, p.bodyTime)
	defer body.finish()
	hangUp(w.Header(), r)
	if f := p.guard.check(r); f != nil {
		p.turnAway(w, r, f, began)
		return
	}
	if isOwn(rawPath(r)) {
		p.own(w, r, began)
		return
	}
	to := p.route(r)
	if to == nil {
		p.turnAway(w, r, notMounted, began)
		return
	}
	if r.Method == http.MethodOptions {
		p.options(w, r)
		return
	}
	if p.issuer.Handles(rawPath(r)) {
		p.guard.web.permit(w.Header(), r)
		came := p.issuer.Answer(w, r)
		p.note(p.callers.named[came.Caller], console.Request{Time: began, Method: r.Method, Path: rawPath(r), Status: came.Status, Took: time.Since(began), Reason: came.Reason}, false)
		return
	}
	x := p.begin(r, to)
	x.run(w)
	x.end()
}

// options answers an OPTIONS request, which needs no key and never reaches an
// upstream: it says no more than which methods pass the guard, and to pages of
// configured origins that they may send them.
func (p *settings) options(w http.ResponseWriter, r *http.Request) {
	if f := p.guard.foreign(r); f != nil {
		p.refuse(w, r, f)
		return
	}
	w.Header().Set("Allow", allowed)
	p.guard.web.preflight(w.Header(), r)
	w.WriteHeader(http.StatusNoContent)
}

// admit finds out who the caller is, for which a form has to be read, and
// whether it may do this.
func (x *exchange) admit() *failure {
	r := x.in
	who := inquiry{known: &x.proxy.callers, issuer: x.proxy.issuer, request: r}
	who.connection(r)
	who.headers(r.Header)
	x.query = who.query(r.URL.RawQuery)
	if r.ContentLength != 0 && who.wrong == nil {
		if f := x.readParameters(&who); f != nil {
			return f
		}
	}
	caller, f := who.caller(r)
	if f != nil {
		if x.body.stream != nil && who.wrong == nil && who.found == nil {
			f = uploadTooLarge
		}
		if (f == unknownCaller || f == ambiguousAddress) && x.proxy.issuer.Introduces(x.path) {
			return newcomer
		}
		x.proxy.guesses.pause(r.Context(), remote(r.RemoteAddr), who.guessed())
		return f
	}
	if who.ambient() {
		if f := x.proxy.guard.foreign(r); f != nil {
			return f
		}
	}
	x.caller, x.issued = caller, who.issued
	if x.body.sender != nil {
		x.body.sender.found = caller // however it was found: nobody else's key may follow
	}
	return x.permitted()
}
