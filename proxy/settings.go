package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"arcproxy/proxy/issue"
)

// settings are all of a [Config] that can change while the proxy runs. They are
// read-only, and replaced as one: a request that has begun with some ends with them.
type settings struct {
	*Proxy   // what they are the settings of
	guard    guard
	routes   map[string]*upstream // by mount
	mirror   *mirror
	callers  callers
	issuer   *issue.Issuer
	patience time.Duration
	nobody   Counter // of requests that are no caller's
	replay   int64
}

// Prepare checks config and returns what puts it in force, for requests that begin
// from then on: a caller who is not in it any more is refused, and its tokens end.
// Those under way go on as they began. Transport, TempDir, Issued, Trail, Console,
// Figures and Log stay what they were for [New]. The error joins every fault; then
// nothing has changed.
//
// A caller whose limits stay goes on with what it has used of them. What was
// prepared earlier and not put in force is not to be.
func (p *Proxy) Prepare(config Config) (begin func(), err error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	public := config.PublicURL
	if public == nil || public.Hostname() == "" || public.Scheme != "http" && public.Scheme != "https" {
		fault("public URL %v: write a full http or https URL", public)
		public = &url.URL{}
	}
	routes, err := newRoutes(config.Upstreams)
	if err != nil {
		faults = append(faults, err)
	}
	var former *callers
	if current := p.current.Load(); current != nil {
		former = &current.callers
	}
	known, err := newCallers(config.Callers, config.Front, former)
	if err != nil {
		faults = append(faults, err)
	}
	known.authorities = config.ClientCAs
	web, err := newOrigins(config.Origins)
	if err != nil {
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	mirror, err := newMirror(public, config.Upstreams, config.Mapping)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	s := &settings{
		Proxy: p,
		guard: guard{
			host:   strings.TrimSuffix(public.Hostname(), "."),
			origin: public.Scheme + "://" + public.Host,
			web:    web,
		},
		routes:   routes,
		mirror:   mirror,
		callers:  known,
		patience: config.Patience,
		replay:   config.Replay,
		nobody:   p.figures.Caller(UnknownCaller, ""),
	}
	if s.replay == 0 {
		s.replay = DefaultReplay
	}
	for _, caller := range known.named {
		caller.counter = p.figures.Caller(caller.Name, caller.Identity)
	}
	if s.patience <= 0 {
		s.patience = DefaultPatience
	}
	if s.issuer, err = newIssuer(s, config); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return func() {
		s.issuer.Begin() // before anybody gets a token by what a caller is now
		p.current.Store(s)
		p.misfits.clear() // it may be put right
	}, nil
}

// route returns the upstream that is mounted at the first segment of r's path,
// nil if there is none. The segment has to match exactly, as sent.
func (p *settings) route(r *http.Request) *upstream {
	segment, _, _ := strings.Cut(rawPath(r)[1:], "/")
	return p.routes[segment]
}
