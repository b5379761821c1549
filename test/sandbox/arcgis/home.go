package arcgis

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

// homeApp is the client id of the Portal's own home application.
const homeApp = "arcgisonline"

// homeFiles are the home application. Addresses in them are written as
// {{portal}} and so on; see [call.homeText].
//
//go:embed home
var homeFiles embed.FS

// homeTypes are the media types of what the home application has, which are not
// left to the machine's own table.
var homeTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8", ".json": "application/json", ".svg": "image/svg+xml", ".wasm": "application/wasm",
	".png": "image/png", ".woff2": "font/woff2", ".woff": "font/woff", ".ttf": "font/ttf", ".map": "application/json",
}

// home answers below home/: the Portal's web application. What it says about
// itself are the Portal's configured addresses, in its pages, scripts, styles and
// headers, so that behind another name it works only if all of them are mapped.
func (c *call) home(name string) {
	p := c.p
	switch {
	case name == "" || name == "index.html":
		c.homePage("index.html")
	case name == "leaflet.html" || name == "core.html":
		if p.assets == nil {
			c.page(http.StatusNotFound, "No map library", "This Portal was started without the files of "+strings.TrimSuffix(name, ".html")+".")
			return
		}
		c.homePage(name)
	case strings.HasPrefix(name, "assets/") && p.assets != nil:
		c.asset(strings.TrimPrefix(name, "assets/"))
	case strings.HasPrefix(name, "components/"):
		c.bytes(http.StatusOK, homeTypes[".js"], c.homeText("components.js"))
	case name == "home.js" || name == "home.css" || name == "components.js":
		c.bytes(http.StatusOK, homeTypes[path.Ext(name)], c.homeText(name))
	case name == "report": // of violations of the policy
		c.w.WriteHeader(http.StatusNoContent)
	case strings.HasPrefix(name, "images/"):
		c.bytes(http.StatusOK, "image/png", onePixel)
	case name == "signin.html":
		// The home application's own sign-in: by the implicit flow, back to home/.
		c.redirect(p.base + "/sharing/rest/oauth2/authorize?" + url.Values{"client_id": {homeApp}, "response_type": {"token"},
			"redirect_uri": {p.base + "/home/"}}.Encode())
	case name == "gallery.html":
		c.gallery()
	case name == "item.html":
		c.itemPage()
	case name == "webmap/viewer.html":
		c.html(http.StatusOK, "Map Viewer", `<p>A map of <a href="`+html.EscapeString(c.get("url"))+`">this service</a>.</p>`)
	default:
		c.page(http.StatusNotFound, "404 - File or directory not found.", "The resource you are looking for might have been removed.")
	}
}

// homeText is a file of the home application with its addresses filled in.
func (c *call) homeText(name string) []byte {
	p := c.p
	text, err := fs.ReadFile(homeFiles, "home/"+name)
	if err != nil {
		p.log.Error("sandbox has lost a file", "name", name, "error", err)
	}
	viewer := p.base + "/home/webmap/viewer.html?url=" + url.QueryEscape(p.ServerURL().String()+"/rest/services/Trees/FeatureServer")
	config, err := encode(map[string]any{
		"baseUrl": p.base + "/home/", "restBaseUrl": p.base + "/sharing/rest/", "isPortal": true,
		"publicLayer": p.ServerURL().String() + "/rest/services/Public/FeatureServer/0",
		"maps":        p.assets != nil,
	}, false)
	if err != nil {
		p.log.Error("sandbox cannot encode", "error", err)
	}
	config = p.choose.slashes(config)
	return []byte(strings.NewReplacer(
		"{{portal}}", p.base,
		"{{host}}", p.cfg.Site.Host,
		"{{server}}", p.ServerURL().String(),
		"{{other}}", p.OtherURL().String(),
		"{{open}}", p.OpenURL().String(),
		"{{hex}}", strings.NewReplacer("/", `\x2f`).Replace(p.base+"/home/images/tree.png"),
		"{{entity}}", strings.ReplaceAll(html.EscapeString(p.base+"/home/gallery.html"), "/", "&#x2F;"),
		"{{viewer}}", viewer,
		"{{signin}}", p.base+"/home/signin.html?returnUrl="+url.QueryEscape(viewer),
		"{{socket}}", "ws"+strings.TrimPrefix(p.cfg.Site.String(), "http"),
		"{{origin}}", p.cfg.Site.String(),
		"{{otherOrigin}}", p.cfg.Other.String(),
		"{{config}}", string(config),
	).Replace(string(text)))
}

// homePage sends a page, under a policy that names the hosts it may talk to.
func (c *call) homePage(name string) {
	h := c.w.Header()
	policy := "default-src 'self' {{origin}}; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval' blob: {{origin}}; style-src 'self' 'unsafe-inline' {{origin}}; " +
		"connect-src 'self' {{origin}} {{socket}} {{otherOrigin}}; img-src 'self' data: blob: {{origin}} {{otherOrigin}}; worker-src 'self' blob:; " +
		"font-src 'self' data:; frame-ancestors 'self' {{portal}}/apps/; report-uri {{portal}}/home/report"
	h.Set("Content-Security-Policy", strings.NewReplacer("{{origin}}", c.p.cfg.Site.String(), "{{otherOrigin}}", c.p.cfg.Other.String(),
		"{{socket}}", "ws"+strings.TrimPrefix(c.p.cfg.Site.String(), "http"), "{{portal}}", c.p.base).Replace(policy))
	h.Add("Link", "<"+c.p.base+"/home/home.css>; rel=preload; as=style")
	// The load balancer's, for this host and this context.
	http.SetCookie(c.w, &http.Cookie{Name: "portal_route", Value: "m1", Domain: c.p.cfg.Site.Hostname(), Path: "/portal/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	c.bytes(http.StatusOK, homeTypes[".html"], c.homeText(name))
}

// asset sends a file of npm's packages.
func (c *call) asset(name string) {
	name = path.Clean(name) // and fs.FS takes none that leads out
	if info, err := fs.Stat(c.p.assets, name); err == nil && info.IsDir() {
		// A package's directory stands for the module in it.
		c.redirect(c.p.base + "/home/assets/" + name + "/index.js")
		return
	}
	data, err := fs.ReadFile(c.p.assets, name)
	if err != nil {
		c.page(http.StatusNotFound, "404 - File or directory not found.", "The resource you are looking for might have been removed.")
		return
	}
	c.w.Header().Set("Cache-Control", "public, max-age=3600")
	if kind := homeTypes[path.Ext(name)]; kind != "" {
		c.w.Header().Set("Content-Type", kind)
	}
	http.ServeContent(c.w, c.r, path.Base(name), time.UnixMilli(createdAt), bytes.NewReader(data))
}

// gallery lists what everybody may see, and where the servers' directories are.
func (c *call) gallery() {
	p := c.p
	var b strings.Builder
	b.WriteString("<h1>Gallery</h1>\n<ul>\n")
	p.items.mu.Lock()
	for _, id := range slices.Sorted(maps.Keys(p.items.byID)) {
		if it := p.items.byID[id]; it.Access != "private" {
			fmt.Fprintf(&b, "<li><a href=\"%s\">%s</a></li>\n", html.EscapeString(p.base+"/home/item.html?id="+id), html.EscapeString(it.Fields["title"]))
		}
	}
	p.items.mu.Unlock()
	for _, s := range p.sites[:2] {
		fmt.Fprintf(&b, "<li><a href=\"%[1]s\">%[1]s</a></li>\n", p.choose.entities(s.url.String()+"/rest/services"))
	}
	b.WriteString("</ul>")
	c.html(http.StatusOK, "Gallery", b.String())
}

// itemPage is the page of one item, as a browser shows it that runs no scripts:
// the item is in it as JSON, in a JavaScript string.
func (c *call) itemPage() {
	id := c.get("id")
	c.p.items.mu.Lock()
	it := c.p.items.byID[id]
	if it == nil || it.Access == "private" {
		c.p.items.mu.Unlock()
		c.page(http.StatusNotFound, "Item not found", "The item does not exist or is inaccessible.")
		return
	}
	title := it.Fields["title"]
	object, err := encode(it.describe(c), false)
	c.p.items.mu.Unlock()
	if err != nil {
		c.page(http.StatusInternalServerError, "Error", "cannot encode the item")
		return
	}
	quoted, _ := json.Marshal(string(object)) // of a string, this does not fail; it escapes <, > and &
	rest := c.p.base + "/sharing/rest/content/items/" + id
	c.html(http.StatusOK, "Item", `<h1>`+html.EscapeString(title)+`</h1>
<p><a href="`+rest+`?f=json">Description</a> <a href="`+rest+`/data">Data</a></p>
<script>var item = JSON.parse(`+string(quoted)+`);</script>`)
}
