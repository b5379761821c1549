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

		// Where passwords go, or real tokens come from.
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
		"/portal/sharing/rest/oauth2/apps/x/update", "/portal/sharing/rest/oauth2", "/server/rest/services/tokens/FeatureServer/0/query",
		"/server/rest/services/generateToken/FeatureServer/0/query", "/portal/home/index.html", "/server/rest/services/T%20T/MapServer",
		"/portal/sharing/rest/content/items/0/data", "/generateToken", "/portal/tokens2",
	} {
		if i.Handles(path) {
			t.Errorf("%s is not forwarded", path)
		}
	}
}

func TestClosed(t *testing.T) {
	g := newRig(t)
	for _, path := range []string{"/portal/sharing/oauth2/resetPassword", "/portal/sharing/rest/oauth2/saml/signin", "/portal/sharing/rest/oauth2/token/x", "/other/sharing/rest/generateToken"} {
		w := g.send("POST " + path + "\n\nusername=nightly&password=" + key)
		if w.Code != 404 || g.clerk.verified.Load() != 0 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// FuzzHandles encodes a path in some way that a server undoes; it stays claimed.
func FuzzHandles(f *testing.F) {
	f.Add("/portal/sharing/rest/generateToken", uint64(0), uint8(1))
	f.Add("/portal/sharing/rest/oauth2/token", uint64(0xffff), uint8(3))
	f.Add("/server/tokens/x", uint64(5), uint8(2))
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
		if _, after := find("/" + mount + "/" + encoded); before != elsewhere && after == elsewhere {
			t.Errorf("%q is claimed and %q is not", path, encoded)
		}
	})
}
