package proxy

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"arcproxy/proxy/peer"
	"arcproxy/proxy/policy"
)

// Caller is who may use the proxy, and as whom.
//
// It is known by a key, a client certificate, the user of its operating system
// or the user that a front proxy names: by any of those that are set. Addresses
// beside them say from where these are good. A caller with addresses and nothing
// else is known by address alone.
type Caller struct {
	Name      string
	Identity  string         // whose token its requests get
	KeySHA256 *[32]byte      // SHA-256 of the key's text; nil: no key
	From      []netip.Prefix // addresses of the connection; headers are not believed

	// CertSAN is a name in a client certificate that the listener verified: a DNS name, URI, e-mail address or IP address. "": none.
	CertSAN string
	// CertSHA256 is the SHA-256 of such a certificate's DER form; nil: none.
	CertSHA256 *[32]byte
	// OSUser is the operating-system user, by name or number, of the other end
	// of a loopback connection. It needs [peer.ConnContext] in the server.
	OSUser string
	// FrontUser is the user in the header of [Front].
	FrontUser string

	Rules  policy.Rules  // what it may do; administration is off by default
	Limits policy.Limits // how much at a time; by default, anything

	policy  *policy.Policy  // Rules, compiled
	limiter *policy.Limiter // of Limits; nil: any
	counter Counter
}

// callers is the list of who may use the proxy. It is read-only.
type callers struct {
	keyed     []*Caller
	certified []certified
	users     []*Caller // by operating-system user
	fronted   map[string]*Caller
	addressed []*Caller // by address alone
	named     map[string]*Caller
	front     Front
	names     *peer.Users
	// authorities are those of client certificates; nil: whoever the listener trusted
	authorities []*x509.Certificate
}

// newCallers sorts the configured callers; its error joins every fault. former are
// those that are replaced; nil: none.
func newCallers(configured []Caller, front Front, former *callers) (callers, error) {
	var (
		c      = callers{fronted: map[string]*Caller{}, named: map[string]*Caller{}, names: peer.NewUsers()}
		faults []error
		taken  = map[any]string{}
	)
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	unique := func(caller *Caller, what string, way any) {
		if other, twice := taken[way]; twice {
			fault("callers %q and %q have the same %s", other, caller.Name, what)
		}
		taken[way] = caller.Name
	}
	var err error
	if c.front, err = front.checked(); err != nil {
		faults = append(faults, err)
	}
	type (
		keyHash   [32]byte
		certHash  [32]byte
		osUser    string
		frontUser string
	)
	for _, given := range configured {
		caller := &given // a copy of our own
		if caller.Name == "" || caller.Identity == "" {
			fault("caller %q: it needs a name and an identity", caller.Name)
			continue
		}
		if strings.HasPrefix(caller.Name, "(") {
			fault("caller %q: a name that begins with a parenthesis is for who is no caller", caller.Name)
		}
		if c.named[caller.Name] != nil {
			fault("there are two callers %q", caller.Name)
		}
		c.named[caller.Name] = caller
		if err := caller.rules(); err != nil {
			faults = append(faults, err)
		}
		caller.inherit(former)
		if caller.KeySHA256 != nil {
			unique(caller, "key", keyHash(*caller.KeySHA256))
			c.keyed = append(c.keyed, caller)
		}
		bearer := certified{caller: caller}
		if caller.CertSHA256 != nil {
			unique(caller, "certificate", certHash(*caller.CertSHA256))
		}
		if caller.CertSAN != "" {
			if bearer.name, err = parseSAN(caller.CertSAN); err != nil {
				fault("caller %q: %w", caller.Name, err)
			} else {
				unique(caller, "name in a certificate", bearer.name)
			}
		}
		if caller.CertSAN != "" || caller.CertSHA256 != nil {
			c.certified = append(c.certified, bearer)
		}
		if caller.OSUser != "" {
			if !peer.Supported {
				fault("caller %q: %w", caller.Name, peer.ErrUnsupported)
			}
			unique(caller, "operating-system user", osUser(caller.OSUser))
			c.users = append(c.users, caller)
		}
		if caller.FrontUser != "" {
			if c.front.Header == "" {
				fault("caller %q: it is known by a front proxy, and there is none", caller.Name)
			}
			unique(caller, "user of the front proxy", frontUser(caller.FrontUser))
			c.fronted[caller.FrontUser] = caller
		}
		switch {
		case caller.KeySHA256 != nil, caller.CertSAN != "", caller.CertSHA256 != nil, caller.OSUser != "", caller.FrontUser != "":
		case len(caller.From) > 0:
			c.addressed = append(c.addressed, caller)
		default:
			fault("caller %q: it has neither a key nor addresses nor another way to be known", caller.Name)
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

// byConnection returns the caller who is known by the connection alone: by the
// user at its other end, or by address. There has to be exactly one. Of several,
// none is more right than another; and who can't be told apart from a user who
// is somebody else is not let in as whoever is left.
func (c *callers) byConnection(ctx context.Context, addr netip.Addr) (*Caller, *failure) {
	var found *Caller
	for _, caller := range c.addressed {
		if !contains(caller.From, addr) {
			continue
		}
		if found != nil {
			return nil, ambiguousAddress
		}
		found = caller
	}
	if len(c.users) > 0 && addr.IsLoopback() {
		user, f := c.byUser(ctx, addr)
		switch {
		case f != nil:
			return nil, f
		case user != nil && found != nil:
			return nil, ambiguousAddress
		case user != nil:
			found = user
		}
	}
	if found == nil {
		return nil, unknownCaller
	}
	return found, nil
}

// byUser returns the caller who is the operating-system user at the other end
// of the connection that ctx belongs to, nil if it is nobody's.
func (c *callers) byUser(ctx context.Context, addr netip.Addr) (found *Caller, f *failure) {
	conn := peer.FromContext(ctx)
	if conn == nil {
		return nil, &failure{status: unknownUser.status, message: unknownUser.message, cause: errors.New("the server does not say which connection this is")}
	}
	uid, err := conn.UID()
	if err != nil {
		return nil, &failure{status: unknownUser.status, message: unknownUser.message, cause: err}
	}
	for _, caller := range c.users {
		if !c.names.Is(uid, caller.OSUser) || !caller.at(addr) {
			continue
		}
		if found != nil {
			return nil, ambiguousAddress
		}
		found = caller
	}
	return found, nil
}

// at reports whether the caller may call from this address.
func (c *Caller) at(addr netip.Addr) bool {
	return len(c.From) == 0 || contains(c.From, addr)
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
