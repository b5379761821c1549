package proxy

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"arcproxy/proxy/mapping"
)

const ours = "https://maps.example.com:8443/portal"

func unzip(t *testing.T, zipped string) string {
	t.Helper()
	r, err := gzip.NewReader(strings.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

func TestAnswersAreMapped(t *testing.T) {
	var address string // of the upstream
	long := func(n int) string { return `{"pad":"` + strings.Repeat("x", n) + `","url":"URL/home"}` }
	for name, c := range map[string]struct {
		path, kind, body string
		zip, chunked     bool
		ask              map[string]string
		same             bool // not mapped
		length           bool // said
	}{
		"short":           {path: "/portal/sharing/rest/portals/self", body: long(10), length: true},
		"chunked":         {path: "/portal/sharing/rest/portals/self", body: long(10), chunked: true},
		"long":            {path: "/portal/sharing/rest/portals/self", body: long(1 << 20)},
		"short in gzip":   {path: "/portal/sharing/rest/portals/self", body: long(10), zip: true, length: true},
		"chunked in gzip": {path: "/portal/sharing/rest/portals/self", body: long(10), zip: true, chunked: true},
		"grows in gzip":   {path: "/portal/sharing/rest/portals/self", body: long(1 << 20), zip: true},
		"nothing in gzip": {path: "/portal/sharing/rest/portals/self", body: `{"a":1}`, zip: true, same: true, length: true},
		"nothing":         {path: "/portal/sharing/rest/portals/self", body: `{"a":1}`, same: true, length: true},
		"features":        {path: "/portal/rest/services/T/FeatureServer/0/query", body: long(10), same: true, length: true},
		"image":           {path: "/portal/sharing/rest/portals/self", kind: "image/png", body: long(10), same: true, length: true},
		"turned off":      {path: "/portal/sharing/rest/portals/self", body: long(10), ask: map[string]string{mapping.Switch: "off"}, same: true, length: true},
		"no part":         {path: "/portal/sharing/rest/portals/self", body: long(10), ask: map[string]string{"Range": "bytes=0-"}, length: true},
	} {
		t.Run(name, func(t *testing.T) {
			var sent []byte
			s := start(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get(mapping.Switch) != "" {
					t.Error("the switch is passed on")
				}
				kind := c.kind
				if kind == "" {
					kind = "application/json;charset=utf-8"
				}
				w.Header().Set("Content-Type", kind)
				w.Header().Set("Etag", `"1"`)
				w.Header().Set("Accept-Ranges", "bytes")
				if c.zip {
					w.Header().Set("Content-Encoding", "gzip")
				}
				if !c.chunked {
					w.Header().Set("Content-Length", strconv.Itoa(len(sent)))
				}
				_, _ = w.Write(sent[:len(sent)/2])
				if c.chunked {
					_ = http.NewResponseController(w).Flush()
				}
				_, _ = w.Write(sent[len(sent)/2:])
			})
			address = s.upstream.URL + "/portal"
			body := strings.ReplaceAll(c.body, "URL", address)
			want := strings.ReplaceAll(c.body, "URL", ours)
			if c.same {
				want = body
			}
			if sent = []byte(body); c.zip {
				sent = zip(t, body)
			}
			res := s.do(http.MethodGet, c.path+"?f=json", nil, func(r *http.Request) {
				r.Header.Set("Accept-Encoding", "gzip")
				for name, value := range c.ask {
					r.Header.Set(name, value)
				}
			})
			got := text(t, res)
			if c.zip {
				if c.same && got != string(sent) {
					t.Error("what was not changed was packed anew")
				}
				got = unzip(t, got)
			}
			if got != want {
				t.Errorf("got %.300q, want %.300q", got, want)
			}
			if said := res.ContentLength >= 0; said != c.length {
				t.Errorf("the length is %d", res.ContentLength)
			}
			h := res.Header
			if weak := h.Get("Etag") == `W/"1"`; weak == c.same || weak == (h.Get("Accept-Ranges") != "") {
				t.Errorf("mapped: %v; Etag %q, Accept-Ranges %q", !c.same, h.Get("Etag"), h.Get("Accept-Ranges"))
			}
			vary := strings.Join(h["Vary"], ",")
			if need := !c.same || c.ask[mapping.Switch] != ""; need && !strings.Contains(vary, mapping.Switch) {
				t.Errorf("Vary is %q", vary)
			}
		})
	}
}

// What a body's headers would be is said without it, too.
func TestHeadersWithoutABodyAreThoseOfAMappedOne(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Etag", `"1"`)
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Length", "12")
	})
	for _, path := range []string{"/portal/sharing/rest/portals/self", "/portal/rest/services/T/FeatureServer/0/query"} {
		want, length := `W/"1"`, int64(-1)
		if strings.HasSuffix(path, "query") {
			want, length = `"1"`, 12
		}
		res := s.do(http.MethodHead, path, nil, nil)
		if res.Header.Get("Etag") != want || res.ContentLength != length {
			t.Errorf("HEAD %s: Etag %q, length %d", path, res.Header.Get("Etag"), res.ContentLength)
		}
		res = s.do(http.MethodGet, path, nil, func(r *http.Request) { r.Header.Set("If-None-Match", `W/"1"`) })
		if res.StatusCode != http.StatusNotModified || res.Header.Get("Etag") != want {
			t.Errorf("304 %s: %d, Etag %q", path, res.StatusCode, res.Header.Get("Etag"))
		}
	}
}

// A body that upstream cuts off ends at the same place, as one that was cut off.
func TestACutBodyIsCut(t *testing.T) {
	for _, length := range []string{"200", "2000000", ""} {
		s := start(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if length != "" {
				w.Header().Set("Content-Length", length)
			}
			_, _ = io.WriteString(w, `{"url":"http://`+r.Host+`/portal/home","x":"http://`+r.Host+"/por")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		res := s.do(http.MethodGet, "/portal/sharing/rest/portals/self", nil, nil)
		got, err := io.ReadAll(res.Body)
		if err == nil {
			t.Errorf("length %q: nobody learns that it was cut off", length)
		}
		host := strings.TrimPrefix(s.upstream.URL, "http://")
		if want := `{"url":"` + ours + `/home","x":"http://` + host + "/por"; string(got) != want && string(got) != want[:len(got)] {
			t.Errorf("length %q: got %q", length, got)
		}
	}
}

// A little gzip that becomes a lot is mapped as it passes.
func TestABombIsMappedInLittleMemory(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.Copy(w, zeros(64<<20))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(b.Bytes()[:60<<10])
	})
	rose := peak()
	res := s.do(http.MethodGet, "/portal/sharing/rest/portals/self", nil, func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") })
	_, _ = io.Copy(io.Discard, res.Body)
	if n := rose(); n > headroom {
		t.Errorf("the heap rose by %d MiB", n>>20)
	}
}

func TestRequestsAreMapped(t *testing.T) {
	type sent struct{ query, body, referer, origin string }
	var got sent
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.ContentLength >= 0 && r.ContentLength != int64(len(body)) {
			t.Errorf("the length is said to be %d of %d", r.ContentLength, len(body))
		}
		got = sent{r.URL.RawQuery, string(body), r.Header.Get("Referer"), r.Header.Get("Origin")}
	})
	theirs := s.upstream.URL + "/portal"
	const form = "application/x-www-form-urlencoded"
	large := strings.Repeat("x", 3<<20)
	for name, c := range map[string]struct{ path, query, kind, body, wantQuery, wantBody string }{
		"query":      {"/portal/sharing/rest/content/items", "url=OURS/home&where=A%20LIKE%20'%'", "", "", "url=THEIRS/home&where=A%20LIKE%20'%'", ""},
		"form":       {"/portal/sharing/rest/content/users/a/addItem", "", form, "url=OURS/home&f=json", "", "url=THEIRS/home&f=json"},
		"large form": {"/portal/sharing/rest/content/users/a/addItem", "", form, "text=" + large + "&url=OURS/home&f=json", "", "text=" + large + "&url=THEIRS/home&f=json"},
		"json":       {"/portal/sharing/rest/content/users/a/addItem", "", "application/json; charset=utf-8", `{"url":"OURS\/home"}`, "", `{"url":"THEIRS\/home"}`},
		"file":       {"/portal/sharing/rest/content/users/a/addItem", "", "application/octet-stream", "OURS/home", "", "OURS/home"},
		"saml":       {"/portal/sharing/rest/oauth2/validateRedirectUri", "redirect_uri=OURS/home", "", "", "redirect_uri=OURS/home", ""},
	} {
		t.Run(name, func(t *testing.T) {
			fill := strings.NewReplacer("OURS", ours, "THEIRS", theirs).Replace
			method, body := http.MethodGet, io.Reader(nil)
			if c.kind != "" {
				method, body = http.MethodPost, strings.NewReader(fill(c.body))
			}
			path := c.path
			if c.query != "" {
				path += "?" + fill(c.query)
			}
			res := s.do(method, path, body, func(r *http.Request) {
				r.Header.Set("Content-Type", c.kind)
				r.Header.Set("Referer", ours+"/home/item.html?id=1")
				r.Header.Set("Origin", "https://maps.example.com:8443")
			})
			if res.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", res.StatusCode, text(t, res))
			}
			if got.query != fill(c.wantQuery) || got.body != fill(c.wantBody) {
				t.Errorf("query %q, body %.200q", got.query, got.body)
			}
			if got.referer != theirs+"/home/item.html?id=1" || got.origin != s.upstream.URL {
				t.Errorf("Referer %q, Origin %q", got.referer, got.origin)
			}
		})
	}
}

// What is known of a body comes at once.
func TestMappedBodiesAreNotHeldBack(t *testing.T) {
	more := make(chan struct{})
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"a":"first"`)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-more:
		case <-time.After(time.Minute):
			t.Error("nothing came before the end")
		}
		_, _ = io.WriteString(w, `}`)
	})
	res := s.do(http.MethodGet, "/portal/sharing/rest/portals/self", nil, nil)
	begin := make([]byte, len(`{"a":"first"`))
	if _, err := io.ReadFull(res.Body, begin); err != nil || string(begin) != `{"a":"first"` {
		t.Errorf("%q, %v", begin, err)
	}
	close(more)
	if rest := text(t, res); rest != "}" {
		t.Errorf("got %q", rest)
	}
}
