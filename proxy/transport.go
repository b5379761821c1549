package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"time"
)

// TransportConfig is what differs between one network and another.
type TransportConfig struct {
	RootCAs *x509.CertPool                        // trusted; nil: the system's
	Proxy   func(*http.Request) (*url.URL, error) // nil: upstreams are reached directly
}

// dialTimeout bounds how long an upstream that does not answer keeps a caller waiting.
const dialTimeout = 10 * time.Second

// NewTransport returns a transport tuned for a proxy: many connections to few
// hosts, bodies left as they are, and patience for long jobs.
func NewTransport(config TransportConfig) *http.Transport {
	var http1 http.Protocols
	http1.SetHTTP1(true) // one HTTP/2 connection's flow control would be shared by all callers
	return &http.Transport{
		Proxy: config.Proxy,
		DialContext: (&net.Dialer{
			Timeout:   dialTimeout,
			KeepAlive: 30 * time.Second,
		}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: config.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   10 * time.Second,
		Protocols:             &http1,
		MaxIdleConnsPerHost:   512, // the default of 2 dials anew for most requests
		IdleConnTimeout:       90 * time.Second,
		DisableCompression:    true, // compressed bodies go through as they are
		ReadBufferSize:        block,
		WriteBufferSize:       block,
		ExpectContinueTimeout: time.Second,
		// Longer than any client waits: the ArcGIS API for Python gives a request
		// 600 s. It ends requests whose upstream has gone without a word.
		ResponseHeaderTimeout:  15 * time.Minute,
		MaxResponseHeaderBytes: 256 << 10,
	}
}
