package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"arcproxy/proxy"
	"arcproxy/proxy/listener"
	"arcproxy/proxy/mapping"
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

// mapping reads which answers are mapped otherwise than by the table.
func (p *parser) mapping(c *config, f *file) {
	c.Mapping.ItemData = f.Mapping.ItemData
	for i, given := range f.Mapping.Rules {
		key := fmt.Sprintf("mapping.rules[%d]", i)
		if given.Map == nil {
			p.fault(key+".map", "is missing; write true for answers that are to be mapped, false for those to be left alone")
			continue
		}
		rule := mapping.Rule{Pattern: given.Path, Types: given.Types, Map: *given.Map}
		if _, err := mapping.NewRules(false, []mapping.Rule{rule}); err != nil {
			p.fault(key+".path", "%v", err)
			continue
		}
		c.Mapping.Rules = append(c.Mapping.Rules, rule)
	}
	if _, err := mapping.NewRules(false, c.Mapping.Rules); err != nil {
		p.fault("mapping.rules", "%v", err) // too many
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
	p.replay(c, f)
	c.TokenLife = p.duration("limits.tokens", f.Limits.Tokens, 0)
	if c.TokenLife > 0 && c.TokenLife < time.Minute {
		p.fault("limits.tokens", "is less than a minute, the unit that clients count in")
	}
}

// challenges reads who is told what a sign-in asks a person.
func (p *parser) challenges(c *config, f *file) {
	command, ok := strings.CutPrefix(f.Challenges.Notify, "exec:")
	if p.at.has("challenges.notify") && (!ok || strings.TrimSpace(command) == "") {
		p.fault("challenges.notify", `is not a command; write one as "exec:COMMAND", or leave it out`)
		return
	}
	c.Notify = command
}

// replay reads how large a body is kept.
func (p *parser) replay(c *config, f *file) {
	const key, most = "limits.replay", 1 << 30
	text := f.Limits.Replay
	if text == "" {
		return
	}
	if text == "0" {
		c.Replay = -1
		return
	}
	digits, unit := text, int64(0)
	for suffix, size := range map[string]int64{"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30} {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			digits, unit = strings.TrimSpace(number), size
		}
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || unit == 0 || n == 0 || int64(n) > most/unit {
		p.fault(key, "%q is not a size; write one like \"16MB\", at most \"1GB\", or \"0\"", text)
		return
	}
	c.Replay = int64(n) * unit
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
