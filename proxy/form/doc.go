// Package form takes the callers' credentials out of queries and of the two kinds of
// forms that ArcGIS reads: urlencoded ones and multipart uploads. Everything else in
// them stays as it was, byte for byte.
//
// A credential is a parameter called `token`. [CutTokens] takes it out of what is held
// in memory, [TokenFilter] out of an urlencoded form as it passes, [Multipart] out of
// an upload as it passes. [TypeOf] says which of them a body needs.
//
// # What must not happen
//
// Whatever an upstream would read as a token has to be found here first. It is the
// reading of the upstream that counts, and there are many: multipart has been
// implemented hundreds of times, and implementations differ in what they forgive.
// So a body is either understood in the one way in which all of them understand it, or
// refused with an [Error] that says what is wrong with it. Of what clients really send
// nothing is refused; see [Multipart] for the list.
package form

// Error says why a form cannot be searched for credentials, and so may not pass. Its
// text tells the sender what to do.
type Error struct {
	Status int // of HTTP that fits: 400 or 415
	Reason string
}

// Error implements error.
func (e *Error) Error() string { return e.Reason }
