package arcgis

import (
	"crypto/rand"
	"maps"
	"net/http"
	"slices"
)

// Counts is what the installation has seen and done.
type Counts struct {
	SignIns         int // assertions and id_tokens accepted
	AssertionsBad   int // assertions refused: signature, audience, InResponseTo, time
	OIDCBad         int // codes and id_tokens refused
	Strangers       int // good assertions and id_tokens about people who are not members
	Codes           int // authorization codes issued
	TokenGrants     int // codes exchanged for tokens, and implicit tokens
	Refreshes       int // grant_type=refresh_token that succeeded
	Exchanges       int // grant_type=exchange_refresh_token that succeeded
	Revocations     int // revokeToken calls that ended something
	Exposed         int // requests with a code, a refresh token or their like in the URL
	Generated       int // tokens that generateToken, exchangeToken and the servers' own forms have given out
	RefreshRefused  int // refresh tokens refused
	Refusals498     int
	Refusals499     int
	Authorized      int // requests that came with a token that was accepted
	DuplicateTokens int // requests that carried more than one token
	EsriAuthCookies int // requests that carried the browser's esri_auth cookie
	Forwarded       int // requests with an X-Forwarded-* or Forwarded header
	WrongHosts      int // requests for a Host that is not ours
	Open            int // requests at the server that is not federated
	OpenTokens      int // those of them that carried a token: a leak
	Requests        map[string]int
}

// maxPaths bounds Counts.Requests.
const maxPaths = 10_000

// Counts returns a copy of what was counted so far.
func (p *Portal) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts
	c.Requests = maps.Clone(c.Requests)
	return c
}

func (p *Portal) countRequest(r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.counts.Requests[r.URL.Path]; known || len(p.counts.Requests) < maxPaths {
		p.counts.Requests[r.URL.Path]++
	}
	if _, err := r.Cookie(esriAuth); err == nil {
		p.counts.EsriAuthCookies++
	}
	for name := range r.Header {
		if name == "Forwarded" || len(name) > 12 && name[:12] == "X-Forwarded-" {
			p.counts.Forwarded++
			break
		}
	}
}

// Secrets returns every secret the Portal has issued: codes, tokens, refresh
// tokens, oauth_state and RelayState. A test searches logs and answers for them.
func (p *Portal) Secrets() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.issued)
}

// mint makes a secret that nobody can guess and remembers that it was issued.
// The caller holds p.mu.
func (p *Portal) mint() string {
	// Real ones are longer than rand.Text's 26 characters, and have - and _ in them.
	s := rand.Text() + "_" + rand.Text() + "-" + rand.Text()
	p.issued = append(p.issued, s)
	return s
}
