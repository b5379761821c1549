package storage

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
	"pgregory.net/rapid"
)

// TestMemoryIsAsFiles does the same to a Memory and to CertMagic's own
// FileStorage, and wants the same answers.
func TestMemoryIsAsFiles(t *testing.T) {
	memoryIsAs(t, func() certmagic.Storage { return &certmagic.FileStorage{Path: t.TempDir()} })
}

// TestMemoryIsAsOurFiles is the same with Files, which therefore is as FileStorage.
func TestMemoryIsAsOurFiles(t *testing.T) {
	memoryIsAs(t, func() certmagic.Storage {
		dir := t.TempDir()
		// So that it is not seen in lists.
		if err := os.Mkdir(filepath.Join(dir, "s"), 0o700); err != nil {
			t.Fatal(err)
		}
		return below{NewFiles(dir), "s"}
	})
}

// below is a folder of Files as a storage.
type below struct {
	*Files
	dir string
}

func (b below) key(key string) string { return path.Join(b.dir, key) }

func (b below) Store(ctx context.Context, key string, value []byte) error {
	return b.Files.Store(ctx, b.key(key), value)
}
func (b below) Load(ctx context.Context, key string) ([]byte, error) {
	return b.Files.Load(ctx, b.key(key))
}
func (b below) Delete(ctx context.Context, key string) error { return b.Files.Delete(ctx, b.key(key)) }
func (b below) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	info, err := b.Files.Stat(ctx, b.key(key))
	info.Key = key
	return info, err
}
func (b below) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	keys, err := b.Files.List(ctx, b.key(prefix), recursive)
	for i := range keys {
		keys[i] = strings.TrimPrefix(keys[i], b.dir+"/")
	}
	return keys, err
}

func memoryIsAs(t *testing.T, make func() certmagic.Storage) {
	rapid.Check(t, func(rt *rapid.T) {
		memory := NewMemory()
		files := make()
		ctx := t.Context()
		key := rapid.SampledFrom([]string{"a", "b", "ab", "a/b", "a/b/c", "a/bc", "b/c/d", "ab/c"})
		prefix := rapid.SampledFrom([]string{"", "a", "b", "a/b", "b/c", "ab", "x"})
		rt.Repeat(map[string]func(*rapid.T){
			"store": func(rt *rapid.T) {
				k, value := key.Draw(rt, "key"), rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(rt, "value")
				inFiles := files.Store(ctx, k, value)
				if info, err := files.Stat(ctx, k); err == nil && !info.IsTerminal && !memory.Exists(ctx, k) {
					// FileStorage keeps directories that are empty.
					if err := files.Delete(ctx, k); err != nil {
						rt.Fatal(err)
					}
					inFiles = files.Store(ctx, k, value)
				}
				if inMemory := memory.Store(ctx, k, value); (inMemory == nil) != (inFiles == nil) {
					rt.Fatalf("store %s: %v in memory, %v in files", k, inMemory, inFiles)
				}
			},
			"delete": func(rt *rapid.T) {
				k := key.Draw(rt, "key")
				if inMemory, inFiles := memory.Delete(ctx, k), files.Delete(ctx, k); inMemory != nil || inFiles != nil {
					// Below a file there is nothing, and FileStorage may say so.
					if inMemory != nil || !strings.Contains(inFiles.Error(), "not a directory") {
						rt.Fatalf("delete %s: %v in memory, %v in files", k, inMemory, inFiles)
					}
				}
			},
			"": func(rt *rapid.T) {
				k := key.Draw(rt, "key")
				inMemory, errMemory := memory.Load(ctx, k)
				inFiles, errFiles := files.Load(ctx, k)
				if (errMemory == nil) != (errFiles == nil) || !bytes.Equal(inMemory, inFiles) {
					rt.Fatalf("load %s: %q, %v in memory, %q, %v in files", k, inMemory, errMemory, inFiles, errFiles)
				}
				if errMemory != nil && !errors.Is(errMemory, fs.ErrNotExist) {
					rt.Fatalf("load %s: %v", k, errMemory)
				}
				a, errMemory := memory.Stat(ctx, k)
				b, errFiles := files.Stat(ctx, k)
				if errMemory == nil && (errFiles != nil || a.Key != b.Key || a.IsTerminal != b.IsTerminal || a.IsTerminal && (a.Size != b.Size || a.Modified.IsZero())) {
					rt.Fatalf("stat %s: %+v in memory, %+v, %v in files", k, a, b, errFiles)
				}
				if errMemory != nil && (!errors.Is(errMemory, fs.ErrNotExist) || errFiles == nil && b.IsTerminal) {
					rt.Fatalf("stat %s: %v in memory, %+v in files", k, errMemory, b)
				}
				if memory.Exists(ctx, k) != (errMemory == nil) {
					rt.Fatalf("exists %s: %v", k, memory.Exists(ctx, k))
				}
				p, recursive := prefix.Draw(rt, "prefix"), rapid.Bool().Draw(rt, "recursive")
				list, err := memory.List(ctx, p, recursive)
				want, errFiles := files.List(ctx, p, recursive)
				if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && errFiles != nil {
					rt.Fatalf("list %q: %v in memory, %v in files", p, err, errFiles)
				}
				// Without the directories that are empty.
				want = slices.DeleteFunc(want, func(k string) bool { return !memory.Exists(ctx, k) })
				slices.Sort(want)
				if !slices.Equal(list, want) {
					rt.Fatalf("list %q, recursive %v: %q in memory, %q in files", p, recursive, list, want)
				}
			},
		})
	})
}

func TestMemoryKeepsCopies(t *testing.T) {
	m := NewMemory()
	value := []byte("abc")
	if err := m.Store(t.Context(), "/k/", value); err != nil {
		t.Fatal(err)
	}
	value[0] = 'x'
	for range 2 {
		got, err := m.Load(t.Context(), "k")
		if err != nil || string(got) != "abc" {
			t.Fatalf("%q, %v", got, err)
		}
		got[0] = 'y'
	}
	if err := m.Store(t.Context(), "", nil); err == nil {
		t.Error("the root was stored to")
	}
}

func TestMemoryHeedsContexts(t *testing.T) {
	m := NewMemory()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, load := m.Load(ctx, "a")
	_, list := m.List(ctx, "", false)
	_, stat := m.Stat(ctx, "a")
	_, try := m.TryLock(ctx, "a")
	for name, err := range map[string]error{"load": load, "list": list, "stat": stat, "try": try,
		"store": m.Store(ctx, "a", nil), "delete": m.Delete(ctx, "a"), "lock": m.Lock(ctx, "a")} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMemoryLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		inside, turns := 0, 0
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := m.Lock(t.Context(), "one"); err != nil {
					t.Error(err)
					return
				}
				inside++
				if inside != 1 {
					t.Errorf("%d hold the lock", inside)
				}
				turns++
				time.Sleep(time.Second)
				inside--
				if err := m.Unlock(t.Context(), "one"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if err := m.Lock(t.Context(), "another"); err != nil {
			t.Error(err)
		}
		if ok, err := m.TryLock(t.Context(), "one"); ok || err != nil {
			t.Errorf("TryLock of a lock that is held: %v, %v", ok, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute/4)
		defer cancel()
		if err := m.Lock(ctx, "another"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a lock that nobody releases: %v", err)
		}
		wg.Wait()
		if turns != 50 {
			t.Errorf("%d of 50 had their turn", turns)
		}
		if ok, err := m.TryLock(t.Context(), "one"); !ok || err != nil {
			t.Errorf("TryLock of a free lock: %v, %v", ok, err)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if err := m.Unlock(ended, "one"); err != nil {
			t.Errorf("Unlock after its context has ended: %v", err)
		}
		if err := m.Unlock(t.Context(), "one"); err == nil {
			t.Error("a lock was released twice")
		}
	})
}
