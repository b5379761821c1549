package portal

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"arcproxy/auth"
)

// Renew implements [auth.Portal]. The refresh token stays as it is unless the
// Portal gives another.
func (c *Client) Renew(ctx context.Context, b *auth.Browser, g auth.Grant) (auth.Grant, error) {
	if g.RefreshToken.IsZero() {
		return auth.Grant{}, &auth.Error{Kind: auth.GrantRefused, Step: stepToken, Seen: "there is no refresh token"}
	}
	return c.token(ctx, b, url.Values{
		"grant_type":    {"refresh_token"},
		"client_id":     {c.config.ClientID},
		"refresh_token": {g.RefreshToken.Reveal()},
	}, g)
}

// token asks oauth2/token for tokens. What the answer leaves out is taken from old.
func (c *Client) token(ctx context.Context, b *auth.Browser, form url.Values, old auth.Grant) (auth.Grant, error) {
	form.Set("f", "json")
	// Lifetimes are counted from before the request was sent: an answer that took
	// long makes the grant seem older than it is, never younger.
	asked := time.Now()
	page, err := b.Do(ctx, auth.Request{
		Step:   stepToken,
		URL:    c.at("oauth2/token"),
		Form:   form,
		Accept: "application/json",
		Stop:   func(*url.URL) bool { return true },
	})
	if err != nil {
		return auth.Grant{}, err
	}
	if page.Redirect != nil {
		return auth.Grant{}, page.Unexpected(stepToken, "a redirect instead of a token")
	}
	if failed := apiError(stepToken, page, auth.GrantRefused); failed != nil {
		return auth.Grant{}, failed
	}
	grant, err := readGrant(page.Body, asked, old)
	if err != nil {
		return auth.Grant{}, page.Unexpected(stepToken, err.Error())
	}
	return grant, nil
}

// readGrant decodes a good answer of oauth2/token, whose lifetimes, in seconds,
// count from asked. Its errors quote nothing of the answer.
func readGrant(body []byte, asked time.Time, old auth.Grant) (auth.Grant, error) {
	var t struct {
		AccessToken    string  `json:"access_token"`
		ExpiresIn      seconds `json:"expires_in"`
		Username       string  `json:"username"`
		RefreshToken   string  `json:"refresh_token"`
		RefreshExpires seconds `json:"refresh_token_expires_in"` // since Enterprise 10.9.1
	}
	switch err := json.Unmarshal(body, &t); {
	case err != nil:
		return auth.Grant{}, fmt.Errorf("an answer that is not a token's JSON")
	case t.AccessToken == "":
		return auth.Grant{}, fmt.Errorf("an answer without access_token")
	case t.ExpiresIn <= 0:
		return auth.Grant{}, fmt.Errorf("an answer without expires_in")
	}
	g := auth.Grant{
		AccessToken:    auth.NewSecret(t.AccessToken),
		Expires:        asked.Add(t.ExpiresIn.duration()),
		RefreshToken:   old.RefreshToken,
		RefreshExpires: old.RefreshExpires,
		Username:       t.Username,
		Obtained:       asked,
	}
	if g.Username == "" {
		g.Username = old.Username
	}
	if t.RefreshToken != "" {
		g.RefreshToken, g.RefreshExpires = auth.NewSecret(t.RefreshToken), time.Time{}
	}
	if t.RefreshExpires > 0 {
		g.RefreshExpires = asked.Add(t.RefreshExpires.duration())
	}
	return g, nil
}

// seconds is a number of seconds, which some portals write as a string.
// Anything that is no number is 0: not told.
type seconds float64

// UnmarshalJSON never fails.
func (s *seconds) UnmarshalJSON(text []byte) error {
	v, err := strconv.ParseFloat(strings.Trim(string(text), `"`), 64)
	if err != nil || math.IsNaN(v) {
		v = 0
	}
	*s = seconds(v)
	return nil
}

// duration is at most ten years, so that no sum with a time overflows.
func (s seconds) duration() time.Duration {
	const most = 10 * 365 * 24 * 3600
	return time.Duration(min(float64(s), most) * float64(time.Second))
}
