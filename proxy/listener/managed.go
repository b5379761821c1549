package listener

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
)

// terms are the times of locally issued certificates.
type terms struct {
	life  time.Duration // of a leaf
	check time.Duration // how often it is looked at; renewal begins in the last third of life
}

var localTerms = terms{life: 30 * 24 * time.Hour, check: time.Minute}

// manager is a CertMagic configuration with a cache of its own, both made here
// so that none of CertMagic's package-wide defaults, files or prompts are used.
type manager struct {
	*certmagic.Config
	cache   *certmagic.Cache
	storage *closing
}

// stop ends the maintenance, and what that has begun.
func (m manager) stop() {
	m.cache.Stop()
	m.storage.close()
}

// newManager starts the cache's maintenance, which ends with stop. The
// name is answered with where a caller gives no name, or one we don't have: a
// certificate that does not match tells more than a broken handshake.
func newManager(cfg certmagic.Config, issuer func(*certmagic.Config) certmagic.Issuer, name string, check time.Duration, log *slog.Logger) manager {
	zlog := zapLogger(log)
	storage := newClosing(cfg.Storage)
	cfg.Storage = storage
	var made atomic.Pointer[certmagic.Config]
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) {
			if c := made.Load(); c != nil {
				return c, nil
			}
			return nil, errors.New("starting up")
		},
		RenewCheckInterval: check,
		Logger:             zlog,
	})
	cfg.Logger = zlog
	cfg.Issuers = []certmagic.Issuer{} // not nil, which would mean Let's Encrypt
	cfg.DefaultServerName = name
	cfg.FallbackServerName = name
	cfg.OnEvent = func(_ context.Context, event string, data map[string]any) error {
		if event == obtained {
			log.Info("certificate obtained", "name", data["identifier"], "issuer", data["issuer"], "renewal", data["renewal"])
		}
		return nil
	}
	cfg.ShouldEmitFunc = func(event string) bool { return event == obtained }
	config := certmagic.New(cache, cfg)
	config.Issuers = []certmagic.Issuer{issuer(config)}
	made.Store(config)
	return manager{config, cache, storage}
}

// obtained is CertMagic's event of a new certificate.
const obtained = "cert_obtained"

func configureLocal(ctx context.Context, names []string, storage certmagic.Storage, log *slog.Logger, t terms) (*TLS, error) {
	authority, err := openAuthority(ctx, storage, names, t.life, log)
	if err != nil {
		return nil, err
	}
	m := newManager(certmagic.Config{
		Storage:    storage,
		OCSP:       certmagic.OCSPConfig{DisableStapling: true}, // there is no responder
		DisableARI: true,                                        // nor anyone to ask when to renew
	}, func(*certmagic.Config) certmagic.Issuer { return authority }, localHost, t.check, log)
	if err := m.ManageSync(ctx, []string{localHost}); err != nil {
		m.stop()
		return nil, fmt.Errorf("local certificate: %w", err)
	}
	return &TLS{
		config:    baseConfig(m.GetCertificate),
		authority: authority,
		close:     sync.OnceFunc(m.stop),
	}, nil
}

func configureACME(names []string, a ACME, storage certmagic.Storage, log *slog.Logger) (*TLS, error) {
	if len(names) == 0 {
		return nil, errors.New("TLS mode acme needs a public name: set public_url to what callers use")
	}
	if !a.Agreed {
		return nil, errors.New("TLS mode acme needs your agreement to the CA's terms of service")
	}
	if a.CA == "" {
		a.CA = certmagic.LetsEncryptProductionCA
		for _, name := range names {
			if !certmagic.SubjectQualifiesForPublicCert(name) {
				return nil, fmt.Errorf("no public CA issues certificates for %q: use TLS mode local or files, a public name, or an internal CA", name)
			}
		}
	}
	if a.Addr == nil {
		return nil, errors.New("TLS mode acme needs the address of the listener")
	}
	host, portText, err := net.SplitHostPort(a.Addr.String())
	if err != nil {
		return nil, fmt.Errorf("TLS mode acme: the listener's address: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("TLS mode acme: the listener's port: %w", err)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = ""
	}

	proxy := a.Proxy
	if proxy == nil {
		proxy = noProxy // else CertMagic would read the environment
	}
	var issuer *certmagic.ACMEIssuer
	m := newManager(certmagic.Config{
		Storage: storage,
		OCSP:    certmagic.OCSPConfig{HTTPProxy: proxy},
	}, func(c *certmagic.Config) certmagic.Issuer {
		issuer = certmagic.NewACMEIssuer(c, certmagic.ACMEIssuer{
			CA:           a.CA,
			Email:        a.Email,
			Agreed:       true,
			TrustedRoots: a.RootCAs,
			HTTPProxy:    proxy,
			// CertMagic opens ports for the challenges itself unless something
			// answers there already. Told that both are ours, it finds us.
			ListenHost:     host,
			AltHTTPPort:    port,
			AltTLSALPNPort: port,
			Logger:         c.Logger,
		})
		return issuer
	}, names[0], certmagic.DefaultRenewCheckInterval, log)

	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			for {
				err := m.obtain(ctx, name)
				if err == nil || ctx.Err() != nil {
					return
				}
				log.Error("no certificate; trying again", "name", name, "after", obtainPause, "error", err)
				select {
				case <-time.After(obtainPause):
				case <-ctx.Done():
				}
			}
		})
	}
	return &TLS{
		config:    baseConfig(m.GetCertificate, acmez.ACMETLS1Protocol),
		challenge: issuer.HTTPChallengeHandler,
		close: sync.OnceFunc(func() {
			cancel()
			wg.Wait()
			m.stop()
		}),
	}, nil
}

// obtainPause comes before obtain is tried again. The CA is not what failed
// then: CertMagic has its own intervals for that.
const obtainPause = time.Minute

// obtain puts name's certificate into the cache, from storage or from the CA,
// whom it tries again and again, at growing intervals, for a month. Once it is
// in the cache, the cache's maintenance renews it.
//
// CertMagic's own ManageAsync does the same on goroutines that nobody can wait
// for, and ManageSync may ask questions on the terminal.
func (m manager) obtain(ctx context.Context, name string) error {
	_, err := m.CacheManagedCertificate(ctx, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("loading the certificate: %w", err)
	}
	// Obtains it if there is none, renews it if it is due.
	if err := m.RenewCertAsync(ctx, name, false); err != nil {
		return fmt.Errorf("obtaining the certificate: %w", err)
	}
	if _, err := m.CacheManagedCertificate(ctx, name); err != nil {
		return fmt.Errorf("loading the certificate obtained: %w", err)
	}
	return nil
}

// noProxy goes to the CA directly.
func noProxy(*http.Request) (*url.URL, error) { return nil, nil }
