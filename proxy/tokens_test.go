package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"arcproxy/proxy/console"
	"arcproxy/proxy/policy"
)

// signIn asks for a token as clients do, and returns it, or what the answer says.
func (s *setup) signIn(path, user, password string) (token, body string) {
	s.Helper()
	form := url.Values{"username": {user}, "password": {password}, "f": {"json"}, "client": {"requestip"}}
	res := s.do(http.MethodPost, path, strings.NewReader(form.Encode()), func(r *http.Request) {
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	})
	body = text(s.T, res)
	var answer struct{ Token string }
	_ = json.Unmarshal([]byte(body), &answer)
	return answer.Token, body
}

func TestTokensOfOurOwnAreGoodWhereverAKeyIs(t *testing.T) {
	var up seen
	s := start(t, up.ServeHTTP)
	var token string
	for _, path := range []string{"/portal/sharing/rest/generateToken", "/portal/tokens/", "/portal/admin/generateToken", "/portal/sharing/rest/GENERATETOKEN/"} {
		var body string
		token, body = s.signIn(path, "nightly", callerKey)
		if token == "" || strings.Contains(body, "token1") || strings.Contains(body, callerKey) {
			t.Fatalf("%s: %s", path, body)
		}
		if calls(&up) != 0 {
			t.Fatalf("%s reached the upstream", path)
		}
	}
	for name, send := range map[string]func(*http.Request){
		"X-Esri-Authorization": func(r *http.Request) { r.Header = http.Header{"X-Esri-Authorization": {"Bearer " + token}} },
		"Authorization":        func(r *http.Request) { r.Header = http.Header{"Authorization": {"Bearer " + token}} },
		"query":                func(r *http.Request) { r.Header = http.Header{}; r.URL.RawQuery = "token=" + token },
	} {
		res := s.do(http.MethodGet, "/portal/x", nil, send)
		r, _, _ := up.get()
		if res.StatusCode != 200 || text(t, res) != `{"ok":true}` || r.Header.Get("X-Esri-Authorization") != "Bearer token1" || strings.Contains(r.RequestURI, "token=") {
			t.Errorf("%s: %s, the upstream was asked for %s %v", name, res.Status, r.RequestURI, r.Header)
		}
	}
	res := s.do(http.MethodPost, "/portal/x", strings.NewReader("a=b&token="+token), func(r *http.Request) {
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	})
	if _, sent, _ := up.get(); res.StatusCode != 200 || sent != "a=b" {
		t.Errorf("form: %s, the upstream was sent %q", res.Status, sent)
	}
	if log := s.log.String(); strings.Contains(log, callerKey) || strings.Contains(log, "arcproxy_a_") {
		t.Errorf("the log says\n%s", log)
	}
}

func TestWhoGetsNoToken(t *testing.T) {
	s := start(t, new(seen).ServeHTTP, func(c *Config) {
		c.Callers = append(c.Callers, Caller{Name: "far", Identity: "bob", KeySHA256: hashOf("farkey"), From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	})
	for name, c := range map[string][2]string{
		"wrong key":         {"nightly", "nobodys"},
		"another's name":    {"far", callerKey},
		"unknown name":      {"nobody", callerKey},
		"from elsewhere":    {"far", "farkey"},
		"the Okta password": {"alice@example.com", "sw0rdfish"},
	} {
		if token, body := s.signIn("/portal/sharing/rest/generateToken", c[0], c[1]); token != "" || !strings.Contains(body, "Unable to generate token.") {
			t.Errorf("%s: %s", name, body)
		}
	}
	if _, asked := s.tokens.state(); asked != 0 {
		t.Error("a token was taken")
	}
	// Pages that take passwords or would show a token are not the Portal's here.
	for _, path := range []string{"/portal/sharing/rest/oauth2/saml/authorize", "/portal/sharing/oauth2/token", "/portal/sharing/rest/oauth2/%74oken"} {
		if status, body := s.get(path); status == 200 && strings.Contains(body, `"ok"`) {
			t.Errorf("%s reached the upstream", path)
		}
	}
}

// A token acts as its caller, and may do no more.
func TestATokenIsItsCaller(t *testing.T) {
	var up seen
	s := start(t, up.ServeHTTP, func(c *Config) {
		c.Callers[0].Rules = policy.Rules{ReadOnly: true}
		c.Callers = append(c.Callers, Caller{Name: "other", Identity: "bob", KeySHA256: hashOf("other")})
	})
	token, body := s.signIn("/portal/sharing/rest/generateToken", "nightly", callerKey)
	if token == "" {
		t.Fatal(body)
	}
	bearing := func(values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header = http.Header{"X-Esri-Authorization": values} }
	}
	if res := s.do(http.MethodGet, "/portal/rest/services/T/FeatureServer/0/deleteFeatures", nil, bearing("Bearer "+token)); res.StatusCode != 403 {
		t.Errorf("read_only does not hold: %s", res.Status)
	}
	if res := s.do(http.MethodGet, "/portal/rest/services", nil, bearing("Bearer "+token, "Bearer other")); res.StatusCode == 200 {
		t.Errorf("two callers: %s", res.Status)
	}
	if res := s.do(http.MethodGet, "/portal/rest/services", nil, bearing("Bearer "+token, "Bearer "+callerKey)); res.StatusCode != 200 {
		t.Errorf("key and token of one caller: %s", res.Status)
	}
	// One that has ended is told so by the Portal's code, so that clients sign in again.
	s.do(http.MethodPost, "/portal/sharing/rest/oauth2/revokeToken", strings.NewReader("f=json&client_id=x&auth_token="+token), func(r *http.Request) {
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	})
	_, _, before := up.get()
	res := s.do(http.MethodGet, "/portal/rest/services?f=json", nil, bearing("Bearer "+token))
	if body := text(t, res); calls(&up) != before || res.StatusCode != 200 || body != `{"error":{"code":498,"message":"this token has ended; sign in again","details":[]}}` {
		t.Errorf("a token that has ended: %s %s", res.Status, body)
	}
}

// Clients ask where tokens are made before they have one, and sign in there.
func TestWhereTokensAreMadeIsForEverybody(t *testing.T) {
	const info = "/portal/sharing/rest/info"
	var up seen
	s := start(t, up.ServeHTTP)
	ask := func(method, target, key, form string) (int, string) {
		res := s.do(method, target, strings.NewReader(form), func(r *http.Request) {
			r.Header = http.Header{}
			if key != "" {
				r.Header.Set("X-Esri-Authorization", "Bearer "+key)
			}
			if form != "" {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
		})
		return res.StatusCode, text(t, res)
	}
	for _, form := range []string{"", "f=json", "f=json&token="} {
		if status, body := ask(http.MethodPost, info, "", form); status != 200 || !strings.Contains(body, `"tokenServicesUrl":"https://maps.example.com:8443/portal/sharing/rest/generateToken"`) {
			t.Errorf("%q: %d %s", form, status, body)
		}
	}
	if status, _ := ask(http.MethodGet, info+"?f=json", "nobodys", ""); status != 401 {
		t.Errorf("a wrong key: %d", status)
	}
	if status, _ := ask(http.MethodPost, info, "", "f=json&token=nobodys"); status != 401 {
		t.Errorf("a wrong key in a form: %d", status)
	}
	if status, _ := ask(http.MethodGet, "/portal/sharing/rest/portals/self?f=json", "", ""); status != 401 {
		t.Errorf("other paths: %d", status)
	}
	if calls(&up) != 0 {
		t.Error("the upstream was asked")
	}
	if status, body := ask(http.MethodGet, info+"?f=json", callerKey, ""); status != 200 || body != `{"ok":true}` {
		t.Errorf("for a caller it is the Portal's: %d %s", status, body)
	}
}

// The ArcGIS API for Python repeats what is refused with a status of 400 to 499 without
// its token, as another caller or nobody. So it is not told by the status.
func TestARefusalIsNotRepeatedWithoutItsToken(t *testing.T) {
	const python, edit = "Geosaurus/2.4.4", "/portal/rest/services/T/FeatureServer/0/deleteFeatures"
	readOnly := func(c *Config) { c.Callers[0].Rules = policy.Rules{ReadOnly: true} }
	limited := func(c *Config) { c.Callers[0].Limits = policy.Limits{Rate: 1e-6, Burst: 1} }
	for name, c := range map[string]struct {
		rule    func(*Config)
		address bool // somebody else is known by it
		agent   string
		key     bool // instead of a token
		status  int
		says    string
	}{
		"a token":           {readOnly, true, python, false, 200, `"code":400,"message":"this caller may only read`},
		"of too many":       {limited, true, python, false, 200, `"code":429,`},
		"nobody by address": {readOnly, false, python, false, 200, `"code":400,"message":"this caller may only read`},
		"a key":             {readOnly, true, python, true, 403, `"code":400,`},
		"another client":    {readOnly, true, "curl/8.0", false, 403, `"code":400,`},
	} {
		t.Run(name, func(t *testing.T) {
			options := []option{c.rule}
			if c.address {
				options = append(options, byAddress)
			}
			s := start(t, new(seen).ServeHTTP, options...)
			key := callerKey
			if !c.key {
				key, _ = s.signIn("/portal/sharing/rest/generateToken", "nightly", callerKey)
			}
			var (
				res  *http.Response
				body = `{"ok":true}`
			)
			for i := 0; i < 2 && body == `{"ok":true}`; i++ { // one is allowed by the rate
				res = s.do(http.MethodGet, edit+"?f=json", nil, func(r *http.Request) {
					r.Header = http.Header{"X-Esri-Authorization": {"Bearer " + key}, "User-Agent": {c.agent}}
				})
				body = text(t, res)
			}
			if res.StatusCode != c.status || !strings.Contains(body, c.says) {
				t.Errorf("%s %s", res.Status, body)
			}
		})
	}
}

func TestRequestsForTokensAreCountedAndNoted(t *testing.T) {
	figures := &tally{}
	shown := console.New(console.Config{Control: &standing{}})
	defer shown.Close()
	s := start(t, new(seen).ServeHTTP, func(c *Config) { c.Figures, c.Console = figures, shown })
	const generate, oauth = "/portal/sharing/rest/generateToken", "/portal/sharing/rest/oauth2/"
	post := func(path, body string) {
		s.do(http.MethodPost, path, strings.NewReader(body), func(r *http.Request) {
			r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		})
	}
	s.signIn(generate, "nightly", callerKey)
	s.signIn(generate, "canary", "canary")
	post(oauth+"token", "grant_type=client_credentials&client_id=nightly&client_secret="+callerKey)
	post(oauth+"token", "grant_type=canary")
	post(oauth+"revokeToken", "auth_token=canary")
	post(generate, "f=html&username=canary&password=canary")
	post(oauth+"saml/authorize", "")
	s.get(oauth + "authorize?client_id=canary&response_type=code&redirect_uri=urn:ietf:wg:oauth:2.0:oob&f=html")
	s.get(oauth + "authorize?f=html")
	s.get(generate + "?password=canary")
	figures.mu.Lock()
	defer figures.mu.Unlock()
	type line struct {
		caller, path string
		status       int
		refused      bool
	}
	want := []line{
		{"nightly", generate, 200, false},
		{"", generate, 400, true},
		{"nightly", oauth + "token", 200, false},
		{"", oauth + "token", 400, true},
		{"", oauth + "revokeToken", 200, false},
		{"", generate, 400, true},
		{"", oauth + "saml/authorize", 404, true},
		{"", oauth + "authorize", 200, false},
		{"", oauth + "authorize", 400, true},
		{"", generate, 400, true},
	}
	var noted []line
	for _, r := range shown.Journal().Requests() {
		noted = append(noted, line{r.Caller, r.Path, r.Status, r.Reason != ""})
		if text := fmt.Sprintf("%+v", r); strings.Contains(text, "canary") || strings.Contains(text, callerKey) || r.Took <= 0 || (r.Identity == "alice") != (r.Caller == "nightly") {
			t.Errorf("noted %s", text)
		}
	}
	slices.Reverse(noted)
	if !slices.Equal(noted, want) {
		t.Errorf("noted %+v\nwant  %+v", noted, want)
	}
	var counted []string
	for _, l := range want {
		who := "/"
		if l.caller != "" {
			who = "nightly/alice"
		}
		counted = append(counted, fmt.Sprintf("%s %d true false", who, l.status))
	}
	if !slices.Equal(figures.seen, counted) {
		t.Errorf("counted %q, want %q", figures.seen, counted)
	}
}

// calls is how many requests an upstream was sent.
func calls(up *seen) int {
	_, _, n := up.get()
	return n
}
