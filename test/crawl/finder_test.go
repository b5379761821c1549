package crawl

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/net/html"
)

// found is an address that an answer names.
type found struct {
	url   *url.URL
	where string // in which place of the answer
}

// finder collects the addresses of one answer. What it does not understand it
// reads as text: it would rather follow too much.
type finder struct {
	base *url.URL
	all  []found
	text strings.Builder // all text that was looked through, with every escape undone
}

// find returns the addresses of an answer's headers and body, and all of its text.
func find(a *answer) ([]found, string) {
	f := &finder{base: a.url}
	f.headers(a.header)
	if followed(a) {
		kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
		f.body(kind, a.body)
	}
	return f.all, f.text.String()
}

// headers looks at those that hold addresses.
func (f *finder) headers(h http.Header) {
	for _, name := range []string{"Location", "Content-Location"} {
		for _, v := range h.Values(name) {
			f.reference(v, name)
			f.string(v, name)
		}
	}
	for _, v := range h.Values("Refresh") {
		if _, to, ok := strings.Cut(v, "url="); ok {
			f.reference(to, "Refresh")
		}
		f.string(v, "Refresh")
	}
	for _, v := range h.Values("Link") {
		for _, m := range inAngles.FindAllStringSubmatch(v, -1) {
			f.reference(m[1], "Link")
		}
		f.string(v, "Link")
	}
	for _, name := range []string{"Content-Security-Policy", "Set-Cookie", "Access-Control-Allow-Origin", "Www-Authenticate"} {
		for _, v := range h.Values(name) {
			f.string(v, name)
		}
	}
}

var inAngles = regexp.MustCompile(`<([^>]*)>`)

// body looks at a body of some kind.
func (f *finder) body(kind string, body []byte) {
	switch {
	case strings.Contains(kind, "json") || kind == "text/plain" && json.Valid(body):
		f.json(body)
	case strings.Contains(kind, "javascript"):
		if inside, ok := jsonp(body); ok {
			f.json(inside)
			return
		}
		f.script(string(body))
	case strings.Contains(kind, "html"):
		f.html(string(body))
	case strings.HasSuffix(kind, "xml"):
		f.xml(body)
	case kind == "text/css":
		f.style(string(body))
	case strings.HasPrefix(kind, "text/"):
		f.string(string(body), "text")
	}
}

// jsonp returns what a callback is called with.
func jsonp(body []byte) ([]byte, bool) {
	open := bytes.IndexByte(body, '(')
	if open < 1 || bytes.ContainsAny(body[:open], " \"'/") {
		return nil, false
	}
	inside, ok := bytes.CutSuffix(bytes.TrimRight(body[open+1:], " ;\n"), []byte(")"))
	return inside, ok && json.Valid(inside)
}

func (f *finder) json(body []byte) {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		f.string(string(body), "broken JSON")
		return
	}
	f.value(v, "JSON")
}

func (f *finder) value(v any, where string) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			f.string(key, where)
			f.value(inner, where+"."+key)
		}
	case []any:
		for i, inner := range v {
			f.value(inner, where+"["+strconv.Itoa(i)+"]")
		}
	case string:
		f.string(v, where)
		switch {
		case strings.Contains(v, "<") && strings.Contains(v, ">"):
			f.html(v)
		case strings.HasPrefix(v, "{") || strings.HasPrefix(v, "["):
			if json.Valid([]byte(v)) {
				f.json([]byte(v))
			}
		}
	}
}

func (f *finder) html(text string) {
	doc, err := html.Parse(strings.NewReader(text))
	if err != nil {
		f.string(text, "broken HTML")
		return
	}
	for n := range doc.Descendants() {
		switch n.Type {
		case html.CommentNode:
			f.string(n.Data, "HTML comment")
		case html.ElementNode:
			for _, a := range n.Attr {
				where := "HTML " + n.Data + " " + a.Key
				f.string(a.Val, where)
				switch {
				case a.Key == "href" || a.Key == "src" || a.Key == "action" || a.Key == "data":
					f.reference(a.Val, where)
				case a.Key == "style":
					f.style(a.Val)
				case strings.HasPrefix(a.Key, "on"):
					f.script(a.Val)
				}
			}
		case html.TextNode:
			parent := ""
			if n.Parent != nil {
				parent = n.Parent.Data
			}
			switch {
			case parent == "style":
				f.style(n.Data)
			case json.Valid([]byte(n.Data)):
				f.json([]byte(n.Data))
			case parent == "script":
				f.script(n.Data)
			default:
				f.string(n.Data, "HTML text")
			}
		}
	}
}

func (f *finder) xml(body []byte) {
	for d := xml.NewDecoder(bytes.NewReader(body)); ; {
		token, err := d.Token()
		if err != nil {
			return
		}
		switch token := token.(type) {
		case xml.StartElement:
			for _, a := range token.Attr {
				if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" { // names, which nobody follows
					f.string(a.Value, "XML "+a.Name.Local)
				}
			}
		case xml.CharData:
			text := string(token)
			f.string(text, "XML text")
			if strings.Contains(text, "<") {
				f.html(text)
			}
		}
	}
}

// inStyle are the addresses of a style sheet.
var inStyle = regexp.MustCompile(`(?i)url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)`)

func (f *finder) style(text string) {
	f.string(text, "CSS")
	for _, m := range inStyle.FindAllStringSubmatch(text, -1) {
		f.reference(m[1]+m[2], "CSS")
	}
}

// script looks at the strings of a script.
func (f *finder) script(text string) {
	for i := 0; i < len(text); i++ {
		quote := text[i]
		if quote != '"' && quote != '\'' && quote != '`' {
			continue
		}
		end := i + 1
		for end < len(text) && text[end] != quote {
			if text[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(text) {
			return
		}
		f.value(unquote(text[i+1:end]), "script")
		i = end
	}
}

// escaped are the escapes of JavaScript strings.
var escaped = regexp.MustCompile(`(?s)\\(?:u\{([0-9a-fA-F]+)\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))`)

func unquote(text string) string {
	return escaped.ReplaceAllStringFunc(text, func(e string) string {
		m := escaped.FindStringSubmatch(e)
		if digits := m[1] + m[2] + m[3]; digits != "" {
			n, _ := strconv.ParseUint(digits, 16, 32)
			return string(rune(n))
		}
		if m[4] == "n" {
			return "\n"
		}
		return m[4]
	})
}

var (
	// absolute is an address in decoded text, encoded one that was percent-encoded,
	// once or more often.
	absolute = regexp.MustCompile(`(?i)\b(?:https?|wss?)://[^\s"'<>\\|^` + "`" + `;,)]+`)
	encoded  = regexp.MustCompile(`(?i)\b(?:https?|wss?)%(?:25)*3A%(?:25)*2F%(?:25)*2F[^\s"'<>\\&;,)]+`)
	// relative is a reference that keeps the page's scheme.
	relative = regexp.MustCompile(`(?i)^//[a-z0-9][a-z0-9.-]*(?::\d+)?(?:/[^\s"'<>]*)?$`)
	// bare is a host with a context, as portalHostname has it.
	bare = regexp.MustCompile(`(?i)\b[a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)*(?::\d+)?/(?:portal|server|arcgis)\b[^\s"'<>]*`)
)

// string looks for addresses in text that has no more escapes than percent signs.
func (f *finder) string(text, where string) {
	f.text.WriteString(text)
	f.text.WriteByte('\n')
	for _, m := range absolute.FindAllString(text, -1) {
		f.add(m, where)
	}
	for _, m := range encoded.FindAllString(text, -1) {
		if plain, err := url.QueryUnescape(m); err == nil && plain != m {
			f.string(plain, where+", percent-encoded")
		}
	}
	if relative.MatchString(text) {
		f.add(f.base.Scheme+":"+text, where+", without scheme")
		return
	}
	for _, m := range bare.FindAllString(encoded.ReplaceAllString(absolute.ReplaceAllString(text, " "), " "), -1) {
		f.add(f.base.Scheme+"://"+m, where+", bare")
	}
}

// reference takes an address that may be relative.
func (f *finder) reference(text, where string) {
	text = strings.Trim(text, " '\"")
	if u, err := f.base.Parse(text); err == nil && text != "" && !strings.HasPrefix(text, "#") {
		f.add(u.String(), where)
	}
}

// add takes a full address. Places to fill in are filled in.
func (f *finder) add(address, where string) {
	address = strings.TrimRight(address, ".")
	u, err := url.Parse(template.ReplaceAllString(address, "0"))
	if err != nil || u.Host == "" {
		return
	}
	switch u.Scheme = strings.ToLower(u.Scheme); u.Scheme {
	case "http", "https", "ws", "wss":
		u.Fragment = ""
		f.all = append(f.all, found{u, where})
	}
}

var template = regexp.MustCompile(`\{[A-Za-z]+\}`)
