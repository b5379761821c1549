package arcgis

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// attachment is a file that belongs to a feature.
type attachment struct {
	id int64
	*file
}

func (a *attachment) describe(parent int64) map[string]any {
	return map[string]any{"id": a.id, "parentObjectId": parent, "name": a.Name, "contentType": a.Type, "size": a.Size,
		"globalId": "", "parentGlobalId": "", "keywords": "", "exifInfo": nil}
}

// attachmentOperation answers below …/FeatureServer/0/OBJECTID.
func (c *call) attachmentOperation(l *layer, below []string) {
	id, err := strconv.ParseInt(below[0], 10, 64)
	l.mu.RLock()
	row := l.find(id)
	l.mu.RUnlock()
	if err != nil || row == nil {
		c.refuse(refusal{code: 404, message: "Feature not found"})
		return
	}
	op := ""
	if len(below) > 1 {
		op = below[1]
	}
	switch {
	case op == "":
		attributes := make(map[string]any)
		for i, f := range l.fields {
			attributes[f.Name] = row.values[i]
		}
		c.reply(map[string]any{"feature": map[string]any{"attributes": attributes, "geometry": map[string]any{"x": row.x, "y": row.y}}})
	case op == "attachments" && len(below) == 2:
		infos := l.attached(id)
		for _, a := range infos {
			c.lead(a["name"].(string), fmt.Sprint("attachments/", a["id"]))
		}
		c.reply(map[string]any{"attachmentInfos": infos})
	case op == "attachments" && len(below) == 3:
		c.sendAttachment(l, id, below[2])
	case op == "addAttachment":
		c.addAttachment(l, id)
	case op == "updateAttachment":
		c.updateAttachment(l, id)
	case op == "deleteAttachments":
		c.deleteAttachments(l, id)
	default:
		c.refuse(refusal{code: 400, message: "Invalid URL", details: []string{"Invalid URL"}})
	}
}

func (l *layer) attached(id int64) []map[string]any {
	l.mu.RLock()
	defer l.mu.RUnlock()
	infos := []map[string]any{}
	for _, a := range l.attachments[id] {
		infos = append(infos, a.describe(id))
	}
	return infos
}

// addAttachment takes a file of a multipart request.
func (c *call) addAttachment(l *layer, id int64) {
	if !c.mayEdit() {
		return
	}
	f := c.files["attachment"]
	if f == nil {
		f = c.files["file"]
	}
	if f == nil || f.Data == nil {
		c.refuse(refusal{code: 400, message: "Unable to complete operation.", details: []string{"no attachment, or it is too large"}})
		return
	}
	l.mu.Lock()
	a := &attachment{id: l.nextAttach, file: f}
	l.nextAttach++
	l.attachments[id] = append(l.attachments[id], a)
	l.mu.Unlock()
	c.reply(map[string]any{"addAttachmentResult": edited(a.id, "")})
}

func (c *call) updateAttachment(l *layer, id int64) {
	if !c.mayEdit() {
		return
	}
	which, err := strconv.ParseInt(c.get("attachmentId"), 10, 64)
	f := c.files["attachment"]
	l.mu.Lock()
	i := slices.IndexFunc(l.attachments[id], func(a *attachment) bool { return a.id == which })
	good := err == nil && f != nil && i >= 0
	if good {
		l.attachments[id][i] = &attachment{id: which, file: f}
	}
	l.mu.Unlock()
	if !good {
		c.refuse(refusal{code: 400, message: "Unable to complete operation."})
		return
	}
	c.reply(map[string]any{"updateAttachmentResult": edited(which, "")})
}

func (c *call) deleteAttachments(l *layer, id int64) {
	if !c.mayEdit() {
		return
	}
	results := []map[string]any{}
	l.mu.Lock()
	for text := range strings.SplitSeq(c.get("attachmentIds"), ",") {
		which, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		i := slices.IndexFunc(l.attachments[id], func(a *attachment) bool { return a.id == which })
		if err != nil || i < 0 {
			results = append(results, edited(which, "There is no such attachment."))
			continue
		}
		l.attachments[id] = slices.Delete(slices.Clone(l.attachments[id]), i, i+1)
		results = append(results, edited(which, ""))
	}
	l.mu.Unlock()
	c.reply(map[string]any{"deleteAttachmentResults": results})
}

// sendAttachment sends the bytes of an attachment: whole, in ranges, or 304.
func (c *call) sendAttachment(l *layer, id int64, which string) {
	l.mu.RLock()
	var found *attachment
	for _, a := range l.attachments[id] {
		if strconv.FormatInt(a.id, 10) == which {
			found = a
		}
	}
	l.mu.RUnlock()
	if found == nil {
		c.refuse(refusal{code: 404, message: "Attachment not found"})
		return
	}
	c.serveFile(found.file)
}

// serveFile sends a stored file with an ETag, answering ranges, conditions and HEAD.
func (c *call) serveFile(f *file) {
	if f.Data == nil {
		c.refuse(refusal{code: 500, message: "The file was too large to be kept by this sandbox."})
		return
	}
	h := c.w.Header()
	h.Set("ETag", `"`+f.SHA256[:32]+`"`)
	h.Set("Content-Disposition", `inline; filename="`+strings.NewReplacer(`"`, "", "\r", "", "\n", "").Replace(f.Name)+`"`)
	if f.Type != "" {
		h.Set("Content-Type", f.Type)
	}
	http.ServeContent(c.w, c.r, f.Name, time.UnixMilli(createdAt), bytes.NewReader(f.Data))
}

// queryAttachments answers …/FeatureServer/0/queryAttachments.
func (c *call) queryAttachments(l *layer) {
	if c.get("where") == "" && c.get("definitionExpression") == "" && c.get("objectIds") == "" {
		c.form.Set("where", "1=1")
	}
	if d := c.get("definitionExpression"); d != "" {
		c.form.Set("where", d)
	}
	q, err := c.parseQuery(l)
	if err != nil {
		c.refuse(refusal{code: 400, message: "Cannot perform query. Invalid query parameters.", details: []string{err.Error()}})
		return
	}
	groups := []map[string]any{}
	for _, f := range l.matching(q) {
		if infos := l.attached(f.id()); len(infos) > 0 {
			groups = append(groups, map[string]any{"parentObjectId": f.id(), "parentGlobalId": f.values[1], "attachmentInfos": infos})
		}
	}
	c.reply(map[string]any{"fields": []any{}, "attachmentGroups": groups})
}
