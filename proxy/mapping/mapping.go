package mapping

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// A Map translates between the addresses of the upstreams and those of the proxy.
// It does not change once it is made, and may be used by many at the same time.
type Map struct {
	public    origin
	upstreams []upstream // the first is the Portal
	outbound  Scanner
	inbound   Scanner
}

// upstream is a configured Portal or server.
type upstream struct {
	origin
	mount string // its only path segment, the same at the proxy
}

// New makes the Map of a proxy at public, and of upstreams of which the first is the
// Portal. A URL of an upstream has one path segment, public has none. The error joins
// every fault.
func New(public *url.URL, upstreams []*url.URL) (*Map, error) {
	var faults []error
	m := &Map{}
	var err error
	if m.public, err = newOrigin(public); err != nil {
		faults = append(faults, fmt.Errorf("public URL: %w", err))
	} else if strings.Trim(public.Path, "/") != "" {
		faults = append(faults, fmt.Errorf("public URL %s: it may not have a path", public.Redacted()))
	}
	if len(upstreams) == 0 {
		faults = append(faults, errors.New("there is no upstream"))
	}
	for _, u := range upstreams {
		o, err := newOrigin(u)
		if err != nil {
			faults = append(faults, fmt.Errorf("upstream: %w", err))
			continue
		}
		mount := strings.Trim(u.EscapedPath(), "/")
		if mount == "" || strings.ContainsAny(mount, "/%") {
			faults = append(faults, fmt.Errorf("upstream %s: the path has to be one plain segment, such as /portal", u.Redacted()))
			continue
		}
		if slices.ContainsFunc(m.upstreams, func(other upstream) bool { return other.mount == mount }) {
			faults = append(faults, fmt.Errorf("upstream %s: there is another one at /%s", u.Redacted(), mount))
			continue
		}
		m.upstreams = append(m.upstreams, upstream{o, mount})
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	pool := &sync.Pool{New: func() any { return newRecoder() }}
	m.outbound.pool, m.inbound.pool = pool, pool
	for i, up := range m.upstreams {
		if up.same(m.public) {
			continue // the proxy has taken its name: nothing is to be translated
		}
		m.outbound.add(up.origin, site{mount: up.mount, whole: i == 0, forms: up.outbound(m.public)})
		m.inbound.add(m.public, site{mount: up.mount, whole: i == 0, forms: m.public.inbound(up.origin)})
	}
	m.outbound.compile()
	m.inbound.compile()
	return m, nil
}

// Outbound returns the Scanner that turns upstreams' addresses into the proxy's.
func (m *Map) Outbound() *Scanner { return &m.outbound }

// Inbound returns the Scanner that turns the proxy's addresses into upstreams'.
func (m *Map) Inbound() *Scanner { return &m.inbound }

// origin is what comes before the path of an address.
type origin struct {
	scheme string // http or https
	host   string // as it is configured; an IPv6 address is in brackets
	port   string // never empty
}

func newOrigin(u *url.URL) (origin, error) {
	if u == nil {
		return origin{}, errors.New("there is no URL")
	}
	o := origin{strings.ToLower(u.Scheme), u.Hostname(), u.Port()}
	if o.scheme != "http" && o.scheme != "https" || o.host == "" {
		return origin{}, fmt.Errorf("%s: write a full http or https URL", u.Redacted())
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return origin{}, fmt.Errorf("%s: the URL may not have a user, query or fragment", u.Redacted())
	}
	if len(o.host) > 253 {
		return origin{}, fmt.Errorf("%.40s…: the host has more than 253 characters", o.host)
	}
	if strings.Contains(o.host, ":") {
		o.host = "[" + o.host + "]"
	}
	if o.port == "" {
		o.port = standardPort(o.scheme)
	}
	return o, nil
}

func standardPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

func otherScheme(scheme string) string {
	if scheme == "https" {
		return "http"
	}
	return "https"
}

// standard reports whether addresses of this origin need no port.
func (o origin) standard() bool { return o.port == standardPort(o.scheme) }

func (o origin) same(other origin) bool {
	return o.scheme == other.scheme && o.port == other.port && strings.EqualFold(o.host, other.host)
}

// address is what an origin is written as.
func (o origin) address() address {
	if o.standard() {
		return address{o.scheme, o.host, ""}
	}
	return address(o)
}

// address is what is put in the place of another: its scheme (if there was one),
// host, and port, which may be empty.
type address struct{ scheme, host, port string }

// A site is an origin and a mount that a Scanner looks for. Its host is the key under
// which it is found.
type site struct {
	mount string
	whole bool // it stands for the origin without a mount, too
	forms [len(schemes)]form
}

// A form says how a site's addresses under one scheme are written, and what becomes
// of them.
type form struct {
	portless bool     // without a port
	ports    []string // with one of these; both empty: no address of ours
	to       address
	plain    string // the host and port of to, where nothing is escaped
}

func (f *form) takes(port []byte) bool {
	if len(port) == 0 {
		return f.portless
	}
	for _, p := range f.ports {
		if string(port) == p {
			return true
		}
	}
	return false
}

// The schemes that an address may begin with.
const (
	schemeless = iota
	plainSocket
	secureSocket
	plainHTTP
	secureHTTP
)

var schemes = [...]string{schemeless: "", plainSocket: "ws", secureSocket: "wss", plainHTTP: "http", secureHTTP: "https"}

// set enters f for a scheme of HTTP and for WebSockets of the same kind.
func set(forms *[len(schemes)]form, scheme string, f form) {
	socket := f
	socket.to.scheme = "ws" + f.to.scheme[len("http"):]
	if scheme == "https" {
		forms[secureHTTP], forms[secureSocket] = f, socket
	} else {
		forms[plainHTTP], forms[plainSocket] = f, socket
	}
}

// outbound returns how an upstream's addresses are written, and what they are at the
// proxy.
func (o origin) outbound(public origin) (forms [len(schemes)]form) {
	own := form{portless: o.standard(), ports: []string{o.port}, to: public.address()}
	forms[schemeless] = own
	set(&forms, o.scheme, own)
	if o.standard() {
		other := otherScheme(o.scheme)
		f := form{portless: true, ports: []string{standardPort(other)}, to: public.address()}
		if public.scheme == "https" {
			// The proxy's one port answers both; written out, it is told from the first.
			f.to = address{"http", public.host, public.port}
		}
		set(&forms, other, f)
	}
	return forms
}

// inbound returns how the proxy's addresses are written, and what they are at an
// upstream. It undoes outbound.
func (o origin) inbound(up origin) (forms [len(schemes)]form) {
	own := form{portless: o.standard(), ports: []string{o.port}, to: up.address()}
	forms[schemeless] = own
	set(&forms, o.scheme, own)
	if o.scheme == "https" {
		f := form{portless: o.standard(), ports: []string{o.port}, to: up.address()}
		if o.standard() {
			f.ports = append(f.ports, "80")
		}
		if up.standard() {
			f.to = address{otherScheme(up.scheme), up.host, ""}
		}
		set(&forms, "http", f)
	}
	return forms
}
