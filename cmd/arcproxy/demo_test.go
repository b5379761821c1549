package main

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// pages is what a demo prints, read while it runs.
type pages struct {
	mu   sync.Mutex // guards text
	text strings.Builder
	more chan struct{}
}

func (p *pages) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Write(b)
	select {
	case p.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

// wait returns what a pattern's groups are, when it was printed.
func (p *pages) wait(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	late := time.After(5 * time.Minute)
	for {
		p.mu.Lock()
		found := re.FindStringSubmatch(p.text.String())
		p.mu.Unlock()
		if found != nil {
			return found
		}
		select {
		case <-p.more:
		case <-late:
			t.Fatalf("%s was not printed", pattern)
		}
	}
}

// TestDemoByMessage: a code that comes to the page that the demo names, typed where
// it says, ends the sign-in that a request waits for, by either engine.
func TestDemoByMessage(t *testing.T) {
	for _, engine := range []string{"classic", "idx"} {
		t.Run(engine, func(t *testing.T) { demoByMessage(t, engine) })
	}
}

// TestDemoStops: Ctrl-C ends a demo that waits for a person, and that is no failure.
func TestDemoStops(t *testing.T) {
	out := &pages{more: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- (&demoCommand{Factor: "sms", Engine: "classic"}).Run(ctx, &program{stdout: out, stderr: out, env: testEnv(nil)})
	}()
	out.wait(t, "a code was sent by text message")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func demoByMessage(t *testing.T, engine string) {
	t.Helper()
	out := &pages{more: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- (&demoCommand{Factor: "sms", Engine: engine}).Run(ctx, &program{stdout: out, stderr: out, env: testEnv(nil)})
	}()
	where := out.wait(t, `The code comes to (\S+)\nType it at (\S+)\n`)
	out.wait(t, "a code was sent by text message")
	read := func(url string, into any) {
		res, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	var inbox struct{ Messages []struct{ Code string } }
	read(where[1]+"/messages", &inbox)
	var state struct {
		Identities []struct{ Challenge struct{ ID string } }
	}
	read(where[2]+"api/v1/state", &state)
	body, _ := json.Marshal(map[string]string{"challenge": state.Identities[0].Challenge.ID, "answer": inbox.Messages[0].Code})
	res, err := http.Post(where[2]+"api/v1/identities/dora/answer", "application/json", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	out.wait(t, `is signed in as dora@example\.com_sandbox`)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}
