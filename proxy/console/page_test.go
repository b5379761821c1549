package console

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"arcproxy/auth"
)

// desk is a Control of given identities, and notes what it was told to do.
type desk struct {
	Changes
	mu         sync.Mutex // guards what follows
	identities []Identity
	did        []string
	err        error // of the next that is done
}

func (d *desk) note(what string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.did = append(d.did, what)
	return d.err
}

func (d *desk) done() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.did, ", ")
}

func (d *desk) Identities() []Identity {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.identities
}

func (d *desk) Answer(identity, challenge string, answer auth.Secret) error {
	return d.note("answer " + identity + " " + challenge + " " + answer.Reveal())
}

func (d *desk) SignIn(_ context.Context, identity string, password auth.Secret, _ func(auth.Event)) error {
	return d.note("sign-in " + identity + " " + password.Reveal())
}

func (d *desk) SignOut(_ context.Context, identity string) error {
	return d.note("sign-out " + identity)
}

func (d *desk) Changed() <-chan struct{} { return d.Next() }

// office is a console over a desk.
type office struct {
	*testing.T
	*desk
	console *Console
	log     bytes.Buffer
}

func open(t *testing.T, identities ...Identity) *office {
	o := &office{T: t, desk: &desk{identities: identities}}
	o.console = New(Config{Control: o.desk, Log: slog.New(slog.NewTextHandler(&o.log, nil))})
	t.Cleanup(o.console.Close)
	return o
}

// send sends a form, or asks for a page if there is none.
func (o *office) send(method, path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	o.console.ServeHTTP(w, r)
	return w
}

// page asks for the page and returns its elements and its text.
func (o *office) page(path string) (*html.Node, string) {
	o.Helper()
	w := o.send("GET", path, nil)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		o.Fatalf("GET %s: %d %s", path, w.Code, w.Header())
	}
	root, err := html.Parse(strings.NewReader(w.Body.String()))
	if err != nil {
		o.Fatal(err)
	}
	return root, textOf(root)
}

// textOf is the text below n, with single spaces.
func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// form returns the fields of the form that is posted to path for an identity.
func form(root *html.Node, path, identity string) url.Values {
	for n := range root.Descendants() {
		if n.Data != "form" || attribute(n, "action") != path || attribute(n, "method") != "post" {
			continue
		}
		fields := url.Values{}
		for d := range n.Descendants() {
			if d.Data == "input" {
				fields.Set(attribute(d, "name"), attribute(d, "value"))
			}
		}
		if fields.Get("identity") == identity {
			return fields
		}
	}
	return nil
}

func TestThePageShowsEachState(t *testing.T) {
	now := time.Now()
	pushed := &Challenge{ID: "7", Kind: "push", Number: "0", Device: "Pixel 9", Deadline: now.Add(4 * time.Minute)}
	refused := &Failure{Time: now.Add(-3 * time.Minute), Kind: "credential refused", Text: "Okta: password: credential refused (E0000004)",
		Remedy: "correct it in the config", Clears: "a sign-in by hand (`arcproxy login`)"}
	rejected := &Failure{Kind: "push rejected", Text: "pushed", Remedy: "wait", Until: now.Add(8 * time.Minute)}
	for name, c := range map[string]struct {
		identity Identity
		want     []string
		not      []string
	}{
		"signed in": {
			Identity{Name: "alice", State: SignedIn, Username: "alice_gis", By: "renewal", Obtained: now.Add(-12*time.Minute - time.Second),
				Until: now.Add(18*time.Minute + 30*time.Second), Renewable: true, RenewableUntil: now.Add(300*time.Hour + time.Minute), Stored: true},
			[]string{"alice Signed in", "In ArcGIS alice_gis", "UTC, in 18 min", "· renewed 12 min ago", "by itself until", "UTC, in 12 days", "Sign out", "Sign in again"},
			[]string{"Waiting for you", "Restart", "What to do"},
		},
		"signed in, not to be renewed": {
			Identity{Name: "alice", State: SignedIn, Until: now.Add(time.Hour)},
			[]string{"Renewal by another sign-in", "Restart ends it: it is not stored"},
			nil,
		},
		"signed in, and the next token is not to be had": {
			Identity{Name: "alice", State: SignedIn, Until: now.Add(time.Hour), Failure: refused},
			[]string{"alice Signed in", "Credential refused 3 min ago", "Sign out"},
			nil,
		},
		"a number": {
			Identity{Name: "bob", State: Asking, Event: "push sent", Waiting: 2, Challenge: pushed},
			[]string{"0 for bob · arcproxy", "Waiting for you bob Choose this number on the phone (Pixel 9): 0", "min 59 s left, until", "2 callers waiting", "bob Waiting for you Asked above · 2 callers waiting"},
			[]string{"Sign in", "Sign out"},
		},
		"a push": {
			Identity{Name: "bob", State: Asking, Challenge: &Challenge{ID: "7", Kind: "push"}},
			[]string{"bob waits for you · arcproxy", "Approve the request on the phone"},
			[]string{"left", "Sign in"},
		},
		"a code": {
			Identity{Name: "dora", State: Asking, Waiting: 1, Challenge: &Challenge{ID: "8", Kind: "sms", Code: true, Device: "+1 XXX-XXX-6688"}},
			[]string{"Code from the text message to +1 XXX-XXX-6688 Send", "1 caller waiting"},
			[]string{"refused"},
		},
		"a code that was refused": {
			Identity{Name: "dora", State: Asking, Challenge: &Challenge{ID: "9", Kind: "email", Code: true, Again: true}},
			[]string{"Code from the e-mail The last answer was refused."},
			nil,
		},
		"a question": {
			Identity{Name: "dora", State: Asking, Challenge: &Challenge{ID: "9", Kind: "question", Code: true, Question: "Your first pet?"}},
			[]string{"Your first pet? Send"},
			nil,
		},
		"signing in": {
			Identity{Name: "frank", State: SigningIn, Event: "sending the password to Okta"},
			[]string{"frank Signing in Sending the password to Okta"},
			[]string{"Sign in", "Sign out"},
		},
		"failed": {
			Identity{Name: "carol", State: Failed, Failure: refused},
			[]string{"carol Failed Credential refused 3 min ago Okta: password: credential refused (E0000004) What to do: Correct it in the config.",
				"It ends with a sign-in by hand ( arcproxy login ).", "Sign in"},
			[]string{"Sign out", "Nothing is tried"},
		},
		"failed, and the push is paused": {
			Identity{Name: "grace", State: Failed, Failure: rejected, PushPause: rejected},
			[]string{"Push rejected", "Nothing is tried before"},
			[]string{"No push is sent"},
		},
		"paused": {
			Identity{Name: "grace", State: SignedOut, PushPause: rejected},
			[]string{"No push is sent: push rejected", "What to do: Wait.", "in 7 min"},
			nil,
		},
		"signed out": {
			Identity{Name: "erin", State: SignedOut},
			[]string{"erin Signed out The next request signs in. Sign in Sign in with a password"},
			[]string{"Sign out"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, text := open(t, c.identity).page(Path)
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in %s", want, text)
				}
			}
			for _, not := range c.not {
				if strings.Contains(text, not) {
					t.Errorf("%q in %s", not, text)
				}
			}
		})
	}
}

func TestThePageShowsRequests(t *testing.T) {
	o := open(t)
	now := time.Now()
	j := o.console.Journal()
	for i := range 3 {
		j.Note(Request{Time: now.Add(-time.Duration(9-i) * time.Second), Caller: "nightly", Identity: "alice", Method: "GET", Path: "/portal/a", Status: 200, Took: 12 * time.Millisecond})
	}
	j.Note(Request{Time: now.Add(-2*time.Second - time.Second/2), Method: "POST", Path: "/portal/b", Status: 401, Reason: "unknown caller; send a key"})
	j.Note(Request{Time: now.Add(-time.Second - time.Second/2), Method: "POST", Path: "/portal/c", Status: 401, Reason: "unknown caller; send a key"})
	j.Renewal()
	_, text := o.page(Path)
	for _, want := range []string{"5 requests, none failed.", "1 renewal and no sign-ins.", "nightly as alice 3 requests", "200 GET /portal/a 12 ms",
		"401 unknown POST /portal/c × 2 unknown caller; send a key", "unknown 2 requests, 2 failed"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

func TestTextsOfOthersAreOnlyText(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2) style='a'>` + "`{{.}}</title>"
	now := time.Now()
	f := &Failure{Time: now, Kind: evil, Text: evil, Remedy: evil, Clears: evil, Until: now.Add(time.Minute)}
	pause := *f
	pause.Kind += "x"
	o := open(t,
		Identity{Name: evil, State: Asking, Event: evil, Challenge: &Challenge{ID: evil, Kind: "question", Code: true, Question: evil, Device: evil}, Failure: f, PushPause: &pause},
		Identity{Name: evil + "2", State: SignedIn, Username: evil, By: evil, Until: now},
		Identity{Name: evil + "3", State: Asking, Challenge: &Challenge{ID: evil, Kind: evil, Number: evil, Device: evil}},
	)
	o.console.Journal().Note(Request{Time: now, Caller: evil, Identity: evil, Method: evil, Path: evil, Status: 500, Reason: evil})
	for _, path := range []string{Path, Path + "?said=" + url.QueryEscape(evil)} {
		root, text := o.page(path)
		if n := strings.Count(text, "alert(1)"); n < 15 {
			t.Errorf("only %d of the texts are there: %s", n, text)
		}
		scripts := 0
		for n := range root.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			switch n.Data {
			case "script":
				scripts++
			case "img", "style", "iframe", "base", "object":
				t.Errorf("there is a %s", n.Data)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
					t.Errorf("%s has %s=%q", n.Data, a.Key, a.Val)
				}
				if (a.Key == "href" || a.Key == "action" || a.Key == "src") && !strings.HasPrefix(a.Val, Path) {
					t.Errorf("%s leads to %q", n.Data, a.Val)
				}
				if a.Key == "id" && strings.ContainsAny(a.Val, " \t\n") {
					t.Errorf("%s has the id %q", n.Data, a.Val)
				}
			}
		}
		if scripts != 1 {
			t.Errorf("%d scripts", scripts)
		}
		if form(root, Path+"answer", evil) == nil {
			t.Error("the form for that identity has another name in it")
		}
	}
}

func TestLabelsBelongToTheirFields(t *testing.T) {
	o := open(t, Identity{Name: "a b", State: Asking, Challenge: &Challenge{ID: "1", Kind: "sms", Code: true, Again: true}}, Identity{Name: "a+b", State: SignedOut}, Identity{Name: "a%20b", State: Failed})
	root, _ := o.page(Path)
	ids := map[string]bool{}
	for n := range root.Descendants() {
		if id := attribute(n, "id"); id != "" {
			if ids[id] {
				t.Errorf("two have the id %q", id)
			}
			ids[id] = true
		}
	}
	for n := range root.Descendants() {
		for _, name := range []string{"for", "aria-labelledby", "aria-describedby"} {
			if id := attribute(n, name); id != "" && !ids[id] {
				t.Errorf("%s of %s is %q, which nothing has", name, n.Data, id)
			}
		}
	}
}

// TestWithoutAScript goes the way that a browser goes by itself.
func TestWithoutAScript(t *testing.T) {
	o := open(t,
		Identity{Name: "dora", State: Asking, Challenge: &Challenge{ID: "8", Kind: "sms", Code: true}},
		Identity{Name: "alice", State: SignedIn, Until: time.Now().Add(time.Hour)},
		Identity{Name: "erin", State: SignedOut},
	)
	root, _ := o.page(Path)
	for _, c := range []struct{ path, identity, field, value, did, said string }{
		{"answer", "dora", "answer", "123 456", "answer dora 8 123 456", "Sent. Whether it was right is seen in a moment."},
		{"sign-out", "alice", "", "", "sign-out alice", "Signed out."},
		{"sign-in", "erin", "", "", "sign-in erin ", "The sign-in has begun."},
	} {
		fields := form(root, Path+c.path, c.identity)
		if fields == nil {
			t.Fatalf("no form to %s for %s", c.path, c.identity)
		}
		if c.field != "" {
			if _, ok := fields[c.field]; !ok {
				t.Errorf("the form to %s has no field %s", c.path, c.field)
			}
			fields.Set(c.field, c.value)
		}
		w := o.send("POST", Path+c.path, fields)
		to := w.Header().Get("Location")
		if w.Code != http.StatusSeeOther || !strings.HasPrefix(to, Path+"?said=") {
			t.Fatalf("%s: %d, to %q: %s", c.path, w.Code, to, w.Body)
		}
		if _, text := o.page(to); !strings.Contains(text, c.said) {
			t.Errorf("no %q in %s", c.said, text)
		}
		o.console.wg.Wait()
		if did := o.done(); !strings.HasSuffix(did, c.did) {
			t.Errorf("done: %q, not %q", did, c.did)
		}
	}
	fields := form(root, Path+"sign-in", "erin")
	fields.Set("password", "typed")
	o.send("POST", Path+"sign-in", fields)
	o.console.wg.Wait()
	if did := o.done(); !strings.HasSuffix(did, "sign-in erin typed") {
		t.Errorf("done: %q", did)
	}
}

func TestAFormThatIsNotThePagesDoesNothing(t *testing.T) {
	o := open(t, Identity{Name: "alice", State: Asking, Challenge: &Challenge{ID: "8", Kind: "sms", Code: true}})
	stamp := o.console.stamp
	other := New(Config{Control: o.desk})
	t.Cleanup(other.Close)
	for _, path := range []string{"answer", "sign-in", "sign-out"} {
		for name, c := range map[string]struct {
			form url.Values
			want int
		}{
			"no stamp":         {url.Values{"identity": {"alice"}}, 403},
			"another's":        {url.Values{"identity": {"alice"}, "stamp": {other.stamp}}, 403},
			"a part of it":     {url.Values{"identity": {"alice"}, "stamp": {stamp[:5]}}, 403},
			"no identity":      {url.Values{"stamp": {stamp}}, 404},
			"another identity": {url.Values{"stamp": {stamp}, "identity": {"mallory"}}, 404},
			"too large":        {url.Values{"stamp": {stamp}, "identity": {"alice"}, "answer": {strings.Repeat("x", bodyMost)}}, 400},
		} {
			if w := o.send("POST", Path+path, c.form); w.Code != c.want || !strings.Contains(w.Body.String(), "Nothing was done") {
				t.Errorf("%s, %s: %d", path, name, w.Code)
			}
		}
		whole := url.Values{"stamp": {stamp}, "identity": {"alice"}}.Encode()
		r := httptest.NewRequest("POST", Path+path, strings.NewReader(whole))
		r.Header.Set("Content-Type", "text/plain")
		w := httptest.NewRecorder()
		if o.console.ServeHTTP(w, r); w.Code != http.StatusUnsupportedMediaType {
			t.Errorf("%s, as text: %d", path, w.Code)
		}
		// In the address it would be in logs, and in links.
		if w := o.send("POST", Path+path+"?"+whole, nil); w.Code != http.StatusForbidden {
			t.Errorf("%s, in the address: %d", path, w.Code)
		}
		if w := o.send("GET", Path+path+"?"+whole, nil); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
	if did := o.done(); did != "" {
		t.Errorf("done: %s", did)
	}
}

func TestWhatIsTypedIsNotShown(t *testing.T) {
	const typed = "s3cret-answer"
	o := open(t, Identity{Name: "alice", State: Asking, Challenge: &Challenge{ID: "8", Kind: "sms", Code: true}})
	for path, wants := range map[string]map[error]int{
		"answer":   {ErrNoChallenge: 409, ErrOver: 409, ErrAnswered: 409, ErrOnDevice: 409, ErrEmpty: 400, nil: 303},
		"sign-out": {errors.New("the Portal is away"): 502},
	} {
		for err, want := range wants {
			o.err = err
			w := o.send("POST", Path+path, url.Values{"stamp": {o.console.stamp}, "identity": {"alice"}, "challenge": {"8"}, "answer": {typed}, "password": {typed}})
			if w.Code != want || strings.Contains(w.Body.String(), typed) || strings.Contains(w.Header().Get("Location"), typed) {
				t.Errorf("%s with %v: %d %s", path, err, w.Code, w.Body)
			}
			if err != nil && !strings.Contains(w.Body.String(), err.Error()) {
				t.Errorf("%s does not say %q", path, err)
			}
		}
	}
	if strings.Contains(o.log.String(), typed) {
		t.Error("it is in the log")
	}
}

func TestThePageLooksAgainWithoutAScript(t *testing.T) {
	now := time.Now()
	code := &Challenge{ID: "1", Kind: "sms", Code: true}
	long := &Challenge{ID: "1", Kind: "sms", Code: true, Deadline: now.Add(90 * time.Second)}
	for name, c := range map[string]struct {
		identities []Identity
		want       int
	}{
		"at rest":                     {[]Identity{{Name: "a", State: SignedIn}, {Name: "b", State: Failed}}, 0},
		"a sign-in":                   {[]Identity{{Name: "a", State: SigningIn}}, 4},
		"a push":                      {[]Identity{{Name: "a", State: Asking, Challenge: &Challenge{Kind: "push"}}}, 4},
		"a code is typed":             {[]Identity{{Name: "a", State: SigningIn}, {Name: "b", State: Asking, Challenge: code}}, 0},
		"a code is typed, for a time": {[]Identity{{Name: "b", State: Asking, Challenge: long}, {Name: "c", State: SigningIn}}, 91},
	} {
		if got := reload(Snapshot{Time: now, Identities: c.identities}); got != c.want {
			t.Errorf("%s: %d s, not %d", name, got, c.want)
		}
	}
	o := open(t, Identity{Name: "a", State: SigningIn})
	if w := o.send("GET", Path, nil); !strings.Contains(w.Body.String(), `<noscript><meta http-equiv="refresh" content="4; url=/_arcproxy/"></noscript>`) {
		t.Error(w.Body)
	}
}

func TestThePagesFiles(t *testing.T) {
	o := open(t)
	for name, kind := range map[string]string{"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"} {
		w := o.send("GET", Path+name, nil)
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) || w.Body.Len() == 0 || w.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		for _, foreign := range []string{"http://", "https://", "url(", "@import"} {
			if name != "icon.svg" && strings.Contains(w.Body.String(), foreign) {
				t.Errorf("%s has %s", name, foreign)
			}
		}
	}
	w := o.send("GET", Path, nil)
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Content-Security-Policy": policy} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(w.Body.String(), "<style") || strings.Contains(w.Body.String(), " style=") {
		t.Error("there are inline styles")
	}
	for _, path := range []string{"page.html", "assets/page.html", "x"} {
		if w := o.send("GET", Path+path, nil); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}
