package attack

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// answer is one HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// exchange is what came of one attack on the wire.
type exchange struct {
	answers []answer
	raw     []byte // all bytes that were received
	hung    bool   // the other end neither answered in full nor closed in time
	took    time.Duration
}

// status is that of the first answer, 0 if there is none.
func (x *exchange) status() int {
	if len(x.answers) == 0 {
		return 0
	}
	return x.answers[0].status
}

// first returns the first answer, an empty one if there is none.
func (x *exchange) first() answer {
	if len(x.answers) == 0 {
		return answer{header: http.Header{}}
	}
	return x.answers[0]
}

// exchangeLimit is how long the other end may take for answers.
const exchangeLimit = 60 * time.Second

// exchange1 writes raw to address and reads answers until the other end closes.
func exchange1(address, raw string) *exchange {
	x := &exchange{}
	began := time.Now()
	c, err := connect(address)
	if err != nil {
		x.hung, x.raw = true, []byte(err.Error())
		return x
	}
	defer c.Close()
	_ = c.SetDeadline(began.Add(exchangeLimit))
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		_, _ = io.WriteString(c, raw) // the other end may close before it has read it all
	}()
	x.raw, err = io.ReadAll(c)
	x.took = time.Since(began)
	x.hung = timedOut(err)
	_ = c.Close()
	<-wrote
	x.parse(raw)
	return x
}

// connections counts those of connect.
var connections atomic.Uint32

// connect dials an address on loopback, from another one each time where the
// system has more than one: who guesses keys from one address is kept waiting
// longer and longer.
func connect(address string) (net.Conn, error) {
	d := net.Dialer{Timeout: exchangeLimit}
	if runtime.GOOS == "linux" {
		n := connections.Add(1)
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 1+byte(n>>14), 1+byte(n>>7&0x7f), 1+byte(n&0x7f))}
	}
	return d.Dial("tcp", address)
}

// timedOut reports whether err is a deadline's.
func timedOut(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// parse takes the answers out of the bytes that were received.
func (x *exchange) parse(request string) {
	method, _, _ := strings.Cut(request, " ")
	in := bufio.NewReader(bytes.NewReader(x.raw))
	for {
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			x.answers = append(x.answers, answer{res.StatusCode, res.Header, body})
		}
		if res.StatusCode == http.StatusSwitchingProtocols {
			return
		}
		method = http.MethodGet
	}
}

// text is all that was received, decompressed where it was compressed.
func (x *exchange) text() string {
	var b strings.Builder
	b.Write(x.raw)
	for _, a := range x.answers {
		if z, err := gzip.NewReader(bytes.NewReader(a.body)); err == nil {
			_, _ = io.Copy(&b, io.LimitReader(z, 1<<20))
		}
		b.Write(a.body)
	}
	return b.String()
}

// field is one header field of HTTP/2, written as it is.
type field struct{ name, value string }

// exchange2 sends fields as the headers of one HTTP/2 request, with body if it
// is not nil, and reads the answer. Fields that HTTP/2 forbids go out like others.
func exchange2(t testing.TB, address string, fields []field, body []byte) *exchange {
	t.Helper()
	began := time.Now()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: exchangeLimit}, "tcp", address, insecure("h2"))
	if err != nil || c.ConnectionState().NegotiatedProtocol != "h2" {
		t.Fatalf("%s does not speak HTTP/2: %v", address, err)
	}
	defer c.Close()
	_ = c.SetDeadline(began.Add(exchangeLimit))
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range fields {
		_ = enc.WriteField(hpack.HeaderField{Name: f.name, Value: f.value}) // into memory
	}
	var out bytes.Buffer // sent at once: half an error is an error
	out.WriteString(http2.ClientPreface)
	w := http2.NewFramer(&out, nil)
	w.AllowIllegalWrites = true
	_ = w.WriteSettings()
	_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: body == nil})
	if body != nil {
		_ = w.WriteData(1, true, body)
	}
	_, _ = c.Write(out.Bytes())

	x := &exchange{}
	defer func() { x.took = time.Since(began) }()
	r := http2.NewFramer(io.Discard, c)
	r.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var a *answer
	finish := func() *exchange {
		if a != nil {
			x.answers = append(x.answers, *a)
		}
		return x
	}
	for {
		f, err := r.ReadFrame()
		if err != nil {
			x.hung = timedOut(err)
			return finish()
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			status := 0
			_, _ = fmt.Sscan(f.PseudoValue("status"), &status)
			if status >= 200 {
				a = &answer{status: status, header: http.Header{}}
			}
			for _, h := range f.RegularFields() {
				fmt.Fprintf(appender{&x.raw}, "%s: %s\r\n", h.Name, h.Value)
				if a != nil {
					a.header.Add(h.Name, h.Value)
				}
			}
			if f.StreamEnded() {
				return finish()
			}
		case *http2.DataFrame:
			x.raw = append(x.raw, f.Data()...)
			if a != nil {
				a.body = append(a.body, f.Data()...)
			}
			if f.StreamEnded() {
				return finish()
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return finish()
		}
	}
}

// appender writes to the end of a slice.
type appender struct{ to *[]byte }

func (a appender) Write(p []byte) (int, error) {
	*a.to = append(*a.to, p...)
	return len(p), nil
}
