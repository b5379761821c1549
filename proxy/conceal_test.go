package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"arcproxy/auth"
)

const longToken = "Xk3-dGhlIHJlYWwgdG9rZW4_b2YgYWxpY2U.Xk3-dGhlIHJlYWwgdG9rZW4+/="

// TestTokenIsNotRepeated has an upstream that shows what it was sent in every way.
func TestTokenIsNotRepeated(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("X-Esri-Authorization"), "Bearer ")
		if r.Header.Get("Upgrade") != "" {
			token = r.URL.Query().Get("token")
		}
		if token != longToken {
			t.Errorf("the upstream gets the token %s", token)
		}
		h := w.Header()
		h.Set("X-Seen", "token="+token)
		h.Add("Set-Cookie", "last="+url.QueryEscape(token)+"; path=/")
		h.Set("Location", "https://"+r.Host+r.URL.RequestURI()+"&t="+token)
		parts := strings.Split(r.URL.Path, "/")
		h.Set("Content-Type", map[string]string{"page": "text/html; charset=utf-8", "script": "application/javascript", "xml": "application/vnd.ogc.wms_xml", "json": "application/json", "ws": "text/html"}[parts[2]])
		body := "<a href='?token=" + token + "&amp;x=1'>" + token[:20] + "</a>" + url.QueryEscape(token) + " and so on"
		if parts[2] != "json" {
			body = strings.Repeat(" ", 70_000) + body + strings.Repeat(body, 300)
		}
		if r.Header.Get("Upgrade") != "" && !strings.Contains(r.URL.RawQuery, "token="+url.QueryEscape(token)) {
			t.Errorf("the upstream gets the query %s", r.URL.RawQuery)
		}
		if parts[2] == "ws" {
			w.WriteHeader(http.StatusFound)
		}
		_, _ = io.WriteString(w, body)
	}))
	defer up.Close()
	base, err := url.Parse(up.URL + "/gis")
	if err != nil {
		t.Fatal(err)
	}
	transport := NewTransport(TransportConfig{})
	defer transport.CloseIdleConnections()
	p, err := New(Config{
		PublicURL: &url.URL{Scheme: "http", Host: "localhost:8080"},
		Upstreams: []Upstream{{URL: base}},
		Callers:   []Caller{{Name: "a", Identity: "alice", KeySHA256: hashOf(callerKey)}},
		Transport: transport,
	}, oneToken{auth.Grant{AccessToken: auth.NewSecret(longToken)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/gis/page", "/gis/script", "/gis/xml", "/gis/json", "/gis/ws"} {
		r := httptest.NewRequest(http.MethodGet, path+"?f=html", nil)
		r.Host = "localhost:8080"
		r.Header.Set("X-Esri-Authorization", "Bearer "+callerKey)
		if strings.HasSuffix(path, "/ws") {
			r.Header.Set("Upgrade", "websocket")
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Accept-Encoding", "gzip")
		}
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Code != http.StatusFound {
			t.Errorf("%s: %d %.200s", path, w.Code, w.Body)
		}
		all := fmt.Sprint(w.Header()) + w.Body.String()
		if strings.Contains(all, longToken) || strings.Contains(all, url.QueryEscape(longToken)) {
			t.Errorf("%s: the token is in %v %.200s", path, w.Header(), strings.TrimSpace(w.Body.String()))
		}
		if !strings.Contains(w.Header().Get("X-Seen"), "token=***") || !strings.Contains(w.Body.String(), "<a href='?token=***") || !strings.HasSuffix(w.Body.String(), "* and so on") {
			t.Errorf("%s: more is gone: %v %.200s", path, w.Header(), strings.TrimSpace(w.Body.String()))
		}
	}
}

// FuzzConceal: whatever is read, in whatever pieces, comes out at the same length
// with every needle written over and nothing else, and nothing is held back for
// longer than it may be a needle's beginning.
func FuzzConceal(f *testing.F) {
	f.Add("aaaaaaaaaaaaaaaab", []byte("xaaaaaaaaaaaaaaaaaaaaabx"), uint8(1))
	f.Add(longToken, []byte("a"+longToken+longToken[:30]+longToken), uint8(7))
	f.Add(longToken, []byte(url.QueryEscape(longToken)+longToken), uint8(3))
	f.Add("abababababababab", []byte("ababababababababababab"), uint8(2))
	f.Fuzz(func(t *testing.T, token string, body []byte, piece uint8) {
		if strings.Contains(token, "*") {
			return // what is written over could be part of the next
		}
		hidden := newNeedles(token)
		whole := bytes.Clone(body)
		hidden.overwrite(whole)
		var pieces io.Reader = bytes.NewReader(body)
		switch size := int(piece%9) + 1; size {
		case 8:
			pieces = iotest.DataErrReader(pieces)
		case 9:
			pieces = iotest.HalfReader(pieces)
		default:
			pieces = &morsels{pieces, size}
		}
		c := &concealer{src: io.NopCloser(pieces), pool: newBuffers(), hidden: hidden}
		got, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(body) {
			t.Fatalf("%d bytes of %d", len(got), len(body))
		}
		if hidden.plain != "" && bytes.Contains(got, []byte(hidden.plain)) {
			t.Errorf("the token is in %q", got)
		}
		if hidden.escaped == "" && !bytes.Equal(got, whole) {
			t.Errorf("in pieces %q, whole %q", got, whole)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("it can be read when it is closed")
		}
	})
}

// morsels gives a few bytes at a time.
type morsels struct {
	io.Reader
	size int
}

func (s *morsels) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), s.size)]) }
