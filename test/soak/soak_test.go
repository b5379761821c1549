package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"arcproxy/auth"
	"arcproxy/test/sandbox/arcgis"
	oktabox "arcproxy/test/sandbox/okta"
)

const (
	days = 30
	// How long after a time without Okta or the Portal a sign-in may still be put
	// off: the longest back-off between sign-ins, and the longest after a password
	// whose answer did not come. Account safety asks for both.
	backOff    = 133 * time.Second
	unanswered = 15*time.Minute + time.Second
)

// TestMonth lives through a month with five people at work, in which Okta is away
// now and then, the Portal is restarted, tokens are revoked, and the program is
// restarted. Afterwards: no request failed that a perfect proxy could have served,
// nobody was signed in without need, and no push was sent that nobody waited for.
func TestMonth(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("SOAK_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SOAK_SEED=%d", seed)
	began := time.Now()
	var m *month
	synctest.Test(t, func(t *testing.T) {
		m = newMonth(t, seed)
		m.live()
	})
	t.Logf("%d days in %s: %+v", days, time.Since(began).Round(time.Millisecond), m.figures)
}

// month is what is known of what happens in one.
type month struct {
	*world
	t   *testing.T
	end time.Time

	mu      sync.Mutex // guards what follows
	rng     *rand.Rand
	waiting map[string]int    // identity → callers inside Token
	needs   map[string]string // identity → why it has to be signed in; "" once it was
	used    map[string]time.Time
	okta    downtime
	portal  downtime
	figures figures
}

type figures struct {
	Requests, Excused, Refused, Restarts                 int
	SignIns, Failed, Pushes, Renewals, Exchanges, Faults int
	OktaOutages, PortalRestarts, Revocations             int
	Hits, Behind, Waited                                 int
}

// downtime is when a system was away.
type downtime struct {
	since, until time.Time // of the last time; until is zero while it lasts
}

// within reports whether the system was away between two times.
func (d downtime) within(from, to time.Time) bool {
	return !d.since.IsZero() && d.since.Before(to) && (d.until.IsZero() || d.until.After(from))
}

func newMonth(t *testing.T, seed uint64) *month {
	m := &month{
		t:       t,
		rng:     rand.New(rand.NewPCG(seed, 0)),
		waiting: map[string]int{},
		needs:   map[string]string{},
		used:    map[string]time.Time{},
		end:     time.Now().Add(days * 24 * time.Hour),
	}
	m.world = newWorld(t, seed|1, m)
	m.box.Portal.SetTokenLifetime(30 * time.Minute)
	for _, user := range people() {
		m.needs[user.Name] = "the first"
	}
	return m
}

func (m *month) draw(n time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Duration(m.rng.Int64N(int64(n)))
}

// between returns a time between two others.
func (m *month) between(least, most time.Duration) time.Duration { return least + m.draw(most-least) }

// live lets everything happen at once until the month is over.
func (m *month) live() {
	var all sync.WaitGroup
	all.Go(m.oktaIsAway)
	all.Go(m.portalRestarts)
	all.Go(m.tokensAreRevoked)
	all.Go(m.programRestarts)
	// alice's script runs day and night; bob works in an office, with a second
	// window open; carol asks now and then; dave's script runs once a day; erin is
	// away for longer than a refresh token lasts.
	all.Go(func() { m.script("alice", 5*time.Minute, 25*time.Minute) })
	all.Go(func() { m.office("bob") })
	all.Go(func() { m.office("bob") })
	all.Go(func() { m.script("carol", time.Minute, 5*time.Hour) })
	all.Go(func() { m.script("dave", 24*time.Hour, 24*time.Hour+time.Second) })
	all.Go(func() {
		for range 40 {
			m.request("erin")
			m.sleep(m.between(time.Minute, 3*time.Hour))
		}
		m.sleep(refresh + time.Hour)
		m.office("erin")
	})
	all.Wait()
	synctest.Wait()
	quiet := len(m.wire.take())
	if m.sleepOn(7 * 24 * time.Hour); len(m.wire.take()) != 0 {
		m.t.Error("something ran for identities that nobody used")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if quiet == 0 || m.figures.Requests < 6_000 || m.figures.Exchanges == 0 || m.figures.Renewals < 1000 || m.figures.Restarts < 5 || m.figures.Revocations < 10 {
		m.t.Errorf("too little happened: %+v", m.figures)
	}
	if c := m.box.Okta.Counts(); c.BadPasswords != 0 || c.MFAFailures != 0 || c.Pushes != m.figures.Pushes {
		m.t.Errorf("Okta counted %d bad passwords, %d bad codes and %d pushes, of which we know %d", c.BadPasswords, c.MFAFailures, c.Pushes, m.figures.Pushes)
	}
	if m.figures.Excused > m.figures.Requests/50 {
		m.t.Errorf("%d of %d requests failed, with an excuse", m.figures.Excused, m.figures.Requests)
	}
}

// sleep sleeps for d, or to the end of the month.
func (m *month) sleep(d time.Duration) { m.sleepOn(min(d, max(time.Until(m.end), 0))) }

func (m *month) sleepOn(d time.Duration) { time.Sleep(d) }

func (m *month) over() bool { return !time.Now().Before(m.end) }

func (m *month) script(identity string, least, most time.Duration) {
	for !m.over() {
		m.request(identity)
		m.sleep(m.between(least, most))
	}
}

func (m *month) office(identity string) {
	for !m.over() {
		morning := time.Now().Truncate(24 * time.Hour).Add(8 * time.Hour)
		if time.Now().After(morning.Add(9 * time.Hour)) {
			morning = morning.Add(24 * time.Hour)
		}
		m.sleep(time.Until(morning))
		m.request(identity)
		m.sleep(m.between(5*time.Second, 10*time.Minute))
	}
}

// request is one of a caller: with a token, and once more if that is refused.
func (m *month) request(identity string) {
	m.running.RLock()
	defer m.running.RUnlock()
	if m.over() {
		return
	}
	ctx, done := context.WithTimeout(m.t.Context(), patience)
	defer done()
	began := time.Now()
	m.mu.Lock()
	if last := m.used[identity]; !last.IsZero() && began.Sub(last) > refresh-24*time.Hour && m.needs[identity] == "" {
		m.needs[identity] = "its refresh token ran out"
	}
	m.used[identity] = began
	m.figures.Requests++
	m.waiting[identity]++
	m.mu.Unlock()
	who, err := m.try(ctx, identity)
	if _, refused := errors.AsType[errRefused](err); refused {
		m.mu.Lock()
		m.figures.Refused++
		m.mu.Unlock()
		who, err = m.try(ctx, identity)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting[identity]--
	switch now := time.Now(); {
	case err == nil:
		if who != identity+"_gis" {
			m.t.Errorf("%s was served as %q", identity, who)
		}
	case m.excused(identity, began, now, err):
		m.figures.Excused++
	default:
		m.t.Errorf("%s: a request of %s failed that could have been served: %v (needs a sign-in: %q; Okta %+v, Portal %+v)",
			began.Format(time.RFC3339Nano), identity, err, m.needs[identity], m.okta, m.portal)
	}
}

// excused reports whether a perfect proxy would have failed, too.
func (m *month) excused(identity string, began, now time.Time, err error) bool {
	if m.portal.within(began, now) {
		return true // nobody answers it
	}
	if m.needs[identity] == "" {
		return false
	}
	pause := backOff
	if auth.KindOf(err) == auth.Unanswered {
		pause = unanswered
	}
	return m.okta.within(began.Add(-pause), now) || m.portal.within(began.Add(-pause), now)
}

func (m *month) try(ctx context.Context, identity string) (string, error) {
	g, err := m.cache.Token(ctx, identity)
	if err != nil {
		return "", err
	}
	who, err := m.self(ctx, g.AccessToken)
	if _, refused := errors.AsType[errRefused](err); refused {
		m.cache.Drop(identity, g.AccessToken)
	}
	return who, err
}

// SignIn, Push, Sent, Renewal and Token implement cache.Observer.
func (m *month) SignIn(identity string, failure *auth.Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.needs[identity] == "" {
		m.t.Errorf("%s: %s was signed in without need (%v)", time.Now().Format(time.RFC3339), identity, failure)
	}
	if failure != nil {
		m.figures.Failed++
		return
	}
	m.figures.SignIns++
	m.needs[identity] = ""
}

func (m *month) Sent(string, auth.Factor) {} // nobody's factor is sent

func (m *month) Push(identity string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.figures.Pushes++
	if m.waiting[identity] == 0 {
		m.t.Errorf("a push was sent to %s that nobody waits for", identity)
	}
}

func (m *month) Renewal(_ string, exchanged bool, failure *auth.Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case failure != nil:
		m.figures.Faults++
	case exchanged:
		m.figures.Exchanges++
	default:
		m.figures.Renewals++
	}
}

func (m *month) Token(_, how string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch how {
	case "hit":
		m.figures.Hits++
	case "behind":
		m.figures.Behind++
	case "waited":
		m.figures.Waited++
	}
}

// oktaIsAway lets Okta be away every few days, in one of several ways.
func (m *month) oktaIsAway() {
	for {
		m.sleep(m.between(6*time.Hour, 72*time.Hour))
		if m.over() {
			return
		}
		kinds := []oktabox.FaultKind{oktabox.ServerError, oktabox.Drop, oktabox.HTMLPage}
		m.mu.Lock()
		kind := kinds[m.rng.IntN(len(kinds))]
		m.okta = downtime{since: time.Now()}
		m.figures.OktaOutages++
		m.mu.Unlock()
		m.box.Okta.Inject(oktabox.Fault{Kind: kind})
		m.sleep(m.between(time.Minute, 5*time.Hour))
		m.box.Okta.ClearFaults()
		m.mu.Lock()
		m.okta.until = time.Now()
		m.mu.Unlock()
	}
}

// portalRestarts restarts the Portal and its servers about once a day.
func (m *month) portalRestarts() {
	for {
		m.sleep(m.between(time.Hour, 48*time.Hour))
		if m.over() {
			return
		}
		modes := []arcgis.Mode{arcgis.Maintenance, arcgis.ServerError, arcgis.FrontEnd, arcgis.Reset}
		m.mu.Lock()
		mode := modes[m.rng.IntN(len(modes))]
		m.portal = downtime{since: time.Now()}
		m.figures.PortalRestarts++
		m.mu.Unlock()
		m.box.Portal.Break(mode)
		m.sleep(m.between(20*time.Second, 10*time.Minute))
		m.box.Portal.Break(arcgis.Healthy)
		m.mu.Lock()
		m.portal.until = time.Now()
		m.mu.Unlock()
	}
}

// tokensAreRevoked ends access tokens often, and whole grants now and then.
func (m *month) tokensAreRevoked() {
	for i := 1; ; i++ {
		m.sleep(m.between(time.Hour, 36*time.Hour))
		if m.over() {
			return
		}
		m.mu.Lock()
		m.figures.Revocations++
		why := fmt.Sprintf("revocation %d", i)
		one := people()[m.rng.IntN(5)]
		switch {
		case i == 25:
			for identity := range m.needs {
				m.needs[identity] = why
			}
		case i%5 == 0:
			m.needs[one.Name] = why
		}
		m.mu.Unlock()
		switch {
		case i == 25:
			m.box.Portal.RevokeAll()
		case i%5 == 0:
			m.box.Portal.Revoke(one.Login)
		default:
			m.box.Portal.RevokeAccessTokens()
		}
	}
}

// programRestarts restarts the program every day or two.
func (m *month) programRestarts() {
	for {
		m.sleep(m.between(4*time.Hour, 48*time.Hour))
		if m.over() {
			return
		}
		m.restart()
		m.mu.Lock()
		m.figures.Restarts++
		m.mu.Unlock()
	}
}
