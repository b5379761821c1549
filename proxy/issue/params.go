package issue

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

const (
	maxForm   = 64 << 10 // of a form's body, in bytes
	maxParams = 256      // in a query or form
)

// params are the parameters of a request: names in small letters, since ArcGIS
// does not mind case, and one value each.
type params map[string]string

// exposed are those that may not be in a URL, where they end up in logs and
// histories.
var exposed = []string{"password", "token", "client_secret", "refresh_token", "auth_token", "code_verifier"}

// fault is a request that cannot be answered.
type fault struct {
	status int // of HTTP
	text   string
}

func (f *fault) Error() string { return f.text }

// read returns r's parameters. Errors are [*fault].
func read(w http.ResponseWriter, r *http.Request) (params, error) {
	p := params{}
	if err := p.add(r.URL.RawQuery); err != nil {
		return nil, err
	}
	for _, name := range exposed {
		if p[name] != "" {
			return nil, &fault{http.StatusBadRequest, fmt.Sprintf("the parameter %s is in the URL, where others may read it: send it in the body of a POST request, and take it for known", name)}
		}
	}
	if r.Method != http.MethodPost || r.Body == nil || r.ContentLength == 0 {
		return p, nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, &fault{http.StatusUnsupportedMediaType, "send the parameters as application/x-www-form-urlencoded"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, &fault{http.StatusRequestEntityTooLarge, "the form is larger than any request for a token"}
	}
	if err != nil {
		return nil, &fault{http.StatusBadRequest, "the form ended before it was complete, or came too slowly"}
	}
	return p, p.add(string(body))
}

// add takes the parameters of a raw query or form. A name that comes twice has to
// have the same value: two parties could take one each.
func (p params) add(raw string) error {
	n := 0
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		if n++; n > maxParams {
			return &fault{http.StatusBadRequest, "there are too many parameters"}
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(rawName)
		value, err2 := url.QueryUnescape(rawValue)
		if err1 != nil || err2 != nil {
			return &fault{http.StatusBadRequest, "a parameter is not well encoded"}
		}
		name = strings.Map(fold, name)
		if other, twice := p[name]; twice && other != value {
			return &fault{http.StatusBadRequest, "a parameter is there twice, with different values"}
		}
		p[name] = value
	}
	return nil
}
