// Package arcgis is a simulated ArcGIS Enterprise: a Portal, the two ArcGIS
// Server sites that are federated with it, and one that is not.
//
// It exists to be refused by. A client that works against it has followed the
// protocol as Esri documents it: the OAuth 2 walk through a login by SAML or by
// OpenID Connect, with assertions verified by github.com/crewjam/saml and id_tokens
// by github.com/coreos/go-oidc, not by code of this project; tokens that expire, are revoked, and are accepted only where ArcGIS
// accepts them; errors in each of the shapes in which ArcGIS sends them. Nothing
// here imports the program under test, so that the two cannot share a mistake.
//
// ArcGIS installations differ, and one installation answers differently from
// request to request. What varies is listed in [Shape]. A field that is left at
// its zero value is chosen by a generator whose seed is logged; a test that is
// about one variation sets it.
//
//	site host    /portal  the Portal: Sharing API, OAuth, items, the home application
//	             /server  a federated ArcGIS Server
//	other host   /arcgis  another federated ArcGIS Server
//	open host    /public  an ArcGIS Server that knows nothing of the Portal
//
// The servers have feature services with a few thousand street trees that are
// the same in every run.
//
// Facts come from Esri's REST API reference
// (https://developers.arcgis.com/rest/), from the ArcGIS API for Python and
// from @esri/arcgis-rest-js, which say what they expect to be sent.
package arcgis
