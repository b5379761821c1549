package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"arcproxy/auth"
	oktabox "arcproxy/test/sandbox/okta"
)

const (
	authnPath   = "/api/v1/authn"
	sessionPath = "/login/sessionCookieRedirect"
	appPath     = "/app/"
	factorPath  = "/api/v1/authn/factors"
)

// faults has the name of each thing that can go wrong at Okta.
var faults = map[oktabox.FaultKind]auth.Kind{
	oktabox.ServerError:  auth.Unreachable,
	oktabox.HTMLPage:     auth.UnexpectedPage,
	oktabox.ProxyRefusal: auth.UnexpectedPage,
	oktabox.Drop:         auth.Unreachable,
	oktabox.DropAfter:    auth.Unreachable,
	oktabox.Truncate:     auth.Unreachable,
	oktabox.Endless:      auth.UnexpectedPage,
	oktabox.RateLimit:    auth.RateLimited,
	oktabox.Concurrency:  auth.RateLimited,
}

// TestFaults puts each thing that can go wrong at each place of Okta's where it
// can, and wants a name for it and nothing sent twice.
func TestFaults(t *testing.T) {
	for kind, want := range faults {
		for _, place := range []string{"/.well-known/", appPath, authnPath, factorPath, sessionPath} {
			run(t, fmt.Sprintf("%d at %s", kind, place), setup{user: withTOTP}, func(t *testing.T, w *world) {
				fault := oktabox.Fault{Kind: kind, Path: place}
				if kind == oktabox.RateLimit {
					fault.Delay = 20 * time.Second
				}
				w.okta.Inject(fault)
				began := time.Now()
				_, err := w.signIn(t)
				want := want
				if (place == authnPath || place == factorPath) && (want == auth.Unreachable || want == auth.UnexpectedPage) {
					want = auth.Unanswered // perhaps it counted as an attempt
				}
				if kind == oktabox.Truncate && place == sessionPath && err == nil {
					return // a redirect has no body to cut
				}
				e := wantKind(t, err, want)
				if n := w.carrier.requests("POST " + oktaHost + authnPath); place != factorPath && n > 2 {
					t.Errorf("%d posts to %s", n, authnPath)
				}
				if n := w.okta.Counts().Primary; n > 1 {
					t.Errorf("%d passwords, want 1 at most", n)
				}
				if want == auth.RateLimited {
					least := time.Second
					if kind == oktabox.RateLimit {
						least = 20 * time.Second
					}
					if wait := e.Until.Sub(began); wait < least || wait > least+4*time.Second {
						t.Errorf("try again after %s, want %s and a little", wait, least)
					}
				}
				// What went wrong leaves nothing behind.
				w.okta.ClearFaults()
				_ = auth.Pause(t.Context(), "", time.Until(began.Add(time.Minute))) // past the limit and the code
				g, err := w.signIn(t)
				wantGrant(t, g, err)
			})
		}
	}
}

// TestPollFaults: a poll that fails by a limit or the network is repeated, with
// waits; the push is not.
func TestPollFaults(t *testing.T) {
	for _, kind := range []oktabox.FaultKind{oktabox.ServerError, oktabox.Drop, oktabox.DropAfter, oktabox.RateLimit, oktabox.Concurrency} {
		run(t, fmt.Sprint(kind), setup{user: withPush}, func(t *testing.T, w *world) {
			w.okta.Inject(oktabox.Fault{Kind: kind, Path: factorPath, Skip: 2, Times: 3, Delay: 2 * time.Second})
			w.okta.Phone(login).ApproveAfter(40 * time.Second)
			g, err := w.signIn(t)
			wantGrant(t, g, err)
			if n := w.okta.Counts().Pushes; n != 1 {
				t.Errorf("%d pushes, want 1", n)
			}
		})
	}
	run(t, "for ever", setup{user: withPush}, func(t *testing.T, w *world) {
		w.okta.Inject(oktabox.Fault{Kind: oktabox.ServerError, Path: factorPath, Skip: 2})
		_, err := w.signIn(t)
		wantKind(t, err, auth.FactorFailed)
		if n := w.carrier.requests("POST " + oktaHost + factorPath); n != 2+6 {
			t.Errorf("%d requests, want 2 that went well and 6 that did not", n)
		}
		if n := len(w.okta.Phone(login).Pending()); n != 0 {
			t.Errorf("%d pushes are left on the phone", n)
		}
	})
	run(t, "the push itself", setup{user: withPush}, func(t *testing.T, w *world) {
		w.okta.Inject(oktabox.Fault{Kind: oktabox.DropAfter, Path: factorPath, Times: 1})
		_, err := w.signIn(t)
		// Not a broken network's kind, after which the caller would try, and push,
		// again at once.
		e := wantKind(t, err, auth.FactorFailed)
		if auth.KindOf(e.Err) != auth.Unreachable {
			t.Errorf("%v does not say why", err)
		}
		if n := w.okta.Counts().Pushes; n != 1 {
			t.Errorf("%d pushes, want 1", n)
		}
		if n := len(w.okta.Phone(login).Pending()); n != 0 {
			t.Errorf("%d pushes are left on the phone", n)
		}
	})
	// The answer that is lost ends the push: the same poll again would send
	// another one.
	for name, c := range map[string]struct {
		habit func(*oktabox.Phone)
		kind  auth.Kind
	}{
		"approved": {(*oktabox.Phone).Approve, auth.FactorFailed}, // the one-time answer is gone
		"rejected": {(*oktabox.Phone).Reject, auth.PushRejected},
		"failed":   {(*oktabox.Phone).Fail, auth.FactorFailed},
	} {
		for _, kind := range []oktabox.FaultKind{oktabox.DropAfter, oktabox.Truncate} {
			run(t, fmt.Sprintf("lost answer/%s/%d", name, kind), setup{user: withPush}, func(t *testing.T, w *world) {
				c.habit(w.okta.Phone(login))
				w.okta.Inject(oktabox.Fault{Kind: kind, Path: factorPath, Skip: 1, Times: 1})
				_, err := w.signIn(t)
				wantKind(t, err, c.kind)
				if n := w.okta.Counts().Pushes; n != 1 {
					t.Errorf("%d pushes, want 1", n)
				}
				if n := w.carrier.requests("POST " + oktaHost + factorPath); n != 2 {
					t.Errorf("%d requests to verify, want 2", n)
				}
			})
		}
	}
	run(t, "the time is up while it is sent", setup{user: withPush}, func(t *testing.T, w *world) {
		w.okta.Inject(oktabox.Fault{Kind: oktabox.Slow, Path: factorPath, Delay: time.Minute})
		ctx, done := context.WithTimeout(t.Context(), 10*time.Second)
		defer done()
		_, err := w.signer.SignIn(ctx, "alice", w.watch())
		wantKind(t, err, auth.PushTimedOut)
	})
}

// TestDroppedPassword: a connection that breaks while the password is under way
// may have counted as an attempt. It is not made again.
func TestDroppedPassword(t *testing.T) {
	for _, kind := range []oktabox.FaultKind{oktabox.Drop, oktabox.DropAfter, oktabox.Truncate} {
		run(t, fmt.Sprint(kind), setup{}, func(t *testing.T, w *world) {
			w.okta.Inject(oktabox.Fault{Kind: kind, Path: authnPath})
			_, err := w.signIn(t)
			if e := wantKind(t, err, auth.Unanswered); e.Credential == "" {
				t.Error("the error does not say which password was sent")
			}
			if n := w.okta.Counts().Requests["POST "+authnPath]; n != 1 {
				t.Errorf("Okta saw %d passwords, want 1", n)
			}
		})
	}
}

// TestEvilForm: an assertion is not posted where a page says if that is elsewhere.
func TestEvilForm(t *testing.T) {
	run(t, "", setup{}, func(t *testing.T, w *world) {
		w.okta.Inject(oktabox.Fault{Kind: oktabox.EvilForm, Path: appPath})
		_, err := w.signIn(t)
		e := wantKind(t, err, auth.ForeignOrigin)
		if !strings.Contains(e.Seen, "https://evil.example") {
			t.Errorf("seen %q", e.Seen)
		}
		wantOnlyOurHosts(t, w)
	})
}

func wantOnlyOurHosts(t *testing.T, w *world) {
	t.Helper()
	w.carrier.mu.Lock()
	defer w.carrier.mu.Unlock()
	for _, sent := range w.carrier.sent {
		if !strings.Contains(sent, " "+oktaHost+"/") && !strings.Contains(sent, " "+portalHost+"/") {
			t.Errorf("sent %s", sent)
		}
	}
}

// TestForeignAddresses: whatever page or answer leads elsewhere, nothing is sent
// there; and what is for Okta is not sent to the Portal.
func TestForeignAddresses(t *testing.T) {
	script := func(code string) string { return "<html><script>" + code + "</script></html>" }
	at := func(prefix string, answer func(r *http.Request) *http.Response) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.Method+" "+r.URL.Host+r.URL.Path, prefix) {
				return answer(r), nil
			}
			return nil, nil
		}
	}
	authnState := func(status string, links map[string]string) string {
		l := map[string]any{}
		for name, href := range links {
			l[name] = map[string]string{"href": href}
		}
		text, _ := json.Marshal(map[string]any{
			"status": status, "stateToken": "00state", "_links": l,
			"_embedded": map[string]any{"factors": []any{map[string]any{
				"id": "f", "factorType": "token:software:totp", "provider": "GOOGLE", "_links": l,
			}}},
		})
		return string(text)
	}
	for name, fn := range map[string]func(*http.Request) (*http.Response, error){
		"Portal's first redirect": at("GET "+portalHost+"/portal/sharing/rest/oauth2/authorize", func(r *http.Request) *http.Response {
			return page(r, 302, "", "Location", "https://evil.example/?SAMLRequest=x")
		}),
		"Portal's redirect to its own port": at("GET "+portalHost+"/portal/sharing/rest/oauth2/authorize", func(r *http.Request) *http.Response {
			return page(r, 302, "", "Location", "https://"+portalHost+":7443/?SAMLRequest=x")
		}),
		"Portal's redirect without encryption": at("GET "+portalHost+"/portal/sharing/rest/oauth2/authorize", func(r *http.Request) *http.Response {
			return page(r, 302, "", "Location", "http://"+oktaHost+"/?SAMLRequest=x")
		}),
		"user info that looks like a host": at("GET "+portalHost+"/portal/sharing/rest/oauth2/authorize", func(r *http.Request) *http.Response {
			return page(r, 302, "", "Location", "https://"+oktaHost+"@evil.example/?SAMLRequest=x")
		}),
		"idpAuthorizeUrl": at("GET "+portalHost+"/portal/sharing/rest/oauth2/authorize", func(r *http.Request) *http.Response {
			return page(r, 200, script(`var oAuthInfo = {"oauth_state":"x","federationInfo":{"idpAuthorizeUrl":"https://evil.example/a"}}`))
		}),
		"SAML form": at("GET "+portalHost+"/portal/sharing/rest/oauth2/authorize", func(r *http.Request) *http.Response {
			return page(r, 200, `<form method=post action="https://evil.example/sso"><input name=SAMLRequest value=x></form>`)
		}),
		"Okta's redirect": at("GET "+oktaHost+"/app", func(r *http.Request) *http.Response {
			return page(r, 302, "", "Location", "https://evil.example/login")
		}),
		"Okta's script": at("GET "+oktaHost+"/app", func(r *http.Request) *http.Response {
			return page(r, 200, script(`window.location.href='https\x3A\x2F\x2Fevil.example\x2Flogin';`))
		}),
		"fromUri": at("GET "+oktaHost+"/app", func(r *http.Request) *http.Response {
			return page(r, 200, script(`var stateToken = ''; var fromUri = 'https\x3A\x2F\x2Fevil.example\x2F';`))
		}),
		"link to verify": at("POST "+oktaHost+authnPath, func(r *http.Request) *http.Response {
			return page(r, 200, authnState("MFA_REQUIRED", map[string]string{"verify": "https://evil.example/verify"}))
		}),
		"link to verify, at the Portal": at("POST "+oktaHost+authnPath, func(r *http.Request) *http.Response {
			return page(r, 200, authnState("MFA_REQUIRED", map[string]string{"verify": "https://" + portalHost + "/verify"}))
		}),
		"link to skip": at("POST "+oktaHost+authnPath, func(r *http.Request) *http.Response {
			return page(r, 200, authnState("PASSWORD_WARN", map[string]string{"skip": "https://" + portalHost + "/skip"}))
		}),
		"link to cancel": at("POST "+oktaHost+authnPath, func(r *http.Request) *http.Response {
			return page(r, 200, authnState("MFA_REQUIRED", map[string]string{"cancel": "https://evil.example/cancel", "verify": "https://evil.example/x"}))
		}),
		"success": at("POST "+oktaHost+authnPath, func(r *http.Request) *http.Response {
			return page(r, 200, authnState("SUCCESS", map[string]string{"next": "https://evil.example/next"}))
		}),
		"assertion, 307": at("POST "+portalHost+"/portal/sharing/rest/oauth2/saml/signin", func(r *http.Request) *http.Response {
			return page(r, 307, "", "Location", "https://evil.example/signin")
		}),
		"assertion, 308 to Okta": at("POST "+portalHost+"/portal/sharing/rest/oauth2/saml/signin", func(r *http.Request) *http.Response {
			return page(r, 308, "", "Location", "https://"+oktaHost+"/signin")
		}),
		"code elsewhere": at("POST "+portalHost+"/portal/sharing/rest/oauth2/saml/signin", func(r *http.Request) *http.Response {
			return page(r, 302, "", "Location", "https://evil.example/callback?code=x")
		}),
	} {
		s := setup{user: withTOTP}
		s.shape.PostBinding = 2 // Never: the request is a GET
		run(t, name, s, func(t *testing.T, w *world) {
			w.carrier.answers(fn)
			_, err := w.signIn(t)
			wantKind(t, err, auth.ForeignOrigin)
			wantOnlyOurHosts(t, w)
			for _, path := range []string{"/verify", "/skip"} {
				if n := w.carrier.requests("POST " + portalHost + path); n != 0 {
					t.Errorf("Okta's secrets were posted to the Portal")
				}
			}
			if n := w.carrier.requests("POST " + oktaHost + "/signin"); n != 0 {
				t.Errorf("the Portal's assertion was posted to Okta")
			}
		})
	}
}

// TestSendersOfNonsense: redirects and pages without end, states without end.
func TestSendersOfNonsense(t *testing.T) {
	same := func(res func(r *http.Request) *http.Response) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == oktaHost && !strings.HasPrefix(r.URL.Path, "/.well-known/") {
				return res(r), nil
			}
			return nil, nil
		}
	}
	for name, c := range map[string]struct {
		fn   func(r *http.Request) *http.Response
		kind auth.Kind
	}{
		"redirects": {func(r *http.Request) *http.Response {
			return page(r, 302, "", "Location", r.URL.Path+"x")
		}, auth.UnexpectedPage},
		"scripts": {func(r *http.Request) *http.Response {
			return page(r, 200, "<script>window.location.href = '/again';</script>")
		}, auth.UnexpectedPage},
		"step-ups": {func(r *http.Request) *http.Response {
			if r.Method == "POST" {
				return page(r, 200, `{"status":"SUCCESS","_links":{"next":{"href":"/next"}}}`)
			}
			return page(r, 200, "<script>var stateToken = '00abc';</script>")
		}, auth.UnexpectedPage},
		"expired step-up": {func(r *http.Request) *http.Response {
			if r.Method == "POST" {
				return page(r, 401, `{"errorCode":"E0000011"}`)
			}
			return page(r, 200, "<script>var stateToken = '00abc';</script>")
		}, auth.SessionLost},
		"states": {func(r *http.Request) *http.Response {
			if r.Method == "POST" {
				return page(r, 200, `{"status":"PASSWORD_WARN","stateToken":"00x","_links":{"skip":{"href":"/api/v1/authn/skip"}}}`)
			}
			return page(r, 200, "<script>var stateToken = '';</script>")
		}, auth.UnexpectedPage},
		"sign-in pages": {func(r *http.Request) *http.Response {
			if r.Method == "POST" && r.URL.Path == authnPath {
				return page(r, 200, `{"status":"SUCCESS","sessionToken":"x"}`)
			}
			return page(r, 200, "<script>var stateToken = '';</script>")
		}, auth.UnexpectedPage},
		"Identity Engine's page": {func(r *http.Request) *http.Response {
			return page(r, 200, `<script>var stateToken = 'eyJ6aXAiOiJERUYi\x2Dxyz';</script>`)
		}, auth.UnexpectedPage},
		"unknown state": {func(r *http.Request) *http.Response {
			if r.Method == "POST" {
				return page(r, 200, `{"status":"SOMETHING_NEW"}`)
			}
			return page(r, 200, "<script>var stateToken = '';</script>")
		}, auth.UnexpectedPage},
		"a redirect from the API": {func(r *http.Request) *http.Response {
			if r.Method == "POST" {
				return page(r, 307, "", "Location", "/api/v1/authn")
			}
			return page(r, 200, "<script>var stateToken = '';</script>")
		}, auth.Unanswered},
		"a redirect to nowhere": {func(r *http.Request) *http.Response { return page(r, 302, "") }, auth.UnexpectedPage},
		"a redirect to nonsense": {func(r *http.Request) *http.Response {
			return page(r, 302, "", "Location", "https://%zz/?stateToken=00secret")
		}, auth.UnexpectedPage},
	} {
		s := setup{}
		s.shape.PostBinding = 2
		run(t, name, s, func(t *testing.T, w *world) {
			w.carrier.answers(same(c.fn))
			_, err := w.signIn(t)
			wantKind(t, err, c.kind)
			if n := len(w.carrier.sent); n > 80 {
				t.Errorf("%d requests", n)
			}
			if strings.Contains(err.Error(), "00secret") {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestEcho: what a hostile or broken Okta repeats of what it was sent does not
// come out in errors, events or the log.
func TestEcho(t *testing.T) {
	run(t, "", setup{user: withTOTP}, func(t *testing.T, w *world) {
		w.carrier.answers(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == authnPath {
				text, _ := io.ReadAll(r.Body)
				var in struct{ Password string }
				_ = json.Unmarshal(text, &in)
				body, _ := json.Marshal(map[string]string{"errorCode": "E0000004", "errorSummary": "no: " + in.Password + " is wrong, token 00abcdefghijklmnopqrstuv\r\nx"})
				return page(r, 401, string(body)), nil
			}
			return nil, nil
		})
		_, err := w.signIn(t) // looks for the password
		e := wantKind(t, err, auth.CredentialRefused)
		if strings.Contains(e.Seen, "00abc") || strings.ContainsAny(e.Seen, "\r\n") || !strings.Contains(e.Seen, "is wrong") {
			t.Errorf("seen %q", e.Seen)
		}
	})
	run(t, "codes", setup{user: withTOTP}, func(t *testing.T, w *world) {
		var code string
		w.carrier.answers(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.URL.Path, factorPath) {
				text, _ := io.ReadAll(r.Body)
				var in struct{ PassCode string }
				_ = json.Unmarshal(text, &in)
				code = in.PassCode
				return page(r, 403, `{"errorCode":"E0000068","errorSummary":"wrong: `+code+`"}`), nil
			}
			return nil, nil
		})
		_, err := w.signIn(t)
		wantKind(t, err, auth.PasscodeRefused)
		if len(code) != 6 || strings.Contains(err.Error(), code) {
			t.Errorf("code %q in %v", code, err)
		}
	})
	run(t, "a transport that quotes addresses", setup{}, func(t *testing.T, w *world) {
		w.carrier.answers(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == sessionPath {
				return nil, fmt.Errorf("no luck with %s", password)
			}
			return nil, nil
		})
		_, err := w.signIn(t)
		wantKind(t, err, auth.Unreachable)
	})
}

// TestTimeIsUp: the end of the walk's context is named, wherever it comes.
func TestTimeIsUp(t *testing.T) {
	for _, place := range []string{"/.well-known/", appPath, authnPath, factorPath, sessionPath} {
		run(t, place, setup{user: withTOTP}, func(t *testing.T, w *world) {
			w.okta.Inject(oktabox.Fault{Kind: oktabox.Slow, Path: place, Delay: time.Minute})
			ctx, done := context.WithTimeout(t.Context(), 10*time.Second)
			defer done()
			_, err := w.signer.SignIn(ctx, "alice", w.watch())
			want := auth.Deadline
			if place == authnPath || place == factorPath {
				want = auth.Unanswered
			}
			wantKind(t, err, want)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v does not say why", err)
			}
		})
	}
	run(t, "cancelled", setup{user: withPush}, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, _ = w.okta.Phone(login).Wait(t.Context())
			cancel()
		}()
		_, err := w.signer.SignIn(ctx, "alice", w.watch())
		wantKind(t, err, auth.Deadline)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v does not say why", err)
		}
		if n := len(w.okta.Phone(login).Pending()); n != 0 {
			t.Errorf("%d pushes are left on the phone", n)
		}
	})
}

// TestUsedUpLimit: an answer that says that nothing is left makes the next
// request there wait for the reset instead of being refused.
func TestUsedUpLimit(t *testing.T) {
	s := setup{settings: func(s *oktabox.Settings) { s.UserPerSecond = 1 }}
	run(t, "", s, func(t *testing.T, w *world) {
		for range 2 {
			g, err := w.signIn(t)
			wantGrant(t, g, err)
			w.okta.EndSessions()
		}
		if n := w.okta.Counts().Limited; n != 0 {
			t.Errorf("%d requests were refused, want none", n)
		}
	})
}

// TestDroppedProof: so may a proof that was made of what the config has.
func TestDroppedProof(t *testing.T) {
	for _, c := range every(t) {
		if c.cost.asked > 0 || c.cost.proofs == 0 {
			continue
		}
		for _, kind := range []oktabox.FaultKind{oktabox.DropAfter, oktabox.Truncate, oktabox.HTMLPage, oktabox.Slow} {
			for _, s := range []setup{
				{user: c.user, identity: c.identity},
				engine(setup{user: c.user, identity: c.identity}, nil),
			} {
				place, skip := factorPath, c.requests-1
				if s.settings != nil {
					place, skip = idxPath+"challenge/answer", 0
				}
				run(t, fmt.Sprintf("%s/%d at %s", c.name, kind, place), s, func(t *testing.T, w *world) {
					fault := oktabox.Fault{Kind: kind, Path: place, Skip: skip}
					if kind == oktabox.Slow {
						fault.Delay = 24 * time.Hour
					}
					w.okta.Inject(fault)
					ctx, done := context.WithTimeout(t.Context(), time.Minute)
					defer done()
					_, err := w.signer.SignIn(ctx, "alice", w.watch())
					e := wantKind(t, err, auth.Unanswered)
					if used, err := w.signer.Uses(t.Context(), "alice", e.Credential); err != nil || !used {
						t.Errorf("what was sent is not named: %v %v", used, err)
					}
					if n := w.okta.Counts().Passcodes; n > 1 {
						t.Errorf("%d proofs sent, want 1", n)
					}
					w.okta.ClearFaults()
					changed := signerFor(w, auth.Identity{Name: "alice", Username: login, Password: constant("another")})
					if used, _ := changed.Uses(t.Context(), "alice", e.Credential); used {
						t.Error("the password is blamed")
					}
				})
			}
		}
	}
}
