// Package listener is the proxy's door: one TCP port that answers HTTP and
// HTTPS, and the certificates that HTTPS needs.
//
// # One port
//
// [New] wraps a [net.Listener]. The first byte of a connection tells what the
// caller speaks: a TLS connection begins with a handshake record, whose type is
// 22 (RFC 8446 §5.1), and no HTTP request begins with that byte. The byte is
// waited for away from the accept loop, for a bounded time and for a bounded
// number of connections, so that a caller who says nothing delays nobody. A TLS
// connection is handed on as a *[tls.Conn] before its handshake: net/http then
// does the handshake under its own deadline, speaks HTTP/2 where the two agree
// on it, and sets Request.TLS. [Server] is the http.Server with the limits that
// belong to it.
//
// # Certificates
//
// [Configure] makes the TLS configuration, by [Mode]:
//
//   - local: an [Authority] of our own, made once and kept in the storage that
//     is passed in, issues a short-lived certificate for the configured names
//     and this machine's loopback names. Callers trust its root once
//     ([Install], or a copy of [Authority.RootPEM]); it is name-constrained, so
//     that a stolen key can't speak for any other host.
//   - acme: a public or internal CA, by CertMagic. Both TLS-ALPN-01 and HTTP-01
//     are answered on the one port; see [TLS.HTTPChallenge].
//   - files: a certificate and a key that someone else renews. They are read
//     again when they change.
//   - off: plain HTTP only.
//
// Local and acme certificates are obtained, stored, locked and renewed by
// CertMagic; the only difference between them is who issues.
package listener
