package okta

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var sidOf = regexp.MustCompile(`name="sid" value="([^"]*)"`)

// Test16Duo: the frame takes a request that Okta has signed, for a while, and Okta
// takes what Duo has signed, for that account.
func Test16Duo(t *testing.T) {
	base, _ := url.Parse(baseURL)
	at, _ := url.Parse("https://api-1.duo.test")
	settings := DefaultSettings()
	o, err := New(Config{BaseURL: base, DuoURL: at, Settings: &settings, Users: []User{
		{Login: "bob@example.com", Password: "battery staple", DuoSecret: secret},
		{Login: "eve@example.com", Password: "tr0ub4dor", DuoSecret: "MFRGGZDFMZTWQ2LK"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	frame := func(path string, v url.Values) string {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(v.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		o.Duo().ServeHTTP(w, r)
		return w.Body.String()
	}
	parent := url.Values{"v": {"2.8"}, "parent": {baseURL + "/signin/verify/duo/web"}}
	open := func(tx string) string {
		found := sidOf.FindStringSubmatch(frame("/frame/web/v1/auth?tx="+url.QueryEscape(tx)+"&"+parent.Encode(), nil))
		if found == nil {
			return ""
		}
		return found[1]
	}
	// prove takes a login's request through the frame, and returns Duo's signature.
	prove := func(tx, login string) string {
		sid := open(tx)
		code, err := o.TokenCode(login, "duo")
		if err != nil {
			t.Fatal(err)
		}
		prompt := func(passcode string) string {
			text := frame("/frame/prompt", url.Values{"sid": {sid}, "device": {"phone1"}, "factor": {"Passcode"}, "passcode": {passcode}})
			return regexp.MustCompile(`"txid":"([^"]*)"`).FindStringSubmatch(text)[1]
		}
		if text := frame("/frame/status", url.Values{"sid": {sid}, "txid": {prompt("000000")}}); !strings.Contains(text, "FAILURE") {
			t.Errorf("a wrong passcode: %s", text)
		}
		txid := prompt(code)
		if text := frame("/frame/status", url.Values{"sid": {"another"}, "txid": {txid}}); !strings.Contains(text, "FAIL") {
			t.Errorf("another session: %s", text)
		}
		if text := frame("/frame/status", url.Values{"sid": {sid}, "txid": {txid}}); !strings.Contains(text, "/frame/status/"+txid) {
			t.Errorf("a right passcode: %s", text)
		}
		return regexp.MustCompile(`"cookie":"([^"]*)"`).FindStringSubmatch(frame("/frame/status/"+txid, url.Values{"sid": {sid}}))[1]
	}
	begin := func(b *browser, login, password string) (r result, tx, app string) {
		r = b.primary(login, password).state(t, mfaRequired)
		r = b.post(r.verifyURL("web"), map[string]any{"stateToken": r.str("stateToken")}).state(t, mfaChallenge)
		if r.str("_links", "next", "name") != "poll" || r.str("_embedded", "factor", "_embedded", "verification", "host") != "api-1.duo.test" {
			t.Fatalf("challenge: %s", r.body)
		}
		tx, app, _ = strings.Cut(r.str("_embedded", "factor", "_embedded", "verification", "signature"), ":")
		return r, tx, app
	}
	b, e := newBrowser(t, o), newBrowser(t, o)
	r, tx, app := begin(b, "bob@example.com", "battery staple")
	other, eveTX, eveApp := begin(e, "eve@example.com", "tr0ub4dor")
	if open(tx+"0") != "" || open("TX|x|y") != "" {
		t.Error("a forged request was taken")
	}
	complete := func(r result, response string) result {
		id := r.str("_embedded", "factor", "id")
		return b.postForm(r.str("_embedded", "factor", "_embedded", "verification", "_links", "complete", "href"),
			url.Values{"id": {id}, "stateToken": {r.str("stateToken")}, "sig_response": {response}})
	}
	poll := func(r result) result {
		return b.post(r.str("_links", "next", "href"), map[string]any{"stateToken": r.str("stateToken")})
	}
	eve := prove(eveTX, "eve@example.com")
	complete(r, eve+":"+eveApp).want(t, 403, "E0000068")
	complete(r, eve+":"+app).want(t, 403, "E0000068")
	complete(r, tx+":"+app).want(t, 403, "E0000068")
	poll(r).state(t, mfaChallenge)
	if r := complete(r, prove(tx, "bob@example.com")+":"+app); r.status != 200 {
		t.Fatalf("Okta refuses Duo's signature: %s", r.body)
	}
	poll(r).state(t, success)
	poll(other).state(t, mfaChallenge)
}
