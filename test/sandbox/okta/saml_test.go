package okta

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crewjam/saml"
)

// sessionToken signs bob in.
func sessionToken(b *browser) string {
	b.t.Helper()
	return b.primary("bob@example.com", "battery staple").state(b.t, success).str("sessionToken")
}

func Test22SessionCookieRedirect(t *testing.T) {
	o := org(t, nil)
	b := newBrowser(t, o)
	for _, target := range []string{"https://evil.example/", "//evil.example/", "https://example.okta.test@evil.example/", "https://example.okta.test.evil.example/", `/\evil.example`, "javascript:alert(1)", "", "http://example.okta.test/"} {
		token := sessionToken(b)
		r := b.get("/login/sessionCookieRedirect?" + url.Values{"token": {token}, "redirectUrl": {target}}.Encode())
		if r.status != http.StatusBadRequest || r.header.Get("Location") != "" {
			t.Errorf("%q: %d %s", target, r.status, r.header.Get("Location"))
		}
	}
	if o.Counts().Sessions != 0 {
		t.Error("a refused redirect opened a session")
	}
	to := baseURL + "/app/x"
	r := b.postForm("/login/sessionCookieRedirect", url.Values{"token": {sessionToken(b)}, "redirectUrl": {to}, "checkAccountSetupComplete": {"true"}})
	if r.status != http.StatusFound || r.header.Get("Location") != to || o.Counts().Sessions != 1 {
		t.Errorf("POST: %d %s", r.status, r.header.Get("Location"))
	}
	r = b.get("/login/sessionCookieRedirect?" + url.Values{"token": {sessionToken(b)}, "redirectUrl": {to + "?SAMLRequest=a%2Bb"}, "repost": {"true"}}.Encode())
	if action, v := form(r.body); r.status != http.StatusOK || action != to || v.Get("SAMLRequest") != "a+b" {
		t.Errorf("repost: %d %s %v", r.status, action, v)
	}
}

func Test23SessionTokenAtTheApp(t *testing.T) {
	o := org(t, func(s *Settings) { s.SessionPage = SessionForm })
	sp := provider(t, o)
	b := newBrowser(t, o)
	token := sessionToken(b)
	target, id := request(t, sp, "")
	with := target + "&sessionToken=" + url.QueryEscape(token)
	action, fields := form(b.get(with).body)
	if action != sp.AcsURL.String() || !fields.Has("RelayState") || fields.Get("RelayState") != "" {
		t.Fatalf("form: %s %v", action, fields)
	}
	if _, err := accept(sp, fields, id); err != nil {
		t.Fatal(err)
	}
	if r := newBrowser(t, o).get(with); strings.Contains(r.body, "SAMLResponse") {
		t.Error("a session token worked twice")
	}
	// Where there is a session, a session token is neither needed nor used.
	spare := sessionToken(b)
	n := o.Counts().Sessions
	if a, _ := form(b.get(target + "&sessionToken=" + url.QueryEscape(spare)).body); a == "" || o.Counts().Sessions != n {
		t.Error("the session was not preferred")
	}
	if a, _ := form(newBrowser(t, o).get(target + "&sessionToken=" + url.QueryEscape(spare)).body); a == "" {
		t.Error("the ignored session token was used up")
	}
}

func Test24Session(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, nil)
		b := newBrowser(t, o)
		open := func() { b.get("/login/sessionCookieRedirect?redirectUrl=%2F&token=" + sessionToken(b)) }
		b.get("/api/v1/sessions/me").want(t, 404, "E0000007")
		open()
		r := b.get("/api/v1/sessions/me")
		if r.status != 200 || r.str("login") != "bob@example.com" || r.str("status") != "ACTIVE" {
			t.Fatalf("%d %s", r.status, r.body)
		}
		time.Sleep(90 * time.Minute)
		b.get("/api/v1/sessions/me") // looking does not prolong
		b.post(r.str("_links", "refresh", "href"), nil)
		time.Sleep(90 * time.Minute)
		if r := b.get("/api/v1/sessions/me"); r.status != 200 {
			t.Fatal("a refreshed session ended early")
		}
		time.Sleep(31 * time.Minute)
		b.get("/api/v1/sessions/me").want(t, 404, "E0000007")
		open()
		for range 13 {
			time.Sleep(110 * time.Minute)
			b.do("POST", "/api/v1/sessions/me/lifecycle/refresh", "application/json", "{}")
		}
		time.Sleep(11 * time.Minute)
		b.get("/api/v1/sessions/me").want(t, 404, "E0000007") // 24 hours are over
		open()
		if r := b.do("DELETE", "/api/v1/sessions/me", "", ""); r.status != http.StatusNoContent {
			t.Fatalf("DELETE: %d", r.status)
		}
		b.get("/api/v1/sessions/me").want(t, 404, "E0000007")
		open()
		o.EndSessions()
		b.get("/api/v1/sessions/me").want(t, 404, "E0000007")
	})
}

func Test25StepUp(t *testing.T) {
	for _, shape := range []Shape{ShapeSingle, ShapeDouble, ShapeUnicode, ShapeData} {
		o := org(t, func(s *Settings) { s.MFA, s.AppMFA, s.Shape = MFANever, true, shape })
		sp := provider(t, o)
		b := newBrowser(t, o)
		token := b.primary("alice@example.com", "correct horse").state(t, success).str("sessionToken")
		target, id := request(t, sp, "rs")
		page := b.get(target + "&sessionToken=" + url.QueryEscape(token))
		state, ok := field(tokenOf, page.body)
		if !ok || !strings.HasPrefix(state, "00") || strings.Contains(page.body, state) {
			t.Fatalf("shape %d: token %q, escaped %v", shape, state, !strings.Contains(page.body, state))
		}
		b.get("/login/step-up/redirect?stateToken="+state).errorPage(t, 403) // not yet
		in := map[string]any{"stateToken": state}
		r := b.post("/api/v1/authn", in).state(t, mfaRequired)
		if r.str("type") != "SESSION_STEP_UP" {
			t.Errorf("type %q", r.str("type"))
		}
		in["passCode"] = code(t, time.Now())
		r = b.post(r.verifyURL("token:software:totp"), in).state(t, success)
		if r.at("sessionToken") != nil {
			t.Error("a step-up gave a session token")
		}
		next := r.str("_links", "next", "href")
		newBrowser(t, o).get(next).errorPage(t, 403) // no session
		other := newBrowser(t, o)
		other.get("/login/sessionCookieRedirect?redirectUrl=%2F&token=" + sessionToken(other))
		other.get(next).errorPage(t, 403) // somebody else's session
		back := b.get(next)
		action, fields := form(b.get(back.header.Get("Location")).body)
		if action != sp.AcsURL.String() || fields.Get("RelayState") != "rs" {
			t.Fatalf("after the step-up: %d %s %v", back.status, action, fields)
		}
		if _, err := accept(sp, fields, id); err != nil {
			t.Fatal(err)
		}
		b.get(next).errorPage(t, 403) // once
	}
}

// errorPage fails unless r is a page for people.
func (r result) errorPage(t *testing.T, status int) {
	t.Helper()
	if r.status != status || !strings.Contains(r.body, `class="error-page"`) {
		t.Fatalf("got %d %.200s", r.status, r.body)
	}
}

func Test26SignInPages(t *testing.T) {
	for _, shape := range []Shape{ShapeSingle, ShapeDouble, ShapeUnicode, ShapeData} {
		o := org(t, func(s *Settings) { s.Shape = shape; s.SessionPage = SessionForm })
		sp := provider(t, o)
		target, id := request(t, sp, "a b&c+d")
		b := newBrowser(t, o)
		r := b.get(target)
		uri, _ := field(uriOf, r.body)
		if token, ok := field(tokenOf, r.body); !ok || token != "" {
			t.Fatalf("shape %d: stateToken %q %v", shape, token, ok)
		}
		if baseURL+uri != target || strings.Contains(r.body, uri) {
			t.Fatalf("shape %d: fromUri %q, want the path of %q, escaped", shape, uri, target)
		}
		to := b.get("/login/sessionCookieRedirect?" + url.Values{"token": {sessionToken(b)}, "redirectUrl": {baseURL + uri}}.Encode()).header.Get("Location")
		_, fields := form(b.get(to).body)
		if fields.Get("RelayState") != "a b&c+d" {
			t.Errorf("RelayState %q", fields.Get("RelayState"))
		}
		if _, err := accept(sp, fields, id); err != nil {
			t.Fatal(err)
		}
	}
}

// Test26PostBinding follows both ways in which a page carries on a posted request.
func Test26PostBinding(t *testing.T) {
	o := org(t, func(s *Settings) { s.SessionPage = SessionForm })
	sp := provider(t, o)
	seen := map[string]bool{}
	for len(seen) < 2 {
		r, err := sp.MakeAuthenticationRequest(sp.GetSSOBindingLocation(saml.HTTPPostBinding), saml.HTTPPostBinding, saml.HTTPPostBinding)
		if err != nil {
			t.Fatal(err)
		}
		page := string(r.Post("rs"))
		value := page[strings.Index(page, `name="SAMLRequest" value="`)+26:]
		fields := url.Values{"SAMLRequest": {strings.ReplaceAll(value[:strings.Index(value, `"`)], "&#43;", "+")}, "RelayState": {"rs"}}
		b := newBrowser(t, o)
		signIn := b.postForm(sp.GetSSOBindingLocation(saml.HTTPPostBinding), fields)
		uri, _ := field(uriOf, signIn.body)
		repost, _ := field(repostOf, signIn.body)
		seen[repost] = true
		go1 := url.Values{"token": {sessionToken(b)}, "redirectUrl": {baseURL + uri}}
		if repost == "true" {
			b.get(uri).errorPage(t, 400) // what was posted is not deflated, so it is no query
			go1.Set("repost", "true")
		}
		next := b.get("/login/sessionCookieRedirect?" + go1.Encode())
		var last result
		if repost == "true" {
			action, again := form(next.body)
			last = b.postForm(action, again)
		} else {
			last = b.get(next.header.Get("Location"))
		}
		_, out := form(last.body)
		if _, err := accept(sp, out, r.ID); err != nil || out.Get("RelayState") != "rs" {
			t.Fatalf("repost %s: %v %v", repost, err, out.Get("RelayState"))
		}
		// The other documented way: the same form again, with the session token.
		b = newBrowser(t, o)
		_, out = form(b.postForm(sp.GetSSOBindingLocation(saml.HTTPPostBinding)+"?sessionToken="+url.QueryEscape(sessionToken(b)), fields).body)
		if _, err := accept(sp, out, r.ID); err != nil {
			t.Fatal(err)
		}
	}
}

func Test26JavaScriptRedirect(t *testing.T) {
	o := org(t, func(s *Settings) { s.SessionPage = SessionRedirect })
	sp := provider(t, o)
	for range 8 { // both quotes, escaped or not
		b := newBrowser(t, o)
		b.get("/login/sessionCookieRedirect?redirectUrl=%2F&token=" + sessionToken(b))
		target, id := request(t, sp, "rs")
		page := b.get(target)
		to, ok := field(jsOf, page.body)
		if a, _ := form(page.body); !ok || a != "" {
			t.Fatalf("no script: %s", page.body)
		}
		_, fields := form(b.get(b.get(to).header.Get("Location")).body)
		if _, err := accept(sp, fields, id); err != nil {
			t.Fatal(err)
		}
	}
}

func Test27Assertion(t *testing.T) {
	o := org(t, func(s *Settings) { s.SessionPage = SessionForm })
	sp := provider(t, o)
	b := newBrowser(t, o)
	target, id := request(t, sp, "")
	page := b.get(target + "&sessionToken=" + url.QueryEscape(sessionToken(b)))
	_, fields := form(page.body)
	a, err := accept(sp, fields, id)
	if err != nil {
		t.Fatal(err)
	}
	if a.Subject.NameID.Value != "bob@example.com" || a.Issuer.Value != o.Metadata().EntityID {
		t.Errorf("subject %v issuer %v", a.Subject.NameID, a.Issuer)
	}
	raw := fields.Get("SAMLResponse")
	if strings.Contains(raw, "+") && strings.Contains(page.body, raw) {
		t.Error("the value is not entity-escaped")
	}
	if !strings.Contains(page.body, `action="https&#x3a;&#x2f;&#x2f;gis.example.test`) {
		t.Error("the action is not entity-escaped")
	}
	if _, err := accept(sp, fields, "another-id"); err == nil {
		t.Error("InResponseTo does not matter")
	}
	xml, err := base64.StdEncoding.DecodeString(raw)
	if err != nil {
		t.Fatal(err)
	}
	forged := url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(string(xml), "bob@example.com", "eve@example.com")))}}
	if _, err := accept(sp, forged, id); err == nil {
		t.Error("the signature does not matter")
	}
	other := *sp
	other.EntityID = "another.portal"
	if _, err := accept(&other, fields, id); err == nil {
		t.Error("the audience does not matter")
	}
}

func Test27ClockSkew(t *testing.T) {
	for skew, good := range map[time.Duration]bool{time.Minute: true, 20 * time.Minute: false, -20 * time.Minute: false} {
		o := org(t, func(s *Settings) { s.ClockSkew = skew })
		sp := provider(t, o)
		b := newBrowser(t, o)
		target, id := request(t, sp, "")
		r := b.get(target + "&sessionToken=" + url.QueryEscape(sessionToken(b)))
		_, fields := form(r.body)
		a, err := accept(sp, fields, id)
		if (err == nil) != good {
			t.Errorf("skew %v: %v", skew, err)
		}
		if err == nil && time.Until(a.IssueInstant.Add(-skew)).Abs() > 10*time.Second {
			t.Errorf("skew %v: issued at %v", skew, a.IssueInstant)
		}
		if date, err := http.ParseTime(r.header.Get("Date")); err != nil || time.Until(date.Add(-skew)).Abs() > 10*time.Second {
			t.Errorf("skew %v: Date %v", skew, date)
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	o := org(t, nil)
	b := newBrowser(t, o)
	sp := &saml.ServiceProvider{EntityID: "gis", IDPMetadata: o.Metadata()}
	u, _ := url.Parse("https://gis.example.test/acs")
	sp.AcsURL = *u
	target, _ := request(t, sp, "")
	b.get(target).errorPage(t, 400) // nothing is registered yet
	known := provider(t, o)
	b.get(target).errorPage(t, 400) // another service provider
	stranger := *known              // the right consumer, but not the registered entity
	stranger.EntityID = "stranger"
	target, _ = request(t, &stranger, "")
	b.get(target).errorPage(t, 400)
	known.AcsURL.Path = "/elsewhere"
	target, _ = request(t, known, "")
	b.get(target).errorPage(t, 400) // an assertion consumer that is not registered
	plain := strings.SplitN(target, "?", 2)[0]
	b.get(plain).errorPage(t, 400)
	b.get(plain+"?SAMLRequest=%21").errorPage(t, 400)
	b.get(plain+"?okta_key=nonesuch").errorPage(t, 400)
	b.get("/app/nonesuch/exk1/sso/saml").errorPage(t, 404)
	b.get("/nonesuch").errorPage(t, 404)
}

func TestNotAssigned(t *testing.T) {
	o := org(t, nil)
	if err := o.Alter("bob@example.com", func(u *User) { u.Unassigned = true }); err != nil {
		t.Fatal(err)
	}
	sp := provider(t, o)
	b := newBrowser(t, o)
	target, _ := request(t, sp, "")
	r := b.get(target + "&sessionToken=" + url.QueryEscape(sessionToken(b)))
	if !strings.Contains(r.body, "User is not assigned to this application.") || o.Counts().Assertions != 0 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestTwoApplications(t *testing.T) {
	o := org(t, func(s *Settings) { s.SessionPage = SessionForm })
	first := provider(t, o)
	second := *first
	second.EntityID = "second"
	app := o.RegisterApp("Second", second.Metadata())
	second.IDPMetadata = o.MetadataOf(app)
	b := newBrowser(t, o)
	b.get("/login/sessionCookieRedirect?redirectUrl=%2F&token=" + sessionToken(b))
	for _, sp := range []*saml.ServiceProvider{first, &second} {
		target, id := request(t, sp, "")
		_, fields := form(b.get(target).body)
		if _, err := accept(sp, fields, id); err != nil {
			t.Errorf("%s: %v", sp.EntityID, err)
		}
	}
	if app.SSOURL() != second.GetSSOBindingLocation(saml.HTTPPostBinding) || app.EntityID() == o.Metadata().EntityID {
		t.Errorf("%s %s", app.SSOURL(), app.EntityID())
	}
}

// TestWholeSignInInABubble is a sign-in under a fake clock, from page to assertion.
func TestWholeSignInInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := org(t, nil)
		sp := provider(t, o)
		b := newBrowser(t, o)
		target, id := request(t, sp, "rs")
		b.get(target)
		o.Phone("alice@example.com").ApproveAfter(2 * time.Minute)
		r, again := challenge(b)
		for r.str("factorResult") == "WAITING" {
			time.Sleep(4 * time.Second)
			r = again()
		}
		token := r.state(t, success).str("sessionToken")
		_, fields := form(b.get(target + "&sessionToken=" + url.QueryEscape(token)).body)
		if _, err := accept(sp, fields, id); err != nil {
			t.Fatal(err)
		}
		if c := o.Counts(); c.Pushes != 1 || c.Sessions != 1 || c.Assertions != 1 || c.Primary != 1 {
			t.Errorf("%+v", c)
		}
	})
}

func TestSeedRepeats(t *testing.T) {
	pages := func(seed uint64) string {
		base, _ := url.Parse(baseURL)
		o, err := New(Config{BaseURL: base, Seed: seed, Users: []User{{Login: "bob@example.com", Password: "battery staple"}}})
		if err != nil {
			t.Fatal(err)
		}
		sp := provider(t, o)
		var all strings.Builder
		for range 5 {
			target, _ := request(t, sp, "")
			body := newBrowser(t, o).get(target).body
			uri, _ := field(uriOf, body)
			for _, unicode := range []bool{true, false} {
				body = strings.ReplaceAll(body, escape(uri, unicode), "URI")
			}
			all.WriteString(strings.ReplaceAll(body, attr(uri), "URI"))
		}
		return all.String()
	}
	first := pages(7)
	if again := pages(7); again != first {
		t.Error("one seed gave two sequences of pages")
	}
	if pages(8) == first {
		t.Error("two seeds gave the same pages")
	}
}

func TestBadConfig(t *testing.T) {
	base, _ := url.Parse(baseURL)
	bare, _ := url.Parse("example.okta.test")
	alice := User{Login: "alice@example.com", Password: "x"}
	for name, c := range map[string]Config{
		"no URL":         {},
		"no scheme":      {BaseURL: bare},
		"two logins":     {BaseURL: base, Users: []User{alice, {Login: "Alice@example.com", Password: "y"}}},
		"no password":    {BaseURL: base, Users: []User{{Login: "a"}}},
		"bad secret":     {BaseURL: base, Users: []User{{Login: "a", Password: "b", TOTPSecret: "not base32!"}}},
		"unknown factor": {BaseURL: base, Users: []User{{Login: "a", Password: "b", Others: []string{"telepathy"}}}},
		"trusted":        {BaseURL: base, TrustedOrigins: []string{"nowhere"}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
