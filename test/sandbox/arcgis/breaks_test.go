package arcgis_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"arcproxy/test/sandbox/arcgis"
)

func TestBreaks(t *testing.T) {
	r := newRig(t, arcgis.Shape{AnyHost: true})
	server := httptest.NewServer(r.p)
	defer server.Close()
	get := func() (int, string, error) {
		res, err := server.Client().Transport.RoundTrip(httptest.NewRequest(http.MethodGet, server.URL+"/portal/sharing/rest/info?f=json", nil))
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		return res.StatusCode, string(body), err
	}
	for mode, want := range map[arcgis.Mode]struct {
		status int
		fails  bool
	}{
		arcgis.Healthy: {200, false}, arcgis.ServerError: {500, false}, arcgis.Maintenance: {503, false}, arcgis.FrontEnd: {502, false},
		arcgis.Garbage: {200, false}, arcgis.Truncated: {200, true}, arcgis.Reset: {0, true}, arcgis.Endless: {200, false}, arcgis.Loop: {302, false},
	} {
		r.p.Break(mode, "/portal/sharing/rest/info")
		status, body, err := get()
		if status != want.status || (err != nil) != want.fails {
			t.Errorf("mode %d: %d, %v", mode, status, err)
		}
		if strings.Contains(body, "owningSystemUrl") != (mode == arcgis.Healthy) {
			t.Errorf("mode %d: %.100s", mode, body)
		}
		if a := r.get(site + "/portal/sharing/rest?f=json"); a.text("currentVersion") == "" {
			t.Errorf("mode %d breaks other paths, too", mode)
		}
	}
	r.p.Break(arcgis.Hang)
	failed := make(chan error)
	go func() { _, _, err := get(); failed <- err }()
	r.p.Close()
	if err := <-failed; err == nil {
		t.Error("a hanging request was answered")
	}
}

func TestHold(t *testing.T) {
	r := newRig(t, noVariation)
	gate := r.p.Hold("/portal/sharing/rest/info")
	got := make(chan answer)
	go func() { got <- r.get(site + "/portal/sharing/rest/info?f=json") }()
	<-gate.Reached
	select {
	case <-got:
		t.Fatal("the gate did not hold")
	default:
	}
	gate.Release()
	if a := <-got; a.text("owningTenant") == "" {
		t.Error(a.body)
	}
}
