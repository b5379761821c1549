package arcgis

import "time"

// token is an access or a refresh token.
type token struct {
	value    string
	refresh  bool
	member   *Member
	app      string
	redirect string // the redirect URI of the sign-in it came of
	parent   *token // the refresh token that an access token came of, or the token by which another was asked for; nil for implicit ones
	site     *site  // the only server that takes it; nil: the Portal and all that are federated
	referer  string // that requests with it have to name; "": any
	address  string // that they have to come from; "": any
	expires  time.Time
	revoked  bool
}

// live reports whether the token is still good. The caller holds p.mu.
func (t *token) live(now time.Time) bool {
	if t.revoked || !now.Before(t.expires) {
		return false
	}
	for p := t.parent; p != nil; p = p.parent {
		if p.revoked {
			return false
		}
	}
	return true
}

// issue makes a token. The caller holds p.mu.
func (p *Portal) issue(t token, life time.Duration) *token {
	t.value = p.mint()
	t.expires = time.Now().Add(life)
	p.tokens[t.value] = &t
	return &t
}

// judge returns the access token that a request bears, and the member it stands for.
// ok is false for one that is unknown, of the wrong kind, expired, revoked, or bound
// to something else than this request; ArcGIS does not say which.
func (c *call) judge(value string) (m *Member, t *token, ok bool) {
	p := c.p
	p.mu.Lock()
	defer p.mu.Unlock()
	t = p.tokens[value]
	if t == nil || t.refresh || !t.live(time.Now()) || !t.suits(c) {
		return nil, nil, false
	}
	if p.budget == 0 {
		p.budget = -1
		for _, t := range p.tokens {
			t.revoked = t.revoked || !t.refresh
		}
		return nil, nil, false
	}
	if p.budget > 0 {
		p.budget--
	}
	p.counts.Authorized++
	return t.member, t, true
}
