package storage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"arcproxy/auth"
	"arcproxy/cache"
)

// each runs test on a Memory, on Files, and on CertMagic's own files.
func each(t *testing.T, test func(*testing.T, certmagic.Storage)) {
	t.Run("memory", func(t *testing.T) { test(t, NewMemory()) })
	t.Run("files", func(t *testing.T) { test(t, NewFiles(t.TempDir())) })
	t.Run("certmagic", func(t *testing.T) { test(t, &certmagic.FileStorage{Path: t.TempDir()}) })
}

func TestKey(t *testing.T) {
	each(t, func(t *testing.T, st certmagic.Storage) {
		first, err := Key(t.Context(), st)
		if err != nil || len(first) != 32 || bytes.Equal(first, make([]byte, 32)) {
			t.Fatalf("%d bytes, %v", len(first), err)
		}
		second, err := Key(t.Context(), st)
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("the second time it is another: %v", err)
		}
		if ok, err := st.(certmagic.TryLocker).TryLock(t.Context(), keyLock); !ok || err != nil {
			t.Errorf("its lock is still held: %v", err)
		} else if err := st.Unlock(t.Context(), keyLock); err != nil {
			t.Error(err)
		}
		other, err := Key(t.Context(), NewMemory())
		if err != nil || bytes.Equal(first, other) {
			t.Errorf("two storages have one key: %v", err)
		}
	})
}

// TestKeyOfTwo: two programs that start at the same time agree.
func TestKeyOfTwo(t *testing.T) {
	st := &slow{Storage: NewMemory()}
	var keys [8][]byte
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], err = Key(t.Context(), st); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, key := range keys {
		if !bytes.Equal(key, keys[0]) {
			t.Fatal("they have different keys")
		}
	}
	if st.stores != 1 {
		t.Errorf("it was made %d times", st.stores)
	}
}

// slow is a Storage that lets others go first.
type slow struct {
	certmagic.Storage
	mu     sync.Mutex // guards stores
	stores int
}

func (s *slow) Load(ctx context.Context, key string) ([]byte, error) {
	v, err := s.Storage.Load(ctx, key)
	runtime.Gosched()
	return v, err
}

func (s *slow) Store(ctx context.Context, key string, value []byte) error {
	s.mu.Lock()
	s.stores++
	s.mu.Unlock()
	return s.Storage.Store(ctx, key, value)
}

// TestBadKeyStays: what is there is not overwritten, whatever is wrong with it.
func TestBadKeyStays(t *testing.T) {
	each(t, func(t *testing.T, st certmagic.Storage) {
		for _, bad := range []string{"", "short", strings.Repeat("x", 33)} {
			if err := st.Store(t.Context(), keyName, []byte(bad)); err != nil {
				t.Fatal(err)
			}
			_, err := Key(t.Context(), st)
			if err == nil || !strings.Contains(err.Error(), keyName) || !strings.Contains(err.Error(), "restore it") {
				t.Errorf("a key of %d bytes: %v", len(bad), err)
			}
			if got, err := st.Load(t.Context(), keyName); err != nil || string(got) != bad {
				t.Errorf("it was changed: %v", err)
			}
		}
	})
	for _, op := range []string{"load", "lock", "store", "unlock"} {
		st := &broken{Storage: NewMemory(), op: op}
		if key, err := Key(t.Context(), st); !errors.Is(err, errBroken) || key != nil && op != "unlock" {
			t.Errorf("%s fails, and Key says %v", op, err)
		}
		if op == "load" && st.Exists(t.Context(), keyName) {
			t.Error("a key that cannot be read was replaced")
		}
	}
}

var errBroken = errors.New("input/output error")

// broken is a Storage of which one operation fails.
type broken struct {
	certmagic.Storage
	op string
}

func (b *broken) fail(op string) error {
	if op == b.op {
		return errBroken
	}
	return nil
}

func (b *broken) Load(ctx context.Context, key string) ([]byte, error) {
	if err := b.fail("load"); err != nil {
		return nil, err
	}
	return b.Storage.Load(ctx, key)
}

func (b *broken) Store(ctx context.Context, key string, value []byte) error {
	if err := b.fail("store"); err != nil {
		return err
	}
	return b.Storage.Store(ctx, key, value)
}

func (b *broken) Delete(ctx context.Context, key string) error {
	if err := b.fail("delete"); err != nil {
		return err
	}
	return b.Storage.Delete(ctx, key)
}

func (b *broken) Lock(ctx context.Context, name string) error {
	if err := b.fail("lock"); err != nil {
		return err
	}
	return b.Storage.Lock(ctx, name)
}

func (b *broken) Unlock(ctx context.Context, name string) error {
	if err := b.fail("unlock"); err != nil {
		return err
	}
	return b.Storage.Unlock(ctx, name)
}

// TestModes keeps the modes that doc.go promises.
func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes mean nothing on Windows; the state directory's access list is inherited")
	}
	dir := filepath.Join(t.TempDir(), "state")
	st := NewFiles(dir)
	sealed, err := OpenSealed(t.Context(), st, nil, nil)
	if err == nil {
		err = sealed.Sessions().Save(t.Context(), "alice", []byte("x"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Key(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	if err := NewRefusals(st).Remember(t.Context(), "alice", refusal()); err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o700)
		if !d.IsDir() {
			files++
			want = 0o600
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil || files != 6 {
		t.Errorf("%d files, want two keys, their locks, a refusal and a session; %v", files, err)
	}
}

func refusal() cache.Refusal {
	return cache.Refusal{
		Credential: strings.Repeat("0f", 32),
		Kind:       auth.CredentialRefused,
		Step:       "Okta: password",
		Code:       "E0000004",
		Time:       time.Date(2026, 11, 23, 12, 0, 0, 5, time.FixedZone("", 3600)),
	}
}

// names are identities that a file system would mix up or refuse.
var names = []string{"alice", "Alice", "ALICE", "alice@example.com", "alice_example_com", "", ".", "..", "../../etc/passwd", "a/b",
	"con", "nul.json", "trailing.", "trailing", "söhne", "s_hne", `back\slash`, "nul\x00", strings.Repeat("long", 100), strings.Repeat("long", 101), "\xff"}

func TestRefusals(t *testing.T) {
	each(t, func(t *testing.T, st certmagic.Storage) {
		r, ctx := NewRefusals(st), t.Context()
		for i, name := range names {
			if _, found, err := r.Refused(ctx, name); found || err != nil {
				t.Fatalf("%q at first: %v, %v", name, found, err)
			}
			if err := r.Forget(ctx, name); err != nil {
				t.Fatalf("forgetting nothing of %q: %v", name, err)
			}
			one := refusal()
			one.Code = string(rune('a' + i))
			if err := r.Remember(ctx, name, one); err != nil {
				t.Fatalf("%q: %v", name, err)
			}
		}
		r = NewRefusals(st) // as after a restart
		for i, name := range names {
			got, found, err := r.Refused(ctx, name)
			want := refusal()
			want.Code = string(rune('a' + i))
			if err != nil || !found || !got.Time.Equal(want.Time) {
				t.Fatalf("%q: %+v, %v, %v", name, got, found, err)
			}
			if got.Time = want.Time; got != want {
				t.Errorf("%q: %+v, want %+v", name, got, want)
			}
		}
		second := refusal()
		second.Credential = strings.Repeat("1e", 32)
		if err := r.Remember(ctx, "alice", second); err != nil {
			t.Fatal(err)
		}
		if got, _, _ := r.Refused(ctx, "alice"); got.Credential != second.Credential {
			t.Errorf("the older one was kept: %+v", got)
		}
		if err := r.Forget(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		if _, found, err := r.Refused(ctx, "alice"); found || err != nil {
			t.Errorf("after Forget: %v, %v", found, err)
		}
		if _, found, err := r.Refused(ctx, "Alice"); !found || err != nil {
			t.Errorf("another was forgotten with it: %v", err)
		}
	})
}

// TestBadRefusal: what cannot be understood is an error that names it, not a
// credential that may be tried.
func TestBadRefusal(t *testing.T) {
	each(t, func(t *testing.T, st certmagic.Storage) {
		hash := hashOf(t, st, "alice")
		good, err := json.Marshal(record{Identity: hashOf(t, st, "bob"), Credential: "f", Kind: "k", Time: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"", "{}", "null", "[", "hunter2", string(good),
			`{"identity":"` + hash + `","kind":"k","time":"2026-01-01T00:00:00Z"}`,
			`{"identity":"` + hash + `","credential":"f","time":"2026-01-01T00:00:00Z"}`,
			`{"identity":"` + hash + `","credential":"f","kind":"k"}`,
			`{"identity":"` + hash + `","credential":"f","kind":"k","time":"2026-01-01T00:00:00Z"}` + strings.Repeat(" ", refusalMost)} {
			if err := st.Store(t.Context(), refusalKey(hash), []byte(text)); err != nil {
				t.Fatal(err)
			}
			_, found, err := NewRefusals(st).Refused(t.Context(), "alice")
			if found || err == nil || !strings.Contains(err.Error(), refusalKey(hash)) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%.40q: %v, %v", text, found, err)
			}
		}
	})
	for op, do := range map[string]func(Refusals) error{
		"load":   func(r Refusals) error { _, _, err := r.Refused(t.Context(), "alice"); return err },
		"store":  func(r Refusals) error { return r.Remember(t.Context(), "alice", refusal()) },
		"delete": func(r Refusals) error { return r.Forget(t.Context(), "alice") },
	} {
		st := NewMemory()
		hash := hashOf(t, st, "alice")
		err := do(NewRefusals(&broken{Storage: st, op: op}))
		if !errors.Is(err, errBroken) || op != "load" && !strings.Contains(err.Error(), refusalKey(hash)) {
			t.Errorf("%s: %v", op, err)
		}
	}
}

func hashOf(t *testing.T, st certmagic.Storage, identity string) string {
	t.Helper()
	hash, err := NewRefusals(st).hash(t.Context(), identity)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// TestFormerRefusals: what was stored under readable names still counts, and is
// not readable any more afterwards.
func TestFormerRefusals(t *testing.T) {
	each(t, func(t *testing.T, st certmagic.Storage) {
		ctx, former := t.Context(), formerKey("alice")
		old := func() {
			t.Helper()
			text, err := json.Marshal(record{Identity: "alice", Credential: "f", Kind: auth.CredentialRefused, Time: time.Now()})
			if err == nil {
				err = st.Store(ctx, former, text)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		old()
		if _, err := Key(ctx, st); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if r, found, err := NewRefusals(&broken{Storage: st, op: "store"}).Refused(ctx, "alice"); r.Credential != "f" || !found || err != nil {
				t.Errorf("%+v, %v, %v", r, found, err)
			}
		}
		for range 2 {
			if r, found, err := NewRefusals(st).Refused(ctx, "alice"); r.Credential != "f" || !found || err != nil {
				t.Errorf("%+v, %v, %v", r, found, err)
			}
			if st.Exists(ctx, former) {
				t.Error("the readable one is still there")
			}
		}
		old()
		if err := NewRefusals(st).Forget(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		if _, found, err := NewRefusals(st).Refused(ctx, "alice"); found || err != nil {
			t.Errorf("after Forget: %v, %v", found, err)
		}
	})
}

// TestUnreadableFile: a file without the right to read it is not a missing one.
func TestUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	st := NewFiles(dir)
	for _, key := range []string{refusalKey(hashOf(t, st, "alice")), keyName} {
		if err := st.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		// A directory in the file's place cannot be read by anybody, root included.
		if err := os.MkdirAll(filepath.Join(dir, key), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, found, err := NewRefusals(st).Refused(t.Context(), "alice"); found || err == nil {
		t.Errorf("%v, %v", found, err)
	}
	if _, err := Key(t.Context(), st); err == nil || !strings.Contains(err.Error(), "make it readable") {
		t.Errorf("%v", err)
	}
}

func FuzzRefusal(f *testing.F) {
	good, err := json.Marshal(record{Identity: "alice", Credential: "f", Kind: auth.AccountLocked, Step: "s", Code: "c", Time: time.Now()})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(good), "", "{}", "null", "[]", `{"identity":"alice"}`, `{"identity":1}`, `{"time":"x"}`, "\xff"} {
		f.Add("alice", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, identity string, text []byte) {
		r, err := readRefusal(identity, text)
		if err == nil && (r.Credential == "" || r.Kind == "" || r.Time.IsZero()) {
			t.Errorf("half a refusal was read: %+v", r)
		}
	})
}
