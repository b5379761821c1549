// Package crawl tests that whoever is at the proxy stays there. It follows every
// address that the simulated Portal and its servers name, from portals/self and
// the Portal's home page on, through a client that can reach the proxy and nothing
// else; and it looks at the Portal to see that what was sent through the proxy is
// stored as if it had been sent past it.
//
// Addresses are found by this package's own code, which shares nothing with the
// proxy's: it decodes JSON, HTML, XML, scripts and styles, with all their escapes,
// where the proxy works on bytes. The same crawl runs against a reverse proxy that
// maps nothing, which it has to leave in every one of these ways, so that a crawl
// that stays is known to have been able to leave.
package crawl
