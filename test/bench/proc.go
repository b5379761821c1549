package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// What Linux tells in /proc about processes; see proc(5).

// errNoProc says that this system does not tell.
var errNoProc = errors.New("not measured: this needs /proc")

// resident returns how much memory of a process is resident, and was at most
// (VmHWM), in bytes; -1 where the system does not tell.
func resident(pid int) (now, peak int64) {
	now, peak = -1, -1
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
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

// timeOf returns the user and system time of a process that has one thread.
func timeOf(pid int) (time.Duration, error) {
	// In nanoseconds, where the kernel keeps them: the same sum, only finer.
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err == nil {
		var nanoseconds int64
		if _, err := fmt.Sscan(string(text), &nanoseconds); err == nil && nanoseconds > 0 {
			return time.Duration(nanoseconds), nil
		}
	}
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	ticks := 0
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(string(field))
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil // USER_HZ is 100
}

// stat returns what /proc/PID/stat says after the program's name, which may hold anything.
func stat(pid int) ([][]byte, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return nil, fmt.Errorf("/proc/%d/stat says %q", pid, text)
	}
	return fields, nil
}

// childrenOf returns the processes that a process has started.
func childrenOf(pid int) (children []int) {
	all, _ := filepath.Glob("/proc/[0-9]*") // the pattern is right
	for _, path := range all {
		child, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			continue
		}
		fields, err := stat(child)
		if err == nil && string(fields[1]) == strconv.Itoa(pid) { // ppid
			children = append(children, child)
		}
	}
	return children
}
