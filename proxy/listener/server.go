package listener

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"net/http"
	"time"
)

// The limits on a caller, before and between requests. There is none on the
// time that a whole request or answer takes: downloads and uploads of hours are
// what the proxy is for.
const (
	readHeaderTimeout = 10 * time.Second // also the limit of the TLS handshake
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// Server returns an http.Server for h with these limits, to be served on a
// [Listener]: it speaks HTTP/2 on those TLS connections that negotiate it. Its
// complaints go to logger.
func Server(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(complaints{logger}, "", 0),
	}
}

// complaints gives each line that net/http logs a level. A handshake that fails
// is the caller's affair (most often, it does not trust our authority yet); a
// handler that panics is ours.
type complaints struct{ log *slog.Logger }

func (c complaints) Write(line []byte) (int, error) {
	level := slog.LevelWarn
	switch {
	case bytes.Contains(line, []byte("TLS handshake error")):
		level = slog.LevelInfo
	case bytes.Contains(line, []byte("panic serving")):
		level = slog.LevelError
	}
	c.log.Log(context.Background(), level, string(bytes.TrimSpace(line)))
	return len(line), nil
}
