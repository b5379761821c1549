package arcgis_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"arcproxy/test/sandbox/arcgis"
)

// TestSignedOn: a browser that has signed in gets its next code at once, for the same
// member, until it signs out.
func TestSignedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, arcgis.Shape{SignedOn: arcgis.Always})
		cookie := func() string {
			for _, line := range r.signIn("alice@example.com").header["Set-Cookie"] {
				if pair, _, _ := strings.Cut(line, ";"); strings.HasPrefix(pair, "esri_aopc=") {
					return pair
				}
			}
			t.Fatal("no cookie")
			return ""
		}
		again := func(cookie string) answer {
			return r.get(oauth+"authorize?"+authorization().Encode(), "Cookie", cookie)
		}
		good := cookie()
		if user := r.post(oauth+"token", redemption(again(good).code())).text("username"); user != "alice_gis" {
			t.Errorf("signed in as %q", user)
		}
		if n := r.p.Counts().SignIns; n != 1 {
			t.Errorf("%d sign-ins", n)
		}
		r.get(oauth+"signout", "Cookie", good)
		late := cookie()
		time.Sleep(2 * time.Hour)
		for name, cookie := range map[string]string{"signed out": good, "late": late, "made up": "esri_aopc=x"} {
			if a := again(cookie); a.status != 200 || !strings.Contains(a.body, "oAuthInfo") {
				t.Errorf("%s: %d %s", name, a.status, a.header.Get("Location"))
			}
		}
	})
}
