package listener

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/smallstep/truststore"
)

// InstallPlan says, for a person, what [Install] is going to do.
func InstallPlan() string {
	if truststore.SystemTrustCommand == nil {
		return "this system has no known store of trusted roots"
	}
	sudo := ""
	if _, err := exec.LookPath("sudo"); err == nil {
		sudo = " through sudo"
	}
	return fmt.Sprintf("writes the root into %s and runs %s%s",
		filepath.Dir(truststore.SystemTrustFilename), strings.Join(truststore.SystemTrustCommand, " "), sudo)
}
