// Package console shows a person how the proxy stands, and lets them do what only
// a person can: answer a question of Okta's, sign an identity in, sign it out.
//
// Everything is below /_arcproxy/:
//
//	(the path itself)            the page: page.go, view.go, assets/
//	answer, sign-in, sign-out    its forms
//	healthz, readyz              whether it runs, and whether it can serve
//	metrics                      for Prometheus
//	api/v1/state                 how everything stands
//	api/v1/events                a server-sent event whenever that has changed
//	api/v1/identities/NAME/…     sign-in, sign-out, answer
//
// The page is whole as it comes, and its forms are ordinary ones, so that it works
// without a script. With one it follows api/v1/events: console.js asks for the page
// again and puts in place what differs. There is one way to make the page, and it
// is html/template's.
//
// Who may see and do that is decided before a request comes here: by the proxy's
// gate, or by the file that a socket is reached by. Whoever decides that also records
// what was done, see [Console.Acted]. To everybody else there is [Console.Health],
// which says no more than yes or no.
//
// What a person sees comes from two sides: how identities stand from a [Control],
// which the program makes of its cache, and what was requested from a [Journal],
// which the proxy writes. Neither holds a secret: a [Journal] has paths without
// queries, and an answer or a password only ever goes the other way.
package console
