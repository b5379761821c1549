package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// pause is how long the second half of a paused answer takes to come.
const pause = 10 * time.Millisecond

// newUpstream returns a handler that does as little as it can: bodies are made
// once, and what it costs is not measured.
func newUpstream() http.Handler {
	mux := http.NewServeMux()
	made := &blocks{}
	serve := func(w http.ResponseWriter, r *http.Request) {
		a := parseAnswer(r.URL.Query())
		a.zipped = a.zipped && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip")
		send(w, r, a, made.of(a))
	}
	for _, path := range []string{followed, data, tiles} {
		mux.HandleFunc(path, serve)
	}
	mux.HandleFunc("/portal/large", func(w http.ResponseWriter, r *http.Request) {
		size, _ := strconv.ParseInt(r.URL.Query().Get("size"), 10, 64) // 0 for what is no number
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		_, _ = io.Copy(w, io.LimitReader(zeros{}, size))
	})
	mux.HandleFunc("/portal/upload", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body) // the number says how far it came
		_, _ = fmt.Fprint(w, n)
	})
	return mux
}

// send sends an answer. Errors mean that who asked has left.
func send(w http.ResponseWriter, r *http.Request, a answer, b *block) {
	h := w.Header()
	h.Set("Content-Type", "application/json;charset=utf-8")
	if a.image {
		h.Set("Content-Type", "image/png")
		h.Set("Cache-Control", "max-age=3600")
	}
	body := b.bytes
	if a.zipped {
		h.Set("Content-Encoding", "gzip")
		body = b.zipped
	}
	switch {
	case a.paused:
		half := len(b.bytes) / 2
		begin, rest := b.bytes[:half], b.bytes[half:]
		if a.zipped {
			// Both can be read alone, as is the way of those who compress what they
			// make bit by bit.
			begin, rest = zipHalves(begin, rest)
		}
		_, _ = w.Write(begin)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-time.After(pause):
		case <-r.Context().Done():
		}
		_, _ = w.Write(rest)
	case a.zipped && b.repeat > 1:
		_ = zipTo(w, b)
	default:
		if !a.chunked {
			h.Set("Content-Length", strconv.Itoa(len(body)*b.repeat))
		}
		for range b.repeat {
			_, _ = w.Write(body)
		}
	}
}
