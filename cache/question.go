package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"arcproxy/auth"
)

// Question is one that a sign-in asks a person. It holds no secret.
type Question struct {
	ID       string // another one for each question
	Identity string
	auth.Challenge
}

// Why [Cache.Answer] did not take an answer.
var (
	ErrNoQuestion = errors.New("nothing is asked about this identity now")
	ErrOver       = errors.New("that question is over; another one is pending now")
	ErrAnswered   = errors.New("somebody has answered that question already")
	ErrOnDevice   = errors.New("that question is answered on the device")
	ErrEmpty      = errors.New("the answer is empty")
)

// question is the one that a flight has pending. It is over when the flight tells
// its next step, or ends.
type question struct {
	Question
	answer   chan auth.Secret // takes one; nil: it is answered on a device
	answered bool
	done     context.CancelFunc // ends those who are asked beside
}

// pose makes of a step what is pending now: a question, or nothing. The caller
// holds id.mu.
func (c *Cache) pose(id *identity, f *flight, e auth.Event) {
	ch := e.Challenge
	if ch == nil {
		f.settle()
		return
	}
	next := &question{Question: Question{ID: rand.Text(), Identity: id.name, Challenge: *ch}}
	if ch.Code {
		next.answer = make(chan auth.Secret, 1)
	} else if q := f.question; q != nil && ch.Again && q.answer == nil {
		next.ID = q.ID // the same push, whose number is known now
	}
	f.settle()
	f.question = next
	ctx, cancel := context.WithCancel(f.ctx)
	next.done = cancel
	if c.ask == nil {
		return
	}
	c.wg.Go(func() {
		defer cancel()
		answer, err := guard(c, id.name, func() (auth.Secret, error) { return c.ask(ctx, next.Question) })
		switch {
		case ctx.Err() != nil:
		case err != nil && !c.answers && ch.Code:
			c.giveUp(id, f, next)
		case err != nil:
			c.log.Warn("a question could not be passed on; it can still be answered elsewhere", "identity", id.name, "error", err)
		case ch.Code && !answer.IsZero():
			_ = c.Answer(id.name, next.ID, answer) // somebody else was faster
		}
	})
}

// settle ends the pending question, if there is one. The caller holds the
// identity's mu.
func (f *flight) settle() {
	if f.question != nil {
		f.question.done()
		f.question = nil
	}
}

// giveUp ends q without an answer: nobody is left who could give one.
func (c *Cache) giveUp(id *identity, f *flight, q *question) {
	id.mu.Lock()
	defer id.mu.Unlock()
	if f.question == q && !q.answered {
		q.answered = true
		q.answer <- auth.Secret{}
	}
}

// Answer gives the answer to identity's pending question of that ID; the sign-in
// says later whether it was right. Of several answers the first counts.
func (c *Cache) Answer(identity, question string, answer auth.Secret) error {
	c.mu.RLock()
	id := c.identities[identity]
	c.mu.RUnlock()
	if id == nil {
		return ErrNoQuestion
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	if id.flight == nil || id.flight.question == nil {
		return ErrNoQuestion
	}
	q := id.flight.question
	switch {
	case q.ID != question:
		return ErrOver
	case q.answer == nil:
		return ErrOnDevice
	case answer.IsZero():
		return ErrEmpty
	case q.answered:
		return ErrAnswered
	}
	q.answered = true
	q.answer <- answer
	return nil
}

// asker returns how a sign-in asks for an answer; nil: nobody can be asked, or
// nobody should be. While pushes are paused only a person is asked who takes part:
// the last who were asked did not answer.
func (c *Cache) asker(id *identity, f *flight, given *auth.Given, paused bool) func(context.Context, auth.Challenge) (auth.Secret, error) {
	if given == nil {
		id.mu.Lock()
		asked := f.asked
		id.mu.Unlock()
		if c.ask == nil && !c.answers || !asked || paused {
			return nil
		}
	} else if given.Ask == nil && c.ask == nil && !c.answers {
		return nil
	}
	return func(ctx context.Context, ch auth.Challenge) (auth.Secret, error) {
		ch.Code = true
		return c.reply(ctx, id, f, given, ch)
	}
}

var errGaveUp = errors.New("nobody is left to be asked")

// reply waits for the first answer to the question that was posed when its step was
// told, from the person who takes part, from those who are asked beside, or by
// [Cache.Answer].
func (c *Cache) reply(ctx context.Context, id *identity, f *flight, given *auth.Given, ch auth.Challenge) (auth.Secret, error) {
	id.mu.Lock()
	if f.waiters == 0 {
		id.mu.Unlock()
		return auth.Secret{}, &auth.Error{Kind: auth.NobodyWaiting, Step: "code", Seen: "nobody was asked for it"}
	}
	if f.question == nil || f.question.answer == nil {
		c.pose(id, f, auth.Event{Challenge: &ch})
	}
	q := f.question
	id.mu.Unlock()
	defer c.changed()
	defer func() {
		id.mu.Lock()
		defer id.mu.Unlock()
		if f.question == q {
			f.settle()
		}
	}()
	type result struct {
		answer auth.Secret
		err    error
	}
	var person chan result
	if given != nil && given.Ask != nil {
		beside, cancel := context.WithCancel(ctx)
		defer cancel()
		person = make(chan result, 1)
		c.wg.Go(func() {
			answer, err := guard(c, id.name, func() (auth.Secret, error) { return given.Ask(beside, ch) })
			person <- result{answer, err}
		})
	}
	select {
	case answer := <-q.answer:
		if answer.IsZero() {
			return auth.Secret{}, errGaveUp
		}
		return answer, nil
	case r := <-person:
		return r.answer, r.err
	case <-ctx.Done():
		return auth.Secret{}, ctx.Err()
	}
}

// personTimeout is the least time that a sign-in has in which a person may be asked.
const personTimeout = 5 * time.Minute

// signInTime is how long a sign-in may take.
func (c *Cache) signInTime(given *auth.Given) time.Duration {
	if given != nil || c.ask != nil || c.answers {
		return max(c.timeout, personTimeout)
	}
	return c.timeout
}
