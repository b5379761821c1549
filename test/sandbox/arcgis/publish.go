package arcgis

import (
	"encoding/json"
	"strings"
	"time"
)

// publish answers content/users/NAME/publish: a service is made of an item's file,
// while the client polls the new item's status. The sandbox has one hosted service,
// so that is what the new item stands for.
// (https://developers.arcgis.com/rest/users-groups-and-items/publish-item/)
func (c *call) publish(owner string) {
	if c.r.Method != "POST" {
		c.refuse(refusal{code: 405, message: "Method not allowed"})
		return
	}
	if c.member.Role == "org_user" {
		c.forbid()
		return
	}
	var wanted struct{ Name, Description string }
	if err := json.Unmarshal([]byte(c.get("publishParameters")), &wanted); err != nil || wanted.Name == "" {
		c.refuse(refusal{code: 400, messageCode: "CONT_0013", message: "Unable to publish item.", details: []string{"'publishParameters' is invalid."}})
		return
	}
	address := c.p.ServerURL().String() + "/rest/services/Trees/FeatureServer"
	service := &Item{ID: newID(), Owner: owner, Access: "private", modified: time.Now(), Fields: map[string]string{
		"title": wanted.Name, "description": wanted.Description, "type": "Feature Service", "url": address, "typeKeywords": "Data,Feature Service,Service,Hosted Service"}}
	c.p.items.mu.Lock()
	source := c.p.items.byID[c.get("itemid")]
	ready := source != nil && strings.EqualFold(source.Owner, owner) && source.Size > 0
	if ready {
		c.p.items.byID[service.ID] = service
	}
	c.p.items.mu.Unlock()
	if !ready {
		c.missing()
		return
	}
	c.reply(map[string]any{"services": []map[string]any{{"type": "Feature Service", "serviceurl": address,
		"encodedServiceURL": strings.NewReplacer(":", "%3A", "/", "%2F").Replace(address),
		"size":              -1, "jobId": c.newJob(false).id, "serviceItemId": service.ID}}})
}

// publishStatus answers content/users/NAME/items/ID/status of a job: it is done the
// second time.
func (c *call) publishStatus(id string) {
	switch j, done := c.poll(c.get("jobId")); {
	case j == nil:
	case done:
		c.reply(map[string]any{"status": "completed", "statusMessage": "completed", "itemId": id})
	default:
		c.reply(map[string]any{"status": "processing", "statusMessage": "executing", "itemId": id})
	}
}
