package portal

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"arcproxy/auth"
)

// Login says by which of the Portal's logins to go.
type Login string

// The logins.
const (
	LoginAuto Login = "auto" // by the one that the Portal offers; SAML where it offers both
	LoginSAML Login = "saml"
	LoginOIDC Login = "oidc" // OpenID Connect
)

// Name is what people call a login.
func (l Login) Name() string {
	if l == LoginOIDC {
		return "OpenID Connect"
	}
	return "SAML"
}

// maxLogins bounds how many addresses of a sign-in page are tried: a Portal may
// offer logins of other companies beside the one that leads to Okta.
const maxLogins = 4

// offer is how a Portal lets people sign in.
type offer struct {
	only  *auth.Handoff // what its only login sends to the identity provider; nil: there is a page to choose on
	state string        // of the page's sign-in
	saml  string        // the address of its SAML login; "": it has none
	oidc  []string      // addresses that may be of its OpenID Connect login
}

// logins lists what is offered, in the order in which LoginAuto prefers it.
func (o offer) logins() []Login {
	if o.only != nil {
		return []Login{loginOf(*o.only)}
	}
	var list []Login
	if o.saml != "" {
		list = append(list, LoginSAML)
	}
	if len(o.oidc) > 0 {
		list = append(list, LoginOIDC)
	}
	return list
}

// loginOf says by which login a request was made.
func loginOf(request auth.Handoff) Login {
	if _, ok := request.CodeRequest(); ok {
		return LoginOIDC
	}
	return LoginSAML
}

// wanted returns the login to go by, if it is offered.
func (c *Client) wanted(offered []Login) (Login, error) {
	names := make([]string, len(offered))
	for i, l := range offered {
		names[i] = l.Name()
	}
	switch {
	case c.config.Login != LoginAuto && c.config.Login != LoginSAML && c.config.Login != LoginOIDC:
		return "", &auth.Error{Kind: auth.NotSupported, Step: stepAuthorize, Seen: "login = " + auth.Clean(string(c.config.Login))}
	case len(offered) == 0:
		return "", &auth.Error{Kind: auth.NotSupported, Step: stepAuthorize, Seen: "the Portal's sign-in page offers neither a SAML nor an OpenID Connect login"}
	case c.config.Login == LoginAuto:
		return offered[0], nil
	case !slices.Contains(offered, c.config.Login):
		return "", &auth.Error{Kind: auth.NotSupported, Step: stepAuthorize, Seen: "login = \"" + string(c.config.Login) + "\", but the Portal signs in by " + strings.Join(names, " and ")}
	}
	return c.config.Login, nil
}

// Logins asks the Portal for a sign-in, which is then left, and returns the logins
// that it offers, the one that a sign-in goes by first. An error says that the
// configured one is not among them.
func (c *Client) Logins(ctx context.Context, b *auth.Browser) ([]Login, error) {
	defer b.Forget(c.config.URL, nil)
	page, _, err := c.begin(ctx, b)
	if err != nil {
		return nil, err
	}
	o, err := c.offered(page)
	if err != nil {
		return nil, err
	}
	list := o.logins()
	login, err := c.wanted(list)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(l Login) bool { return l == login })
	return append([]Login{login}, list...), nil
}

// offered reads off the answer to oauth2/authorize how people sign in.
func (c *Client) offered(page *auth.Page) (offer, error) {
	if request, ok, err := c.request(stepAuthorize, page); ok || err != nil {
		return offer{only: &request}, err
	}
	var info oAuthInfo
	if !auth.ScriptJSON(page.Scripts(), "oAuthInfo", &info) {
		return offer{}, refusal(stepAuthorize, page, auth.UnexpectedPage)
	}
	if text := info.message(); text != "" {
		return offer{}, told(stepAuthorize, text, auth.UnexpectedPage)
	}
	return offer{state: info.State, saml: info.Federation.AuthorizeURL, oidc: info.others}, nil
}

// handoff finds out what the Portal wants the identity provider to be sent.
func (c *Client) handoff(ctx context.Context, b *auth.Browser, page *auth.Page) (auth.Handoff, error) {
	o, err := c.offered(page)
	if err != nil {
		return auth.Handoff{}, err
	}
	login, err := c.wanted(o.logins())
	switch {
	case err != nil:
		return auth.Handoff{}, err
	case o.only != nil:
		return *o.only, nil
	case login == LoginSAML:
		return c.follow(ctx, b, stepSAML, o.saml, o.state, login)
	}
	// One of the addresses leads to Okta. Which one is not documented.
	var failed error
	for _, address := range o.oidc {
		request, err := c.follow(ctx, b, stepOIDC, address, o.state, login)
		if err == nil && !b.Knows(request.URL) {
			err = auth.Foreign(stepOIDC, request.URL)
		}
		if err == nil {
			return request, nil
		}
		if failed == nil {
			failed = err
		}
		if kind := auth.KindOf(err); kind == auth.Deadline || kind == auth.Unreachable || kind == auth.RateLimited {
			return auth.Handoff{}, err
		}
	}
	return auth.Handoff{}, failed
}

// follow goes to the address of a login until that leaves the Portal.
func (c *Client) follow(ctx context.Context, b *auth.Browser, step, address, state string, login Login) (auth.Handoff, error) {
	u, err := auth.Resolve(step, c.config.URL, address)
	if err != nil {
		return auth.Handoff{}, err
	}
	q := u.Query()
	q.Set("oauth_state", state)
	u.RawQuery = q.Encode()
	page, err := b.Do(ctx, auth.Request{Step: step, URL: u, Stop: c.leaves})
	if err != nil {
		return auth.Handoff{}, err
	}
	request, ok, err := c.request(step, page)
	switch {
	case err != nil:
		return auth.Handoff{}, err
	case !ok:
		return auth.Handoff{}, refusal(step, page, auth.UnexpectedPage)
	case c.config.Login != LoginAuto && loginOf(request) != login:
		return auth.Handoff{}, &auth.Error{Kind: auth.NotSupported, Step: step, Seen: "the Portal signs in by " + loginOf(request).Name()}
	}
	return request, nil
}

// request reads off a page what goes to the identity provider: a redirect that
// leaves the Portal, or a form with a SAMLRequest that submits itself.
func (c *Client) request(step string, page *auth.Page) (auth.Handoff, bool, error) {
	if to := page.Redirect; to != nil {
		request, q := auth.Handoff{URL: to}, to.Query()
		code, isCode := request.CodeRequest()
		switch {
		case c.isRedirectURI(to):
			return auth.Handoff{}, false, c.early(step, q)
		case isCode && !auth.SameOrigin(code.Callback, c.config.URL):
			// The code would go elsewhere.
			return auth.Handoff{}, false, auth.Foreign(step, code.Callback)
		case !isCode && !q.Has("SAMLRequest") && q.Has("response_type"):
			return auth.Handoff{}, false, &auth.Error{Kind: auth.NotSupported, Step: step, Seen: "the Portal asks for an answer that only its own script can take (response_type " + auth.Clean(q.Get("response_type")) + ")"}
		}
		return request, true, nil
	}
	form, ok := page.FormWith("SAMLRequest")
	if !ok {
		return auth.Handoff{}, false, nil
	}
	if form.Action == nil {
		return auth.Handoff{}, false, page.Unexpected(step, "a form that leads nowhere")
	}
	return auth.Handoff{URL: form.Action, Form: only(form.Fields, "SAMLRequest", "RelayState")}, true, nil
}

// early is the error of a redirect to redirect_uri before anybody signed in.
func (c *Client) early(step string, q url.Values) error {
	if q.Has("error") {
		return told(step, q.Get("error")+" "+q.Get("error_description"), auth.BadClient)
	}
	return &auth.Error{Kind: auth.UnexpectedPage, Step: step, Seen: "the Portal gave a code without asking Okta who signs in"}
}

// only returns the named fields, one value each, and nothing else of a form.
// An empty value stays: SAML requires RelayState to be echoed as it came.
func only(fields url.Values, names ...string) url.Values {
	kept := url.Values{}
	for _, name := range names {
		if _, ok := fields[name]; ok {
			kept.Set(name, fields.Get(name))
		}
	}
	return kept
}

// otherLogins returns the addresses in a JSON document that may be of a login other
// than SAML's, at most maxLogins: those that say OpenID Connect first, else in the
// order of the names in the document. Esri documents neither the name that the
// address of an OpenID Connect login has in oAuthInfo nor the address itself. But
// all of the Portal's logins begin below oauth2/ at an address that ends in
// authorize.
func otherLogins(document []byte) []string {
	var root any
	if json.Unmarshal(document, &root) != nil {
		return nil
	}
	var named, others []string
	var walk func(depth int, names string, v any)
	walk = func(depth int, names string, v any) {
		if depth > 16 {
			return
		}
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				walk(depth+1, names+" "+name, v[name])
			}
		case []any:
			for _, element := range v {
				walk(depth+1, names, element)
			}
		case string:
			if !startsLogin(v) || slices.Contains(named, v) || slices.Contains(others, v) {
				return
			}
			if said := strings.ToLower(names + " " + v); strings.Contains(said, "oidc") || strings.Contains(said, "openid") {
				named = append(named, v)
			} else {
				others = append(others, v)
			}
		}
	}
	walk(0, "", root)
	named = append(named, others...)
	return named[:min(len(named), maxLogins)]
}

// startsLogin reports whether text is an address at which a login other than SAML's
// may begin.
func startsLogin(text string) bool {
	if len(text) > 2048 || !strings.Contains(text, "/oauth2/") {
		return false
	}
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	_, below, ok := strings.Cut(u.Path, "/oauth2/")
	return ok && strings.HasSuffix(below, "/authorize") && !strings.HasPrefix(below, "saml/")
}
