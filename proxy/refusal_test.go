package proxy

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// refusals are all shapes in which ArcGIS refuses a token.
var refusals = map[string]struct {
	kind string
	body string
}{
	"sharing":            {"application/json", `{"error":{"code":498,"message":"Invalid token.","details":[]}}`},
	"sharing 499":        {"application/json;charset=utf-8", `{"error":{"code":499,"messageCode":"GWM_0003","message":"Token Required","details":["Token Required"]}}`},
	"code last":          {"application/json", `{"error":{"message":"Invalid Token","details":[],"code":498}}`},
	"code as text":       {"application/json", `{"error":{"code":"498","message":"Invalid Token."}}`},
	"byte order mark":    {"application/json", "\xef\xbb\xbf" + `{"error":{"code":498,"message":"Invalid Token."}}`},
	"pjson":              {"text/plain;charset=utf-8", "{\n \"error\": {\n  \"code\": 498,\n  \"message\": \"Invalid Token\",\n  \"details\": []\n }\n}\n"},
	"text/plain":         {"text/plain", `{"error":{"code":499,"message":"Token Required","details":[]}}`},
	"image":              {"image/png", `{"error":{"code":498,"message":"Invalid Token","details":[]}}`},
	"pbf":                {"application/x-protobuf", `{"error":{"code":498,"message":"Invalid Token","details":[]}}`},
	"no type":            {"", `{"error":{"code":498,"message":"Invalid Token","details":[]}}`},
	"admin":              {"application/json", `{"status":"error","messages":["Token Required"],"code":499}`},
	"admin, code first":  {"application/json", `{"code":498,"messages":["Invalid Token"],"status":"error"}`},
	"admin, texts first": {"application/json", `{"messages":["Invalid Token"],"status":"error","code":498}`},
	"admin, indented":    {"application/json", "{\n  \"status\": \"error\",\n  \"messages\": [\"Token Required\"],\n  \"code\": 499\n}"},
	"JSONP":              {"application/javascript", `dojo.io.script.jsonp_dojoIoScript1._jsonpCallback({"error":{"code":498,"message":"Invalid Token","details":[]}});`},
	"guarded JSONP":      {"text/javascript", "/**/ cb_1( {\"error\":{\"code\":499,\"message\":\"Token Required\"}} ) ;\n"},
	"JSONP of admin":     {"application/javascript", `cb({"status":"error","messages":["Token Required"],"code":499});`},
	"HTML":               {"text/html;charset=utf-8", "<!DOCTYPE html>\n<html><head><title>Error: Invalid Token</title></head>\n<body><h2>Error: Invalid Token</h2>\n<p>Code: 498</p>\n</body></html>"},
	"HTML, split up":     {"text/html", "<html><head><title>ArcGIS REST Framework: Error</title></head><body><div class=\"restBody\"><b>Message:</b> Token Required<br/><b>Code:</b> <i>499</i></div></body></html>"},
	"JSON in HTML":       {"text/html", "<html><head><title>ArcGIS REST Services Directory</title></head>\n<body><pre>{\n  &quot;code&quot;: 498,\n  &#34;messages&#34;: [&#34;Invalid Token&#34;],\n  &#34;status&#34;: &#34;error&#34;\n}</pre></body></html>\n"},
}

// noRefusals must go to the caller as they are.
var noRefusals = map[string]struct {
	kind string
	body string
}{
	"forbidden":              {"application/json", `{"error":{"code":403,"messageCode":"GWM_0003","message":"You do not have permissions to access this resource or perform this operation.","details":[]}}`},
	"not found":              {"application/json", `{"error":{"code":404,"message":"Service not found","details":["498"]}}`},
	"words in the message":   {"application/json", `{"error":{"code":400,"message":"Invalid token. Code 498","details":["Token Required"]}}`},
	"caller's refresh token": {"application/json", `{"error":{"code":498,"error":"invalid_request","error_description":"refresh_token expired","message":"refresh_token expired","details":[]}}`},
	"features":               {"application/json", `{"objectIdFieldName":"id","features":[{"attributes":{"id":498,"note":"{\"error\":{\"code\":498,\"message\":\"Invalid token.\"}}","code":498}}]}`},
	"feature called error":   {"application/json", `{"attributes":{"error":{"code":498,"message":"Invalid token."}}}`},
	"edits":                  {"application/json", `{"addResults":[{"success":false,"error":{"code":498,"description":"Invalid token."}}]}`},
	"admin success":          {"application/json", `{"status":"success","code":498}`},
	"job failed":             {"application/json", `{"status":"failed","statusMessage":"Invalid token. 498","code":498}`},
	"code without status":    {"application/json", `{"code":498,"message":"four hundred and ninety-eight"}`},
	"cut off":                {"application/json", `{"error":{"code":498,"message":"Invalid to`},
	"two documents":          {"application/json", `{"error":{"code":498}}{"error":{"code":498}}`},
	"array":                  {"application/json", `[{"error":{"code":498,"message":"Invalid token."}}]`},
	"text":                   {"text/plain", `Invalid token. Code: 498`},
	"CSV":                    {"text/csv", "code,message\n498,Invalid token.\n"},
	"code in JavaScript":     {"application/javascript", `define({"error":{"text":"Invalid token.","code":498.5}});`},
	"call of another thing":  {"application/javascript", `cb({"features":[{"error":{"code":498}}]});`},
	"HTML of a feature":      {"text/html", "<html><head><title>Feature 498</title></head><body><i>Code:</i> 498<br/><i>note:</i> Invalid Token</body></html>"},
	"HTML, other error":      {"text/html", "<html><head><title>Error: Service not found</title></head><body><p>Code: 404</p><p>Route 498, code 4980</p></body></html>"},
	"XML":                    {"text/xml", `<error code="498">Invalid token.</error>`},
	"pbf bytes":              {"application/x-protobuf", "\x0a\x12{\"error\":{\"code\":498}}"},
	"number":                 {"application/json", `498`},
	"long":                   {"application/json", `{"error":{"code":498,"message":"Invalid token.","details":["` + strings.Repeat("x", maxRefusal) + `"]}}`},
}

func zip(t testing.TB, plain string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sendings are the ways in which one body can be put on the wire.
var sendings = map[string]func(t testing.TB, w http.ResponseWriter, kind, body string){
	"with a length": func(_ testing.TB, w http.ResponseWriter, kind, body string) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = io.WriteString(w, body)
	},
	"byte by byte": func(_ testing.TB, w http.ResponseWriter, kind, body string) {
		w.Header().Set("Content-Type", kind)
		for i := range min(len(body), 300) {
			_, _ = io.WriteString(w, body[i:i+1])
			w.(http.Flusher).Flush()
		}
		_, _ = io.WriteString(w, body[min(len(body), 300):])
	},
	"gzip": func(t testing.TB, w http.ResponseWriter, kind, body string) {
		zipped := zip(t, body)
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Length", strconv.Itoa(len(zipped)))
		_, _ = w.Write(zipped)
	},
	"gzip in chunks": func(t testing.TB, w http.ResponseWriter, kind, body string) {
		zipped := zip(t, body)
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Encoding", "gzip")
		for len(zipped) > 0 {
			n := min(7, len(zipped))
			_, _ = w.Write(zipped[:n])
			w.(http.Flusher).Flush()
			zipped = zipped[n:]
		}
	},
	"bad request": func(_ testing.TB, w http.ResponseWriter, kind, body string) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, body)
	},
}

func TestARefusalInAnyShapeIsReplayedOnce(t *testing.T) {
	for shape, refusal := range refusals {
		for way, send := range sendings {
			t.Run(shape+", "+way, func(t *testing.T) {
				s := start(t, func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("X-Esri-Authorization") == "Bearer token2" {
						_, _ = io.WriteString(w, "good")
						return
					}
					send(t, w, refusal.kind, refusal.body)
				})
				res := s.do(http.MethodGet, "/portal/x", nil, func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip, br") })
				if body := text(t, res); res.StatusCode != 200 || body != "good" {
					t.Errorf("got %d %s", res.StatusCode, body)
				}
				if drops, _ := s.tokens.state(); drops != 1 {
					t.Errorf("%d tokens were dropped", drops)
				}
			})
		}
	}
}

func TestARefusalByStatusIsReplayed(t *testing.T) {
	for _, status := range []int{498, 499} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			t.Run(method+strconv.Itoa(status), func(t *testing.T) {
				s := start(t, func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("X-Esri-Authorization") != "Bearer token2" {
						w.WriteHeader(status)
					}
				})
				if res := s.do(method, "/portal/x", nil, nil); res.StatusCode != 200 {
					t.Errorf("got %d", res.StatusCode)
				}
			})
		}
	}
}

func TestWhatIsNoRefusalIsPassedOnUnchanged(t *testing.T) {
	for shape, answer := range noRefusals {
		for way, send := range sendings {
			t.Run(shape+", "+way, func(t *testing.T) {
				s := start(t, func(w http.ResponseWriter, r *http.Request) { send(t, w, answer.kind, answer.body) })
				res := s.do(http.MethodGet, "/portal/x", nil, func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") })
				body := text(t, res)
				if res.Header.Get("Content-Encoding") == "gzip" {
					z, err := gzip.NewReader(strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					plain, err := io.ReadAll(z)
					if err != nil {
						t.Fatal(err)
					}
					body = string(plain)
				}
				if body != answer.body {
					t.Errorf("got %d %.200q", res.StatusCode, body)
				}
				if drops, asked := s.tokens.state(); drops != 0 || asked != 1 {
					t.Errorf("%d tokens dropped, asked for %d times", drops, asked)
				}
			})
		}
	}
}

// A stream must not wait for the proxy to make up its mind: its first bytes
// arrive while the upstream holds the rest back.
func TestTheBeginningOfAStreamIsNotHeldBack(t *testing.T) {
	for name, begin := range map[string]struct{ kind, first string }{
		"json":    {"application/json", `{"fea`},
		"binary":  {"application/octet-stream", "\x00"},
		"admin":   {"application/json", `{"status":"s`},
		"html":    {"text/html", "<html><head><title>Home</title></head><body><div>"},
		"xml":     {"text/xml", "<"},
		"js":      {"application/javascript", "var "},
		"events":  {"text/event-stream", ":"},
		"csv":     {"text/csv", "name,"},
		"unknown": {"", "%PDF"},
	} {
		t.Run(name, func(t *testing.T) {
			arrived := make(chan struct{})
			s := start(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", begin.kind)
				_, _ = io.WriteString(w, begin.first)
				w.(http.Flusher).Flush()
				select {
				case <-arrived:
				case <-r.Context().Done():
				}
				_, _ = io.WriteString(w, "rest")
			})
			res := s.do(http.MethodGet, "/portal/x", nil, nil)
			first := make([]byte, len(begin.first))
			if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != begin.first {
				t.Fatalf("got %q, %v", first, err)
			}
			close(arrived)
			if rest := text(t, res); rest != "rest" {
				t.Errorf("then got %q", rest)
			}
		})
	}
}

// FuzzJudge checks that looking at a body piece by piece never comes to another
// end than looking at all of it, that it ends, and that a verdict holds.
func FuzzJudge(f *testing.F) {
	for _, r := range refusals {
		f.Add([]byte(r.body), strings.Contains(r.kind, "html"), false)
		f.Add(zip(f, r.body), strings.Contains(r.kind, "html"), true)
	}
	for _, r := range noRefusals {
		f.Add([]byte(r.body), strings.Contains(r.kind, "html"), false)
		f.Add(zip(f, r.body), false, true)
	}
	f.Fuzz(func(t *testing.T, body []byte, isHTML, zipped bool) {
		var pool inflaters
		l := lens{html: isHTML, zipped: zipped, inflate: &pool}
		end := l.judge(body, true)
		if end == unsure {
			t.Fatal("unsure about a whole body")
		}
		step := max(1, len(body)/16)
		for n := 0; n < len(body); n += step {
			switch l.judge(body[:n], false) {
			case refusing:
				t.Fatalf("refusing at %d of %d bytes, before the end is known", n, len(body))
			case innocent:
				if end == refusing {
					t.Fatalf("innocent at %d of %d bytes, but not at the end", n, len(body))
				}
			}
		}
	})
}
