package arcgis

import (
	"math/rand/v2"
	"sync"
)

// Choice is how one variation is decided. The zero Choice leaves it to the seed.
type Choice uint8

// The choices.
const (
	Seeded Choice = iota // the seed decides, anew for every answer
	Always
	Never
)

// Health is what the Portal's health check does.
type Health uint8

// The states of portaladmin/healthCheck. Many sites don't let it be asked from
// outside, so a client may not insist on it.
const (
	HealthSeeded  Health = iota
	HealthOn             // answers {"status":"success"}
	HealthOff            // the administrator's directory is switched off
	HealthBlocked        // a firewall answers 403 with a page of its own
)

// Shape says how the simulated systems differ from each other and from their own
// last answer. Its zero value leaves to the seed all that ArcGIS leaves open, and
// asks for none of what an administrator would have to configure.
type Shape struct {
	// How the sign-in looks.
	SAMLOnly      bool      // SAML is the only login: authorize redirects straight to the identity provider
	OIDC          OIDCLogin // whether, and how, people sign in by OpenID Connect
	FormPost      Choice    // OpenID Connect: the answer is asked for as a form instead of a redirect
	Social        bool      // the sign-in page offers a login by strangers, too, before the one by OpenID Connect
	Semicolon     Choice    // "var oAuthInfo = {…};" ends in a semicolon (older portals)
	PostBinding   Choice    // the AuthnRequest goes out as a form instead of a redirect
	StickyCookie  Choice    // the Portal is two machines, and only a cookie leads back to the one that began the sign-in
	SignedOn      Choice    // a browser that has signed in is remembered: the next authorization gets its code at once
	RefusalInJSON Choice    // a refused sign-in is told in oAuthInfo.messages instead of in plain text
	Terms         bool      // members must accept terms and conditions at their first sign-in
	Profile       bool      // members must complete their profile at their first sign-in
	EsriAuth      Choice    // portals/self sets the esri_auth cookie for who is signed in
	RefreshExpiry Choice    // token answers have refresh_token_expires_in (Enterprise 10.9.1 and later)
	NoRefresh     bool      // token answers have no refresh token

	// Where tokens are taken.
	NoAuthorization    bool // the Authorization header is ignored
	NoEsriHeader       bool // the X-Esri-Authorization header is ignored
	NoTokenInQuery     bool // the token parameter is ignored in queries, as sites that forbid it do
	WebTier            bool // web-tier authentication owns Authorization: a Bearer there gets a 401
	AnyHost            bool // answer whatever Host says, instead of refusing names that are not ours
	AcceptsDuplicates  bool // let a request with two tokens pass, judged by the first
	AllowsAnonymous    bool // the Trees services are shared with everyone
	RefreshTokenDances bool // refresh_token grants answer with a new refresh token and end the old one: what OAuth allows (RFC 6749 §6) and Esri leaves to exchange_refresh_token

	// How refusals and answers look.
	InvalidText  string // the message of a 498; "" picks one of InvalidTexts
	RealStatus   Choice // 498 and 499 are HTTP statuses too, not only codes in a body, and OAuth's errors have 400
	HTTPStatus   Choice // where they would be, the status is 401 or 403
	TextPlain    Choice // the Sharing API sends JSON as text/plain
	Gzip         Choice // bodies are compressed where the client takes gzip
	Chunked      Choice // bodies have no Content-Length
	Tags         Choice // servers' JSON has an ETag, and If-None-Match is answered by 304
	LowerHeaders Choice // header names are in lower case, as some front ends send them
	Health       Health // portaladmin/healthCheck
	Slashes      Slash  // how JSON writes a slash
	EscapedHTML  Choice // HTML views write a slash as an entity
	OddNames     Choice // some addresses have capitals in the host, or the default port written out
}

// InvalidTexts are the messages that ArcGIS sends with code 498.
var InvalidTexts = []string{"Invalid token.", "Invalid Token", "Invalid Token."}

// chooser decides variations. It is safe for concurrent use.
type chooser struct {
	mu    sync.Mutex // guards what follows
	rng   *rand.Rand
	shape Shape
}

// current returns a copy of the shape.
func (c *chooser) current() Shape {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shape
}

// one reports whether a variation applies to this answer: as it was set, else one time in n.
func (c *chooser) one(n int, field func(*Shape) Choice) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch field(&c.shape) {
	case Always:
		return true
	case Never:
		return false
	}
	return c.rng.IntN(n) == 0
}

// pick returns a number below n.
func (c *chooser) pick(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.IntN(n)
}
