package proxy

import (
	"context"
	"net/http"
	"sync"
	"time"

	"arcproxy/auth"
)

// RoundTrip implements [http.RoundTripper] between ReverseProxy and the
// transport. The answer is fit to leave.
func (x *exchange) RoundTrip(out *http.Request) (*http.Response, error) {
	res, err := x.signed(out)
	if err != nil {
		return nil, err
	}
	x.conceal(res)
	// Here and not in ModifyResponse, before which ReverseProxy goes through the
	// headers itself.
	if err := x.tidy(res); err != nil {
		_ = res.Body.Close()
		return nil, err
	}
	return res, nil
}

// signed sends a request with a token, and once more if the first token is
// refused. Never a third time.
func (x *exchange) signed(out *http.Request) (*http.Response, error) {
	grant, err := x.token(out.Context())
	if err != nil {
		return nil, err
	}
	res, err := x.send(out, grant.AccessToken)
	if err != nil || !x.refused(res) {
		return res, err
	}
	return x.again(out, grant.AccessToken)
}

// again sends out with a fresh token, after an answer that refused the first.
func (x *exchange) again(out *http.Request, refused auth.Secret) (*http.Response, error) {
	p, identity := x.proxy, x.caller.Identity
	pair := misfit{x.to.name, identity}
	if p.misfits.knows(pair, refused, time.Now()) {
		return nil, errFreshRefused
	}
	p.tokens.Drop(identity, refused)
	grant, err := x.token(out.Context())
	if err != nil {
		return nil, err
	}
	if grant.AccessToken.Equal(refused) {
		p.misfits.remember(pair, refused, time.Now())
		return nil, errFreshRefused
	}
	x.renewed = true
	if !x.body.replayable() {
		return nil, errRenewed
	}
	// A clone, for the transport may not be done with the first one's headers.
	out = out.Clone(out.Context())
	delete(out.Header, "Expect") // the caller has sent what it waited with
	res, err := x.send(out, grant.AccessToken)
	if err != nil || !x.refused(res) {
		return res, err
	}
	p.misfits.remember(pair, grant.AccessToken, time.Now())
	return nil, errFreshRefused
}

// token asks for the caller's token, as long as the caller's patience lasts.
func (x *exchange) token(ctx context.Context) (auth.Grant, error) {
	limited := &x.waiting
	if limited.Context != nil { // the second time
		limited = &patience{}
	}
	limited.Context, limited.limit = ctx, x.proxy.patience
	defer limited.end()
	identity := x.caller.Identity
	ask := x.proxy.tokens.Token
	if x.body.stream != nil {
		ask = func(ctx context.Context, identity string) (auth.Grant, error) {
			return x.proxy.tokens.TokenFor(ctx, identity, uploadLife)
		}
	}
	grant, err := ask(limited, identity)
	switch {
	case err == nil && !grant.AccessToken.IsZero():
		return grant, nil
	case auth.KindOf(err) != "":
		return auth.Grant{}, err
	case ctx.Err() == nil && limited.Err() != nil:
		return auth.Grant{}, &auth.Error{Kind: auth.Waiting, Identity: identity, Err: err}
	}
	return auth.Grant{}, signInBroken(identity, err)
}

// uploadLife is what a token should have left of its life when an upload begins with
// it: an upstream looks at it at the end of one that may not have been kept.
const uploadLife = 10 * time.Minute

// misfitMemory is for how long it is remembered that an upstream refused a
// fresh token.
const misfitMemory = time.Minute

// misfit is an upstream that refused a fresh token of an identity: it is not
// federated with the Portal, or a clock is wrong. Renewing once more would not
// help, and doing so for each of its callers' requests would be a loop.
type misfit struct {
	upstream string // its URL
	identity string
}

// misfits remembers them, with the token that was refused. The zero value is empty.
type misfits struct {
	mu    sync.Mutex // guards known
	known map[misfit]refusedToken
}

type refusedToken struct {
	token auth.Secret
	until time.Time
}

// knows reports whether m refused this very token when it was fresh, not long ago.
func (m *misfits) knows(which misfit, token auth.Secret, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry, ok := m.known[which]
	return ok && now.Before(entry.until) && entry.token.Equal(token)
}

// clear forgets all.
func (m *misfits) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.known)
}

// remember notes that a fresh token was refused. There is one entry at most for
// each upstream and identity, so that the map stays as small as the config.
func (m *misfits) remember(which misfit, token auth.Secret, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[misfit]refusedToken{}
	}
	m.known[which] = refusedToken{token: token, until: now.Add(misfitMemory)}
}
