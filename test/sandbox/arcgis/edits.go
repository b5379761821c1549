package arcgis

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// edited is one line of an edit's answer.
func edited(id int64, problem string) map[string]any {
	if problem != "" {
		return map[string]any{"objectId": id, "success": false, "error": map[string]any{"code": 1000, "description": problem}}
	}
	return map[string]any{"objectId": id, "globalId": nil, "success": true}
}

// mayEdit reports whether the request may change features, and answers if not.
func (c *call) mayEdit() bool {
	switch {
	case c.r.Method != "POST":
		c.refuse(refusal{code: 405, message: "Method not allowed"})
	case c.member == nil:
		c.demandToken()
	default:
		return true
	}
	return false
}

// edit answers applyEdits, addFeatures, updateFeatures and deleteFeatures of a layer.
func (c *call) edit(l *layer, op string) {
	if !c.mayEdit() {
		return
	}
	var adds, updates, deletes []map[string]any
	var err error
	switch op {
	case "addFeatures":
		if adds, err = l.add(c.get("features")); err == nil {
			c.reply(map[string]any{"addResults": adds})
		}
	case "updateFeatures":
		if updates, err = l.update(c.get("features")); err == nil {
			c.reply(map[string]any{"updateResults": updates})
		}
	case "deleteFeatures":
		if w := c.get("where"); w != "" {
			deletes, err = l.deleteWhere(w)
		} else {
			deletes, err = l.delete(c.get("objectIds"))
		}
		if err == nil {
			c.reply(map[string]any{"deleteResults": deletes})
		}
	default:
		var all map[string]any
		if all, err = l.apply(c.get("adds"), c.get("updates"), c.get("deletes")); err == nil {
			c.reply(all)
		}
	}
	if err != nil {
		c.refuse(refusal{code: 400, message: "Unable to complete operation.", details: []string{err.Error()}})
	}
}

// apply does all three kinds of edit.
func (l *layer) apply(adds, updates, deletes string) (map[string]any, error) {
	added, err := l.add(adds)
	if err != nil {
		return nil, err
	}
	updated, err := l.update(updates)
	if err != nil {
		return nil, err
	}
	deleted, err := l.delete(strings.Trim(deletes, "[] "))
	if err != nil {
		return nil, err
	}
	return map[string]any{"addResults": added, "updateResults": updated, "deleteResults": deleted}, nil
}

// applyServiceEdits answers applyEdits of the service, which names its layers.
func (c *call) applyServiceEdits(l *layer) {
	if !c.mayEdit() {
		return
	}
	var edits []struct {
		ID      int             `json:"id"`
		Adds    json.RawMessage `json:"adds"`
		Updates json.RawMessage `json:"updates"`
		Deletes json.RawMessage `json:"deletes"`
	}
	if err := json.Unmarshal([]byte(c.get("edits")), &edits); err != nil {
		c.refuse(refusal{code: 400, message: "Unable to complete operation.", details: []string{"'edits' parameter is invalid"}})
		return
	}
	answers := []map[string]any{}
	for _, e := range edits {
		one, err := l.apply(string(e.Adds), string(e.Updates), string(e.Deletes))
		if err != nil || e.ID != 0 {
			c.refuse(refusal{code: 400, message: "Unable to complete operation.", details: []string{fmt.Sprint(err)}})
			return
		}
		one["id"] = e.ID
		answers = append(answers, one)
	}
	c.reply(answers)
}

// readRows reads the features of an edit; "" and null are none.
func readRows(text string) ([]row, error) {
	if text == "" || text == "null" {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber() // a date in milliseconds must not become a float
	var rows []row
	if err := d.Decode(&rows); err != nil {
		return nil, fmt.Errorf("the features cannot be read: %w", err)
	}
	return rows, nil
}

func (l *layer) add(text string) ([]map[string]any, error) {
	rows, err := readRows(text)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	results := []map[string]any{}
	for _, r := range rows {
		f := &feature{values: make([]any, len(l.fields))}
		f.values[0] = l.nextID
		guid := rand.Text()
		f.values[1] = "{" + guid[:8] + "-" + guid[8:12] + "-4000-A000-" + guid[12:24] + "}"
		problem := l.set(f, r)
		if problem == "" {
			l.rows = append(l.rows, f)
			l.nextID++
		}
		results = append(results, edited(f.id(), problem))
	}
	return results, nil
}

func (l *layer) update(text string) ([]map[string]any, error) {
	rows, err := readRows(text)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	results := []map[string]any{}
	for _, r := range rows {
		n, _ := r.Attributes[l.fields[0].Name].(json.Number)
		id, _ := n.Int64()
		i := slices.IndexFunc(l.rows, func(f *feature) bool { return f.id() == id })
		if i < 0 {
			results = append(results, edited(id, "There is no feature with this OBJECTID."))
			continue
		}
		// Rows are never changed in place: queries read them after the lock is gone.
		f := &feature{x: l.rows[i].x, y: l.rows[i].y, values: slices.Clone(l.rows[i].values)}
		problem := l.set(f, r)
		if problem == "" {
			l.rows[i] = f
		}
		results = append(results, edited(id, problem))
	}
	return results, nil
}

// set puts what an edit says into a row and returns what is wrong with it.
func (l *layer) set(f *feature, r row) (problem string) {
	for name, v := range r.Attributes {
		i := l.index(name)
		if i < 0 {
			return "There is no field " + name + "."
		}
		if !l.fields[i].Editable {
			continue // ArcGIS ignores OBJECTID and GlobalID here
		}
		value, ok := l.fields[i].convert(v)
		if !ok {
			return "The value of " + name + " does not fit its field."
		}
		f.values[i] = value
	}
	if g := r.Geometry; g != nil && g.X != nil && g.Y != nil {
		f.x, f.y = *g.X, *g.Y
		if w := g.SpatialReference.WKID; w == 3857 || w == 102100 {
			f.x, f.y = fromMercator(f.x, f.y)
		}
	}
	return ""
}

func (l *layer) delete(ids string) ([]map[string]any, error) {
	results := []map[string]any{}
	l.mu.Lock()
	defer l.mu.Unlock()
	for text := range strings.SplitSeq(ids, ",") {
		if text = strings.TrimSpace(text); text == "" || text == "null" {
			continue
		}
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no OBJECTID", text)
		}
		if l.find(id) == nil {
			results = append(results, edited(id, "There is no feature with this OBJECTID."))
			continue
		}
		l.remove(id)
		results = append(results, edited(id, ""))
	}
	return results, nil
}

func (l *layer) deleteWhere(where string) ([]map[string]any, error) {
	matches, err := parseWhere(where, l)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	results := []map[string]any{}
	for _, f := range slices.Clone(l.rows) {
		if matches(f.values) == yes {
			l.remove(f.id())
			results = append(results, edited(f.id(), ""))
		}
	}
	return results, nil
}

// remove takes a row and its attachments out. The caller holds l.mu.
func (l *layer) remove(id int64) {
	l.rows = slices.DeleteFunc(slices.Clone(l.rows), func(f *feature) bool { return f.id() == id })
	delete(l.attachments, id)
}
