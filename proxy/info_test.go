package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// Where a client is to send its password is said in the proxy's own words.
func TestTheTokenServiceIsOurs(t *testing.T) {
	var address string
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" && strings.HasSuffix(r.URL.Path, "info") {
			t.Error("a compressed answer is asked for")
		}
		w.Header().Set("Etag", `"1"`)
		body := `{"owningSystemUrl":"URL","authInfo":{"tokenServicesUrl":"URL/sharing/rest/generateToken"},"other":["URL2","` + strings.ReplaceAll(address, "/", `\/`) + `\/x"]}`
		_, _ = io.WriteString(w, strings.ReplaceAll(body, "URL", address))
	})
	address = s.upstream.URL + "/portal"
	const ours = "https://maps.example.com:8443/portal"
	for _, path := range []string{"/portal/sharing/rest/info", "/portal/rest/INFO/"} {
		res := s.do(http.MethodGet, path+"?f=json", nil, func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") })
		body := text(t, res)
		want := `{"owningSystemUrl":"` + ours + `","authInfo":{"tokenServicesUrl":"` + ours + `/sharing/rest/generateToken"},"other":["` + address + `2","` + strings.ReplaceAll(ours, "/", `\/`) + `\/x"]}`
		if body != want || res.ContentLength != int64(len(want)) || res.Header.Get("Etag") != "" {
			t.Errorf("%s: %d %s", path, res.ContentLength, body)
		}
	}
	if _, body := s.get("/portal/sharing/rest/information"); !strings.Contains(body, address+"/sharing") {
		t.Errorf("another page was changed: %s", body)
	}
}

func TestAnEndlessInformationPageIsRefused(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte(strings.Repeat("x", 4096))); err != nil {
				return
			}
		}
	})
	if status, _ := s.get("/portal/rest/info"); status != 502 {
		t.Errorf("got %d", status)
	}
}
