package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"arcproxy/auth"
)

const (
	fileHead  = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.zip\"\r\nContent-Type: application/zip\r\n\r\n"
	fieldHead = "--b\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\n"
)

// upload is a multipart form with the boundary b and fields that are given as name=value.
func upload(fields ...string) string {
	var b strings.Builder
	for _, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		fmt.Fprintf(&b, "--b\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", name, value)
	}
	return b.String() + "--b--"
}

const otherKey = "otherkey0123456789abcdef"

// withBob adds a caller who acts as somebody else.
func withBob(c *Config) {
	c.Callers = append(c.Callers, Caller{Name: "weekly", Identity: "bob", KeySHA256: hashOf(otherKey)})
}

// post sends an upload, without the header that has the key unless it is to be there.
func (s *setup) post(body io.Reader, length int64, key bool) (int, string) {
	s.Helper()
	res := s.do(http.MethodPost, "/portal/x", body, func(r *http.Request) {
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		r.ContentLength = length
		if !key {
			r.Header.Del("X-Esri-Authorization")
		}
	})
	return res.StatusCode, text(s.T, res)
}

func TestTheKeyInAnUpload(t *testing.T) {
	filler := "f=" + strings.Repeat("x", maxKept)
	behind := "f=" + strings.Repeat("x", 3*maxForm)
	beyond := "f=" + strings.Repeat("x", maxAhead+maxKept)
	token, other := "token="+callerKey, "TOKEN="+otherKey
	for name, c := range map[string]struct {
		fields  []string
		key     bool // in the header, too
		address bool // known by it
		status  int
		want    []string // the fields that arrive
		says    string
	}{
		"first":                      {[]string{token, "a=1"}, false, false, 200, []string{"a=1"}, ""},
		"last":                       {[]string{"a=1", token}, false, false, 200, []string{"a=1"}, ""},
		"alone":                      {[]string{token}, false, false, 200, nil, ""},
		"twice":                      {[]string{token, "a=1", "Token=" + callerKey}, false, false, 200, []string{"a=1"}, ""},
		"none":                       {[]string{"a=1"}, false, false, 401, nil, "send your caller key"},
		"empty":                      {[]string{"token=", "a=1"}, false, false, 401, nil, "send your caller key"},
		"empty, with a header":       {[]string{"token=", "a=1"}, true, false, 200, []string{"a=1"}, ""},
		"wrong":                      {[]string{"token=nobodys", "a=1"}, false, false, 401, nil, "caller key is not one"},
		"wrong, with a header":       {[]string{"token=nobodys", "a=1"}, true, false, 401, nil, "caller key is not one"},
		"another's, with a header":   {[]string{"a=1", other}, true, false, 401, nil, "not all one caller"},
		"two callers'":               {[]string{other, token}, false, false, 401, nil, "not all one caller"},
		"behind a file":              {[]string{filler, token}, false, false, 200, []string{filler}, ""},
		"behind part of an item":     {[]string{behind, token}, false, false, 200, []string{behind}, ""},
		"before a large file":        {[]string{token, beyond}, false, false, 200, []string{beyond}, ""},
		"behind a large file":        {[]string{beyond, token}, false, false, 413, nil, "X-Esri-Authorization"},
		"no key, a large file":       {[]string{beyond}, false, false, 413, nil, "X-Esri-Authorization"},
		"a header, a large file":     {[]string{beyond}, true, false, 200, []string{beyond}, ""},
		"both, a large file":         {[]string{beyond, token}, true, false, 200, []string{beyond}, ""},
		"wrong behind a large file":  {[]string{beyond, "token=nobodys"}, true, false, 401, nil, "caller key is not one"},
		"another's behind a large":   {[]string{beyond, other}, true, false, 401, nil, "not all one caller"},
		"two behind a large file":    {[]string{token, beyond, other}, false, false, 401, nil, "not all one caller"},
		"address":                    {[]string{"a=1"}, false, true, 200, []string{"a=1"}, ""},
		"address, a large file":      {[]string{beyond}, false, true, 200, []string{beyond}, ""},
		"address and another's":      {[]string{other, "a=1"}, false, true, 200, []string{"a=1"}, ""},
		"address, then another's":    {[]string{beyond, other}, false, true, 401, nil, "not all one caller"},
		"address, then a wrong one":  {[]string{beyond, "token=nobodys"}, false, true, 401, nil, "caller key is not one"},
		"address and a wrong one":    {[]string{"a=1", "token=nobodys"}, false, true, 401, nil, "caller key is not one"},
		"named in a way of its own":  {[]string{"%74oken=" + callerKey}, true, false, 400, nil, "name"},
		"a large one of that name":   {[]string{beyond, "%74oken=" + callerKey}, true, false, 400, nil, "name"},
		"larger than any key can be": {[]string{"token=" + strings.Repeat("x", 20_000)}, true, false, 400, nil, "longer"},
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " ", chunked), func(t *testing.T) {
				t.Parallel()
				var up seen
				options := []option{withBob}
				if c.address {
					options = append(options, byAddress)
				}
				s := start(t, func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						return // cut off: not delivered
					}
					r.Body = io.NopCloser(bytes.NewReader(body))
					up.ServeHTTP(w, r)
				}, options...)
				body := upload(c.fields...)
				length := int64(len(body))
				if chunked {
					length = -1
				}
				status, answer := s.post(io.MultiReader(strings.NewReader(body)), length, c.key)
				_, got, n := up.get()
				if status != c.status || !strings.Contains(answer, c.says) {
					t.Fatalf("got %d: %.300s", status, answer)
				}
				if c.status != 200 {
					if n != 0 {
						t.Errorf("the upstream got %.300s", got)
					}
					return
				}
				if want := upload(c.want...); got != want {
					t.Errorf("the upstream got %d bytes, not %d: %.300q", len(got), len(want), got)
				}
				if strings.Contains(s.log.String(), callerKey) {
					t.Error("the log holds the key")
				}
			})
		}
	}
}

func TestFormsThatCannotBeSearched(t *testing.T) {
	var up seen
	s := start(t, up.ServeHTTP)
	for _, c := range []struct {
		kind, encoding, body string
		status               int
		says                 string
	}{
		{"application/x-www-form-urlencoded", "gzip", "x", 415, "uncompressed"},
		{"multipart/form-data; boundary=b", "gzip", "x", 415, "uncompressed"},
		{"multipart/form-data; boundary=b", "br", "x", 415, "uncompressed"},
		{"multipart/form-data; boundary=b", "identity", upload("a=1"), 200, "ok"},
		{"application/json", "gzip", "x", 200, "ok"},
		{"application/x-www-form-urlencoded; charset=utf-16", "", "%00t%00o%00k%00e%00n=x", 415, "UTF-8"},
		{"multipart/form-data; boundary=b; charset=utf-16", "", upload("a=1"), 415, "UTF-8"},
		{"multipart/form-data", "", upload("a=1"), 400, "boundary"},
		{"multipart/form-data; boundary=b", "", strings.TrimSuffix(upload("a=1"), "--"), 400, "last boundary"},
		{"multipart/form-data; boundary=b", "", "a=1", 400, "last boundary"},
	} {
		_, _, before := up.get()
		res := s.do(http.MethodPost, "/portal/x", strings.NewReader(c.body), func(r *http.Request) {
			r.Header.Set("Content-Type", c.kind)
			if c.encoding != "" {
				r.Header.Set("Content-Encoding", c.encoding)
			}
		})
		answer := text(t, res)
		_, _, after := up.get()
		if res.StatusCode != c.status || !strings.Contains(answer, c.says) || after-before != 0 && c.status != 200 {
			t.Errorf("%s %s: %d %s, %d arrived", c.kind, c.encoding, res.StatusCode, answer, after-before)
		}
	}
}

// What uploads may hold of memory, as long as nobody knows whose they are, is bounded
// for all of them together, and given back.
func TestUploadsShareTheLookahead(t *testing.T) {
	var up seen
	s := start(t, up.ServeHTTP)
	p, err := New(s.config(), s.tokens)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(p)
	defer front.Close()
	defer p.transport.(*http.Transport).CloseIdleConnections()
	s.url = front.URL
	body := upload("f="+strings.Repeat("x", 2*maxForm), "token="+callerKey)
	for _, c := range []struct {
		held   int64
		length int64
		status int
	}{
		{0, int64(len(body)), 200}, {aheadInAll, int64(len(body)), 413}, {aheadInAll - int64(len(body)), int64(len(body)), 200},
		{0, -1, 200}, {aheadInAll, -1, 413}, {aheadInAll - maxAhead, -1, 200},
	} {
		p.ahead.Store(c.held)
		if status, answer := s.post(io.MultiReader(strings.NewReader(body)), c.length, false); status != c.status {
			t.Errorf("%+v: %d %s", c, status, answer)
		}
		if left := p.ahead.Load(); left != c.held {
			t.Errorf("%+v: %d are held", c, left)
		}
	}
	s.client.CloseIdleConnections()
}

// The text of fields is mapped, files are not, whether the upload is held or not.
func TestUploadsAreMapped(t *testing.T) {
	var up seen
	s := start(t, up.ServeHTTP)
	ours, theirs := "https://maps.example.com:8443/portal/home", s.upstream.URL+"/portal/home"
	for _, fill := range []int{10, maxKept} {
		filler := strings.Repeat("x", fill)
		body := fieldHead + ours + "\r\n" + fieldHead + filler + " " + ours + "\r\n" + fileHead + ours + "\r\n--b--"
		want := fieldHead + theirs + "\r\n" + fieldHead + filler + " " + theirs + "\r\n" + fileHead + ours + "\r\n--b--"
		if status, answer := s.post(strings.NewReader(body), int64(len(body)), true); status != 200 {
			t.Errorf("%d %s", status, answer)
		}
		if _, got, _ := up.get(); got != want {
			t.Errorf("the upstream got %.600q", got)
		}
	}
}

// A caller who waits for "100 Continue" gets it, and sends no file that nobody takes.
func TestUploadsWaitToBeAskedFor(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("refuse") {
			w.WriteHeader(http.StatusConflict)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
	})
	body := fileHead + strings.Repeat("x", 2*maxForm) + "\r\n--b--"
	for target, want := range map[string]string{"/portal/x": "HTTP/1.1 100 ", "/portal/x?refuse": "HTTP/1.1 409 "} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nX-Esri-Authorization: Bearer %s\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n", target, callerKey, len(body))
		begin := make([]byte, len(want))
		if _, err := io.ReadFull(conn, begin); err != nil || string(begin) != want {
			t.Fatalf("%s: %q, %v", target, begin, err)
		}
		if strings.Contains(target, "refuse") {
			continue
		}
		go func() { _, _ = io.WriteString(conn, body) }()
		if rest, err := io.ReadAll(conn); err != nil || !bytes.Contains(rest, []byte("HTTP/1.1 200 ")) {
			t.Errorf("%s: %q, %v", target, rest, err)
		}
	}
}

// drained is a transport that reads what it is to send, as net/http does.
type drained struct{}

func (drained) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r.Body}, make([]byte, block)); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// BenchmarkUpload measures what 100 MB cost in the handler, without network, as a
// plain body and as a file in a form.
func BenchmarkUpload(b *testing.B) {
	p, err := New(Config{
		PublicURL: &url.URL{Scheme: "https", Host: "localhost:8443"},
		Upstreams: []Upstream{{URL: &url.URL{Scheme: "http", Host: "gis.example.com", Path: "/portal"}}},
		Callers:   []Caller{{Name: "bench", Identity: "alice", KeySHA256: hashOf(callerKey)}},
		Transport: drained{},
	}, oneToken{auth.Grant{AccessToken: auth.NewSecret("token1")}})
	if err != nil {
		b.Fatal(err)
	}
	const size = 100 << 20
	mixed := make([]byte, 1<<20)
	for i := range mixed {
		mixed[i] = byte(i * 7919 >> 3)
	}
	for _, kind := range []string{"application/octet-stream", "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW"} {
		b.Run(kind[:9], func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				head := strings.ReplaceAll(upload("f=json", "a=1")[:len(upload("f=json", "a=1"))-5]+fileHead, "--b", "------WebKitFormBoundary7MA4YWxkTrZu0gW")
				parts := []io.Reader{strings.NewReader(head)}
				for range size / len(mixed) {
					parts = append(parts, bytes.NewReader(mixed))
				}
				parts = append(parts, strings.NewReader("\r\n------WebKitFormBoundary7MA4YWxkTrZu0gW--"))
				r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "/portal/sharing/rest/content/addItem", io.MultiReader(parts...))
				if err != nil {
					b.Fatal(err)
				}
				r.ContentLength = size
				r.Host, r.RequestURI, r.RemoteAddr = "localhost:8443", "/portal/sharing/rest/content/addItem", "127.0.0.1:1234"
				r.Header = http.Header{"Content-Type": {kind}, "X-Esri-Authorization": {"Bearer " + callerKey}}
				p.ServeHTTP(&sink{header: http.Header{}}, r)
			}
		})
	}
}
