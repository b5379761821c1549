package okta

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// codeLife is how long an authorization code is good [OA].
const codeLife = 5 * time.Minute

// authorizeRedirect is where a sign-in page goes on to an authorization request
// that Okta has remembered [page].
const authorizeRedirect = "/oauth2/v1/authorize/redirect"

// OIDCClient is an application that people sign in to by OpenID Connect, as its
// administrator sees it.
type OIDCClient struct {
	Issuer       string // of the authorization server that knows it
	ID, Secret   string
	RedirectURIs []string
	app          *App
}

// The addresses of its authorization server.
func (k *OIDCClient) AuthorizeURL() string { return k.server() + "/v1/authorize" }
func (k *OIDCClient) TokenURL() string     { return k.server() + "/v1/token" }
func (k *OIDCClient) KeysURL() string      { return k.server() + "/v1/keys" }

// server is what the addresses begin with: the issuer, but for the organization's
// own server, whose issuer is the organization.
func (k *OIDCClient) server() string {
	if !strings.Contains(k.Issuer, "/oauth2/") {
		return k.Issuer + "/oauth2"
	}
	return k.Issuer
}

// oidcState is what the organization's two authorization servers keep.
type oidcState struct {
	clients map[string]*OIDCClient  // by client ID
	asked   map[string]*oidcRequest // by okta_key
	codes   map[string]*oidcCode
}

// oidcRequest is an authorization request that Okta remembers while someone signs in.
type oidcRequest struct {
	client              *OIDCClient
	redirect            string
	state, nonce, scope string
	challenge           string // of PKCE, by S256; "": none
	mode                string // response_mode
	prompt              string
	expires             time.Time
}

// oidcCode is an authorization code.
type oidcCode struct {
	oidcRequest
	account *account
	session *session
	used    bool
	// interaction is a code of the Identity Engine's, with a grant type of its own.
	interaction bool
}

func (r *oidcRequest) application() *App { return r.client.app }
func (r *oidcRequest) protocol() string  { return "OIDC" }

func (r *oidcRequest) back(o *Org, c *call) string {
	for k, old := range o.oidc.asked {
		if c.now.After(old.expires) {
			delete(o.oidc.asked, k)
		}
	}
	key := rand.Text()
	o.oidc.asked[key] = r
	return authorizeRedirect + "?okta_key=" + key
}

// finish answers with a code.
func (r *oidcRequest) finish(o *Org, c *call, s *session) answer {
	for text, old := range o.oidc.codes {
		if c.now.After(old.expires) {
			delete(o.oidc.codes, text)
		}
	}
	code := &oidcCode{oidcRequest: *r, account: s.account, session: s}
	code.expires = c.now.Add(codeLife)
	text := o.token("", 43)
	o.oidc.codes[text] = code
	o.counts.OIDCCodes++
	return r.answer(o, url.Values{"code": {text}})
}

// refuse answers with an error. Texts are Okta's where an application was seen to
// print them; the others' wording is unproven.
func (r *oidcRequest) refuse(o *Org, name, description string) answer {
	return r.answer(o, url.Values{"error": {name}, "error_description": {description}})
}

// answer sends the browser back to the application.
func (r *oidcRequest) answer(o *Org, v url.Values) answer {
	v.Set("state", r.state)
	if r.mode == "form_post" {
		return o.codePage(r.redirect, v)
	}
	to, _ := url.Parse(r.redirect) // RegisterOIDC has parsed it
	if to.RawQuery != "" {
		to.RawQuery += "&"
	}
	to.RawQuery += v.Encode()
	return answer{status: http.StatusFound, header: http.Header{"Location": {to.String()}}}
}

// RegisterOIDC makes an application for OpenID Connect. Which of the organization's
// two authorization servers it belongs to is chosen by seed. label is what people
// see. A redirect URI that is no URL is a mistake in a test: it panics.
func (o *Org) RegisterOIDC(label string, redirectURIs ...string) *OIDCClient {
	for _, uri := range redirectURIs {
		if u, err := url.Parse(uri); err != nil || u.Host == "" {
			panic("okta: no redirect URI: " + uri)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	k := &OIDCClient{
		Issuer:       o.base.String(),
		ID:           "0oa" + rand.Text()[:17],
		Secret:       o.token("", 40),
		RedirectURIs: redirectURIs,
	}
	if o.seed%2 == 0 {
		k.Issuer += "/oauth2/default"
	}
	k.app = &App{ID: k.ID, Name: "oidc_client", Label: label, base: o.base.String()}
	o.oidc.clients[k.ID] = k
	return k
}

// ask reads an authorization request [OA]. What is wrong about the client or its
// redirect URI is shown to the person, because there is nobody to redirect to; what
// else is wrong is told to the application.
func (o *Org) ask(c *call) (*oidcRequest, *answer) {
	form := c.r.URL.Query()
	if c.r.Method == http.MethodPost {
		form = c.r.PostForm
	}
	k := o.oidc.clients[form.Get("client_id")]
	if k == nil || k.AuthorizeURL() != o.url(c.r.URL.Path) {
		return nil, o.badClient("invalid_client", "Invalid value for 'client_id' parameter.")
	}
	if !slices.Contains(k.RedirectURIs, form.Get("redirect_uri")) {
		return nil, o.badClient("invalid_request", "The 'redirect_uri' parameter must be a Login redirect URI in the client app settings.")
	}
	r := &oidcRequest{
		client: k, redirect: form.Get("redirect_uri"), state: form.Get("state"), nonce: form.Get("nonce"), scope: form.Get("scope"),
		challenge: form.Get("code_challenge"), mode: form.Get("response_mode"), prompt: form.Get("prompt"),
		expires: c.now.Add(time.Hour),
	}
	refuse := func(name, description string) (*oidcRequest, *answer) {
		a := r.refuse(o, name, description)
		return nil, &a
	}
	scopes := strings.Fields(r.scope)
	switch {
	case r.mode != "" && r.mode != "query" && r.mode != "form_post":
		r.mode = ""
		return refuse("invalid_request", "The 'response_mode' is not supported.")
	case form.Get("response_type") != "code":
		return refuse("unsupported_response_type", "The response type is not supported by the authorization server. Configured response types: [code].")
	case r.state == "":
		return refuse("invalid_request", "The authentication request has an invalid 'state' parameter.")
	case !slices.Contains(scopes, "openid"):
		return refuse("invalid_scope", "The authentication request has an invalid 'scope' parameter.")
	case slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains([]string{"openid", "profile", "email"}, s) }):
		return refuse("invalid_scope", "One or more scopes are not configured for the authorization server resource.")
	case r.challenge == "" && form.Has("code_challenge_method"), r.challenge != "" && form.Get("code_challenge_method") != "S256":
		return refuse("invalid_request", "PKCE code challenge method is not supported.")
	case r.prompt != "" && r.prompt != "none" && r.prompt != "login":
		return refuse("invalid_request", "The authentication request has an invalid 'prompt' parameter.")
	}
	return r, nil
}

// badClient is the answer to a request of nobody's: a page, or JSON, both seen in
// the field.
func (o *Org) badClient(name, description string) *answer {
	a := o.errorPage(http.StatusBadRequest, "Bad Request", "Your request resulted in an error. "+description)
	if o.rng.IntN(2) == 0 {
		a = reply(http.StatusBadRequest, hal{
			"errorCode": name, "errorSummary": description, "errorLink": name, "errorId": "oae" + rand.Text()[:22], "errorCauses": []hal{},
		})
	}
	return &a
}

// authorize is where an application sends people.
func (o *Org) authorize(c *call) answer {
	r, bad := o.ask(c)
	if bad != nil {
		return *bad
	}
	token := c.r.URL.Query().Get("sessionToken")
	if c.r.Method == http.MethodPost {
		token = c.r.PostForm.Get("sessionToken")
	}
	return o.serveCode(c, r, token)
}

// authorizeAgain takes up a request that Okta has remembered. Its sign-in page has
// been shown: prompt=login is satisfied by the session that came of it.
func (o *Org) authorizeAgain(c *call) answer {
	r := o.oidc.asked[c.r.URL.Query().Get("okta_key")]
	if r == nil || c.now.After(r.expires) {
		return o.errorPage(http.StatusBadRequest, "Bad Request", "Your request resulted in an error. The request has expired.")
	}
	again := *r
	again.prompt = ""
	return o.serveCode(c, &again, "")
}

// serveCode answers a request for whoever is signed in. A sessionToken counts only
// where nobody is.
func (o *Org) serveCode(c *call, r *oidcRequest, token string) answer {
	s, fresh := o.session(c), false
	if r.prompt == "login" {
		s = nil
	}
	if s == nil && token != "" {
		s, fresh = o.open(c, token), true
	}
	app := r.client.app
	switch {
	case s == nil && r.prompt == "none":
		return r.refuse(o, "login_required", "The client specified not to prompt, but the user is not logged in.")
	case s == nil && !o.idx():
		return o.codeSignIn(c, r)
	case s != nil && s.account.Unassigned:
		return r.refuse(o, "access_denied", "User is not assigned to the client application.")
	case r.prompt == "none" && o.unmet(c, r, s):
		return r.refuse(o, "interaction_required", "The client specified not to prompt, but the user has to be asked.")
	case r.prompt == "none":
	case o.idx():
		return o.idxEnter(c, r, s, fresh)
	case o.unmet(c, r, s):
		t := o.begin(c, s.account)
		t.app, t.errand, t.session, t.status = app, r, s, mfaRequired
		return o.stepUpPage(c, t)
	}
	s.used = c.now
	return r.finish(o, c, s)
}

// unmet reports whether a session does not satisfy the policy of an errand's
// application.
func (o *Org) unmet(c *call, e errand, s *session) bool {
	if o.idx() {
		return len(o.idxOpen(c, &idxFlow{errand: e, session: s, account: s.account, password: true})) > 0
	}
	return o.settings.AppMFA && !s.apps[e.application()] && len(s.account.factors) > 0
}

// codeSignIn asks a person to sign in, at once or at an address of its own; both
// are seen in the field [page].
func (o *Org) codeSignIn(c *call, r *oidcRequest) answer {
	back := r.back(o, c)
	if o.rng.IntN(2) == 0 {
		return answer{status: http.StatusFound, header: http.Header{"Location": {o.url("/login/login.htm?fromURI=" + back)}}}
	}
	return o.widget("", back, false, r.client.app.Label)
}

// loginPage is the sign-in page at an address of its own. It goes nowhere but to a
// path of the organization's.
func (o *Org) loginPage(c *call) answer {
	from := c.r.URL.Query().Get("fromURI")
	if u, err := url.Parse(from); err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(u.Path, "/") || strings.Contains(from, `\`) {
		from = ""
	}
	return o.widget("", from, false, "your organization")
}

// keys are the keys that tokens are signed with.
func (o *Org) oidcKeys(*call) answer {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &o.idp.key.PublicKey, KeyID: o.keyID(), Algorithm: string(jose.RS256), Use: "sig"}}}
	a := reply(http.StatusOK, set)
	a.header.Set("Cache-Control", "max-age=3600, must-revalidate")
	return a
}

// discovery describes the authorization server whose address is asked.
func (o *Org) discovery(c *call) answer {
	k := &OIDCClient{Issuer: strings.TrimSuffix(o.url(c.r.URL.Path), "/.well-known/openid-configuration")}
	return reply(http.StatusOK, hal{
		"issuer": k.Issuer, "authorization_endpoint": k.AuthorizeURL(), "token_endpoint": k.TokenURL(), "jwks_uri": k.KeysURL(),
		"response_types_supported": []string{"code"}, "response_modes_supported": []string{"query", "form_post"},
		"grant_types_supported": []string{"authorization_code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"}, "scopes_supported": []string{"openid", "profile", "email"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"code_challenge_methods_supported":      []string{"S256"},
	})
}
