package arcgis

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzWhere: no clause panics, and one that compiles can be evaluated.
func FuzzWhere(f *testing.F) {
	for _, s := range []string{"1=1", "Species LIKE 'A%' AND NOT (HeightM>3 OR Notes IS NULL)", "OBJECTID IN (1,2,-3.5e4)", "Planted BETWEEN DATE '2000-01-01' AND timestamp '2001-01-01 00:00:00'",
		"UPPER(LOWER(Species))='x''y'", "\"Species\"<>'ü'", "\"'\"", "\"\"", "((((", "'", "1=1 OR", "NOT NOT NOT 1=1", "Notes NOT IN ('a')", "\xff=1"} {
		f.Add(s)
	}
	l := newTrees("https://gis.example.test/portal")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseWhere(text, l)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if c != nil {
			c(l.rows[0].values)
		}
	})
}

// FuzzPairs: what url.ParseQuery can read is read alike.
func FuzzPairs(f *testing.F) {
	for _, s := range []string{"", "a=b&a=c", "token=x&TOKEN=%79", "where=NAME LIKE 'A%'", "a=%zz&b=%4", "a;b=1", "=&&=", "%00=+"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := parsePairs(raw)
		want, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		if got.Encode() != want.Encode() {
			t.Errorf("%q reads as %v, want %v", raw, got, want)
		}
	})
}

// FuzzRequest: whatever is asked of the installation, it answers without a panic.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{"/portal/sharing/rest/portals/self?f=json", "/portal/sharing/rest/community/users/a_gis?f=json", "/portal/sharing/rest/content/users/a_gis/items/7ee5000000000000000000000000a001/update",
		"/portal/sharing/rest/search?q=a%20-(b%20\"c&start=-5&num=-1", "/portal/sharing/rest/oauth2/saml/signin", "/portal/sharing/rest/oauth2/token?grant_type=refresh_token&client_id=arcproxytest",
		"/server/rest/services/Trees/FeatureServer/0/query?where=1=1&f=pbf&resultOffset=9999999", "/server/rest/services/Trees/FeatureServer/0/applyEdits?adds=[{\"geometry\":{}}]&deletes=[1]",
		"/server/rest/services/Trees/FeatureServer/0/1/attachments/1", "/server/rest/services/Tools/GPServer/CountTrees/jobs/x/results", "/server/rest/services/Trees/MapServer/export?f=image",
		"/server/rest/directories/big?bytes=10", "//info", "/portal//sharing", "/server/rest/services/Trees/FeatureServer/0/query?geometry={\"rings\":[[[]]]}"} {
		f.Add(s, "")
		f.Add(s, "f=json&partNum=1&title=t&type=CSV&edits=[{}]")
	}
	site := &url.URL{Scheme: "https", Host: "gis.example.test"}
	f.Fuzz(func(t *testing.T, target, body string) {
		u, err := url.Parse("https://gis.example.test/" + strings.TrimPrefix(target, "/"))
		if err != nil || u.Host != site.Host || strings.Contains(u.Path, "directories/") {
			return
		}
		p, err := New(Config{Site: site, Other: site, Open: site, Seed: 1, Members: []Member{{Login: "a", Username: "a_gis"}}})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for _, method := range []string{"GET", "POST"} {
			req := httptest.NewRequest(method, "/", strings.NewReader(body))
			req.URL, req.Host = u, u.Host
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("X-Esri-Authorization", "Bearer "+p.Token("a"))
			p.ServeHTTP(httptest.NewRecorder(), req)
		}
	})
}
