package main

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// makePrivate makes dir if it is missing and closes it to everybody but the
// user this program runs as, the system, and administrators. File modes mean
// nothing on Windows; a protected access list, inherited by what is made
// inside, does what 0700 does elsewhere.
func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return fmt.Errorf("who runs this program: %w", err)
	}
	// SDDL: protected from inheritance; full access, inherited by files and
	// folders, for the user, SYSTEM and the Administrators group.
	sd, err := windows.SecurityDescriptorFromString(
		"D:P(A;OICI;FA;;;" + user.User.Sid.String() + ")(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)")
	if err != nil {
		return fmt.Errorf("access list: %w", err)
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return fmt.Errorf("access list: %w", err)
	}
	if err := windows.SetNamedSecurityInfo(dir, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION,
		nil, nil, dacl, nil); err != nil {
		return fmt.Errorf("access list: %w", err)
	}
	return nil
}

// ownersOnly is for file modes, which mean nothing here: the access list that
// makePrivate has set keeps others out.
func ownersOnly(fs.FileInfo, int) bool { return true }
