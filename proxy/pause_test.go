package proxy

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"testing"
	"testing/synctest"
	"time"
)

func TestWrongKeysCostMoreAndMore(t *testing.T) {
	g, now := newGuesses(), time.Now()
	at, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	var got []time.Duration
	for range 6 * freeGuesses {
		got = append(got, g.delay(at, true, now))
	}
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32} {
		if got[i*freeGuesses] != want*unknownDelay {
			t.Errorf("guess %d costs %v", i*freeGuesses+1, got[i*freeGuesses])
		}
	}
	for range 100 {
		g.delay(at, true, now)
	}
	if d := g.delay(at, false, now); d != longestDelay {
		t.Errorf("at last a guess costs %v", d)
	}
	if d := g.delay(other, true, now); d != unknownDelay {
		t.Errorf("another address pays %v", d)
	}
	if d := g.delay(at, true, now.Add(30*guessMemory)); d != unknownDelay {
		t.Errorf("after half an hour a guess costs %v", d)
	}
	for range 100 {
		g.delay(other, false, now)
	}
	if d := g.delay(other, false, now); d != unknownDelay {
		t.Errorf("requests without a credential cost %v", d)
	}
	for range 2 * freeGuesses {
		g.delay(netip.MustParseAddr("2001:db8::1"), true, now)
	}
	if d := g.delay(netip.MustParseAddr("2001:db8::2"), true, now); d == unknownDelay {
		t.Error("another address of the same network is another guesser")
	}
	for i := range 3 * knownGuessers {
		g.delay(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), true, now)
	}
	if n := g.known.Len(); n > knownGuessers {
		t.Errorf("%d addresses are remembered", n)
	}
}

// The delay is of who guesses; a good key beside it is answered at once. And
// what is held back is bounded.
func TestOnlyGuessersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(Config{
			PublicURL: &url.URL{Scheme: "https", Host: "localhost:8443"},
			Upstreams: []Upstream{{URL: &url.URL{Scheme: "https", Host: "gis.example.com", Path: "/portal"}}},
			Callers:   []Caller{{Name: "nightly", Identity: "alice", KeySHA256: hashOf(callerKey)}},
			Transport: canned{[]byte("{}")},
		}, &tokens{})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(key string) (int, time.Duration) {
			began := time.Now()
			w := &recorder{header: http.Header{}}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r := &http.Request{Method: http.MethodGet, Host: "localhost:8443", URL: &url.URL{Path: "/portal/x"}, Header: http.Header{"Authorization": {"Bearer " + key}}, RemoteAddr: "192.0.2.1:5"}
			p.ServeHTTP(w, r.WithContext(ctx))
			return w.status, time.Since(began)
		}
		for range freeGuesses {
			ask("nobodys")
		}
		if status, took := ask("nobodys"); status != 401 || took != 2*unknownDelay {
			t.Errorf("a guesser got %d after %v", status, took)
		}
		if status, took := ask(callerKey); status != 200 || took != 0 {
			t.Errorf("a caller got %d after %v", status, took)
		}
		p.guesses.pausing = maxPausing
		if status, took := ask("nobodys"); status != 401 || took != 0 {
			t.Errorf("beyond the bound one got %d after %v", status, took)
		}
	})
}
