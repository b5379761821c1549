package arcgis

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Limits of what a request may bring. Files beyond maxKept are still counted and
// hashed, but their bytes are not kept.
const (
	maxForm = 8 << 20
	maxKept = 32 << 20
)

// call is one request on its way through.
type call struct {
	p       *Portal
	w       http.ResponseWriter
	r       *http.Request
	shape   Shape
	path    string // below the context
	sharing bool   // the Sharing API, which differs from servers in its errors
	site    *site  // the server; nil: the Portal
	form    url.Values
	files   map[string]*file
	member  *Member // nil: anonymous
	carried []string
	below   []link // what an HTML view of the answer leads on to
}

// file is what was uploaded in one part of a multipart request.
type file struct {
	Name, Type string
	Size       int64
	SHA256     string
	Data       []byte // nil if it was larger than maxKept
}

// read reads query and form, and files if the body is multipart. It answers and
// reports false if that can't be done.
func (c *call) read() bool {
	// A semicolon or a bare percent sign does not spoil the rest: servers of the
	// Java world drop only the pair that they cannot read.
	c.form = parsePairs(c.r.URL.RawQuery)
	c.carried = append(c.carried, tokensIn(c.form)...)
	if c.shape.NoTokenInQuery {
		c.carried = nil
	}
	if c.r.Method != http.MethodPost && c.r.Method != http.MethodPut {
		return true
	}
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil {
		return true // no form: handlers that take raw bodies read them
	}
	switch kind {
	case "application/x-www-form-urlencoded":
		body, err := io.ReadAll(io.LimitReader(c.r.Body, maxForm+1))
		if err != nil || len(body) > maxForm {
			c.refuse(refusal{code: 413, message: "The request is too large or broke off."})
			return false
		}
		posted := parsePairs(string(body))
		c.carried = append(c.carried, tokensIn(posted)...)
		for k, v := range posted {
			c.form[k] = append(v, c.form[k]...)
		}
	case "multipart/form-data":
		if err := c.readMultipart(params["boundary"]); err != nil {
			c.p.log.Debug("broken multipart body", "path", c.r.URL.Path, "error", err)
			c.refuse(refusal{code: 400, message: "Unable to parse multipart request."})
			return false
		}
	}
	return true
}

// unescape undoes percent encoding where there is any, and leaves a bare percent
// sign as it stands: ArcGIS takes "LIKE 'A%'" as it was typed.
func unescape(text string) string {
	text = strings.ReplaceAll(text, "+", " ")
	if !strings.Contains(text, "%") {
		return text
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, text[i])
	}
	return string(b)
}

// parsePairs reads an urlencoded query or body.
func parsePairs(raw string) url.Values {
	values := make(url.Values)
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		k, v := unescape(key), unescape(value)
		values[k] = append(values[k], v)
	}
	return values
}

// tokensIn returns the values of every parameter that is called token, however written.
func tokensIn(v url.Values) []string {
	var found []string
	for key, values := range v {
		if strings.EqualFold(key, "token") {
			for _, t := range values {
				if t != "" {
					found = append(found, t)
				}
			}
		}
	}
	return found
}

func (c *call) readMultipart(boundary string) error {
	if boundary == "" {
		return errors.New("no boundary")
	}
	reader, err := c.r.MultipartReader()
	if err != nil {
		return err
	}
	c.files = make(map[string]*file)
	posted := make(url.Values)
	for total := 0; ; {
		part, err := reader.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if part.FileName() == "" {
			value, err := io.ReadAll(io.LimitReader(part, maxForm+1))
			if err != nil {
				return err
			}
			if total += len(value); total > maxForm {
				return errors.New("fields are too large")
			}
			posted.Add(part.FormName(), string(value))
			continue
		}
		f, err := keep(part)
		if err != nil {
			return err
		}
		f.Name, f.Type = part.FileName(), part.Header.Get("Content-Type")
		c.files[part.FormName()] = f
	}
	c.carried = append(c.carried, tokensIn(posted)...)
	for k, v := range posted {
		c.form[k] = append(v, c.form[k]...)
	}
	return nil
}

// keep reads a file to its end, hashing it, and keeps its bytes if they are not too many.
func keep(r io.Reader) (*file, error) {
	f := &file{}
	sum := sha256.New()
	var kept bytes.Buffer
	n, err := io.Copy(io.MultiWriter(sum, &kept), io.LimitReader(r, maxKept))
	if err != nil {
		return nil, err
	}
	f.Data = kept.Bytes()
	if n == maxKept {
		more, err := io.Copy(sum, r)
		if err != nil {
			return nil, err
		}
		if n += more; more > 0 {
			f.Data = nil
		}
	}
	f.Size, f.SHA256 = n, hex.EncodeToString(sum.Sum(nil))
	return f, nil
}

// authenticate finds the request's token and judges it. It answers and reports
// false if the request must not go on: web-tier refusal, two tokens, a bad one.
func (c *call) authenticate(federated bool) bool {
	if !c.carriedFromHeaders() {
		return false
	}
	switch {
	case len(c.carried) == 0:
		return true
	case len(c.carried) > 1 && !c.shape.AcceptsDuplicates:
		c.p.mu.Lock()
		c.p.counts.DuplicateTokens++
		c.p.mu.Unlock()
		c.refuse(refusal{code: 400, message: "Unable to process the request: more than one token was sent."})
		return false
	}
	if !federated {
		c.refuseToken()
		return false
	}
	m, _, ok := c.judge(c.carried[0])
	if !ok {
		c.refuseToken()
		return false
	}
	c.member = m
	return true
}

// carriedFromHeaders adds the tokens that headers carry to those of query and
// body. It answers and reports false where web-tier authentication refuses them.
func (c *call) carriedFromHeaders() bool {
	for name, values := range c.r.Header {
		// Servers behind CGI-like front ends cannot tell X_Esri_Authorization
		// from X-Esri-Authorization (CVE-2025-64484 is about such twins).
		switch http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-")) {
		case "X-Esri-Authorization":
			if !c.shape.NoEsriHeader {
				c.carried = append(c.carried, bearers(values)...)
			}
		case "Authorization":
			if c.shape.WebTier {
				c.w.Header().Add("WWW-Authenticate", "Negotiate")
				c.w.Header().Add("WWW-Authenticate", "NTLM")
				c.page(http.StatusUnauthorized, "401 - Unauthorized: Access is denied due to invalid credentials.", "You do not have permission to view this directory or page using the credentials that you supplied.")
				return false
			}
			if !c.shape.NoAuthorization {
				c.carried = append(c.carried, bearers(values)...)
			}
		}
	}
	return true
}

// bearers returns the tokens of a header's values. Other schemes carry none.
func bearers(values []string) []string {
	var found []string
	for _, v := range values {
		scheme, t, ok := strings.Cut(strings.TrimSpace(v), " ")
		if t = strings.TrimSpace(t); ok && strings.EqualFold(scheme, "Bearer") && t != "" {
			found = append(found, t)
		}
	}
	return found
}

// get returns a parameter by name, "" if it is absent.
func (c *call) get(name string) string { return c.form.Get(name) }

// truth reads a parameter as ArcGIS writes booleans.
func (c *call) truth(name string, otherwise bool) bool {
	switch strings.ToLower(c.get(name)) {
	case "true", "1":
		return true
	case "false", "0":
		return false
	}
	return otherwise
}
