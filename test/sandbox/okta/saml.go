package okta

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
)

// assertionLife is how long to either side of now an assertion is good.
// Okta's own value is five minutes.
const assertionLife = 5 * time.Minute

// identity is the key that signs assertions.
type identity struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

// signingKeys are what organizations of this process sign with, one after the other:
// to make a key takes longer than most tests.
var (
	signingKeys [4]func() (*rsa.PrivateKey, error)
	nextKey     atomic.Uint32
)

func init() {
	for k := range signingKeys {
		signingKeys[k] = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })
	}
}

// generate takes a key and makes its certificate, which is good from 1999 on because a
// testing/synctest bubble's clock starts in 2000.
func (i *identity) generate() (err error) {
	if i.key, err = signingKeys[nextKey.Add(1)%uint32(len(signingKeys))](); err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "Simulated Okta", Organization: []string{"Okta sandbox"}},
		NotBefore:    time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &i.key.PublicKey, i.key)
	if err != nil {
		return err
	}
	i.cert, err = x509.ParseCertificate(der)
	return err
}

// App is an application that accounts sign in to by SAML.
type App struct {
	ID, Name, Label string
	base            string
	sp              *saml.EntityDescriptor // nil until RegisterApp: then every request is refused
}

// SSOURL is where a service provider sends its AuthnRequest, by either binding.
func (a *App) SSOURL() string { return a.base + a.path() }

// EntityID is the issuer of the application's assertions.
func (a *App) EntityID() string { return "http://www.okta.com/" + a.ID }

func (a *App) path() string { return "/app/" + a.Name + "/" + a.ID + "/sso/saml" }

// newApp makes an application without a service provider.
func (o *Org) newApp(label string) *App {
	return &App{ID: o.id("exk"), Name: fmt.Sprintf("example_arcgis_%d", len(o.apps)+1), Label: label, base: o.base.String()}
}

// RegisterApp gives an application its service provider. The first call fills
// the application that Metadata describes, further calls make further ones.
// label is what people see.
func (o *Org) RegisterApp(label string, sp *saml.EntityDescriptor) *App {
	o.mu.Lock()
	defer o.mu.Unlock()
	app := o.apps[0]
	if app.sp != nil {
		app = o.newApp(label)
		o.apps = append(o.apps, app)
	}
	app.Label, app.sp = label, sp
	return app
}

// MetadataOf returns the SAML metadata of one application.
func (o *Org) MetadataOf(app *App) *saml.EntityDescriptor {
	o.mu.Lock()
	defer o.mu.Unlock()
	return app.provider(o).Metadata()
}

// provider is crewjam/saml's identity provider for one application.
func (a *App) provider(o *Org) *saml.IdentityProvider {
	entity, sso := url.URL{Scheme: "http", Host: "www.okta.com", Path: "/" + a.ID}, *o.base
	sso.Path = a.path()
	life := 10 * 365 * 24 * time.Hour
	return &saml.IdentityProvider{
		Key: o.idp.key, Certificate: o.idp.cert,
		MetadataURL: entity, SSOURL: sso,
		ServiceProviderProvider: a,
		SignatureMethod:         dsig.RSASHA256SignatureMethod,
		ValidDuration:           &life,
	}
}

// GetServiceProvider implements saml.ServiceProviderProvider: an application
// knows one service provider.
func (a *App) GetServiceProvider(_ *http.Request, id string) (*saml.EntityDescriptor, error) {
	if a.sp == nil || id != a.sp.EntityID {
		return nil, os.ErrNotExist
	}
	return a.sp, nil
}

// errand is what an application sent someone here for, whatever the protocol. A
// step-up and a sign-in by the Identity Engine remember it and go on with it.
type errand interface {
	application() *App
	protocol() string // as the Identity Engine names it [W]
	// back is the path and query that take it up again.
	back(o *Org, c *call) string
	// finish answers the application for a session that satisfies its policy.
	finish(o *Org, c *call, s *session) answer
}

// samlRequest is an AuthnRequest that Okta remembers while someone signs in.
type samlRequest struct {
	app     *App
	xml     []byte
	relay   string
	expires time.Time
}

func (r *samlRequest) application() *App { return r.app }
func (r *samlRequest) protocol() string  { return "SAML2.0" }

func (r *samlRequest) back(o *Org, c *call) string {
	return r.app.path() + "?okta_key=" + url.QueryEscape(o.keep(c, r)) + "&fromLogin=true"
}

func (r *samlRequest) finish(o *Org, c *call, s *session) answer {
	authn, err := o.check(c, r)
	if err != nil {
		return o.badSAML(err)
	}
	return o.assert(c, s, authn)
}

// badSAML is the page for a request that no application here can have made.
func (o *Org) badSAML(err error) answer {
	o.log.Debug("simulated Okta refused an AuthnRequest", "why", err)
	return o.errorPage(http.StatusBadRequest, "Bad SAML request", "The SAML request is not from an application of this organization.")
}

// request reads the AuthnRequest of a call: by okta_key, deflated in the query
// (redirect binding), or in a form (POST binding).
func (o *Org) request(c *call, app *App) (*samlRequest, error) {
	if key := c.r.URL.Query().Get("okta_key"); key != "" && c.r.Method == http.MethodGet {
		req := o.keys[key]
		if req == nil || req.app != app || c.now.After(req.expires) {
			return nil, errors.New("unknown okta_key")
		}
		return req, nil
	}
	form := c.r.URL.Query()
	if c.r.Method == http.MethodPost {
		form = c.r.PostForm
	}
	text, err := base64.StdEncoding.DecodeString(form.Get("SAMLRequest"))
	if err != nil || len(text) == 0 {
		return nil, errors.New("no SAMLRequest")
	}
	// A repost carries over what came by redirect, so a form may be deflated too;
	// a query must be.
	if c.r.Method == http.MethodGet || !bytes.HasPrefix(bytes.TrimSpace(text), []byte("<")) {
		text, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(text)), maxBody))
		if err != nil {
			return nil, errors.New("the SAMLRequest is not deflated")
		}
	}
	return &samlRequest{app: app, xml: text, relay: form.Get("RelayState"), expires: c.now.Add(time.Hour)}, nil
}

// keep remembers a request and returns its key. Old ones go.
func (o *Org) keep(c *call, req *samlRequest) string {
	for k, r := range o.keys {
		if c.now.After(r.expires) {
			delete(o.keys, k)
		}
	}
	key := rand.Text()
	o.keys[key] = req
	return key
}

// check verifies a request against the registered service provider: its entity
// ID, its assertion consumer service, and the destination.
func (o *Org) check(c *call, req *samlRequest) (*saml.IdpAuthnRequest, error) {
	r := &saml.IdpAuthnRequest{IDP: req.app.provider(o), HTTPRequest: c.r, RequestBuffer: req.xml, RelayState: req.relay}
	// With Now zero the library does not refuse a request for its age: a person
	// may take minutes to sign in, and Okta lets them.
	if err := r.Validate(); err != nil {
		return nil, err
	}
	r.Now = c.now
	return r, nil
}

// sso is an application's address: a page that says what is missing, or the
// signed assertion in a form that posts itself.
func (o *Org) sso(c *call) answer {
	var app *App
	for _, a := range o.apps {
		if a.Name == c.r.PathValue("name") && a.ID == c.r.PathValue("id") {
			app = a
		}
	}
	if app == nil {
		return o.errorPage(http.StatusNotFound, "Page not found", "Sorry, the page you requested isn't there.")
	}
	req, err := o.request(c, app)
	if err != nil {
		return o.errorPage(http.StatusBadRequest, "Bad Request", "Your request resulted in an error. "+err.Error()+".")
	}
	authn, err := o.check(c, req)
	if err != nil {
		return o.badSAML(err)
	}

	s := o.session(c)
	fresh := false
	if s == nil { // Classic looks at a sessionToken only where there is no session
		token := c.r.URL.Query().Get("sessionToken")
		if token == "" && c.r.Method == http.MethodPost {
			token = c.r.PostForm.Get("sessionToken")
		}
		s, fresh = o.open(c, token), true
	}
	switch {
	case s == nil && !o.idx():
		return o.signInPage(c, req)
	case s != nil && s.account.Unassigned:
		// Status unproven: the page is certain, whether it is a 403 is not.
		return o.errorPage([]int{http.StatusOK, http.StatusForbidden}[o.rng.IntN(2)], "Access Forbidden", "User is not assigned to this application.")
	case o.idx():
		return o.idxEnter(c, req, s, fresh)
	case o.unmet(c, req, s):
		t := o.begin(c, s.account)
		t.app, t.errand, t.session, t.status = app, req, s, mfaRequired
		return o.stepUpPage(c, t)
	}
	s.used = c.now
	if !fresh && c.r.Method == http.MethodGet && c.r.URL.Query().Get("okta_key") == "" && o.jsRedirect() {
		t := o.begin(c, s.account)
		t.app, t.errand, t.session, t.status = app, req, s, success
		return o.jsRedirectPage(t.token)
	}
	return o.assert(c, s, authn)
}

// stepUpRedirect leads a finished step-up back to its application.
func (o *Org) stepUpRedirect(c *call) answer {
	if x := o.flows[c.r.URL.Query().Get("stateToken")]; x != nil {
		return o.idxStepUp(c, x)
	}
	t, bad := o.find(c, c.r.URL.Query().Get("stateToken"))
	s := o.session(c)
	if bad != nil || t.app == nil || t.status != success || s == nil || t.session != s {
		return o.errorPage(http.StatusForbidden, "Access Forbidden", "Your session has expired. Please try again.")
	}
	if t.checkedMFA {
		s.apps[t.app], s.mfa = true, true
	}
	delete(o.transactions, t.token)
	return answer{status: http.StatusFound, header: http.Header{"Location": {o.url(t.errand.back(o, c))}}}
}

// assert issues the SAML response for a session and a checked request.
func (o *Org) assert(c *call, s *session, r *saml.IdpAuthnRequest) answer {
	a := s.account
	err := saml.DefaultAssertionMaker{}.MakeAssertion(r, &saml.Session{
		CreateTime: s.created, Index: r.Request.ID,
		NameID: a.Login, NameIDFormat: "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
		UserName: a.Login, UserEmail: a.Email, UserGivenName: a.FirstName, UserSurname: a.LastName,
		UserCommonName: a.FirstName + " " + a.LastName,
		CustomAttributes: []saml.Attribute{
			attribute("givenName", a.FirstName), attribute("surname", a.LastName), attribute("email", a.Email),
		},
	})
	if err != nil {
		return o.errorPage(http.StatusInternalServerError, "Internal Server Error", "The assertion could not be made.")
	}
	// The library takes some of the times from the machine's clock; all of
	// Okta's come from its own, which may be wrong (Settings.ClockSkew).
	r.Assertion.IssueInstant = c.now
	r.Assertion.Conditions.NotBefore = c.now.Add(-assertionLife)
	r.Assertion.Conditions.NotOnOrAfter = c.now.Add(assertionLife)
	data := r.Assertion.Subject.SubjectConfirmations[0].SubjectConfirmationData
	data.NotOnOrAfter, data.Address = c.now.Add(assertionLife), address(c.r)
	r.Assertion.AuthnStatements[0].SubjectLocality = nil
	form, err := r.PostBinding()
	if err != nil {
		return o.errorPage(http.StatusInternalServerError, "Internal Server Error", "The assertion could not be signed.")
	}
	o.counts.Assertions++
	o.secrets[form.SAMLResponse] = true
	return o.formPage(form.URL, form.SAMLResponse, form.RelayState)
}

func attribute(name, value string) saml.Attribute {
	return saml.Attribute{
		Name: name, NameFormat: "urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified",
		Values: []saml.AttributeValue{{Type: "xs:string", Value: value}},
	}
}

// fromURI is what a sign-in page says about where to go on: the path and query
// of the request. What came by POST is either kept under a key, or put into the
// query with the advice to repost it; both are seen in the field [page].
func (o *Org) fromURI(c *call, req *samlRequest) (uri string, repost bool) {
	if c.r.Method == http.MethodGet {
		q := c.r.URL.RawQuery
		if c.r.URL.Query().Has("sessionToken") {
			v := c.r.URL.Query()
			v.Del("sessionToken")
			q = v.Encode()
		}
		return req.app.path() + "?" + q, false
	}
	if o.rng.IntN(2) == 0 {
		return req.app.path() + "?okta_key=" + url.QueryEscape(o.keep(c, req)), false
	}
	v := url.Values{"SAMLRequest": {c.r.PostForm.Get("SAMLRequest")}, "RelayState": {req.relay}}
	return req.app.path() + "?" + strings.ReplaceAll(v.Encode(), "+", "%20"), true
}
