//go:build windows

package storage

const childDir = "ARCPROXY_TEST_KILL_DIR"

// child is what kill_test.go kills, which is for Unix.
func child(string) int { return 1 }
