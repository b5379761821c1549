package cache

import (
	"context"
	"time"

	"arcproxy/auth"
)

// lastingTime is how long TokenFor waits for a token that lasts longer.
const lastingTime = 10 * time.Second

// TokenFor is [Cache.Token] for what takes long, such as an upload: the token has so
// much of its life left, or the half of it if it is not given that much. It is renewed
// for that, if one request does it; where that fails, the token that works is given.
func (c *Cache) TokenFor(ctx context.Context, identity string, life time.Duration) (auth.Grant, error) {
	grant, err := c.Token(ctx, identity)
	if err != nil || lasts(grant, life, time.Now()) {
		return grant, err
	}
	grant, f := c.renewal(identity, grant)
	if f == nil {
		return grant, nil
	}
	// Nobody is counted as waiting: a sign-in, and a push, are not worth it.
	timer := time.NewTimer(lastingTime)
	defer timer.Stop()
	select {
	case <-f.done:
		if f.err == nil {
			return f.grant, nil
		}
	case <-timer.C:
	case <-ctx.Done():
	}
	return grant, nil
}

// lasts reports whether g's token has life left, or half of its own.
func lasts(g auth.Grant, life time.Duration, now time.Time) bool {
	if whole := g.Expires.Sub(g.Obtained); !g.Obtained.IsZero() && whole > 0 {
		life = min(life, whole/2)
	}
	return g.Expires.Round(0).Sub(now.Round(0)) >= life
}

// renewal returns the flight that brings the token after g, and begins it if need be.
// It is nil where there is none, and where that would take a sign-in. Where that token
// has come already, it is returned in g's place.
func (c *Cache) renewal(identity string, g auth.Grant) (auth.Grant, *flight) {
	id := c.find(identity)
	if id == nil {
		return g, nil
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	if id.flight != nil {
		return g, id.flight
	}
	h, now := id.held.Load(), time.Now()
	switch {
	case h.good(now) && !h.grant.AccessToken.Equal(g.AccessToken):
		return h.grant, nil
	case !h.renewable(now) || id.blocked(now) != nil:
		return g, nil
	}
	return g, c.begin(id, nil)
}
