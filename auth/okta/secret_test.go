package okta

import (
	"context"

	"arcproxy/auth"
)

func secret(text string) auth.SecretSource {
	return func(context.Context) (auth.Secret, error) { return auth.NewSecret(text), nil }
}
