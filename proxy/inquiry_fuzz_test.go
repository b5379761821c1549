package proxy

import (
	"net/http"
	"testing"
)

// FuzzInquiry checks that whatever headers and query a request has, it is nobody's
// unless they hold a key, and that a key beside a wrong credential is not enough.
func FuzzInquiry(f *testing.F) {
	f.Add("Bearer "+callerKey, "Basic OmNhbGxlcmtleTAxMjM0NTY3ODlhYmNkZWY=", "token="+callerKey, "https://app.example")
	f.Add("bearer", "Basic !", "%74oken=&token", "null")
	f.Add("Bearer arcproxy_a_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "Negotiate x", "token=a;b", "http://[::1]:80")
	known, err := newCallers([]Caller{{Name: "nightly", Identity: "alice", KeySHA256: hashOf(callerKey)}}, Front{}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, esri, authorization, query, origin string) {
		for _, right := range []bool{false, true} {
			q := inquiry{known: &known}
			if right {
				q.present("nobodyskey", false)
			}
			q.headers(http.Header{"X-Esri-Authorization": {esri}, "Authorization": {authorization}})
			q.query(query)
			caller, fail := q.caller(&http.Request{RemoteAddr: "192.0.2.1:5"})
			if (caller == nil) == (fail == nil) || right && caller != nil || caller != nil && q.found != caller {
				t.Errorf("%q %q %q: %v, %v", esri, authorization, query, caller, fail)
			}
		}
		if parsed, ok := parseOrigin(origin); ok {
			if again, ok := parseOrigin(parsed); !ok || again != parsed {
				t.Errorf("%q becomes %q and then %q", origin, parsed, again)
			}
		}
		if name, err := parseSAN(origin); err == nil && name == (san{}) {
			t.Errorf("%q is no name", origin)
		}
	})
}
