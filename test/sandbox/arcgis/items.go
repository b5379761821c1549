package arcgis

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Item is something that a member keeps in the Portal.
type Item struct {
	ID     string
	Owner  string            // ArcGIS user name
	Access string            // private, org or public
	Fields map[string]string // title, type, url, tags, description…: exactly as they were sent
	Data   []byte            // what /data answers, exactly as it was sent
	Name   string            // of the uploaded file
	Type   string            // media type of Data
	Size   int64
	SHA256 string

	parts    map[int]*file
	status   string // "", or partial while parts are awaited, processing, completed, failed
	outcome  string // what processing ends in
	modified time.Time
}

// items are all that the Portal keeps.
type items struct {
	mu   sync.Mutex // guards byID and the items in it
	byID map[string]*Item
}

// treesItem is the id of the item that stands for the federated trees service.
const treesItem = "7ee5000000000000000000000000a001"

// webMapItem is the id of a web map that shows it.
const webMapItem = "7ee5000000000000000000000000a002"

func newItems(p *Portal) *items {
	owner := "sandbox_admin"
	for _, m := range p.cfg.Members {
		owner = m.Username
		break
	}
	trees := p.ServerURL().String() + "/rest/services/Trees/FeatureServer"
	topo := p.OtherURL().String() + "/rest/services/Topo/MapServer"
	all := []*Item{
		{ID: treesItem, Access: "org", Fields: map[string]string{"title": "Street trees", "type": "Feature Service", "url": trees,
			"tags": "trees,city", "snippet": "Every tree along the streets", "typeKeywords": "ArcGIS Server,Data,Feature Access,Feature Service,Service,Hosted Service"}},
		{ID: webMapItem, Access: "org", Type: "application/json", Fields: map[string]string{"title": "Map of street trees", "type": "Web Map",
			"tags": "trees,map", "snippet": "A web map", "typeKeywords": "Web Map,Map,Online Map"},
			Data: fmt.Appendf(nil, `{"operationalLayers":[{"id":"trees","layerType":"ArcGISFeatureLayer","title":"Street trees","url":"%s/0","itemId":"%s"}],"baseMap":{"baseMapLayers":[{"id":"topo","layerType":"ArcGISTiledMapServiceLayer","url":"%s"}],"title":"Topographic"},"version":"2.29"}`, trees, treesItem, topo)},
		{ID: "7ee5000000000000000000000000a003", Access: "public", Fields: map[string]string{"title": "Topographic basemap", "type": "Map Service", "url": topo,
			"tags": "basemap", "snippet": "A basemap", "typeKeywords": "ArcGIS Server,Data,Map Service,Service"}},
		{ID: "7ee5000000000000000000000000a004", Access: "public", Fields: map[string]string{"title": "City parks", "type": "Feature Service",
			"url": p.OpenURL().String() + "/rest/services/Parks/FeatureServer", "tags": "parks", "snippet": "On a server that is not federated", "typeKeywords": "Data,Feature Service,Service"}},
	}
	s := &items{byID: make(map[string]*Item)}
	for _, it := range all {
		it.Owner, it.modified = owner, time.UnixMilli(createdAt)
		it.hold(it.Name, it.Type, it.Data)
		s.byID[it.ID] = it
	}
	return s
}

// hold makes data the item's own.
func (it *Item) hold(name, kind string, data []byte) {
	sum := sha256.Sum256(data)
	it.Name, it.Type, it.Data, it.Size, it.SHA256 = name, kind, data, int64(len(data)), hex.EncodeToString(sum[:])
}

// Item returns a copy of an item, as it was sent.
func (p *Portal) Item(id string) (Item, bool) {
	p.items.mu.Lock()
	defer p.items.mu.Unlock()
	it := p.items.byID[id]
	if it == nil {
		return Item{}, false
	}
	c := *it
	c.Fields = maps.Clone(it.Fields)
	return c, true
}

// visible reports whether the request may see an item.
func (c *call) visible(it *Item) bool {
	return it.Access == "public" || c.member != nil && (it.Access == "org" || it.Owner == c.member.Username || c.member.Role == "org_admin")
}

// describe is an item's JSON.
func (it *Item) describe(c *call) map[string]any {
	f := it.Fields
	orNil := func(key string) any {
		if v, ok := f[key]; ok && v != "" {
			return v
		}
		return nil
	}
	list := func(key string) []string {
		if f[key] == "" {
			return []string{}
		}
		var out []string
		for s := range strings.SplitSeq(f[key], ",") {
			out = append(out, strings.TrimSpace(s))
		}
		return out
	}
	name := any(nil)
	if it.Name != "" {
		name = it.Name
	}
	control := "view"
	if c.member != nil && (it.Owner == c.member.Username || c.member.Role == "org_admin") {
		control = "admin"
	}
	return map[string]any{
		"id": it.ID, "owner": it.Owner, "orgId": c.p.orgID, "created": createdAt, "isOrgItem": true, "modified": it.modified.UnixMilli(),
		"guid": nil, "name": name, "title": orNil("title"), "type": orNil("type"), "typeKeywords": list("typeKeywords"),
		"description": orNil("description"), "tags": list("tags"), "snippet": orNil("snippet"), "thumbnail": nil, "documentation": nil,
		"extent": []any{}, "categories": []string{}, "spatialReference": nil, "accessInformation": nil, "licenseInfo": nil, "culture": "en-us",
		"properties": nil, "advancedSettings": nil, "url": orNil("url"), "proxyFilter": nil, "access": it.Access, "size": it.Size,
		"subInfo": 0, "appCategories": []string{}, "industries": []string{}, "languages": []string{}, "largeThumbnail": nil, "banner": nil,
		"screenshots": []string{}, "listed": false, "numComments": 0, "numRatings": 0, "avgRating": 0, "numViews": 1, "itemControl": control,
		"scoreCompleteness": 60, "groupDesignations": nil, "ownerFolder": nil, "protected": false,
		"appProxies": []map[string]any{{"sourceUrl": c.p.OtherURL().String() + "/rest/services/Topo/MapServer", "proxyUrl": c.p.base + "/sharing/appservices/usage/rest/services/abc/MapServer", "proxyId": "abc"}},
	}
}

// search answers sharing/rest/search.
func (c *call) search() {
	p := c.p
	start, num := atoi(c.get("start"), 1), min(atoi(c.get("num"), 10), 100)
	p.items.mu.Lock()
	var found []map[string]any
	for _, id := range slices.Sorted(maps.Keys(p.items.byID)) {
		if it := p.items.byID[id]; c.visible(it) && it.matches(c.get("q")) {
			found = append(found, it.describe(c))
		}
	}
	p.items.mu.Unlock()
	total := len(found)
	from := min(max(start, 1)-1, total)
	to := min(from+max(num, 0), total)
	next := -1
	if to < total {
		next = to + 1
	}
	results := found[from:to]
	if results == nil {
		results = []map[string]any{}
	}
	c.reply(map[string]any{"query": c.get("q"), "total": total, "start": start, "num": num, "nextStart": next, "results": results})
}

// matches is a small part of the search reference
// (https://developers.arcgis.com/rest/users-groups-and-items/search-reference/):
// words that must appear, field:value, quotes, a leading minus. Fields that
// items here don't have don't decide; OR is taken as a word that is always there.
func (it *Item) matches(q string) bool {
	for _, term := range searchTerms(q) {
		negated := strings.HasPrefix(term, "-")
		key, value, hasKey := strings.Cut(strings.TrimPrefix(term, "-"), ":")
		var hit bool
		if hasKey {
			value = strings.ToLower(strings.Trim(value, `"`))
			switch key = strings.ToLower(key); key {
			case "id":
				hit = it.ID == value
			case "owner":
				hit = strings.ToLower(it.Owner) == value
			case "access":
				hit = it.Access == value
			case "title", "type", "tags", "typekeywords", "description", "snippet":
				if key == "typekeywords" {
					key = "typeKeywords"
				}
				hit = strings.Contains(strings.ToLower(it.Fields[key]), value)
			default:
				continue
			}
		} else {
			word := strings.ToLower(strings.Trim(key, `"*`))
			if word == "" || word == "and" || word == "or" || word == "not" {
				continue
			}
			text := strings.ToLower(it.Fields["title"] + " " + it.Fields["tags"] + " " + it.Fields["snippet"] + " " + it.Fields["type"] + " " + it.Owner)
			hit = strings.Contains(text, word)
		}
		if hit == negated {
			return false
		}
	}
	return true
}

// searchTerms cuts a query at spaces and parentheses outside quotes.
func searchTerms(q string) []string {
	quoted := false
	return strings.FieldsFunc(q, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '(' || r == ')')
	})
}

// newID makes an item id: 32 hex digits.
func newID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
