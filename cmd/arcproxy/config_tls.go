package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"slices"

	"arcproxy/proxy/listener"
)

func (p *parser) tls(c *config, f *file) {
	t := &c.TLS
	if c.PublicURL != nil {
		t.Names = []string{c.PublicURL.Hostname()}
	}
	switch t.Mode {
	case listener.ModeFiles:
		t.CertFile, t.KeyFile = p.needFile("tls.cert_file", f.TLS.CertFile), p.needFile("tls.key_file", f.TLS.KeyFile)
		p.pair(t.CertFile, t.KeyFile)
	case listener.ModeACME:
		if c.PublicURL != nil && isLoopback(c.PublicURL.Hostname()) && f.TLS.CA == "" {
			p.fault("public_url", "is on loopback, for which no public authority gives a certificate; write the name callers use, or tls.mode = \"local\"")
		}
		if !f.TLS.Agreed {
			p.fault("tls.agreed", "is missing; read the terms of the certificate authority, and write agreed = true if you accept them")
		}
		t.ACME.Email, t.ACME.CA, t.ACME.Agreed, t.ACME.Proxy = f.TLS.Email, f.TLS.CA, true, systemProxy()
		t.ACME.RootCAs = p.certPool("tls.ca_file", f.TLS.CAFile)
	}
	stray := func(key, value string, modes ...listener.Mode) {
		if value != "" && !slices.Contains(modes, t.Mode) {
			p.fault(key, "has no effect with tls.mode = %q; remove it, or write mode = %q", t.Mode, modes[0])
		}
	}
	stray("tls.cert_file", f.TLS.CertFile, listener.ModeFiles)
	stray("tls.key_file", f.TLS.KeyFile, listener.ModeFiles)
	stray("tls.email", f.TLS.Email, listener.ModeACME)
	stray("tls.ca", f.TLS.CA, listener.ModeACME)
	stray("tls.ca_file", f.TLS.CAFile, listener.ModeACME)
	p.clientCAs(c, f)
	if t.Mode == listener.ModeOff && c.PublicURL != nil && c.PublicURL.Scheme == "https" && f.PublicURL != "" && c.PublicURL.Hostname() == "localhost" {
		p.fault("public_url", "is https on this machine, but tls.mode is \"off\"; write http, or another mode")
	}
}

// pair finds out whether a certificate and its key go together, where both are there.
func (p *parser) pair(cert, key string) {
	if p.env.others || cert == "" || key == "" {
		return
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		p.fault("tls.key_file", "is not the key of tls.cert_file: %v; write the two PEM files that belong together, the certificate's with those between it and its authority", err)
	}
}

func (p *parser) needFile(key, name string) string {
	if name == "" {
		p.fault(key, "is missing, and tls.mode is \"files\"; write a file name")
		return ""
	}
	name = p.read(name)
	if _, err := os.Stat(name); err != nil {
		p.fault(key, "can't be read: %v; %s", err, fileRemedy(name, err))
		return ""
	}
	return name
}

// certPool returns the system's roots and those in the PEM file called name.
func (p *parser) certPool(key, name string) *x509.CertPool {
	if name == "" {
		return nil
	}
	name = p.read(name)
	pem, err := os.ReadFile(name)
	if err != nil {
		p.fault(key, "can't be read: %v; %s", err, fileRemedy(name, err))
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		p.fault(key, "holds no PEM certificate; it must have at least one BEGIN CERTIFICATE block")
	}
	return pool
}

// clientCAs reads the authorities of client certificates, without which no
// caller could be known by one. The system's are not among them.
func (p *parser) clientCAs(c *config, f *file) {
	const key = "tls.client_ca_file"
	wanted := -1
	for i := range f.Callers {
		if wanted < 0 && (f.Callers[i].CertSAN != "" || f.Callers[i].CertSHA256 != "") {
			wanted = i
		}
	}
	switch name := f.TLS.ClientCA; {
	case name == "" && wanted >= 0:
		field := "cert_san"
		if f.Callers[wanted].CertSAN == "" {
			field = "cert_sha256"
		}
		p.fault(fmt.Sprintf("callers[%d].%s", wanted, field), "has no effect without tls.client_ca_file; write there who issues client certificates")
	case name == "":
	case c.TLS.Mode == listener.ModeOff:
		p.fault(key, "has no effect with tls.mode = \"off\"; remove it, or write another mode")
	case wanted < 0:
		p.fault(key, "has no effect without a caller that has cert_san or cert_sha256; remove it, or write one")
	default:
		text, err := os.ReadFile(p.read(name))
		if err != nil {
			p.fault(key, "can't be read: %v", err)
			return
		}
		c.TLS.ClientCAs = x509.NewCertPool()
		for _, cert := range certificates(text) {
			c.TLS.ClientCAs.AddCert(cert)
			c.ClientCAs = append(c.ClientCAs, cert)
		}
		if c.ClientCAs == nil {
			p.fault(key, "holds no PEM certificate; it must have at least one BEGIN CERTIFICATE block")
		}
	}
}

// certificates returns those in a PEM file.
func certificates(text []byte) (list []*x509.Certificate) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			list = append(list, cert)
		}
	}
	return list
}
