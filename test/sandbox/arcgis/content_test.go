package arcgis_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"arcproxy/test/sandbox/arcgis"
)

const content = site + "/portal/sharing/rest/content/"

func Test37ItemsKeepWhatWasSent(t *testing.T) {
	r := newRig(t, noVariation)
	token := r.p.Token("alice_gis")
	mine := content + "users/alice_gis/"

	found := r.get(site + "/portal/sharing/rest/search?f=json&num=1&q=trees%20-type:%22Web%20Map%22&token=" + token).json()
	results := found["results"].([]any)
	if found["total"] != 1.0 || len(results) != 1 || results[0].(map[string]any)["url"] != site+"/server/rest/services/Trees/FeatureServer" {
		t.Errorf("search %v", found)
	}
	if a := r.get(site + "/portal/sharing/rest/search?f=json&q=type:%22Feature%20Service%22"); a.json()["total"] != 1.0 {
		t.Errorf("an anonymous search: %s", a.body) // only the parks are public
	}
	page := r.get(site + "/portal/sharing/rest/search?f=json&num=2&q=&token=" + token).json()
	if page["nextStart"] != 3.0 || page["num"] != 2.0 {
		t.Errorf("first page %v", page)
	}

	// A proxy that does not map URLs back would store its own name here.
	odd := `{"url":"https:\/\/localhost:8443\/server\/x", "note":"a+b %41 ü"}`
	added := r.post(mine+"addItem", url.Values{"f": {"json"}, "token": {token}, "title": {"A map"}, "type": {"Web Map"}, "url": {"https://localhost:8443/x"}, "text": {odd}})
	id := added.text("id")
	it, ok := r.p.Item(id)
	if !ok || string(it.Data) != odd || it.Fields["url"] != "https://localhost:8443/x" {
		t.Fatalf("%s: %+v", added.body, it)
	}
	if a := r.get(content + "items/" + id + "/data?token=" + token); a.body != odd {
		t.Errorf("data %s", a.body)
	}
	r.post(mine+"items/"+id+"/update", url.Values{"f": {"json"}, "token": {token}, "tags": {" a, b "}, "text": {"{}"}})
	if it, _ := r.p.Item(id); it.Fields["tags"] != " a, b " || it.Fields["title"] != "A map" || string(it.Data) != "{}" {
		t.Errorf("after the update: %+v", it)
	}
	if a := r.get(content + "items/" + id + "?f=json&token=" + r.p.Token("bob_gis")); a.errorCode() != 403 {
		t.Errorf("a private item was shown to bob: %s", a.body)
	}
	if a := r.get(content + "items/" + id + "?f=json"); a.errorCode() != 400 {
		t.Errorf("a private item was shown to nobody: %s", a.body)
	}
	r.post(mine+"items/"+id+"/share", url.Values{"f": {"json"}, "token": {token}, "everyone": {"true"}})
	if a := r.get(content + "items/" + id + "?f=json"); a.text("title") != "A map" {
		t.Error(a.body)
	}

	file := bytes.Repeat([]byte("0123456789"), 1000)
	up := r.upload(mine+"addItem", map[string]string{"f": "json", "token": token, "title": "A file", "type": "CSV"}, "file", "a.csv", file)
	if it, _ := r.p.Item(up.text("id")); !bytes.Equal(it.Data, file) || it.Name != "a.csv" {
		t.Errorf("upload: %s", up.body)
	}
	if a := r.get(content + "users/alice_gis?f=json&token=" + token); !strings.Contains(a.body, "A file") {
		t.Error(a.body)
	}
	if a := r.post(mine+"items/"+id+"/delete", url.Values{"f": {"json"}, "token": {token}}); a.json()["success"] != true {
		t.Error(a.body)
	}
	if _, ok := r.p.Item(id); ok {
		t.Error("a deleted item is still there")
	}
	service := r.post(mine+"createService", url.Values{"f": {"json"}, "token": {token}, "createParameters": {`{"name":"New"}`}})
	if service.text("serviceurl") != site+"/server/rest/services/Trees/FeatureServer" || !strings.HasPrefix(service.text("encodedServiceURL"), "https%3A%2F%2Fgis.example.test%2Fserver") {
		t.Error(service.body)
	}
	published := r.post(mine+"publish", url.Values{"f": {"json"}, "token": {token}, "itemid": {up.text("id")}, "filetype": {"csv"}, "publishParameters": {`{"name":"Published"}`}})
	services, _ := published.json()["services"].([]any)
	if len(services) != 1 {
		t.Fatal(published.body)
	}
	one := services[0].(map[string]any)
	if one["serviceurl"] != site+"/server/rest/services/Trees/FeatureServer" {
		t.Error(published.body)
	}
	state := mine + "items/" + one["serviceItemId"].(string) + "/status?f=json&jobType=publish&jobId=" + one["jobId"].(string) + "&token=" + token
	if a, b := r.get(state).text("status"), r.get(state).text("status"); a != "processing" || b != "completed" {
		t.Errorf("publishing is %q and then %q", a, b)
	}
	for address, form := range map[string]url.Values{
		"users/alice_gis/publish": {"itemid": {"nothing"}, "filetype": {"csv"}, "publishParameters": {`{"name":"x"}`}},
		"users/bob_gis/addItem":   {"title": {"x"}, "type": {"CSV"}},
		"users/alice_gis/addItem": {"type": {"CSV"}},
	} {
		form.Set("f", "json")
		form.Set("token", token)
		if a := r.post(content+address, form); a.errorCode() == 0 {
			t.Errorf("%s: %s", address, a.body)
		}
	}
	bob := url.Values{"f": {"json"}, "token": {r.p.Token("bob_gis")}, "title": {"x"}, "type": {"CSV"}}
	if a := r.post(content+"users/bob_gis/addItem", bob); a.errorCode() != 403 {
		t.Errorf("a viewer added an item: %s", a.body)
	}
}

func Test38Parts(t *testing.T) {
	r := newRig(t, noVariation)
	token := r.p.Token("alice_gis")
	mine := content + "users/alice_gis/"
	begin := func() string {
		return r.post(mine+"addItem", url.Values{"f": {"json"}, "token": {token}, "title": {"Large"}, "type": {"File Geodatabase"}, "multipart": {"true"}, "filename": {"large.zip"}}).text("id")
	}
	part := func(id string, n int, data []byte) answer {
		return r.upload(mine+"items/"+id+"/addPart", map[string]string{"f": "json", "token": token, "partNum": strconv.Itoa(n)}, "file", "part", data)
	}
	after := func(id, op string) string {
		r.post(mine+"items/"+id+"/commit", url.Values{"f": {"json"}, "token": {token}})
		status := mine + "items/" + id + "/status?f=json&token=" + token
		if s := r.get(status).text("status"); s != "processing" {
			t.Errorf("status %q at first", s)
		}
		return r.get(status).text("status")
	}
	big, small := bytes.Repeat([]byte("A"), 5<<20), []byte("the end")
	id := begin()
	if s := r.get(mine + "items/" + id + "/status?f=json&token=" + token).text("status"); s != "partial" {
		t.Errorf("status %q before the parts", s)
	}
	for _, a := range []answer{part(id, 2, small), part(id, 1, big)} { // any order
		if a.json()["success"] != true {
			t.Fatal(a.body)
		}
	}
	if s := after(id, "commit"); s != "completed" {
		t.Errorf("status %q", s)
	}
	sum := sha256.Sum256(append(append([]byte{}, big...), small...))
	if it, _ := r.p.Item(id); it.SHA256 != hex.EncodeToString(sum[:]) || it.Name != "large.zip" {
		t.Errorf("the parts make %d bytes", it.Size)
	}
	if a := part(id, 3, small); a.errorCode() == 0 {
		t.Error("a part was taken after commit")
	}
	for _, n := range []int{0, 10_001} {
		if a := part(begin(), n, big); a.errorCode() == 0 {
			t.Errorf("part %d was taken", n)
		}
	}
	id = begin()
	part(id, 1, small)
	part(id, 2, small)
	if s := after(id, "commit"); s != "failed" {
		t.Errorf("a small part in the middle: status %q", s)
	}
	id = begin()
	part(id, 1, big)
	part(id, 3, small)
	if s := after(id, "commit"); s != "failed" {
		t.Errorf("a gap between parts: status %q", s)
	}
}

func Test38Jobs(t *testing.T) {
	r := newRig(t, noVariation)
	token := "&token=" + r.p.Token("alice_gis")
	task := site + "/server/rest/services/Tools/GPServer/CountTrees"
	job := r.get(task + "/submitJob?f=json" + token)
	status := job.text("statusUrl") + "?f=json"
	if !strings.HasPrefix(status, task+"/jobs/j") {
		t.Fatal(job.body)
	}
	if s := r.get(status + token).text("jobStatus"); s != "esriJobExecuting" {
		t.Errorf("first %q", s)
	}
	done := r.get(status + token)
	if done.text("jobStatus") != "esriJobSucceeded" || !strings.Contains(done.body, task+"/jobs/") {
		t.Error(done.body)
	}
	result := r.get(strings.TrimSuffix(status, "?f=json") + "/results/total?f=json" + token).json()
	file := result["value"].(map[string]any)["url"].(string)
	if a := r.get(file + "?x" + token); a.status != 200 || !strings.HasPrefix(a.body, "\x89PNG") {
		t.Errorf("%s: %d", file, a.status)
	}
	if a := r.get(status + "&token=" + r.p.Token("bob_gis")); a.errorCode() != 400 {
		t.Errorf("bob sees alice's job: %s", a.body)
	}
	status = r.get(task+"/submitJob?f=json&fail=true"+token).text("statusUrl") + "?f=json"
	r.get(status + token)
	if a := r.get(status + token); a.text("status") != "failed" || a.text("statusMessage") == "" {
		t.Error(a.body)
	}
}

func Test40ETagRangeHeadRedirect(t *testing.T) {
	r := newRig(t, noVariation)
	token := r.p.Token("alice_gis")
	id := r.upload(content+"users/alice_gis/addItem", map[string]string{"f": "json", "token": token, "title": "A file", "type": "CSV"}, "file", "a.csv", []byte("0123456789")).text("id")
	data := content + "items/" + id + "/data?token=" + token
	whole := r.get(data)
	tag := whole.header.Get("Etag")
	if whole.body != "0123456789" || tag == "" {
		t.Fatalf("%v %s", whole.header, whole.body)
	}
	if a := r.get(data, "If-None-Match", tag); a.status != http.StatusNotModified || a.body != "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := r.get(data, "Range", "bytes=2-4"); a.status != http.StatusPartialContent || a.body != "234" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := r.get(data, "Range", "bytes=2-4", "If-Range", `"other"`); a.status != http.StatusOK || a.body != "0123456789" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := r.do(request(http.MethodHead, data, nil)); a.status != http.StatusOK || a.body != "" || a.header.Get("Content-Length") != "10" {
		t.Errorf("%d %v", a.status, a.header)
	}
	if a := r.get(content + "items/" + id + "/data?f=json"); a.errorCode() == 0 {
		t.Error("a private file needs no token")
	}
	r.p.Set(func(s *arcgis.Shape) { s.Tags = arcgis.Always })
	tag = r.get(layer + "?f=json").header.Get("Etag")
	if a := r.get(layer+"?f=json", "If-None-Match", tag); tag == "" || a.status != http.StatusNotModified || a.body != "" {
		t.Errorf("tag %q: %d %s", tag, a.status, a.body)
	}
	a := r.get(site + "/server/rest/services/Old/FeatureServer/0?f=json&where=%C3%BC+1&token=" + token)
	if a.status != http.StatusMovedPermanently || a.header.Get("Location") != site+"/server/rest/services/Trees/FeatureServer/0?f=json&where=%C3%BC+1&token="+token {
		t.Errorf("%d %v", a.status, a.header)
	}
}
