package cache

import (
	"context"
	"time"

	"arcproxy/auth"
)

// Ledger remembers refused credentials across restarts, at most one for each
// identity: the one that holds it now. A second one, as a person's sign-in by hand can
// bring about, is remembered while the program runs. [arcproxy/cache/storage.Refusals]
// is one. A Ledger that cannot be read stops sign-ins; one that cannot be written is
// complained about in the log.
type Ledger interface {
	// Refused returns what is remembered of identity, and whether anything is.
	Refused(ctx context.Context, identity string) (Refusal, bool, error)
	// Remember replaces what is remembered of identity.
	Remember(ctx context.Context, identity string, r Refusal) error
	// Forget forgets identity. It is no error if nothing was remembered.
	Forget(ctx context.Context, identity string) error
}

// Refusal is a credential that was refused. It holds no secret.
type Refusal struct {
	Credential string // the keyed fingerprint of auth.Error.Credential
	Kind       auth.Kind
	Step       string
	Code       string
	Time       time.Time // when it was refused
}
