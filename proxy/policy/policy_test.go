package policy

import (
	"fmt"
	"strings"
	"testing"

	"arcproxy/proxy/pattern"
)

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no string
	}{
		{"/server/rest/services/Trees/**",
			"/server/rest/services/Trees /server/rest/services/Trees/ /server/rest/services/Trees/FeatureServer/0/query /SERVER/rest/SERVICES/trees/x //server//rest/services/Trees /server/rest/services/%54rees/x",
			"/server/rest/services/TreesX /server/rest/services /server/rest/services/Tree /portal/server/rest/services/Trees /server/rest/services/X/Trees"},
		{"/a b/ü", "/a%20b/%C3%BC /A%20B/%C3%9C", "/ab/u"},
		{"/**", "/ /a /a/b", ""},
		{"/", "/ //", "/a"},
		{"GET /a", "/a", ""},
		{"POST /a", "", "/a"},
	} {
		p := compile(t, Rules{Allow: []string{c.pattern}})
		denied := compile(t, Rules{Deny: []string{c.pattern}})
		for path := range strings.FieldsSeq(c.yes) {
			if d := p.Check("HEAD", path, nil); d != nil {
				t.Errorf("allow %q, %s: %v", c.pattern, path, d)
			}
			if d := denied.Check("GET", path, nil); d == nil || d.Rule != RuleDeny || !strings.Contains(d.Remedy, fmt.Sprintf("%q", c.pattern)) {
				t.Errorf("deny %q, %s: %v", c.pattern, path, d)
			}
		}
		for path := range strings.FieldsSeq(c.no) {
			if d := p.Check("GET", path, nil); d == nil || d.Rule != RuleAllow {
				t.Errorf("allow %q, %s: %v", c.pattern, path, d)
			}
			if d := denied.Check("GET", path, nil); d != nil {
				t.Errorf("deny %q, %s: %v", c.pattern, path, d)
			}
		}
	}
}

func TestDenyBeatsAllow(t *testing.T) {
	p := compile(t, Rules{Allow: []string{"/server/**", "/portal/**"}, Deny: []string{"/server/rest/services/Secret/**", "POST /portal/**"}})
	for target, want := range map[string]Rule{
		"GET /server/rest/services/Trees":         "",
		"GET /server/rest/services/Secret/x":      RuleDeny,
		"GET /server/rest/services/secret":        RuleDeny,
		"GET /server/rest/services/Secret;a/x":    RuleDeny, // where ;a is cut off, it is Secret
		"GET /server/rest/services/Secret./x":     RuleDeny,
		"GET /server/rest/services/%2553ecret":    RuleDeny,
		"GET /server/rest/services/ſecret/x":      RuleDeny,
		"GET /portal/home":                        "",
		"POST /portal/home":                       RuleDeny,
		"GET /other/x":                            RuleAllow,
		"GET /server/x/%2e%2e/y":                  RulePath,
		"GET /server/x/../y":                      RulePath,
		"GET /server/x%5cy":                       RulePath,
		"GET /server/x%00":                        RulePath,
		"GET /server/x%25252525252541":            RulePath,
		"GET /server/%c0%ae":                      RulePath,
		"GET server":                              RulePath,
		"GET ":                                    RulePath,
		"GET /server" + strings.Repeat("/a", 100): RulePath,
		"GET /" + strings.Repeat("a", 20<<10):     RulePath,
	} {
		method, path, _ := strings.Cut(target, " ")
		d := p.Check(method, path, nil)
		if d == nil && want != "" || d != nil && d.Rule != want {
			t.Errorf("%.60s: %v, want %q", target, d, want)
		}
	}
}

// TestAllowNeedsEveryReading: a path that is allowed in one reading only is not.
func TestAllowNeedsEveryReading(t *testing.T) {
	p := compile(t, Rules{Allow: []string{"/server/rest/services/Trees/**"}})
	for _, path := range []string{
		"/server/rest/services/Trees;x/0", "/server/rest/services/Trees./0", "/server/rest/services/%2554rees",
		"/server/rest%3f/services/Trees", "/server/rest/services/Trees%20/0",
	} {
		if p.Check("GET", path, nil) == nil {
			t.Errorf("%s passed", path)
		}
	}
}

var adminPaths = strings.Fields(`
	/server/admin /server/admin/ /server/admin/services /server/ADMIN/services //server//admin /server//admin /server/admin;x
	/server/admin;x/services /server/;/admin /server/;x/admin /server/%61dmin /server/%2561dmin /server/%252561dmin /server/admin%20
	/server/admin. /server/admin%2e/x /server/%20admin /server/manager /server/manager/ /server/Manager/site.html /portal/portaladmin
	/portal/portaladmin/login /portal/PortalAdmin /portaladmin /admin /admin/services //admin //portaladmin;x /portal/webadaptor
	/server/webadaptor /server/rest/admin /server/rest/admin/services/Trees/FeatureServer /server/rest//ADMIN/services
	/server/rest;x/admin;y/services /server;x/admin /server/rest/%61dmin /arcgis/admin /notebooks/admin/notebooks /x/datastoreadmin
	/portal/sharing/servers/7ee5000000000000000000000000a001/rest/admin/services
	/portal/sharing/servers/7ee5000000000000000000000000a001/admin /server/admin%3fx /server/admin%23/x /server/admin%3bx
	/portal/sharing/rest/oauth2/apps/abc /portal/sharing/oauth2/Apps /portal/sharing/rest/oauth2/apps/abc/update /portal/sharing/rest/oauth2/registerApp
	/portal/sharing/rest/content/users/alice/items/0123456789abcdef0123456789abcdef/registeredAppInfo /portal/sharing/content/items/x/registeredappinfo;x
	/portal/sharing/rest/oauth2/%61pps/abc`)

func TestAdmin(t *testing.T) {
	off, on := compile(t, Rules{Allow: []string{"/**"}}), compile(t, Rules{Admin: true})
	none := compile(t, Rules{}) // which looks at fewer paths closely
	for _, path := range adminPaths {
		for _, p := range []*Policy{off, none} {
			if d := p.Check("GET", path, nil); d == nil || d.Rule != RuleAdmin {
				t.Errorf("%s: %v", path, d)
			}
		}
		if d := on.Check("POST", path, nil); d != nil {
			t.Errorf("%s with admin: %v", path, d)
		}
	}
	for path := range strings.FieldsSeq(`/ /server /portal/sharing/rest/community/users/admin /portal/sharing/rest/portals/self
		/server/rest/services/admin/Trees/MapServer /server/rest/services/Trees/MapServer/admin /portal/home/admin.html
		/server/administrator /server/rest/administrator /server/services/admin/MapServer /server/xadmin
		/portal/apps/webappviewer/index.html /portal/sharing/rest/content/items/apps /server/rest/services/registerApp/FeatureServer/0/applyEdits
		/portal/sharing/rest/oauth2/validateAppAccess`) {
		for _, p := range []*Policy{off, none} {
			if d := p.Check("POST", path, nil); d != nil {
				t.Errorf("%s: %v", path, d)
			}
		}
	}
	for path, want := range map[string]bool{"/server/admin/services": true, "/server/admin/services/Trees.MapServer/status": true, "/server/admin/services/x": false} {
		if d := compile(t, Rules{Admin: true, ReadOnly: true}).Check("GET", path, nil); (d == nil) != want {
			t.Errorf("reading %s: %v", path, d)
		}
	}
}

func TestFaults(t *testing.T) {
	rules := Rules{
		Allow: []string{"server/**", "/a?f=json", "post /a", "/a**", ""},
		Deny:  []string{"*"},
	}
	_, err := Compile(rules)
	if err == nil {
		t.Fatal("no fault")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(rules.Allow)+len(rules.Deny) {
		t.Errorf("%d faults of %d:\n%v", len(lines), len(rules.Allow)+1, err)
	}
	for i, line := range lines {
		want := "allow "
		if i >= len(rules.Allow) {
			want = "deny "
		}
		if !strings.HasPrefix(line, want) {
			t.Errorf("%q does not say which rule", line)
		}
	}
	for _, text := range []string{"/server/admin/**", "/portal/portaladmin", "/*/rest", "/server/rest/ADMIN/services/**"} {
		_, err := Compile(Rules{Allow: []string{text}})
		if wantFault := text != "/*/rest"; (err != nil) != wantFault {
			t.Errorf("allow %q without admin: %v", text, err)
		}
		if _, err := Compile(Rules{Allow: []string{text}, Admin: true}); err != nil {
			t.Errorf("allow %q with admin: %v", text, err)
		}
	}
	if _, err := Compile(Rules{Deny: make([]string, 1000)}); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("too many: %v", err)
	}
}

// TestDenialTexts: what the caller sent is repeated only if it is plain, and case
// or length can't make a client believe that its token was refused.
func TestDenialTexts(t *testing.T) {
	p := compile(t, Rules{ReadOnly: true, Allow: []string{"/server/**"}})
	for _, path := range []string{"/x/invalid%20token", "/x/%3Cscript%3E", "/server/rest/invalid%20token", "/server/%1b%5b31m", "/x/" + strings.Repeat("a", 3000), "/server/%0d%0a"} {
		d := p.Check("POST", path, nil)
		if d == nil {
			t.Errorf("%.50s passed", path)
			continue
		}
		if text := d.Error(); len(text) > 400 || strings.ContainsAny(text, "<>\r\n\x1b") || strings.Contains(strings.ToLower(text), "invalid token") {
			t.Errorf("%.50s: %s", path, text)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, path := range adminPaths {
		f.Add("GET", path, "f=json")
	}
	f.Add("GET", "/#/Admin ", "")                                  // a name behind what may begin a query
	f.Add("GET", "/server/sharing/servers/x%23/rest/admin%20", "") // the same, encoded
	for _, target := range documentedWrites {
		path, query, _ := strings.Cut(fill(target), "?")
		f.Add("POST", path, query)
	}
	for _, spelling := range spellings("/server/rest/services/Trees/FeatureServer/0/deleteFeatures") {
		f.Add("GET", spelling, "request=GetFeature")
	}
	open := compile(f, Rules{Allow: []string{"/**"}})
	bare := compile(f, Rules{})
	reader := compile(f, Rules{ReadOnly: true, Admin: true})
	f.Fuzz(func(t *testing.T, method, path, query string) {
		params := Query(query)
		if (bare.Check(method, path, params) == nil) != (open.Check(method, path, params) == nil) {
			t.Errorf("%q: it matters whether there are rules that say nothing", path)
		}
		if open.Check(method, path, params) == nil {
			if segs := strings.Split(strings.Trim(everyDecoding(path), "/"), "/"); adminName(segs[0]) || len(segs) > 1 && adminName(segs[1]) {
				t.Errorf("%q passed", path)
			}
			// Spelled otherwise, it is the same.
			if open.Check(method, path+"//", params) != nil || !strings.Contains(path, "%") && open.Check(method, strings.ToUpper(path), params) != nil {
				t.Errorf("%q passed, but not in another case or with slashes", path)
			}
		}
		// Below a service, no name of a write passes, wherever it stands.
		tail := "/server/rest/services/Trees/FeatureServer/" + path
		if reader.Check(method, tail, params) == nil {
			for seg := range strings.SplitSeq(everyDecoding(path), "/") {
				switch seg {
				case "applyedits", "addfeatures", "updatefeatures", "deletefeatures", "append", "truncate", "calculate", "createreplica", "uploads":
					t.Errorf("%s %q passed", method, tail)
				}
			}
			if method != "GET" && method != "HEAD" && method != "POST" {
				t.Errorf("%s %q passed", method, tail)
			}
		}
	})
}

// everyDecoding is a plain way to what a lenient server may make of a path.
func everyDecoding(path string) string {
	for changed := true; changed; {
		path, changed = pattern.Decode(path)
	}
	segs := strings.Split(path, "/")
	kept := segs[:0]
	for _, seg := range segs {
		seg, _, _ = strings.Cut(seg, ";")
		if seg = strings.Trim(seg, " "); seg != "" {
			kept = append(kept, strings.ToLower(seg))
		}
	}
	return strings.Join(kept, "/")
}

func BenchmarkCheck(b *testing.B) {
	const path = "/server/rest/services/Trees/FeatureServer/0/query"
	for name, rules := range map[string]Rules{
		"none":      {},
		"read_only": {ReadOnly: true},
		"all":       {ReadOnly: true, Allow: []string{"/portal/**", "/server/rest/services/*/FeatureServer/**"}, Deny: []string{"/server/rest/services/Secret/**"}},
	} {
		b.Run(name, func(b *testing.B) {
			p := compile(b, rules)
			b.ReportAllocs()
			for b.Loop() {
				if d := p.Check("GET", path, nil); d != nil {
					b.Fatal(d)
				}
			}
		})
	}
}
