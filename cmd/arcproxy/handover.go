package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"arcproxy/auth"
	"arcproxy/proxy"
	"arcproxy/proxy/audit"
	"arcproxy/proxy/console"
)

// handover gives the tokens of a running proxy to `arcproxy token`, which would else
// sign the same account in beside it. It is served on the control socket alone: what
// the network reaches has no token in any answer.
type handover struct {
	control console.Control
	token   func(ctx context.Context, identity string) (auth.Grant, error)
	trail   *audit.Trail // nil: nothing is recorded
}

// handoverLine is one of the lines of JSON that it answers with: for each step of a
// sign-in that the token takes, and then the last, which has Token or Failure.
type handoverLine struct {
	Text      string             `json:"text,omitempty"`
	Challenge *console.Challenge `json:"challenge,omitempty"`
	Token     string             `json:"token,omitempty"`
	Username  string             `json:"username,omitempty"`
	Expires   time.Time          `json:"expires,omitzero"`
	Failure   *console.Failure   `json:"failure,omitempty"`
}

// beside lets h answer at its path, and next everywhere else.
func (h *handover) beside(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+console.Path+"api/v1/identities/{identity}/token", h)
	mux.Handle("/", next)
	return mux
}

// ServeHTTP answers with a token. While it waits for one, the client is a caller who
// waits, and leaves like one.
func (h *handover) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began, name := time.Now(), r.PathValue("identity")
	if _, ok := h.find(name); !ok {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": console.ErrUnknown.Error()})
		return
	}
	if h.trail != nil {
		defer func() {
			h.trail.Write(&audit.Record{Time: began, Caller: proxy.Owner, Identity: name, Address: "control socket",
				Method: r.Method, Path: r.URL.EscapedPath(), Status: http.StatusOK, Duration: time.Since(began)})
		}()
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	say := func(l handoverLine) {
		_ = out.Encode(l) // an error means that the client has left: its context ends
		_ = flush.Flush()
	}
	last := make(chan handoverLine, 1)
	go func() { // ends with the sign-in or the client
		g, err := h.token(r.Context(), name)
		if err != nil {
			last <- handoverLine{Failure: console.NewFailure(err, time.Now())}
			return
		}
		last <- handoverLine{Token: g.AccessToken.Reveal(), Username: g.Username, Expires: g.Expires}
	}()
	var said, asked string
	for {
		changed := h.control.Changed()
		if id, _ := h.find(name); id.State == console.SigningIn || id.State == console.Asking {
			question := ""
			if id.Challenge != nil {
				question = id.Challenge.ID
			}
			if id.Event != said || question != asked {
				l := handoverLine{Text: id.Event, Challenge: id.Challenge}
				if id.Event == said {
					l.Text = "" // a question that is answered is not asked again
				}
				said, asked = id.Event, question
				say(l)
			}
		}
		select {
		case l := <-last:
			say(l)
			return
		case <-changed:
		}
	}
}

// find returns how an identity stands, and whether there is one of that name.
func (h *handover) find(name string) (console.Identity, bool) {
	for _, id := range h.control.Identities() {
		if id.Name == name {
			return id, true
		}
	}
	return console.Identity{}, false
}

// token asks the proxy for an identity's token. The person at p hears the steps, and
// is asked where they are at a terminal.
func (r *running) token(ctx context.Context, p *program, name string) (auth.Grant, error) {
	if _, err := r.identity(ctx, name); err != nil {
		return auth.Grant{}, err
	}
	res, err := r.send(ctx, http.MethodPost, "identities/"+url.PathEscape(name)+"/token", nil)
	if err != nil {
		return auth.Grant{}, err
	}
	defer res.Body.Close()
	t := p.terminal()
	var q asked
	defer q.put(ctx, r, t, p, name, nil)
	lines := bufio.NewScanner(io.LimitReader(res.Body, answerMost))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l handoverLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return auth.Grant{}, errors.New("the running proxy's answer is not the JSON of this version") // an error would quote it
		}
		switch {
		case l.Token != "":
			return auth.Grant{AccessToken: auth.NewSecret(l.Token), Username: l.Username, Expires: l.Expires}, nil
		case l.Failure != nil:
			return auth.Grant{}, failedThere(l.Failure)
		}
		if l.Text != "" {
			fmt.Fprintf(p.stderr, "%s: %s\n", name, l.Text)
		}
		if t != nil {
			q.put(ctx, r, t, p, name, l.Challenge)
		}
	}
	if ctx.Err() != nil {
		return auth.Grant{}, context.Cause(ctx)
	}
	return auth.Grant{}, errors.New("the running proxy has broken off; its log says why")
}
