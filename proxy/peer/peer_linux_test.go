package peer

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The test binary is its own client: with this in its environment it becomes
// the user of that number, connects to an address, and says so.
const childVar = "PEER_TEST_CHILD"

func TestMain(m *testing.M) {
	if plan := os.Getenv(childVar); plan != "" {
		if err := child(plan); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child does "UID ADDRESS", then holds the connection until its standard input ends.
func child(plan string) error {
	number, address, _ := strings.Cut(plan, " ")
	uid, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	if uid != os.Getuid() {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(uid), syscall.Setuid(uid)); err != nil {
			return err
		}
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Println("connected")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// connectAs runs a child of the user who connects to address; it ends with the test.
func connectAs(t *testing.T, uid int, address string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", childVar, uid, address))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the child: %v", err)
		}
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatalf("the child did not connect: %q, %v", line, err)
	}
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// pair returns both ends of a new connection within this process.
func pair(t *testing.T, l net.Listener, address string) (client, server *net.TCPConn) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn), accept(t, l)
}

func accept(t *testing.T, l net.Listener) *net.TCPConn {
	t.Helper()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.(*net.TCPConn)
}

// noDiag stands for a sandbox without sock_diag.
func noDiag(own) (socket, socket, error) { return socket{}, socket{}, errNoTable }

// sources are the two ways in which sockets are looked up, each on its own.
var sources = map[string]table{
	"sock_diag": {diag: diagnose, proc: "/nonexistent"},
	"proc":      {diag: noDiag, proc: "/proc/net"},
}

func eachSource(t *testing.T, test func(t *testing.T, from table)) {
	for name, from := range sources {
		t.Run(name, func(t *testing.T) { test(t, from) })
	}
}

// otherUIDs are users to connect as: several if this process may become them.
func otherUIDs() []int {
	if os.Getuid() == 0 {
		return []int{0, 1, 54321}
	}
	return []int{os.Getuid()}
}

func TestLookup(t *testing.T) {
	for name, listener := range map[string]struct{ network, listen, dial string }{
		"IPv4":          {"tcp4", "127.0.0.1:0", "127.0.0.1"},
		"another 127":   {"tcp4", "127.9.8.7:0", "127.9.8.7"},
		"IPv6":          {"tcp6", "[::1]:0", "::1"},
		"any over IPv4": {"tcp", "[::]:0", "127.0.0.1"}, // our end is IPv6 with mapped addresses
		"any over IPv6": {"tcp", "[::]:0", "::1"},
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t, listener.network, listener.listen)
			_, port, _ := net.SplitHostPort(l.Addr().String())
			uids := otherUIDs()
			if name != "IPv4" { // a child takes a second to start under the race detector
				uids = uids[len(uids)-1:]
			}
			for _, uid := range uids {
				connectAs(t, uid, net.JoinHostPort(listener.dial, port))
				s := accept(t, l)
				eachSource(t, func(t *testing.T, from table) {
					if got, err := lookup(s, from); err != nil || got != uint32(uid) {
						t.Errorf("uid %d, %v; want %d", got, err, uid)
					}
				})
			}
		})
	}
}

// TestMapped has a client whose socket is of IPv6 and whose server's is of IPv4.
func TestMapped(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	to := unix.SockaddrInet6{Port: l.Addr().(*net.TCPAddr).Port, Addr: netip.MustParseAddr("::ffff:127.0.0.1").As16()}
	if err := unix.Connect(fd, &to); err != nil {
		t.Fatal(err)
	}
	s := accept(t, l)
	eachSource(t, func(t *testing.T, from table) {
		if got, err := lookup(s, from); err != nil || got != uint32(os.Getuid()) {
			t.Errorf("uid %d, %v", got, err)
		}
	})
}

// TestHalfClosed: a client that has said all it will is still there.
func TestHalfClosed(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	c, s := pair(t, l, l.Addr().String())
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	readEnd(t, s)
	eachSource(t, func(t *testing.T, from table) {
		if got, err := lookup(s, from); err != nil || got != uint32(os.Getuid()) {
			t.Errorf("uid %d, %v", got, err)
		}
	})
}

func readEnd(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("%d, %v; want the end", n, err)
	}
}

// TestClosed: the socket that a client has closed is nobody's, though the kernel
// says user 0, and so is one in TIME_WAIT.
func TestClosed(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	c, s := pair(t, l, l.Addr().String())
	ours := describeConn(t, s)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	readEnd(t, s)
	refused(t, s)
	// Where the kernel still shows it, it is user 0's, which is what must not be believed.
	theirs, _, err := diagnose(ours)
	if err == nil && (theirs.inode != 0 || theirs.uid != 0) {
		t.Errorf("the kernel shows %+v for an orphan: is this test still right?", theirs)
	}
	if err := s.CloseWrite(); err != nil { // now theirs is in TIME_WAIT
		t.Fatal(err)
	}
	refused(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, s)
}

func refused(t *testing.T, s net.Conn) {
	t.Helper()
	eachSource(t, func(t *testing.T, from table) {
		if got, err := lookup(s, from); !errors.Is(err, ErrUnknown) || got != 0 {
			t.Errorf("uid %d, %v; want ErrUnknown", got, err)
		}
	})
}

func describeConn(t *testing.T, c net.Conn) own {
	t.Helper()
	raw, err := rawConn(c)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := describe(raw)
	if err != nil {
		t.Fatal(err)
	}
	return ours
}

// TestReset: a connection that was broken off on our side has no answer.
func TestReset(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	c, s := pair(t, l, l.Addr().String())
	if err := c.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, _ = s.Read(make([]byte, 1)) // returns when the reset has come
	refused(t, s)
}

// TestEndsMeanwhile: the tables say who it is, but the connection is gone before
// the answer is, so that the addresses may be another's by now.
func TestEndsMeanwhile(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	c, s := pair(t, l, l.Addr().String())
	from := table{diag: func(ours own) (socket, socket, error) {
		theirs, mine, err := diagnose(ours)
		_ = c.SetLinger(0)
		_ = c.Close()
		_, _ = s.Read(make([]byte, 1))
		return theirs, mine, err
	}}
	if got, err := lookup(s, from); !errors.Is(err, ErrUnknown) || got != 0 {
		t.Errorf("uid %d, %v; want ErrUnknown", got, err)
	}
}

func TestNotLoopback(t *testing.T) {
	if got, err := Lookup(nil); !errors.Is(err, ErrNotLoopback) || got != 0 {
		t.Errorf("nil: %d, %v", got, err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if got, err := Lookup(a); !errors.Is(err, ErrNotLoopback) || got != 0 {
		t.Errorf("pipe: %d, %v", got, err)
	}
	// A connection to an address of this machine that is not loopback never
	// leaves it, but neither end is a loopback address.
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		ip := addr.(*net.IPNet).IP
		if ip.IsLoopback() || ip.IsLinkLocalUnicast() {
			continue
		}
		l := listen(t, "tcp", net.JoinHostPort(ip.String(), "0"))
		_, s := pair(t, l, l.Addr().String())
		if got, err := Lookup(s); !errors.Is(err, ErrNotLoopback) || got != 0 {
			t.Errorf("%v: %d, %v", ip, got, err)
		}
	}
}

// TestJudge has the answers that a kernel gives and that must not be believed.
func TestJudge(t *testing.T) {
	local, remote := netip.MustParseAddrPort("127.0.0.1:8443"), netip.MustParseAddrPort("127.0.0.1:5000")
	ours := own{local, remote, 7}
	type ends struct{ theirs, mine socket }
	good := ends{
		theirs: socket{remote, local, stateEstablished, 1000, 8},
		mine:   socket{local, remote, stateEstablished, 0, 7},
	}
	if err := judge(ours, good.theirs, good.mine); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*ends){
		"TIME_WAIT":            func(e *ends) { e.theirs.state = 6 },
		"LISTEN":               func(e *ends) { e.theirs.state = 10 },
		"SYN_SENT":             func(e *ends) { e.theirs.state = 2 },
		"NEW_SYN_RECV":         func(e *ends) { e.theirs.state = 12 },
		"orphan":               func(e *ends) { e.theirs.inode = 0 },
		"a listener":           func(e *ends) { e.theirs.remote = netip.MustParseAddrPort("0.0.0.0:0") },
		"another client":       func(e *ends) { e.theirs.local = local },
		"nobody":               func(e *ends) { e.theirs.uid = overflowUID },
		"no uid":               func(e *ends) { e.theirs.uid = ^uint32(0) },
		"another namespace":    func(e *ends) { e.mine.inode = 9 },
		"ours is missing":      func(e *ends) { e.mine = socket{} },
		"ours has ended":       func(e *ends) { e.mine.state = 7 },
		"connected to oneself": func(e *ends) { e.theirs.inode = 7 },
	} {
		e := good
		spoil(&e)
		if judge(ours, e.theirs, e.mine) == nil {
			t.Errorf("%s: believed", name)
		}
	}
}

// TestProcFaults has tables that answer twice, or for only one end.
func TestProcFaults(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	_, s := pair(t, l, l.Addr().String())
	ours := describeConn(t, s)
	hexAddr := func(a netip.AddrPort) string { return fmt.Sprintf("0100007F:%04X", a.Port()) }
	heading := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	line := func(local, remote netip.AddrPort, uid, inode uint32) string {
		return fmt.Sprintf("   0: %s %s 01 00000000:00000000 00:00000000 00000000 %5d        0 %d 1 0 20 4 30 10 -1\n", hexAddr(local), hexAddr(remote), uid, inode)
	}
	mine := line(ours.local, ours.remote, 0, ours.inode)
	theirs := line(ours.remote, ours.local, 1234, ours.inode+1)
	for name, c := range map[string]struct {
		text string
		good bool
	}{
		"good":               {heading + mine + theirs, true},
		"in another order":   {heading + theirs + "garbage\n" + mine, true},
		"theirs twice":       {heading + theirs + mine + line(ours.remote, ours.local, 99, 4), false},
		"ours twice":         {heading + theirs + mine + mine, false},
		"ours missing":       {heading + theirs, false},
		"theirs missing":     {heading + mine, false},
		"theirs is orphaned": {heading + mine + line(ours.remote, ours.local, 0, 0), false},
		"ours is another":    {heading + theirs + line(ours.local, ours.remote, 0, ours.inode+5), false},
		"empty":              {"", false},
		"an endless line":    {heading + theirs + mine + strings.Repeat("x", 1<<20), false},
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "tcp"), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := lookup(s, table{diag: noDiag, proc: folder})
		if c.good && (err != nil || got != 1234) || !c.good && (!errors.Is(err, ErrUnknown) || got != 0) {
			t.Errorf("%s: uid %d, %v", name, got, err)
		}
	}
	if _, err := lookup(s, table{diag: noDiag, proc: t.TempDir()}); !errors.Is(err, ErrUnknown) {
		t.Errorf("no table at all: %v", err)
	}
}

// TestConn: through wrappers, once, and kept when the connection has ended.
func TestConn(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	client, s := pair(t, l, l.Addr().String())
	ctx := ConnContext(t.Context(), tls.Server(s, &tls.Config{}))
	c := FromContext(ctx)
	if uid, err := c.UID(); err != nil || uid != uint32(os.Getuid()) {
		t.Fatalf("uid %d, %v", uid, err)
	}
	_ = client.Close()
	_ = s.Close()
	if uid, err := c.UID(); err != nil || uid != uint32(os.Getuid()) {
		t.Errorf("asked again: uid %d, %v", uid, err)
	}
	if _, err := New(s).UID(); !errors.Is(err, ErrUnknown) {
		t.Errorf("asked too late: %v", err)
	}
	if FromContext(t.Context()) != nil {
		t.Error("a Conn from nowhere")
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte("   0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0"))
	f.Add([]byte("   1: 00000000000000000000000001000000:1F90 0000000000000000FFFF00000100007F:C350 06 00000000:00000000 03:00000000 00000000 0 0 0 3 0"))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, line []byte) {
		s, ok := parseLine(line)
		if ok && (!s.local.IsValid() || !s.remote.IsValid() || s.local.Addr().Is4In6()) {
			t.Errorf("%q: %+v", line, s)
		}
	})
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(request(1, netip.MustParseAddrPort("127.0.0.1:80"), netip.MustParseAddrPort("127.0.0.1:81")))
	f.Add(append(request(1, netip.MustParseAddrPort("[::1]:80"), netip.MustParseAddrPort("[::1]:81")), make([]byte, 16)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseAnswer(b, 1); err == nil && !s.local.IsValid() {
			t.Errorf("%x: %+v", b, s)
		}
	})
}
