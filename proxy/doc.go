// Package proxy is the HTTP handler that callers talk to. It lets a caller who
// knows nothing of Okta or ArcGIS tokens use a Portal and its servers as if they
// lived at the proxy's own address and the caller were signed in.
//
// A request goes one way through [Proxy.ServeHTTP], and each step has its file:
//
//	guard     may a request of this form be answered at all?   guard.go, path.go, web.go
//	own       is it for the proxy itself?                      own.go
//	route     which upstream is mounted at its first segment?  route.go
//	token     is it for a token of the proxy's own?            tokens.go
//	who       which caller is it?                              inquiry.go, caller.go,
//	                                                           certificate.go, front.go
//	may       may this caller do that, now?                    permit.go
//	body      is it small enough to be sent a second time?     body.go, spool.go, slow.go
//	          does an upload hold a key?                       upload.go
//	forward   the caller's credentials go, the rest is kept    forward.go, strip.go
//	sign      the identity's token is put on, once more with   replay.go, inject.go
//	          a fresh one if the answer refuses the first      refusal.go
//	answer    what must not reach the caller is taken out      answer.go, conceal.go
//
// Who calls is decided by everything that a request presents: keys, tokens, a
// client certificate, a front proxy's header. All of it has to belong to the same
// caller, and a wrong one beside a right one is wrong. Only if nothing is presented,
// the connection's address and user are asked; exactly one caller has to fit. What
// a browser adds by itself is no sign that its user meant it, so such requests are
// held to the rules about other sites.
//
// What the config says is one value, settings.go, that a request goes by to its end:
// [Proxy.Prepare] makes another, which takes its place for those that come after.
//
// Whatever ends early becomes an answer in one place, failures.go. What has been
// answered is counted and noted in count.go.
//
// The package decides nothing about sign-ins: it asks [Tokens] for the token of
// an identity and says when an upstream has refused one. A token is only ever
// put on a request to the origin of a configured upstream, redirects are passed
// back and never followed, and nothing that a caller sends can add to, replace
// or remove the header that carries it: it is set after everything of the
// caller's that could has been removed.
//
// The path and the query reach the upstream byte for byte as they were sent,
// but for `token` parameters. That is why the raw request target is judged and
// forwarded, instead of a decoded form that would have to be encoded again.
package proxy
