package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"time"
)

// Sessions keeps, over a restart, what sign-ins leave behind for the next: cookies,
// of Okta's device and session above all, and the last TOTP time step.
// What is kept is secret. [arcproxy/cache/storage.Sessions] is one.
type Sessions interface {
	// Load returns what was saved of identity, and whether anything was.
	Load(ctx context.Context, identity string) ([]byte, bool, error)
	// Save replaces what is kept of identity.
	Save(ctx context.Context, identity string, session []byte) error
	// Delete forgets identity. It is no error if nothing was kept.
	Delete(ctx context.Context, identity string) error
}

// session is what is kept of a member.
type session struct {
	Version int                 `json:"v"`
	Account string              `json:"account"` // whose: another account's cookies would sign in as that
	Cookies map[string][]Cookie `json:"cookies,omitempty"`
	Step    int64               `json:"totp_step,omitempty"`
}

const (
	sessionVersion = 1
	sessionTimeout = 10 * time.Second // one use of Sessions, also after a sign-in's time is over
)

// keeping remembers whether Sessions could be used, so that a disk that is full is
// complained about once.
type keeping struct {
	mu     sync.Mutex // guards failed
	failed bool
}

func (k *keeping) changes(failed bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	changed := k.failed != failed
	k.failed = failed
	return changed
}

// load reads m's session, the first time. Whoever calls it has m's turn.
func (s *Signer) load(ctx context.Context, m *member) {
	if m.loaded || s.config.Sessions == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sessionTimeout)
	defer cancel()
	text, found, err := s.config.Sessions.Load(ctx, m.name)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Error("the stored Okta session cannot be read; without it Okta may ask for a second factor", "identity", m.name, "error", err)
			m.loaded = true
		}
		return
	}
	m.loaded = true
	if !found {
		return
	}
	kept, ok := s.read(m, text)
	if !ok {
		s.log.Info("the stored Okta session is another account's or another version's; it is not used", "identity", m.name)
		return
	}
	m.saved = text
	m.browser.SetCookies(kept.Cookies)
	m.account.lastStep = kept.Step
}

// read reads a stored session, and reports whether it is m's.
func (s *Signer) read(m *member, text []byte) (kept session, ok bool) {
	err := json.Unmarshal(text, &kept)
	return kept, err == nil && kept.Version == sessionVersion && kept.Account == s.accountOf(m)
}

// save keeps m's session if it has changed, whatever has become of the sign-in.
func (s *Signer) save(ctx context.Context, m *member) {
	if s.config.Sessions == nil {
		return
	}
	text, err := json.Marshal(session{Version: sessionVersion, Account: s.accountOf(m), Cookies: m.browser.Cookies(), Step: m.account.lastStep})
	if err != nil || bytes.Equal(text, m.saved) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionTimeout)
	defer cancel()
	err = s.config.Sessions.Save(ctx, m.name, text)
	switch changed := s.keeping.changes(err != nil); {
	case err == nil:
		m.saved, m.loaded = text, true
		if changed {
			s.log.Info("Okta sessions are stored again", "identity", m.name)
		}
	case changed:
		s.log.Error("the Okta session cannot be stored: it lasts as long as the program runs, and after a restart Okta may ask for a second factor", "identity", m.name, "error", err)
	}
}

// keeps reports whether what is stored is m's session, and not that of who came after it.
func (s *Signer) keeps(ctx context.Context, m *member) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionTimeout)
	defer cancel()
	text, _, err := s.config.Sessions.Load(ctx, m.name)
	if err != nil {
		return false
	}
	_, ok := s.read(m, text)
	return ok
}

// drop forgets m's cookies. The TOTP time step stays where its code could still be
// sent a second time.
func (s *Signer) drop(ctx context.Context, m *member) error {
	for _, u := range s.origins() {
		m.browser.Forget(u, nil)
	}
	if s.config.Sessions == nil || s.isOther(m) && !s.keeps(ctx, m) {
		return nil
	}
	if time.Now().Unix()/30-m.account.lastStep <= stepsAhead {
		s.save(ctx, m)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionTimeout)
	defer cancel()
	err := s.config.Sessions.Delete(ctx, m.name)
	if err == nil {
		m.saved = nil
	}
	return err
}
