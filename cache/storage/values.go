package storage

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"arcproxy/auth"
)

// Grants keeps the grants of identities.
type Grants struct{ sealed *Sealed }

// Grants returns the grants in s.
func (s *Sealed) Grants() *Grants { return &Grants{s} }

// grant is an auth.Grant as it is sealed.
type grant struct {
	Version         int       `json:"v"`
	AccessToken     string    `json:"access_token"`
	Expires         time.Time `json:"expires"`
	RefreshToken    string    `json:"refresh_token,omitempty"`
	RefreshExpires  time.Time `json:"refresh_expires,omitzero"`
	RefreshObtained time.Time `json:"refresh_obtained,omitzero"`
	Username        string    `json:"username"`
	Obtained        time.Time `json:"obtained"`
	Account         string    `json:"account,omitempty"`
}

const grantVersion = 1

// Load returns identity's grant, and whether there is one. One that does not
// open is a [*Damaged].
func (g *Grants) Load(ctx context.Context, identity string) (auth.Grant, bool, error) {
	text, found, err := g.sealed.read(ctx, kindGrants, identity)
	if !found || err != nil {
		return auth.Grant{}, false, err
	}
	got, err := decodeGrant(text)
	if err != nil {
		return auth.Grant{}, false, &Damaged{Kind: kindGrants, Name: identity, Path: g.sealed.where(kindGrants, identity), Reason: err.Error()}
	}
	return got, true, nil
}

// Save replaces identity's grant. When it returns nil, the grant lasts a power
// failure; when it returns an error, usually an [*Unwritable], the former grant
// may still be there.
func (g *Grants) Save(ctx context.Context, identity string, with auth.Grant) error {
	text, err := encodeGrant(with)
	if err != nil {
		return err
	}
	return g.sealed.put(ctx, kindGrants, identity, text)
}

// Delete forgets identity's grant. It is no error if there is none.
func (g *Grants) Delete(ctx context.Context, identity string) error {
	return g.sealed.remove(ctx, kindGrants, identity)
}

// Identities returns the names of those who have a grant, as far as it opens. An error
// says why some may be missing.
func (g *Grants) Identities(ctx context.Context) (names []string, err error) {
	for e, failed := range g.sealed.all(ctx, kindGrants) {
		if failed != nil {
			err = failed
			continue
		}
		names = append(names, e.name)
	}
	return names, err
}

func encodeGrant(g auth.Grant) ([]byte, error) {
	return json.Marshal(grant{
		Version:         grantVersion,
		AccessToken:     g.AccessToken.Reveal(),
		Expires:         g.Expires.UTC(),
		RefreshToken:    g.RefreshToken.Reveal(),
		RefreshExpires:  g.RefreshExpires.UTC(),
		RefreshObtained: g.RefreshObtained.UTC(),
		Username:        g.Username,
		Obtained:        g.Obtained.UTC(),
		Account:         g.Account,
	})
}

// decodeGrant reads what encodeGrant made. Its errors quote none of it.
func decodeGrant(text []byte) (auth.Grant, error) {
	var g grant
	switch err := json.Unmarshal(text, &g); {
	case err != nil:
		return auth.Grant{}, errors.New("what was sealed is not a grant of this version")
	case g.Version != grantVersion:
		return auth.Grant{}, errors.New("a later version of this program stored it")
	case g.AccessToken == "", g.Expires.IsZero():
		return auth.Grant{}, errors.New("what was sealed lacks the token or its expiry")
	}
	return auth.Grant{
		AccessToken:     auth.NewSecret(g.AccessToken),
		Expires:         g.Expires,
		RefreshToken:    auth.NewSecret(g.RefreshToken),
		RefreshExpires:  g.RefreshExpires,
		RefreshObtained: g.RefreshObtained,
		Username:        g.Username,
		Obtained:        g.Obtained,
		Account:         g.Account,
	}, nil
}

// where returns where a value is, for messages.
func (s *Sealed) where(kind, name string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.key.path(kind, name)
}

// Sessions keeps what identities' browsers remember: Okta's device and session
// cookies. What that looks like is its user's business.
type Sessions struct{ sealed *Sealed }

// Sessions returns the sessions in s.
func (s *Sealed) Sessions() *Sessions { return &Sessions{s} }

// Load returns identity's session, and whether there is one. One that does not
// open is a [*Damaged].
func (c *Sessions) Load(ctx context.Context, identity string) ([]byte, bool, error) {
	return c.sealed.read(ctx, kindSessions, identity)
}

// Save replaces identity's session.
func (c *Sessions) Save(ctx context.Context, identity string, session []byte) error {
	return c.sealed.put(ctx, kindSessions, identity, session)
}

// Delete forgets identity's session. It is no error if there is none.
func (c *Sessions) Delete(ctx context.Context, identity string) error {
	return c.sealed.remove(ctx, kindSessions, identity)
}

// Tokens keeps the records of the tokens that the proxy issues. What they look
// like is their user's business.
type Tokens struct{ sealed *Sealed }

// Tokens returns the records of tokens in s.
func (s *Sealed) Tokens() *Tokens { return &Tokens{s} }

// Put stores a record, replacing the one of the same id.
func (t *Tokens) Put(ctx context.Context, id string, record []byte) error {
	return t.sealed.put(ctx, kindTokens, id, record)
}

// Delete deletes the record of an id. It is no error if there is none.
func (t *Tokens) Delete(ctx context.Context, id string) error {
	return t.sealed.remove(ctx, kindTokens, id)
}

// All yields every record, in no order. One that does not open is a [*Damaged],
// after which it goes on.
func (t *Tokens) All(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for e, err := range t.sealed.all(ctx, kindTokens) {
			if !yield(e.value, err) {
				return
			}
		}
	}
}
