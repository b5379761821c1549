package arcgis

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// format is the request's f parameter; browsers that send none get HTML.
func (c *call) format() string {
	if f := strings.ToLower(c.get("f")); f != "" {
		return f
	}
	if c.get("callback") != "" {
		return "json"
	}
	return "html"
}

var callbackName = regexp.MustCompile(`^[\w.$\[\]]{1,128}$`)

// reply sends v in the format that was asked for: json, pjson, a JSONP callback, or an HTML view.
func (c *call) reply(v any) { c.send(http.StatusOK, v, c.format()) }

// replyJSON sends v as JSON even if no format was asked for, as the OAuth endpoints do.
func (c *call) replyJSON(v any) {
	f := c.format()
	if f == "html" {
		f = "json"
	}
	c.send(http.StatusOK, v, f)
}

func (c *call) send(status int, v any, format string) {
	body, err := encode(v, format == "pjson")
	if err != nil {
		c.p.log.Error("sandbox cannot encode its answer", "path", c.r.URL.Path, "error", err)
		http.Error(c.w, "cannot encode", http.StatusInternalServerError)
		return
	}
	written := c.p.choose.slashes(body)
	kind := "application/json; charset=utf-8"
	if !c.sharing && format == "pjson" || c.sharing && c.p.choose.one(8, func(s *Shape) Choice { return s.TextPlain }) {
		kind = "text/plain; charset=utf-8"
	}
	if callback := c.get("callback"); callback != "" && callbackName.MatchString(callback) {
		body = fmt.Appendf(nil, "%s(%s);", callback, written)
		kind = "application/javascript; charset=utf-8"
	} else if format == "html" {
		body = c.view(v)
		kind = "text/html; charset=utf-8"
	} else {
		body = written
	}
	if tagged := !c.sharing && status == http.StatusOK && (c.r.Method == http.MethodGet || c.r.Method == http.MethodHead); tagged &&
		c.p.choose.one(3, func(s *Shape) Choice { return s.Tags }) {
		sum := sha256.Sum256(body)
		tag := fmt.Sprintf(`"%x"`, sum[:8])
		c.w.Header().Set("ETag", tag)
		if c.r.Header.Get("If-None-Match") == tag {
			c.w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	c.bytes(status, kind, body)
}

// encode writes JSON as ArcGIS does, without escaping <, > and &.
func encode(v any, indent bool) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if indent {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// bytes sends a finished body, compressed and chunked as the shape and the client have it.
func (c *call) bytes(status int, kind string, body []byte) {
	h := c.w.Header()
	h.Set("Content-Type", kind)
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-cache")
	}
	if c.sharing {
		h.Add("Vary", "Origin")
	}
	if strings.Contains(c.r.Header.Get("Accept-Encoding"), "gzip") &&
		c.p.choose.one(2, func(s *Shape) Choice { return s.Gzip }) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(body) // a bytes.Buffer does not fail
		_ = z.Close()
		body = b.Bytes()
		h.Set("Content-Encoding", "gzip")
		h.Add("Vary", "Accept-Encoding")
	}
	chunked := c.p.choose.one(4, func(s *Shape) Choice { return s.Chunked })
	if !chunked {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	if c.p.choose.one(4, func(s *Shape) Choice { return s.LowerHeaders }) {
		lower(h)
	}
	c.w.WriteHeader(status)
	if c.r.Method == http.MethodHead {
		return
	}
	if half := len(body) / 2; chunked && half > 0 {
		if _, err := c.w.Write(body[:half]); err != nil {
			return // the client has left
		}
		if f, ok := c.w.(http.Flusher); ok {
			f.Flush()
		}
		body = body[half:]
	}
	_, _ = c.w.Write(body) // an error means that the client has left
}

// lower writes header names in lower case, which also changes their order.
// net/http keeps what it finds, but would add its own Content-Type beside ours
// if the canonical key were absent; a nil value stops that.
func lower(h http.Header) {
	for name, values := range h {
		small := strings.ToLower(name)
		if small == name || name == "Content-Length" {
			continue
		}
		delete(h, name)
		h[small] = values
	}
	h["Content-Type"] = nil
}

// page sends an HTML page as web servers make them.
func (c *call) page(status int, title, text string) {
	c.html(status, title, "<h1>"+html.EscapeString(title)+"</h1><p>"+html.EscapeString(text)+"</p>")
}

// html sends a page with a body that is already HTML.
func (c *call) html(status int, title, body string) {
	c.bytes(status, "text/html; charset=utf-8",
		fmt.Appendf(nil, "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>%s</title></head>\n<body>\n%s\n</body>\n</html>\n", html.EscapeString(title), body))
}

// redirect sends a 302.
func (c *call) redirect(to string) {
	c.w.Header().Set("Location", to)
	c.w.Header().Set("Cache-Control", "no-store")
	if c.p.choose.one(4, func(s *Shape) Choice { return s.LowerHeaders }) {
		lower(c.w.Header())
		delete(c.w.Header(), "Content-Type")
	}
	c.w.WriteHeader(http.StatusFound)
}
