package proxy

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// upstream is a configured Portal or server.
type upstream struct {
	mount  string // its first and only path segment
	scheme string
	host   string // with port, if the URL has one
	name   string // its URL, for messages
	url    *url.URL
}

// owns reports whether u is of this upstream's origin. A token goes nowhere else.
func (up *upstream) owns(u *url.URL) bool {
	return u.Scheme == up.scheme && u.Host == up.host
}

// newRoutes makes the table of mounts; its error joins every fault.
func newRoutes(upstreams []Upstream) (map[string]*upstream, error) {
	var faults []error
	routes := make(map[string]*upstream, len(upstreams))
	for _, given := range upstreams {
		up, err := newUpstream(given.URL)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if other := routes[up.mount]; other != nil {
			faults = append(faults, fmt.Errorf("upstreams %s and %s would both be mounted at /%s", other.name, up.name, up.mount))
			continue
		}
		routes[up.mount] = up
	}
	if len(upstreams) == 0 {
		faults = append(faults, errors.New("there is no upstream"))
	}
	return routes, errors.Join(faults...)
}

func newUpstream(u *url.URL) (*upstream, error) {
	if u == nil {
		return nil, errors.New("an upstream has no URL")
	}
	name := u.Redacted()
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("upstream %s: write a full http or https URL", name)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("upstream %s: the URL may not have a user, query or fragment", name)
	}
	mount := strings.Trim(u.EscapedPath(), "/")
	if mount == "" || strings.ContainsAny(mount, "/%;") || pathFault("/"+mount) != "" {
		return nil, fmt.Errorf("upstream %s: the path has to be one plain segment, such as /portal", name)
	}
	if strings.EqualFold(mount, ownMount) {
		return nil, fmt.Errorf("upstream %s: %w", name, errOwnMount)
	}
	return &upstream{mount: mount, scheme: u.Scheme, host: u.Host, name: u.Scheme + "://" + u.Host + "/" + mount, url: u}, nil
}
