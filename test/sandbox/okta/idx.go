package okta

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"
	"time"
)

// ionJSON is what the Identity Engine answers with, and what introspect demands [J].
const ionJSON = "application/ion+json; okta-version=1.0.0"

// idxFlow is one sign-in by the Identity Engine: a stateToken on a page, and what
// has been proven since.
type idxFlow struct {
	token       string // on the page: introspect's alone
	base        string // what all its stateHandles begin with
	handle      string // the current stateHandle
	errand      errand
	interaction bool     // begun by interact: its token is an interaction handle, its end a code
	session     *session // that was live when it began: a step-up, or nothing to do

	account    *account // nil until someone has identified, and for an unknown user
	identifier string   // as it was typed
	password   bool     // proven
	second     bool     // proven
	remember   bool     // rememberMe or keepMeSignedIn
	probing    bool     // device-challenge-poll
	skipped    bool     // a password's warning, or an offer to enrol
	asked      bool     // whether to stay signed in

	current *authenticator // that is challenged, nil while one is chosen
	method  string         // "" while its method is chosen
	push    *push
	// challenge is what a WebAuthn key must sign, nil while none was made.
	challenge []byte
	failed    string // how the last push ended: REJECTED, TIMEOUT…
	enrol     string // the secret of an authenticator app that is being set up

	done    string    // the stateToken that the end leads on with, "" before
	expires time.Time // slides

	forms []*idxForm // of the last answer: what a request may suit
	shown time.Time  // when that was given
	state *idxField  // the stateHandle of all of them
	style idxStyle
}

// idxStyle is what varies by seed, but not within one sign-in.
type idxStyle struct {
	accepts   string // what forms accept
	current   string // where the document describes a password or e-mail that is challenged
	related   string // what options relate to [W]
	poll      string
	refresh   int  // ms between polls of a push; 4000 in the mock data [W], another one is unproven
	inline    bool // the password is asked for with the user name
	direct    bool // the first authenticator is challenged without a choice
	rotates   bool // the stateHandle changes with every answer, polls too
	nested    bool // messages about codes are on their fields
	magic     bool // a code by e-mail comes with a link
	resend    bool // a push is sent again by /challenge/resend
	unlisted  bool // authenticators with one method do not name it
	forwarded bool // the end goes through the application's address once more
}

// idxBegin makes a flow for an errand. s is the live session, nil if there is none.
func (o *Org) idxBegin(c *call, e errand, s *session) *idxFlow {
	for k, x := range o.flows {
		if c.now.After(x.expires) {
			delete(o.flows, k)
			o.idxEnd(x)
		}
	}
	for k, x := range o.redirects {
		if c.now.After(x.expires) {
			delete(o.redirects, k)
		}
	}
	o.counts.IDX.Flows++
	x := &idxFlow{errand: e, session: s, expires: c.now.Add(o.settings.StateTokenLife), style: o.idxStyle()}
	x.token, x.base = o.token("02.id.", 43), o.token("02.id.", 43)
	x.state = &idxField{name: "stateHandle", required: true, hidden: true, fixed: true}
	if o.rng.IntN(2) == 0 { // an encrypted token, as most pages have it [page]
		x.token = o.token("eyJ6aXAiOiJERUYiLCJhbGlhcyI6ImVuY3J5cHRpb25rZXkiLCJ2ZXIiOiIxIn0..", 16) + "." + o.token("", 300) + "." + o.token("", 22)
		o.secrets[x.token] = true
	}
	if s != nil {
		x.account, x.identifier, x.password = s.account, s.account.Login, true
	}
	x.probing = s == nil && o.settings.IDX.FastPass == FastPassProbed
	o.flows[x.token] = x
	o.rotate(x)
	return x
}

func (o *Org) idxStyle() idxStyle {
	coin := func() bool { return o.rng.IntN(2) == 0 }
	pick := func(a, b string) string {
		if coin() {
			return a
		}
		return b
	}
	set := o.settings.IDX
	s := idxStyle{
		accepts: pick("application/json; okta-version=1.0.0", ionJSON),
		current: pick("currentAuthenticator", "currentAuthenticatorEnrollment"),
		related: pick("authenticators", "authenticatorEnrollments"),
		poll:    pick("/idp/idx/challenge/poll", "/idp/idx/authenticators/poll"),
		inline:  coin(), direct: coin(), rotates: coin(), nested: coin(), resend: coin(), magic: coin(), unlisted: coin(), forwarded: coin(),
	}
	s.refresh = []int{4000, 4000, 2500, 7000}[o.rng.IntN(4)]
	if set.Poll != "" {
		s.poll = set.Poll
	}
	if set.Password != PasswordVaried {
		s.inline = set.Password == PasswordInIdentify
	}
	if set.Select != SelectVaried {
		s.direct = set.Select == SelectDirect
	}
	return s
}

// rotate gives a flow a new stateHandle; the old one is worth nothing from now on.
func (o *Org) rotate(x *idxFlow) {
	delete(o.flows, x.handle)
	x.handle = x.base + "~" + o.token("c.", 20)
	o.secrets[x.handle] = true
	o.flows[x.handle] = x
	x.state.value = x.handle
}

// withdraw takes a flow's push off the phone.
func (x *idxFlow) withdraw() {
	if x.push != nil {
		x.account.phone.drop(x.push)
		x.push = nil
	}
}

// idxEnd forgets a flow.
func (o *Org) idxEnd(x *idxFlow) {
	x.withdraw()
	delete(o.flows, x.token)
	delete(o.flows, x.handle)
	delete(o.idxUses, "state "+x.token)
}

// idxPaths are the addresses that forms post to. Whether one of them answers is a
// matter of what the last answer offered.
var idxPaths = []string{
	"identify", "challenge", "challenge/answer", "challenge/poll", "challenge/resend",
	"authenticators/poll", "authenticators/poll/cancel", "authenticators/okta-verify/launch",
	"cancel", "skip", "keep-me-signed-in", "credential/enroll", "consent", "enroll/update",
	"enroll", "unlock-account", "recover", "context",
}

// idxRead decodes the body of a request, which must be a JSON object of the
// version that is spoken here; strict demands ion+json, as of introspect. (To forms
// Okta's own SDK sends application/json [J].) A refusal comes back where it is none.
func (o *Org) idxRead(c *call, strict bool) (hal, *answer) {
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	typed := err == nil && (kind == "application/ion+json" || kind == "application/json" && !strict)
	if v, ok := params["okta-version"]; !typed || ok && v != "1.0.0" || !ok && strict {
		a := o.idxRefuse(http.StatusUnsupportedMediaType, idxMessage{key: "errors.E0000021", text: summaries["E0000021"]})
		return nil, &a
	}
	if !accepted(c.r.Header.Get("Accept"), strict) {
		a := o.idxRefuse(http.StatusNotAcceptable, idxMessage{key: "errors.E0000021", text: summaries["E0000021"]})
		return nil, &a
	}
	var in hal
	if err := json.Unmarshal(c.body, &in); err != nil || in == nil {
		a := o.idxRefuse(http.StatusBadRequest, idxMessage{key: "errors.E0000003", text: summaries["E0000003"]})
		return nil, &a
	}
	return in, nil
}

// accepted reports whether an Accept header names an answer of version 1.0.0.
// Okta's SDK sends what a form accepts, or else ion+json [J].
func accepted(header string, strict bool) bool {
	for _, part := range strings.Split(header, ",") {
		kind, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		v, ok := params["okta-version"]
		switch {
		case kind == "application/ion+json" && (v == "1.0.0" || !ok && !strict):
			return true
		case kind == "application/json" && v == "1.0.0" && !strict:
			return true
		}
	}
	return false
}

// idxRefuse is a refusal that belongs to no flow, so it offers nothing [W].
func (o *Org) idxRefuse(status int, m idxMessage) answer {
	o.counts.IDX.Refused++
	return ion(status, hal{"version": "1.0.0", "messages": messageList([]idxMessage{m})})
}

// idxExpired is the answer to a token or handle that is unknown, old or not unescaped.
func (o *Org) idxExpired() answer {
	return o.idxRefuse(http.StatusUnauthorized, idxMessage{key: "idx.session.expired", text: "You have been logged out due to inactivity. Refresh or return to the sign in screen."})
}

// ion makes an answer of the Identity Engine.
func ion(status int, doc hal) answer {
	a := reply(status, doc)
	a.header.Set("Content-Type", ionJSON)
	return a
}

// idxIntrospect shows a flow, by the page's stateToken or by its stateHandle.
func (o *Org) idxIntrospect(c *call) answer {
	o.counts.IDX.Introspects++
	in, bad := o.idxRead(c, true)
	if bad != nil {
		return *bad
	}
	token, interaction := text(in, "stateToken"), text(in, "interactionHandle")
	if len(in) != 1 || token+interaction == "" {
		return o.idxRefuse(http.StatusBadRequest, idxMessage{key: "errors.E0000020", text: "Bad request."})
	}
	x, bad := o.idxFind(c, token+interaction, "")
	if bad != nil {
		return *bad
	}
	if begun := x.interaction && token+interaction == x.token; begun != (interaction != "") {
		return o.idxExpired() // the one is not the other
	}
	return o.idxSame(c, x)
}

// idxFind returns the live flow of a token or handle, lets its expiry slide, and
// counts the request against the limits; who is the user that it names, if it does.
func (o *Org) idxFind(c *call, token, who string) (*idxFlow, *answer) {
	x := o.flows[token]
	if x != nil && c.now.After(x.expires) {
		o.idxEnd(x)
		x = nil
	}
	if x == nil {
		a := o.idxExpired()
		return nil, &a
	}
	if a := o.idxLimit(c, x, who); a != nil {
		return nil, a
	}
	if x.session != nil && o.session(c) != x.session { // the session has ended, or is another browser's
		a := o.idxExpired()
		return nil, &a
	}
	x.expires = c.now.Add(o.settings.StateTokenLife)
	return x, nil
}

// idxPost answers everything that a form posts to: the request must bear the
// current stateHandle and suit a form of the last answer.
func (o *Org) idxPost(c *call) answer {
	path := c.r.URL.Path
	o.idxCount(path)
	in, bad := o.idxRead(c, false)
	if bad != nil {
		return *bad
	}
	handle, _ := in["stateHandle"].(string)
	x, bad := o.idxFind(c, handle, text(in, "identifier"))
	if bad != nil {
		return *bad
	}
	if handle != x.handle { // the page's token is no handle
		return o.idxExpired()
	}
	var why *misfit
	for _, f := range x.forms {
		if f.path != path {
			continue
		}
		bad := suits(f.fields, in)
		if bad == nil {
			return f.run(c, in)
		}
		if why == nil || why.field == nil {
			why = bad
		}
	}
	o.counts.IDX.Refused++
	if why == nil {
		why = &misfit{what: "no form was offered"}
	}
	o.log.Debug("simulated Okta refused a form", "path", path, "why", why.what)
	if why.field != nil {
		return o.idxAgain(c, x, http.StatusBadRequest, why.field, idxMessage{key: "model.validation.field.blank", text: "This field cannot be left blank"})
	}
	// That a request that suits no form is E0000020 is unproven; a 400 it is.
	doc := x.head()
	doc["messages"] = messageList([]idxMessage{{key: "E0000020", text: "Bad request."}})
	return ion(http.StatusBadRequest, doc)
}

// idxCount counts a request by its kind.
func (o *Org) idxCount(path string) {
	n := &o.counts.IDX
	switch strings.TrimPrefix(path, "/idp/idx/") {
	case "identify":
		n.Identifies++
	case "challenge":
		n.Challenges++
	case "challenge/answer":
		n.Answers++
	case "challenge/poll", "authenticators/poll":
		n.Polls++
	}
}

// head is what every document of a flow has.
func (x *idxFlow) head() hal {
	return hal{
		"version": "1.0.0", "stateHandle": x.handle, "intent": "LOGIN",
		"expiresAt": x.expires.UTC().Format(stamp),
	}
}
