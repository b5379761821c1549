// Package mapping makes the Portal and its servers live at the proxy's address: in what
// upstream says it puts the proxy's addresses in the place of upstream's, and in what a
// caller says it puts upstream's in the place of the proxy's.
//
//	https://gis.example.com/portal/home  ⇄  https://localhost:8443/portal/home
//
// # What an address is
//
// Text is not parsed. An address is found by its host, in any case of letters, and is
// one if all of this holds:
//
//   - Before it is nothing that a host could begin with: not notgis.example.com, not
//     user@gis.example.com.
//   - Its port is the configured one; the standard port may be left out.
//   - Behind it follows the mount of an upstream, as a whole segment of the path: not
//     /portal2, not /portal.bak. A dot that ends a sentence ends the segment, too.
//   - Its scheme is http, https, ws or wss, or it has none: //gis.example.com/portal,
//     and gis.example.com/portal, as in portalHostname. ftp:// is another address.
//
// The Portal's origin alone, with a scheme or slashes before it and nothing behind it
// but perhaps one slash, is an address, too; so is the bare host in customBaseUrl and
// preferredHost. That of a further upstream is none, since at the proxy it would be the
// same as the Portal's.
//
// Only scheme, host and port are replaced. What separates them may be written in all
// the ways in which slashes and colons are written inside of JSON, JavaScript, HTML,
// queries, and one of these inside another; it is kept byte for byte, so that one
// mechanism serves all of them and is undone by its reverse. Where a port is to be
// written that was not there, its colon is written as the separators beside it are.
//
// # Schemes
//
// Upstream's own scheme becomes the public URL's. If upstream has its scheme's standard
// port, the other scheme is taken to be the same upstream: http://gis.example.com/server
// for https. At a proxy with an https URL this becomes http with the port written out,
// which the proxy answers as well; with an http URL, it becomes the same as the first.
// WebSockets go along.
//
// # There and back
//
// Inbound undoes outbound: what a caller read and sends back is, at upstream, what
// upstream said, byte for byte. Three things are not as they were:
//
//   - Other spellings of the same address (upper-case hosts, a standard port written
//     out) come back as they are configured, without a standard port.
//   - If the public URL is http, both schemes of an upstream come back as its own.
//   - An address of the proxy itself in what upstream says comes back as upstream's.
//
// # Which bodies, and headers
//
// [Rules] say which answers' bodies and which requests are mapped, by their path and
// type: addresses in feature data, files and what is signed are content, and stay as
// they are. The table is in rules_table.go. Headers are mapped by
// [Map.ResponseHeader] and [Map.RequestHeader].
//
// # Streaming
//
// A [Reader] maps what it reads as it comes; a [GzipReader] does so inside gzip. What
// they make of a body is what [Scanner.Bytes] makes of the whole, in whatever pieces it
// comes. They keep back only what could be the beginning of an address, and their memory
// does not depend on the size of the body.
//
// # Files
//
//	mapping.go         Map: what is an address of which upstream, and what becomes of it
//	scanner.go         Scanner: hosts are found, and what follows them is read
//	scanner_left.go    what stands before a host; what could be the beginning of one
//	scanner_escape.go  the ways in which characters are written
//	rare.go            the fast way of finding hosts
//	reader.go, gzip.go, whole.go   streams; gzip; short bodies
//	rules*.go, headers.go          whose bodies; headers
package mapping
