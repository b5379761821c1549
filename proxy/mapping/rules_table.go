package mapping

// This file says whose bodies are mapped. Three kinds of people live by it. Those who
// use web applications and scripts follow the addresses in an answer, and must not be
// led past the proxy. Those who look after data trust that what they read is what is
// stored. And those who share items with each other must not find somebody's localhost
// in them; what is sent is mapped back for them, but for files. So, where in doubt:
// addresses of services, items, jobs and results are mapped; attributes, documents that
// users wrote, and files are left alone.
//
// A body is mapped if its type is (types), its path is (routes), and it is no download:
// what has "Content-Disposition: attachment" is somebody's file whatever its path. The
// sources are Esri's "ArcGIS REST API" and "Sharing" references.

// A media is a row of content types: exact ones, or with one asterisk for any text.
type media struct {
	types  string
	mapped bool
}

// types are looked through in their order. What is not in it is left alone: pbf, zip,
// csv, octet streams, and what has no Content-Type.
func types() []media {
	return []media{
		{"application/json text/json application/x-json", true},
		{"application/javascript text/javascript application/x-javascript text/x-javascript application/ecmascript", true}, // scripts and JSONP
		{"text/html application/xhtml+xml text/css", true},
		{"text/plain", true}, // some portals send their JSON so
		{"text/xml application/xml", true},
		{"application/vnd.ogc.wms_xml application/vnd.ogc.se_xml", true}, // WMS 1.1
		{"application/vnd.google-earth.kml+xml", true},                   // network links

		{"application/geo+json application/vnd.geo+json application/gml+xml", false}, // features
		{"application/samlmetadata+xml application/samlassertion+xml", false},        // signed
		{"image/*", false}, // SVG as well: a picture is data
		{"*+json *+xml", true},
	}
}

// A route is a row of paths below places. A segment is text in any case, or
//
//	#     a number: a layer, a feature
//	*     any text
//	**    at the end: this place and everything below it;
//	      at the beginning: whatever ends in the name that follows
//
// Several are separated by space. Text is looked for before a number, that before any
// text; and a path that is spelled out before one with **. What no row names is mapped.
type route struct {
	under  string
	paths  string
	mapped bool
	// request limits the row to values of that parameter, in any case. (body) stands
	// for a POST without the parameter: what it asks for is said in its body.
	request string
}

// services are paths below …/NAME/TYPE, wherever a path has such a type in it: on a
// server, below the Portal's sharing/servers/ITEM, on a server that is not Esri's.
func services() []route {
	return []route{
		// Attributes and geometry, in any format. A renderer from generateRenderer
		// is compared with attributes; a popup is made of them; metadata is a document.
		{under: "FeatureServer MapServer ImageServer SceneServer StreamServer KnowledgeGraphServer UtilityNetworkServer TraceNetworkServer",
			paths: `**/query **/queryRelatedRecords **/queryTopFeatures **/queryAttachments **/queryAnalytic **/queryBins
				**/queryDateBins **/queryPivot **/query3D **/identify **/find **/getEstimates **/generateRenderer **/metadata`},
		// A feature, its popup, its attachments.
		{under: "FeatureServer MapServer", paths: "#/#/**"},
		// Which features were edited: no addresses. applyEdits, append, calculate and
		// the replicas answer with the statusUrl of a job, if they are asked to, and
		// extractChanges and createReplica with the URL of a file: these are mapped,
		// although they may hold the attributes of edited features instead.
		{under: "FeatureServer", paths: "**/addFeatures **/updateFeatures **/deleteFeatures **/addAttachment **/updateAttachment **/deleteAttachments"},
		{under: "FeatureServer", paths: "**/applyEdits **/append **/calculate **/createReplica **/synchronizeReplica extractChanges jobs/**", mapped: true},
		{under: "VersionManagementServer", paths: "**/conflicts **/inspectConflicts"},
		{under: "KnowledgeGraphServer", paths: "graph/**"},
		{under: "OGCFeatureServer", paths: "collections/*/items/**"},
		// Items of a raster catalogue, and what is read off rasters.
		{under: "ImageServer", paths: "# #/footprint **/getSamples **/findImages **/rasterAttributeTable **/queryBoundary **/queryGPSInfo file/**"},
		// href, url and imageUrl of a drawn map lead to it.
		{under: "MapServer", paths: "export exportTiles generateKml", mapped: true},
		{under: "ImageServer", paths: "exportImage exportTiles getImageUrl", mapped: true},
		// Places that were found, routes, geometry: numbers, and texts of others.
		{under: "GeocodeServer", paths: "findAddressCandidates geocodeAddresses reverseGeocode suggest geocode"},
		{under: "NAServer", paths: "**/solve **/solveServiceArea **/solveClosestFacility **/solveODCostMatrix **/solveLocationAllocation **/solveVRP"},
		{under: "GeometryServer", paths: "*"},
		// Results of tasks, printed maps among them: value.url leads to the file. They
		// may be features, too, and the path does not tell.
		{under: "GPServer", paths: "*/execute */submitJob */jobs/** jobs/**", mapped: true},
		// Tiles. Of vector tiles the style is mapped: its sources are addresses.
		{under: "MapServer ImageServer VectorTileServer", paths: "tile/** tilemap/**"},
		{under: "MapServer ImageServer", paths: "WMTS/tile/**"},
		{under: "VectorTileServer", paths: "resources/fonts/** resources/sprites/**"},
		{under: "VectorTileServer", paths: "resources/styles/**", mapped: true},
		{under: "SceneServer", paths: `layers/#/nodes/** layers/#/nodepages/** layers/#/statistics/** layers/#/resources/**
			layers/#/sublayers/#/nodes/** layers/#/sublayers/#/nodepages/** layers/#/sublayers/#/statistics/** layers/#/sublayers/#/resources/**`},
		{under: "StreamServer", paths: "subscribe"},
		// Protocols of the OGC: capabilities and descriptions are full of addresses,
		// features and coverages are data.
		{under: "MapServer ImageServer FeatureServer", paths: "WMSServer WMTS/**", request: "GetFeatureInfo"},
		{under: "MapServer ImageServer FeatureServer", paths: "WFSServer WCSServer",
			request: "GetFeature GetFeatureWithLock GetPropertyValue GetGmlObject LockFeature Transaction GetCoverage (body)"},
		// Documents and uploaded files of a service.
		{under: `FeatureServer MapServer ImageServer GeocodeServer GPServer NAServer SceneServer VectorTileServer StreamServer`,
			paths: "info/metadata info/thumbnail/** thumbnail/** uploads/*/download"},
	}
}

// places are paths below an upstream's mount, where services has none.
func places(itemData bool) []route {
	const item = `sharing/rest/content/items/* sharing/content/items/*
		sharing/rest/content/users/*/items/* sharing/content/users/*/items/*
		sharing/rest/content/users/*/*/items/* sharing/content/users/*/*/items/*`
	return []route{
		// What an item holds. A web map is followed, but also saved as it was read,
		// and not always in a form: so it is for the operator to say.
		{under: item, paths: "data/**", mapped: itemData},
		// An item's files. They are read, changed, and sent back as files, which are
		// not mapped. Lists of resources are, like all that is not here.
		{under: item, paths: "resources/** info/** thumbnail/** package/**"},
		{under: item, paths: "resources", mapped: true},
		{under: "sharing/rest/community sharing/community", paths: "users/*/info/** groups/*/info/** users/*/resources/**"},
		{under: "sharing/rest/portals/* sharing/portals/*", paths: "resources/**"},
		{under: "sharing/rest/portals/* sharing/portals/*", paths: "resources", mapped: true},
		// Rows of an uploaded file.
		{under: "sharing/rest/content sharing/content", paths: "features/analyze features/generate"},
		// Files that jobs and drawn maps have left.
		{under: "- rest", paths: "directories/** arcgisoutput/** arcgisjobs/** arcgiscache/**"},
		// What happened, in the words of that moment.
		{under: "admin portaladmin", paths: "logs/**"},
		// Signed, or compared with what is registered: see [signed].
		{under: "-", paths: signed},
	}
}

// signed are the paths of OAuth and SAML, which are also left alone in requests:
// redirect_uri is compared with what was registered, metadata and assertions are signed.
const signed = `sharing/rest/oauth2/** sharing/oauth2/** sharing/rest/portals/*/idp/** sharing/portals/*/idp/**
	sharing/rest/portals/*/sp/** sharing/portals/*/sp/**`
