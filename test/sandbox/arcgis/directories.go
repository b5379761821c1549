package arcgis

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/websocket"
)

// streams reports whether a path takes its body as it comes instead of as a form.
func streams(path string) bool { return strings.Trim(path, "/") == "rest/directories/upload" }

// directories answers rest/directories/…: files of a server, large ones too.
func (s *site) directories(c *call, name string) {
	switch name {
	case "big":
		c.big()
	case "upload":
		c.upload()
	case "wait":
		c.wait()
	case "arcgisoutput/map1.png":
		c.serveFile(&file{Name: "map1.png", Type: "image/png", Size: int64(len(onePixel)), SHA256: strings.Repeat("0", 64), Data: onePixel})
	default:
		c.missing()
	}
}

// bigPeriod is prime, so that the blocks a transfer is cut into all differ.
const bigPeriod = 65521

// bigBlock is one period of what rest/directories/big sends.
var bigBlock = func() []byte {
	b := make([]byte, bigPeriod)
	for i := range b {
		b[i] = byte(i*31 + i>>8)
	}
	return b
}()

// Big is the byte at position i of what rest/directories/big sends.
func Big(i int64) byte { return bigBlock[i%bigPeriod] }

// big sends ?bytes=N bytes as fast as they are taken, with their length.
func (c *call) big() {
	n, err := strconv.ParseInt(c.get("bytes"), 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		c.refuse(refusal{code: 400, message: "'bytes' parameter is invalid"})
		return
	}
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	if c.r.Method == http.MethodHead {
		return
	}
	for n > 0 {
		sent, err := c.w.Write(bigBlock[:min(n, bigPeriod)])
		if err != nil {
			return // the client has left
		}
		n -= int64(sent)
	}
}

// upload reads a body of any size, keeping nothing, and answers with what came.
func (c *call) upload() {
	sum := sha256.New()
	n, err := io.Copy(sum, c.r.Body)
	if err != nil {
		c.refuse(refusal{code: 400, message: "The upload broke off."})
		return
	}
	c.replyJSON(map[string]any{"success": true, "bytes": n, "sha256": hex.EncodeToString(sum.Sum(nil))})
}

// wait is a long poll: it answers after ?seconds=N, or when [Portal.Notify] is called.
func (c *call) wait() {
	seconds := min(atoi(c.get("seconds"), 30), 3600)
	timer := time.NewTimer(time.Duration(seconds) * time.Second)
	defer timer.Stop()
	c.p.mu.Lock()
	waiters := c.p.waiters
	c.p.mu.Unlock()
	select {
	case <-timer.C:
		c.replyJSON(map[string]any{"status": "nothing"})
	case <-waiters:
		c.replyJSON(map[string]any{"status": "notified"})
	case <-c.p.closed:
	case <-c.r.Context().Done():
	}
}

// streamServer answers a stream service. Its subscription is a WebSocket whose
// token can only be in the query, because browsers give sockets no headers; what
// is sent to it comes back.
func (s *site) streamServer(c *call, v *service, below []string) {
	if len(trim(below)) == 0 {
		address := s.base(c) + "/ws/services/" + v.name + "/" + v.kind
		socket := "ws" + strings.TrimPrefix(address, "http")
		urls := []string{s.p.choose.spell(socket)}
		if old := unsecured(s.url); old != s.url.String() {
			urls = append(urls, "ws"+strings.TrimPrefix(old, "http")+"/ws/services/"+v.name+"/"+v.kind)
		}
		c.reply(map[string]any{"currentVersion": 11.3, "type": "Stream Layer", "geometryType": "esriGeometryPoint",
			"streamUrls": []map[string]any{{"transport": "ws", "token": "", "urls": urls}}})
		return
	}
	if below[0] != "subscribe" {
		c.missing()
		return
	}
	if len(tokensIn(parsePairs(c.r.URL.RawQuery))) == 0 {
		c.demandToken()
		return
	}
	if !strings.EqualFold(c.r.Header.Get("Upgrade"), "websocket") {
		c.refuse(refusal{code: 400, message: "A subscription is a WebSocket."})
		return
	}
	websocket.Server{Handler: func(ws *websocket.Conn) {
		// An http.Server does not close the connections that were taken from it.
		done := make(chan struct{})
		defer close(done)
		go func() {
			select {
			case <-c.p.closed:
			case <-done:
			}
			_ = ws.Close()
		}()
		_, _ = io.Copy(ws, ws) // ends when either side closes
	}}.ServeHTTP(c.w, c.r)
}
