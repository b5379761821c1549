package arcgis

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// minPart is the smallest that a part of an upload may be, but for the last.
const minPart = 5 << 20

// content answers content/…: items, and users' items.
func (c *call) content(path string) {
	parts := trim(strings.Split(path, "/"))
	switch {
	case len(parts) >= 2 && parts[0] == "items":
		c.item(parts[1], parts[2:])
	case len(parts) >= 2 && parts[0] == "users":
		if c.member == nil {
			c.demandToken()
			return
		}
		if !strings.EqualFold(parts[1], c.member.Username) && c.member.Role != "org_admin" {
			c.forbid()
			return
		}
		c.userContent(parts[1], parts[2:])
	default:
		c.refuse(refusal{code: 404, message: "Not found", messageCode: "SB_0004"})
	}
}

// item answers content/items/ID and below.
func (c *call) item(id string, below []string) {
	p := c.p
	p.items.mu.Lock()
	it := p.items.byID[id]
	if it == nil || !c.visible(it) {
		p.items.mu.Unlock()
		if it != nil && c.member != nil {
			c.forbid()
			return
		}
		c.missing()
		return
	}
	described := it.describe(c)
	data := &file{Name: it.Name, Type: it.Type, Size: it.Size, SHA256: it.SHA256, Data: it.Data}
	p.items.mu.Unlock()
	if len(below) == 0 {
		c.reply(described)
		return
	}
	switch below[0] {
	case "data":
		if data.Size == 0 {
			c.bytes(200, "text/plain", nil)
			return
		}
		c.serveFile(data)
	case "info":
		c.bytes(200, "image/png", onePixel)
	case "groups":
		c.reply(map[string]any{"admin": []any{}, "member": []any{}, "other": []any{}})
	case "relatedItems", "resources", "comments", "ratings":
		c.reply(c.paged(below[0], []any{}))
	default:
		c.missing()
	}
}

// userContent answers content/users/NAME and below.
func (c *call) userContent(name string, below []string) {
	p := c.p
	if len(below) == 0 {
		p.items.mu.Lock()
		list := []map[string]any{}
		for _, id := range slices.Sorted(maps.Keys(p.items.byID)) {
			if it := p.items.byID[id]; strings.EqualFold(it.Owner, name) {
				list = append(list, it.describe(c))
			}
		}
		p.items.mu.Unlock()
		c.reply(map[string]any{"username": name, "total": len(list), "start": 1, "num": max(len(list), 10), "nextStart": -1,
			"currentFolder": nil, "items": list, "folders": []any{}})
		return
	}
	if below[0] == "addItem" {
		c.addItem(name)
		return
	}
	if below[0] == "createService" {
		c.createService(name)
		return
	}
	if below[0] == "publish" {
		c.publish(name)
		return
	}
	if below[0] != "items" || len(below) < 2 {
		c.missing()
		return
	}
	if len(below) == 3 && below[2] == "status" && c.get("jobId") != "" {
		c.publishStatus(below[1])
		return
	}
	p.items.mu.Lock()
	defer p.items.mu.Unlock()
	it := p.items.byID[below[1]]
	if it == nil || !strings.EqualFold(it.Owner, name) {
		c.missing()
		return
	}
	op := ""
	if len(below) > 2 {
		op = below[2]
	}
	if op != "" && op != "status" && c.r.Method != "POST" {
		c.refuse(refusal{code: 405, message: "Method not allowed"})
		return
	}
	switch op {
	case "":
		c.reply(map[string]any{"item": it.describe(c), "sharing": map[string]any{"access": it.Access, "groups": []any{}}})
	case "update":
		c.fill(it)
		c.done(it)
	case "delete":
		delete(p.items.byID, it.ID)
		c.reply(map[string]any{"success": true, "itemId": it.ID})
	case "share":
		switch {
		case c.truth("everyone", false):
			it.Access = "public"
		case c.truth("org", false):
			it.Access = "org"
		default:
			it.Access = "private"
		}
		c.reply(map[string]any{"notSharedWith": []any{}, "itemId": it.ID})
	case "addPart":
		c.addPart(it)
	case "commit":
		c.commit(it)
	case "status":
		status := it.status
		switch status {
		case "":
			status = "completed"
		case "processing": // until the next time that somebody asks
			it.status = it.outcome
		}
		if status == "failed" {
			c.reply(map[string]any{"status": "failed", "statusMessage": "A part of the file is missing or too small.", "itemId": it.ID})
			return
		}
		c.reply(map[string]any{"status": status, "statusMessage": status, "itemId": it.ID})
	default:
		c.missing()
	}
}

func (c *call) done(it *Item) {
	c.reply(map[string]any{"success": true, "id": it.ID, "folder": nil})
}

// addItem answers content/users/NAME/addItem.
func (c *call) addItem(owner string) {
	if c.r.Method != "POST" {
		c.refuse(refusal{code: 405, message: "Method not allowed"})
		return
	}
	if c.member.Role == "org_user" {
		c.forbid()
		return
	}
	if c.get("title") == "" && c.files["file"] == nil || c.get("type") == "" {
		c.refuse(refusal{code: 400, messageCode: "CONT_0013", message: "Unable to add item.", details: []string{"'title' and 'type' must be specified."}})
		return
	}
	it := &Item{ID: newID(), Owner: owner, Access: "private", Fields: make(map[string]string)}
	c.fill(it)
	if c.truth("multipart", false) {
		it.status, it.Name, it.parts = "partial", c.get("filename"), make(map[int]*file)
	}
	c.p.items.mu.Lock()
	c.p.items.byID[it.ID] = it
	c.p.items.mu.Unlock()
	c.done(it)
}

// createService answers content/users/NAME/createService: an item for a hosted
// feature service, with the service's address in several writings. The sandbox
// has one hosted service, so that is what the item stands for.
func (c *call) createService(owner string) {
	if c.r.Method != "POST" {
		c.refuse(refusal{code: 405, message: "Method not allowed"})
		return
	}
	if c.member.Role == "org_user" {
		c.forbid()
		return
	}
	var wanted struct{ Name string }
	if err := json.Unmarshal([]byte(c.get("createParameters")), &wanted); err != nil || wanted.Name == "" {
		c.refuse(refusal{code: 400, messageCode: "CONT_0013", message: "Unable to create service.", details: []string{"'createParameters' is invalid."}})
		return
	}
	address := c.p.ServerURL().String() + "/rest/services/Trees/FeatureServer"
	it := &Item{ID: newID(), Owner: owner, Access: "private", modified: time.Now(),
		Fields: map[string]string{"title": wanted.Name, "type": "Feature Service", "url": address, "typeKeywords": "Data,Feature Service,Service,Hosted Service"}}
	c.p.items.mu.Lock()
	c.p.items.byID[it.ID] = it
	c.p.items.mu.Unlock()
	c.reply(map[string]any{"success": true, "itemId": it.ID, "serviceItemId": it.ID, "name": wanted.Name, "type": "Feature Service", "isView": false,
		"serviceurl": address, "encodedServiceURL": strings.NewReplacer(":", "%3A", "/", "%2F").Replace(address), "size": -1, "jobId": newID()})
}

// fill takes what a request says about an item, exactly as it says it. The
// caller holds the items' lock, or has not shared the item yet.
func (c *call) fill(it *Item) {
	for key, values := range c.form {
		switch key {
		case "f", "token", "text", "multipart", "filename", "async", "overwrite":
		default:
			it.Fields[key] = values[0]
		}
	}
	if text := c.get("text"); text != "" {
		it.hold("", "application/json", []byte(text))
	}
	if f := c.files["file"]; f != nil {
		it.Name, it.Type, it.Data, it.Size, it.SHA256 = f.Name, f.Type, f.Data, f.Size, f.SHA256
	}
	it.modified = time.Now()
}

// addPart takes one part of a large file. Parts come in any order, also again.
// The caller holds the items' lock.
func (c *call) addPart(it *Item) {
	n, err := strconv.Atoi(c.get("partNum"))
	f := c.files["file"]
	if err != nil || n < 1 || n > 10_000 || f == nil || f.Data == nil || it.status != "partial" {
		c.refuse(refusal{code: 400, messageCode: "CONT_0041", message: "Unable to add part.", details: []string{"'partNum' is 1 to 10000, with a file, before commit."}})
		return
	}
	it.parts[n] = f
	c.reply(map[string]any{"success": true})
}

// commit puts the parts together. The caller holds the items' lock.
func (c *call) commit(it *Item) {
	if it.status != "partial" || len(it.parts) == 0 {
		c.refuse(refusal{code: 400, messageCode: "CONT_0042", message: "Unable to commit.", details: []string{"No parts were added."}})
		return
	}
	numbers := slices.Sorted(maps.Keys(it.parts))
	var whole []byte
	it.status, it.outcome = "processing", "completed"
	for i, n := range numbers {
		if n != i+1 || i < len(numbers)-1 && it.parts[n].Size < minPart {
			it.outcome = "failed"
		}
		whole = append(whole, it.parts[n].Data...)
	}
	if it.outcome == "completed" {
		it.hold(it.Name, "application/octet-stream", whole)
	}
	it.parts = nil
	for key, values := range c.form {
		if key == "title" || key == "tags" || key == "type" || key == "description" || key == "snippet" {
			it.Fields[key] = values[0]
		}
	}
	c.done(it)
}

func atoi(text string, otherwise int) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return otherwise
	}
	return n
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
