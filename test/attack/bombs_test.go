package attack

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"arcproxy/test/program"
	"arcproxy/test/sandbox"
	"arcproxy/test/sandbox/arcgis"
	"arcproxy/test/sandbox/okta"
)

// allowance is how much memory, in bytes, a program may need beyond what it had
// when it was idle, whatever it is sent: less than the bombs are together.
const allowance = 48 << 20

// TestBombs is row 30: bodies that are a thousand times larger inside, small as
// refusals are so that they are looked into, and pages that do not end, at an
// upstream and at every step of a sign-in. The bodies pass, the sign-ins fail in
// bounded time, and memory stays bounded.
func TestBombs(t *testing.T) {
	t.Run("bodies", func(t *testing.T) {
		sb := startSandbox(t)
		tr := newTrap(t)
		up := newRecorder(t, tr.address)
		d, p := serve(t, settings{portal: sb.PortalURL.String(), okta: sb.OktaURL.String(), servers: []string{up.server.URL + "/" + mount}, callers: callers, log: "json"}.write(t, sb))
		a := &attempt{T: t, at: &target{trap: tr}}
		ask := func(target string) *exchange {
			return exchange1(d.address, a.fill("GET "+target+" HTTP/1.1\n{host}\n{key}\nAccept-Encoding: gzip\nConnection: close\n\n", d))
		}
		if x := ask("/gis/x"); x.status() != http.StatusOK {
			t.Fatalf("an honest request: %s", x.raw)
		}
		idle := peakMemory(t, p)
		// Pages that nobody reads: they may wait, but not in memory.
		for range 20 {
			leave, err := readSome(d.address, a.fill(get("/gis/endless"), d), 1)
			if err != nil {
				t.Fatal(err)
			}
			defer leave()
		}
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				switch i % 2 {
				case 0:
					// It is looked through for addresses, as it unfolds, and packed again.
					if x := ask("/gis/bomb"); x.status() != http.StatusOK || len(x.first().body) > 2*len(bomb()) || !bytes.Equal(unpack(x.first().body), unpack(bomb())) {
						t.Errorf("a bomb: %d, %d bytes of %d", x.status(), len(x.first().body), len(bomb()))
					}
				case 1:
					leave, err := readSome(d.address, a.fill(get("/gis/endless"), d), 4<<20)
					if err != nil {
						t.Errorf("an endless page: %v", err)
					}
					leave()
				}
			})
		}
		wg.Wait()
		if len(up.take()) != 61 {
			t.Error("a bomb was asked for twice")
		}
		if x := ask("/gis/refusing-bomb"); x.status() < 500 || len(x.raw) > 4096 {
			t.Errorf("a refusal that is a bomb: %d, %d bytes", x.status(), len(x.raw))
		}
		checkMemory(t, p, idle)
	})

	endless := map[string]func(*sandbox.Sandbox){
		"Okta":          func(sb *sandbox.Sandbox) { sb.Okta.Inject(okta.Fault{Kind: okta.Endless}) },
		"Okta's authn":  func(sb *sandbox.Sandbox) { sb.Okta.Inject(okta.Fault{Kind: okta.Endless, Path: "/api/v1/authn"}) },
		"Portal":        func(sb *sandbox.Sandbox) { sb.Portal.Break(arcgis.Endless, "/portal/sharing/rest/oauth2") },
		"Portal's code": func(sb *sandbox.Sandbox) { sb.Portal.Break(arcgis.Endless, "/portal/sharing/rest/oauth2/token") },
	}
	for name, arm := range endless {
		t.Run("endless "+name, func(t *testing.T) {
			sb := startSandbox(t)
			arm(sb)
			d, p := serve(t, settings{portal: sb.PortalURL.String(), okta: sb.OktaURL.String(), callers: anyone, log: "json"}.write(t, sb))
			idle := peakMemory(t, p)
			a := &attempt{T: t, at: &target{trap: &trap{}}}
			x := exchange1(d.address, a.fill("GET /portal/sharing/rest/info?f=json HTTP/1.1\n{host}\nConnection: close\n\n", d))
			if x.hung || x.status() != http.StatusBadGateway && x.status() != http.StatusServiceUnavailable {
				t.Errorf("the caller gets %d after %v: %.300q", x.status(), x.took, x.raw)
			}
			for _, secret := range sb.Secrets() {
				if strings.Contains(string(x.raw), secret) {
					t.Errorf("the answer holds %q", secret)
				}
			}
			searchLog(t, p.Output(), sb.Secrets())
			checkMemory(t, p, idle)
		})
	}
}

// unpack returns what a gzip stream is when it is decompressed, as far as it goes.
func unpack(zipped []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil
	}
	plain, _ := io.ReadAll(z)
	return plain
}

// readSome sends a request and reads n bytes of what comes. The connection stays
// open until leave is called.
func readSome(address, raw string, n int64) (leave func(), err error) {
	c, err := connect(address)
	if err != nil {
		return func() {}, err
	}
	leave = func() { _ = c.Close() }
	_ = c.SetDeadline(time.Now().Add(exchangeLimit))
	if _, err := io.WriteString(c, raw); err != nil {
		return leave, err
	}
	_, err = io.CopyN(io.Discard, c, n)
	return leave, err
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMemory returns the most memory that the program has had so far, in bytes;
// 0 where the system does not tell.
func peakMemory(t *testing.T, p *program.Process) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid))
	m := highWater.FindSubmatch(status)
	if err != nil || m == nil {
		return 0
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// checkMemory fails the test if the program has had much more memory than idle.
func checkMemory(t *testing.T, p *program.Process, idle int64) {
	t.Helper()
	peak := peakMemory(t, p)
	t.Logf("memory: %d MiB idle, %d MiB at most", idle>>20, peak>>20)
	if peak-idle > allowance && !underRace { // the race detector remembers every access
		t.Errorf("memory went from %d MiB to %d MiB", idle>>20, peak>>20)
	}
}
