package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// A page of another origin may use the proxy if its origin is configured. What a
// browser wants to hear for that (the Fetch standard, "CORS protocol") is said
// here and never by an upstream: the Portal has no answer to a preflight, and
// would allow origins that are its business and not this proxy's.

// origins are those that may, as browsers write them.
type origins map[string]bool

// newOrigins checks the configured origins; its error joins every fault.
func newOrigins(configured []string) (origins, error) {
	var faults []error
	o := origins{}
	for _, text := range configured {
		origin, ok := parseOrigin(text)
		if !ok {
			faults = append(faults, fmt.Errorf("web origin %q: write a scheme and a host, as https://maps.example.com", text))
			continue
		}
		o[origin] = true
	}
	return o, errors.Join(faults...)
}

// CheckOrigin returns what is wrong with one of [Config.Origins], nil if nothing is.
func CheckOrigin(origin string) error {
	_, err := newOrigins([]string{origin})
	return err
}

// parseOrigin returns an origin as browsers write it (RFC 6454, section 6.2):
// in small letters, without a default port.
func parseOrigin(text string) (string, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		strings.ContainsAny(u.Host, "*\"<> ") || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", false
	}
	host := strings.ToLower(u.Host)
	if port := u.Port(); port == "" || u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return u.Scheme + "://" + host, true
}

// of returns the one origin that r comes from if it is configured, else "".
func (o origins) of(r *http.Request) string {
	if len(o) == 0 {
		return ""
	}
	switch values := r.Header["Origin"]; len(values) {
	case 1:
		if o[values[0]] {
			return values[0]
		}
	case 0:
		// Images and scripts are asked for without Origin. No page can make a
		// browser send another's Referer.
		if r.Method != http.MethodGet && r.Method != http.MethodHead || len(r.Header["Referer"]) != 1 {
			return ""
		}
		u, err := url.Parse(r.Header["Referer"][0])
		if err == nil && u.Host != "" {
			if origin, ok := parseOrigin(u.Scheme + "://" + u.Host); ok && o[origin] {
				return origin
			}
		}
	}
	return ""
}

// permit lets a page of a configured origin read the answer with these headers.
// That origin is named, never "*", because credentials are allowed with it.
func (o origins) permit(h http.Header, r *http.Request) {
	if len(o) == 0 {
		return
	}
	h["Vary"] = append(h["Vary"], "Origin")
	if origin := o.of(r); origin != "" && len(r.Header["Origin"]) == 1 {
		h["Access-Control-Allow-Origin"] = []string{origin}
		h["Access-Control-Allow-Credentials"] = []string{"true"}
		h["Access-Control-Expose-Headers"] = []string{"Content-Disposition, Content-Range, ETag, Retry-After"}
	}
}

// preflight adds what a browser asks about a request that it holds back.
func (o origins) preflight(h http.Header, r *http.Request) {
	o.permit(h, r)
	if h["Access-Control-Allow-Origin"] == nil || first(r.Header, "Access-Control-Request-Method") == "" {
		return
	}
	h["Vary"] = []string{"Origin, Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network"}
	h["Access-Control-Allow-Methods"] = []string{allowed}
	h["Access-Control-Max-Age"] = []string{"600"}
	var names []string
	for _, value := range r.Header["Access-Control-Request-Headers"] {
		for name := range strings.SplitSeq(value, ",") {
			if name = strings.TrimSpace(name); httpguts.ValidHeaderFieldName(name) && len(names) < 64 {
				names = append(names, name)
			}
		}
	}
	if names != nil {
		h["Access-Control-Allow-Headers"] = []string{strings.Join(names, ", ")}
	}
	if first(r.Header, "Access-Control-Request-Private-Network") == "true" {
		h["Access-Control-Allow-Private-Network"] = []string{"true"}
	}
}

// isCORS reports whether an answer's header, given by its canonical name, is
// part of the protocol.
func isCORS(name string) bool {
	return len(name) > len("Access-Control-") && name[0] == 'A' && name[:len("Access-Control-")] == "Access-Control-"
}
