package listener

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	filesInterval = time.Second // between looks at the files
	filesLimit    = 1 << 20     // bytes of each
)

// files is a certificate and key on disk that someone else renews. A handshake
// looks at them again, once a second at most, and takes a new pair if it is a
// good one. Contents are compared, not times: that sees a swapped symbolic link
// or a restored old file, and two reads a second cost nothing.
type files struct {
	log *slog.Logger
	now func() time.Time

	current atomic.Pointer[tls.Certificate]

	mu                sync.Mutex // guards what follows; held while the files are read
	certFile, keyFile string
	looked            time.Time
	cert, key         []byte // the contents that were seen last, good or bad
	failure           string // what was logged last about reading them
}

func configureFiles(certFile, keyFile string, log *slog.Logger) (*TLS, error) {
	f := &files{certFile: certFile, keyFile: keyFile, log: log, now: time.Now}
	if err := f.load(); err != nil {
		return nil, err
	}
	return &TLS{config: baseConfig(f.get), files: f}, nil
}

// get is the tls.Config's GetCertificate.
func (f *files) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if f.mu.TryLock() { // who can't get it goes on with what is in force
		if f.now().Sub(f.looked) >= filesInterval {
			f.reload()
		}
		f.mu.Unlock()
	}
	return f.current.Load(), nil
}

// prepare tries other files and returns what has them used instead, or the same ones
// looked at now.
func (f *files) prepare(certFile, keyFile string) (take func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if certFile != f.certFile || keyFile != f.keyFile {
		trial := &files{certFile: certFile, keyFile: keyFile, log: slog.New(slog.DiscardHandler), now: f.now}
		if err := trial.load(); err != nil {
			return nil, err
		}
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.certFile, f.keyFile = certFile, keyFile
		f.reload()
	}, nil
}

// reload is load with the old pair left in force by a failure, which is logged
// once. Its caller holds mu.
func (f *files) reload() {
	err := f.load()
	if err == nil {
		f.failure = ""
		return
	}
	if text := err.Error(); text != f.failure {
		f.failure = text
		f.log.Error("the new certificate can't be used; the old one stays in force", "error", err)
	}
}

// load reads the files and puts a pair that differs from the last one in force.
func (f *files) load() error {
	f.looked = f.now()
	cert, err := readLimited(f.certFile)
	if err != nil {
		return fmt.Errorf("reading the certificate: %w", err)
	}
	key, err := readLimited(f.keyFile)
	if err != nil {
		return fmt.Errorf("reading the certificate's key: %w", err)
	}
	if f.failure == "" && bytes.Equal(cert, f.cert) && bytes.Equal(key, f.key) {
		return nil
	}
	f.cert, f.key = cert, key
	pair, err := tls.X509KeyPair(cert, key) // also checks that they belong together
	if err != nil {
		return fmt.Errorf("the certificate %s and the key %s: %w", f.certFile, f.keyFile, err)
	}
	f.current.Store(&pair)
	level := slog.LevelInfo
	if f.now().After(pair.Leaf.NotAfter) {
		level = slog.LevelWarn
	}
	f.log.Log(context.Background(), level, "certificate loaded", "file", f.certFile,
		"dns", pair.Leaf.DNSNames, "ip", pair.Leaf.IPAddresses, "expires", pair.Leaf.NotAfter)
	return nil
}

func readLimited(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, filesLimit+1))
	if err == nil && len(data) > filesLimit {
		err = errors.New(name + " is larger than 1 MiB")
	}
	return data, err
}
