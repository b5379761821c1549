// Package okta simulates an Okta organization on the Classic engine, closely
// and with ill will: it refuses what the real one refuses, counts what it is
// asked to do, and varies what the real one varies (page shapes, the order of
// factors, quotes, escapes) by a seed that it logs.
//
// An [Org] is an http.Handler. It opens no sockets, starts no goroutines and
// takes the time from time.Now only, so it works inside a testing/synctest
// bubble. What it answers:
//
//	/.well-known/okta-organization         which engine the organization runs
//	/api/v1/authn and below                the Authentication API: a state machine of HAL documents
//	/api/v1/sessions/me                    the session behind the sid cookie
//	/login/sessionCookieRedirect           a one-time session token becomes a sid cookie
//	/app/NAME/ID/sso/saml                  an application: sign-in page, step-up page, or a signed SAML assertion
//	/login/step-up/redirect                back to the application after its own second factor
//	/sandbox/phone                         not Okta's: the simulated phone on which a person approves pushes
//
// Where a fact comes from is said beside it: [A] the Authentication API
// reference, [SC] the session-cookie guide, [RL] the rate-limit reference, [EC]
// the list of error codes (all of developer.okta.com), [W] the mock data of
// okta-signin-widget, [page] an archived sign-in page of a real organization.
// "Unproven" marks behaviour that none of them settles.
//
// The package shares no code with the client that is tested against it. Its
// honesty is checked by parts that this project did not write: the assertions
// are issued and verified by crewjam/saml, the codes by pquerna/otp, and Okta's
// own okta-auth-js signs in to it (test/clients/okta-auth-js).
package okta
