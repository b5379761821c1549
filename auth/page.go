package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// Page is one answer: a document, JSON, or the redirect at which a walk stops.
type Page struct {
	URL      *url.URL // where it was found, after redirects
	Status   int
	Header   http.Header
	Body     []byte    // at most pageBytes
	Redirect *url.URL  // where it sends the browser, if the walk was told not to go there
	Received time.Time // this machine's clock when the answer's head was there

	parsed *document
}

// Form is an HTML form.
type Form struct {
	ID     string
	Action *url.URL // resolved against the page; nil where it cannot be parsed
	Method string   // GET or POST
	Fields url.Values
}

// document is what a Page's HTML holds of interest.
type document struct {
	title   string
	forms   []Form
	ids     map[string]string // the value of each input that has an id
	scripts string
	text    string // what a person would read, bounded
}

// The bounds of a parsed page, beside pageBytes.
const (
	maxForms     = 32
	maxFields    = 256
	maxPlainText = 4096
)

// Has reports whether the form has a field called name, even an empty one.
func (f Form) Has(name string) bool { _, ok := f.Fields[name]; return ok }

// FormWith returns the first form that has all the fields named.
func (p *Page) FormWith(names ...string) (Form, bool) {
	for _, f := range p.document().forms {
		all := true
		for _, name := range names {
			all = all && f.Has(name)
		}
		if all {
			return f, true
		}
	}
	return Form{}, false
}

// Forms returns the page's forms.
func (p *Page) Forms() []Form { return p.document().forms }

// Input returns the value of the input with that id.
func (p *Page) Input(id string) (string, bool) {
	value, ok := p.document().ids[id]
	return value, ok
}

// Title returns the page's title, as it is: quote it through [Clean].
func (p *Page) Title() string { return p.document().title }

// Scripts returns the text of all of the page's inline scripts.
func (p *Page) Scripts() string { return p.document().scripts }

// Text returns the beginning of what a person would read on the page, without
// scripts, as it is: quote it through [Clean].
func (p *Page) Text() string { return p.document().text }

// JSON decodes the body into v. The error never quotes the body.
func (p *Page) JSON(v any) error {
	if err := json.Unmarshal(p.Body, v); err != nil {
		return fmt.Errorf("%d bytes of %s that are not the expected JSON", len(p.Body), Clean(p.mediaType()))
	}
	return nil
}

func (p *Page) mediaType() string {
	media, _, _ := strings.Cut(p.Header.Get("Content-Type"), ";")
	if media == "" {
		return "no content type"
	}
	return media
}

// Seen describes the page for an error: status, media type, title and the names
// of the fields of its first forms, never a value.
func (p *Page) Seen() string {
	var b strings.Builder
	fmt.Fprintf(&b, "status %d, %s", p.Status, Clean(p.mediaType()))
	if title := Clean(p.Title()); title != "" {
		fmt.Fprintf(&b, ", titled %q", title)
	}
	var names []string
	for _, f := range p.Forms() {
		for name := range f.Fields {
			if len(names) < 8 {
				names = append(names, Clean(name))
			}
		}
	}
	if len(names) > 0 {
		fmt.Fprintf(&b, ", form fields %s", strings.Join(slices.Sorted(slices.Values(names)), " "))
	}
	return b.String()
}

// Unexpected is the error of a page that is not what belongs at step: Unreachable
// for a 5xx, which time may heal, else UnexpectedPage.
func (p *Page) Unexpected(step, what string) *Error {
	kind := UnexpectedPage
	if p.Status >= 500 {
		kind = Unreachable
	}
	seen := p.Seen()
	if what != "" {
		seen = what + " (" + seen + ")"
	}
	return &Error{Kind: kind, Step: step, Seen: seen}
}

// ClockOffset returns how far the answerer's clock is ahead of this machine's,
// as its Date header (RFC 9110 §6.6.1, whole seconds) tells.
func (p *Page) ClockOffset() (time.Duration, bool) {
	date, err := http.ParseTime(p.Header.Get("Date"))
	if err != nil || p.Received.IsZero() {
		return 0, false
	}
	return date.Sub(p.Received.Truncate(time.Second)), true
}

// document parses the body once. It reads tokens, not a tree: linear in the
// body's size, never failing, and a form's fields stay with the form even where
// broken nesting would part them.
func (p *Page) document() *document {
	if p.parsed == nil {
		p.parsed = parseDocument(p.Body, p.URL)
	}
	return p.parsed
}

func parseDocument(body []byte, base *url.URL) *document {
	doc := &document{ids: map[string]string{}}
	z := html.NewTokenizer(bytes.NewReader(body))
	var scripts, text, title strings.Builder
	var inside string // the raw-text element we are in
	form := -1        // index of the open form
	fields := 0
	for {
		switch z.Next() {
		case html.ErrorToken:
			doc.title = strings.TrimSpace(title.String())
			doc.scripts = scripts.String()
			doc.text = strings.Join(strings.Fields(text.String()), " ")
			return doc
		case html.TextToken:
			switch inside {
			case "script":
				scripts.Write(z.Raw())
				scripts.WriteByte('\n')
			case "title":
				title.Write(z.Text())
			case "style":
			default:
				if text.Len() < maxPlainText {
					t := z.Text()
					text.Write(t[:min(len(t), maxPlainText)])
					text.WriteByte(' ')
				}
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if string(name) == inside {
				inside = ""
			}
			if string(name) == "form" {
				form = -1
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			switch token.Data {
			case "script", "title", "style":
				inside = token.Data
			case "form":
				if len(doc.forms) < maxForms {
					doc.forms = append(doc.forms, newForm(token, base))
					form = len(doc.forms) - 1
				} else {
					form = -1
				}
			case "input":
				if fields++; fields > maxFields {
					continue
				}
				input := attributes(token)
				if id := input["id"]; id != "" {
					if _, ok := doc.ids[id]; !ok {
						doc.ids[id] = input["value"]
					}
				}
				if name := input["name"]; name != "" && form >= 0 && submits(input) {
					doc.forms[form].Fields.Add(name, input["value"])
				}
			}
		}
	}
}

func newForm(token html.Token, base *url.URL) Form {
	attr := attributes(token)
	f := Form{ID: attr["id"], Method: http.MethodGet, Fields: url.Values{}}
	if strings.EqualFold(attr["method"], http.MethodPost) {
		f.Method = http.MethodPost
	}
	action, err := url.Parse(strings.TrimSpace(attr["action"]))
	switch {
	case err != nil:
	case base != nil:
		f.Action = base.ResolveReference(action)
	default:
		f.Action = action
	}
	return f
}

// attributes returns a tag's attributes, entities already resolved; the first of
// two with one name counts, as in browsers.
func attributes(token html.Token) map[string]string {
	m := make(map[string]string, len(token.Attr))
	for _, a := range token.Attr {
		if _, ok := m[a.Key]; !ok {
			m[a.Key] = a.Val
		}
	}
	return m
}

// submits reports whether an input's value is sent with its form when nobody
// presses one of its buttons.
func submits(input map[string]string) bool {
	switch strings.ToLower(input["type"]) {
	case "submit", "button", "image", "reset", "file":
		return false
	case "checkbox", "radio":
		_, checked := input["checked"]
		return checked
	}
	return true
}
