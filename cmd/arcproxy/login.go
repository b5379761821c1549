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
	"arcproxy/cache/storage"
	"arcproxy/proxy/console"
)

// loginCommand lets a person sign an identity in.
type loginCommand struct {
	Identity string `arg:"" help:"The identity's name in the config."`
}

// Help shows an example.
func (loginCommand) Help() string {
	return `Asks for the password, and for a code if Okta wants one. Neither is kept: only
what the sign-in brings is, and the proxy renews that for as long as the Portal lets
it. Beside a running proxy the sign-in takes effect there at once.

Example:
  $ arcproxy login alice
  password of alice@example.com:
  alice: the Portal asks Okta
  alice: push sent to Pixel 8: approve 42 within 5 min
  alice: signed in as alice_gis until 2026-11-28T23:04:38Z`
}

// Run signs in by the running proxy, or else itself.
func (c *loginCommand) Run(ctx context.Context, p *program) error {
	cfg, id, err := p.configured(ctx, c.Identity)
	if err != nil {
		return err
	}
	t := p.terminal()
	if t == nil {
		return usageError("login asks for a password, and standard input is not a terminal: run it in one (ssh -t, docker exec -it), or sign in on the page of the running proxy, " + cfg.consoleURL())
	}
	proxy := findRunning(ctx, cfg)
	if proxy != nil {
		done, err := proxy.join(ctx, p, t, c.Identity)
		if done || err != nil {
			return err
		}
	} else if cfg.Cache.Memory {
		return usageError("nothing of a sign-in would be kept: by " + p.configFile + " all is in memory, and no proxy runs on its state_dir; sign in on the page of the running one, " + cfg.consoleURL())
	}
	password, err := c.password(ctx, t, id)
	if err != nil {
		return err
	}
	if proxy != nil {
		return proxy.login(ctx, p, t, c.Identity, password)
	}
	e, err := p.ownEngine(ctx, cfg)
	if err != nil {
		return err
	}
	defer e.close()
	grant, err := e.cache.SignIn(ctx, c.Identity, auth.Given{
		Password: password,
		Ask: func(ctx context.Context, q auth.Challenge) (auth.Secret, error) {
			return t.ask(ctx, c.Identity, q)
		},
	})
	if err != nil {
		return err
	}
	p.signedIn(c.Identity, grant.Username, grant.Expires)
	return nil
}

// loadBeside loads the config for a command that needs none of its callers' keys and of
// its identities' secrets: those may be in the surroundings of the running proxy alone,
// as what a service manager gives it.
func (p *program) loadBeside(ctx context.Context) (*config, error) {
	env := p.env
	env.others = true
	return loadConfig(ctx, p.configFile, env)
}

// configured loads the config and finds an identity in it.
func (p *program) configured(ctx context.Context, name string) (*config, auth.Identity, error) {
	cfg, err := p.loadBeside(ctx)
	if err != nil {
		return nil, auth.Identity{}, err
	}
	id, ok := cfg.identity(name)
	if !ok {
		return nil, auth.Identity{}, usageError(fmt.Sprintf("%s has no identity %q", p.configFile, name))
	}
	return cfg, id, nil
}

// ownEngine composes cfg for a command that changes what is stored.
func (p *program) ownEngine(ctx context.Context, cfg *config) (*engine, error) {
	e, err := newEngine(ctx, cfg, toOwn, newCommandLog(p.stderr, cfg.Log), audience{tell: p.tellPerson})
	if errors.Is(err, storage.ErrInUse) {
		return nil, unanswered(cfg, err)
	}
	return e, err
}

// unanswered is err, by which a state directory is in use, of a program that cannot be asked.
func unanswered(cfg *config, err error) error {
	return fmt.Errorf("%w; that program does not answer at %s: if it is a proxy, use its page, %s", err, socketName, cfg.consoleURL())
}

// password asks for the password. With a configured one an empty line stands for it.
func (c *loginCommand) password(ctx context.Context, t *terminal, id auth.Identity) (auth.Secret, error) {
	prompt := "password of " + id.Username
	if id.Password != nil {
		prompt += " (empty: the configured one)"
	}
	password, err := t.read(ctx, prompt+": ", true)
	if err == nil && password.IsZero() && id.Password == nil {
		err = errors.New("the password is empty; nothing was sent")
	}
	return password, err
}

func (p *program) signedIn(identity, username string, until time.Time) {
	fmt.Fprintf(p.stderr, "%s: signed in as %s until %s\n", identity, username, until.UTC().Format(time.RFC3339))
}

// failedThere is a sign-in that has failed in the running proxy.
func failedThere(f *console.Failure) error {
	text := f.Text
	if f.Remedy != "" {
		text += "\n  what to do: " + f.Remedy
	}
	return errors.New(text)
}

// asked is a question that is put at the terminal, if one is.
type asked struct {
	id   string // "": none
	stop context.CancelFunc
}

// put puts q, which may be nil, in the place of the question before it.
func (a *asked) put(ctx context.Context, r *running, t *terminal, p *program, name string, q *console.Challenge) {
	if q != nil && q.ID == a.id {
		return
	}
	if a.stop != nil {
		a.stop()
	}
	*a = asked{}
	if q == nil {
		return
	}
	a.id = q.ID
	if !q.Code {
		return // the step says what to do
	}
	ctx, a.stop = context.WithCancel(ctx)
	go func() { // ends with the answer or the question
		answer, err := t.ask(ctx, name, auth.Challenge{Kind: auth.Factor(q.Kind), Question: q.Question, Device: q.Device, Again: q.Again})
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = r.answer(ctx, name, q.ID, answer.Reveal())
		}
		if err != nil && ctx.Err() == nil {
			fmt.Fprintf(p.stderr, "%s: %v\n", name, err)
		}
	}()
}

// joinEvery is how often it is looked what a sign-in asks that others have begun.
const joinEvery = 500 * time.Millisecond

// join lets the person answer what is asked for a sign-in that is under way already.
// It reports whether the identity is signed in by that.
func (r *running) join(ctx context.Context, p *program, t *terminal, name string) (done bool, err error) {
	var q asked
	defer q.put(ctx, r, t, p, name, nil)
	for joined := false; ; joined = true {
		id, err := r.identity(ctx, name)
		switch {
		case err != nil:
			return false, err
		case id.State == console.Asking:
			if !joined {
				fmt.Fprintf(p.stderr, "%s is being signed in already: %s\n", name, id.Event)
			}
			q.put(ctx, r, t, p, name, id.Challenge)
		case id.State == console.SigningIn && joined:
			q.put(ctx, r, t, p, name, nil)
		case id.State == console.SignedIn && joined:
			p.signedIn(name, id.Username, id.Until)
			return true, nil
		case joined && id.Failure != nil:
			fmt.Fprintf(p.stderr, "%s: that sign-in has failed: %s\n", name, id.Failure.Text)
			return false, nil
		default:
			return false, nil
		}
		select {
		case <-time.After(joinEvery):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// login signs an identity in through the proxy.
func (r *running) login(ctx context.Context, p *program, t *terminal, name string, password auth.Secret) error {
	res, err := r.send(ctx, http.MethodPost, "identities/"+url.PathEscape(name)+"/sign-in", struct {
		Password string `json:"password"`
	}{password.Reveal()})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var q asked
	defer q.put(ctx, r, t, p, name, nil)
	lines := bufio.NewScanner(io.LimitReader(res.Body, answerMost))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l console.Line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("the running proxy's answer: %w", err)
		}
		switch {
		case l.Done != nil:
			p.signedIn(name, l.Done.Username, l.Done.Until)
			return nil
		case l.Failure != nil:
			return failedThere(l.Failure)
		}
		if l.Text != "" {
			fmt.Fprintf(p.stderr, "%s: %s\n", name, l.Text)
		}
		q.put(ctx, r, t, p, name, l.Challenge)
	}
	if ctx.Err() != nil {
		return errors.New("broken off; nothing has changed")
	}
	return errors.New("the running proxy has broken off the sign-in; its log says why")
}
