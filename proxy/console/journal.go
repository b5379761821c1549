package console

import (
	"sync"
	"time"
)

// Request is one that was answered.
type Request struct {
	Time     time.Time     `json:"time"`               // when it began
	Caller   string        `json:"caller"`             // "": nobody who is known
	Identity string        `json:"identity,omitempty"` // whose token it got
	Method   string        `json:"method"`
	Path     string        `json:"path"`             // without the query; cut at a length
	Status   int           `json:"status"`           // 0: the caller left before there was one
	Took     time.Duration `json:"took"`             // nanoseconds
	Reason   string        `json:"reason,omitempty"` // why the proxy itself refused it
}

// Minute is what happened within one.
type Minute struct {
	Time     time.Time     `json:"time"` // its beginning
	Requests int           `json:"requests"`
	Failures int           `json:"failures"` // of those, answered with 5xx
	Mean     time.Duration `json:"mean"`     // that requests took; nanoseconds
	Slowest  time.Duration `json:"slowest"`
	Renewals int           `json:"renewals"` // of tokens
	SignIns  int           `json:"sign_ins"`
}

// How much a Journal keeps.
const (
	keptRequests = 100 // and as many that failed
	keptMinutes  = 60
	keptPath     = 120 // bytes
)

// Journal remembers the last requests, the last that failed, and figures of the
// last hour. It has a fixed size, and noting a request allocates nothing. The zero
// value is ready; its methods may be called concurrently.
type Journal struct {
	mu       sync.Mutex // guards what follows
	requests ring
	failures ring
	minutes  [keptMinutes]minute
}

// ring has the last entries that were put into it. A slice of it would keep the
// whole text of a request alive for a piece of its path, hence the array.
type ring struct {
	entries [keptRequests]entry
	n       int // that were ever put in
}

type entry struct {
	Request
	path   [keptPath]byte
	length int
}

type minute struct {
	begin             int64 // minutes since 1970
	requests, failed  int
	total, slowest    time.Duration
	renewals, signIns int
}

// Note remembers a request that has been answered, and lets go of its texts but for
// those of the config.
func (j *Journal) Note(r Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r.Method = method(r.Method)
	j.requests.put(r)
	if r.Status >= 500 || r.Reason != "" {
		j.failures.put(r)
	}
	m := j.minute(r.Time.Add(r.Took))
	m.requests++
	if r.Status >= 500 {
		m.failed++
	}
	m.total += r.Took
	m.slowest = max(m.slowest, r.Took)
}

// Renewal counts a token that was renewed.
func (j *Journal) Renewal() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.minute(time.Now()).renewals++
}

// SignIn counts a sign-in that has succeeded.
func (j *Journal) SignIn() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.minute(time.Now()).signIns++
}

// Requests returns the last ones, the newest first.
func (j *Journal) Requests() []Request {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.requests.list()
}

// Failures returns the last requests that the proxy refused or that were answered
// with 5xx, the newest first.
func (j *Journal) Failures() []Request {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failures.list()
}

// Minutes returns the last hour until now, the oldest minute first.
func (j *Journal) Minutes(now time.Time) []Minute {
	j.mu.Lock()
	defer j.mu.Unlock()
	last := now.Unix() / 60
	list := make([]Minute, keptMinutes)
	for i := range list {
		at := last - keptMinutes + 1 + int64(i)
		list[i].Time = time.Unix(at*60, 0)
		m := &j.minutes[at%keptMinutes]
		if m.begin != at {
			continue
		}
		list[i].Requests, list[i].Failures, list[i].Slowest = m.requests, m.failed, m.slowest
		list[i].Renewals, list[i].SignIns = m.renewals, m.signIns
		if m.requests > 0 {
			list[i].Mean = m.total / time.Duration(m.requests)
		}
	}
	return list
}

// minute returns the one of that time, emptied if it was another's. The caller
// holds mu.
func (j *Journal) minute(at time.Time) *minute {
	begin := max(at.Unix()/60, 0)
	m := &j.minutes[begin%keptMinutes]
	if m.begin != begin {
		*m = minute{begin: begin}
	}
	return m
}

func (g *ring) put(r Request) {
	e := &g.entries[g.n%len(g.entries)]
	g.n++
	e.length = copy(e.path[:], r.Path)
	r.Path = ""
	e.Request = r
}

func (g *ring) list() []Request {
	n := min(g.n, len(g.entries))
	list := make([]Request, n)
	for i := range list {
		e := &g.entries[(g.n-1-i)%len(g.entries)]
		list[i] = e.Request
		list[i].Path = string(e.path[:e.length])
	}
	return list
}

// method returns the text of a method that does not keep a request alive.
func method(m string) string {
	for _, known := range [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		if m == known {
			return known
		}
	}
	return "other"
}
