package arcgis

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Set changes the shape while the installation runs.
func (p *Portal) Set(change func(*Shape)) {
	p.choose.mu.Lock()
	defer p.choose.mu.Unlock()
	change(&p.choose.shape)
}

// SetTokenLifetime sets how long access tokens last that are issued from now on.
func (p *Portal) SetTokenLifetime(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life.access = d
}

// SetRefreshLifetime sets how long refresh tokens last that are issued from now
// on, for sign-ins that ask for no expiration of their own, and the most that
// any sign-in is given.
func (p *Portal) SetRefreshLifetime(usual, most time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life.refresh, p.life.maxRefresh = usual, most
}

// SetCodeLifetime sets how long authorization codes last that are issued from now on.
func (p *Portal) SetCodeLifetime(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life.code = d
}

// RevokeAccessTokens ends every access token. Refresh tokens stay good, so that
// whoever has one needs no sign-in.
func (p *Portal) RevokeAccessTokens() {
	p.endTokens(func(t *token) bool { return !t.refresh })
}

// RevokeRefresh ends every refresh token, and with them the access tokens that
// came of them.
func (p *Portal) RevokeRefresh() {
	p.endTokens(func(t *token) bool { return t.refresh })
}

// RevokeAll ends every access token and every refresh token: only a sign-in helps.
func (p *Portal) RevokeAll() { p.endTokens(func(*token) bool { return true }) }

// Revoke ends all tokens of one member, by user name or login.
func (p *Portal) Revoke(user string) {
	p.endTokens(func(t *token) bool {
		return strings.EqualFold(t.member.Username, user) || strings.EqualFold(t.member.Login, user)
	})
}

// ExpireTokens makes every access token run out now.
func (p *Portal) ExpireTokens() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tokens {
		if !t.refresh {
			t.expires = time.Now()
		}
	}
}

// ExpireRefresh makes every refresh token run out now.
func (p *Portal) ExpireRefresh() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tokens {
		if t.refresh {
			t.expires = time.Now()
		}
	}
}

// RevokeAfter lets n more authorized requests pass and then revokes every access
// token, once: a revocation in the middle of a paged download.
func (p *Portal) RevokeAfter(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budget = n
}

// endTokens revokes the tokens that match, and what hangs on them.
func (p *Portal) endTokens(match func(*token) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tokens {
		if match(t) {
			t.revoked = true
		}
	}
}

// Notify ends the long polls that wait at this moment with a good answer.
func (p *Portal) Notify() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.waiters)
	p.waiters = make(chan struct{})
}

// Token issues an access token for a member, by user name or login, without a
// sign-in: for tests of what comes after. It counts as no sign-in and no grant,
// and has no refresh token. It is "" if there is no such member.
func (p *Portal) Token(user string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		if strings.EqualFold(m.Username, user) || strings.EqualFold(m.Login, user) {
			return p.issue(token{member: m, app: p.cfg.Apps[0].ID}, p.life.access).value
		}
	}
	return ""
}

// Gate holds requests back until it is released. See [Portal.Hold].
type Gate struct {
	Reached chan struct{} // receives a value for every request that is held
	under   string
	opened  chan struct{}
	once    sync.Once
}

// Hold makes requests under a path prefix wait, before they are answered, until
// the gate is released. A later Hold replaces an earlier one.
func (p *Portal) Hold(under string) *Gate {
	g := &Gate{under: under, Reached: make(chan struct{}, 1024), opened: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate = g
	return g
}

// Release lets all requests pass that wait, and all that come.
func (g *Gate) Release() { g.once.Do(func() { close(g.opened) }) }

// Delay makes requests under a path prefix take d longer than they need; 0 ends that.
func (p *Portal) Delay(under string, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.delays == nil {
		p.delays = map[string]time.Duration{}
	}
	p.delays[under] = d
}

// await holds a request where a delay or a gate asks for that.
func (p *Portal) await(r *http.Request) {
	p.mu.Lock()
	g := p.gate
	var delay time.Duration
	for under, d := range p.delays {
		if strings.HasPrefix(r.URL.Path, under) {
			delay = max(delay, d)
		}
	}
	p.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.closed:
		case <-r.Context().Done():
		}
	}
	if g == nil || !strings.HasPrefix(r.URL.Path, g.under) {
		return
	}
	select {
	case g.Reached <- struct{}{}:
	default: // a test that holds so many does not count them
	}
	select {
	case <-g.opened:
	case <-p.closed:
	case <-r.Context().Done():
	}
}
