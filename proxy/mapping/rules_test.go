package mapping

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func newRules(t testing.TB, itemData bool, overrides ...Rule) *Rules {
	t.Helper()
	r, err := NewRules(itemData, overrides)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// of makes a header of "Name: value" lines.
func of(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

var asJSON = of("Content-Type: application/json;charset=UTF-8")

// mappedPaths and leftPaths are targets whose JSON is mapped, and is not, for a GET or,
// if they say so, a POST.
const mappedPaths = `
	/ /portal /portal/ /portal/home/ /portal/home/index.html /portal/home/js/main.js /server/rest/info /server/rest/services /server//rest//services?f=json
	/portal/sharing/rest /portal/sharing/rest/info /portal/sharing/rest/portals/self /portal/sharing/rest/portals/self/urls /portal/sharing/rest/portals/self/servers
	/portal/sharing/rest/portals/self/resources /portal/sharing/rest/search /portal/sharing/rest/community/self /portal/sharing/rest/community/users/alice
	/portal/sharing/rest/content/items/I /portal/sharing/rest/content/items/I/resources /portal/sharing/rest/content/items/I/relatedItems
	/portal/sharing/rest/content/users/alice /portal/sharing/rest/content/users/alice/items/I /portal/sharing/rest/content/users/data
	POST:/portal/sharing/rest/content/users/alice/addItem POST:/portal/sharing/rest/content/users/alice/publish
	POST:/portal/sharing/rest/content/users/alice/items/I/update POST:/portal/sharing/rest/content/users/alice/F/items/I/status
	POST:/portal/sharing/rest/content/users/alice/createService /portal/sharing/rest/content/users/alice/items/I/status
	/server/admin /server/admin/services /portal/portaladmin/federation/servers /portal/apps/mapviewer/index.html
	/server/rest/services/Trees/FeatureServer /server/rest/services/Trees/FeatureServer/0 /server/rest/services/Hosted/Trees/FeatureServer/layers
	/server/rest/services/query/FeatureServer/0 /server/rest/services/query/MapServer /server/rest/services/identify
	POST:/server/rest/services/Trees/FeatureServer/applyEdits POST:/server/rest/services/Trees/FeatureServer/0/applyEdits POST:/server/rest/services/Trees/FeatureServer/0/append
	POST:/server/rest/services/Trees/FeatureServer/createReplica POST:/server/rest/services/Trees/FeatureServer/extractChanges
	/server/rest/services/Trees/FeatureServer/jobs/J /server/rest/services/Trees/FeatureServer/queryDomains
	/server/rest/services/Topo/MapServer/export?f=json /server/rest/services/Topo/MapServer/legend POST:/server/rest/services/Topo/MapServer/exportTiles
	/server/rest/services/Pictures/ImageServer/exportImage /server/rest/services/Pictures/ImageServer /server/rest/services/Pictures/ImageServer/12/info
	/server/rest/services/Tools/GPServer/Count/execute POST:/server/rest/services/Tools/GPServer/Count/submitJob
	/server/rest/services/Tools/GPServer/Count/jobs/J /server/rest/services/Tools/GPServer/Count/jobs/J/results/out /server/rest/services/Tools/GPServer/query
	/server/rest/services/Basemap/VectorTileServer /server/rest/services/Basemap/VectorTileServer/resources/styles/root.json
	/server/rest/services/City/SceneServer /server/rest/services/City/SceneServer/layers/0 /server/rest/services/Events/StreamServer
	/server/rest/services/Utilities/Geometry/GeometryServer /server/rest/services/Locator/GeocodeServer /server/rest/services/Net/NAServer/Route
	/server/rest/services/Trees/OGCFeatureServer /server/rest/services/Trees/OGCFeatureServer/collections /server/rest/services/Trees/OGCFeatureServer/collections/0
	/server/rest/services/Topo/MapServer/WMTS/1.0.0/WMTSCapabilities.xml /server/services/Topo/MapServer/WMTS?request=GetCapabilities
	/server/services/Topo/MapServer/WMSServer?request=GetCapabilities&service=WMS /server/services/Topo/MapServer/WMSServer /server/services/Topo/MapServer?wsdl
	/server/services/Trees/MapServer/WFSServer?service=WFS&REQUEST=getcapabilities /server/services/Trees/MapServer/WFSServer POST:/server/services/Topo/MapServer
	/server/services/Trees/MapServer/WFSServer?service=WFS&request=DescribeFeatureType /portal/sharing/servers/I/rest/services/Topo/MapServer
	/server/rest/services/Trees/UtilityNetworkServer/trace /server/rest/services/Trees/FeatureServer/info/iteminfo
	/portal/sharing/rest/oauth2x /portal/home/oauth2/x /server/rest/services/queryserver/x`

const leftPaths = `
	/server/rest/services/Trees/FeatureServer/0/query POST:/server/rest/services/Trees/FeatureServer/0/query /server/rest/services/Trees/FeatureServer/query
	/server/rest/services/Hosted/Trees/FeatureServer/0/query/ /SERVER/REST/SERVICES/Trees/featureserver/0/QUERY /server/rest/services/Trees/FeatureServer/0/%71uery
	/server/rest/services/Trees/FeatureServer/0/query;jsessionid=1 /server/rest/services/Trees/FeatureServer/0/query. /server//rest/services/T%20T//FeatureServer/0//query
	/koop/provider/rest/services/trees/FeatureServer/0/query /portal/sharing/servers/I/rest/services/Topo/MapServer/0/query
	/server/rest/services/Trees/FeatureServer/0/queryRelatedRecords /server/rest/services/Trees/FeatureServer/0/queryTopFeatures
	/server/rest/services/Trees/FeatureServer/0/queryAttachments /server/rest/services/Trees/FeatureServer/0/queryAnalytic
	/server/rest/services/Trees/FeatureServer/0/queryBins /server/rest/services/Trees/FeatureServer/0/queryDateBins
	/server/rest/services/Trees/FeatureServer/getEstimates /server/rest/services/Trees/FeatureServer/0/getEstimates /server/rest/services/Trees/FeatureServer/0/generateRenderer
	/server/rest/services/Trees/FeatureServer/0/12 /server/rest/services/Trees/FeatureServer/0/12/attachments /server/rest/services/Trees/FeatureServer/0/12/attachments/3
	/server/rest/services/Trees/MapServer/0/12/htmlPopup POST:/server/rest/services/Trees/FeatureServer/0/addFeatures POST:/server/rest/services/Trees/FeatureServer/0/updateFeatures
	POST:/server/rest/services/Trees/FeatureServer/0/deleteFeatures POST:/server/rest/services/Trees/FeatureServer/0/12/addAttachment
	/server/rest/services/Trees/FeatureServer/info/metadata /server/rest/services/Trees/FeatureServer/0/metadata
	/server/rest/services/Topo/MapServer/identify /server/rest/services/Topo/MapServer/find /server/rest/services/Topo/MapServer/dynamicLayer/query
	/server/rest/services/Topo/MapServer/tile/3/4/5 /server/rest/services/Topo/MapServer/tilemap/3/4/5/8/8 /server/rest/services/Topo/MapServer/WMTS/tile/1.0.0/a/b/c/1/2/3
	/server/rest/services/Basemap/VectorTileServer/tile/3/4/5.pbf /server/rest/services/Basemap/VectorTileServer/resources/sprites/sprite.json
	/server/rest/services/Basemap/VectorTileServer/resources/fonts/A/0-255.pbf /server/rest/services/City/SceneServer/layers/0/nodes/12/geometries/0
	/server/rest/services/City/SceneServer/layers/0/sublayers/3/nodes/1 /server/rest/services/Pictures/ImageServer/12 /server/rest/services/Pictures/ImageServer/query
	/server/rest/services/Pictures/ImageServer/getSamples /server/rest/services/Locator/GeocodeServer/findAddressCandidates
	POST:/server/rest/services/Locator/GeocodeServer/geocodeAddresses /server/rest/services/Locator/GeocodeServer/suggest
	POST:/server/rest/services/Utilities/Geometry/GeometryServer/project POST:/server/rest/services/Net/NAServer/Route/solve
	/server/rest/services/Trees/OGCFeatureServer/collections/0/items /server/rest/services/Trees/OGCFeatureServer/collections/0/items/12
	/server/services/Trees/MapServer/WFSServer?service=WFS&rEquest=getfeature /server/services/Trees/MapServer/WFSServer?%72equest=%47etFeature
	POST:/server/services/Trees/MapServer/WFSServer /server/services/Trees/MapServer/WFSServer?request=GetCapabilities&request=GetFeature
	/server/services/Topo/MapServer/WMSServer?x=1&REQUEST=GetFeatureInfo&y=2 /server/services/Topo/MapServer/WMTS?request=GetFeatureInfo
	/portal/sharing/rest/content/items/I/data /portal/sharing/content/items/I/DATA /portal/sharing/rest/content/users/alice/items/I/data
	/portal/sharing/rest/content/users/alice/F/items/I/data /portal/sharing/rest/content/items/I/resources/a/b.json
	/portal/sharing/rest/content/items/I/info/metadata/metadata.xml /portal/sharing/rest/content/items/I/info/thumbnail/x.png
	/portal/sharing/rest/community/users/alice/info/x.png /portal/sharing/rest/community/groups/G/info/x.png
	/portal/sharing/rest/portals/self/resources/home.page.json POST:/portal/sharing/rest/content/features/generate
	/server/rest/directories/arcgisoutput/x/out.json /server/arcgisoutput/x.json /server/admin/logs/query
	/portal/sharing/rest/oauth2/apps/A /portal/sharing/oauth2/validateAppAccess /portal/sharing/rest/portals/self/sp/metadata
	/server/x/../y`

func TestRoutes(t *testing.T) {
	r := newRules(t, false)
	for want, targets := range map[bool]string{true: mappedPaths, false: leftPaths} {
		for target := range strings.FieldsSeq(targets) {
			method := "GET"
			if rest, ok := strings.CutPrefix(target, "POST:"); ok {
				method, target = "POST", rest
			}
			path, query, _ := strings.Cut(target, "?")
			if got := r.Answer(method, path, query, http.Header{}, 200, asJSON); got != want {
				t.Errorf("%s %s: mapped %v", method, target, got)
			}
			if got := r.May(method, path, query, http.Header{}); got != want {
				t.Errorf("%s %s: may be mapped %v", method, target, got)
			}
			if r.Answer(method, path, query, http.Header{}, 200, of("Content-Type: image/png")) {
				t.Errorf("%s %s: an image is mapped", method, target)
			}
		}
	}
	if !newRules(t, true).Answer("GET", "/portal/sharing/rest/content/items/I/data", "", http.Header{}, 200, asJSON) {
		t.Error("the data of items is not mapped on demand")
	}
}

// TestRows: each path of the table is reached, so that none is misspelled or hidden
// behind another.
func TestRows(t *testing.T) {
	const prefix = "/server/"
	r := newRules(t, false)
	check := func(under, paths string, mapped bool, request string) {
		for path := range strings.FieldsSeq(paths) {
			full := strings.ReplaceAll(prefix+under+"/"+path, "/-/", "/")
			for seg := range strings.SplitSeq(full, "/") {
				if strings.ContainsAny(seg, "*#") && seg != "*" && seg != "**" && seg != "#" {
					t.Errorf("%s: %s means nothing", full, seg)
				}
			}
			example := strings.NewReplacer("**", "some/name", "*", "name", "#", "7").Replace(full)
			folded, ok := readable(nil, example)
			if !ok {
				t.Fatalf("%s is not readable", example)
			}
			query := ""
			if request != "" {
				query = "request=" + strings.Fields(request)[0]
			}
			if got := r.route("GET", folded, query); got != mapped {
				t.Errorf("%s: %s is hidden behind another", full, example)
			}
		}
	}
	for _, row := range services() {
		for kind := range strings.FieldsSeq(row.under) {
			if !strings.HasSuffix(kind, "Server") {
				t.Errorf("%s is not found as a type of service", kind)
			}
			check("rest/services/Name/"+kind, row.paths, row.mapped, row.request)
		}
	}
	for _, row := range places(false) {
		for under := range strings.FieldsSeq(row.under) {
			check(under, row.paths, row.mapped, row.request)
		}
	}
}

func TestAnswer(t *testing.T) {
	const path = "/portal/sharing/rest/portals/self"
	r := newRules(t, false)
	for _, c := range []struct {
		method  string
		request http.Header
		status  int
		answer  http.Header
		want    bool
	}{
		{"GET", of(), 200, asJSON, true},
		{"POST", of(), 200, asJSON, true},
		{"HEAD", of(), 200, asJSON, false},
		{"GET", of(), 302, of("Content-Type: text/html"), true},
		{"GET", of(), 404, asJSON, true},
		{"GET", of(), 498, asJSON, true},
		{"GET", of(), 100, asJSON, false},
		{"GET", of(), 101, asJSON, false},
		{"GET", of(), 204, asJSON, false},
		{"GET", of(), 205, asJSON, false},
		{"GET", of(), 206, asJSON, false},
		{"GET", of(), 304, asJSON, false},
		{"GET", of("Range: bytes=0-"), 200, asJSON, true},
		{"GET", of("Range: bytes=0-"), 206, asJSON, false},
		{"POST", of("Range: bytes=0-"), 200, asJSON, true},
		{"GET", of("X-Arcproxy-Mapping: off"), 200, asJSON, false},
		{"GET", of("X-Arcproxy-Mapping:  OFF "), 200, asJSON, false},
		{"GET", of("X-Arcproxy-Mapping: on"), 200, asJSON, true},
		{"GET", of(), 200, of("Content-Type: application/json", "Content-Encoding: gzip"), true},
		{"GET", of(), 200, of("Content-Type: application/json", "Content-Encoding: identity"), true},
		{"GET", of(), 200, of("Content-Type: application/json", "Content-Encoding: br"), false},
		{"GET", of(), 200, of("Content-Type: application/json", "Content-Encoding: gzip, gzip"), false},
		{"GET", of(), 200, of("Content-Type: application/json", "Content-Encoding: gzip", "Content-Encoding: br"), false},
		{"GET", of(), 200, of("Content-Type: application/json", `Content-Disposition: attachment; filename="a.json"`), false},
		{"GET", of(), 200, of("Content-Type: application/json", "Content-Disposition: Attachment"), false},
		{"GET", of(), 200, of("Content-Type: application/json", "Content-Disposition: x-download"), false},
		{"GET", of(), 200, of("Content-Type: application/json", `Content-Disposition: inline; filename="a.json"`), true},
		{"GET", of(), 200, of("Content-Type: application/json", `Content-Disposition: filename="a.json"`), true},
	} {
		if got := r.Answer(c.method, path, "f=json", c.request, c.status, c.answer); got != c.want {
			t.Errorf("%s %v, %d %v: mapped %v", c.method, c.request, c.status, c.answer, got)
		}
	}
	for method, requests := range map[string]map[string]bool{
		"GET":  {"Accept: */*": true, "Range: bytes=0-": true, "X-Arcproxy-Mapping: off": false},
		"HEAD": {"Accept: */*": true, "X-Arcproxy-Mapping: off": false},
	} {
		for line, want := range requests {
			if r.May(method, path, "", of(line)) != want {
				t.Errorf("%s with %s: may not be %v", method, line, want)
			}
		}
	}
}

func TestTypes(t *testing.T) {
	r := newRules(t, false)
	for want, kinds := range map[bool]string{
		true: `application/json Application/JSON application/json;charset=UTF-8 text/json text/plain text/html application/xhtml+xml text/css
			text/javascript application/javascript application/x-javascript text/xml application/xml application/vnd.ogc.wms_xml
			application/vnd.google-earth.kml+xml application/problem+json application/vnd.oai.openapi+json;version=3.0 application/atom+xml text/xml;subtype=gml/3.1.1`,
		false: `- image/png image/svg+xml application/x-protobuf application/vnd.mapbox-vector-tile application/octet-stream application/zip
			application/geo+json application/vnd.geo+json text/csv application/pdf application/samlmetadata+xml application/gml+xml video/mp4
			text/event-stream multipart/mixed json text application/jsonx`,
	} {
		for kind := range strings.FieldsSeq(kinds) {
			answer := of("Content-Type: " + kind)
			if kind == "-" {
				answer = of()
			}
			if r.Answer("GET", "/portal/home/x", "", of(), 200, answer) != want {
				t.Errorf("%s: not %v", kind, want)
			}
		}
	}
}

func TestOverrides(t *testing.T) {
	r := newRules(t, false,
		Rule{"/server/rest/services/Links/**", nil, true},
		Rule{"/portal/files/**", []string{"text/CSV", "application/geo+*"}, true},
		Rule{"/portal/home/js/**", []string{"*/javascript"}, false},
		Rule{"GET /portal/quiet/**", nil, false},
		Rule{"/portal/quiet/**", nil, true},
	)
	for _, c := range []struct {
		method, path string
		answer       http.Header
		want, may    bool
	}{
		{"GET", "/server/rest/services/Links/FeatureServer/0/query", asJSON, true, true},
		{"GET", "/server/rest/services/links/FeatureServer/0/%71uery", asJSON, true, true},
		{"GET", "/server/rest/services/Links/FeatureServer/0/query", of("Content-Type: image/png"), false, true},
		{"GET", "/server/rest/services/Links/x", of("Content-Type: text/html", "Content-Disposition: attachment"), false, true},
		{"GET", "/server/rest/services/Trees/FeatureServer/0/query", asJSON, false, false},
		{"GET", "/portal/files/a", of("Content-Type: text/csv; charset=utf-8", "Content-Disposition: attachment"), true, true},
		{"GET", "/portal/files/a", of("Content-Type: application/geo+json"), true, true},
		{"GET", "/portal/files/a", of("Content-Type: application/pdf"), false, true},
		{"GET", "/portal/files/a", asJSON, true, true}, // the table's
		{"GET", "/portal/home/js/a", of("Content-Type: text/javascript"), false, true},
		{"GET", "/portal/home/js/a", asJSON, true, true},
		{"GET", "/portal/quiet/a", asJSON, false, false},
		{"POST", "/portal/quiet/a", asJSON, true, true},
	} {
		if got := r.Answer(c.method, c.path, "", of(), 200, c.answer); got != c.want {
			t.Errorf("%s %s %v: mapped %v", c.method, c.path, c.answer, got)
		}
		if got := r.May(c.method, c.path, "", of()); got != c.may {
			t.Errorf("%s %s: may be mapped %v", c.method, c.path, got)
		}
	}
	if r.Answer("HEAD", "/portal/files/a", "", of(), 200, of("Content-Type: text/csv")) || r.May("HEAD", "/portal/quiet/a", "", of()) {
		t.Error("HEAD")
	}
}

func TestRuleFaults(t *testing.T) {
	bad := []Rule{
		{"", nil, true}, {"portal", nil, true}, {"/a/**/**", nil, true},
		{"/a", []string{"json"}, true}, {"/a", []string{"text/"}, true}, {"/a", []string{"*/*"}, true},
		{"/a", []string{"text/html; charset=utf-8"}, true}, {"/a", []string{""}, true}, {"/a", make([]string, 65), false},
	}
	_, err := NewRules(false, bad)
	if err == nil {
		t.Fatal("no fault")
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != len(bad) {
		t.Errorf("%d faults of %d:\n%v", len(lines), len(bad), err)
	}
	if _, err := NewRules(false, make([]Rule, 257)); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("too many: %v", err)
	}
}

func TestRequest(t *testing.T) {
	r := newRules(t, false)
	for path, want := range map[string]bool{
		"/portal/sharing/rest/portals/self":                                  true,
		"/server/rest/services/Trees/FeatureServer/0/query":                  true,
		"/portal/sharing/rest/content/items/I/data":                          true,
		"/portal/sharing/rest/oauth2/apps/A/update":                          false,
		"/portal/sharing/oauth2/validateRedirectUri":                         false,
		"/portal/sharing/rest/oauth2":                                        false,
		"/PORTAL/sharing/REST/%6fauth2/x":                                    false,
		"/portal/sharing/rest/portals/0123/idp/I/update":                     false,
		"/portal/x/sharing/rest/oauth2":                                      true,
		"/" + strings.Repeat("a/", 1000):                                     true,
		"/portal/" + strings.Repeat("%61/", 1000) + "sharing/rest/oauth2/..": true,
	} {
		if r.Request(path) != want {
			t.Errorf("%.80s: not %v", path, want)
		}
	}
}

// TestRulesCostLittle: these are asked for every request.
func TestRulesCostLittle(t *testing.T) {
	r := newRules(t, false)
	request := of("Accept: */*")
	for _, path := range []string{
		"/server/rest/services/Trees/FeatureServer/0/query", "/server/rest/services/Hosted/Trees/FeatureServer/0", "/portal/sharing/rest/portals/self",
		"/server/rest/services/Basemap/VectorTileServer/tile/3/4/5.pbf", "/portal/sharing/rest/content/items/0123456789abcdef0123456789abcdef/data", "/portal/home/js/main.js",
	} {
		if n := testing.AllocsPerRun(100, func() {
			r.May("GET", path, "f=json", request)
			r.Answer("GET", path, "f=json", request, 200, asJSON)
			r.Request(path)
		}); n != 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}

func FuzzRules(f *testing.F) {
	for target := range strings.FieldsSeq(mappedPaths + leftPaths) {
		path, query, _ := strings.Cut(strings.TrimPrefix(target, "POST:"), "?")
		f.Add("POST", path, query, "application/json")
	}
	r := newRules(f, false)
	loud := newRules(f, false, Rule{"/**/a*", []string{"text/*"}, true}, Rule{"/**", nil, false})
	f.Fuzz(func(t *testing.T, method, path, query, kind string) {
		h := http.Header{"Content-Type": {kind}}
		for _, r := range []*Rules{r, loud} {
			got := r.Answer(method, path, query, http.Header{}, 200, h)
			if got && !r.May(method, path, query, http.Header{}) {
				t.Errorf("%s %q: mapped, although it could not be", method, path)
			}
			if !strings.ContainsAny(path, "%") && r.Answer(method, "/"+strings.ToUpper(path)+"/", query, http.Header{}, 200, h) != got && isASCII(path) {
				t.Errorf("%q: case or slashes matter", path)
			}
		}
		r.Request(path)
	})
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func BenchmarkRules(b *testing.B) {
	r := newRules(b, false)
	request := of("Accept: */*", "User-Agent: x")
	for _, path := range []string{"/server/rest/services/Trees/FeatureServer/0/query", "/server/rest/services/Trees/FeatureServer/0", "/portal/sharing/rest/portals/self"} {
		b.Run(fmt.Sprint(path[strings.LastIndexByte(path, '/')+1:]), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.May("GET", path, "where=1%3D1&f=json", request)
				r.Answer("GET", path, "where=1%3D1&f=json", request, 200, asJSON)
			}
		})
	}
}
