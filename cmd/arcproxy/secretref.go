package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/zalando/go-keyring"

	"arcproxy/auth"
)

const (
	maxSecretSize = 64 << 10         // bytes; a secret that is larger is some other file
	execTimeout   = 30 * time.Second // for exec:, which may unlock a password manager
)

// secret parses a secret reference of the config: env:NAME, file:PATH,
// keyring:SERVICE/USER or exec:COMMAND. What can be read without side effects
// (env, file) is read once now, so that a typo is a fault of the file and not
// of a night, unless they are another process's; check looks at the value, if given.
func (p *parser) secret(key, ref string, check func(auth.Secret) error) auth.SecretSource {
	source, early, err := parseSecretRef(ref, p.read, p.env)
	if err != nil {
		p.fault(key, "%v", err)
		return nil
	}
	if !early || p.env.others {
		return source
	}
	if name, ok := strings.CutPrefix(ref, "file:"); ok && runtime.GOOS != "windows" {
		if info, err := os.Stat(p.path(name)); err == nil && info.Mode().Perm()&0o044 != 0 {
			p.notes = append(p.notes, fmt.Sprintf("%s (%s) can be read by other users of this machine; chmod 600 it if that is not meant", p.path(name), key))
		}
	}
	value, err := source(p.ctx)
	if err == nil && check != nil {
		err = check(value)
	}
	if err != nil {
		p.fault(key, "%v", err)
		return nil
	}
	return source
}

// parseSecretRef returns the source that ref names, and whether reading it has
// no side effects. The error never quotes ref: it may be a password that
// somebody wrote where a reference belongs.
func parseSecretRef(ref string, path func(string) string, env environment) (source auth.SecretSource, early bool, err error) {
	kind, arg, _ := strings.Cut(ref, ":")
	if arg == "" {
		kind = ""
	}
	switch kind {
	case "env":
		return func(context.Context) (auth.Secret, error) {
			value, ok := env.lookup(arg)
			if !ok || value == "" {
				return auth.Secret{}, fmt.Errorf("the environment has no %s; set it, or write another reference", arg)
			}
			return auth.NewSecret(value), nil
		}, true, nil
	case "file":
		name := path(arg)
		return func(context.Context) (auth.Secret, error) { return readSecretFile(name) }, true, nil
	case "keyring":
		service, user, ok := strings.Cut(arg, "/")
		if !ok || service == "" || user == "" {
			return nil, false, errors.New("a keyring reference is keyring:SERVICE/USER")
		}
		return func(context.Context) (auth.Secret, error) {
			value, err := keyring.Get(service, user)
			if errors.Is(err, keyring.ErrNotFound) {
				return auth.Secret{}, fmt.Errorf("the keyring has no entry %s for %s; store one, or write another reference", service, user)
			} else if err != nil {
				return auth.Secret{}, fmt.Errorf("the system's keyring can't be read: %w", err)
			}
			return auth.NewSecret(value), nil
		}, false, nil
	case "exec":
		return func(ctx context.Context) (auth.Secret, error) { return execSecret(ctx, arg) }, false, nil
	}
	return nil, false, errors.New("is not a reference to a secret; write env:NAME, file:PATH, keyring:SERVICE/USER or exec:COMMAND (a secret itself never stands in the config)")
}

// readSecretFile returns the text of a file without its last line break.
func readSecretFile(name string) (auth.Secret, error) {
	f, err := os.Open(name)
	if err != nil {
		return auth.Secret{}, fmt.Errorf("the secret's file can't be read: %w; %s", err, fileRemedy(name, err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecretSize+1))
	if err != nil {
		return auth.Secret{}, fmt.Errorf("the secret's file can't be read: %w", err)
	}
	return trimSecret(text, "the file "+name)
}

// fileRemedy says what to do about a file that cannot be opened.
func fileRemedy(name string, err error) string {
	switch {
	case strings.Contains(filepath.ToSlash(name), "~/"):
		return "~ has no meaning here, write the whole path"
	case errors.Is(err, fs.ErrPermission):
		return "let the user that runs this program read it"
	}
	return "put it there, or write where it is: names that are not whole paths start at the config's directory"
}

// execSecret runs command in the system's shell and returns what it prints.
func execSecret(ctx context.Context, command string) (auth.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	cmd := shell(ctx, command)
	var out bytes.Buffer
	cmd.Stdout = &limitedWriter{w: &out, left: maxSecretSize + 1}
	// What a password manager says on stderr may quote the secret, so it goes
	// nowhere; its exit code is what is told.
	if err := cmd.Run(); err != nil {
		return auth.Secret{}, fmt.Errorf("the exec: command for a secret failed: %w; try it in a shell, as the user that runs this program", err)
	}
	return trimSecret(out.Bytes(), "the exec: command")
}

// shell returns a command for the system's shell, which is ended with all that it
// has begun when ctx ends.
func shell(ctx context.Context, command string) *exec.Cmd {
	name, flag := "/bin/sh", "-c"
	if runtime.GOOS == "windows" {
		name, flag = "cmd.exe", "/C"
	}
	cmd := exec.CommandContext(ctx, name, flag, command)
	cmd.WaitDelay = time.Second
	inGroup(cmd)
	return cmd
}

func trimSecret(text []byte, from string) (auth.Secret, error) {
	if len(text) > maxSecretSize {
		return auth.Secret{}, fmt.Errorf("%s gives more than 64 KiB; that can't be the secret", from)
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(text) == 0 {
		return auth.Secret{}, fmt.Errorf("%s gives nothing, where the secret should be", from)
	}
	return auth.NewSecret(string(text)), nil
}

// limitedWriter keeps the first bytes and drops the rest.
type limitedWriter struct {
	w    io.Writer
	left int
}

func (l *limitedWriter) Write(b []byte) (int, error) {
	if keep := min(len(b), l.left); keep > 0 {
		l.left -= keep
		if _, err := l.w.Write(b[:keep]); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}
