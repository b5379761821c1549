package attack

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"
)

// record is a request that reached an upstream.
type record struct {
	method, target, host string // as they were sent
	header               http.Header
	trailer              http.Header
	body                 string
	broken               bool // the body ended before it was complete
}

// String shows all of it, for judging and for messages.
func (r *record) String() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s\nHost: %s\n", r.method, r.target, r.host)
	_ = r.header.Write(&b)
	_ = r.trailer.Write(&b)
	return b.String() + "\n" + r.body
}

// recorder is an upstream that notes what reaches it. The last segment of a
// path says how it answers.
type recorder struct {
	server *httptest.Server
	evil   string // where its redirects lead

	mu      sync.Mutex // guards records
	records []record
}

// mount is where the recorder is mounted, which no request may leave.
const mount = "gis"

func newRecorder(t *testing.T, evil string) *recorder {
	rec := &recorder{evil: evil}
	rec.server = httptest.NewServer(rec)
	t.Cleanup(rec.server.Close)
	return rec
}

// take returns what has reached the recorder since it was last asked.
func (rec *recorder) take() []record {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	taken := rec.records
	rec.records = nil
	return taken
}

// tokenCookies are the ways in which the recorder sets a cookie with a token.
var tokenCookies = []string{
	`esri_auth=%7B%22token%22%3A%22OTHERS%22%7D; path=/; secure`,
	`ESRI_AUTH="OTHERS"; path=/`,
	`esri_auth_portal=OTHERS`,
	` esri_auth = OTHERS`,
	`a=1, esri_auth=OTHERS`,
	`agstoken=OTHERS; path=/gis/rest`,
}

// ServeHTTP implements [http.Handler].
func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	rec.mu.Lock()
	rec.records = append(rec.records, record{r.Method, r.RequestURI, r.Host, r.Header.Clone(), r.Trailer.Clone(), string(body), err != nil})
	rec.mu.Unlock()

	path, _, _ := strings.Cut(r.RequestURI, "?")
	last := path[strings.LastIndexByte(path, '/')+1:]
	h := w.Header()
	switch {
	case r.Method == http.MethodTrace: // what RFC 9110 asks of TRACE, and why nobody allows it
		dump, _ := httputil.DumpRequest(r, true)
		h.Set("Content-Type", "message/http")
		_, _ = w.Write(dump)
		return
	case r.Header.Get("Upgrade") != "":
		rec.upgrade(w, r)
		return
	case !strings.HasPrefix(path, "/"+mount): // a web server's redirect to the directory, built from the path
		h.Set("Location", path+"/")
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	switch last {
	case "moved":
		h.Set("Location", "http://"+rec.evil+"/"+mount+"/x")
		w.WriteHeader(http.StatusFound)
	case "moved307":
		h.Set("Location", "http://"+rec.evil+"/"+mount+"/x")
		w.WriteHeader(http.StatusTemporaryRedirect)
	case "challenge":
		h.Set("WWW-Authenticate", `Bearer realm="http://`+rec.evil+`/token"`)
		w.WriteHeader(http.StatusUnauthorized)
	case "cookies":
		h["Set-Cookie"] = append([]string{"sticky=1; path=/"}, tokenCookies...)
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "{}")
	case "shared":
		h.Set("Cache-Control", "public, max-age=3600, s-maxage=7200")
		h.Set("Expires", "Fri, 01 Jan 2100 00:00:00 GMT")
		for _, name := range sharedCacheHeaders {
			h.Set(name, "public, max-age=3600")
		}
		_, _ = io.WriteString(w, `{"personal":true}`)
	case "bomb":
		h.Set("Content-Type", "application/json")
		h.Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb())
	case "refusing-bomb":
		h.Set("Content-Type", "application/json")
		h.Set("Content-Encoding", "gzip")
		w.WriteHeader(498)
		_, _ = w.Write(bomb())
	case "endless":
		rec.endless(w, r)
	case "half":
		h.Set("Content-Length", "100000")
		_, _ = io.WriteString(w, "half of "+r.RequestURI+strings.Repeat(" ", 4096))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	default:
		h.Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"target":%q,"body":%d,"personal":true}`, r.RequestURI, len(body))
	}
}

// sharedCacheHeaders speak to caches between us and the caller, past
// Cache-Control (RFC 9213 and its ancestors).
var sharedCacheHeaders = []string{"CDN-Cache-Control", "Surrogate-Control", "Cloudflare-CDN-Cache-Control", "Fastly-CDN-Cache-Control", "Edge-Control", "X-Accel-Expires"}

// upgrade agrees to any protocol that is asked for, and says one word in it.
func (rec *recorder) upgrade(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\nswitched", r.Header.Get("Upgrade"))
}

// endless answers with a page that goes on until nobody reads it.
func (rec *recorder) endless(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	page := []byte(strings.Repeat("<p>and so on</p>", 4096))
	for r.Context().Err() == nil {
		if _, err := w.Write(page); err != nil {
			return
		}
	}
}

// bombSize is what a bomb becomes when it is decompressed.
const bombSize = 3 << 20

// bomb is a body of a few KiB, as small as a refusal of ArcGIS is, that is a
// thousand times that inside. It begins as a refusal does.
var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = io.WriteString(z, `{"error":{"code":498,"message":"`)
	_, _ = z.Write(make([]byte, bombSize))
	_ = z.Close()
	return b.Bytes()
})

// trap is a host that nobody has any business with.
type trap struct {
	address  string
	accepted chan net.Addr // every connection's other end
	handler  sync.WaitGroup
}

// newTrap listens on a port of its own until the test ends.
func newTrap(t *testing.T) *trap {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr := &trap{address: l.Addr().String(), accepted: make(chan net.Addr, 1024)}
	tr.handler.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case tr.accepted <- c.RemoteAddr():
			default:
			}
			_ = c.Close()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		tr.handler.Wait()
	})
	return tr
}

// caught returns how many connections have come since it was last asked. Its own
// is the last in the queue, so that none is overlooked that came before.
func (tr *trap) caught(t *testing.T) int {
	c, err := net.Dial("tcp", tr.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for n := 0; ; n++ {
		if at := <-tr.accepted; at.String() == c.LocalAddr().String() {
			return n
		}
	}
}
