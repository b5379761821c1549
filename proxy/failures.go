package proxy

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"arcproxy/auth"
	"arcproxy/proxy/console"
	"arcproxy/proxy/form"
)

// failure is an answer that the proxy gives itself. Every one is made in this
// file, and its text says what happened and what to do.
type failure struct {
	status  int
	message string
	details []string
	retry   time.Duration // when to come back; 0: not said
	cause   error         // for the log only
	// silent: the HTTP status is 200, as ArcGIS fails, and only the body says what happened.
	silent bool
	// password lets a browser ask for a name and a key.
	password bool
}

// Error implements error.
func (f *failure) Error() string { return f.message }

// code is the status in the JSON body. ArcGIS clients act on some codes by
// themselves: core opens a sign-in dialog of its own for 401, 403, 498 and 499.
// Those are 400 in the body; the HTTP status says what it is.
func (f *failure) code() int {
	switch f.status {
	case http.StatusOK:
		return codeInvalid
	case http.StatusUnauthorized, http.StatusForbidden, 498, 499:
		return http.StatusBadRequest
	}
	return f.status
}

// codeInvalid is ArcGIS's code for a token that is no longer good.
const codeInvalid = 498

// How a caller can say who it is.
const presentKey = "send your caller key as X-Esri-Authorization: Bearer KEY, as Authorization: Bearer KEY, as the password of HTTP Basic, or as the parameter token"

// The failures that need no details. They are never changed.
var (
	methodNotAllowed = &failure{status: http.StatusMethodNotAllowed, message: "this method is not allowed here; allowed are " + allowed}
	wrongHost        = &failure{status: http.StatusMisdirectedRequest, message: "this proxy does not go by the name in the Host header; call it by the address in public_url, or as localhost on the same machine"}
	notMounted       = &failure{status: http.StatusNotFound, message: "nothing is mounted at this path; a path begins with the name of the Portal's or a server's web adaptor, such as /portal/ or /server/"}
	// newcomer is nobody yet, and asks what everybody may ask.
	newcomer         = &failure{status: http.StatusUnauthorized, message: presentKey}
	unknownCaller    = &failure{status: http.StatusUnauthorized, message: "the proxy does not know who is calling; " + presentKey}
	wrongKey         = &failure{status: http.StatusUnauthorized, message: "the caller key is not one that the proxy knows, or not for use from this address; check it against the callers in the config, or make a new one with `arcproxy key`"}
	ambiguousAddress = &failure{status: http.StatusUnauthorized, message: "several callers share this address, so it does not say who is calling; " + presentKey}
	twoCallers       = &failure{status: http.StatusUnauthorized, message: "what the request says about who is calling is not all one caller's; send one key or token, in the X-Esri-Authorization header if a large upload comes with it"}
	misplacedKey     = &failure{status: http.StatusUnauthorized, message: "this is not how a caller key is sent; " + presentKey}
	// tokenEnded has a Portal's status and code, because it is the client's own token
	// that has ended: it is to sign in again. It has not a Portal's words, at which the
	// ArcGIS API for Python repeats the request without the token, as whoever it is then.
	tokenEnded       = &failure{status: http.StatusOK, message: "this token has ended; sign in again"}
	unknownUser      = &failure{status: http.StatusUnauthorized, message: "the system does not say with certainty which user this connection belongs to, so it does not say who is calling; connect once more, or " + presentKey}
	wrongCertificate = &failure{status: http.StatusUnauthorized, message: "the client certificate is not one caller's; check it against cert_san and cert_sha256 in the config"}
	wrongFrontUser   = &failure{status: http.StatusUnauthorized, message: "the user that the front proxy names is not one caller's; check it against front_user in the config"}
	crossSite        = &failure{status: http.StatusForbidden, message: "a page of another site may not use the proxy in the name of a caller who is known by what a browser adds by itself, such as its address or a remembered password; send a caller key with the request, and for a page that is to read the answer name its origin in web.origins"}
	callbackNeedsKey = &failure{status: http.StatusForbidden, message: "an answer with a callback can be read by any site, so it needs a caller key; leave the callback out, or send the key as the parameter token"}
	pathTooLong      = &failure{status: http.StatusRequestURITooLong, message: "the path is longer than any that ArcGIS has; send parameters in the query or in a form"}
	formTooLarge     = &failure{status: http.StatusRequestEntityTooLarge, message: "this form is too large to be searched for a caller key; send the key in the X-Esri-Authorization header, and the form may have any size"}
	uploadTooLarge   = &failure{status: http.StatusRequestEntityTooLarge, message: "this upload is too large to be searched for a caller key, and what came before its end does not say who is calling; send the key in the X-Esri-Authorization header, and the upload may have any size"}
	errRenewed       = &failure{status: http.StatusServiceUnavailable, retry: time.Second, message: "the sign-in had ended and has just been renewed, but this request's body was too large to be kept and sent again; repeat the request"}
)

func badRequest(why string) *failure {
	return &failure{status: http.StatusBadRequest, message: "the request was not passed on: " + why}
}

func brokenBody(err error) *failure {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &failure{status: http.StatusRequestTimeout, cause: err, message: "the request's body came too slowly, or not at all; send it again over a better connection"}
	}
	return &failure{status: http.StatusBadRequest, message: "the request's body ended before it was complete", cause: err}
}

func signInBroken(identity string, err error) *failure {
	return &failure{status: http.StatusBadGateway, message: "there is no token for " + identity + "; the log says why", cause: err}
}

// failed answers for an exchange that ended in err.
func (x *exchange) failed(w http.ResponseWriter, _ *http.Request, err error) {
	if paced, ok := x.in.Body.(*pacedBody); ok && paced.hasStalled() {
		// net/http takes a connection whose read failed for one that has ended.
		x.turnAway(w, brokenBody(os.ErrDeadlineExceeded))
		return
	}
	if x.in.Context().Err() != nil {
		return // the caller has left; there is nobody to answer
	}
	if wrong, ok := errors.AsType[*wrongPart](err); ok {
		x.proxy.guesses.pause(x.in.Context(), remote(x.in.RemoteAddr), wrong.guess)
	}
	x.turnAway(w, x.failure(err))
}

// failure says what a caller sees of err.
func (x *exchange) failure(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if e, ok := errors.AsType[*auth.Error](err); ok {
		return x.signInFailure(e)
	}
	if x.body.broken.Load() {
		return unreadable(err)
	}
	return &failure{status: http.StatusBadGateway, cause: err,
		message: fmt.Sprintf("%s %s; check that it is up and can be reached from the proxy, with `arcproxy check`", x.to.name, symptom(err))}
}

// symptom says how an upstream failed, in words that hold nothing of the request.
func symptom(err error) string {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "has a certificate that the proxy does not trust (see network.ca_file)"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "does not speak TLS there"
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return "has a host name that does not exist"
	}
	op, isOp := errors.AsType[*net.OpError](err)
	dialing := isOp && op.Op == "dial"
	timeout, _ := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused the connection"
	case dialing && op.Timeout():
		return "did not take the connection in time"
	case dialing:
		return "could not be connected to"
	case timeout != nil && timeout.Timeout():
		return "did not answer in time"
	}
	return "broke the connection before it answered"
}

// signInFailure says what a caller sees of a sign-in that failed or goes on.
func (x *exchange) signInFailure(e *auth.Error) *failure {
	f := &failure{status: http.StatusServiceUnavailable, cause: e}
	switch e.Kind {
	case auth.TokenRefused:
		f.status = http.StatusBadGateway
		f.message = fmt.Sprintf("%s refused a token that had just been issued to %s; %s", x.to.name, x.caller.Identity, e.Remedy())
		if !e.Until.IsZero() {
			f.retry = max(time.Until(e.Until), time.Second)
		}
		return f
	case auth.Waiting:
		f.retry = 5 * time.Second
		f.message = "the sign-in of " + x.caller.Identity + " is still going on"
		if e.Event.Text != "" {
			f.message += ": " + e.Event.Text
		}
		f.message += "; " + e.Remedy()
		if c := e.Event.Challenge; c != nil && c.Number != "" {
			f.details = append(f.details, "number to approve: "+c.Number)
		}
		f.details = append(f.details, x.proxy.whereToAnswer(x.caller.Identity, e.Event.Challenge)...)
		return f
	case auth.Unreachable, auth.Deadline, auth.UnexpectedPage, auth.ForeignOrigin, auth.BadClient,
		auth.BadLogin, auth.AssertionRefused, auth.GrantRefused, auth.NotSupported, auth.UnknownIdentity:
		f.status = http.StatusBadGateway
	case auth.SessionLost, auth.NobodyWaiting:
		f.retry = time.Second
	case auth.RateLimited, auth.PushRejected, auth.PushTimedOut, auth.ChallengeExpired, auth.FactorFailed:
		f.retry = time.Minute
	default: // a person has to change something
		f.retry = 5 * time.Minute
	}
	if !e.Until.IsZero() {
		f.retry = max(time.Until(e.Until), time.Second)
	}
	f.message = e.Error()
	if remedy := e.Remedy(); remedy != "" {
		f.message += "; " + remedy
	}
	if e.Kind == auth.MissingCredential && x.proxy.console != nil {
		f.details = append(f.details, "a person can sign in at "+x.proxy.guard.origin+console.Path)
	}
	return f
}

// refuse writes f as the answer to r, in the form that fits who asked.
func (p *settings) refuse(w http.ResponseWriter, r *http.Request, f *failure) {
	level := slog.LevelInfo
	if f.status >= 500 {
		level = slog.LevelWarn
	}
	because := slog.Attr{}
	if f.cause != nil {
		because = slog.String("cause", f.cause.Error())
	}
	p.log.LogAttrs(r.Context(), level, "request refused",
		slog.Int("status", f.status),
		slog.String("reason", f.message),
		because,
		slog.String("method", r.Method),
		slog.String("path", ascii(r.URL.EscapedPath())),
		slog.String("remote", r.RemoteAddr),
	)
	h := w.Header()
	clear(h) // of anything that was meant for another answer
	hangUp(h, r)
	p.guard.web.permit(h, r)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch f.status {
	case http.StatusUnauthorized:
		// RFC 9110 wants a challenge. Not Basic: browsers would ask for a password,
		// and the ArcGIS API for Python would change its way of signing in.
		h.Set("WWW-Authenticate", `Bearer realm="arcproxy"`)
		if f.password {
			h.Set("WWW-Authenticate", `Basic realm="arcproxy", charset="UTF-8"`)
		}
	case http.StatusRequestTimeout:
		if r.ProtoMajor == 1 {
			h.Set("Connection", "close") // the rest of the body may still come
		}
	case http.StatusMethodNotAllowed:
		h.Set("Allow", allowed)
	}
	if f.retry > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((f.retry+time.Second-1)/time.Second), 10))
	}
	kind, body := f.render(r)
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if strings.HasPrefix(kind, "text/html") {
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	}
	status := f.status
	if f.silent {
		status = http.StatusOK
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // an error means that the caller has left
	}
}

// callbackName is what a JSONP callback may be called.
var callbackName = regexp.MustCompile(`^[A-Za-z_$][\w$.]{0,127}$`)

// page is a failure for a person.
var page = template.Must(template.New("failure").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Title}}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}</style></head>
<body><h1>{{.Title}}</h1><p>{{.Message}}</p>{{range .Details}}<p>{{.}}</p>{{end}}</body></html>
`))

// render returns the Content-Type and body of f for r: a page for a browser that
// shows one, a callback where one was asked for, else JSON as ArcGIS writes it.
func (f *failure) render(r *http.Request) (string, []byte) {
	message := harmless(f.message)
	details := make([]string, len(f.details))
	for i, detail := range f.details {
		details[i] = harmless(detail)
	}
	format := strings.ToLower(form.Parameter(r.URL.RawQuery, "f"))
	if (format == "" || format == "html") && strings.Contains(r.Header.Get("Accept"), "text/html") {
		var b bytes.Buffer
		err := page.Execute(&b, struct {
			Title, Message string
			Details        []string
		}{strconv.Itoa(f.status) + " " + http.StatusText(f.status), message, details})
		if err == nil {
			return "text/html; charset=utf-8", b.Bytes()
		}
	}
	type inner struct {
		Code    int      `json:"code"`
		Message string   `json:"message"`
		Details []string `json:"details"`
	}
	body, _ := json.Marshal(map[string]inner{"error": {f.code(), message, details}}) // strings and a number: cannot fail
	if callback := form.Parameter(r.URL.RawQuery, "callback"); callbackName.MatchString(callback) {
		return "application/javascript; charset=utf-8", fmt.Appendf(nil, "/**/%s(%s);", callback, body)
	}
	return "application/json; charset=utf-8", body
}

// phrases are words that make clients think that their own token was refused:
// the ArcGIS API for Python searches whole bodies for them.
var phrases = regexp.MustCompile(`(?i)(invalid)\s+(token)|(token)\s+(required)`)

// harmless returns text without such phrases.
func harmless(text string) string {
	return phrases.ReplaceAllString(text, "$1$3-$2$4")
}
