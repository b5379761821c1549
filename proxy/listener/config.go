package listener

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/certmagic"
	"golang.org/x/net/idna"
)

// Mode says where certificates come from, as the config file writes it.
type Mode string

// The modes; the package comment tells what each is.
const (
	ModeLocal Mode = "local"
	ModeACME  Mode = "acme"
	ModeFiles Mode = "files"
	ModeOff   Mode = "off"
)

// Config says which certificates to use.
type Config struct {
	Mode Mode
	// Names are the hosts that callers address, without ports: DNS names and IP
	// addresses. Local adds localhost, 127.0.0.1 and ::1 to them; acme needs one
	// at least; files and off need none.
	Names []string
	// CertFile and KeyFile are the PEM files of mode files; the first holds the
	// leaf and then its intermediates.
	CertFile, KeyFile string
	// ACME is for mode acme.
	ACME ACME
	// ClientCAs, unless nil, are the authorities of client certificates: one that
	// a caller sends is verified before a request is read, and a handshake with
	// one that does not hold fails. None has to be sent.
	ClientCAs *x509.CertPool
}

// ACME says who issues certificates by the ACME protocol (RFC 8555).
type ACME struct {
	CA     string // directory URL; "" means Let's Encrypt
	Email  string // whom the CA may write to; may be empty
	Agreed bool   // the operator agrees to the CA's terms; nothing is asked of it before
	// RootCAs are trusted for the connection to the CA; nil means the system's.
	RootCAs *x509.CertPool
	// Proxy is asked which proxy a request to the CA takes; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// Addr is where the Listener is bound. It must be bound before Configure:
	// there, and only there, the CA's challenges are answered. The CA connects
	// to port 443 (TLS-ALPN-01) or 80 (HTTP-01) of each name, so one of these
	// has to be this port or be forwarded to it.
	Addr net.Addr
}

// TLS is a running source of certificates. End it with [TLS.Close].
type TLS struct {
	config    *tls.Config
	clients   atomic.Pointer[tls.Config] // config, with client certificates; nil: none are asked for
	files     *files                     // nil in any mode but files
	authority *Authority
	challenge func(http.Handler) http.Handler
	close     func()
}

// Configure makes the TLS configuration that cfg asks for. Certificates and the
// local authority are kept in storage, which only local and acme use. ctx bounds
// Configure itself. Local and files are ready when Configure returns; acme
// obtains its certificates behind it, because the CA has to reach our port for
// that, and until one is there TLS handshakes fail.
func Configure(ctx context.Context, cfg Config, storage certmagic.Storage, log *slog.Logger) (*TLS, error) {
	t, err := configure(ctx, cfg, storage, log)
	if err == nil && t.config != nil {
		t.config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return t.clients.Load(), nil }
		t.askFor(cfg.ClientCAs)
	}
	return t, err
}

// askFor has clients asked for certificates of these authorities from now on.
func (t *TLS) askFor(authorities *x509.CertPool) {
	if authorities == nil {
		t.clients.Store(nil)
		return
	}
	config := t.config.Clone()
	config.GetConfigForClient = nil
	config.ClientCAs, config.ClientAuth = authorities, tls.VerifyClientCertIfGiven
	t.clients.Store(config)
}

// Prepare checks those parts of cfg that can change while the program runs: the
// authorities of client certificates and, in mode files, the files. It returns what
// puts them in force for connections that come from then on.
func (t *TLS) Prepare(cfg Config) (begin func(), err error) {
	if t.config == nil {
		return func() {}, nil
	}
	take := func() {}
	if t.files != nil {
		if take, err = t.files.prepare(cfg.CertFile, cfg.KeyFile); err != nil {
			return nil, err
		}
	}
	return func() {
		take()
		t.askFor(cfg.ClientCAs)
	}, nil
}

func configure(ctx context.Context, cfg Config, storage certmagic.Storage, log *slog.Logger) (*TLS, error) {
	switch cfg.Mode {
	case ModeLocal, ModeACME:
		names, err := normalize(cfg.Names)
		if err != nil {
			return nil, err
		}
		if cfg.Mode == ModeACME {
			return configureACME(names, cfg.ACME, storage, log)
		}
		return configureLocal(ctx, names, storage, log, localTerms)
	case ModeFiles:
		return configureFiles(cfg.CertFile, cfg.KeyFile, log)
	case ModeOff:
		return &TLS{}, nil
	}
	return nil, fmt.Errorf("TLS mode %q is unknown: use one of local, acme, files, off", cfg.Mode)
}

// Config is for [New]; nil in mode off.
func (t *TLS) Config() *tls.Config { return t.config }

// Authority is the local authority; nil in any mode but local.
func (t *TLS) Authority() *Authority { return t.authority }

// HTTPChallenge wraps next so that the requests by which an ACME CA checks an
// HTTP-01 challenge are answered. It must come before anything that asks for
// credentials or a known Host. In other modes it returns next.
func (t *TLS) HTTPChallenge(next http.Handler) http.Handler {
	if t.challenge == nil {
		return next
	}
	return t.challenge(next)
}

// Close ends renewal and waits for it. Connections go on with what they have.
func (t *TLS) Close() {
	if t.close != nil {
		t.close()
	}
}

// baseConfig is what all modes share. Versions before TLS 1.2 are off; which
// curves are good, and what TLS 1.3 uses, is left to the standard library, which
// keeps up with it.
func baseConfig(get func(*tls.ClientHelloInfo) (*tls.Certificate, error), protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		CipherSuites:   authenticated,
		NextProtos:     append([]string{"h2", "http/1.1"}, protocols...),
		GetCertificate: get,
	}
}

// authenticated are the cipher suites of TLS 1.2 that RFC 9325, section 4.2, and
// RFC 9113, appendix A, leave: forward secret, and with authenticated encryption.
// The standard library still offers AES in CBC mode beside them, whose padding
// has been attacked again and again; every client of the last ten years has one
// of these. The order says nothing: the library chooses by what both ends' hardware
// is good at.
var authenticated = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// normalize brings names into the form that certificates have: lower case,
// A-labels, canonical IP addresses without brackets; each once, in the order given.
func normalize(names []string) ([]string, error) {
	// As idna.Lookup, with labels that are empty or too long refused as well.
	hostNames := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true))
	var out []string
	for _, name := range names {
		clean := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(name), "["), "]")
		if ip, err := netip.ParseAddr(clean); err == nil {
			clean = ip.WithZone("").Unmap().String()
		} else {
			clean, err = hostNames.ToASCII(strings.TrimSuffix(clean, "."))
			if err != nil {
				return nil, fmt.Errorf("a certificate for %q: not a host name or IP address: %w", name, err)
			}
		}
		if !slices.Contains(out, clean) {
			out = append(out, clean)
		}
	}
	return out, nil
}
