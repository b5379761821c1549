package arcgis

import (
	"fmt"
	"html"
	"strings"
)

// link is a way on from an HTML view.
type link struct{ name, to string }

// lead adds links to the HTML view of this answer, as name, address, name, address.
func (c *call) lead(links ...string) {
	for i := 0; i+1 < len(links); i += 2 {
		c.below = append(c.below, link{links[i], links[i+1]})
	}
}

// view is what a browser gets: the Services Directory, or the Sharing API's plain
// view of an answer.
func (c *call) view(v any) []byte {
	indented, _ := encode(v, true) // v was encoded before
	var b strings.Builder
	b.WriteString("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>ArcGIS REST Services Directory</title></head>\n<body>\n")
	if len(c.below) > 0 {
		b.WriteString("<ul>\n")
		for _, l := range c.below {
			fmt.Fprintf(&b, "<li><a href=\"%s\">%s</a></li>\n", html.EscapeString(l.to), html.EscapeString(l.name))
		}
		b.WriteString("</ul>\n")
	}
	fmt.Fprintf(&b, "<pre>%s</pre>\n</body></html>\n", c.p.choose.entities(string(indented)))
	return []byte(b.String())
}
