package issue

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// As the ArcGIS API for Python 2.4.4 sends it for use_gen_token=True.
const pythonGenerate = `
POST /portal/sharing/rest/generateToken
Referer: http
User-Agent: Geosaurus/2.4.4

username=nightly&password=` + key + `&referer=http&client=referer&expiration=60&f=json`

func TestGenerate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		v := g.json(pythonGenerate)
		token := text(t, v, "token")
		if v["ssl"] != true || v["expires"] != float64(time.Now().Add(time.Hour).UnixMilli()) || len(v) != 3 {
			t.Errorf("the answer is %v", v)
		}
		if got := g.whose(token, "Referer: http"); got != "nightly" {
			t.Errorf("the token is %q's", got)
		}
		if got := g.whose(token, "Referer: https://evil.example/"); got != "" {
			t.Error("a token bound to a Referer is good with another")
		}
		if got := g.whose(token); got != "" {
			t.Error("a token bound to a Referer is good without")
		}
		time.Sleep(time.Hour)
		if got := g.whose(token, "Referer: http"); got != "" {
			t.Error("the token did not end")
		}
		if n := g.clerk.asked.Load(); n != 0 {
			t.Errorf("%d user names were asked for, which can cost a sign-in", n)
		}
	})
}

func TestGenerateEverywhere(t *testing.T) {
	g := newRig(t)
	for _, path := range []string{
		"/portal/sharing/rest/generateToken", "/portal/sharing/generateToken", "/server/tokens/", "/server/tokens", "/server/tokens/generateToken",
		"/server/admin/generateToken", "/server/rest/generateToken", "/server/Admin/GenerateToken",
	} {
		token := text(t, g.json("POST "+path+"\n\nf=json&UserName=nightly&PASSWORD="+key), "token")
		if g.whose(token) != "nightly" {
			t.Errorf("%s: the token is not good", path)
		}
	}
}

func TestLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		for asked, want := range map[string]time.Duration{
			"": time.Hour, "1": time.Minute, "20160": 14 * 24 * time.Hour, "999999999": 14 * 24 * time.Hour, "-1": 14 * 24 * time.Hour,
			"9223372036854775807": 14 * 24 * time.Hour,
		} {
			v := g.json("POST /portal/sharing/rest/generateToken\n\nf=json&username=nightly&password=" + key + "&expiration=" + asked)
			if got := time.Until(time.UnixMilli(int64(v["expires"].(float64)))); got != want {
				t.Errorf("expiration=%s: %v", asked, got)
			}
		}
		for _, asked := range []string{"0", "-2", "1h", "1e3", "99999999999999999999", "%00"} {
			if _, _, text := faultOf(g.json("POST /portal/sharing/rest/generateToken\n\nf=json&username=nightly&password=" + key + "&expiration=" + asked)); !strings.Contains(text, "expiration") {
				t.Errorf("expiration=%s: %q", asked, text)
			}
		}
	})
}

func TestGenerateRefused(t *testing.T) {
	const at = "POST /portal/sharing/rest/generateToken\n\nf=json&"
	tests := []struct{ name, raw, want string }{
		{"wrong key", at + "username=nightly&password=an-okta-password", "Unable to generate token. Invalid username or password."},
		{"another's name", at + "username=alice&password=" + key, "Unable to generate token. Invalid username or password."},
		{"no key", at + "username=nightly", "Unable to generate token. 'password' must be specified."},
		{"no name", at + "password=" + key, "Unable to generate token. 'username' must be specified."},
		{"nothing", at, "Unable to generate token. 'username' must be specified."},
		{"no referer", at + "username=nightly&password=" + key + "&client=referer", "Unable to generate token. 'referer' must be specified."},
		{"no ip", at + "username=nightly&password=" + key + "&client=ip", "Unable to generate token. 'ip' must be specified."},
		{"bad ip", at + "username=nightly&password=" + key + "&client=ip&ip=1.2.3", "Unable to generate token. 'ip' must be specified."},
		{"odd client", at + "username=nightly&password=" + key + "&client=<b>", "Unable to generate token. 'client' must be referer, ip or requestip."},
		{"unknown token", at + "token=" + newText(access), "Unable to generate token. The token is not known here, or has ended; sign in again."},
		{"foreign server", at + "token=" + key + "&serverUrl=https://evil.example/server", "Unable to generate token. 'serverUrl' is not a server of this proxy."},
		{"both", at + "username=nightly&password=" + key + "&token=" + key, "Unable to generate token. Send either 'username' and 'password', or 'token'."},
		{"two names", at + "username=nightly&UserName=alice&password=" + key, "Invalid request. a parameter is there twice, with different values"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t)
			w := g.send(tt.raw)
			code, _, text := faultOf(g.json(tt.raw))
			if text != tt.want || code != 400 {
				t.Errorf("%v %q, want %q", code, text, tt.want)
			}
			if tt.name != "two names" && w.Code != http.StatusOK {
				t.Errorf("HTTP status %d", w.Code)
			}
			if lower := strings.ToLower(w.Body.String()); strings.Contains(lower, "invalid token") || strings.Contains(lower, "token required") {
				t.Error("the answer makes clients drop their sign-in")
			}
			if strings.Contains(g.log.String(), "okta-password") || strings.Contains(g.log.String(), key) || strings.Contains(g.log.String(), "alice") {
				t.Errorf("what was presented is in the log: %s", &g.log)
			}
		})
	}
}

func TestGetIsRefused(t *testing.T) {
	g := newRig(t)
	for _, raw := range []string{
		"GET /portal/sharing/rest/generateToken?f=json&username=nightly&password=" + key,
		"GET /server/tokens/?request=getToken&username=nightly&password=" + key,
		"GET /portal/sharing/rest/generateToken?f=json&token=" + key + "&serverUrl=" + site + "/server",
		"POST /portal/sharing/rest/generateToken?f=json&username=nightly&password=" + key + "\n\nf=json",
		"GET /portal/sharing/rest/oauth2/token?grant_type=client_credentials&client_id=nightly&client_secret=" + key,
		"POST /portal/sharing/rest/oauth2/token?client_secret=" + key + "\n\nf=json&grant_type=client_credentials&client_id=nightly",
	} {
		w := g.send(raw)
		if _, _, text := faultOf(g.json(raw)); w.Code != 400 || !strings.Contains(text, "in the URL") || strings.Contains(text, key) {
			t.Errorf("%s: %d %s", raw, w.Code, text)
		}
	}
	for _, raw := range []string{"GET /portal/sharing/rest/generateToken?f=json", "GET /portal/sharing/rest/oauth2/token?f=json", "PUT /portal/sharing/rest/generateToken", "GET /portal/sharing/rest/oauth2/platformSelf?f=json"} {
		if w := g.send(raw); w.Code != 405 || w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", raw, w.Code, w.Header().Get("Allow"))
		}
	}
	if n := g.clerk.verified.Load(); n != 0 {
		t.Errorf("%d keys were tried", n)
	}
}

func TestAddressBinding(t *testing.T) {
	g := newRig(t)
	mine := text(t, g.json("POST /portal/sharing/rest/generateToken\n\nf=json&username=nightly&password="+key+"&client=requestip"), "token")
	theirs := text(t, g.json("POST /portal/sharing/rest/generateToken\n\nf=json&username=nightly&password="+key+"&client=ip&ip=::ffff:192.0.2.8"), "token")
	if g.whose(mine) != "nightly" {
		t.Error("a token bound to the address of the request is not good there")
	}
	if g.whose(theirs) != "" || g.whose(theirs, "X-Forwarded-For: 192.0.2.8") != "" {
		t.Error("a token bound to another address is good here")
	}
	v := g.json("POST /portal/sharing/rest/generateToken\n\nf=json&token=" + theirs)
	if _, bad := v["error"]; !bad {
		t.Error("a token bound to another address was exchanged for one that is not")
	}
}

// TestFederated is what rest-js 4.10.2 does for a service of a federated server.
func TestFederated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		v := g.json(`
POST /portal/sharing/rest/generateToken
referer: @esri/arcgis-rest-js

f=json&username=nightly&password=` + key + `&expiration=120&client=referer&referer=%40esri%2Farcgis-rest-js`)
		portal := text(t, v, "token")
		for _, server := range []string{
			"https%3A%2F%2Fmaps.corp.example%3A8443%2Fserver", "https%3A%2F%2Fgis.corp.example%2Fserver", "https%3A%2F%2FGIS.corp.example%3A443%2FServer/rest",
			"https%3A%2F%2Fmaps.corp.example%3A8443", // the ArcGIS API for Python
		} {
			v := g.json(`
POST /portal/sharing/rest/generateToken
referer: @esri/arcgis-rest-js

f=json&request=getToken&token=` + portal + `&serverUrl=` + server + `&expiration=20160`)
			token := text(t, v, "token")
			if got := time.Until(time.UnixMilli(int64(v["expires"].(float64)))); got != 2*time.Hour {
				t.Errorf("a token that was exchanged lasts %v, and the first two hours", got)
			}
			if g.whose(token) != "" || g.whose(token, "Referer: @esri/arcgis-rest-js") != "nightly" {
				t.Error("the exchange lost the binding")
			}
		}
		// Of the exchanged token's children, none outlives the first.
		v = g.json("POST /portal/sharing/rest/generateToken\nReferer: @esri/arcgis-rest-js\n\nf=json&token=" + portal)
		child := text(t, v, "token")
		v = g.json("POST /portal/sharing/rest/oauth2/exchangeToken\nReferer: @esri/arcgis-rest-js\n\nf=json&client_id=x&token=" + child)
		grandchild := text(t, v, "token")
		g.json("POST /portal/sharing/rest/oauth2/revokeToken/\n\nf=json&auth_token=" + child)
		if g.whose(child, "Referer: @esri/arcgis-rest-js") != "" || g.whose(portal, "Referer: @esri/arcgis-rest-js") == "" {
			t.Error("revoking an exchanged token ends that one only")
		}
		if v = g.json("POST /portal/sharing/rest/oauth2/revokeToken/\n\nf=json&auth_token=" + portal); v["success"] != true {
			t.Errorf("revokeToken says %v", v)
		}
		if g.whose(portal, "Referer: @esri/arcgis-rest-js") != "" || g.whose(grandchild, "Referer: @esri/arcgis-rest-js") != "" {
			t.Error("a token was revoked, and it or one that it was exchanged for is good")
		}
	})
}

// TestLinesAreShort: however often a token is exchanged for another, looking one
// up costs the same.
func TestLinesAreShort(t *testing.T) {
	g := newRig(t)
	token := text(t, g.json("POST /portal/sharing/rest/generateToken\n\nf=json&token="+key), "token")
	for range 20 {
		token = text(t, g.json("POST /portal/sharing/rest/generateToken\n\nf=json&token="+token), "token")
	}
	depth := 0
	for rec := g.store.find(token, access); rec != nil; rec = rec.parent {
		depth++
	}
	if depth != 2 {
		t.Errorf("the line has %d members", depth)
	}
}

// TestKeyAsToken is rest-js's fromToken with a caller key.
func TestKeyAsToken(t *testing.T) {
	g := newRig(t)
	v := g.json("POST /portal/sharing/rest/generateToken\n\nf=json&token=" + key + "&serverUrl=" + site + "/server&expiration=20160")
	if g.whose(text(t, v, "token")) != "nightly" {
		t.Error("a key was not exchanged")
	}
}

func TestKnownWithoutCredential(t *testing.T) {
	g := newRig(t)
	v := g.json("POST /portal/sharing/rest/generateToken\nX-Known: laptop\n\nf=json&request=getToken&serverUrl=" + site + "/server")
	if g.whose(text(t, v, "token")) != "laptop" {
		t.Error("a caller who is known got no token")
	}
	v = g.json("POST /portal/sharing/rest/generateToken\nX-Known: laptop\n\nf=json&username=nightly&password=wrong")
	if _, bad := v["error"]; !bad {
		t.Error("wrong credentials were overlooked because the caller is known")
	}
}

func TestPages(t *testing.T) {
	g := newRig(t)
	w := g.send("GET /portal/sharing/rest/generateToken\nAccept: text/html,*/*")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `action="/portal/generateToken"`) || !strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if !g.Handles("/portal/generateToken") {
		t.Error("the form's action is not handled")
	}
	w = g.send("POST /portal/generateToken\n\nf=html&username=nightly&password=<script>alert(1)</script>")
	if body := w.Body.String(); strings.Contains(body, "alert") || !strings.Contains(body, "Invalid username or password.") {
		t.Errorf("%s", body)
	}
	w = g.send("POST /portal/generateToken\n\nf=html&expiration=30&username=nightly&password=" + key)
	_, after, _ := strings.Cut(w.Body.String(), `readonly value="`)
	token, _, _ := strings.Cut(after, `"`)
	if g.whose(token) != "nightly" {
		t.Errorf("no good token on the page %s", w.Body)
	}
	if w = g.send("POST /portal/sharing/rest/generateToken\n\nf=pjson&username=nightly&password=" + key); !strings.Contains(w.Body.String(), "\n  \"token\": \"") {
		t.Errorf("pjson: %s", w.Body)
	}
	if w = g.send("POST /portal/sharing/rest/generateToken?callback=steal\n\nf=json&username=nightly&password=" + key); strings.Contains(w.Body.String(), "steal") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Error("a token is in a script that any site can load")
	}
}

func TestBounds(t *testing.T) {
	g := newRig(t)
	const at = "POST /portal/sharing/rest/generateToken\n"
	for _, tt := range []struct {
		raw  string
		want int
	}{
		{at + "\nf=json&username=" + strings.Repeat("a", maxForm), 413},
		{at + "\n" + strings.Repeat("a=1&", maxParams) + "b=1&b=1", 400},
		{at + "\nf=json&username=%zz", 400},
		{at + "Content-Type: multipart/form-data; boundary=x\n\n--x--", 415},
		{at + "Content-Type: application/json\n\n{}", 415},
	} {
		if w := g.send(tt.raw); w.Code != tt.want {
			t.Errorf("%.80s…: %d, want %d", tt.raw, w.Code, tt.want)
		}
	}
}
