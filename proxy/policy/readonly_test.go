package policy

import (
	"fmt"
	"strings"
	"testing"

	"arcproxy/proxy/pattern"
)

const (
	item   = "7ee5000000000000000000000000a001"
	folder = "0123456789abcdef0123456789abcdef"
)

func compile(t testing.TB, rules Rules) *Policy {
	t.Helper()
	p, err := Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// documentedWrites are operations that change something, from Esri's reference
// pages, written down without looking at operations.go. U is a user, I an item, F
// a folder.
var documentedWrites = strings.Fields(`
/server/rest/services/Trees/FeatureServer/0/addFeatures
/server/rest/services/Trees/FeatureServer/0/updateFeatures
/server/rest/services/Trees/FeatureServer/0/deleteFeatures
/server/rest/services/Trees/FeatureServer/0/applyEdits
/server/rest/services/Trees/FeatureServer/applyEdits
/server/rest/services/Trees/FeatureServer/0/append
/server/rest/services/Trees/FeatureServer/append
/server/rest/services/Trees/FeatureServer/0/truncate
/server/rest/services/Trees/FeatureServer/0/calculate
/server/rest/services/Trees/FeatureServer/0/17/addAttachment
/server/rest/services/Trees/FeatureServer/0/17/updateAttachment
/server/rest/services/Trees/FeatureServer/0/17/deleteAttachments
/server/rest/services/Trees/FeatureServer/0/deleteAttachments
/server/rest/services/Trees/FeatureServer/createReplica
/server/rest/services/Trees/FeatureServer/synchronizeReplica
/server/rest/services/Trees/FeatureServer/unRegisterReplica
/server/rest/services/Trees/FeatureServer/cleanupChangeTracking
/server/rest/services/Trees/FeatureServer/uploads/upload
/server/rest/services/Trees/FeatureServer/uploads/register
/server/rest/services/Trees/FeatureServer/uploads/I/uploadPart
/server/rest/services/Trees/FeatureServer/uploads/I/commit
/server/rest/services/Trees/FeatureServer/uploads/I/delete
/server/rest/services/Trees/FeatureServer/updateDefinition
/server/rest/services/Trees/FeatureServer/jobs/I/cancel
/server/rest/services/Trees/FeatureServer/webHooks/create
/server/rest/services/Hosted/Trees/FeatureServer/0/applyEdits
/server/rest/services/Trees/MapServer/exts/Editor/update
/server/rest/services/Trees/MapServer/0/deleteFeatures
/server/rest/services/Pictures/ImageServer/add
/server/rest/services/Pictures/ImageServer/update
/server/rest/services/Pictures/ImageServer/delete
/server/rest/services/Pictures/ImageServer/uploads/upload
/server/rest/services/Tools/GPServer/Count/execute
/server/rest/services/Tools/GPServer/Count/submitJob
/server/rest/services/Tools/GPServer/Count/jobs/j1/cancel
/server/rest/services/Tools/GPServer/Count/jobs/j1/delete
/server/rest/services/Tools/GPServer/uploads/upload
/server/rest/services/Events/StreamServer/broadcast
/server/rest/services/Data/GeoDataServer/createReplica
/server/rest/services/Data/GeoDataServer/synchronizeReplica
/server/rest/services/Data/GeoDataServer/unRegisterReplica
/server/rest/services/Data/GeoDataServer/reconcile
/server/rest/services/Data/VersionManagementServer/create
/server/rest/services/Data/VersionManagementServer/delete
/server/rest/services/Data/VersionManagementServer/purgeLock
/server/rest/services/Data/VersionManagementServer/versions/I/alter
/server/rest/services/Data/VersionManagementServer/versions/I/startEditing
/server/rest/services/Data/VersionManagementServer/versions/I/stopEditing
/server/rest/services/Data/VersionManagementServer/versions/I/startReading
/server/rest/services/Data/VersionManagementServer/versions/I/reconcile
/server/rest/services/Data/VersionManagementServer/versions/I/post
/server/rest/services/Data/VersionManagementServer/versions/I/restoreRows
/server/rest/services/Data/VersionManagementServer/versions/I/deleteForwardEdits
/server/rest/services/Data/UtilityNetworkServer/applyEdits
/server/rest/services/Data/UtilityNetworkServer/validateNetworkTopology
/server/rest/services/Data/UtilityNetworkServer/enableTopology
/server/rest/services/Data/UtilityNetworkServer/updateSubnetwork
/server/rest/services/Data/UtilityNetworkServer/traceConfigurations/create
/server/rest/services/Data/ParcelFabricServer/build
/server/rest/services/Data/ParcelFabricServer/deleteParcels
/server/rest/services/Data/ValidationServer/evaluate
/server/rest/services/Data/NetworkDiagramServer/createDiagramFromFeatures
/server/rest/services/Graph/KnowledgeGraphServer/graph/applyEdits
/server/rest/services/Trees/MapServer/info/upload
/server/rest/services/Trees/MapServer/info/edit
/server/rest/services/Trees/MapServer/info/metadata/update
/server/services/Trees/MapServer/WPSServer?request=Execute
/server/services/Trees/FeatureServer/WFSServer?request=Transaction
/server/services/Trees/FeatureServer/WFSServer?request=GetFeature&REQUEST=Transaction
/server/services/Trees/FeatureServer/WFSServer?%72equest=LockFeature
/portal/sharing/rest/content/users/U/addItem
/portal/sharing/rest/content/users/U/F/addItem
/portal/sharing/rest/content/users/U/items/I/update
/portal/sharing/rest/content/users/U/F/items/I/update
/portal/sharing/rest/content/users/U/items/I/delete
/portal/sharing/rest/content/users/U/items/I/addPart
/portal/sharing/rest/content/users/U/items/I/replacePart
/portal/sharing/rest/content/users/U/items/I/commit
/portal/sharing/rest/content/users/U/items/I/cancel
/portal/sharing/rest/content/users/U/items/I/share
/portal/sharing/rest/content/users/U/items/I/unshare
/portal/sharing/rest/content/users/U/items/I/move
/portal/sharing/rest/content/users/U/items/I/reassign
/portal/sharing/rest/content/users/U/items/I/protect
/portal/sharing/rest/content/users/U/items/I/unprotect
/portal/sharing/rest/content/users/U/items/I/addResources
/portal/sharing/rest/content/users/U/items/I/updateResources
/portal/sharing/rest/content/users/U/items/I/removeResources
/portal/sharing/rest/content/users/U/items/I/updateThumbnail
/portal/sharing/rest/content/users/U/items/I/deleteThumbnail
/portal/sharing/rest/content/users/U/items/I/updateInfo
/portal/sharing/rest/content/users/U/items/I/deleteInfo
/portal/sharing/rest/content/users/U/items/I/restore
/portal/sharing/rest/content/users/U/items/I/copy
/portal/sharing/rest/content/users/U/publish
/portal/sharing/rest/content/users/U/createService
/portal/sharing/rest/content/users/U/F/createService
/portal/sharing/rest/content/users/U/createFolder
/portal/sharing/rest/content/users/U/F/delete
/portal/sharing/rest/content/users/U/F/updateFolder
/portal/sharing/rest/content/users/U/delete
/portal/sharing/rest/content/users/U/deleteItems
/portal/sharing/rest/content/users/U/moveItems
/portal/sharing/rest/content/users/U/shareItems
/portal/sharing/rest/content/users/U/unshareItems
/portal/sharing/rest/content/users/U/reassignItems
/portal/sharing/rest/content/users/U/export
/portal/sharing/rest/content/users/U/addRelationship
/portal/sharing/rest/content/users/U/deleteRelationship
/portal/sharing/rest/content/users/U/registerApp
/portal/sharing/rest/content/users/U/unregisterApp
/portal/sharing/rest/content/users/U/generateDirectAccessUrl
/portal/sharing/rest/content/updateItems
/portal/sharing/rest/content/items/I/share
/portal/sharing/rest/content/items/I/unshare
/portal/sharing/rest/content/items/I/addComment
/portal/sharing/rest/content/items/I/comments/I/update
/portal/sharing/rest/content/items/I/comments/I/delete
/portal/sharing/rest/content/items/I/addRating
/portal/sharing/rest/content/items/I/deleteRating
/portal/sharing/rest/content/groups/I/updateCategories
/portal/sharing/rest/content/listings/I/purchase
/portal/sharing/rest/content/features/generate
/portal/sharing/rest/community/createGroup
/portal/sharing/rest/community/signUp
/portal/sharing/rest/community/groups/I/update
/portal/sharing/rest/community/groups/I/delete
/portal/sharing/rest/community/groups/I/join
/portal/sharing/rest/community/groups/I/leave
/portal/sharing/rest/community/groups/I/invite
/portal/sharing/rest/community/groups/I/addUsers
/portal/sharing/rest/community/groups/I/removeUsers
/portal/sharing/rest/community/groups/I/updateUsers
/portal/sharing/rest/community/groups/I/reassign
/portal/sharing/rest/community/groups/I/protect
/portal/sharing/rest/community/groups/I/createNotification
/portal/sharing/rest/community/groups/I/applications/U/accept
/portal/sharing/rest/community/groups/I/categorySchema/assign
/portal/sharing/rest/community/groups/I/import
/portal/sharing/rest/community/groups/I/export
/portal/sharing/rest/community/users/U/update
/portal/sharing/rest/community/users/U/delete
/portal/sharing/rest/community/users/U/disable
/portal/sharing/rest/community/users/U/enable
/portal/sharing/rest/community/users/U/setProperties
/portal/sharing/rest/community/users/U/updateLicenseType
/portal/sharing/rest/community/users/U/expirePassword
/portal/sharing/rest/community/users/U/reset
/portal/sharing/rest/community/users/U/notifications/I/delete
/portal/sharing/rest/community/users/U/invitations/I/accept
/portal/sharing/rest/community/users/U/invitations/I/decline
/portal/sharing/rest/community/users/U/addResource
/portal/sharing/rest/community/users/U/removeResource
/portal/sharing/rest/community/users/U/createTask
/portal/sharing/rest/community/users/U/tasks/I/update
/portal/sharing/rest/community/users/U/tasks/I/runs/I/delete
/portal/sharing/rest/portals/self/update
/portal/sharing/rest/portals/0123456789ABCDEF/update
/portal/sharing/rest/portals/self/addResource
/portal/sharing/rest/portals/self/removeResource
/portal/sharing/rest/portals/self/invite
/portal/sharing/rest/portals/self/inviteUsers
/portal/sharing/rest/portals/self/removeUsers
/portal/sharing/rest/portals/self/disableUsers
/portal/sharing/rest/portals/self/updateUserRole
/portal/sharing/rest/portals/self/updateUserLicenseType
/portal/sharing/rest/portals/self/createRole
/portal/sharing/rest/portals/self/roles/abcDEF/update
/portal/sharing/rest/portals/self/roles/abcDEF/delete
/portal/sharing/rest/portals/self/roles/abcDEF/setPrivileges
/portal/sharing/rest/portals/self/servers/register
/portal/sharing/rest/portals/self/servers/abcDEF/update
/portal/sharing/rest/portals/self/servers/abcDEF/unregister
/portal/sharing/rest/portals/self/settings/update
/portal/sharing/rest/portals/self/securityPolicy/update
/portal/sharing/rest/portals/self/securityPolicy/reset
/portal/sharing/rest/portals/self/setSigninSettings
/portal/sharing/rest/portals/self/emailSettings/delete
/portal/sharing/rest/portals/self/idp/register
/portal/sharing/rest/portals/self/idp/abcDEF/unregister
/portal/sharing/rest/portals/self/socialProviders/configure
/portal/sharing/rest/portals/self/createNotification
/portal/sharing/rest/portals/self/categorySchema/assign
/portal/sharing/rest/portals/self/assignCategorySchema
/portal/sharing/rest/portals/self/deleteMemberCategorySchema
/portal/sharing/rest/portals/self/setUserDefaultSettings
/portal/sharing/rest/portals/self/assignUserCredits
/portal/sharing/rest/portals/self/reassignUsersContent
/portal/sharing/rest/portals/self/webhooks/createWebhook
/portal/sharing/rest/portals/self/webhooks/I/delete
/portal/sharing/rest/portals/self/collaborations/create
/portal/sharing/rest/portals/self/createCollaboration
/portal/sharing/rest/portals/self/collaborations/I/delete
/portal/sharing/rest/portals/self/collaborations/I/workspaces/I/sync
/portal/sharing/rest/oauth2/revokeToken
/portal/sharing/rest/oauth2/signout
/portal/sharing/rest/oauth2/apps/abc/update
/portal/sharing/rest/oauth2/apps/abc/resetClientSecret
/portal/sharing/proxy?https://gis.example.com/server/rest/services/Trees/FeatureServer/0/deleteFeatures
/portal/apps/viewer/proxy.jsp?https://gis.example.com/x
/portal/sharing/servers/I/rest/services/Trees/FeatureServer/0/applyEdits
/portal/sharing/tools/print
/portal/portaladmin/security/users/createUser
/portal/portaladmin/system/properties/update
/portal/portaladmin/machines/unregister
/portal/portaladmin/federation/servers/federate
/portal/portaladmin/logs/clean
/portal/portaladmin/exportSite
/server/admin/services/createService
/server/admin/services/createFolder
/server/admin/services/renameService
/server/admin/services/Trees.MapServer/start
/server/admin/services/Trees.MapServer/stop
/server/admin/services/Trees.MapServer/edit
/server/admin/services/Trees.MapServer/delete
/server/admin/services/startServices
/server/admin/services/Hosted/deleteFolder
/server/admin/machines/register
/server/admin/machines/gis.example.com/stop
/server/admin/data/registerItem
/server/admin/data/unregisterItem
/server/admin/logs/clean
/server/admin/logs/settings/edit
/server/admin/system/properties/update
/server/admin/uploads/upload
/server/admin/createNewSite
/server/rest/admin/services/Trees/FeatureServer/addToDefinition
/server/rest/admin/services/Trees/FeatureServer/0/updateDefinition
/server/rest/admin/services/Trees/FeatureServer/deleteFromDefinition
/server/rest/admin/services/Trees/FeatureServer/refresh
/server/rest/admin/services/Trees/FeatureServer/0/truncate
/server/rest/admin/cache/clear
`)

// fill puts names where a path has the capitals that stand for them.
func fill(target string) string {
	path, query, found := strings.Cut(target, "?")
	segs := strings.Split(path, "/")
	for i, seg := range segs {
		switch seg {
		case "U":
			segs[i] = "alice"
		case "I":
			segs[i] = item
		case "F":
			segs[i] = folder
		}
	}
	path = strings.Join(segs, "/")
	if found {
		path += "?" + query
	}
	return path
}

// spellings returns ways to write a path that a server might take for the same.
func spellings(path string) []string {
	path, query, hasQuery := strings.Cut(path, "?")
	slash := strings.LastIndexByte(path, '/')
	stem, last := path[:slash+1], path[slash+1:]
	encoded := func(format string) string {
		var b strings.Builder
		for i := range len(last) {
			fmt.Fprintf(&b, format, last[i])
		}
		return stem + b.String()
	}
	all := []string{
		path, path + "/", path + "//", strings.ReplaceAll(path, "/", "//")[1:],
		strings.ToUpper(path[:8]) + path[8:], stem + strings.ToUpper(last), stem + strings.ToLower(last), strings.ToLower(path),
		path + ";x", path + ";", path + ";/query", strings.ReplaceAll(path, "/", ";v=1/")[4:], stem + ";/" + last,
		path + ".", path + "%20", path + "...", path + "%2e",
		encoded("%%%02x"), encoded("%%%02X"), encoded("%%25%02x"), encoded("%%2525%02x"), encoded("%%252525%02x"),
		path + "%3fquery", path + "%23", path + "%3Bquery", stem + "%20" + last,
		stem + strings.NewReplacer("s", "ſ", "S", "ſ", "k", "K").Replace(last),
		stem + strings.NewReplacer("s", "%C5%BF", "k", "%E2%84%AA").Replace(last),
		path + "/query", path + "/0", path + "/info", path + "/" + item, path + "/x/y",
		stem + "query/" + last, stem + "0/" + last,
		path + "%2fquery", path + "/../query", path + "/%2e%2e/query", path + `\query`, path + "%5cquery", path + "%00", path + "\xff",
	}
	if hasQuery {
		for i := range all {
			all[i] += "?" + query
		}
	} else {
		all = append(all, path+"?f=json", path+"?f=query&_method=GET", path+"?request=GetFeature")
	}
	return all
}

func (p *Policy) checkTarget(method, target string) *Denial {
	path, query, _ := strings.Cut(target, "?")
	return p.Check(method, path, Query(query))
}

func TestReadOnlyRefusesEveryWrite(t *testing.T) {
	// Administration is let in, so that it is read_only that has to refuse.
	p := compile(t, Rules{ReadOnly: true, Admin: true})
	checked := 0
	for _, target := range documentedWrites {
		for _, spelling := range spellings(fill(target)) {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "FETCH"} {
				checked++
				if d := p.checkTarget(method, spelling); d == nil {
					t.Errorf("%s %s passed", method, spelling)
				}
			}
		}
	}
	if checked < 50_000 {
		t.Errorf("only %d requests were tried", checked)
	}
	// The denial names the operation and the pattern that would let it through.
	d := p.Check("POST", "/server/rest/services/Trees/FeatureServer/0/deleteFeatures", nil)
	if d.Rule != RuleReadOnly || !strings.Contains(d.Reason, "deleteFeatures is not a read") ||
		!strings.Contains(d.Error(), `"POST /server/rest/services/trees/featureserver/0/deletefeatures"`) {
		t.Errorf("%+v", d)
	}
}

// clientReads are requests of clients that only read: seen on the wire, or named
// in their source.
var clientReads = strings.Fields(`
GET:/portal/info?f=json GET:/portal//info GET:/portal/rest/info GET:/portal/rest/services GET:/portal/sharing/rest/info
GET:/portal/sharing/rest GET:/portal/sharing/rest?f=json POST:/portal/sharing/rest/ GET:/portal/sharing/rest/portals/self
POST:/portal/sharing/rest/portals/self POST:/portal/sharing/rest/portals/0123456789ABCDEF
POST:/portal/sharing/rest/community/self GET:/portal/sharing/rest/community/self
POST:/portal/sharing/rest/community/users/alice POST:/portal/sharing/rest/community/users POST:/portal/sharing/rest/community/groups
GET:/portal/sharing/rest/community/users/alice@example.com POST:/portal/sharing/rest/community/users/alice%40example.com
GET:/portal/sharing/rest/community/users/alice/info/me.png POST:/portal/sharing/rest/community/users/alice/notifications
POST:/portal/sharing/rest/community/groups/I/users POST:/portal/sharing/rest/community/groups/I GET:/portal/sharing/rest/community/groups/I/userList
POST:/portal/sharing/rest/search GET:/portal/sharing/rest/search?q=trees POST:/portal/sharing/rest/content/items/I
GET:/portal/sharing/rest/content/items/I/data POST:/portal/sharing/rest/content/items/I/data HEAD:/portal/sharing/rest/content/items/I/data
POST:/portal/sharing/rest/content/items/I/groups POST:/portal/sharing/rest/content/items/I/relatedItems
GET:/portal/sharing/rest/content/items/I/info/thumbnail/ago_downloaded.png GET:/portal/sharing/rest/content/items/I/info/metadata/metadata.xml
POST:/portal/sharing/rest/content/items/I/resources GET:/portal/sharing/rest/content/items/I/resources/images/tree.png
POST:/portal/sharing/rest/content/users/alice POST:/portal/sharing/rest/content/users/alice/F POST:/portal/sharing/rest/content/users/alice/items/I
POST:/portal/sharing/rest/content/users/alice/F/items/I/status POST:/portal/sharing/rest/content/groups/I/search
POST:/portal/sharing/rest/portals/self/users POST:/portal/sharing/rest/portals/self/users/search POST:/portal/sharing/rest/portals/self/roles
POST:/portal/sharing/rest/portals/self/servers GET:/portal/sharing/rest/portals/self/urls POST:/portal/sharing/rest/portals/self/resources
POST:/portal/sharing/rest/portals/self/isServiceNameAvailable POST:/portal/sharing/rest/generateToken
POST:/portal/sharing/generateToken GET:/portal/sharing/content/items/I
GET:/portal/home/ GET:/portal/home/item.html?id=I GET:/portal/home/js/arcgisonline/img/item-types/layers16.svg
GET:/portal/jsapi/jsapi/esri/widgets/Share/Share.js GET:/portal/apps/mapviewer/index.html GET:/portal
GET:/server/rest/info POST:/server/rest/info GET:/server/rest/services?f=json POST:/server/rest/services GET:/server/rest/services/Hosted
GET:/server/rest/services/Trees/FeatureServer POST:/server/rest/services/Trees/FeatureServer GET:/server/rest/services/Trees/FeatureServer/layers
GET:/server/rest/services/Trees/FeatureServer/0 POST:/server/rest/services/Trees/FeatureServer/0
GET:/server/rest/services/Trees/FeatureServer/0/query POST:/server/rest/services/Trees/FeatureServer/0/query
POST:/server/rest/services/Hosted/Trees/FeatureServer/0/query POST:/server/rest/services/Trees/FeatureServer/query
POST:/server/rest/services/Trees/FeatureServer/0/queryRelatedRecords POST:/server/rest/services/Trees/FeatureServer/0/queryAttachments
GET:/server/rest/services/Trees/FeatureServer/0/17 GET:/server/rest/services/Trees/FeatureServer/0/17/attachments
GET:/server/rest/services/Trees/FeatureServer/0/17/attachments/3 POST:/server/rest/services/Trees/FeatureServer/0/generateRenderer
POST:/server/rest/services/Trees/FeatureServer/0/validateSQL POST:/server/rest/services/Trees/FeatureServer/queryDomains
POST:/server/rest/services/Trees/FeatureServer/extractChanges GET:/server/rest/services/Trees/FeatureServer/info/metadata
GET:/server/rest/services/update/FeatureServer/0/query
GET:/server/rest/services/Topo/MapServer GET:/server/rest/services/Topo/MapServer/legend GET:/server/rest/services/Topo/MapServer/export
POST:/server/rest/services/Topo/MapServer/export POST:/server/rest/services/Topo/MapServer/identify GET:/server/rest/services/Topo/MapServer/find
GET:/server/rest/services/Topo/MapServer/tile/3/4/5 HEAD:/server/rest/services/Topo/MapServer/tile/3/4/5
GET:/server/rest/services/Topo/MapServer/WMTS/1.0.0/WMTSCapabilities.xml GET:/server/rest/services/Topo/MapServer/dynamicLayer/query
POST:/server/rest/services/Pictures/ImageServer/exportImage POST:/server/rest/services/Pictures/ImageServer/computeHistograms
GET:/server/rest/services/Pictures/ImageServer/12 POST:/server/rest/services/Pictures/ImageServer/getSamples
POST:/server/rest/services/Locator/GeocodeServer/geocodeAddresses GET:/server/rest/services/Locator/GeocodeServer/findAddressCandidates
GET:/server/rest/services/Locator/GeocodeServer/suggest POST:/server/rest/services/Locator/GeocodeServer/reverseGeocode
POST:/server/rest/services/Utilities/Geometry/GeometryServer/project POST:/server/rest/services/Utilities/Geometry/GeometryServer/buffer
POST:/server/rest/services/Net/NAServer/Route/solve GET:/server/rest/services/Net/NAServer GET:/server/rest/services/Net/NAServer/retrieveTravelModes
GET:/server/rest/services/Tools/GPServer GET:/server/rest/services/Tools/GPServer/Count
POST:/server/rest/services/Tools/GPServer/Count/jobs/j7ee5 GET:/server/rest/services/Tools/GPServer/Count/jobs/j7ee5/results/total
GET:/server/rest/services/Basemap/VectorTileServer/tile/3/4/5.pbf GET:/server/rest/services/Basemap/VectorTileServer/resources/styles/root.json
GET:/server/rest/services/City/SceneServer/layers/0/nodes/12/geometries/0 GET:/server/rest/services/Events/StreamServer/subscribe
GET:/server/rest/directories/arcgisoutput/Topo_MapServer/_ags_map1.png GET:/server/rest/static/main.css
GET:/server/services/Topo/MapServer/WMSServer?request=GetCapabilities&service=WMS GET:/server/services/Topo/MapServer?wsdl
GET:/server/services/Trees/FeatureServer/WFSServer?SERVICE=WFS&REQUEST=GetFeature POST:/server/tokens/generateToken
GET:/server/rest/services/Trees/OGCFeatureServer/collections/0/items
GET:/portal/sharing/servers/I/rest/services/Topo/MapServer/tile/1/2/3
GET:/SERVER/REST/SERVICES/Trees/featureserver/0/QUERY GET:/server/rest/services/Trees/FeatureServer/0/%71uery
`)

func TestReadOnlyLetsClientsRead(t *testing.T) {
	p := compile(t, Rules{ReadOnly: true})
	for _, request := range clientReads {
		method, target, _ := strings.Cut(request, ":")
		target = fill(target)
		if d := p.checkTarget(method, target); d != nil {
			t.Errorf("%s %s: %v", method, target, d)
		}
	}
}

// TestExceptions: an allow pattern that names a method and an operation lets just
// that through.
func TestExceptions(t *testing.T) {
	p := compile(t, Rules{ReadOnly: true, Allow: []string{"/**", "POST /server/rest/services/Tools/GPServer/*/submitJob", "POST /server/rest/services/Notes/**"}})
	for target, want := range map[string]bool{
		"POST:/server/rest/services/Tools/GPServer/Count/submitJob":            true,
		"POST:/server/rest/services/Tools/GPServer/Count/submitJob/":           true,
		"GET:/server/rest/services/Tools/GPServer/Count/submitJob":             false,
		"PUT:/server/rest/services/Tools/GPServer/Count/submitJob":             false,
		"POST:/server/rest/services/Tools/GPServer/Count/execute":              false,
		"POST:/server/rest/services/Tools/GPServer/Count/submitJob;x":          false, // not for every server the same
		"POST:/server/rest/services/Tools/GPServer/Count/execute;/submitJob":   false,
		"POST:/server/rest/services/Tools/GPServer/Count/submitJob/execute":    false,
		"POST:/server/rest/services/Notes/FeatureServer/0/addFeatures":         false, // it ends in a wildcard
		"POST:/server/rest/services/Tools/GPServer/a/b/submitJob":              false,
		"POST:/server/rest/services/Tools/GPServer/Count/jobs/j1":              true,
		"POST:/server/rest/services/Tools/GPServer/Count/%73ubmitJob":          true,
		"POST:/server/rest/services/Tools/GPServer/Count%2fx/submitJob%2f..":   false,
		"POST:/server/rest/services/Tools/GPServer/Count/submitJob%3f/execute": false,
	} {
		method, path, _ := strings.Cut(target, ":")
		if d := p.Check(method, path, nil); (d == nil) != want {
			t.Errorf("%s: %v", target, d)
		}
	}
}

func TestRequestParameter(t *testing.T) {
	p := compile(t, Rules{ReadOnly: true})
	const path = "/server/services/Trees/MapServer/WFSServer"
	if p.Check("GET", path, nil) == nil {
		t.Error("passed without a look at its parameters")
	}
	for query, want := range map[string]bool{
		"request=GetFeature": true, "Service=WFS&rEquest=getcapabilities": true, "%72equest=%47etFeature": true,
		"request=": false, "": false, "request=Transaction": false, "request=GetFeature&request=Transaction": false,
		"request=GetFeature%00": false, "request=GetFeature;request=Transaction": false, "request=GetFeature+": false,
		"request=GetFeatureWithLock": false, "request=GetFeature&%52EQUEST=LockFeature": false,
	} {
		if d := p.Check("GET", path, Query(query)); (d == nil) != want {
			t.Errorf("%s: %v", query, d)
		}
		if p.Check("POST", path, Query(query)) == nil {
			t.Errorf("POST with %s passed, whose body was not looked at", query)
		}
	}
}

// TestTable: the table is consistent: nothing in it has a write's name.
func TestTable(t *testing.T) {
	writes := names(writeNames())
	for _, part := range [][]reads{siteReads(), serviceReads(), protocolReads()} {
		for _, r := range part {
			for _, path := range strings.Fields(pattern.Fold(r.under + " " + r.any + " " + r.get)) {
				for seg := range strings.SplitSeq(path, "/") {
					if writes[seg] != "" {
						t.Errorf("%s reads, but %s writes", path, seg)
					}
					if strings.ContainsAny(seg, "{}*#") && !strings.Contains(" # {id} {key} {name} {any} {dot} ** {file} ", " "+seg+" ") {
						t.Errorf("%s: %s means nothing", path, seg)
					}
				}
			}
		}
	}
}
