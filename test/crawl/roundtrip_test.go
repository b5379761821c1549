package crawl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"arcproxy/test/sandbox/arcgis"
)

// person is somebody who works with the Portal: through the proxy, or past it.
type person struct {
	t      *testing.T
	do     func(method, address string, body []byte, headers ...string) *answer
	portal string // as this person calls it; and the servers
	server string
	other  string
}

const alice = "alice@example.com_sandbox"

// through works through the proxy, and needs no token.
func (w *world) through(encoding string) person {
	return person{w.t, func(method, address string, body []byte, headers ...string) *answer {
		w.t.Helper()
		a, err := w.do(method, address, bytes.NewReader(body), append(headers, "Accept-Encoding", encoding)...)
		if err != nil {
			w.t.Fatal(err)
		}
		return a
	}, w.public.String() + "/portal", w.public.String() + "/server", w.public.String() + "/arcgis"}
}

// past works at the Portal's own address, with a token of its own.
func (w *world) past(encoding string) person {
	direct := &world{t: w.t, client: w.sb.Transport().(*http.Transport)}
	token := "Bearer " + w.sb.Portal.Token("alice@example.com")
	return person{w.t, func(method, address string, body []byte, headers ...string) *answer {
		w.t.Helper()
		a, err := direct.do(method, address, bytes.NewReader(body), append(headers, "Accept-Encoding", encoding, "X-Esri-Authorization", token)...)
		if err != nil {
			w.t.Fatal(err)
		}
		return a
	}, w.sb.PortalURL.String(), w.sb.ServerURL.String(), w.sb.OtherServerURL.String()}
}

func (p person) get(address string, headers ...string) *answer {
	p.t.Helper()
	return p.do(http.MethodGet, address, nil, headers...)
}

func (p person) post(address string, form url.Values) *answer {
	p.t.Helper()
	return p.do(http.MethodPost, address, []byte(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
}

// upload posts a multipart form with fields and one file.
func (p person) upload(address string, fields map[string]string, name string, content []byte) *answer {
	p.t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if err := m.WriteField(k, fields[k]); err != nil {
			p.t.Fatal(err)
		}
	}
	part, err := m.CreateFormFile("file", name)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := part.Write(content); err != nil {
		p.t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		p.t.Fatal(err)
	}
	return p.do(http.MethodPost, address, b.Bytes(), "Content-Type", m.FormDataContentType())
}

func (a *answer) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil || v["error"] != nil {
		t.Fatalf("%s: %d %s", a.url, a.status, a.body)
	}
	return v
}

// fields are those of an item that this person would send: addresses as the person
// knows them, in every form that clients write them in.
func (p person) fields() url.Values {
	data := `{"operationalLayers":[{"url":"` + p.server + `/rest/services/Trees/FeatureServer/0","title":"50% \u00fc <b>"}],` +
		`"baseMap":{"url":"` + strings.ReplaceAll(p.other, "/", `\/`) + `\/rest\/services\/Topo\/MapServer"},` +
		`"unicode":"` + strings.ReplaceAll(p.portal, "/", `\u002f`) + `","encoded":"` + url.QueryEscape(p.server+"/x") + `",` +
		`"foreign":"https://services.example.net/arcgis/rest","longer":"https://gis.example.test.evil/portal","port":"https://gis.example.test:6443/arcgis"}`
	return url.Values{
		"f": {"json"}, "title": {"A map & more; 100% +"}, "type": {"Web Map"}, "tags": {" a, b "},
		"url":         {p.server + "/rest/services/Trees/FeatureServer"},
		"description": {"<a href=\"" + p.portal + "/home/item.html?id=7&x=ü\">here</a>, or " + p.other + "."},
		"text":        {data},
	}
}

// stored is what the Portal keeps of an item.
func (w *world) stored(id string) string {
	w.t.Helper()
	it, ok := w.sb.Portal.Item(id)
	if !ok {
		w.t.Fatalf("there is no item %q", id)
	}
	delete(it.Fields, "modified")
	return fmt.Sprintf("%s %q %q %s %d %s", it.Type, it.Fields, it.Data, it.Name, it.Size, it.SHA256)
}

func TestItemsAreStoredAsIfSentDirectly(t *testing.T) {
	for _, encoding := range []string{"gzip", "identity"} {
		t.Run(encoding, func(t *testing.T) {
			w := newWorld(t, 0, "https", nil)
			here, there := w.through(encoding), w.past(encoding)
			mine := "/sharing/rest/content/users/" + url.PathEscape(alice)
			same := func(step, a, b string) {
				t.Helper()
				if got, want := w.stored(a), w.stored(b); got != want {
					t.Errorf("%s:\n%s\nand not, as sent directly\n%s", step, got, want)
				}
				if strings.Contains(w.stored(a), "localhost") {
					t.Errorf("%s: the proxy's address is stored", step)
				}
			}
			add := func(p person) string {
				id, _ := p.post(p.portal+mine+"/addItem", p.fields()).json(t)["id"].(string)
				return id
			}
			a, b := add(here), add(there)
			same("added", a, b)

			// What is read back is this person's again, but for the data.
			read := here.get(here.portal + "/sharing/rest/content/items/" + a + "?f=json").json(t)
			if read["url"] != here.fields().Get("url") || read["description"] != here.fields().Get("description") {
				t.Errorf("read back: %v, %v", read["url"], read["description"])
			}
			data, direct := here.get(here.portal+"/sharing/rest/content/items/"+a+"/data"), there.get(there.portal+"/sharing/rest/content/items/"+b+"/data")
			if !bytes.Equal(data.body, direct.body) || string(data.body) != there.fields().Get("text") {
				t.Errorf("the data are\n%s\nand not\n%s", data.body, direct.body)
			}

			// Sent again as read, nothing changes.
			again := url.Values{"f": {"json"}, "url": {read["url"].(string)}, "description": {read["description"].(string)}, "text": {string(data.body)}}
			here.post(here.portal+mine+"/items/"+a+"/update", again).json(t)
			same("updated", a, b)

			file := []byte("a file names " + here.portal + " and " + there.portal + "\n")
			send := func(p person) string {
				id, _ := p.upload(p.portal+mine+"/addItem", map[string]string{"f": "json", "title": "A file", "type": "CSV", "url": p.portal + "/home/"}, "a.csv", file).json(t)["id"].(string)
				return id
			}
			a, b = send(here), send(there)
			if it, _ := w.sb.Portal.Item(a); it.Fields["url"] != there.portal+"/home/" || !bytes.Equal(it.Data, file) {
				t.Errorf("uploaded: %q %q", it.Fields, it.Data)
			}
			if got, want := w.stored(a), w.stored(b); got != want {
				t.Errorf("uploaded:\n%s\n%s", got, want)
			}
			if back := here.get(here.portal + "/sharing/rest/content/items/" + a + "/data"); !bytes.Equal(back.body, file) {
				t.Errorf("downloaded: %s", back.body)
			}

			a, b = w.byParts(here, mine), w.byParts(there, mine)
			if got, want := w.stored(a), w.stored(b); got != want {
				t.Errorf("by parts: %.200s\n%.200s", got, want)
			}

			service := here.post(here.portal+mine+"/createService", url.Values{"f": {"json"}, "createParameters": {`{"name":"New"}`}}).json(t)
			if s, _ := service["serviceurl"].(string); !strings.HasPrefix(s, here.server+"/") {
				t.Errorf("serviceurl %q", s)
			}
			if s, _ := service["encodedServiceURL"].(string); !strings.HasPrefix(s, url.QueryEscape(here.server+"/")) {
				t.Errorf("encodedServiceURL %q", s)
			}
			if len(w.left) > 0 {
				t.Errorf("somebody went to %v", w.left)
			}
		})
	}
}

// byParts uploads a file in two parts, the last one first, and waits until the
// Portal has put them together.
func (w *world) byParts(p person, mine string) string {
	w.t.Helper()
	id, _ := p.post(p.portal+mine+"/addItem", url.Values{"f": {"json"}, "title": {"Large"}, "type": {"File Geodatabase"}, "multipart": {"true"}, "filename": {"large.zip"}}).json(w.t)["id"].(string)
	item := p.portal + mine + "/items/" + id
	for n, part := range map[int][]byte{1: bytes.Repeat([]byte("https://localhost/portal "), 5<<20/25+1), 2: []byte("the end at https://localhost/portal")} {
		p.upload(item+"/addPart", map[string]string{"f": "json", "partNum": strconv.Itoa(n)}, "part", part).json(w.t)
	}
	p.post(item+"/commit", url.Values{"f": {"json"}}).json(w.t)
	for range 10 {
		switch s := p.get(item + "/status?f=json").json(w.t)["status"]; s {
		case "completed":
			return id
		case "partial", "processing":
		default:
			w.t.Fatalf("status %v", s)
		}
	}
	w.t.Fatal("the parts are never put together")
	return ""
}

// TestFeaturesComeBackUnchanged compares every answer with data byte for byte with
// what the server sends to a direct client.
func TestFeaturesComeBackUnchanged(t *testing.T) {
	for _, encoding := range []string{"gzip", "identity"} {
		t.Run(encoding, func(t *testing.T) {
			w := newWorld(t, 0, "https", nil)
			w.sb.Portal.Set(func(s *arcgis.Shape) { s.Slashes, s.EscapedHTML = arcgis.SlashEscaped, arcgis.Never })
			w.key = callerKey
			here, there := w.through(encoding), w.past(encoding)
			trees := "/rest/services/Trees/FeatureServer/0"
			named := 0
			for _, query := range []string{
				"/query?where=1%3D1&outFields=*&resultRecordCount=1000&f=json", "/query?where=Notes+LIKE+%27%25portal%25%27&outFields=*&f=json",
				"/query?where=OBJECTID%3D400&outFields=*&f=geojson", "/query?where=1%3D1&outFields=*&f=pbf", "/query?where=OBJECTID%3D800&outFields=*&f=pjson",
				"/query?where=OBJECTID%3D400&outFields=*&f=html", "/query?where=OBJECTID%3D400&outFields=*&f=json&callback=cb", "/400?f=json",
				"/400/attachments/9001", "/400/attachments/9002",
			} {
				a, b := here.get(here.server+trees+query), there.get(there.server+trees+query)
				if !bytes.Equal(a.body, b.body) || a.status != b.status || a.header.Get("Content-Type") != b.header.Get("Content-Type") {
					t.Errorf("%s:\n%.300s\nand not\n%.300s", query, a.body, b.body)
				}
				if strings.Contains(string(b.body), "gis.example.test") {
					named++
				}
			}
			if named < 8 {
				t.Errorf("only %d answers name the Portal: this tests too little", named)
			}
			// What is written through the proxy is the Portal's address there, and
			// what is read is what is there.
			note := func(p person) string {
				return "See " + p.portal + "/home/ and " + strings.ReplaceAll(p.portal, "/", `\/`)
			}
			add := func(p person) string {
				features, _ := json.Marshal([]any{map[string]any{"attributes": map[string]any{"Species": "Acer", "Notes": note(p)}, "geometry": map[string]any{"x": -122.6, "y": 45.5}}})
				results, _ := p.post(p.server+trees+"/addFeatures", url.Values{"f": {"json"}, "features": {string(features)}}).json(t)["addResults"].([]any)
				return fmt.Sprint(results[0].(map[string]any)["objectId"])
			}
			for _, p := range []person{here, there} {
				id := add(p)
				features, _ := here.get(here.server + trees + "/query?f=json&outFields=Notes&objectIds=" + id).json(t)["features"].([]any)
				if got := features[0].(map[string]any)["attributes"].(map[string]any)["Notes"]; got != note(there) {
					t.Errorf("feature %s has the note %q, not %q", id, got, note(there))
				}
			}
		})
	}
}

// TestPartsOfAnswers asks for parts, for headers only, and for what has changed.
func TestPartsOfAnswers(t *testing.T) {
	w := newWorld(t, 0, "https", nil)
	w.sb.Portal.Set(func(s *arcgis.Shape) { s.Tags = arcgis.Always })
	here, there := w.through("identity"), w.past("identity")
	mine := "/sharing/rest/content/users/" + url.PathEscape(alice)
	file := []byte("0123456789 " + there.portal + " the rest")
	id, _ := here.upload(here.portal+mine+"/addItem", map[string]string{"f": "json", "title": "A file", "type": "CSV"}, "a.csv", file).json(t)["id"].(string)
	data := "/sharing/rest/content/items/" + id + "/data"
	whole := here.get(here.portal + data)
	if a := here.get(here.portal+data, "Range", "bytes=5-20"); a.status != http.StatusPartialContent || !bytes.Equal(a.body, file[5:21]) || a.header.Get("Content-Range") != fmt.Sprintf("bytes 5-20/%d", len(file)) {
		t.Errorf("a range of a file: %d %v %q", a.status, a.header, a.body)
	}
	if a := here.get(here.portal+data, "If-None-Match", whole.header.Get("Etag")); a.status != http.StatusNotModified || len(a.body) > 0 || whole.header.Get("Etag") == "" {
		t.Errorf("a file that has not changed: %d %v", a.status, a.header)
	}
	if a := here.do(http.MethodHead, here.portal+data, nil); a.status != http.StatusOK || a.header.Get("Content-Length") != strconv.Itoa(len(file)) {
		t.Errorf("HEAD of a file: %d %v", a.status, a.header)
	}

	for _, path := range []string{"/rest/info?f=json", "/rest/services/Trees/FeatureServer?f=json", "/rest/services/Trees/MapServer?f=pjson"} {
		w.sb.Portal.Set(func(s *arcgis.Shape) {
			s.Slashes, s.OddNames, s.Chunked, s.Gzip = arcgis.SlashPlain, arcgis.Never, arcgis.Never, arcgis.Never
		})
		mapped := here.get(here.server + path)
		if !strings.Contains(string(mapped.body), w.public.Host) && path != "/rest/services/Trees/FeatureServer?f=json" {
			t.Errorf("%s is not mapped: %s", path, mapped.body)
		}
		if n := mapped.header.Get("Content-Length"); n != "" && n != strconv.Itoa(len(mapped.body)) {
			t.Errorf("%s: Content-Length %s of %d", path, n, len(mapped.body))
		}
		if tag := there.get(there.server + path).header.Get("Etag"); tag == "" || tag == mapped.header.Get("Etag") {
			t.Errorf("%s: the tag %q is that of other bytes", path, tag)
		}
		head := here.do(http.MethodHead, here.server+path, nil)
		if n := head.header.Get("Content-Length"); head.status != http.StatusOK || n != "" && n != strconv.Itoa(len(mapped.body)) {
			t.Errorf("%s: HEAD %d %v", path, head.status, head.header)
		}
		if tag := mapped.header.Get("Etag"); tag != "" {
			a := here.get(here.server+path, "If-None-Match", tag)
			if a.status != http.StatusNotModified && !bytes.Equal(a.body, mapped.body) || a.status == http.StatusNotModified && len(a.body) > 0 {
				t.Errorf("%s: again with its tag: %d %s", path, a.status, a.body)
			}
		}
	}
	if len(w.left) > 0 {
		t.Errorf("somebody went to %v", w.left)
	}
}

// TestEveryEncodingIsTheSame reads a page with and without compression, in one
// piece and in chunks: the addresses in it are the same.
func TestEveryEncodingIsTheSame(t *testing.T) {
	w := newWorld(t, 0, "https", nil)
	var first []byte
	for _, zip := range []arcgis.Choice{arcgis.Never, arcgis.Always} {
		for _, chunked := range []arcgis.Choice{arcgis.Never, arcgis.Always} {
			w.sb.Portal.Set(func(s *arcgis.Shape) {
				s.Gzip, s.Chunked, s.Slashes, s.OddNames, s.TextPlain = zip, chunked, arcgis.SlashPlain, arcgis.Never, arcgis.Never
			})
			for _, encoding := range []string{"gzip", "identity"} {
				here := w.through(encoding)
				a := here.get(here.portal + "/sharing/rest/portals/self?f=json")
				if got := a.header.Get("Content-Encoding"); encoding == "identity" && got != "" {
					t.Errorf("%s was asked for, and %s came", encoding, got)
				}
				if first == nil {
					first = a.body
				}
				if !bytes.Equal(a.body, first) || !bytes.Contains(a.body, []byte(w.public.Host+"/portal")) {
					t.Errorf("gzip %v, chunked %v, to one who takes %s: %s", zip, chunked, encoding, a.body)
				}
			}
		}
	}
}
