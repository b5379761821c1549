//go:build !linux

package peer

import "net"

// Supported says whether [Lookup] can answer on this operating system.
const Supported = false

// Lookup always fails with [ErrUnsupported].
func Lookup(net.Conn) (uint32, error) { return 0, ErrUnsupported }
