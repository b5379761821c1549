// Package auth signs one Okta account in to an ArcGIS Enterprise Portal
// without a browser, and defines the words the rest of the program uses for it:
// what an [Identity], a [Secret], a [Grant], a [Challenge] and an [Error] are.
//
// A sign-in is a walk between two systems, done by [Signer]:
//
//	Portal  oauth2/authorize → oauth2/saml/authorize      (auth/portal)
//	Okta    page → password → second factor → assertion   (auth/okta)
//	Portal  oauth2/saml/signin → code → oauth2/token      (auth/portal)
//
// or, where the Portal signs in by OpenID Connect, with a code of Okta's for the
// Portal's callback in the place of the assertion ([Handoff.CodeRequest]).
//
// The two halves live in their own packages and meet in the interfaces [Portal]
// and [IdentityProvider], which this package declares. All of their requests go
// through one [Browser] per identity, which keeps the cookies, bounds the walk,
// and refuses to talk to any origin but those that were configured. What a sign-in
// leaves for the next, cookies and the last TOTP time step, is kept over a restart
// by [Sessions].
package auth
