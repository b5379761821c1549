package portal

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"arcproxy/auth"
)

// oAuthInfo is what the Portal's sign-in page tells its script.
type oAuthInfo struct {
	State      string `json:"oauth_state"`
	Federation struct {
		AuthorizeURL string `json:"idpAuthorizeUrl"`
	} `json:"federationInfo"`
	Messages json.RawMessage `json:"messages"`

	others []string // see otherLogins
}

// UnmarshalJSON also finds the logins that have no name that is known.
func (i *oAuthInfo) UnmarshalJSON(text []byte) error {
	type plain oAuthInfo
	if err := json.Unmarshal(text, (*plain)(i)); err != nil {
		return err
	}
	i.others = otherLogins(text)
	return nil
}

// message returns what the page tells a person, "" if nothing. Messages are a
// list of strings; others are taken as text rather than refused.
func (i oAuthInfo) message() string {
	var list []string
	if json.Unmarshal(i.Messages, &list) == nil {
		return strings.Join(list, " ")
	}
	if text := string(i.Messages); text != "" && text != "null" && text != "{}" {
		return text
	}
	return ""
}

// told names an error that the Portal tells in words. otherwise is the kind of
// words we do not know.
func told(step, text string, otherwise auth.Kind) *auth.Error {
	lower := strings.ToLower(text)
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(lower, part) {
				return true
			}
		}
		return false
	}
	kind := otherwise
	switch {
	case has("client_id", "invalid_client", "unauthorized_client", "redirect_uri"):
		kind = auth.BadClient
		if step == stepCallback { // the Portal's own client, at Okta
			kind = auth.BadLogin
		}
	case has("permission to access this organization", "not a member", "not a registered", "not registered", "unregistered", "not been invited", "not authorized to join"):
		kind = auth.NotMember
	case has("terms and conditions"):
		kind = auth.ConsentNeeded
	}
	return &auth.Error{Kind: kind, Step: step, Seen: auth.Clean(text)}
}

// refusal names a page that is not what the step expects: an error in JSON, one
// in plain words ("Error: Invalid client_id"), or something unknown.
func refusal(step string, page *auth.Page, otherwise auth.Kind) *auth.Error {
	if failed := apiError(step, page, otherwise); failed != nil {
		return failed
	}
	if page.Status < 500 {
		if _, text, ok := strings.Cut(page.Text(), "Error:"); ok {
			return told(step, text, otherwise)
		}
		if page.Redirect == nil && page.Status >= http.StatusBadRequest {
			e := told(step, page.Text(), auth.UnexpectedPage)
			if e.Kind != auth.UnexpectedPage {
				return e
			}
		}
	}
	return page.Unexpected(step, "")
}

// errorName is the form of OAuth's error names.
var errorName = regexp.MustCompile(`^[a-z][a-z_]{1,39}$`)

// apiError reads the Sharing API's and OAuth's errors:
// {"error":{"code":400,"error":"invalid_request","message":…}}, and the flat
// {"error":"invalid_grant","error_description":…} of RFC 6749 §5.2.
func apiError(step string, page *auth.Page, otherwise auth.Kind) *auth.Error {
	var body struct {
		Error       json.RawMessage `json:"error"`
		Description string          `json:"error_description"`
	}
	if json.Unmarshal(page.Body, &body) != nil || len(body.Error) == 0 {
		return nil
	}
	var inner struct {
		Code        json.Number `json:"code"`
		Name        string      `json:"error"`
		Description string      `json:"error_description"`
		Message     string      `json:"message"`
	}
	if json.Unmarshal(body.Error, &inner) != nil {
		if json.Unmarshal(body.Error, &inner.Name) != nil {
			return nil
		}
		inner.Description = body.Description
	}
	text := inner.Message
	if text == "" {
		text = inner.Description
	}
	code := inner.Code.String()
	e := told(step, inner.Name+" "+text, otherwise)
	e.Code = code
	e.Seen = auth.Clean(text)
	if errorName.MatchString(inner.Name) {
		e.Seen = strings.TrimSpace(inner.Name + " " + e.Seen)
	}
	if len(code) > 3 {
		e.Code = ""
	}
	if e.Kind == otherwise && (page.Status >= 500 || strings.HasPrefix(code, "5")) {
		e.Kind = auth.Unreachable
	}
	return e
}
