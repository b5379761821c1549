package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"arcproxy/proxy/peer"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// issued is a certificate by parent, or an authority of its own without one.
func issued(t *testing.T, parent *tls.Certificate, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true, IsCA: parent == nil,
	}
	if change != nil {
		change(template)
	}
	by, signer := template, any(key)
	if parent != nil {
		by, signer = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func TestCallersByCertificate(t *testing.T) {
	authority, stranger := issued(t, nil, nil), issued(t, nil, nil)
	named := func(parent *tls.Certificate, dns ...string) *tls.Certificate {
		return issued(t, parent, func(c *x509.Certificate) { c.DNSNames = dns })
	}
	plain := named(authority, "plain.example.com")
	print := sha256.Sum256(plain.Certificate[0])
	var up seen
	s := start(t, up.ServeHTTP)
	config := s.config()
	config.Callers = append(config.Callers,
		Caller{Name: "robot", Identity: "bob", CertSAN: "Robot.example.com"},
		Caller{Name: "twin", Identity: "bob", CertSAN: "twin.example.com"},
		Caller{Name: "print", Identity: "bob", CertSHA256: &print},
		Caller{Name: "far", Identity: "bob", CertSAN: "far.example.com", From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		Caller{Name: "here", Identity: "carol", From: loopback},
	)
	p, err := New(config, s.tokens)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(p)
	cas := x509.NewCertPool()
	cas.AddCert(authority.Leaf)
	front.TLS = &tls.Config{ClientCAs: cas, ClientAuth: tls.VerifyClientCertIfGiven}
	front.Config.ErrorLog = p.complaints
	front.EnableHTTP2 = true
	front.StartTLS()
	t.Cleanup(front.Close)
	t.Cleanup(p.transport.(*http.Transport).CloseIdleConnections)

	for name, c := range map[string]struct {
		cert   *tls.Certificate
		header http.Header
		status int // 0: no handshake
	}{
		"by name":            {named(authority, "other.example.com", "robot.EXAMPLE.com"), nil, 200},
		"by fingerprint":     {plain, nil, 200},
		"none":               {nil, nil, 200}, // by address, then
		"nobody's":           {named(authority, "nobody.example.com"), nil, 401},
		"two callers'":       {named(authority, "robot.example.com", "twin.example.com"), nil, 401},
		"of a wildcard":      {named(authority, "*.example.com"), nil, 401},
		"from elsewhere":     {named(authority, "far.example.com"), nil, 401},
		"beside another key": {named(authority, "robot.example.com"), http.Header{"Authorization": {"Bearer " + callerKey}}, 401},
		"of a stranger":      {named(stranger, "robot.example.com"), nil, 0},
		"other site":         {named(authority, "robot.example.com"), http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			tr := front.Client().Transport.(*http.Transport).Clone()
			defer tr.CloseIdleConnections()
			if c.cert != nil {
				tr.TLSClientConfig.Certificates = []tls.Certificate{*c.cert}
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.URL+"/portal/x", nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.header != nil {
				r.Header = c.header
			}
			res, err := tr.RoundTrip(r)
			if err != nil {
				if c.status != 0 {
					t.Fatal(err)
				}
				return
			}
			defer res.Body.Close()
			if body := text(t, res); res.StatusCode != c.status {
				t.Errorf("got %s: %s", res.Status, body)
			}
		})
	}
	// A connection that was opened before may have an authority that is none any more.
	tr := front.Client().Transport.(*http.Transport).Clone()
	defer tr.CloseIdleConnections()
	robot := named(authority, "robot.example.com")
	tr.TLSClientConfig.Certificates = []tls.Certificate{*robot}
	for _, c := range []struct {
		authorities []*x509.Certificate
		status      int
	}{{nil, 200}, {[]*x509.Certificate{stranger.Leaf, authority.Leaf}, 200}, {[]*x509.Certificate{stranger.Leaf}, 401}} {
		config.ClientCAs = c.authorities
		begin, err := p.Prepare(config)
		if err != nil {
			t.Fatal(err)
		}
		begin()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.URL+"/portal/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if body := text(t, res); res.StatusCode != c.status {
			t.Errorf("%d authorities: %s: %s", len(c.authorities), res.Status, body)
		}
		_ = res.Body.Close()
	}
}

func TestNamesInCertificates(t *testing.T) {
	u, err := url.Parse("spiffe://example.com/nightly")
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		DNSNames: []string{"a.example.com", "192.0.2.9", "mail@example.com"}, URIs: []*url.URL{u},
		EmailAddresses: []string{"Alice@Example.com"}, IPAddresses: []net.IP{net.ParseIP("192.0.2.1"), net.ParseIP("2001:db8::1")},
	}
	for text, want := range map[string]bool{
		"A.example.COM": true, "a.example.com.": true, "b.example.com": false, "example.com": false,
		"spiffe://example.com/nightly": true, "spiffe://example.com/Nightly": false,
		"Alice@example.com": true, "alice@example.com": false,
		"192.0.2.1": true, "2001:DB8::1": true,
		"192.0.2.9": false, "mail@example.com": false, // of another kind
	} {
		name, err := parseSAN(text)
		if err != nil || name.in(cert) != want {
			t.Errorf("%q: %v, %v", text, name, err)
		}
	}
	for _, bad := range []string{"", "*.example.com", "a b", ":", "1:2"} {
		if name, err := parseSAN(bad); err == nil {
			t.Errorf("%q is taken for %v", bad, name)
		}
	}
	if (san{}).in(cert) {
		t.Error("no name is in a certificate")
	}
}

func byFront(c *Config) {
	c.Front = Front{From: loopback, Header: "x-forwarded-user"}
	c.Callers = append(c.Callers,
		Caller{Name: "alice", Identity: "alice", FrontUser: "alice@example.com"},
		Caller{Name: "here", Identity: "carol", From: loopback},
	)
}

func TestCallersByFrontProxy(t *testing.T) {
	requests{
		{"named", "GET /portal/x HTTP/1.1\nHOST\nX-Forwarded-User: alice@example.com\n\n", 200, true},
		{"named, with a space", "GET /portal/x HTTP/1.1\nHOST\nX-Forwarded-User: alice@example.com \n\n", 200, true},
		{"nobody", "GET /portal/x HTTP/1.1\nHOST\nX-Forwarded-User: bob\n\n", 401, false},
		{"other case", "GET /portal/x HTTP/1.1\nHOST\nX-Forwarded-User: Alice@example.com\n\n", 401, false},
		{"two", "GET /portal/x HTTP/1.1\nHOST\nX-Forwarded-User: alice@example.com\nX-Forwarded-User: alice@example.com\n\n", 401, false},
		{"underscores", "GET /portal/x HTTP/1.1\nHOST\nX_Forwarded_User: alice@example.com\n\n", 401, false},
		{"none: not by the front proxy's own address", "GET /portal/x HTTP/1.1\nHOST\n\n", 401, false},
		{"empty", "GET /portal/x HTTP/1.1\nHOST\nX-Forwarded-User:\n\n", 401, false},
		{"a key instead", "GET /portal/x HTTP/1.1\nHOST\nKEY\n\n", 200, true},
		{"another's key", "GET /portal/x HTTP/1.1\nHOST\nKEY\nX-Forwarded-User: alice@example.com\n\n", 401, false},
		{"another site", "GET /portal/x HTTP/1.1\nHOST\nX-Forwarded-User: alice@example.com\nSec-Fetch-Site: cross-site\n\n", 403, false},
	}.run(t, byFront)
	elsewhere := func(c *Config) {
		byFront(c)
		c.Front.From = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		c.Callers = c.Callers[:2] // none by address
	}
	requests{
		{"from anywhere else", "GET /portal/x HTTP/1.1\nHOST\nX-Forwarded-User: alice@example.com\n\n", 401, false},
	}.run(t, elsewhere)
}

// The front proxy's header never reaches an upstream, whatever it is called.
func TestTheFrontHeaderStays(t *testing.T) {
	for _, from := range [][]netip.Prefix{loopback, {netip.MustParsePrefix("10.0.0.0/8")}} {
		var up seen
		s := start(t, up.ServeHTTP, func(c *Config) {
			c.Front = Front{From: from, Header: "Iap-Person"}
			c.Callers[0].FrontUser = "alice"
		})
		res := s.raw("GET /portal/x HTTP/1.1\nHOST\nKEY\nIap-Person: alice\n\n")
		_ = res.Body.Close()
		if r, _, _ := up.get(); res.StatusCode != 200 || r.Header.Get("Iap-Person") != "" {
			t.Errorf("%s, the upstream was sent %v", res.Status, r.Header)
		}
	}
}

func TestCallersByUser(t *testing.T) {
	if !peer.Supported {
		t.Skip("not on this system")
	}
	me, other := strconv.Itoa(os.Getuid()), strconv.Itoa(os.Getuid()+1)
	for name, c := range map[string]struct {
		callers []Caller
		blind   bool // the server does not tell the connection
		header  http.Header
		status  int
	}{
		"me":                  {callers: []Caller{{OSUser: me}}, status: 200},
		"another":             {callers: []Caller{{OSUser: other}}, status: 401},
		"one of two":          {callers: []Caller{{OSUser: other}, {OSUser: me}}, status: 200},
		"twice, in two words": {callers: []Caller{{OSUser: me}, {OSUser: "0" + me}}, status: 401},
		"and by address":      {callers: []Caller{{OSUser: me}, {From: loopback}}, status: 401},
		"others by address":   {callers: []Caller{{OSUser: other}, {From: loopback}}, status: 200},
		"not from here":       {callers: []Caller{{OSUser: me, From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}, status: 401},
		"unknown":             {callers: []Caller{{OSUser: me}, {From: loopback}}, blind: true, status: 401},
		"unknown, with a key": {callers: []Caller{{OSUser: me}}, blind: true, header: http.Header{"Authorization": {"Bearer " + callerKey}}, status: 200},
		"a key, too":          {callers: []Caller{{OSUser: me}}, header: http.Header{"Authorization": {"Bearer " + callerKey}}, status: 200},
		"a wrong key, too":    {callers: []Caller{{OSUser: me}}, header: http.Header{"Authorization": {"Bearer nobodys"}}, status: 401},
		"another site":        {callers: []Caller{{OSUser: me}}, header: http.Header{"Sec-Fetch-Site": {"cross-site"}}, status: 403},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, new(seen).ServeHTTP)
			config := s.config()
			for i, caller := range c.callers {
				caller.Name, caller.Identity = "caller "+strconv.Itoa(i), "bob"
				config.Callers = append(config.Callers, caller)
			}
			p, err := New(config, s.tokens)
			if err != nil {
				t.Fatal(err)
			}
			front := httptest.NewUnstartedServer(p)
			if !c.blind {
				front.Config.ConnContext = peer.ConnContext
			}
			front.Start()
			t.Cleanup(front.Close)
			t.Cleanup(p.transport.(*http.Transport).CloseIdleConnections)
			s.url = front.URL
			res := s.do(http.MethodGet, "/portal/x", nil, func(r *http.Request) { r.Header = c.header.Clone() })
			if body := text(t, res); res.StatusCode != c.status {
				t.Errorf("got %s: %s", res.Status, body)
			}
		})
	}
}

func TestFaultsOfWaysToBeKnown(t *testing.T) {
	sum := sha256.Sum256(nil)
	list := []Caller{
		{CertSAN: "a.example.com"}, {CertSAN: "A.example.com"}, {CertSHA256: &sum}, {CertSHA256: &sum}, {CertSAN: "*"},
		{OSUser: "alice"}, {OSUser: "alice"}, {FrontUser: "alice"}, {FrontUser: "alice"},
	}
	for i := range list {
		list[i].Name, list[i].Identity = strconv.Itoa(i), "alice"
	}
	_, err := newCallers(list, Front{Header: "Cookie", From: loopback}, nil)
	for _, want := range []string{
		`"0" and "1" have the same name`, `"2" and "3" have the same cert`, `"4": "*" is not`, `"5" and "6" have the same op`, `"7" and "8" have the same user`,
		`"7": it is known by a front proxy, and there is none`, "Cookie has another meaning",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	for _, bad := range []Front{{Header: "X"}, {From: loopback}, {From: loopback, Header: "a b"}} {
		if _, err := bad.checked(); err == nil {
			t.Errorf("%v passes", bad)
		}
	}
}
