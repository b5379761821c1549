package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"arcproxy/cache/storage"
)

// keyCommand makes a key for a caller, of which only the hash goes into the
// config, or the key that the state directory is sealed with.
type keyCommand struct {
	Caller string `arg:"" optional:"" help:"The caller's name, as the config is to call it."`
	Seal   bool   `help:"Make a sealing key for the state directory instead."`
	Rotate bool   `help:"With --seal: seal the state directory anew with it. No proxy may be running on it."`
}

// Help shows an example.
func (keyCommand) Help() string {
	return `Examples:
  $ arcproxy key nightly
  key of "nightly", shown this once; give it to the caller:
    6VQ5TZ3S7A7WZ2JXMJ4QK5RZ3H
  and write in the config, under the [[callers]] of that name:
    key = "sha256:…"
  $ (umask 077; arcproxy key --seal > /etc/arcproxy/seal.key)     # for cache.key
  $ arcproxy key --seal --rotate     # stop the proxy before, and start it after
  $ (umask 077; arcproxy key --seal --rotate > /etc/arcproxy/new.key) &&   # with cache.key: not
    mv /etc/arcproxy/new.key /etc/arcproxy/seal.key                        # over the key in use`
}

// Run makes what is asked for.
func (c *keyCommand) Run(ctx context.Context, p *program) error {
	switch {
	case c.Rotate && !c.Seal:
		return usageError("--rotate is for the sealing key: arcproxy key --seal --rotate")
	case c.Seal && c.Caller != "":
		return usageError("--seal makes the key of the state directory, which is no caller's: leave out " + c.Caller)
	case c.Rotate:
		return p.rotate(ctx)
	case c.Seal:
		p.printSealKey(storage.NewSealKey(), "sealing key, shown this once; put it in a file that only the proxy's user can read:")
		return nil
	case c.Caller == "":
		return usageError("a key for whom? arcproxy key CALLER, or arcproxy key --seal")
	}
	p.printCallerKey(c.Caller)
	return nil
}

// printCallerKey prints a key (to standard output, alone on its line, so that a
// script can take it) and the line for the config.
func (p *program) printCallerKey(caller string) {
	key := rand.Text() // at least 128 random bits
	fmt.Fprintf(p.stderr, "key of %q, shown this once; give it to the caller:\n", caller)
	fmt.Fprintln(p.stdout, key)
	fmt.Fprintf(p.stderr, "and write in the config, under the [[callers]] of that name:\n")
	fmt.Fprintf(p.stdout, "key = \"sha256:%x\"\n", sha256.Sum256([]byte(key)))
}

// printSealKey prints a sealing key. Nothing else goes to standard output, which
// may be the key's file.
func (p *program) printSealKey(key *[32]byte, what string) {
	fmt.Fprintln(p.stderr, what)
	fmt.Fprintln(p.stdout, storage.FormatSealKey(key))
	fmt.Fprint(p.stderr, "and write in the config, under [cache], where it is:\nkey = \"file:/etc/arcproxy/seal.key\"\n")
}

// rotate seals the state directory anew with a key that it makes.
func (p *program) rotate(ctx context.Context) error {
	cfg, err := p.loadBeside(ctx)
	if err != nil {
		return err
	}
	if cfg.Cache.Memory {
		return usageError(fmt.Sprintf("nothing is sealed in a directory: by %s, grants, sessions and tokens are kept in memory", p.configFile))
	}
	files, err := openFiles(cfg.StateDir)
	if err != nil {
		return fmt.Errorf("state_dir %s: %w", cfg.StateDir, err)
	}
	var key, next *[32]byte
	if cfg.Cache.Key != nil {
		if key, err = sealKey(ctx, cfg); err != nil {
			return err
		}
		next = storage.NewSealKey()
	}
	sealed, err := storage.OpenSealed(ctx, files, key, newCommandLog(p.stderr, cfg.Log))
	if err != nil {
		return fmt.Errorf("state_dir %s: %w", cfg.StateDir, err)
	}
	release, err := sealed.Claim(ctx)
	if errors.Is(err, storage.ErrInUse) {
		return fmt.Errorf("state_dir %s: %w; stop it, rotate, and start it again", cfg.StateDir, err)
	} else if err != nil {
		return fmt.Errorf("state_dir %s: %w", cfg.StateDir, err)
	}
	if next != nil {
		// Before anything is sealed with it: a key that nobody has seen is lost.
		p.printSealKey(next, "the new sealing key, shown this once; put it where cache.key says before you start the proxy:")
	}
	err = errors.Join(sealed.Rotate(ctx, next), release())
	switch {
	case err != nil && next != nil:
		return fmt.Errorf("state_dir %s: %w; the new key above is not in use: keep the former", cfg.StateDir, err)
	case err != nil:
		return fmt.Errorf("state_dir %s: %w", cfg.StateDir, err)
	case next != nil:
		fmt.Fprintln(p.stderr, "everything is sealed with the new key; the former one opens it, too, until the proxy has started with the new one")
	default:
		fmt.Fprintln(p.stderr, "everything is sealed with a new key, which is in the state directory; the former one opens nothing any more")
	}
	return nil
}
