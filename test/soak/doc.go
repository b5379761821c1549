// Package soak lets the part of the program that keeps tokens live for a month of
// simulated days before a simulated Okta and Portal (arcproxy/test/sandbox, in
// process, under testing/synctest), and counts what it does to them: requests that
// failed though they could have been served, sign-ins that nobody needed, pushes
// that nobody waited for.
package soak
