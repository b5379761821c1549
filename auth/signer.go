package auth

import (
	"context"
	"crypto/hmac"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// SignerConfig is what a Signer is made of.
type SignerConfig struct {
	Portal     Portal
	IdP        IdentityProvider
	Identities []Identity
	Transport  http.RoundTripper // outbound; proxy settings and CA are its business
	Origins    []*url.URL        // Okta's and the Portal's: what accounts are of, and with Others all that a walk may talk to
	Others     []*url.URL        // of a second factor, as Duo's
	UserAgent  string            // "": arcproxy
	Key        []byte            // keys the fingerprints of credentials
	Sessions   Sessions          // keeps what sign-ins leave over a restart; nil: memory only
	Log        *slog.Logger      // nil: nobody
}

// Signer signs identities in, each by itself: cookies, device and TOTP steps are
// kept per identity from one sign-in to the next, and two sign-ins of one
// identity never run at once.
type Signer struct {
	config  SignerConfig
	portal  Portal
	idp     IdentityProvider
	key     []byte
	log     *slog.Logger
	systems string // the addresses in Origins, for Account

	mu      sync.RWMutex       // guards members and others
	members map[string]*member // by the identities' names
	others  map[string]*member // those who were another account before, until they are signed out
	keeping keeping            // whether Sessions could be used, the last time
}

// member is one identity with what it keeps.
type member struct {
	name     string
	username string                   // in lower case; with another one it is another member
	identity atomic.Pointer[Identity] // its credentials can change
	removed  atomic.Bool              // it is no longer configured, and can only be signed out
	turn     chan struct{}            // holds one token: whoever has it may use what follows
	account  *Account
	browser  *Browser
	loaded   bool   // its session was read, or is not to be
	saved    []byte // its session, as it is stored; nil: it is not
}

// NewSigner returns a Signer. It asks nothing of anybody yet.
func NewSigner(c SignerConfig) *Signer {
	s := &Signer{config: c, portal: c.Portal, idp: c.IdP, key: c.Key, log: c.Log, members: map[string]*member{}, others: map[string]*member{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, u := range c.Origins {
		s.systems += " " + u.String()
	}
	for _, identity := range c.Identities {
		s.members[identity.Name] = s.member(identity)
	}
	return s
}

func (s *Signer) member(identity Identity) *member {
	m := &member{
		name:     identity.Name,
		username: strings.ToLower(identity.Username), // as Okta compares it
		turn:     make(chan struct{}, 1),
		account:  NewAccount(identity),
		browser: NewBrowser(BrowserConfig{
			Transport: s.config.Transport,
			Origins:   s.origins(),
			UserAgent: s.config.UserAgent,
			Log:       s.log.With("identity", identity.Name),
		}),
	}
	m.identity.Store(&identity)
	m.account.key = s.key
	m.account.stepUsed = func() { s.save(context.Background(), m) }
	m.turn <- struct{}{}
	return m
}

// SetIdentities replaces the identities, as a reload does. One whose user name
// stays keeps its cookies, device and TOTP steps, and is signed in with its new
// credentials from the next sign-in on. It returns those that were removed or are
// another account now: they cannot be signed in as before, and [Signer.Revoke]
// ends what they hold.
func (s *Signer) SetIdentities(identities []Identity) (former []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	configured := map[string]bool{}
	for _, identity := range identities {
		configured[identity.Name] = true
		m := s.members[identity.Name]
		if m != nil && m.username == strings.ToLower(identity.Username) {
			m.identity.Store(&identity)
			m.removed.Store(false)
			continue
		}
		if m != nil {
			former = append(former, m.name)
			s.others[m.name] = m
		}
		s.members[identity.Name] = s.member(identity)
	}
	for name, m := range s.members {
		if !configured[name] && m.removed.CompareAndSwap(false, true) {
			former = append(former, name)
		}
	}
	slices.Sort(former)
	return former
}

func (s *Signer) origins() []*url.URL { return slices.Concat(s.config.Origins, s.config.Others) }

// accountOf says which account m is, and of which systems.
func (s *Signer) accountOf(m *member) string { return m.username + s.systems }

// Owns reports whether g, which was kept somewhere, is a grant of the account that
// identity is now. One that does not say whose it is, is not.
func (s *Signer) Owns(identity string, g Grant) bool {
	m := s.find(identity)
	return m != nil && g.Account == s.accountOf(m)
}

// Username returns the Okta user name, in lower case, of the account that g is of, and
// whether it is one of the systems that s signs in to.
func (s *Signer) Username(g Grant) (string, bool) { return strings.CutSuffix(g.Account, s.systems) }

// find returns a configured member, nil if there is none.
func (s *Signer) find(identity string) *member {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if m := s.members[identity]; m != nil && !m.removed.Load() {
		return m
	}
	return nil
}

// maxTime bounds a sign-in or a renewal, its waiting for a turn included, whose
// caller has set no end: it is longer than a push lives.
const maxTime = 10 * time.Minute

// SignIn walks identity from the Portal through Okta back to the Portal and
// returns the grant. Each step is told to w. An error is [*Error], with the
// identity, the step, and for a refused credential its fingerprint.
func (s *Signer) SignIn(ctx context.Context, identity string, w Watch) (Grant, error) {
	ctx, done := context.WithTimeout(ctx, maxTime)
	defer done()
	m, err := s.take(ctx, s.find(identity), identity, "sign-in")
	if err != nil {
		return Grant{}, err
	}
	defer m.release()
	defer s.save(ctx, m)
	m.account.begin(*m.identity.Load(), w.Given)
	m.account.withhold(ctx)
	w = m.watch(w)
	began := time.Now()
	grant, err := s.walk(ctx, m, w)
	m.account.given = nil
	if err != nil {
		return Grant{}, s.name(m.account, err)
	}
	grant.Account = s.accountOf(m)
	s.log.InfoContext(ctx, "signed in", "identity", identity, "took", time.Since(began).Round(time.Millisecond), "expires", grant.Expires)
	w.Say(Event{Text: "signed in to the Portal"})
	return grant, nil
}

func (s *Signer) walk(ctx context.Context, m *member, w Watch) (Grant, error) {
	request, redeem, err := s.portal.Begin(ctx, m.browser, w)
	if err != nil {
		return Grant{}, err
	}
	answer, err := s.idp.SignIn(ctx, m.browser, m.account, w, request)
	if err != nil {
		return Grant{}, err
	}
	grant, err := redeem(ctx, answer)
	if KindOf(err) == AssertionRefused && m.account.password.IsZero() {
		// The answer came from an old Okta session; a new one may do better.
		s.idp.Forget(m.browser)
	}
	return grant, err
}

// Renew asks the Portal for a new access token by g's refresh token, in one
// request. GrantRefused means that the identity has to be signed in again.
func (s *Signer) Renew(ctx context.Context, identity string, g Grant) (Grant, error) {
	ctx, done := context.WithTimeout(ctx, maxTime)
	defer done()
	m, err := s.take(ctx, s.find(identity), identity, "renewal")
	if err != nil {
		return Grant{}, err
	}
	defer m.release()
	grant, err := s.portal.Renew(ctx, m.browser, g)
	if err != nil {
		return Grant{}, s.name(m.account, err)
	}
	grant.Account = s.accountOf(m)
	return grant, nil
}

// Revoke signs identity out: g ends at the Portal, Okta's session at Okta, and the
// cookies are forgotten, here and in Sessions. It does as much of this as it can.
// An identity that was removed from the config, or the account that one was before,
// can be signed out too, once.
func (s *Signer) Revoke(ctx context.Context, identity string, g Grant) error {
	ctx, done := context.WithTimeout(ctx, maxTime)
	defer done()
	m, err := s.take(ctx, s.holder(identity, g), identity, "sign-out")
	if err != nil {
		return err
	}
	defer m.release()
	var portal, okta error
	switch {
	case g.AccessToken.IsZero() && g.RefreshToken.IsZero():
	case g.Account != "" && !strings.HasSuffix(g.Account, s.systems): // no Portal is shown another's tokens
	default:
		portal = s.portal.Revoke(ctx, m.browser, g)
	}
	if g.Account == "" || g.Account == s.accountOf(m) {
		okta = s.idp.SignOut(ctx, m.browser)
	}
	stored := s.drop(ctx, m)
	s.mu.Lock()
	if s.members[identity] == m && m.removed.Load() {
		delete(s.members, identity)
	}
	if s.others[identity] == m {
		delete(s.others, identity)
	}
	s.mu.Unlock()
	for _, err := range []error{portal, okta, stored} {
		if err != nil {
			return s.name(m.account, err)
		}
	}
	return nil
}

// holder returns the member that g is of: what identity is now, or the account that
// it was before.
func (s *Signer) holder(identity string, g Grant) *member {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if m := s.others[identity]; m != nil && g.Account == s.accountOf(m) {
		return m
	}
	return s.members[identity]
}

// isOther reports whether m is an account that its identity was before.
func (s *Signer) isOther(m *member) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.others[m.name] == m
}

// Uses reports whether the credential of that fingerprint is still one that a
// sign-in of identity would send. An error means that it cannot be told: none of
// those that could be fetched has the fingerprint, and one could not be fetched.
func (s *Signer) Uses(ctx context.Context, identity, fingerprint string) (bool, error) {
	m := s.find(identity)
	if m == nil {
		return false, &Error{Kind: UnknownIdentity, Identity: identity, Step: "credentials"}
	}
	configured := *m.identity.Load()
	now := NewAccount(configured) // its own: the member's may be in use
	var unknown error
	for _, credential := range []struct {
		kind   string
		source SecretSource
		fetch  func(context.Context) (Secret, error)
	}{
		{passwordCredential, configured.Password, now.Password},
		{totpCredential, configured.TOTPSecret, now.TOTPSecret},
		{answerCredential, configured.Answer, now.Answer},
		{webauthnCredential, configured.WebAuthn, now.WebAuthn},
	} {
		if credential.source == nil {
			continue
		}
		secret, err := credential.fetch(ctx)
		switch {
		case err != nil:
			unknown = s.name(now, err)
		case s.matches(m, credential.kind, secret, fingerprint):
			return true, nil
		}
	}
	return false, unknown
}

func (s *Signer) matches(m *member, kind string, secret Secret, print string) bool {
	return hmac.Equal([]byte(fingerprint(s.key, m.username, kind, secret)), []byte(print))
}

// take waits for m's turn and begins a walk. m is nil for an identity that nobody
// has configured.
func (s *Signer) take(ctx context.Context, m *member, identity, step string) (*member, error) {
	if m == nil {
		return nil, &Error{Kind: UnknownIdentity, Identity: identity, Step: step}
	}
	select {
	case <-m.turn:
	case <-ctx.Done():
		e := over(ctx, step)
		e.Identity = identity
		return nil, e
	}
	m.browser.Begin()
	s.load(ctx, m)
	return m, nil
}

func (m *member) release() { m.turn <- struct{}{} }

// watch returns w with the identity in each event, and nothing secret.
func (m *member) watch(w Watch) Watch {
	tell := w.Tell
	if tell == nil {
		return w
	}
	w.Tell = func(e Event) {
		e.Identity = m.name
		e.Text = scrub(e.Text, m.account.secrets()...)
		if e.Challenge != nil {
			challenge := *e.Challenge
			challenge.Device = scrub(challenge.Device, m.account.secrets()...)
			challenge.Question = scrub(challenge.Question, m.account.secrets()...)
			e.Challenge = &challenge
		}
		tell(e)
	}
	return w
}

// name makes any error of a walk the one that leaves: an [*Error] with the
// identity, the fingerprint of a refused credential, and no secret.
func (s *Signer) name(a *Account, err error) *Error {
	e := &Error{Kind: UnexpectedPage, Step: "sign-in", Err: err}
	if found, ok := errors.AsType[*Error](err); ok {
		copied := *found
		e = &copied
	}
	e.Identity = a.Name()
	switch e.Kind {
	case CredentialRefused, AccountLocked, PasswordExpired, PasswordReset:
		if !a.password.IsZero() {
			e.Credential = fingerprint(s.key, a.Username(), passwordCredential, a.password)
		}
	case PasscodeRefused, PasscodeMistimed, Unanswered:
		sent := map[string]Secret{passwordCredential: a.password, totpCredential: a.totp, answerCredential: a.answer, webauthnCredential: a.webauthn}[a.proof]
		if !sent.IsZero() && (a.proof != passwordCredential || e.Kind == Unanswered) {
			e.Credential = fingerprint(s.key, a.Username(), a.proof, sent)
		}
		if e.Kind == PasscodeRefused && e.mistimed() {
			e.Kind = PasscodeMistimed
		}
	}
	e.Code = scrub(e.Code, a.secrets()...)
	e.Seen = scrub(e.Seen, a.secrets()...)
	if e.Err != nil {
		if text := e.Err.Error(); scrub(text, a.secrets()...) != text {
			e.Err = errors.New(scrub(text, a.secrets()...))
		}
	}
	return e
}
