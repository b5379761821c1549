package sandbox_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"

	"arcproxy/test/sandbox"
	"arcproxy/test/sandbox/arcgis"
	"arcproxy/test/sandbox/okta"
)

// browser is a client with cookies that does what a person's browser would do,
// and nothing more. It follows no redirect by itself.
type browser struct {
	t    *testing.T
	sb   *sandbox.Sandbox
	http *http.Client
}

func newBrowser(t *testing.T, sb *sandbox.Sandbox) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, sb: sb, http: &http.Client{
		Transport:     sb.Transport(),
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// page is an answer that was read to its end.
type page struct {
	status int
	header http.Header
	body   string
	url    *url.URL
}

func (b *browser) do(req *http.Request) page {
	b.t.Helper()
	req.Header.Set("Accept-Encoding", "gzip")
	res, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	var in io.Reader = res.Body
	if res.Header.Get("Content-Encoding") == "gzip" {
		if in, err = gzip.NewReader(res.Body); err != nil {
			b.t.Fatal(err)
		}
	}
	body, err := io.ReadAll(in)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{status: res.StatusCode, header: res.Header, body: string(body), url: req.URL}
}

func (b *browser) get(address string) page {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

func (b *browser) post(address string, form url.Values) page {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

// follow goes on from a page that is a redirect or a form that submits itself.
func (b *browser) follow(p page) page {
	b.t.Helper()
	if to := p.header.Get("Location"); to != "" {
		u, err := p.url.Parse(to)
		if err != nil {
			b.t.Fatal(err)
		}
		return b.get(u.String())
	}
	doc, err := html.Parse(strings.NewReader(p.body))
	if err != nil {
		b.t.Fatal(err)
	}
	var action string
	form := url.Values{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		inputs := url.Values{}
		for i := range n.Descendants() {
			if name := attribute(i, "name"); name != "" {
				inputs.Set(name, attribute(i, "value"))
			}
		}
		if inputs.Has("SAMLRequest") || inputs.Has("SAMLResponse") { // pages have other forms too
			action, form = attribute(n, "action"), inputs
		}
	}
	if action == "" {
		b.t.Fatalf("no way on from %s: %d %.500s", p.url.Path, p.status, p.body)
	}
	return b.post(action, form)
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// signIn walks from the Portal to Okta and back, and returns the code's page or redirect.
func (b *browser) signIn(user sandbox.User, q url.Values) page {
	b.t.Helper()
	base := b.sb.PortalURL.String() + "/sharing/rest/oauth2/"
	p := b.get(base + "authorize?" + q.Encode())
	_, object, ok := strings.Cut(p.body, "oAuthInfo = ")
	if !ok {
		b.t.Fatalf("no oAuthInfo: %s", p.body)
	}
	var info struct {
		OAuthState     string `json:"oauth_state"`
		FederationInfo struct {
			IDPAuthorizeURL string `json:"idpAuthorizeUrl"`
		} `json:"federationInfo"`
	}
	if err := json.NewDecoder(strings.NewReader(object)).Decode(&info); err != nil {
		b.t.Fatal(err)
	}
	p = b.get(info.FederationInfo.IDPAuthorizeURL + "?oauth_state=" + url.QueryEscape(info.OAuthState))
	p = b.follow(p) // to Okta, whose page shows a sign-in form
	credentials, _ := json.Marshal(map[string]string{"username": user.Login, "password": user.Password})
	req, _ := http.NewRequest(http.MethodPost, b.sb.OktaURL.String()+"/api/v1/authn", bytes.NewReader(credentials))
	req.Header.Set("Content-Type", "application/json")
	var answer struct{ SessionToken string }
	if err := json.Unmarshal([]byte(b.do(req).body), &answer); err != nil || answer.SessionToken == "" {
		b.t.Fatalf("no sessionToken: %v", err)
	}
	// okta.md §3 B: the application's own address, with the sessionToken.
	again := *p.url
	p = b.get(b.sb.OktaURL.String() + "/login/sessionCookieRedirect?" + url.Values{"token": {answer.SessionToken}, "redirectUrl": {again.String()}, "checkAccountSetupComplete": {"true"}}.Encode())
	p = b.follow(p)
	for range 5 {
		if strings.Contains(p.body, "SAMLResponse") {
			return b.follow(p)
		}
		p = b.follow(p)
	}
	b.t.Fatalf("no assertion: %d %s", p.status, p.body)
	return p
}

func authorization() url.Values {
	return url.Values{"client_id": {"arcproxytest"}, "response_type": {"code"}, "expiration": {"20160"},
		"redirect_uri": {"http://localhost/callback"}, "state": {"st&te"}}
}

// token signs a user in and returns what oauth2/token answers.
func (b *browser) token(user sandbox.User) map[string]any {
	b.t.Helper()
	p := b.signIn(user, authorization())
	to, err := url.Parse(p.header.Get("Location"))
	if err != nil || to.Query().Get("code") == "" || to.Query().Get("state") != "st&te" {
		b.t.Fatalf("no code: %d %s %s", p.status, to, p.body)
	}
	p = b.post(b.sb.PortalURL.String()+"/sharing/rest/oauth2/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {"arcproxytest"},
		"redirect_uri": {"http://localhost/callback"}, "code": {to.Query().Get("code")}})
	var answer map[string]any
	if err := json.Unmarshal([]byte(p.body), &answer); err != nil {
		b.t.Fatal(err)
	}
	return answer
}

func TestSignInWalk(t *testing.T) {
	t.Run("pipes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sb := sandbox.New(sandbox.Config{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Shape: arcgis.Shape{PostBinding: arcgis.Never}, Okta: plainPages()})
			defer sb.Close()
			walk(t, sb)
			time.Sleep(31 * time.Minute) // in the bubble's time
			b := newBrowser(t, sb)
			if p := b.get(sb.PortalURL.String() + "/sharing/rest/community/self?f=json&token=" + sb.Portal.Secrets()[0]); strings.Contains(p.body, "fullName") {
				t.Error("a token outlived its time")
			}
		})
	})
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("sockets, TLS %v", secure), func(t *testing.T) {
			sb, err := sandbox.Start(sandbox.Config{TLS: secure, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Shape: arcgis.Shape{PostBinding: arcgis.Never}, Okta: plainPages()})
			if err != nil {
				t.Fatal(err)
			}
			defer sb.Close()
			walk(t, sb)
		})
	}
}

// plainPages makes Okta send forms where it could send scripts, which browser does not run.
func plainPages() *okta.Settings {
	s := okta.DefaultSettings()
	s.SessionPage = okta.SessionForm
	return &s
}

// walk signs carol in and asks the Portal and its servers who she is.
func walk(t *testing.T, sb *sandbox.Sandbox) {
	carol := sb.User("carol")
	b := newBrowser(t, sb)
	answer := b.token(carol)
	token, _ := answer["access_token"].(string)
	if token == "" || answer["username"] != carol.GISUsername {
		t.Fatalf("token answer %v", answer)
	}
	if p := b.get(sb.PortalURL.String() + "/sharing/rest/portals/self?f=json&token=" + token); !strings.Contains(p.body, "Carol Example") {
		t.Errorf("portals/self does not know carol: %s", p.body)
	}
	for _, server := range []*url.URL{sb.ServerURL, sb.OtherServerURL} {
		p := b.get(server.String() + "/rest/services/Trees/FeatureServer/0/query?where=1%3D1&returnCountOnly=true&f=json&token=" + token)
		if p.body != `{"count":3200}` {
			t.Errorf("%s: %s", server, p.body)
		}
	}
	if p := b.get(sb.OpenServerURL.String() + "/rest/services/Parks/FeatureServer/0/query?where=1%3D1&returnCountOnly=true&f=json"); p.body != `{"count":3200}` {
		t.Errorf("open server: %s", p.body)
	}
	if n := sb.Portal.Counts().SignIns; n != 1 {
		t.Errorf("%d sign-ins", n)
	}
}
