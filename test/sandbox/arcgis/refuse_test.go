package arcgis_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"arcproxy/test/sandbox/arcgis"
)

const (
	trees = site + "/server/rest/services/Trees/FeatureServer/0/query?where=1%3D1&returnCountOnly=true"
	parks = open + "/public/rest/services/Parks/FeatureServer/0/query?where=1%3D1&returnCountOnly=true"
)

func Test23WhereTokensAreTaken(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	token := r.p.Token("alice_gis")
	bare := strings.TrimSuffix(self, "?f=json")
	ways := map[string]func() answer{
		"query":               func() answer { return r.get(self + "&token=" + token) },
		"query, other case":   func() answer { return r.get(self + "&Token=" + token) },
		"form":                func() answer { return r.post(bare, url.Values{"f": {"json"}, "token": {token}}) },
		"multipart":           func() answer { return r.upload(bare, map[string]string{"f": "json", "token": token}, "", "", nil) },
		"Esri header":         func() answer { return r.get(self, "X-Esri-Authorization", "Bearer "+token) },
		"with trailing space": func() answer { return r.get(self, "X-Esri-Authorization", "Bearer "+token+" ") },
		"underscore twin":     func() answer { return r.get(self, "X_Esri_Authorization", "Bearer "+token) },
		"Authorization":       func() answer { return r.get(self, "Authorization", "Bearer "+token) },
		"server":              func() answer { return r.get(trees+"&f=json", "X-Esri-Authorization", "Bearer "+token) },
		"other server": func() answer {
			return r.get(other+"/arcgis/rest/services/Trees/FeatureServer?f=json", "X-Esri-Authorization", "Bearer "+token)
		},
	}
	for name, way := range ways {
		before := r.p.Counts().Authorized
		if a := way(); a.errorCode() != 0 || r.p.Counts().Authorized != before+1 {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	r.p.Set(func(s *arcgis.Shape) { s.NoAuthorization, s.NoEsriHeader, s.NoTokenInQuery = true, true, true })
	for _, name := range []string{"query", "Esri header", "Authorization"} {
		if a := ways[name](); a.errorCode() != 499 {
			t.Errorf("%s is taken although it is switched off: %s", name, a.body)
		}
	}
	if a := ways["form"](); a.errorCode() != 0 {
		t.Errorf("form: %s", a.body)
	}
}

func Test23TwoTokensAreRefused(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	token := r.p.Token("alice_gis")
	for i, a := range []answer{
		r.get(self + "&token=" + token + "&token=" + token),
		r.get(self + "&token=" + token + "&%74OKEN=x"),
		r.get(self+"&token="+token, "X-Esri-Authorization", "Bearer "+token),
		r.get(self, "Authorization", "Bearer caller", "X-Esri-Authorization", "Bearer "+token),
		r.get(self, "X_Esri_Authorization", "Bearer caller", "X-Esri-Authorization", "Bearer "+token),
		r.post(self+"&token="+token, url.Values{"token": {token}}),
		r.get(site+"/server/admin/services?f=json&token=x", "X-Esri-Authorization", "Bearer "+token),
	} {
		if strings.Contains(a.body, "username") || !strings.Contains(a.body, "ore than one token") {
			t.Errorf("%d: %s", i, a.body)
		}
	}
	if n := r.p.Counts().DuplicateTokens; n != 7 {
		t.Errorf("counted %d", n)
	}
}

func Test24WebTierOwnsAuthorization(t *testing.T) {
	r := newRig(t, arcgis.Shape{WebTier: true})
	token := r.p.Token("alice_gis")
	a := r.get(self, "Authorization", "Bearer "+token)
	if a.status != http.StatusUnauthorized || !slices.Contains(a.header["Www-Authenticate"], "Negotiate") {
		t.Errorf("%d %v", a.status, a.header)
	}
	if a := r.get(self, "X-Esri-Authorization", "Bearer "+token); a.text("username") != "alice_gis" {
		t.Error(a.body)
	}
}

func Test25To29RefusalShapes(t *testing.T) {
	plain := arcgis.Shape{RealStatus: arcgis.Never, TextPlain: arcgis.Never}
	for _, text := range arcgis.InvalidTexts {
		shape := plain
		shape.InvalidText = text
		r := newRig(t, shape)
		for _, address := range []string{self, trees + "&f=json", trees + "&f=image", trees + "&f=pbf", trees + "&f=geojson"} {
			a := r.get(address + "&token=bad")
			e, _ := a.json()["error"].(map[string]any)
			if a.status != 200 || e["code"] != 498.0 || e["message"] != text || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
				t.Errorf("%s: %d %s", address, a.status, a.body)
			}
		}
		if n := r.p.Counts().Refusals498; n != 5 {
			t.Errorf("counted %d", n)
		}
	}
	t.Run("the seed picks every text", func(t *testing.T) {
		r := newRig(t, plain)
		seen := make(map[string]bool)
		for range 200 {
			e, _ := r.get(self + "&token=bad").json()["error"].(map[string]any)
			seen[e["message"].(string)] = true
		}
		if len(seen) != len(arcgis.InvalidTexts) {
			t.Errorf("seen %v", seen)
		}
	})
	t.Run("26 token required", func(t *testing.T) {
		r := newRig(t, plain)
		for _, address := range []string{self, trees + "&f=json", site + "/portal/sharing/rest/portals/self/servers?f=json"} {
			if a := r.get(address); a.errorCode() != 499 || !strings.Contains(a.body, "Token Required") {
				t.Errorf("%s: %s", address, a.body)
			}
		}
	})
	t.Run("27 forbidden", func(t *testing.T) {
		r := newRig(t, plain)
		token := r.p.Token("bob_gis")
		for _, address := range []string{
			site + "/server/rest/services/Restricted/FeatureServer?f=json",
			site + "/portal/sharing/rest/content/users/alice_gis?f=json",
		} {
			e, _ := r.get(address + "&token=" + token).json()["error"].(map[string]any)
			if e["code"] != 403.0 || e["messageCode"] == nil || e["subcode"] == nil {
				t.Errorf("%s: %v", address, e)
			}
		}
		if a := r.get(site + "/server/rest/services/Restricted/FeatureServer?f=json&token=" + r.p.Token("ada_gis")); a.errorCode() != 0 {
			t.Errorf("an administrator is kept out: %s", a.body)
		}
	})
	t.Run("28 administrator's shape", func(t *testing.T) {
		r := newRig(t, plain)
		for query, code := range map[string]float64{"": 499, "&token=bad": 498, "&token=" + r.p.Token("alice_gis"): 403} {
			for _, address := range []string{site + "/server/admin?f=json", site + "/portal/portaladmin?f=json"} {
				v := r.get(address + query).json()
				if v["status"] != "error" || v["code"] != code || len(v["messages"].([]any)) != 1 {
					t.Errorf("%s%s: %v", address, query, v)
				}
			}
		}
		if a := r.get(site + "/server/admin?f=json&token=" + r.p.Token("ada_gis")); a.json()["resources"] == nil {
			t.Error(a.body)
		}
	})
	t.Run("29 real status", func(t *testing.T) {
		r := newRig(t, arcgis.Shape{RealStatus: arcgis.Always, HTTPStatus: arcgis.Never})
		if a := r.get(self + "&token=bad"); a.status != 498 || a.errorCode() != 498 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := r.get(self); a.status != 499 || a.errorCode() != 499 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := r.get(site + "/server/rest/services/Restricted/FeatureServer?f=json&token=" + r.p.Token("bob_gis")); a.status != 200 || a.errorCode() != 403 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func Test29StatusesOfHTTP(t *testing.T) {
	r := newRig(t, arcgis.Shape{RealStatus: arcgis.Always, HTTPStatus: arcgis.Always})
	seen := map[int]bool{}
	for range 100 {
		for address, code := range map[string]int{self + "&token=bad": 498, self: 499, trees + "&f=pbf&token=bad": 498} {
			a := r.get(address)
			if seen[a.status] = true; a.errorCode() != code {
				t.Fatalf("%s: %d %s", address, a.status, a.body)
			}
		}
		a := r.get(site + "/portal/portaladmin?f=json")
		if seen[a.status] = true; a.json()["code"] != 499.0 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if len(seen) != 2 || !seen[401] || !seen[403] {
		t.Errorf("statuses %v", seen)
	}
}

func Test30And31Formats(t *testing.T) {
	r := newRig(t, arcgis.Shape{RealStatus: arcgis.Never, TextPlain: arcgis.Never, InvalidText: "Invalid Token"})
	bare := strings.TrimSuffix(self, "?f=json")
	for query, want := range map[string]struct{ kind, body string }{
		"?f=html&token=bad":              {"text/html", "<h2>Error: Invalid Token</h2>"},
		"?token=bad":                     {"text/html", "Code: 498"},
		"?f=pjson&token=bad":             {"application/json", "  \"error\": {"},
		"?f=json&callback=a.b&token=bad": {"application/javascript", "a.b({\"error\":"},
		"?callback=cb&token=bad":         {"application/javascript", "cb({\"error\":"},
		"?f=json&callback=<x>&token=bad": {"application/json", "{\"error\":"},
		"?f=json&callback=dojo.io[1].cb": {"application/javascript", "dojo.io[1].cb({"},
	} {
		a := r.get(bare + query)
		if !strings.HasPrefix(a.header.Get("Content-Type"), want.kind) || !strings.Contains(a.body, want.body) {
			t.Errorf("%s: %s %s", query, a.header.Get("Content-Type"), a.body)
		}
	}
	r.p.Set(func(s *arcgis.Shape) { s.TextPlain = arcgis.Always })
	if a := r.get(self); !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") || a.errorCode() != 499 {
		t.Errorf("%v %s", a.header, a.body)
	}
	if a := r.get(trees + "&f=json"); !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Errorf("a server sends %v", a.header)
	}
}

func Test32GzipAndChunked(t *testing.T) {
	r := newRig(t, arcgis.Shape{Gzip: arcgis.Always, Chunked: arcgis.Always, LowerHeaders: arcgis.Always})
	server := httptest.NewServer(r.p)
	defer server.Close()
	r.p.Set(func(s *arcgis.Shape) { s.AnyHost = true })
	ask := func(encoding string) *http.Response {
		req, _ := http.NewRequest(http.MethodGet, server.URL+"/portal/sharing/rest/community/self?f=json&token=bad", nil)
		req.Header.Set("Accept-Encoding", encoding)
		res, err := server.Client().Transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	res := ask("gzip")
	if res.Header.Get("Content-Encoding") != "gzip" || res.ContentLength != -1 || len(res.Header["Content-Type"]) != 1 {
		t.Errorf("%v, length %d", res.Header, res.ContentLength)
	}
	res = ask("identity")
	body, _ := io.ReadAll(res.Body)
	if res.Header.Get("Content-Encoding") != "" || !strings.Contains(string(body), "498") {
		t.Errorf("%v %s", res.Header, body)
	}
	r.p.Set(func(s *arcgis.Shape) { s.Chunked = arcgis.Never })
	if res := ask("gzip"); res.ContentLength <= 0 {
		t.Errorf("length %d", res.ContentLength)
	}
}

func Test33PortalSelf(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	address := site + "/portal/sharing/rest/portals/self?f=json"
	anonymous := r.get(address).json()
	if anonymous["user"] != nil {
		t.Error("nobody is signed in, but there is a user")
	}
	signedIn := r.get(address + "&token=" + r.p.Token("alice_gis")).json()
	user, _ := signedIn["user"].(map[string]any)
	if user["username"] != "alice_gis" || user["fullName"] != "Alice Example" {
		t.Errorf("user %v", user)
	}
	for _, v := range []map[string]any{anonymous, signedIn} {
		if v["portalHostname"] != "gis.example.test/portal" {
			t.Errorf("portalHostname %v", v["portalHostname"])
		}
		for _, field := range []string{"customBaseUrl", "urlKey", "helperServices", "defaultBasemap", "authorizedCrossOriginDomains", "allowedOrigins",
			"allowedRedirectUris", "staticImagesUrl", "helpBase", "httpPort", "httpsPort", "allSSL", "rotatorPanels"} {
			if _, has := v[field]; !has {
				t.Errorf("no %s", field)
			}
		}
	}
	// Whatever it is called by, the Portal names itself as it was configured.
	r.p.Set(func(s *arcgis.Shape) { s.AnyHost = true })
	req := request(http.MethodGet, address, nil, "X-Forwarded-Host", "localhost:8443")
	req.Host = "localhost:8443"
	if a := r.do(req); strings.Contains(a.body, "localhost:8443") {
		t.Error("the Portal took a name from the request")
	}
	// Servers do believe X-Forwarded-Host.
	if a := r.get(site+"/server/rest/info?f=json", "X-Forwarded-Host", "evil.example"); !strings.Contains(a.text("soapUrl"), "evil.example") {
		t.Error(a.body)
	}
	if n := r.p.Counts().Forwarded; n != 2 {
		t.Errorf("counted %d forwarded requests", n)
	}
}

func Test34EsriAuthCookie(t *testing.T) {
	r := newRig(t, arcgis.Shape{EsriAuth: arcgis.Always, LowerHeaders: arcgis.Never})
	token := r.p.Token("alice_gis")
	cookie := r.get(site + "/portal/sharing/rest/portals/self?f=json&token=" + token).header.Get("Set-Cookie")
	value, _, _ := strings.Cut(strings.TrimPrefix(cookie, "esri_auth="), ";")
	plain, err := url.QueryUnescape(value)
	if err != nil || !strings.Contains(plain, `"token":"`+token) || !strings.Contains(plain, `"email":"alice_gis"`) {
		t.Errorf("cookie %q", cookie)
	}
	if a := r.get(site + "/portal/sharing/rest/portals/self?f=json"); a.header.Get("Set-Cookie") != "" {
		t.Error("an anonymous answer sets the cookie")
	}
	r.get(self, "Cookie", "esri_auth="+value)
	if n := r.p.Counts().EsriAuthCookies; n != 1 {
		t.Errorf("counted %d cookies", n)
	}
}

func Test35And36Servers(t *testing.T) {
	r := newRig(t, arcgis.Shape{RealStatus: arcgis.Never})
	for _, address := range []string{site + "/server", other + "/arcgis"} {
		if owner := r.get(address + "/rest/info?f=json").text("owningSystemUrl"); owner != site+"/portal" {
			t.Errorf("%s belongs to %q", address, owner)
		}
	}
	if _, has := r.get(open + "/public/rest/info?f=json").json()["owningSystemUrl"]; has {
		t.Error("the open server has an owner")
	}
	if a := r.get(parks + "&f=json"); a.json()["count"] != 3200.0 {
		t.Error(a.body)
	}
	token := r.p.Token("alice_gis")
	for _, a := range []answer{r.get(parks + "&f=json&token=" + token), r.get(parks+"&f=json", "X-Esri-Authorization", "Bearer "+token)} {
		if a.errorCode() != 498 {
			t.Errorf("a public service took a foreign token: %s", a.body)
		}
	}
	if n := r.p.Counts().OpenTokens; n != 2 {
		t.Errorf("counted %d leaks", n)
	}
	public := site + "/server/rest/services/Public/FeatureServer?f=json"
	if a := r.get(public); a.errorCode() != 0 {
		t.Error(a.body)
	}
	if a := r.get(public + "&token=foreign"); a.errorCode() != 498 {
		t.Errorf("a public service of a federated server took a foreign token: %s", a.body)
	}
	if a := r.get("https://gis2.example.test/server/rest/info?f=json"); a.status != http.StatusNotFound {
		t.Errorf("a context of another host: %d", a.status)
	}
}

func TestForeignHostIsRefused(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	req := httptest.NewRequest(http.MethodGet, self, nil)
	req.Host = "localhost:8443"
	if a := r.do(req); a.status != http.StatusBadRequest || r.p.Counts().WrongHosts != 1 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func Test43HealthSignOutAndWMS(t *testing.T) {
	address := site + "/portal/portaladmin/healthCheck?f=json"
	for health, want := range map[arcgis.Health]int{arcgis.HealthOn: 200, arcgis.HealthOff: 404, arcgis.HealthBlocked: 403} {
		if a := newRig(t, arcgis.Shape{Health: health}).get(address); a.status != want || (health == arcgis.HealthOn) != (strings.Contains(a.body, `"success"`)) {
			t.Errorf("%v: %d %s", health, a.status, a.body)
		}
	}
	r := newRig(t, noVariation)
	a := r.get(oauth + "signout?redirect_uri=https://evil.example/")
	if a.header.Get("Location") != site+"/portal/home/" || !strings.HasPrefix(a.header.Get("Set-Cookie"), "esri_auth=;") {
		t.Errorf("%v", a.header)
	}
	if a := r.get(site + "/portal/home/"); !strings.Contains(a.body, `"restBaseUrl":"`+site+`/portal/sharing/rest/"`) {
		t.Error(a.body)
	}
	token := r.p.Token("alice_gis")
	if a := r.get(site + "/server/rest/services/Trees/FeatureServer?f=json&token=" + token); a.text("preferredHost") != "gis.example.test" {
		t.Error(a.body)
	}
	a = r.get(site + "/server/services/Trees/MapServer/WMSServer?request=GetCapabilities&service=WMS&token=" + token)
	if !strings.HasPrefix(a.header.Get("Content-Type"), "text/xml") || strings.Count(a.body, `://gis.example.test/server/services/Trees/MapServer/WMSServer?`) != 3 {
		t.Error(a.body)
	}
}

func Test42SharingHasNoPreflight(t *testing.T) {
	r := newRig(t, arcgis.Shape{})
	preflight := []string{"Origin", "https://app.example.com", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "x-esri-authorization"}
	a := r.do(request(http.MethodOptions, self, nil, preflight...))
	if a.header.Get("Access-Control-Allow-Headers") != "" || len(a.body) != 0 {
		t.Errorf("%v %s", a.header, a.body)
	}
	if a := r.get(self, "Origin", "https://app.example.com"); a.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" {
		t.Errorf("%v", a.header)
	}
	a = r.do(request(http.MethodOptions, trees, nil, preflight...))
	if !strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "X-Esri-Authorization") {
		t.Errorf("a server: %v", a.header)
	}
}
