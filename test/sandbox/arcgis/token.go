package arcgis

import "time"

// token is an access or a refresh token.
type token struct {
	value    string
	refresh  bool
	member   *Member
	app      string
	redirect string // the redirect URI of the sign-in it came of
	parent   *token // the refresh token that an access token came of; nil for implicit ones
	expires  time.Time
	revoked  bool
}

// live reports whether the token is still good. The caller holds p.mu.
func (t *token) live(now time.Time) bool {
	return !t.revoked && now.Before(t.expires) && (t.parent == nil || !t.parent.revoked)
}

// issue makes a token. The caller holds p.mu.
func (p *Portal) issue(t token, life time.Duration) *token {
	t.value = p.mint()
	t.expires = time.Now().Add(life)
	p.tokens[t.value] = &t
	return &t
}

// judge returns the member an access token stands for. ok is false for a token
// that is unknown, of the wrong kind, expired or revoked; ArcGIS does not say which.
func (p *Portal) judge(value string) (m *Member, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tokens[value]
	if t == nil || t.refresh || !t.live(time.Now()) {
		return nil, false
	}
	if p.budget == 0 {
		p.budget = -1
		for _, t := range p.tokens {
			t.revoked = t.revoked || !t.refresh
		}
		return nil, false
	}
	if p.budget > 0 {
		p.budget--
	}
	p.counts.Authorized++
	return t.member, true
}
