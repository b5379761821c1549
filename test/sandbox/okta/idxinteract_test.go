package okta

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"testing"
)

// TestIDXInteract: an application with pages of its own gets a handle, and in the
// end a code that only its own grant type and verifier redeem.
func TestIDXInteract(t *testing.T) {
	for seed := range uint64(4) {
		r := relyOn(t, seed+1, func(s *Settings) { s.Pipeline = "idx" })
		b := newBrowser(t, r.o)
		sum := sha256.Sum256([]byte(codeVerifier))
		good := url.Values{"client_id": {r.client.ID}, "client_secret": {r.client.Secret}, "redirect_uri": {callback}, "scope": {"openid email"}, "state": {"s"},
			"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
		interact := r.client.server() + "/v1/interact"
		for _, bad := range []string{"client_id", "client_secret", "redirect_uri", "scope", "code_challenge", "code_challenge_method"} {
			v := url.Values{}
			for name := range good {
				if v[name] = good[name]; name == bad {
					v.Set(name, "x")
				}
			}
			if bad == "code_challenge" {
				v.Del(bad)
			}
			if a := b.postForm(interact, v); a.str("interaction_handle") != "" || a.str("error") == "" {
				t.Errorf("%s: %s", bad, a.body)
			}
		}
		handle := b.postForm(interact, good).str("interaction_handle")
		f := &flow{browser: b, token: handle}
		f.introspect(handle).want(401, "idx.session.expired") // it is no stateToken
		f.result = f.ion("/idp/idx/introspect", ionJSON, ionJSON, map[string]any{"interactionHandle": handle})
		f.want(200, "")
		if f.introspect(f.str("stateHandle")).status != 200 {
			t.Errorf("the stateHandle: %s", f.body)
		}
		f.identify("alice@example.com", "correct horse").want(200, "")
		end := result{doc: f.at("successWithInteractionCode").(map[string]any)}
		if f.at("success") != nil || end.str("href") != r.client.TokenURL() {
			t.Fatalf("%s", f.body)
		}
		v := url.Values{"client_id": {r.client.ID}, "client_secret": {r.client.Secret}, "code_verifier": {codeVerifier}}
		code := end.str("value", 1, "value")
		redeem := func(grant, name string) result {
			v.Set("grant_type", grant)
			v.Set(name, code)
			defer v.Del(name)
			return b.postForm(end.str("href"), v)
		}
		if a := redeem("authorization_code", "code"); a.str("error") != "invalid_grant" {
			t.Errorf("as another grant: %s", a.body)
		}
		if a := redeem("interaction_code", "interaction_code"); a.str("id_token") == "" {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := redeem("interaction_code", "interaction_code"); a.str("error") != "invalid_grant" {
			t.Errorf("twice: %s", a.body)
		}
		b.get("/api/v1/sessions/me").want200(t)
		r.o.Configure(func(s *Settings) { s.Pipeline = "v1" })
		if a := b.postForm(interact, good); a.str("error") == "" {
			t.Errorf("on Classic: %s", a.body)
		}
	}
}
