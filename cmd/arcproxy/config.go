package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"arcproxy/auth"
	"arcproxy/auth/okta"
	"arcproxy/auth/portal"
	"arcproxy/proxy"
	"arcproxy/proxy/audit"
	"arcproxy/proxy/console"
	"arcproxy/proxy/listener"
)

// file is the config file as it is written. Each key has a default or is
// required, and has code behind it; anything else in the file is a fault.
// What the values mean is said in config.example.toml.
type file struct {
	Listen    string  `toml:"listen"`
	PublicURL string  `toml:"public_url"`
	StateDir  *string `toml:"state_dir"`
	Patience  string  `toml:"patience"`
	Drain     string  `toml:"drain_delay"`

	Portal struct {
		URL         string `toml:"url"`
		ClientID    string `toml:"client_id"`
		RedirectURI string `toml:"redirect_uri"`
		Expiration  string `toml:"expiration"`
		Login       string `toml:"login"`
	} `toml:"portal"`

	Servers []struct {
		URL string `toml:"url"`
	} `toml:"servers"`

	Okta struct {
		URL     string `toml:"url"`
		DuoHost string `toml:"duo_host"`
	} `toml:"okta"`

	Identities []fileIdentity `toml:"identities"`

	Callers []fileCaller `toml:"callers"`

	TLS struct {
		Mode     string `toml:"mode"`
		CertFile string `toml:"cert_file"`
		KeyFile  string `toml:"key_file"`
		Email    string `toml:"email"`
		Agreed   bool   `toml:"agreed"`
		CA       string `toml:"ca"`
		CAFile   string `toml:"ca_file"`
		ClientCA string `toml:"client_ca_file"`
	} `toml:"tls"`

	Front struct {
		From   []string `toml:"from"`
		Header string   `toml:"header"`
	} `toml:"front"`

	Web struct {
		Origins []string `toml:"origins"`
	} `toml:"web"`

	Mapping struct {
		ItemData bool `toml:"item_data"`
		Rules    []struct {
			Path  string   `toml:"path"`
			Types []string `toml:"types"`
			Map   *bool    `toml:"map"`
		} `toml:"rules"`
	} `toml:"mapping"`

	Limits struct {
		Connections           int    `toml:"connections"`
		ConnectionsPerAddress int    `toml:"connections_per_address"`
		Tokens                string `toml:"tokens"`
		Replay                string `toml:"replay"`
	} `toml:"limits"`

	Cache struct {
		Store string `toml:"store"`
		Key   string `toml:"key"`
	} `toml:"cache"`

	Challenges struct {
		Notify string `toml:"notify"`
	} `toml:"challenges"`

	Audit struct {
		File      string `toml:"file"`
		MaxSizeMB int    `toml:"max_size_mb"`
		Keep      int    `toml:"keep"`
	} `toml:"audit"`

	Network struct {
		CAFile string `toml:"ca_file"`
	} `toml:"network"`

	Log struct {
		Format string `toml:"format"`
		Level  string `toml:"level"`
	} `toml:"log"`
}

// config is a file that has no faults, in the words of the packages that use it.
type config struct {
	Listen     string
	PublicURL  *url.URL
	StateDir   string // "": nothing is written
	OwnState   bool   // the file names no StateDir: it is the one of the user that runs this
	Cache      cacheConfig
	Patience   time.Duration
	Drain      time.Duration // between not being ready and taking no more connections
	Portal     portal.Config
	Okta       okta.Config
	Servers    []*url.URL
	Identities []auth.Identity
	Callers    []proxy.Caller
	Front      proxy.Front
	Origins    []string // of web pages
	Mapping    proxy.Mapping
	TLS        listener.Config
	Limits     listener.Options
	TokenLife  time.Duration // the longest, of tokens of the proxy's own; 0: its default
	Notify     string        // a command that is told questions; "": none
	Replay     int64         // the largest body that is kept to be sent again; 0: the proxy's default; -1: none
	Audit      audit.Config
	RootCAs    *x509.CertPool // nil: the system's
	Log        logConfig
	ClientCAs  []*x509.Certificate // those in TLS.ClientCAs
	Files      files               // what was read: the config file, and those that it names
	Notes      []string            // what is possible but unwise, for `arcproxy check`
}

// identity returns the identity called name.
func (c *config) identity(name string) (auth.Identity, bool) {
	i := slices.IndexFunc(c.Identities, func(id auth.Identity) bool { return id.Name == name })
	if i < 0 {
		return auth.Identity{}, false
	}
	return c.Identities[i], true
}

// names returns the identities' names.
func (c *config) names() []string { return names(c.Identities) }

// consoleURL is where a person sees how the proxy stands.
func (c *config) consoleURL() string { return c.PublicURL.JoinPath(console.Path).String() }

// upstreams returns the Portal and the servers, in the order of the file.
func (c *config) upstreams() []proxy.Upstream {
	ups := []proxy.Upstream{{URL: c.Portal.URL}}
	for _, u := range c.Servers {
		ups = append(ups, proxy.Upstream{URL: u})
	}
	return ups
}

// maxConfigSize bounds what is read as a config file, in bytes.
const maxConfigSize = 1 << 20

// loadConfig reads, decodes and validates the file called name. A file with
// faults yields them all at once, as a [*faults].
func loadConfig(ctx context.Context, name string, env environment) (*config, error) {
	read := files{}
	read.note(name)
	unreadable := func(text string) error {
		return &faults{File: name, List: []fault{{Text: text}}, Files: read}
	}
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, unreadable("there is no such file; name one with --config FILE or ARCPROXY_CONFIG, and start from config.example.toml")
	} else if err != nil {
		return nil, unreadable("can't be read: " + err.Error() + "; " + fileRemedy(name, err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfigSize+1))
	if err != nil {
		return nil, unreadable("can't be read: " + err.Error())
	}
	if len(text) > maxConfigSize {
		return nil, unreadable("is larger than 1 MiB; that can't be a config file of arcproxy")
	}
	c, list := parseConfig(ctx, text, filepath.Dir(name), env)
	if c != nil {
		maps.Copy(read, c.Files)
	}
	if len(list) > 0 {
		slices.SortStableFunc(list, func(a, b fault) int { return a.Line - b.Line })
		return nil, &faults{File: name, List: list, Files: read}
	}
	c.Files = read
	return c, nil
}

// parser collects faults while a file becomes a config.
type parser struct {
	ctx   context.Context
	at    *positions
	dir   string // relative file names start here
	env   environment
	list  []fault
	notes []string
	files files // that were read

	without map[int]bool // lines that could not be decoded
}

// fault adds a fault of key, unless key or the line it is on has one: what follows from
// the first would only hide it.
func (p *parser) fault(key, format string, args ...any) {
	if p.without[p.at.line(key)] {
		return
	}
	if slices.ContainsFunc(p.list, func(f fault) bool { return f.Key == key }) {
		return
	}
	p.list = append(p.list, fault{p.at.line(key), key, fmt.Sprintf(format, args...)})
}

// parseConfig decodes and validates text. dir is where relative file names start.
func parseConfig(ctx context.Context, text []byte, dir string, env environment) (*config, []fault) {
	at, syntax := findPositions(text)
	if syntax != nil {
		return nil, []fault{*syntax}
	}
	f, list, without := decode(text, at)
	p := &parser{ctx: ctx, at: at, dir: dir, env: env, list: list, without: without, files: files{}}
	c := &config{}

	c.Listen = p.listen("listen", f.Listen)
	c.TLS.Mode = oneOf(p, "tls.mode", f.TLS.Mode, listener.ModeLocal, listener.ModeLocal, listener.ModeACME, listener.ModeFiles, listener.ModeOff)
	c.PublicURL = p.publicURL("public_url", f.PublicURL, c.Listen, c.TLS.Mode)
	p.reachable(c)
	c.StateDir, c.OwnState = p.stateDir(f.StateDir), f.StateDir == nil
	p.cache(c, &f)
	c.Patience = p.duration("patience", f.Patience, time.Minute)
	c.Drain = p.duration("drain_delay", f.Drain, 0)

	c.Portal.URL = p.context("portal.url", f.Portal.URL)
	c.Portal.ClientID = f.Portal.ClientID
	if f.Portal.ClientID == "" {
		p.fault("portal.client_id", "is missing; write the App ID of an application registered in the Portal")
	}
	c.Portal.RedirectURI = p.redirectURI("portal.redirect_uri", f.Portal.RedirectURI)
	c.Portal.Expiration = p.duration("portal.expiration", f.Portal.Expiration, 14*24*time.Hour)
	if c.Portal.Expiration < time.Minute {
		p.fault("portal.expiration", "is less than a minute, the unit the Portal counts in")
	}
	c.Portal.Login = oneOf(p, "portal.login", f.Portal.Login, portal.LoginAuto, portal.LoginAuto, portal.LoginSAML, portal.LoginOIDC)
	c.Okta.URL = p.origin("okta.url", f.Okta.URL, "https://example.okta.com")
	c.Okta.Duo = p.duoHost("okta.duo_host", f.Okta.DuoHost)
	for i, s := range f.Servers {
		c.Servers = append(c.Servers, p.context(fmt.Sprintf("servers[%d].url", i), s.URL))
	}
	p.mounts(c)
	p.identities(c, &f)
	p.front(c, &f)
	p.callers(c, &f)
	p.origins(c, &f)
	p.mapping(c, &f)
	p.limits(c, &f)
	p.challenges(c, &f)
	p.audit(c, &f)
	p.tls(c, &f)
	c.RootCAs = p.certPool("network.ca_file", f.Network.CAFile)
	c.Log.Plain = env.plain()
	c.Log.Format = oneOf(p, "log.format", f.Log.Format, "auto", "auto", "text", "json")
	level := oneOf(p, "log.level", f.Log.Level, "info", "debug", "info", "warn", "error")
	_ = c.Log.Level.UnmarshalText([]byte(level))
	c.Notes, c.Files = p.notes, p.files
	return c, p.list
}

// oneOf returns value if it is allowed, def if it is empty.
func oneOf[T ~string](p *parser, key, value string, def T, allowed ...T) T {
	if value == "" {
		return def
	}
	if slices.Contains(allowed, T(value)) {
		return T(value)
	}
	p.fault(key, "%q is not possible; write one of %s", value, quoted(allowed))
	return def
}

// duration reads Go's durations plus days ("14d", "1d12h").
func (p *parser) duration(key, value string, def time.Duration) time.Duration {
	if value == "" {
		return def
	}
	rest, total := value, time.Duration(0)
	if days, after, ok := strings.Cut(value, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			p.fault(key, `%q is not a duration; write one like "90s", "12h" or "14d"`, value)
			return def
		}
		rest, total = after, time.Duration(n)*24*time.Hour
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil {
			p.fault(key, `%q is not a duration; write one like "90s", "12h" or "14d"`, value)
			return def
		}
		total += d
	}
	if total <= 0 {
		p.fault(key, "%q is not more than zero", value)
		return def
	}
	return total
}

func (p *parser) listen(key, value string) string {
	const def = "127.0.0.1:8443"
	if value == "" {
		return def
	}
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		p.fault(key, "%q can't be listened on; write an address and a port, as %q", value, def)
		return def
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && port != "0" {
		p.fault(key, "%q is not a port; write a number from 1 to 65535", port)
		return def
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		p.fault(key, "%q is not an address of this machine; write one like 127.0.0.1, 0.0.0.0 or ::1", host)
		return def
	}
	return value
}

// webURL parses an absolute http or https URL that has neither user, query nor
// fragment. http is only for loopback: passwords and tokens cross this line.
func (p *parser) webURL(key, value, example string) *url.URL {
	if value == "" {
		p.fault(key, "is missing; write a URL like %q", example)
		return nil
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") {
		p.fault(key, "is not an http(s) URL; write one like %q", example)
		return nil
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		p.fault(key, "has a user, a query or a fragment; write the bare URL, like %q", example)
		return nil
	}
	u.Host = strings.ToLower(u.Host)
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		p.fault(key, "is not https; passwords and tokens cross this line, so http is allowed on loopback only")
		return nil
	}
	return u
}

// context parses an upstream's URL: an origin and exactly one path segment,
// which is what Esri allows and what clients cut URLs at.
func (p *parser) context(key, value string) *url.URL {
	const example = "https://gis.example.com/portal"
	u := p.webURL(key, value, example)
	if u == nil {
		return nil
	}
	segment := strings.Trim(u.EscapedPath(), "/")
	if segment == "" || strings.ContainsAny(segment, "/%") || segment == "_arcproxy" {
		p.fault(key, "needs exactly one path segment, the context the site is installed at, like %q", example)
		return nil
	}
	u.Path, u.RawPath = "/"+segment, ""
	return u
}

// origin parses a URL that has no path.
func (p *parser) origin(key, value, example string) *url.URL {
	u := p.webURL(key, value, example)
	if u == nil {
		return nil
	}
	if u.Path != "" && u.Path != "/" {
		p.fault(key, "has a path; write the bare origin, like %q", example)
		return nil
	}
	u.Path, u.RawPath = "", ""
	return u
}

// publicURL is what callers call. Plain http is theirs to choose: the one port
// answers both, and the line may be inside one machine.
func (p *parser) publicURL(key, value, listen string, mode listener.Mode) *url.URL {
	if value == "" {
		_, port, _ := net.SplitHostPort(listen)
		scheme := "https"
		if mode == listener.ModeOff {
			scheme = "http"
		}
		return &url.URL{Scheme: scheme, Host: net.JoinHostPort("localhost", port)}
	}
	u, err := url.Parse(value)
	if err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		p.fault(key, "is not an http(s) URL without a path; write what callers call, like %q", "https://localhost:8443")
		return nil
	}
	u.Host, u.Path = strings.ToLower(u.Host), ""
	return u
}

// reachable notes where other machines can connect, and are refused for the name they use.
func (p *parser) reachable(c *config) {
	host, _, _ := net.SplitHostPort(c.Listen)
	if c.PublicURL != nil && !isLoopback(host) && isLoopback(c.PublicURL.Hostname()) {
		p.notes = append(p.notes, fmt.Sprintf("other machines can connect, but by no name other than that of public_url, %s; write there what they call", c.PublicURL))
	}
}

func (p *parser) redirectURI(key, value string) string {
	const oob = "urn:ietf:wg:oauth:2.0:oob"
	if value == "" || value == oob {
		return oob
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Fragment != "" || (u.Scheme != "https" && u.Scheme != "http") {
		p.fault(key, "is neither %q nor an http(s) URL; write the redirect URL that the application is registered with", oob)
		return oob
	}
	return value
}

// stateDir is where certificates and what must survive a restart are kept.
func (p *parser) stateDir(value *string) string {
	if value != nil {
		if *value == "" {
			return ""
		}
		return p.path(*value)
	}
	dir, err := p.env.stateDir()
	if err != nil {
		p.fault("state_dir", `is missing and has no default here (%v); write a directory, or "" to keep all in memory`, err)
	}
	return dir
}

// read is path for a file that is about to be read, and to be read again when it changes.
func (p *parser) read(name string) string {
	name = p.path(name)
	p.files.note(name)
	return name
}

// path resolves a relative file name against the config file's directory.
func (p *parser) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(p.dir, name)
}

// mounts refuses two upstreams at one path segment of the proxy.
func (p *parser) mounts(c *config) {
	seen := map[string]string{}
	check := func(key string, u *url.URL) {
		if u == nil {
			return
		}
		if other, ok := seen[u.Path]; ok {
			p.fault(key, "is mounted at %s, where %s is already; the proxy mounts each site at its own first path segment", u.Path, other)
		}
		seen[u.Path] = key
	}
	check("portal.url", c.Portal.URL)
	for i, u := range c.Servers {
		check(fmt.Sprintf("servers[%d].url", i), u)
	}
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
