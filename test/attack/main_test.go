package attack

import (
	"fmt"
	"os"
	"testing"

	"arcproxy/test/program"

	"go.uber.org/goleak"
)

// arcproxy is the built program's file name.
var arcproxy string

// TestMain builds the program once for all tests.
func TestMain(m *testing.M) {
	var flags []string
	if underRace {
		flags = append(flags, "-race")
	}
	name, remove, err := program.Build(flags...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	arcproxy = name
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		remove()
		os.Exit(code)
	}))
}
