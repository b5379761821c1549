package cache

import "arcproxy/auth"

// Identities returns how many identities c knows.
func Identities(c *Cache) int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.identities)
}

// HasRule reports whether failures.go says what becomes of kind.
func HasRule(kind auth.Kind) bool {
	_, ok := rules[kind]
	return ok
}

// Rules returns how many kinds failures.go knows.
func Rules() int { return len(rules) }
