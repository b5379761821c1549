package attack

import (
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"arcproxy/test/sandbox"
	"arcproxy/test/sandbox/arcgis"
	"arcproxy/test/sandbox/okta"
)

// tamper changes an answer of Okta or the Portal on its way.
type tamper func(r *http.Request, answer *httptest.ResponseRecorder)

// between is a sandbox whose answers can be tampered with.
type between struct {
	okta, portal *httptest.Server
	org          *okta.Org
	gis          *arcgis.Portal
	users        []sandbox.User

	mu      sync.Mutex // guards what follows
	tamper  tamper
	touched int // answers that it has changed
}

// newBetween puts an Okta org and a Portal behind servers that tamper.
func newBetween(t *testing.T, shape arcgis.Shape) *between {
	t.Helper()
	b := &between{users: sandbox.DefaultUsers()}
	pass := func(h func() http.Handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			answer := httptest.NewRecorder()
			h().ServeHTTP(answer, r)
			b.change(r, answer)
			for name, values := range answer.Header() {
				w.Header()[name] = values
			}
			w.Header().Set("Content-Length", strconv.Itoa(answer.Body.Len()))
			w.WriteHeader(answer.Code)
			_, _ = w.Write(answer.Body.Bytes())
		}
	}
	b.okta = httptest.NewServer(pass(func() http.Handler { return b.org }))
	b.portal = httptest.NewServer(pass(func() http.Handler { return b.gis }))
	t.Cleanup(func() {
		b.okta.Close()
		b.portal.Close()
		b.gis.Close()
	})
	oktaURL, _ := url.Parse(b.okta.URL)
	_, port, _ := net.SplitHostPort(b.portal.Listener.Addr().String())
	site := &url.URL{Scheme: "http", Host: "localhost:" + port} // another host for cookies
	var accounts []okta.User
	var members []arcgis.Member
	for _, u := range b.users {
		accounts = append(accounts, u.User)
		members = append(members, arcgis.Member{Login: u.Login, Username: u.GISUsername, FirstName: u.FirstName, LastName: u.LastName, Email: u.Email})
	}
	log := slog.New(slog.DiscardHandler)
	var err error
	if b.org, err = okta.New(okta.Config{BaseURL: oktaURL, Users: accounts, Seed: 1, Log: log}); err != nil {
		t.Fatal(err)
	}
	nowhere := &url.URL{Scheme: "http", Host: "localhost:1"}
	if b.gis, err = arcgis.New(arcgis.Config{Site: site, Other: nowhere, Open: nowhere, Members: members, Seed: 1, Shape: shape, Log: log}); err != nil {
		t.Fatal(err)
	}
	b.org.RegisterApp("ArcGIS Enterprise", b.gis.ServiceProvider())
	b.gis.TrustIdP(b.org.Metadata())
	return b
}

// change changes an answer, and counts it if there is a difference.
func (b *between) change(r *http.Request, answer *httptest.ResponseRecorder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tamper == nil {
		return
	}
	code, header, body := answer.Code, answer.Header().Clone(), answer.Body.String()
	b.tamper(r, answer)
	if answer.Code != code || answer.Body.String() != body || !maps.EqualFunc(header, answer.Header(), slices.Equal) {
		b.touched++
	}
}

// set decides how answers are changed from now on, and returns how many have
// been until now.
func (b *between) set(change tamper) (touched int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	touched, b.touched, b.tamper = b.touched, 0, change
	return touched
}

// shapes are ways in which a Portal hands a sign-in over, each of which is
// tampered with.
var shapes = map[string]arcgis.Shape{
	"forms":     {PostBinding: arcgis.Always},
	"redirects": {PostBinding: arcgis.Never, SAMLOnly: true},
}

// TestEvilPages is row 35: Okta's or the Portal's pages, redirects, forms and
// links lead to another host, at every step of a sign-in where a password, a
// session, an assertion, a code or a token would go there. Nobody goes there,
// and the caller is told in an answer that holds no secret. A sign-in that takes
// no notice and goes well is as good.
func TestEvilPages(t *testing.T) {
	tr := newTrap(t)
	touched := map[string]int{} // by name of the case
	for shape := range shapes {
		for name := range (site{}).tampers() {
			t.Run(name+" by "+shape, func(t *testing.T) {
				b := newBetween(t, shapes[shape])
				portal := b.gis.URL()
				change := site{evil: tr.address, okta: b.okta.Listener.Addr().String(), portal: portal.Host}.tampers()[name]
				b.set(change)
				identity := "carol"
				if strings.HasPrefix(name, "Okta's links") {
					identity = "alice" // whose second factor has some
				}
				who := strings.Replace(anyone, "carol", identity, 1)
				d, p := serve(t, settings{portal: portal.String(), okta: b.okta.URL, callers: who, log: "json"}.write(t, b))
				a := &attempt{T: t, at: &target{trap: tr}}
				x := exchange1(d.address, a.fill("GET /portal/sharing/rest/community/self?f=json HTTP/1.1\n{host}\nConnection: close\n\n", d))
				if n := tr.caught(t); n > 0 {
					t.Errorf("the foreign host is connected to %d times", n)
				}
				touched[name] += b.set(nil)
				signedIn := x.status() == http.StatusOK && strings.Contains(string(x.raw), identity)
				t.Logf("%d %.300s", x.status(), x.first().body)
				if x.hung || !signedIn && x.status() < 500 || !signedIn && change == nil {
					t.Errorf("the caller gets %q", x.raw)
				}
				secrets := append(b.org.Secrets(), b.gis.Secrets()...)
				for _, secret := range secrets {
					if strings.Contains(string(x.raw), secret) {
						t.Errorf("the answer holds %q: %s", secret, x.raw)
					}
				}
				searchLog(t, p.Output(), secrets)
			})
		}
	}
	for name, n := range touched {
		if n == 0 && name != "honest" {
			t.Errorf("%s: no answer was changed, so nothing was tried", name)
		}
	}
}

// User returns one of the accounts.
func (b *between) User(name string) sandbox.User {
	for _, u := range b.users {
		if u.Name == name {
			return u
		}
	}
	panic("no user " + name)
}
