package okta

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// tokenLife is how long an id_token and an access token are good. Okta's own value
// is an hour.
const tokenLife = time.Hour

// keyID names the signing key. It is the one that signs assertions too: making
// another takes long, and nobody could tell.
func (o *Org) keyID() string {
	sum := sha256.Sum256(o.idp.cert.Raw)
	return hex.EncodeToString(sum[:16])
}

// oauthFailure is an error of the token endpoint (RFC 6749 §5.2).
func oauthFailure(status int, name, description string) answer {
	return reply(status, hal{"error": name, "error_description": description})
}

// oidcToken exchanges a code for tokens [OA]. A code has one try, good or bad, once
// the client has shown who it is.
func (o *Org) oidcToken(c *call) answer {
	if !formEncoded(c.r) {
		return oauthFailure(http.StatusBadRequest, "invalid_request", "The token endpoint takes a form.")
	}
	form := c.r.PostForm
	k := o.oidc.clients[form.Get("client_id")]
	secret := form.Get("client_secret")
	if id, password, ok := c.r.BasicAuth(); ok {
		if secret != "" {
			return oauthFailure(http.StatusBadRequest, "invalid_request", "Cannot supply multiple client credentials.")
		}
		id, _ = url.QueryUnescape(id) // RFC 6749 §2.3.1
		secret, _ = url.QueryUnescape(password)
		if k != nil && k.ID != id {
			k = nil
		} else {
			k = o.oidc.clients[id]
		}
	}
	if k == nil || k.TokenURL() != o.url(c.r.URL.Path) || subtle.ConstantTimeCompare([]byte(secret), []byte(k.Secret)) != 1 {
		return oauthFailure(http.StatusUnauthorized, "invalid_client", "The client secret supplied for a confidential client is invalid.")
	}
	name := map[string]string{"authorization_code": "code", "interaction_code": "interaction_code"}[form.Get("grant_type")]
	if name == "" {
		return oauthFailure(http.StatusBadRequest, "unsupported_grant_type", "The authorization grant type is not supported by the authorization server.")
	}
	code := o.oidc.codes[form.Get(name)]
	if code == nil || code.interaction != (name == "interaction_code") || code.used || c.now.After(code.expires) || code.client != k {
		return oauthFailure(http.StatusBadRequest, "invalid_grant", "The authorization code is invalid or has expired.")
	}
	code.used = true
	if code.redirect != form.Get("redirect_uri") && !code.interaction {
		return oauthFailure(http.StatusBadRequest, "invalid_grant", "The 'redirect_uri' does not match the redirection URI used in the authorization request.")
	}
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	if proof := base64.RawURLEncoding.EncodeToString(sum[:]); code.challenge != "" && proof != code.challenge || code.challenge == "" && form.Has("code_verifier") {
		return oauthFailure(http.StatusBadRequest, "invalid_grant", "PKCE verification failed.")
	}
	id, err := o.idToken(c, code)
	if err != nil {
		return oauthFailure(http.StatusInternalServerError, "server_error", "The token could not be signed.")
	}
	o.counts.IDTokens++
	return reply(http.StatusOK, hal{
		"token_type": "Bearer", "expires_in": int(tokenLife / time.Second), "access_token": o.token("", 64), "scope": code.scope, "id_token": id,
	})
}

// idToken signs what Okta says of an account (Core 1.0 §2).
func (o *Org) idToken(c *call, code *oidcCode) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: o.idp.key, KeyID: o.keyID()}}, nil)
	if err != nil {
		return "", err
	}
	a, s := code.account, code.session
	amr := []string{"pwd"}
	if s.mfa {
		amr = append(amr, "mfa")
	}
	claims := hal{
		"ver": 1, "iss": code.client.Issuer, "aud": code.client.ID, "sub": a.id, "jti": "ID." + rand.Text(), "idp": "00o1n8sbwArJ7OQRw406",
		"iat": c.now.Unix(), "exp": c.now.Add(tokenLife).Unix(), "auth_time": s.created.Unix(), "amr": amr,
	}
	if code.nonce != "" {
		claims["nonce"] = code.nonce
	}
	for scope := range strings.FieldsSeq(code.scope) {
		switch scope {
		case "profile":
			claims["name"], claims["preferred_username"] = a.FirstName+" "+a.LastName, a.Login
		case "email":
			claims["email"], claims["email_verified"] = a.Email, true
		}
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err == nil {
		o.secrets[text] = true
	}
	return text, err
}

// codePage posts an answer to an application (response_mode=form_post).
func (o *Org) codePage(action string, v url.Values) answer {
	var inputs strings.Builder
	for name := range v {
		fmt.Fprintf(&inputs, "    <input name=\"%s\" type=\"hidden\" value=\"%s\"/>\n", attr(name), attr(v.Get(name)))
	}
	return page(http.StatusOK, fmt.Sprintf("<!DOCTYPE html><html><head><title>\n    Example Corp - Signing in...</title></head>\n<body>\n%s<form id=\"appForm\" action=\"%s\" method=\"POST\">\n%s</form>\n</body></html>\n",
		strings.Join(o.noise(2), ""), attr(action), inputs.String()))
}
