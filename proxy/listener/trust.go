package listener

import (
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/smallstep/truststore"
)

// Trust is what became of a root in one store of trusted roots.
type Trust struct {
	Store string // "system", or "Firefox and other NSS programs"
	Err   error  // nil: done; its text says what to do instead
}

// Install makes the system, and Firefox where it is there, trust root. It writes
// where only an administrator may: on Linux and macOS through sudo, which may
// ask for a password on the terminal; Windows asks in a window, and puts the
// root among those of the user. [InstallPlan] says so beforehand.
//
// Python's requests, Java and some others bring roots of their own and look at
// no system store: they have to be given [Authority.RootPEM].
func Install(root *x509.Certificate) []Trust {
	return eachStore(func(opts ...truststore.Option) error { return truststore.Install(root, opts...) }, "install")
}

// Uninstall undoes [Install].
func Uninstall(root *x509.Certificate) []Trust {
	return eachStore(func(opts ...truststore.Option) error {
		err := truststore.Uninstall(root, opts...)
		if errors.Is(err, truststore.ErrNotFound) {
			return nil
		}
		return err
	}, "uninstall")
}

// eachStore does one thing to the system's store, and then to NSS's if this
// user has one, whatever became of the first.
func eachStore(do func(...truststore.Option) error, what string) []Trust {
	done := []Trust{{Store: "system", Err: explain(do(), what)}}
	// The NSS part of truststore passes over what it can't do in silence, so it
	// is asked beforehand whether it can.
	nss, err := truststore.NewNSSTrust()
	if err != nil || nss.PreCheck() != nil {
		if firefox() && truststore.CertutilInstallHelp != "" {
			done = append(done, Trust{nssStore, errors.New("the tool certutil is missing: install it (" +
				certutilHelp() + ") and try again, or import the root in the browser's settings")})
		}
		return done
	}
	return append(done, Trust{nssStore, explain(do(truststore.WithNoSystem(), truststore.WithTrust(nss)), what)})
}

const nssStore = "Firefox and other NSS programs"

// certutilHelp closes the quotes that the library leaves open.
func certutilHelp() string {
	return strings.ReplaceAll(truststore.CertutilInstallHelp, `"`, "")
}

// explain adds to err what the command that failed had to say, and a way out.
func explain(err error, what string) error {
	if err == nil {
		return nil
	}
	remedy := "print the root and " + what + " it by hand, or run this as an administrator"
	if c, ok := errors.AsType[*truststore.CmdError](err); ok {
		if said := strings.TrimSpace(string(c.Out())); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
	}
	return fmt.Errorf("%s the root: %w; %s", what, err, remedy)
}

// firefox reports whether this user has a Firefox profile.
func firefox() bool {
	profiles, err := filepath.Glob(truststore.NSSProfile)
	return err == nil && len(profiles) > 0
}
