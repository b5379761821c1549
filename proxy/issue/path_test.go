package issue

import (
	"strings"
	"testing"
)

func TestHandles(t *testing.T) {
	i := newRig(t).Issuer
	ours := []string{
		"/portal/sharing/rest/generateToken", "/portal/sharing/generateToken", "/portal//sharing/rest/generateToken/",
		"/portal/sharing/rest/oauth2/token", "/portal/sharing/rest/oauth2/token/", "/portal/sharing/oauth2/token",
		"/portal/sharing/rest/oauth2/exchangeToken", "/portal/sharing/rest/oauth2/revokeToken/", "/portal/sharing/rest/oauth2/platformSelf",
		"/portal/sharing/rest/oauth2/authorize", "/portal/sharing/oauth2/signin", "/portal/sharing/rest/oauth2/approval",
		"/server/tokens", "/server/tokens/", "/server/tokens/generateToken", "/server/tokens/gettoken.html",
		"/server/admin/generateToken", "/server/rest/generateToken", "/portal/portaladmin/generateToken",

		// What a server might take for one of these.
		"/PORTAL/Sharing/REST/GENERATETOKEN",
		"/portal/sharing/rest/%67enerateToken", "/portal/sharing/rest/%2567enerateToken", "/portal/sharing/%2525252567enerateToken",
		"/portal/sharing/rest/generateToken;jsessionid=1", "/portal/sharing;x/rest/generateToken", "/portal/sharing/rest/generateToken.", "/portal/sharing/rest/generateToken%20",
		"/portal/sharing/rest/generateToken%00", "/portal/sharing%2frest%2fgenerateToken", `/portal/sharing\rest\generateToken`,
		"/portal/sharing/rest/generateTo%e2%84%aaen", "/portal/%c5%bfharing/oauth2/token", "/portal/sharing/oauth2/%c4%b0x/generateToken",
		"/portal/sharing/rest/oauth2/author%c4%b1ze", "/portal/sharing/rest/oauth2/s%c4%b0gnin",
		"/portal/%" + strings.Repeat("25", 30) + "41/x",

		"/portal/.tokens/x", "/portal/sharing/.proxy", "/portal/.sharing/rest/oauth2/x", "/portal/sharing/rest/.oauth2/x", "/server/rest/.login", "/server/rest/login/", "/portal/sharing//rest//oauth2/x", "/portal//sharing/oauth2/x",
		"/portal/sharing/rest/generateToken%3Ff=json/x", "/portal/sharing/rest/generateToken%2523x",

		// Where a session ends.
		"/portal/sharing/rest/oauth2/signout", "/portal/sharing/oauth2/signOut/", "/server/rest/logout", "/server/admin/logout", "/portal/portaladmin/logout", "/portal/home/signout.html", "/portal/sharing/rest/logout",

		// Where passwords go, or real tokens come from.
		"/server/rest/login", "/server/admin/login", "/SERVER/REST/LOGIN", "/server/rest/log%69n", "/server/rest/login;jsessionid=1", "/server/login", "/server/manager/login", "/portal/portaladmin/login",
		"/portal/home/signin.html", "/portal/sharing/servers/0123/rest/login", "/portal/sharing/servers/0123/admin/logout", "/server/admin/j_security_check", "/portal/home/%c5%bfignin.html", "/portal/home/logout.html", "/portal/home/LOGİN.html",
		"/portal/sharing/rest/oauth2/sessions", "/portal/sharing/rest/oauth2/nextYearsToken", "/portal/sharing/rest/oauth2/openid/login",
		"/portal/sharing/rest/oauth2/apps/x/resetApiKey", "/portal/sharing/rest/community/users/alice/apiKeys", "/portal/sharing/rest/portals/self/apiKeys",
		"/portal/sharing/proxy", "/portal/sharing/rest/proxy", "/portal/sharing/proxy.ashx", "/portal/sharing/proxy/x",
		"/portal/sharing/rest/oauth2/token/x", "/portal/sharing/rest/oauth2/saml/authorize", "/portal/sharing/rest/oauth2/saml/signin",
		"/portal/sharing/oauth2/resetPassword", "/portal/sharing/oauth2/mfa", "/portal/sharing/rest/oauth2/social/authorize",
	}
	for _, path := range ours {
		if !i.Handles(path) {
			t.Errorf("%s is forwarded", path)
		}
	}
	for _, path := range []string{
		"/portal", "/portal/", "/server/rest/info", "/portal/sharing/rest/portals/self", "/portal/sharing/rest/oauth2/validateAppAccess",
		"/portal/sharing/rest/oauth2/apps/x/update", "/portal/sharing/rest/oauth2", "/portal/sharing/rest/oauth2/validateRedirectUri",
		"/server/rest/services/login", "/server/rest/services/login/FeatureServer/0", "/server/rest/services/Login/Logout/MapServer", "/portal/sharing/rest/community/users/login", "/portal/sharing/rest/content/items/0/resources/signin.html",
		"/portal/sharing/proxies", "/server/rest/services/proxy/FeatureServer", "/portal/home/search.html", "/portal/home/signin.js",
		"/server/rest/services/tokens/FeatureServer/0/query",
		"/server/rest/services/generateToken/FeatureServer/0/query", "/portal/home/index.html", "/server/rest/services/T%20T/MapServer",
		"/portal/sharing/rest/content/items/0/data", "/generateToken", "/portal/tokens2",
	} {
		if i.Handles(path) {
			t.Errorf("%s is not forwarded", path)
		}
	}
}

// TestRefusals: nothing is done and nothing of the request is looked at, by any method.
func TestRefusals(t *testing.T) {
	g := newRig(t)
	for path, want := range map[string]int{
		"/portal/sharing/oauth2/resetPassword": 404, "/portal/sharing/rest/oauth2/saml/signin": 404, "/portal/sharing/rest/oauth2/social/authorize": 404, "/portal/sharing/rest/oauth2/token/x": 404, "/other/sharing/rest/generateToken": 404,
		"/server/rest/login": 404, "/server/admin/login": 404, "/portal/portaladmin/login": 404, "/portal/home/signin.html": 404, "/server/admin/j_security_check": 404,
		"/portal/sharing/rest/oauth2/apps/x/resetApiKey": 403, "/portal/sharing/proxy": 403,
	} {
		for _, raw := range []string{"POST " + path + "\n\nusername=nightly&password=" + key, "GET " + path + "?https://gis.corp.example/server/admin", "PUT " + path} {
			w := g.send(raw)
			code, _, text := faultOf(decode(t, w.Body.Bytes()))
			if w.Code != want || code == 401 || code == 403 || text == "" || g.clerk.verified.Load() != 0 || strings.Contains(w.Body.String(), key) {
				t.Errorf("%s: %d %s", raw, w.Code, w.Body)
			}
			w = g.send(strings.Replace(raw, "\n\n", "\nAccept: text/html\n\n", 1) + map[bool]string{true: "\nAccept: text/html"}[!strings.Contains(raw, "\n\n")])
			if page := w.Body.String(); w.Code != want || !strings.HasPrefix(page, "<!DOCTYPE html>") || strings.Contains(page, "<form") || strings.Contains(page, key) {
				t.Errorf("%s by a browser: %d %s", raw, w.Code, page)
			}
		}
	}
	if g.log.Len() > 0 {
		t.Errorf("the log has %s", g.log.String())
	}
}

// TestMayEnd: the first look lets every name of the table through.
func TestMayEnd(t *testing.T) {
	for _, table := range []map[string]endpoint{endings, doors} {
		for word := range table {
			for _, spelled := range []string{word, strings.ToUpper(word), strings.NewReplacer("s", "\u017f", "k", "\u212a", "i", "\u0130").Replace(word)} {
				if !mayEnd(spelled) {
					t.Errorf("%s is not looked at", spelled)
				}
			}
		}
	}
}

// FuzzHandles encodes a path in some way that a server undoes; it stays claimed.
func FuzzHandles(f *testing.F) {
	f.Add("/portal/sharing/rest/generateToken", uint64(0), uint8(1))
	f.Add("/portal/sharing/rest/oauth2/token", uint64(0xffff), uint8(3))
	f.Add("/server/tokens/x", uint64(5), uint8(2))
	f.Add("/server/rest/login", uint64(0x70), uint8(1))
	f.Add("/portal/.sharing/.rest/.oauth2/.x", uint64(0), uint8(0))
	f.Add("/portal/SHARING/p/pr", uint64(0), uint8(0))
	f.Add("/portal/sharing/resT/Proxy.ashx/x", uint64(0), uint8(0))
	f.Add("/portal/home/signin.html", uint64(3), uint8(0))
	f.Add("/portal/portaladmin/logout", uint64(0xf0f0), uint8(2))
	f.Add("/portal/sharing/rest/oauth2/signout;x", uint64(1), uint8(1))
	f.Add("/portal/sharing/rest/oauth2/sessions", uint64(9), uint8(1))
	f.Add("/portal/sharing/proxy", uint64(2), uint8(3))
	f.Add("/portal/sharing/rest/oauth2/apps/x/resetApiKey?y/z", uint64(2), uint8(1))
	f.Add("/portal/sharing/rest/portals/self", uint64(1), uint8(1))
	f.Fuzz(func(t *testing.T, path string, which uint64, times uint8) {
		_, before := find(path)
		mount, rest, found := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if !found || strings.Contains(mount, "%") {
			return
		}
		encoded := rest
		for range times%4 + 1 {
			var b strings.Builder
			for i := range len(encoded) {
				if c := encoded[i]; which>>(i%64)&1 == 1 || c == '%' {
					b.WriteString("%" + strings.ToUpper(string("0123456789abcdef"[c>>4])+string("0123456789abcdef"[c&15])))
				} else {
					b.WriteByte(c)
				}
			}
			encoded = b.String()
		}
		if plain(rest) && common(rest) && match(rest) != elsewhere {
			t.Errorf("%q is not looked at closely", path)
		}
		if _, after := find("/" + mount + "/" + encoded); before != elsewhere && after == elsewhere {
			t.Errorf("%q is claimed and %q is not", path, encoded)
		}
	})
}
