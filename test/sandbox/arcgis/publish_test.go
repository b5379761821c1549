package arcgis_test

import (
	"net/url"
	"strings"
	"testing"
)

// TestPublish makes a service of a file and polls until it is there.
func TestPublish(t *testing.T) {
	r := newRig(t, noVariation)
	token := r.p.Token("alice_gis")
	mine := content + "users/alice_gis/"
	id := r.upload(mine+"addItem", map[string]string{"f": "json", "token": token, "title": "Trees", "type": "GeoJson"}, "file", "trees.geojson", []byte("{}")).text("id")
	form := url.Values{"f": {"json"}, "token": {token}, "itemid": {id}, "fileType": {"geojson"}, "publishParameters": {`{"name":"Published","description":"see ` + site + `\/portal"}`}}
	made := r.post(mine+"publish", form)
	var service map[string]any
	if list, _ := made.json()["services"].([]any); len(list) == 1 {
		service, _ = list[0].(map[string]any)
	}
	newItem, _ := service["serviceItemId"].(string)
	job, _ := service["jobId"].(string)
	if it, ok := r.p.Item(newItem); !ok || it.Fields["title"] != "Published" || it.Fields["description"] != "see "+site+"/portal" || it.Fields["url"] != service["serviceurl"] {
		t.Fatalf("%v: %s", it.Fields, made.body)
	}
	status := mine + "items/" + newItem + "/status?f=json&jobType=publish&jobId=" + job + "&token="
	for _, want := range []string{"processing", "completed", "completed"} {
		if a := r.get(status + token); a.text("status") != want {
			t.Errorf("%s, not %s", a.body, want)
		}
	}
	if a := r.get(status + r.p.Token("bob_gis")); a.errorCode() == 0 {
		t.Errorf("bob was told of it: %s", a.body)
	}
	for name, change := range map[string]url.Values{
		"no such item":  {"itemid": {"nothing"}},
		"no parameters": {"publishParameters": {""}},
	} {
		wrong := url.Values{}
		for key := range form {
			wrong[key] = form[key]
		}
		for key := range change {
			wrong[key] = change[key]
		}
		if a := r.post(mine+"publish", wrong); a.errorCode() != 400 {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	if a := r.get(mine + "publish?" + strings.ReplaceAll(form.Encode(), "+", "%20")); a.errorCode() != 405 {
		t.Errorf("by GET: %s", a.body)
	}
}
