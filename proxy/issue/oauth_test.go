package issue

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// oauthState is how the ArcGIS API for Python finds it (EsriPKCEAuth).
func oauthState(t *testing.T, page string) string {
	t.Helper()
	_, after, ok := strings.Cut(page, `"oauth_state":"`)
	state, _, _ := strings.Cut(after, `"`)
	if !ok || state == "" {
		t.Fatalf("no oauth_state in %s", page)
	}
	return state
}

// begin opens a sign-in page.
func (g *rig) begin(query string) string {
	g.t.Helper()
	w := g.send("GET /portal/sharing/rest/oauth2/authorize?" + query)
	if w.Code != 200 {
		g.t.Fatalf("authorize?%s: %d %s", query, w.Code, w.Body)
	}
	return oauthState(g.t, w.Body.String())
}

// signIn signs in and returns where the answer leads.
func (g *rig) signIn(state string) *url.URL {
	g.t.Helper()
	w := g.send("POST /portal/sharing/oauth2/signin\n\nexpiration=600&oauth_state=" + state + "&username=nightly&password=" + key)
	if w.Code != http.StatusFound {
		g.t.Fatalf("signin: %d %s", w.Code, w.Body)
	}
	return parse(g.t, w.Header().Get("Location"))
}

const oob = "urn%3Aietf%3Awg%3Aoauth%3A2.0%3Aoob"

// TestPythonImplicit is GIS(url, user, password) of the ArcGIS API for Python 2.4.4.
func TestPythonImplicit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		const query = "response_type=token&client_id=pythonapi&redirect_uri=https%3A%2F%2Fmaps.corp.example%3A8443&state=V2iTALAiHktA43TAHL5xaUUX8V6RwG&expiration=600&allow_verification=false&style=dark&locale=en-US"
		g.begin(query)
		page := g.send("GET /portal/sharing/rest/oauth2/authorize?" + query).Body.String()
		// It takes the first line with braces for JSON, greedily.
		first := regexp.MustCompile(`\{.*\}`).FindString(page)
		if !strings.HasPrefix(first, `{"oauth_state":"`) || !strings.HasSuffix(first, "}") || strings.Contains(first, "'") {
			t.Errorf("what the client takes for JSON is %s", first)
		}
		if strings.Contains(page, "Invalid redirect_uri") {
			t.Error("the redirect URI is refused")
		}
		to := g.signIn(oauthState(t, page))
		fragment, err := url.ParseQuery(to.EscapedFragment())
		if err != nil || to.Scheme != "https" || to.Host != host || to.RawQuery != "" {
			t.Fatalf("the sign-in leads to %v", to)
		}
		if fragment.Get("state") != "V2iTALAiHktA43TAHL5xaUUX8V6RwG" || fragment.Get("expires_in") != "36000" || fragment.Get("username") != "alice" || fragment.Get("ssl") != "true" {
			t.Errorf("the fragment is %v", fragment)
		}
		token := fragment.Get("access_token")
		if g.whose(token) != "nightly" {
			t.Error("the token is not good")
		}
		time.Sleep(10 * time.Hour)
		if g.whose(token) != "" {
			t.Error("the token did not end")
		}
	})
}

func TestPythonWrongPassword(t *testing.T) {
	g := newRig(t)
	state := g.begin("response_type=token&client_id=pythonapi&redirect_uri=" + site)
	w := g.send("POST /portal/sharing/oauth2/signin\n\noauth_state=" + state + "&username=nightly&password=an-okta-password")
	body := w.Body.String()
	if w.Code != 200 || w.Header().Get("Location") != "" || !strings.Contains(body, "OAUTH_0015") || !strings.Contains(body, `"messages":["Invalid username or password."]`) {
		t.Errorf("%d %s", w.Code, body)
	}
	if strings.Contains(body, "okta-password") || strings.Contains(g.log.String(), "okta-password") {
		t.Error("the password is in the answer or the log")
	}
	if again := oauthState(t, body); again == state {
		t.Error("the state is good for a second try")
	} else {
		g.signIn(again)
	}
}

// TestPythonCode is the same client's way with a code that is shown on a page.
func TestPythonCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		state := g.begin("response_type=code&client_id=pythonapi&redirect_uri=" + oob + "&state=KzoNZf45LgRodRoyDA3HWiCCrOWgMo&expiration=20160&allow_verification=false&style=dark&locale=en-US")
		to := g.signIn(state)
		if to.Host != host || to.Path != "/portal/sharing/rest/oauth2/approval" || !to.IsAbs() {
			t.Fatalf("the sign-in leads to %v", to)
		}
		page := g.send("GET " + to.RequestURI()).Body.String()
		title := regexp.MustCompile(`<title>SUCCESS code=(.*?)</title>`).FindStringSubmatch(page)
		if title == nil || !regexp.MustCompile(`<script[^>]*>var oAuthInfo = \{.*?\};</script>`).MatchString(page) {
			t.Fatalf("the client cannot read %s", page)
		}
		v := g.json("POST /portal/sharing/rest/oauth2/token\n\ngrant_type=authorization_code&client_id=pythonapi&expiration=20160&code=" + title[1] + "&redirect_uri=" + oob)
		old, longer := text(t, v, "access_token"), text(t, v, "refresh_token")
		if v["expires_in"] != 1800.0 || v["refresh_token_expires_in"] != 1209600.0 || v["username"] != "alice" || v["ssl"] != true {
			t.Errorf("the grant is %v", v)
		}
		time.Sleep(30 * time.Minute)
		if g.whose(old) != "" {
			t.Error("the access token did not end")
		}
		v = g.json("POST /portal/sharing/rest/oauth2/token\n\ngrant_type=refresh_token&client_id=pythonapi&expiration=20160&refresh_token=" + longer)
		fresh := text(t, v, "access_token")
		if _, ok := v["refresh_token"]; ok || g.whose(fresh) != "nightly" {
			t.Errorf("the refresh gave %v", v)
		}
		if _, _, text := faultOf(g.json("POST /portal/sharing/rest/oauth2/token\n\ngrant_type=refresh_token&client_id=other&refresh_token=" + longer)); text != "Invalid client_id" {
			t.Errorf("another client's refresh: %s", text)
		}
		if v = g.json("POST /portal/sharing/rest/oauth2/token\n\ngrant_type=suspend_session&client_id=pythonapi&f=json&refresh_token=" + longer); v["success"] != true || g.whose(fresh) != "" {
			t.Error("the session was not suspended")
		}
	})
}

// TestPythonPKCE is EsriPKCEAuth.
func TestPythonPKCE(t *testing.T) {
	g := newRig(t)
	verifier := "0123456789abcdef0123456789abcdef0123456789ab"
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	for _, tt := range []struct{ verifier, want string }{
		{"code_verifier=" + verifier, ""},
		{"code_verifier=" + strings.Repeat("x", 44), "Invalid code_verifier"},
		{"", "Invalid code_verifier"},
		{"code_verifier=" + challenge, "Invalid code_verifier"},
	} {
		state := g.begin("client_id=arcgisonline&redirect_uri=" + url.QueryEscape(site+"/portal") + "&response_type=code&code_challenge=" + challenge + "&code_challenge_method=S256&f=json&expiration=1440")
		code := g.signIn(state).Query().Get("code")
		redeem := "POST /portal/sharing/rest/oauth2/token\n\nclient_id=arcgisonline&grant_type=authorization_code&redirect_uri=" + url.QueryEscape(site+"/portal") + "&code=" + code + "&"
		if _, _, got := faultOf(g.json(redeem + tt.verifier)); got != tt.want {
			t.Errorf("%s: %q", tt.verifier, got)
		}
		if _, _, got := faultOf(g.json(redeem + "code_verifier=" + verifier)); got != "Invalid authorization code" {
			t.Errorf("a second try with a code: %q", got)
		}
	}
	// A verifier where no challenge was: it was taken out on the way.
	code := g.signIn(g.begin("client_id=a&response_type=code&redirect_uri=" + oob)).Query().Get("code")
	if _, _, got := faultOf(g.json("POST /portal/sharing/rest/oauth2/token\n\nclient_id=a&grant_type=authorization_code&redirect_uri=" + oob + "&code=" + code + "&code_verifier=" + verifier)); got != "Invalid code_verifier" {
		t.Errorf("a verifier without a challenge: %q", got)
	}
	if w := g.send("GET /portal/sharing/rest/oauth2/authorize?client_id=a&response_type=code&redirect_uri=" + oob + "&code_challenge=short&code_challenge_method=S256"); w.Code != 400 {
		t.Error("a challenge that cannot be met is taken")
	}
}

// TestReplay: a code in two hands ends what it was good for.
func TestReplay(t *testing.T) {
	g := newRig(t)
	code := g.signIn(g.begin("client_id=a&response_type=code&redirect_uri=" + oob)).Query().Get("code")
	redeem := "POST /portal/sharing/rest/oauth2/token\n\nclient_id=a&grant_type=authorization_code&redirect_uri=" + oob + "&code=" + code
	v := g.json(redeem)
	access, refresh := text(t, v, "access_token"), text(t, v, "refresh_token")
	g.json(redeem)
	if g.whose(access) != "" {
		t.Error("the access token of a code that was replayed is good")
	}
	if _, _, got := faultOf(g.json("POST /portal/sharing/rest/oauth2/token\n\nclient_id=a&grant_type=refresh_token&refresh_token=" + refresh)); got != "Invalid refresh_token" {
		t.Errorf("its refresh token: %q", got)
	}
}

func TestRedeemRefused(t *testing.T) {
	g := newRig(t)
	for _, tt := range []struct{ raw, kind, want string }{
		{"client_id=b&redirect_uri=" + oob, "invalid_client_id", "Invalid client_id"},
		{"client_id=a&redirect_uri=" + site, "invalid_request", "Invalid redirect_uri"},
		{"client_id=a", "invalid_request", "Invalid redirect_uri"},
	} {
		code := g.signIn(g.begin("client_id=a&response_type=code&redirect_uri=" + oob)).Query().Get("code")
		c, kind, got := faultOf(g.json("POST /portal/sharing/rest/oauth2/token\n\ngrant_type=authorization_code&code=" + code + "&" + tt.raw))
		if c != 400 || kind != tt.kind || got != tt.want {
			t.Errorf("%s: %v %s %s", tt.raw, c, kind, got)
		}
	}
	for raw, want := range map[string]string{
		"":                              "grant_type not specified",
		"grant_type=password":           "Invalid grant_type",
		"grant_type=authorization_code": "Invalid authorization code",
		"grant_type=authorization_code&code=" + key:                  "Invalid authorization code",
		"grant_type=refresh_token":                                   "Invalid refresh_token",
		"grant_type=refresh_token&refresh_token=" + newText(refresh): "Invalid refresh_token",
	} {
		if _, _, got := faultOf(g.json("POST /portal/sharing/rest/oauth2/token\n\nf=json&" + raw)); got != want {
			t.Errorf("%s: %q", raw, got)
		}
	}
}

// TestRenew is rest-js's exchangeRefreshToken, and what comes after too long.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		code := g.signIn(g.begin("client_id=a&response_type=code&expiration=120&redirect_uri=" + oob)).Query().Get("code")
		v := g.json("POST /portal/sharing/rest/oauth2/token/\n\nf=json&client_id=a&grant_type=authorization_code&redirect_uri=" + oob + "&code=" + code)
		first, access := text(t, v, "refresh_token"), text(t, v, "access_token")
		exchange := func(token string) map[string]any {
			return g.json("POST /portal/sharing/rest/oauth2/token\n\nf=json&client_id=a&grant_type=exchange_refresh_token&redirect_uri=" + oob + "&refresh_token=" + token)
		}
		if _, _, got := faultOf(g.json("POST /portal/sharing/rest/oauth2/token\n\nclient_id=a&grant_type=exchange_refresh_token&refresh_token=" + first)); got != "Invalid redirect_uri" {
			t.Errorf("an exchange without redirect_uri: %q", got)
		}
		v = exchange(first)
		second, newer := text(t, v, "refresh_token"), text(t, v, "access_token")
		if v["refresh_token_expires_in"] != 7200.0 || g.whose(access) != "nightly" || g.whose(newer) != "nightly" {
			t.Errorf("the exchange gave %v", v)
		}
		if _, _, got := faultOf(g.json("POST /portal/sharing/rest/oauth2/token\n\nclient_id=a&grant_type=refresh_token&refresh_token=" + first)); got != "Invalid refresh_token" {
			t.Errorf("the old refresh token: %q", got)
		}
		time.Sleep(2 * time.Hour)
		c, _, got := faultOf(g.json("POST /portal/sharing/rest/oauth2/token\n\nclient_id=a&grant_type=refresh_token&refresh_token=" + second))
		if c != 498 || got != "refresh_token expired" {
			t.Errorf("an expired refresh token: %v %q", c, got)
		}
	})
}

func TestRevokeFamily(t *testing.T) {
	g := newRig(t)
	code := g.signIn(g.begin("client_id=a&response_type=code&redirect_uri=" + oob)).Query().Get("code")
	v := g.json("POST /portal/sharing/rest/oauth2/token\n\nclient_id=a&grant_type=authorization_code&redirect_uri=" + oob + "&code=" + code)
	first := text(t, v, "access_token")
	v2 := g.json("POST /portal/sharing/rest/oauth2/token\n\nclient_id=a&grant_type=exchange_refresh_token&redirect_uri=" + oob + "&refresh_token=" + text(t, v, "refresh_token"))
	server := text(t, g.json("POST /portal/sharing/rest/generateToken\n\nf=json&token="+first), "token")
	bystander := text(t, g.json("POST /portal/sharing/rest/generateToken\n\nf=json&username=nightly&password="+key), "token")
	if v := g.json("POST /portal/sharing/rest/oauth2/revokeToken\n\nf=json&client_id=a&auth_token=" + text(t, v2, "refresh_token")); v["success"] != true {
		t.Errorf("%v", v)
	}
	for _, token := range []string{first, text(t, v2, "access_token"), server} {
		if g.whose(token) != "" {
			t.Error("a token outlived the refresh token that was revoked")
		}
	}
	if g.whose(bystander) != "nightly" {
		t.Error("a token of another sign-in was revoked, too")
	}
	for _, other := range []string{"", "x", key, newText(refresh)} {
		if v := g.json("POST /portal/sharing/rest/oauth2/revokeToken\n\nf=json&auth_token=" + other); v["success"] != true {
			t.Errorf("revokeToken of %q: %v", other, v)
		}
	}
	g.RevokeCaller("nightly")
	if g.whose(bystander) != "" {
		t.Error("a caller was taken out, and its token is good")
	}
}

// TestApplication is rest-js's ApplicationCredentialsManager and PyAPI's client_secret.
func TestApplication(t *testing.T) {
	g := newRig(t)
	for raw, want := range map[string]float64{
		"f=json&grant_type=client_credentials&expiration=7200&client_id=nightly&client_secret=" + key:     7200 * 60,
		"grant_type=client_credentials&redirect_uri=" + oob + "&client_id=nightly&client_secret=" + key:   7200,
		"grant_type=client_credentials&expiration=999999999999999&client_id=nightly&client_secret=" + key: 14 * 24 * 3600,
	} {
		v := g.json("POST /portal/sharing/rest/oauth2/token/\n\n" + raw)
		if v["expires_in"] != want || len(v) != 2 || g.whose(text(t, v, "access_token")) != "nightly" {
			t.Errorf("%s: %v", raw, v)
		}
	}
	var texts []string
	for _, raw := range []string{"client_id=nightly&client_secret=x", "client_id=nobody&client_secret=x", "client_id=nightly", "client_secret=" + key} {
		c, kind, text := faultOf(g.json("POST /portal/sharing/rest/oauth2/token\n\ngrant_type=client_credentials&" + raw))
		if c != 400 || kind != "invalid_client_id" {
			t.Errorf("%s: %v %s", raw, c, kind)
		}
		texts = append(texts, text)
	}
	for _, other := range texts {
		if other != texts[0] {
			t.Error("the answer tells a name that exists from one that does not")
		}
	}
}

func TestExchangeToken(t *testing.T) {
	g := newRig(t)
	for _, token := range []string{key, text(t, g.json("POST /portal/sharing/rest/generateToken\n\nf=json&username=nightly&password="+key), "token")} {
		v := g.json("POST /portal/sharing/rest/oauth2/exchangeToken\n\nf=json&client_id=app&token=" + token)
		if g.whose(text(t, v, "token")) != "nightly" || len(v) != 1 {
			t.Errorf("%v", v)
		}
	}
	for _, token := range []string{"", "x", newText(access), newText(refresh)} {
		if c, _, _ := faultOf(g.json("POST /portal/sharing/rest/oauth2/exchangeToken\n\nf=json&client_id=app&token=" + token)); c != 400 {
			t.Errorf("%q: %v", token, c)
		}
	}
}

// TestPlatformSelf is rest-js's platformSelf.
func TestPlatformSelf(t *testing.T) {
	g := newRig(t)
	const at = "POST /portal/sharing/rest/oauth2/platformSelf?f=json\nX-Known: laptop\n"
	v := g.json(at + "X-Esri-Auth-Client-Id: arcgisWebApps\nX-Esri-Auth-Redirect-Uri: " + site + "/portal/apps/x/index.html\n\nf=json")
	if v["username"] != "alice" || v["expires_in"] != 7200.0 || v["portalUrl"] != site+"/portal" || g.whose(text(t, v, "token")) != "laptop" {
		t.Errorf("%v", v)
	}
	g.clerk.broken.Store(true)
	v = g.json(at + "X-Esri-Auth-Client-Id: arcgisWebApps\nX-Esri-Auth-Redirect-Uri: " + site + "/portal/apps/x/index.html\n\nf=json")
	if _, ok := v["username"]; ok || g.whose(text(t, v, "token")) != "laptop" {
		t.Errorf("without a user name: %v", v)
	}
	for _, raw := range []string{
		at + "X-Esri-Auth-Redirect-Uri: " + site + "\n\nf=json", // what a page of another site can send: no header of its own
		at + "X-Esri-Auth-Client-Id: a\nX-Esri-Auth-Redirect-Uri: https://evil.example/\n\nf=json",
		"POST /portal/sharing/rest/oauth2/platformSelf\nX-Esri-Auth-Client-Id: a\nX-Esri-Auth-Redirect-Uri: " + site + "\n\nf=json",
	} {
		if c, _, _ := faultOf(g.json(raw)); c != 400 {
			t.Errorf("%s: %v", raw, c)
		}
	}
}

func TestStateIsGoodOnceAndNotForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		post := func(state string) int {
			return g.send("POST /portal/sharing/rest/oauth2/signin\n\noauth_state=" + state + "&username=nightly&password=" + key).Code
		}
		state := g.begin("client_id=a&response_type=code&redirect_uri=" + oob)
		if got := post(state); got != http.StatusFound {
			t.Errorf("the first sign-in: %d", got)
		}
		if got := post(state); got != 400 {
			t.Errorf("the second sign-in with one state: %d", got)
		}
		state = g.begin("client_id=a&response_type=code&redirect_uri=" + oob)
		time.Sleep(stateLife)
		if got := post(state); got != 400 {
			t.Errorf("a sign-in after too long: %d", got)
		}
		if got := post(""); got != 400 {
			t.Errorf("a sign-in without state: %d", got)
		}
		oldest := g.begin("client_id=a&response_type=code&redirect_uri=" + oob)
		for range maxPending {
			g.begin("client_id=a&response_type=code&redirect_uri=" + oob)
		}
		if got := post(oldest); got != 400 {
			t.Errorf("there is no end to the sign-ins that have begun: %d", got)
		}
		code := g.signIn(g.begin("client_id=a&response_type=code&redirect_uri=" + oob)).Query().Get("code")
		time.Sleep(codeLife)
		if _, _, got := faultOf(g.json("POST /portal/sharing/rest/oauth2/token\n\nclient_id=a&grant_type=authorization_code&redirect_uri=" + oob + "&code=" + code)); got != "Invalid authorization code" {
			t.Errorf("a code after too long: %q", got)
		}
		code = g.signIn(g.begin("client_id=a&response_type=code&redirect_uri=http://localhost:1/")).Query().Get("code")
		if w := g.send("GET /portal/sharing/rest/oauth2/approval?code=" + code); w.Code != 400 {
			t.Error("a code that is for a redirect is shown")
		}
		time.Sleep(codeLife)
		if w := g.send("GET /portal/sharing/rest/oauth2/approval?code=" + code); w.Code != 400 || strings.Contains(w.Body.String(), code) {
			t.Error("a code that has ended is shown")
		}
	})
}

func TestForeignForm(t *testing.T) {
	g := newRig(t)
	state := g.begin("client_id=a&response_type=code&redirect_uri=" + oob)
	for _, field := range []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Origin: null"} {
		w := g.send("POST /portal/sharing/oauth2/signin\n" + field + "\n\noauth_state=" + state + "&username=nightly&password=" + key)
		if w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", field, w.Code)
		}
	}
	w := g.send("POST /portal/sharing/oauth2/signin\nOrigin: " + site + "\nSec-Fetch-Site: same-origin\n\noauth_state=" + state + "&username=nightly&password=" + key)
	if w.Code != http.StatusFound {
		t.Errorf("the form of the page itself: %d", w.Code)
	}
}

func TestEchoIsEscaped(t *testing.T) {
	g := newRig(t)
	const evil = `%3C%2Fscript%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E%22%27%7D`
	for _, raw := range []string{
		"GET /portal/sharing/rest/oauth2/authorize?client_id=" + evil + "&response_type=code&redirect_uri=" + oob + "&state=" + evil + "&locale=" + evil,
		"GET /portal/sharing/rest/oauth2/authorize?client_id=a&response_type=" + evil + "&redirect_uri=" + oob,
		"GET /portal/sharing/rest/oauth2/authorize?client_id=a&response_type=code&redirect_uri=" + evil,
		"GET /portal/sharing/rest/oauth2/authorize?client_id=a&response_type=code&redirect_uri=http://localhost/" + evil,
		"GET /portal/sharing/rest/oauth2/approval?code=" + evil,
		"POST /portal/sharing/rest/oauth2/signin\n\noauth_state=" + evil + "&username=" + evil + "&password=" + evil,
		"POST /portal/sharing/rest/oauth2/token\n\ngrant_type=" + evil,
		"POST /portal/sharing/rest/generateToken\n\nf=" + evil + "&client=" + evil,
	} {
		body := g.send(raw).Body.String()
		if strings.Contains(html.UnescapeString(body), "alert(1)") && strings.Contains(body, "alert(1)</") || strings.Contains(body, "<script>") {
			t.Errorf("%s is echoed in %s", raw, body)
		}
	}
	to := g.signIn(g.begin("client_id=a&response_type=code&redirect_uri=http%3A%2F%2Flocalhost%3A1%2Fcb&state=" + evil + "%0d%0aX:y"))
	if to.Host != "localhost:1" || !strings.HasPrefix(to.Query().Get("state"), "</script>") {
		t.Errorf("the state became %v", to)
	}
}
