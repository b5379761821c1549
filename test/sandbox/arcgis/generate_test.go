package arcgis_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"arcproxy/test/sandbox/arcgis"
)

const generate = site + "/portal/sharing/rest/generateToken"

// byPassword is a good request of the Portal's own account, changed by name, value.
func byPassword(changes ...string) url.Values {
	return change(url.Values{"f": {"json"}, "username": {"builtin_gis"}, "password": {"a built-in password"}, "client": {"referer"}, "referer": {"https://app.example.com"}}, changes...)
}

func Test22GenerateTokenRefuses(t *testing.T) {
	r := newRig(t, arcgis.Shape{RealStatus: arcgis.Never})
	good := r.p.Token("alice_gis")
	for name, a := range map[string]answer{
		"GET":                      r.get(generate + "?" + byPassword().Encode()),
		"a URL's password":         r.post(generate+"?password=a+built-in+password&f=json", byPassword("password", "")),
		"a wrong password":         r.post(generate, byPassword("password", "wrong")),
		"who has none of his own":  r.post(generate, byPassword("username", "alice_gis", "password", "")),
		"an empty one":             r.post(generate, url.Values{"f": {"json"}, "username": {"alice_gis"}, "password": {""}, "client": {"requestip"}}),
		"nobody":                   r.post(generate, url.Values{"f": {"json"}, "client": {"requestip"}}),
		"no referer":               r.post(generate, byPassword("referer", "")),
		"no address":               r.post(generate, byPassword("client", "ip")),
		"an unknown client":        r.post(generate, byPassword("client", "browser")),
		"no number of minutes":     r.post(generate, byPassword("expiration", "soon")),
		"none":                     r.post(generate, byPassword("expiration", "0")),
		"a server not federated":   r.post(generate, url.Values{"f": {"json"}, "token": {good}, "serverUrl": {open + "/public"}}),
		"a name that begins alike": r.post(generate, url.Values{"f": {"json"}, "token": {good}, "serverUrl": {site + "/server2"}}),
		"two tokens":               r.post(generate, url.Values{"f": {"json"}, "token": {good}, "serverUrl": {site + "/server"}}, "X-Esri-Authorization", "Bearer "+good),
	} {
		if code := a.errorCode(); code != 400 && !(name == "GET" && code == 405) || strings.Contains(a.body, `"token"`) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := r.post(generate, url.Values{"f": {"json"}, "token": {"bad"}, "serverUrl": {site + "/server"}}); a.errorCode() != 498 {
		t.Errorf("a bad token: %s", a.body)
	}
	if a := r.post(site+"/server/admin/generateToken", byPassword("password", "wrong")); a.text("status") != "error" {
		t.Errorf("administration: %s", a.body)
	}
	if n := r.p.Counts().Generated; n != 0 {
		t.Errorf("counted %d", n)
	}
}

// A token for a federated server is taken by that server and by nobody else, and
// ends with the one by which it was asked for.
func Test22ServerTokens(t *testing.T) {
	r := newRig(t, arcgis.Shape{RealStatus: arcgis.Never})
	g := r.grant("alice@example.com")
	a := r.post(generate, url.Values{"f": {"json"}, "token": {g.text("access_token")}, "serverUrl": {site + "/server/rest/services/Trees"}, "expiration": {"20160"}})
	token := a.text("token")
	if token == "" || a.json()["ssl"] != true {
		t.Fatal(a.body)
	}
	if left := a.json()["expires"].(float64)/1000 - float64(time.Now().Unix()); left < 14*24*3600-5 || left > 14*24*3600+5 {
		t.Errorf("it lasts %v s", left)
	}
	if a := r.get(trees + "&f=json&token=" + token); a.errorCode() != 0 {
		t.Errorf("its server refuses it: %s", a.body)
	}
	for _, address := range []string{self, other + "/arcgis/rest/services/Trees/FeatureServer?f=json", site + "/portal/portaladmin?f=json"} {
		if a := r.get(address + "&token=" + token); !strings.Contains(a.body, "498") {
			t.Errorf("%s takes it: %s", address, a.body)
		}
	}
	r.post(oauth+"revokeToken", url.Values{"client_id": {"arcproxytest"}, "auth_token": {g.text("refresh_token")}})
	if a := r.get(trees + "&f=json&token=" + token); a.errorCode() != 498 {
		t.Errorf("it outlives what it came of: %s", a.body)
	}
}

func Test22Bindings(t *testing.T) {
	r := newRig(t, arcgis.Shape{RealStatus: arcgis.Never})
	from := func(token, address, referer string) answer {
		req := httptest.NewRequest(http.MethodGet, self+"&token="+token, nil)
		req.RemoteAddr = address
		req.Header.Set("Referer", referer)
		return r.do(req)
	}
	const here, there = "192.0.2.1:1234", "198.51.100.9:1234"
	for _, tc := range []struct {
		name             string
		client           []string
		address, referer string
		taken            bool
	}{
		{"referer", nil, here, "https://app.example.com/map?x=1", true},
		{"referer itself", nil, here, "https://app.example.com", true},
		{"no referer", nil, here, "", false},
		{"another referer", nil, here, "https://app.example.com.evil.test/", false},
		{"a name for one", []string{"referer", "@esri/arcgis-rest-js"}, here, "https://app.example.com", false},
		{"ip", []string{"client", "ip", "ip", "192.0.2.1"}, here, "", true},
		{"another ip", []string{"client", "ip", "ip", "192.0.2.1"}, there, "", false},
		{"requestip", []string{"client", "requestip"}, here, "", true}, // httptest's requests come from there
		{"another requestip", []string{"client", "requestip"}, there, "", false},
	} {
		token := r.post(generate, byPassword(tc.client...)).text("token")
		if a := from(token, tc.address, tc.referer); token == "" || (a.errorCode() == 0) != tc.taken {
			t.Errorf("%s: %s", tc.name, a.body)
		}
	}
}

// Whatever a path is written like, a real server reads it, and a token that rides
// along becomes another in the answer.
func Test22PathsThatIssue(t *testing.T) {
	r := newRig(t, arcgis.Shape{RealStatus: arcgis.Never})
	token := r.p.Token("ada_gis")
	paths := []string{
		"/portal/sharing/rest/generateToken", "/portal/sharing/generateToken", "/portal/sharing/rest/GENERATETOKEN/", "/portal/sharing//rest/generateToken",
		"/portal/sharing/rest/generateToken;x=1", "/portal/sharing/rest/generateToken.", "/portal/sharing/rest/%67enerateToken", "/portal/SHARING/rest/generateToken",
		"/portal/sharing/rest/oauth2/exchangeToken", "/portal/sharing/oauth2/exchangetoken/",
		"/server/tokens", "/server/tokens/", "/server/tokens/generateToken", "/server/TOKENS/generatetoken", "/server/admin/generateToken",
	}
	for _, path := range paths {
		a := r.post(site+path, url.Values{"f": {"json"}, "client_id": {"arcproxytest"}}, "X-Esri-Authorization", "Bearer "+token)
		if made := a.text("token"); made == "" || made == token {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	if n := r.p.Counts().Generated; n != len(paths) {
		t.Errorf("counted %d of %d", n, len(paths))
	}
}
