package auth

import (
	"context"
	"crypto/hmac"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// SignerConfig is what a Signer is made of.
type SignerConfig struct {
	Portal     Portal
	IdP        IdentityProvider
	Identities []Identity
	Transport  http.RoundTripper // outbound; proxy settings and CA are its business
	Origins    []*url.URL        // the only origins a walk may talk to: Okta's and the Portal's
	UserAgent  string            // "": arcproxy
	Key        []byte            // keys the fingerprints of credentials
	Log        *slog.Logger      // nil: nobody
}

// Signer signs identities in, each by itself: cookies, device and TOTP steps are
// kept per identity from one sign-in to the next, and two sign-ins of one
// identity never run at once.
type Signer struct {
	portal  Portal
	idp     IdentityProvider
	key     []byte
	log     *slog.Logger
	members map[string]*member // fixed once made
}

// member is one identity with what it keeps.
type member struct {
	identity Identity
	turn     chan struct{} // holds one token: whoever has it may use account and browser
	account  *Account
	browser  *Browser
}

// NewSigner returns a Signer. It asks nothing of anybody yet.
func NewSigner(c SignerConfig) *Signer {
	s := &Signer{portal: c.Portal, idp: c.IdP, key: c.Key, log: c.Log, members: map[string]*member{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, identity := range c.Identities {
		m := &member{
			identity: identity,
			turn:     make(chan struct{}, 1),
			account:  NewAccount(identity),
			browser: NewBrowser(BrowserConfig{
				Transport: c.Transport,
				Origins:   c.Origins,
				UserAgent: c.UserAgent,
				Log:       s.log.With("identity", identity.Name),
			}),
		}
		m.turn <- struct{}{}
		s.members[identity.Name] = m
	}
	return s
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
	m, err := s.take(ctx, identity, "sign-in")
	if err != nil {
		return Grant{}, err
	}
	defer m.release()
	m.account.begin()
	w = m.watch(w)
	began := time.Now()
	grant, err := s.walk(ctx, m, w)
	if err != nil {
		return Grant{}, s.name(m.account, err)
	}
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
	m, err := s.take(ctx, identity, "renewal")
	if err != nil {
		return Grant{}, err
	}
	defer m.release()
	grant, err := s.portal.Renew(ctx, m.browser, g)
	if err != nil {
		return Grant{}, s.name(m.account, err)
	}
	return grant, nil
}

// Uses reports whether the credential of that fingerprint is still one that a
// sign-in of identity would send. An error means that it cannot be told: none of
// those that could be fetched has the fingerprint, and one could not be fetched.
func (s *Signer) Uses(ctx context.Context, identity, fingerprint string) (bool, error) {
	m, ok := s.members[identity]
	if !ok {
		return false, &Error{Kind: UnknownIdentity, Identity: identity, Step: "credentials"}
	}
	now := NewAccount(m.identity) // its own: the member's may be in use
	var unknown error
	for _, credential := range []struct {
		kind   string
		source SecretSource
		fetch  func(context.Context) (Secret, error)
	}{
		{passwordCredential, m.identity.Password, now.Password},
		{totpCredential, m.identity.TOTPSecret, now.TOTPSecret},
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
	return hmac.Equal([]byte(fingerprint(s.key, m.identity.Username, kind, secret)), []byte(print))
}

// take waits for the identity's turn and begins a walk.
func (s *Signer) take(ctx context.Context, identity, step string) (*member, error) {
	m, ok := s.members[identity]
	if !ok {
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
		e.Identity = m.identity.Name
		e.Text = scrub(e.Text, m.account.password, m.account.totp)
		if e.Challenge != nil {
			challenge := *e.Challenge
			challenge.Device = scrub(challenge.Device, m.account.password, m.account.totp)
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
	case CredentialRefused, AccountLocked, Unanswered, PasswordExpired, PasswordReset:
		if !a.password.IsZero() {
			e.Credential = fingerprint(s.key, a.Username(), passwordCredential, a.password)
		}
	case PasscodeRefused:
		// A code that was used already or came at the wrong time is one of the
		// right secret.
		if !a.totp.IsZero() && !e.mistimed() {
			e.Credential = fingerprint(s.key, a.Username(), totpCredential, a.totp)
		}
	}
	e.Code = scrub(e.Code, a.password, a.totp)
	e.Seen = scrub(e.Seen, a.password, a.totp)
	if e.Err != nil {
		if text := e.Err.Error(); scrub(text, a.password, a.totp) != text {
			e.Err = errors.New(scrub(text, a.password, a.totp))
		}
	}
	return e
}
