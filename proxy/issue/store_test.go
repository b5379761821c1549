package issue

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestForm(t *testing.T) {
	seen := map[string]bool{}
	for k := range kinds {
		token := newText(k)
		if got, ok := kindOf(token); !ok || got != k || !Ours(token) {
			t.Errorf("%v token %s is told for %v, %t", k, token, got, ok)
		}
		if seen[token[len(prefix)+2:]] {
			t.Error("two tokens have the same random part")
		}
		seen[token[len(prefix)+2:]] = true
	}
	for _, other := range []string{"", key, "arcproxy_a_", "arcproxy_x_" + strings.Repeat("A", 32), strings.Repeat("A", textLen), "arcproxy_a-" + strings.Repeat("A", 32), newText(access) + "A"} {
		if Ours(other) {
			t.Errorf("%q is taken for a token", other)
		}
	}
}

func TestHashesOnly(t *testing.T) {
	s := NewStore()
	token := s.issue(&record{kind: access, caller: "nightly"}, time.Hour)
	for hash, rec := range s.records {
		if kept := fmt.Sprintf("%s %+v", hash, rec); strings.Contains(kept, token[len(prefix)+2:]) {
			t.Error("the store holds the token's text")
		}
	}
}

func TestKindsAreNotMixed(t *testing.T) {
	s := NewStore()
	for k := range kinds {
		token := s.issue(&record{kind: k, caller: "nightly", flow: &flow{}}, time.Hour)
		if _, ok := s.Caller(token, nil); ok != (k == access) {
			t.Errorf("a token of kind %v identifies a caller: %t", k, ok)
		}
	}
}

func TestLeastRecentlyUsedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStore()
		other := s.issue(&record{kind: access, caller: "other"}, 100*time.Hour)
		old := s.issue(&record{kind: access, caller: "nightly"}, 100*time.Hour)
		unused := s.issue(&record{kind: access, caller: "nightly"}, 100*time.Hour)
		for range perCaller - 2 {
			time.Sleep(useGrain + time.Second)
			s.issue(&record{kind: access, caller: "nightly"}, 100*time.Hour)
			if name, ok := s.Caller(old, nil); !ok || name != "nightly" {
				t.Fatal("a token that is used has ended")
			}
		}
		if n := len(s.owned["nightly"]); n != perCaller {
			t.Fatalf("%d tokens before any has to end", n)
		}
		time.Sleep(time.Hour)
		for range 100 {
			s.issue(&record{kind: access, caller: "nightly"}, 100*time.Hour)
			s.Caller(old, nil)
		}
		if n := len(s.owned["nightly"]); n != perCaller {
			t.Errorf("a caller has %d tokens", n)
		}
		if _, ok := s.Caller(other, nil); !ok {
			t.Error("one caller's tokens pushed out another's")
		}
		if _, ok := s.Caller(old, nil); !ok {
			t.Error("the token that is used was pushed out")
		}
		if _, ok := s.Caller(unused, nil); ok {
			t.Error("the token that is not used was kept")
		}
	})
}

func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStore()
		for range 100 {
			s.issue(&record{kind: access, caller: "nightly"}, time.Minute)
		}
		s.issue(&record{kind: refresh, caller: "nightly", flow: &flow{}}, time.Minute)
		time.Sleep(2 * time.Minute)
		s.issue(&record{kind: access, caller: "other"}, time.Minute)
		if n := len(s.records); n != 2 {
			t.Errorf("%d records are left, not the new one and the refresh token", n)
		}
		time.Sleep(afterlife)
		s.issue(&record{kind: access, caller: "third"}, time.Minute)
		if n := len(s.records); n != 1 || len(s.owned) != 1 {
			t.Errorf("%d records of %d callers are left", n, len(s.owned))
		}
	})
}

// TestRevokedMeanwhile: between finding a token and issuing another for it, it can end.
func TestRevokedMeanwhile(t *testing.T) {
	for name, end := range map[string]func(*Store, string){
		"token":  func(s *Store, token string) { s.Revoke(token) },
		"caller": func(s *Store, _ string) { s.RevokeCaller("nightly") },
	} {
		s := NewStore()
		token := s.issue(&record{kind: access, caller: "nightly"}, time.Hour)
		rec := s.find(token, access)
		end(s, token)
		child := s.issue(&record{kind: access, caller: "nightly", parent: rec}, time.Hour)
		if _, ok := s.Caller(child, nil); ok {
			t.Errorf("a token that was derived from one of a revoked %s is good", name)
		}
	}
}

func TestBinding(t *testing.T) {
	tests := []struct {
		bound, sent string
		want        bool
	}{
		{"http", "http", true},
		{"http", "HTTP", true},
		{"http", "https://app.example/", false},
		{"@esri/arcgis-rest-js", "@esri/arcgis-rest-js", true},
		{"https://app.example", "https://app.example/", true},
		{"https://app.example/", "https://app.example/maps/1?x=2", true},
		{"https://app.example/maps", "https://app.example/maps/1", true},
		{"https://app.example/maps", "https://app.example/mapsother", false},
		{"https://app.example", "https://app.example.evil.example/", false},
		{"https://app.example", "https://app.example@evil.example/", false},
		{"https://app.example", "http://app.example/", false},
		{"https://app.example:443", "https://APP.example/x", true},
		{"https://app.example", "", false},
		{"", "https://anything.example/", true},
	}
	for _, tt := range tests {
		b := binding{referer: tt.bound}
		if got := b.holds(&http.Request{Header: http.Header{"Referer": {tt.sent}}}); got != tt.want {
			t.Errorf("bound to %q, sent from %q: %t", tt.bound, tt.sent, got)
		}
	}
	if (&binding{referer: "http"}).holds(nil) {
		t.Error("a bound token is good without a request")
	}
}

// TestConcurrent has everybody at the store at once; the race detector looks on.
func TestConcurrent(t *testing.T) {
	s := NewStore()
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			caller := fmt.Sprint("caller", n%3)
			for range 300 {
				token := s.issue(&record{kind: access, caller: caller}, time.Hour)
				if got, ok := s.Caller(token, nil); ok && got != caller {
					t.Errorf("%s's token is %s's", caller, got)
				}
				c := s.issue(&record{kind: code, caller: caller, flow: &flow{}}, time.Hour)
				_, _ = s.spend(c, code)
				s.Revoke(c)
				if n == 0 {
					s.RevokeCaller("caller1")
				}
			}
		})
	}
	wg.Wait()
	for caller, owned := range s.owned {
		if len(owned) > perCaller {
			t.Errorf("%s has %d tokens", caller, len(owned))
		}
	}
}

// TestStoreMachine holds the store against a plain account of what was issued.
func TestStoreMachine(t *testing.T) {
	type model struct {
		text        string
		kind        kind
		caller      string
		ends        time.Time
		parent      *model
		dead, spent bool
		rec         *record
	}
	good := func(m *model) bool {
		if m.spent || !time.Now().Before(m.ends) {
			return false
		}
		for a := m; a != nil; a = a.parent {
			if a.dead {
				return false
			}
		}
		return true
	}
	rootOf := func(m *model) *model {
		for m.parent != nil {
			m = m.parent
		}
		return m
	}
	synctest.Test(t, func(t *testing.T) {
		// A T in a bubble has no deadline, and rapid asks those that have the method.
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			s := NewStore()
			var all []*model
			pick := func(rt *rapid.T, k kind) *model {
				var of []*model
				for _, m := range all {
					if m.kind == k {
						of = append(of, m)
					}
				}
				if len(of) == 0 {
					rt.Skip("none yet")
				}
				return rapid.SampledFrom(of).Draw(rt, "which")
			}
			add := func(rt *rapid.T, k kind, caller string, parent *model) {
				life := time.Duration(rapid.IntRange(1, 120).Draw(rt, "minutes")) * time.Minute
				m := &model{kind: k, caller: caller, parent: parent, ends: time.Now().Add(life)}
				m.rec = &record{kind: k, caller: caller, flow: &flow{}}
				if parent != nil {
					m.rec.parent = parent.rec
				}
				m.text = s.issue(m.rec, life)
				all = append(all, m)
			}
			rt.Repeat(map[string]func(*rapid.T){
				"issue": func(rt *rapid.T) {
					if len(all) > 200 {
						rt.Skip("enough")
					}
					add(rt, rapid.SampledFrom([]kind{access, code}).Draw(rt, "kind"), rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "caller"), nil)
				},
				"redeem": func(rt *rapid.T) {
					m := pick(rt, code)
					was, spent := good(m), m.spent
					rec, _ := s.spend(m.text, code)
					if (rec != nil) != was {
						rt.Fatalf("code redeemed: %t, good: %t", rec != nil, was)
					}
					if was {
						m.spent = true
						add(rt, refresh, m.caller, m)
						add(rt, access, m.caller, all[len(all)-1])
					} else if spent && time.Now().Before(m.ends) {
						rootOf(m).dead = true
					}
				},
				"refresh": func(rt *rapid.T) {
					m := pick(rt, refresh)
					rec, expired := s.look(m.text, refresh)
					if (rec != nil && !expired) != good(m) {
						rt.Fatalf("refresh token found %t, expired %t, good %t", rec != nil, expired, good(m))
					}
					if good(m) {
						add(rt, access, m.caller, m)
					}
				},
				"exchange": func(rt *rapid.T) {
					m := pick(rt, access)
					if good(m) {
						add(rt, access, m.caller, m)
					}
				},
				"revoke": func(rt *rapid.T) {
					m := rapid.SampledFrom(append(all, &model{text: newText(access)})).Draw(rt, "which")
					if s.records[hashOf(m.text)] != nil { // it may have been swept, and its line goes on
						m.dead = true
						if m.kind != access {
							rootOf(m).dead = true
						}
					}
					s.Revoke(m.text)
				},
				"revoke caller": func(rt *rapid.T) {
					name := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "caller")
					s.RevokeCaller(name)
					for _, m := range all {
						m.dead = m.dead || m.caller == name
					}
				},
				"wait": func(rt *rapid.T) {
					time.Sleep(time.Duration(rapid.IntRange(1, 90).Draw(rt, "minutes")) * time.Minute)
				},
				"": func(rt *rapid.T) {
					for _, m := range all {
						if m.kind != access {
							continue
						}
						name, ok := s.Caller(m.text, nil)
						if ok != good(m) || ok && name != m.caller {
							rt.Fatalf("Caller = %q, %t; the token is %s's, good: %t", name, ok, m.caller, good(m))
						}
					}
					if len(s.records) > len(all) {
						rt.Fatal("there are more records than tokens")
					}
				},
			})
		})
	})
}

func BenchmarkCaller(b *testing.B) {
	s := NewStore()
	var token string
	for n := range 1000 {
		token = s.issue(&record{kind: access, caller: fmt.Sprint(n % 10)}, time.Hour)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, ok := s.Caller(token, nil); !ok {
				b.Error("not known")
			}
		}
	})
}

func BenchmarkHandles(b *testing.B) {
	for _, path := range []string{"/server/rest/services/Trees/FeatureServer/0/query", "/portal/sharing/rest/search", "/portal/sharing/rest/portals/self", "/portal/sharing/rest/content/items/0/resources"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, e := find(path); e != elsewhere {
					b.Fatal("claimed")
				}
			}
		})
	}
}
