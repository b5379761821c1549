package okta

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// FaultKind is a way in which an answer goes wrong.
type FaultKind int

// The kinds.
const (
	ServerError  FaultKind = iota // 503 with Okta's error document E0000009 and no sense
	HTMLPage                      // 200 with an HTML page where JSON or another page belongs
	ProxyRefusal                  // 403 with the HTML page of a corporate proxy
	Drop                          // the connection breaks before the request is looked at
	DropAfter                     // the request takes effect, then the connection breaks
	Truncate                      // the request takes effect, half of the answer arrives, then the connection breaks
	Slow                          // the right answer, after Delay
	Endless                       // a page that does not end: 64 MiB of it are sent
	EvilForm                      // a page whose appForm posts to another host
	RateLimit                     // 429 with headers; Reset is Delay ahead, and the answer itself is not delayed
	Concurrency                   // 429 with Limit and Remaining 0
	OktaError                     // Okta's error document with Code and Status
)

// endlessBytes is where Endless gives up, far beyond what a client should read.
const endlessBytes = 64 << 20

// Fault is one thing that goes wrong.
type Fault struct {
	Kind   FaultKind
	Method string        // "": any
	Path   string        // a prefix of the path; "": any of Okta's own
	Skip   int           // so many matching requests go well first
	Times  int           // how often; 0 means until ClearFaults
	Delay  time.Duration // for Slow and RateLimit; others wait for it first too
	Code   string        // for OktaError: "E0000119"
	Status int           // for OktaError
	used   int
	reset  time.Time // that Concurrency speaks of
}

// Inject adds a fault. Of several that match, the one injected first comes first.
func (o *Org) Inject(f Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = append(o.faults, &f)
}

// ClearFaults ends all faults.
func (o *Org) ClearFaults() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = nil
}

// fault returns a copy of the fault that is due for r, nil if none is.
// The phone is no part of Okta and has none.
func (o *Org) fault(r *http.Request) *Fault {
	if strings.HasPrefix(r.URL.Path, "/sandbox/") {
		return nil
	}
	for _, f := range o.faults {
		if (f.Method != "" && f.Method != r.Method) || !strings.HasPrefix(r.URL.Path, f.Path) {
			continue
		}
		if f.Times > 0 && f.used >= f.Skip+f.Times {
			continue
		}
		f.used++
		if f.used <= f.Skip {
			continue
		}
		if f.Kind == RateLimit || f.Kind == Concurrency {
			o.counts.Limited++
		}
		due := *f
		due.reset = o.uselessReset(time.Now().Add(o.settings.ClockSkew))
		return &due
	}
	return nil
}

// waits is how long the answer is held back.
func (f *Fault) waits() time.Duration {
	if f == nil || f.Kind == RateLimit {
		return 0
	}
	return f.Delay
}

// play answers as the fault says. run lets the request take effect.
func (f *Fault) play(w http.ResponseWriter, c *call, run func() *answer) {
	w.Header().Set("Date", c.now.UTC().Format(http.TimeFormat))
	page := func(status int, body string) {
		w.Header().Set("Content-Type", "text/html;charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
	switch f.Kind {
	case ServerError:
		a := fail(http.StatusServiceUnavailable, "E0000009")
		a.write(w)
	case HTMLPage:
		page(http.StatusOK, "<!DOCTYPE html><html><head><title>Scheduled maintenance</title></head><body><h1>We'll be back soon</h1></body></html>")
	case ProxyRefusal:
		page(http.StatusForbidden, "<html><head><title>Access Denied (policy_denied)</title></head><body>Your system policy has denied access to the requested URL.</body></html>")
	case Drop:
		panic(http.ErrAbortHandler)
	case DropAfter:
		run()
		panic(http.ErrAbortHandler)
	case Truncate:
		a := run()
		a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
		a.body = a.body[:len(a.body)/2]
		a.write(w)
		_ = http.NewResponseController(w).Flush() // not every writer can; the panic breaks the answer anyway
		panic(http.ErrAbortHandler)
	case Endless:
		w.Header().Set("Content-Type", "text/html;charset=utf-8")
		chunk := bytes.Repeat([]byte("<p>Please wait while we sign you in.</p>\n"), 1600)
		for sent := 0; sent < endlessBytes; sent += len(chunk) {
			if _, err := w.Write(chunk); err != nil || c.r.Context().Err() != nil {
				return
			}
		}
	case EvilForm:
		page(http.StatusOK, `<html><body><form id="appForm" action="https&#x3a;&#x2f;&#x2f;evil.example&#x2f;oauth2&#x2f;saml&#x2f;signin" method="POST"><input name="SAMLResponse" type="hidden" value="PHNhbWxwOlJlc3BvbnNlLz4&#x3d;"/><input name="RelayState" type="hidden" value=""/></form></body></html>`)
	case RateLimit, Concurrency:
		a := fail(http.StatusTooManyRequests, "E0000047")
		q := quota{limit: 4, reset: c.now.Add(f.Delay)}
		if f.Kind == Concurrency {
			q = quota{reset: f.reset}
		}
		(*limits)(nil).describe(&call{quota: &q}, a.header)
		a.write(w)
	case OktaError:
		a := fail(f.Status, f.Code)
		a.write(w)
	}
}
