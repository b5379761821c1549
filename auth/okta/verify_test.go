package okta

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"arcproxy/auth"
)

// asked makes an Okta whose account has one factor, of a type and with more fields
// ("provider":"OKTA", a profile): pages and password are answered, the rest is f's.
func asked(kind, fields string, f trip) trip {
	required := fmt.Sprintf(`{"status":"MFA_REQUIRED","stateToken":"00state","_embedded":{"factors":[{"id":"f","factorType":%q,%s,"_links":{"verify":{"href":"/verify"}}}]},"_links":{"cancel":{"href":"/cancel"}}}`, kind, fields)
	return func(r *http.Request) (int, string) {
		switch {
		case r.Method == http.MethodGet:
			return 200, signInHTML
		case r.URL.Path == "/api/v1/authn":
			return 200, required
		case r.URL.Path == "/cancel":
			return 200, `{}`
		}
		return f(r)
	}
}

const (
	sentOut  = `{"status":"MFA_CHALLENGE","stateToken":"00state","_links":{"next":{"name":"verify","href":"/verify"},"cancel":{"href":"/cancel"}}}`
	wrong    = `{"errorCode":"E0000068","errorSummary":"Invalid Passcode/Answer"}`
	smsField = `"provider":"OKTA","profile":{"phoneNumber":"+1 XXX-XXX-6688"}`
)

// TestMessageOfUnknownEnd: after a code was sent to a person, an answer that says
// nothing of it is a failure of the factor, whose pause keeps the next sign-in from
// sending another at once. Nor is one sent that Okta asks for a second time.
func TestMessageOfUnknownEnd(t *testing.T) {
	for name, c := range map[string]struct {
		sending, checking reply // checking: of the code
		kind              auth.Kind
		posts             int
	}{
		"a page":                 {reply{200, "<html>maintenance</html>"}, reply{}, auth.FactorFailed, 1},
		"server error":           {reply{503, ""}, reply{}, auth.FactorFailed, 1},
		"asks again":             {reply{200, `{"status":"MFA_REQUIRED","stateToken":"00state","_embedded":{"factors":[{"id":"f","factorType":"sms","provider":"OKTA","_links":{"verify":{"href":"/verify"}}}]}}`}, reply{}, auth.FactorFailed, 1},
		"limit":                  {reply{403, `{"errorCode":"E0000150"}`}, reply{}, auth.RateLimited, 1},
		"locked":                 {reply{403, `{"errorCode":"E0000069"}`}, reply{}, auth.AccountLocked, 1},
		"code: a page":           {reply{200, sentOut}, reply{200, "<html>maintenance</html>"}, auth.FactorFailed, 2},
		"code: server error":     {reply{200, sentOut}, reply{502, ""}, auth.FactorFailed, 2},
		"code: session is over":  {reply{200, sentOut}, reply{401, `{"errorCode":"E0000011"}`}, auth.FactorFailed, 2},
		"code: locked":           {reply{200, sentOut}, reply{403, `{"errorCode":"E0000069"}`}, auth.AccountLocked, 2},
		"code: refused":          {reply{200, sentOut}, reply{403, wrong}, auth.PasscodeRefused, 3},
		"code: refused, no code": {reply{200, sentOut}, reply{200, `{"status":"MFA_CHALLENGE","factorResult":"PASSCODE_REPLAYED","stateToken":"00state"}`}, auth.PasscodeRefused, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				posts, questions := 0, 0
				_, err := signInAs(t, Config{}, auth.Identity{}, func(context.Context, auth.Challenge) (auth.Secret, error) {
					questions++
					return auth.NewSecret(fmt.Sprintf("12345%d", questions)), nil
				}, asked("sms", smsField, func(r *http.Request) (int, string) {
					posts++
					if strings.Contains(bodyOf(r), "passCode") {
						return c.checking.status, c.checking.body
					}
					return c.sending.status, c.sending.body
				}))
				if auth.KindOf(err) != c.kind {
					t.Errorf("%v, want %q", err, c.kind)
				}
				if posts != c.posts {
					t.Errorf("%d posts to verify, want %d", posts, c.posts)
				}
			})
		})
	}
}

// reply is a status and a body.
type reply struct {
	status int
	body   string
}

// TestCodeGoesNowhereElse: a code is posted to the organization only, whatever link
// leads away.
func TestCodeGoesNowhereElse(t *testing.T) {
	elsewhere := strings.ReplaceAll(sentOut, `"/verify"`, `"https://evil.test/verify"`)
	for name, c := range map[string]struct{ kind, fields, answer string }{
		"sms":      {"sms", smsField, elsewhere},
		"webauthn": {"webauthn", `"provider":"FIDO","profile":{"credentialId":"AAAA"}`, strings.Replace(elsewhere, `"_links"`, `"_embedded":{"factor":{"factorType":"webauthn","_embedded":{"challenge":{"challenge":"12345678"}}}},"_links"`, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := signInAs(t, Config{}, auth.Identity{WebAuthn: secret(testKey)}, typist("123456"), asked(c.kind, c.fields, func(r *http.Request) (int, string) {
				if r.URL.Host == "evil.test" {
					t.Error("something was sent there")
				}
				return 200, c.answer
			}))
			if auth.KindOf(err) != auth.ForeignOrigin {
				t.Errorf("%v", err)
			}
		})
	}
}

// typist always gives the same.
func typist(text string) func(context.Context, auth.Challenge) (auth.Secret, error) {
	return func(context.Context, auth.Challenge) (auth.Secret, error) { return auth.NewSecret(text), nil }
}

// TestQuestionQuoted: what Okta asks is cleaned before a person sees it.
func TestQuestionQuoted(t *testing.T) {
	var question string
	_, err := signInAs(t, Config{}, auth.Identity{}, func(_ context.Context, c auth.Challenge) (auth.Secret, error) {
		question = c.Question
		return auth.NewSecret("x"), nil
	}, asked("question", `"provider":"OKTA","profile":{"questionText":"What?\u001b[2J token=abc a-password"}`, func(*http.Request) (int, string) { return 403, wrong }))
	if auth.KindOf(err) != auth.PasscodeRefused || question != "What?[2J token=[…] a-password" {
		t.Errorf("%v, asked %q", err, question)
	}
}

// TestChallengeForms: a software key signs nothing that is no challenge, and nothing
// twice in a transaction.
func TestChallengeForms(t *testing.T) {
	for challenge, want := range map[string]auth.Kind{
		`"12345678"`:                         auth.PasscodeRefused,
		`""`:                                 auth.UnexpectedPage,
		`"short"`:                            auth.UnexpectedPage,
		`"12345678\""`:                       auth.UnexpectedPage,
		`"` + strings.Repeat("A", 600) + `"`: auth.UnexpectedPage,
		`7`:                                  auth.UnexpectedPage,
		`{"challenge":"12345678"}`:           auth.UnexpectedPage,
	} {
		signatures := 0
		_, err := signInAs(t, Config{}, auth.Identity{WebAuthn: secret(testKey)}, nil, asked("webauthn", `"provider":"FIDO","profile":{"credentialId":"AAAA"}`, func(r *http.Request) (int, string) {
			if strings.Contains(bodyOf(r), "signatureData") {
				signatures++
				return 403, wrong
			}
			return 200, `{"status":"MFA_CHALLENGE","stateToken":"00state","factorResult":"CHALLENGE","_embedded":{"factor":{"factorType":"webauthn","_embedded":{"challenge":{"challenge":` + challenge + `}}}},"_links":{"next":{"name":"verify","href":"/verify"}}}`
		}))
		if auth.KindOf(err) != want || signatures > 1 || (signatures == 1) != (want == auth.PasscodeRefused) {
			t.Errorf("%.30s: %v after %d signatures, want %q", challenge, err, signatures, want)
		}
	}
}

// TestDuoHostile: a passcode goes to the configured host of Duo's, and its answer back
// to the organization, or nowhere.
func TestDuoHostile(t *testing.T) {
	const frameHTML = `<form action="/frame/prompt"><input name="sid" value="s"></form>`
	type row struct {
		host, signature, complete string
		frame, prompt, status     reply
		result, back, poll        reply
		kind                      auth.Kind
		passcodes                 int
	}
	good := row{host: "api-1.duo.test", signature: "TX|a|b:APP|c|d", complete: "/complete", frame: reply{200, frameHTML},
		prompt: reply{200, `{"stat":"OK","response":{"txid":"t"}}`}, status: reply{200, `{"stat":"OK","response":{"result":"SUCCESS","result_url":"/frame/status/t"}}`},
		result: reply{200, `{"stat":"OK","response":{"cookie":"AUTH|e|f"}}`}, back: reply{200, ``}, poll: reply{200, `{"status":"LOCKED_OUT"}`}, kind: auth.AccountLocked, passcodes: 1}
	with := func(change func(*row)) row { r := good; change(&r); return r }
	for name, c := range map[string]row{
		"good, as far as it goes": good,
		"another host":            with(func(r *row) { r.host, r.kind, r.passcodes = "evil.test", auth.ForeignOrigin, 0 }),
		"a host with a path":      with(func(r *row) { r.host, r.kind, r.passcodes = "api-1.duo.test/x", auth.ForeignOrigin, 0 }),
		"no signature":            with(func(r *row) { r.signature, r.kind, r.passcodes = "TX|a|b", auth.UnexpectedPage, 0 }),
		"no way back":             with(func(r *row) { r.complete, r.kind, r.passcodes = "", auth.UnexpectedPage, 0 }),
		"a way elsewhere":         with(func(r *row) { r.complete, r.kind, r.passcodes = "https://evil.test/", auth.ForeignOrigin, 0 }),
		"no frame":                with(func(r *row) { r.frame, r.kind, r.passcodes = reply{403, frameHTML}, auth.UnexpectedPage, 0 }),
		"a frame without session": with(func(r *row) { r.frame, r.kind, r.passcodes = reply{200, `<form></form>`}, auth.UnexpectedPage, 0 }),
		"a frame elsewhere":       with(func(r *row) { r.frame, r.kind, r.passcodes = reply{302, "https://evil.test/"}, auth.ForeignOrigin, 0 }),
		"prompt fails":            with(func(r *row) { r.prompt, r.kind = reply{200, `{"stat":"FAIL"}`}, auth.UnexpectedPage }),
		"prompt is a page":        with(func(r *row) { r.prompt, r.kind = reply{200, `<html>`}, auth.UnexpectedPage }),
		"status without end": with(func(r *row) {
			r.status, r.kind = reply{200, `{"stat":"OK","response":{"result":"WAITING"}}`}, auth.FactorFailed
		}),
		"refused": with(func(r *row) {
			r.status, r.kind = reply{200, `{"stat":"OK","response":{"result":"FAILURE"}}`}, auth.PasscodeRefused
		}),
		"result elsewhere": with(func(r *row) {
			r.status, r.kind = reply{200, `{"stat":"OK","response":{"result":"SUCCESS","result_url":"https://evil.test/"}}`}, auth.ForeignOrigin
		}),
		"no cookie": with(func(r *row) {
			r.result, r.kind = reply{200, `{"stat":"OK","response":{"cookie":"x"}}`}, auth.UnexpectedPage
		}),
		"Okta refuses":   with(func(r *row) { r.back, r.kind = reply{403, wrong}, auth.PasscodeRefused }),
		"Okta is broken": with(func(r *row) { r.back, r.kind = reply{500, `<html>`}, auth.Unreachable }),
		"Okta goes on waiting": with(func(r *row) {
			r.poll, r.kind = reply{200, `{"status":"MFA_CHALLENGE","_links":{"next":{"name":"poll","href":"/verify"}}}`}, auth.FactorFailed
		}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				passcodes, verifies := 0, 0
				_, err := signInAs(t, Config{Duo: address(t, "https://api-1.duo.test")}, auth.Identity{}, typist("123456"), asked("web", `"provider":"DUO"`, func(r *http.Request) (int, string) {
					host, text := r.URL.Host, bodyOf(r)
					if host == "evil.test" {
						t.Error("something was sent there")
					}
					if strings.Contains(text, "123456") {
						passcodes++
						if host != "api-1.duo.test" {
							t.Errorf("a passcode went to %s", host)
						}
					}
					if host == "api-1.duo.test" && (strings.Contains(text, "00state") || strings.Contains(text, "APP")) {
						t.Error("Duo was told what is Okta's")
					}
					answer := map[string]reply{"/frame/web/v1/auth": c.frame, "/frame/prompt": c.prompt, "/frame/status": c.status, "/frame/status/t": c.result, "/complete": c.back}[r.URL.Path]
					if r.URL.Path == "/verify" {
						if verifies++; verifies > 1 {
							answer = c.poll
						} else {
							answer = reply{200, fmt.Sprintf(`{"status":"MFA_CHALLENGE","stateToken":"00state","factorResult":"WAITING","_embedded":{"factor":{"factorType":"web","_embedded":{"verification":{"host":%q,"signature":%q,"_links":{"complete":{"href":%q}}}}}},"_links":{"next":{"name":"poll","href":"/verify"},"cancel":{"href":"/cancel"}}}`, c.host, c.signature, c.complete)}
						}
					}
					return answer.status, answer.body
				}))
				if auth.KindOf(err) != c.kind || passcodes != c.passcodes {
					t.Errorf("%v after %d passcodes; want %q, %d", err, passcodes, c.kind, c.passcodes)
				}
				if err != nil && strings.Contains(err.Error(), "123456") {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// TestDuoNotConfigured: without Duo's host in the config it is named, not visited.
func TestDuoNotConfigured(t *testing.T) {
	_, err := signInAs(t, Config{}, auth.Identity{}, typist("123456"), asked("web", `"provider":"DUO"`, func(r *http.Request) (int, string) {
		t.Errorf("%s was asked", r.URL)
		return 200, ``
	}))
	if auth.KindOf(err) != auth.FactorUnavailable || !strings.Contains(err.Error(), "okta.duo_host") {
		t.Errorf("%v", err)
	}
}

// signInAs is signIn with a person who is asked, at an Okta with config.
func signInAs(t *testing.T, config Config, identity auth.Identity, ask func(context.Context, auth.Challenge) (auth.Secret, error), f trip) (auth.Handoff, error) {
	t.Helper()
	config.URL = address(t, "https://example.okta.test")
	origins := []*url.URL{config.URL, address(t, "https://evil.test")} // which is allowed, so that only the walk refuses it
	if config.Duo != nil {
		origins = append(origins, config.Duo)
	}
	b := auth.NewBrowser(auth.BrowserConfig{Origins: origins, Transport: trip(func(r *http.Request) (int, string) {
		if r.URL.Path == "/.well-known/okta-organization" {
			return 200, `{"pipeline":"v1"}`
		}
		return f(r)
	})})
	identity.Name, identity.Username, identity.Password = "alice", "alice@example.com", secret("a-password")
	request := auth.Handoff{URL: address(t, "https://example.okta.test/app/x/sso/saml?SAMLRequest=x")}
	watch := auth.Watch{Waited: func() bool { return true }, Ask: ask}
	return New(config).SignIn(t.Context(), b, auth.NewAccount(identity), watch, request)
}
