package main

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

// keyCommand makes a key for a caller. Only its hash goes into the config.
type keyCommand struct {
	Caller string `arg:"" help:"The caller's name, as the config is to call it."`
}

// Help shows an example.
func (keyCommand) Help() string {
	return `Example:
  $ arcproxy key nightly
  key of "nightly", shown this once; give it to the caller:
    6VQ5TZ3S7A7WZ2JXMJ4QK5RZ3H
  and write in the config, under the [[callers]] of that name:
    key = "sha256:…"`
}

// Run prints the key (to standard output, alone on its line, so that a script
// can take it) and the line for the config.
func (c *keyCommand) Run(p *program) error {
	key := rand.Text() // at least 128 random bits
	fmt.Fprintf(p.stderr, "key of %q, shown this once; give it to the caller:\n", c.Caller)
	fmt.Fprintln(p.stdout, key)
	fmt.Fprintf(p.stderr, "and write in the config, under the [[callers]] of that name:\n")
	fmt.Fprintf(p.stdout, "key = \"sha256:%x\"\n", sha256.Sum256([]byte(key)))
	return nil
}
