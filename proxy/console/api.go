package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"arcproxy/auth"
)

// Snapshot is how everything stands at a moment. It holds no secret.
type Snapshot struct {
	Time       time.Time  `json:"time"`
	Ready      bool       `json:"ready"`
	Trouble    []Trouble  `json:"trouble"`
	Identities []Identity `json:"identities"`
	Requests   []Request  `json:"requests"` // the newest first
	Failures   []Request  `json:"failures"` // the newest first
	Minutes    []Minute   `json:"minutes"`  // of the last hour, the oldest first
}

// Snapshot returns how everything stands.
func (c *Console) Snapshot() Snapshot {
	now := time.Now()
	ready, trouble := c.readiness(now)
	return Snapshot{
		Time:       now,
		Ready:      ready,
		Trouble:    orNone(trouble),
		Identities: orNone(c.control.Identities()),
		Requests:   orNone(c.journal.Requests()),
		Failures:   orNone(c.journal.Failures()),
		Minutes:    c.journal.Minutes(now),
	}
}

// routes says who answers what.
func (c *Console) routes() {
	const api = Path + "api/v1/"
	c.mux.HandleFunc("GET "+Path+"healthz", func(w http.ResponseWriter, r *http.Request) { c.Health(w, r) })
	c.mux.HandleFunc("GET "+Path+"readyz", c.ready)
	c.mux.HandleFunc("GET "+api+"state", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, c.Snapshot()) })
	c.mux.HandleFunc("GET "+api+"events", c.events)
	c.mux.HandleFunc("POST "+api+"identities/{identity}/sign-in", c.signIn)
	c.mux.HandleFunc("POST "+api+"identities/{identity}/sign-out", c.signOut)
	c.mux.HandleFunc("POST "+api+"identities/{identity}/answer", c.answer)
}

// bodyMost bounds what is posted here, in bytes.
const bodyMost = 16 << 10

// read decodes the JSON of a request into v. It answers itself, and reports false,
// if there is none. A form is refused: any page could make a browser send one.
func read(w http.ResponseWriter, r *http.Request, v any) bool {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		fail(w, http.StatusUnsupportedMediaType, "send a body of type application/json")
		return false
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMost))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		fail(w, http.StatusRequestEntityTooLarge, "the body has more than 16 KB")
		return false
	}
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		// The error would quote what was sent, which may be a secret.
		fail(w, http.StatusBadRequest, "the body is not the JSON that this takes")
		return false
	}
	return true
}

// fail answers with a text and nothing else.
func fail(w http.ResponseWriter, status int, text string) {
	writeJSON(w, status, struct {
		Error string `json:"error"`
	}{text})
}

// answer takes {"challenge":"ID","answer":"123456"}.
func (c *Console) answer(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Challenge string `json:"challenge"`
		Answer    string `json:"answer"`
	}
	if !read(w, r, &body) {
		return
	}
	err := c.control.Answer(r.PathValue("identity"), body.Challenge, auth.NewSecret(body.Answer))
	if err != nil {
		fail(w, answerStatus(err), err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// answerStatus is the status of an answer that was not taken.
func answerStatus(err error) int {
	switch {
	case errors.Is(err, ErrUnknown):
		return http.StatusNotFound
	case errors.Is(err, ErrEmpty):
		return http.StatusBadRequest
	}
	return http.StatusConflict
}

// signOut takes no body.
func (c *Console) signOut(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("identity")
	if _, ok := c.identity(name); !ok {
		fail(w, http.StatusNotFound, ErrUnknown.Error())
		return
	}
	if err := c.control.SignOut(r.Context(), name); err != nil {
		fail(w, http.StatusBadGateway, fmt.Sprintf("%s is signed out here, but not everywhere: %v", name, err))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// Line is one of the lines of JSON that a sign-in is told by, while it goes on.
// The last has Done or Failure.
type Line struct {
	Text      string     `json:"text,omitempty"`
	Challenge *Challenge `json:"challenge,omitempty"`
	Done      *Identity  `json:"done,omitempty"`
	Failure   *Failure   `json:"failure,omitempty"`
}

// signIn takes {"password":"…"}, or {} for the configured one, and answers with a
// [Line] for each step. It gives up when the client leaves.
func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Password string `json:"password"`
	}
	if !read(w, r, &body) {
		return
	}
	name := r.PathValue("identity")
	if _, ok := c.identity(name); !ok {
		fail(w, http.StatusNotFound, ErrUnknown.Error())
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	out := json.NewEncoder(w)
	flush := http.NewResponseController(w)
	say := func(l Line) {
		_ = out.Encode(l) // an error means that the client has left: ctx ends
		_ = flush.Flush()
	}
	// The steps are told by whoever takes them, who must not wait for a client.
	told, done := make(chan auth.Event, 64), make(chan error, 1)
	ctx, cancel := context.WithTimeout(r.Context(), signInMost)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	c.wg.Go(func() {
		done <- c.control.SignIn(ctx, name, auth.NewSecret(body.Password), func(e auth.Event) {
			select {
			case told <- e:
			default:
			}
		})
	})
	for {
		select {
		case e := <-told:
			say(c.line(name, e))
			continue
		case err := <-done:
			for len(told) > 0 {
				say(c.line(name, <-told))
			}
			say(c.last(name, err))
		}
		return
	}
}

// line tells a step. A question is the one that is pending now, with its ID.
func (c *Console) line(name string, e auth.Event) Line {
	l := Line{Text: e.Text}
	if e.Challenge != nil {
		id, _ := c.identity(name)
		l.Challenge = id.Challenge
	}
	return l
}

// last tells how it ended.
func (c *Console) last(name string, err error) Line {
	id, _ := c.identity(name)
	if err == nil {
		return Line{Done: &id}
	}
	if id.Failure != nil && auth.KindOf(err) == auth.Kind(id.Failure.Kind) {
		return Line{Failure: id.Failure}
	}
	return Line{Failure: NewFailure(err, time.Now())}
}

// NewFailure says of err what a person can see.
func NewFailure(err error, at time.Time) *Failure {
	f := &Failure{Time: at, Text: err.Error()}
	if e, ok := errors.AsType[*auth.Error](err); ok {
		f.Kind, f.Step, f.Remedy, f.Until = string(e.Kind), e.Step, e.Remedy(), e.Until
	}
	return f
}
