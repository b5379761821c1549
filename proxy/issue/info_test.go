package issue

import (
	"encoding/json"
	"net/http/httptest"
	"testing"
)

func TestWhereTokensAreMade(t *testing.T) {
	g := newRig(t)
	for path, want := range map[string]bool{
		"/portal/sharing/rest/info":      true,
		"/portal/sharing/rest/info/":     true,
		"/portal/sharing/info":           true,
		"/portal/Sharing/Rest/INFO":      true,
		"/server/rest/info":              true,
		"/portal/rest/info":              false, // the Portal has none
		"/server/sharing/rest/info":      false,
		"/elsewhere/rest/info":           false,
		"/server/rest/info/x":            false,
		"/server/rest/services/info":     false,
		"/portal/sharing/rest/portals":   false,
		"/portal/sharing/rest//info":     false,
		"/portal/sharing/rest/%69nfo":    false,
		"/portal":                        false,
		"":                               false,
		"/portal/sharing/rest/info?f=1":  false,
		"/server/rest/info;x":            false,
		"/portal/sharing/rest/infos":     false,
		"/portal/sharing/rest/../info":   false,
		"/portal/sharing/rest/info/info": false,
	} {
		if g.Introduces(path) != want {
			t.Errorf("%q: %v", path, !want)
		}
		if want && g.Handles(path) {
			t.Errorf("%q is not for who is known", path)
		}
	}
	w := httptest.NewRecorder()
	g.Introduce(w, request(t, "GET /server/rest/info?f=json"))
	const body = `{"owningSystemUrl":"` + site + `/portal","authInfo":{"isTokenBasedSecurity":true,"tokenServicesUrl":"` + site + `/portal/sharing/rest/generateToken"}}`
	if got := w.Body.String(); w.Code != 200 || got != body || w.Header().Get("Cache-Control") != "no-store" || !json.Valid(w.Body.Bytes()) {
		t.Errorf("%d %v %s", w.Code, w.Header(), got)
	}
}
