package proxy

import (
	"net/http"
	"net/http/httputil"
	"sync"
	"time"
)

// exchange is one request on its way through the proxy, from the moment that
// its route is known. It is used again for another request when this one has
// ended and nobody can look at it any more; see end.
type exchange struct {
	proxy *settings // the configuration that it goes by
	// forwarder is this exchange's own, which is no more than a handful of fields,
	// so that its steps know what they belong to.
	forwarder httputil.ReverseProxy
	passage
}

// passage is all of an exchange that belongs to one request.
type passage struct {
	began   time.Time
	in      *http.Request // as the caller sent it; never changed
	path    string        // its raw path
	to      *upstream
	caller  *Caller
	issued  bool   // the caller was known by a token of ours
	query   string // the raw query without the caller's token
	body    body
	renewed bool   // the first token was refused, and a fresh one was taken
	socket  bool   // it is a WebSocket handshake
	reason  string // why the proxy answers it itself; "": it does not

	waiting patience // for a token
	hidden  needles  // the token, which no answer may hold
	answer  answer   // where the answer goes, and what of it was seen
	peeked  peeked   // the answer's body, if its beginning had to be looked at
	// copied is where the block comes from by which the answer's body is copied; nil:
	// the proxy's buffers.
	copied *sync.Pool
}

// begin returns an exchange for r.
func (p *settings) begin(r *http.Request, to *upstream) *exchange {
	x, _ := p.exchanges.Get().(*exchange)
	if x == nil {
		x = &exchange{}
		x.forwarder = httputil.ReverseProxy{
			Rewrite:      x.rewrite,
			Transport:    x,
			ErrorHandler: x.failed,
			BufferPool:   x,
			ErrorLog:     p.complaints,
		}
	}
	x.proxy = p
	x.began = time.Now()
	x.in, x.path, x.to, x.socket = r, rawPath(r), to, websocket(r)
	return x
}

// run answers the request.
func (x *exchange) run(w http.ResponseWriter) {
	defer x.count()
	switch f := x.admit(); f {
	case nil:
		x.serve(w)
	case newcomer:
		x.answer.status = http.StatusOK
		x.proxy.guard.web.permit(w.Header(), x.in)
		x.proxy.issuer.Introduce(w, x.in)
	default:
		x.turnAway(w, f)
	}
}

// serve forwards the request of a caller who may send it.
func (x *exchange) serve(w http.ResponseWriter) {
	leave, f := x.enter()
	defer leave()
	if f == nil {
		f = x.readBody()
	}
	if f != nil {
		x.turnAway(w, f)
		return
	}
	x.mapBody()
	x.spool()
	defer x.body.spool.end()
	x.forward(w)
}

// end gives x back, to be another request's. That must not be while anything may
// still look at it: the transport may go on to read a streamed body when its answer
// has come and gone, a WebSocket's two directions end one after the other, and
// whoever was told to watch the caller's patience may look once more. Those are left
// to the garbage collector, and so is one whose handler has panicked. Nothing else
// outlives the handler: what a request's and an answer's header and body are made of
// is never part of the exchange, but for peeked, which is closed by then.
func (x *exchange) end() {
	if x.socket || x.body.stream != nil || x.waiting.watched() {
		return
	}
	x.passage = passage{}
	x.proxy.exchanges.Put(x)
}
