package okta

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// limits counts requests by user, by client, and of the whole organization [RL]. A
// client is an IP address together with a DT cookie: all clients of one address that
// have no DT cookie share one bucket.
type limits struct {
	mu      sync.Mutex // guards all that follows
	users   map[string][]time.Time
	clients map[string][]time.Time
	orgs    map[string][]time.Time // by group of addresses
	active  map[string]int
	all     int // active
}

// quota is what the rate-limit headers say of the bucket nearest its end.
type quota struct {
	limit, remaining int
	reset            time.Time
}

func (l *limits) start() {
	l.users, l.clients, l.orgs, l.active = map[string][]time.Time{}, map[string][]time.Time{}, map[string][]time.Time{}, map[string]int{}
}

// take records one use of a bucket that allows n in a window, and says what is
// left. A refused use is not recorded.
func take(m map[string][]time.Time, key string, n int, window time.Duration, now time.Time) (quota, bool) {
	uses := m[key]
	for len(uses) > 0 && now.Sub(uses[0]) >= window {
		uses = uses[1:]
	}
	ok := len(uses) < n
	if ok {
		uses = append(uses, now)
	}
	m[key] = uses
	q := quota{limit: n, remaining: max(0, n-len(uses)), reset: now.Add(window)}
	if len(uses) > 0 {
		q.reset = uses[0].Add(window)
	}
	return q, ok
}

// enter admits a request or refuses it with 429. leave must be called when the
// request is over.
func (o *Org) enter(c *call) (leave func(), refused *answer) {
	path := c.r.URL.Path
	if !strings.HasPrefix(path, "/api/v1/") && !strings.HasPrefix(path, "/app/") && !strings.HasPrefix(path, "/login/") && !strings.HasPrefix(path, "/idp/") && !strings.Contains(path, "/v1/authorize") {
		return func() {}, nil
	}
	o.mu.Lock()
	s := o.settings
	o.mu.Unlock()

	l := &o.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	client := address(c.r) + " " + c.dt
	l.active[client]++
	l.all++
	leave = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all--
		if l.active[client]--; l.active[client] <= 0 {
			delete(l.active, client)
		}
	}
	if s.ClientConcurrent > 0 && l.active[client] > s.ClientConcurrent || s.OrgConcurrent > 0 && l.all > s.OrgConcurrent {
		// [RL]: a concurrency limit reports zero for both numbers.
		o.mu.Lock()
		q := quota{reset: o.uselessReset(c.now)}
		o.mu.Unlock()
		return leave, o.limited(c, q)
	}
	// The headers tell of the bucket nearest its end. A request that one refuses has
	// been counted by those before it.
	for _, b := range []struct {
		uses   map[string][]time.Time
		key    string
		n      int
		window time.Duration
	}{
		{l.clients, client, s.ClientPerMinute, time.Minute},
		{l.orgs, group(c.r), s.OrgPerMinute, time.Minute},
		{l.users, primaryUser(c), s.UserPerSecond, time.Second},
	} {
		if b.n <= 0 || b.key == "" {
			continue
		}
		q, ok := take(b.uses, b.key, b.n, b.window, c.now)
		if c.quota == nil || q.remaining < c.quota.remaining {
			c.quota = &q
		}
		if !ok {
			return leave, o.limited(c, q)
		}
	}
	return leave, nil
}

// group is what a request counts as, for the organization's own limits: each group
// of addresses has one [RL].
func group(r *http.Request) string {
	switch path := r.URL.Path; {
	case path == "/api/v1/authn", path == "/idp/idx/identify":
		return path
	case strings.HasPrefix(path, "/api/v1/authn/"):
		return "/api/v1/authn/*"
	case strings.HasPrefix(path, "/api/v1/sessions"):
		return "/api/v1/sessions"
	case strings.HasPrefix(path, "/app/"):
		return "/app/*"
	case strings.HasPrefix(path, "/idp/idx/"):
		return "/idp/idx/*"
	case strings.HasPrefix(path, "/login/"):
		return "/login/*"
	}
	return "others"
}

// uselessReset is what the answer to too many requests at one time says of a reset:
// something, though nothing is reset then [RL].
func (o *Org) uselessReset(now time.Time) time.Time {
	return now.Add([]time.Duration{-time.Minute, 0, time.Second, time.Minute, 24 * time.Hour}[o.rng.IntN(5)])
}

// limited makes the 429 for a bucket and counts it.
func (o *Org) limited(c *call, q quota) *answer {
	o.mu.Lock()
	o.counts.Limited++
	o.mu.Unlock()
	c.quota = &q
	a := fail(http.StatusTooManyRequests, "E0000047")
	o.limits.describe(c, a.header)
	a.header.Set("Date", c.now.UTC().Format(http.TimeFormat))
	return &a
}

// describe writes the rate-limit headers; Reset is in epoch seconds, rounded up.
func (*limits) describe(c *call, h http.Header) {
	q := c.quota
	if q == nil {
		return
	}
	h.Set("X-Rate-Limit-Limit", strconv.Itoa(q.limit))
	h.Set("X-Rate-Limit-Remaining", strconv.Itoa(q.remaining))
	h.Set("X-Rate-Limit-Reset", strconv.FormatInt(q.reset.Add(time.Second-1).Unix(), 10))
}

// primaryUser returns the user name of a primary authentication, "" for any other request.
func primaryUser(c *call) string {
	if c.r.Method != http.MethodPost || c.r.URL.Path != "/api/v1/authn" {
		return ""
	}
	var b struct {
		Username string `json:"username"`
	}
	_ = json.Unmarshal(c.body, &b) // a broken body is refused later, with Okta's error
	return strings.ToLower(b.Username)
}
