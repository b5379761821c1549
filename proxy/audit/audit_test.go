package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var sample = Record{
	Time: time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC), Caller: "nightly", Identity: "alice", Address: "127.0.0.1:51034",
	Method: "POST", Path: "/server/rest/services/Trees/FeatureServer/0/query", RawQuery: "f=json&where=NAME%20LIKE%20'A%'&token",
	Status: 200, Bytes: 1834, Duration: 41207 * time.Microsecond, Renewed: true,
}

const sampleLine = `{"time":"2026-03-01T12:00:00.005Z","caller":"nightly","identity":"alice","address":"127.0.0.1:51034","method":"POST",` +
	`"path":"/server/rest/services/Trees/FeatureServer/0/query","query":["f","where","token"],"status":200,"bytes":1834,"duration_ms":41.207,"renewed":true}` + "\n"

func trail(t testing.TB, config Config) *Trail {
	t.Helper()
	a, err := New(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func closed(t testing.TB, a *Trail) {
	t.Helper()
	if err := a.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	a := trail(t, Config{File: name})
	a.Write(&sample)
	a.Write(&sample)
	closed(t, a)
	closed(t, a)     // again does no harm
	a.Write(&sample) // too late
	if got := read(t, name); got != sampleLine+sampleLine {
		t.Errorf("got\n%s", got)
	}
	stat, err := os.Stat(name)
	if err != nil || runtime.GOOS != "windows" && stat.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", stat.Mode(), err)
	}
	// Another program appends.
	b := trail(t, Config{File: name})
	b.Write(&sample)
	closed(t, b)
	if got := read(t, name); got != strings.Repeat(sampleLine, 3) {
		t.Errorf("got\n%s", got)
	}
}

// TestNothingLost: whoever wrote before Close finds the record in the file, whole
// and in their own order.
func TestNothingLost(t *testing.T) {
	const writers, each = 8, 2000
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	a := trail(t, Config{File: name, MaxSize: 256 << 10, Keep: 100})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				a.Write(&Record{Caller: fmt.Sprint(w), Status: i, Path: strings.Repeat("x", i%200)})
			}
		})
	}
	wg.Wait()
	closed(t, a)
	next := map[string]int{}
	total := 0
	names, _ := filepath.Glob(name + "*")
	if len(names) < 5 {
		t.Errorf("only %d files", len(names))
	}
	for i := len(names); i >= 0; i-- { // the oldest has the highest number
		part := fmt.Sprintf("%s.%d", name, i)
		if i == 0 {
			part = name
		}
		text, err := os.ReadFile(part)
		if err != nil {
			continue
		}
		if len(text) > 256<<10 {
			t.Errorf("%s has %d bytes", part, len(text))
		}
		for line := range bytes.Lines(text) {
			var r struct {
				Caller string
				Status int
			}
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if r.Status != next[r.Caller] {
				t.Fatalf("caller %s: %d after %d", r.Caller, r.Status, next[r.Caller]-1)
			}
			next[r.Caller]++
			total++
		}
	}
	if total != writers*each {
		t.Errorf("%d lines of %d", total, writers*each)
	}
}

func TestRotation(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	a := trail(t, Config{File: name, MaxSize: minMaxSize, Keep: 2})
	for i := range 5000 {
		r := sample
		r.Status = i
		a.Write(&r)
	}
	closed(t, a)
	names, _ := filepath.Glob(name + "*")
	if len(names) != 3 {
		t.Errorf("%v", names)
	}
	for _, part := range names {
		if stat, err := os.Stat(part); err != nil || stat.Size() > minMaxSize || runtime.GOOS != "windows" && stat.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", stat, err)
		}
	}
	if got := read(t, name); !strings.Contains(got, `"status":4999`) {
		t.Error("the newest record is not in the newest file")
	}
}

// TestMovedAway: something else renames the file, as logrotate does.
func TestMovedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "audit.jsonl")
		a, err := New(Config{File: name}, nil)
		if err != nil {
			t.Fatal(err)
		}
		a.Write(&sample)
		synctest.Wait()
		if err := os.Rename(name, name+".old"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * lookAfter)
		a.Write(&sample)
		synctest.Wait()
		if read(t, name) != sampleLine || read(t, name+".old") != sampleLine {
			t.Error("the records are not in the two files")
		}
		closed(t, a)
	})
}

func TestOpenings(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "audit.jsonl")
	// The last writer died in the middle of a line, and others could read it.
	if err := os.WriteFile(name, []byte(`{"time":"20`), 0o644); err != nil {
		t.Fatal(err)
	}
	a := trail(t, Config{File: name})
	a.Write(&sample)
	closed(t, a)
	if got := read(t, name); got != `{"time":"20`+"\n"+sampleLine {
		t.Errorf("got\n%s", got)
	}
	if stat, err := os.Stat(name); err != nil || runtime.GOOS != "windows" && stat.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", stat.Mode(), err)
	}
	for _, bad := range []Config{
		{File: folder}, {File: filepath.Join(folder, "none", "a")}, {File: name, MaxSize: 1}, {File: name, MaxSize: -1},
		{File: name, Keep: -1}, {File: name, Keep: 1e6}, {Keep: 1}, {MaxSize: 1 << 30}, {File: os.DevNull},
	} {
		if a, err := New(bad, nil); err == nil {
			t.Errorf("%+v: no fault", bad)
			_ = a.Close()
		}
	}
}

// disk is a file that is full when it is told to be, and takes a part then.
type disk struct {
	mu      sync.Mutex // guards what follows
	text    bytes.Buffer
	room    int // how much it still takes; negative: everything
	attempt int
}

var errFull = errors.New("no space left on device")

func (d *disk) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.attempt++
	if d.room >= 0 && len(p) > d.room {
		n, _ := d.text.Write(p[:d.room])
		d.room = 0
		return n, errFull
	}
	if d.room >= 0 {
		d.room -= len(p)
	}
	return d.text.Write(p)
}

func (d *disk) Stat() (fs.FileInfo, error) { return os.Stat(os.DevNull) }
func (d *disk) Sync() error                { return nil }
func (d *disk) Close() error               { return nil }

func (d *disk) set(room int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = room
}

func (d *disk) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

func onDisk(t *testing.T, d *disk, log io.Writer) *Trail {
	t.Helper()
	a, err := start(Config{File: filepath.Join(t.TempDir(), "none")}, slog.New(slog.NewTextHandler(log, nil)),
		func(string) (file, bool, error) { return d, true, nil })
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestFullDisk: requests go on, it is said once, and nothing is lost as long as
// it fits into memory; a line that was cut in two is completed.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, log := &disk{room: len(sampleLine) + 10}, &bytes.Buffer{}
		a := onDisk(t, d, log)
		began := time.Now()
		for range 3 {
			a.Write(&sample)
			synctest.Wait()
		}
		time.Sleep(500 * time.Millisecond)
		a.Write(&sample)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
			t.Errorf("said %d times:\n%s", n, log)
		}
		if d.attempt > 14 {
			t.Errorf("tried %d times in %v", d.attempt, time.Since(began))
		}
		d.set(-1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := d.String(); got != strings.Repeat(sampleLine, 4) {
			t.Errorf("got\n%s", got)
		}
		if !strings.Contains(log.String(), "written again") {
			t.Errorf("the end was not told:\n%s", log)
		}
		closed(t, a)
	})
}

// TestLoss: what does not fit into memory is counted, and the count stands where
// the records would.
func TestLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, log := &disk{room: 0}, &bytes.Buffer{}
		a := onDisk(t, d, log)
		a.Write(&sample)
		synctest.Wait()
		const more = 3 * maxPending / len(sampleLine)
		for range more {
			a.Write(&sample)
		}
		d.set(-1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		a.Write(&sample)
		closed(t, a)
		lines := strings.Split(strings.TrimSpace(d.String()), "\n")
		var last struct{ Lost int }
		if err := json.Unmarshal([]byte(lines[len(lines)-2]), &last); err != nil {
			t.Fatal(err)
		}
		if last.Lost == 0 || len(lines)-1+last.Lost != more+2 {
			t.Errorf("%d lines and %d lost of %d", len(lines)-1, last.Lost, more+2)
		}
		if strings.Count(log.String(), "are being lost") != 1 {
			t.Errorf("%s", log)
		}
	})
}

// TestCloseFull: Close does not wait for a disk that stays full, and says so.
func TestCloseFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{room: 0}
		a := onDisk(t, d, io.Discard)
		a.Write(&sample)
		synctest.Wait()
		a.Write(&sample)
		if err := a.Close(); !errors.Is(err, errFull) || !strings.Contains(err.Error(), fmt.Sprint(2*len(sampleLine))) {
			t.Errorf("%v", err)
		}
	})
}

// TestRotationFails: a folder that does not let files be renamed.
func TestRotationFails(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.MkdirAll(filepath.Join(name+".1", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(name+".2", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	a, err := New(Config{File: name, MaxSize: minMaxSize, Keep: 2}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	const lines = 1000
	for range lines {
		a.Write(&sample)
	}
	closed(t, a)
	if got := strings.Count(read(t, name), "\n"); got != lines {
		t.Errorf("%d lines of %d", got, lines)
	}
	if n := strings.Count(log.String(), "put the full audit file aside"); n < 1 || n > 1+lines*len(sampleLine)/minMaxSize {
		t.Errorf("said %d times", n)
	}
}

func TestLog(t *testing.T) {
	var b bytes.Buffer
	a, err := New(Config{}, slog.New(slog.NewJSONHandler(&b, nil)))
	if err != nil {
		t.Fatal(err)
	}
	a.Write(&sample)
	closed(t, a)
	for _, want := range []string{`"level":"INFO"`, `"caller":"nightly"`, `"query":["f","where","token"]`, `"status":200`, `"renewed":true`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in %s", want, b.String())
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	a := trail(b, Config{File: filepath.Join(b.TempDir(), "audit.jsonl")})
	b.ReportAllocs()
	for b.Loop() {
		a.Write(&sample)
	}
	closed(b, a)
	a.mu.Lock()
	defer a.mu.Unlock()
	b.ReportMetric(float64(a.lost), "lost")
}
