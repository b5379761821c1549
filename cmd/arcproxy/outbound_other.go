//go:build !windows && !darwin

package main

import (
	"net/http"
	"net/url"
)

// systemProxy returns what chooses the outbound proxy of a request: the
// environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), which is where these systems
// keep it. Loopback is never proxied.
func systemProxy() func(*http.Request) (*url.URL, error) { return http.ProxyFromEnvironment }
