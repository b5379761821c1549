package arcgis

import (
	"net/http"
	"net/url"
	"path"
	"strings"
)

// site is one ArcGIS Server.
type site struct {
	p         *Portal
	url       *url.URL // with its context
	federated bool
	services  map[string]*service // by "Name/Type"
}

// service is what a site publishes.
type service struct {
	name, kind string
	public     bool   // shared with everyone
	role       string // only this role may use it; "": every member
	layer      *layer // of a FeatureServer or MapServer
}

func newSites(p *Portal) []*site {
	trees := func(public bool, role string) *service {
		return &service{name: "Trees", kind: "FeatureServer", layer: p.trees, public: public, role: role}
	}
	list := func(services ...*service) map[string]*service {
		m := make(map[string]*service)
		for _, s := range services {
			m[s.name+"/"+s.kind] = s
		}
		return m
	}
	parks := newTrees(p.base)
	return []*site{
		{p: p, url: p.ServerURL(), federated: true, services: list(
			trees(false, ""),
			&service{name: "Trees", kind: "MapServer", layer: p.trees},
			&service{name: "Public", kind: "FeatureServer", layer: p.trees, public: true},
			&service{name: "Restricted", kind: "FeatureServer", layer: p.trees, role: "org_admin"},
			&service{name: "Live", kind: "StreamServer"},
			&service{name: "Tools", kind: "GPServer"},
			&service{name: "Streets", kind: "VectorTileServer", public: true},
			&service{name: "Locator", kind: "GeocodeServer", public: true},
			&service{name: "Utilities/Geometry", kind: "GeometryServer", public: true},
		)},
		{p: p, url: p.OtherURL(), federated: true, services: list(
			&service{name: "Trees", kind: "FeatureServer", layer: newTrees(p.base)},
			&service{name: "Topo", kind: "MapServer", layer: p.trees, public: true},
			&service{name: "Locator", kind: "GeocodeServer", public: true},
			&service{name: "Elevation", kind: "GPServer"},
		)},
		{p: p, url: p.OpenURL(), services: list(
			&service{name: "Parks", kind: "FeatureServer", layer: parks, public: true},
		)},
	}
}

// context is the site's path segment.
func (s *site) context() string { return strings.Trim(s.url.Path, "/") }

// base returns the site's URL as this request called it: ArcGIS Server and its
// Web Adaptor believe X-Forwarded-Host, so a forged one shows in the answer.
func (s *site) base(c *call) string {
	u := *s.url
	if h := c.r.Header.Get("X-Forwarded-Host"); h != "" {
		u.Host = h
	}
	return u.String()
}

// serve answers for the site's context.
func (s *site) serve(c *call) {
	p := s.p
	if !s.federated {
		p.mu.Lock()
		p.counts.Open++
		p.mu.Unlock()
	}
	c.cors()
	c.site = s
	if c.issueToken() {
		return
	}
	if c.r.Method == http.MethodOptions {
		// Servers do have CORS with preflight, unlike the Sharing API.
		c.w.Header().Set("Access-Control-Allow-Methods", "GET, POST, PUT, OPTIONS")
		c.w.Header().Set("Access-Control-Allow-Headers", "X-Esri-Authorization, Content-Type")
		c.w.WriteHeader(http.StatusOK)
		return
	}
	if streams(c.path) {
		c.form = parsePairs(c.r.URL.RawQuery)
		c.carried = tokensIn(c.form)
	} else if !c.read() {
		return
	}
	if admin, ok := strings.CutPrefix(c.path, "admin"); ok && (admin == "" || admin[0] == '/') {
		if c.authenticateAdmin() {
			c.reply(map[string]any{"currentVersion": "11.3", "resources": []string{"machines", "services", "security", "system"}})
		}
		return
	}
	if !c.authenticate(s.federated) {
		if !s.federated && len(c.carried) > 0 {
			p.mu.Lock()
			p.counts.OpenTokens++
			p.mu.Unlock()
		}
		return
	}
	s.route(c)
}

// route answers below the context for a request whose token, if any, was good.
func (s *site) route(c *call) {
	rest, isREST := strings.CutPrefix(c.path, "rest")
	switch rest = strings.Trim(rest, "/"); {
	case c.path == "":
		c.redirect(s.base(c) + "/rest/services")
	case strings.HasPrefix(c.path, "services/"):
		s.protocols(c, strings.TrimPrefix(c.path, "services/"))
	case strings.HasPrefix(c.path, "ws/services/"):
		s.service(c, strings.TrimPrefix(c.path, "ws/services/"))
	case !isREST:
		c.page(http.StatusNotFound, "404 - Not Found", "The resource you are looking for might have been removed.")
	case rest == "":
		c.redirect(s.base(c) + "/rest/services")
	case rest == "info":
		s.info(c)
	case rest == "services":
		s.list(c)
	case strings.HasPrefix(rest, "services/"):
		s.service(c, strings.TrimPrefix(rest, "services/"))
	case strings.HasPrefix(rest, "directories/"):
		if c.member == nil {
			c.demandToken()
			return
		}
		s.directories(c, strings.TrimPrefix(rest, "directories/"))
	default:
		c.missing()
	}
}

// info answers rest/info: where tokens for this site are made.
func (s *site) info(c *call) {
	base := s.base(c)
	info := map[string]any{
		"currentVersion": 11.3, "fullVersion": "11.3.0",
		"soapUrl": base + "/services", "secureSoapUrl": base + "/services",
		"authInfo": map[string]any{"isTokenBasedSecurity": false},
	}
	if s.federated {
		info["owningSystemUrl"] = s.p.base
		info["owningTenant"] = s.p.orgID
		info["authInfo"] = map[string]any{
			"isTokenBasedSecurity": true,
			"tokenServicesUrl":     s.p.base + "/sharing/rest/generateToken",
		}
	}
	c.reply(info)
}

// list answers rest/services: what this user may know of.
func (s *site) list(c *call) {
	services := []map[string]any{}
	for _, key := range sortedKeys(s.services) {
		if v := s.services[key]; v.public || s.p.choose.current().AllowsAnonymous || c.member != nil && (v.role == "" || v.role == c.member.Role) {
			services = append(services, map[string]any{"name": v.name, "type": v.kind})
			c.lead(v.name+" ("+v.kind+")", "/"+s.context()+"/rest/services/"+v.name+"/"+v.kind)
		}
	}
	s.cookie(c)
	c.reply(map[string]any{"currentVersion": 11.3, "folders": []string{"Utilities"}, "services": services})
}

// service answers below rest/services.
func (s *site) service(c *call, rest string) {
	parts := strings.Split(rest, "/")
	if parts[0] == "Utilities" && len(parts) > 1 { // the one folder
		parts = append([]string{parts[0] + "/" + parts[1]}, parts[2:]...)
	}
	if len(parts) < 2 {
		c.missing()
		return
	}
	if parts[0] == "Old" { // a service that has moved
		c.w.Header().Set("Location", s.base(c)+"/rest/services/Trees/"+strings.Join(parts[1:], "/")+question(c.r.URL.RawQuery))
		c.w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	v := s.services[parts[0]+"/"+parts[1]]
	switch {
	case v == nil:
		c.missing()
		return
	case v.public || c.shape.AllowsAnonymous && v.role == "":
	case c.member == nil:
		c.demandToken()
		return
	case v.role != "" && v.role != c.member.Role:
		c.forbid()
		return
	}
	switch below := parts[2:]; v.kind {
	case "FeatureServer":
		s.featureServer(c, v, below)
	case "MapServer":
		s.mapServer(c, v, below)
	case "StreamServer":
		s.streamServer(c, v, below)
	case "GPServer":
		s.gpServer(c, v, below)
	case "VectorTileServer":
		s.vectorTiles(c, v, below)
	default: // a helper that is only described
		if len(trim(below)) > 0 {
			c.missing()
			return
		}
		c.reply(map[string]any{"currentVersion": 11.3, "serviceDescription": v.name, "capabilities": "Geocode,Suggest", "locatorProperties": map[string]any{"MaxBatchSize": 150}})
	}
}

func question(raw string) string {
	if raw == "" {
		return ""
	}
	return "?" + raw
}

// featureServer answers a feature service, its layer and the layer's operations.
func (s *site) featureServer(c *call, v *service, below []string) {
	here := s.base(c) + "/rest/services/" + v.name + "/" + v.kind
	switch below = trim(below); {
	case len(below) == 0:
		s.leadOn(c, v)
		c.w.Header().Set("Link", "<"+s.p.base+"/sharing/rest/content/items/"+treesItem+`>; rel="describedby", <FeatureServer/0>; rel="item"`)
		c.reply(map[string]any{
			"currentVersion": 11.3, "serviceDescription": "Street trees", "description": "", "copyrightText": "", "hasVersionedData": false,
			"supportsDisconnectedEditing": false, "syncEnabled": false, "maxRecordCount": maxRecords,
			"supportedQueryFormats": "JSON, geoJSON, PBF", "capabilities": capabilities, "allowGeometryUpdates": true, "units": "esriDecimalDegrees",
			"spatialReference": map[string]any{"wkid": 4326, "latestWkid": 4326}, "initialExtent": fullExtent(v.layer), "fullExtent": fullExtent(v.layer),
			"preferredHost": s.url.Host, "documentInfo": map[string]any{"Title": v.name},
			"layers": []map[string]any{{"id": 0, "name": v.layer.name, "parentLayerId": -1, "defaultVisibility": true, "subLayerIds": nil,
				"minScale": 0, "maxScale": 0, "type": "Feature Layer", "geometryType": "esriGeometryPoint"}},
			"tables": []any{},
		})
	case len(below) == 1 && below[0] == "layers":
		c.reply(map[string]any{"layers": []any{s.describe(v.layer)}, "tables": []any{}})
	case len(below) == 1 && below[0] == "applyEdits":
		c.applyServiceEdits(v.layer)
	case below[0] == "createReplica" && len(below) == 1 || below[0] == "jobs" && len(below) == 2:
		if c.member == nil {
			c.demandToken()
			return
		}
		s.extract(c, here, below)
	case len(below) == 1 && below[0] == "info":
		c.reply(map[string]any{"url": here, "title": v.name})
	case below[0] != "0":
		c.refuse(refusal{code: 400, message: "Invalid URL", details: []string{"Invalid URL"}})
	case len(below) == 1:
		c.reply(s.describe(v.layer))
	default:
		c.layerOperation(v.layer, below[1:])
	}
}

// layerOperation answers below …/FeatureServer/0.
func (c *call) layerOperation(l *layer, below []string) {
	switch op := below[0]; {
	case len(below) == 1 && op == "query":
		c.query(l)
	case len(below) == 1 && (op == "applyEdits" || op == "addFeatures" || op == "updateFeatures" || op == "deleteFeatures"):
		c.edit(l, op)
	case len(below) == 1 && op == "queryAttachments":
		c.queryAttachments(l)
	case op != "" && strings.Trim(op, "0123456789") == "":
		c.attachmentOperation(l, below)
	default:
		c.refuse(refusal{code: 400, message: "Invalid URL", details: []string{"Invalid URL"}})
	}
}

// trim drops empty segments at the end, which a trailing slash leaves.
func trim(parts []string) []string {
	for len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	return parts
}

const capabilities = "Query,Create,Update,Delete,Uploads,Editing"

// describe is the layer's own JSON.
func (s *site) describe(l *layer) map[string]any {
	fields := make([]map[string]any, len(l.fields))
	for i, f := range l.fields {
		fields[i] = f.describe()
	}
	return map[string]any{
		"currentVersion": 11.3, "id": 0, "name": l.name, "type": "Feature Layer", "parentLayer": nil, "defaultVisibility": true,
		"description": "Trees along the streets", "copyrightText": "", "displayField": "CommonName", "geometryType": "esriGeometryPoint",
		"hasAttachments": true, "htmlPopupType": "esriServerHTMLPopupTypeAsHTMLText", "objectIdField": "OBJECTID", "globalIdField": "GlobalID",
		"uniqueIdField": map[string]any{"name": "OBJECTID", "isSystemMaintained": true}, "typeIdField": "", "subtypeField": "",
		"fields": fields, "indexes": []any{}, "relationships": []any{}, "types": []any{}, "templates": []any{}, "hasM": false, "hasZ": false,
		"extent": fullExtent(l), "maxRecordCount": maxRecords, "standardMaxRecordCount": maxRecords, "tileMaxRecordCount": maxRecords,
		"capabilities": capabilities, "supportedQueryFormats": "JSON, geoJSON, PBF", "isDataVersioned": false, "supportsRollbackOnFailureParameter": true,
		"supportsAdvancedQueries": true, "supportsStatistics": false, "supportsCoordinatesQuantization": false, "useStandardizedQueries": true,
		"supportsAttachmentsByUploadId": false, "supportsApplyEditsWithGlobalIds": false, "allowGeometryUpdates": true,
		"hasGeometryProperties": false, "canModifyLayer": false, "minScale": 0, "maxScale": 0, "effectiveMinScale": 0, "effectiveMaxScale": 0,
		"sourceSpatialReference":  map[string]any{"wkid": 4326, "latestWkid": 4326},
		"dateFieldsTimeReference": map[string]any{"timeZone": "UTC", "respectsDaylightSaving": false},
		"advancedQueryCapabilities": map[string]any{
			"supportsPagination": true, "supportsOrderBy": true, "supportsDistinct": false, "supportsStatistics": false, "useStandardizedQueries": true,
			"supportsReturningQueryExtent": true, "supportsQueryWithResultType": false, "supportsQueryAttachments": true, "supportsSqlExpression": false,
			"supportsAdvancedQueryRelated": false, "supportsReturningGeometryCentroid": false, "supportsMaxRecordCountFactor": false,
		},
		"drawingInfo": map[string]any{"transparency": 0, "labelingInfo": nil, "renderer": map[string]any{"type": "simple", "label": "", "description": "", "symbol": map[string]any{
			"type": "esriSMS", "style": "esriSMSCircle", "color": []int{34, 139, 34, 220}, "size": 6, "angle": 0, "xoffset": 0, "yoffset": 0,
			"outline": map[string]any{"color": []int{255, 255, 255, 255}, "width": 0.7}}}},
		"preferredHost": s.url.Host,
	}
}

func fullExtent(l *layer) map[string]any {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return (&query{}).extent(l.rows)
}

// mapServer answers a map service: its description, and images.
func (s *site) mapServer(c *call, v *service, below []string) {
	here := s.base(c) + "/rest/services/" + v.name + "/" + v.kind
	switch op := path.Join(below...); op {
	case "":
		s.leadOn(c, v)
		c.reply(map[string]any{"currentVersion": 11.3, "mapName": v.name, "layers": []map[string]any{{"id": 0, "name": v.layer.name}},
			"fullExtent": fullExtent(v.layer), "singleFusedMapCache": false, "capabilities": "Map,Query", "tileServers": []string{s.p.choose.spell(here), here},
			"supportedImageFormatTypes": "PNG32,PNG24,PNG,JPG", "spatialReference": map[string]any{"wkid": 4326, "latestWkid": 4326}})
	case "export":
		if c.format() == "image" {
			c.bytes(http.StatusOK, "image/png", onePixel)
			return
		}
		c.w.Header().Set("Content-Location", s.base(c)+"/rest/directories/arcgisoutput/map1.png")
		c.reply(map[string]any{"href": s.p.choose.spell(s.base(c)) + "/rest/directories/arcgisoutput/map1.png", "width": 1, "height": 1, "scale": 1000, "extent": fullExtent(v.layer)})
	case "WMTS", "WMTS/1.0.0/WMTSCapabilities.xml":
		s.wmts(c, here+"/WMTS")
	case "0", "0/query":
		s.featureServer(c, v, below)
	default:
		if strings.HasPrefix(op, "tile/") || strings.HasPrefix(op, "WMTS/tile/") {
			c.bytes(http.StatusOK, "image/png", onePixel)
			return
		}
		c.missing()
	}
}

// leadOn gives the Services Directory's page of a service what such pages have:
// ways into the Portal's viewer, with this address as a parameter, and the
// service's other interfaces.
func (s *site) leadOn(c *call, v *service) {
	here := s.base(c) + "/rest/services/" + v.name + "/" + v.kind
	c.lead("View in: ArcGIS JavaScript", here+"?f=jsapi",
		"View in: Map Viewer", s.p.base+"/home/webmap/viewer.html?url="+url.QueryEscape(here)+"&source=sd",
		"Layer 0", v.kind+"/0")
	services := s.base(c) + "/services/" + v.name + "/MapServer"
	if v.kind == "MapServer" {
		c.lead("Export map", v.kind+"/export", "SOAP", services, "WMS", services+"/WMSServer?request=GetCapabilities&service=WMS",
			"WFS", services+"/WFSServer?request=GetCapabilities&service=WFS", "KML", services+"/KmlServer?mode=NetworkLink",
			"WMTS", here+"/WMTS/1.0.0/WMTSCapabilities.xml")
		return
	}
	c.lead("Query", v.kind+"/0/query?where=OBJECTID+%3C+10&outFields=*", "Attachments", v.kind+"/0/400/attachments", "Create replica", v.kind+"/createReplica")
}

// cookie sets what keeps a client on one machine of the site. It is for this host
// and context only.
func (s *site) cookie(c *call) {
	http.SetCookie(c.w, &http.Cookie{Name: "AGS_ROUTE", Value: "m1", Domain: s.url.Hostname(), Path: "/" + s.context() + "/", HttpOnly: true})
}

// onePixel is a PNG of one transparent pixel.
var onePixel = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89\x00\x00\x00\rIDATx\x9cc\x00\x01\x00\x00\x05\x00\x01\r\n-\xb4\x00\x00\x00\x00IEND\xaeB`\x82")
