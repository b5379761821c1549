package proxy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"

	"arcproxy/auth"
	"arcproxy/proxy/issue"
)

// newIssuer makes the part that hands out tokens of the proxy's own, which are
// good wherever a caller's key is.
func newIssuer(p *settings, config Config) (*issue.Issuer, error) {
	c := issue.Config{
		PublicURL: config.PublicURL,
		Callers:   registry{p},
		Store:     p.issued,
		Marks:     map[string]string{},
		Longest:   config.TokenLife,
		Log:       p.log,
	}
	for _, up := range config.Upstreams {
		c.Upstreams = append(c.Upstreams, up.URL)
	}
	for origin := range p.guard.web {
		c.Origins = append(c.Origins, origin)
	}
	for _, caller := range config.Callers {
		c.Marks[caller.Name] = caller.mark()
	}
	return issue.New(c)
}

// mark returns a text that changes with what the caller is known by. Addresses are
// not in it: they are looked at with each request, also with a token.
func (c *Caller) mark() string {
	text, _ := json.Marshal([]any{c.KeySHA256, c.CertSAN, c.CertSHA256, c.OSUser, c.FrontUser}) // strings and bytes
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// registry is what the issuer knows of callers. It implements [issue.Callers].
type registry struct{ p *settings }

// Verify returns the caller whose key this is, if r may use it.
func (g registry) Verify(ctx context.Context, r *http.Request, name, key string) (string, bool) {
	caller := g.p.callers.byKey(key)
	addr := remote(r.RemoteAddr)
	if caller == nil || name != "" && name != caller.Name || !caller.at(addr) {
		g.p.guesses.pause(ctx, addr, true)
		return "", false
	}
	return caller.Name, true
}

// Known returns the caller that r is from by its headers or its connection.
func (g registry) Known(r *http.Request) (string, bool) {
	who := inquiry{known: &g.p.callers, issuer: g.p.issuer, request: r}
	who.connection(r)
	who.headers(r.Header)
	caller, f := who.caller(r)
	if f != nil {
		g.p.guesses.pause(r.Context(), remote(r.RemoteAddr), who.guessed())
		return "", false
	}
	if who.ambient() && g.p.guard.foreign(r) != nil {
		return "", false
	}
	return caller.Name, true
}

// Username returns the ArcGIS user name that the caller acts as.
func (g registry) Username(ctx context.Context, name string) (string, error) {
	caller := g.p.callers.named[name]
	if caller == nil {
		return "", &auth.Error{Kind: auth.UnknownIdentity}
	}
	grant, err := g.p.tokens.Token(ctx, caller.Identity)
	if err != nil {
		return "", fmt.Errorf("the user name of %s: %w", caller.Identity, err)
	}
	return grant.Username, nil
}
