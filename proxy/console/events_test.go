package console

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// line is a ResponseWriter that somebody listens to.
type line struct {
	mu     sync.Mutex // guards what follows
	header http.Header
	status int
	text   strings.Builder
	sent   int       // bytes that were flushed
	until  time.Time // the write deadline
}

func (l *line) SetWriteDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = t
	return nil
}

func (l *line) Header() http.Header { return l.header }
func (l *line) WriteHeader(s int)   { l.status = s }
func (l *line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}
func (l *line) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = l.text.Len()
}

// events is how many were flushed.
func (l *line) events() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String()[:l.sent], "event: change\n")
}

// listen begins to listen, and returns what ends with the answer.
func listen(ctx context.Context, c *Console) (*line, <-chan struct{}) {
	l := &line{header: http.Header{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.ServeHTTP(l, httptest.NewRequestWithContext(ctx, "GET", Path+"api/v1/events", nil))
	}()
	synctest.Wait()
	return l, done
}

func TestEventsFollowChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{}
		c := New(Config{Control: d})
		defer c.Close()
		ctx, leave := context.WithCancel(t.Context())
		l, done := listen(ctx, c)
		if l.status != 200 || l.header.Get("Content-Type") != "text/event-stream" || l.header.Get("Cache-Control") != "no-store" || l.events() != 1 {
			t.Fatalf("%d %v %q", l.status, l.header, l.text.String())
		}
		for range 50 { // in no time
			d.Tell()
		}
		time.Sleep(time.Second)
		if n := l.events(); n != 2 {
			t.Errorf("%d events after a bunch of changes", n)
		}
		time.Sleep(2 * eventBeat)
		if n := l.events(); n != 4 {
			t.Errorf("%d events after two beats", n)
		}
		l.mu.Lock()
		if !l.until.IsZero() {
			t.Error("the deadline of a write outlives it, and ends the stream")
		}
		l.mu.Unlock()
		leave()
		<-done
	})
}

func TestEventsEndWithTheProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{Control: &desk{}})
		defer c.Close()
		began := time.Now()
		_, first := listen(t.Context(), c)
		time.Sleep(time.Second)
		_, second := listen(t.Context(), c) // in its pause between two events
		c.Drain()
		<-first
		<-second
		if d := time.Since(began); d > time.Second {
			t.Errorf("they ended after %v", d)
		}
	})
}

func TestWhoListensIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{Control: &desk{}})
		defer c.Close()
		began := time.Now()
		_, done := listen(t.Context(), c)
		<-done
		if d := time.Since(began); d < streamMost || d > streamMost+time.Second {
			t.Errorf("it ended after %v", d)
		}
	})
}

func TestOnlySoManyListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{Control: &desk{}})
		defer c.Close()
		ctx, leave := context.WithCancel(t.Context())
		var all []<-chan struct{}
		for range streamsMost {
			_, done := listen(ctx, c)
			all = append(all, done)
		}
		l, done := listen(t.Context(), c)
		<-done
		if l.status != http.StatusServiceUnavailable || l.header.Get("Retry-After") == "" {
			t.Errorf("one more: %d %v", l.status, l.header)
		}
		leave()
		for _, done := range all {
			<-done
		}
		if l, _ := listen(t.Context(), c); l.status != 200 {
			t.Errorf("when the others have left: %d", l.status)
		}
		c.Drain()
		synctest.Wait()
	})
}

// TestWhoDoesNotReadIsLeft has a client that never takes what it is sent.
func TestWhoDoesNotReadIsLeft(t *testing.T) {
	c := New(Config{Control: &desk{}})
	defer c.Close()
	var deadlines int
	w := &deaf{ResponseRecorder: httptest.NewRecorder(), set: func(d time.Time) {
		if d.After(time.Now()) && d.Before(time.Now().Add(eventMost+time.Second)) {
			deadlines++
		}
	}}
	c.ServeHTTP(w, httptest.NewRequest("GET", Path+"api/v1/events", nil))
	if deadlines != 1 {
		t.Errorf("%d deadlines", deadlines)
	}
	r := httptest.NewRecorder()
	c.ServeHTTP(r, httptest.NewRequest("HEAD", Path+"api/v1/events", nil)) // comes back
	if r.Code != 200 || r.Body.Len() != 0 {
		t.Errorf("HEAD: %d %q", r.Code, r.Body)
	}
}

// deaf has a write fail as one does after its deadline.
type deaf struct {
	*httptest.ResponseRecorder
	set func(time.Time)
}

func (d *deaf) SetWriteDeadline(t time.Time) error { d.set(t); return nil }
func (d *deaf) Write([]byte) (int, error)          { return 0, http.ErrHandlerTimeout }
