package listener

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
)

// One connection more than there may be is closed as it comes, with TLS and
// without; when one goes, there is room again.
func TestTooManyConnections(t *testing.T) {
	for _, config := range []*tls.Config{nil, {}} {
		for _, opts := range []Options{{Connections: 2}, {PerAddress: 2}} {
			t.Run(fmt.Sprint(config != nil, opts.Connections), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					inner := newPipes()
					l := New(inner, config, opts)
					defer l.Close()
					accepted := make(chan net.Conn, 10)
					ended := make(chan struct{})
					go func() {
						defer close(ended)
						for {
							c, err := l.Accept()
							if err != nil {
								return
							}
							accepted <- c
						}
					}()
					speak := func() error {
						_, err := inner.dial().Write([]byte("G"))
						return err
					}
					for range 2 {
						go speak()
					}
					a, b := <-accepted, <-accepted
					if err := speak(); err == nil {
						t.Error("a third one was let in")
					}
					_ = a.Close()
					_ = a.Close() // counts once
					go speak()
					c := <-accepted
					if err := speak(); err == nil {
						t.Error("closing one twice made room for two")
					}
					_ = b.Close()
					_ = c.Close()
					if l.open.all != 0 || len(l.open.byAddress) != 0 {
						t.Errorf("with all closed, the count is %d, %v", l.open.all, l.open.byAddress)
					}
					_ = l.Close()
					<-ended
				})
			})
		}
	}
}

// Connections that never spoke are counted out when they are given up.
func TestSilentConnectionsLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newPipes()
		l := New(inner, &tls.Config{}, Options{})
		for range 3 {
			ended(t, inner.dial())
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if l.open.all != 0 {
			t.Errorf("the count is %d", l.open.all)
		}
	})
}

// from is a connection from an address.
type from struct {
	net.Conn
	addr string
}

func (f from) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.addr))
}

func TestConnectionsAreCountedByNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1:5": "192.0.2.1", "[::ffff:192.0.2.1]:5": "192.0.2.1", "[2001:db8::1:2:3:4]:5": "2001:db8::", "[fe80::1%lo]:5": "fe80::",
	} {
		if got := origin(from{addr: addr}); got.String() != want {
			t.Errorf("%s is counted as %v", addr, got)
		}
	}
}

// Other limits hold for those who come; who is there stays.
func TestLimitsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newPipes()
		l := New(inner, nil, Options{Connections: 2})
		defer l.Close()
		var open []net.Conn
		come := func() bool {
			n := len(open)
			go inner.dial()
			go func() {
				if c, err := l.Accept(); err == nil {
					open = append(open, c)
				}
			}()
			synctest.Wait()
			return len(open) > n
		}
		if first, second, third := come(), come(), come(); !first || !second || third {
			t.Fatal("two, and no more")
		}
		l.Limit(3, 0)
		if !come() { // the Accept of before goes on
			t.Error("there is room for a third")
		}
		l.Limit(1, 0)
		if come() || l.open.all != 3 {
			t.Errorf("%d connections", l.open.all)
		}
	})
}
