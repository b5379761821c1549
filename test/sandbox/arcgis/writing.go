package arcgis

import (
	"bytes"
	"html"
	"net/url"
	"strings"
)

// An address is not always written as a person would write it. What finds
// addresses in answers has to know these ways, so the sandbox has all of them:
// those of encoders, which the seed decides for a whole answer, those of people
// and programs that wrote a name down, which it decides for one address, and
// those of places, which are always the same:
//
//	https:\/\/gis.example.com\/portal      JSON of Java encoders
//	https:\u002f\u002fgis.example.com…     JSON of encoders that protect HTML
//	https:&#x2F;&#x2F;gis.example.com…     HTML views of JSON
//	HTTPS host in capitals, :443           helper services, tile servers, XML
//	https%3A%2F%2Fgis.example.com%2F…      encodedServiceURL, links to the viewer
//	https%253A%252F%252F…                  such links inside a sign-in's parameter
//	//gis.example.com/portal/…             scripts and styles of the home page
//	gis.example.com/portal                 portalHostname, portals/self/urls

// Slash is how JSON writes a slash, which it may write in three ways (RFC 8259 §7).
type Slash uint8

// The ways.
const (
	SlashSeeded       Slash = iota // the seed decides, anew for every answer
	SlashPlain                     // /
	SlashEscaped                   // \/
	SlashUnicode                   // \u002f
	SlashUnicodeLarge              // \u002F
)

// slashes writes JSON with its slashes in one of the ways. There is no slash in
// JSON outside of strings, and none in a string is part of an escape, but in \/.
func (c *chooser) slashes(body []byte) []byte {
	way := c.current().Slashes
	if way == SlashSeeded {
		way = []Slash{SlashPlain, SlashPlain, SlashPlain, SlashEscaped, SlashEscaped, SlashUnicode, SlashUnicodeLarge}[c.pick(7)]
	}
	if way == SlashPlain {
		return body
	}
	written := map[Slash]string{SlashEscaped: `\/`, SlashUnicode: `\u002f`, SlashUnicodeLarge: `\u002F`}[way]
	return bytes.ReplaceAll(body, []byte("/"), []byte(written))
}

// entities escapes text for HTML, slashes too in some answers, as OWASP advises.
func (c *chooser) entities(text string) string {
	text = html.EscapeString(text)
	if !c.one(3, func(s *Shape) Choice { return s.EscapedHTML }) {
		return text
	}
	written := []string{"&#x2F;", "&#x2f;", "&#47;", "&sol;"}[c.pick(4)]
	return strings.ReplaceAll(text, "/", written)
}

// spell writes an address as somebody may have typed it into a configuration:
// with capitals in the host, or with the port that need not be written.
func (c *chooser) spell(address string) string {
	if !c.one(3, func(s *Shape) Choice { return s.OddNames }) {
		return address
	}
	scheme, rest, _ := strings.Cut(address, "://")
	host, path, below := strings.Cut(rest, "/")
	way := c.pick(3)
	if way == 0 && !strings.Contains(host, ":") {
		host += map[string]string{"https": ":443", "http": ":80", "wss": ":443", "ws": ":80"}[scheme]
	} else if way == 1 {
		host = strings.ToUpper(host[:1]) + host[1:]
	} else {
		host = strings.ToUpper(host)
	}
	if below {
		host += "/" + path
	}
	return scheme + "://" + host
}

// unsecured is the address with http for https, as it still stands in documents
// that were written before a site had a certificate. A site without one, or with
// a port of its own, has no such other address.
func unsecured(u *url.URL) string {
	if u.Scheme == "https" && u.Port() == "" {
		return "http://" + u.Host + "/" + strings.TrimPrefix(u.Path, "/")
	}
	return u.String()
}
