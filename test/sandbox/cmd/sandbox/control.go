package main

import (
	"encoding/json"
	"net"
	"net/http"
	"time"

	"arcproxy/test/sandbox"
)

// startControl serves, on a port of its own, what a test suite in another
// language wants to know of sb: GET /counts says what it was asked to do, GET
// /secrets lists every secret it knows or has issued, to search answers and logs
// for. It returns the address and what ends it.
func startControl(sb *sandbox.Sandbox) (address string, end func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"okta": sb.Okta.Counts(), "portal": sb.Portal.Counts()})
	})
	mux.HandleFunc("GET /secrets", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(sb.Secrets())
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends when end closes it
	}()
	return "http://" + listener.Addr().String(), func() {
		_ = server.Close()
		<-done
	}, nil
}
