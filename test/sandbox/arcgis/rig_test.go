package arcgis_test

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crewjam/saml"
	"go.uber.org/goleak"
	"golang.org/x/net/html"

	"arcproxy/test/sandbox/arcgis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	site  = "https://gis.example.test"
	other = "https://gis2.example.test"
	open  = "https://open.example.test"
	oauth = site + "/portal/sharing/rest/oauth2/"
)

// idpKey is the identity provider's key: one for all tests, because making one takes long.
var idpKey = sync.OnceValues(func() (*rsa.PrivateKey, *x509.Certificate) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return key, cert
})

// rig is an installation with an identity provider of crewjam/saml's before it.
type rig struct {
	t   *testing.T
	p   *arcgis.Portal
	idp *saml.IdentityProvider
}

func newRig(t *testing.T, shape arcgis.Shape) *rig {
	t.Helper()
	parse := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	if shape.StickyCookie == arcgis.Seeded { // the rig has no cookies but those a test sends
		shape.StickyCookie = arcgis.Never
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	p, err := arcgis.New(arcgis.Config{
		Site: parse(site), Other: parse(other), Open: parse(open), Seed: seed, Shape: shape,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Members: []arcgis.Member{
			{Login: "alice@example.com", Username: "alice_gis", FirstName: "Alice", LastName: "Example"},
			{Login: "bob@example.com", Username: "bob_gis", FirstName: "Bob", LastName: "Example", Role: "org_user"},
			{Login: "ada@example.com", Username: "ada_gis", FirstName: "Ada", LastName: "Admin", Role: "org_admin"},
			{Login: "builtin", Username: "builtin_gis", Password: "a built-in password"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	r := &rig{t: t, p: p}
	key, cert := idpKey()
	r.idp = &saml.IdentityProvider{Key: key, Certificate: cert,
		MetadataURL: *parse("https://idp.example.test/metadata"), SSOURL: *parse("https://idp.example.test/sso"), ServiceProviderProvider: r}
	p.TrustIdP(r.idp.Metadata())
	return r
}

// GetServiceProvider implements saml.ServiceProviderProvider.
func (r *rig) GetServiceProvider(_ *http.Request, id string) (*saml.EntityDescriptor, error) {
	if sp := r.p.ServiceProvider(); sp.EntityID == id {
		return sp, nil
	}
	return nil, os.ErrNotExist
}

// answer is a response that was read to its end and decompressed.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	raw    []byte
	body   string
}

// do sends a request to the handler of its host.
func (r *rig) do(req *http.Request) answer {
	r.t.Helper()
	w := httptest.NewRecorder()
	switch req.URL.Host {
	case "gis2.example.test":
		r.p.Other().ServeHTTP(w, req)
	case "open.example.test":
		r.p.Open().ServeHTTP(w, req)
	default:
		r.p.ServeHTTP(w, req)
	}
	a := answer{t: r.t, status: w.Code, header: make(http.Header), raw: w.Body.Bytes()}
	for name, values := range w.Header() { // as a client reads them
		a.header[http.CanonicalHeaderKey(name)] = append(a.header[http.CanonicalHeaderKey(name)], values...)
	}
	a.body = string(a.raw)
	if a.header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(a.raw))
		if err != nil {
			r.t.Fatal(err)
		}
		plain, err := io.ReadAll(z)
		if err != nil {
			r.t.Fatal(err)
		}
		a.body = string(plain)
	}
	return a
}

// request makes a request; headers come as name, value, name, value.
func request(method, address string, body io.Reader, headers ...string) *http.Request {
	req := httptest.NewRequest(method, address, body)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header[headers[i]] = append(req.Header[headers[i]], headers[i+1])
	}
	return req
}

func (r *rig) get(address string, headers ...string) answer {
	r.t.Helper()
	return r.do(request(http.MethodGet, address, nil, headers...))
}

func (r *rig) post(address string, form url.Values, headers ...string) answer {
	r.t.Helper()
	return r.do(request(http.MethodPost, address, strings.NewReader(form.Encode()), append(headers, "Content-Type", "application/x-www-form-urlencoded")...))
}

// upload posts a multipart form with one file.
func (r *rig) upload(address string, fields map[string]string, name, file string, content []byte) answer {
	r.t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for k, v := range fields {
		if err := m.WriteField(k, v); err != nil {
			r.t.Fatal(err)
		}
	}
	if name != "" {
		w, err := m.CreateFormFile(name, file)
		if err != nil {
			r.t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		r.t.Fatal(err)
	}
	return r.do(request(http.MethodPost, address, &b, "Content-Type", m.FormDataContentType()))
}

// json decodes the answer, which must be JSON.
func (a answer) json() map[string]any {
	a.t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		a.t.Fatalf("not JSON: %.300s", a.body)
	}
	return v
}

// text returns a string of the answer's JSON.
func (a answer) text(key string) string {
	a.t.Helper()
	s, _ := a.json()[key].(string)
	return s
}

// errorCode returns the code of an ArcGIS error, 0 if the answer is none.
func (a answer) errorCode() int {
	var v struct {
		Error struct{ Code int }
	}
	_ = json.Unmarshal([]byte(a.body), &v)
	return v.Error.Code
}

// begin opens the sign-in page and returns oAuthInfo.
func (r *rig) begin(q url.Values) map[string]any {
	r.t.Helper()
	a := r.get(oauth + "authorize?" + q.Encode())
	_, object, ok := strings.Cut(a.body, "var oAuthInfo = ")
	if !ok {
		r.t.Fatalf("no oAuthInfo: %d %s", a.status, a.body)
	}
	var info map[string]any
	if err := json.NewDecoder(strings.NewReader(object)).Decode(&info); err != nil {
		r.t.Fatal(err)
	}
	return info
}

// handOff follows an answer to the identity provider: the request that a browser
// would send there.
func (r *rig) handOff(a answer) *http.Request {
	r.t.Helper()
	if to := a.header.Get("Location"); to != "" {
		return httptest.NewRequest(http.MethodGet, to, nil)
	}
	action, form := formOf(r.t, a.body)
	if action != "https://idp.example.test/sso" {
		r.t.Fatalf("no way to the identity provider: %d %s", a.status, a.body)
	}
	req := httptest.NewRequest(http.MethodPost, action, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := req.ParseForm(); err != nil {
		r.t.Fatal(err)
	}
	return req
}

// formOf returns the first form of a page.
func formOf(t *testing.T, page string) (action string, values url.Values) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	values = url.Values{}
	for n := range doc.Descendants() {
		attr := make(map[string]string)
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		if n.Data == "form" {
			action = attr["action"]
		}
		if attr["name"] != "" {
			values.Set(attr["name"], attr["value"])
		}
	}
	return action, values
}

// assert lets the identity provider answer a hand-off about a person. spoil, if
// it is not nil, changes the assertion before it is signed.
func (r *rig) assert(handOff *http.Request, login string, spoil func(*saml.IdpAuthnRequest)) url.Values {
	r.t.Helper()
	req, err := saml.NewIdpAuthnRequest(r.idp, handOff)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := req.Validate(); err != nil {
		r.t.Fatalf("the identity provider refuses the AuthnRequest: %v", err)
	}
	now := time.Now()
	session := &saml.Session{ID: "s", NameID: login, CreateTime: now, ExpireTime: now.Add(time.Hour), Index: "1", UserName: login}
	if err := (saml.DefaultAssertionMaker{}).MakeAssertion(req, session); err != nil {
		r.t.Fatal(err)
	}
	if spoil != nil {
		spoil(req)
	}
	form, err := req.PostBinding()
	if err != nil {
		r.t.Fatal(err)
	}
	return url.Values{"SAMLResponse": {form.SAMLResponse}, "RelayState": {form.RelayState}}
}

const verifier = "a-verifier-of-43-characters-at-least-0123456789"

// authorization is a good authorization request, changed by name, value, name, value.
func authorization(changes ...string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{"client_id": {"arcproxytest"}, "response_type": {"code"}, "redirect_uri": {"http://localhost/callback"}, "state": {"s=1&2"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	return change(q, changes...)
}

func change(q url.Values, changes ...string) url.Values {
	for i := 0; i+1 < len(changes); i += 2 {
		if changes[i+1] == "" {
			q.Del(changes[i])
			continue
		}
		q.Set(changes[i], changes[i+1])
	}
	return q
}

// signIn walks to the answer of the assertion consumer.
func (r *rig) signIn(login string, changes ...string) answer {
	r.t.Helper()
	info := r.begin(authorization(changes...))
	state, _ := info["oauth_state"].(string)
	a := r.get(oauth + "saml/authorize?oauth_state=" + url.QueryEscape(state))
	return r.post(oauth+"saml/signin", r.assert(r.handOff(a), login, nil))
}

// code returns the code of a redirect to the application.
func (a answer) code() string {
	a.t.Helper()
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusFound || to.Query().Get("code") == "" {
		a.t.Fatalf("no code: %d %s %s", a.status, to, a.body)
	}
	return to.Query().Get("code")
}

// redemption is a good token request for a code.
func redemption(code string, changes ...string) url.Values {
	return change(url.Values{"grant_type": {"authorization_code"}, "client_id": {"arcproxytest"}, "code": {code},
		"redirect_uri": {"http://localhost/callback"}, "code_verifier": {verifier}}, changes...)
}

// grant signs in and returns what the token endpoint answers.
func (r *rig) grant(login string, changes ...string) answer {
	r.t.Helper()
	a := r.post(oauth+"token", redemption(r.signIn(login, changes...).code()))
	if a.text("access_token") == "" {
		r.t.Fatalf("no token: %s", a.body)
	}
	return a
}

const self = site + "/portal/sharing/rest/community/self?f=json"

// works reports whether the Portal takes a token.
func (r *rig) works(token string) bool {
	r.t.Helper()
	return strings.Contains(r.get(self+"&token="+token).body, `"username"`)
}

// reencode changes the XML inside a SAMLResponse.
func reencode(t *testing.T, response string, change func(string) string) string {
	t.Helper()
	xml, err := base64.StdEncoding.DecodeString(response)
	if err != nil {
		t.Fatal(err)
	}
	changed := change(string(xml))
	if changed == string(xml) {
		t.Fatal("nothing was changed")
	}
	return base64.StdEncoding.EncodeToString([]byte(changed))
}
