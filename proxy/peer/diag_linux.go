package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Sizes of the structures of sock_diag(7) and netlink(7), in bytes.
const (
	headerSize  = unix.SizeofNlMsghdr     // struct nlmsghdr
	idSize      = 48                      // struct inet_diag_sockid
	requestSize = headerSize + 8 + idSize // … and struct inet_diag_req_v2
	answerSize  = 4 + idSize + 20         // struct inet_diag_msg
)

// errNoSocket says that the kernel has no socket with these addresses.
var errNoSocket = errors.New("there is no such socket")

// diagnose looks up the two ends of a connection by sock_diag(7).
func diagnose(ours own) (theirs, mine socket, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return theirs, mine, errNoTable // a sandbox may allow no such sockets
	}
	defer func() { _ = unix.Close(fd) }()
	// The kernel answers before send returns. This is for a kernel that does not.
	patience := unix.Timeval{Sec: 1}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		return theirs, mine, fmt.Errorf("sock_diag: %w", err)
	}
	theirs, missing := ask(fd, 1, ours.remote, ours.local)
	if missing != nil && !errors.Is(missing, errNoSocket) {
		return theirs, mine, missing
	}
	mine, err = ask(fd, 2, ours.local, ours.remote)
	switch {
	case errors.Is(err, errNoSocket):
		// "No such file" is also what a kernel says that has no module for TCP.
		return theirs, mine, errNoTable
	case err != nil:
		return theirs, mine, err
	}
	return theirs, mine, missing
}

// ask looks up the one socket that has these addresses.
func ask(fd int, sequence uint32, local, remote netip.AddrPort) (socket, error) {
	if err := unix.Sendto(fd, request(sequence, local, remote), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return socket{}, errNoTable // filtered, or no such protocol
	}
	// An answer has attributes behind it that are of no interest; what does not
	// fit is cut off.
	var buf [4096]byte
	for {
		n, from, err := unix.Recvfrom(fd, buf[:], 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return socket{}, fmt.Errorf("sock_diag: %w", err)
		}
		if kernel, ok := from.(*unix.SockaddrNetlink); !ok || kernel.Pid != 0 {
			continue // only the kernel is believed
		}
		return parseAnswer(buf[:n], sequence)
	}
}

// request makes the message that asks for one TCP socket.
func request(sequence uint32, local, remote netip.AddrPort) []byte {
	family := byte(unix.AF_INET) // finds sockets of IPv6 with mapped addresses, too
	if local.Addr().Is6() {
		family = unix.AF_INET6
	}
	host := binary.NativeEndian
	b := make([]byte, 0, requestSize)
	b = host.AppendUint32(b, requestSize)
	b = host.AppendUint16(b, unix.SOCK_DIAG_BY_FAMILY)
	b = host.AppendUint16(b, unix.NLM_F_REQUEST)
	b = host.AppendUint32(b, sequence)
	b = host.AppendUint32(b, 0) // from: the kernel fills it in
	b = append(b, family, unix.IPPROTO_TCP, 0, 0)
	b = host.AppendUint32(b, ^uint32(0)) // any state
	b = binary.BigEndian.AppendUint16(b, local.Port())
	b = binary.BigEndian.AppendUint16(b, remote.Port())
	b = appendAddr(b, local.Addr())
	b = appendAddr(b, remote.Addr())
	b = host.AppendUint32(b, 0)          // any interface
	b = host.AppendUint32(b, ^uint32(0)) // no cookie
	b = host.AppendUint32(b, ^uint32(0))
	return b
}

// appendAddr writes an address into its 16 bytes: IPv4 takes the first four.
func appendAddr(b []byte, addr netip.Addr) []byte {
	var field [16]byte
	copy(field[:], addr.AsSlice())
	return append(b, field[:]...)
}

// parseAnswer reads the kernel's answer to the request with this sequence number.
func parseAnswer(b []byte, sequence uint32) (socket, error) {
	host := binary.NativeEndian
	if len(b) < headerSize {
		return socket{}, errors.New("sock_diag: the answer is cut short")
	}
	kind, body := host.Uint16(b[4:]), b[headerSize:]
	if host.Uint32(b[8:]) != sequence {
		return socket{}, errors.New("sock_diag: the answer is to another question")
	}
	switch {
	case kind == unix.NLMSG_ERROR && len(body) >= 4:
		switch code := unix.Errno(-int32(host.Uint32(body))); code {
		case unix.ENOENT:
			return socket{}, errNoSocket
		case unix.EPERM, unix.EACCES, unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.EINVAL:
			return socket{}, errNoTable
		default:
			return socket{}, fmt.Errorf("sock_diag: %w", code)
		}
	case kind != unix.SOCK_DIAG_BY_FAMILY || len(body) < answerSize:
		return socket{}, fmt.Errorf("sock_diag: an answer of type %d with %d bytes", kind, len(body))
	}
	s := socket{state: body[1], uid: host.Uint32(body[64:]), inode: host.Uint32(body[68:])}
	id := body[4:]
	local, remote, ok := diagAddrs(body[0], id[4:20], id[20:36])
	if !ok {
		return socket{}, fmt.Errorf("sock_diag: an answer of family %d", body[0])
	}
	s.local = netip.AddrPortFrom(local, binary.BigEndian.Uint16(id))
	s.remote = netip.AddrPortFrom(remote, binary.BigEndian.Uint16(id[2:]))
	return s, nil
}

// diagAddrs reads two address fields of a family.
func diagAddrs(family byte, local, remote []byte) (l, r netip.Addr, ok bool) {
	switch family {
	case unix.AF_INET:
		return netip.AddrFrom4([4]byte(local)), netip.AddrFrom4([4]byte(remote)), true
	case unix.AF_INET6:
		return netip.AddrFrom16([16]byte(local)).Unmap(), netip.AddrFrom16([16]byte(remote)).Unmap(), true
	}
	return l, r, false
}
