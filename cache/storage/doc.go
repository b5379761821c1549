// Package storage keeps what must outlive the program, or be shared, on CertMagic's
// Storage interface, so that certificates and everything else live in one place.
//
// [Memory] is a Storage for programs that keep nothing. [Key] is the key under
// which credentials are fingerprinted, and [Refusals] remembers, by such
// fingerprints, which credentials were refused.
//
// On files, that is on certmagic.FileStorage, what is stored has mode 0600 in
// directories of mode 0700. Lock files have 0644 and hold a time. On Windows modes
// mean nothing: there the directory's access list, which files inherit, is what
// keeps them private, and who makes the directory has to set it.
package storage
