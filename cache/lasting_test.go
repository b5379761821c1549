package cache_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"arcproxy/auth"
)

// What takes long begins with a token that lasts, if one request brings one.
func TestTokenFor(t *testing.T) {
	const life = 10 * time.Minute
	for name, tt := range map[string]struct {
		source *source
		age    time.Duration // of the token that is there
		want   counts
		least  time.Duration // what it has left
	}{
		"fresh":                {&source{}, 19 * time.Minute, counts{signIns: 1}, 11 * time.Minute},
		"not for so long":      {&source{}, 21 * time.Minute, counts{signIns: 1, renews: 1}, 30 * time.Minute},
		"short ones, new":      {&source{life: time.Minute}, 29 * time.Second, counts{signIns: 1}, 31 * time.Second},
		"short ones, old":      {&source{life: time.Minute}, 31 * time.Second, counts{signIns: 1, renews: 1}, time.Minute},
		"only by a sign-in":    {&source{plain: true}, 21 * time.Minute, counts{signIns: 1}, 9 * time.Minute},
		"the Portal is away":   {&source{renew: failingRenewal(auth.Unreachable)}, 21 * time.Minute, counts{signIns: 1, renews: 1}, 9 * time.Minute},
		"the renewal is ended": {&source{renew: failingRenewal(auth.GrantRefused)}, 21 * time.Minute, counts{signIns: 1, renews: 1}, 9 * time.Minute},
		"the Portal is slow": {&source{renew: func(ctx context.Context, _ string, _ auth.Grant) (auth.Grant, error) {
			<-ctx.Done()
			return auth.Grant{}, ctx.Err()
		}}, 21 * time.Minute, counts{signIns: 1, renews: 1}, 9*time.Minute - 10*time.Second},
	} {
		bubble(t, name, func(t *testing.T) {
			c := newCache(t, tt.source)
			ask(t, c)
			time.Sleep(tt.age)
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					g, err := c.TokenFor(t.Context(), "alice", life)
					if err != nil || time.Until(g.Expires) < tt.least {
						t.Errorf("%v left, %v", time.Until(g.Expires), err)
					}
				})
			}
			all.Wait()
			want(t, tt.source, tt.want)
		})
	}
}

func failingRenewal(kind auth.Kind) func(context.Context, string, auth.Grant) (auth.Grant, error) {
	return func(context.Context, string, auth.Grant) (auth.Grant, error) {
		return auth.Grant{}, &auth.Error{Kind: kind}
	}
}
