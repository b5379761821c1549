// Package policy says what a caller may do: which paths it may reach
// ([Policy]), and how much at a time ([Limiter]).
//
// # Paths
//
// A [Policy] is compiled from [Rules] and asked about each request with
// [Policy.Check]. Four rules are looked at in this order, and the first that
// objects decides:
//
//	admin      administration is off unless the caller has it: admin.go
//	deny       no deny pattern may match
//	allow      some allow pattern has to match, if there are any
//	read_only  the request must be known to change nothing: operations.go
//
// A path is judged in every way in which some server could read it: decoded
// once, as everybody does, and again as often as something is left to decode;
// with and without the ";parameters" that Java servers cut off, and with and
// without the dots and spaces at the end of a name that Windows ignores. Case,
// repeated slashes and a slash at the end make no difference. The request passes
// if it passes in every reading. What cannot be read with certainty (an encoded
// slash, a dot segment, a backslash, a control character) does not pass; the
// proxy's guard has refused it before.
//
// # Patterns
//
// allow and deny are lists of patterns, which [pattern.Pattern] explains:
//
//	/server/rest/services/Trees/**
//
// Clients need more than the service that they are after: an allow list for
// the ArcGIS API for Python has to have /portal/sharing/rest/portals/self,
// /portal/sharing/rest/community/** and each server's /server/rest/info, too.
//
// # Reading
//
// ArcGIS does not keep to HTTP's methods: clients POST to `query` because its
// parameters are long, and the ArcGIS API for Python POSTs nearly every read;
// a GET to `deleteFeatures` deletes. So read_only goes by the operation, which
// the path names, and is closed: what is not in the table of operations.go, a
// list of what reads, is refused, by GET, too. Those are Esri's resources and
// operations; a server object extension, which can do anything, is not in it.
// PUT, PATCH and DELETE are always refused.
//
// What changes nothing that another caller could see is a read: `export` and
// `extractChanges` leave a file on the server for whoever asked, as a drawn map
// does. `createReplica` writes, since it registers a replica. A geoprocessing
// job (`execute`, `submitJob`) may do whatever its author wrote, and is refused.
//
// An allow pattern lets a single operation through all the same if it names the
// method and spells out the last segment:
//
//	read_only = true
//	allow     = ["/**", "POST /server/rest/services/Tools/GPServer/*/submitJob"]
//
// # Limits
//
// A [Limiter] holds one caller to a rate and to a number of requests at a time,
// with a short queue before it says no.
package policy
