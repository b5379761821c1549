package arcgis

import (
	"net/http"
	"strings"
)

// servePortal answers for the Portal's context.
func (p *Portal) servePortal(c *call) {
	path, sharing := strings.CutPrefix(c.path, "sharing/")
	switch {
	case sharing:
		c.cors()
		if c.r.Method == http.MethodOptions {
			// The Sharing API has no preflight: an answer, but none that a browser accepts.
			c.w.Header().Set("Allow", "GET, POST")
			c.w.WriteHeader(http.StatusOK)
			return
		}
		// sharing/rest and the older sharing are the same.
		path = strings.TrimPrefix(path, "rest")
		if c.read() {
			c.serveSharing(strings.Trim(path, "/"))
		}
	case c.path == "portaladmin" || strings.HasPrefix(c.path, "portaladmin/"):
		if c.read() {
			c.servePortalAdmin(strings.TrimPrefix(c.path, "portaladmin"))
		}
	case c.path == "sharing":
		c.redirect(p.base + "/sharing/rest")
	case c.path == "home/signout.html":
		c.form = parsePairs(c.r.URL.RawQuery)
		c.signOut()
	case c.path == "" || c.path == "home":
		// A page that moves on by itself, as IIS sends it for a default document.
		c.w.Header().Set("Refresh", "0; url="+p.base+"/home/")
		c.w.Header().Set("Content-Location", p.base+"/home/index.html")
		c.html(http.StatusOK, "ArcGIS Enterprise", `<meta http-equiv="refresh" content="0; URL='`+p.base+`/home/'">`)
	case strings.HasPrefix(c.path, "home/"):
		c.form = parsePairs(c.r.URL.RawQuery)
		c.home(strings.TrimPrefix(c.path, "home/"))
	default:
		c.page(http.StatusNotFound, "404 - File or directory not found.", "The resource you are looking for might have been removed.")
	}
}

// cors answers a simple cross-origin request: the caller's origin, with credentials.
func (c *call) cors() {
	if origin := c.r.Header.Get("Origin"); origin != "" {
		c.w.Header().Set("Access-Control-Allow-Origin", origin)
		c.w.Header().Set("Access-Control-Allow-Credentials", "true")
	}
}

// serveSharing answers sharing/rest/PATH. OAuth comes first: there "token" is
// not a credential of the request.
func (c *call) serveSharing(path string) {
	switch path {
	case "oauth2/authorize":
		c.authorize()
	case "oauth2/saml/authorize":
		c.samlAuthorize()
	case "oauth2/saml/signin":
		c.samlSignIn()
	case "oauth2/approval":
		c.approval()
	case "oauth2/acceptTermsAndConditions":
		c.interstitial("acceptTermsAndConditions", c.truth("acceptTermsAndConditions", false))
	case "oauth2/updateUserProfile":
		c.interstitial("updateUserProfile", true)
	case "oauth2/token":
		c.tokenEndpoint()
	case "oauth2/revokeToken":
		c.revoke()
	case "oauth2/platformSelf":
		c.platformSelf()
	case "oauth2/signout":
		c.signOut()
	default:
		if !c.oidcRoute(path) && c.authenticate(true) {
			c.serveContent(path)
		}
	}
}

// serveContent answers what needs no sign-in and, with a member, what does.
func (c *call) serveContent(path string) {
	first, rest, _ := strings.Cut(path, "/")
	switch first {
	case "":
		c.reply(map[string]any{"currentVersion": "11.3", "enterpriseVersion": "11.3.0", "enterpriseBuild": "51575"})
	case "info":
		c.sharingInfo()
	case "portals":
		c.portals(rest)
	case "community":
		c.community(rest)
	case "content":
		c.content(rest)
	case "search":
		c.search()
	default:
		c.refuse(refusal{code: 404, message: "Not found", messageCode: "SB_0004"})
	}
}

// sharingInfo answers sharing/rest/info: who owns the system, and where tokens are made.
func (c *call) sharingInfo() {
	c.reply(map[string]any{
		"owningSystemUrl": c.p.base,
		"owningTenant":    c.p.orgID,
		"authInfo": map[string]any{
			"tokenServicesUrl":     c.p.base + "/sharing/rest/generateToken",
			"isTokenBasedSecurity": true,
		},
	})
}

// servePortalAdmin answers the administrator's directory, in its own error shape.
func (c *call) servePortalAdmin(path string) {
	if path == "/healthCheck" {
		c.healthCheck()
		return
	}
	if !c.authenticateAdmin() {
		return
	}
	c.reply(map[string]any{"version": "11.3.0", "resources": []string{"system", "security", "machines", "federation"}})
}

// authenticateAdmin demands an administrator's token.
func (c *call) authenticateAdmin() bool {
	if !c.carriedFromHeaders() {
		return false
	}
	if len(c.carried) == 0 {
		c.refuseAdmin(499, "Unauthorized access. Token not found. You can generate a token using the 'generateToken' operation.")
		return false
	}
	if len(c.carried) > 1 && !c.shape.AcceptsDuplicates {
		c.p.mu.Lock()
		c.p.counts.DuplicateTokens++
		c.p.mu.Unlock()
		c.refuseAdmin(400, "More than one token was sent.")
		return false
	}
	m, _, ok := c.judge(c.carried[0])
	switch {
	case !ok:
		c.refuseAdmin(498, "Invalid Token")
	case m.Role != "org_admin":
		c.refuseAdmin(403, "You do not have permissions to access this resource or perform this operation.")
	default:
		c.member = m
		return true
	}
	return false
}

// healthCheck answers portaladmin/healthCheck as the shape has it.
func (c *call) healthCheck() {
	switch c.shape.Health {
	case HealthOff:
		c.page(http.StatusNotFound, "404 - File or directory not found.", "The administrator's directory is disabled.")
	case HealthBlocked:
		c.page(http.StatusForbidden, "Access Denied", "This request was blocked by the security rules of example.com.")
	default:
		c.reply(map[string]any{"status": "success"})
	}
}
