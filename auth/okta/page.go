package okta

import (
	"net/http"
	"net/url"
	"strings"

	"arcproxy/auth"
)

// what a page of Okta's is.
type what int

const (
	unknown        what = iota
	assertion           // the form that carries the assertion to the Portal
	redirection         // nothing but a script that goes elsewhere
	repost              // a form that Okta posts to itself
	stepUpPage          // a session lives, but the application wants a second factor
	signInPage          // nobody is signed in
	notAssigned         // the account may not use the application
	identityEngine      // whatever is needed, Identity Engine asks for it
)

// finding is what classify found, and what it is used with: the address of a
// redirection, the stateToken of a step-up or of Identity Engine, the fromUri of a sign-in page, the
// form of an assertion or a repost.
type finding struct {
	what   what
	text   string
	repost bool // a sign-in page's own word for how to go on to fromUri
	form   auth.Form
}

// classify says what a page is. It looks for the rarest first: sign-in pages are
// full of scripts in which anything may occur. The shapes are those that people
// have captured from real organizations; Okta documents none of them.
func classify(page *auth.Page) finding {
	if form, ok := page.FormWith("SAMLResponse"); ok && form.Action != nil && page.Status == http.StatusOK {
		return finding{what: assertion, form: auth.Form{Action: form.Action, Fields: samlOnly(form.Fields)}}
	}
	if page.Status >= http.StatusInternalServerError {
		return finding{}
	}
	scripts := page.Scripts()
	tokens := auth.ScriptStrings(scripts, "stateToken")
	for _, token := range tokens {
		switch {
		case strings.HasPrefix(token, "00"):
			return finding{what: stepUpPage, text: token}
		case strings.HasPrefix(token, "eyJ"), strings.HasPrefix(token, "02"):
			return finding{what: identityEngine, text: token}
		}
	}
	if refused(page) {
		return finding{what: notAssigned}
	}
	from := first(auth.ScriptStrings(scripts, "fromUri"))
	if from == "" {
		from = page.URL.Query().Get("fromURI")
	}
	_, form := page.FormWith("username", "password")
	if len(tokens) > 0 || from != "" || form {
		return finding{what: signInPage, text: from, repost: auth.ScriptTrue(scripts, "repost")}
	}
	for _, form := range page.Forms() {
		if form.ID == "appForm" && form.Method == http.MethodPost && auth.SameOrigin(form.Action, page.URL) {
			return finding{what: repost, form: form}
		}
	}
	if to, ok := auth.ScriptRedirect(scripts); ok {
		return finding{what: redirection, text: to}
	}
	return finding{}
}

// samlOnly returns the two fields of SAML's POST binding and nothing else that
// the form may hold. An empty RelayState stays.
func samlOnly(fields url.Values) url.Values {
	kept := url.Values{"SAMLResponse": {fields.Get("SAMLResponse")}}
	if _, ok := fields["RelayState"]; ok {
		kept.Set("RelayState", fields.Get("RelayState"))
	}
	return kept
}

// refused reports whether a page says that the account is not assigned to the
// application. Okta says it in words only.
func refused(page *auth.Page) bool {
	text := strings.ToLower(page.Title() + " " + page.Text())
	text = strings.NewReplacer("’", "'", "&#39;", "'").Replace(text)
	for _, words := range []string{
		"not assigned this app",
		"not assigned to this app",
		"not assigned to the client application",
		"is not assigned to",
		"app access denied",
	} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

func first(list []string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}
