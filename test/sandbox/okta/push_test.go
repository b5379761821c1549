package okta

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// challenge signs alice in as far as the first answer to a push.
func challenge(b *browser) (r result, again func() result) {
	b.t.Helper()
	r = b.primary("alice@example.com", "correct horse").state(b.t, mfaRequired)
	token := map[string]any{"stateToken": r.str("stateToken")}
	target := r.verifyURL("push")
	r = b.post(target, token).state(b.t, mfaChallenge)
	return r, func() result { b.t.Helper(); return b.post(target, token) }
}

// waits fails unless r is a push with a result and the name of the next step.
func (r result) waits(t *testing.T, factorResult, next string) {
	t.Helper()
	r.state(t, mfaChallenge)
	if r.str("factorResult") != factorResult || r.str("_links", "next", "name") != next {
		t.Fatalf("got %s next %s, want %s next %s", r.str("factorResult"), r.str("_links", "next", "name"), factorResult, next)
	}
}

func Test09PollsSendNothingButRepostsDo(t *testing.T) {
	o := org(t, nil)
	r, again := challenge(newBrowser(t, o))
	r.waits(t, "WAITING", "poll")
	for range 5 {
		again().waits(t, "WAITING", "poll")
	}
	if n := o.Counts().Pushes; n != 1 {
		t.Fatalf("%d pushes after polling", n)
	}
	o.Phone("alice@example.com").Reject()
	again().waits(t, "REJECTED", "verify")
	again().waits(t, "WAITING", "poll") // which is another push
	if n := o.Counts().Pushes; n != 2 {
		t.Fatalf("%d pushes after posting to a rejected one", n)
	}
}

func Test10EveryEndOfAPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, func(s *Settings) { s.MaxMFAFailures = 100 })
		phone := o.Phone("ALICE@example.com")
		b := newBrowser(t, o)

		_, again := challenge(b)
		phone.Approve()
		if again().state(t, success).str("sessionToken") == "" {
			t.Error("no session token")
		}

		phone.ApproveAfter(20 * time.Second)
		_, again = challenge(b)
		again().waits(t, "WAITING", "poll")
		time.Sleep(21 * time.Second)
		again().state(t, success)

		phone.Ignore()
		_, again = challenge(b)
		time.Sleep(4 * time.Minute)
		again().waits(t, "WAITING", "poll")
		time.Sleep(time.Minute)
		again().waits(t, "TIMEOUT", "verify")
		if len(phone.Pending()) != 0 {
			t.Error("a push that timed out is still on the phone")
		}

		phone.Fail()
		_, again = challenge(b)
		again().waits(t, "ERROR", "verify")
		phone.Cancel()
		again().waits(t, "WAITING", "poll")
		again().waits(t, "CANCELLED", "verify")

		phone.Ignore()
		r, _ := challenge(b)
		if len(phone.Pending()) != 1 {
			t.Fatal("no push on the phone")
		}
		b.post(r.str("_links", "cancel", "href"), map[string]any{"stateToken": r.str("stateToken")})
		if len(phone.Pending()) != 0 {
			t.Error("a cancelled push is still on the phone")
		}
	})
}

func TestRejectionsLock(t *testing.T) {
	o := org(t, nil)
	_, again := challenge(newBrowser(t, o))
	o.Phone("alice@example.com").Reject()
	for range 4 {
		again().waits(t, "REJECTED", "verify")
		again().waits(t, "WAITING", "poll")
	}
	again().waits(t, "REJECTED", "verify")
	again().locked(t)
	if !o.Locked("alice@example.com") {
		t.Error("five rejections did not lock")
	}
}

func Test11NumberChallenge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, func(s *Settings) {
			s.NumberChallenge, s.Number, s.NumberAfter, s.NumberAfterPolls = true, new(0), 3*time.Second, 2
		})
		phone := o.Phone("alice@example.com")
		phone.Approve()
		r, again := challenge(newBrowser(t, o))
		number := func(r result) any {
			return r.at("_embedded", "factor", "_embedded", "challenge", "correctAnswer")
		}
		if number(r) != nil || number(again()) != nil {
			t.Error("the number is there too early")
		}
		if number(again()) != nil {
			t.Error("the number is there before its time")
		}
		time.Sleep(3 * time.Second)
		r = again()
		r.waits(t, "WAITING", "poll") // the phone approves at once, but the number must be seen first
		if n, ok := number(r).(float64); !ok || n != 0 || !strings.Contains(r.body, `"correctAnswer":0`) {
			t.Errorf("number %v in %s", number(r), r.body)
		}
		again().state(t, success)

		phone.Ignore()
		_, again = challenge(newBrowser(t, o))
		p := phone.Pending()[0]
		if len(p.Choices) != 3 {
			t.Fatalf("choices %v", p.Choices)
		}
		wrong := p.Choices[2]
		if err := phone.Answer(p.ID, true, &wrong); err != nil {
			t.Fatal(err)
		}
		again().waits(t, "REJECTED", "verify")
		if phone.Answer(p.ID, true, nil) == nil {
			t.Error("an answered push was answered again")
		}
	})
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, nil)
		phone := o.Phone("alice@example.com")
		got := make(chan string)
		go func() {
			p, err := phone.Wait(t.Context())
			got <- fmt.Sprint(p.Login, err)
		}()
		synctest.Wait()
		challenge(newBrowser(t, o))
		if s := <-got; s != "alice@example.com<nil>" {
			t.Error(s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := phone.Wait(ctx); err == nil {
			t.Error("a push came from nowhere")
		}
	})
}

func TestPhonePage(t *testing.T) {
	o := org(t, func(s *Settings) { s.NumberChallenge, s.Number = true, new(42) })
	if err := o.Alter("alice@example.com", func(u *User) { u.FirstName = `<b>Al` }); err != nil {
		t.Fatal(err)
	}
	_, again := challenge(newBrowser(t, o))
	person := newBrowser(t, o)
	page := person.get("/sandbox/phone")
	for _, want := range []string{"This is a simulator", `http-equiv="refresh"`, `value="42"`, "&lt;b&gt;Al", "prefers-color-scheme"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page.body, "<script") || strings.Contains(page.body, "<b>Al") || page.header.Get("Set-Cookie") != "" {
		t.Errorf("the page has what it should not: %s", page.body)
	}
	id := o.Phone("alice@example.com").Pending()[0].ID
	req, _ := http.NewRequest("POST", baseURL+"/sandbox/phone/approve", strings.NewReader(url.Values{"id": {id}, "number": {"42"}}.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "text/html,*/*")
	res, err := person.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusSeeOther || !strings.Contains(person.get(res.Header.Get("Location")).body, "Approved.") {
		t.Errorf("after the button: %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	again().state(t, success)
}

func TestPhoneForScripts(t *testing.T) {
	o := org(t, nil)
	script := newBrowser(t, o)
	if r := script.post("/sandbox/phone/approve", map[string]any{"login": "alice@example.com"}); r.status != 404 || r.str("result") != "gone" {
		t.Errorf("nothing to approve: %d %s", r.status, r.body)
	}
	_, again := challenge(newBrowser(t, o))
	var list struct{ Pushes []Push }
	if err := json.Unmarshal([]byte(script.get("/sandbox/phone/pushes").body), &list); err != nil || len(list.Pushes) != 1 {
		t.Fatalf("list: %v %v", list, err)
	}
	if r := script.post("/sandbox/phone/deny", nil); r.str("result") != "denied" {
		t.Errorf("deny: %s", r.body)
	}
	again().waits(t, "REJECTED", "verify")
	again()
	challenge(newBrowser(t, o))
	if r := script.do("POST", "/sandbox/phone/approve", "", ""); r.status != http.StatusConflict {
		t.Errorf("two wait, none named: %d", r.status)
	}
	for _, p := range o.Phone("alice@example.com").Pending() {
		if r := script.postForm("/sandbox/phone/approve", url.Values{"id": {p.ID}}); r.str("result") != "approved" {
			t.Errorf("approve: %s", r.body)
		}
	}
	again().state(t, success)
}
