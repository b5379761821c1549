package main

import (
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"arcproxy/auth"
	"arcproxy/cache"
	"arcproxy/proxy"
	"arcproxy/proxy/console"
)

// figures are what Prometheus reads. Every label's values are bounded: by the config
// (callers, identities), or by a list of ours. It implements [proxy.Figures] and
// [cache.Observer], which are called for each request: what counts for a caller or an
// identity is found once, and then only added to.
type figures struct {
	registry *prometheus.Registry
	journal  *console.Journal

	requests *prometheus.CounterVec   // caller, identity, class
	took     *prometheus.HistogramVec // caller
	replays  *prometheus.CounterVec   // caller
	tokens   *prometheus.CounterVec   // identity, how
	signIns  *prometheus.CounterVec   // identity, result, step
	pushes   *prometheus.CounterVec   // identity
	sent     *prometheus.CounterVec   // identity, factor
	renewals *prometheus.CounterVec   // identity, by, result

	// ways has the counters of tokens by identity. It is replaced, never changed: a
	// look into it allocates nothing.
	ways atomic.Pointer[map[string]*ways]

	mu       sync.Mutex // guards what follows, and the replacing of ways
	callers  map[pair]bool
	standing func() []cache.Status // nil: nothing is known yet
	open     func() int            // connections
}

// pair is a caller with its identity.
type pair struct{ caller, identity string }

// ways counts how an identity's tokens were answered.
type ways [len(hows)]prometheus.Counter

// classes are of statuses, by their first digit; "left": the caller left before one.
var classes = [...]string{"left", "1xx", "2xx", "3xx", "4xx", "5xx"}

// hows are the ways in which a token is answered.
var hows = [...]string{cache.Hit, cache.Behind, cache.Waited, cache.Failed}

// latencies are the histogram's bounds, in seconds: from a tile to a large download.
var latencies = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// unknownCaller is the label of requests that are no caller's.
const unknownCaller = "(unknown)"

func newFigures(journal *console.Journal) *figures {
	f := &figures{registry: prometheus.NewRegistry(), journal: journal, callers: map[pair]bool{}}
	f.ways.Store(&map[string]*ways{})
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "arcproxy", Name: name, Help: help}, labels)
		f.registry.MustRegister(v)
		return v
	}
	f.requests = counter("requests_total", "Requests answered.", "caller", "identity", "class")
	f.took = prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "arcproxy", Name: "request_seconds", Buckets: latencies,
		Help: "How long requests took, their bodies included, without WebSockets."}, []string{"caller"})
	f.replays = counter("replays_total", "Requests that were sent again with a fresh token.", "caller")
	f.tokens = counter("tokens_total", "Tokens asked for: hit (fresh), behind (while the next is obtained), waited, failed.", "identity", "how")
	f.signIns = counter("sign_ins_total", "Sign-ins that have ended, and where they failed.", "identity", "result", "step")
	f.pushes = counter("pushes_total", "Pushes sent to phones.", "identity")
	f.sent = counter("codes_sent_total", "Codes sent to people.", "identity", "factor")
	f.renewals = counter("renewals_total", "Uses of refresh tokens.", "identity", "by", "result")
	f.registry.MustRegister(f.took, standing{f}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return f
}

// handler answers a scrape.
func (f *figures) handler() http.Handler {
	return promhttp.HandlerFor(f.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// watch says where the present is read from.
func (f *figures) watch(standing func() []cache.Status, open func() int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.standing, f.open = standing, open
}

// keep drops what is counted of callers and identities that are no longer configured.
func (f *figures) keep(c *config) {
	pairs, names := map[pair]bool{}, map[string]bool{}
	for _, caller := range c.Callers {
		pairs[pair{caller.Name, caller.Identity}] = true
		names[caller.Name] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range f.callers {
		if pairs[p] {
			continue
		}
		f.requests.DeletePartialMatch(prometheus.Labels{"caller": p.caller, "identity": p.identity})
		if !names[p.caller] {
			f.took.DeleteLabelValues(p.caller)
			f.replays.DeleteLabelValues(p.caller)
		}
		delete(f.callers, p)
	}
	next := map[string]*ways{}
	for name, counters := range *f.ways.Load() {
		if _, ok := c.identity(name); ok {
			next[name] = counters
			continue
		}
		for _, v := range []*prometheus.CounterVec{f.tokens, f.signIns, f.pushes, f.sent, f.renewals} {
			v.DeletePartialMatch(prometheus.Labels{"identity": name})
		}
	}
	f.ways.Store(&next)
}

// counter counts one caller's requests. It implements [proxy.Counter].
type counter struct {
	classes [len(classes)]prometheus.Counter
	took    prometheus.Observer
	replays prometheus.Counter
}

// Caller implements [proxy.Figures].
func (f *figures) Caller(name, identity string) proxy.Counter {
	if name == proxy.UnknownCaller {
		name = unknownCaller
	} else {
		f.mu.Lock()
		f.callers[pair{name, identity}] = true
		f.mu.Unlock()
	}
	c := &counter{took: f.took.WithLabelValues(name), replays: f.replays.WithLabelValues(name)}
	for i, class := range classes {
		c.classes[i] = f.requests.WithLabelValues(name, identity, class)
	}
	return c
}

// Request implements [proxy.Counter].
func (c *counter) Request(status int, took time.Duration, renewed bool) {
	class := status / 100
	if class < 0 || class >= len(classes) {
		class = 0
	}
	c.classes[class].Inc()
	if class > 1 {
		c.took.Observe(took.Seconds())
	}
	if renewed {
		c.replays.Inc()
	}
}

// of returns what counts an identity's tokens.
func (f *figures) of(identity string) *ways {
	if known := (*f.ways.Load())[identity]; known != nil {
		return known
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := maps.Clone(*f.ways.Load())
	if known := all[identity]; known != nil {
		return known
	}
	counters := new(ways)
	for i, how := range hows {
		counters[i] = f.tokens.WithLabelValues(identity, how)
	}
	all[identity] = counters
	f.ways.Store(&all)
	return counters
}

// Token implements [cache.Observer].
func (f *figures) Token(identity, how string) {
	counters := f.of(identity)
	for i := range hows {
		if hows[i] == how {
			counters[i].Inc()
		}
	}
}

// SignIn implements [cache.Observer].
func (f *figures) SignIn(identity string, failure *auth.Error) {
	f.of(identity)
	if failure == nil {
		f.signIns.WithLabelValues(identity, "ok", "").Inc()
		f.journal.SignIn()
		return
	}
	f.signIns.WithLabelValues(identity, string(failure.Kind), failure.Step).Inc()
}

// Push implements [cache.Observer].
func (f *figures) Push(identity string) {
	f.of(identity)
	f.pushes.WithLabelValues(identity).Inc()
}

// Sent implements [cache.Observer].
func (f *figures) Sent(identity string, factor auth.Factor) {
	f.of(identity)
	f.sent.WithLabelValues(identity, string(factor)).Inc()
}

// Renewal implements [cache.Observer].
func (f *figures) Renewal(identity string, exchanged bool, failure *auth.Error) {
	f.of(identity)
	by, result := cache.ByRenewal, "ok"
	if exchanged {
		by = cache.ByExchange
	}
	if failure == nil {
		f.journal.Renewal()
	} else {
		result = string(failure.Kind)
	}
	f.renewals.WithLabelValues(identity, by, result).Inc()
}

// standing collects what is true at the moment of a scrape.
type standing struct{ f *figures }

var (
	leftDesc    = prometheus.NewDesc("arcproxy_token_remaining_seconds", "How long the identity's token still works; 0: there is none.", []string{"identity"}, nil)
	signedDesc  = prometheus.NewDesc("arcproxy_signed_in", "1: there is a token, or it can be had without a sign-in.", []string{"identity"}, nil)
	waitingDesc = prometheus.NewDesc("arcproxy_waiting_callers", "Callers that wait for the identity's token.", []string{"identity"}, nil)
	askingDesc  = prometheus.NewDesc("arcproxy_asking", "1: a sign-in of the identity waits for a person.", []string{"identity"}, nil)
	openDesc    = prometheus.NewDesc("arcproxy_connections", "Open connections of callers.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (s standing) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{leftDesc, signedDesc, waitingDesc, askingDesc, openDesc} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (s standing) Collect(to chan<- prometheus.Metric) {
	s.f.mu.Lock()
	standing, open := s.f.standing, s.f.open
	s.f.mu.Unlock()
	if standing == nil {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	now := time.Now()
	for _, id := range standing() {
		remaining := 0.
		if !id.Refused {
			remaining = max(id.Expires.Sub(now).Seconds(), 0)
		}
		gauge(leftDesc, remaining, id.Identity)
		gauge(signedDesc, one(id.SignedIn(now)), id.Identity)
		gauge(waitingDesc, float64(id.Waiting), id.Identity)
		gauge(askingDesc, one(id.Question != nil), id.Identity)
	}
	gauge(openDesc, float64(open()))
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
