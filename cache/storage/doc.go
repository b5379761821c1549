// Package storage keeps what must outlive the program, or be shared, on CertMagic's
// Storage interface, so that certificates and everything else live in one place.
//
// [Files] are files that last a power failure, [Memory] is for programs that keep
// nothing. On either lie
//
//	keys/fingerprint.key         the key under which credentials are fingerprinted: [Key]
//	refusals/HASH.json           which credentials were refused, by such fingerprints: [Refusals]
//	keys/seal.key                the key of what is sealed, unless the configuration names one
//	sealed/KEY/grants/HASH       the grant of an identity: [Grants]
//	sealed/KEY/sessions/HASH     the Okta cookies of an identity: [Sessions]
//	sealed/KEY/tokens/HASH       a token that the proxy issued: [Tokens]
//	sealed/KEY/rotation, origin  a change of the key that goes on: [Sealed.Rotate]
//	locks/NAME.flock             locks between processes
//	tmp/                         values that are being written
//
// and CertMagic's certificates. KEY is an id derived from the sealing key, so that
// with another key nothing is overwritten. HASH is a keyed hash of a name. A sealed
// value is the word arcseal1, a random nonce of 24 bytes, and, under
// XChaCha20-Poly1305, the name and the value; the associated data is the kind, a
// zero byte and the hash, so that no value can take another's place. What can be
// seen from outside is how many there are, how long, and when they were written.
// Who can write in the directory can delete a value or put an older one back.
//
// Files have mode 0600 in directories of mode 0700. On Windows modes mean nothing:
// there the directory's access list, which files inherit, is what keeps them
// private, and who makes the directory has to set it.
package storage
