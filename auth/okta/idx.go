package okta

import (
	"context"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"arcproxy/auth"
)

// ionType is what Identity Engine speaks.
const ionType = "application/ion+json; okta-version=1.0.0"

// flow is one sign-in by Identity Engine: the token of a page, and what became of it.
type flow struct {
	walk       *walk
	token      string          // the page's stateToken: shows the flow, as often as need be
	doc        *idxDoc         // as it was last seen
	identified bool            // the user name was sent
	passed     map[string]int  // how often what is no proof was passed, by the document's forms
	challenged map[string]bool // authenticators that were chosen, by each form that does
	proving    string          // the authenticator that is answered
	proven     map[string]bool // those that were accepted
	refused    *auth.Error     // what became of the last code; nil: it was not refused
	sent       string          // the authenticator by which a person was reached, "" if none
	until      time.Time       // when what was sent runs out
	requests   []time.Time     // the last few, of this flow
}

// identityEngine goes through the forms that lead on from a page's stateToken, and
// returns the page that the last one leads to.
func (w *walk) identityEngine(ctx context.Context, stateToken string) (*auth.Page, error) {
	if w.flows++; w.flows > maxFlows {
		return nil, &auth.Error{Kind: auth.UnexpectedPage, Step: stepEngine, Seen: "Okta asks for one sign-in after another"}
	}
	if w.signedIn {
		w.say("Okta asks for more for the Portal")
	}
	w.begin()
	f := &flow{walk: w, token: stateToken, passed: map[string]int{}, challenged: map[string]bool{}, proven: map[string]bool{}}
	w.flow = f
	err := f.introspect(ctx, stepEngine)
	for range maxStates {
		if err != nil {
			return nil, err
		}
		if to := f.doc.end(); to != "" {
			return f.land(ctx, to)
		}
		if err = f.pace(ctx); err == nil {
			err = f.step(ctx)
		}
	}
	if err == nil {
		err = &auth.Error{Kind: auth.UnexpectedPage, Step: stepEngine, Seen: "steps without end"}
	}
	return nil, err
}

// Okta takes 10 requests of one sign-in in 5 seconds ("Rate limits" in its developer
// documentation). A walk of many steps stays below that, rather than ends by it.
const (
	paceRequests = 9
	paceTime     = 5 * time.Second
)

// pace waits until one more request is welcome: before a step, since a code ages.
func (f *flow) pace(ctx context.Context) error {
	if n := len(f.requests); n >= paceRequests {
		f.requests = f.requests[n-paceRequests:]
		return auth.Pause(ctx, stepEngine, time.Until(f.requests[0].Add(paceTime)))
	}
	return nil
}

// end is where a finished sign-in goes on, "" for one that is not finished.
func (d *idxDoc) end() string {
	if d.success == "" {
		if f := d.form("success-redirect"); f != nil {
			return f.href
		}
	}
	return d.success
}

// land goes on to where a finished sign-in leads, by the address that was given,
// as it was given: one that is made up from the stateHandle is refused.
func (f *flow) land(ctx context.Context, address string) (*auth.Page, error) {
	w := f.walk
	w.flow, w.signedIn = nil, true
	to, err := auth.Resolve(stepSession, w.client.url, address)
	if err != nil {
		return nil, err
	}
	return w.get(ctx, stepSession, to)
}

// step carries out the one of the document's forms that leads on. Proofs come
// first, then what can be passed by; anything else is the end.
func (f *flow) step(ctx context.Context) error {
	d := f.doc
	switch intent := strings.ToUpper(text(d.tree, "intent")); {
	case strings.Contains(intent, "RECOVERY"):
		return &auth.Error{Kind: auth.PasswordReset, Step: stepEngine, Code: "CREDENTIAL_RECOVERY", Seen: "Okta is resetting a password"}
	case strings.Contains(intent, "UNLOCK"):
		return &auth.Error{Kind: auth.AccountLocked, Step: stepEngine, Code: "UNLOCK_ACCOUNT", Seen: "Okta is unlocking the account"}
	}
	if choices := f.choices(); len(choices) > 0 && !d.blocked() {
		return f.prove(ctx, choices)
	}
	if form := d.form("identify", "select-identify"); form != nil && !f.identified {
		return f.identify(ctx, form)
	}
	if form := d.form("skip", "device-assurance-grace-period"); form != nil {
		return f.pass(ctx, stepSkip, form, nil)
	}
	if form := d.form("keep-me-signed-in"); form != nil {
		return f.pass(ctx, stepSkip, form, map[string]any{"keepMeSignedIn": true})
	}
	// What waits for Okta Verify or a passkey on this machine waits for nothing.
	if form := d.form("cancel-transaction"); form != nil {
		return f.pass(ctx, stepFactor, form, nil)
	}
	if d.polling != nil && d.form("challenge-poll", "device-challenge-poll") != nil {
		return f.pass(ctx, stepFactor, d.polling, nil)
	}
	if f.identified && d.form("identify") != nil {
		err := &auth.Error{Kind: auth.UnexpectedPage, Step: stepIdentify, Seen: "Okta asks again who signs in"}
		if f.walk.passwordShown {
			return unanswered(err)
		}
		return err
	}
	return d.stop(stepEngine)
}

// blocked reports whether something stands before any proof, though a document may
// offer authenticators beside it: a new password, something to be set up.
func (d *idxDoc) blocked() bool {
	return slices.ContainsFunc(d.forms, func(f *idxForm) bool {
		switch f.name {
		case "enroll-webauthn-residentkey", "enroll-authenticator-promotion": // offers
			return false
		case "reset-authenticator":
			return true
		}
		return strings.HasPrefix(f.name, "reenroll-") || strings.HasPrefix(f.name, "enroll-")
	})
}

// maxPasses is how often one thing is gone past: a look for Okta Verify may come
// before the user name and after it.
const maxPasses = 2

// here is what the forms of the document make it.
func (f *flow) here() string {
	var names []string
	for _, form := range f.doc.forms {
		names = append(names, form.name)
	}
	return strings.Join(names, " ")
}

// pass goes past something that is not a proof.
func (f *flow) pass(ctx context.Context, step string, form *idxForm, values map[string]any) error {
	here := f.here()
	if f.passed[here]++; f.passed[here] > maxPasses {
		return f.doc.stop(step)
	}
	for _, m := range f.doc.messages {
		if m.key == "idx.password.expiring.message" {
			f.walk.say("Okta warns that the password will expire soon")
		}
	}
	return f.post(ctx, step, form, values)
}

// identify says who signs in, with the password if the form has a field for it.
// rememberMe is what makes a session outlast a browser there, and the device be
// remembered where the policy goes by it.
func (f *flow) identify(ctx context.Context, form *idxForm) error {
	switch asks := form.field("identifier") != nil; {
	case !asks && form.name == "select-identify": // the way to the form that does
		return f.pass(ctx, stepIdentify, form, nil)
	case !asks:
		return &auth.Error{Kind: auth.UnexpectedPage, Step: stepIdentify, Seen: "a form that does not ask for the user name"}
	}
	f.identified = true
	values := map[string]any{"identifier": f.walk.account.Username(), "rememberMe": true}
	if form.field("credentials", "passcode") == nil || form.name != "identify" {
		if err := f.walk.willSend(); err != nil { // where no password is asked for, this may send a push
			return err
		}
		return f.post(ctx, stepIdentify, form, values)
	}
	return f.sendPassword(ctx, form, values)
}

// askedAgain is for a password that Okta asks for once more without a word about the
// first: if nothing shows that it was accepted, it may have counted as an attempt.
func (f *flow) askedAgain() error {
	return unanswered(&auth.Error{Kind: auth.UnexpectedPage, Step: stepPassword, Seen: "Okta asks for the password again"})
}

// sendPassword posts a form with the password in it, the one time it is done.
func (f *flow) sendPassword(ctx context.Context, form *idxForm, values map[string]any) error {
	w := f.walk
	if w.passwordShown {
		return f.askedAgain()
	}
	if err := form.sendable(stepPassword, f.doc.stateHandle, values, "passcode"); err != nil {
		return err
	}
	if err := w.willSend(); err != nil {
		return err
	}
	password, err := w.account.Password(ctx)
	if err != nil {
		return err
	}
	w.passwordSent, w.passwordShown = true, true
	w.say("sending the password to Okta")
	values["credentials"] = map[string]any{"passcode": password.Reveal()}
	if err := f.post(ctx, stepPassword, form, values); err != nil {
		return unanswered(err)
	}
	w.say("password accepted")
	return nil
}

// sendable reports why a form could not be posted with a secret in the fields of
// those names of its credentials: before the secret is fetched, or a code is used up.
func (f *idxForm) sendable(step, stateHandle string, values map[string]any, names ...string) error {
	if err := f.posted(step); err != nil {
		return err
	}
	given := map[string]any{}
	for _, name := range names {
		given[name] = "x"
	}
	trial := maps.Clone(values)
	if trial == nil {
		trial = map[string]any{}
	}
	trial["credentials"] = given
	body, missing := f.fill(stateHandle, trial)
	credentials, _ := body["credentials"].(map[string]any)
	for _, name := range names {
		if missing == "" && credentials[name] != "x" {
			missing = "a fixed " + name
		}
	}
	return f.lacks(step, missing)
}

// posted reports why a form is not one to be posted, nil if it is.
func (f *idxForm) posted(step string) error {
	if f.method != "" && f.method != http.MethodPost {
		return &auth.Error{Kind: auth.UnexpectedPage, Step: step, Seen: "the form " + auth.Clean(f.name) + " is not one to be posted"}
	}
	return nil
}

// lacks names a form that wants what is not known, nil for missing == "".
func (f *idxForm) lacks(step, missing string) error {
	switch {
	case f.field("captchaVerify") != nil:
		return &auth.Error{Kind: auth.CaptchaAsked, Step: step, Seen: "nothing was sent"}
	case missing != "":
		return &auth.Error{Kind: auth.UnexpectedPage, Step: step, Seen: "the form " + auth.Clean(f.name) + " asks for what is not known: " + auth.Clean(missing)}
	}
	return nil
}

// introspect shows the flow as it is. It changes nothing.
func (f *flow) introspect(ctx context.Context, step string) error {
	f.requests = append(f.requests, time.Now())
	page, err := f.walk.browser.Do(ctx, auth.Request{
		Step: step, URL: f.walk.client.at("/idp/idx/introspect"),
		JSON: map[string]any{"stateToken": f.token}, Type: ionType, Accept: ionType,
	})
	if err != nil {
		return err
	}
	return f.take(step, page)
}

var jsonType = regexp.MustCompile(`^application/[a-z0-9.+-]{0,40}json(; ?okta-version=[0-9.]{1,8})?$`)

// post sends a form with values. The address is the form's own, of the
// organization's; so are the names and what is fixed. An error may leave a document
// behind: a code that was refused can be followed by another.
func (f *flow) post(ctx context.Context, step string, form *idxForm, values map[string]any) error {
	if err := form.posted(step); err != nil {
		return err
	}
	body, missing := form.fill(f.doc.stateHandle, values)
	if err := form.lacks(step, missing); err != nil {
		return err
	}
	to, err := f.address(step, form)
	if err != nil {
		return err
	}
	media := form.accepts
	if !jsonType.MatchString(media) {
		media = ionType
	}
	f.requests = append(f.requests, time.Now())
	page, err := f.walk.browser.Do(ctx, auth.Request{Step: step, URL: to, JSON: body, Type: media, Accept: ionType})
	if err != nil {
		return err
	}
	return f.take(step, page)
}

// take reads an answer. What it says against the last step is an error.
func (f *flow) take(step string, page *auth.Page) error {
	if page.Redirect != nil {
		return page.Unexpected(step, "a redirect from Identity Engine")
	}
	d, ok := parseIDX(page.Body)
	if !ok {
		return plainRefusal(step, page)
	}
	d.clock, _ = page.ClockOffset()
	if d.stateHandle == "" && f.doc != nil {
		d.stateHandle = f.doc.stateHandle
	}
	f.doc = d
	if e := d.verdict(step, page); e != nil {
		if e.Kind == auth.PolicyDenied && d.form("device-assurance-grace-period") != nil {
			return nil // the policy's reasons, which do not count yet
		}
		return e
	}
	switch {
	case page.Status >= http.StatusInternalServerError:
		e := page.Unexpected(step, "an error without words")
		e.Sent = true
		return e
	case page.Status >= http.StatusBadRequest && step == stepPassword:
		return &auth.Error{Kind: auth.CredentialRefused, Step: step, Seen: page.Seen()}
	case page.Status >= http.StatusBadRequest && step == stepTOTP:
		return &auth.Error{Kind: auth.PasscodeRefused, Step: step, Seen: page.Seen()}
	case d.failure != "":
		return &auth.Error{Kind: auth.PolicyDenied, Step: step, Code: "failure-redirect", Seen: "Okta ends the sign-in"}
	}
	return nil
}
