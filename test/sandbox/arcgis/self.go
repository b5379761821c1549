package arcgis

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// esriAuth is the cookie in which the Portal's web application keeps a token for
// its scripts. It is one person's, and has leaked through proxies (resource-proxy#339).
const esriAuth = "esri_auth"

// createdAt is when everything in the sandbox that has a date was made, in milliseconds.
const createdAt = 1_700_000_000_000

// setEsriAuth sends the cookie for whoever is signed in.
func (c *call) setEsriAuth() {
	if c.member == nil || len(c.carried) == 0 {
		return
	}
	value, err := json.Marshal(map[string]any{
		"email": c.member.Username, "token": c.carried[0], "expires": time.Now().Add(time.Hour).UnixMilli(),
		"allSSL": true, "persistent": false, "portalApp": true,
	})
	if err != nil {
		return
	}
	c.w.Header().Add("Set-Cookie", esriAuth+"="+url.QueryEscape(string(value))+"; Path=/; Secure")
}

// portals answers portals/self and what lies below it.
func (c *call) portals(path string) {
	id, rest, _ := strings.Cut(path, "/")
	if id != "self" && id != c.p.orgID {
		c.missing()
		return
	}
	switch rest {
	case "":
		c.portalSelf()
	case "urls":
		c.reply(map[string]any{"urls": map[string]any{
			"features": map[string]any{"https": []string{c.p.cfg.Site.Host + "/server"}, "http": []string{}},
			"tiles":    map[string]any{"https": []string{c.p.cfg.Other.Host + "/arcgis"}},
			"basemaps": map[string]any{"https": []string{foreignBasemaps + "/arcgis"}},
		}})
	case "servers":
		if c.member == nil {
			c.demandToken()
			return
		}
		c.reply(map[string]any{"servers": []map[string]any{
			// Administration goes past the Web Adaptor, on a port that outside nobody reaches.
			{"id": "srv1", "name": c.p.cfg.Site.Host, "url": c.p.ServerURL().String(), "adminUrl": "https://" + c.p.cfg.Site.Hostname() + ":6443/arcgis",
				"isHosted": true, "serverRole": "HOSTING_SERVER", "serverType": "ARCGIS", "serverKey": nil, "serverFunction": "", "webgisServerTrustKey": nil},
			{"id": "srv2", "name": c.p.cfg.Other.Host, "url": c.p.OtherURL().String(), "adminUrl": "https://internal2.example.com:6443/arcgis",
				"isHosted": false, "serverRole": "FEDERATED_SERVER", "serverType": "ARCGIS", "serverKey": nil, "serverFunction": "", "webgisServerTrustKey": nil},
		}})
	case "users":
		if c.member == nil {
			c.demandToken()
			return
		}
		c.reply(c.paged("users", c.sortedMembers()))
	case "roles":
		c.reply(c.paged("roles", []any{}))
	case "isServiceNameAvailable":
		c.reply(map[string]any{"available": c.get("name") != "Trees"})
	default:
		c.missing()
	}
}

// paged wraps a list as the Sharing API pages it.
func (c *call) paged(name string, list any) map[string]any {
	n := 0
	switch l := list.(type) {
	case []any:
		n = len(l)
	case []map[string]any:
		n = len(l)
	}
	return map[string]any{"total": n, "start": 1, "num": max(n, 10), "nextStart": -1, name: list}
}

// portalSelf describes the organization, and the user if the request is signed
// in. It has every absolute URL that a portal's own answer has; all are made from
// the Portal's configured address, whatever name it was called by.
func (c *call) portalSelf() {
	if c.p.choose.one(2, func(s *Shape) Choice { return s.EsriAuth }) {
		c.setEsriAuth()
	}
	p := c.p
	base, say := p.base, p.choose.spell
	port := p.cfg.Site.Port()
	self := map[string]any{
		"id": p.orgID, "name": "Sandbox", "description": "<a href=\"" + base + "/home/\">The sandbox</a>", "access": "public",
		"portalName": "ArcGIS Enterprise", "portalHostname": p.cfg.Site.Host + "/portal", "portalMode": "singletenant",
		"isPortal": true, "isReadOnly": false, "customBaseUrl": p.cfg.Site.Host, "urlKey": nil, "currentVersion": "11.3", "enterpriseVersion": "11.3.0",
		"culture": "en", "region": "WO", "units": "metric", "allSSL": p.cfg.Site.Scheme == "https", "supportsHostedServices": true, "supportsOAuth": true,
		"supportsSceneServices": true, "canSearchPublic": true, "canSharePublic": true, "canSignInIDP": true, "canSignInArcGIS": true,
		"httpPort": 80, "httpsPort": 443,
		"staticImagesUrl": base + "/sharing/static/images", "helpBase": say(base + "/portalhelp/en/"), "thumbnail": "thumbnail.png",
		"authorizedCrossOriginDomains": []string{p.cfg.Site.String(), "https://apps.example.com"},
		"allowedOrigins":               []string{p.cfg.Site.String()},
		"allowedRedirectUris":          []string{base + "/home/", say(base + "/apps/")},
		"basemapGalleryGroupQuery":     "title:\"Basemaps\" AND owner:esri_en",
		"defaultBasemap": map[string]any{"title": "Topographic", "id": "defaultBasemap", "baseMapLayers": []map[string]any{
			{"id": "World_Topo", "layerType": "ArcGISTiledMapServiceLayer", "opacity": 1, "visibility": true, "url": p.OtherURL().String() + "/rest/services/Topo/MapServer"}}},
		"defaultVectorBasemap": map[string]any{"title": "Streets", "id": "defaultVectorBasemap", "baseMapLayers": []map[string]any{
			{"id": "Streets", "layerType": "VectorTileLayer", "styleUrl": say(p.ServerURL().String() + "/rest/services/Streets/VectorTileServer/resources/styles/root.json")},
			{"id": "World", "layerType": "VectorTileLayer", "styleUrl": "https://" + foreignBasemaps + "/arcgis/rest/services/World/VectorTileServer/resources/styles/root.json"}}},
		"defaultExtent":    map[string]any{"xmin": -13665000, "ymin": 5690000, "xmax": -13640000, "ymax": 5720000, "spatialReference": map[string]any{"wkid": 102100, "latestWkid": 3857}},
		"helperServices":   c.helperServices(),
		"rotatorPanels":    []map[string]any{{"id": "banner", "innerHTML": "<img src='" + base + "/home/images/banner.png'><a href=\"" + say(base+"/home/gallery.html") + "\">Gallery</a>"}},
		"featuredGroups":   []any{},
		"portalProperties": map[string]any{"sharedTheme": map[string]any{"logo": map[string]any{"small": base + "/sharing/rest/content/items/" + webMapItem + "/info/logo.png", "link": base + "/home/"}}, "links": map[string]any{"contactUs": map[string]any{"url": "mailto:gis@example.com"}}},
		"platformSSO":      false,
		"samlEnabled":      true,
		"authenticationUrls": map[string]any{ // where the sign-in page's buttons lead
			"enterprise": base + "/sharing/rest/oauth2/saml/authorize", "arcgis": base + "/sharing/rest/oauth2/signin"},
		"ipCntryCode": "US",
		"appInfo":     nil,
	}
	if port != "" {
		self["httpsPort"] = json.Number(port)
	}
	if c.member != nil {
		self["user"] = c.userOf(c.member)
		self["subscriptionInfo"] = map[string]any{"type": "In House", "state": "active", "maxUsers": 100}
		self["created"] = createdAt
		self["modified"] = createdAt
	}
	c.lead("Servers", "self/servers", "URLs", "self/urls", "Info", "../info")
	c.reply(self)
}

// foreignBasemaps is a host that the Portal refers to and that is nobody's here:
// basemaps mostly come from elsewhere.
const foreignBasemaps = "basemaps.example.net"

// helperServices are what clients geocode, measure, print and route with, in the
// shapes that portals/self has them in: objects, arrays of objects, and both nested.
func (c *call) helperServices() map[string]any {
	say := c.p.choose.spell
	server, other := c.p.ServerURL().String()+"/rest/services/", c.p.OtherURL().String()+"/rest/services/"
	at := func(address string, more ...any) map[string]any {
		m := map[string]any{"url": say(address)}
		for i := 0; i+1 < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	tools := server + "Tools/GPServer"
	return map[string]any{
		"geometry": at(server + "Utilities/Geometry/GeometryServer"),
		"geocode": []map[string]any{
			at(server+"Locator/GeocodeServer", "name", "Sandbox locator", "northLat", "Ymax", "placeholder", "Find address", "singleLineFieldName", "SingleLine", "suggest", true),
			at(other+"Locator/GeocodeServer", "name", "Another locator", "batch", false)},
		"printTask":              at(tools + "/Export%20Web%20Map%20Task"),
		"asyncClosestFacility":   at(tools),
		"asyncServiceArea":       at(tools, "defaultTravelMode", "car"),
		"route":                  at(tools),
		"elevation":              at(other + "Elevation/GPServer"),
		"elevationSync":          at(other + "Elevation/GPServer"),
		"routingUtilities":       at(tools),
		"analysis":               at(tools),
		"defaultElevationLayers": []map[string]any{at(other+"Topo/MapServer", "id", "globalElevation", "layerType", "ArcGISTiledElevationServiceLayer")},
		"packaging":              map[string]any{"url": say(tools), "tasks": []map[string]any{{"name": "CountTrees", "urls": []string{say(tools + "/CountTrees")}}}},
	}
}

// userOf describes a member as community/self does.
func (c *call) userOf(m *Member) map[string]any {
	privileges := []string{"portal:user:createItem", "portal:user:joinGroup", "portal:user:viewOrgGroups", "portal:user:viewOrgItems", "portal:user:viewOrgUsers", "features:user:edit"}
	if m.Role != "org_user" {
		privileges = append(privileges, "portal:publisher:publishFeatures", "portal:publisher:publishTiles", "portal:user:shareToOrg", "portal:user:shareToPublic")
	}
	if m.Role == "org_admin" {
		privileges = append(privileges, "portal:admin:viewUsers", "portal:admin:updateUsers", "portal:admin:viewItems", "portal:admin:updateItems")
	}
	return map[string]any{
		"username": m.Username, "fullName": m.FullName(), "firstName": m.FirstName, "lastName": m.LastName, "email": m.Email,
		"idpUsername": m.Login, "provider": "enterprise", "role": m.Role, "roleId": m.Role, "level": "2", "userLicenseTypeId": "creatorUT",
		"userType": "arcgisonly", "access": "org", "orgId": c.p.orgID, "culture": "en", "region": "WO", "units": "metric", "description": nil,
		"preferredView": nil, "tags": []string{}, "groups": []any{}, "thumbnail": nil, "privileges": privileges, "disabled": false,
		"storageUsage": 0, "storageQuota": 2199023255552, "created": createdAt, "modified": createdAt, "lastLogin": createdAt, "validateUserProfile": false,
	}
}

func (c *call) sortedMembers() []map[string]any {
	members := make([]*Member, 0, len(c.p.members))
	for _, m := range c.p.members {
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b *Member) int { return strings.Compare(a.Username, b.Username) })
	list := make([]map[string]any, len(members))
	for i, m := range members {
		list[i] = c.userOf(m)
	}
	return list
}

// community answers community/…: users and groups.
func (c *call) community(path string) {
	parts := strings.Split(path, "/")
	switch {
	case path == "self":
		if c.member == nil {
			c.demandToken()
			return
		}
		c.reply(c.userOf(c.member))
	case path == "users":
		c.reply(map[string]any{"query": c.get("q"), "total": len(c.p.members), "start": 1, "num": 100, "nextStart": -1, "results": c.sortedMembers()})
	case path == "groups":
		c.reply(map[string]any{"query": c.get("q"), "total": 0, "start": 1, "num": 10, "nextStart": -1, "results": []any{}})
	case parts[0] == "users" && len(parts) >= 2:
		if c.member == nil {
			c.demandToken()
			return
		}
		for _, m := range c.p.members {
			if !strings.EqualFold(m.Username, parts[1]) {
				continue
			}
			switch {
			case len(parts) == 2:
				c.reply(c.userOf(m))
			case m != c.member && c.member.Role != "org_admin":
				c.forbid()
			default: // notifications, tags, favorites: there are none
				c.reply(c.paged(parts[2], []any{}))
			}
			return
		}
		c.refuse(refusal{code: 400, messageCode: "COM_0018", message: "User does not exist or is inaccessible."})
	default:
		c.refuse(refusal{code: http.StatusNotFound, message: "Not found", messageCode: "SB_0004"})
	}
}
