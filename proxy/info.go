package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// A client that was given a user name and a password asks …/rest/info first where
// tokens come from (authInfo.tokenServicesUrl) and which Portal a server belongs
// to (owningSystemUrl), and sends the password there. Unchanged, these are the
// upstreams' own addresses, and a caller key would be sent past the proxy. So this
// one answer says what the same places are called here.

// maxInfo is the largest such answer; they have a few hundred bytes.
const maxInfo = 64 << 10

var errInfoTooLarge = errors.New("the information page is larger than any")

// isInfo reports whether a raw path is such a page's.
func isInfo(raw string) bool {
	const end = "/rest/info"
	raw = strings.TrimRight(raw, "/")
	return len(raw) >= len(end) && strings.EqualFold(raw[len(raw)-len(end):], end)
}

// info changes the addresses in an answer to the proxy's.
func (x *exchange) info(res *http.Response) error {
	if res.StatusCode != http.StatusOK || x.in.Method == http.MethodHead || first(res.Header, "Content-Encoding") != "" {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxInfo+1))
	if err != nil {
		return err
	}
	if len(body) > maxInfo {
		return errInfoTooLarge
	}
	_ = res.Body.Close()
	for _, up := range x.proxy.routes {
		ours := x.proxy.guard.origin + "/" + up.mount
		body = replaceAddress(body, up.name, ours)
		body = replaceAddress(body, strings.ReplaceAll(up.name, "/", `\/`), strings.ReplaceAll(ours, "/", `\/`))
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	res.ContentLength = int64(len(body))
	res.Header["Content-Length"] = []string{strconv.Itoa(len(body))}
	delete(res.Header, "Etag")
	return nil
}

// replaceAddress replaces old where it ends as an address: /portal is not a part
// of /portal2.
func replaceAddress(body []byte, old, new string) []byte {
	var out []byte
	for {
		i := bytes.Index(body, []byte(old))
		if i < 0 {
			return append(out, body...)
		}
		out = append(out, body[:i]...)
		body = body[i+len(old):]
		if len(body) == 0 || bytes.IndexByte([]byte(`/\"'?&#<> `), body[0]) >= 0 {
			out = append(out, new...)
		} else {
			out = append(out, old...)
		}
	}
}
