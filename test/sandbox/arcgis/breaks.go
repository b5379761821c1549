package arcgis

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
)

// Mode is a way of being broken.
type Mode uint8

// The modes. Each is something that has been seen between a client and a Portal.
const (
	Healthy     Mode = iota
	ServerError      // HTTP 500 with a page of HTML
	Maintenance      // HTTP 503 with Retry-After
	FrontEnd         // HTTP 502 from a load balancer, whose page has no doctype and no JSON
	Garbage          // HTTP 200 with a page that is not what was asked for
	Truncated        // a body that ends before its Content-Length
	Reset            // the connection is dropped without an answer
	Hang             // no answer until the client leaves
	Endless          // HTTP 200 with a body that never ends
	Loop             // redirects to itself for ever
)

// breakage is what is broken and where.
type breakage struct {
	mode  Mode
	under []string // path prefixes; none: everywhere
}

// Break makes every request under the given path prefixes fail in this way, or
// all requests if there are none. Break(Healthy) mends.
func (p *Portal) Break(mode Mode, under ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = breakage{mode: mode, under: under}
}

// interrupt answers in place of the Portal where something is broken.
func (p *Portal) interrupt(w http.ResponseWriter, r *http.Request) bool {
	p.mu.Lock()
	b := p.broken
	p.mu.Unlock()
	if b.mode == Healthy {
		return false
	}
	hit := len(b.under) == 0
	for _, prefix := range b.under {
		hit = hit || strings.HasPrefix(r.URL.Path, prefix)
	}
	if !hit {
		return false
	}
	page := func(status int, text string) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<html><head><title>%d</title></head><body><h1>%s</h1></body></html>", status, text)
	}
	switch b.mode {
	case ServerError:
		page(http.StatusInternalServerError, "Server Error in '/portal' Application.")
	case Maintenance:
		w.Header().Set("Retry-After", "120")
		page(http.StatusServiceUnavailable, "The service is unavailable.")
	case FrontEnd:
		page(http.StatusBadGateway, "Bad Gateway")
	case Garbage:
		page(http.StatusOK, "Welcome to the guest network. Please accept our terms.")
	case Loop:
		w.Header().Set("Location", r.URL.RequestURI())
		w.WriteHeader(http.StatusFound)
	case Truncated:
		w.Header().Set("Content-Length", "4096")
		_, _ = w.Write([]byte(`{"access_`))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case Reset:
		panic(http.ErrAbortHandler)
	case Hang:
		select {
		case <-r.Context().Done():
		case <-p.closed:
		}
		panic(http.ErrAbortHandler)
	case Endless:
		out := bufio.NewWriter(w)
		for {
			if _, err := out.WriteString("<p>and so on</p>\n"); err != nil {
				return true
			}
			select {
			case <-r.Context().Done():
				return true
			case <-p.closed:
				return true
			default:
			}
		}
	}
	return true
}
