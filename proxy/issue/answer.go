package issue

import (
	"bytes"
	"cmp"
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"strings"
)

// call is one request on its way to an answer.
type call struct {
	*Issuer
	w      http.ResponseWriter
	r      *http.Request
	mount  string
	params params
	came   Outcome
}

// failed notes that the answer is a failure, also if HTTP is not told so.
func (c *call) failed(status int, why string) { c.came.Status, c.came.Reason = status, why }

// headers sets what every answer has. What the proxy has set before stays.
func (c *call) headers() http.Header {
	h := c.w.Header()
	h.Set("Cache-Control", "no-store") // RFC 6749, section 5.1
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	return h
}

func (c *call) write(status int, kind string, body []byte) {
	h := c.headers()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.came.Status = cmp.Or(c.came.Status, status)
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // an error means that the caller has left
}

// json answers with v. There is no callback, by which another site could read it.
func (c *call) json(status int, v any) {
	body, err := json.Marshal(v)
	if strings.EqualFold(c.params["f"], "pjson") {
		body, err = json.MarshalIndent(v, "", "  ")
	}
	if err != nil { // what is encoded here are strings and numbers
		status, body = http.StatusInternalServerError, nil
	}
	c.write(status, "application/json; charset=utf-8", body)
}

// wantsPage reports whether the answer is for a person.
func (c *call) wantsPage() bool {
	switch f := c.params["f"]; {
	case strings.EqualFold(f, "html"):
		return true
	case f != "":
		return false
	}
	return strings.Contains(c.r.Header.Get("Accept"), "text/html")
}

// failure is ArcGIS's shape of an error. The names after details are OAuth's.
type failure struct {
	Code        int      `json:"code"`
	Error       string   `json:"error,omitempty"`
	Description string   `json:"error_description,omitempty"`
	MessageCode string   `json:"messageCode,omitempty"`
	Message     string   `json:"message"`
	Details     []string `json:"details"`
}

// fail answers with an error. ArcGIS's are answers like any other to HTTP, and
// clients look for the code inside; those that ArcGIS does not have, such as that
// of a form that is too large, have a status of their own.
func (c *call) fail(status int, f failure) {
	if f.Details == nil {
		f.Details = []string{}
	}
	meant := status
	if status == http.StatusOK {
		meant = f.Code
	}
	c.failed(meant, strings.Join(append([]string{f.Message}, f.Details...), " "))
	c.json(status, map[string]failure{"error": f})
}

// oauthFail answers as oauth2/token does.
func (c *call) oauthFail(code int, kind, text string) {
	c.fail(http.StatusOK, failure{Code: code, Error: kind, Description: text, Message: text})
}

// onlyPost answers a request by another method, and reports whether it was one.
func (c *call) onlyPost() bool {
	if c.r.Method == http.MethodPost {
		return false
	}
	c.w.Header().Set("Allow", http.MethodPost)
	c.fail(http.StatusMethodNotAllowed, failure{Code: http.StatusMethodNotAllowed, Message: "Method not supported.", Details: []string{"Send this request by POST, with its parameters in the body."}})
	return true
}

// notice is a page with a form, a result or an error.
type notice struct {
	Title   string
	Message string
	// Info is what programs look for in the page: the object oAuthInfo.
	Info any
	// Action is where the form goes; "": there is none.
	Action     string
	State      string // of the sign-in that the form goes on with
	Expiration bool   // ask for it
	Where      string // the host that a token goes to
	Shown      string // a code or token to be copied
	Until      string // how long it is good
	Link       string // the path to go on at
	SignOut    bool   // ask whether to
}

// pages is the form of all of them. The script is not run, by its type and by the
// policy below; it comes before anything with braces, because the ArcGIS API for
// Python takes the first thing in braces for it.
var pages = template.Must(template.New("notice").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Title}}</title>
{{.Script}}
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem}label,input,button{display:block;font:inherit}input{width:100%;margin-bottom:1rem}</style></head>
<body><h1>{{.Heading}}</h1>{{with .Message}}<p>{{.}}</p>{{end}}
{{if .Action}}<form method="post" action="{{.Action}}" autocomplete="off">
{{with .State}}<input type="hidden" name="oauth_state" value="{{.}}">{{else}}<input type="hidden" name="f" value="html">{{end}}
<label>User name<input name="username" required autofocus></label>
<label>Password<input name="password" type="password" required></label>
{{if .Expiration}}<label>Minutes until it ends<input name="expiration" value="60" inputmode="numeric"></label>{{end}}
<button>{{if .State}}Sign in{{else}}Get a token{{end}}</button></form>
<p>The user name is that of a caller of this proxy, the password its caller key. Your own password is not known here: do not type it.</p>
{{with .Where}}<p>When you have signed in, <strong>{{.}}</strong> may act for you. Go on only if you have asked for that.</p>{{end}}{{end}}
{{with .Shown}}<p><input id="code" readonly value="{{.}}"></p>{{end}}{{with .Until}}<p>It ends at {{.}}.</p>{{end}}
{{if .SignOut}}<form method="post"><input type="hidden" name="f" value="html"><button>Sign out</button></form>{{end}}
{{with .Link}}<p><a href="{{.}}">Go on</a></p>{{end}}
</body></html>
`))

// page answers with n. The form in it may lead to any of targets, which browsers
// hold against the policy when they follow the redirect after it.
func (c *call) page(status int, n notice, targets ...string) {
	var script template.HTML
	if n.Info != nil {
		// The encoder escapes <, > and &, so nothing in it ends the element.
		info, _ := json.Marshal(n.Info)
		script = template.HTML(`<script type="text/plain">var oAuthInfo = ` + string(info) + `;</script>`)
	}
	heading, _, _ := strings.Cut(n.Title, " code=")
	var b bytes.Buffer
	if err := pages.Execute(&b, struct {
		notice
		Script  template.HTML
		Heading string
	}{n, script, heading}); err != nil {
		const broken = "the page cannot be shown"
		c.failed(http.StatusInternalServerError, broken)
		http.Error(c.w, broken, http.StatusInternalServerError)
		return
	}
	h := c.headers()
	// Not no-referrer: browsers would send the form with `Origin: null`.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; form-action "+strings.Join(append([]string{"'self'"}, targets...), " "))
	c.write(status, "text/html; charset=utf-8", b.Bytes())
}
