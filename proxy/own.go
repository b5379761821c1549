package proxy

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"time"

	"arcproxy/auth"
	"arcproxy/proxy/audit"
	"arcproxy/proxy/console"
	"arcproxy/proxy/peer"
	"arcproxy/proxy/policy"
)

// What is below /_arcproxy/ is answered by the proxy itself. Anybody may ask whether
// it is healthy and ready. All else is for operators: callers with admin = true,
// whose other rules hold here as everywhere, and the operating-system user that runs
// the proxy, on a connection from this machine. Pages of other sites have no
// business here, whatever they present: not those either that may use the proxy.

// ownMount is the first segment of those paths. No upstream can be mounted there.
const ownMount = "_arcproxy"

// The failures of this gate. They are never changed.
var (
	operatorsOnly = &failure{status: http.StatusUnauthorized, message: "this is for operators: a caller with admin = true, who shows its key or certificate, or on the proxy's own machine the user that runs it"}
	notOperator   = &failure{status: http.StatusForbidden, message: "this is for operators: set admin = true for the caller, or use another one"}
	foreignPage   = &failure{status: http.StatusForbidden, message: "a page of another site has led here; if you want to be here, load this page once more from the address bar"}
	noConsole     = &failure{status: http.StatusNotFound, message: "there is nothing at this path"}
)

// isOwn reports whether a raw path is one of those.
func isOwn(path string) bool {
	rest, ok := strings.CutPrefix(path, "/"+ownMount)
	return ok && (rest == "" || rest[0] == '/')
}

// own answers a request that has passed the guard.
func (p *settings) own(w http.ResponseWriter, r *http.Request, began time.Time) {
	if p.console == nil {
		p.turnAway(w, r, noConsole, began)
		return
	}
	refuse := func(caller *Caller, f *failure) {
		p.refuse(w, r, f)
		p.note(caller, console.Request{Time: began, Method: r.Method, Path: rawPath(r), Status: f.status, Took: time.Since(began), Reason: f.message}, false)
	}
	if p.guard.strange(r) != nil || p.cross.Check(r) != nil {
		refuse(nil, foreignPage)
		return
	}
	caller, f := p.operator(r)
	switch {
	case f == nil && rawPath(r) == "/"+ownMount && r.Method == http.MethodGet:
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, console.Path, http.StatusSeeOther)
	case f == nil && caller == nil:
		p.operate(w, r, Owner, r.RemoteAddr)
	case f == nil:
		p.operate(w, r, caller.Name, r.RemoteAddr)
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && p.console.Health(w, r):
	case f == operatorsOnly && strings.Contains(r.Header.Get("Accept"), "text/html"):
		// A person's browser asks for a caller's name and key, if it is told to.
		refuse(nil, &failure{status: f.status, message: f.message, password: true})
	default:
		refuse(caller, f)
	}
}

// Owner is what records call the operating-system user that runs the proxy. No
// caller's name begins so.
const Owner = "(owner)"

// Control returns what answers the user that runs the proxy on a socket that nobody
// else can open. There has to be a console.
func (p *Proxy) Control() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.operate(w, r, Owner, "control socket")
	})
}

// operate answers an operator, and records what they did there: not what they looked
// at, which pages and scrapers do all the time.
func (p *Proxy) operate(w http.ResponseWriter, r *http.Request, who, from string) {
	if p.trail == nil || r.Method != http.MethodPost {
		p.console.ServeHTTP(w, r)
		return
	}
	began := time.Now()
	noted := &answer{ResponseWriter: w}
	defer func() {
		identity, acted := p.console.Acted(r)
		if !acted {
			return
		}
		p.trail.Write(&audit.Record{
			Time:     began,
			Caller:   who,
			Identity: identity,
			Address:  from,
			Method:   r.Method,
			Path:     ascii(rawPath(r)),
			Status:   noted.status,
			Bytes:    noted.written,
			Duration: time.Since(began),
		})
	}()
	p.console.ServeHTTP(noted, r)
}

// operator returns why r is not an operator's, nil if it is, and the caller who sent
// it; nil: the user that runs the proxy, or nobody who is known. A wrong credential
// costs the time that it costs everywhere.
func (p *settings) operator(r *http.Request) (*Caller, *failure) {
	who := inquiry{known: &p.callers, issuer: p.issuer, request: r}
	who.connection(r)
	who.headers(r.Header)
	if who.wrong == nil && who.found == nil && !who.fronted && p.isSelf(r) {
		return nil, nil
	}
	caller, f := who.caller(r)
	if f != nil {
		p.guesses.pause(r.Context(), remote(r.RemoteAddr), who.guessed())
		if who.wrong == nil && who.found == nil {
			return nil, operatorsOnly
		}
		return nil, f
	}
	if !caller.Rules.Admin {
		return caller, notOperator
	}
	denial := caller.policy.Check(r.Method, rawPath(r), nil)
	if denial == nil || denial.Rule == policy.RuleReadOnly && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		return caller, nil
	}
	return caller, &failure{status: http.StatusForbidden, message: denial.Reason, details: []string{"to change that, " + denial.Remedy}}
}

// whereToAnswer says to a caller who waits where a person gives the answer that is
// waited for.
func (p *settings) whereToAnswer(identity string, c *auth.Challenge) []string {
	if c == nil || p.console == nil {
		return nil
	}
	page := p.guard.origin + console.Path
	if !c.Code {
		return []string{"it is answered on the device, and shown at " + page}
	}
	where := []string{"to be answered at " + page + ", or with `arcproxy login " + identity + "`"}
	if c.Question != "" {
		where = append(where, "the question is: "+c.Question)
	}
	return where
}

// isSelf reports whether r comes over loopback from the user that runs the proxy.
// What was passed on by something else on this machine is that one's, whoever asked
// it to.
func (p *settings) isSelf(r *http.Request) bool {
	if !peer.Supported || !remote(r.RemoteAddr).IsLoopback() {
		return false
	}
	for name := range r.Header {
		switch name {
		case "Forwarded", "Via", "X-Real-Ip":
			return false
		}
		if strings.HasPrefix(name, "X-Forwarded") {
			return false
		}
	}
	conn := peer.FromContext(r.Context())
	if conn == nil {
		return false
	}
	uid, err := conn.UID()
	return err == nil && int64(uid) == p.self
}

// self is the number of the user that runs this process, -1 where users have none.
func self() int64 { return int64(os.Geteuid()) }

// errOwnMount is for an upstream that would be mounted where the console is.
var errOwnMount = errors.New("the path is the proxy's own; give the web adaptor another name")
