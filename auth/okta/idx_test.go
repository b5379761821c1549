package okta

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"arcproxy/auth"
)

// engineOf makes an Identity Engine of documents, by the path that they answer:
// several of one path in turn, the last again and again. What is posted is noted.
func engineOf(answers map[string][]string, posts *[]string) trip {
	asked := map[string]int{}
	return func(r *http.Request) (int, string) {
		path := strings.TrimPrefix(r.URL.Path, "/idp/idx/")
		if r.Method == http.MethodGet {
			if strings.HasPrefix(r.URL.Path, "/login/") {
				*posts = append(*posts, "GET "+r.URL.RequestURI())
				return 200, `<form id=appForm method=post action="https://gis.test/x"><input name=SAMLResponse value=x></form>`
			}
			return 200, `<script>var stateToken='eyJ\x2Dx'</script>`
		}
		var in map[string]any
		_ = json.Unmarshal([]byte(bodyOf(r)), &in)
		*posts = append(*posts, fmt.Sprintf("%s%s %v %s", path, spelled(in), in["stateHandle"], r.Header.Get("Content-Type")))
		list := answers[path]
		if len(list) == 0 {
			return 404, ""
		}
		asked[path]++
		text := list[min(asked[path], len(list))-1]
		if strings.HasPrefix(text, "4") || strings.HasPrefix(text, "5") {
			var status int
			_, _ = fmt.Sscan(text[:3], &status)
			return status, text[3:]
		}
		return 200, text
	}
}

// count returns how many of posts begin with prefix.
func count(posts []string, prefix string) int {
	n := 0
	for _, p := range posts {
		if strings.HasPrefix(p, prefix) {
			n++
		}
	}
	return n
}

// TestIDXForms: the address, the type, what is fixed and the stateHandle of each
// request are those of the form that was given last; success is followed as it was
// given.
func TestIDXForms(t *testing.T) {
	identify := strings.ReplaceAll(form("identify", "identify", needed("identifier")), "02now", "02first")
	identify = strings.Replace(identify, "application/json; okta-version=1.0.0", "application/vnd.okta.v1+json", 1)
	password := strings.ReplaceAll(form("challenge-authenticator", "challenge/answer", nested("credentials", secretField("passcode"))), "02now", "02second")
	password = strings.Replace(password, "application/json; okta-version=1.0.0", "text/html", 1)
	var posts []string
	_, err := signIn(t, auth.Identity{}, engineOf(map[string][]string{
		"introspect":       {doc(forms(identify))},
		"identify":         {doc(forms(password), current(accounts, "okta_password", "password", "password"))},
		"challenge/answer": {`{"success":{"href":"/login/token/redirect?stateToken=02%7Eend&x=a+b%20c"}}`},
	}, &posts))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"introspect(stateToken) <nil> " + ionType,
		"identify(identifier) 02first application/vnd.okta.v1+json",
		"challenge/answer(credentials(passcode)) 02second " + ionType,
		"GET /login/token/redirect?stateToken=02%7Eend&x=a+b%20c",
	}
	if strings.Join(posts, "\n") != strings.Join(want, "\n") {
		t.Errorf("sent\n%s\nwant\n%s", strings.Join(posts, "\n"), strings.Join(want, "\n"))
	}
}

var (
	idxPush   = doc(forms(form("challenge-poll", "challenge/poll")), current(orgs, "okta_verify", "app", "push"), `"cancel":`+form("cancel", "cancel"))
	idxChoice = doc(method("push"), account("okta_verify", "app", "push"), `"cancel":`+form("cancel", "cancel"))
	idxSMS    = doc(forms(form("challenge-authenticator", "challenge/answer", nested("credentials", field("passcode")))), current(accounts, "phone_number", "phone", "sms"), `"cancel":`+form("cancel", "cancel"))
	idxTexts  = doc(method("sms"), account("phone_number", "phone", "sms"), `"cancel":`+form("cancel", "cancel"))
)

// TestIDXUnknownEnd: after a person was reached, an answer that says nothing of it is
// a failure of the factor, whose pause keeps the next sign-in from reaching them at
// once. Nobody is reached twice, and what is left is cancelled.
func TestIDXUnknownEnd(t *testing.T) {
	expired := `401` + doc(nil, messagesOf(message("idx.session.expired", "ERROR")))
	refused := `401` + strings.Replace(idxSMS, `"version"`, messagesOf(message("api.authn.error.PASSCODE_INVALID", "ERROR"))+`,"version"`, 1)
	for name, c := range map[string]struct {
		factor    auth.Factor
		answers   map[string][]string
		kind      auth.Kind
		codes     int
		cancelled bool
	}{
		"push: a page":            {auth.FactorPush, map[string][]string{"introspect": {idxChoice}, "challenge": {`<html>maintenance</html>`}}, auth.FactorFailed, 0, true},
		"push: server error":      {auth.FactorPush, map[string][]string{"introspect": {idxChoice}, "challenge": {`503`}}, auth.FactorFailed, 0, true},
		"push: chosen, not sent":  {auth.FactorPush, map[string][]string{"introspect": {idxChoice}, "challenge": {idxChoice}}, auth.FactorUnavailable, 0, true},
		"push: asked for again":   {auth.FactorPush, map[string][]string{"introspect": {idxChoice}, "challenge": {idxPush}, "challenge/poll": {idxPush, idxChoice}}, auth.FactorUnavailable, 0, true},
		"push: open again":        {auth.FactorPush, map[string][]string{"introspect": {idxPush}, "challenge/poll": {doc(forms(form("skip", "skip")))}, "skip": {idxPush}}, auth.FactorFailed, 0, true},
		"poll: a page":            {auth.FactorPush, map[string][]string{"introspect": {idxChoice}, "challenge": {idxPush}, "challenge/poll": {`<html>`}}, auth.FactorFailed, 0, true},
		"poll: server error":      {auth.FactorPush, map[string][]string{"introspect": {idxChoice, `503`}, "challenge": {idxPush}, "challenge/poll": {`503`}}, auth.FactorFailed, 0, true},
		"poll: session is over":   {auth.FactorPush, map[string][]string{"introspect": {idxChoice}, "challenge": {idxPush}, "challenge/poll": {expired}}, auth.FactorFailed, 0, false},
		"poll: locked":            {auth.FactorPush, map[string][]string{"introspect": {idxChoice}, "challenge": {idxPush}, "challenge/poll": {doc(nil, messagesOf(message("authfactor.challenge.suspended_factor", "ERROR")))}}, auth.AccountLocked, 0, false},
		"poll: timed out":         {auth.FactorPush, map[string][]string{"introspect": {idxChoice}, "challenge": {idxPush}, "challenge/poll": {`404` + doc(nil, messagesOf(message("core.system.transaction_resource_not_found", "ERROR")))}}, auth.PushTimedOut, 0, false},
		"poll: for ever":          {auth.FactorPush, map[string][]string{"introspect": {idxChoice}, "challenge": {idxPush}, "challenge/poll": {idxPush}}, auth.PushTimedOut, 0, true},
		"code: a page":            {auth.FactorSMS, map[string][]string{"introspect": {idxTexts}, "challenge": {`<html>`}}, auth.FactorFailed, 0, true},
		"code: limit":             {auth.FactorSMS, map[string][]string{"introspect": {idxTexts}, "challenge": {doc(nil, messagesOf(message("errors.E0000150", "ERROR")))}}, auth.RateLimited, 0, false},
		"code: server error":      {auth.FactorSMS, map[string][]string{"introspect": {idxTexts}, "challenge": {idxSMS}, "challenge/answer": {`502`}}, auth.FactorFailed, 1, true},
		"code: session is over":   {auth.FactorSMS, map[string][]string{"introspect": {idxTexts}, "challenge": {idxSMS}, "challenge/answer": {expired}}, auth.FactorFailed, 1, false},
		"code: refused":           {auth.FactorSMS, map[string][]string{"introspect": {idxTexts}, "challenge": {idxSMS}, "challenge/answer": {refused}}, auth.PasscodeRefused, 1, true},
		"code: refused, no words": {auth.FactorSMS, map[string][]string{"introspect": {idxTexts}, "challenge": {idxSMS}, "challenge/answer": {`401` + idxSMS}}, auth.PasscodeRefused, 1, true},
		"code: asked for again":   {auth.FactorSMS, map[string][]string{"introspect": {idxTexts}, "challenge": {idxSMS}, "challenge/answer": {idxSMS}}, auth.FactorFailed, 1, true},
		"code: sent once more":    {auth.FactorSMS, map[string][]string{"introspect": {idxTexts}, "challenge": {idxSMS}, "challenge/answer": {idxTexts}}, auth.FactorUnavailable, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var posts []string
				_, err := signInAs(t, Config{}, auth.Identity{Factors: []auth.Factor{c.factor}}, typist("123456"), engineOf(c.answers, &posts))
				if auth.KindOf(err) != c.kind {
					t.Errorf("%v, want %q", err, c.kind)
				}
				if n := count(posts, "challenge("); n > 1 {
					t.Errorf("a person was reached %d times", n)
				}
				if n := count(posts, "challenge/answer"); n != c.codes {
					t.Errorf("%d codes sent, want %d", n, c.codes)
				}
				if n := count(posts, "cancel"); n == 1 != c.cancelled {
					t.Errorf("%d cancellations", n)
				}
			})
		})
	}
}

// TestIDXUnanswered: a password whose answer tells nothing is not sent again.
func TestIDXUnanswered(t *testing.T) {
	ask := doc(forms(form("identify", "identify", needed("identifier"), nested("credentials", secretField("passcode")))))
	for name, c := range map[string]struct {
		answer string
		kind   auth.Kind
	}{
		"server error":            {`500`, auth.Unanswered},
		"server error, told":      {`500` + doc(nil, messagesOf(message("E0000009", "ERROR"))), auth.Unanswered},
		"the form again":          {ask, auth.Unanswered},
		"the form, refused":       {`401` + ask, auth.CredentialRefused},
		"words that are new":      {`400` + doc(nil, messagesOf(message("some.new.words", "ERROR"))), auth.CredentialRefused},
		"a warning":               {doc(forms(form("identify", "identify", needed("identifier"), nested("credentials", secretField("passcode")))), messagesOf(message("some.warning", "WARNING"))), auth.Unanswered},
		"the password, by itself": {doc(forms(form("challenge-authenticator", "challenge/answer", nested("credentials", secretField("passcode")))), current(orgs, "okta_password", "password", "password")), auth.Unanswered},
	} {
		var posts []string
		_, err := signIn(t, auth.Identity{}, engineOf(map[string][]string{"introspect": {ask}, "identify": {c.answer}}, &posts))
		if auth.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want %q", name, err, c.kind)
		}
		if n := count(posts, "identify") + count(posts, "challenge"); n != 1 {
			t.Errorf("%s: %d posts, want 1", name, n)
		}
	}
}

// TestIDXFlowsWithoutEnd: pages of Identity Engine that follow one another end.
func TestIDXFlowsWithoutEnd(t *testing.T) {
	var posts []string
	engine := engineOf(map[string][]string{"introspect": {ended}}, &posts)
	_, err := signIn(t, auth.Identity{}, func(r *http.Request) (int, string) {
		if strings.HasPrefix(r.URL.Path, "/login/") {
			return 200, `<script>var stateToken='eyJ\x2Dx'</script>`
		}
		return engine(r)
	})
	if n := count(posts, "introspect"); auth.KindOf(err) != auth.UnexpectedPage || n != maxFlows {
		t.Errorf("%v after %d", err, n)
	}
}

// TestIDXDuo: Duo's signature goes back in the form, and what is Okta's stays there.
func TestIDXDuo(t *testing.T) {
	ask := doc(forms(form("challenge-authenticator", "challenge/answer", nested("credentials", needed("signatureData")))),
		current(accounts, "duo", "app", "duo", `"contextualData":{"host":"api-1.duo.test","signedToken":"TX|a|b:APP|c|d","integrationType":"IFRAME","script":"x"}`))
	for host, kind := range map[string]auth.Kind{"api-1.duo.test": "", "evil.test": auth.ForeignOrigin} {
		var posts []string
		signature := ""
		engine := engineOf(map[string][]string{"introspect": {strings.Replace(ask, "api-1.duo.test", host, 1)}, "challenge/answer": {ended}}, &posts)
		_, err := signInAs(t, Config{Duo: address(t, "https://api-1.duo.test")}, auth.Identity{}, typist("123456"), func(r *http.Request) (int, string) {
			switch r.URL.Host + r.URL.Path {
			case "api-1.duo.test/frame/web/v1/auth":
				return 200, `<form action="/frame/prompt"><input name="sid" value="s"></form>`
			case "api-1.duo.test/frame/prompt":
				if !strings.Contains(bodyOf(r), "123456") {
					t.Error("no passcode")
				}
				return 200, `{"stat":"OK","response":{"txid":"t"}}`
			case "api-1.duo.test/frame/status":
				return 200, `{"stat":"OK","response":{"result":"SUCCESS","cookie":"AUTH|e|f"}}`
			case "example.okta.test/idp/idx/challenge/answer":
				var in struct {
					Credentials struct {
						SignatureData string `json:"signatureData"`
					} `json:"credentials"`
				}
				_ = json.Unmarshal([]byte(bodyOf(r)), &in)
				signature = in.Credentials.SignatureData
				return 200, ended
			}
			if r.URL.Host != "example.okta.test" {
				t.Errorf("a request to %s", r.URL.Host)
			}
			return engine(r)
		})
		if auth.KindOf(err) != kind || kind == "" && signature != "AUTH|e|f:APP|c|d" {
			t.Errorf("%s: %v, signature %q", host, err, signature)
		}
	}
}

// TestIDXForeignKey: a key that is none of the account's signs nothing.
func TestIDXForeignKey(t *testing.T) {
	ask := func(id string) string {
		return doc(forms(form("challenge-authenticator", "challenge/answer", nested("credentials", needed("clientData"), needed("authenticatorData"), needed("signatureData")))),
			current(orgs, "webauthn", "security_key", "webauthn", `"contextualData":{"challengeData":{"challenge":"qjUCU0xoVe5QZ3-etDCD","userVerification":"preferred"}}`),
			`"authenticatorEnrollments":{"type":"array","value":[{"key":"webauthn","type":"security_key","id":"fwf1","credentialId":"`+id+`"}]}`)
	}
	for id, kind := range map[string]auth.Kind{"AAAA": "", "BAUG": auth.FactorUnavailable} {
		var posts []string
		_, err := signInAs(t, Config{}, auth.Identity{WebAuthn: secret(testKey)}, nil, engineOf(map[string][]string{"introspect": {ask(id)}, "challenge/answer": {ended}}, &posts))
		if auth.KindOf(err) != kind {
			t.Errorf("%s: %v, want %q", id, err, kind)
		}
		want := "challenge/answer(credentials(authenticatorData clientData signatureData))"
		if n := count(posts, want); kind == "" != (n == 1) {
			t.Errorf("%s: %v", id, posts)
		}
	}
}

// TestIDXPasses: what can be passed is passed, one after the other, and not for ever.
func TestIDXPasses(t *testing.T) {
	skip := form("skip", "skip")
	warning := doc(forms(form("reenroll-authenticator-warning", "challenge/answer", nested("credentials", secretField("passcode"))), skip), current(orgs, "okta_password", "password", "password"))
	offer := doc(forms(form("select-authenticator-enroll", "credential/enroll"), skip))
	probe := doc(forms(form("device-challenge-poll", "authenticators/poll")), waits("LOOPBACK"))
	ask := doc(forms(form("identify", "identify", needed("identifier"))))
	for name, c := range map[string]struct {
		answers map[string][]string
		kind    auth.Kind
		posts   int
	}{
		"a warning, then an offer":  {map[string][]string{"introspect": {warning}, "skip": {offer, ended}}, "", 2},
		"a warning without end":     {map[string][]string{"introspect": {warning}, "skip": {warning}}, auth.PasswordExpired, 2},
		"an offer without end":      {map[string][]string{"introspect": {offer}, "skip": {offer}}, auth.EnrollmentNeeded, 2},
		"FastPass before and after": {map[string][]string{"introspect": {probe}, "authenticators/poll/cancel": {ask, ended}, "identify": {probe}}, "", 3},
		"FastPass without end":      {map[string][]string{"introspect": {probe}, "authenticators/poll/cancel": {probe}}, auth.FactorUnavailable, 2},
		"begun anew after FastPass": {map[string][]string{"introspect": {ask}, "identify": {probe}, "authenticators/poll/cancel": {ask}}, auth.UnexpectedPage, 2},
		"stay signed in, for ever":  {map[string][]string{"introspect": {doc(forms(form("keep-me-signed-in", "keep-me-signed-in", needed("keepMeSignedIn"))))}, "keep-me-signed-in": {doc(forms(form("keep-me-signed-in", "keep-me-signed-in", needed("keepMeSignedIn"))))}}, auth.UnexpectedPage, 2},
		"two factors, one by one":   {map[string][]string{"introspect": {doc(method("totp"), account("okta_verify", "app", "totp"))}, "challenge": {doc(forms(form("challenge-authenticator", "challenge/answer", nested("credentials", needed("totp")))), current(orgs, "okta_verify", "app", "totp"))}, "challenge/answer": {doc(forms(form("challenge-authenticator", "challenge/answer", nested("credentials", fixed("questionKey", `"x"`), needed("answer")))), current(orgs, "security_question", "security_question", "")), ended}}, "", 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var posts []string
				_, err := signInAs(t, Config{}, auth.Identity{TOTPSecret: secret("JBSWY3DPEHPK3PXP")}, typist("an answer"), engineOf(c.answers, &posts))
				if n := len(posts) - count(posts, "introspect") - count(posts, "GET"); auth.KindOf(err) != c.kind || n != c.posts {
					t.Errorf("%v, want %q; %d posts, want %d: %v", err, c.kind, n, c.posts, posts)
				}
			})
		})
	}
}

// TestIDXCode: a sign-in for OpenID Connect ends at the callback, which is not
// fetched.
func TestIDXCode(t *testing.T) {
	o := &org{t: t, answers: at{
		"/oauth2/v1/authorize":  `<script>var stateToken='eyJ\x2Dx'</script>`,
		"/idp/idx/introspect":   doc(forms(form("identify", "identify", needed("identifier"), nested("credentials", secretField("passcode"))))),
		"/idp/idx/identify":     ended,
		"/login/token/redirect": "→" + goodCallback,
	}}
	answer, err := o.signInFor(authorizeURL)
	if err != nil || answer.URL.String() != goodCallback {
		t.Errorf("%v %v", answer.URL, err)
	}
	o.answers["/login/token/redirect"] = "→https://evil.test/callback?code=x&state=s"
	if _, err := o.signInFor(authorizeURL); auth.KindOf(err) != auth.ForeignOrigin {
		t.Errorf("%v", err)
	}
}

// TestIDXNumber: what may be told to a person as a number, and what not.
func TestIDXNumber(t *testing.T) {
	for value, want := range map[string]number{`"0"`: "0", `"10"`: "10", `7`: "7", `""`: "", `"12345"`: "", `"a1"`: "", `1.5`: "", `-1`: "", `null`: "", `{}`: "", `["1"]`: ""} {
		d, ok := parseIDX([]byte(doc(forms(form("challenge-poll", "challenge/poll")), current(orgs, "okta_verify", "app", "push", `"contextualData":{"correctAnswer":`+value+`}`))))
		if !ok || d.number() != want {
			t.Errorf("%s: %q, want %q", value, d.number(), want)
		}
	}
}

// TestIDXPace: a sign-in of many steps makes no more requests than Okta takes.
func TestIDXPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var posts, skips []string
		for i := range 13 {
			skips = append(skips, doc(forms(form("skip", "skip"), form(fmt.Sprintf("offer-%d", i), "offer"))))
		}
		var times []time.Time
		engine := engineOf(map[string][]string{"introspect": skips[:1], "skip": append(skips[1:], ended)}, &posts)
		_, err := signIn(t, auth.Identity{}, func(r *http.Request) (int, string) {
			if r.Method == http.MethodPost {
				times = append(times, time.Now())
			}
			return engine(r)
		})
		if err != nil || len(times) != 14 {
			t.Fatalf("%v after %d requests", err, len(times))
		}
		for i := range times[10:] {
			if times[i+10].Sub(times[i]) < 5*time.Second {
				t.Errorf("11 requests in %s", times[i+10].Sub(times[i]))
			}
		}
		if took := times[13].Sub(times[0]); took > 6*time.Second {
			t.Errorf("took %s", took)
		}
	})
}
