package policy

import "strings"

// This file says what reads, and knows the names of what does not. The sources
// are Esri's "ArcGIS REST API: Services Directory" (servers), "Sharing" (the
// Portal) and "Enterprise administration" references, and what the ArcGIS API
// for Python, rest-js, QGIS and GDAL were seen to send.
//
// Paths are below an upstream's mount, in lower or upper case as one likes, and
// separated by space. A segment is text, or
//
//	#       a number: a layer, a feature, a tile's row
//	{id}    an item, group or folder: 32 hexadecimal digits
//	{name}  any name that is no operation of the list of writes
//	{key}   an identifier of another kind: letters and digits that are no
//	        operation, and do not begin like one unless there is a digit
//	{any}   any text
//	{dot}   a name with a dot in it that is no operation: Trees.MapServer
//	**      one or more segments that are no operations
//	{file}  one or more segments of any text, of a folder that has files only
//
// A dash stands for the place itself, without anything after it.

// reads is a part of the table: paths below a place.
type reads struct {
	under string // the place, several separated by space
	any   string // may be read by GET and by POST
	get   string // by GET only
}

// siteReads are the places of a Portal or server outside of services.
func siteReads() []reads {
	return []reads{
		{under: "-",
			any: "info tokens tokens/generateToken",
			// The Portal's own pages and applications: files.
			get: `- index.html signin.html favicon.ico robots.txt
				home home/{file} apps apps/{file} portalhelp portalhelp/{file} help help/{file} jsapi jsapi/{file}
				js/{file} css/{file} images/{file} arcgisoutput/{file}
				sharing/static/{file} sharing/rest/static/{file}`},
		{under: "rest",
			any: "- info self services services/{any}",
			get: "info/healthCheck static/{file} directories/{file}"},

		// The Portal's Sharing API. Without rest it is the same, by its older address.
		{under: "sharing/rest sharing",
			any: `- info search search/suggest generateToken checkStatus
				portals portals/{key} community community/self content`,
			get: "oauth2/apps/{key}"},
		{under: "sharing/rest/portals/{key} sharing/portals/{key}",
			any: `users users/search users/counts usersGroups
				roles roles/{key} roles/{key}/privileges roles/{key}/users privileges
				servers servers/{key} resources resources/** urls
				subscriptionInfo isServiceNameAvailable purchases purchases/{id} provisionedListings
				userLicenseTypes userLicenses userEntitlements usage history
				categorySchema memberCategorySchema classification customers levels
				collaborations collaborations/{id} collaborations/{id}/workspaces collaborations/{id}/workspaces/{id}
				collaborations/{id}/participants appBundles itemsStatus livingAtlasCatalog cost aiServer datastores
				jobs jobs/{key} allScheduledTasks`,
			get: `userDefaultSettings securityPolicy signinSettings settings emailSettings limits idp socialProviders
				invitations trustedOrgs webhooks webhooks/{key} certificates approvedApps`},
		{under: "sharing/rest/community sharing/community",
			any: `users users/{name} users/{name}/tags users/{name}/notifications users/{name}/notifications/{key}
				users/{name}/invitations users/{name}/invitations/{key}
				users/{name}/userLicenseType users/{name}/userLicenses users/{name}/appTags users/{name}/provisionedListings
				users/{name}/tasks users/{name}/tasks/{key} users/{name}/tasks/{key}/runs users/{name}/tasks/{key}/runs/{key}
				groups groups/{id} groups/{id}/users groups/{id}/userList groups/{id}/categorySchema groups/{id}/applications
				checkUsernames`,
			get: "users/{name}/properties users/{name}/info/** users/{name}/resources users/{name}/resources/** groups/{id}/info/**"},
		{under: "sharing/rest/content sharing/content",
			any: `users/{name} users/{name}/{id} users/{name}/isServiceNameAvailable users/{name}/canReassignItems
				groups/{id} groups/{id}/search portals/{key} listings listings/{id}`},
		{under: `sharing/rest/content/items/{id} sharing/content/items/{id}
				sharing/rest/content/users/{name}/items/{id} sharing/content/users/{name}/items/{id}
				sharing/rest/content/users/{name}/{id}/items/{id} sharing/content/users/{name}/{id}/items/{id}`,
			any: `- data comments comments/{key} rating relatedItems groups info info/** resources resources/** package
				item.pkinfo dependencies dependencies/listDependentsTo registeredAppInfo appInfo thumbnail status parts
				canDelete canReassign sources layers`},

		// Administration, for a caller that may reach it.
		{under: "admin",
			get: `- info healthCheck mode logs logs/query logs/settings system system/properties
				services services/{dot} services/{name}/{dot} services/{dot}/status services/{name}/{dot}/status
				services/{dot}/statistics services/{name}/{dot}/statistics services/report services/{name}/report
				machines machines/{dot} machines/{dot}/status machines/{dot}/hardware data usageReports`},
		{under: "portaladmin",
			get: "- info healthCheck logs logs/query logs/settings system system/properties machines federation/servers"},
		{under: "rest/admin", get: "- services"},
	}
}

// serviceReads are places below rest/services/…/NAME/TYPE, by type.
func serviceReads() []reads {
	const layer = `# #/query #/queryRelatedRecords #/queryAttachments #/queryTopFeatures #/queryBins #/queryDateBins
		#/queryAnalytic #/queryPivot #/query3D #/generateRenderer #/validateSQL #/getEstimates #/fieldGroups
		#/contingentValues #/metadata #/# #/#/htmlPopup #/#/attachments #/#/attachments/# #/#/attachments/#/{name} #/#/images
		#/images/** #/info #/info/** #/iteminfo #/resources/** #/thumbnail`
	const tiles = "tile/** tilemap/** estimateExportTilesSize exportTiles jobs/{key} jobs/{key}/results/{name} jobs/{key}/inputs/{name}"
	const solve = "{name}/solve {name}/solveServiceArea {name}/solveClosestFacility {name}/solveODCostMatrix {name}/solveLocationAllocation"
	return []reads{
		// Of every kind that is named here or below.
		{under: `FeatureServer MapServer ImageServer GeocodeServer GeometryServer NAServer GPServer SceneServer VectorTileServer
				StreamServer GeoDataServer VersionManagementServer UtilityNetworkServer TraceNetworkServer OGCFeatureServer
				KnowledgeGraphServer MobileServer GlobeServer NetworkDiagramServer ParcelFabricServer ValidationServer
				WMSServer WFSServer WCSServer KmlServer`,
			any: "-", get: "info info/** iteminfo metadata exts"},
		{under: "FeatureServer",
			any: layer + ` layers query queryDomains queryRelatedRecords queryDataElements queryContingentValues queryLegends
				relationships validateSQL getEstimates extractChanges jobs/{key} datumTransformations replicas replicas/{id}`},
		{under: "MapServer",
			any: layer + " " + tiles + ` layers legend legends allLayersAndTables query queryDomains queryLegends queryDatumTransformations
				export identify find dynamicLayer dynamicLayer/query dynamicLayer/generateRenderer dynamicLayer/queryRelatedRecords
				dynamicLayer/identify generateKml kml kml/** images/** relationships datumTransformations`,
			get: "WMTS WMTS/** WMSServer"},
		{under: "ImageServer",
			any: tiles + ` # #/info #/info/** #/image #/thumbnail #/metadata #/footprint layers legend legends query exportImage identify
				getSamples find findImages measure measureFromImage imageToMap imageToMapMultiray mapToImage project validate
				computeHistograms computeStatisticsHistograms computeClassStatistics computePixelLocation computeAngles
				computeTiePoints computeCacheInfo calculateVolume queryBoundary queryGPSInfo keyProperties histograms statistics
				rasterAttributeTable rasterFunctionInfos rasterFunctions colormap multidimensionalInfo slices download file
				getImageUrl images/**`,
			get: "WMTS WMTS/** WMSServer"},
		{under: "GeocodeServer", any: "findAddressCandidates geocodeAddresses reverseGeocode suggest geocode"},
		{under: "GeometryServer",
			any: `areasAndLengths autoComplete buffer convexHull cut densify difference distance findTransformations
				fromGeoCoordinateString generalize intersect labelPoints lengths offset project relation reshape simplify
				toGeoCoordinateString trimExtend union`},
		{under: "NAServer",
			any: "{name} " + solve + " retrieveTravelModes {name}/retrieveTravelModes getToolInfo {name}/networkDataset networkDataset"},
		{under: "GPServer",
			any: `{name} {name}/jobs/{key} {name}/jobs/{key}/results/{name} {name}/jobs/{key}/inputs/{name}
				{name}/jobs/{key}/messages jobs/{key}`},
		{under: "SceneServer", any: "layers # layers/# layers/#/query", get: "layers/#/**"},
		{under: "VectorTileServer", any: tiles, get: "resources resources/** defaultStyles defaultStyles/**"},
		{under: "StreamServer", get: "subscribe #"},
		{under: "GeoDataServer", any: "versions versions/{name} replicas replicas/{name}"},
		{under: "VersionManagementServer", any: "versions versionInfos", get: "versions/{id} versions/{id}/differences versions/{id}/conflicts"},
		{under: "UtilityNetworkServer TraceNetworkServer",
			any: "trace queryNetworkMoments associations/query traceConfigurations/query"},
		{under: "OGCFeatureServer",
			get: `api conformance collections collections/{any} collections/{any}/schema collections/{any}/queryables
				collections/{any}/items collections/{any}/items/{any}`},
	}
}

// protocolReads are places below services/…/NAME/TYPE: SOAP, of which only the
// description may be read, and the protocols of the OGC, by GET.
func protocolReads() []reads {
	return []reads{
		{under: "MapServer ImageServer FeatureServer",
			get: "- WMSServer WCSServer KmlServer KmlServer/** WMTS WMTS/** " + transactional},
		{under: "GeocodeServer GPServer NAServer GeometryServer GeoDataServer GlobeServer", get: "-"},
	}
}

// transactional names the protocols that write by a parameter.
const transactional = "WFSServer WPSServer"

// requestReads are the values of the parameter request that read, in the
// protocols of [transactional] (OGC 09-025r2, table 3, and 14-065).
func requestReads() string {
	return `GetCapabilities DescribeFeatureType GetFeature GetPropertyValue GetGmlObject ListStoredQueries
		DescribeStoredQueries DescribeProcess GetStatus`
}

// verbs are how the names of operations that change something begin. They keep
// an operation that nobody here has heard of from passing as a {key}.
func verbs() []string {
	return strings.Fields(`accept add allow append apply approve archive assign attach block build calculate cancel change
		clean clear commit configure convert copy create deactivate activate decline delete demote deny detach disable
		duplicate edit enable execute expire export extend federate finalize fix force generate grant import initialize
		insert install invite invoke join launch leave link list load lock make merge migrate modify move notify overwrite
		pause post promote protect provision publish purge push put reassign rebuild recover refresh register reindex
		release reload remove rename renew repair replace request reset restart restore resume revoke rollback rotate run
		save schedule send set share sign split start stop store submit subscribe suspend swap sync terminate test toggle
		transfer trigger truncate unassign unfederate uninstall unlink unlock unprotect unpublish unregister unshare
		unsubscribe update upgrade upload upsert validate`)
}

// writeNames are operations that change something. They are refused because
// they are not in the table above; this list keeps them from passing as a {name},
// and lets a message say what they are.
func writeNames() string {
	return `
		addFeatures updateFeatures deleteFeatures applyEdits append truncate calculate upsert
		addAttachment updateAttachment deleteAttachments addAttachments
		createReplica synchronizeReplica unRegisterReplica reconcile post cleanupChangeTracking
		uploads upload register registerItem unregister unregisterItem commit cancel rollback
		addToDefinition updateDefinition deleteFromDefinition refresh rebuild reindex
		execute submitJob broadcast keepLatestArchive
		createVersion alterVersion deleteVersion create alter delete startReading stopReading startEditing stopEditing
		validateNetworkTopology enableTopology disableTopology updateIsConnected updateSubnetwork exportSubnetwork
		setSubnetworkController disableSubnetworkController repairNetworkTopology
		createDiagramFromFeatures storeDiagram overwriteDiagram deleteDiagram extendDiagram applyLayout
		add update edit save remove set insert replace merge divide clip build
		addItem addItems updateItem deleteItem deleteItems addPart replacePart updateItems copy copyItem copyItems
		publish unpublish analyzeAndPublish createService createFolder updateFolder deleteFolder renameFolder renameService
		share unshare shareItems unshareItems shareWith move moveItem moveItems reassign reassignItem reassignItems
		protect unprotect lock unlock restore
		updateInfo deleteInfo updateThumbnail deleteThumbnail updateMetadata deleteMetadata
		addResource addResources updateResource updateResources removeResource removeResources deleteResource
		addRelationship deleteRelationship addComment updateComment deleteComment addRating deleteRating
		registerApp unregisterApp resetClientSecret resetApiKey
		createGroup updateGroup deleteGroup addUsers removeUsers updateUsers join joinGroup leave leaveGroup invite
		inviteUsers inviteByEmail createNotification accept decline
		addUser createUser updateUser deleteUser createUsers updateUserRole updateUserLicenseType updateLicenseType
		enableUsers disableUsers enable disable setProperties updateProperties expirePassword changePassword resetPassword
		createRole updateRole deleteRole setPrivileges assignCategorySchema deleteCategorySchema assign
		assignUserCredits unassignUserCredits federate unfederate setUserDefaultSettings
		signUp signIn signOut logout suspendSession revokeToken createTask
		start stop restart pause resume reset purge clean import importSite exportSite createSite joinSite deleteSite
		changeServerRole updateIdentityStore generateCSR run convertToItem activateAll deactivateAll deleteAll`
}
