// Package audit keeps the record of who did what through the proxy, and as one of its
// operators: one line of JSON for each request, in a file of its own or in the
// program's log.
//
//	{"time":"2026-03-01T12:00:00.000Z","caller":"nightly","identity":"alice","address":"127.0.0.1:51034",
//	 "method":"POST","path":"/server/rest/services/Trees/FeatureServer/0/query","query":["f","where"],
//	 "status":200,"bytes":1834,"duration_ms":41.207,"renewed":false}
//
// (one line each, in the file). Of a query only the names of its parameters are
// kept, since values may be secrets or nobody's business. Texts are cut at a
// length, and everything in them that does not print is escaped: a caller can
// neither forge a line nor steer a terminal that shows one.
//
// # The file
//
// It is made with mode 0600, and one that others could read is closed to them.
// At Config.MaxSize it is renamed to FILE.1, the last FILE.1 to FILE.2, and so
// on, up to Config.Keep. If something else renames it, a new one is begun within
// about a second of the next request; no signal is needed.
//
// # Time and loss
//
// [Trail.Write] puts a line into memory and returns; one goroutine writes what
// has gathered, whole lines in the order they came. A request never waits for a
// disk. [Trail.Close] writes all that is left. A crash of the machine or a kill
// can lose the lines of the last moment.
//
// When the file cannot be written, a full disk for one, requests go on: stopping
// everybody's work is not what an audit is for, and a caller who could fill the
// disk could stop it. It is said loudly in the program's log, once; the lines
// are kept in memory, up to 4 MiB, and written in order when that is possible
// again. What is beyond is lost, and a line with the number of lost ones,
// {"time":…,"lost":123}, stands in their place.
package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Record is one request that was answered.
type Record struct {
	Time     time.Time     // when it began; zero: now
	Caller   string        // who sent it, by the config's name, or a word in parentheses
	Identity string        // whose token it got, or to whom it was done
	Address  string        // the other end of the connection, or what that was
	Method   string        //
	Path     string        // the raw path
	RawQuery string        // the raw query, of which only names are written
	Status   int           // of the answer; 101 for a WebSocket
	Bytes    int64         // of the answer's body that were sent
	Duration time.Duration // until the last of them
	Renewed  bool          // the first token was refused, and a fresh one was used
}

// Config says where records go. The zero value means the log.
type Config struct {
	File    string // "": the log, at level info
	MaxSize int64  // bytes after which the file is put aside; 0: 100 MiB
	Keep    int    // how many are kept aside; 0: 5
}

// Defaults and bounds of [Config].
const (
	defaultMaxSize = 100 << 20
	minMaxSize     = 64 << 10
	defaultKeep    = 5
	maxKeep        = 1000
)

// maxPending is how much is kept in memory while the file cannot be written.
const maxPending = 4 << 20

// retryAfter is the time between attempts to write to a file that failed.
const retryAfter = time.Second

// Trail writes records. It is safe for concurrent use; end it with [Trail.Close].
type Trail struct {
	log  *slog.Logger
	file *rotating // nil: to the log

	wake    chan struct{} // holds one when there is something to write
	closing chan struct{} // closed by Close
	ended   chan struct{} // closed when run has returned
	once    sync.Once     // of Close
	result  error         // of Close; set before ended is closed

	mu      sync.Mutex // guards what follows
	pending []byte     // whole lines
	lost    int        // records that did not fit since the last lines were taken
	closed  bool
}

// New opens the file and starts the goroutine that writes to it. log is where
// records go without a file, and where failures are told; nil: nowhere.
func New(config Config, log *slog.Logger) (*Trail, error) {
	return start(config, log, openFile)
}

func start(config Config, log *slog.Logger, open opener) (*Trail, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &Trail{log: log, wake: make(chan struct{}, 1), closing: make(chan struct{}), ended: make(chan struct{})}
	if config.File == "" {
		if config.MaxSize != 0 || config.Keep != 0 {
			return nil, errors.New("audit: a size and a number of files to keep mean nothing without a file")
		}
		close(t.ended)
		return t, nil
	}
	if config.MaxSize == 0 {
		config.MaxSize = defaultMaxSize
	}
	if config.Keep == 0 {
		config.Keep = defaultKeep
	}
	switch {
	case config.MaxSize < minMaxSize:
		return nil, fmt.Errorf("audit: a file of %d bytes at most is too small: write %d or more", config.MaxSize, minMaxSize)
	case config.Keep < 0 || config.Keep > maxKeep:
		return nil, fmt.Errorf("audit: %d files to keep: write a number from 1 to %d", config.Keep, maxKeep)
	}
	t.file = &rotating{name: config.File, max: config.MaxSize, keep: config.Keep, open: open, log: log}
	if err := t.file.ready(); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	go t.run()
	return t, nil
}

// Write records one request. It does not wait for the file. After Close it does
// nothing.
func (t *Trail) Write(r *Record) {
	if t.file == nil {
		t.tell(r)
		return
	}
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	before := len(t.pending)
	t.pending = appendRecord(t.pending, r)
	first := false
	if len(t.pending) > maxPending {
		t.pending = t.pending[:before]
		t.lost++
		first = t.lost == 1
	}
	t.mu.Unlock()
	if before == 0 || first {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
	if first {
		t.log.Error("audit records are being lost: the file is not written fast enough, or not at all", slog.String("file", t.file.name))
	}
}

// Close writes what is left and closes the file. The error says how much could
// not be written.
func (t *Trail) Close() error {
	t.once.Do(func() {
		t.mu.Lock()
		t.closed = true
		t.mu.Unlock()
		close(t.closing)
	})
	<-t.ended
	return t.result
}

// tell puts a record into the log.
func (t *Trail) tell(r *Record) {
	ctx := context.Background()
	if !t.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	t.log.LogAttrs(ctx, slog.LevelInfo, "request",
		slog.String("caller", cut(r.Caller, maxName)),
		slog.String("identity", cut(r.Identity, maxName)),
		slog.String("address", cut(r.Address, maxName)),
		slog.String("method", cut(r.Method, maxMethod)),
		slog.String("path", cut(r.Path, maxPath)),
		slog.Any("query", queryNames(r.RawQuery)),
		slog.Int("status", r.Status),
		slog.Int64("bytes", r.Bytes),
		slog.Duration("took", r.Duration),
		slog.Bool("renewed", r.Renewed),
	)
}

// run writes what has gathered until the Trail is closed. It belongs to New and
// ends with Close.
func (t *Trail) run() {
	defer close(t.ended)
	var (
		spare  []byte           // swapped with pending
		left   []byte           // taken, not written yet
		retry  <-chan time.Time // nil: nothing failed
		failed bool             // it has been said
	)
	for open := true; open; {
		select {
		case <-t.wake:
			if retry != nil {
				continue
			}
		case <-retry:
		case <-t.closing:
			open = false
		}
		retry = nil
		for retry == nil {
			if len(left) == 0 {
				left = t.take(spare)
				spare = left[:0] // its memory, for when it has been written
				if len(left) == 0 {
					break
				}
			}
			n, err := t.file.write(left)
			left = left[n:]
			switch {
			case err != nil:
				retry = time.After(retryAfter)
				if !failed {
					t.log.Error("cannot write audit records; requests go on, and records are kept in memory for a while",
						slog.String("file", t.file.name), slog.Any("error", err))
				}
				failed = true
				if !open {
					t.result = fmt.Errorf("audit: %d bytes of records are lost: %w", len(left)+len(t.take(nil)), err)
				}
			case failed && len(left) == 0:
				failed = false
				t.log.Warn("audit records are written again", slog.String("file", t.file.name))
			}
		}
	}
	if err := t.file.close(); err != nil && t.result == nil {
		t.result = fmt.Errorf("audit: %w", err)
	}
}

// take returns the lines that wait to be written, and leaves an empty buffer
// with the memory of spare.
func (t *Trail) take(spare []byte) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost > 0 {
		t.pending = appendLost(t.pending, time.Now(), t.lost)
		t.lost = 0
	}
	lines := t.pending
	// What one bad hour needed is not kept for ever.
	if cap(spare) > maxPending/4 {
		spare = nil
	}
	t.pending = spare[:0]
	return lines
}
