//go:build windows || darwin

package main

import (
	"net/http"
	"net/url"

	"github.com/mattn/go-ieproxy"
)

// systemProxy returns what chooses the outbound proxy of a request: the
// environment (HTTPS_PROXY, NO_PROXY) where it names one, else the system's own
// settings, automatic configuration scripts included. A script is shown the
// origin alone: paths and queries are nobody's business.
func systemProxy() func(*http.Request) (*url.URL, error) {
	choose := ieproxy.GetProxyFunc()
	return func(r *http.Request) (*url.URL, error) {
		return choose(&http.Request{URL: &url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host, Path: "/"}})
	}
}
