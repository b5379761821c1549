package proxy

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"arcproxy/auth"
)

func TestSignInFailures(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		retry  string
		want   string
	}{
		"waiting":        {&auth.Error{Kind: auth.Waiting, Identity: "alice", Event: auth.Event{Text: "push sent to alice's phone: approve 42 within 30 s", Challenge: &auth.Challenge{Number: "42"}}}, 503, "5", "approve 42"},
		"rate limit":     {&auth.Error{Kind: auth.RateLimited, Identity: "alice", Until: time.Now().Add(90 * time.Second)}, 503, "90", "rate limited"},
		"no limit known": {&auth.Error{Kind: auth.RateLimited}, 503, "60", "rate limited"},
		"in the past":    {&auth.Error{Kind: auth.PushTimedOut, Until: time.Now().Add(-time.Hour)}, 503, "1", "push timed out"},
		"wrong password": {&auth.Error{Kind: auth.CredentialRefused, Identity: "alice", Step: "Okta: password", Code: "E0000004"}, 503, "300", "Okta: password: credential refused (E0000004)"},
		"Okta is down":   {&auth.Error{Kind: auth.Unreachable, Step: "Okta: page"}, 502, "", "Okta: page: unreachable"},
		"odd page":       {&auth.Error{Kind: auth.UnexpectedPage, Step: "Portal: token", Seen: `message "Invalid Token."`}, 502, "", "unexpected page"},
		"token floor":    {&auth.Error{Kind: auth.TokenRefused}, 502, "", "federated"},
		"unknown error":  {errors.New("boom, with a secret"), 502, "", "there is no token for alice"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, new(seen).ServeHTTP)
			s.tokens.err = c.err
			res := s.do(http.MethodGet, "/portal/x?f=json", nil, nil)
			body := text(t, res)
			if res.StatusCode != c.status || res.Header.Get("Retry-After") != c.retry || !strings.Contains(body, c.want) {
				t.Errorf("got %s, Retry-After %q: %s", res.Status, res.Header.Get("Retry-After"), body)
			}
			if strings.Contains(strings.ToLower(body), "invalid token") || strings.Contains(body, "secret") {
				t.Errorf("the answer says %s", body)
			}
		})
	}
}

func TestPatience(t *testing.T) {
	s := start(t, new(seen).ServeHTTP, func(c *Config) { c.Patience = time.Millisecond })
	s.tokens.blocked = true
	res := s.do(http.MethodGet, "/portal/x", nil, nil)
	if body := text(t, res); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(body, "still going on") {
		t.Errorf("got %s: %s", res.Status, body)
	}
}

func TestEveryKindHasAnAnswer(t *testing.T) {
	x := &exchange{proxy: &settings{Proxy: &Proxy{}}, passage: passage{to: &upstream{name: "https://gis.example.com/server"}, caller: &Caller{Identity: "alice"}}}
	for _, kind := range []auth.Kind{
		auth.CredentialRefused, auth.MissingCredential, auth.AccountLocked, auth.PasswordExpired, auth.PasswordReset, auth.EnrollmentNeeded, auth.ProfileIncomplete, auth.ConsentNeeded,
		auth.NotAssigned, auth.NotMember, auth.FactorUnavailable, auth.PasscodeRefused, auth.PushRejected, auth.PushTimedOut, auth.NobodyWaiting, auth.FactorFailed, auth.RateLimited,
		auth.Unreachable, auth.Deadline, auth.Waiting, auth.UnexpectedPage, auth.ForeignOrigin, auth.BadClient, auth.BadLogin, auth.AssertionRefused, auth.GrantRefused, auth.TokenRefused,
		auth.SessionLost, auth.NotSupported, auth.UnknownIdentity,
	} {
		e := &auth.Error{Kind: kind, Identity: "alice", Step: "a step"}
		f := x.failure(e)
		if f.status != 502 && f.status != 503 || f.status == 503 && f.retry == 0 || !strings.Contains(f.message, e.Remedy()) {
			t.Errorf("%s: %d, %v, %s", kind, f.status, f.retry, f.message)
		}
	}
}

func TestTheFormOfAFailureFitsWhoAsked(t *testing.T) {
	s := start(t, new(seen).ServeHTTP)
	for name, c := range map[string]struct {
		query, accept string
		kind          string
		begins        string
	}{
		"script":                 {"f=json", "*/*", "application/json", `{"error":{"code":400,"message":"the proxy does not know`},
		"no f":                   {"", "", "application/json", `{"error":`},
		"browser":                {"", "text/html,application/xhtml+xml", "text/html", "<!DOCTYPE html>"},
		"browser, f=html":        {"f=html", "text/html", "text/html", "<!DOCTYPE html>"},
		"browser, f=json":        {"f=json", "text/html", "application/json", `{"error":`},
		"f=pbf":                  {"f=pbf", "text/html", "application/json", `{"error":`},
		"JSONP":                  {"f=json&callback=dojo.cb_1", "", "application/javascript", `/**/dojo.cb_1({"error":`},
		"JSONP that is a script": {"f=json&callback=alert(1)//", "", "application/json", `{"error":`},
		"JSONP of a page":        {"callback=%3Cscript%3E", "text/html", "text/html", "<!DOCTYPE html>"},
	} {
		t.Run(name, func(t *testing.T) {
			res := s.do(http.MethodGet, "/portal/x?"+c.query, nil, func(r *http.Request) {
				r.Header.Del("X-Esri-Authorization")
				r.Header.Set("Accept", c.accept)
			})
			body := text(t, res)
			if res.StatusCode != 401 || !strings.HasPrefix(res.Header.Get("Content-Type"), c.kind) || !strings.HasPrefix(body, c.begins) {
				t.Errorf("got %s %s: %s", res.Status, res.Header.Get("Content-Type"), body)
			}
			if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("headers are %v", res.Header)
			}
		})
	}
}

// Clients act by themselves on some codes and phrases; no failure of ours may hold one.
func TestNoFailureEndsAClientsSignIn(t *testing.T) {
	all := []*failure{
		methodNotAllowed, wrongHost, notMounted, unknownCaller, wrongKey, twoCallers, misplacedKey, ambiguousAddress, crossSite, callbackNeedsKey, formTooLarge, errRenewed,
		badRequest("x"), brokenBody(nil), {status: 403, message: "Invalid  token. Token\nRequired", details: []string{"INVALID TOKEN"}},
	}
	for _, f := range all {
		_, body := f.render(&http.Request{URL: &url.URL{}})
		var v struct {
			Error struct {
				Code    int
				Message string
				Details []string
			}
		}
		if err := json.Unmarshal(body, &v); err != nil || v.Error.Message == "" || v.Error.Details == nil {
			t.Errorf("%s: %v", body, err)
		}
		switch v.Error.Code {
		case 401, 403, 498, 499:
			t.Errorf("code %d: %s", v.Error.Code, body)
		}
		if low := strings.ToLower(string(body)); strings.Contains(low, "invalid token") || strings.Contains(low, "token required") {
			t.Errorf("phrase in %s", body)
		}
		if judge(body, true, false) == refusing {
			t.Errorf("%s looks like a refusal of the upstream's", body)
		}
	}
	// One's own token that has ended is told by the code alone.
	if _, body := tokenEnded.render(&http.Request{URL: &url.URL{}}); strings.Contains(strings.ToLower(string(body)), "invalid token") {
		t.Errorf("phrase in %s", body)
	}
}

func TestADeadUpstreamIsA502AtOnce(t *testing.T) {
	s := start(t, new(seen).ServeHTTP)
	s.upstream.Close()
	began := time.Now()
	status, body := s.get("/portal/x")
	if status != 502 || !strings.Contains(body, s.upstream.URL+"/portal refused the connection") {
		t.Errorf("got %d: %s", status, body)
	}
	if took := time.Since(began); took > dialTimeout/2 {
		t.Errorf("after %v", took)
	}
}

func TestABrokenUpstreamIsA502(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	for name, c := range map[string]struct{ scheme, want string }{
		"closes":        {"http", "broke the connection"},
		"closes in TLS": {"https", "broke the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, new(seen).ServeHTTP, func(config *Config) {
				config.Upstreams = []Upstream{{URL: &url.URL{Scheme: c.scheme, Host: listener.Addr().String(), Path: "/portal"}}}
			})
			if status, body := s.get("/portal/x?secret=1"); status != 502 || !strings.Contains(body, c.want) {
				t.Errorf("got %d: %s", status, body)
			}
			if strings.Contains(s.log.String(), "secret=1") {
				t.Errorf("the log holds a query: %s", s.log)
			}
		})
	}
}

func TestAnUntrustedCertificateIsNamed(t *testing.T) {
	s := start(t, new(seen).ServeHTTP)
	secure := newTLSServer(t)
	target, err := url.Parse(secure.URL + "/portal")
	if err != nil {
		t.Fatal(err)
	}
	s2 := start(t, new(seen).ServeHTTP, func(c *Config) { c.Upstreams = []Upstream{{URL: target}} })
	if status, body := s2.get("/portal/x"); status != 502 || !strings.Contains(body, "certificate") {
		t.Errorf("got %d: %s", status, body)
	}
	target.Scheme = "https"
	target.Host = strings.TrimPrefix(s.upstream.URL, "http://")
	s3 := start(t, new(seen).ServeHTTP, func(c *Config) { c.Upstreams = []Upstream{{URL: target}} })
	if status, body := s3.get("/portal/x"); status != 502 || !strings.Contains(body, "does not speak TLS") {
		t.Errorf("got %d: %s", status, body)
	}
}
