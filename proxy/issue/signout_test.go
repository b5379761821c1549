package issue

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// token is a new one of the caller nightly's.
func (g *rig) token() string {
	g.t.Helper()
	return text(g.t, g.json("POST /portal/sharing/rest/generateToken\n\nf=json&client=requestip&username=nightly&password="+key), "token")
}

// sessionOf is the cookie that Esri's home application keeps a token in.
func sessionOf(token string) string {
	return "Cookie: theme=dark; esri_auth=" + url.PathEscape(`{"portalApp":true,"email":"alice","token":"`+token+`","expires":1800000000000}`) + "\n"
}

// TestSignoutEndsOnesOwn: it ends the token that is presented and what was traded
// for it, wherever it is presented, and no other, of the same caller's either.
func TestSignoutEndsOnesOwn(t *testing.T) {
	for name, raw := range map[string]string{
		"header":                "GET /portal/sharing/rest/oauth2/signout?f=json\nX-Esri-Authorization: Bearer TOKEN",
		"Authorization":         "GET /server/rest/logout\nAuthorization: bearer  TOKEN",
		"form":                  "POST /portal/sharing/oauth2/signout\n\nf=json&token=TOKEN",
		"cookie":                "GET /portal/sharing/rest/oauth2/signout\nCOOKIE",
		"cookie, from here":     "GET /portal/sharing/rest/oauth2/signout\nSec-Fetch-Site: same-origin\nReferer: " + site + "/portal/home/\nCOOKIE",
		"cookie, from a page":   "GET /portal/sharing/rest/oauth2/signout\nSec-Fetch-Site: cross-site\nReferer: https://app.corp.example/map\nCOOKIE",
		"cookie, by our button": "POST /portal/sharing/rest/oauth2/signout\nSec-Fetch-Site: same-origin\nOrigin: " + site + "\nCOOKIE\nf=html",
	} {
		g := newRig(t)
		mine, other := g.token(), g.token()
		derived := text(t, g.json("POST /portal/sharing/rest/generateToken\n\nf=json&serverUrl=https://gis.corp.example/server&token="+mine), "token")
		w := g.send(strings.NewReplacer("TOKEN", mine, "COOKIE", sessionOf(mine)).Replace(raw))
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if g.whose(mine) != "" || g.whose(derived) != "" {
			t.Errorf("%s: the token goes on", name)
		}
		if g.whose(other) != "nightly" {
			t.Errorf("%s: another token has ended", name)
		}
		if set := w.Header().Get("Set-Cookie"); !strings.HasPrefix(set, "esri_auth=;") || !strings.Contains(set, "Max-Age=0") {
			t.Errorf("%s: Set-Cookie: %s", name, set)
		}
		if strings.Contains(w.Body.String()+g.log.String(), mine) {
			t.Errorf("%s: the token is shown", name)
		}
	}
}

// TestSignoutByAnotherSite: a page of another site signs nobody out, and the
// person is asked.
func TestSignoutByAnotherSite(t *testing.T) {
	for _, from := range []string{
		"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example", "Origin: null", "Referer: https://evil.example/app.corp.example", "Referer: https://app.corp.example.evil.example/",
	} {
		g := newRig(t)
		mine := g.token()
		for _, raw := range []string{"GET /portal/sharing/rest/oauth2/signout?redirect_uri=" + site + "/portal/home/\n" + from + "\n" + sessionOf(mine), "POST /server/rest/logout\n" + from + "\n" + sessionOf(mine) + "\nf=json"} {
			w := g.send(raw)
			if w.Code != http.StatusOK || w.Header().Get("Set-Cookie") != "" || !strings.Contains(w.Body.String(), "<button>Sign out</button>") {
				t.Errorf("%s: %d %v %s", from, w.Code, w.Header(), w.Body)
			}
		}
		if g.whose(mine) != "nightly" {
			t.Errorf("%s: signed out", from)
		}
	}
}

func TestSignoutLeadsBack(t *testing.T) {
	g := newRig(t)
	for to, follows := range map[string]bool{
		site + "/portal/home/index.html?x=1":         true,
		"HTTPS://MAPS.corp.example:8443/portal":      true,
		site + "/server/rest/services":               true,
		"https://app.corp.example/map":               true,
		"http://localhost:7000/":                     true,
		site + "/":                                   false,
		site + "/elsewhere":                          false,
		site + ".evil.example/portal":                false,
		"https://user@maps.corp.example:8443/portal": false,
		"https://evil.example/portal":                false,
		"//evil.example/portal":                      false,
		`https:\\evil.example/portal`:                false,
		"/portal/home/":                              false,
		"javascript:alert(1)":                        false,
		"https://gis.corp.example/portal/home/":      false,
		outOfBand:                                    false,
	} {
		for _, name := range []string{"redirect_uri", "redirect"} {
			w := g.send("GET /portal/sharing/rest/oauth2/signout?client_id=arcgisonline&" + name + "=" + url.QueryEscape(to))
			location := w.Header().Get("Location")
			if follows != (w.Code == http.StatusFound && strings.EqualFold(location, to)) {
				t.Errorf("%s=%s: %d %s", name, to, w.Code, location)
			}
			if !follows && (w.Code != http.StatusOK || location != "" || strings.Contains(w.Body.String(), to)) {
				t.Errorf("%s=%s: %d %s %s", name, to, w.Code, location, w.Body)
			}
		}
	}
}

func TestSignoutOfNothing(t *testing.T) {
	g := newRig(t)
	mine := g.token()
	for _, raw := range []string{
		"GET /portal/sharing/rest/oauth2/signout?f=json",
		"GET /portal/sharing/rest/oauth2/signout?f=json\nX-Esri-Authorization: Bearer " + key,
		"GET /portal/sharing/rest/oauth2/signout?f=json\nX-Esri-Authorization: Bearer " + newText(access),
		"GET /portal/sharing/rest/oauth2/signout?f=json\nCookie: esri_auth=%7B%22token%22",
		"GET /portal/sharing/rest/oauth2/signout?f=json\nCookie: esri_auth=%zz",
		"GET /portal/sharing/rest/oauth2/signout?f=json\n" + sessionOf(strings.Repeat("x", maxCookie)+mine),
	} {
		if v := g.json(raw); v["success"] != true {
			t.Errorf("%s: %v", raw, v)
		}
	}
	if g.whose(mine) != "nightly" || g.clerk.verified.Load() != 1 {
		t.Error("somebody was signed out, or a key was tried")
	}
}

// FuzzSession reads what a browser may have kept, or another page have put there.
func FuzzSession(f *testing.F) {
	f.Add("%7B%22token%22%3A%22arcproxy_a_x%22%7D")
	f.Add("{\"token\":1}")
	f.Add("%7B%22token%22")
	f.Add("%zz")
	f.Fuzz(func(t *testing.T, cookie string) {
		if token := tokenIn(cookie); len(token) > maxCookie {
			t.Errorf("%d bytes", len(token))
		}
	})
}
