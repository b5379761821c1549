package arcgis_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"arcproxy/test/sandbox/arcgis"
)

// home is an installation whose home application has the packages of a directory.
func home(t *testing.T, assets string) *rig {
	t.Helper()
	r := newRig(t, noVariation)
	parse := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	p, err := arcgis.New(arcgis.Config{Site: parse(site), Other: parse(other), Open: parse(open), Shape: noVariation, Assets: assets,
		Members: []arcgis.Member{{Login: "alice@example.com", Username: "alice_gis"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	r.p = p
	return r
}

const homePages = site + "/portal/home/"

func Test33HomeNamesTheSite(t *testing.T) {
	dir := t.TempDir()
	r := home(t, dir)
	for _, name := range []string{"", "index.html", "leaflet.html", "core.html", "home.js", "home.css", "components.js", "components/calcite-button", "gallery.html"} {
		a := r.get(homePages + name)
		if a.status != http.StatusOK || strings.Contains(a.body, "{{") {
			t.Errorf("%q: %d %s", name, a.status, a.body)
		}
	}
	a := r.get(homePages)
	for name, want := range map[string]string{"Content-Security-Policy": "connect-src 'self' " + site + " wss://gis.example.test " + other, "Link": "<" + homePages + "home.css>",
		"Set-Cookie": "Path=/portal/; Domain=gis.example.test"} {
		if !strings.Contains(a.header.Get(name), want) {
			t.Errorf("%s: %q", name, a.header.Get(name))
		}
	}
	for _, want := range []string{`"restBaseUrl":"` + site + `/portal/sharing/rest/"`, `"//gis.example.test/portal/home/home.js"`, "https%253A%252F%252Fgis.example.test%252Fserver", "https:&#x2F;&#x2F;gis.example.test"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %s in %s", want, a.body)
		}
	}
	if a := r.get(site + "/portal"); a.header.Get("Refresh") != "0; url="+homePages {
		t.Errorf("%v", a.header)
	}
}

func TestHomeServesPackages(t *testing.T) {
	root := t.TempDir()
	modules := filepath.Join(root, "node_modules")
	if err := os.MkdirAll(filepath.Join(modules, "leaflet", "dist"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"secret.js": "secret", "node_modules/leaflet/dist/leaflet.js": "var L", "node_modules/leaflet/index.js": "module"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := home(t, modules)
	if a := r.get(homePages + "assets/leaflet/dist/leaflet.js"); a.body != "var L" || !strings.HasPrefix(a.header.Get("Content-Type"), "text/javascript") {
		t.Errorf("%v %s", a.header, a.body)
	}
	if a := r.get(homePages + "assets/leaflet"); a.header.Get("Location") != homePages+"assets/leaflet/index.js" {
		t.Errorf("%d %v", a.status, a.header)
	}
	for _, name := range []string{"assets/nothing.js", "assets/../../secret.js", "assets/..%2f..%2fsecret.js", "assets/%2e%2e/secret.js", "assets//secret.js"} {
		if a := r.get(homePages + name); a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	bare := home(t, "")
	for _, name := range []string{"leaflet.html", "core.html", "assets/leaflet/dist/leaflet.js"} {
		if a := bare.get(homePages + name); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", name, a.status)
		}
	}
}

func Test33PlatformSelf(t *testing.T) {
	r := newRig(t, noVariation)
	ask := func(app, token string) answer {
		return r.do(request(http.MethodPost, oauth+"platformSelf?f=json&token="+token, nil, "X-Esri-Auth-Client-Id", app))
	}
	token := r.p.Token("alice_gis")
	a := ask("arcgisonline", token)
	if a.text("portalUrl") != site+"/portal" || a.text("username") != "alice_gis" || !r.works(a.text("token")) {
		t.Error(a.body)
	}
	if a := ask("nobody", token); a.errorCode() != 400 {
		t.Error(a.body)
	}
	if a := ask("arcgisonline", ""); a.errorCode() != 499 {
		t.Error(a.body)
	}
}

// Test33Forms turns each way of writing an address on by itself.
func Test33Forms(t *testing.T) {
	info := site + "/portal/sharing/rest/info?f="
	for name, v := range map[string]struct {
		change        func(*arcgis.Shape)
		address, want string
	}{
		"escaped":       {func(s *arcgis.Shape) { s.Slashes = arcgis.SlashEscaped }, info + "json", `"https:\/\/gis.example.test\/portal"`},
		"unicode":       {func(s *arcgis.Shape) { s.Slashes = arcgis.SlashUnicode }, info + "json", `"https:\u002f\u002fgis.example.test\u002fportal"`},
		"unicode large": {func(s *arcgis.Shape) { s.Slashes = arcgis.SlashUnicodeLarge }, info + "pjson", `"https:\u002F\u002Fgis.example.test\u002Fportal"`},
		"callback":      {func(s *arcgis.Shape) { s.Slashes = arcgis.SlashEscaped }, info + "json&callback=a.b", `a.b({"`},
	} {
		r := newRig(t, noVariation)
		r.p.Set(v.change)
		a := r.get(v.address)
		if !strings.Contains(a.body, v.want) {
			t.Errorf("%s: %s", name, a.body)
		}
		if name != "callback" && a.text("owningSystemUrl") != site+"/portal" {
			t.Errorf("%s does not decode: %s", name, a.body)
		}
	}
	r := newRig(t, noVariation)
	r.p.Set(func(s *arcgis.Shape) { s.EscapedHTML, s.OddNames = arcgis.Always, arcgis.Always })
	if a := r.get(info + "html"); strings.Contains(a.body, "https://") || !strings.Contains(a.body, "gis.example.test") {
		t.Errorf("an HTML view: %s", a.body)
	}
	seen := make(map[string]bool)
	for range 20 {
		body := r.get(site + "/portal/sharing/rest/portals/self?f=json").body
		for _, form := range []string{"https://GIS.EXAMPLE.TEST/", "https://Gis.example.test/", "https://gis.example.test:443/"} {
			seen[form] = seen[form] || strings.Contains(body, form)
		}
	}
	if len(seen) != 3 || !seen["https://GIS.EXAMPLE.TEST/"] || !seen["https://Gis.example.test/"] || !seen["https://gis.example.test:443/"] {
		t.Errorf("spellings %v", seen)
	}
}
