//go:build !linux

package main

// held calls start. A Go process has only one thread run at a time as it is, see
// start; which processor that is on is left to the system.
func held(_ bool, start func() error) error { return start() }
