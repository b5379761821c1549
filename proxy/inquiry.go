package proxy

import (
	"encoding/base64"
	"net/http"
	"strings"

	"arcproxy/proxy/form"
	"arcproxy/proxy/issue"
)

// inquiry gathers what a request says about who sent it. Every credential in
// it has to belong to the same caller: a wrong one beside a right one is wrong.
type inquiry struct {
	known *callers
	found *Caller
	wrong *failure // a credential was presented that is nobody's, or another's
	// explicit: one of them was such as no browser adds unasked
	explicit bool
	issued   bool // one of them was a token of ours
	fronted  bool // the connection is a front proxy's, which speaks for others

	issuer  *issue.Issuer // of tokens; nil: there are none
	request *http.Request // what they may be bound to
}

// claim takes one credential's caller, nil if it is nobody's.
func (q *inquiry) claim(caller *Caller, otherwise *failure) {
	switch {
	case q.wrong != nil:
	case caller == nil:
		q.wrong = otherwise
	case q.found != nil && q.found != caller:
		q.wrong = twoCallers
	default:
		q.found = caller
	}
}

// connection takes what the connection says by itself: the certificate that it
// was opened with, or the header of a front proxy. Both are chosen once, by a
// browser or in front of one, and come with whatever any page makes it send.
func (q *inquiry) connection(r *http.Request) {
	if q.known.front.Header != "" && contains(q.known.front.From, remote(r.RemoteAddr)) {
		// Its address, user and certificate are the front proxy's own.
		q.fronted = true
		q.front(r.Header)
		return
	}
	if len(q.known.certified) > 0 && r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		q.claim(q.known.byCertificate(r.TLS.VerifiedChains), wrongCertificate)
	}
}

// present takes one key, or a token of ours. Space around it is tolerated, since QGIS sends
// some, and an empty one is none.
func (q *inquiry) present(key string, basic bool) {
	key = strings.TrimSpace(key)
	if key == "" {
		return
	}
	q.explicit = q.explicit || !basic
	if q.issuer != nil && issue.Ours(key) {
		q.issued = true
		name, _ := q.issuer.Caller(key, q.request)
		q.claim(q.known.named[name], tokenEnded)
		return
	}
	q.claim(q.known.byKey(key), wrongKey)
}

// headers takes the credentials of X-Esri-Authorization and Authorization.
func (q *inquiry) headers(h http.Header) {
	for _, value := range h["X-Esri-Authorization"] {
		if key, ok := scheme(value, "Bearer"); ok {
			q.present(key, false)
		} else if strings.TrimSpace(value) != "" {
			q.claim(nil, misplacedKey)
		}
	}
	for _, value := range h["Authorization"] {
		if key, ok := scheme(value, "Bearer"); ok {
			q.present(key, false)
		} else if encoded, ok := scheme(value, "Basic"); ok {
			if key, ok := password(encoded); ok {
				q.present(key, true)
			} else {
				q.claim(nil, misplacedKey)
			}
		}
		// Another scheme, such as Negotiate, is not for us: no credential at all.
	}
}

// scheme returns what follows the authentication scheme in a header's value, if
// it has that scheme.
func scheme(value, name string) (string, bool) {
	value = strings.TrimLeft(value, " \t")
	if len(value) < len(name) || !strings.EqualFold(value[:len(name)], name) {
		return "", false
	}
	rest := value[len(name):]
	return rest, rest == "" || rest[0] == ' ' || rest[0] == '\t'
}

// password returns the password of Basic credentials (RFC 7617), whoever the
// user is, and whether there is one: a user without is an attempt, and it failed.
func password(encoded string) (string, bool) {
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", false
	}
	_, pass, _ := strings.Cut(string(decoded), ":")
	return pass, pass != ""
}

// query takes the tokens of a raw query and returns it without them.
func (q *inquiry) query(raw string) string {
	rest, tokens := form.CutTokens(raw)
	q.tokens(tokens)
	return rest
}

func (q *inquiry) tokens(tokens []string) {
	for _, token := range tokens {
		q.present(token, false)
	}
}

// ambient reports whether all that speaks for the caller is something that a
// browser adds by itself to whatever any page makes it send: its address, its
// user, its certificate, the front proxy's session, or a Basic password that it
// remembers.
func (q *inquiry) ambient() bool {
	return !q.explicit
}

// guessed reports whether what was wrong may have been a guess. A token that has
// ended is not: clients go on to send theirs until they are told.
func (q *inquiry) guessed() bool { return q.wrong != nil && q.wrong != tokenEnded }

// caller decides who it is that sent r.
func (q *inquiry) caller(r *http.Request) (*Caller, *failure) {
	switch {
	case q.wrong != nil:
		return nil, q.wrong
	case q.found != nil:
		if len(q.found.From) > 0 && !q.found.at(remote(r.RemoteAddr)) {
			return nil, wrongKey
		}
		return q.found, nil
	case q.fronted:
		return nil, unknownCaller
	}
	return q.known.byConnection(r.Context(), remote(r.RemoteAddr))
}
