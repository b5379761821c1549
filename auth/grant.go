package auth

import "time"

// Grant is what a sign-in or a renewal yields.
type Grant struct {
	AccessToken  Secret
	Expires      time.Time // of AccessToken
	RefreshToken Secret    // zero where the Portal gave none
	// RefreshExpires is the end of RefreshToken. Portals before 10.9.1 do not
	// say (refresh_token_expires_in is missing): then it is zero, and the
	// refresh token is used until the Portal refuses it.
	RefreshExpires  time.Time
	RefreshObtained time.Time // when the Portal issued RefreshToken; zero where that is not known
	Username        string    // the ArcGIS user name the Portal answered with
	Obtained        time.Time // when the Portal issued AccessToken
	// Account says whose grant it is and of which systems (see [Signer.Owns]): an
	// identity whose user name was changed must not go on as the former account.
	Account string
}

// Fresh reports whether the access token can still be used at now, with margin
// left for the request that carries it.
func (g Grant) Fresh(now time.Time, margin time.Duration) bool {
	return !g.AccessToken.IsZero() && now.Add(margin).Before(g.Expires)
}

// Renewable reports whether the grant has a refresh token that has not ended at now.
func (g Grant) Renewable(now time.Time) bool {
	return !g.RefreshToken.IsZero() && (g.RefreshExpires.IsZero() || now.Before(g.RefreshExpires))
}
