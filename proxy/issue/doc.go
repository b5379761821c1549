// Package issue hands out tokens of the proxy's own, at the addresses where
// ArcGIS clients look for them.
//
// A client that was told a user name and a password does not send them with every
// request: it trades them for a token at the Portal and sends that. The proxy
// cannot let it have the Portal's token, and the Portal would refuse the proxy's
// credentials. So [Issuer] stands in front of forwarding and answers those
// requests itself, as a Portal and its servers would:
//
//	…/generateToken, /tokens/             user name and password, or a token for
//	                                      a token                    generate.go
//	…/oauth2/token, exchangeToken,        OAuth without a page           oauth.go
//	  revokeToken, platformSelf
//	…/oauth2/authorize, signin, approval  OAuth with a page          authorize.go
//	…/oauth2/signout, /rest/logout, …     the end of such a token      signout.go
//
// Who has no token yet asks sharing/rest/info for these addresses, and is answered by
// [Issuer.Introduce]; for callers that is the Portal's to say.
//
// The user name is a caller's name and the password is that caller's key. An Okta
// password is nobody's key: it is refused like any other wrong word, goes nowhere
// and is written nowhere. That is why [Issuer.Handles] claims every spelling of
// these paths, and the neighbouring ones that take passwords, hand out tokens or
// send requests on, even where the answer is only that there is nothing here: a
// request that slipped through with the proxy's token on it could come back with a
// real one. All of them are in table.go.
//
// # Tokens
//
// A token is 160 random bits behind a prefix that says what it is:
//
//	arcproxy_a_…  an access token, sent with requests
//	arcproxy_r_…  a refresh token, good for access tokens
//	arcproxy_c_…  an authorization code, good once for the two above
//
// The prefix lets a scanner find one that has leaked, and lets the proxy tell a
// token from a caller key without looking. [Store] knows tokens by their SHA-256
// only. With an [Archive], those that it has stored are good after a restart, unless
// they were revoked or used up, or their caller is no longer known by what it was.
//
// A token stands for a caller and for nothing else; what that caller may do is
// decided anew with each request. It can be bound, as ArcGIS binds its own, to a
// Referer or an address, which is checked with each request. The Referer is no
// protection from anybody who writes their own headers; it keeps a token that was
// copied from one web page from working in another.
//
// A token that was derived from another ends no later than that one, and with it
// if it is revoked: see [Store.Revoke].
package issue
