package arcgis

import (
	"net/http"
	"strings"
	"time"
)

// signOn is the cookie by which the Portal remembers a browser that has signed in.
const signOn = "esri_aopc"

// signedOn is whom it remembers.
type signedOn struct {
	member  *Member
	expires time.Time
}

// signedOnLife is for how long. Esri's own value is not documented.
const signedOnLife = 2 * time.Hour

// remember sets the cookie, on a Portal that has it.
func (c *call) remember(m *Member) {
	if !c.p.choose.one(2, func(s *Shape) Choice { return s.SignedOn }) {
		return
	}
	c.p.mu.Lock()
	value := c.p.mint()
	c.p.signedOn[value] = &signedOn{m, time.Now().Add(signedOnLife)}
	c.p.mu.Unlock()
	http.SetCookie(c.w, &http.Cookie{Name: signOn, Value: value, Path: "/", HttpOnly: true})
}

// remembered returns who has signed in with this browser, nil for nobody.
func (c *call) remembered() *Member {
	k, err := c.r.Cookie(signOn)
	if err != nil {
		return nil
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	s := c.p.signedOn[k.Value]
	if s == nil || !time.Now().Before(s.expires) {
		delete(c.p.signedOn, k.Value)
		return nil
	}
	return s.member
}

// signOut ends the browser's cookie and goes back to where it was asked to.
func (c *call) signOut() {
	http.SetCookie(c.w, &http.Cookie{Name: esriAuth, Value: "", Path: "/", MaxAge: -1})
	if k, err := c.r.Cookie(signOn); err == nil {
		c.p.mu.Lock()
		delete(c.p.signedOn, k.Value)
		c.p.mu.Unlock()
		http.SetCookie(c.w, &http.Cookie{Name: signOn, Value: "", Path: "/", MaxAge: -1})
	}
	to := c.get("redirect_uri")
	if to == "" || !strings.HasPrefix(to, c.p.cfg.Site.String()+"/") {
		to = c.p.base + "/home/"
	}
	c.redirect(to)
}
