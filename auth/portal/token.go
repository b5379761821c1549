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

// A refresh token is exchanged for a new one when it has less than a day left, or
// less than a tenth of its life; but not before half of its life is over.
const (
	exchangeLeft  = 24 * time.Hour
	exchangeShare = 10
	// usualLife is how long a refresh token lasts where neither the Portal's answer
	// nor the config says: "about 2 weeks" in Esri's documentation.
	usualLife = 14 * 24 * time.Hour
)

// Renew implements [auth.Portal]. The refresh token stays as it is unless it nears
// its end: then it is exchanged (grant_type=exchange_refresh_token), which ends it
// and every access token that came of it. A Portal that refuses to exchange is
// asked for an access token only.
func (c *Client) Renew(ctx context.Context, b *auth.Browser, g auth.Grant) (auth.Grant, error) {
	if g.RefreshToken.IsZero() {
		return auth.Grant{}, &auth.Error{Kind: auth.GrantRefused, Step: stepToken, Seen: "there is no refresh token"}
	}
	if c.exchangeDue(g, time.Now()) {
		grant, err := c.token(ctx, b, url.Values{
			"grant_type":    {"exchange_refresh_token"},
			"client_id":     {c.config.ClientID},
			"refresh_token": {g.RefreshToken.Reveal()},
			"redirect_uri":  {c.config.RedirectURI},
		}, g)
		switch auth.KindOf(err) {
		case auth.GrantRefused, auth.BadClient:
		default:
			return grant, err
		}
	}
	return c.token(ctx, b, url.Values{
		"grant_type":    {"refresh_token"},
		"client_id":     {c.config.ClientID},
		"refresh_token": {g.RefreshToken.Reveal()},
	}, g)
}

// exchangeDue reports whether g's refresh token nears its end.
func (c *Client) exchangeDue(g auth.Grant, now time.Time) bool {
	life := usualLife
	if c.config.Expiration > 0 {
		life = c.config.Expiration
	}
	ends := g.RefreshExpires
	switch {
	case !ends.IsZero() && !g.RefreshObtained.IsZero():
		life = ends.Sub(g.RefreshObtained)
	case ends.IsZero() && g.RefreshObtained.IsZero():
		return false
	case ends.IsZero():
		ends = g.RefreshObtained.Add(life)
	}
	return ends.Sub(now) < max(life/exchangeShare, min(exchangeLeft, life/2))
}

// Revoke implements [auth.Portal]. The Portal says success whatever it is given,
// and ends with a refresh token the access tokens that came of it ("Revoke Token"
// in the ArcGIS REST API).
func (c *Client) Revoke(ctx context.Context, b *auth.Browser, g auth.Grant) error {
	token := g.RefreshToken
	if token.IsZero() {
		token = g.AccessToken
	}
	page, err := b.Do(ctx, auth.Request{
		Step: stepRevoke,
		URL:  c.at("oauth2/revokeToken"),
		Form: url.Values{
			"client_id":  {c.config.ClientID},
			"auth_token": {token.Reveal()},
			"f":          {"json"},
		},
		Accept: "application/json",
		Stop:   func(*url.URL) bool { return true },
	})
	if err != nil {
		return err
	}
	if failed := apiError(stepRevoke, page, auth.UnexpectedPage); failed != nil {
		return failed
	}
	var answer struct {
		Success bool `json:"success"`
	}
	if page.Redirect != nil || page.JSON(&answer) != nil || !answer.Success {
		return page.Unexpected(stepRevoke, "the Portal did not say that the token has ended")
	}
	return nil
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
		AccessToken:     auth.NewSecret(t.AccessToken),
		Expires:         asked.Add(t.ExpiresIn.duration()),
		RefreshToken:    old.RefreshToken,
		RefreshExpires:  old.RefreshExpires,
		RefreshObtained: old.RefreshObtained,
		Username:        t.Username,
		Obtained:        asked,
	}
	if g.Username == "" {
		g.Username = old.Username
	}
	if t.RefreshToken != "" && t.RefreshToken != old.RefreshToken.Reveal() {
		g.RefreshToken, g.RefreshExpires, g.RefreshObtained = auth.NewSecret(t.RefreshToken), time.Time{}, asked
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
