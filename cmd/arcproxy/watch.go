package main

import (
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quiet is how long nothing may change before files are looked at: some programs
	// save in several steps. Whoever goes on and on is not waited for longer than patient.
	quiet   = 500 * time.Millisecond
	patient = 5 * time.Second
	// lookEvery is how often files are looked at where nobody tells of changes, as on
	// network file systems.
	lookEvery = 30 * time.Second
)

// watcher tells when files have changed. It is for one goroutine.
type watcher struct {
	notify *fsnotify.Watcher // nil: the system has none left
	files  files
	// by is what decides on the contents of files, see entries.
	by   map[string]bool
	look *time.Timer // when they are looked at next
	last time.Time   // until when that is put off at most; zero: it is not
}

// newWatcher watches files, as they were when they were noted.
func newWatcher(f files, log *slog.Logger) *watcher {
	w := &watcher{look: time.NewTimer(lookEvery)}
	var err error
	if w.notify, err = fsnotify.NewWatcher(); err != nil {
		log.Warn("the system does not tell when files change; they are looked at from time to time", "error", err, "every", lookEvery)
	}
	w.watch(f)
	return w
}

// watch goes on with other files. They are looked at soon: they may have changed
// between being read and being watched.
func (w *watcher) watch(f files) {
	w.files = f
	w.follow()
	w.last = time.Time{}
	w.look.Reset(quiet)
}

// follow watches the directories that matter now.
func (w *watcher) follow() {
	w.by = map[string]bool{}
	dirs := map[string]bool{}
	for name := range w.files {
		for _, entry := range entries(name) {
			w.by[entry] = true
			dirs[filepath.Dir(entry)] = true
		}
	}
	if w.notify == nil {
		return
	}
	for _, dir := range w.notify.WatchList() {
		if !dirs[dir] {
			_ = w.notify.Remove(dir) // it may be gone
		}
	}
	for dir := range dirs {
		// What can't be watched is looked at from time to time. To add it anew is of
		// use where it was removed and made again.
		_ = w.notify.Add(dir)
	}
}

// events tells of files in the directories that are watched.
func (w *watcher) events() <-chan fsnotify.Event {
	if w.notify == nil {
		return nil
	}
	return w.notify.Events
}

// errors tells that events were lost, or that watching fails.
func (w *watcher) errors() <-chan error {
	if w.notify == nil {
		return nil
	}
	return w.notify.Errors
}

// heard takes note of an event.
func (w *watcher) heard(e fsnotify.Event) {
	if w.by[e.Name] {
		w.soon()
	}
}

// soon has the files looked at when nothing has changed for a while.
func (w *watcher) soon() {
	now := time.Now()
	if w.last.IsZero() {
		w.last = now.Add(patient)
	}
	w.look.Reset(max(0, min(quiet, w.last.Sub(now))))
}

// changed looks at the files, and reports whether they have changed.
func (w *watcher) changed() bool {
	w.last = time.Time{}
	w.look.Reset(lookEvery)
	w.follow() // links may lead elsewhere
	return w.files.changed()
}

func (w *watcher) close() {
	w.look.Stop()
	if w.notify != nil {
		_ = w.notify.Close()
	}
}
