package issue

import (
	"net/http"
	"net/url"
	"strings"
)

// Introduces reports whether a request with this path, as it was sent, asks where
// tokens are made. Clients ask it before they have one, so it needs no caller: a Portal
// and its servers tell everybody, too.
func (i *Issuer) Introduces(rawPath string) bool {
	mount, rest, _ := strings.Cut(strings.TrimPrefix(rawPath, "/"), "/")
	rest = strings.TrimSuffix(rest, "/")
	switch {
	case !i.mounts[mount]:
		return false
	case mount == i.portal():
		return strings.EqualFold(rest, "sharing/rest/info") || strings.EqualFold(rest, "sharing/info")
	}
	return strings.EqualFold(rest, "rest/info")
}

// Introduce answers a request that [Issuer.Introduces], in the shape of sharing/rest/info.
// There is nothing in it but what its sender has called already. Headers that are set
// stay.
func (i *Issuer) Introduce(w http.ResponseWriter, r *http.Request) {
	type auth struct {
		IsTokenBasedSecurity bool   `json:"isTokenBasedSecurity"`
		TokenServicesURL     string `json:"tokenServicesUrl"`
	}
	portal := (&url.URL{Scheme: i.public.Scheme, Host: i.public.Host, Path: "/" + i.portal()}).String()
	(&call{Issuer: i, w: w, r: r}).json(http.StatusOK, struct {
		OwningSystemURL string `json:"owningSystemUrl"`
		AuthInfo        auth   `json:"authInfo"`
	}{portal, auth{true, portal + "/sharing/rest/generateToken"}})
}

// portal is the mount of the Portal, the first of the upstreams.
func (i *Issuer) portal() string {
	if len(i.upstreams) == 0 {
		return ""
	}
	return strings.Trim(i.upstreams[0].EscapedPath(), "/")
}
