package portal

import (
	"context"
	"encoding/json"
	"net/url"

	"arcproxy/auth"
)

// Info is what a Portal tells anybody.
type Info struct {
	Version string // of the Sharing API: "2024.2"; "" where it is not told without signing in
	Name    string // of the organization; "" as above
}

// Probe finds out whether there is a Portal at the configured URL. It asks the
// Sharing API, not portaladmin/healthCheck, which many sites block from outside:
// portals/self first, and where that is closed to strangers, sharing/rest/info.
// UnexpectedPage means that something else answers there.
func (c *Client) Probe(ctx context.Context, b *auth.Browser) (Info, error) {
	var self struct {
		Version json.RawMessage `json:"currentVersion"`
		ID      string          `json:"id"`
		Name    string          `json:"name"`
		Host    string          `json:"portalHostname"`
	}
	page, err := c.ask(ctx, b, "portals/self")
	if err != nil {
		return Info{}, err
	}
	if apiError(stepProbe, page, auth.UnexpectedPage) == nil && page.JSON(&self) == nil && (self.ID != "" || self.Host != "") {
		return Info{Version: version(self.Version), Name: auth.Clean(self.Name)}, nil
	}
	page, err = c.ask(ctx, b, "info")
	if err != nil {
		return Info{}, err
	}
	var info struct {
		Owner string          `json:"owningSystemUrl"`
		Auth  json.RawMessage `json:"authInfo"`
	}
	if page.JSON(&info) != nil || info.Owner == "" && len(info.Auth) == 0 {
		return Info{}, page.Unexpected(stepProbe, "no Portal answers at "+c.config.URL.String())
	}
	page, err = c.ask(ctx, b, "")
	if err != nil {
		return Info{}, err
	}
	// The version is a nicety: a Portal that keeps it to itself is one all the same.
	self.Version = nil
	_ = page.JSON(&self)
	return Info{Version: version(self.Version)}, nil
}

func (c *Client) ask(ctx context.Context, b *auth.Browser, resource string) (*auth.Page, error) {
	u := c.at(resource)
	u.RawQuery = url.Values{"f": {"json"}}.Encode()
	page, err := b.Do(ctx, auth.Request{Step: stepProbe, URL: u, Accept: "application/json"})
	if err != nil {
		return nil, err
	}
	if page.Status >= 500 {
		return nil, page.Unexpected(stepProbe, "")
	}
	return page, nil
}

// version reads currentVersion, which is a string or a number.
func version(text json.RawMessage) string {
	var s string
	if json.Unmarshal(text, &s) == nil {
		return auth.Clean(s)
	}
	var n json.Number
	if json.Unmarshal(text, &n) == nil {
		return n.String()
	}
	return ""
}
