package console

import (
	"bytes"
	"crypto/subtle"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"path"

	"arcproxy/auth"
)

// The page is made here, with everything in it, and its forms are ordinary ones. So
// it works without a script; console.js only asks for it again when something has
// changed, and puts in place what differs.

//go:embed assets
var assets embed.FS

// pageTemplate is parsed once; it never changes.
var pageTemplate = template.Must(template.ParseFS(assets, "assets/page.html"))

// pages says who answers a person's browser.
func (c *Console) pages() {
	c.mux.HandleFunc("GET "+Path+"{$}", func(w http.ResponseWriter, r *http.Request) {
		c.show(w, http.StatusOK, outcomes[r.URL.Query().Get("said")], false)
	})
	for _, name := range []string{"console.css", "console.js", "icon.svg"} {
		c.mux.HandleFunc("GET "+Path+name, c.asset)
	}
	c.mux.HandleFunc("POST "+Path+"answer", c.form(c.answerForm))
	c.mux.HandleFunc("POST "+Path+"sign-in", c.form(c.signInForm))
	c.mux.HandleFunc("POST "+Path+"sign-out", c.form(c.signOutForm))
}

// asset answers with one of the page's files, which hold nothing of anybody's.
func (c *Console) asset(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	text, err := assets.ReadFile("assets/" + name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache") // but it may be kept
	http.ServeContent(w, r, name, c.since, bytes.NewReader(text))
}

// show answers with the page, which says first what became of what was done.
func (c *Console) show(w http.ResponseWriter, status int, said string, bad bool) {
	v := newView(c.Snapshot(), c.stamp)
	v.Said, v.SaidBad = said, bad
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		c.log.Error("the console's page could not be made", "error", err)
		http.Error(w, "the page could not be made; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // an error means that the person has left
}

// outcomes are what can be said after a form has led back to the page, by the word in
// the address: whoever makes a person follow a link has no say in the text.
var outcomes = map[string]string{
	"answered":   "Sent. Whether it was right is seen in a moment.",
	"signing-in": "The sign-in has begun.",
	"signed-out": "Signed out.",
}

// refusal is why a form did nothing, or not all.
type refusal struct {
	status int
	text   string
}

// form makes a handler of one that is given a form's identity and says what became
// of it: a word of [outcomes], or a refusal.
//
// Every form carries a stamp that a page of another site cannot read. The gate has
// refused such pages already, by what browsers say of themselves; this holds where
// one says nothing.
func (c *Console) form(do func(r *http.Request, identity string) (string, *refusal)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
			c.show(w, http.StatusUnsupportedMediaType, "Nothing was done: that was no form of this page.", true)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, bodyMost)
		if err := r.ParseForm(); err != nil { // the error would quote what was sent
			c.show(w, http.StatusBadRequest, "Nothing was done: the form could not be read.", true)
			return
		}
		if subtle.ConstantTimeCompare([]byte(r.PostForm.Get("stamp")), []byte(c.stamp)) != 1 {
			c.show(w, http.StatusForbidden, "Nothing was done: that form was made before the proxy was started again. Use the ones below.", true)
			return
		}
		name := r.PostForm.Get("identity")
		if _, ok := c.identity(name); !ok {
			c.show(w, http.StatusNotFound, "Nothing was done: "+ErrUnknown.Error()+".", true)
			return
		}
		word, no := do(r, name)
		if no != nil {
			c.show(w, no.status, no.text, true)
			return
		}
		http.Redirect(w, r, Path+"?said="+word, http.StatusSeeOther)
	}
}

func (c *Console) answerForm(r *http.Request, identity string) (string, *refusal) {
	err := c.control.Answer(identity, r.PostForm.Get("challenge"), auth.NewSecret(r.PostForm.Get("answer")))
	if err != nil {
		return "", &refusal{answerStatus(err), "That was not taken: " + err.Error() + "."}
	}
	return "answered", nil
}

func (c *Console) signInForm(r *http.Request, identity string) (string, *refusal) {
	switch err := c.Begin(identity, auth.NewSecret(r.PostForm.Get("password"))); {
	case errors.Is(err, ErrUnknown):
		return "", &refusal{http.StatusNotFound, "Nothing was done: " + err.Error() + "."}
	case err != nil:
		return "", &refusal{http.StatusConflict, "Nothing was done: " + err.Error() + "."}
	}
	return "signing-in", nil
}

func (c *Console) signOutForm(r *http.Request, identity string) (string, *refusal) {
	if err := c.control.SignOut(r.Context(), identity); err != nil {
		return "", &refusal{http.StatusBadGateway, fmt.Sprintf("%s is signed out here, but not everywhere: %v.", identity, err)}
	}
	return "signed-out", nil
}
