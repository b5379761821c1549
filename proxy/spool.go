package proxy

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultReplay is the largest body that is kept when [Config] does not say.
const DefaultReplay = 16 << 20

const (
	// spoolMemory is how much of a streamed body is kept in memory; a longer one goes
	// to a file.
	spoolMemory = 64 << 10
	// spoolInAll bounds the files of all bodies together.
	spoolInAll = 1 << 30
	// spoolQuiet is how long a disk that fails is not complained about again.
	spoolQuiet = time.Minute
)

// spool keeps a body while it streams to the upstream, so that it can be sent once
// more: from the beginning what has been kept, and then what is still to come. What is
// longer than the limit, or finds no room, streams on and is lost for that.
type spool struct {
	body  *body
	proxy *Proxy
	limit int64
	done  atomic.Bool // the handler has ended

	// The transport may still be reading for the last attempt when the next begins,
	// which waits until that read is over; mu is held while the caller is waited for.
	mu     sync.Mutex // guards what follows
	src    io.Reader
	turn   int // of the attempt that may read
	kept   int64
	memory []byte
	file   *os.File // nil: all is in memory
	lost   bool
}

var (
	errNextAttempt = errors.New("the request is being sent again")
	errLost        = errors.New("the body was too large to be kept and sent again")
	errSpoolFull   = errors.New("as much as may be kept in files is there already")
)

// spool has a streamed body kept, if it may be short enough.
func (x *exchange) spool() {
	b := &x.body
	if b.stream == nil || x.proxy.replay <= 0 || x.in.ContentLength > x.proxy.replay {
		return
	}
	b.spool = &spool{body: b, proxy: x.proxy.Proxy, limit: x.proxy.replay, src: b.stream}
}

// rewind ends the attempt under way, and reports whether the next would have all of
// the body.
func (s *spool) rewind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn++
	return !s.lost
}

// begin returns the body for an attempt.
func (s *spool) begin() io.ReadCloser {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &attempt{s: s, turn: s.turn}
}

// keep adds what was read. mu is held.
func (s *spool) keep(p []byte) {
	if s.lost || len(p) == 0 {
		return
	}
	if s.kept+int64(len(p)) > s.limit {
		s.lose()
		return
	}
	if s.file == nil && s.kept+int64(len(p)) <= spoolMemory {
		s.memory = append(s.memory, p...)
		s.kept += int64(len(p))
		return
	}
	err := s.toFile()
	if err == nil && s.proxy.spooled.Add(int64(len(p))) > spoolInAll {
		s.proxy.spooled.Add(-int64(len(p)))
		err = errSpoolFull
	}
	if err == nil {
		s.kept += int64(len(p))
		_, err = s.file.WriteAt(p, s.kept-int64(len(p)))
	}
	if err != nil {
		s.lose()
		s.proxy.complain(err)
	}
}

// toFile goes on in a file, which has no name that anybody could open it by.
func (s *spool) toFile() error {
	if s.file != nil {
		return nil
	}
	if s.proxy.spooled.Add(s.kept) > spoolInAll {
		s.proxy.spooled.Add(-s.kept)
		return errSpoolFull
	}
	file, err := os.CreateTemp(s.proxy.tempDir, "arcproxy-body-") // mode 0600
	if err != nil {
		s.proxy.spooled.Add(-s.kept)
		return err
	}
	s.file = file
	_ = os.Remove(file.Name()) // fails on Windows; then lose does it
	_, err = file.Write(s.memory)
	s.memory = nil
	return err
}

// lose lets go of what was kept. mu is held.
func (s *spool) lose() {
	s.lost, s.memory = true, nil
	if s.file == nil {
		return
	}
	_ = s.file.Close()
	_ = os.Remove(s.file.Name())
	s.file = nil
	s.proxy.spooled.Add(-s.kept)
}

// end lets go of what was kept, at once or when the read is over that is under way: a
// handler that has its answer does not wait for its caller.
func (s *spool) end() {
	if s == nil {
		return
	}
	s.done.Store(true)
	s.tidy()
}

func (s *spool) tidy() {
	if s.mu.TryLock() {
		s.turn++ // nobody reads any more
		s.lose()
		s.mu.Unlock()
	}
}

// attempt is the body of one attempt.
type attempt struct {
	s    *spool
	turn int
	at   int64 // what of the kept has been read
}

// Read implements [io.Reader].
func (a *attempt) Read(p []byte) (int, error) {
	n, err := a.read(p)
	if a.s.done.Load() {
		a.s.tidy()
	}
	return n, err
}

func (a *attempt) read(p []byte) (int, error) {
	s := a.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turn != a.turn {
		return 0, errNextAttempt
	}
	if a.at < s.kept && !s.lost {
		p = p[:min(int64(len(p)), s.kept-a.at)]
		n := copy(p, s.memory[min(a.at, int64(len(s.memory))):])
		var err error
		if s.file != nil {
			n, err = s.file.ReadAt(p, a.at)
		}
		if a.at += int64(n); n > 0 {
			err = nil
		}
		return n, err
	}
	n, err := s.src.Read(p)
	s.keep(p[:n])
	a.at += int64(n)
	if err != nil && err != io.EOF {
		s.body.broken.Store(true)
	}
	return n, err
}

// Close implements [io.Closer]. The server closes what it opened.
func (a *attempt) Close() error { return nil }

// complain says that bodies can't be kept, now and then.
func (p *Proxy) complain(err error) {
	now := time.Now().Unix()
	last := p.complained.Load()
	if now-last < int64(spoolQuiet/time.Second) || !p.complained.CompareAndSwap(last, now) {
		return
	}
	p.log.Error("bodies of requests cannot be kept: those that an upstream refuses for their token are answered with 503 instead of being sent again",
		slog.String("error", fmt.Sprint(err)), slog.String("dir", p.tempDir), slog.String("remedy", "make room there, or lower limits.replay"))
}
