package listener

import (
	"net"
	"net/netip"
	"sync"
)

// crowd counts open connections, all together and by address. The zero value is
// empty. It is as large as the number of connections that it lets in.
type crowd struct {
	mu         sync.Mutex // guards what follows
	most       int
	perAddress int
	all        int
	byAddress  map[netip.Addr]int
}

// admit counts c in, as a connection that is counted out when it is closed. It
// returns nil, and c is closed, if there are too many.
func (l *Listener) admit(c net.Conn) *begun {
	addr := origin(c)
	if !l.open.enter(addr) {
		_ = c.Close()
		return nil
	}
	return &begun{Conn: c, leave: sync.OnceFunc(func() { l.open.leave(addr) })}
}

// Open returns how many connections are open.
func (l *Listener) Open() int {
	l.open.mu.Lock()
	defer l.open.mu.Unlock()
	return l.open.all
}

// origin is what connections are counted by.
func origin(c net.Conn) netip.Addr {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	if addr.Is6() { // who has one address of a network has them all
		prefix, _ := addr.Prefix(64) // an IPv6 address has 64 bits
		addr = prefix.Addr()
	}
	return addr
}

// Limit sets how many connections there may be from now on, as [Options] does; 0
// means the defaults. Those that are open stay.
func (l *Listener) Limit(connections, perAddress int) {
	if connections <= 0 {
		connections = 8192
	}
	if perAddress <= 0 {
		perAddress = 2048
	}
	c := &l.open
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most, c.perAddress = connections, perAddress
}

func (c *crowd) enter(addr netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= c.most || c.byAddress[addr] >= c.perAddress {
		return false
	}
	if c.byAddress == nil {
		c.byAddress = map[netip.Addr]int{}
	}
	c.all++
	c.byAddress[addr]++
	return true
}

func (c *crowd) leave(addr netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.byAddress[addr]--; c.byAddress[addr] == 0 {
		delete(c.byAddress, addr)
	}
}
