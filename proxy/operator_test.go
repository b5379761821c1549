package proxy

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"arcproxy/proxy/console"
	"arcproxy/proxy/peer"
)

func TestWhatOperatorsDoIsRecorded(t *testing.T) {
	var kept trail
	g := newDoor(t, func(c *Config) { c.Trail = &kept })
	const (
		api      = "/_arcproxy/api/v1/identities/alice/"
		password = "canary-password"
		code     = "canary-492816"
		asJSON   = "Content-Type: application/json"
		asForm   = "Content-Type: application/x-www-form-urlencoded"
	)
	// Looking is not doing, nor is what there is not, or what the gate refuses.
	_, page := g.send("GET", "/_arcproxy/", "", asAdmin, "Accept: text/html")
	for _, path := range []string{"metrics", "healthz", "readyz", "api/v1/state"} {
		g.send("GET", "/_arcproxy/"+path, "", asAdmin)
		g.send("HEAD", "/_arcproxy/"+path, "", asAdmin)
	}
	g.send("GET", api+"sign-out", "", asAdmin)
	g.send("POST", "/_arcproxy/"+code, "", asAdmin)
	g.send("POST", signOut, "", asCaller)
	g.send("POST", signOut, "", "X-Esri-Authorization: Bearer wrong")
	if list := kept.records(); len(list) > 0 {
		t.Fatalf("recorded: %+v", list)
	}

	want := []string{
		"boss alice 200 " + api + "sign-in",
		"boss alice 204 " + api + "answer",
		"boss alice 400 " + api + "answer",
		"boss alice 204 " + api + "sign-out",
		"boss  404 /_arcproxy/api/v1/identities/nobody/sign-out",
		"boss alice 303 /_arcproxy/answer",
		"boss  404 /_arcproxy/sign-in",
		"boss alice 403 /_arcproxy/sign-out",
	}
	g.send("POST", api+"sign-in", `{"password":"`+password+`"}`, asAdmin, asJSON)
	g.send("POST", api+"answer", `{"challenge":"7","answer":"`+code+`"}`, asAdmin, asJSON)
	g.send("POST", api+"answer", `{"answer":"`+code, asAdmin, asJSON)
	g.send("POST", signOut, "", asAdmin)
	g.send("POST", "/_arcproxy/api/v1/identities/nobody/sign-out", "", asAdmin)
	stamp := regexp.MustCompile(`name="stamp" value="([^"]+)"`).FindStringSubmatch(page)[1]
	g.send("POST", "/_arcproxy/answer", url.Values{"stamp": {stamp}, "identity": {"alice"}, "challenge": {"7"}, "answer": {code}}.Encode(), asAdmin, asForm)
	g.send("POST", "/_arcproxy/sign-in", url.Values{"stamp": {stamp}, "identity": {password}, "password": {password}}.Encode(), asAdmin, asForm)
	g.send("POST", "/_arcproxy/sign-out?answer="+code, url.Values{"identity": {"alice"}}.Encode(), asAdmin, asForm)
	if peer.Supported {
		g.send("POST", signOut, "")
		want = append(want, Owner+" alice 204 "+signOut)
	}
	var got []string
	for _, r := range kept.records() {
		got = append(got, fmt.Sprintf("%s %s %d %s", r.Caller, r.Identity, r.Status, r.Path))
		if r.Method != "POST" || !strings.HasPrefix(r.Address, "127.0.0.1:") || r.Duration <= 0 || r.Time.IsZero() {
			t.Errorf("a record is %+v", r)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	g.proxy.Control().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", stateAt, nil))
	w := httptest.NewRecorder()
	g.proxy.Control().ServeHTTP(w, httptest.NewRequest("POST", signOut, nil))
	list := kept.records()
	if last := list[len(list)-1]; w.Code != 204 || len(list) != len(want)+1 || last.Caller != Owner || last.Address != "control socket" || last.Identity != "alice" || last.Status != 204 {
		t.Errorf("by the socket: %d, %+v", w.Code, last)
	}
	if text := fmt.Sprintf("%+v", list); strings.Contains(text, "canary") || strings.Contains(text, stamp) {
		t.Errorf("a secret is in the record: %s", text)
	}
}

func TestNobodyIsCalledWhatRecordsCallTheOwner(t *testing.T) {
	for _, name := range []string{Owner, "(unknown)"} {
		if _, err := newCallers([]Caller{{Name: name, Identity: "alice", KeySHA256: hashOf(callerKey)}}, Front{}, nil); err == nil {
			t.Errorf("a caller may be called %q", name)
		}
	}
}

func TestWhatTheGateRefusesIsCountedAndNoted(t *testing.T) {
	figures := &tally{}
	var shown *console.Console
	g := newDoor(t, func(c *Config) { c.Figures, shown = figures, c.Console }).stranger()
	for _, path := range []string{"healthz", "readyz"} {
		g.send("GET", "/_arcproxy/"+path, "", "X-Esri-Authorization: Bearer wrong") // answered
	}
	g.send("GET", stateAt, "", asAdmin)
	g.send("POST", signOut, "", asAdmin)
	g.send("GET", stateAt+"?key=canary", "")
	g.send("GET", stateAt, "", "X-Esri-Authorization: Bearer canary")
	g.send("GET", stateAt, "", asCaller)
	g.send("POST", signOut, "", asReader)
	g.send("GET", stateAt, "", asAdmin, "Origin: https://evil.example")
	figures.mu.Lock()
	defer figures.mu.Unlock()
	want := []string{"/ 401 true false", "/ 401 true false", "nightly/alice 403 true false", "reader/alice 403 true false", "/ 403 true false"}
	if !slices.Equal(figures.seen, want) {
		t.Errorf("counted %q, want %q", figures.seen, want)
	}
	var noted []string
	for _, r := range shown.Journal().Failures() {
		noted = append(noted, fmt.Sprintf("%s/%s %s %s %d", r.Caller, r.Identity, r.Method, r.Path, r.Status))
		if r.Reason == "" || strings.Contains(r.Reason, "canary") {
			t.Errorf("%s %s: %q", r.Method, r.Path, r.Reason)
		}
	}
	slices.Reverse(noted)
	if want := []string{"/ GET " + stateAt + " 401", "/ GET " + stateAt + " 401", "nightly/alice GET " + stateAt + " 403", "reader/alice POST " + signOut + " 403", "/ GET " + stateAt + " 403"}; !slices.Equal(noted, want) {
		t.Errorf("noted %q, want %q", noted, want)
	}
}

func TestWithoutAConsoleItIsCountedLikeWhatIsNotMounted(t *testing.T) {
	figures := &tally{}
	s := start(t, new(seen).ServeHTTP, func(c *Config) { c.Figures = figures })
	s.get(stateAt)
	figures.mu.Lock()
	defer figures.mu.Unlock()
	if want := []string{"/ 404 true false"}; !slices.Equal(figures.seen, want) {
		t.Errorf("counted %q, want %q", figures.seen, want)
	}
}
