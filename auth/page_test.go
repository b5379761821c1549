package auth_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"arcproxy/auth"
)

func at(t testing.TB, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestForms(t *testing.T) {
	p := &auth.Page{URL: at(t, "https://example.okta.test/app/x"), Status: 200, Header: http.Header{}, Body: []byte(`<!DOCTYPE html>
<title>Signing&nbsp;in &amp; more</title>
<!-- <form id="appForm" action="https://old.example/"><input name="SAMLResponse" value="old"></form> -->
<script type="text/template"><form><input name="SAMLResponse" value="template"></form></script>
<form action="/search"><input name="q" value="x"><input type=submit name=go value=go></form>
<table><form id="appForm" action="https&#x3a;&#x2f;&#x2f;gis.example.test&#x2f;saml" method="POST"><tr><td>
<input type="hidden" name="SAMLResponse" value="PHNhbWw&#x2b;Cg&#x3d;&#x3d;"/>
<input type="hidden" name="RelayState" value=""/>
<input type="checkbox" name="unchecked" value="1"><input type="checkbox" name="checked" value="1" checked>
</td></tr></form></table>
<input id="code" value="outside" name="nobody">`)}
	form, ok := p.FormWith("SAMLResponse", "RelayState")
	if !ok {
		t.Fatal("no form")
	}
	if form.ID != "appForm" || form.Method != "POST" || form.Action.String() != "https://gis.example.test/saml" {
		t.Errorf("%+v", form)
	}
	if form.Fields.Get("SAMLResponse") != "PHNhbWw+Cg==" {
		t.Errorf("SAMLResponse %q", form.Fields.Get("SAMLResponse"))
	}
	if v, ok := form.Fields["RelayState"]; !ok || len(v) != 1 || v[0] != "" {
		t.Errorf("an empty RelayState is not kept: %q", v)
	}
	if form.Has("unchecked") || !form.Has("checked") || form.Has("nobody") {
		t.Errorf("fields %v", form.Fields)
	}
	if len(p.Forms()) != 2 || p.Forms()[0].Has("go") || p.Forms()[0].Action.String() != "https://example.okta.test/search" || p.Forms()[0].Method != "GET" {
		t.Errorf("forms %+v", p.Forms())
	}
	if v, ok := p.Input("code"); !ok || v != "outside" {
		t.Errorf("input %q %v", v, ok)
	}
	if p.Title() != "Signing\u00a0in & more" {
		t.Errorf("title %q", p.Title())
	}
	if _, ok := p.FormWith("nothing"); ok {
		t.Error("a form with a field that does not exist")
	}
	if seen := p.Seen(); strings.Contains(seen, "PHNh") || !strings.Contains(seen, "SAMLResponse") {
		t.Errorf("seen %q", seen)
	}
}

func TestScriptStrings(t *testing.T) {
	for script, want := range map[string]string{
		`var stateToken = '00abc\x2Ddef';`:                          "00abc-def",
		`var stateToken="00abc\u002Ddef"`:                           "00abc-def",
		`var stateToken='\u{2d}\u{1F600}\uD83D\uDE00'`:              "-😀😀",
		`oktaData={"a":function(){},"stateToken":"eyJ\x2Dx"}`:       "eyJ-x",
		`{stateToken : 'x'}`:                                        "x",
		`'stateToken':'x'`:                                          "x",
		`var stateTokenOther='no'; var notstateToken='no'; x`:       "<none>",
		`stateToken == 'x'`:                                         "<none>",
		`stateToken = other`:                                        "<none>",
		`stateToken = 'never closed`:                                "<none>",
		"stateToken = 'two\nlines'":                                 "<none>",
		`stateToken = 'bad\xZZ'; var stateToken = 'good'`:           "good",
		`stateToken = ''`:                                           "",
		`stateToken = 'it\'s \"\\\/\n\t\b\f\v\r\0\101 \q'`:          "it's \"\\/\n\t\b\f\v\r\x00A q",
		"stateToken = 'a\\\nb\\\r\nc'":                              "abc",
		`stateToken = '\uD83D!'`:                                    "\uFFFD!",
		`stateToken = '\u12'`:                                       "<none>",
		`stateToken = '\u{110000}'`:                                 "<none>",
		`location = 'https://x/?stateToken=00a&b'; stateToken ='z'`: "z",
	} {
		got := "<none>"
		if found := auth.ScriptStrings(script, "stateToken"); len(found) > 0 {
			got = found[0]
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
	if n := len(auth.ScriptStrings(strings.Repeat("a='b';", 1e5), "a")); n > 64 {
		t.Errorf("%d found", n)
	}
}

func TestScriptJSON(t *testing.T) {
	for script, want := range map[string]string{
		`var oAuthInfo = {"oauth_state":"x} \" {"};require()`:           `x} " {`,
		"var oAuthInfo = {\"oauth_state\":\"x\"}\n require([])":         "x",
		`oAuthInfo={"oauth_state":"x"`:                                  "<none>",
		`oAuthInfo = function(){}; var oAuthInfo = {"oauth_state":"y"}`: "y",
		`start({oAuthInfo: oAuthInfo})`:                                 "<none>",
	} {
		var info struct {
			State string `json:"oauth_state"`
		}
		got := "<none>"
		if auth.ScriptJSON(script, "oAuthInfo", &info) {
			got = info.State
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
}

func TestScriptRedirect(t *testing.T) {
	for script, want := range map[string]string{
		`window.location.href='https\x3A\x2F\x2Fx\x2Flogin\x2Fstep\x2Dup\x2Fredirect\x3FstateToken\x3D00a';`: "https://x/login/step-up/redirect?stateToken=00a",
		`window.location = "/y"`:           "/y",
		`location.replace( '/z')`:          "/z",
		`top.location.assign("/a")`:        "/a",
		`var a = {href: '/no'}`:            "",
		`link.href = '/no'`:                "",
		`window.location.href = somewhere`: "",
	} {
		if got, ok := auth.ScriptRedirect(script); got != want || ok != (want != "") {
			t.Errorf("%s: got %q %v, want %q", script, got, ok, want)
		}
	}
}

func TestScriptTrue(t *testing.T) {
	for script, want := range map[string]bool{
		`var repost = true;`: true, `{"repost":true}`: true, `repost = false`: false, `repost: repost`: false, `repost=trueish`: false, `norepost=true`: false,
	} {
		if auth.ScriptTrue(script, "repost") != want {
			t.Errorf("%s: want %v", script, want)
		}
	}
}

func TestOrigin(t *testing.T) {
	for in, want := range map[string]string{
		"https://Example.com/x?y":   "https://example.com",
		"https://example.com:443":   "https://example.com",
		"http://example.com:80":     "http://example.com",
		"https://example.com:8443":  "https://example.com:8443",
		"https://example.com.":      "https://example.com",
		"http://[::1]:8080/":        "http://[::1]:8080",
		"https://user@example.com":  "https://example.com",
		"urn:ietf:wg:oauth:2.0:oob": "",
		"javascript:alert(1)":       "",
		"ftp://example.com":         "",
		"//example.com":             "",
		"/relative":                 "",
		"https:example.com":         "",
	} {
		if got := auth.Origin(at(t, in)); got != want {
			t.Errorf("Origin(%s) = %q, want %q", in, got, want)
		}
	}
	if auth.Origin(nil) != "" || auth.SameOrigin(at(t, "/a"), at(t, "/a")) {
		t.Error("no origin is the same as no other")
	}
}

func FuzzPage(f *testing.F) {
	for _, seed := range []string{
		`<form id=appForm action="https&#x3a;//x/" method=POST><input name=SAMLResponse value="a&#x2b;b"><input name=RelayState></form>`,
		`<title>SUCCESS code=x</title><input id="code" value="x">`,
		`<script>var oAuthInfo = {"oauth_state":"x"}</script>`,
		`<script>oktaData={"a":function(){},"stateToken":"\x2D"}</script><!-- <script> -->`,
		"<form action='://%zz'><form><input name=a></form>", "<script", "<title><title>", "\x00<\xff>",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p := &auth.Page{URL: at(t, "https://example.okta.test/app/x"), Status: 200, Header: http.Header{}, Body: body}
		for _, form := range p.Forms() {
			if form.Fields == nil || form.Method != "GET" && form.Method != "POST" {
				t.Errorf("%+v", form)
			}
		}
		if seen := p.Seen(); len(seen) > 4096 || !utf8.ValidString(seen) {
			t.Errorf("%q", seen)
		}
		p.FormWith("SAMLResponse")
		p.Input("code")
		var v any
		auth.ScriptJSON(p.Scripts(), "oAuthInfo", &v)
		auth.ScriptStrings(p.Scripts(), "stateToken")
		auth.ScriptRedirect(p.Scripts())
	})
}

// FuzzScript holds the decoder against encoding/json, whose strings are a subset
// of JavaScript's.
func FuzzScript(f *testing.F) {
	for _, seed := range []string{`a`, `\x2D`, `\u002D`, `\u{2d}`, `\uD83D\uDE00`, `\`, `"`, `'`, "\u2028", "é", "\xff", `\0`, `\777`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		auth.ScriptStrings("x='"+text+"'", "x")
		auth.ScriptStrings(text, "x")
		auth.ScriptRedirect(text)
		quoted := `"` + text + `"`
		var want string
		if json.Unmarshal([]byte(quoted), &want) != nil {
			return
		}
		got := auth.ScriptStrings("var x = "+quoted+";", "x")
		if utf8.ValidString(text) && (len(got) == 0 || got[0] != want) {
			t.Errorf("%s: got %q, want %q", quoted, got, want)
		}
	})
}
