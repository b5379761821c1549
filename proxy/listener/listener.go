package listener

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// handshakeRecord is the first byte of every TLS connection: the content type
// "handshake" of the record that carries the ClientHello (RFC 8446 §5.1).
const handshakeRecord = 0x16

// Options are the limits of a [Listener]. The zero value means the defaults.
type Options struct {
	// FirstByte is how long a new connection may stay silent before it is
	// closed. Default 10 s.
	FirstByte time.Duration
	// Waiting is how many connections may wait at the same time for their first
	// byte or to be accepted. When one more comes, the one that has waited
	// longest is closed: an honest caller speaks within a round trip, so a crowd
	// of silent ones can't keep it out. Default 4096.
	Waiting int
	// Connections is how many connections there may be at the same time, and
	// PerAddress how many of them from one IP address, or one IPv6 network of 64
	// bits. One more is closed as it comes: those that are open are of use to
	// somebody. Defaults 8192 and 2048.
	Connections, PerAddress int
	// Log hears of failures to accept. Default: nobody does.
	Log *slog.Logger
}

// Listener is a [net.Listener] for HTTP and HTTPS on one port.
// Make one with [New], end it with [Listener.Close].
type Listener struct {
	inner net.Listener
	tls   *tls.Config
	opts  Options // but for Connections and PerAddress, which open has

	ready chan net.Conn // from the connections' goroutines to Accept
	done  chan struct{} // closed when nothing more will come
	wg    sync.WaitGroup

	mu      sync.Mutex // guards what follows
	waiting list.List  // of net.Conn, the oldest first
	open    crowd      // all that have been accepted and not closed
	err     error      // why done is closed
}

// New starts to accept connections from inner, which then belongs to the
// Listener. With a nil tlsConfig every connection is taken for plain HTTP, as
// it comes.
func New(inner net.Listener, tlsConfig *tls.Config, opts Options) *Listener {
	if opts.FirstByte <= 0 {
		opts.FirstByte = 10 * time.Second
	}
	if opts.Waiting <= 0 {
		opts.Waiting = 4096
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	l := &Listener{
		inner: inner,
		tls:   tlsConfig,
		opts:  opts,
		ready: make(chan net.Conn),
		done:  make(chan struct{}),
	}
	l.Limit(opts.Connections, opts.PerAddress)
	if tlsConfig != nil {
		l.wg.Go(l.accept)
	}
	return l
}

// Addr is the address of the inner listener.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Accept returns the next connection that has begun to speak: a *[tls.Conn]
// whose handshake is still to be done, or a plain connection. After Close the
// error is [net.ErrClosed].
func (l *Listener) Accept() (net.Conn, error) {
	for l.tls == nil {
		c, err := l.inner.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.admit(c); c != nil {
			return c, nil
		}
	}
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.done:
		l.mu.Lock()
		defer l.mu.Unlock()
		return nil, l.err
	}
}

// Close stops accepting, closes the connections that Accept has not returned,
// and waits until no goroutine of the Listener is left.
func (l *Listener) Close() error {
	l.stop(net.ErrClosed)
	err := l.inner.Close()
	l.wg.Wait()
	return err
}

// stop makes Accept return err and closes the connections that wait.
func (l *Listener) stop(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = err
	close(l.done)
	for e := l.waiting.Front(); e != nil; e = e.Next() {
		_ = e.Value.(net.Conn).Close()
	}
}

// accept takes connections from the inner listener until that is closed. Like
// net/http it outlasts errors that call themselves temporary (out of file
// descriptors, a connection that was aborted in the queue), with a growing pause.
func (l *Listener) accept() {
	const longest = time.Second
	var pause time.Duration
	for {
		c, err := l.inner.Accept()
		if err == nil {
			pause = 0
			c := l.admit(c)
			if c == nil {
				continue
			}
			if e := l.enter(c); e != nil {
				l.wg.Go(func() { l.await(c, e) })
			}
			continue
		}
		if t, ok := errors.AsType[interface {
			error
			Temporary() bool
		}](err); !ok || !t.Temporary() {
			l.stop(err)
			return
		}
		pause = min(max(2*pause, 5*time.Millisecond), longest)
		l.opts.Log.LogAttrs(context.Background(), slog.LevelWarn, "can't accept a connection; trying again",
			slog.Any("error", err), slog.Duration("after", pause))
		select {
		case <-time.After(pause):
		case <-l.done:
			return
		}
	}
}

// enter puts c among those that wait, and closes the oldest if they are too
// many. It returns nil, and c is closed, if the Listener has stopped.
func (l *Listener) enter(c *begun) *list.Element {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		_ = c.Close()
		return nil
	}
	if l.waiting.Len() >= l.opts.Waiting {
		oldest := l.waiting.Front()
		_ = l.waiting.Remove(oldest).(net.Conn).Close()
	}
	return l.waiting.PushBack(c)
}

// leave takes a connection out again. One that was pushed out is no longer in
// the list, which Remove does not mind.
func (l *Listener) leave(e *list.Element) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting.Remove(e)
}

// await waits for the first byte of c and hands c to Accept.
func (l *Listener) await(c *begun, e *list.Element) {
	defer l.leave(e)
	var first [1]byte
	// A deadline that can't be set means a connection that is gone; the read tells.
	_ = c.SetReadDeadline(time.Now().Add(l.opts.FirstByte))
	if _, err := io.ReadFull(c, first[:]); err != nil {
		_ = c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Time{}) // from here on, deadlines are the server's
	c.first = first[:]
	var conn net.Conn = c
	if first[0] == handshakeRecord {
		conn = tls.Server(conn, l.tls)
	}
	select {
	case l.ready <- conn:
	case <-l.done:
		_ = c.Close()
	}
}

// begun is a connection whose first byte was read already; it reads as if it
// had not been.
type begun struct {
	net.Conn
	first []byte // what is still to be read of it; used by Read alone
	leave func() // gives back its place in the crowd
}

func (c *begun) Read(p []byte) (int, error) {
	if len(c.first) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.first)
	c.first = c.first[n:]
	return n, nil
}

// NetConn returns the connection as it came, for who needs its socket.
func (c *begun) NetConn() net.Conn { return c.Conn }

// CloseWrite lets net/http say that it has no more to send before it closes, so
// that a caller still sending gets the answer and not a reset.
func (c *begun) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close implements [net.Conn].
func (c *begun) Close() error {
	c.leave()
	return c.Conn.Close()
}
