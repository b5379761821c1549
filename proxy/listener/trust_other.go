//go:build !linux

package listener

import (
	"runtime"
)

// InstallPlan says, for a person, what [Install] is going to do.
func InstallPlan() string {
	switch runtime.GOOS {
	case "windows":
		return "adds the root to your Trusted Root Certification Authorities; Windows asks for confirmation"
	case "darwin":
		return "adds the root to the System keychain by running security through sudo"
	}
	return "adds the root to the system's store of trusted roots, which takes an administrator"
}
