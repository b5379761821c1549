package cache_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"arcproxy/auth"
	"arcproxy/cache"
)

// asking is what a SignIn does that asks for a code until it is "right".
func asking(s *source) func(context.Context, string, auth.Watch) (auth.Grant, error) {
	return func(ctx context.Context, identity string, w auth.Watch) (auth.Grant, error) {
		switch {
		case w.CanAsk():
		case w.PushPaused != nil:
			return auth.Grant{}, w.PushPaused
		default:
			return auth.Grant{}, &auth.Error{Kind: auth.NobodyWaiting, Step: "code"}
		}
		for again := false; ; again = true {
			end, _ := ctx.Deadline()
			c := auth.Challenge{Kind: auth.FactorTOTP, Code: true, Device: "her phone", Deadline: end, Again: again}
			answer, err := w.Answer(ctx, "code", auth.Event{Text: "a code is asked for", Challenge: &c})
			if err != nil {
				return auth.Grant{}, err
			}
			w.Say(auth.Event{Text: "sending a code"})
			if answer.Reveal() == "right" {
				return s.grant(identity), nil
			}
		}
	}
}

func answers(c *cache.Config) { c.Answers = true }

// pending returns the question that is pending for alice, and fails the test
// unless there is one.
func pending(t *testing.T, c *cache.Cache) cache.Question {
	t.Helper()
	synctest.Wait()
	q := c.Status()[0].Question
	if q == nil {
		t.Fatalf("nothing is asked: %+v", c.Status()[0])
	}
	return *q
}

func TestQuestions(t *testing.T) {
	bubble(t, "whoever answers is taken, and a refused code is another question", func(t *testing.T) {
		s := &source{}
		s.signIn = asking(s)
		c := newCache(t, s, answers)
		got := make(chan error, 1)
		go func() {
			_, err := c.Token(context.Background(), "alice")
			got <- err
		}()
		first := pending(t, c)
		if first.Identity != "alice" || first.Device != "her phone" || !first.Code || first.Again || time.Until(first.Deadline) < 4*time.Minute {
			t.Errorf("the question is %+v", first)
		}
		for _, wrong := range []struct {
			identity, id, answer string
			err                  error
		}{
			{"bob", first.ID, "right", cache.ErrNoQuestion},
			{"alice", "other", "right", cache.ErrOver},
			{"alice", "", "right", cache.ErrOver},
			{"alice", first.ID, "", cache.ErrEmpty},
			{"alice", first.ID, "wrong", nil},
		} {
			if err := c.Answer(wrong.identity, wrong.id, auth.NewSecret(wrong.answer)); !errors.Is(err, wrong.err) {
				t.Errorf("answer %+v: %v", wrong, err)
			}
		}
		second := pending(t, c)
		if second.ID == first.ID || !second.Again {
			t.Errorf("after a refused code the question is %+v", second)
		}
		if err := c.Answer("alice", first.ID, auth.NewSecret("right")); !errors.Is(err, cache.ErrOver) {
			t.Errorf("an answer to the former question: %v", err)
		}
		if err := c.Answer("alice", second.ID, auth.NewSecret("right")); err != nil {
			t.Error(err)
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
		if err := c.Answer("alice", second.ID, auth.NewSecret("right")); !errors.Is(err, cache.ErrNoQuestion) {
			t.Errorf("an answer after the end: %v", err)
		}
		want(t, s, counts{signIns: 1})
	})
	bubble(t, "of two answers the first counts", func(t *testing.T) {
		s := &source{}
		block := make(chan struct{})
		s.signIn = func(ctx context.Context, identity string, w auth.Watch) (auth.Grant, error) {
			c := auth.Challenge{Code: true}
			w.Say(auth.Event{Challenge: &c})
			<-block // the question is told, and its answer not read yet
			answer, err := w.Ask(ctx, c)
			if answer.Reveal() != "first" {
				return auth.Grant{}, errors.New("another answer")
			}
			return s.grant(identity), err
		}
		c := newCache(t, s, answers)
		go func() { _, _ = c.Token(context.Background(), "alice") }()
		q := pending(t, c)
		if err := c.Answer("alice", q.ID, auth.NewSecret("first")); err != nil {
			t.Error(err)
		}
		if err := c.Answer("alice", q.ID, auth.NewSecret("second")); !errors.Is(err, cache.ErrAnswered) {
			t.Errorf("the second answer: %v", err)
		}
		close(block)
		ask(t, c)
		want(t, s, counts{signIns: 1})
	})
	bubble(t, "callers who wait hear of it, and the question outlives them", func(t *testing.T) {
		s := &source{}
		s.signIn = asking(s)
		c := newCache(t, s, answers)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		g, err := c.Token(ctx, "alice")
		e := wantKind(t, g, err, auth.Waiting)
		if e.Event.Challenge == nil || !e.Event.Challenge.Code {
			t.Errorf("a caller is told %+v", e.Event)
		}
		time.Sleep(3 * time.Minute) // longer than a sign-in without a person may take
		q := pending(t, c)
		if err := c.Answer("alice", q.ID, auth.NewSecret("right")); err != nil {
			t.Error(err)
		}
		ask(t, c)
		want(t, s, counts{signIns: 1})
	})
	bubble(t, "a question that nobody answers ends, and is not asked for each request", func(t *testing.T) {
		s := &source{}
		s.signIn = asking(s)
		c := newCache(t, s, answers)
		refused(t, c, auth.ChallengeExpired)
		time.Sleep(time.Minute)
		refused(t, c, auth.ChallengeExpired)
		if c.Status()[0].Question != nil {
			t.Error("it is still pending")
		}
		time.Sleep(2 * time.Minute)
		go func() { _, _ = c.Token(context.Background(), "alice") }()
		pending(t, c)
	})
	bubble(t, "nobody is asked for a renewal that nobody waits for", func(t *testing.T) {
		s := &source{plain: true}
		c := newCache(t, s, answers)
		ask(t, c)
		s.signIn = asking(s)
		time.Sleep(26 * time.Minute) // of 30
		ask(t, c)
		synctest.Wait()
		if st := c.Status()[0]; st.Question != nil {
			t.Errorf("asked: %+v", st.Question)
		}
	})
	bubble(t, "without anybody to ask there is no question", func(t *testing.T) {
		s := &source{}
		s.signIn = asking(s)
		c := newCache(t, s)
		refused(t, c, auth.NobodyWaiting)
	})
}

func TestQuestionsArePassedOn(t *testing.T) {
	var asked []cache.Question
	bubble(t, "the answer of who is told counts", func(t *testing.T) {
		s := &source{}
		s.signIn = asking(s)
		c := newCache(t, s, answers, func(c *cache.Config) {
			c.Ask = func(_ context.Context, q cache.Question) (auth.Secret, error) {
				asked = append(asked, q)
				time.Sleep(time.Second)
				return auth.NewSecret("right"), nil
			}
		})
		ask(t, c)
		if len(asked) != 1 || asked[0].ID == "" || asked[0].Identity != "alice" {
			t.Errorf("asked %+v", asked)
		}
	})
	bubble(t, "who is told may be slower than another, and hears that", func(t *testing.T) {
		s := &source{}
		s.signIn = asking(s)
		over := false
		c := newCache(t, s, answers, func(c *cache.Config) {
			c.Ask = func(ctx context.Context, _ cache.Question) (auth.Secret, error) {
				<-ctx.Done()
				over = true
				return auth.NewSecret("late"), nil
			}
		})
		go func() { _, _ = c.Token(context.Background(), "alice") }()
		if err := c.Answer("alice", pending(t, c).ID, auth.NewSecret("right")); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if !over {
			t.Error("it does not hear that the question is over")
		}
		ask(t, c)
	})
	bubble(t, "a failure of who is told is the end only if nobody else may answer", func(t *testing.T) {
		s := &source{}
		s.signIn = asking(s)
		broken := func(c *cache.Config) {
			c.Ask = func(context.Context, cache.Question) (auth.Secret, error) {
				return auth.Secret{}, errors.New("no mail today")
			}
		}
		c := newCache(t, s, broken)
		refused(t, c, auth.MissingCredential)
		log, said := logged()
		other := newCache(t, s, broken, answers, func(c *cache.Config) { c.Log = log })
		go func() { _, _ = other.Token(context.Background(), "alice") }()
		if err := other.Answer("alice", pending(t, other).ID, auth.NewSecret("right")); err != nil {
			t.Error(err)
		}
		ask(t, other)
		if !strings.Contains(said(), "no mail today") {
			t.Errorf("the log has %q", said())
		}
	})
	bubble(t, "a push is told, with its number when that is known, and not answered", func(t *testing.T) {
		s := &source{}
		approved := make(chan struct{})
		s.signIn = func(ctx context.Context, identity string, w auth.Watch) (auth.Grant, error) {
			w.Say(auth.Event{Challenge: &auth.Challenge{Kind: auth.FactorPush}})
			time.Sleep(time.Second)
			w.Say(auth.Event{Challenge: &auth.Challenge{Kind: auth.FactorPush, Number: "42", Again: true}})
			<-approved
			return s.grant(identity), nil
		}
		var told []string
		c := newCache(t, s, answers, func(c *cache.Config) {
			c.Ask = func(_ context.Context, q cache.Question) (auth.Secret, error) {
				told = append(told, q.Number)
				return auth.NewSecret("42"), nil
			}
		})
		go func() { _, _ = c.Token(context.Background(), "alice") }()
		first := pending(t, c)
		time.Sleep(2 * time.Second)
		second := pending(t, c)
		if first.ID != second.ID || second.Number != "42" || len(told) != 2 || told[1] != "42" {
			t.Errorf("first %+v, then %+v; told %q", first, second, told)
		}
		if err := c.Answer("alice", second.ID, auth.NewSecret("42")); !errors.Is(err, cache.ErrOnDevice) {
			t.Errorf("a push is answered here: %v", err)
		}
		close(approved)
		ask(t, c)
	})
	bubble(t, "the person who signs in is asked beside", func(t *testing.T) {
		s := &source{}
		s.signIn = asking(s)
		c := newCache(t, s, answers)
		_, err := c.SignIn(t.Context(), "alice", auth.Given{Ask: func(context.Context, auth.Challenge) (auth.Secret, error) {
			return auth.NewSecret("right"), nil
		}})
		if err != nil {
			t.Error(err)
		}
		ended := false
		done := make(chan error, 1)
		go func() {
			_, err := c.SignIn(context.Background(), "alice", auth.Given{Ask: func(ctx context.Context, _ auth.Challenge) (auth.Secret, error) {
				<-ctx.Done()
				ended = true
				return auth.Secret{}, ctx.Err()
			}})
			done <- err
		}()
		if err := c.Answer("alice", pending(t, c).ID, auth.NewSecret("right")); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if !ended {
			t.Error("the person does not hear that somebody else has answered")
		}
	})
}

func TestChangesAreTold(t *testing.T) {
	bubble(t, "each", func(t *testing.T) {
		s := &source{}
		s.signIn = asking(s)
		n := make(chan struct{}, 1000)
		c := newCache(t, s, answers, func(c *cache.Config) { c.Changed = func() { n <- struct{}{} } })
		changed := func(what string) {
			t.Helper()
			synctest.Wait()
			if len(n) == 0 {
				t.Errorf("%s is not told", what)
			}
			for len(n) > 0 {
				<-n
			}
		}
		go func() { _, _ = c.Token(context.Background(), "alice") }()
		changed("a question")
		_ = c.Answer("alice", pending(t, c).ID, auth.NewSecret("right"))
		changed("its end")
		_ = c.Forget(t.Context(), "alice")
		changed("a sign-out")
	})
}
