// Package pattern reads paths as ArcGIS does, and compares them with patterns
// that people write in a config.
//
// # Paths
//
// A raw path is decoded ([Decode]), folded ([Fold]), since ArcGIS does not mind
// case, and cut into segments ([Split]), of which empty ones do not count, since
// it does not mind doubled slashes either. Some servers go further. Java's cut off
// ";parameters", Windows ignores dots and spaces at the end of a name, and what is
// decoded twice may have a query where it had none. Whoever asks whether a request
// may pass has to judge a path in every such [Reading]; whoever only asks what an
// ordinary request is about needs the first.
//
// # Patterns
//
//	/server/rest/services/Trees/**        Trees and everything below it
//	/server/rest/services/*/MapServer/**  `*` is any text within one segment
//	POST /server/rest/services/T/GPServer/Count/submitJob
//
// `**` stands for any number of whole segments, none included. A method before
// the path makes the pattern one for that method only; GET includes HEAD.
// Patterns are plain text: no percent-encoding, no query.
package pattern
