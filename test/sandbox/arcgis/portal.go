package arcgis

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crewjam/saml"
)

// Member is an account of the Portal's organization.
type Member struct {
	Login     string // the NameID that the identity provider asserts
	Username  string // the ArcGIS user name
	FirstName string
	LastName  string
	Email     string
	Role      string // org_admin, org_publisher or org_user; "" means org_publisher
	Password  string // of an account of the Portal's own; "": it signs in through the identity provider only
}

// FullName is the name that portals/self shows.
func (m *Member) FullName() string { return strings.TrimSpace(m.FirstName + " " + m.LastName) }

// App is an application registered in the Portal.
type App struct {
	ID           string
	Title        string
	RedirectURIs []string
}

// Config says where the simulated systems live and whom they know.
type Config struct {
	Site    *url.URL // origin of the Portal (/portal) and of its own server (/server)
	Other   *url.URL // origin of the second federated server (/arcgis)
	Open    *url.URL // origin of the server that is not federated (/public)
	Members []Member
	Apps    []App  // nil: DefaultApps; the Portal's own home application is always there
	Assets  string // a directory with npm's packages, for the home application's maps; "": none
	Seed    uint64 // of the generator that decides variations
	Shape   Shape
	Log     *slog.Logger // nil: nothing is logged
}

// Portal is the whole simulated installation. It is an [http.Handler] for the
// site's host; [Portal.Other] and [Portal.Open] are those of the other two.
type Portal struct {
	cfg     Config
	log     *slog.Logger
	choose  *chooser
	base    string // the Portal's own URL, which it puts into its answers: its WebContextURL
	assets  fs.FS  // what is below home/assets/; nil: nothing
	orgID   string
	trees   *layer
	sites   []*site
	items   *items
	members map[string]*Member // by Login, in lower case
	closed  chan struct{}      // closed by Close

	oidcStyle oidcStyle

	mu       sync.Mutex // guards all that follows
	sp       saml.ServiceProvider
	relying  *relying          // nil until TrustOIDC
	hops     map[string]string // where the Portal's redirects to itself lead on
	tokens   map[string]*token
	codes    map[string]*code
	pending  map[string]*pending  // by oauth_state, by RelayState and by OpenID Connect's state
	signedOn map[string]*signedOn // by the cookie's value
	settled  map[string]bool      // members who went through the interstitials, by Username
	life     lifetimes
	counts   Counts
	issued   []string
	broken   breakage
	budget   int           // how many more authorized requests pass before all tokens are revoked; <0: no limit
	waiters  chan struct{} // closed and replaced by Notify
	jobs     map[string]*job
	gate     *Gate
	delays   map[string]time.Duration // by path prefix
}

// lifetimes are how long what the Portal issues lasts.
type lifetimes struct {
	access, refresh, maxRefresh, code, state time.Duration
}

// DefaultApps is what a Portal knows that is told of no others.
func DefaultApps() []App {
	return []App{{
		ID:           "arcproxytest",
		Title:        "arcproxy under test",
		RedirectURIs: []string{outOfBand, "http://localhost/callback"},
	}}
}

// New makes an installation. Before anyone can sign in, the Portal has to be
// told of its identity provider with [Portal.TrustIdP].
func New(cfg Config) (*Portal, error) {
	if cfg.Site == nil || cfg.Other == nil || cfg.Open == nil {
		return nil, errors.New("arcgis: Site, Other and Open must all be set")
	}
	if cfg.Apps == nil {
		cfg.Apps = DefaultApps()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Portal{
		cfg:      cfg,
		log:      cfg.Log,
		choose:   &chooser{rng: rand.New(rand.NewPCG(cfg.Seed, 0x41524347)), shape: cfg.Shape},
		base:     cfg.Site.String() + "/portal",
		orgID:    "0123456789ABCDEF",
		members:  make(map[string]*Member),
		tokens:   make(map[string]*token),
		codes:    make(map[string]*code),
		pending:  make(map[string]*pending),
		hops:     make(map[string]string),
		settled:  make(map[string]bool),
		signedOn: make(map[string]*signedOn),
		life: lifetimes{
			access:     30 * time.Minute,
			refresh:    14 * 24 * time.Hour,
			maxRefresh: 90 * 24 * time.Hour,
			code:       2 * time.Minute,
			state:      10 * time.Minute,
		},
		budget:  -1,
		closed:  make(chan struct{}),
		waiters: make(chan struct{}),
		jobs:    make(map[string]*job),
	}
	p.oidcStyle = newOIDCStyle(cfg.Seed)
	p.counts.Requests = make(map[string]int)
	for _, m := range cfg.Members {
		if m.Login == "" || m.Username == "" {
			return nil, fmt.Errorf("arcgis: member %q needs a Login and a Username", m.Login+m.Username)
		}
		if m.Role == "" {
			m.Role = "org_publisher"
		}
		p.members[strings.ToLower(m.Login)] = &m
	}
	p.cfg.Apps = append(slices.Clone(cfg.Apps), App{ID: homeApp, Title: "Portal home", RedirectURIs: []string{p.base + "/home/"}})
	if cfg.Assets != "" {
		p.assets = os.DirFS(cfg.Assets)
	}
	acs, err := url.Parse(p.base + "/sharing/rest/oauth2/saml/signin")
	if err != nil {
		return nil, fmt.Errorf("arcgis: %w", err)
	}
	p.sp = saml.ServiceProvider{
		EntityID:          strings.ReplaceAll(cfg.Site.Host, ":", ".") + ".portal",
		AcsURL:            *acs,
		AuthnNameIDFormat: saml.UnspecifiedNameIDFormat,
	}
	p.trees = newTrees(p.base)
	p.sites = newSites(p)
	p.items = newItems(p)
	if p.choose.shape.Health == HealthSeeded {
		p.choose.shape.Health = Health(1 + p.choose.rng.IntN(3))
	}
	return p, nil
}

// ServiceProvider returns the Portal's SAML metadata, for the identity provider.
func (p *Portal) ServiceProvider() *saml.EntityDescriptor {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sp.Metadata()
}

// TrustIdP makes the Portal send sign-ins to the identity provider that idp
// describes, and believe what it signs.
func (p *Portal) TrustIdP(idp *saml.EntityDescriptor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sp.IDPMetadata = idp
}

// URL returns the Portal's URL, ServerURL, OtherURL and OpenURL those of the servers.
func (p *Portal) URL() *url.URL       { return p.cfg.Site.JoinPath("portal") }
func (p *Portal) ServerURL() *url.URL { return p.cfg.Site.JoinPath("server") }
func (p *Portal) OtherURL() *url.URL  { return p.cfg.Other.JoinPath("arcgis") }
func (p *Portal) OpenURL() *url.URL   { return p.cfg.Open.JoinPath("public") }

// ServeHTTP answers for the site's host: the Portal and its own server.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.serve(w, r, p.cfg.Site.Host)
}

// Other answers for the host of the second federated server.
func (p *Portal) Other() http.Handler { return p.host(p.cfg.Other.Host) }

// Open answers for the host of the server that is not federated.
func (p *Portal) Open() http.Handler { return p.host(p.cfg.Open.Host) }

func (p *Portal) host(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, name) })
}

// Close ends whatever still waits: long polls and answers that hang on purpose.
func (p *Portal) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
}

// serve is the way of every request: it is counted, broken where a test asked
// for that, read, its token judged, and answered.
func (p *Portal) serve(w http.ResponseWriter, r *http.Request, host string) {
	p.log.Debug("request", "method", r.Method, "host", r.Host, "path", r.URL.Path)
	p.countRequest(r)
	p.await(r)
	if p.interrupt(w, r) {
		return
	}
	if r.Host != host && !p.choose.current().AnyHost {
		p.mu.Lock()
		p.counts.WrongHosts++
		p.mu.Unlock()
		// IIS and other front ends bind sites to names, and refuse others this way.
		http.Error(w, "Bad Request - Invalid Hostname", http.StatusBadRequest)
		return
	}
	context, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	c := &call{p: p, w: w, r: r, path: rest, shape: p.choose.current()}
	if host == p.cfg.Site.Host && context == "portal" {
		c.sharing = true
		if !c.issueToken() {
			p.servePortal(c)
		}
		return
	}
	for _, s := range p.sites {
		if s.url.Host == host && s.context() == context {
			s.serve(c)
			return
		}
	}
	c.page(http.StatusNotFound, "404 - File or directory not found.", "The resource you are looking for might have been removed, had its name changed, or is temporarily unavailable.")
}
