package okta

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Statuses of a transaction that are no account's State [A].
const (
	mfaRequired       State = "MFA_REQUIRED"
	mfaChallenge      State = "MFA_CHALLENGE"
	mfaEnrollActivate State = "MFA_ENROLL_ACTIVATE"
	success           State = "SUCCESS"
)

// transaction is one sign-in under way; its stateToken names it.
type transaction struct {
	token   string
	expires time.Time // slides
	account *account
	status  State
	dt      string // the device it began on
	warn    bool   // options.warnBeforePasswordExpired
	// remember is the rememberDevice query parameter of the last verify request.
	remember bool

	factor *factor // in MFA_CHALLENGE and MFA_ENROLL_ACTIVATE
	push   *push
	result string // factorResult that next.name = "verify" goes with
	// challenge is what a WebAuthn key must sign, nil while none was made.
	challenge []byte

	enrolSecret string // in MFA_ENROLL_ACTIVATE
	checkedMFA  bool
	skipped     bool // PASSWORD_WARN

	app     *App     // of a step-up, nil otherwise
	errand  errand   // that the step-up will go on with
	session *session // that the step-up strengthens
}

// oneTime is a session token: good for one session, for a few minutes [SC].
type oneTime struct {
	account *account
	expires time.Time
	mfa     bool
}

// input is every field that the Authentication API's bodies have.
type input struct {
	Username   string `json:"username"`
	Password   string `json:"password"`
	StateToken string `json:"stateToken"`
	PassCode   string `json:"passCode"`
	Answer     string `json:"answer"`
	assertion
	FactorType  string `json:"factorType"`
	Provider    string `json:"provider"`
	OldPassword string `json:"oldPassword"`
	NewPassword string `json:"newPassword"`
	Options     struct {
		WarnBeforePasswordExpired bool `json:"warnBeforePasswordExpired"`
	} `json:"options"`
	Context struct {
		DeviceToken string `json:"deviceToken"` // ignored for anonymous clients [A]
	} `json:"context"`
}

// read decodes a JSON body; a refusal comes back instead where it is none.
func read(c *call) (input, *answer) {
	var in input
	if !strings.HasPrefix(c.r.Header.Get("Content-Type"), "application/json") {
		a := fail(http.StatusUnsupportedMediaType, "E0000021")
		return in, &a
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		a := fail(http.StatusBadRequest, "E0000003")
		return in, &a
	}
	return in, nil
}

// resume reads a body and finds its transaction, which must be in one of the
// given states (any, if none is given). Its expiry slides.
func (o *Org) resume(c *call, states ...State) (*transaction, input, *answer) {
	in, bad := read(c)
	if bad != nil {
		return nil, in, bad
	}
	t, bad := o.find(c, in.StateToken)
	if bad != nil {
		return nil, in, bad
	}
	if len(states) > 0 && !slices.Contains(states, t.status) {
		a := wrongState()
		return nil, in, &a
	}
	return t, in, nil
}

// find returns the live transaction of a stateToken and lets its expiry slide.
func (o *Org) find(c *call, token string) (*transaction, *answer) {
	t := o.transactions[token]
	if t != nil && c.now.After(t.expires) {
		delete(o.transactions, token)
		t = nil
	}
	if t == nil {
		a := badToken()
		return nil, &a
	}
	if t.account.locked { // by another sign-in, or by this one's last code
		delete(o.transactions, token)
		a := o.userLocked()
		return nil, &a
	}
	t.expires = c.now.Add(o.settings.StateTokenLife)
	return t, nil
}

// begin makes a transaction. Those that have expired go, so that an abandoned
// sign-in costs nothing.
func (o *Org) begin(c *call, a *account) *transaction {
	for k, t := range o.transactions {
		if c.now.After(t.expires) {
			delete(o.transactions, k)
		}
	}
	o.counts.StateTokens++
	t := &transaction{token: o.token("00", 40), account: a, dt: c.dt, expires: c.now.Add(o.settings.StateTokenLife)}
	o.transactions[t.token] = t
	return t
}

// authn is primary authentication, or, with a stateToken alone, the state of a
// transaction (which is how a step-up begins) [A].
func (o *Org) authn(c *call) answer {
	in, bad := read(c)
	if bad != nil {
		return *bad
	}
	if in.StateToken != "" {
		if in.Username != "" || in.Password != "" {
			return wrongState() // the transaction is past its primary authentication
		}
		return o.introspect(c)
	}
	if in.Username == "" {
		return fail(http.StatusBadRequest, "E0000001", "authRequest")
	}
	a := o.users[strings.ToLower(in.Username)]
	switch o.checkPassword(a, in.Password) {
	case passwordWrong:
		return badCredentials()
	case passwordLocked:
		return o.lockedOut()
	}
	switch a.State {
	case Denied:
		return badCredentials()
	case PasswordReset, Recovery, RecoveryChallenge, MFAEnroll:
		t := o.begin(c, a)
		t.status = a.State
		return o.show(c, t)
	}
	t := o.begin(c, a)
	t.warn = in.Options.WarnBeforePasswordExpired
	return o.proceed(c, t)
}

// passwordResult is what came of a password.
type passwordResult int

const (
	passwordRight passwordResult = iota
	passwordWrong
	passwordLocked // whatever the password is, or because of it
)

// checkPassword counts a password and checks it, for either engine; a is nil for
// an unknown user.
func (o *Org) checkPassword(a *account, password string) passwordResult {
	o.counts.Primary++
	switch {
	case a == nil:
		o.counts.BadPasswords++
		return passwordWrong
	case a.locked:
		return passwordLocked
	case password == a.Password:
		a.badPassword = 0
		return passwordRight
	}
	o.counts.BadPasswords++
	a.badPassword++
	if o.settings.MaxBadPasswords > 0 && a.badPassword >= o.settings.MaxBadPasswords {
		a.locked = true
		return passwordLocked
	}
	return passwordWrong
}

// lockedOut is the answer to any password of a locked account. Where the lockout
// is hidden it looks like a bad password, else it is a state without a token [W].
func (o *Org) lockedOut() answer {
	if !o.settings.ShowLockout {
		return badCredentials()
	}
	return reply(http.StatusOK, hal{
		"status":    LockedOut,
		"_embedded": hal{},
		"_links": hal{
			"next":   o.named("unlock", "/api/v1/authn/recovery/unlock"),
			"cancel": o.link("/api/v1/authn/cancel", http.MethodPost),
		},
	})
}

// proceed takes a transaction to its next state and shows it: the second factor,
// then what is wrong with the password, then success.
func (o *Org) proceed(c *call, t *transaction) answer {
	a := t.account
	switch {
	case !t.checkedMFA && o.needsMFA(c, t):
		t.status = mfaRequired
	case a.State == PasswordExpired:
		t.status = PasswordExpired
	case a.State == ConsentRequired, a.State == ProfileRequired:
		t.status = a.State
	case a.State == PasswordWarn && t.warn && !t.skipped:
		t.status = PasswordWarn
	default:
		t.status = success
	}
	return o.show(c, t)
}

// needsMFA asks the policy whether a second factor is needed now.
func (o *Org) needsMFA(c *call, t *transaction) bool {
	key := deviceKey{t.account.id, c.dt}
	switch {
	case len(t.account.factors) == 0:
		return false
	case t.app != nil:
		return true
	case o.settings.MFA == MFANever:
		return false
	case c.dt != "" && o.settings.AllowRememberDevice && c.now.Before(o.remembered[key]):
		return false
	case o.settings.MFA == MFANewDevice:
		return c.dt == "" || !o.known[key]
	}
	return true
}

// introspect shows a transaction without changing its state.
func (o *Org) introspect(c *call) answer {
	t, _, bad := o.resume(c)
	if bad != nil {
		return *bad
	}
	return o.show(c, t)
}

// cancel ends a transaction. A push that waits is withdrawn from the phone.
func (o *Org) cancel(c *call) answer {
	t, _, bad := o.resume(c)
	if bad != nil {
		return *bad
	}
	o.end(t)
	return reply(http.StatusOK, hal{})
}

// end removes a transaction and its push.
func (o *Org) end(t *transaction) {
	t.withdraw()
	delete(o.transactions, t.token)
}

// previous leaves a challenge for the choice of factors.
func (o *Org) previous(c *call) answer {
	t, _, bad := o.resume(c, mfaChallenge, mfaEnrollActivate)
	if bad != nil {
		return *bad
	}
	t.withdraw()
	if t.status == mfaChallenge {
		t.status = mfaRequired
	} else {
		t.status = MFAEnroll
	}
	t.factor, t.result, t.challenge = nil, "", nil
	return o.show(c, t)
}

// skip leaves PASSWORD_WARN.
func (o *Org) skip(c *call) answer {
	t, _, bad := o.resume(c, PasswordWarn)
	if bad != nil {
		return *bad
	}
	t.skipped = true
	return o.proceed(c, t)
}

// consent leaves CONSENT_REQUIRED. (Nothing here leaves PROFILE_REQUIRED: its form
// is an organization's own.)
func (o *Org) consent(c *call) answer {
	t, _, bad := o.resume(c, ConsentRequired)
	if bad != nil {
		return *bad
	}
	t.account.State = ""
	return o.proceed(c, t)
}

// changePassword leaves PASSWORD_WARN and PASSWORD_EXPIRED.
func (o *Org) changePassword(c *call) answer {
	t, in, bad := o.resume(c, PasswordWarn, PasswordExpired)
	if bad != nil {
		return *bad
	}
	if in.OldPassword != t.account.Password {
		return fail(http.StatusForbidden, "E0000014")
	}
	return o.setPassword(c, t, in.NewPassword)
}

// resetPassword leaves PASSWORD_RESET.
func (o *Org) resetPassword(c *call) answer {
	t, in, bad := o.resume(c, PasswordReset)
	if bad != nil {
		return *bad
	}
	return o.setPassword(c, t, in.NewPassword)
}

func (o *Org) setPassword(c *call, t *transaction, password string) answer {
	if !o.changed(c, t.account, password) {
		return fail(http.StatusForbidden, "E0000080")
	}
	return o.proceed(c, t)
}

// changed gives an account a new password, if it is good enough.
func (o *Org) changed(c *call, a *account, password string) bool {
	if len(password) < 8 || password == a.Password {
		return false
	}
	a.Password, a.State, a.changed = password, "", c.now
	o.secrets[password] = true
	return true
}

// recoveryAnswer knows no right answer: a simulated account is not recovered, only refused.
func (o *Org) recoveryAnswer(c *call) answer {
	if _, _, bad := o.resume(c, Recovery); bad != nil {
		return *bad
	}
	return fail(http.StatusBadRequest, "E0000087")
}

// recoveryVerify refuses every code, as recoveryAnswer does every answer.
func (o *Org) recoveryVerify(c *call) answer {
	if _, _, bad := o.resume(c, RecoveryChallenge); bad != nil {
		return *bad
	}
	return badPasscode()
}

// recoveryUnlock says that a message was sent, whether the account exists or not [A].
func (o *Org) recoveryUnlock(c *call) answer {
	if _, bad := read(c); bad != nil {
		return *bad
	}
	return reply(http.StatusOK, hal{
		"status": RecoveryChallenge, "factorResult": "WAITING", "factorType": "EMAIL", "recoveryType": "UNLOCK",
	})
}
