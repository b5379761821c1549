package auth

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

// Okta says how much of a limit is left in X-Rate-Limit-Limit, -Remaining and
// -Reset (epoch seconds, by its own clock) on every answer of its API. A 429
// because of too many requests at the same moment has 0 for both counts and no
// useful reset ("Rate limits" in Okta's developer documentation).
const (
	limitWait     = 70 * time.Second // the longest wait inside a walk; Okta's windows are a minute
	limitDefault  = time.Minute      // after a 429 that does not say
	limitMost     = time.Hour        // what a reset may ask for
	limitJitter   = 2 * time.Second  // so that several identities do not come back at once
	limitParallel = time.Second      // after a 429 for concurrency, plus jitter
)

// limits remembers, by origin and path, until when nothing may be sent there.
type limits map[string]time.Time

// wait waits until place may be asked again, if that is soon.
func (l limits) wait(ctx context.Context, step, place string) error {
	until, ok := l[place]
	if !ok {
		return nil
	}
	d := time.Until(until)
	if end, ok := ctx.Deadline(); d > limitWait || ok && until.After(end) {
		return &Error{Kind: RateLimited, Step: step, Until: until, Seen: "the limit is used up; nothing was sent"}
	}
	if err := Pause(ctx, step, d); err != nil {
		return err
	}
	delete(l, place)
	return nil
}

// note reads an answer's rate-limit headers. A 429 is an error; an answer that
// used up the limit makes the next request there wait.
func (l limits) note(step, place string, page *Page) error {
	reset, known := resetTime(page)
	if page.Status == http.StatusTooManyRequests {
		seen := "status 429"
		switch {
		case page.Header.Get("X-Rate-Limit-Limit") == "0":
			seen = "status 429: too many requests at the same time"
			reset = page.Received.Add(limitParallel)
		case !known:
			reset = page.Received.Add(limitDefault)
		}
		until := reset.Add(rand.N(limitJitter))
		l[place] = until
		return &Error{Kind: RateLimited, Step: step, Code: errorCode(page), Seen: seen, Until: until}
	}
	if known && page.Header.Get("X-Rate-Limit-Remaining") == "0" && page.Header.Get("X-Rate-Limit-Limit") != "0" {
		l[place] = reset.Add(rand.N(limitJitter))
	}
	return nil
}

// prune drops what is over.
func (l limits) prune(now time.Time) {
	for place, until := range l {
		if !until.After(now) {
			delete(l, place)
		}
	}
}

// resetTime returns when the limit is lifted, by this machine's clock: the
// answer's own Date header is what its reset is compared with.
func resetTime(page *Page) (time.Time, bool) {
	var wait time.Duration
	if epoch, err := strconv.ParseInt(page.Header.Get("X-Rate-Limit-Reset"), 10, 64); err == nil && epoch > 0 {
		offset, _ := page.ClockOffset()
		wait = time.Unix(epoch, 0).Sub(page.Received.Add(offset))
	} else if seconds, err := strconv.ParseInt(page.Header.Get("Retry-After"), 10, 32); err == nil && seconds > 0 {
		wait = time.Duration(seconds) * time.Second
	} else {
		return time.Time{}, false
	}
	return page.Received.Add(min(max(wait, limitParallel), limitMost)), true
}

// oktaCode is the form of Okta's error codes.
var oktaCode = regexp.MustCompile(`^E\d{7}$`)

// errorCode returns Okta's own code from an answer's body, "" if there is none.
func errorCode(page *Page) string {
	var body struct {
		Code string `json:"errorCode"`
	}
	if json.Unmarshal(page.Body, &body) != nil || !oktaCode.MatchString(body.Code) {
		return ""
	}
	return body.Code
}
