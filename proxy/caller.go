package proxy

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// unknownDelay is how long an answer to an unknown caller takes. It is the same
// for every reason, and it makes guessing slow for who guesses in sequence.
const unknownDelay = 200 * time.Millisecond

// pause waits for the delay of an unknown caller.
func pause(ctx context.Context) {
	timer := time.NewTimer(unknownDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// callers is the list of who may use the proxy. It is read-only.
type callers struct {
	keyed     []*Caller
	addressed []*Caller // by address alone
}

// newCallers sorts the configured callers; its error joins every fault.
func newCallers(configured []Caller) (callers, error) {
	var (
		c      callers
		faults []error
		keys   = map[[32]byte]string{}
	)
	for _, given := range configured {
		caller := given // a copy of our own
		switch {
		case caller.Name == "" || caller.Identity == "":
			faults = append(faults, fmt.Errorf("caller %q: it needs a name and an identity", caller.Name))
		case caller.KeySHA256 != nil:
			if other, taken := keys[*caller.KeySHA256]; taken {
				faults = append(faults, fmt.Errorf("callers %q and %q have the same key", other, caller.Name))
			}
			keys[*caller.KeySHA256] = caller.Name
			c.keyed = append(c.keyed, &caller)
		case len(caller.From) > 0:
			c.addressed = append(c.addressed, &caller)
		default:
			faults = append(faults, fmt.Errorf("caller %q: it has neither a key nor addresses", caller.Name))
		}
	}
	return c, errors.Join(faults...)
}

// byKey returns the caller with this key, nil if there is none. It takes the
// same time whichever it is: the keys are compared as hashes, all of them, and
// each in constant time.
func (c *callers) byKey(key string) *Caller {
	sum := sha256.Sum256([]byte(key))
	var found *Caller
	for _, caller := range c.keyed {
		if subtle.ConstantTimeCompare(sum[:], caller.KeySHA256[:]) == 1 {
			found = caller
		}
	}
	return found
}

// byAddress returns the caller who is known by this address alone, if there is
// exactly one. Of several, none is more right than another.
func (c *callers) byAddress(addr netip.Addr) (found *Caller, ambiguous bool) {
	for _, caller := range c.addressed {
		if !contains(caller.From, addr) {
			continue
		}
		if found != nil {
			return nil, true
		}
		found = caller
	}
	return found, false
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, prefix := range prefixes {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// remote returns the address at the other end of a connection. Only the
// connection is asked: any header could be a lie.
func remote(remoteAddr string) netip.Addr {
	at, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// inquiry gathers what a request says about who sent it. Every credential in
// it has to belong to the same caller: a wrong one beside a right one is wrong.
type inquiry struct {
	known *callers
	found *Caller
	wrong bool // a credential was presented that is nobody's, or another's
	// explicit: one of them was not Basic, which browsers repeat unasked
	explicit bool
}

// present takes one credential. Space around it is tolerated, since QGIS sends
// some, and an empty one is none.
func (q *inquiry) present(key string, basic bool) {
	key = strings.TrimSpace(key)
	if key == "" {
		return
	}
	q.explicit = q.explicit || !basic
	caller := q.known.byKey(key)
	if caller == nil || q.found != nil && q.found != caller {
		q.wrong = true
		return
	}
	q.found = caller
}

// headers takes the credentials of X-Esri-Authorization and Authorization.
func (q *inquiry) headers(h http.Header) {
	for _, value := range h["X-Esri-Authorization"] {
		if key, ok := scheme(value, "Bearer"); ok {
			q.present(key, false)
		} else if strings.TrimSpace(value) != "" {
			q.wrong = true
		}
	}
	for _, value := range h["Authorization"] {
		if key, ok := scheme(value, "Bearer"); ok {
			q.present(key, false)
		} else if encoded, ok := scheme(value, "Basic"); ok {
			q.present(password(encoded), true)
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
// user is. What cannot be decoded comes back as it is, and is nobody's key.
func password(encoded string) string {
	encoded = strings.TrimSpace(encoded)
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "\x00" + encoded
	}
	_, pass, found := strings.Cut(string(decoded), ":")
	if !found || pass == "" {
		return "\x00" // a user without a key is an attempt, and it failed
	}
	return pass
}

// query takes the tokens of a raw query and returns it without them.
func (q *inquiry) query(raw string) string {
	rest, tokens := cutTokens(raw)
	q.tokens(tokens)
	return rest
}

func (q *inquiry) tokens(tokens []string) {
	for _, token := range tokens {
		q.present(token, false)
	}
}

// ambient reports whether all that speaks for the caller is something that a
// browser adds by itself to whatever any page makes it send: its address, or a
// Basic password that it remembers.
func (q *inquiry) ambient() bool {
	return !q.explicit
}

// caller decides who it is that calls from this address.
func (q *inquiry) caller(remoteAddr string) (*Caller, *failure) {
	addr := remote(remoteAddr)
	switch {
	case q.wrong:
		return nil, wrongKey
	case q.found != nil:
		if len(q.found.From) > 0 && !contains(q.found.From, addr) {
			return nil, wrongKey
		}
		return q.found, nil
	}
	caller, ambiguous := q.known.byAddress(addr)
	switch {
	case ambiguous:
		return nil, ambiguousAddress
	case caller == nil:
		return nil, unknownCaller
	}
	return caller, nil
}
