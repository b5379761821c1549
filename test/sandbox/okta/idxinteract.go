package okta

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// interact begins a sign-in for an application that shows its own pages, as Okta's
// SDK does: it gets an interaction handle where a browser would get a page [J].
func (o *Org) interact(c *call) answer {
	form := c.r.PostForm
	k := o.oidc.clients[form.Get("client_id")]
	scopes := strings.Fields(form.Get("scope"))
	switch {
	case !o.idx():
		return oauthFailure(http.StatusBadRequest, "access_denied", "The interaction code flow needs the Identity Engine.")
	case k == nil || k.server()+"/v1/interact" != o.url(c.r.URL.Path) || form.Get("client_secret") != k.Secret:
		return oauthFailure(http.StatusUnauthorized, "invalid_client", "The client secret supplied for a confidential client is invalid.")
	case !slices.Contains(k.RedirectURIs, form.Get("redirect_uri")):
		return oauthFailure(http.StatusBadRequest, "invalid_request", "The 'redirect_uri' parameter must be a Login redirect URI in the client app settings.")
	case !slices.Contains(scopes, "openid"):
		return oauthFailure(http.StatusBadRequest, "invalid_scope", "The authentication request has an invalid 'scope' parameter.")
	case form.Get("code_challenge") == "" || form.Get("code_challenge_method") != "S256":
		return oauthFailure(http.StatusBadRequest, "invalid_request", "PKCE code challenge is required.")
	}
	x := o.idxBegin(c, &oidcRequest{
		client: k, redirect: form.Get("redirect_uri"), state: form.Get("state"), nonce: form.Get("nonce"), scope: form.Get("scope"),
		challenge: form.Get("code_challenge"), expires: c.now.Add(time.Hour),
	}, nil)
	delete(o.flows, x.token) // no page has it
	x.token, x.interaction = o.token("", 43), true
	o.flows[x.token] = x
	return reply(http.StatusOK, hal{"interaction_handle": x.token})
}

// idxCode ends a flow that interact began: with a code for its client, and the
// session that comes of it [W].
func (o *Org) idxCode(c *call, x *idxFlow, p *idxPlan) {
	r := x.errand.(*oidcRequest)
	if x.done == "" {
		o.counts.IDX.Successes++
		s := o.openFor(c, x.account, x.second, 0)
		to, _ := url.Parse(r.finish(o, c, s).header.Get("Location")) // our own
		x.done = to.Query().Get("code")
		o.oidc.codes[x.done].interaction = true
	}
	fixed := func(name string, v any) *idxField { return &idxField{name: name, required: true, value: v} }
	p.doc["successWithInteractionCode"] = hal{
		"rel": []string{"create-form"}, "name": "issue", "href": r.client.TokenURL(), "method": "POST", "accepts": "application/x-www-form-urlencoded",
		"value": renderFields([]*idxField{fixed("grant_type", "interaction_code"), fixed("interaction_code", x.done), fixed("client_id", r.client.ID), fixed("client_secret", nil), fixed("code_verifier", nil)}),
	}
}
