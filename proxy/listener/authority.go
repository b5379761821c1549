package listener

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
)

// localHost is the name under which CertMagic manages the local certificate.
const localHost = "localhost"

// loopback is what every local certificate is valid for besides the configured names.
var loopback = [...]string{localHost, "127.0.0.1", "::1"}

const (
	rootLifetime = 10 * 365 * 24 * time.Hour
	// rootMargin before its end a root is replaced, at the next start.
	rootMargin = 60 * 24 * time.Hour
	// backdate makes a new certificate valid a little earlier than now, for
	// callers whose clocks are late.
	backdate = time.Hour
)

// AuthorityFolder is where authorities are in the storage.
const AuthorityFolder = "authority"

// Authority is a certificate authority of our own, for callers who can be told
// to trust it. It implements CertMagic's Issuer.
//
// Its root may sign for the names it was made for and for loopback, nothing
// else: that is written into the root as critical name constraints (RFC 5280
// §4.2.1.10). Other names therefore need another root, which callers have to
// trust anew. A root and its key are kept in storage under a key made from the
// names, so that going back to earlier names goes back to their root.
type Authority struct {
	names []string // localhost first
	root  *x509.Certificate
	key   crypto.Signer
	life  time.Duration // of leaf certificates
	now   func() time.Time
}

// OpenAuthority returns the authority for names (see [Config.Names]) out of
// storage, and makes it first if there is none or if it is about to expire.
func OpenAuthority(ctx context.Context, storage certmagic.Storage, names []string, log *slog.Logger) (*Authority, error) {
	names, err := normalize(names)
	if err != nil {
		return nil, err
	}
	return openAuthority(ctx, storage, names, localTerms.life, log)
}

func openAuthority(ctx context.Context, storage certmagic.Storage, names []string, life time.Duration, log *slog.Logger) (*Authority, error) {
	a := &Authority{names: localNames(names), life: life, now: time.Now}
	key := a.storageKey()
	// Two processes that start at once must not make two roots.
	if err := storage.Lock(ctx, key); err != nil {
		return nil, fmt.Errorf("local authority: locking its storage: %w", err)
	}
	defer func() {
		if err := storage.Unlock(context.WithoutCancel(ctx), key); err != nil {
			log.Warn("local authority: can't unlock its storage", "error", err)
		}
	}()

	stored, err := storage.Load(ctx, key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("local authority: loading it: %w", err)
	default:
		if err := a.decode(stored); err != nil {
			return nil, fmt.Errorf("local authority: %s in storage is damaged; restore it, or delete it to have a new one made: %w", key, err)
		}
		if a.now().Before(a.root.NotAfter.Add(-rootMargin)) {
			return a, nil
		}
		log.Warn("the local authority is about to expire: a new one is made, which callers have to trust anew",
			"expires", a.root.NotAfter, "fingerprint", a.Fingerprint())
	}

	if err := a.create(); err != nil {
		return nil, fmt.Errorf("local authority: making it: %w", err)
	}
	encoded, err := a.encode()
	if err != nil {
		return nil, fmt.Errorf("local authority: encoding it: %w", err)
	}
	if err := storage.Store(ctx, key, encoded); err != nil {
		return nil, fmt.Errorf("local authority: storing it: %w", err)
	}
	log.Info("local authority made", "names", a.names, "fingerprint", a.Fingerprint(), "expires", a.root.NotAfter)
	return a, nil
}

// localNames puts the loopback names before the others.
func localNames(names []string) []string {
	out := slices.Clone(loopback[:])
	for _, name := range names {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// id tells authorities for different names apart; the order of names is no difference.
func (a *Authority) id() string {
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(a.names)), "\n")))
	return hex.EncodeToString(sum[:8])
}

func (a *Authority) storageKey() string { return path.Join(AuthorityFolder, a.id()+".pem") }

// Root is the root certificate.
func (a *Authority) Root() *x509.Certificate { return a.root }

// RootPEM is the root certificate in the form that other programs want.
func (a *Authority) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

// Fingerprint is the SHA-256 of the root, in the form that browsers and openssl
// show: "AB:CD:…".
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.root.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")
}

// create makes the key and the root. The subject is different for each root,
// because trust stores find certificates by it.
func (a *Authority) create() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	sum := sha256.Sum256(public)
	now := a.now()
	template := &x509.Certificate{
		Subject: pkix.Name{
			Organization: []string{"arcproxy"},
			CommonName:   "arcproxy local authority " + hex.EncodeToString(sum[:4]),
		},
		NotBefore:                   now.Add(-backdate),
		NotAfter:                    now.Add(rootLifetime),
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage:                 []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true, // it signs leaves only
		PermittedDNSDomainsCritical: true,
	}
	// A kind of name that is not constrained at all would be free: both kinds
	// always are, because loopback has both.
	for _, name := range a.names {
		if ip := net.ParseIP(name); ip == nil {
			template.PermittedDNSDomains = append(template.PermittedDNSDomains, name)
		} else if r := ipRange(name); !slices.ContainsFunc(template.PermittedIPRanges, func(o *net.IPNet) bool { return o.Contains(ip) }) {
			template.PermittedIPRanges = append(template.PermittedIPRanges, r)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	a.root, a.key = root, key
	return nil
}

// ipRange is what a root for this address may sign for: the address, or all of
// IPv4's loopback.
func ipRange(name string) *net.IPNet {
	ip := netip.MustParseAddr(name) // names are normalized
	bits := ip.BitLen()
	if ip.Is4() && ip.IsLoopback() {
		bits = 8
	}
	return &net.IPNet{IP: netip.PrefixFrom(ip, bits).Masked().Addr().AsSlice(), Mask: net.CIDRMask(bits, ip.BitLen())}
}

// encode and decode put root and key into one stored value, so that there is
// never one without the other.
func (a *Authority) encode() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, err
	}
	return append(a.RootPEM(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...), nil
}

func (a *Authority) decode(stored []byte) error {
	first, rest := pem.Decode(stored)
	second, _ := pem.Decode(rest)
	if first == nil || second == nil {
		return errors.New("not a certificate and a key in PEM")
	}
	root, err := x509.ParseCertificate(first.Bytes)
	if err != nil {
		return err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(second.Bytes)
	if err != nil {
		return errors.New("its key is not a PKCS #8 key") // the cause may quote the key
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return errors.New("its key can't sign")
	}
	if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(root.PublicKey) {
		return errors.New("its key belongs to another certificate")
	}
	a.root, a.key = root, key
	return nil
}

// IssuerKey names the authority in CertMagic's storage. It changes with the
// names and with the root, so that a leaf of another set or of an earlier root
// is never taken for a current one.
func (a *Authority) IssuerKey() string {
	sum := sha256.Sum256(a.root.Raw)
	return "local-" + a.id() + "-" + hex.EncodeToString(sum[:4])
}

// Issue signs a leaf for the key in csr. The names come from the authority and
// not from csr: CertMagic manages certificates of one name each, but a caller
// that connects by address sends no name to choose by (RFC 6066 §3), so one
// leaf is good for all of ours.
func (a *Authority) Issue(_ context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("local authority: the request's signature: %w", err)
	}
	if len(csr.DNSNames) != 1 || csr.DNSNames[0] != localHost || len(csr.IPAddresses) > 0 {
		return nil, fmt.Errorf("local authority: asked for %q %v, but issues for %q only", csr.DNSNames, csr.IPAddresses, localHost)
	}
	now := a.now()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: localHost},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(a.life),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if template.NotBefore.Before(a.root.NotBefore) {
		template.NotBefore = a.root.NotBefore
	}
	if template.NotAfter.After(a.root.NotAfter) {
		template.NotAfter = a.root.NotAfter
	}
	for _, name := range a.names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, csr.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("local authority: signing: %w", err)
	}
	var out bytes.Buffer
	if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		return nil, fmt.Errorf("local authority: encoding: %w", err)
	}
	return &certmagic.IssuedCertificate{Certificate: out.Bytes()}, nil
}
