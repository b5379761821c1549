package okta

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"arcproxy/auth"
)

const (
	transaction = `"stateToken":"00state","_links":{"cancel":{"href":"/api/v1/authn/cancel"},"prev":{"href":"/api/v1/authn/previous"},"next":{"name":"poll","href":"/push/verify"}},
		"_embedded":{"factors":[
			{"id":"p","factorType":"push","provider":"OKTA","_links":{"verify":{"href":"/push/verify"}}},
			{"id":"c","factorType":"token:software:totp","provider":"GOOGLE","_links":{"verify":{"href":"/code/verify"}}}]}`
	required = `{"status":"MFA_REQUIRED",` + transaction + `}`
	open     = `{"status":"MFA_CHALLENGE",` + transaction + `}`
	waiting  = `{"status":"MFA_CHALLENGE","factorResult":"WAITING",` + transaction + `}`
	stepUp   = `<script>var stateToken = '00state';</script>`
)

// TestOncePerTransaction: an Okta that asks for a factor again and again in one
// transaction gets one push and two codes.
func TestOncePerTransaction(t *testing.T) {
	for name, c := range map[string]struct {
		identity auth.Identity
		path     string
		answers  []string // to the posts to path, the last again and again
		posts    int
	}{
		"push":            {auth.Identity{Factors: []auth.Factor{auth.FactorPush}}, "/push/verify", []string{waiting, required}, 2},
		"code":            {auth.Identity{TOTPSecret: secret("JBSWY3DPEHPK3PXP")}, "/code/verify", []string{required}, 2},
		"code, by detour": {auth.Identity{TOTPSecret: secret("JBSWY3DPEHPK3PXP")}, "/code/verify", []string{open}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				posts := 0
				_, err := signIn(t, c.identity, func(r *http.Request) (int, string) {
					switch {
					case r.Method == http.MethodGet:
						return 200, signInHTML
					case r.URL.Path == c.path:
						posts++
						return 200, c.answers[min(posts, len(c.answers))-1]
					}
					return 200, required
				})
				if auth.KindOf(err) != auth.FactorFailed {
					t.Errorf("%v", err)
				}
				if posts != c.posts {
					t.Errorf("%d posts, want %d", posts, c.posts)
				}
			})
		})
	}
}

// TestNoRestartAfterFactor: a session that ends once a push was sent does not
// make the walk begin anew, with another push.
func TestNoRestartAfterFactor(t *testing.T) {
	for _, lost := range []string{"poll", "verify"} {
		synctest.Test(t, func(t *testing.T) {
			pushes, passwords := 0, 0
			_, err := signIn(t, auth.Identity{Factors: []auth.Factor{auth.FactorPush}}, func(r *http.Request) (int, string) {
				switch {
				case r.Method == http.MethodGet:
					return 200, stepUp
				case r.URL.Path == "/push/verify":
					if pushes++; pushes == 1 && lost == "poll" {
						return 200, waiting
					}
					return 401, `{"errorCode":"E0000011"}`
				case strings.Contains(bodyOf(r), "password"):
					passwords++
				}
				return 200, required
			})
			want := map[string]int{"poll": 2, "verify": 1}[lost]
			if err == nil || pushes != want || passwords != 0 {
				t.Errorf("%s: %v after %d posts to verify and %d passwords, want %d and none", lost, err, pushes, passwords, want)
			}
		})
	}
}

// TestWaitingForEver: a push that Okta says waits for ever is given up.
func TestWaitingForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := signIn(t, auth.Identity{Factors: []auth.Factor{auth.FactorPush}}, func(r *http.Request) (int, string) {
			switch {
			case r.Method == http.MethodGet:
				return 200, signInHTML
			case r.URL.Path == "/push/verify":
				return 200, waiting
			}
			return 200, required
		})
		if auth.KindOf(err) != auth.PushTimedOut {
			t.Errorf("%v", err)
		}
	})
}

// TestPushOfUnknownEnd: after a push was sent, an answer that says nothing of it is
// a failure of the factor, whose pause keeps the next sign-in from pushing at once.
func TestPushOfUnknownEnd(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		kind   auth.Kind
	}{
		"a page":       {200, "<html>maintenance</html>", auth.FactorFailed},
		"no session":   {401, `{"errorCode":"E0000011"}`, auth.FactorFailed},
		"no result":    {200, open, auth.FactorFailed},
		"server error": {503, "", auth.FactorFailed},
		"rejected":     {403, `{"errorCode":"E0000073"}`, auth.PushRejected},
		"locked":       {403, `{"errorCode":"E0000069"}`, auth.AccountLocked},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pushes := 0
				_, err := signIn(t, auth.Identity{Factors: []auth.Factor{auth.FactorPush}}, func(r *http.Request) (int, string) {
					switch {
					case r.Method == http.MethodGet:
						return 200, signInHTML
					case r.URL.Path == "/push/verify":
						if pushes++; pushes == 1 {
							return 200, waiting
						}
						return c.status, c.body
					case strings.Contains(bodyOf(r), "password"):
						return 200, required
					}
					return c.status, c.body // the transaction's state
				})
				if auth.KindOf(err) != c.kind {
					t.Errorf("%v, want %q", err, c.kind)
				}
				if pushes != 2 {
					t.Errorf("%d posts to verify, want 2", pushes)
				}
			})
		})
	}
}

func bodyOf(r *http.Request) string {
	text, _ := io.ReadAll(r.Body)
	return string(text)
}

// TestUnreadableAnswer: a password whose answer nobody can read may have counted as an
// attempt; the next sign-in must not follow within seconds.
func TestUnreadableAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		kind   auth.Kind
	}{
		"a page":            {200, "<html>maintenance</html>", auth.Unanswered},
		"401 without words": {401, `{"error":"no"}`, auth.Unanswered},
		"403 of a gateway":  {403, "<html>blocked</html>", auth.Unanswered},
		"too long":          {200, strings.Repeat("x", 2<<20), auth.Unanswered},
		"403, a code":       {403, `{"errorCode":"E0000006"}`, auth.Unanswered},
	} {
		passwords := 0
		_, err := signIn(t, auth.Identity{}, func(r *http.Request) (int, string) {
			if r.Method == http.MethodGet {
				return 200, signInHTML
			}
			if strings.Contains(bodyOf(r), "password") {
				passwords++
			}
			return c.status, c.body
		})
		if auth.KindOf(err) != c.kind || passwords != 1 {
			t.Errorf("%s: %v after %d passwords, want %q after one", name, err, passwords, c.kind)
		}
	}
}
