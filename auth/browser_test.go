package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"arcproxy/auth"
)

// trip is a RoundTripper made of a function.
type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func browser(t testing.TB, f trip) *auth.Browser {
	return auth.NewBrowser(auth.BrowserConfig{Transport: f, Origins: []*url.URL{at(t, "https://a.test"), at(t, "https://b.test:8443/portal")}})
}

// TestOrigins: the browser sends nothing to where it was not told to go, by
// whatever way it is asked.
func TestOrigins(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://a.test/x":          true,
		"https://A.TEST:443/x":      true,
		"https://b.test:8443/x":     true,
		"https://b.test/x":          false,
		"http://a.test/x":           false,
		"https://a.test:8443/x":     false,
		"https://a.test.evil.test/": false,
		"https://a.test@evil.test/": false,
		"https://sub.a.test/":       false,
		"file:///etc/passwd":        false,
		"urn:ietf:wg:oauth:2.0:oob": false,
		"/relative":                 false,
		"https://":                  false,
	} {
		sent := 0
		b := browser(t, func(r *http.Request) (*http.Response, error) { sent++; return page(r, 200, "ok"), nil })
		for _, r := range []auth.Request{{}, {Form: url.Values{"a": {"b"}}}, {JSON: 1}} {
			r.Step, r.URL = "step", at(t, address)
			_, err := b.Do(t.Context(), r)
			if ok != (err == nil) || !ok && auth.KindOf(err) != auth.ForeignOrigin {
				t.Errorf("%s: %v", address, err)
			}
		}
		if want := map[bool]int{true: 3}[ok]; sent != want {
			t.Errorf("%s: %d requests sent", address, sent)
		}
	}
	if _, err := browser(t, nil).Do(t.Context(), auth.Request{Step: "step"}); auth.KindOf(err) != auth.ForeignOrigin {
		t.Errorf("no address: %v", err)
	}
}

// TestRequestHeaders: honest, plain, and not repeatable by net/http.
func TestRequestHeaders(t *testing.T) {
	var got *http.Request
	b := browser(t, func(r *http.Request) (*http.Response, error) { got = r; return page(r, 200, "ok"), nil })
	if _, err := b.Do(t.Context(), auth.Request{URL: at(t, "https://user:pw@a.test/x?a=b#fragment"), Form: url.Values{"password": {"p&q"}}}); err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(got.Body)
	if got.Method != "POST" || string(body) != "password=p%26q" || got.ContentLength != int64(len(body)) {
		t.Errorf("%s %q %d", got.Method, body, got.ContentLength)
	}
	if got.GetBody != nil {
		t.Error("net/http could send the body again")
	}
	if got.URL.String() != "https://a.test/x?a=b" {
		t.Errorf("sent to %s", got.URL)
	}
	for name, want := range map[string]string{
		"User-Agent": "arcproxy", "Content-Type": "application/x-www-form-urlencoded", "Accept-Encoding": "identity", "Authorization": "", "Referer": "",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Header.Get(name), want)
		}
	}
}

// TestRedirects: 301, 302 and 303 become a GET; 307 and 308 keep the body, but
// only for the origin it was meant for.
func TestRedirects(t *testing.T) {
	for _, c := range []struct {
		status int
		to     string
		want   string // what was sent
		kind   auth.Kind
	}{
		{302, "/next", "POST a.test/x body, GET a.test/next", ""},
		{301, "next", "POST a.test/x body, GET a.test/next", ""},
		{303, "https://b.test:8443/next", "POST a.test/x body, GET b.test:8443/next", ""},
		{307, "/next", "POST a.test/x body, POST a.test/next body", ""},
		{308, "/next", "POST a.test/x body, POST a.test/next body", ""},
		{307, "https://b.test:8443/next", "POST a.test/x body", auth.ForeignOrigin},
		{308, "https://evil.test/next", "POST a.test/x body", auth.ForeignOrigin},
		{302, "https://evil.test/next", "POST a.test/x body", auth.ForeignOrigin},
		{302, "//evil.test/next", "POST a.test/x body", auth.ForeignOrigin},
		{302, "/stop?code=secret", "POST a.test/x body", ""},
		{304, "/next", "POST a.test/x body", ""},
		{302, "", "POST a.test/x body", auth.UnexpectedPage},
		{302, "https://%zz/secret", "POST a.test/x body", auth.UnexpectedPage},
		{302, "/x", "", auth.UnexpectedPage}, // for ever
	} {
		var sent []string
		b := browser(t, func(r *http.Request) (*http.Response, error) {
			line := r.Method + " " + r.URL.Host + r.URL.Path
			if r.Body != nil {
				line += " body"
			}
			sent = append(sent, line)
			if r.URL.Path == "/x" {
				return page(r, c.status, "", "Location", c.to), nil
			}
			return page(r, 200, "ok"), nil
		})
		p, err := b.Do(t.Context(), auth.Request{
			URL: at(t, "https://a.test/x"), Form: url.Values{"a": {"b"}},
			Stop: func(u *url.URL) bool { return u.Path == "/stop" },
		})
		if auth.KindOf(err) != c.kind {
			t.Errorf("%d to %s: %v", c.status, c.to, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
		if got := strings.Join(sent, ", "); c.want != "" && got != c.want {
			t.Errorf("%d to %s: sent %s, want %s", c.status, c.to, got, c.want)
		}
		if len(sent) > 16 {
			t.Errorf("%d requests", len(sent))
		}
		if strings.HasPrefix(c.to, "/stop") && (p == nil || p.Redirect == nil || p.Redirect.String() != "https://a.test"+c.to) {
			t.Errorf("stopped at %+v", p)
		}
	}
	t.Run("JSON never follows", func(t *testing.T) {
		n := 0
		b := browser(t, func(r *http.Request) (*http.Response, error) { n++; return page(r, 302, "", "Location", "/next"), nil })
		p, err := b.Do(t.Context(), auth.Request{URL: at(t, "https://a.test/x"), JSON: 1})
		if err != nil || p.Redirect == nil || n != 1 {
			t.Errorf("%v %v, %d requests", p, err, n)
		}
	})
}

// TestBounds: bytes and requests.
func TestBounds(t *testing.T) {
	for size, kind := range map[int]auth.Kind{1 << 20: "", 1<<20 + 1: auth.UnexpectedPage} {
		b := browser(t, func(r *http.Request) (*http.Response, error) { return page(r, 200, strings.Repeat("x", size)), nil })
		if _, err := b.Do(t.Context(), auth.Request{URL: at(t, "https://a.test/")}); auth.KindOf(err) != kind {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	n := 0
	b := browser(t, func(r *http.Request) (*http.Response, error) { n++; return page(r, 200, ""), nil })
	var err error
	for err == nil && n < 1000 {
		_, err = b.Do(t.Context(), auth.Request{URL: at(t, "https://a.test/")})
	}
	if auth.KindOf(err) != auth.UnexpectedPage || n > 300 {
		t.Errorf("%d requests, then %v", n, err)
	}
	b.Begin()
	if _, err = b.Do(t.Context(), auth.Request{URL: at(t, "https://a.test/")}); err != nil {
		t.Errorf("a new walk: %v", err)
	}
}

// TestCookies: they go back to the origin they came from, and Forget drops them.
func TestCookies(t *testing.T) {
	got := map[string]string{}
	b := browser(t, func(r *http.Request) (*http.Response, error) {
		got[r.URL.Host] = r.Header.Get("Cookie")
		res := page(r, 200, "")
		if r.URL.Path == "/set" {
			for _, c := range []string{"DT=d; Path=/; Secure; HttpOnly; Max-Age=1000", "sid=s; Path=/; Domain=a.test", "wide=w; Domain=test", "JSESSIONID=j; Path=/app"} {
				res.Header.Add("Set-Cookie", c)
			}
		}
		return res, nil
	})
	get := func(address string) {
		t.Helper()
		if _, err := b.Do(t.Context(), auth.Request{URL: at(t, address)}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(host, cookies string) {
		t.Helper()
		if got[host] != cookies {
			t.Errorf("%s was sent %q, want %q", host, got[host], cookies)
		}
	}
	get("https://a.test/set")
	get("https://a.test")
	want("a.test", "DT=d; sid=s")
	get("https://a.test/app/x")
	want("a.test", "JSESSIONID=j; DT=d; sid=s")
	get("https://b.test:8443/")
	want("b.test:8443", "")
	if !b.HasCookie(at(t, "https://a.test/"), "sid") || b.HasCookie(at(t, "https://b.test:8443/"), "sid") {
		t.Error("HasCookie")
	}
	b.Forget(at(t, "https://a.test/x"), func(name string) bool { return name == "DT" })
	get("https://a.test/app/x")
	want("a.test", "DT=d")
	b.Forget(at(t, "https://a.test"), nil)
	get("https://a.test/")
	want("a.test", "")
	b.Forget(at(t, "https://unknown.test"), nil)
}

// TestRateLimits compares resets with the other side's clock.
func TestRateLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			status  int
			headers func(now time.Time) []string
			wait    time.Duration // at least; and at most 2 s more. 0: no error
		}{
			"reset": {429, func(now time.Time) []string {
				return []string{"X-Rate-Limit-Limit", "4", "X-Rate-Limit-Remaining", "0", "X-Rate-Limit-Reset", fmt.Sprint(now.Unix() + 20)}
			}, 20 * time.Second},
			"reset by a clock an hour ahead": {429, func(now time.Time) []string {
				return []string{"Date", now.Add(time.Hour).UTC().Format(http.TimeFormat), "X-Rate-Limit-Limit", "4", "X-Rate-Limit-Reset", fmt.Sprint(now.Unix() + 3600 + 20)}
			}, 20 * time.Second},
			"concurrency": {429, func(time.Time) []string {
				return []string{"X-Rate-Limit-Limit", "0", "X-Rate-Limit-Remaining", "0", "X-Rate-Limit-Reset", "0"}
			}, time.Second},
			"retry-after":       {429, func(time.Time) []string { return []string{"Retry-After", "7"} }, 7 * time.Second},
			"nothing told":      {429, func(time.Time) []string { return nil }, time.Minute},
			"reset in the past": {429, func(now time.Time) []string { return []string{"X-Rate-Limit-Reset", fmt.Sprint(now.Unix() - 50)} }, time.Second},
			"a reset in years":  {429, func(now time.Time) []string { return []string{"X-Rate-Limit-Reset", "99999999999"} }, time.Hour},
			"not limited": {200, func(now time.Time) []string {
				return []string{"X-Rate-Limit-Limit", "4", "X-Rate-Limit-Remaining", "3", "X-Rate-Limit-Reset", fmt.Sprint(now.Unix() + 20)}
			}, 0},
		} {
			b := browser(t, func(r *http.Request) (*http.Response, error) {
				return page(r, c.status, `{"errorCode":"E0000047"}`, c.headers(time.Now())...), nil
			})
			_, err := b.Do(t.Context(), auth.Request{Step: "step", URL: at(t, "https://a.test/")})
			e, ok := errors.AsType[*auth.Error](err)
			if ok != (c.wait > 0) {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if !ok {
				continue
			}
			wait := time.Until(e.Until)
			if e.Kind != auth.RateLimited || e.Code != "E0000047" || wait < c.wait || wait > c.wait+2*time.Second {
				t.Errorf("%s: %v, try again in %s, want %s", name, err, wait, c.wait)
			}
		}
	})
}

// TestWaitsForReset: what is used up is waited for if that is soon, and not
// asked for if it is not.
func TestWaitsForReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		b := browser(t, func(r *http.Request) (*http.Response, error) {
			n++
			return page(r, 200, "", "X-Rate-Limit-Limit", "4", "X-Rate-Limit-Remaining", "0", "X-Rate-Limit-Reset", fmt.Sprint(time.Now().Unix()+30)), nil
		})
		get := func(ctx context.Context, path string) error {
			_, err := b.Do(ctx, auth.Request{Step: "step", URL: at(t, "https://a.test"+path)})
			return err
		}
		began := time.Now()
		if err := get(t.Context(), "/x"); err != nil {
			t.Fatal(err)
		}
		if err := get(t.Context(), "/y"); err != nil || time.Since(began) != 0 {
			t.Errorf("another place waited: %v", err)
		}
		if err := get(t.Context(), "/x"); err != nil {
			t.Fatal(err)
		}
		if wait := time.Since(began); wait < 30*time.Second || wait > 33*time.Second {
			t.Errorf("waited %s", wait)
		}
		ctx, done := context.WithTimeout(t.Context(), 5*time.Second)
		defer done()
		if err := get(ctx, "/x"); auth.KindOf(err) != auth.RateLimited || n != 3 {
			t.Errorf("%v after %d requests", err, n)
		}
	})
}

// TestNetworkErrors: an address is not quoted with its query.
func TestNetworkErrors(t *testing.T) {
	b := browser(t, func(r *http.Request) (*http.Response, error) {
		return nil, &url.Error{Op: "Get", URL: r.URL.String(), Err: errors.New("connection refused")}
	})
	_, err := b.Do(t.Context(), auth.Request{Step: "step", URL: at(t, "https://a.test/?token=secret")})
	if auth.KindOf(err) != auth.Unreachable || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v", err)
	}
}
