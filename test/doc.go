// Package test holds the black-box tests: they build the program, run it before
// the simulated Okta and Portal of test/sandbox, and look at it from outside.
package test
