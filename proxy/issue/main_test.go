package issue

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	site = "https://maps.corp.example:8443"
	host = "maps.corp.example:8443"
	key  = "nightly-key-of-128-bits"
)

// clerk knows the callers: nightly by its key, and whoever sends X-Known. The user
// nightly acts as is alice, or unknown while broken.
type clerk struct {
	broken   atomic.Bool
	verified atomic.Int32
	asked    atomic.Int32
}

func (k *clerk) Verify(_ context.Context, _ *http.Request, name, given string) (string, bool) {
	k.verified.Add(1)
	return "nightly", given == key && (name == "" || name == "nightly")
}

func (k *clerk) Known(r *http.Request) (string, bool) {
	name := r.Header.Get("X-Known")
	return name, name != ""
}

func (k *clerk) Username(context.Context, string) (string, error) {
	k.asked.Add(1)
	if k.broken.Load() {
		return "", errors.New("approve the push")
	}
	return "alice", nil
}

// rig is an Issuer before a Portal and a server that say who asks.
type rig struct {
	*Issuer
	t     *testing.T
	clerk *clerk
	log   bytes.Buffer
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, clerk: &clerk{}}
	i, err := New(Config{
		PublicURL: parse(t, site),
		Upstreams: []*url.URL{parse(t, "https://gis.corp.example/portal"), parse(t, "https://gis.corp.example/server")},
		Origins:   []string{"https://app.corp.example"},
		Callers:   r.clerk,
		Log:       slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Issuer = i
	return r
}

func parse(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// request reads a request as it is on the wire, with newlines for CRLF. The Host
// and the length of the body are added.
func request(t testing.TB, raw string) *http.Request {
	t.Helper()
	head, body, _ := strings.Cut(strings.TrimLeft(raw, "\n"), "\n\n")
	line, fields, _ := strings.Cut(head, "\n")
	if !strings.Contains(strings.ToLower(fields), "host:") {
		fields += "\nHost: " + host
	}
	if body != "" {
		fields += "\nContent-Length: " + strconv.Itoa(len(body))
		if !strings.Contains(fields, "Content-Type:") {
			fields += "\nContent-Type: application/x-www-form-urlencoded"
		}
	}
	if !strings.Contains(line, " HTTP/") {
		line += " HTTP/1.1"
	}
	wire := strings.ReplaceAll(line+"\n"+strings.TrimLeft(fields, "\n")+"\n\n", "\n", "\r\n") + body
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		t.Fatalf("%v in\n%s", err, wire)
	}
	r.RemoteAddr = "192.0.2.7:51000"
	r.TLS = &tls.ConnectionState{}
	return r.WithContext(t.Context())
}

// send sends a raw request, to the Issuer or past it.
func (g *rig) send(raw string) *httptest.ResponseRecorder {
	g.t.Helper()
	r := request(g.t, raw)
	w := httptest.NewRecorder()
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if !g.Handles(path) {
		token := strings.TrimPrefix(r.Header.Get("X-Esri-Authorization"), "Bearer ")
		caller, ok := g.Caller(token, r)
		_ = json.NewEncoder(w).Encode(map[string]any{"caller": caller, "ok": ok, "forwarded": true})
		return w
	}
	g.Answer(w, r)
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		g.t.Errorf("Cache-Control: %q on the answer to %s", got, raw)
	}
	return w
}

// json sends a raw request and decodes the answer.
func (g *rig) json(raw string) map[string]any {
	g.t.Helper()
	return decode(g.t, g.send(raw).Body.Bytes())
}

func decode(t testing.TB, body []byte) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v in the answer\n%s", err, body)
	}
	return v
}

// faultOf returns the code, OAuth error and message with details of an answer.
func faultOf(v map[string]any) (code float64, kind, text string) {
	e, _ := v["error"].(map[string]any)
	code, _ = e["code"].(float64)
	kind, _ = e["error"].(string)
	text, _ = e["message"].(string)
	if details, ok := e["details"].([]any); ok {
		for _, d := range details {
			text += " " + d.(string)
		}
	}
	return code, kind, text
}

// whose asks the server behind the Issuer who comes with a token.
func (g *rig) whose(token string, fields ...string) string {
	g.t.Helper()
	v := g.json("GET /server/rest/services/T/FeatureServer/0/query?f=json\nX-Esri-Authorization: Bearer " + token + "\n" + strings.Join(fields, "\n"))
	if v["forwarded"] != true {
		g.t.Fatal("the request was not forwarded")
	}
	name, _ := v["caller"].(string)
	return name
}

// text returns a member of an answer that has to be a string.
func text(t testing.TB, v map[string]any, name string) string {
	t.Helper()
	s, ok := v[name].(string)
	if !ok || s == "" {
		t.Fatalf("no %s in %v", name, v)
	}
	return s
}

func TestNewSaysAllFaults(t *testing.T) {
	_, err := New(Config{
		PublicURL: parse(t, "/x"),
		Upstreams: []*url.URL{parse(t, "https://gis.corp.example/a/b")},
		Origins:   []string{"https://app.corp.example/path", "*", "https://fine.example"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"nobody knows the callers", "public URL", "upstream https://gis.corp.example/a/b", `"https://app.corp.example/path"`, `"*"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "fine.example") {
		t.Errorf("%v", err)
	}
}
