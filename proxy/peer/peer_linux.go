package peer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Supported says whether [Lookup] can answer on this operating system.
const Supported = true

// overflowUID stands for every user that has no number in this process's user
// namespace (the default of /proc/sys/kernel/overflowuid, and "nobody" by
// convention).
const overflowUID = 65534

// The states of a TCP socket, from the kernel's include/net/tcp_states.h.
const (
	stateEstablished = 1
	stateFinWait1    = 4
	stateFinWait2    = 5
	stateCloseWait   = 8
	stateClosing     = 11
)

// connected reports whether a socket in this state has a connection. It leaves
// out SYN_SENT, for which nobody has answered; TIME_WAIT and NEW_SYN_RECV, which
// have no owner; and LISTEN, which a search for a connection may end at.
func connected(state uint8) bool {
	switch state {
	case stateEstablished, stateFinWait1, stateFinWait2, stateCloseWait, stateClosing:
		return true
	}
	return false
}

// socket is one line of the kernel's tables.
type socket struct {
	local, remote netip.AddrPort // unmapped
	state         uint8
	uid           uint32
	inode         uint32
}

// own is what the kernel says about our end of a connection.
type own struct {
	local, remote netip.AddrPort // unmapped
	inode         uint32
}

// Lookup returns the number of the user who made the socket at the other end of
// c. The connection has to be open. The error wraps [ErrNotLoopback] or
// [ErrUnknown]; there is never a number with it.
func Lookup(c net.Conn) (uint32, error) {
	return lookup(c, table{diag: diagnose, proc: "/proc/net"})
}

// table is where sockets are looked up.
type table struct {
	// diag returns the two ends of a connection, theirs first looked up. It
	// fails with errNoTable if it cannot see ours, and so perhaps nothing.
	diag func(ours own) (theirs, mine socket, err error)
	proc string // the folder of the files tcp and tcp6
}

// errNoTable says that a source of answers is missing or does not know us.
var errNoTable = errors.New("there is no such table here")

func lookup(c net.Conn, from table) (uint32, error) {
	raw, err := rawConn(c)
	if err != nil {
		return 0, err
	}
	ours, err := describe(raw)
	if err != nil {
		return 0, err
	}
	if !ours.local.Addr().IsLoopback() || !ours.remote.Addr().IsLoopback() {
		return 0, ErrNotLoopback
	}
	theirs, mine, err := from.diag(ours)
	if errors.Is(err, errNoTable) {
		theirs, mine, err = scan(from.proc, ours)
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	if err := judge(ours, theirs, mine); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	// As long as ours lives, nobody else can have these addresses. So whatever
	// was found before this moment is what we are connected to.
	if err := alive(raw); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return theirs.uid, nil
}

// judge returns why the two lines don't tell who is at the other end, nil if
// they do.
func judge(ours own, theirs, mine socket) error {
	switch {
	case mine.local != ours.local || mine.remote != ours.remote || mine.inode != ours.inode || !connected(mine.state):
		return errors.New("our own end is not in this network namespace's table")
	case theirs.local != ours.remote || theirs.remote != ours.local:
		return errors.New("the table has another connection")
	case !connected(theirs.state):
		return errors.New("the other end is not connected any more")
	case theirs.inode == 0:
		return errors.New("the other end has been closed")
	case theirs.inode == mine.inode:
		return errors.New("both ends are one socket")
	case theirs.uid == overflowUID || theirs.uid == ^uint32(0):
		return errors.New("the other end's user has no number here")
	}
	return nil
}

// rawConn looks through wrappers for the connection that has a descriptor.
func rawConn(c net.Conn) (syscall.RawConn, error) {
	const deepest = 8
	for range deepest {
		if tcp, ok := c.(*net.TCPConn); ok {
			return tcp.SyscallConn()
		}
		wrapper, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = wrapper.NetConn()
	}
	return nil, fmt.Errorf("%w: a %T", ErrNotLoopback, c)
}

// describe asks the kernel for our end: addresses that a wrapper reports could
// be anything.
func describe(raw syscall.RawConn) (ours own, err error) {
	outer := raw.Control(func(fd uintptr) { ours, err = describeFD(int(fd)) })
	if outer != nil {
		return own{}, fmt.Errorf("%w: our own end is closed: %w", ErrUnknown, outer)
	}
	return ours, err
}

func describeFD(fd int) (own, error) {
	local, err := unix.Getsockname(fd)
	if err != nil {
		return own{}, fmt.Errorf("%w: our own address: %w", ErrUnknown, err)
	}
	remote, err := unix.Getpeername(fd)
	if err != nil { // ENOTCONN: it has ended
		return own{}, fmt.Errorf("%w: the other end's address: %w", ErrUnknown, err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return own{}, fmt.Errorf("%w: our own inode: %w", ErrUnknown, err)
	}
	// The tables have the number's lower half, which for sockets is all of it.
	return own{addrPort(local), addrPort(remote), uint32(stat.Ino)}, nil
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// alive returns an error if our end has lost its connection.
func alive(raw syscall.RawConn) (err error) {
	outer := raw.Control(func(fd uintptr) {
		info, failed := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		switch {
		case failed != nil:
			err = fmt.Errorf("the state of our own end: %w", failed)
		case !connected(info.State):
			err = errors.New("our own end is not connected any more")
		}
	})
	return errors.Join(outer, err)
}
