package proxy

import (
	"fmt"
	"net/http"
	"net/url"

	"arcproxy/auth"
)

// send puts token on out and sends it. This is the only place that puts a token
// on a request, and it looks at where the request is going first.
func (x *exchange) send(out *http.Request, token auth.Secret) (*http.Response, error) {
	if !x.to.owns(out.URL) {
		return nil, fmt.Errorf("%s is not the origin of %s", out.URL.Host, x.to.name)
	}
	text := token.Reveal()
	x.hidden = newNeedles(text)
	if x.socket {
		// A StreamServer takes it from the URL, since a browser cannot add headers
		// to a handshake; and two tokens are refused, even if they are the same.
		delete(out.Header, "X-Esri-Authorization")
		out.URL.RawQuery = withToken(x.query, token)
	} else {
		out.Header["X-Esri-Authorization"] = []string{"Bearer " + text}
	}
	x.body.attach(out)
	if _, given := out.Header["Idempotency-Key"]; !given && x.reads() {
		// The transport may repeat it by itself on another connection, as it does a GET,
		// if this one turns out to be dead. Without a value it sends no such header.
		out.Header["Idempotency-Key"] = nil
	}
	return x.proxy.transport.RoundTrip(out)
}

func withToken(query string, token auth.Secret) string {
	added := "token=" + url.QueryEscape(token.Reveal())
	if query == "" {
		return added
	}
	return query + "&" + added
}
