package mapping

import (
	"testing"

	"go.uber.org/goleak"
)

// A GzipReader has a coroutine, which must not outlive it.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
