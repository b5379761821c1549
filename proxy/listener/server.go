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
	var more []any
	switch {
	case bytes.Contains(line, []byte("TLS handshake error")):
		level = slog.LevelInfo
		if distrusts(line) {
			more = []any{"remedy", "if that client does not trust this proxy's certificate, give it the root: with tls.mode = \"local\", what `arcproxy trust` prints"}
		}
	case bytes.Contains(line, []byte("panic serving")):
		level = slog.LevelError
	}
	c.log.Log(context.Background(), level, string(bytes.TrimSpace(line)), more...)
	return len(line), nil
}

// distrusts reports whether a failed handshake looks like that of a client which does
// not trust our certificate. By TLS 1.3 some clients say so before they have changed
// keys, and then it cannot be read.
func distrusts(line []byte) bool {
	for _, why := range []string{"unknown certificate", "bad certificate", "bad record MAC"} {
		if bytes.Contains(line, []byte("tls: "+why)) {
			return true
		}
	}
	return false
}
