package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// watching runs a reloader on names, which tells on the channel when it reloads.
func watching(t *testing.T, names ...string) <-chan struct{} {
	t.Helper()
	read := func() files {
		f := files{}
		for _, name := range names {
			f.note(name)
		}
		return f
	}
	reloads := make(chan struct{}, 10)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	r := &reloader{server: &server{config: &config{Files: read()}}, log: log, load: func(context.Context) (*config, error) {
		f := read() // before the test goes on to change something
		reloads <- struct{}{}
		return nil, &faults{Files: f}
	}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.run(ctx, nil) }()
	t.Cleanup(func() { stop(); <-ended })
	return reloads
}

func reloaded(t *testing.T, reloads <-chan struct{}) {
	t.Helper()
	select {
	case <-reloads:
	case <-time.After(time.Minute):
		t.Error("the change was not seen")
	}
}

func TestFilesAreWatched(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, name string){
		"written over": func(t *testing.T, name string) { put(t, name, "2") },
		"renamed over": func(t *testing.T, name string) {
			put(t, name+".new", "2")
			rename(t, name+".new", name)
		},
		"put aside and made again": func(t *testing.T, name string) {
			rename(t, name, name+"~")
			put(t, name, "2")
		},
		"removed": func(t *testing.T, name string) {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			config, secret := filepath.Join(dir, "config.toml"), filepath.Join(dir, "of", "alice")
			if err := os.Mkdir(filepath.Dir(secret), 0o700); err != nil {
				t.Fatal(err)
			}
			put(t, config, "1")
			put(t, secret, "1")
			reloads := watching(t, config, secret)
			change(t, config)
			reloaded(t, reloads)
			change(t, secret)
			reloaded(t, reloads)
			if len(reloads) > 0 {
				t.Error("a change was seen twice")
			}
		})
	}
}

// Kubernetes mounts what is in a ConfigMap or Secret as links into a directory that is
// reached by one more link, which it replaces.
func TestASwappedDirectoryIsSeen(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // symbolic links need a privilege
	}
	dir := t.TempDir()
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	version := func(name, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name, "config.toml"), text)
	}
	version("..1", "1")
	link("..1", "..data")
	link(filepath.Join("..data", "config.toml"), "config.toml")
	reloads := watching(t, filepath.Join(dir, "config.toml"))
	for i, name := range []string{"..2", "..3"} {
		version(name, name)
		link(name, "..next")
		rename(t, filepath.Join(dir, "..next"), filepath.Join(dir, "..data"))
		if err := os.RemoveAll(filepath.Join(dir, []string{"..1", "..2"}[i])); err != nil {
			t.Fatal(err)
		}
		reloaded(t, reloads)
	}
}

// What lies beside the config, such as an audit file, is no reason to read it again,
// nor is a file that was written as it was.
func TestNothingElseIsSeen(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config.toml")
	put(t, config, "1")
	w := newWatcher(files{}, slog.New(slog.DiscardHandler))
	defer w.close()
	f := files{}
	f.note(config)
	w.watch(f)
	put(t, filepath.Join(dir, "audit.jsonl"), "1")
	put(t, config, "1")
	for {
		select {
		case e := <-w.events():
			if before := w.last; filepath.Base(e.Name) == "audit.jsonl" {
				if w.heard(e); w.last != before {
					t.Error("a change beside the file was heeded")
				}
				continue
			}
			w.heard(e)
		case <-w.look.C:
			if w.changed() {
				t.Error("the same contents are a change")
			}
			return
		case <-time.After(time.Minute):
			t.Fatal("nobody looks")
		}
	}
}

// A file that changes on and on is looked at all the same.
func TestChangesWithoutEndAreSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watcher{look: time.NewTimer(lookEvery)} // what tells of changes does not live in a bubble
		defer w.close()
		began := time.Now()
		for {
			w.soon()
			select {
			case <-w.look.C:
				if took := time.Since(began); took != patient {
					t.Errorf("it is looked at after %v", took)
				}
				return
			case <-time.After(quiet * 3 / 4):
			}
			if time.Since(began) > patient {
				t.Fatal("it is put off")
			}
		}
	})
}

func TestEntries(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // symbolic links need a privilege
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, target := range map[string]string{"loop": "loop", "a": "b/c", "out": at("b"), "up": "../" + filepath.Base(dir) + "/b"} {
		if err := os.Symlink(target, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string][]string{
		"x":     {"x"},
		"a":     {"a", "b/c"},
		"out/c": {"out", "b/c"},
		"up/c":  {"up", "b/c"},
	} {
		for i := range want {
			want[i] = at(want[i])
		}
		if got := entries(at(name)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if got := entries(at("loop")); len(got) != maxLinks {
		t.Errorf("a loop: %d entries", len(got))
	}
}

// A change while the files are read is one that was not read.
func TestAChangeWhileReadingIsSeen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "config.toml")
	put(t, name, "1")
	_, err := loadConfig(t.Context(), name, testEnv(nil))
	f, ok := errors.AsType[*faults](err)
	if !ok || f.Files.changed() {
		t.Fatal(err)
	}
	put(t, name, "2")
	if !f.Files.changed() {
		t.Error("the change is not seen")
	}
}
