package issue

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	stateLife  = 10 * time.Minute
	maxPending = 1024 // sign-ins that have begun; a further one ends the oldest
	maxClient  = 256  // of a client_id, in bytes
	maxState   = 2048 // of a state, in bytes
)

// attempt is a sign-in that has begun with oauth2/authorize.
type attempt struct {
	client    string
	kind      string // response_type: code or token
	redirect  string
	to        *url.URL // redirect, parsed; nil: outOfBand
	state     string   // the application's
	life      time.Duration
	challenge challenge
	expires   time.Time
}

// pending is the sign-ins that have begun, by oauth_state.
type pending struct {
	mu   sync.Mutex // guards what follows
	list *lru.LRU[[sha256.Size]byte, attempt]
}

func newPending() *pending {
	list, _ := lru.NewLRU[[sha256.Size]byte, attempt](maxPending, nil) // fails for sizes below one only
	return &pending{list: list}
}

// begin returns the oauth_state of a sign-in.
func (p *pending) begin(a attempt) string {
	state := rand.Text()
	a.expires = time.Now().Add(stateLife).Round(0) // by the wall clock
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list.Add(sha256.Sum256([]byte(state)), a)
	return state
}

// take returns a sign-in by its oauth_state, once.
func (p *pending) take(state string) (attempt, bool) {
	hash := sha256.Sum256([]byte(state))
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.list.Peek(hash)
	p.list.Remove(hash)
	return a, ok && time.Now().Before(a.expires)
}

// challenge is what the one who redeems a code has to prove (RFC 7636). The zero
// value is none.
type challenge struct {
	method string // S256 or plain
	text   string
}

// newChallenge checks the parameters of an authorization request.
func newChallenge(method, text string) (challenge, bool) {
	if text == "" {
		return challenge{}, method == ""
	}
	if method == "" {
		method = "plain"
	}
	return challenge{method, text}, (method == "S256" || method == "plain") && len(text) >= 43 && len(text) <= 128
}

// met reports whether verifier proves it. A verifier where there was no challenge
// is a sign that somebody took the challenge out on the way.
func (c challenge) met(verifier string) bool {
	if c.text == "" {
		return verifier == ""
	}
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	if c.method == "S256" {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return subtle.ConstantTimeCompare([]byte(verifier), []byte(strings.TrimRight(c.text, "="))) == 1
}

// authorize shows the sign-in page (RFC 6749, section 4.1.1). What is wrong with
// the request is shown, too, and never taken to the redirect URI.
func (c *call) authorize() {
	if c.r.Method != http.MethodGet {
		c.w.Header().Set("Allow", http.MethodGet)
		c.wrong(http.StatusMethodNotAllowed, "Invalid request")
		return
	}
	a := attempt{
		client:   c.params["client_id"],
		kind:     c.params["response_type"],
		redirect: c.params["redirect_uri"],
		state:    c.params["state"],
	}
	var ok bool
	if a.client == "" || len(a.client) > maxClient {
		c.wrong(http.StatusBadRequest, "Invalid client_id")
		return
	}
	if a.to, ok = c.redirectable(a.redirect, c.r); !ok {
		c.wrong(http.StatusBadRequest, "Invalid redirect_uri")
		return
	}
	byDefault := c.longest
	if a.kind == "token" {
		byDefault = appLife
	}
	a.life, ok = c.lifetime(byDefault)
	switch {
	case a.kind != "code" && (a.kind != "token" || a.to == nil):
		c.wrong(http.StatusBadRequest, "Invalid response_type")
		return
	case !ok:
		c.wrong(http.StatusBadRequest, "Invalid expiration")
		return
	case len(a.state) > maxState:
		c.wrong(http.StatusBadRequest, "Invalid state")
		return
	}
	if a.challenge, ok = newChallenge(c.params["code_challenge_method"], c.params["code_challenge"]); !ok {
		c.wrong(http.StatusBadRequest, "Invalid code_challenge")
		return
	}
	c.signInPage(a, "")
}

// wrong shows what is wrong, in the words that clients look for.
func (c *call) wrong(status int, text string) {
	c.failed(status, text)
	c.page(status, notice{Title: "Sign In", Message: "Error: " + text})
}

// oAuthInfo is what programs look for in a sign-in page.
type oAuthInfo struct {
	State       string   `json:"oauth_state,omitempty"`
	Context     string   `json:"contextPath"`
	Messages    []string `json:"messages,omitempty"`
	MessageCode string   `json:"messageCode,omitempty"`
}

// signInPage shows the form for a sign-in, with what went wrong before.
func (c *call) signInPage(a attempt, message string) {
	info := oAuthInfo{State: c.store.pending.begin(a), Context: "/" + c.mount}
	if message != "" {
		info.Messages = []string{message}
		info.MessageCode = "OAUTH_0015" // by which the ArcGIS API for Python tells
	}
	n := notice{
		Title:   "Sign In",
		Message: message,
		Info:    info,
		Action:  "/" + c.mount + "/sharing/oauth2/signin",
		State:   info.State,
		Where:   "whoever has the code that is shown",
	}
	var targets []string
	if a.to != nil {
		n.Where = a.to.Host
		targets = append(targets, origin(a.to))
	}
	c.page(http.StatusOK, n, targets...)
}

// signin takes a caller's name and key and ends the sign-in.
func (c *call) signin() {
	if c.onlyPost() {
		return
	}
	// A form on another site could sign somebody in as somebody else.
	if err := http.NewCrossOriginProtection().Check(c.r); err != nil {
		c.wrong(http.StatusForbidden, "the sign-in was sent by another site")
		return
	}
	a, ok := c.store.pending.take(c.params["oauth_state"])
	if !ok {
		c.wrong(http.StatusBadRequest, "Invalid oauth_state: this sign-in has ended; begin again")
		return
	}
	name, key := c.params["username"], c.params["password"]
	caller := ""
	if ok = name != "" && key != ""; ok {
		caller, ok = c.callers.Verify(c.r.Context(), c.r, name, key)
	}
	if !ok {
		const message = "Invalid username or password."
		c.refused(message)
		c.failed(http.StatusBadRequest, message)
		c.signInPage(a, message)
		return
	}
	if a.kind == "token" {
		c.redirect(a.to, "", c.fragment(a, caller))
		return
	}
	text := c.issue(&record{kind: code, caller: caller, flow: &flow{
		client: a.client, redirect: a.redirect, challenge: a.challenge, life: a.life,
	}}, codeLife)
	to, query := a.to, url.Values{"code": {text}}
	if to == nil {
		to = c.base("/" + c.mount + "/sharing/rest/oauth2/approval")
	} else if a.state != "" {
		query.Set("state", a.state)
	}
	c.redirect(to, query.Encode(), "")
}

// fragment returns an access token, as the implicit grant hands it out (RFC 6749,
// section 4.2.2, with what Esri adds).
func (c *call) fragment(a attempt, caller string) string {
	values := url.Values{
		"access_token": {c.issue(&record{kind: access, caller: caller}, a.life)},
		"expires_in":   {strconv.FormatInt(seconds(a.life), 10)},
		"ssl":          {"true"},
		"persist":      {"false"},
	}
	if name := c.username(caller); name != "" {
		values.Set("username", name)
	}
	if a.state != "" {
		values.Set("state", a.state)
	}
	return values.Encode()
}

// redirect answers with a way to a URL that has been checked, with more query or a
// fragment, which is encoded.
func (c *call) redirect(to *url.URL, query, fragment string) {
	target := *to
	if query != "" && target.RawQuery != "" {
		query = target.RawQuery + "&" + query
	}
	if query != "" {
		target.RawQuery = query
	}
	location := target.String()
	if fragment != "" {
		location += "#" + fragment
	}
	h := c.headers()
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Location", location)
	c.came.Status = http.StatusFound
	c.w.WriteHeader(http.StatusFound)
}

// approval shows a code, for programs that nothing can be redirected to.
func (c *call) approval() {
	text := c.params["code"]
	rec := c.store.find(text, code)
	if c.r.Method != http.MethodGet || rec == nil || rec.flow.redirect != outOfBand {
		c.wrong(http.StatusBadRequest, "Invalid code")
		return
	}
	c.page(http.StatusOK, notice{
		Title:   "SUCCESS code=" + text,
		Message: "Copy this code to the program that asked you to sign in:",
		Info:    oAuthInfo{Context: "/" + c.mount},
		Shown:   text,
	})
}
