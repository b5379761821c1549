package auth

import (
	"net/url"
	"strings"
)

// CodeRequest is what an OpenID Connect authorization request (Core 1.0 §3.1.2.1)
// says about its answer: where it goes, and what it brings back with the code.
type CodeRequest struct {
	Callback *url.URL // redirect_uri
	State    string
}

// CodeRequest reads h as an authorization request for a code that comes back by
// way of the browser. False means that it is something else, as SAML's is.
func (h Handoff) CodeRequest() (CodeRequest, bool) {
	if h.URL == nil || h.Form != nil {
		return CodeRequest{}, false
	}
	q := h.URL.Query()
	callback, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || Origin(callback) == "" || callback.User != nil || q.Get("client_id") == "" || q.Get("response_type") != "code" {
		return CodeRequest{}, false
	}
	switch q.Get("response_mode") {
	case "", "query", "form_post":
		return CodeRequest{Callback: callback, State: q.Get("state")}, true
	}
	return CodeRequest{}, false // in a fragment, which only a script of the callback's reads
}

// Answers reports whether u is the request's callback with the answer to this very
// request, be it a code or an error. The address is compared as OAuth does (RFC
// 6749 §3.1.2.2, exactly), but for the parameters that the answer adds.
func (r CodeRequest) Answers(u *url.URL) bool {
	return r.Calls(u) && r.Carries(u.Query())
}

// Calls reports whether u is the request's callback, whatever it carries.
func (r CodeRequest) Calls(u *url.URL) bool {
	if !SameOrigin(r.Callback, u) || u.User != nil || u.EscapedPath() != r.Callback.EscapedPath() {
		return false
	}
	return r.Callback.RawQuery == "" || u.RawQuery == r.Callback.RawQuery || strings.HasPrefix(u.RawQuery, r.Callback.RawQuery+"&")
}

// Carries reports whether the parameters are those of an answer to this request.
func (r CodeRequest) Carries(q url.Values) bool {
	return q.Get("state") == r.State && (q.Get("code") != "") != (q.Get("error") != "")
}
