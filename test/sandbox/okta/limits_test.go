package okta

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func Test21UserLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, func(s *Settings) { s.UserPerSecond = 4 })
		b := newBrowser(t, o)
		for range 4 {
			b.primary("bob@example.com", "battery staple").state(t, success)
		}
		r := b.primary("BOB@example.com", "battery staple")
		r.want(t, 429, "E0000047")
		reset, _ := strconv.ParseInt(r.header.Get("X-Rate-Limit-Reset"), 10, 64)
		if r.header.Get("X-Rate-Limit-Limit") != "4" || r.header.Get("X-Rate-Limit-Remaining") != "0" || reset != time.Now().Unix()+1 {
			t.Errorf("headers: %v", r.header)
		}
		b.primary("alice@example.com", "correct horse").state(t, mfaRequired) // another user, another bucket
		if c := o.Counts(); c.Limited != 1 || c.Primary != 5 {
			t.Errorf("counts: %+v", c)
		}
		time.Sleep(time.Until(time.Unix(reset, 0)))
		b.primary("bob@example.com", "battery staple").state(t, success)
	})
}

func Test21ClientLimitIsByAddressAndDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, func(s *Settings) { s.ClientPerMinute = 60 })
		bare := newBrowser(t, o)
		bare.Jar = nil // no DT cookie: one bucket for all of this address
		for i := range 60 {
			r := bare.get("/api/v1/sessions/me")
			if got := r.header.Get("X-Rate-Limit-Remaining"); got != strconv.Itoa(59-i) {
				t.Fatalf("request %d: remaining %s", i, got)
			}
		}
		other := newBrowser(t, o)
		other.get("/api/v1/sessions/me").want(t, 429, "E0000047")
		// The organization's document is not limited, and makes no device of anybody.
		if r := other.get("/.well-known/okta-organization"); r.status != 200 || len(r.header["Set-Cookie"]) > 0 {
			t.Errorf("%d %v", r.status, r.header)
		}
		other.get("/api/v1/sessions/me").want(t, 429, "E0000047")
		time.Sleep(time.Minute)
		// An answer that is no 429 brings a DT cookie and with it a bucket of one's own.
		other.get("/api/v1/sessions/me").want(t, 404, "E0000007")
		for range 59 {
			bare.get("/api/v1/sessions/me").want(t, 404, "E0000007")
		}
		bare.get("/api/v1/sessions/me").want(t, 429, "E0000047")
		other.get("/api/v1/sessions/me").want(t, 404, "E0000007")
	})
}

func Test21Concurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, nil)
		o.Inject(Fault{Kind: Slow, Path: "/api/v1/sessions", Times: 5, Delay: time.Second})
		b := newBrowser(t, o)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { b.get("/api/v1/sessions/me") })
		}
		synctest.Wait()
		r := b.get("/api/v1/sessions/me")
		r.want(t, 429, "E0000047")
		if r.header.Get("X-Rate-Limit-Limit") != "0" || r.header.Get("X-Rate-Limit-Remaining") != "0" {
			t.Errorf("headers: %v", r.header)
		}
		wg.Wait()
		b.get("/api/v1/sessions/me").want(t, 404, "E0000007")
	})
}

// Test21OrgLimit: the organization has limits of its own, which no device escapes.
func Test21OrgLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, func(s *Settings) { s.OrgPerMinute = 10 })
		for range 10 {
			newBrowser(t, o).primary("bob@example.com", "battery staple").state(t, success)
		}
		r := newBrowser(t, o).primary("alice@example.com", "correct horse")
		r.want(t, 429, "E0000047")
		if r.header.Get("X-Rate-Limit-Limit") != "10" || r.header.Get("X-Rate-Limit-Remaining") != "0" || r.header.Get("X-Rate-Limit-Reset") != strconv.FormatInt(time.Now().Unix()+60, 10) {
			t.Errorf("headers: %v", r.header)
		}
		newBrowser(t, o).get("/api/v1/sessions/me").want(t, 404, "E0000007") // another group
		time.Sleep(time.Minute)
		newBrowser(t, o).primary("alice@example.com", "correct horse").state(t, mfaRequired)
	})
}

func Test21OrgConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, func(s *Settings) { s.OrgConcurrent = 3 })
		o.Inject(Fault{Kind: Slow, Path: "/api/v1/sessions", Times: 3, Delay: time.Second})
		var wg sync.WaitGroup
		for range 3 {
			b := newBrowser(t, o)
			b.get("/login/login.htm") // a device of its own
			wg.Go(func() { b.get("/api/v1/sessions/me") })
		}
		synctest.Wait()
		r := newBrowser(t, o).get("/api/v1/sessions/me")
		r.want(t, 429, "E0000047")
		if r.header.Get("X-Rate-Limit-Limit") != "0" || r.header.Get("X-Rate-Limit-Remaining") != "0" {
			t.Errorf("headers: %v", r.header)
		}
		wg.Wait()
		newBrowser(t, o).get("/api/v1/sessions/me").want(t, 404, "E0000007")
	})
}

// Test21ConcurrencyResetsNothing: what such an answer says of a reset is no time to
// wait for.
func Test21ConcurrencyResetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, nil)
		o.Inject(Fault{Kind: Concurrency})
		seen := map[int64]bool{}
		for range 100 {
			r := newBrowser(t, o).get("/api/v1/sessions/me")
			reset, err := strconv.ParseInt(r.header.Get("X-Rate-Limit-Reset"), 10, 64)
			if r.want(t, 429, "E0000047"); err != nil {
				t.Fatal(r.header)
			}
			seen[reset-time.Now().Unix()] = true
		}
		if !seen[-60] || !seen[86400] {
			t.Errorf("resets after %v s", seen)
		}
	})
}

func TestFaults(t *testing.T) {
	const authn = "/api/v1/authn"
	for _, tc := range []struct {
		name  string
		fault Fault
		check func(r result) bool
		took  int // primary authentications that took effect
	}{
		{"server error", Fault{Kind: ServerError}, func(r result) bool { return r.status == 503 }, 0},
		{"HTML", Fault{Kind: HTMLPage}, func(r result) bool { return r.status == 200 && r.doc == nil }, 0},
		{"proxy", Fault{Kind: ProxyRefusal}, func(r result) bool { return r.status == 403 && r.doc == nil }, 0},
		{"drop", Fault{Kind: Drop}, func(r result) bool { return r.status == 0 }, 0},
		{"drop after", Fault{Kind: DropAfter}, func(r result) bool { return r.status == 0 }, 1},
		{"truncate", Fault{Kind: Truncate}, func(r result) bool { return r.status == 0 }, 1},
		{"endless", Fault{Kind: Endless}, func(r result) bool { return len(r.body) >= 64<<20 }, 0},
		{"evil form", Fault{Kind: EvilForm}, func(r result) bool {
			a, _ := form("\n" + strings.ReplaceAll(r.body, "<form", "\n<form"))
			return strings.Contains(a, "evil.example")
		}, 0},
		{"rate limit", Fault{Kind: RateLimit, Delay: time.Minute}, func(r result) bool {
			n, _ := strconv.ParseInt(r.header.Get("X-Rate-Limit-Reset"), 10, 64)
			return r.status == 429 && n >= time.Now().Unix()+59
		}, 0},
		{"error code", Fault{Kind: OktaError, Status: 403, Code: "E0000119"}, func(r result) bool {
			return r.status == 403 && r.str("errorCode") == "E0000119" && r.str("errorSummary") != ""
		}, 0},
		{"concurrency", Fault{Kind: Concurrency}, func(r result) bool { return r.status == 429 && r.header.Get("X-Rate-Limit-Limit") == "0" }, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := org(t, nil)
			tc.fault.Path, tc.fault.Method, tc.fault.Times, tc.fault.Skip = authn, "POST", 1, 1
			o.Inject(tc.fault)
			b := newBrowser(t, o)
			b.primary("bob@example.com", "battery staple").state(t, success)
			r := b.primary("bob@example.com", "battery staple")
			if !tc.check(r) {
				t.Errorf("got %d %.200s", r.status, r.body)
			}
			if n := o.Counts().Primary; n != 1+tc.took {
				t.Errorf("%d primary authentications", n)
			}
			b.primary("bob@example.com", "battery staple").state(t, success)
		})
	}
}

func TestSlowAndGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, nil)
		o.Inject(Fault{Kind: Slow, Delay: time.Minute})
		b := newBrowser(t, o)
		start := time.Now()
		b.primary("bob@example.com", "battery staple").state(t, success)
		if time.Since(start) != time.Minute {
			t.Errorf("took %v", time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", baseURL+"/api/v1/sessions/me", nil)
		if res, err := (direct{o}).RoundTrip(req); err == nil {
			res.Body.Close()
			t.Error("a client that left was answered")
		}
		o.ClearFaults()
		b.primary("bob@example.com", "battery staple").state(t, success)
	})
}

// TestOverTheWire drops a connection of a real server in the middle of a POST.
func TestOverTheWire(t *testing.T) {
	o := org(t, nil)
	srv := httptest.NewServer(o)
	defer srv.Close()
	defer srv.Client().CloseIdleConnections()
	for _, kind := range []FaultKind{Drop, DropAfter, Truncate} {
		o.Inject(Fault{Kind: kind, Path: "/api/v1/authn", Times: 1})
		res, err := srv.Client().Post(srv.URL+"/api/v1/authn", "application/json", strings.NewReader(`{"username":"bob@example.com","password":"battery staple"}`))
		if err == nil {
			var b bytes.Buffer
			_, err = b.ReadFrom(res.Body)
			res.Body.Close()
		}
		if err == nil {
			t.Errorf("fault %d: the answer arrived whole", kind)
		}
	}
	if n := o.Counts().Primary; n != 2 {
		t.Errorf("%d took effect", n)
	}
}

// TestSecretsAreListedAndNotLogged signs in with everything that can be logged.
func TestSecretsAreListedAndNotLogged(t *testing.T) {
	var log bytes.Buffer
	base, _ := url.Parse(baseURL)
	o, err := New(Config{BaseURL: base, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), Users: []User{
		{Login: "alice@example.com", Password: "correct horse", TOTPSecret: secret, Push: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	sp := provider(t, o)
	b := newBrowser(t, o)
	r := b.primary("alice@example.com", "correct horse")
	state, passCode := r.str("stateToken"), code(t, time.Now())
	token := b.post(r.verifyURL("token:software:totp"), map[string]any{"stateToken": state, "passCode": passCode}).str("sessionToken")
	target, _ := request(t, sp, "relay")
	_, fields := form(b.get(target + "&sessionToken=" + url.QueryEscape(token)).body)
	known := map[string]bool{}
	for _, s := range o.Secrets() {
		known[s] = true
		if strings.Contains(log.String(), s) {
			t.Errorf("a secret of %d characters is in the log", len(s))
		}
	}
	u, _ := url.Parse(baseURL)
	want := []string{"correct horse", secret, state, passCode, token, fields.Get("SAMLResponse")}
	for _, k := range b.Jar.Cookies(u) {
		want = append(want, k.Value)
	}
	for _, s := range want {
		if s == "" || !known[s] {
			t.Errorf("%.10q… is not listed", s)
		}
	}
	if len(want) != 8 {
		t.Errorf("%d secrets, want sid and DT among them", len(want))
	}
	if !strings.Contains(log.String(), "seed="+strconv.FormatUint(o.Seed(), 10)) {
		t.Errorf("the seed is not logged: %s", log.String())
	}
}
