package crawl

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestStreams subscribes to the streams that a crawl comes by.
func TestStreams(t *testing.T) {
	for _, key := range []string{"", callerKey} {
		w := newWorld(t, 0, "https", nil)
		w.key = key
		j := w.crawl()
		for _, b := range j.broken {
			t.Error(b)
		}
		if j.sockets < 2 { // ws and wss
			t.Errorf("%d streams", j.sockets)
		}
	}
}

// TestNestedEncoding stores an address that is percent-encoded twice, and in a form
// therefore three times.
func TestNestedEncoding(t *testing.T) {
	w := newWorld(t, 0, "https", nil)
	here := w.through("identity")
	mine := "/sharing/rest/content/users/" + url.PathEscape(alice)
	text := func(portal string) string { return `{"twice":"` + url.QueryEscape(url.QueryEscape(portal+"/x")) + `"}` }
	id, _ := here.post(here.portal+mine+"/addItem", url.Values{"f": {"json"}, "title": {"x"}, "type": {"Web Map"}, "text": {text(here.portal)}}).json(t)["id"].(string)
	if it, _ := w.sb.Portal.Item(id); string(it.Data) != text(w.sb.PortalURL.String()) {
		t.Errorf("%s is stored", it.Data)
	}
}

// TestRangeOfMappedAnswer asks for a part of what is mapped. A server that does not
// make parts sends everything, and that is followed like any other answer.
func TestRangeOfMappedAnswer(t *testing.T) {
	w := newWorld(t, 0, "https", nil)
	here := w.through("identity")
	a := here.get(here.server+"/rest/info?f=json", "Range", "bytes=0-9")
	if a.status == http.StatusOK && (!bytes.Contains(a.body, []byte("localhost")) || strings.Contains(string(a.body), "gis.example.test")) {
		t.Errorf("%d %s", a.status, a.body)
	}
}
