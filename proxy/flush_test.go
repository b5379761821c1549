package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestPiecesAreNotHeldBack: whatever has come of a body of unknown length reaches the
// caller before there is more, also where no flush is spent on it.
func TestPiecesAreNotHeldBack(t *testing.T) {
	for _, kind := range []string{"application/octet-stream", "application/json"} { // which is mapped
		next := make(chan struct{})
		length := 0
		s, front := impatient(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			for range 3 {
				_, _ = io.CopyN(w, zeroReader{}, int64(length))
				_ = http.NewResponseController(w).Flush()
				select {
				case <-next:
				case <-time.After(time.Minute):
					t.Error("nothing came before there was more")
				}
			}
		})
		defer front.Client().CloseIdleConnections()
		for _, length = range []int{1, 4 << 10, passesThrough - 1, passesThrough, passesThrough + 1, 5*block + 1, 600 << 10} {
			for proto, client := range map[string]*http.Client{"HTTP/1.1": s.client, "HTTP/2": front.Client()} {
				t.Run(fmt.Sprint(kind, length, proto), func(t *testing.T) {
					base := front.URL
					if proto == "HTTP/1.1" {
						base = s.url
					}
					r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/portal/sharing/rest/portals/self", nil)
					if err != nil {
						t.Fatal(err)
					}
					r.Header.Set("X-Esri-Authorization", "Bearer "+callerKey)
					res, err := client.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					defer res.Body.Close()
					for range 3 {
						if _, err := io.CopyN(io.Discard, res.Body, int64(length)); err != nil {
							t.Fatal(err)
						}
						next <- struct{}{}
					}
					if n, err := io.Copy(io.Discard, res.Body); n != 0 || err != nil {
						t.Errorf("%d bytes were left: %v", n, err)
					}
				})
			}
		}
	}
}

// TestFlushesAreSpared: large pieces need none.
func TestFlushesAreSpared(t *testing.T) {
	for length, want := range map[int]bool{0: true, 1: true, passesThrough - 1: true, passesThrough: false, block: false} {
		w := httptest.NewRecorder()
		a := &answer{ResponseWriter: w}
		if _, err := a.Write(make([]byte, length)); err != nil {
			t.Fatal(err)
		}
		if err := http.NewResponseController(a).Flush(); err != nil || w.Flushed != want {
			t.Errorf("%d bytes: flushed: %t, %v", length, w.Flushed, err)
		}
	}
}
