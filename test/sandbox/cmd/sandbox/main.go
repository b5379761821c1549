// Command sandbox runs the simulated Okta and ArcGIS Enterprise on loopback, for
// test suites that are not written in Go. It prints one line of JSON, with the
// addresses and the accounts, when everything answers, and stays up until it is
// interrupted.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"arcproxy/test/sandbox"
	"arcproxy/test/sandbox/okta"
)

// account is a user as the line of JSON shows it.
type account struct {
	Name       string `json:"name"`
	Login      string `json:"login"`
	Password   string `json:"password"`
	TOTPSecret string `json:"totpSecret,omitempty"`
	Push       bool   `json:"push"`
	Username   string `json:"username"` // in the Portal
	FullName   string `json:"fullName"`
	Token      string `json:"token,omitempty"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	flags.SetOutput(stderr)
	tls := flags.Bool("tls", false, "listen with TLS, by an authority of the sandbox's own")
	caOut := flags.String("ca-out", "", "write that authority's certificate to `FILE`")
	seed := flags.Uint64("seed", 0, "repeat the variations of an earlier run; 0 takes a random seed")
	tokens := flags.Bool("tokens", false, "also issue a Portal access token for every account")
	approve := flags.Bool("approve", false, "phones approve every push at once, instead of waiting for a person")
	number := flags.Bool("number", false, "phones ask for the number that a sign-in shows")
	untilEOF := flags.Bool("until-eof", false, "end when standard input ends, so that no orphan is left by a parent that dies")
	assets := flags.String("assets", "", "serve npm's packages from `DIR`, a node_modules, to the Portal's home/leaflet.html and home/core.html")
	widget := flags.String("widget", "", "show the Okta Sign-In Widget of `DIR`, a node_modules, on Okta's sign-in pages")
	pipeline := flags.String("pipeline", "v1", "Okta's `ENGINE`: v1 (Classic) or idx (Identity Engine)")
	verbose := flags.Bool("verbose", false, "log to standard error")
	if err := flags.Parse(args); err != nil {
		return err
	}
	settings := okta.DefaultSettings()
	switch *pipeline {
	case "v1", "idx":
		settings.Pipeline = *pipeline
	default:
		return fmt.Errorf("no engine is called %q", *pipeline)
	}
	log := slog.New(slog.DiscardHandler)
	if *verbose {
		log = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if *number {
		settings.NumberChallenge, settings.NumberAfterPolls = true, 1
	}
	sb, err := sandbox.Start(sandbox.Config{Seed: *seed, TLS: *tls, Assets: *assets, Widget: *widget, Okta: &settings, Log: log})
	if err != nil {
		return err
	}
	defer sb.Close()
	if *caOut != "" {
		if err := os.WriteFile(*caOut, sb.CertPEM(), 0o644); err != nil {
			return err
		}
	}
	control, endControl, err := startControl(sb)
	if err != nil {
		return err
	}
	defer endControl()
	var users []account
	for _, u := range sb.Users() {
		a := account{Name: u.Name, Login: u.Login, Password: u.Password, TOTPSecret: u.TOTPSecret, Push: u.Push, Username: u.GISUsername, FullName: u.FirstName + " " + u.LastName}
		if *tokens {
			a.Token = sb.Portal.Token(u.Login)
		}
		if *approve {
			sb.Okta.Phone(u.Login).Approve()
		}
		users = append(users, a)
	}
	callback := sb.OktaURL.String() + "/callback" // where nobody goes
	client := sb.Okta.RegisterOIDC("Okta's own SDK", callback)
	err = json.NewEncoder(stdout).Encode(map[string]any{
		"client": map[string]string{"issuer": client.Issuer, "clientId": client.ID, "clientSecret": client.Secret, "redirectUri": callback},
		"okta":   sb.OktaURL.String(), "portal": sb.PortalURL.String(), "server": sb.ServerURL.String(),
		"other": sb.OtherServerURL.String(), "open": sb.OpenServerURL.String(), "control": control, "seed": sb.Seed(), "users": users,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if *untilEOF {
		go func() {
			_, _ = io.Copy(io.Discard, stdin)
			cancel()
		}()
	}
	<-ctx.Done()
	return nil
}
