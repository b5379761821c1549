// Package peer finds out which operating-system user is at the other end of a
// loopback TCP connection, so that on a machine that many people share each of
// them can be a caller of their own without any secret.
//
// Nothing that the caller sends is asked. The kernel knows who made each socket,
// and a loopback connection has both of its sockets in the kernel's tables:
//
//	ours     127.0.0.1:8443 → 127.0.0.1:51034   this process's
//	theirs   127.0.0.1:51034 → 127.0.0.1:8443   whose? (its uid)
//
// On Linux the tables are read by sock_diag(7), which is asked for exactly that
// one socket, or from /proc/net/tcp and tcp6 (proc(5)) where a sandbox keeps
// sock_diag away. On other systems [Supported] is false and every question ends
// in [ErrUnsupported].
//
// # What is refused
//
// An answer that is not certain is an error, never a user:
//
//   - Connections that are not between two loopback addresses. Anything else may
//     have been rewritten on its way.
//   - A socket that no process holds any more: one in TIME_WAIT, or one that was
//     closed and still sends its last bytes. The kernel reports user 0 and inode
//     0 for these, which must not be read as "root".
//   - A connection whose own end is not in the same table, which is the case when
//     the listener was made in another network namespace: an equal pair of
//     addresses there may be somebody else's.
//   - A connection that had ended by the time of the answer, since the same pair
//     of addresses may then be a stranger's new connection. The order is: find
//     theirs, then see that ours was still there. So a late question is refused,
//     never answered wrongly.
//   - The number that the kernel uses for users whom this process's user
//     namespace cannot name (65534, proc_sys_kernel(5) on overflowuid). Every
//     such user would look the same.
//
// # What the answer means
//
// It is the user who made the socket, at the time that it was made. A program
// that opens connections for others speaks for all of them: a web server before
// the proxy, a container engine's port forwarder (often root), an SSH server's
// forwarding (which runs as the user who signed in). Name such a user for a
// caller only if all who can use the program are meant.
package peer

import (
	"context"
	"errors"
	"net"
	"sync"
)

var (
	// ErrUnsupported says that this operating system has no such tables that
	// this package can read.
	ErrUnsupported = errors.New("the user of a connection can be known on Linux only")
	// ErrNotLoopback says that a connection is not between two loopback
	// addresses of one machine.
	ErrNotLoopback = errors.New("the connection is not a TCP connection between two loopback addresses")
	// ErrUnknown says that the kernel's tables don't say with certainty whose
	// the other end is.
	ErrUnknown = errors.New("the kernel does not say who holds the other end of the connection")
)

// Conn is the other end of one connection. It is asked about at most once, when
// somebody first wants to know, and keeps the answer.
type Conn struct {
	conn net.Conn
	once sync.Once
	uid  uint32
	err  error
}

// New returns the other end of c, which stays the caller's to close. Nothing is
// looked up yet. Wrappers are looked through as far as they have a NetConn
// method, as [crypto/tls.Conn] does.
func New(c net.Conn) *Conn { return &Conn{conn: c} }

// UID returns the number of the user who made the socket at the other end. The
// first call takes some microseconds; see [Lookup] for the errors. A connection
// that could not be attributed at first never will be: the caller has to
// connect anew.
func (c *Conn) UID() (uint32, error) {
	c.once.Do(func() { c.uid, c.err = Lookup(c.conn) })
	return c.uid, c.err
}

type contextKey struct{}

// ConnContext is made for [net/http.Server.ConnContext]: it puts a [Conn] into
// the context of every request on c.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, contextKey{}, New(c))
}

// FromContext returns the [Conn] that [ConnContext] put there, nil if none.
func FromContext(ctx context.Context) *Conn {
	c, _ := ctx.Value(contextKey{}).(*Conn)
	return c
}
