// Command arcproxy stands in front of an ArcGIS Enterprise Portal that people
// sign in to through Okta, and signs requests in for callers that cannot.
//
// This package reads the config file and the environment, composes the other
// packages (wire.go), and gives each command its own file.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage, or a config file with faults
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: environment{lookup: os.LookupEnv}}
	code := p.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// program is what every command gets: where it prints, and its surroundings.
type program struct {
	stdin          *os.File
	stdout, stderr io.Writer
	env            environment
	configFile     string
}

// commands is the command line.
type commands struct {
	Config string `help:"The config file; config.toml in the current directory if none is named." env:"ARCPROXY_CONFIG" default:"config.toml" placeholder:"FILE"`

	Version kong.VersionFlag `help:"Say which version this is."`

	Serve  serveCommand  `cmd:"" help:"Run the proxy."`
	Check  checkCommand  `cmd:"" help:"Check the config file and what it names: Okta, the Portal, the servers."`
	Login  loginCommand  `cmd:"" help:"Sign an identity in by hand; the password is not kept, the sign-in is."`
	Logout logoutCommand `cmd:"" help:"Sign an identity out: its tokens are revoked and forgotten."`
	Status statusCommand `cmd:"" help:"Show how each identity stands."`
	Token  tokenCommand  `cmd:"" help:"Sign an identity in and print its ArcGIS token."`
	Key    keyCommand    `cmd:"" help:"Make a key for a caller, or one that seals the state directory."`
	Trust  trustCommand  `cmd:"" help:"Print or install the proxy's own certificate authority."`
	Demo   demoCommand   `cmd:"" help:"Run the proxy before a simulated Okta and Portal, on loopback."`
}

// run carries out one command line and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	var cli commands
	exited := -1
	k, err := kong.New(&cli,
		kong.Name("arcproxy"),
		kong.Description("A signed-in way to ArcGIS Enterprise behind Okta, for callers that cannot sign in."),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(p),
		kong.Vars{"version": version()},
	)
	if err != nil {
		panic(err) // the struct above is wrong: a mistake in this file
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := k.Parse(args)
	if exited >= 0 { // --help has been answered
		return exited
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "arcproxy: %v\nSee arcproxy --help.\n", err)
		return exitUsage
	}
	p.configFile = cmp.Or(cli.Config, "config.toml") // a variable that is set to nothing names none
	err = command.Run()
	if brokenOff(ctx, err) {
		fmt.Fprintln(p.stderr, "arcproxy: broken off; what was not finished is not kept")
		return exitFailed
	}
	if f, ok := errors.AsType[*faults](err); ok {
		fmt.Fprintln(p.stderr, f)
		return exitUsage
	}
	if u, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(p.stderr, "arcproxy: %v\n", u)
		return exitUsage
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "arcproxy: %s\n", explain(err))
		return exitFailed
	}
	return exitDone
}

// version is what the Go tool has put into the program: the module's version, which
// where it was built from a repository names the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "arcproxy"
	}
	return "arcproxy " + info.Main.Version + " " + info.GoVersion
}

// brokenOff reports whether err is nothing but the end of ctx, as by Ctrl-C. What the
// steps in between make of it is for callers of a proxy that goes on.
func brokenOff(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx)))
}

// usageError is a command line that asks for what can't be.
type usageError string

func (e usageError) Error() string { return string(e) }
