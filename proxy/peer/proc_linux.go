package peer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
)

// longestTable bounds what is read of one table, in bytes: some 400,000
// connections. A line has 150 (tcp) or 170 (tcp6).
const longestTable = 64 << 20

// scan looks up the two ends of a connection in the files tcp and tcp6 of a
// folder, /proc/net (proc(5)). Each has to be there exactly once.
func scan(folder string, ours own) (theirs, mine socket, err error) {
	var found, self int
	for _, name := range []string{"tcp", "tcp6"} {
		err := scanFile(filepath.Join(folder, name), func(s socket) {
			switch {
			case s.local == ours.remote && s.remote == ours.local:
				theirs = s
				found++
			case s.local == ours.local && s.remote == ours.remote:
				mine = s
				self++
			}
		})
		// A kernel without IPv6 has no tcp6.
		if err != nil && !(name == "tcp6" && errors.Is(err, os.ErrNotExist)) {
			return theirs, mine, err
		}
	}
	switch {
	case found == 0:
		return theirs, mine, errNoSocket
	case found > 1:
		return theirs, mine, fmt.Errorf("%d sockets have the other end's addresses", found)
	case self != 1:
		return theirs, mine, fmt.Errorf("%d sockets have our own addresses", self)
	}
	return theirs, mine, nil
}

func scanFile(name string, each func(socket)) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	limited := &io.LimitedReader{R: f, N: longestTable}
	lines := bufio.NewScanner(limited)
	lines.Scan() // the heading
	for lines.Scan() {
		if s, ok := parseLine(lines.Bytes()); ok {
			each(s)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if limited.N <= 0 {
		return fmt.Errorf("%s: it is longer than %d bytes", name, longestTable)
	}
	return nil
}

// parseLine reads one line of /proc/net/tcp or tcp6, whose columns are: number,
// local, remote, state, queues, timer, retransmits, uid, timeout, inode, and
// more that are of no interest.
func parseLine(line []byte) (s socket, ok bool) {
	columns := bytes.Fields(line)
	if len(columns) < 10 {
		return s, false
	}
	var okLocal, okRemote bool
	s.local, okLocal = parseAddr(columns[1])
	s.remote, okRemote = parseAddr(columns[2])
	state, err1 := strconv.ParseUint(string(columns[3]), 16, 8)
	uid, err2 := strconv.ParseUint(string(columns[7]), 10, 32)
	inode, err3 := strconv.ParseUint(string(columns[9]), 10, 64)
	if !okLocal || !okRemote || err1 != nil || err2 != nil || err3 != nil {
		return socket{}, false
	}
	s.state, s.uid, s.inode = uint8(state), uint32(uid), uint32(inode)
	return s, true
}

// parseAddr reads an address such as 0100007F:1F90: hexadecimal words, each in
// the byte order of this machine, and the port as a number.
func parseAddr(text []byte) (netip.AddrPort, bool) {
	words, port, ok := bytes.Cut(text, []byte(":"))
	if !ok || len(port) != 4 || len(words) != 8 && len(words) != 32 {
		return netip.AddrPort{}, false
	}
	var digits, raw [16]byte
	if _, err := hex.Decode(digits[:], words); err != nil {
		return netip.AddrPort{}, false
	}
	n := len(words) / 2
	for i := 0; i < n; i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(digits[i:]))
	}
	number, err := strconv.ParseUint(string(port), 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	addr := netip.AddrFrom16(raw).Unmap()
	if n == 4 {
		addr = netip.AddrFrom4([4]byte(raw[:4]))
	}
	return netip.AddrPortFrom(addr, uint16(number)), true
}
