package okta

import (
	"encoding/json"
	"reflect"
	"slices"
)

// idxForm is one form of an answer of the Identity Engine: a remediation, or an
// action such as cancel. What is rendered is what a request is checked against.
type idxForm struct {
	name    string
	path    string // "" for one that is a link: to
	to      string
	at      string // where in the document it is: "" in remediation, else see place
	fields  []*idxField
	relates any // what of the document it is about
	refresh int // ms between polls, 0: it does not poll
	more    hal // what else its JSON has
	run     func(c *call, in hal) answer
}

// idxField is one input of a form.
type idxField struct {
	name, label, kind string
	value             any  // what a fixed one must come back with, else a suggestion
	required          any  // true, or "false", which Okta really writes [W]
	fixed             bool // mutable: false
	hidden, secret    bool
	lenient           bool // required, though Okta's own SDK leaves it out [J]
	wrapped           bool // the inner form is inside of value [W]
	hint, relates     string
	form              []*idxField
	options           []idxOption
	says              []idxMessage
}

// idxOption is one choice of a field: a plain value, or a form.
type idxOption struct {
	label   string
	value   string
	form    []*idxField
	relates string
}

// idxMessage is what an answer says to the person.
type idxMessage struct {
	key, text, class string // class "" is ERROR
	params           []string
}

func (m idxMessage) render() hal {
	class := m.class
	if class == "" {
		class = "ERROR"
	}
	i18n := hal{"key": m.key}
	if m.params != nil {
		i18n["params"] = m.params
	}
	return hal{"message": m.text, "i18n": i18n, "class": class}
}

// messageList renders messages as both documents and fields have them.
func messageList(list []idxMessage) hal {
	out := []hal{}
	for _, m := range list {
		out = append(out, m.render())
	}
	return hal{"type": "array", "value": out}
}

func (f *idxField) render() hal {
	d := hal{"name": f.name}
	set := func(name string, v any, is bool) {
		if is {
			d[name] = v
		}
	}
	set("label", f.label, f.label != "")
	set("type", f.kind, f.kind != "")
	set("value", f.value, f.value != nil)
	set("required", f.required, f.required != nil)
	set("mutable", false, f.fixed)
	set("visible", false, f.hidden)
	set("secret", true, f.secret)
	set("hint", f.hint, f.hint != "")
	set("relatesTo", f.relates, f.relates != "")
	if f.form != nil {
		inner := hal{"value": renderFields(f.form)}
		set("form", inner, !f.wrapped)
		set("value", hal{"form": inner}, f.wrapped)
	}
	set("messages", messageList(f.says), f.says != nil)
	if f.options != nil {
		list := []hal{}
		for _, p := range f.options {
			one := hal{"label": p.label, "value": p.value}
			if p.form != nil {
				one["value"] = hal{"form": hal{"value": renderFields(p.form)}}
			}
			if p.relates != "" {
				one["relatesTo"] = p.relates
			}
			list = append(list, one)
		}
		d["options"] = list
	}
	return d
}

func renderFields(fields []*idxField) []hal {
	list := []hal{}
	for _, f := range fields {
		list = append(list, f.render())
	}
	return list
}

// render writes a form. accepts is what its requests may be typed as.
func (f *idxForm) render(o *Org, accepts string) hal {
	if f.path == "" {
		d := hal{"name": f.name, "href": f.to, "method": "GET"}
		for k, v := range f.more {
			d[k] = v
		}
		return d
	}
	d := hal{
		"rel": []string{"create-form"}, "name": f.name, "href": o.url(f.path), "method": "POST",
		"produces": ionJSON, "accepts": accepts, "value": renderFields(f.fields),
	}
	if f.relates != nil {
		d["relatesTo"] = f.relates
	}
	if f.refresh > 0 {
		d["refresh"] = f.refresh
	}
	for k, v := range f.more {
		d[k] = v
	}
	return d
}

// A misfit is why a request does not suit a form.
type misfit struct {
	field *idxField // that is missing its value; nil: the request is malformed
	what  string    // for the log: names only
}

// suits checks a request's body against fields: nothing that no field has, every
// fixed value as it was given, nothing that is required left out, each of its kind.
// It returns nil if all is well.
func suits(fields []*idxField, in hal) *misfit {
	for name := range in {
		if !slices.ContainsFunc(fields, func(f *idxField) bool { return f.name == name }) {
			return &misfit{what: "an unknown field " + name}
		}
	}
	for _, f := range fields {
		if bad := f.suits(in); bad != nil {
			return bad
		}
	}
	return nil
}

func (f *idxField) suits(in hal) *misfit {
	v, there := in[f.name]
	switch {
	case f.fixed && there && !same(v, f.value):
		return &misfit{what: f.name + " was changed"}
	case f.fixed && !there && f.required == true && !f.lenient:
		return &misfit{what: f.name + " is left out, and was given"}
	case f.fixed:
		return nil
	case !there || v == nil || v == "":
		if f.required == true && !f.lenient {
			return &misfit{field: f.blank(), what: f.name + " is empty"}
		}
		return nil
	}
	switch {
	case f.kind == "boolean":
		if _, ok := v.(bool); !ok {
			return &misfit{what: f.name + " is no boolean"}
		}
	case f.form != nil:
		inner, ok := v.(hal)
		if !ok {
			return &misfit{what: f.name + " is no object"}
		}
		return suits(f.form, inner)
	case f.options != nil:
		return f.chosen(v)
	default:
		if _, ok := v.(string); !ok {
			return &misfit{what: f.name + " is no string"}
		}
	}
	return nil
}

// blank is the field that a message about an empty value belongs to: its own, or
// that of the first of its inner fields.
func (f *idxField) blank() *idxField {
	if len(f.form) > 0 {
		return f.form[0]
	}
	return f
}

// chosen checks a value against a field's options.
func (f *idxField) chosen(v any) *misfit {
	bad := &misfit{what: f.name + " is none of its options"}
	for _, p := range f.options {
		if p.form == nil {
			if v == p.value {
				return nil
			}
			continue
		}
		inner, ok := v.(hal)
		if !ok {
			return &misfit{what: f.name + " is no object"}
		}
		why := suits(p.form, inner)
		if why == nil {
			return nil
		}
		if same(inner["id"], p.form[0].value) { // the option that was meant
			bad = why
		}
	}
	return bad
}

// same compares a value from a request with one that was rendered.
func same(got, given any) bool {
	text, err := json.Marshal(given)
	if err != nil {
		return false
	}
	var want any
	return json.Unmarshal(text, &want) == nil && reflect.DeepEqual(got, want)
}

// text digs a string out of a request: "" if it is not there.
func text(in hal, path ...string) string {
	for i, name := range path {
		if i == len(path)-1 {
			s, _ := in[name].(string)
			return s
		}
		in, _ = in[name].(hal)
	}
	return ""
}
