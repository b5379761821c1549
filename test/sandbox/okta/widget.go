package okta

import (
	"bytes"
	_ "embed"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// widgetPackage is where npm puts what Okta serves from its own hosts.
const widgetPackage = "@okta/okta-signin-widget/dist"

// widgetScript starts the published widget with what a page says.
//
//go:embed widget.js
var widgetScript []byte

// widgetTypes are the files that a page may ask for.
var widgetTypes = map[string]string{
	".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".json": "application/json",
	".png": "image/png", ".svg": "image/svg+xml", ".woff": "font/woff", ".woff2": "font/woff2", ".ttf": "font/ttf",
}

// widgetFile answers with a file of the published Sign-In Widget.
func (o *Org) widgetFile(c *call) answer {
	name := path.Clean("/" + c.r.PathValue("file"))[1:]
	kind := widgetTypes[path.Ext(name)]
	if o.assets == nil || kind == "" {
		return o.elsewhere(c)
	}
	data, err := fs.ReadFile(o.assets, path.Join(widgetPackage, name))
	if name == "start.js" {
		data, err = widgetScript, nil
	}
	if err != nil {
		return o.elsewhere(c)
	}
	return answer{status: http.StatusOK, header: http.Header{"Content-Type": {kind}, "Cache-Control": {"public, max-age=3600"}, "Last-Modified": {c.now.Add(-time.Hour).UTC().Format(http.TimeFormat)}}, body: bytes.Clone(data)}
}

// widgetTags are what a page needs for the published widget, "" without it.
func (o *Org) widgetTags() string {
	if o.assets == nil {
		return ""
	}
	return strings.Join([]string{
		`<link href="/sandbox/widget/css/okta-sign-in.min.css" type="text/css" rel="stylesheet"/>`,
		`<script src="/sandbox/widget/js/okta-sign-in.min.js" type="text/javascript"></script>`,
		`<script src="/sandbox/widget/start.js" type="text/javascript"></script>`, "",
	}, "\n")
}

// widgetStart is the line of a page's script that starts the widget, with the
// names that the script gives to what the page says.
func (o *Org) widgetStart(base, token, uri, repost string) string {
	if o.assets == nil {
		return ""
	}
	return "  startWidget(" + strings.Join([]string{base, token, uri, repost}, ", ") + ");\n"
}
