package issue

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// drawer is an Archive in memory, which fails when it is told to.
type drawer struct {
	mu      sync.Mutex // guards what follows
	records map[string][]byte
	ops     int
	fails   func(op int, put bool) bool // nil: never
}

func newDrawer() *drawer { return &drawer{records: map[string][]byte{}} }

func (d *drawer) do(put bool, what func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ops++
	if d.fails != nil && d.fails(d.ops, put) {
		return errors.New("the disk is on fire")
	}
	what()
	return nil
}

func (d *drawer) Put(_ context.Context, id string, record []byte) error {
	return d.do(true, func() { d.records[id] = slices.Clone(record) })
}

func (d *drawer) Delete(_ context.Context, id string) error {
	return d.do(false, func() { delete(d.records, id) })
}

func (d *drawer) All(context.Context) iter.Seq2[[]byte, error] {
	d.mu.Lock()
	records := slices.Collect(maps.Values(d.records))
	d.mu.Unlock()
	return func(yield func([]byte, error) bool) {
		for _, record := range records {
			if !yield(record, nil) {
				return
			}
		}
	}
}

func (d *drawer) failing(when func(op int, put bool) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = when
}

func always(int, bool) bool { return true }

// restart opens what d has, as it is now: what a kill would leave.
func restart(t testing.TB, d *drawer) *Store {
	t.Helper()
	d.mu.Lock()
	copied := &drawer{records: maps.Clone(d.records)}
	d.mu.Unlock()
	return OpenStore(t.Context(), copied, nil)
}

func isGood(s *Store, text string) bool { _, ok := s.Caller(text, nil); return ok }

func aFlow() *flow { return &flow{client: "app", redirect: "urn:x", life: time.Hour} }

func TestRestart(t *testing.T) {
	d := newDrawer()
	s := OpenStore(t.Context(), d, nil)
	bound := &record{kind: access, caller: "nightly", mark: "m", binding: binding{"https://app.example", netip.MustParseAddr("192.0.2.7")}}
	token := s.issue(bound, time.Hour)
	dead := s.issue(&record{kind: access, caller: "nightly"}, time.Hour)
	traded := s.issue(&record{kind: access, caller: "nightly", parent: s.find(dead, access), exchanged: true}, time.Hour)
	s.Revoke(dead)
	for range 2 { // and once more
		s = restart(t, d)
		rec := s.find(token, access)
		if rec == nil {
			t.Fatal("a token did not survive")
		}
		if rec.caller != "nightly" || rec.mark != "m" || rec.binding != bound.binding || rec.expires != bound.expires {
			t.Errorf("it came back as %+v", rec)
		}
		if isGood(s, dead) || isGood(s, traded) {
			t.Error("a revoked token is good again")
		}
	}
	if len(restart(t, d).records) != 1 {
		t.Error("there is more than the one that is good")
	}
}

func TestArchiveHasNoTokens(t *testing.T) {
	d := newDrawer()
	s := OpenStore(t.Context(), d, nil)
	for k := range kinds {
		rec := &record{kind: k, caller: "nightly"}
		if k != access {
			rec.flow = aFlow()
		}
		text := s.issue(rec, time.Hour)
		for id, record := range d.records {
			if strings.Contains(id+string(record), text[len(prefix)+2:]) {
				t.Error("the archive holds the token's text")
			}
		}
	}
	if len(d.records) != int(kinds) {
		t.Errorf("%d records", len(d.records))
	}
}

// signedIn is a line: a code, its refresh and access token, and one for that.
type signedIn struct{ code, refresh, access, traded string }

func signIn(t *testing.T, s *Store) signedIn {
	t.Helper()
	var l signedIn
	l.code = s.issue(&record{kind: code, caller: "nightly", flow: aFlow()}, codeLife)
	c, err := s.spend(l.code, code)
	if c == nil || err != nil {
		t.Fatalf("the code is not good: %v", err)
	}
	r := &record{kind: refresh, caller: "nightly", flow: c.flow, parent: c}
	l.refresh = s.issue(r, time.Hour)
	a := &record{kind: access, caller: "nightly", parent: r}
	l.access = s.issue(a, time.Hour)
	l.traded = s.issue(&record{kind: access, caller: "nightly", parent: a, exchanged: true}, time.Hour)
	return l
}

func TestMarksSurvive(t *testing.T) {
	for name, tt := range map[string]struct {
		do           func(*Store, signedIn)
		again        func(*Store, signedIn) // after the restart
		refresh, use bool                   // what is good then
	}{
		"nothing":                {refresh: true, use: true},
		"code again":             {again: func(s *Store, l signedIn) { _, _ = s.spend(l.code, code) }},
		"code twice":             {do: func(s *Store, l signedIn) { _, _ = s.spend(l.code, code) }},
		"refresh revoked":        {do: func(s *Store, l signedIn) { s.Revoke(l.refresh) }},
		"access revoked":         {do: func(s *Store, l signedIn) { s.Revoke(l.access) }, refresh: true},
		"caller revoked":         {do: func(s *Store, _ signedIn) { s.RevokeCaller("nightly") }},
		"caller removed":         {do: func(s *Store, _ signedIn) { s.Keep(map[string]string{"other": ""}) }},
		"caller removed between": {again: func(s *Store, _ signedIn) { s.Keep(map[string]string{"other": ""}) }},
		"key changed":            {again: func(s *Store, _ signedIn) { s.Keep(map[string]string{"nightly": "other key"}) }},
		"caller stays":           {again: func(s *Store, _ signedIn) { s.Keep(map[string]string{"nightly": ""}) }, refresh: true, use: true},
		"rotated":                {do: func(s *Store, l signedIn) { _, _ = s.spend(l.refresh, refresh) }, use: true},
		"rotated and shown again": {do: func(s *Store, l signedIn) { _, _ = s.spend(l.refresh, refresh) },
			again: func(s *Store, l signedIn) { _, _ = s.spend(l.refresh, refresh) }},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrawer()
			s := OpenStore(t.Context(), d, nil)
			l := signIn(t, s)
			if tt.do != nil {
				tt.do(s, l)
			}
			s = OpenStore(t.Context(), d, nil)
			if rec, _ := s.spend(l.code, code); rec != nil {
				t.Fatal("a spent code is good again")
			}
			// Which was a theft; so from here on with what was there before.
			d2 := newDrawer()
			s = OpenStore(t.Context(), d2, nil)
			l = signIn(t, s)
			if tt.do != nil {
				tt.do(s, l)
			}
			s = OpenStore(t.Context(), d2, nil)
			if tt.again != nil {
				tt.again(s, l)
			}
			for range 2 {
				if rec, expired := s.look(l.refresh, refresh); (rec != nil && !expired) != tt.refresh {
					t.Errorf("the refresh token is good: %t", rec != nil)
				}
				if isGood(s, l.access) != tt.use || isGood(s, l.traded) != tt.use {
					t.Errorf("access %t, traded %t", isGood(s, l.access), isGood(s, l.traded))
				}
				s = OpenStore(t.Context(), d2, nil)
			}
		})
	}
}

// TestAncestorsStay: a code that has expired and been swept is still what a chain
// is revoked by.
func TestAncestorsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrawer()
		s := OpenStore(t.Context(), d, nil)
		l := signIn(t, s)
		time.Sleep(codeLife + time.Minute)
		s.issue(&record{kind: access, caller: "other"}, time.Minute) // sweeps
		if s.records[hashOf(l.code)] != nil {
			t.Fatal("the code was not swept")
		}
		s = OpenStore(t.Context(), d, nil)
		if !isGood(s, l.access) {
			t.Fatal("an expired code took its tokens along")
		}
		s.Revoke(l.refresh)
		if s = OpenStore(t.Context(), d, nil); isGood(s, l.access) || isGood(s, l.traded) {
			t.Error("a revoked chain is good again")
		}
	})
}

// TestArchiveIsSwept: nothing lies there that nobody will ask for.
func TestArchiveIsSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrawer()
		s := OpenStore(t.Context(), d, nil)
		for range 50 {
			signIn(t, s)
		}
		for range perCaller + 100 {
			s.issue(&record{kind: access, caller: "busy"}, time.Hour)
		}
		if n := len(d.records); n > 4*50+perCaller+clearMost {
			t.Errorf("%d records", n)
		}
		time.Sleep(afterlife + 2*time.Hour)
		for range 100 {
			s.issue(&record{kind: access, caller: "busy"}, time.Minute)
		}
		if n := len(d.records); n > 100 {
			t.Errorf("%d records are left", n)
		}
		time.Sleep(time.Hour)
		if s = OpenStore(t.Context(), d, nil); len(s.records) != 0 {
			t.Errorf("%d records are loaded", len(s.records))
		}
		for range 10 { // a start clears some, and so does what follows
			s.clear()
		}
		if n := len(d.records); n != 0 {
			t.Errorf("%d records are left", n)
		}
	})
}

// TestFailingArchive: everything goes on from memory, and it is said once.
func TestFailingArchive(t *testing.T) {
	var logs bytes.Buffer
	d := newDrawer()
	s := OpenStore(t.Context(), d, slog.New(slog.NewTextHandler(&logs, nil)))
	d.failing(always)
	l := signIn(t, s)
	revoked := s.issue(&record{kind: access, caller: "nightly"}, time.Hour)
	s.Revoke(revoked)
	if !isGood(s, l.access) || isGood(s, revoked) {
		t.Error("the store does not go on from memory")
	}
	if n := strings.Count(logs.String(), "level=ERROR"); n != 1 {
		t.Errorf("it was said %d times: %s", n, logs.String())
	}
	d.failing(nil)
	if next := s.issue(&record{kind: access, caller: "nightly"}, time.Hour); !isGood(restart(t, d), next) {
		t.Error("a token was not stored")
	}
	again := restart(t, d)
	if rec, _ := again.look(l.refresh, refresh); !isGood(again, l.access) || !isGood(again, l.traded) || rec == nil {
		t.Error("what could not be stored is not, though it can be now")
	}
	if n := strings.Count(logs.String(), "stored again"); n != 1 {
		t.Errorf("that it works again was said %d times: %s", n, logs.String())
	}
}

// TestSpentStaysSpent: a token that could not be marked is not used up, because a
// restart would make it good again.
func TestSpentStaysSpent(t *testing.T) {
	d := newDrawer()
	s := OpenStore(t.Context(), d, nil)
	text := s.issue(&record{kind: refresh, caller: "nightly", flow: aFlow()}, time.Hour)
	d.failing(always)
	for range 2 {
		if rec, err := s.spend(text, refresh); rec != nil || !errors.Is(err, errNotStored) {
			t.Fatalf("%v, %v", rec, err)
		}
	}
	// A disk that is full still forgets.
	d.failing(func(_ int, put bool) bool { return put })
	if rec, err := s.spend(text, refresh); rec == nil || err != nil {
		t.Fatalf("%v, %v", rec, err)
	}
	if rec, _ := restart(t, d).look(text, refresh); rec != nil {
		t.Error("a token that was used up is good again")
	}
	if rec, err := s.spend(text, refresh); rec != nil || err != nil {
		t.Errorf("it is good twice: %v, %v", rec, err)
	}
}

func TestTradeIsRefusedWhileNothingCanBeStored(t *testing.T) {
	g := newRig(t)
	d := newDrawer()
	g.Issuer.store = OpenStore(t.Context(), d, nil)
	text := g.Issuer.store.issue(&record{kind: code, caller: "nightly", flow: &flow{client: "app", redirect: "urn:x", life: time.Hour}}, codeLife)
	d.failing(always)
	form := url.Values{"grant_type": {"authorization_code"}, "code": {text}, "client_id": {"app"}, "redirect_uri": {"urn:x"}}.Encode()
	if w := g.send("POST /portal/sharing/rest/oauth2/token\n\n" + form); w.Code != 503 || !strings.Contains(w.Body.String(), "try again") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	d.failing(nil)
	if w := g.send("POST /portal/sharing/rest/oauth2/token\n\n" + form); w.Code != 200 || !strings.Contains(w.Body.String(), "refresh_token") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestKilledAnywhere has every n-th operation fail, and looks after each step at what
// a kill would leave: nothing may be good then that is not good now, but for what
// could not be revoked, and that not for longer than the archive fails.
func TestKilledAnywhere(t *testing.T) {
	for n := 1; n <= 9; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			d := newDrawer()
			s := OpenStore(t.Context(), d, nil)
			d.failing(func(op int, _ bool) bool { return op%n == 0 })
			var used, revoked, tokens []string
			check := func() {
				t.Helper()
				after := restart(t, d)
				for _, text := range used {
					rec, _ := after.look(text, refresh)
					if rec == nil {
						rec, _ = after.look(text, code)
					}
					if rec != nil {
						t.Fatal("a token that was used up is good again")
					}
				}
				s.keeper.mu.Lock()
				owing := len(s.keeper.owing) > 0
				s.keeper.mu.Unlock()
				for _, text := range revoked {
					if !owing && isGood(after, text) {
						t.Fatal("a revoked token is good again")
					}
				}
				for _, text := range tokens {
					if isGood(after, text) && !isGood(s, text) && !owing {
						t.Fatal("more is good after a restart than before")
					}
				}
			}
			for i := range 60 {
				c := s.issue(&record{kind: code, caller: "nightly", flow: aFlow()}, codeLife)
				check()
				rec, err := s.spend(c, code)
				if err != nil {
					continue
				}
				used = append(used, c)
				check()
				r := &record{kind: refresh, caller: "nightly", flow: rec.flow, parent: rec}
				rt := s.issue(r, time.Hour)
				at := s.issue(&record{kind: access, caller: "nightly", parent: r}, time.Hour)
				tokens = append(tokens, at)
				check()
				switch i % 4 {
				case 0:
					s.Revoke(rt)
					revoked = append(revoked, at)
				case 1:
					if rec, _ := s.spend(rt, refresh); rec != nil {
						used = append(used, rt)
					}
				case 2:
					s.Revoke(at)
					revoked = append(revoked, at)
				}
				check()
			}
			d.failing(nil)
			s.Close()
			after := restart(t, d)
			for _, text := range tokens {
				if isGood(s, text) != isGood(after, text) {
					t.Errorf("good before: %t, after: %t", isGood(s, text), isGood(after, text))
				}
			}
		})
	}
}

func TestUnreadableRecords(t *testing.T) {
	d := newDrawer()
	s := OpenStore(t.Context(), d, nil)
	token := s.issue(&record{kind: access, caller: "nightly"}, time.Hour)
	l := signIn(t, s)
	hash := hashOf(l.code)
	root := d.records[hex.EncodeToString(hash[:])]
	d.records[hex.EncodeToString(hash[:])] = []byte("{")
	for i := range 20 {
		d.records[fmt.Sprint(i)] = []byte(`{"v":2}`)
	}
	var logs bytes.Buffer
	after := OpenStore(t.Context(), d, slog.New(slog.NewTextHandler(&logs, nil)))
	if !isGood(after, token) || isGood(after, l.access) {
		t.Error("a record without its parent counts, or one beside it does not")
	}
	if n := strings.Count(logs.String(), "level=ERROR"); n != faultsTold+1 {
		t.Errorf("%d complaints", n)
	}
	// Nothing was deleted: with what was missing, all is there again.
	d.records[hex.EncodeToString(hash[:])] = root
	if !isGood(restart(t, d), l.access) {
		t.Error("a start has deleted what it could not judge")
	}
}

// TestConcurrentArchive has everybody at a store with an archive at once.
func TestConcurrentArchive(t *testing.T) {
	d := newDrawer()
	s := OpenStore(t.Context(), d, nil)
	d.failing(func(op int, _ bool) bool { return op%7 == 0 })
	var wg sync.WaitGroup
	var mu sync.Mutex // guards revoked
	var revoked []string
	for n := range 8 {
		wg.Go(func() {
			caller := fmt.Sprint("caller", n%3)
			for i := range 40 {
				token := s.issue(&record{kind: access, caller: caller}, time.Hour)
				c := s.issue(&record{kind: code, caller: caller, flow: aFlow()}, time.Hour)
				if rec, _ := s.spend(c, code); rec != nil {
					s.issue(&record{kind: refresh, caller: caller, flow: aFlow(), parent: rec}, time.Hour)
				}
				if i%2 == 0 {
					s.Revoke(token)
					mu.Lock()
					revoked = append(revoked, token)
					mu.Unlock()
				}
				if n == 0 && i%10 == 0 {
					s.RevokeCaller("caller1")
					s.Keep(map[string]string{"caller0": "", "caller1": "", "caller2": ""})
				}
			}
		})
	}
	wg.Wait()
	d.failing(nil)
	for range 1000 {
		s.Close()
		s.clear()
	}
	after := restart(t, d)
	for _, text := range revoked {
		if isGood(after, text) {
			t.Fatal("a revoked token is good again")
		}
	}
	for hash, rec := range s.records {
		if again := after.records[hash]; (again == nil) != rec.revoked() {
			t.Fatalf("%+v is there after a restart: %t", rec, again != nil)
		} else if again != nil && again.spent != rec.spent {
			t.Fatal("a mark did not survive")
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(encodeRecord(&record{kind: access, caller: "a", expires: 1, binding: binding{"http", netip.MustParseAddr("::1")}}))
	f.Add(encodeRecord(&record{kind: refresh, caller: "a", expires: 1, flow: aFlow(), spent: true, parent: &record{}}))
	f.Fuzz(func(t *testing.T, text []byte) {
		rec, parent, err := decodeRecord(text)
		if err != nil {
			return
		}
		if len(parent) > 0 {
			rec.parent = &record{hash: [32]byte(parent)}
		}
		if again, _, err := decodeRecord(encodeRecord(rec)); err != nil || again.hash != rec.hash || again.spent != rec.spent {
			t.Errorf("%v: %+v", err, again)
		}
	})
}
