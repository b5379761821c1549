package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Front is a proxy before this one that signs people in by its own means and
// says in a header who they are. It has to take that header out of what it is
// sent, and it must be the only one at its addresses: whoever can connect from
// there can be any of its users. The zero value means that there is none.
type Front struct {
	From   []netip.Prefix // addresses of its connections
	Header string         // where it names the user
}

// Check returns what is wrong with f, nil if nothing is.
func (f Front) Check() error {
	_, err := f.checked()
	return err
}

// checked returns f with its header's name in canonical form.
func (f Front) checked() (Front, error) {
	if f.Header == "" && len(f.From) == 0 {
		return Front{}, nil
	}
	if f.Header == "" || len(f.From) == 0 {
		return Front{}, errors.New("the front proxy: it needs addresses and the name of a header")
	}
	name := textproto.CanonicalMIMEHeaderKey(f.Header)
	switch name {
	case "Authorization", "X-Esri-Authorization", "Cookie", "Host", "Origin", "Referer", "Connection", "Content-Type", "Content-Length", "Transfer-Encoding", "Upgrade":
		return Front{}, fmt.Errorf("the front proxy: %s has another meaning, and cannot name the user", name)
	}
	if !httpguts.ValidHeaderFieldName(name) {
		return Front{}, fmt.Errorf("the front proxy: %q cannot be the name of a header", f.Header)
	}
	return Front{From: f.From, Header: name}, nil
}

// front takes the user that the front proxy names, if it names one.
func (q *inquiry) front(h http.Header) {
	values := h[q.known.front.Header]
	if len(values) > 1 { // one of them may have been the caller's own
		q.claim(nil, wrongFrontUser)
		return
	}
	if len(values) == 1 {
		if user := strings.TrimSpace(values[0]); user != "" {
			q.claim(q.known.fronted[user], wrongFrontUser)
		}
	}
}
