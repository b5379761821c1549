package proxy

import (
	"net/http"
	"strings"
	"time"

	"arcproxy/proxy/audit"
	"arcproxy/proxy/console"
)

// Figures counts what is answered, by caller.
type Figures interface {
	// Caller returns what counts the requests of a caller. It is asked once for each
	// caller of a [Config], and once for [UnknownCaller].
	Caller(name, identity string) Counter
}

// Counter counts requests. Its method is called for each of them, by many at once:
// it must not block.
type Counter interface {
	// Request counts one that has been answered, in that time and with that status; 0:
	// the caller has left. renewed says that it was sent again with a fresh token.
	Request(status int, took time.Duration, renewed bool)
}

// UnknownCaller is whom requests are counted for that are nobody's: its name is none
// that a config can have.
const UnknownCaller = ""

// uncounted is both, and counts nothing.
type uncounted struct{}

func (uncounted) Caller(string, string) Counter    { return uncounted{} }
func (uncounted) Request(int, time.Duration, bool) {}

// count notes an exchange that has ended, also one that was cut off.
func (x *exchange) count() {
	took := time.Since(x.began)
	x.proxy.note(x.caller, console.Request{
		Time:   x.began,
		Method: x.in.Method,
		Path:   x.path,
		Status: x.answer.status,
		Took:   took,
		Reason: x.reason,
	}, x.renewed)
	if x.proxy.trail != nil && x.answer.ResponseWriter != nil { // it was forwarded
		x.proxy.trail.Write(&audit.Record{
			Time:     x.began,
			Caller:   x.caller.Name,
			Identity: x.caller.Identity,
			Address:  x.in.RemoteAddr,
			Method:   x.in.Method,
			Path:     ascii(x.path), // which means the same
			RawQuery: x.query,
			Status:   x.answer.status,
			Bytes:    x.answer.written,
			Duration: took,
			Renewed:  x.renewed,
		})
	}
}

// note counts a request that has ended for its caller, nil: for nobody, and puts it in
// the journal.
func (p *settings) note(caller *Caller, r console.Request, renewed bool) {
	counter := p.nobody
	if caller != nil {
		counter, r.Caller, r.Identity = caller.counter, caller.Name, caller.Identity
	}
	counter.Request(r.Status, r.Took, renewed)
	if p.journal != nil {
		p.journal.Note(r)
	}
}

// turnAway answers with f, and notes it.
func (x *exchange) turnAway(w http.ResponseWriter, f *failure) {
	x.answer.status, x.reason = f.status, f.message
	if x.repeated(f) {
		silent := *f
		silent.silent = true
		f = &silent
	}
	x.proxy.refuse(w, x.in, f)
}

// repeated reports whether the client repeats a request that is refused with f without
// its token: the ArcGIS API for Python, if it signed in by name, does so at every status
// of 400 to 499. It is whoever is known by its address then, who may be allowed what this
// caller is not, or nobody, and of the two refusals it shows the other one.
func (x *exchange) repeated(f *failure) bool {
	return x.issued && f.status >= 400 && f.status <= 499 && strings.HasPrefix(x.in.UserAgent(), "Geosaurus/")
}

// turnAway answers a request that is nobody's yet with f.
func (p *settings) turnAway(w http.ResponseWriter, r *http.Request, f *failure, began time.Time) {
	p.refuse(w, r, f)
	p.nobody.Request(f.status, time.Since(began), false)
}
