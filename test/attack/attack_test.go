package attack

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"arcproxy/test/sandbox"
)

// row is a class of attack.
type row struct {
	number int
	name   string
	tests  string // what is sent and what must hold, in a sentence
	naive  verdict
	try    func(*attempt)
}

// verdict says what is known of the naive proxy.
type verdict uint8

const (
	unmeasured verdict = iota // whatever comes of it
	falls                     // it is known to fail
	pointless                 // it has nothing that the row attacks
)

// table returns all rows in order.
func table() []row {
	rows := slices.Concat(headerRows, pathRows, framingRows, siteRows, queryRows, credentialRows, outsideRows, answerRows, logRows)
	slices.SortFunc(rows, func(a, b row) int { return a.number - b.number })
	return rows
}

// elsewhere are the rows that have tests of their own, because they take their
// time or need a program that is set up for them.
var elsewhere = map[int]string{
	29: "TestSlow",
	30: "TestBombs",
	32: "TestFailsClosed",
	35: "TestEvilPages",
}

// last is the number of the last row.
const last = 36

// TestSlow is first: what it has begun goes on while the other tests run.
func TestSlow(t *testing.T) {
	finish := stall(t)
	t.Parallel()
	finish()
}

// TestAttacks tries every row on the program, which must hold, and on the naive
// proxy, which must fail where it is known to.
func TestAttacks(t *testing.T) {
	sb := startSandbox(t)
	tr := newTrap(t)
	targets := []*target{ours(t, sb, newRecorder(t, tr.address), tr), naive(t, sb, newRecorder(t, tr.address), tr)}
	for _, at := range targets {
		at.warm(t, sb)
	}
	rows := table()
	for i := 1; i <= last; i++ {
		if n := count(rows, i); n == 0 && elsewhere[i] == "" || n > 1 {
			t.Errorf("row %d is there %d times", i, n)
		}
	}
	var report strings.Builder
	for _, r := range rows {
		held := map[bool]string{}
		for _, at := range targets {
			if at.naive && r.naive == pointless {
				held[true] = "–"
				continue
			}
			t.Run(fmt.Sprintf("%02d %s/%s", r.number, r.name, at.name), func(t *testing.T) {
				a := &attempt{T: t, at: at}
				r.try(a)
				held[at.naive] = "holds"
				if len(a.holes) > 0 {
					held[at.naive] = fmt.Sprintf("FAILS (%d)", len(a.holes))
				}
				switch {
				case !at.naive:
					for _, hole := range a.holes {
						t.Error(hole)
					}
				case len(a.holes) == 0 && r.naive == falls:
					t.Errorf("the naive proxy holds against what it is known to fail: %s", r.tests)
				default:
					t.Log(strings.Join(a.holes[:min(3, len(a.holes))], "\n")) // of what may be dozens
				}
			})
		}
		fmt.Fprintf(&report, "%3d  %-42s %-10s %s\n", r.number, r.name, held[false], held[true])
	}
	for i, name := range elsewhere {
		fmt.Fprintf(&report, "%3d  see %s\n", i, name)
	}
	t.Logf("row  %-42s %-10s %s\n%s", "class", "arcproxy", "naive", report.String())
	for _, p := range targets[0].logs {
		searchLog(t, p.Output(), targets[0].secrets())
	}
}

func count(rows []row, number int) (n int) {
	for _, r := range rows {
		if r.number == number {
			n++
		}
	}
	return n
}

// warm sends an honest request of every kind of caller, learns the tokens that
// they carry, and asks the sandbox whose those are.
func (at *target) warm(t *testing.T, sb *sandbox.Sandbox) {
	t.Helper()
	ask := func(d door, head, as, identity string) {
		x := exchange1(d.address, (&attempt{T: t, at: at}).fill("GET /gis/x?f=json HTTP/1.1\n{host}\n"+head+"Connection: close\n\n", d))
		seen := at.up.take()
		if x.status() != http.StatusOK || len(seen) != 1 {
			t.Fatalf("%s: an honest request gets %d, %d requests arrive: %s", at.name, x.status(), len(seen), x.raw)
		}
		token := strings.TrimPrefix(seen[0].header.Get("X-Esri-Authorization"), "Bearer ")
		if known := at.tokens[as]; known != "" && known != token {
			t.Fatalf("%s: two tokens for %s", at.name, as)
		}
		at.tokens[as] = token
		if who, err := sandboxUser(t.Context(), sb, token); err != nil || who != identity {
			t.Fatalf("%s: %s's token is %q's: %v", at.name, identity, who, err)
		}
	}
	if at.naive {
		ask(at.keyed, "", "alice", "alice")
		return
	}
	for key, identity := range identityOf {
		ask(at.keyed, "X-Esri-Authorization: Bearer "+key+"\n", identity, identity)
	}
	ask(at.open, "", "anyone", "carol")
}

// attempt is one row tried on one target.
type attempt struct {
	*testing.T
	at    *target
	holes []string
}

// hole notes something that should not be.
func (a *attempt) hole(format string, args ...any) {
	a.holes = append(a.holes, fmt.Sprintf(format, args...))
}

// fill makes the bytes to send of a request as it is written in this package:
// lines end in CR LF, ␊ is a bare LF and ␍ a bare CR, and what stands in braces
// is replaced.
func (a *attempt) fill(request string, d door) string {
	return strings.NewReplacer(
		"\n", "\r\n", "␊", "\n", "␍", "\r",
		"{host}", "Host: "+d.address,
		"{key}", "X-Esri-Authorization: Bearer "+keyNightly,
		"{nightly}", keyNightly,
		"{evil}", a.at.trap.address,
		"{address}", d.address,
	).Replace(request)
}

// send writes a request to the door where callers need a key.
func (a *attempt) send(request string) (*exchange, []record) {
	return a.sendTo(a.at.keyed, "alice", request)
}

// sendOpen writes a request to the door where anyone is a caller.
func (a *attempt) sendOpen(request string) (*exchange, []record) {
	return a.sendTo(a.at.open, "anyone", request)
}

func (a *attempt) sendTo(d door, identity, request string) (*exchange, []record) {
	a.Helper()
	raw := a.fill(request, d)
	x := exchange1(d.address, raw)
	return x, a.judge(raw, identity, x)
}

// send2 sends a request over HTTP/2 to the door where callers need a key. The
// fields are added to those of a good one, and replace pseudo-fields.
func (a *attempt) send2(body []byte, fields ...field) (*exchange, []record) {
	a.Helper()
	return a.send2To(a.at.keyed, "alice", body, append(fields, field{"x-esri-authorization", "Bearer " + keyNightly}))
}

func (a *attempt) send2To(d door, identity string, body []byte, fields []field) (*exchange, []record) {
	a.Helper()
	all := []field{{":method", "GET"}, {":scheme", "https"}, {":authority", d.secure}, {":path", "/" + mount + "/x"}}
	for _, f := range fields {
		f.value = a.fill(f.value, d)
		i := slices.IndexFunc(all, func(g field) bool { return f.name == g.name && strings.HasPrefix(f.name, ":") })
		switch {
		case i < 0:
			all = append(all, f)
		case f.value == "":
			all = slices.Delete(all, i, i+1)
		default:
			all[i] = f
		}
	}
	regular := slices.DeleteFunc(slices.Clone(all), func(f field) bool { return strings.HasPrefix(f.name, ":") })
	pseudo := slices.DeleteFunc(all, func(f field) bool { return !strings.HasPrefix(f.name, ":") })
	all = slices.Concat(pseudo, regular) // HTTP/2 wants them in this order
	x := exchange2(a, d.secure, all, body)
	return x, a.judge(fmt.Sprintf("HTTP/2 %q", all), identity, x)
}

// refused notes a hole if anything of what was sent reached the upstream, or was
// answered as if all were well.
func (a *attempt) refused(what string, x *exchange, seen []record) {
	if len(seen) > 0 {
		a.hole("%s: reaches the upstream: %.300q", what, seen[0].String())
	} else if x.status() != 0 && x.status() < 400 {
		a.hole("%s: is answered by %d", what, x.status())
	}
}

// refusedAll sends requests that must be refused, all at once: an answer to an
// unknown caller takes its time.
func (a *attempt) refusedAll(requests ...string) {
	a.Helper()
	exchanges := make([]*exchange, len(requests))
	var wg sync.WaitGroup
	for i, request := range requests {
		wg.Go(func() { exchanges[i] = exchange1(a.at.keyed.address, a.fill(request, a.at.keyed)) })
	}
	wg.Wait()
	for i, request := range requests {
		seen := a.judge(request, "alice", exchanges[i]) // the first has those of all
		a.refused(quote(request), exchanges[i], seen)
	}
}

// passes notes a hole if what was sent did not reach the upstream, once.
func (a *attempt) passes(what string, x *exchange, seen []record) *record {
	if len(seen) != 1 || x.status() != http.StatusOK {
		a.hole("%s: is answered by %d and reaches the upstream %d times: %.200q", what, x.status(), len(seen), x.raw)
		return &record{header: http.Header{}}
	}
	return &seen[0]
}

// quote shortens a request for a message.
func quote(request string) string {
	if len(request) > 160 {
		request = request[:160] + "…"
	}
	return fmt.Sprintf("%q", request)
}
