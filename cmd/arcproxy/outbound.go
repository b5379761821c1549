package main

import (
	"crypto/x509"
	"net/http"
	"sync/atomic"

	"arcproxy/proxy"
)

// outbound is the transport to Okta, the Portal and the servers. The authorities that
// it trusts can change.
type outbound struct {
	current atomic.Pointer[http.Transport]
}

// newOutbound returns one that trusts roots; nil: the system's.
func newOutbound(roots *x509.CertPool) *outbound {
	o := &outbound{}
	o.trust(roots)
	return o
}

// trust makes the connections that are opened from now on to those whom roots vouch
// for. The older ones go when what is under way on them has ended.
func (o *outbound) trust(roots *x509.CertPool) {
	old := o.current.Swap(proxy.NewTransport(proxy.TransportConfig{RootCAs: roots, Proxy: systemProxy()}))
	if old != nil {
		old.CloseIdleConnections()
	}
}

// RoundTrip implements [http.RoundTripper].
func (o *outbound) RoundTrip(r *http.Request) (*http.Response, error) {
	return o.current.Load().RoundTrip(r)
}

// CloseIdleConnections closes those on which nothing is under way.
func (o *outbound) CloseIdleConnections() { o.current.Load().CloseIdleConnections() }
