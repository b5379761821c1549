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
	out.Header["X-Esri-Authorization"] = []string{"Bearer " + token.Reveal()}
	if x.socket {
		// A StreamServer takes it from the URL only, since a browser cannot add
		// headers to a handshake.
		out.URL.RawQuery = withToken(x.query, token)
	}
	x.body.attach(out)
	return x.proxy.transport.RoundTrip(out)
}

func withToken(query string, token auth.Secret) string {
	added := "token=" + url.QueryEscape(token.Reveal())
	if query == "" {
		return added
	}
	return query + "&" + added
}
