package main

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// held calls start, and holds the process that it starts to the last processor
// if it is to be measured, else to the others.
func held(measured bool, start func() error) error {
	// A process begins with the processors of the thread that starts it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return fmt.Errorf("asking for the processors: %w", err)
	}
	if allowed.Count() < 2 {
		return start()
	}
	last := 0
	for cpu := range len(allowed) * 64 {
		if allowed.IsSet(cpu) {
			last = cpu
		}
	}
	wanted := allowed
	wanted.Clear(last)
	if measured {
		wanted.Zero()
		wanted.Set(last)
	}
	if err := unix.SchedSetaffinity(0, &wanted); err != nil {
		return fmt.Errorf("choosing a processor: %w", err)
	}
	started := start()
	if err := unix.SchedSetaffinity(0, &allowed); err != nil {
		return fmt.Errorf("going back to all processors: %w", err)
	}
	return started
}
