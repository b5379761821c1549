package arcgis_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/websocket"
	"google.golang.org/protobuf/encoding/protowire"

	"arcproxy/test/sandbox/arcgis"
)

// noVariation leaves nothing about the form of answers to the seed.
var noVariation = arcgis.Shape{RealStatus: arcgis.Never, TextPlain: arcgis.Never, Gzip: arcgis.Never, Chunked: arcgis.Never, LowerHeaders: arcgis.Never, EsriAuth: arcgis.Never, Tags: arcgis.Never,
	Slashes: arcgis.SlashPlain, EscapedHTML: arcgis.Never, OddNames: arcgis.Never}

const layer = open + "/public/rest/services/Parks/FeatureServer/0"

// ask queries the public layer with f=json.
func (r *rig) ask(parameters ...string) answer {
	r.t.Helper()
	q := change(url.Values{"f": {"json"}, "where": {"1=1"}}, parameters...)
	return r.get(layer + "/query?" + q.Encode())
}

// featureSet is what f=json answers.
type featureSet struct {
	ExceededTransferLimit bool
	Fields                []struct{ Name, Type string }
	Features              []struct {
		Attributes map[string]any
		Geometry   *struct{ X, Y float64 }
	}
}

func (a answer) features() featureSet {
	a.t.Helper()
	var f featureSet
	if err := json.Unmarshal([]byte(a.body), &f); err != nil || a.errorCode() != 0 {
		a.t.Fatalf("no features: %.300s", a.body)
	}
	return f
}

func TestQueryPagesThroughAll(t *testing.T) {
	r := newRig(t, noVariation)
	seen := make(map[float64]bool)
	pages := 0
	for offset := 0; ; {
		f := r.ask("outFields", "*", "resultOffset", itoa(offset), "orderByFields", "HeightM DESC, OBJECTID").features()
		pages++
		for _, x := range f.Features {
			seen[x.Attributes["OBJECTID"].(float64)] = true
		}
		if offset += len(f.Features); !f.ExceededTransferLimit {
			break
		}
	}
	if len(seen) != 3200 || pages != 4 {
		t.Errorf("%d features on %d pages", len(seen), pages)
	}
	if f := r.ask("resultRecordCount", "5000").features(); len(f.Features) != 1000 || !f.ExceededTransferLimit {
		t.Errorf("%d features at once", len(f.Features))
	}
	f := r.ask("resultRecordCount", "2", "outFields", "Species,HeightM", "returnGeometry", "false").features()
	if len(f.Features) != 2 || len(f.Features[0].Attributes) != 2 || f.Features[0].Geometry != nil || len(f.Fields) != 2 {
		t.Errorf("%+v", f)
	}
}

func itoa(n int) string { return string(appendInt(nil, n)) }

func appendInt(b []byte, n int) []byte {
	if n >= 10 {
		b = appendInt(b, n/10)
	}
	return append(b, byte('0'+n%10))
}

// TestQueryWhere compares each clause with the same condition written in Go.
func TestQueryWhere(t *testing.T) {
	r := newRig(t, noVariation)
	var all []map[string]any
	for offset := 0; offset < 3200; offset += 1000 {
		for _, f := range r.ask("outFields", "*", "resultOffset", itoa(offset)).features().Features {
			all = append(all, f.Attributes)
		}
	}
	str := func(a map[string]any, k string) string { s, _ := a[k].(string); return s }
	num := func(a map[string]any, k string) float64 { f, _ := a[k].(float64); return f }
	for where, want := range map[string]func(map[string]any) bool{
		"1=1":                                       func(map[string]any) bool { return true },
		"1=0":                                       func(map[string]any) bool { return false },
		"OBJECTID = 7":                              func(a map[string]any) bool { return num(a, "OBJECTID") == 7 },
		"objectid<>7":                               func(a map[string]any) bool { return num(a, "OBJECTID") != 7 },
		"HeightM >= 20.5":                           func(a map[string]any) bool { return num(a, "HeightM") >= 20.5 },
		"HeightM BETWEEN 10 AND 12":                 func(a map[string]any) bool { h := num(a, "HeightM"); return h >= 10 && h <= 12 },
		"Species LIKE 'Acer%'":                      func(a map[string]any) bool { return strings.HasPrefix(str(a, "Species"), "Acer") },
		"Species NOT LIKE 'Acer%'":                  func(a map[string]any) bool { return !strings.HasPrefix(str(a, "Species"), "Acer") },
		"CommonName LIKE '_inkgo'":                  func(a map[string]any) bool { return str(a, "CommonName") == "Ginkgo" },
		"UPPER(CommonName)='GINKGO'":                func(a map[string]any) bool { return str(a, "CommonName") == "Ginkgo" },
		"Condition IN ('Dead', 'Poor')":             func(a map[string]any) bool { c := str(a, "Condition"); return c == "Dead" || c == "Poor" },
		"Notes IS NULL":                             func(a map[string]any) bool { return a["Notes"] == nil },
		"Notes IS NOT NULL":                         func(a map[string]any) bool { return a["Notes"] != nil },
		"Notes LIKE '%owner''s%'":                   func(a map[string]any) bool { return strings.Contains(str(a, "Notes"), "owner's") },
		"NOT Notes LIKE '%owner%'":                  func(a map[string]any) bool { return a["Notes"] != nil && !strings.Contains(str(a, "Notes"), "owner") },
		"Planted < timestamp '1970-01-01 00:00:00'": func(a map[string]any) bool { return num(a, "Planted") < 0 },
		"Planted >= DATE '2000-01-01'":              func(a map[string]any) bool { return num(a, "Planted") >= 946684800000 },
		"Condition='Dead' AND (HeightM>30 OR Species='Malus × domestica')": func(a map[string]any) bool {
			return str(a, "Condition") == "Dead" && (num(a, "HeightM") > 30 || str(a, "Species") == "Malus × domestica")
		},
		"Condition='Dead' OR Condition='Poor' AND HeightM>30": func(a map[string]any) bool {
			return str(a, "Condition") == "Dead" || str(a, "Condition") == "Poor" && num(a, "HeightM") > 30
		},
	} {
		n := 0
		for _, a := range all {
			if want(a) {
				n++
			}
		}
		if got := r.ask("where", where, "returnCountOnly", "true").json()["count"]; got != float64(n) {
			t.Errorf("%s: %v, want %d", where, got, n)
		}
	}
	// A bare percent sign in a query is taken as it stands.
	if a := r.get(layer + "/query?f=json&returnCountOnly=true&where=Species%20LIKE%20'Acer%'"); a.json()["count"] == nil {
		t.Error(a.body)
	}
	for _, where := range []string{"", "Nothing=1", "1=", "Species LIKE 3", "Species = 'x", "(1=1", "1=1; DROP TABLE trees", "OBJECTID IN (1", "1=1 OR", strings.Repeat("(", 1000)} {
		if a := r.ask("where", where); a.errorCode() != 400 {
			t.Errorf("%.40q: %.100s", where, a.body)
		}
	}
}

func TestQueryByPlaceAndID(t *testing.T) {
	r := newRig(t, noVariation)
	inside := 0
	const x1, y1, x2, y2 = -122.69, 45.51, -122.68, 45.52
	for offset := 0; offset < 3200; offset += 1000 {
		for _, f := range r.ask("resultOffset", itoa(offset)).features().Features {
			if f.Geometry.X >= x1 && f.Geometry.X <= x2 && f.Geometry.Y >= y1 && f.Geometry.Y <= y2 {
				inside++
			}
		}
	}
	for name, geometry := range map[string][]string{
		"bare":     {"geometry", "-122.69,45.51,-122.68,45.52", "geometryType", "esriGeometryEnvelope", "inSR", "4326"},
		"JSON":     {"geometry", `{"xmin":-122.69,"ymin":45.51,"xmax":-122.68,"ymax":45.52,"spatialReference":{"wkid":4326}}`},
		"mercator": {"geometry", `{"xmin":-13657787.97,"ymin":5702170.92,"xmax":-13656674.77,"ymax":5703759.46,"spatialReference":{"wkid":102100}}`},
		"polygon":  {"geometry", `{"rings":[[[-122.69,45.51],[-122.69,45.52],[-122.68,45.52],[-122.68,45.51],[-122.69,45.51]]]}`, "geometryType", "esriGeometryPolygon"},
	} {
		n := r.ask(append(geometry, "returnCountOnly", "true")...).json()["count"].(float64)
		if off := n - float64(inside); inside == 0 || off > 2 || off < -2 || name != "mercator" && off != 0 {
			t.Errorf("%s: %v features, want %d", name, n, inside)
		}
	}
	f := r.ask("objectIds", "5,3,99999", "where", "").features()
	if len(f.Features) != 2 || f.Features[0].Attributes["OBJECTID"] != 3.0 {
		t.Errorf("%+v", f)
	}
	if ids := r.ask("returnIdsOnly", "true").json()["objectIds"].([]any); len(ids) != 3200 { // not paged
		t.Errorf("%d ids", len(ids))
	}
	plain, mercator := r.ask("objectIds", "3").features().Features[0].Geometry, r.ask("objectIds", "3", "outSR", "102100").features().Features[0].Geometry
	if mercator.X > -13e6 || plain.X < -123 {
		t.Errorf("%v and %v", plain, mercator)
	}
	for _, bad := range [][]string{{"geometry", "1,2,3"}, {"quantizationParameters", "{}"}, {"geometry", "{"}, {"inSR", "2193", "geometry", "1,2,3,4"}, {"outSR", "2193"}, {"objectIds", "x"}, {"outFields", "Nothing"},
		{"orderByFields", "Nothing"}, {"orderByFields", "OBJECTID SIDEWAYS"}, {"resultOffset", "-1"}, {"f", "xml"}, {"outStatistics", "[]"}} {
		if a := r.ask(bad...); a.errorCode() != 400 {
			t.Errorf("%v: %.100s", bad, a.body)
		}
	}
}

func TestQueryFormats(t *testing.T) {
	r := newRig(t, noVariation)
	geo := r.ask("f", "geojson", "outFields", "*", "resultRecordCount", "2")
	v := geo.json()
	if v["type"] != "FeatureCollection" || v["properties"].(map[string]any)["exceededTransferLimit"] != true || !strings.HasPrefix(geo.header.Get("Content-Type"), "application/geo+json") {
		t.Errorf("%.300s", geo.body)
	}
	count := r.ask("f", "pbf", "returnCountOnly", "true")
	if count.header.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("%v", count.header)
	}
	// version = 1, queryResult = 2, countResult = 2, count = 1
	if n := protoVarint(t, protoBytes(t, protoBytes(t, []byte(count.body), 2), 2), 1); n != 3200 {
		t.Errorf("pbf counts %d", n)
	}
	result := protoBytes(t, protoBytes(t, []byte(r.ask("f", "pbf", "outFields", "*").body), 2), 1)
	features := 0
	for b := result; len(b) > 0; {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			t.Fatal(protowire.ParseError(size))
		}
		b = b[size:]
		if n == 15 {
			features++
		}
		b = b[protowire.ConsumeFieldValue(n, kind, b):]
	}
	if features != 1000 || protoVarint(t, result, 9) != 1 {
		t.Errorf("pbf has %d features", features)
	}
	// A map asks for coordinates in its own steps: transform = 12, scale = 2 and
	// translate = 3, each with x = 1 and y = 2.
	const grid = `{"mode":"view","originPosition":"upperLeft","tolerance":0.0001,"extent":{"xmin":-123,"ymin":45,"xmax":-122,"ymax":46,"spatialReference":{"wkid":4326}}}`
	result = protoBytes(t, protoBytes(t, []byte(r.ask("f", "pbf", "objectIds", "3", "quantizationParameters", grid).body), 2), 1)
	transform := protoBytes(t, result, 12)
	scale, corner := protoBytes(t, transform, 2), protoBytes(t, transform, 3)
	coords := protoBytes(t, protoBytes(t, protoBytes(t, result, 15), 2), 3)
	x, n := protowire.ConsumeVarint(coords)
	y, _ := protowire.ConsumeVarint(coords[n:])
	at := r.ask("objectIds", "3").features().Features[0].Geometry
	if protoDouble(scale, 1) != 0.0001 || protoDouble(corner, 2) != 46 ||
		math.Abs(protoDouble(corner, 1)+0.0001*float64(protowire.DecodeZigZag(x))-at.X) > 0.00006 || math.Abs(46-0.0001*float64(protowire.DecodeZigZag(y))-at.Y) > 0.00006 {
		t.Errorf("%v %v: %d, %d is not %v", scale, corner, protowire.DecodeZigZag(x), protowire.DecodeZigZag(y), at)
	}
	if a := r.ask("f", "pbf", "quantizationParameters", `{"tolerance":0}`); a.errorCode() != 400 {
		t.Error(a.body)
	}
	if a := r.ask("f", "html", "resultRecordCount", "1"); !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		t.Errorf("%v", a.header)
	}
	if a := r.get(layer + "?f=pjson"); !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") || a.json()["maxRecordCount"] != 1000.0 {
		t.Errorf("%v %s", a.header, a.body)
	}
}

// protoBytes returns the last field n of a message, protoVarint likewise.
func protoBytes(t *testing.T, b []byte, want protowire.Number) (found []byte) {
	t.Helper()
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			t.Fatal(protowire.ParseError(size))
		}
		b = b[size:]
		if n == want && kind == protowire.BytesType {
			found, _ = protowire.ConsumeBytes(b)
		}
		b = b[protowire.ConsumeFieldValue(n, kind, b):]
	}
	return found
}

// protoDouble returns field n of a message of doubles, 0 if it is not there.
func protoDouble(b []byte, want protowire.Number) float64 {
	for len(b) > 0 {
		n, _, size := protowire.ConsumeTag(b)
		v, more := protowire.ConsumeFixed64(b[max(size, 0):])
		if size < 0 || more < 0 {
			return 0
		}
		if n == want {
			return math.Float64frombits(v)
		}
		b = b[size+more:]
	}
	return 0
}

func protoVarint(t *testing.T, b []byte, want protowire.Number) (found uint64) {
	t.Helper()
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			t.Fatal(protowire.ParseError(size))
		}
		b = b[size:]
		if n == want && kind == protowire.VarintType {
			found, _ = protowire.ConsumeVarint(b)
		}
		b = b[protowire.ConsumeFieldValue(n, kind, b):]
	}
	return found
}

func TestEdits(t *testing.T) {
	r := newRig(t, noVariation)
	token := r.p.Token("alice_gis")
	at := site + "/server/rest/services/Trees/FeatureServer/0"
	send := func(op string, parameters ...string) answer {
		return r.post(at+"/"+op, change(url.Values{"f": {"json"}, "token": {token}}, parameters...))
	}
	count := func(where string) float64 {
		return r.get(at + "/query?f=json&returnCountOnly=true&token=" + token + "&where=" + url.QueryEscape(where)).json()["count"].(float64)
	}
	added := send("addFeatures", "features", `[{"attributes":{"Species":"Acer × test","HeightM":1.5,"Planted":1700000000123},"geometry":{"x":-122.6,"y":45.5}},{"attributes":{"Nothing":1}},{"attributes":{"HeightM":"tall"}}]`)
	if !strings.Contains(added.body, `"objectId":3201`) || strings.Count(added.body, `"success":false`) != 2 || count("Species='Acer × test' AND Planted=1700000000123") != 1 {
		t.Error(added.body)
	}
	send("updateFeatures", "features", `[{"attributes":{"OBJECTID":3201,"HeightM":2.5,"OBJECTID":3201}}]`)
	if count("OBJECTID=3201 AND HeightM=2.5 AND Species='Acer × test'") != 1 {
		t.Error("the update did nothing, or too much")
	}
	if a := send("deleteFeatures", "objectIds", "3201,77777"); strings.Count(a.body, `"success":true`) != 1 || count("1=1") != 3200 {
		t.Error(a.body)
	}
	if a := send("applyEdits", "adds", `[{"attributes":{"Species":"x"}}]`, "deletes", "1,2"); a.errorCode() != 0 || count("1=1") != 3199 {
		t.Error(a.body)
	}
	if a := send("deleteFeatures", "where", "Species='x'"); count("1=1") != 3198 {
		t.Error(a.body)
	}
	a := r.post(strings.TrimSuffix(at, "/0")+"/applyEdits", url.Values{"f": {"json"}, "token": {token}, "edits": {`[{"id":0,"adds":[{"attributes":{"Species":"y"}}]}]`}})
	if !strings.Contains(a.body, `"addResults":[{`) {
		t.Error(a.body)
	}
	if a := send("addFeatures", "features", "[{"); a.errorCode() != 400 {
		t.Error(a.body)
	}
	if a := r.get(at + "/addFeatures?f=json&token=" + token); a.errorCode() != 405 {
		t.Errorf("an edit by GET: %s", a.body)
	}
	if a := send("addFeatures", "token", ""); a.errorCode() != 499 {
		t.Errorf("an edit without a token: %s", a.body)
	}
}

func TestAttachments(t *testing.T) {
	r := newRig(t, noVariation)
	token := r.p.Token("alice_gis")
	at := site + "/server/rest/services/Trees/FeatureServer/0/"
	data := []byte("\x00\x01not text")
	a := r.upload(at+"7/addAttachment", map[string]string{"f": "json", "token": token}, "attachment", "a\"b.bin", data)
	if !strings.Contains(a.body, `"success":true`) {
		t.Fatal(a.body)
	}
	if a := r.get(at + "7/attachments?f=json&token=" + token); !strings.Contains(a.body, `"size":10`) {
		t.Error(a.body)
	}
	if a := r.get(at + "7/attachments/1?token=" + token); !bytes.Equal(a.raw, data) {
		t.Errorf("%q", a.raw)
	}
	if a := r.get(at + "queryAttachments?f=json&objectIds=7&token=" + token); !strings.Contains(a.body, `"parentObjectId":7`) {
		t.Error(a.body)
	}
	if a := r.get(at + "7/attachments/1?f=json"); a.errorCode() != 499 {
		t.Error(a.body)
	}
	for _, path := range []string{"99999/attachments", "7/attachments/2", "7/nothing"} {
		if a := r.get(at + path + "?f=json&token=" + token); a.errorCode() == 0 {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	r.post(at+"7/deleteAttachments", url.Values{"f": {"json"}, "token": {token}, "attachmentIds": {"1"}})
	if a := r.get(at + "7/attachments?f=json&token=" + token); !strings.Contains(a.body, `"attachmentInfos":[]`) {
		t.Error(a.body)
	}
}

const directories = site + "/server/rest/directories/"

func Test40LongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, noVariation)
		token := r.p.Token("alice_gis")
		begun := time.Now()
		if a := r.get(directories + "wait?f=json&seconds=20&token=" + token); a.text("status") != "nothing" || time.Since(begun) != 20*time.Second {
			t.Errorf("%s after %v", a.body, time.Since(begun))
		}
		got := make(chan answer)
		go func() { got <- r.get(directories + "wait?f=json&seconds=3600&token=" + token) }()
		synctest.Wait()
		r.p.Notify()
		if a := <-got; a.text("status") != "notified" {
			t.Error(a.body)
		}
	})
}

func TestBigBodies(t *testing.T) {
	r := newRig(t, noVariation)
	r.p.Set(func(s *arcgis.Shape) { s.AnyHost = true })
	token := r.p.Token("alice_gis")
	server := httptest.NewServer(r.p)
	defer server.Close()
	const size = 20<<20 + 7
	get := func(method string) *http.Response {
		req, _ := http.NewRequest(method, server.URL+"/server/rest/directories/big?bytes="+itoa(size), nil)
		req.Header.Set("X-Esri-Authorization", "Bearer "+token)
		res, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	res := get(http.MethodGet)
	body, err := io.ReadAll(res.Body)
	if err != nil || len(body) != size || res.ContentLength != size {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
	for _, i := range []int64{0, 1, 65520, 65521, size - 1} {
		if body[i] != arcgis.Big(i) {
			t.Errorf("byte %d is %d", i, body[i])
		}
	}
	if res := get(http.MethodHead); res.ContentLength != size {
		t.Errorf("HEAD says %d", res.ContentLength)
	}
	// Two parts, so that its length is not known beforehand.
	req, _ := http.NewRequest(http.MethodPost, server.URL+"/server/rest/directories/upload", io.MultiReader(bytes.NewReader(body[:1000]), bytes.NewReader(body[1000:])))
	req.Header.Set("X-Esri-Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/octet-stream")
	up, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer up.Body.Close()
	var v struct {
		Bytes  int64
		SHA256 string
	}
	if err := json.NewDecoder(up.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(body); v.Bytes != size || v.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("%+v", v)
	}
	for _, path := range []string{"big?bytes=1&f=json", "upload?f=json", "wait?f=json"} {
		if a := r.get(directories + path); a.errorCode() != 499 {
			t.Errorf("%s needs no token: %s", path, a.body)
		}
	}
}

func TestWebSocket(t *testing.T) {
	r := newRig(t, noVariation)
	r.p.Set(func(s *arcgis.Shape) { s.AnyHost = true })
	token := r.p.Token("alice_gis")
	server := httptest.NewServer(r.p)
	defer server.Close()
	address := "ws" + strings.TrimPrefix(server.URL, "http") + "/server/ws/services/Live/StreamServer/subscribe"
	dial := func(query, header string) (*websocket.Conn, error) {
		cfg, err := websocket.NewConfig(address+query, "https://anywhere.example")
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			cfg.Header.Set("X-Esri-Authorization", header)
		}
		return cfg.DialContext(t.Context())
	}
	ws, err := dial("?token="+token, "")
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	for _, text := range []string{"one", "two"} {
		var back string
		if err := websocket.Message.Send(ws, text); err != nil {
			t.Fatal(err)
		}
		if err := websocket.Message.Receive(ws, &back); err != nil || back != text {
			t.Errorf("%q came back, %v", back, err)
		}
	}
	for name, try := range map[string][2]string{"none": {}, "bad": {"?token=bad", ""}, "only in the header": {"", "Bearer " + token}} {
		if ws, err := dial(try[0], try[1]); err == nil {
			ws.Close()
			t.Errorf("token %s: the socket opened", name)
		}
	}
	r.p.Set(func(s *arcgis.Shape) { s.AnyHost = false })
	if a := r.get(site + "/server/rest/services/Live/StreamServer?f=json&token=" + token); !strings.Contains(a.body, "wss://gis.example.test/server/ws/services/Live/StreamServer") {
		t.Error(a.body)
	}
	r.p.Close() // an open socket does not outlive the sandbox
	if err := websocket.Message.Receive(ws, new(string)); err == nil {
		t.Error("the socket is still open")
	}
}

func TestServicesSharedWithEveryone(t *testing.T) {
	r := newRig(t, noVariation)
	list := site + "/server/rest/services?f=json"
	if a := r.get(list); strings.Contains(a.body, "Trees") || !strings.Contains(a.body, "Public") {
		t.Error(a.body)
	}
	r.p.Set(func(s *arcgis.Shape) { s.AllowsAnonymous = true })
	if a := r.get(list); !strings.Contains(a.body, "Trees") {
		t.Error(a.body)
	}
	if a := r.get(trees + "&f=json"); a.json()["count"] != 3200.0 {
		t.Error(a.body)
	}
	if a := r.get(trees + "&f=json&token=bad"); a.errorCode() != 498 {
		t.Errorf("a bad token passes where none is needed: %s", a.body)
	}
}
