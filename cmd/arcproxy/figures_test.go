package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"arcproxy/auth"
	"arcproxy/cache"
	"arcproxy/proxy"
	"arcproxy/proxy/console"
	"arcproxy/test/sandbox"
)

// own asks for a path below /_arcproxy/ with a key.
func (r *rig) own(t *testing.T, method, path, key, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.base+"/_arcproxy/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// adminRig is the program before a sandbox, whose caller "script" is an operator.
func adminRig(t *testing.T, factor string) *rig {
	t.Helper()
	sb := startSandbox(t)
	cfg := (&demoCommand{Factor: factor}).config(sb, testKey)
	cfg.Callers[0].Rules.Admin = true
	return startRig(t, cfg, sb)
}

func TestMetrics(t *testing.T) {
	r := adminRig(t, "totp")
	r.get(t, selfPath)
	r.get(t, selfPath)
	_, _ = r.try("/nowhere/at/all")
	r.sb.Portal.RevokeAccessTokens()
	r.get(t, selfPath)
	status, text := r.own(t, "GET", "metrics", testKey, "")
	if status != http.StatusOK {
		t.Fatalf("HTTP %d: %s", status, text)
	}
	for _, line := range []string{
		`arcproxy_requests_total{caller="script",class="2xx",identity="alice"} 3`,
		`arcproxy_requests_total{caller="(unknown)",class="4xx",identity=""} 1`,
		`arcproxy_request_seconds_count{caller="script"} 3`,
		`arcproxy_replays_total{caller="script"} 1`,
		`arcproxy_sign_ins_total{identity="alice",result="ok",step=""} 1`,
		`arcproxy_renewals_total{by="renewal",identity="alice",result="ok"} 1`,
		`arcproxy_tokens_total{how="hit",identity="alice"} 2`,
		`arcproxy_tokens_total{how="waited",identity="alice"} 2`,
		`arcproxy_signed_in{identity="alice"} 1`,
		`arcproxy_waiting_callers{identity="alice"} 0`,
		`arcproxy_connections `,
		`go_goroutines `,
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("the figures lack %s", line)
		}
	}
	if strings.Contains(text, `arcproxy_token_remaining_seconds{identity="alice"} 0`) {
		t.Error("a token that works has no time left")
	}
	if status, _ := r.own(t, "GET", "metrics", "wrong-key-wrong-key-wrong", ""); status != http.StatusUnauthorized {
		t.Errorf("with a wrong key: HTTP %d", status)
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestFiguresFollowTheConfig(t *testing.T) {
	f := newFigures(&console.Journal{})
	sb := sandbox.New(sandbox.Config{})
	defer sb.Close()
	c := (&demoCommand{Factor: "totp"}).config(sb, testKey)
	for _, name := range []string{"script", "gone"} {
		f.Caller(name, "alice").Request(200, time.Second, true)
	}
	f.Caller("script", "former").Request(200, time.Second, false)
	f.Caller(proxy.UnknownCaller, "").Request(404, time.Second, false)
	for _, identity := range []string{"alice", "former"} {
		f.Token(identity, cache.Hit)
		f.SignIn(identity, &auth.Error{Kind: auth.RateLimited, Step: "Okta: password"})
		f.Push(identity)
		f.Sent(identity, auth.FactorSMS)
		f.Renewal(identity, true, nil)
	}
	scrape := func() (all string) {
		families, err := f.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			all += family.String() + "\n"
		}
		return all
	}
	for _, name := range []string{"gone", "former"} {
		if !strings.Contains(scrape(), `"`+name+`"`) {
			t.Errorf("%s is not counted", name)
		}
	}
	f.keep(c)
	after := scrape()
	for _, name := range []string{"gone", "former"} {
		if strings.Contains(after, `"`+name+`"`) {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range []string{"script", "alice", "(unknown)", "rate limited"} {
		if !strings.Contains(after, `"`+name+`"`) {
			t.Errorf("%s is gone", name)
		}
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	journal := &console.Journal{}
	f := newFigures(journal)
	counter := f.Caller("script", "alice")
	f.Token("alice", cache.Hit)
	path := strings.Repeat("/portal", 100)
	if n := testing.AllocsPerRun(100, func() {
		counter.Request(200, time.Millisecond, true)
		f.Token("alice", cache.Hit)
		journal.Note(console.Request{Time: time.Now(), Caller: "script", Method: "GET", Path: path, Status: 200, Took: time.Second})
	}); n > 0 {
		t.Errorf("counting a request allocates %v times", n)
	}
}

// BenchmarkCounting is what the figures and the journal add to a request.
func BenchmarkCounting(b *testing.B) {
	journal := &console.Journal{}
	f := newFigures(journal)
	counter := f.Caller("script", "alice")
	for b.Loop() {
		counter.Request(200, time.Millisecond, false)
		f.Token("alice", cache.Hit)
		journal.Note(console.Request{Time: time.Now(), Caller: "script", Method: "GET", Path: "/portal/sharing/rest/portals/self", Status: 200, Took: time.Millisecond})
	}
}

func TestReadiness(t *testing.T) {
	r := adminRig(t, "none")
	r.get(t, selfPath)
	ready := func(key string, status int, parts ...string) {
		t.Helper()
		got, text := r.own(t, "GET", "readyz", key, "")
		if got != status {
			t.Errorf("readyz answers HTTP %d: %s", got, text)
		}
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("readyz lacks %q: %s", part, text)
			}
		}
	}
	ready(testKey, 200, `"status":"ready"`, `"trouble":[]`, `"state":"signed in"`)

	// The token works, and its renewal does not: ready, and said to operators.
	down := &auth.Error{Kind: auth.Unreachable, Step: "Okta: password", Until: time.Now().Add(time.Minute)}
	held := &standIn{ids: []console.Identity{{Name: "alice", State: console.SignedIn, Until: time.Now().Add(time.Hour), Failure: console.NewFailure(down, time.Now())}}}
	c := console.New(console.Config{Control: held})
	defer c.Close()
	if s := c.Snapshot(); !s.Ready || len(s.Trouble) != 1 || !strings.Contains(s.Trouble[0].Text, "unreachable") || !strings.Contains(s.Trouble[0].Text, "works until") {
		t.Errorf("Okta is down while the token works: %+v", s)
	}
	held.ids[0].State, held.ids[0].Until = console.Failed, time.Time{}
	if c.Snapshot().Ready {
		t.Error("it is ready though nobody can be served")
	}
	held.ids = append(held.ids, console.Identity{Name: "bob", State: console.SignedOut})
	if !c.Snapshot().Ready {
		t.Error("it is not ready though others may be served")
	}
	held.ids = held.ids[:1]
	held.ids[0].Failure = console.NewFailure(&auth.Error{Kind: auth.CredentialRefused}, time.Now())
	if !c.Snapshot().Ready {
		t.Error("a refused password takes it away from who has to hear of it")
	}

	r.console.Drain()
	ready(testKey, 503, `"status":"not ready"`, "ending")
	ready("wrong-key-wrong-key-wrong", 503)
	if status, _ := r.own(t, "GET", "healthz", "", ""); status != 200 {
		t.Errorf("healthz while draining: %d", status)
	}
	r.get(t, selfPath) // it serves all the same
}

// standIn is a console.Control that only stands.
type standIn struct {
	ids     []console.Identity
	changes console.Changes
}

func (s *standIn) Identities() []console.Identity           { return s.ids }
func (s *standIn) Answer(string, string, auth.Secret) error { return console.ErrNoChallenge }
func (s *standIn) SignIn(context.Context, string, auth.Secret, func(auth.Event)) error {
	return nil
}
func (s *standIn) SignOut(context.Context, string) error { return nil }
func (s *standIn) Changed() <-chan struct{}              { return s.changes.Next() }

// TestConsoleCanary looks for every secret in all that the console says.
func TestConsoleCanary(t *testing.T) {
	var said strings.Builder
	var secrets []string
	for _, factor := range []string{"totp", "push"} {
		r := adminRig(t, factor)
		user := r.sb.User("alice")
		r.sb.Okta.Phone(user.Login).ApproveAfter(0)
		r.get(t, selfPath)
		_, _ = r.try(selfPath + "&token=wrong-token-wrong-token")
		for _, call := range []struct{ method, path, body string }{
			{"POST", "api/v1/identities/alice/answer", `{"challenge":"x","answer":"canary-answer-1234"}`},
			{"POST", "api/v1/identities/alice/answer", `{"challenge":"x","answer":"canary-answer-1234"`},
			{"POST", "api/v1/identities/alice/sign-in", `{"password":"canary-password-1234"}`},
			{"POST", "api/v1/identities/alice/sign-in", `{"password":["canary-password-1234"]}`},
			{"GET", "readyz", ""}, {"GET", "metrics", ""}, {"GET", "api/v1/state", ""}, {"GET", "", ""},
			{"POST", "api/v1/identities/alice/sign-out", ""},
			{"GET", "api/v1/state", ""},
		} {
			_, text := r.own(t, call.method, call.path, testKey, call.body)
			said.WriteString(text)
			if call.path == "api/v1/state" && !json.Valid([]byte(text)) {
				t.Errorf("the state is no JSON: %.200s", text)
			}
		}
		said.WriteString(r.logs.String())
		secrets = append(secrets, r.sb.Secrets()...)
	}
	text := said.String()
	for _, s := range append(secrets, testKey, "canary-answer-1234", "canary-password-1234", "wrong-token-wrong-token") {
		if len(s) >= 8 && strings.Contains(text, s) {
			t.Errorf("a secret of %d characters came out: …%.80q", len(s), text[max(0, strings.Index(text, s)-60):])
		}
	}
}

// TestReloadChangesWhatIsCounted: and who is told questions.
func TestReloadChangesWhatIsCounted(t *testing.T) {
	r := adminRig(t, "none")
	r.get(t, selfPath)
	next := *r.config
	next.Callers = slices.Clone(next.Callers[:1])
	next.Callers[0].Name = "other"
	next.Notify, next.Drain = "true", time.Second
	reloading := &reloader{server: r.server, level: &slog.LevelVar{}, log: slog.New(slog.DiscardHandler)}
	if err := reloading.apply(t.Context(), &next); err != nil {
		t.Fatal(err)
	}
	r.get(t, selfPath)
	_, text := r.own(t, "GET", "metrics", testKey, "")
	if strings.Contains(text, `caller="script"`) || strings.Contains(text, `caller="this machine"`) {
		t.Error("callers that are gone are still counted")
	}
	if !strings.Contains(text, `arcproxy_requests_total{caller="other",class="2xx",identity="carol"} 1`) {
		t.Error("the new caller is not counted")
	}
	if notice := r.notifier.command.Load(); notice == nil || notice.command != "true" || r.drain.Load() != int64(time.Second) {
		t.Errorf("the command is %+v, the delay %d", notice, r.drain.Load())
	}
}
