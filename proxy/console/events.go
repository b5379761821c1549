package console

import (
	"fmt"
	"net/http"
	"time"
)

const (
	// eventPause is the least time between two events: whoever hears of a change
	// asks what it was.
	eventPause = 250 * time.Millisecond
	// eventBeat is the time after which something is sent in any case, so that
	// both ends notice when the other is gone, and figures move.
	eventBeat = 15 * time.Second
	// eventMost is how long an event may take to leave: who does not read must not
	// keep the program from ending.
	eventMost = 10 * time.Second
	// streamsMost is how many may listen at a time.
	streamsMost = 64
	// streamMost is how long one may. Then a browser comes again by itself, and the
	// gate is asked once more whether it may.
	streamMost = time.Hour
)

// events sends a server-sent event (WHATWG HTML, "Server-sent events") whenever
// something has changed, without saying what: api/v1/state does.
func (c *Console) events(w http.ResponseWriter, r *http.Request) {
	select {
	case c.streams <- struct{}{}:
		defer func() { <-c.streams }()
	default:
		w.Header().Set("Retry-After", "15")
		fail(w, http.StatusServiceUnavailable, "too many listen already; ask api/v1/state from time to time")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would collect them
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	flush := http.NewResponseController(w)
	beat := time.NewTicker(eventBeat)
	defer beat.Stop()
	pause := time.NewTimer(eventPause)
	defer pause.Stop()
	over := time.NewTimer(streamMost)
	defer over.Stop()
	for n := 1; ; n++ {
		changed := c.control.Changed() // before the event: what changes after it is another
		_ = flush.SetWriteDeadline(time.Now().Add(eventMost))
		if _, err := fmt.Fprintf(w, "event: change\nid: %d\ndata: {}\n\n", n); err != nil {
			return
		}
		if flush.Flush() != nil {
			return
		}
		_ = flush.SetWriteDeadline(time.Time{}) // HTTP/2 would end the stream by it, though nothing is written
		pause.Reset(eventPause)
		select {
		case <-pause.C:
		case <-r.Context().Done():
			return
		case <-c.drained:
			return
		}
		select {
		case <-changed:
		case <-beat.C:
		case <-r.Context().Done():
			return
		case <-over.C:
			return
		case <-c.drained:
			return
		}
	}
}
