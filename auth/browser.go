package auth

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/publicsuffix"
)

// The bounds of a walk. Its time is bounded by the context of each request.
const (
	maxRequests  = 250     // of one walk: a push is asked about every 4 s for up to 5 minutes
	maxRedirects = 12      // in a row
	pageBytes    = 1 << 20 // of one answer
)

// defaultUserAgent is what a Browser calls itself. It is honest and stable: Okta
// counts devices by it.
const defaultUserAgent = "arcproxy"

// BrowserConfig says what a Browser may do.
type BrowserConfig struct {
	Transport http.RoundTripper // nil: http.DefaultTransport
	Origins   []*url.URL        // the only origins (scheme, host, port) it talks to
	UserAgent string            // "": arcproxy
	Log       *slog.Logger      // hears each request's method, host, path and status; nil: nobody
}

// Browser is one identity's view of Okta and the Portal: its cookies and the
// client that carries them. It does what a browser would, with three differences.
// It talks to the configured origins only. It walks redirects itself, one by one,
// and can be told where to stop. And it sends a request with a body once: nobody,
// not even net/http, repeats one whose answer did not come, because the lost
// request may have counted as an attempt at a password or sent a push. (A form
// follows a 307 or 308 within its origin, which asks for that; JSON does not.)
//
// Cookies are kept for each origin apart. A Browser serves one walk at a time and
// must not be used concurrently.
type Browser struct {
	transport http.RoundTripper
	origins   map[string]bool
	agent     string
	log       *slog.Logger
	jars      map[string]*cookiejar.Jar // by origin
	requests  int                       // of the walk that goes on
	limits    limits
}

// Request is what a Browser is asked to send: a GET, a DELETE, or a POST if it has
// a Form or a JSON body.
type Request struct {
	Step string // for errors: "Okta: password"
	URL  *url.URL
	Form url.Values // urlencoded body
	JSON any        // JSON body
	Type string     // of the JSON body; "": application/json
	// Accept is the Accept header; "" asks for a page, or for JSON if JSON is set.
	Accept string
	// Stop says which redirects are not followed: the Page of the redirect is
	// returned with Redirect set. It is asked before anything is sent to the new
	// place. A POST with a JSON body never follows.
	Stop func(*url.URL) bool
	// Delete makes it a DELETE, without a body.
	Delete bool
}

// NewBrowser returns a Browser without cookies.
func NewBrowser(c BrowserConfig) *Browser {
	b := &Browser{
		transport: c.Transport,
		origins:   map[string]bool{},
		agent:     c.UserAgent,
		log:       c.Log,
		jars:      map[string]*cookiejar.Jar{},
		limits:    limits{},
	}
	if b.transport == nil {
		b.transport = http.DefaultTransport
	}
	if b.agent == "" {
		b.agent = defaultUserAgent
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	for _, u := range c.Origins {
		if origin := Origin(u); origin != "" {
			b.origins[origin] = true
		}
	}
	return b
}

// Begin starts a walk: what its bounds count begins anew, cookies stay.
func (b *Browser) Begin() {
	b.requests = 0
	b.limits.prune(time.Now())
}

// Forget drops the cookies of u's origin, but those that keep says yes to; a nil
// keep keeps none. It keeps those that the origin's root path would be sent.
func (b *Browser) Forget(u *url.URL, keep func(name string) bool) {
	origin := Origin(u)
	old := b.jars[origin]
	delete(b.jars, origin)
	if old == nil || keep == nil {
		return
	}
	root := &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}
	var kept []*http.Cookie
	for _, c := range old.Cookies(root) {
		if keep(c.Name) {
			kept = append(kept, rooted(u, c.Name, c.Value))
		}
	}
	if len(kept) > 0 {
		b.jar(origin).SetCookies(root, kept)
	}
}

// Cookie is what a Browser keeps of one over a restart: the jar of net/http tells
// neither a cookie's path nor its end. It goes to every path of its origin, and the
// other side knows when it ends.
type Cookie struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Cookies returns, by origin, the cookies that the origin's root path would be sent.
func (b *Browser) Cookies() map[string][]Cookie {
	all := map[string][]Cookie{}
	for origin, jar := range b.jars {
		root, err := url.Parse(origin + "/")
		if err != nil {
			continue
		}
		for _, c := range jar.Cookies(root) {
			all[origin] = append(all[origin], Cookie{c.Name, c.Value})
		}
	}
	return all
}

// SetCookies gives b cookies that [Browser.Cookies] returned, for the origins that
// it talks to.
func (b *Browser) SetCookies(all map[string][]Cookie) {
	for origin, cookies := range all {
		root, err := url.Parse(origin + "/")
		if err != nil || !b.origins[origin] || Origin(root) != origin {
			continue
		}
		kept := make([]*http.Cookie, len(cookies))
		for i, c := range cookies {
			kept[i] = rooted(root, c.Name, c.Value)
		}
		b.jar(origin).SetCookies(root, kept)
	}
}

// rooted is a cookie for every path of root's origin.
func rooted(root *url.URL, name, value string) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", Secure: root.Scheme == "https", HttpOnly: true}
}

// Knows reports whether u is of an origin that b talks to.
func (b *Browser) Knows(u *url.URL) bool { return b.origins[Origin(u)] }

// HasCookie reports whether u would be sent a cookie called name.
func (b *Browser) HasCookie(u *url.URL, name string) bool {
	if jar := b.jars[Origin(u)]; jar != nil {
		bare := sent(u)
		for _, c := range jar.Cookies(&bare) {
			if c.Name == name {
				return true
			}
		}
	}
	return false
}

func (b *Browser) jar(origin string) *cookiejar.Jar {
	jar := b.jars[origin]
	if jar == nil {
		jar, _ = cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List}) // it never fails
		b.jars[origin] = jar
	}
	return jar
}

// Do sends r, follows its redirects, and returns the page it ends at, whatever
// its status but 429. Errors are [*Error]: ForeignOrigin before anything is sent
// to a place outside the config, RateLimited for a 429, Unreachable, Deadline,
// UnexpectedPage for a page or a chain of redirects without end.
func (b *Browser) Do(ctx context.Context, r Request) (*Page, error) {
	body, contentType, err := r.body()
	if err != nil {
		return nil, &Error{Kind: UnexpectedPage, Step: r.Step, Seen: "a request that cannot be encoded"}
	}
	u := r.URL
	for range maxRedirects + 1 {
		page, err := b.send(ctx, r, u, body, contentType)
		if err != nil {
			return nil, err
		}
		next, err := location(r.Step, page)
		if err != nil || next == nil {
			return page, err
		}
		if r.JSON != nil || r.Delete || r.Stop != nil && r.Stop(next) {
			page.Redirect = next
			return page, nil
		}
		if page.Status != http.StatusTemporaryRedirect && page.Status != http.StatusPermanentRedirect {
			body = nil // 301, 302, 303: what follows is a GET
		} else if body != nil && !SameOrigin(u, next) {
			// The same body again, elsewhere: an assertion goes where it was
			// addressed and nowhere else.
			return nil, Foreign(r.Step, next)
		}
		u = next
	}
	return nil, &Error{Kind: UnexpectedPage, Step: r.Step, Seen: "redirects without end"}
}

// Ready waits until u may be asked, where a rate limit is used up, as Do would:
// for who has something to decide just before a request is sent.
func (b *Browser) Ready(ctx context.Context, step string, u *url.URL) error {
	bare := sent(u)
	return b.limits.wait(ctx, step, Origin(u)+bare.EscapedPath())
}

// sent returns u as a request has it: without user and fragment, and with a path.
func sent(u *url.URL) url.URL {
	bare := *u
	bare.User, bare.Fragment, bare.RawFragment = nil, "", ""
	if !strings.HasPrefix(bare.Path, "/") { // url.URL.JoinPath leaves it out; cookies are chosen by it
		bare.Path = "/" + bare.Path
		if bare.RawPath != "" {
			bare.RawPath = "/" + bare.RawPath
		}
	}
	return bare
}

// body encodes the request's body; nil for a GET.
func (r Request) body() ([]byte, string, error) {
	switch {
	case r.JSON != nil:
		text, err := json.Marshal(r.JSON)
		if r.Type != "" {
			return text, r.Type, err
		}
		return text, "application/json", err
	case r.Form != nil:
		return []byte(r.Form.Encode()), "application/x-www-form-urlencoded", nil
	}
	return nil, "", nil
}

// location returns where a redirect leads, nil if the page is none.
func location(step string, page *Page) (*url.URL, error) {
	switch page.Status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	text := page.Header.Get("Location")
	if text == "" {
		return nil, page.Unexpected(step, "a redirect to nowhere")
	}
	to, err := url.Parse(text)
	if err != nil { // err quotes the address, which may hold a token
		return nil, page.Unexpected(step, "a redirect to something that is no address")
	}
	return page.URL.ResolveReference(to), nil
}

// send sends one request to u and reads its answer.
func (b *Browser) send(ctx context.Context, r Request, u *url.URL, body []byte, contentType string) (*Page, error) {
	origin := Origin(u)
	if origin == "" || !b.origins[origin] {
		return nil, Foreign(r.Step, u)
	}
	if b.requests++; b.requests > maxRequests {
		return nil, &Error{Kind: UnexpectedPage, Step: r.Step, Seen: "a sign-in of too many steps"}
	}
	bare := sent(u)
	place := origin + bare.EscapedPath()
	if err := b.limits.wait(ctx, r.Step, place); err != nil {
		return nil, err
	}
	method := http.MethodGet
	switch {
	case body != nil:
		method = http.MethodPost
	case r.Delete:
		method = http.MethodDelete
	}
	req, err := http.NewRequestWithContext(ctx, method, bare.String(), nil)
	if err != nil {
		return nil, Foreign(r.Step, nil)
	}
	if body != nil {
		// GetBody stays nil: net/http repeats a request it cannot rewind only
		// where it knows that nothing of it was sent.
		req.Body = io.NopCloser(bytes.NewReader(body))
		req.ContentLength = int64(len(body))
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("User-Agent", b.agent)
	req.Header.Set("Accept", r.accept())
	req.Header.Set("Accept-Language", "en") // errors are matched by their English words
	req.Header.Set("Accept-Encoding", "identity")
	jar := b.jar(origin)
	for _, c := range jar.Cookies(&bare) {
		req.AddCookie(c)
	}

	var sent atomic.Bool
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { sent.Store(true) },
	}))
	res, err := b.transport.RoundTrip(req)
	if err != nil {
		e := broken(ctx, r.Step, err)
		e.Sent = sent.Load()
		return nil, e
	}
	defer res.Body.Close()
	received := time.Now()
	jar.SetCookies(&bare, res.Cookies())
	b.log.DebugContext(ctx, "request", "step", r.Step, "method", method, "host", bare.Host, "path", cleanPath(bare.Path), "status", res.StatusCode)

	text, err := io.ReadAll(io.LimitReader(res.Body, pageBytes+1))
	if err != nil {
		e := broken(ctx, r.Step, err)
		e.Sent = true
		return nil, e
	}
	if len(text) > pageBytes {
		return nil, &Error{Kind: UnexpectedPage, Step: r.Step, Seen: "a page of more than 1 MiB"}
	}
	page := &Page{URL: &bare, Status: res.StatusCode, Header: res.Header, Body: text, Received: received}
	if err := b.limits.note(r.Step, place, page); err != nil {
		return nil, err
	}
	return page, nil
}

func (r Request) accept() string {
	switch {
	case r.Accept != "":
		return r.Accept
	case r.JSON != nil:
		return "application/json"
	}
	return "text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.5"
}

// broken names a failure of the network, or of the walk's time.
func broken(ctx context.Context, step string, err error) *Error {
	if ended := ctx.Err(); ended != nil {
		return over(ctx, step)
	}
	// A *url.Error would quote an address with its query.
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return &Error{Kind: Unreachable, Step: step, Err: quotable(err)}
}

// quotable returns err, a RoundTripper's, if it is about addresses, connections and
// certificates only. Others may quote the answer that could not be read, as one
// about a broken Set-Cookie line does: their text is cleaned.
func quotable(err error) error {
	var (
		op      *net.OpError
		dns     *net.DNSError
		trust   *tls.CertificateVerificationError
		eof     = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		network = errors.As(err, &op) || errors.As(err, &dns) || errors.As(err, &trust)
	)
	if eof || network {
		return err
	}
	return cleaned{err}
}

// cleaned is an error whose text is fit to be quoted.
type cleaned struct{ error }

func (c cleaned) Error() string { return Clean(c.error.Error()) }
func (c cleaned) Unwrap() error { return c.error }

// over is the error of a walk whose context has ended.
func over(ctx context.Context, step string) *Error {
	err := ctx.Err()
	if cause := context.Cause(ctx); cause != err {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return &Error{Kind: Deadline, Step: step, Err: err}
}

// Pause waits for d, or until ctx ends: then it is a Deadline at step.
func Pause(ctx context.Context, step string, d time.Duration) error {
	if d <= 0 {
		if ctx.Err() != nil {
			return over(ctx, step)
		}
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return over(ctx, step)
	}
}

// Resolve parses an address that a page gives, relative to base, and pins it to
// base's origin: anything else is ForeignOrigin.
func Resolve(step string, base *url.URL, address string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil {
		return nil, &Error{Kind: UnexpectedPage, Step: step, Seen: "an address that cannot be read"}
	}
	u = base.ResolveReference(u)
	if !SameOrigin(base, u) {
		return nil, Foreign(step, u)
	}
	return u, nil
}
