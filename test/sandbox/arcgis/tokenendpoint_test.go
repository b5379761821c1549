package arcgis_test

import (
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"arcproxy/test/sandbox/arcgis"
)

func Test14CodeIsSingleUseAndShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, arcgis.Shape{})
		code := r.signIn("alice@example.com").code()
		if a := r.post(oauth+"token", redemption(code)); a.text("access_token") == "" {
			t.Fatal(a.body)
		}
		if a := r.post(oauth+"token", redemption(code)); a.errorCode() != 400 || !strings.Contains(a.body, "Invalid authorization code") {
			t.Errorf("a code was taken twice: %s", a.body)
		}
		code = r.signIn("alice@example.com").code()
		time.Sleep(2*time.Minute + time.Second)
		if a := r.post(oauth+"token", redemption(code)); a.errorCode() != 400 {
			t.Errorf("a code outlived its time: %s", a.body)
		}
		for _, changes := range [][]string{{"redirect_uri", "urn:ietf:wg:oauth:2.0:oob"}, {"client_id", "nobody"}, {"grant_type", "password"}, {"code", "made-up"}} {
			if a := r.post(oauth+"token", redemption(r.signIn("alice@example.com").code(), changes...)); a.errorCode() != 400 {
				t.Errorf("%v: %s", changes, a.body)
			}
		}
		if a := r.get(oauth + "token?" + redemption(r.signIn("alice@example.com").code()).Encode()); a.errorCode() != 405 {
			t.Errorf("GET: %s", a.body)
		}
	})
}

func Test15PKCE(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	for _, c := range []struct {
		name, challenge, method, verifier string
		good                              bool
	}{
		{"S256", authorization().Get("code_challenge"), "S256", verifier, true},
		{"S256, wrong", authorization().Get("code_challenge"), "S256", verifier + "x", false},
		{"S256, none", authorization().Get("code_challenge"), "S256", "", false},
		{"S256, the challenge itself", authorization().Get("code_challenge"), "S256", authorization().Get("code_challenge"), false},
		{"plain", verifier, "plain", verifier, true},
		{"plain by default", verifier, "", verifier, true},
		{"plain, wrong", verifier, "plain", verifier + "x", false},
		{"none", "", "", "", true},
		{"none, but a verifier", "", "", verifier, false},
	} {
		code := r.signIn("alice@example.com", "code_challenge", c.challenge, "code_challenge_method", c.method).code()
		a := r.post(oauth+"token", redemption(code, "code_verifier", c.verifier))
		if (a.errorCode() == 0) != c.good {
			t.Errorf("%s: %s", c.name, a.body)
		}
	}
	if a := r.get(oauth + "authorize?" + authorization("code_challenge_method", "S512").Encode()); !strings.Contains(a.body, "Invalid code_challenge_method") {
		t.Error(a.body)
	}
}

func Test16TokenWithAndWithoutRefreshExpiry(t *testing.T) {
	for _, choice := range []arcgis.Choice{arcgis.Always, arcgis.Never} {
		r := newRig(t, arcgis.Shape{RefreshExpiry: choice})
		v := r.grant("alice@example.com").json()
		if _, has := v["refresh_token_expires_in"]; has != (choice == arcgis.Always) {
			t.Errorf("%v: %v", choice, v)
		}
		if v["expires_in"] != 1800.0 || v["username"] != "alice_gis" || v["ssl"] != true || v["refresh_token"] == "" {
			t.Errorf("%v", v)
		}
	}
	r := newRig(t, arcgis.Shape{NoRefresh: true})
	if _, has := r.grant("alice@example.com").json()["refresh_token"]; has {
		t.Error("a refresh token came although the shape has none")
	}
}

func refreshing(token string, changes ...string) url.Values {
	return change(url.Values{"grant_type": {"refresh_token"}, "client_id": {"arcproxytest"}, "refresh_token": {token}}, changes...)
}

func Test17Refresh(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	g := r.grant("alice@example.com")
	r.p.RevokeAccessTokens()
	if r.works(g.text("access_token")) {
		t.Error("a revoked token works")
	}
	a := r.post(oauth+"token", refreshing(g.text("refresh_token")))
	if !r.works(a.text("access_token")) || a.text("refresh_token") != "" {
		t.Errorf("refresh: %s", a.body)
	}
	for _, changes := range [][]string{{"client_id", "nobody"}, {"refresh_token", "made-up"}, {"refresh_token", g.text("access_token")}} {
		if a := r.post(oauth+"token", refreshing(g.text("refresh_token"), changes...)); a.errorCode() != 400 {
			t.Errorf("%v: %s", changes, a.body)
		}
	}
	if r.works(g.text("refresh_token")) {
		t.Error("a refresh token was taken for an access token")
	}
	if c := r.p.Counts(); c.Refreshes != 1 || c.SignIns != 1 || c.RefreshRefused != 2 {
		t.Errorf("counted %+v", c)
	}
}

func Test18ExchangeEndsTheOldToken(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	old := r.grant("alice@example.com").text("refresh_token")
	exchange := refreshing(old, "grant_type", "exchange_refresh_token", "redirect_uri", "http://localhost/callback")
	if a := r.post(oauth+"token", refreshing(old, "grant_type", "exchange_refresh_token")); a.errorCode() != 400 {
		t.Errorf("without redirect_uri: %s", a.body)
	}
	fresh := r.post(oauth+"token", exchange)
	if fresh.text("refresh_token") == old || !r.works(fresh.text("access_token")) {
		t.Errorf("exchange: %s", fresh.body)
	}
	if a := r.post(oauth+"token", refreshing(old)); a.errorCode() != 400 {
		t.Errorf("the old refresh token lives: %s", a.body)
	}
	if a := r.post(oauth+"token", refreshing(fresh.text("refresh_token"))); a.errorCode() != 0 {
		t.Errorf("the new refresh token is dead: %s", a.body)
	}
}

func Test19ExpiredRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, arcgis.Shape{})
		g := r.grant("alice@example.com", "expiration", "60")
		time.Sleep(time.Hour)
		a := r.post(oauth+"token", refreshing(g.text("refresh_token")))
		if a.errorCode() != 498 || !strings.Contains(a.body, "refresh_token expired") {
			t.Error(a.body)
		}
	})
}

func Test20RevokeCascades(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	g := r.grant("alice@example.com")
	kept := r.grant("alice@example.com")
	second := r.post(oauth+"token", refreshing(g.text("refresh_token"))).text("access_token")
	revoke := func(token string) {
		t.Helper()
		if a := r.post(oauth+"revokeToken", url.Values{"client_id": {"arcproxytest"}, "auth_token": {token}, "f": {"json"}}); a.json()["success"] != true {
			t.Error(a.body)
		}
	}
	revoke("made-up")
	if n := r.p.Counts().Revocations; n != 0 {
		t.Errorf("%d revocations of nothing", n)
	}
	revoke(second)
	if r.works(second) || !r.works(g.text("access_token")) {
		t.Error("revoking an access token ended another, or not itself")
	}
	revoke(g.text("refresh_token"))
	if r.works(g.text("access_token")) {
		t.Error("an access token outlived its refresh token's revocation")
	}
	if a := r.post(oauth+"token", refreshing(g.text("refresh_token"))); a.errorCode() == 0 {
		t.Error("a revoked refresh token works")
	}
	if !r.works(kept.text("access_token")) {
		t.Error("another sign-in's token was ended, too")
	}
}

func Test21ExpirationIsClamped(t *testing.T) {
	r := newRig(t, arcgis.Shape{RefreshExpiry: arcgis.Always})
	const day = 24 * 60 * 60
	for minutes, want := range map[string]float64{"": 14 * day, "60": 3600, "-1": 90 * day, "999999999": 90 * day} {
		if got := r.grant("alice@example.com", "expiration", minutes).json()["refresh_token_expires_in"]; got != want {
			t.Errorf("expiration %q yields %v s, want %v", minutes, got, want)
		}
	}
	if a := r.get(oauth + "authorize?" + authorization("expiration", "soon").Encode()); !strings.Contains(a.body, "Invalid expiration") {
		t.Error(a.body)
	}
}

func TestLifetimesAndRevocationsForTests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, arcgis.Shape{})
		r.p.SetTokenLifetime(5 * time.Second)
		g := r.grant("alice@example.com")
		if time.Sleep(4 * time.Second); !r.works(g.text("access_token")) {
			t.Error("ended too early")
		}
		if time.Sleep(time.Second); r.works(g.text("access_token")) {
			t.Error("did not end")
		}
		r.p.SetTokenLifetime(time.Hour)
		r.p.SetRefreshLifetime(10*time.Second, time.Minute)
		r.p.SetCodeLifetime(time.Second)
		long := r.grant("alice@example.com", "expiration", "-1").text("refresh_token")
		short := r.grant("alice@example.com").text("refresh_token")
		code := r.signIn("alice@example.com").code()
		time.Sleep(30 * time.Second)
		if r.post(oauth+"token", refreshing(long)).errorCode() != 0 || r.post(oauth+"token", refreshing(short)).errorCode() != 498 {
			t.Error("SetRefreshLifetime did nothing, or too much")
		}
		if r.post(oauth+"token", redemption(code)).errorCode() != 400 {
			t.Error("SetCodeLifetime did nothing")
		}
		r.p.ExpireRefresh()
		if r.post(oauth+"token", refreshing(long)).errorCode() != 498 {
			t.Error("ExpireRefresh did nothing")
		}
		g = r.grant("alice@example.com")
		r.p.ExpireTokens()
		if r.works(g.text("access_token")) {
			t.Error("ExpireTokens did nothing")
		}
		bob := r.grant("bob@example.com")
		g = r.grant("alice@example.com")
		r.p.Revoke("bob_gis")
		if r.works(bob.text("access_token")) || !r.works(g.text("access_token")) {
			t.Error("Revoke hit the wrong member")
		}
		r.p.RevokeAfter(2)
		for i, want := range []bool{true, true, false, false} {
			if got := r.works(g.text("access_token")); got != want {
				t.Errorf("request %d after RevokeAfter(2): %v", i+1, got)
			}
		}
		r.p.RevokeAll()
		if a := r.post(oauth+"token", refreshing(g.text("refresh_token"))); a.errorCode() == 0 {
			t.Error("RevokeAll left a refresh token")
		}
		if token := r.p.Token("alice_gis"); !r.works(token) {
			t.Error("Token does not work")
		}
	})
}

func TestSecretsAreNotTakenFromURLs(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	form := redemption(r.signIn("alice@example.com").code())
	for _, name := range []string{"code", "code_verifier"} {
		in := change(redemption(form.Get("code")), name, "")
		if a := r.post(oauth+"token?"+url.Values{name: form[name]}.Encode(), in); a.errorCode() != 400 || a.json()["access_token"] != nil {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	g := r.post(oauth+"token", form) // the code was not used up
	refresh := g.text("refresh_token")
	if a := r.post(oauth+"token?refresh_token="+url.QueryEscape(refresh), url.Values{"grant_type": {"refresh_token"}, "client_id": {"arcproxytest"}}); a.errorCode() != 400 {
		t.Errorf("refresh_token: %s", a.body)
	}
	if a := r.post(oauth+"revokeToken?auth_token="+url.QueryEscape(refresh), url.Values{"client_id": {"arcproxytest"}}); a.errorCode() != 400 || !r.works(g.text("access_token")) {
		t.Errorf("auth_token: %s", a.body)
	}
	if n := r.p.Counts().Exposed; n != 4 {
		t.Errorf("counted %d", n)
	}
}

func TestOAuthErrorsHaveAStatus(t *testing.T) {
	for choice, want := range map[arcgis.Choice]int{arcgis.Always: 400, arcgis.Never: 200} {
		r := newRig(t, arcgis.Shape{RealStatus: choice})
		if a := r.post(oauth+"token", redemption("unknown")); a.status != want || a.errorCode() != 400 {
			t.Errorf("%d %s", a.status, a.body)
		}
		g := r.grant("alice@example.com")
		r.p.ExpireRefresh()
		a := r.post(oauth+"token", url.Values{"grant_type": {"refresh_token"}, "client_id": {"arcproxytest"}, "refresh_token": {g.text("refresh_token")}})
		if a.status != want || a.errorCode() != 498 {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}
