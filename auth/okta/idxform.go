package okta

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Identity Engine describes each step of a sign-in in ION (JSON with forms in it):
// what may be sent next, where to, and under which names. Okta does not document
// the documents; their shapes here are those of the mock data of its own sign-in
// widget. Everything is read from a plain JSON tree, so that a member of another
// type than is usual makes that member absent and no more.

// The bounds of a document, beside those of [auth.Page].
const (
	maxIDXForms   = 64 // also authenticators, and messages
	maxIDXFields  = 64 // also options, and fields of one form
	maxIDXDepth   = 5  // forms in forms
	maxMessageRun = 24 // levels at which messages are looked for
)

// idxDoc is one answer of Identity Engine.
type idxDoc struct {
	tree        map[string]any
	stateHandle string
	forms       []*idxForm // remediation, in its order
	cancel      *idxForm   // ends the sign-in
	polling     *idxForm   // ends the wait for an authenticator on this device
	current     *idxAuthenticator
	messages    []idxMessage // at any depth
	success     string       // where a finished sign-in goes on
	failure     string
	expires     time.Time
	clock       time.Duration // how far Okta's clock is ahead of ours, by the Date header
}

// idxForm is one form of a document.
type idxForm struct {
	name    string
	href    string
	method  string
	accepts string
	refresh time.Duration // between polls
	relates string        // the JSON path of what it is about
	fields  []idxField
}

// idxField is one of a form's fields.
type idxField struct {
	name     string
	required bool
	fixed    bool // value goes back as it came
	value    any  // nil: none
	form     []idxField
	options  []idxOption
}

// idxOption is one choice of a field: a value, or a form.
type idxOption struct {
	value   any
	form    []idxField
	relates string
}

// idxAuthenticator is a way to prove who one is.
type idxAuthenticator struct {
	key, kind, name string
	methods         []string
	device          string // as Okta names it
	context         map[string]any
}

// idxMessage is what a document says to a person.
type idxMessage struct {
	key, text string
	class     string // ERROR, WARNING, INFO
}

// Reading a tree: what is not of the type asked for is absent.

func object(v any, path ...string) map[string]any {
	m, _ := v.(map[string]any)
	for _, name := range path {
		m, _ = m[name].(map[string]any)
	}
	return m
}

func text(m map[string]any, name string) string { s, _ := m[name].(string); return s }

// list returns at most n members.
func list(v any, n int) []any {
	l, _ := v.([]any)
	return l[:min(len(l), n)]
}

// parseIDX reads a document. It reports false for what is none: JSON that holds
// neither forms nor an end nor a message.
func parseIDX(body []byte) (*idxDoc, bool) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // a value goes back as it came
	var tree map[string]any
	if decoder.Decode(&tree) != nil || tree == nil {
		return nil, false
	}
	d := &idxDoc{tree: tree, stateHandle: text(tree, "stateHandle")}
	for _, one := range list(object(tree, "remediation")["value"], maxIDXForms) {
		if f := parseIDXForm(object(one)); f != nil {
			d.forms = append(d.forms, f)
		}
	}
	for _, place := range []string{"currentAuthenticatorEnrollment", "currentAuthenticator"} {
		if found := object(tree, place, "value"); found != nil && d.current == nil {
			d.current = d.authenticator(found)
			d.polling = parseIDXForm(object(found, "cancel"))
		}
	}
	d.cancel = parseIDXForm(object(tree, "cancel"))
	if d.polling == nil {
		d.polling = parseIDXForm(object(tree, "authenticatorChallenge", "value", "cancel"))
	}
	d.success, d.failure = text(object(tree, "success"), "href"), text(object(tree, "failure"), "href")
	d.expires, _ = time.Parse(time.RFC3339Nano, text(tree, "expiresAt"))
	d.findMessages(tree, maxMessageRun)
	known := len(d.forms) > 0 || len(d.messages) > 0 || d.success != "" || d.failure != "" ||
		object(tree, "successWithInteractionCode") != nil || object(tree, "deviceEnrollment") != nil
	return d, known
}

func parseIDXForm(m map[string]any) *idxForm {
	f := &idxForm{name: text(m, "name"), href: text(m, "href"), method: text(m, "method"), accepts: text(m, "accepts"), relates: related(m)}
	if f.name == "" || f.href == "" {
		return nil
	}
	if n, ok := m["refresh"].(json.Number); ok {
		if ms, err := n.Int64(); err == nil && ms > 0 && ms < int64(time.Hour/time.Millisecond) {
			f.refresh = time.Duration(ms) * time.Millisecond
		}
	}
	f.fields = parseIDXFields(m["value"], maxIDXDepth)
	return f
}

func parseIDXFields(v any, depth int) []idxField {
	if depth == 0 {
		return nil
	}
	var fields []idxField
	for _, one := range list(v, maxIDXFields) {
		m := object(one)
		f := idxField{name: text(m, "name"), value: m["value"]}
		if f.name == "" {
			continue
		}
		f.required, _ = m["required"].(bool) // Okta also writes "false"
		if mutable, ok := m["mutable"].(bool); ok {
			f.fixed = !mutable
		}
		inner := object(m, "form")
		if inner == nil {
			if inner = object(f.value, "form"); inner != nil {
				f.value = nil
			}
		}
		f.form = parseIDXFields(inner["value"], depth-1)
		for _, choice := range list(m["options"], maxIDXFields) {
			c := object(choice)
			option := idxOption{value: c["value"], relates: related(c)}
			inner := object(c, "form")
			if inner == nil {
				inner = object(c, "value", "form")
			}
			option.form = parseIDXFields(inner["value"], depth-1)
			f.options = append(f.options, option)
		}
		fields = append(fields, f)
	}
	return fields
}

// related returns what m relates to: a path, or the first of several.
func related(m map[string]any) string {
	if several := list(m["relatesTo"], 1); len(several) == 1 {
		s, _ := several[0].(string)
		return s
	}
	return text(m, "relatesTo")
}

var pathStep = regexp.MustCompile(`^([A-Za-z]{1,64})(?:\[(\d{1,3})\])?$`)

// at returns what a path of the document leads to, as "$.authenticators.value[1]"
// or "authenticatorChallenge" does; nil if nothing.
func (d *idxDoc) at(path string) map[string]any {
	var here any = d.tree
	steps := strings.SplitN(strings.TrimPrefix(path, "$."), ".", maxIDXDepth)
	for _, step := range steps {
		parts := pathStep.FindStringSubmatch(step)
		if parts == nil {
			return nil
		}
		here = object(here)[parts[1]]
		if parts[2] != "" {
			var i int
			for _, digit := range parts[2] {
				i = 10*i + int(digit-'0')
			}
			all, _ := here.([]any)
			if i >= len(all) {
				return nil
			}
			here = all[i]
		}
	}
	found := object(here)
	if inner := object(found, "value"); inner != nil { // {"type":"object","value":{…}}
		return inner
	}
	return found
}

// authenticator reads one, by the names of either of the two generations of
// documents; nil for nil.
func (d *idxDoc) authenticator(m map[string]any) *idxAuthenticator {
	if m == nil {
		return nil
	}
	first := func(names ...string) string {
		for _, name := range names {
			if s := text(m, name); s != "" {
				return s
			}
		}
		return ""
	}
	a := &idxAuthenticator{
		key: first("key", "catalogKey"), kind: text(m, "type"),
		name: first("displayName", "authenticatorName"), context: object(m, "contextualData"),
	}
	for _, one := range list(m["methods"], maxIDXFields) {
		method := object(one)
		if s := text(method, "type"); s != "" {
			a.methods = append(a.methods, s)
		} else if s := text(method, "methodType"); s != "" {
			a.methods = append(a.methods, s)
		}
	}
	profile := object(m, "profile")
	for _, name := range []string{"deviceName", "phoneNumber", "email"} {
		if s := text(profile, name); s != "" && a.device == "" {
			a.device = s
		}
	}
	if nickname := text(m, "nickname"); nickname != "" {
		a.device = strings.TrimSpace(nickname + " " + a.device)
	}
	return a
}

// method is how a is used, where that is certain.
func (a *idxAuthenticator) method() string {
	switch {
	case a == nil:
	case len(a.methods) == 1:
		return a.methods[0]
	case len(a.methods) == 0 && a.kind == "password":
		return "password"
	case len(a.methods) == 0 && a.kind == "security_question":
		return "security_question"
	}
	return ""
}

// findMessages collects the messages in v: those of the document and of its
// fields, wherever they are.
func (d *idxDoc) findMessages(v any, depth int) {
	if depth == 0 || len(d.messages) >= maxIDXForms {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for _, one := range list(object(v, "messages")["value"], maxIDXForms) {
			d.addMessage(object(one))
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if name != "messages" {
				d.findMessages(v[name], depth-1)
			}
		}
	case []any:
		for _, inner := range v {
			d.findMessages(inner, depth-1)
		}
	}
}

func (d *idxDoc) addMessage(m map[string]any) {
	key := text(object(m, "i18n"), "key")
	words := text(m, "message")
	if (key != "" || words != "") && len(d.messages) < maxIDXForms {
		d.messages = append(d.messages, idxMessage{key: key, text: words, class: text(m, "class")})
	}
}

// form returns the first remediation of one of the names, nil if there is none.
func (d *idxDoc) form(names ...string) *idxForm {
	for _, name := range names {
		for _, f := range d.forms {
			if f.name == name {
				return f
			}
		}
	}
	return nil
}

// field returns the field of that path of a form, which may be nil; nil if there is
// none.
func (f *idxForm) field(path ...string) *idxField {
	if f == nil {
		return nil
	}
	fields := f.fields
	var found *idxField
	for _, name := range path {
		found = nil
		for i := range fields {
			if fields[i].name == name {
				found = &fields[i]
				break
			}
		}
		if found == nil {
			return nil
		}
		fields = found.form
	}
	return found
}

// fill makes a form's body: of what it fixes, of what it suggests, and of values.
// It leaves out what the form does not have, and returns the name of a field that
// must be filled and is not known.
func (f *idxForm) fill(stateHandle string, values map[string]any) (body map[string]any, missing string) {
	body, missing = fillFields(f.fields, values)
	if field := f.field("stateHandle"); field == nil || body["stateHandle"] == nil {
		body["stateHandle"] = stateHandle
		if missing == "stateHandle" && stateHandle != "" {
			missing = ""
		}
	}
	return body, missing
}

func fillFields(fields []idxField, values map[string]any) (body map[string]any, missing string) {
	body = map[string]any{}
	lacks := func(name string) {
		if missing == "" {
			missing = name
		}
	}
	for _, field := range fields {
		given, ok := values[field.name]
		switch {
		case field.fixed && field.value != nil:
			body[field.name] = field.value
		case len(field.form) > 0:
			inner, _ := given.(map[string]any)
			if !ok && !field.required {
				continue
			}
			filled, lack := fillFields(field.form, inner)
			if lack != "" {
				lacks(field.name + "." + lack)
			}
			body[field.name] = filled
		case ok:
			body[field.name] = given
		case field.value != nil:
			body[field.name] = field.value
		case field.required:
			lacks(field.name)
		}
	}
	return body, missing
}
