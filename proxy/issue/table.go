package issue

import (
	"net/http"
	"strings"
)

// This file says which paths are answered here, and which of those by a refusal.
// It is the one place where that is decided. What is not in it is forwarded, with
// a real token on it, and the caller gets the answer.

// endpoint is what a path leads to.
type endpoint uint8

const (
	elsewhere  endpoint = iota // not here: the request is forwarded
	generate                   // generateToken
	tokenGrant                 // oauth2/token
	exchange                   // oauth2/exchangeToken
	revoke                     // oauth2/revokeToken
	self                       // oauth2/platformSelf
	authorize                  // oauth2/authorize
	signin                     // oauth2/signin
	approval                   // oauth2/approval
	signout                    // oauth2/signout, rest/logout, …

	// Those that are answered by a refusal, see [refusals].
	closed // an unknown part of OAuth, or one of the walk through a Portal's sign-in
	login  // a form for a password of the Portal's or a server's
	secret // it would hand out a credential that outlives the caller
	relay  // it would send a request on, past all rules, and perhaps the token with it
)

// oauth is what comes after oauth2/, in small letters. It is a list of all that
// there is here: what is not in it is closed, because the next version of the
// Portal may hand out tokens under another name. That includes the other ways to
// sign in (saml, openid, social), which take an assertion or password and answer
// with a real session, and what goes on with them (mfa, acceptTerms, …).
var oauth = map[string]endpoint{
	"token":         tokenGrant,
	"exchangetoken": exchange,
	"revoketoken":   revoke,
	"platformself":  self,
	"authorize":     authorize,
	"signin":        signin,
	"approval":      approval,
	"signout":       signout,

	// The Portal's: they check something. Applications and their secrets are for
	// callers that may administer, see package policy.
	"apps":                elsewhere,
	"registerapp":         elsewhere,
	"validateappaccess":   elsewhere,
	"validateredirecturi": elsewhere,
	"validateapikey":      elsewhere,
}

// endings are the names that lead to something wherever a path ends in them: no
// service, folder or operation has one.
var endings = map[string]endpoint{
	"generatetoken":    generate,
	"j_security_check": login, // of the servlet specification
	"resetapikey":      secret,
	"apikeys":          secret,
}

// doors are the names that lead to something directly below a mount or one of
// the places of [entrances]. Elsewhere they may be somebody's service or item.
var doors = map[string]endpoint{
	"login":        login,
	"login.html":   login,
	"login.jsp":    login,
	"signin":       login,
	"signin.html":  login,
	"logout":       signout,
	"logout.html":  signout,
	"signout":      signout,
	"signout.html": signout,
}

// entrances are the places that have forms to sign in: the directories of servers
// and the Portal, and the Portal's home page.
var entrances = map[string]bool{
	"rest": true, "admin": true, "manager": true, "sharing": true, "portaladmin": true, "home": true, "datastoreadmin": true, "webadaptor": true,
}

// longestEnding is the length of the longest name in endings and doors, in bytes,
// each letter of which may be one of three.
const longestEnding = 3 * len("j_security_check")

// match returns what a path below its mount leads to.
func match(path string) endpoint {
	first, rest := next(path)
	switch {
	case is(first, "tokens"): // of servers: the page and the operations
		return generate
	case is(first, "sharing"):
		second, rest := next(rest)
		if is(second, "rest") {
			second, rest = next(rest)
		}
		word, _, _ := strings.Cut(second, ".")
		switch {
		case is(word, "proxy"):
			return relay
		case is(second, "oauth2"):
			name, rest := next(rest)
			e, known := oauth[strings.Map(fold, name)]
			if !known && name != "" {
				return closed
			}
			if more, _ := next(rest); more != "" && e != elsewhere {
				return closed
			}
			if e != elsewhere {
				return e
			}
		}
	}
	return ending(path)
}

// mayEnd reports whether a segment could be one of endings or doors, by its length
// and first letters.
func mayEnd(segment string) bool {
	if len(segment) < len("login") || len(segment) > longestEnding {
		return false
	}
	a, b := segment[0]|0x20, segment[1]|0x20
	if a >= 0x80 || b >= 0x80 {
		return true
	}
	switch a {
	case 'a':
		return b == 'p'
	case 'g', 'r':
		return b == 'e'
	case 'j':
		return b == '_'|0x20
	case 'l':
		return b == 'o'
	case 's':
		return b == 'i'
	}
	return false
}

// ending returns what a path leads to by its last segment.
func ending(path string) endpoint {
	before, last := cutLast(path)
	if !mayEnd(last) {
		return elsewhere // nearly always
	}
	word := strings.Map(fold, last)
	if e := endings[word]; e != elsewhere {
		return e
	}
	e := doors[word]
	if e == elsewhere {
		return elsewhere
	}
	if _, entrance := cutLast(before); entrance != "" && !entrances[strings.Map(fold, entrance)] {
		return elsewhere
	}
	return e
}

// refusal is how an endpoint that does nothing is answered.
type refusal struct {
	status  int // of HTTP
	title   string
	details string
}

var refusals = map[endpoint]refusal{
	closed: {http.StatusNotFound, "There is nothing here.", "This proxy signs in by itself; for a token of its own, use generateToken or oauth2/authorize."},
	login:  {http.StatusNotFound, "There is nothing to sign in to.", "This proxy signs in by itself: type no password. For a token of its own, use generateToken or oauth2/authorize."},
	secret: {http.StatusForbidden, "The Portal's own keys are not handed out here.", "They would be good without this proxy, and after its caller; make one at the Portal itself."},
	relay:  {http.StatusForbidden, "The Portal's own proxy is closed here.", "It would send requests where this proxy's rules do not reach; send them to where they are to go."},
}

// refuse answers for an endpoint that does nothing. Nothing of the request is read
// for that: it may hold a password.
func (c *call) refuse(e endpoint) {
	r := refusals[e]
	if c.wantsPage() {
		c.failed(r.status, r.title)
		n := notice{Title: strings.TrimSuffix(r.title, "."), Message: r.details}
		if c.mounts[c.mount] {
			n.Link = "/" + c.mount + "/"
		}
		c.page(r.status, n)
		return
	}
	code := r.status
	if code == http.StatusForbidden {
		code = http.StatusBadRequest // at 403, Esri's clients ask for a password
	}
	c.fail(r.status, failure{Code: code, Message: r.title, Details: []string{r.details}})
}
