// Package okta simulates an Okta organization, on the Classic engine or on the
// Identity Engine (Settings.Pipeline), closely and with ill will: it refuses what
// the real one refuses, counts what it is asked to do, and varies what the real one
// varies (page shapes, the order of factors, quotes, escapes, the places and names
// in the Identity Engine's documents) by a seed that it logs.
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
//	/oauth2/v1/…, /oauth2/default/v1/…     OpenID Connect: authorize, token, keys, discovery, and interact, for Okta's SDK
//	/login/step-up/redirect                back to the application after its own second factor
//	/idp/idx/…                             the Identity Engine: documents whose forms say what comes next (idx*.go)
//	/login/token/redirect                  where a finished sign-in by the Identity Engine leads
//	/sandbox/widget/…                      not Okta's: the published Sign-In Widget, where Config.Assets has it
//	/sandbox/phone                         not Okta's: the simulated phone on which a person approves pushes
//	/sandbox/inbox, /sandbox/token         nor these: the codes that were sent, and those that devices show
//
// [Org.Duo] is another host's handler: Duo's, whose frame a second factor may lead to.
//
// Where a fact comes from is said beside it: [A] the Authentication API
// reference, [SC] the session-cookie guide, [RL] the rate-limit reference, [EC]
// the list of error codes, [OA] the OpenID Connect reference, [UA] and [US] the
// guides to what changes from Classic to the Identity Engine (all of
// developer.okta.com), [W] the mock data of okta-signin-widget, [J] okta-auth-js,
// [field] a report of someone who captured it, [page] an archived sign-in page of
// a real organization.
//
// "Unproven" marks behaviour that none of them settles. Of the Identity Engine
// these are: which requests change the stateHandle (all that lead on do, polls and
// refusals by seed), the statuses of refusals but for those that the names of the
// mock data give (401 for codes and an expired session, 403, 404, 429), and what a
// request that suits no form is told.
//
// The package shares no code with the client that is tested against it. Its
// honesty is checked by parts that this project did not write: the assertions
// are issued and verified by crewjam/saml, the codes by pquerna/otp, and Okta's
// own okta-auth-js and Sign-In Widget sign in to it by both engines
// (test/clients/okta-auth-js, test/clients/okta-signin-widget).
package okta
