package attack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"arcproxy/test/sandbox"
)

const (
	// exchanges is how many requests the two callers make together, at least.
	exchanges = 10_000
	// renewals is how often tokens are to be renewed meanwhile, at least.
	renewals = 4
)

// TestTwoIdentities lets two callers with two identities send their requests at
// the same time, by HTTP/1.1 and HTTP/2, with keys in every place, to the Portal
// and to an upstream, while tokens run out every other second. No answer may be
// another's, no request may carry another's token, and no request may fail.
func TestTwoIdentities(t *testing.T) {
	sb := startSandbox(t)
	tr := newTrap(t)
	up := newRecorder(t, tr.address)
	// Seconds, where half an hour is usual, so that they run out under the requests.
	sb.Portal.SetTokenLifetime(2 * time.Second)
	config := settings{
		portal: sb.PortalURL.String(), okta: sb.OktaURL.String(), servers: []string{up.server.URL + "/" + mount},
		callers: callers, log: "json", level: "info",
	}.write(t, sb)
	d, _ := serve(t, config)

	type sender struct {
		key, identity string
		client        *http.Client
		base          string
	}
	var senders []sender
	for _, protocols := range []string{"h1", "h2", "plain"} {
		for key, identity := range map[string]string{keyOne: "alice", keyTwo: "carol"} {
			tr := &http.Transport{TLSClientConfig: insecure(), MaxIdleConnsPerHost: 16, ForceAttemptHTTP2: protocols == "h2"}
			t.Cleanup(tr.CloseIdleConnections)
			base := "https://" + d.secure
			if protocols == "plain" {
				base = "http://" + d.address
			}
			senders = append(senders, sender{key, identity, &http.Client{Transport: tr, Timeout: time.Minute}, base})
		}
	}

	users := map[string]sandbox.User{"alice": sb.User("alice"), "carol": sb.User("carol")}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var next, byHTTP2 atomic.Int64
	var enough atomic.Bool
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > exchanges && i%100 == 0 && sb.Portal.Counts().Refreshes >= renewals {
					enough.Store(true)
				}
				if ctx.Err() != nil || enough.Load() {
					return
				}
				s := senders[rand.IntN(len(senders))]
				proto, err := swap(ctx, s.client, s.base, s.key, s.identity, users, i)
				if err != nil {
					t.Errorf("request %d, of %s: %v", i, s.identity, err)
					cancel()
					return
				}
				if proto == 2 {
					byHTTP2.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if next.Load() < exchanges || byHTTP2.Load() < exchanges/5 {
		t.Errorf("%d requests, %d of them by HTTP/2", next.Load(), byHTTP2.Load())
	}

	// What the upstream saw: whose each request is, its target says.
	owner := map[string]string{} // by token
	for _, r := range up.take() {
		token, who := r.header.Get("X-Esri-Authorization"), "carol"
		if strings.Contains(r.target, "who=alice") {
			who = "alice"
		}
		if other := owner[token]; other != "" && other != who || token == "" {
			t.Fatalf("%s's request carries %s's token: %s", who, other, r.String())
		}
		owner[token] = who
	}
	c := sb.Portal.Counts()
	t.Logf("%d requests; %d tokens reached the upstream; %d sign-ins, %d renewals, %d refusals", next.Load(), len(owner), c.SignIns, c.Refreshes, c.Refusals498)
	if len(owner) < renewals || c.SignIns != 2 || c.Refreshes < renewals {
		t.Errorf("want several tokens of two sign-ins")
	}
}

// swap sends the i-th request as one caller and checks that the answer is its own.
func swap(ctx context.Context, client *http.Client, base, key, identity string, users map[string]sandbox.User, i int64) (proto int, err error) {
	self := i%2 == 0
	target := fmt.Sprintf("%s/gis/x?who=%s&n=%d", base, identity, i)
	if self {
		target = fmt.Sprintf("%s/portal/sharing/rest/community/self?f=json&who=%s&n=%d", base, identity, i)
	}
	method, body := http.MethodGet, io.Reader(nil)
	place := i / 2 % 4
	switch place {
	case 1:
		target += "&token=" + key
	case 2:
		method, body = http.MethodPost, strings.NewReader("f=json&token="+key)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return 0, err
	}
	switch place {
	case 0:
		req.Header.Set("X-Esri-Authorization", "Bearer "+key)
	case 2:
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	case 3:
		req.SetBasicAuth(identity, key)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	var answer struct{ Username, Target string }
	if err := json.Unmarshal(text, &answer); err != nil || res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %.300s", res.Status, text)
	}
	if self && answer.Username != users[identity].GISUsername {
		return 0, fmt.Errorf("the answer is %s's", answer.Username)
	}
	if own := fmt.Sprintf("who=%s&n=%d", identity, i); !self && !strings.Contains(answer.Target+"&", own+"&") {
		return 0, fmt.Errorf("the answer is that of %s", answer.Target)
	}
	for name, u := range users {
		if name != identity && strings.Contains(string(text), u.Email) {
			return 0, fmt.Errorf("%s is in the answer: %s", name, text)
		}
	}
	return res.ProtoMajor, nil
}
