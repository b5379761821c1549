package okta

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWidgetFiles: a page starts the published widget where there is one, on both
// engines and in every shape, and serves its files and no others.
func TestWidgetFiles(t *testing.T) {
	dir := t.TempDir()
	dist := filepath.Join(dir, filepath.FromSlash(widgetPackage))
	for name, text := range map[string]string{"js/okta-sign-in.min.js": "var OktaSignIn;", "css/okta-sign-in.min.css": "a{}", "../package.json": "{}", "readme.txt": "x"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dist, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dist, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	base, _ := url.Parse(baseURL)
	for _, assets := range []string{"", dir} {
		for _, pipeline := range []string{"v1", "idx"} {
			for shape := ShapeSingle; shape <= ShapeData; shape++ {
				s := DefaultSettings()
				s.Pipeline, s.Shape = pipeline, shape
				o, err := New(Config{BaseURL: base, Settings: &s, Assets: assets})
				if err != nil {
					t.Fatal(err)
				}
				b := newBrowser(t, o)
				target, _ := request(t, provider(t, o), "relay")
				page := b.get(target).body
				if n := strings.Count(page, "startWidget("); (n == 1) != (assets != "") || (strings.Count(page, "/sandbox/widget/") == 3) != (assets != "") {
					t.Errorf("%s, shape %d, assets %q: %s", pipeline, shape, assets, page)
				}
				for path, want := range map[string]int{
					"js/okta-sign-in.min.js": 200, "css/okta-sign-in.min.css": 200, "start.js": 200,
					"js/nonesuch.js": 404, "readme.txt": 404, "..%2Fpackage.json": 404, "%2e%2e/package.json": 404,
				} {
					if assets == "" {
						want = 404
					}
					if r := b.get("/sandbox/widget/" + path); r.status != want {
						t.Errorf("assets %q: %s: %d", assets, path, r.status)
					}
				}
				if shape > ShapeSingle && pipeline == "idx" {
					break
				}
			}
		}
	}
}
