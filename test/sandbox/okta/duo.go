package okta

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// duo is Duo Security's side, as its Web SDK 2 has it: Okta signs a request, the
// browser takes it to Duo's frame, and brings Duo's signature back. Only what a
// passcode needs is simulated; a push by Duo is refused.
type duo struct {
	host           string // and port
	integration    string
	secret, appKey []byte              // of Duo and Okta together, of Okta alone
	frames         map[string]*account // by sid
	transactions   map[string]duoTry   // by txid
}

// duoTry is one passcode that was offered.
type duoTry struct {
	account *account
	good    bool
}

// duoLife is how long a signed request is good.
const duoLife = 5 * time.Minute

func newDuo(at *url.URL) *duo {
	return &duo{host: at.Host, integration: "DI" + rand.Text()[:18], secret: []byte(rand.Text()), appKey: []byte(rand.Text()),
		frames: map[string]*account{}, transactions: map[string]duoTry{}}
}

// sign makes PREFIX|user|signature.
func (d *duo) sign(prefix, user string, key []byte, until time.Time) string {
	cookie := prefix + "|" + base64.StdEncoding.EncodeToString([]byte(user+"|"+d.integration+"|"+strconv.FormatInt(until.Unix(), 10)))
	return cookie + "|" + signatureOf(cookie, key)
}

func signatureOf(text string, key []byte) string {
	mac := hmac.New(sha1.New, key)
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// open returns the user of what sign made, "" where it is not that or over.
func (d *duo) open(prefix, signed string, key []byte, now time.Time) string {
	parts := strings.Split(signed, "|")
	if len(parts) != 3 || parts[0] != prefix || !hmac.Equal([]byte(signatureOf(parts[0]+"|"+parts[1], key)), []byte(parts[2])) {
		return ""
	}
	text, err := base64.StdEncoding.DecodeString(parts[1])
	fields := strings.Split(string(text), "|")
	if err != nil || len(fields) != 3 || fields[1] != d.integration {
		return ""
	}
	if until, err := strconv.ParseInt(fields[2], 10, 64); err != nil || now.Unix() >= until {
		return ""
	}
	return fields[0]
}

// duoRequest is what Okta tells a client of Duo: the host, and what it has signed.
func (o *Org) duoRequest(c *call, a *account, complete string) hal {
	until := c.now.Add(duoLife)
	tx, app := o.duo.sign("TX", a.Login, o.duo.secret, until), o.duo.sign("APP", a.Login, o.duo.appKey, until)
	o.secrets[tx], o.secrets[app] = true, true
	return hal{
		"host": o.duo.host, "signature": tx + ":" + app, "factorResult": "WAITING",
		"_links": hal{
			"complete": o.link(complete, http.MethodPost),
			"script":   hal{"href": o.url("/js/sections/duo/Duo-Web-v2.js"), "type": "text/javascript; charset=utf-8"},
		},
	}
}

// duoGood reports whether a sig_response says that Duo let an account in.
func (o *Org) duoGood(c *call, a *account, response string) bool {
	authed, app, _ := strings.Cut(response, ":")
	return o.duo.open("AUTH", authed, o.duo.secret, c.now) == a.Login && o.duo.open("APP", app, o.duo.appKey, c.now) == a.Login
}

// verifyDuo begins Duo's frame, or polls what has become of it.
func (o *Org) verifyDuo(c *call, t *transaction, f *factor) answer {
	if t.status == mfaRequired {
		t.status, t.factor, t.result = mfaChallenge, f, "WAITING"
	} else if t.result == "SUCCESS" {
		return o.pass(c, t)
	}
	return o.show(c, t)
}

// duoCallback takes what Duo's frame gave to the browser; the verdict is polled.
func (o *Org) duoCallback(c *call) answer {
	if !formEncoded(c.r) {
		return fail(http.StatusUnsupportedMediaType, "E0000021")
	}
	form := c.r.PostForm
	t, bad := o.find(c, form.Get("stateToken"))
	if bad != nil {
		return *bad
	}
	if t.status != mfaChallenge || t.factor.kind != "web" || t.factor.id != c.r.PathValue("id") || form.Get("id") != t.factor.id {
		return wrongState()
	}
	if !o.duoGood(c, t.account, form.Get("sig_response")) {
		return o.judge(c, t, o.failed(t.account, "E0000068"))
	}
	t.result = "SUCCESS"
	return answer{status: http.StatusOK}
}

// Duo returns Duo's side as a handler for its own host; nil without Config.DuoURL.
func (o *Org) Duo() http.Handler {
	if o.duo == nil {
		return nil
	}
	mux := http.NewServeMux()
	for pattern, fn := range map[string]handler{
		"POST /frame/web/v1/auth":   o.duoFrame,
		"POST /frame/prompt":        o.duoPrompt,
		"POST /frame/status":        o.duoStatus,
		"POST /frame/status/{txid}": o.duoResult,
		"/":                         func(*call) answer { return answer{status: http.StatusNotFound} },
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			if err := r.ParseForm(); err != nil {
				http.Error(w, "bad form", http.StatusBadRequest)
				return
			}
			o.mu.Lock()
			c := &call{r: r, now: time.Now().Add(o.settings.ClockSkew)}
			o.counts.Requests["Duo "+r.Pattern]++
			a := fn(c)
			o.mu.Unlock()
			a.write(w)
		})
	}
	return mux
}

// duoFrame is the page inside the frame.
func (o *Org) duoFrame(c *call) answer {
	login := o.duo.open("TX", c.r.Form.Get("tx"), o.duo.secret, c.now)
	parent, err := url.Parse(c.r.Form.Get("parent"))
	a := o.users[strings.ToLower(login)]
	page := http.Header{"Content-Type": {"text/html; charset=utf-8"}}
	if a == nil || err != nil || origin(parent) != origin(o.base) || !strings.HasPrefix(c.r.Form.Get("v"), "2.") {
		return answer{status: http.StatusForbidden, header: page, body: []byte("<html><body><p>Access denied. The request is not authentic, or has expired.</p></body></html>")}
	}
	sid := rand.Text()
	o.secrets[sid] = true
	o.duo.frames[sid] = a
	return answer{status: http.StatusOK, header: page, body: fmt.Appendf(nil, `<html><head><title>Two-Factor Authentication</title></head><body>
<form action="/frame/prompt" method="POST" id="login-form"><input type="hidden" name="sid" value="%s">
<input type="hidden" name="url" value="/frame/prompt"><input type="hidden" name="out_of_date" value="">
<select name="device"><option value="phone1">iOS (XXX-XXX-6688)</option></select>
<input type="text" name="passcode"></form></body></html>`, html.EscapeString(sid))}
}

// duoSays is Duo's envelope.
func duoSays(v hal) answer {
	body, _ := json.Marshal(hal{"stat": "OK", "response": v})
	return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}, body: body}
}

func duoFails(message string) answer {
	body, _ := json.Marshal(hal{"stat": "FAIL", "message": message})
	return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}, body: body}
}

// duoPrompt takes a passcode.
func (o *Org) duoPrompt(c *call) answer {
	form := c.r.PostForm
	a := o.duo.frames[form.Get("sid")]
	switch {
	case a == nil:
		return duoFails("Invalid session")
	case form.Get("factor") != "Passcode" || form.Get("device") == "":
		return duoFails("Unknown authentication method")
	}
	o.counts.Passcodes++
	code, good := form.Get("passcode"), false
	for n := a.devices.duo; n <= a.devices.duo+10 && !good; n++ {
		if ok, err := hotp.ValidateCustom(code, n, a.DuoSecret, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}); err == nil && ok {
			a.devices.duo, good = n+1, true
		}
	}
	if !good {
		o.counts.MFAFailures++
	}
	txid := rand.Text()
	o.duo.transactions[txid] = duoTry{a, good}
	return duoSays(hal{"txid": txid})
}

// duoStatus tells what became of it.
func (o *Org) duoStatus(c *call) answer {
	txid := c.r.PostForm.Get("txid")
	try, ok := o.duo.transactions[txid]
	if !ok || o.duo.frames[c.r.PostForm.Get("sid")] != try.account {
		return duoFails("Unknown transaction")
	}
	if !try.good {
		delete(o.duo.transactions, txid)
		return duoSays(hal{"result": "FAILURE", "status": "Incorrect passcode. Please try again.", "status_code": "deny"})
	}
	return duoSays(hal{"result": "SUCCESS", "status": "Success. Logging you in...", "status_code": "allow", "result_url": "/frame/status/" + txid})
}

// duoResult hands out Duo's signature.
func (o *Org) duoResult(c *call) answer {
	try, ok := o.duo.transactions[c.r.PathValue("txid")]
	sid := c.r.PostForm.Get("sid")
	if !ok || !try.good || o.duo.frames[sid] != try.account {
		return duoFails("Unknown transaction")
	}
	delete(o.duo.transactions, c.r.PathValue("txid"))
	delete(o.duo.frames, sid)
	signed := o.duo.sign("AUTH", try.account.Login, o.duo.secret, c.now.Add(duoLife))
	o.secrets[signed] = true
	return duoSays(hal{"cookie": signed, "parent": o.url("/signin/verify/duo/web")})
}
