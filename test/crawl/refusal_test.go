package crawl

import (
	"bytes"
	"testing"

	"arcproxy/test/sandbox/arcgis"
)

// TestEveryRefusalIsMended: whatever a Portal or a server writes its refusal of a
// token in, and under whatever status, the caller gets what it asked for.
func TestEveryRefusalIsMended(t *testing.T) {
	w := newWorld(t, 0, "http", nil)
	w.key = callerKey // which JSONP needs
	const self, trees = "/portal/sharing/rest/community/self", "/server/rest/services/Trees/FeatureServer/0/query?where=1%3D1&returnCountOnly=true"
	for _, status := range []struct {
		name       string
		real, http arcgis.Choice
	}{
		{"200", arcgis.Never, arcgis.Never}, {"498", arcgis.Always, arcgis.Never}, {"401 or 403", arcgis.Always, arcgis.Always},
	} {
		for _, squeezed := range []arcgis.Choice{arcgis.Never, arcgis.Always} {
			w.sb.Portal.Set(func(s *arcgis.Shape) {
				s.RealStatus, s.HTTPStatus, s.Gzip, s.Chunked = status.real, status.http, squeezed, squeezed
			})
			for _, path := range []string{
				self, self + "?f=json", self + "?f=pjson", self + "?f=html", self + "?f=json&callback=cb",
				trees, trees + "&f=json", trees + "&f=pbf", trees + "&f=geojson", trees + "&callback=cb.x[1]",
				"/server/rest/services/Trees/MapServer/export?f=image", "/server/rest/directories/arcgisoutput/map1.png",
			} {
				before := w.sb.Portal.Counts()
				w.sb.Portal.RevokeAfter(0)
				a := w.get(w.public.String()+path, "Accept-Encoding", "gzip")
				now := w.sb.Portal.Counts()
				if a.status != 200 || bytes.Contains(a.body, []byte("498")) || now.Refusals498 != before.Refusals498+1 || now.Authorized != before.Authorized+1 {
					t.Errorf("under %s, %s: %d %.200q, after %d refusals", status.name, path, a.status, a.body, now.Refusals498-before.Refusals498)
				}
			}
		}
	}
}
