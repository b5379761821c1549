package arcgis

import (
	"crypto/rand"
	"errors"
	"net/http"

	"github.com/crewjam/saml"
)

// sticky is the cookie by which a load balancer finds the machine again.
const sticky = "ARRAffinity"

// samlAuthorize answers GET and POST oauth2/saml/authorize: it takes up the
// sign-in that authorize began, by its oauth_state, or begins one itself.
func (c *call) samlAuthorize() {
	if c.shape.OIDC == OIDCOnly || c.shape.OIDC == OIDCAlone {
		c.authorizeError("SAML is not configured")
		return
	}
	state := c.get("oauth_state")
	if state == "" {
		if q, ok := c.begin(); ok {
			c.handOff(q)
		}
		return
	}
	q := c.p.take(state)
	if q == nil {
		c.authorizeError("Invalid oauth_state")
		return
	}
	c.handOff(q)
}

// handOff sends the browser to the identity provider with an AuthnRequest and an
// opaque RelayState, by redirect or by a form that submits itself.
func (c *call) handOff(q *pending) {
	p := c.p
	binding := saml.HTTPRedirectBinding
	if p.choose.one(2, func(s *Shape) Choice { return s.PostBinding }) {
		binding = saml.HTTPPostBinding
	}
	p.mu.Lock()
	sp := p.sp
	p.mu.Unlock()
	if sp.IDPMetadata == nil {
		c.page(http.StatusInternalServerError, "Error", "no identity provider is configured")
		return
	}
	request, err := sp.MakeAuthenticationRequest(sp.GetSSOBindingLocation(binding), binding, saml.HTTPPostBinding)
	if err != nil {
		p.log.Error("sandbox cannot make an AuthnRequest", "error", err)
		c.page(http.StatusInternalServerError, "Error", "cannot make an AuthnRequest")
		return
	}
	q.requestID = request.ID
	if p.choose.one(2, func(s *Shape) Choice { return s.StickyCookie }) {
		q.machine = rand.Text()
		c.w.Header().Add("Set-Cookie", sticky+"="+q.machine+"; Path=/; HttpOnly")
	}
	p.mu.Lock()
	relay := p.mint()
	p.pending[relay] = q
	p.mu.Unlock()
	if binding == saml.HTTPPostBinding {
		c.relay(request.Post(relay))
		return
	}
	to, err := request.Redirect(relay, &sp)
	if err != nil {
		p.log.Error("sandbox cannot write an AuthnRequest", "error", err)
		c.page(http.StatusInternalServerError, "Error", "cannot write an AuthnRequest")
		return
	}
	c.redirect(to.String())
}

// samlSignIn is the assertion consumer, POST oauth2/saml/signin. The RelayState
// is used up by being presented, whatever comes of it.
func (c *call) samlSignIn() {
	p := c.p
	if c.r.Method != http.MethodPost {
		c.page(http.StatusMethodNotAllowed, "Error", "Only POST is supported")
		return
	}
	relay := c.get("RelayState")
	q := p.lookUp(relay)
	if q == nil || q.requestID == "" {
		c.turnAway("Unable to sign in: the request was not started here or has ended.")
		return
	}
	if k, err := c.r.Cookie(sticky); q.machine != "" && (err != nil || k.Value != q.machine) {
		c.turnAway("Unable to sign in: the request was not started here or has ended.")
		return
	}
	p.mu.Lock()
	delete(p.pending, relay)
	sp := p.sp
	p.mu.Unlock()

	c.r.PostForm = c.form // crewjam/saml reads SAMLResponse from here
	assertion, err := sp.ParseResponse(c.r, []string{q.requestID})
	if err != nil {
		p.mu.Lock()
		p.counts.AssertionsBad++
		p.mu.Unlock()
		if bad, ok := errors.AsType[*saml.InvalidResponseError](err); ok {
			err = bad.PrivateErr
		}
		p.log.Info("assertion refused", "error", err)
		c.turnAway("Unable to validate SAML Response.")
		return
	}
	var login string
	if assertion.Subject != nil && assertion.Subject.NameID != nil {
		login = assertion.Subject.NameID.Value
	}
	if !c.welcome(q, login) {
		return
	}
	q.requestID = ""
	c.finish(q)
}

// turnAway tells a browser that it is not signed in, in one of the two ways that portals have.
func (c *call) turnAway(text string) {
	if c.p.choose.one(2, func(s *Shape) Choice { return s.RefusalInJSON }) {
		c.p.mu.Lock()
		state := c.p.mint() // leads nowhere: the sign-in has ended
		c.p.mu.Unlock()
		c.signInPage(state, []string{text})
		return
	}
	c.html(http.StatusOK, "ArcGIS Enterprise", "Error: "+text)
}
