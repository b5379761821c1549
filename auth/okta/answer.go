package okta

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"arcproxy/auth"
)

// body is what is posted to the Authentication API.
type body struct {
	Username   string `json:"username,omitempty"`
	Password   string `json:"password,omitempty"`
	StateToken string `json:"stateToken,omitempty"`
	PassCode   string `json:"passCode,omitempty"`
	Answer     string `json:"answer,omitempty"`
	signature
	Options *options `json:"options,omitempty"`
}

type options struct {
	WarnBeforePasswordExpired bool `json:"warnBeforePasswordExpired"`
	MultiOptionalFactorEnroll bool `json:"multiOptionalFactorEnroll"`
}

// answer is a transaction's state, or an error (Okta, "Authentication API").
type answer struct {
	Status       string    `json:"status"`
	StateToken   string    `json:"stateToken"`
	SessionToken string    `json:"sessionToken"`
	ExpiresAt    timestamp `json:"expiresAt"`
	FactorResult string    `json:"factorResult"`
	Links        links     `json:"_links"`
	Embedded     struct {
		Factors factors `json:"factors"`
		Factor  factors `json:"factor"` // the challenged one; in one example of the documentation, the list
		Policy  struct {
			AllowRememberDevice bool `json:"allowRememberDevice"`
		} `json:"policy"`
	} `json:"_embedded"`

	Code    string `json:"errorCode"`
	Summary string `json:"errorSummary"`

	clock time.Duration // how far Okta's clock is ahead of ours, by the Date header
}

// factor is a second factor of the account.
type factor struct {
	ID       string `json:"id"`
	Type     string `json:"factorType"`
	Provider string `json:"provider"`
	Profile  struct {
		Name         string `json:"name"`
		PhoneNumber  string `json:"phoneNumber"` // masked
		Email        string `json:"email"`       // so too
		QuestionText string `json:"questionText"`
		CredentialID string `json:"credentialId"` // of webauthn
	} `json:"profile"`
	Links    links `json:"_links"`
	Embedded struct {
		Challenge struct {
			CorrectAnswer    number `json:"correctAnswer"`
			Challenge        string `json:"challenge"` // of webauthn
			UserVerification string `json:"userVerification"`
		} `json:"challenge"`
		Verification struct { // of Duo
			Host      string `json:"host"`
			Signature string `json:"signature"`
			Links     links  `json:"_links"`
		} `json:"verification"`
	} `json:"_embedded"`
}

// link is a HAL link.
type link struct {
	Name string `json:"name"`
	Href string `json:"href"`
}

// links are HAL links by relation. A relation with several is represented by its
// first. What is not a link is left out; decoding never fails.
type links map[string]link

// UnmarshalJSON never fails.
func (l *links) UnmarshalJSON(text []byte) error {
	var raw map[string]json.RawMessage
	if json.Unmarshal(text, &raw) != nil {
		return nil
	}
	*l = make(links, len(raw))
	for relation, value := range raw {
		var one link
		var many []link
		if json.Unmarshal(value, &one) == nil && one.Href != "" {
			(*l)[relation] = one
		} else if json.Unmarshal(value, &many) == nil && len(many) > 0 && many[0].Href != "" {
			(*l)[relation] = many[0]
		}
	}
	return nil
}

// factors is a list of factors, or one factor on its own.
type factors []factor

// UnmarshalJSON never fails: what is no factor is left out.
func (f *factors) UnmarshalJSON(text []byte) error {
	var raw []json.RawMessage
	if json.Unmarshal(text, &raw) != nil {
		raw = []json.RawMessage{text}
	}
	for _, value := range raw {
		var one factor
		if json.Unmarshal(value, &one) == nil && one.Type != "" {
			*f = append(*f, one)
		}
	}
	return nil
}

// number is a number challenge's answer, "" where there is none. 0 is one.
type number string

// shownNumber is one as it is told.
var shownNumber = regexp.MustCompile(`^\d{1,4}$`)

var numberForm = regexp.MustCompile(`^"?(\d{1,4})"?$`)

// UnmarshalJSON never fails.
func (n *number) UnmarshalJSON(text []byte) error {
	if found := numberForm.FindSubmatch(text); found != nil {
		*n = number(found[1])
	}
	return nil
}

// timestamp is Okta's time, zero where it cannot be read.
type timestamp struct{ time.Time }

// UnmarshalJSON never fails.
func (t *timestamp) UnmarshalJSON(text []byte) error {
	t.Time, _ = time.Parse(time.RFC3339Nano, string(bytes.Trim(text, `"`)))
	return nil
}

// parseAnswer decodes the JSON of an answer. It reports false for anything that
// is neither a state nor an error.
func parseAnswer(text []byte) (*answer, bool) {
	var a answer
	if json.Unmarshal(text, &a) != nil || a.Status == "" && a.Code == "" {
		return nil, false
	}
	if len(a.Embedded.Factors) == 0 {
		a.Embedded.Factors = a.Embedded.Factor
	}
	return &a, true
}

// call posts in to a link of the API and returns the state that answers it. An
// error of the API is named. u is pinned to the organization.
func (w *walk) call(ctx context.Context, step string, u *url.URL, in body) (*answer, error) {
	if !auth.SameOrigin(u, w.client.url) {
		return nil, auth.Foreign(step, u)
	}
	page, err := w.browser.Do(ctx, auth.Request{Step: step, URL: u, JSON: in})
	if err != nil {
		return nil, err
	}
	if page.Redirect != nil {
		return nil, page.Unexpected(step, "a redirect from the Authentication API")
	}
	a, ok := parseAnswer(page.Body)
	if !ok {
		return nil, page.Unexpected(step, "no answer of the Authentication API")
	}
	if a.Code != "" || page.Status >= http.StatusBadRequest {
		return nil, refusal(step, page, a)
	}
	a.clock, _ = page.ClockOffset()
	if a.StateToken == "" && w.state != nil && a.Status != statusSuccess {
		a.StateToken = w.state.StateToken
	}
	w.state = a
	return a, nil
}

// follow posts in to one of the state's links.
func (w *walk) follow(ctx context.Context, step string, l link, in body) (*answer, error) {
	u, err := auth.Resolve(step, w.client.url, l.Href)
	if err != nil {
		return nil, err
	}
	return w.call(ctx, step, u, in)
}
