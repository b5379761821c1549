package main

import (
	"bytes"
	"fmt"
	"os"
)

// resident returns how much memory of this process is resident, and was at
// most, in bytes; -1 where the system does not tell.
func resident() (now, peak int64) {
	now, peak = -1, -1
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return now, peak
	}
	for line := range bytes.Lines(status) {
		var kilobytes int64
		if _, err := fmt.Sscanf(string(line), "VmRSS: %d kB", &kilobytes); err == nil {
			now = kilobytes << 10
		}
		if _, err := fmt.Sscanf(string(line), "VmHWM: %d kB", &kilobytes); err == nil {
			peak = kilobytes << 10
		}
	}
	return now, peak
}
