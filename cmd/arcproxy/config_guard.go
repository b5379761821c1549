package main

import (
	"time"

	"arcproxy/proxy"
	"arcproxy/proxy/listener"
)

// front reads who may say in a header which user is calling.
func (p *parser) front(c *config, f *file) {
	c.Front = proxy.Front{From: p.prefixes("front.from", f.Front.From), Header: f.Front.Header}
	switch {
	case len(f.Front.From) > 0 && f.Front.Header == "":
		c.Front.Header = "X-Forwarded-User"
	case len(f.Front.From) == 0 && f.Front.Header != "":
		p.fault("front.header", "has no effect without front.from; write the addresses of the front proxy there")
		c.Front = proxy.Front{}
	}
	if err := c.Front.Check(); err != nil && len(c.Front.From) > 0 {
		p.fault("front.header", "%v; write the header in which the front proxy names the user, as \"X-Forwarded-User\"", err)
		c.Front.Header = "X-Forwarded-User"
	}
}

// origins reads whose pages may use the proxy.
func (p *parser) origins(c *config, f *file) {
	for i, origin := range f.Web.Origins {
		if err := proxy.CheckOrigin(origin); err != nil {
			p.fault("web.origins", "entry %d: %v", i+1, err)
			continue
		}
		c.Origins = append(c.Origins, origin)
	}
}

// limits reads how many connections there may be, and how long tokens last.
func (p *parser) limits(c *config, f *file) {
	for key, n := range map[string]int{"limits.connections": f.Limits.Connections, "limits.connections_per_address": f.Limits.ConnectionsPerAddress} {
		if n < 0 || n == 0 && p.at.has(key) {
			p.fault(key, "is not more than zero; write how many connections there may be, or leave it out")
		}
	}
	c.Limits = listener.Options{Connections: f.Limits.Connections, PerAddress: f.Limits.ConnectionsPerAddress}
	c.TokenLife = p.duration("limits.tokens", f.Limits.Tokens, 0)
	if c.TokenLife > 0 && c.TokenLife < time.Minute {
		p.fault("limits.tokens", "is less than a minute, the unit that clients count in")
	}
}

// audit reads where the record of requests goes.
func (p *parser) audit(c *config, f *file) {
	a := &f.Audit
	if a.File == "" {
		for _, key := range []string{"audit.max_size_mb", "audit.keep"} {
			if p.at.has(key) {
				p.fault(key, "has no effect without audit.file; write a file name there")
			}
		}
		return
	}
	if a.MaxSizeMB < 0 || a.MaxSizeMB > 1<<20 || a.MaxSizeMB == 0 && p.at.has("audit.max_size_mb") {
		p.fault("audit.max_size_mb", "is not a size; write megabytes, from 1 to 1048576")
	}
	if a.Keep < 0 || a.Keep > 1000 || a.Keep == 0 && p.at.has("audit.keep") {
		p.fault("audit.keep", "is not a number of files to keep; write one from 1 to 1000")
	}
	c.Audit.File, c.Audit.MaxSize, c.Audit.Keep = p.path(a.File), int64(a.MaxSizeMB)<<20, a.Keep
}
