package auth

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// redacted is what every rendering of a Secret says.
const redacted = "[secret]"

// Secret holds a password, code, token or anything else that must never be
// printed. Every way Go has to render a value (fmt with any verb, slog, JSON,
// text) yields a fixed word; the text leaves only through [Secret.Reveal], so
// that the places where secrets leave can be found by name.
//
// The text is behind a pointer because fmt prints the unexported fields of a
// struct that holds a Secret by reflection, past all methods.
// The zero Secret is empty.
type Secret struct{ text *string }

// SecretSource yields a secret when it is needed. It is asked anew for every
// sign-in, so that an operator can replace a password without a restart.
type SecretSource func(context.Context) (Secret, error)

// NewSecret wraps text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal returns the text. Call it where the secret is sent, and nowhere else.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is no text.
func (s Secret) IsZero() bool { return s.text == nil }

// Equal compares two secrets in time that depends on their lengths only.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String, GoString, Format, LogValue, MarshalText and MarshalJSON all hide the text.
func (s Secret) String() string               { return redacted }
func (s Secret) GoString() string             { return redacted }
func (s Secret) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }
