package main

import (
	"arcproxy/auth"
	"arcproxy/cache/storage"
)

// cacheConfig says where grants, Okta sessions and issued tokens are kept.
type cacheConfig struct {
	Memory bool              // only in memory, though there is a state directory
	Key    auth.SecretSource // of what seals them; nil: one that is made in the state directory
	Where  string            // the reference that Key is of
}

// cache reads where what a restart goes on with is kept, and sealed with what.
func (p *parser) cache(c *config, f *file) {
	store := oneOf(p, "cache.store", f.Cache.Store, "file", "file", "memory")
	c.Cache.Memory = store == "memory" || c.StateDir == ""
	if c.StateDir == "" && f.Cache.Store == "file" {
		p.fault("cache.store", `has no effect with state_dir = ""; name a directory there, or write "memory"`)
	}
	switch {
	case f.Cache.Key == "" && p.at.has("cache.key"):
		p.fault("cache.key", "is empty; write where the sealing key is, as file:PATH, or leave it out")
	case f.Cache.Key == "":
	case c.Cache.Memory:
		p.fault("cache.key", "has no effect on what is kept in memory; remove it, or write a state_dir and store = \"file\"")
	default:
		c.Cache.Where = f.Cache.Key
		c.Cache.Key = p.secret("cache.key", f.Cache.Key, func(s auth.Secret) error {
			_, err := storage.ParseSealKey(s.Reveal())
			return err
		})
	}
}
