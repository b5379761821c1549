package arcgis

import (
	"crypto/subtle"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// generateToken's own limits: what a token lasts that asks for nothing, and the most.
const (
	generatedLife = time.Hour
	generatedMost = 14 * 24 * time.Hour
)

// issuer is what gives out tokens to who asks for one by itself. OAuth's endpoints
// are not among them.
type issuer uint8

const (
	noIssuer       issuer = iota
	generateToken         // sharing/rest/generateToken, and the servers' tokens/generateToken
	adminGenerate         // a server's admin/generateToken, with errors of the administrator's shape
	exchangeTokens        // sharing/rest/oauth2/exchangeToken
)

// issuerAt finds an issuer by the path below a context. The servers that ArcGIS runs
// in read a path in more ways than one: without regard to case, to empty segments,
// to what follows a semicolon, and to dots at a name's end.
func issuerAt(path string, portal bool) issuer {
	var names []string
	for segment := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		segment, _, _ = strings.Cut(segment, ";")
		if segment = strings.ToLower(strings.TrimRight(segment, ". ")); segment != "" {
			names = append(names, segment)
		}
	}
	if portal && len(names) > 1 && names[0] == "sharing" && names[1] == "rest" {
		names = slices.Delete(names, 1, 2)
	}
	switch place := strings.Join(names, "/"); {
	case portal && place == "sharing/generatetoken":
		return generateToken
	case portal && place == "sharing/oauth2/exchangetoken":
		return exchangeTokens
	case !portal && (place == "tokens" || place == "tokens/generatetoken"):
		return generateToken
	case !portal && place == "admin/generatetoken":
		return adminGenerate
	}
	return noIssuer
}

// issueToken answers at an issuer. It reports false for any other path.
func (c *call) issueToken() bool {
	kind := issuerAt(c.path, c.site == nil)
	if kind == noIssuer || c.site != nil && !c.site.federated || c.r.Method == http.MethodOptions {
		return false
	}
	if c.sharing {
		c.cors()
	}
	if !c.read() {
		return true
	}
	c.w.Header().Set("Cache-Control", "no-store")
	t, why := c.wanted(kind)
	switch {
	case why == nil:
		return true // answered
	case why.code != 0 && kind == adminGenerate:
		c.refuseAdmin(why.code, strings.Join(append([]string{why.message}, why.details...), " "))
		return true
	case why.code != 0:
		c.refuse(*why)
		return true
	}
	life, why := c.lifetime()
	if why != nil {
		c.refuse(*why)
		return true
	}
	p := c.p
	p.mu.Lock()
	made := p.issue(t, life)
	p.counts.Generated++
	p.mu.Unlock()
	if kind == exchangeTokens {
		c.replyJSON(map[string]any{"token": made.value})
		return true
	}
	c.replyJSON(map[string]any{"token": made.value, "expires": made.expires.UnixMilli(), "ssl": true})
	return true
}

// unable is how generateToken refuses.
func unable(details ...string) *refusal {
	return &refusal{code: 400, message: "Unable to generate token.", details: details}
}

// wanted reads who asks for a token, and what it shall be bound to ("Generate Token"
// in the ArcGIS REST API). A refusal with a code says why there is none; nil, that
// the request was answered.
func (c *call) wanted(kind issuer) (token, *refusal) {
	query := parsePairs(c.r.URL.RawQuery)
	switch {
	case c.r.Method != http.MethodPost:
		return token{}, &refusal{code: 405, message: "Method not allowed", details: []string{"Only POST is supported."}}
	case query.Has("password"), query.Has("username"):
		return token{}, unable("User name and password are not taken from a URL.")
	case c.get("username") != "" || c.get("password") != "":
		return c.byPassword()
	}
	if !c.carriedFromHeaders() {
		return token{}, nil
	}
	if len(c.carried) == 0 {
		return token{}, unable("'username' must be specified.", "'password' must be specified.")
	}
	if len(c.carried) > 1 {
		c.p.mu.Lock()
		c.p.counts.DuplicateTokens++
		c.p.mu.Unlock()
		return token{}, unable("More than one token was sent.")
	}
	m, parent, ok := c.judge(c.carried[0])
	if !ok {
		c.refuseToken()
		return token{}, nil
	}
	t := token{member: m, parent: parent, app: parent.app}
	if kind == exchangeTokens {
		if t.app = c.get("client_id"); !slices.ContainsFunc(c.p.cfg.Apps, func(a App) bool { return a.ID == t.app }) {
			c.oauthError(400, "invalid_client_id", "Invalid client_id")
			return token{}, nil
		}
		return t, &refusal{}
	}
	// For a federated server: a token of its own, which only it takes.
	if address := c.get("serverUrl"); address != "" {
		i := slices.IndexFunc(c.p.sites, func(s *site) bool { return s.federated && within(address, s.url.String()) })
		if i < 0 {
			return token{}, unable("The server '" + address + "' is not federated with this portal.")
		}
		t.site = c.p.sites[i]
	} else if c.site != nil {
		t.site = c.site
	}
	return t, c.bind(&t, false)
}

// byPassword is for the Portal's own accounts. Whoever signs in through the identity
// provider has no password here.
func (c *call) byPassword() (token, *refusal) {
	for _, m := range c.p.members {
		if m.Password != "" && strings.EqualFold(m.Username, c.get("username")) && subtle.ConstantTimeCompare([]byte(m.Password), []byte(c.get("password"))) == 1 {
			t := token{member: m, site: c.site}
			why := c.bind(&t, true)
			return t, why
		}
	}
	return token{}, unable("Invalid username or password.")
}

// bind ties a token to a referer or an address, as the client parameter says; one
// that is got by a password has to be.
func (c *call) bind(t *token, needed bool) *refusal {
	switch client := c.get("client"); {
	case client == "" && !needed:
	case client == "" || client == "referer":
		if t.referer = c.get("referer"); t.referer == "" {
			return unable("'referer' must be specified.")
		}
	case client == "ip":
		if t.address = c.get("ip"); t.address == "" {
			return unable("'ip' must be specified.")
		}
	case client == "requestip":
		t.address = c.address()
	default:
		return unable("'client' must be referer, ip or requestip.")
	}
	return &refusal{}
}

// lifetime reads the expiration parameter, in minutes. More than the Portal allows
// is cut down without a word.
func (c *call) lifetime() (time.Duration, *refusal) {
	text := c.get("expiration")
	if text == "" {
		return generatedLife, nil
	}
	minutes, err := strconv.Atoi(text)
	if err != nil || minutes <= 0 {
		return 0, unable("'expiration' is invalid.")
	}
	return min(time.Duration(min(minutes, 1<<20))*time.Minute, generatedMost), nil
}

// suits reports whether a token may be used by this request, at this place.
func (t *token) suits(c *call) bool {
	return (t.site == nil || t.site == c.site) &&
		(t.referer == "" || within(c.r.Header.Get("Referer"), t.referer)) &&
		(t.address == "" || t.address == c.address())
}

// within reports whether an address is another, or lies below it.
func within(address, base string) bool {
	base = strings.TrimSuffix(base, "/")
	return len(address) >= len(base) && strings.EqualFold(address[:len(base)], base) &&
		(len(address) == len(base) || strings.IndexByte("/?", address[len(base)]) >= 0)
}

// address is where the request comes from.
func (c *call) address() string {
	host, _, err := net.SplitHostPort(c.r.RemoteAddr)
	if err != nil {
		return c.r.RemoteAddr
	}
	return host
}
