package okta

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Shape is a form in which Okta writes its sign-in page. All are seen in the
// field [page].
type Shape int

// The shapes.
const (
	ShapeVaried  Shape = iota // any of the others, by seed
	ShapeSingle               // var stateToken = '…'; with \xNN escapes
	ShapeDouble               // the same in double quotes
	ShapeUnicode              // single quotes and \uNNNN escapes
	ShapeData                 // a custom domain: var oktaData = {…} with a function inside
)

// SessionPage is what an application shows to a live session.
type SessionPage int

// The pages.
const (
	SessionVaried   SessionPage = iota // any, by seed
	SessionForm                        // the assertion's form
	SessionRedirect                    // a script that goes to /login/step-up/redirect
	SessionWidget                      // Identity Engine: the widget's page, whose first answer is success
)

func (o *Org) shape() Shape {
	if o.settings.Shape != ShapeVaried {
		return o.settings.Shape
	}
	return ShapeSingle + Shape(o.rng.IntN(int(ShapeData)))
}

func (o *Org) jsRedirect() bool {
	if o.settings.SessionPage != SessionVaried {
		return o.settings.SessionPage == SessionRedirect
	}
	return o.rng.IntN(3) == 0
}

// sessionPage is what a live session sees on the Identity Engine.
func (o *Org) sessionPage() SessionPage {
	if o.settings.SessionPage != SessionVaried {
		return o.settings.SessionPage
	}
	return SessionForm + SessionPage(o.rng.IntN(int(SessionWidget)))
}

// page is a 200 with HTML.
func page(status int, body string) answer {
	return answer{status: status, header: http.Header{"Content-Type": {"text/html;charset=utf-8"}}, body: []byte(body)}
}

// escape writes s as Okta does inside JavaScript strings: every character but
// letters, digits, underscore, comma and full stop is an escape.
func escape(s string, unicode bool) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '_', r == '.', r == ',', '0' <= r && r <= '9', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
			b.WriteRune(r)
		case unicode && r <= 0xffff, !unicode && r > 0xff && r <= 0xffff:
			fmt.Fprintf(&b, `\u%04X`, r)
		case r <= 0xff:
			fmt.Fprintf(&b, `\x%02X`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// attr writes s as Okta does inside HTML attributes: "+" becomes "&#x2b;".
func attr(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case strings.ContainsRune("_-.,", r), '0' <= r && r <= '9', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "&#x%x;", r)
		}
	}
	return b.String()
}

// signInPage asks for a user name and a password: stateToken is empty.
func (o *Org) signInPage(c *call, req *samlRequest) answer {
	uri, repost := o.fromURI(c, req)
	return o.widget("", uri, repost, req.app.Label)
}

// stepUpPage asks a live session for a second factor: stateToken is set.
func (o *Org) stepUpPage(c *call, t *transaction) answer {
	return o.widget(t.token, t.errand.back(o, c), false, t.app.Label)
}

// widget writes the page that hosts the sign-in widget, in one of its shapes.
func (o *Org) widget(token, uri string, repost bool, label string) answer {
	shape := o.shape()
	q, unicode := `'`, shape == ShapeUnicode
	if shape == ShapeDouble {
		q = `"`
	}
	v := func(s string) string { return q + escape(s, unicode) + q }
	var b strings.Builder
	b.WriteString("<!DOCTYPE html>\n<!--[if IE 7]><html class=\"lt-ie10 lt-ie9 lt-ie8\"><![endif]-->\n<!--[if !IE]><!--><html lang=\"en\"><!--<![endif]-->\n<head>\n")
	b.WriteString("<script>if (typeof module === 'object') {window.module = module; module = undefined;}</script>\n")
	fmt.Fprintf(&b, "<title>Example Corp - Sign In</title>\n<meta charset=\"UTF-8\">\n<meta name=\"robots\" content=\"none\" />\n")
	b.WriteString("<script>var okta = {locale: 'en', deployEnv: 'PROD'};</script>\n" + o.widgetTags() + "</head>\n<body class=\"auth okta-container\">\n")
	for _, s := range o.noise(3) {
		b.WriteString(s)
	}
	// Okta's own decoy: a form for sign-in by certificate that repeats fromURI.
	fmt.Fprintf(&b, "<!-- hidden form for reposting fromURI for X509 auth -->\n<form action=\"/login/cert\" method=\"post\" id=\"x509_login\" name=\"x509_login\" style=\"display:none;\">\n<input type=\"hidden\" class=\"hide\" name=\"_xsrfToken\" value=\"null\"/><input type=\"hidden\" id=\"fromURI\" name=\"fromURI\" class=\"hidden\" value=\"%s\"/>\n</form>\n", attr(uri))
	fmt.Fprintf(&b, "<div class=\"applogin-container\"><h1>Connecting to %s</h1><p>Sign-in with your Example Corp account</p></div>\n<div id=\"signin-container\"></div>\n", html.EscapeString(label))

	if shape == ShapeData {
		leave := o.url("/login/signout?fromURI=") + uri
		pairs := []string{
			fmt.Sprintf(`"redirectUri":"%s"`, escape(o.url(uri), false)),
			`"isMobileSso":false`,
			fmt.Sprintf(`"fromUri":"%s"`, escape(uri, false)),
			fmt.Sprintf(`"requestContext":{"target":{"name":"%s","label":"%s","type":{}},"authentication":{"protocol":{},"amr":[]}}`, escape("saml_2_0", false), escape(label, false)),
			fmt.Sprintf(`"signIn":{"el":"#okta-login-container","baseUrl":"%s","brandName":"Okta","stateToken":"%s","consent":{"cancel":function(){window.location.href='%s';}},"relayState":"%s"}`,
				escape(o.base.String(), false), escape(token, false), escape(leave, false), escape(uri, false)),
			fmt.Sprintf(`"repost":%t`, repost),
		}
		o.rng.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
		fmt.Fprintf(&b, "<script type=\"text/javascript\">\nvar signInSuccessCallBackFunction;\nvar oktaData = {%s};\nvar runLoginPage = function (fn) {fn && setTimeout(fn, 1);};\n%s</script>\n", strings.Join(pairs, ","),
			o.widgetStart("oktaData.signIn.baseUrl", "oktaData.signIn.stateToken", "oktaData.fromUri", "oktaData.repost"))
	} else {
		vars := []string{
			fmt.Sprintf("  var baseUrl = %s;\n", v(o.base.String())),
			fmt.Sprintf("  var suppliedRedirectUri = %s%s;\n", q, q),
			fmt.Sprintf("  var repost = %t;\n", repost),
			fmt.Sprintf("  var stateToken = %s;\n", v(token)),
			fmt.Sprintf("  var fromUri = %s;\n", v(uri)),
			fmt.Sprintf("  var username = %s%s;\n", q, q),
			fmt.Sprintf("  var usernameLabel = %s;\n", v("Username (not your e-mail address)")),
		}
		o.rng.Shuffle(len(vars), func(i, j int) { vars[i], vars[j] = vars[j], vars[i] })
		fmt.Fprintf(&b, "<script type=\"text/javascript\">function runLoginPage (fn) {var mainScript = document.createElement('script');fn && setTimeout(fn, 1);}</script><script type=\"text/javascript\">\n(function(){\n\n%s  var stateTokenAllFlows;\n  var loginPageConfig = { fromUri: fromUri, repost: repost, signIn: { el: '#signin-container', baseUrl: baseUrl, stateToken: stateToken, relayState: fromUri } };\n%s})();\n</script>\n", strings.Join(vars, ""),
			o.widgetStart("baseUrl", "stateToken", "fromUri", "repost"))
	}
	for _, s := range o.noise(2) {
		b.WriteString(s)
	}
	b.WriteString("</body>\n</html>\n")
	return page(http.StatusOK, b.String())
}

// noise returns up to n pieces of page that mean nothing, by seed.
func (o *Org) noise(n int) []string {
	pieces := []string{
		"<noscript><div id=\"noscript-msg\"><h2>Javascript is required</h2><a href=\".\">Refresh</a></div></noscript>\n",
		"<script>window.okta || (window.okta = {}); okta.cdnUrlHostname = \"//static.example\"; okta.cdnPerformCheck = false;</script>\n",
		"<script>var stateTokenExpiresAt = ''; var notStateToken = 'x\\x2Dy';</script>\n",
		"<!-- <script>var stateToken = '00stale\\x2Dcomment'; var fromUri = '\\x2Fold';</script> -->\n",
		"<form action=\"/search\" method=\"get\"><input type=\"text\" name=\"q\" value=\"\"/><input type=\"submit\" value=\"Search\"/></form>\n",
		"<script type=\"text/template\"><form id=\"appForm\" action=\"https://template.example/\"></form></script>\n",
	}
	o.rng.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	return pieces[:o.rng.IntN(n+1)]
}

// jsRedirectPage sends a live session through the step-up address by script only.
func (o *Org) jsRedirectPage(token string) answer {
	q := []string{`'`, `"`}[o.rng.IntN(2)]
	to := o.url("/login/step-up/redirect?stateToken=" + token)
	if o.rng.IntN(2) == 0 {
		to = escape(to, false)
	}
	return page(http.StatusOK, "<!DOCTYPE html><html><head><title>Example Corp - Signing in...</title></head>\n<body class=\"auth okta-container\">\n"+
		strings.Join(o.noise(2), "")+"<script type=\"text/javascript\">\nwindow.location.href="+q+to+q+";\n</script>\n</body></html>\n")
}

// formPage posts an assertion to its consumer. RelayState is there even when it
// is empty, and both values are entity-escaped [page].
func (o *Org) formPage(action, response, relay string) answer {
	inputs := []string{
		fmt.Sprintf("    <input name=\"SAMLResponse\" type=\"hidden\" value=\"%s\"/>\n", attr(response)),
		fmt.Sprintf("    <input name=\"RelayState\" type=\"hidden\" value=\"%s\"/>\n", attr(relay)),
	}
	if o.rng.IntN(2) == 0 {
		inputs = append(inputs, "    <noscript><input type=\"submit\" value=\"Continue\"/></noscript>\n")
	}
	if o.rng.IntN(2) == 0 {
		slices.Reverse(inputs)
	}
	var b strings.Builder
	b.WriteString("<!DOCTYPE html><html lang=\"en\"><head><meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\"/>\n<title>\n    Example Corp - Signing in...</title></head>\n<body id=\"app\" class=\"enduser-app  okta-legacy-theme  \">\n<div id=\"container\">\n")
	for _, s := range o.noise(2) {
		b.WriteString(s)
	}
	if o.rng.IntN(2) == 0 {
		b.WriteString("<!-- <form id=\"appForm\" action=\"https://old.example/saml\" method=\"POST\"><input name=\"SAMLResponse\" value=\"b2xk\"/></form> -->\n")
	}
	fmt.Fprintf(&b, "<form id=\"appForm\" action=\"%s\" method=\"POST\">\n%s</form>\n", attr(action), strings.Join(inputs, ""))
	for _, s := range o.noise(1) {
		b.WriteString(s)
	}
	b.WriteString("</div>\n<!-- close #container -->\n" + submit + "</body>\n</html>\n")
	return page(http.StatusOK, b.String())
}

// submit sends a page's appForm, in a browser.
const submit = "<script type=\"text/javascript\">window.onload = function () { document.getElementById('appForm').submit(); };</script>\n"

// repostPage posts the parameters of a URL to it.
func (o *Org) repostPage(target *url.URL) answer {
	action := *target
	action.RawQuery = ""
	var inputs strings.Builder
	for name, values := range target.Query() {
		for _, v := range values {
			fmt.Fprintf(&inputs, "    <input name=\"%s\" type=\"hidden\" value=\"%s\"/>\n", attr(name), attr(v))
		}
	}
	return page(http.StatusOK, fmt.Sprintf("<!DOCTYPE html><html><head><title>\n    Example Corp - Signing in...</title></head>\n<body id=\"app\">\n<form id=\"appForm\" action=\"%s\" method=\"POST\">\n%s</form>\n%s</body></html>\n", attr(action.String()), inputs.String(), submit))
}

// errorPage is Okta's page for people.
func (o *Org) errorPage(status int, title, text string) answer {
	return page(status, fmt.Sprintf("<!DOCTYPE html><html><head><title>Example Corp - %s</title></head>\n<body class=\"error-page\"><div class=\"o-form-content\"><h2>%s</h2><p class=\"error-code\">%d</p><p>%s</p></div></body></html>\n", title, title, status, html.EscapeString(text)))
}
