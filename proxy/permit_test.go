package proxy

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"arcproxy/proxy/policy"
)

// What a caller may not do is refused before a token is asked for.
func TestWhatACallerMayDo(t *testing.T) {
	wfs := "/portal/services/Roads/MapServer/WFSServer"
	for name, c := range map[string]struct {
		rules  policy.Rules
		method string
		target string
		form   string
		status int
	}{
		"anything":                    {policy.Rules{}, "POST", "/portal/rest/services/T/FeatureServer/0/deleteFeatures", "where=1=1", 200},
		"administration":              {policy.Rules{}, "GET", "/portal/portaladmin", "", 403},
		"administration, encoded":     {policy.Rules{}, "GET", "/portal/%70ortaladmin/x", "", 403},
		"an administrator":            {policy.Rules{Admin: true}, "GET", "/portal/portaladmin", "", 200},
		"reading by POST":             {policy.Rules{ReadOnly: true}, "POST", "/portal/rest/services/T/FeatureServer/0/query", "where=1=1", 200},
		"writing by GET":              {policy.Rules{ReadOnly: true}, "GET", "/portal/rest/services/T/FeatureServer/0/deleteFeatures?where=1=1", "", 403},
		"denied":                      {policy.Rules{Deny: []string{"/portal/secret/**"}}, "GET", "/portal/secret/a", "", 403},
		"not allowed":                 {policy.Rules{Allow: []string{"/portal/sharing/**"}}, "GET", "/portal/rest", "", 403},
		"allowed":                     {policy.Rules{Allow: []string{"/portal/sharing/**"}}, "GET", "/portal/sharing/rest", "", 200},
		"WFS, reading":                {policy.Rules{ReadOnly: true}, "GET", wfs + "?request=GetFeature", "", 200},
		"WFS, writing":                {policy.Rules{ReadOnly: true}, "GET", wfs + "?request=Transaction", "", 403},
		"WFS, form against the query": {policy.Rules{ReadOnly: true}, "POST", wfs + "?request=GetFeature", "request=Transaction", 403},
	} {
		t.Run(name, func(t *testing.T) {
			var up seen
			s := start(t, up.ServeHTTP, func(config *Config) { config.Callers[0].Rules = c.rules })
			res := s.do(c.method, c.target, strings.NewReader(c.form), func(r *http.Request) {
				if c.form != "" {
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				}
			})
			body := text(t, res)
			_, asked := s.tokens.state()
			if _, _, n := up.get(); res.StatusCode != c.status || (n > 0) != (c.status == 200) || (asked > 0) != (c.status == 200) {
				t.Errorf("got %s: %s", res.Status, body)
			}
			if c.status == 403 && (!strings.Contains(body, `"code":400`) || !strings.Contains(body, "to change that, ")) {
				t.Errorf("the answer is %s", body)
			}
		})
	}
	// What is not read is not judged by the query alone.
	x := &exchange{passage: passage{in: &http.Request{ContentLength: -1, Header: http.Header{"Content-Type": {"text/xml"}}, URL: &url.URL{}}, query: "request=GetFeature"}}
	if x.parameters() != nil {
		t.Error("a body that has not been read has no say")
	}
}

func TestHowMuchACallerMayDo(t *testing.T) {
	var up seen
	s := start(t, up.ServeHTTP, func(c *Config) {
		c.Callers[0].Limits = policy.Limits{Rate: 0.001, Burst: 2}
		c.Callers = append(c.Callers, Caller{Name: "other", Identity: "bob", KeySHA256: hashOf("other")})
	})
	for i, want := range []int{200, 200, 429} {
		res := s.do(http.MethodGet, "/portal/x", nil, nil)
		if body := text(t, res); res.StatusCode != want || (res.Header.Get("Retry-After") != "") != (want == 429) {
			t.Errorf("request %d: %s %v %s", i, res.Status, res.Header, body)
		}
	}
	res := s.do(http.MethodGet, "/portal/x", nil, func(r *http.Request) { r.Header.Set("X-Esri-Authorization", "Bearer other") })
	if res.StatusCode != 200 {
		t.Errorf("another caller got %s", res.Status)
	}
}

// A slot is held until the answer has ended, and given back whatever the end was.
func TestHowManyAtATime(t *testing.T) {
	release := make(chan struct{})
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/portal/slow" {
			_, _ = w.Write([]byte("[1,")) // the beginning of no refusal, which is passed on at once
			_ = http.NewResponseController(w).Flush()
			<-release
		}
		if r.URL.Path == "/portal/broken" {
			panic(http.ErrAbortHandler)
		}
	}, func(c *Config) {
		c.Callers[0].Limits = policy.Limits{Concurrent: 1, Queue: 1, Wait: time.Millisecond}
	})
	for range 3 {
		s.get("/portal/broken")
	}
	slow := s.do(http.MethodGet, "/portal/slow", nil, nil)
	if status, body := s.get("/portal/x"); status != 429 || !strings.Contains(body, "under way") {
		t.Errorf("beside another: %d %s", status, body)
	}
	close(release)
	_ = text(t, slow)
	if status, _ := s.get("/portal/x"); status != 200 && status != 429 {
		t.Errorf("afterwards: %d", status)
	}
	for {
		if status, _ := s.get("/portal/x"); status == 200 {
			break // the slot comes free a moment after the answer's end
		}
	}
}
