package arcgis

import (
	"fmt"
	"html"
	"net/http"
)

// refusal is an error as ArcGIS tells it: a code in a body, mostly under HTTP 200.
type refusal struct {
	code        int
	message     string
	messageCode string
	subcode     int
	details     []string
}

// refuse answers with an error in the shape that fits the request: JSON in most
// cases, also where an image or pbf was asked for, and a page for f=html.
func (c *call) refuse(e refusal) {
	status := http.StatusOK
	if e.code == 498 || e.code == 499 {
		c.p.mu.Lock()
		if e.code == 498 {
			c.p.counts.Refusals498++
		} else {
			c.p.counts.Refusals499++
		}
		c.p.mu.Unlock()
		status = c.tokenStatus(e.code)
	}
	details := e.details
	if details == nil {
		details = []string{}
	}
	inner := map[string]any{"code": e.code, "message": e.message, "details": details}
	if e.messageCode != "" {
		inner["messageCode"] = e.messageCode
	}
	if e.subcode != 0 {
		inner["subcode"] = e.subcode
	}
	switch format := c.format(); format {
	case "html":
		c.html(status, "Error: "+e.message, fmt.Sprintf("<h2>Error: %s</h2>\n<p>Code: %d</p>", html.EscapeString(e.message), e.code))
	case "pjson":
		c.send(status, map[string]any{"error": inner}, "pjson")
	default:
		c.send(status, map[string]any{"error": inner}, "json")
	}
}

// tokenStatus is the HTTP status under which code 498 or 499 is told: mostly 200,
// else the code itself, or what comes nearest to it of those that HTTP knows.
func (c *call) tokenStatus(code int) int {
	one := c.p.choose.one
	switch {
	case !one(4, func(s *Shape) Choice { return s.RealStatus }):
		return http.StatusOK
	case one(2, func(s *Shape) Choice { return s.HTTPStatus }):
		return []int{http.StatusUnauthorized, http.StatusForbidden}[c.p.choose.pick(2)]
	}
	return code
}

// refuseToken answers 498: the token is unknown, expired, revoked, or another system's.
func (c *call) refuseToken() {
	text := c.shape.InvalidText
	if text == "" {
		text = InvalidTexts[c.p.choose.pick(len(InvalidTexts))]
	}
	e := refusal{code: 498, message: text}
	if c.sharing && c.p.choose.pick(2) == 0 {
		e.messageCode = "GWM_0003"
	}
	c.refuse(e)
}

// demandToken answers 499: this needs a token, and none came.
func (c *call) demandToken() {
	e := refusal{code: 499, message: "Token Required"}
	if c.sharing {
		e.messageCode = []string{"GWM_0003", "SB_0005"}[c.p.choose.pick(2)]
	}
	c.refuse(e)
}

// forbid answers 403: the token is good, but its owner may not do this. A new
// token would not help, and a client that fetches one is wrong.
func (c *call) forbid() {
	c.refuse(refusal{
		code:        403,
		message:     "You do not have permissions to access this resource or perform this operation.",
		messageCode: "GWM_0003",
		subcode:     2,
	})
}

// refuseAdmin answers as the administrator's directories of Portal and Server do.
func (c *call) refuseAdmin(code int, message string) {
	status := http.StatusOK
	if code == 498 || code == 499 {
		c.p.mu.Lock()
		if code == 498 {
			c.p.counts.Refusals498++
		} else {
			c.p.counts.Refusals499++
		}
		c.p.mu.Unlock()
		status = c.tokenStatus(code)
	}
	c.send(status, map[string]any{"status": "error", "messages": []string{message}, "code": code}, c.format())
}

// missing answers for things that do not exist.
func (c *call) missing() {
	if c.sharing {
		c.refuse(refusal{code: 400, message: "Item does not exist or is inaccessible.", messageCode: "CONT_0001"})
		return
	}
	c.refuse(refusal{code: 404, message: "Service not found"})
}
